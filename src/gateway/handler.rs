//! Who gets a call: a program of this process, which is the echo unless another is given, or the relay.

use std::{fmt, pin::Pin, sync::Arc};

use actix::Recipient;
use futures_core::Future;
use futures_util::StreamExt;

use super::{DidConfig, SipTransport, SipTransportError};
use crate::relay::message::IncomingStream;

/// What a program does with a call, until it is done with it.
pub type SessionFuture = Pin<Box<dyn Future<Output = Result<(), SipTransportError>> + Send>>;

/// A program that calls are given to.
pub type OnSession = dyn Fn(SipTransport, Option<Arc<DidConfig>>) -> SessionFuture + Send + Sync;

/// See the module's documentation.
#[derive(Clone)]
pub enum Handler {
    /// A program of this process.
    Program(Arc<OnSession>),
    /// The relay's switchboard.
    Relay(Recipient<IncomingStream>),
}

impl Handler {
    /// A program as a function.
    pub fn program<F, Fut>(on_session: F) -> Self
    where
        F: Fn(SipTransport, Option<Arc<DidConfig>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), SipTransportError>> + Send + 'static,
    {
        Self::Program(Arc::new(move |transport, config| Box::pin(on_session(transport, config))))
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Handler::Program(_) => "Program",
            Handler::Relay(_) => "Relay",
        })
    }
}

/// Says back to the caller what he says, chunk for chunk, until he hangs up.
///
/// # Errors
/// None that is not the end of the call.
pub async fn echo(transport: SipTransport, _: Option<Arc<DidConfig>>) -> Result<(), SipTransportError> {
    let mut audio = transport.receive_audio();
    while let Some(chunk) = audio.next().await {
        if transport.send_audio(chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}
