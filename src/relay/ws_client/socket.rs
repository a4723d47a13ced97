//! `Socket` owns one WebSocket connection. It is the only place that knows `actix-web-actors`.
//!
//! In: frames of the peer, the [`Outbox`]. Out: whole messages to the actor behind it, a client of the relay or a media
//! stream of the gateway, and frames. While the peer does not read, this actor is not polled at all (it is the HTTP body),
//! which is why everything else lives in another one.

use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Recipient, StreamHandler, WrapFuture,
    prelude::SendError,
};
use actix_http::ws::Item;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, CloseCode, Message, ProtocolError, WebsocketContext};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use tracing::debug;

use super::{
    super::message::AudioMessage,
    frame_guard::{FrameGuard, Pace},
    outbox::{Outbox, OutboxStream, Outgoing},
};
use crate::metrics::{CloseCause, Connection};

/// What the peer sent.
#[derive(actix::Message, Debug)]
#[rtype(result = "()")]
pub enum FromSocket {
    /// A whole text message.
    Text(ByteString),
    /// A whole binary message.
    Binary(Bytes),
    /// The connection is over, however it ended. The last message.
    Gone,
}

/// What a connection is opened on.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Bytes of one message after reassembly.
    pub max_message: usize,
    /// The subprotocols that are spoken (RFC 6455 §1.9).
    pub protocols: &'static [&'static str],
    /// What the peer is told with code 1009.
    pub too_big: &'static str,
}

/// See the module's documentation.
pub struct Socket {
    client: Recipient<FromSocket>,
    outbox: Outbox,
    terms: Terms,
    pace: Pace,
    partial: Option<Partial>,
    last_heard: Instant,
    connection: Connection,
}

/// A fragmented message of which the end has not come yet.
struct Partial {
    text: bool,
    data: BytesMut,
}

impl Socket {
    /// Upgrades an HTTP request. Messages go to `client`, `outbox` to the peer.
    pub fn upgrade(
        request: &HttpRequest,
        payload: web::Payload,
        client: Recipient<FromSocket>,
        outbox: Outbox,
        terms: Terms,
        connection: Connection,
    ) -> Result<HttpResponse, actix_web::Error> {
        let (guarded, pace) = FrameGuard::new(payload, terms.max_message);
        let socket =
            Self { client, outbox, terms, pace, partial: None, last_heard: Instant::now(), connection };
        ws::WsResponseBuilder::new(socket, request, guarded)
            .protocols(terms.protocols)
            .frame_size(terms.max_message)
            .start()
    }

    /// Hands a message on. While the client's actor has too many to carry out, nothing more is read.
    fn hand_on(&self, message: FromSocket, ctx: &mut WebsocketContext<Self>) {
        if let Err(SendError::Full(message)) = self.client.try_send(message) {
            let taken = self.client.send(message).into_actor(self);
            ctx.wait(taken.map(|_, _, _| ()));
        }
    }

    fn continue_message(&mut self, item: Item, ctx: &mut WebsocketContext<Self>) {
        match item {
            Item::FirstText(data) => self.partial = Some(Partial { text: true, data: data.as_ref().into() }),
            Item::FirstBinary(data) => {
                self.partial = Some(Partial { text: false, data: data.as_ref().into() })
            }
            Item::Continue(data) => self.append(&data, ctx),
            Item::Last(data) => {
                self.append(&data, ctx);
                self.complete(ctx);
            }
        }
    }

    fn append(&mut self, data: &[u8], ctx: &mut WebsocketContext<Self>) {
        let Some(partial) = &mut self.partial else { return };
        if partial.data.len() + data.len() > self.terms.max_message {
            self.partial = None;
            return self.close(CloseCause::TooBig, ctx);
        }
        partial.data.extend_from_slice(data);
    }

    fn complete(&mut self, ctx: &mut WebsocketContext<Self>) {
        let Some(Partial { text, data }) = self.partial.take() else { return };
        let data = data.freeze();
        if !text {
            return self.hand_on(FromSocket::Binary(data), ctx);
        }
        match ByteString::try_from(data) {
            Ok(line) => self.hand_on(FromSocket::Text(line), ctx),
            Err(_) => self.close(CloseCause::NotUtf8, ctx),
        }
    }

