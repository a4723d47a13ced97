//! `MediaStream` is one WebSocket of a provider, and the one call that it carries.
//!
//! In: messages of the socket, orders of the program or the relay that has the call. Out: messages to the socket, the caller's
//! audio and keys to who has the call. What a message means is [`stream::Session`]'s part, when a program's audio goes out
//! [`Playout`]'s, who may have a stream [`Gate`]'s. It waits for nobody: a side that does not read fills a bounded queue.
//!
//! ```text
//!   socket ──▶ handshake ──start──▶ up ──stop, close, socket gone──▶ over ──socket gone──▶ the actor stops
//!                  └──── 10 s, another first message, no token ───────▲
//! ```

mod caller_leg;
mod ending;
mod inbox;
mod playout;
mod program;
mod relayed;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, StreamHandler};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use model::call::EndLabel;
use stream::{Event, Provider, Session, StreamError, StreamInfo};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

pub use self::inbox::Outlet;
use self::{
    caller_leg::CallerLeg,
    inbox::Inbox,
    playout::{Due, Playout},
    program::{Done, Ends, Outgoing, Program},
};
use super::{
    AwakeGuard, SipTransport, SipTransportError,
    calls::{ActiveCall, Facts},
    gate::{Gate, Parties, Place, Refusal, Registered, Signed},
    handler,
    rest::Hangup,
    transport::{Link, MarkOutcome, Metadata, TransportEvent, WeakTransport},
};
use crate::{
    logging::Pii,
    metrics::Present,
    relay::{
        io::{Alarm, AlarmRang},
        message::AudioMessage,
        outbox::{CloseReason, Outbox},
        socket::{FromSocket, Socket, Terms},
    },
};

/// What a program orders of its call.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum Order {
    /// To be heard.
    Audio {
        /// Whole samples of canonical PCM.
        pcm: Bytes,
        /// Answered when the program may go on.
        done: Done,
    },
    /// A mark behind what was ordered so far.
    Mark {
        /// Its name.
        name: String,
        /// What becomes of it.
        reached: oneshot::Sender<MarkOutcome>,
        /// Whether it is taken.
        done: Done,
    },
    /// What was not heard is not to be.
    Clear {
        /// Done.
        done: oneshot::Sender<()>,
    },
    /// Hang up.
    Close {
        /// How that went. `None`: nobody has the call any more.
        done: Option<oneshot::Sender<Hangup>>,
    },
}

/// See the module's documentation.
pub struct MediaStream {
    gate: Arc<Gate>,
    session: Session,
    outbox: Outbox,
    alarm: Alarm,
    place: Place,
    signed: Signed,
    source: SocketAddr,
    phase: Phase,
    /// The socket is.
    gone: bool,
    /// The provider is being told to end the call.
    telling: bool,
    _registered: Option<Registered>,
}

/// Where a stream is in its life.
enum Phase {
    /// No `start` yet.
    Handshake,
    /// A call.
    Up(Box<Up>),
    /// Nothing more is said. Who wants to know how the hang-up went waits.
    Over(Vec<oneshot::Sender<Hangup>>),
}

/// A call that is up.
struct Up {
    info: StreamInfo,
    user: User,
    call: ActiveCall,
    _present: Present,
    _awake: AwakeGuard,
}

/// Who has a call.
enum User {
    /// A program of this process.
    Program(Box<Program>),
    /// The relay.
    Relay(Box<CallerLeg>),
}

impl User {
    fn program(&mut self) -> Option<&mut Program> {
        match self {
            User::Program(program) => Some(program),
            User::Relay(_) => None,
        }
    }

    /// When something is to be sent; the relay says so itself.
    fn deadline(&self) -> Option<Instant> {
        match self {
            User::Program(program) => program.deadline(),
            User::Relay(_) => None,
        }
    }
}

