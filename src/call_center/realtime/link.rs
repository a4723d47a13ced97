//! `RealtimeLink` owns one WebSocket to the Realtime API: connects, reads, writes, looks after it, and ends with it.
//!
//! In: [`LinkOrder`]. Out: [`LinkReport`], [`LinkNews::Down`] the last. It does not connect again: that is the agent's decision.
//! Knows nothing of what is said. Every queue is bounded: audio that finds no room is left out and counted, anything else
//! that finds none ends the connection; while its reports are not taken, it does not read.

use std::{
    fmt,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, StreamHandler,
    WrapFuture, dev::SendError, fut,
};
use futures_util::{StreamExt, stream::SplitSink};
use model::id::CallId;
use tokio::{sync::mpsc, time::timeout};
use tokio_tungstenite::tungstenite::{
    self, Message, Utf8Bytes,
    client::IntoClientRequest,
    http::{HeaderValue, Response, header},
    protocol::WebSocketConfig,
};
use tracing::{debug, warn};

use super::{LinkId, LinkNews, ResponseStatus, ServerEvent};
use crate::{
    call_center::message::{LinkOrder, LinkReport},
    config::Secret,
    ws_writer::{Socket, write_batch},
};

/// Where the service is.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// `ws://` or `wss://`, with the model in its query.
    pub url: String,
    /// The key.
    pub key: Secret,
}

/// Whose connection it is.
#[derive(Debug, Clone)]
pub struct LinkOwner {
    /// The call.
    pub call: CallId,
    /// Which life of that call.
    pub generation: u64,
    /// Its number.
    pub link: LinkId,
}

/// The actor. It stops when its connection is over.
pub struct RealtimeLink {
    settings: LinkSettings,
    owner: LinkOwner,
    to: Recipient<LinkReport>,
    outbox: Option<mpsc::Sender<Message>>,
    heard: Instant,
    left_out: u64,
    unread: u64,
    /// The last report has been made.
    over: bool,
}

impl RealtimeLink {
    /// A link that connects when it is started. `to` is kept, so that its mailbox bounds it.
    pub fn new(settings: LinkSettings, owner: LinkOwner, to: Recipient<LinkReport>) -> Self {
        let heard = Instant::now();
        Self { settings, owner, to, outbox: None, heard, left_out: 0, unread: 0, over: false }
    }

    /// Hands news on. While they are not taken, nothing else happens here.
    fn report(&self, news: LinkNews, ctx: &mut Context<Self>) {
        let LinkOwner { call, generation, link } = self.owner.clone();
        let report = LinkReport { call, generation, link, read: Instant::now(), news };
        if let Err(SendError::Full(report)) = self.to.try_send(report) {
            ctx.wait(self.to.send(report).into_actor(self).map(|_, _, _| ()));
        }
    }

    fn connected(&mut self, socket: Socket, ctx: &mut Context<Self>) {
        let (sink, stream) = socket.split();
        let (outbox, queue) = mpsc::channel(OUTBOX);
        ctx.add_stream(stream);
        ctx.spawn(write(sink, queue).into_actor(self).map(|outcome, this: &mut Self, ctx| {
            if let Err(why) = outcome {
                this.down(why, false, ctx);
            }
        }));
        (self.outbox, self.heard) = (Some(outbox), Instant::now());
        ctx.run_interval(PING, Self::look_after);
        self.report(LinkNews::Up, ctx);
    }

    fn down(&mut self, why: impl fmt::Display, refused: bool, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.over, true) {
            let why = self.clean(&why.to_string());
            let LinkOwner { call, generation, link } = self.owner.clone();
            let news = LinkNews::Down { why, refused };
            self.to.do_send(LinkReport { call, generation, link, read: Instant::now(), news });
        }
        ctx.stop();
    }

    fn send(&mut self, message: Message, may_be_left_out: bool, ctx: &mut Context<Self>) {
        let Some(outbox) = &self.outbox else { return };
        if outbox.try_send(message).is_ok() {
            return;
        }
        if !may_be_left_out {
            return self.down("the service does not read", false, ctx);
        }
        self.left_out += 1;
        if self.left_out.is_power_of_two() {
            warn!(call_id = %self.owner.call, count = self.left_out, "the service reads too slowly, audio dropped");
        }
    }

    fn look_after(&mut self, ctx: &mut Context<Self>) {
        if self.heard.elapsed() > SILENCE {
            self.down("nothing comes from the service any more", false, ctx);
        } else {
            self.send(Message::Ping(Default::default()), false, ctx);
        }
    }

    fn read(&mut self, text: &str, ctx: &mut Context<Self>) {
        match ServerEvent::parse(text) {
            Ok(ServerEvent::Other) => {}
            Ok(event) => self.report(LinkNews::Event(self.cleaned(event)), ctx),
            Err(error) => {
                self.unread += 1;
                if self.unread.is_power_of_two() {
                    warn!(call_id = %self.owner.call, count = self.unread, %error, "not understood");
                }
            }
        }
    }

    /// A service may repeat the key in what it says is wrong.
    fn cleaned(&self, event: ServerEvent) -> ServerEvent {
        match event {
            ServerEvent::Error { ours, code, message } => {
                ServerEvent::Error { ours, code, message: self.clean(&message) }
            }
            ServerEvent::ResponseDone { response, status: ResponseStatus::Failed(why), calls } => {
                ServerEvent::ResponseDone {
                    response,
                    status: ResponseStatus::Failed(self.clean(&why)),
                    calls,
                }
            }
            event => event,
        }
    }

    /// Without the key, and short enough for a line of the log.
    fn clean(&self, text: &str) -> String {
        text.replace(self.settings.key.expose(), "***").chars().take(LONGEST_REASON).collect()
    }
}

