//! `WsClient` is one WebSocket client: it reads commands, writes events, and decides which calls' audio the client gets.
//!
//! In: messages of the socket, [`ClientEvent`] from the switchboard, [`CallerAudio`] from sessions. Out: lines to the
//! [`outbox`], commands to calls and to the switchboard. It never waits for its socket: a client that does not read
//! fills a bounded queue and nothing else.

mod calls;
mod commands;
mod frame_guard;
pub(crate) mod outbox;
mod session;
pub(crate) mod socket;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use actix_web::{HttpRequest, HttpResponse, web};
use model::{command::Mode, event::Event, id::CallId};
use tracing::{debug, info, warn};

pub use self::{calls::Calls, outbox::Backlog};
use self::{
    calls::KnownCall,
    outbox::{CloseReason, Outbox},
    socket::{FromSocket, Socket, Terms},
};
use super::{
    http::Slot,
    message::{
        AudioForm, AudioMessage, CallerAudio, ClientEvent, ClientId, Connect, Disconnect, HandOver, Inherit,
        Listen, Listener, PassedOn, PlaceCall, RtpForm, SessionClaim, TransferCall,
    },
};
use crate::metrics::Metrics;

/// What every client of a relay has in common.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The mode of a client that does not ask for one.
    pub mode: Mode,
    /// Messages that may wait for one client.
    pub send_queue: usize,
    /// Messages of one client that may wait to be carried out.
    pub receive_queue: usize,
    /// The largest message, bytes.
    pub max_message: usize,
    /// How long a session waits for its client to come back.
    pub resume_window: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What a client asked for when it connected.
#[derive(Debug, Clone, Default)]
pub struct ClientRequest {
    /// Which words and which RTP form it gets.
    pub mode: Mode,
    /// How audio travels in multi mode.
    pub audio: AudioForm,
    /// The session to open or to resume; multi only.
    pub session: Option<String>,
    /// How many messages of that session it has received.
    pub received: Option<u64>,
}

/// The switchboard, as a client sees it.
#[derive(Debug, Clone)]
pub struct SwitchboardPort {
    /// Here I am.
    pub connect: Recipient<Connect>,
    /// I am gone.
    pub disconnect: Recipient<Disconnect>,
    /// CALL.
    pub place: Recipient<PlaceCall>,
    /// TRANSFER.
    pub transfer: Recipient<TransferCall>,
}

/// See the module's documentation.
pub struct WsClient {
    id: ClientId,
    mode: Mode,
    request: ClientRequest,
    settings: ClientSettings,
    switchboard: SwitchboardPort,
    outbox: Outbox,
    calls: Calls,
    audio: Option<Recipient<CallerAudio>>,
    /// Audio of calls of which the predecessor still passes some on, which goes first.
    behind: HashMap<CallId, Vec<AudioMessage>>,
    phase: Phase,
    refused_audio: u64,
    _slot: Slot,
}

/// Where a client is in its life.
enum Phase {
    /// Connected.
    Live,
    /// Connected, and another connection's inheritance is on its way: events wait behind it.
    Inheriting(VecDeque<ClientEvent>),
    /// Disconnected, and its session waits for another connection.
    Detached,
    /// Another connection has taken the session: audio that still arrives here goes there.
    HandedOver(Recipient<PassedOn>),
}

impl WsClient {
    /// A client that holds one of the connections' slots until it is gone.
    pub fn new(
        id: ClientId,
        request: ClientRequest,
        settings: &ClientSettings,
        switchboard: SwitchboardPort,
        slot: Slot,
    ) -> Self {
        let memory = request.session.as_ref().map(|_| settings.resume_window);
        let outbox = Outbox::new(settings.send_queue, memory)
            .counted_by(&settings.metrics.drops.client_outbox)
            .counting_from(request.received.unwrap_or(0));
        Self {
            id,
            mode: request.mode,
            outbox,
            request,
            settings: settings.clone(),
            switchboard,
            calls: Calls::default(),
            audio: None,
            behind: HashMap::new(),
            phase: Phase::Live,
            refused_audio: 0,
            _slot: slot,
        }
    }

