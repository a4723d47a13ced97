//! `WsClient` owns the connection to the relay: it connects, connects again, reads and writes.
//!
//! In: [`Say`]. Out: [`Line`], [`Signal`], [`CallerAudio`]. Knows nothing of what is said in a call.
//!
//! ```text
//! connecting ──handshake──▶ up ──closed, silent, stuck──▶ waiting (1, 2, 4 .. 30 s) ──▶ connecting
//! ```
//!
//! All connections are one session of the relay (docs/protocol.md, "Resuming a session"): it keeps what happens meanwhile,
//! and what is to be said meanwhile is kept here.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, SpawnHandle, StreamHandler, fut,
};
use futures_util::{StreamExt, stream::SplitStream};
use model::{
    command::{AgentPayload, Command},
    event::{EventError, write_rtp_binary},
    mode::AgentCodec,
};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::{
    self, Message, Utf8Bytes,
    client::IntoClientRequest,
    error::ProtocolError,
    http::{HeaderValue, header},
    protocol::WebSocketConfig,
};
use tracing::{debug, error, info, warn};

use super::{
    message::{CallerAudio, Line, Say, Signal},
    wire::{Incoming, Wire},
};
use crate::{
    config::Secret,
    metrics::CallCenterMetrics,
    relay::SUBPROTOCOL,
    ws_writer::{self, Socket},
};

/// Where the relay is, and how to treat the connection.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// `ws://` or `wss://`, without a query.
    pub url: String,
    /// What the relay wants to see.
    pub token: Option<Secret>,
    /// Whether to connect again.
    pub reconnect: bool,
    /// What RTP messages hold, both directions; as raw bytes unless it is PCM.
    pub codec: AgentCodec,
    /// The name of the session, which nobody else knows.
    pub session: String,
}

/// Who hears what the relay says.
#[derive(Debug)]
pub struct Audience {
    /// The connection's state.
    pub line: Recipient<Line>,
    /// Signalling.
    pub signals: Recipient<Signal>,
    /// Audio; kept, so that its mailbox bounds it.
    pub audio: Recipient<CallerAudio>,
}

/// The actor. It ends the program by dropping `ended`'s counterpart when it may not connect again.
pub struct WsClient {
    settings: ClientSettings,
    audience: Audience,
    metrics: Arc<CallCenterMetrics>,
    ended: Option<oneshot::Sender<()>>,
    connection: Option<Connection>,
    back_off: Duration,
    /// Messages of the session that were received, over all connections.
    received: u64,
    /// What is to be said while there is no connection.
    kept: VecDeque<(Instant, Message)>,
    lost_audio: u64,
}

struct Connection {
    wire: Wire,
    outbox: mpsc::Sender<Message>,
    reader: SpawnHandle,
    writer: SpawnHandle,
    heard: Instant,
}

impl WsClient {
    /// A client that connects when it is started. `ended` fires when it has given up.
    pub fn new(
        settings: ClientSettings,
        audience: Audience,
        metrics: Arc<CallCenterMetrics>,
        ended: oneshot::Sender<()>,
    ) -> Self {
        Self {
            settings,
            audience,
            metrics,
            ended: Some(ended),
            connection: None,
            back_off: FIRST_BACK_OFF,
            received: 0,
            kept: VecDeque::new(),
            lost_audio: 0,
        }
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        let attempt = fut::wrap_future(connect(self.settings.clone(), self.received));
        ctx.spawn(attempt.map(|outcome, this: &mut Self, ctx| match outcome {
            Ok((socket, multi)) => this.connected(socket, multi, ctx),
            Err(error) => {
                error!(url = %this.settings.url, %error, "cannot connect to the relay");
                this.again(ctx);
            }
        }));
    }

    fn connected(&mut self, socket: Socket, multi: bool, ctx: &mut Context<Self>) {
        info!(url = %self.settings.url, multi, "connected to the relay");
        let (sink, stream): (_, SplitStream<Socket>) = socket.split();
        let (outbox, queue) = mpsc::channel(OUTBOX);
        let reader = ctx.add_stream(stream);
        let writer = ctx.spawn(fut::wrap_future(ws_writer::write(sink, queue)).map(|_, _: &mut Self, _| ()));
        self.back_off = FIRST_BACK_OFF;
        self.metrics.connected.set(1);
        self.metrics.connections.inc();
        self.audience.line.do_send(Line::Up { multi });
        let wire = Wire::new(multi).with_codec(self.settings.codec);
        self.connection = Some(Connection { wire, outbox, reader, writer, heard: Instant::now() });
        for (since, message) in std::mem::take(&mut self.kept) {
            if since.elapsed() < WORTH_SAYING {
                self.send(message, ctx);
            }
        }
    }

    fn lost(&mut self, why: &str, ctx: &mut Context<Self>) {
        let Some(connection) = self.connection.take() else { return };
        warn!(why, "connection to the relay lost");
        self.metrics.connected.set(0);
        ctx.cancel_future(connection.reader);
        ctx.cancel_future(connection.writer);
        self.audience.line.do_send(Line::Down);
        self.again(ctx);
    }

    /// Connects again later, or gives up.
    fn again(&mut self, ctx: &mut Context<Self>) {
        if !self.settings.reconnect {
            error!("CALL_CENTER_RECONNECT=0: the call center ends");
            if let Some(ended) = self.ended.take() {
                // Nobody listens any more when the program ends anyway.
                let _ = ended.send(());
            }
            return;
        }
        let wait = self.back_off;
        self.back_off = (wait * 2).min(LAST_BACK_OFF);
        info!(seconds = wait.as_secs(), "connecting again");
        ctx.run_later(wait, |this, ctx| this.connect(ctx));
    }

