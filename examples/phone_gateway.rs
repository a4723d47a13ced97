//! A program that takes Twilio and Telnyx calls: it says back what it hears, `1` makes it stop talking, `#` hangs up.
//!
//!     cargo run --example phone_gateway -- ~/.vibecode/sip_config.yaml wss://voice.example.com/sip/media-stream
//!
//! It listens on 127.0.0.1:8000; a tunnel makes that public (docs/gateway.md).

#![allow(clippy::print_stdout, reason = "it talks to its user")]

use std::sync::Arc;

use actix_web::{App, HttpServer};
use anyhow::Context;
use futures_util::{StreamExt, future::Either};
use sip_relay::{
    gateway::{DidConfig, DidRouter, SipTransport, SipTransportError, SipWebhookHandler, TransportEvent},
    http::bounded_connection,
};

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let table = args.next().context("usage: phone_gateway TABLE.yaml PUBLIC_WS_URL")?;
    let url = args.next().unwrap_or_else(|| "ws://127.0.0.1:8000/sip/media-stream".to_owned());
    let gateway = SipWebhookHandler::new(DidRouter::open(table)?, on_session, url);
    let mounted = gateway.clone();
    let server = HttpServer::new(move || App::new().configure(|app| mounted.configure(app)))
        .on_connect(|connection, _| bounded_connection(connection))
        .disable_signals()
        .bind(("127.0.0.1", 8000))?
        .run();
    let running = server.handle();
    actix_web::rt::spawn(server);
    println!("listening on 127.0.0.1:8000");
    tokio::signal::ctrl_c().await?;
    // While the server still serves: the providers are told of the end.
    gateway.close().await;
    running.stop(false).await;
    Ok(())
}

/// One call, until it is over.
async fn on_session(
    transport: SipTransport,
    number: Option<Arc<DidConfig>>,
) -> Result<(), SipTransportError> {
    let number = number.ok_or_else(|| SipTransportError::CallRejected("nobody lives here".to_owned()))?;
    println!("{} is called by {}", number.display_name, transport.metadata()["caller_id"]);
    let happenings = futures_util::stream::select(
        transport.receive_audio().map(Either::Left),
        transport.events().map(Either::Right),
    );
    let mut happenings = std::pin::pin!(happenings);
    while let Some(happening) = happenings.next().await {
        match happening {
            Either::Left(pcm) => transport.send_audio(pcm).await?,
            Either::Right(TransportEvent::Dtmf { digit: '1' }) => transport.clear_audio().await?,
            Either::Right(TransportEvent::Dtmf { digit: '#' }) => transport.close().await,
            Either::Right(event) => println!("{event:?}"),
        }
    }
    Ok(())
}