    /// Upgrades an HTTP request and serves its client until the connection ends.
    pub fn serve(
        self,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<HttpResponse, actix_web::Error> {
        let outbox = self.outbox.clone();
        let terms = Terms {
            max_message: self.settings.max_message,
            protocols: &[SUBPROTOCOL],
            too_big: "message over WS_MAX_MESSAGE_BYTES",
        };
        let connection = self.settings.metrics.clients.connected();
        Socket::upgrade(request, payload, self.start().recipient(), outbox, terms, connection)
    }

    /// How audio travels on this connection, both ways.
    fn audio_form(&self) -> AudioForm {
        if self.mode == Mode::Multi { self.request.audio } else { AudioForm::default() }
    }

    fn say(&mut self, event: &Event, ctx: &mut Context<Self>) {
        if let Event::Error { status, .. } | Event::CallFailed { status, call: None, .. } = event {
            self.settings.metrics.clients.command_refused(*status);
        }
        let Some(line) = event.line(self.mode) else { return };
        if self.outbox.signal(line).is_err() {
            warn!(client = self.id.0, "client reads nothing: its queue is full of signalling");
            self.outbox.close(CloseReason::TooSlow);
            ctx.stop();
        }
    }

    /// A command that cannot be carried out: an `ERROR` in multi, a log line elsewhere. Nothing else changes.
    fn refuse(&mut self, status: u16, text: &'static str, verb: &'static str, ctx: &mut Context<Self>) {
        info!(client = self.id.0, status, verb, "command refused: {text}");
        self.say(&Event::Error { status, text: text.into(), verb: verb.into() }, ctx);
    }

    fn no_such_call(&mut self, verb: &'static str, ctx: &mut Context<Self>) {
        self.refuse(481, "Call Does Not Exist", verb, ctx);
    }

    fn event(&mut self, event: Event, ctx: &mut Context<Self>) {
        if let Event::Bye { call } = &event {
            self.release(call);
        }
        self.say(&event, ctx);
        match &event {
            Event::RingAns { call, .. } => self.calls.ringing(call),
            Event::CallAns { call } => self.listen_after(ctx, |calls| calls.up(call)),
            Event::Bye { call } | Event::RingIgnore { call } | Event::CallFailed { call: Some(call), .. } => {
                self.over(call, ctx);
            }
            _ => {}
        }
    }

    /// The next focus is announced before its audio.
    fn over(&mut self, call: &CallId, ctx: &mut Context<Self>) {
        let next = self.calls.over(call, Instant::now());
        if let Some(call) = next.filter(|_| self.mode != Mode::Multi) {
            self.say(&Event::CallAns { call }, ctx);
            self.listen(None, ctx);
        }
    }

    /// Changes something about the calls, then tells each session that the client hears now.
    fn listen_after(&mut self, ctx: &mut Context<Self>, change: impl FnOnce(&mut Calls)) {
        let ids = |calls: &Calls, mode| -> HashSet<CallId> {
            calls.heard(mode).iter().map(|call| call.handle.id.clone()).collect()
        };
        let before = ids(&self.calls, self.mode);
        change(&mut self.calls);
        let after = ids(&self.calls, self.mode);
        for call in before.difference(&after).filter_map(|id| self.calls.get(id)) {
            call.handle.listeners.do_send(Listen::Off(self.id));
        }
        self.listen_to(|call| !before.contains(&call.handle.id), None, ctx);
    }

    /// Listens to each call that the client hears, in place of another connection where there was one.
    fn listen(&mut self, replaces: Option<ClientId>, ctx: &mut Context<Self>) {
        self.listen_to(|_| true, replaces, ctx);
    }

    /// Queues a frame for the client.
    fn hear(&mut self, call: &CallId, frame: AudioMessage) {
        // It may have been on its way while the focus moved or the call ended.
        let heard = match self.mode {
            Mode::Multi => self.calls.get(call).is_some(),
            Mode::Classic | Mode::Hex => self.calls.focus() == Some(call),
        };
        if heard {
            self.outbox.audio(frame);
        }
    }

    fn listen_to(
        &mut self,
        which: impl Fn(&KnownCall) -> bool,
        replaces: Option<ClientId>,
        ctx: &mut Context<Self>,
    ) {
        let form = match self.mode {
            Mode::Classic => RtpForm::Classic,
            Mode::Hex => RtpForm::Hex,
            Mode::Multi => RtpForm::Multi(self.request.audio),
        };
        let audio = self.audio.get_or_insert_with(|| ctx.address().recipient());
        for call in self.calls.heard(self.mode).into_iter().filter(|call| which(call)) {
            let listener = Listener { client: self.id, replaces, form, audio: audio.clone() };
            call.handle.listeners.do_send(Listen::On(listener));
        }
    }
}

impl Actor for WsClient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(self.settings.receive_queue.max(MAILBOX));
        let address = ctx.address();
        let session = self.request.session.clone().map(|name| SessionClaim {
            name,
            hand_over: address.clone().recipient(),
            inherit: address.clone().recipient(),
            audio: address.clone().recipient(),
        });
        let (client, events) = (self.id, address.recipient());
        self.switchboard.connect.do_send(Connect { client, events, session, inside: None, beside: false });
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        for call in self.calls.heard(self.mode) {
            call.handle.listeners.do_send(Listen::Off(self.id));
        }
        debug!(client = self.id.0, dropped = self.outbox.dropped(), "client closed");
    }
}