impl MediaStream {
    /// Upgrades a request and serves its stream until the socket is gone.
    pub fn serve(
        gate: &Arc<Gate>,
        request: &HttpRequest,
        payload: web::Payload,
        signed: Signed,
        place: Place,
    ) -> Result<HttpResponse, actix_web::Error> {
        let metrics = &gate.metrics.gateway;
        let outbox = Outbox::new(OUTBOX, None).counted_by(&metrics.outbox_drops);
        let connection = metrics.connected();
        let stream = Self {
            session: Session::new(Instant::now(), gate.session.clone()),
            gate: gate.clone(),
            outbox: outbox.clone(),
            alarm: Alarm::new(),
            place,
            signed,
            source: request.peer_addr().unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into()),
            phase: Phase::Handshake,
            gone: false,
            telling: false,
            _registered: None,
        };
        let terms = Terms { max_message: MAX_MESSAGE, protocols: &[], too_big: "message over 65536 bytes" };
        Socket::upgrade(request, payload, stream.start().recipient(), outbox, terms, connection)
    }

    /// Takes one text message of the provider.
    fn message(&mut self, text: &str, ctx: &mut Context<Self>) {
        self.gate.metrics.gateway.received.inc();
        let result = self.session.handle_text(Instant::now(), text);
        self.judge(result, ctx);
        self.drain(ctx);
    }

    /// What is wrong with the stream, if anything. A fatal error ends it.
    fn judge(&mut self, result: Result<(), StreamError>, ctx: &mut Context<Self>) {
        let Err(error) = result else { return };
        if !error.is_fatal() || matches!(self.phase, Phase::Over(_)) {
            return debug!(%error, "message of a provider");
        }
        let (label, reason) = match &error {
            StreamError::ProviderDetection { .. } => ("not-recognized", CloseReason::Refused),
            StreamError::ProviderConnection(stream::HandshakeError::Timeout { .. }) => {
                ("timeout", CloseReason::Idle)
            }
            StreamError::ProviderConnection(_) => ("not-a-start", CloseReason::Refused),
            StreamError::Idle { .. } => ("idle", CloseReason::Idle),
            StreamError::Malformed { .. } | StreamError::Message(_) => ("malformed", CloseReason::Refused),
        };
        self.gate.metrics.gateway.refused(label);
        warn!("media stream: {}", of_stream(&error));
        self.tell_end(EndLabel::ProtocolError);
        self.fail(reason, ctx);
    }

    /// Carries out everything that the session and the playout queue have, and sets the alarm for what comes.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        while let Some(event) = self.session.poll() {
            self.event(event, ctx);
        }
        self.play(ctx);
        let playout = match &self.phase {
            Phase::Up(up) => up.user.deadline(),
            Phase::Handshake | Phase::Over(_) => None,
        };
        self.alarm.set([self.session.deadline(), playout].into_iter().flatten().min());
    }

    fn event(&mut self, event: Event, ctx: &mut Context<Self>) {
        if let Event::Started(info) = event {
            return self.begin(*info, ctx);
        }
        let is_over = self.session.is_over();
        let Phase::Up(up) = &mut self.phase else { return };
        match event {
            Event::Media { payload, timestamp } => {
                up.call.chunks.received.fetch_add(1, Ordering::Relaxed);
                match &mut up.user {
                    User::Program(program) => program.hear(&payload),
                    User::Relay(leg) => leg.hear(payload, timestamp),
                }
            }
            Event::Dtmf { digit } => match &mut up.user {
                User::Program(program) => program.happens(TransportEvent::Dtmf { digit }),
                User::Relay(leg) => leg.digit(digit),
            },
            Event::Mark { name, outcome } => {
                let outcome = match outcome {
                    stream::MarkOutcome::Played => MarkOutcome::Played,
                    stream::MarkOutcome::Cleared if is_over => MarkOutcome::Lost,
                    stream::MarkOutcome::Cleared => MarkOutcome::Cleared,
                };
                match &mut up.user {
                    User::Program(program) => program.marked(&name, outcome),
                    User::Relay(_) if name == relayed::LAST => self.hang_up(None, ctx),
                    User::Relay(_) => {}
                }
            }
            Event::Error { code, detail } => {
                warn!(stream = up.info.stream_id, code, detail, "the provider reports a fault");
                let text = [code.unwrap_or_default(), detail].join(" ").trim().to_owned();
                if let User::Program(program) = &up.user {
                    program.happens(TransportEvent::ProviderError { text });
                }
            }
            Event::Stopped => self.stopped(ctx),
            Event::Started(_) => {}
        }
    }

    /// `start` came: the stream is somebody's call, or is refused.
    fn begin(&mut self, info: StreamInfo, ctx: &mut Context<Self>) {
        self.place.handshake = None;
        let parties = match self.gate.begin(Instant::now(), &info, self.signed) {
            Ok(parties) => parties,
            Err(refusal) => return self.refuse(&refusal),
        };
        let config = self.gate.router.lookup(&parties.did);
        info!(
            stream = info.stream_id,
            provider = info.provider.name(),
            caller = %Pii(&parties.caller_id),
            did = %Pii(&parties.did),
            configured = config.is_some(),
            "media stream begins"
        );
        let user = match &self.gate.handler {
            handler::Handler::Program(on_session) => {
                Program::new(&info, &self.gate.metrics.gateway).map(|made| {
                    let (program, Ends { audio, events, connected }) = made;
                    let (orders, metadata) = (ctx.address().recipient(), metadata(&info, &parties));
                    let transport = SipTransport::new(Link { orders, audio, events, connected, metadata });
                    let weak = transport.downgrade();
                    // Not a future of this actor: the program may go on when the call is over.
                    actix::spawn(attend(on_session(transport, config), weak, self.gate.clone()));
                    User::Program(Box::new(program))
                })
            }
            handler::Handler::Relay(switchboard) => {
                let own = (ctx.address().recipient(), ctx.address().recipient());
                CallerLeg::new(&info, &parties, self.source, own).map(|(leg, incoming)| {
                    switchboard.do_send(incoming);
                    User::Relay(Box::new(leg))
                })
            }
        };
        let user = match user {
            Ok(user) => user,
            Err(error) => {
                self.gate.metrics.gateway.refused("not-a-start");
                warn!("media stream refused: {error}");
                return self.end(CloseReason::Refused);
            }
        };
        let facts = Facts {
            stream_id: info.stream_id.clone(),
            provider: info.provider.name(),
            caller_id: parties.caller_id,
            did: parties.did,
        };
        let present = self.gate.metrics.gateway.stream(info.provider.name());
        let call = self.gate.calls.begin(facts);
        let awake = self.gate.awake.hold();
        self.phase = Phase::Up(Box::new(Up { info, user, call, _present: present, _awake: awake }));
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.gate.metrics.gateway.refused(refusal.label());
        warn!("media stream refused: {refusal}");
        self.end(CloseReason::Refused);
    }

    /// Sends what is due of what a program wants to be heard.
    fn play(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        loop {
            let Phase::Up(up) = &mut self.phase else { return };
            let User::Program(program) = &mut up.user else { return };
            let Some(outgoing) = program.poll(now) else { return };
            match outgoing {
                Outgoing::Payload(payload) => self.send_audio(&payload),
                Outgoing::Mark(name) => match self.session.mark(&name) {
                    Ok(text) => self.send(text, ctx),
                    Err(_) => program.marked(&name, MarkOutcome::Lost),
                },
            }
        }
    }

    fn send_audio(&mut self, payload: &[u8]) {
        let Phase::Up(up) = &self.phase else { return };
        let Some(text) = self.session.media(payload) else { return };
        up.call.chunks.sent.fetch_add(1, Ordering::Relaxed);
        self.gate.metrics.gateway.sent.inc();
        self.outbox.audio(AudioMessage::Text(text.into()));
    }

    fn send(&mut self, text: String, ctx: &mut Context<Self>) {
        self.gate.metrics.gateway.sent.inc();
        if self.outbox.signal(text).is_err() {
            warn!("the provider reads nothing: its queue is full");
            self.tell_end(EndLabel::Unreachable);
            self.fail(CloseReason::TooSlow, ctx);
        }
    }

    /// What was not heard is not to be, here and at the provider.
    fn clear(&mut self, ctx: &mut Context<Self>) {
        self.outbox.drop_audio();
        if let Some(text) = self.session.clear(Instant::now()) {
            self.send(text, ctx);
        }
    }
}