impl Actor for RealtimeLink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let attempt = fut::wrap_future::<_, Self>(connect(self.settings.clone()));
        ctx.spawn(attempt.map(|outcome, this, ctx| match outcome {
            Ok(socket) => this.connected(socket, ctx),
            Err(error) => this.down(&error, error.is_refusal(), ctx),
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        debug!(call_id = %self.owner.call, link = self.owner.link, "connection to the service over");
    }
}

impl Handler<LinkOrder> for RealtimeLink {
    type Result = ();

    fn handle(&mut self, order: LinkOrder, ctx: &mut Self::Context) {
        match order {
            LinkOrder::Send(event) => {
                let audio = event.is_audio();
                self.send(Message::Text(event.to_json().into()), audio, ctx);
            }
            LinkOrder::Close => {
                self.over = true;
                // The service learns it by the closing of the socket, or by this if there is room for it.
                if let Some(outbox) = self.outbox.take() {
                    let _ = outbox.try_send(Message::Close(None));
                    ctx.run_later(FAREWELL, |_, ctx| ctx.stop());
                } else {
                    ctx.stop();
                }
            }
        }
    }
}

impl StreamHandler<Result<Message, tungstenite::Error>> for RealtimeLink {
    fn handle(&mut self, message: Result<Message, tungstenite::Error>, ctx: &mut Self::Context) {
        self.heard = Instant::now();
        if self.over {
            return;
        }
        match message {
            Ok(Message::Text(text)) => self.read(Utf8Bytes::as_str(&text), ctx),
            // The library answers pings by itself, with the next write.
            Ok(Message::Ping(_)) => self.send(Message::Pong(Default::default()), true, ctx),
            Ok(Message::Close(frame)) => match frame {
                Some(frame) => self.down(format!("closed by the service: {frame}"), false, ctx),
                None => self.down("closed by the service", false, ctx),
            },
            Ok(_) => {}
            Err(error) => self.down(error, false, ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        self.down("closed by the service", false, ctx);
    }
}

async fn connect(settings: LinkSettings) -> Result<Socket, ConnectError> {
    let mut request = settings.url.as_str().into_client_request()?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", settings.key.expose()))
        .map_err(|_| ConnectError::BadKey)?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let attempt = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
    match timeout(HANDSHAKE, attempt).await.map_err(|_| ConnectError::Late)? {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(refusal(&answer)),
        Err(error) => Err(error.into()),
    }
}

fn refusal(answer: &Response<Option<Vec<u8>>>) -> ConnectError {
    let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let json: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    let message = json.as_ref().and_then(|json| json.pointer("/error/message")?.as_str()).unwrap_or(&body);
    ConnectError::Refused { status: answer.status().as_u16(), message: message.to_owned() }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("no answer within {} seconds", HANDSHAKE.as_secs())]
    Late,
    #[error("OPENAI_API_KEY has characters that cannot stand in a header")]
    BadKey,
    #[error("{status} {message}")]
    Refused { status: u16, message: String },
    #[error(transparent)]
    WebSocket(#[from] tungstenite::Error),
}

impl ConnectError {
    /// Whether the same would be said again. 408 and 429 are about the moment.
    fn is_refusal(&self) -> bool {
        match self {
            ConnectError::BadKey => true,
            ConnectError::Refused { status, .. } => {
                (400..500).contains(status) && !matches!(status, 408 | 429)
            }
            _ => false,
        }
    }
}

/// Writes what is queued, each batch within [`WRITTEN`]. Ends when the queue's other end is gone.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut queue: mpsc::Receiver<Message>,
) -> Result<(), String> {
    while let Some(first) = queue.recv().await {
        match timeout(WRITTEN, write_batch(&mut sink, first, &mut queue)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the service does not read".to_owned()),
        }
    }
    Ok(())
}

const HANDSHAKE: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(15);
/// Time without any message, pongs included, after which the connection is given up.
const SILENCE: Duration = Duration::from_secs(45);
/// Time in which what is queued has to be written.
const WRITTEN: Duration = Duration::from_secs(5);
/// Time for the last frame to leave.
const FAREWELL: Duration = Duration::from_millis(500);
/// Messages that may wait to be written: about five seconds of audio.
const OUTBOX: usize = 256;
/// Orders of audio that may wait to be carried out.
const MAILBOX: usize = 256;
/// Bytes of one message of the service.
const LONGEST: usize = 4 << 20;
const LONGEST_REASON: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_passing_troubles() {
        let refused = |status| ConnectError::Refused { status, message: String::new() }.is_refusal();
        assert_eq!([400, 401, 403, 404].map(refused), [true; 4]);
        assert_eq!([408, 429, 500, 503].map(refused), [false; 4]);
        assert!(!ConnectError::Late.is_refusal() && ConnectError::BadKey.is_refusal());
    }

    #[test]
    fn refusal_says_what_the_service_says() {
        let body = br#"{"error":{"message":"Incorrect API key provided: sk-x.","type":"x"}}"#.to_vec();
        let answer = Response::builder().status(401).body(Some(body)).unwrap();
        assert_eq!(refusal(&answer).to_string(), "401 Incorrect API key provided: sk-x.");
        let answer = Response::builder().status(502).body(None).unwrap();
        assert_eq!(refusal(&answer).to_string(), "502 ");
    }
}