impl Drop for WsClient {
    fn drop(&mut self) {
        self.switchboard.disconnect.do_send(Disconnect(self.id));
    }
}

impl Handler<FromSocket> for WsClient {
    type Result = ();

    fn handle(&mut self, message: FromSocket, ctx: &mut Context<Self>) {
        match message {
            FromSocket::Text(line) => self.line(&line, ctx),
            FromSocket::Binary(message) => self.binary(message, ctx),
            FromSocket::Gone => self.detach(ctx),
        }
    }
}

impl Handler<ClientEvent> for WsClient {
    type Result = ();

    fn handle(&mut self, event: ClientEvent, ctx: &mut Context<Self>) {
        self.told(event, ctx);
    }
}

impl Handler<HandOver> for WsClient {
    type Result = ();

    fn handle(&mut self, hand_over: HandOver, ctx: &mut Context<Self>) {
        self.hand_over(hand_over, ctx);
    }
}

impl Handler<Inherit> for WsClient {
    type Result = ();

    fn handle(&mut self, inherit: Inherit, ctx: &mut Context<Self>) {
        self.inherit(inherit, ctx);
    }
}

impl Handler<CallerAudio> for WsClient {
    type Result = ();

    fn handle(&mut self, audio: CallerAudio, _: &mut Context<Self>) {
        if let Phase::HandedOver(successor) = &self.phase {
            return successor.do_send(PassedOn(audio));
        }
        match (audio.frame, self.behind.get_mut(&audio.call)) {
            (Some(frame), None) => self.hear(&audio.call, frame),
            (Some(frame), Some(behind)) => behind.push(frame),
            (None, _) => self.release(&audio.call),
        }
    }
}

impl Handler<PassedOn> for WsClient {
    type Result = ();

    fn handle(&mut self, PassedOn(audio): PassedOn, _: &mut Context<Self>) {
        if let Phase::HandedOver(successor) = &self.phase {
            return successor.do_send(PassedOn(audio));
        }
        match audio.frame {
            Some(frame) => self.hear(&audio.call, frame),
            None => self.release(&audio.call),
        }
    }
}

/// The WebSocket sub-protocol that selects multi mode.
pub const SUBPROTOCOL: &str = "sip-relay.multi";
/// Frames that may wait for this actor's turn: a burst of several from each of a thousand calls after a stall. What waits
/// for the peer is bounded by the outbox.
const MAILBOX: usize = 8192;