/// Waits for the program that has a call; one that fails has its call ended.
async fn attend(work: handler::SessionFuture, transport: WeakTransport, gate: Arc<Gate>) {
    let Err(error) = work.await else { return };
    match error {
        SipTransportError::CallRejected(reason) => {
            gate.metrics.gateway.refused("rejected");
            info!(reason, "the program rejects the call");
        }
        error => warn!(%error, "the program that has the call fails"),
    }
    // One that is gone has hung up.
    if let Some(transport) = transport.upgrade() {
        transport.close().await;
    }
}

fn metadata(info: &StreamInfo, parties: &Parties) -> Metadata {
    let mut metadata = Metadata::from([
        ("transport", "sip".to_owned()),
        ("provider", info.provider.name().to_owned()),
        ("caller_id", parties.caller_id.clone()),
        ("did", parties.did.clone()),
        ("call_sid", info.call_id.clone()),
        ("stream_id", info.stream_id.clone()),
    ]);
    match info.provider {
        Provider::Telnyx => metadata.insert("call_control_id", info.call_id.clone()),
        Provider::Twilio => metadata.insert("account_sid", info.account.clone().unwrap_or_default()),
    };
    metadata
}

/// What the user of the gateway is told of an error of a stream.
fn of_stream(error: &StreamError) -> SipTransportError {
    match error {
        StreamError::ProviderDetection { .. } => SipTransportError::ProviderDetection(error.to_string()),
        error => SipTransportError::ProviderConnection(error.to_string()),
    }
}

