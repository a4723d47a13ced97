//! `WsClient` is one WebSocket client: it reads commands, writes events, and decides which calls' audio the client gets.
//!
//! In: messages of the socket, [`ClientEvent`] from the switchboard, [`CallerAudio`] from sessions. Out: lines to the
//! [`outbox`], commands to calls and to the switchboard. It never waits for its socket: a client that does not read
//! fills a bounded queue and nothing else.

mod calls;
mod outbox;
mod socket;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use actix_web::{HttpRequest, HttpResponse, web};
use bytestring::ByteString;
use model::{
    command::{self, Command, CommandError, Mode, Selection},
    event::Event,
    id::CallId,
};
use tracing::{debug, info, warn};

use self::{
    calls::Calls,
    outbox::{CloseReason, Outbox},
    socket::{FromSocket, Socket},
};
use super::{
    http::Slot,
    message::{
        AgentMedia, CallCommand, CallerAudio, ClientEvent, ClientId, Connect, Disconnect, Listen, Listener,
        PlaceCall, RtpForm,
    },
};

/// What every client of a relay has in common.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The mode of a client that does not ask for one.
    pub mode: Mode,
    /// Messages that may wait for one client.
    pub send_queue: usize,
    /// The largest message, bytes.
    pub max_message: usize,
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
}

/// See the module's documentation.
pub struct WsClient {
    id: ClientId,
    mode: Mode,
    switchboard: SwitchboardPort,
    outbox: Outbox,
    calls: Calls,
    audio: Option<Recipient<CallerAudio>>,
    refused_audio: u64,
    _slot: Slot,
}

impl WsClient {
    /// A client that holds one of the connections' slots until it is gone.
    pub fn new(
        id: ClientId,
        mode: Mode,
        settings: &ClientSettings,
        switchboard: SwitchboardPort,
        slot: Slot,
    ) -> Self {
        Self {
            id,
            mode,
            switchboard,
            outbox: Outbox::new(settings.send_queue),
            calls: Calls::default(),
            audio: None,
            refused_audio: 0,
            _slot: slot,
        }
    }

    /// Upgrades an HTTP request and serves its client until the connection ends.
    pub fn serve(
        self,
        request: &HttpRequest,
        payload: web::Payload,
        settings: &ClientSettings,
    ) -> Result<HttpResponse, actix_web::Error> {
        let outbox = self.outbox.clone();
        Socket::upgrade(request, payload, self.start().recipient(), outbox, settings.max_message)
    }

    fn say(&mut self, event: &Event, ctx: &mut Context<Self>) {
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
        if let Some(next) = self.calls.over(call) {
            if self.mode != Mode::Multi {
                self.say(&Event::CallAns { call: next }, ctx);
                self.listen_after(ctx, |_| ());
            }
        }
    }

    /// Changes something about the calls, then tells each session that the client hears now.
    fn listen_after(&mut self, ctx: &mut Context<Self>, change: impl FnOnce(&mut Calls)) {
        for call in self.calls.heard(self.mode) {
            call.handle.listeners.do_send(Listen::Off(self.id));
        }
        change(&mut self.calls);
        let audio = self.audio.get_or_insert_with(|| ctx.address().recipient());
        let form = match self.mode {
            Mode::Classic => RtpForm::Classic,
            Mode::Hex => RtpForm::Hex,
            Mode::Multi => RtpForm::Multi,
        };
        for call in self.calls.heard(self.mode) {
            let listener = Listener { client: self.id, form, audio: audio.clone() };
            call.handle.listeners.do_send(Listen::On(listener));
        }
    }

    fn line(&mut self, line: &str, ctx: &mut Context<Self>) {
        match command::parse(line) {
            Ok(command) if command.is_multi_only() && self.mode != Mode::Multi => {
                let verb = command.verb();
                self.refuse(400, "this word needs mode=multi", verb, ctx);
            }
            Ok(command) => self.command(command, ctx),
            Err(error) => self.bad_command(&error, ctx),
        }
    }

    fn bad_command(&mut self, error: &CommandError, ctx: &mut Context<Self>) {
        info!(client = self.id.0, verb = error.verb, "bad command: {}", error.text);
        self.say(&error.event(), ctx);
    }

    fn command(&mut self, command: Command, ctx: &mut Context<Self>) {
        let verb = command.verb();
        match command {
            Command::Call { phone } => self.switchboard.place.do_send(PlaceCall { client: self.id, phone }),
            Command::Rtp { call, audio } => self.play(call.as_ref(), AgentMedia::Audio(audio), verb, ctx),
            Command::Hangup { call, drain: true, .. } => {
                self.play(call.as_ref(), AgentMedia::Drain, verb, ctx)
            }
            Command::Hangup { call, .. } => self.hang_up(call.as_ref(), verb, ctx),
            Command::CallAns { call } => self.answer_or_focus(&call, verb, ctx),
            Command::RingAns { target } => {
                let ringing = self.calls.ringing_match(&target).map(|call| call.handle.id.clone());
                match ringing {
                    Some(call) => self.order(&call, CallCommand::Answer, verb, ctx),
                    None => self.no_such_call(verb, ctx),
                }
            }
            Command::Ignore { call, status, .. } => {
                let (status, reason) = status.map_or((603, None), |(status, reason)| (status, Some(reason)));
                self.order(&call, CallCommand::Decline { status, reason }, verb, ctx);
            }
            Command::Mode(mode) => self.switch_mode(mode, ctx),
            Command::Subscribe(selection) => self.subscribe(selection, false, verb, ctx),
            Command::Unsubscribe(selection) => self.subscribe(selection, true, verb, ctx),
            Command::Dtmf { call, digits, duration } => {
                let each = duration.unwrap_or(DTMF_DURATION);
                self.play(Some(&call), AgentMedia::Dtmf { digits, each }, verb, ctx);
            }
            Command::Mark { call, name } => self.play(Some(&call), AgentMedia::Mark(name), verb, ctx),
            Command::Clear { call } => self.play(Some(&call), AgentMedia::Clear, verb, ctx),
            Command::Ping(text) => self.say(&Event::Pong(text), ctx),
            Command::Play { .. }
            | Command::Hold { .. }
            | Command::Resume { .. }
            | Command::Transfer { .. } => {
                self.refuse(501, "Not Implemented", verb, ctx);
            }
        }
    }