    /// Closes the connection from our side.
    fn close(&mut self, cause: CloseCause, ctx: &mut WebsocketContext<Self>) {
        self.connection.ends_by(cause);
        ctx.close(close_frame(cause, &self.terms).map(Into::into));
        ctx.stop();
    }
}

impl Actor for Socket {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.add_stream(OutboxStream(self.outbox.clone()));
        ctx.run_interval(PING_EVERY, |socket, ctx| {
            if socket.last_heard.elapsed() > PEER_TIMEOUT {
                debug!("WebSocket peer does not answer pings");
                socket.connection.ends_by(CloseCause::NoPong);
                ctx.stop();
            } else {
                ctx.ping(b"");
            }
        });
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A peer that does not read is never sent its close frame.
        if let Some(reason) = self.outbox.closed() {
            self.connection.ends_by(reason.into());
        }
        self.client.do_send(FromSocket::Gone);
    }
}

impl StreamHandler<Outgoing> for Socket {
    fn handle(&mut self, message: Outgoing, ctx: &mut Self::Context) {
        match message {
            Outgoing::Signal(line) | Outgoing::Audio(AudioMessage::Text(line)) => ctx.text(line),
            Outgoing::Audio(AudioMessage::Binary(bytes)) => ctx.binary(bytes),
            // A form that no WebSocket client asks for.
            Outgoing::Audio(AudioMessage::Samples { .. } | AudioMessage::Mulaw(_)) => {}
            Outgoing::Close(reason) => self.close(reason.into(), ctx),
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<Result<Message, ProtocolError>> for Socket {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        self.last_heard = Instant::now();
        self.pace.handled();
        match message {
            Ok(Message::Text(line)) => self.hand_on(FromSocket::Text(line), ctx),
            Ok(Message::Binary(data)) => self.hand_on(FromSocket::Binary(data), ctx),
            Ok(Message::Continuation(item)) => self.continue_message(item, ctx),
            Ok(Message::Ping(data)) => ctx.pong(&data),
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Close(reason)) => {
                let code = reason.as_ref().map(|reason| reason.code.into());
                self.connection.ends_by(CloseCause::Peer(code));
                ctx.close(reason);
                ctx.stop();
            }
            Err(ProtocolError::Overflow) => self.close(CloseCause::TooBig, ctx),
            Err(_) if self.pace.refused() => self.close(CloseCause::TooBig, ctx),
            Err(ProtocolError::Io(error)) if is_utf_8_error(&error) => self.close(CloseCause::NotUtf8, ctx),
            Err(ProtocolError::Io(error)) => {
                debug!(%error, "WebSocket connection lost");
                self.close(CloseCause::Lost, ctx);
            }
            Err(error) => {
                debug!(%error, "WebSocket connection");
                self.close(CloseCause::BrokenFrame, ctx);
            }
        }
    }
}

/// The library reports an unfragmented text that is not UTF-8 like a fault of the connection, with no more than the words
/// of [`std::str::Utf8Error`].
fn is_utf_8_error(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::Other && error.to_string().contains("utf-8")
}

/// What the peer is told; nothing where it does not listen any more.
fn close_frame(cause: CloseCause, terms: &Terms) -> Option<(CloseCode, &'static str)> {
    match cause {
        CloseCause::Stopping => Some((CloseCode::Away, "the relay stops")),
        CloseCause::TooSlow => Some((CloseCode::Policy, "too slow")),
        CloseCause::Replaced => Some((CloseCode::Policy, "session resumed elsewhere")),
        CloseCause::Done => Some((CloseCode::Normal, "")),
        CloseCause::Refused => Some((CloseCode::Policy, "stream refused")),
        CloseCause::Idle => Some((CloseCode::Policy, "nothing heard for too long")),
        CloseCause::TooBig => Some((CloseCode::Size, terms.too_big)),
        CloseCause::NotUtf8 => Some((CloseCode::Invalid, "text that is not UTF-8")),
        CloseCause::BrokenFrame => Some((CloseCode::Protocol, "broken frame")),
        CloseCause::NoPong | CloseCause::Peer(_) | CloseCause::Lost => None,
    }
}

const PING_EVERY: Duration = Duration::from_secs(20);
const PEER_TIMEOUT: Duration = Duration::from_secs(60);