    fn read(&mut self, read: impl FnOnce(&mut Wire) -> Result<Incoming, EventError>) {
        let Some(connection) = &mut self.connection else { return };
        match read(&mut connection.wire) {
            Ok(Incoming::Signal(event)) => self.audience.signals.do_send(Signal(event)),
            Ok(Incoming::Audio(call, audio)) => {
                if self.audience.audio.try_send(CallerAudio { call, audio }).is_err() {
                    self.lost_audio += 1;
                    self.metrics.dropped_audio.inc();
                    if self.lost_audio.is_power_of_two() {
                        warn!(count = self.lost_audio, "too busy, audio of callers dropped");
                    }
                }
            }
            Ok(Incoming::Nothing) => {}
            Err(error) => debug!(%error, "not understood"),
        }
    }

    fn send(&mut self, message: Message, ctx: &mut Context<Self>) {
        let Some(connection) = &self.connection else { return self.keep(message) };
        if connection.outbox.try_send(message).is_err() {
            self.lost("the relay does not read", ctx);
        }
    }

    /// Keeps what cannot be said yet; the latest, where it is too much.
    fn keep(&mut self, message: Message) {
        self.kept.push_back((Instant::now(), message));
        if self.kept.len() > MOST_KEPT {
            self.kept.pop_front();
        }
    }

    fn look_after(&mut self, ctx: &mut Context<Self>) {
        let Some(connection) = &self.connection else { return };
        if connection.heard.elapsed() > SILENCE {
            self.lost("nothing comes any more", ctx);
        } else {
            self.send(Message::Ping(Default::default()), ctx);
        }
    }
}

impl Actor for WsClient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.connect(ctx);
        ctx.run_interval(PING, Self::look_after);
    }
}

impl Handler<Say> for WsClient {
    type Result = ();

    fn handle(&mut self, Say(command): Say, ctx: &mut Self::Context) {
        self.send(message(&command), ctx);
    }
}

impl StreamHandler<Result<Message, tungstenite::Error>> for WsClient {
    fn handle(&mut self, message: Result<Message, tungstenite::Error>, ctx: &mut Self::Context) {
        if let Some(connection) = &mut self.connection {
            connection.heard = Instant::now();
        }
        if matches!(message, Ok(Message::Text(_) | Message::Binary(_))) {
            self.received += 1;
        }
        match message {
            Ok(Message::Text(line)) => self.read(|wire| wire.read(Utf8Bytes::as_str(&line))),
            Ok(Message::Binary(message)) => self.read(|wire| wire.read_binary(message)),
            // The library answers pings by itself, with the next write.
            Ok(Message::Ping(_)) => self.send(Message::Pong(Default::default()), ctx),
            Ok(_) => {}
            Err(error) => self.lost(&error.to_string(), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        self.lost("closed by the relay", ctx);
    }
}

/// Payload for a call travels as raw bytes, everything else as text.
fn message(command: &Command) -> Message {
    match command {
        Command::Rtp { call: Some(call), audio: AgentPayload::Payload { payload, .. } } => {
            let mut bytes = Vec::new();
            write_rtp_binary(call, payload, &mut bytes);
            Message::Binary(bytes.into())
        }
        command => Message::Text(command.to_string().into()),
    }
}

/// Connects with multi mode asked for; `false` when the relay knows no such thing.
async fn connect(settings: ClientSettings, received: u64) -> Result<(Socket, bool), ConnectError> {
    match open(&settings, Some(received)).await {
        Err(ConnectError::WebSocket(error)) if is_about_the_subprotocol(&error) => {
            open(&settings, None).await.map(|socket| (socket, false))
        }
        outcome => outcome.map(|socket| (socket, true)),
    }
}

fn is_about_the_subprotocol(error: &tungstenite::Error) -> bool {
    matches!(error, tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)))
}

/// `received`: how many messages of the session were received; `None`: without multi mode, and so without a session.
async fn open(settings: &ClientSettings, received: Option<u64>) -> Result<Socket, ConnectError> {
    let mut url = format!("{}/?mode=multi", settings.url);
    if settings.codec != AgentCodec::Pcm {
        url.push_str(&format!("&codec={}&frames=binary", settings.codec));
    }
    if let Some(received) = received {
        url.push_str(&format!("&session={}&received={received}", settings.session));
    }
    let mut request = url.into_client_request()?;
    if received.is_some() {
        let name = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    if let Some(token) = &settings.token {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| ConnectError::BadToken)?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let attempt = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
    let (socket, _) = tokio::time::timeout(HANDSHAKE, attempt).await.map_err(|_| ConnectError::Late)??;
    Ok(socket)
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("no answer within {} seconds", HANDSHAKE.as_secs())]
    Late,
    #[error("WS_TOKEN has characters that cannot stand in a header")]
    BadToken,
    #[error(transparent)]
    WebSocket(#[from] tungstenite::Error),
}

const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LAST_BACK_OFF: Duration = Duration::from_secs(30);
const HANDSHAKE: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(3);
/// Time without any message, pongs included, after which the connection is given up: soon enough for the session to wait.
const SILENCE: Duration = Duration::from_secs(10);
/// Time after which nothing that was to be said makes sense any more.
const WORTH_SAYING: Duration = Duration::from_secs(10);
/// Messages that are kept until there is a connection.
const MOST_KEPT: usize = 2048;
/// Messages that may wait to be written.
const OUTBOX: usize = 4096;
/// Bytes of one message.
const LONGEST: usize = 16 << 20;