    /// Hands media to a call. A call that does not keep up loses audio, and only audio.
    fn play(
        &mut self,
        call: Option<&CallId>,
        media: AgentMedia,
        verb: &'static str,
        ctx: &mut Context<Self>,
    ) {
        let Some(call) = self.calls.meant(call, self.mode) else { return self.no_such_call(verb, ctx) };
        let is_audio = matches!(media, AgentMedia::Audio(_));
        if !is_audio {
            return call.handle.audio.do_send(media);
        }
        if call.handle.audio.try_send(media).is_err() {
            self.refused_audio += 1;
            if self.refused_audio.is_power_of_two() {
                warn!(
                    client = self.id.0,
                    dropped = self.refused_audio,
                    "audio messages dropped: too many at once"
                );
            }
        }
    }

    fn hang_up(&mut self, named: Option<&CallId>, verb: &'static str, ctx: &mut Context<Self>) {
        let call = match named {
            Some(_) => self.calls.meant(named, self.mode),
            None => self.calls.to_hang_up(self.id, self.mode),
        };
        match call.map(|call| call.handle.id.clone()) {
            Some(call) => self.order(&call, CallCommand::Hangup, verb, ctx),
            None => self.no_such_call(verb, ctx),
        }
    }

    fn order(&mut self, call: &CallId, order: CallCommand, verb: &'static str, ctx: &mut Context<Self>) {
        match self.calls.get(call) {
            Some(known) => known.handle.commands.do_send(order),
            None => self.no_such_call(verb, ctx),
        }
    }

    fn answer_or_focus(&mut self, call: &CallId, verb: &'static str, ctx: &mut Context<Self>) {
        match self.calls.get(call) {
            None => self.no_such_call(verb, ctx),
            Some(known) if known.is_ringing_inbound() => known.handle.commands.do_send(CallCommand::Answer),
            Some(_) if self.mode == Mode::Multi => {}
            Some(_) => {
                let mut focused = false;
                self.listen_after(ctx, |calls| focused = calls.focus_on(call));
                if focused {
                    self.say(&Event::CallAns { call: call.clone() }, ctx);
                }
            }
        }
    }

    fn switch_mode(&mut self, mode: Mode, ctx: &mut Context<Self>) {
        for call in self.calls.heard(self.mode) {
            call.handle.listeners.do_send(Listen::Off(self.id));
        }
        let leaves_multi = self.mode == Mode::Multi && mode != Mode::Multi;
        self.mode = mode;
        if let Some(call) = self.calls.focus().cloned().filter(|_| leaves_multi) {
            self.say(&Event::CallAns { call }, ctx);
        }
        self.listen_after(ctx, |_| ());
    }

    fn subscribe(&mut self, selection: Selection, muted: bool, verb: &'static str, ctx: &mut Context<Self>) {
        let mut known = true;
        self.listen_after(ctx, |calls| match selection {
            Selection::All => calls.mute_all(muted),
            Selection::One(call) => known = calls.mute(&call, muted),
        });
        if !known {
            self.no_such_call(verb, ctx);
        }
    }
}

impl Actor for WsClient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        let events = ctx.address().recipient();
        self.switchboard.connect.do_send(Connect { client: self.id, events });
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
            FromSocket::Binary => self.refuse(400, "send text messages", "BINARY", ctx),
            FromSocket::Gone => ctx.stop(),
        }
    }
}

impl Handler<ClientEvent> for WsClient {
    type Result = ();

    fn handle(&mut self, event: ClientEvent, ctx: &mut Context<Self>) {
        match event {
            ClientEvent::Known(handle) => self.calls.add(handle),
            ClientEvent::Say(event) => self.event(event, ctx),
            ClientEvent::Close => self.outbox.close(CloseReason::GoingAway),
        }
    }
}

impl Handler<CallerAudio> for WsClient {
    type Result = ();

    fn handle(&mut self, audio: CallerAudio, _: &mut Context<Self>) {
        // A frame may have been on its way while the focus moved or the call ended.
        let heard = match self.mode {
            Mode::Multi => self.calls.get(&audio.call).is_some(),
            Mode::Classic | Mode::Hex => self.calls.focus() == Some(&audio.call),
        };
        if heard {
            let line: ByteString = audio.line;
            self.outbox.audio(line);
        }
    }
}

/// The WebSocket sub-protocol that selects multi mode.
pub const SUBPROTOCOL: &str = "sip-relay.multi";
/// Frames of one call that may wait for this actor's turn: a second. Signalling is not bounded by it.
const MAILBOX: usize = 50;
const DTMF_DURATION: std::time::Duration = std::time::Duration::from_millis(160);