impl Drop for MediaStream {
    /// After a panic, too: the socket must not outlive its stream.
    fn drop(&mut self) {
        self.outbox.close(CloseReason::Done);
    }
}

impl Actor for MediaStream {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.add_stream(self.alarm.stream());
        self._registered = Some(self.gate.streams.register(ctx.address().recipient()));
        self.drain(ctx);
    }
}

impl Handler<FromSocket> for MediaStream {
    type Result = ();

    fn handle(&mut self, message: FromSocket, ctx: &mut Context<Self>) {
        match message {
            FromSocket::Text(text) => self.message(&text, ctx),
            // Neither provider sends any; it counts as a message that is not understood.
            FromSocket::Binary(_) => self.message("", ctx),
            FromSocket::Gone => {
                self.gone = true;
                self.session.handle_close();
                self.drain(ctx);
                if !self.telling {
                    ctx.stop();
                }
            }
        }
    }
}

impl StreamHandler<AlarmRang> for MediaStream {
    fn handle(&mut self, _: AlarmRang, ctx: &mut Context<Self>) {
        let result = self.session.handle_timeout(Instant::now());
        self.judge(result, ctx);
        self.drain(ctx);
    }
}

impl Handler<Order> for MediaStream {
    type Result = ();

    fn handle(&mut self, order: Order, ctx: &mut Context<Self>) {
        let program = match &mut self.phase {
            Phase::Up(up) => up.user.program(),
            Phase::Handshake | Phase::Over(_) => None,
        };
        match (order, program) {
            (Order::Close { done }, _) => self.hang_up(done, ctx),
            (Order::Audio { pcm, done }, Some(program)) => program.say(Instant::now(), pcm, done),
            (Order::Mark { name, reached, done }, Some(program)) => program.mark(name, reached, done),
            (Order::Clear { done }, Some(program)) => {
                program.clear();
                self.clear(ctx);
                // A program that does not wait for the answer does not get it.
                let _ = done.send(());
            }
            // Dropping what is to be answered says that the call is over.
            (_, None) => {}
        }
        self.drain(ctx);
    }
}

/// Messages that may wait for a provider that does not read: the lead of the playout queue, and marks.
const OUTBOX: usize = 1_000;
/// The largest message of a provider, bytes. Theirs have a few hundred.
const MAX_MESSAGE: usize = 64 << 10;
/// Messages of one socket that may wait to be handled.
const MAILBOX: usize = 64;
