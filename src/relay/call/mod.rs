//! `Call` is one call, whatever its legs: it keeps the state, negotiates the session and tells the others what to do.
//!
//! In: [`SipEvent`], [`MediaEvent`], [`CallCommand`], watchdogs. Out: [`SipCommand`], [`MediaCommand`], [`CallReport`].
//! No audio passes through it. What to do when is decided by [`state::CallState`]; here it is only carried out.

mod digits;
mod hold;
mod origin;
mod session;
pub mod state;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, SpawnHandle};
use model::{
    call::{EndLabel, EndReason, Party},
    event::{Event, MarkOutcome},
    id::CallId,
};
use sip::sdp::Negotiator;
use tracing::{debug, info, warn};

pub use self::origin::{CallSettings, NewCall, Origin};
use self::{
    digits::Digits,
    hold::{Hold, Wish},
    state::{Action, AgentInput, CallState, Ending, Input, SipInput},
};
use super::message::{
    BOT_MARK, BOTS, CallCommand, CallNews, CallReport, ClientId, DialRequest, DigitSource, GreetingRead,
    MediaCommand, MediaEvent, MediaPlan, ReadGreeting, RecordingDone, SipAction, SipCommand, SipEvent,
    TransferProgress, TransferTarget,
};
use crate::metrics::{LiveCall, Metrics, Stage};

/// Who a call talks to.
pub struct CallPorts {
    /// The wire: the SIP listener, or the media stream that the caller came by.
    pub sip: Recipient<SipCommand>,
    /// Its own media.
    pub media: Recipient<MediaCommand>,
    /// Where the greeting comes from, if there is one.
    pub greeting: Option<Recipient<ReadGreeting>>,
    /// The switchboard.
    pub reports: Recipient<CallReport>,
}

/// See the module's documentation.
pub struct Call {
    id: CallId,
    phone: String,
    state: CallState,
    negotiator: Negotiator,
    origin: Origin,
    plan: Option<MediaPlan>,
    hold: Hold,
    transfer_asked_by: Option<ClientId>,
    digits: Digits,
    ports: CallPorts,
    settings: Arc<CallSettings>,
    watchdog: SpawnHandle,
    ending: Option<Ending>,
    reported: bool,
    live: LiveCall,
}

impl Call {
    /// A call that begins when its actor starts.
    pub fn new(new: NewCall, ports: CallPorts, settings: Arc<CallSettings>, metrics: &Metrics) -> Self {
        let direction = new.origin.direction();
        let (state, _) = CallState::begin(direction, settings.answers_at_once());
        Self {
            live: metrics.calls.begin(direction, stage(&state)),
            id: new.id,
            phone: new.phone,
            state,
            negotiator: new.negotiator,
            origin: new.origin,
            plan: None,
            hold: Hold::default(),
            transfer_asked_by: None,
            digits: Digits::default(),
            ports,
            settings,
            watchdog: SpawnHandle::default(),
            ending: None,
            reported: false,
        }
    }

    fn input(&mut self, input: Input, ctx: &mut Context<Self>) {
        let actions = self.state.step(input);
        self.live.moves_to(stage(&self.state));
        self.perform(actions, ctx);
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Ring => self.sip(SipAction::Ring),
                Action::Answer => self.answer(),
                Action::Reject { status, reason } => self.sip(SipAction::Reject { status, reason }),
                Action::Hangup => self.sip(SipAction::Hangup),
                Action::WatchRinging => self.watch_ringing(ctx),
                Action::OpenMedia => self.open_media(),
                Action::ReportRinging => self.report(CallNews::Ringing),
                Action::ReportUp => self.up(ctx),
                Action::Finish(ending) => self.finish(ending, ctx),
            }
        }
    }

    fn up(&mut self, ctx: &mut Context<Self>) {
        self.report(CallNews::Up);
        info!(call_id = %self.id, "call up");
        if let Some(greeting) = &self.ports.greeting {
            greeting.do_send(ReadGreeting { to: ctx.address().recipient() });
        }
        ctx.cancel_future(self.watchdog);
        if let Some(limit) = self.settings.max_duration {
            self.watch(limit, Input::MaxDuration, ctx);
        }
    }

    fn watch_ringing(&mut self, ctx: &mut Context<Self>) {
        match self.settings.answer_after {
            Some(wait) if wait < self.settings.ring_timeout => {
                self.watch(wait, Input::Agent(AgentInput::Answer), ctx)
            }
            _ => self.watch(self.settings.ring_timeout, Input::RingTimeout, ctx),
        }
    }

    fn watch(&mut self, limit: Duration, input: Input, ctx: &mut Context<Self>) {
        ctx.cancel_future(self.watchdog);
        self.watchdog = ctx.run_later(limit, move |call, ctx| call.input(input, ctx));
    }

    /// Clients hear of the end once the recording is complete on disk.
    fn finish(&mut self, ending: Ending, ctx: &mut Context<Self>) {
        ctx.cancel_future(self.watchdog);
        self.ending = Some(ending);
        self.ports.media.do_send(MediaCommand::Close(Some(ctx.address().recipient())));
        self.watchdog = ctx.run_later(RECORDING_DEADLINE, |call, ctx| {
            warn!(call_id = %call.id, "the recording is not complete in time");
            call.over(ctx);
        });
    }

    fn over(&mut self, ctx: &mut Context<Self>) {
        if let Some(Ending { was_up, reason }) = self.ending.take() {
            self.reported = true;
            self.report(CallNews::Over { was_up, reason });
        }
        ctx.stop();
    }

    fn transfer(&mut self, client: ClientId, target: TransferTarget) {
        if self.state != CallState::Up {
            return self.not_up(client, "TRANSFER");
        }
        self.transfer_asked_by = Some(client);
        self.sip(SipAction::Refer(target));
    }

    /// A transfer that worked has replaced this call: what is left of it ends.
    fn transferring(&mut self, progress: TransferProgress, ctx: &mut Context<Self>) {
        match progress {
            TransferProgress::Heard { status, reason, last } => {
                let reason = reason.into();
                self.tell(Event::Transfer { call: self.id.clone(), status, reason });
                if last && (200..300).contains(&status) {
                    self.input(Input::Transferred, ctx);
                }
            }
            TransferProgress::Refused { status, reason } => {
                if let Some(client) = self.transfer_asked_by.take() {
                    self.refuse(client, status, reason.into(), "TRANSFER");
                }
            }
        }
    }

    fn digit(&mut self, digit: char, duration: Duration, source: DigitSource) {
        if self.digits.is_new(digit, source, duration, Instant::now()) {
            self.tell(Event::Dtmf { call: self.id.clone(), digit, duration });
        }
    }

    /// Tells all clients, while the call lasts.
    fn tell(&self, event: Event) {
        if self.state != CallState::Ended {
            self.report(CallNews::Event(event));
        }
    }

    /// Tells one client that what it asked for cannot be done.
    fn refuse(&self, client: ClientId, status: u16, text: Cow<'static, str>, verb: &'static str) {
        warn!(call_id = %self.id, client = client.0, status, verb, "command refused: {text}");
        let error = Event::Error { status, text, verb: verb.into() };
        self.report(CallNews::For(client, error));
    }

    fn not_up(&self, client: ClientId, verb: &'static str) {
        self.refuse(client, NOT_UP, "the call is not up".into(), verb);
    }

    fn sip(&self, action: SipAction) {
        self.ports.sip.do_send(SipCommand { call: self.id.clone(), action });
    }

    fn report(&self, news: CallNews) {
        self.ports.reports.do_send(CallReport { call: self.id.clone(), news });
    }
}

/// Where metrics show a call.
fn stage(state: &CallState) -> Stage {
    match state {
        CallState::Dialing { rang: false } => Stage::Dialing,
        CallState::Dialing { rang: true } | CallState::Ringing => Stage::Ringing,
        CallState::Answered => Stage::Answered,
        CallState::Up => Stage::Up,
        CallState::Ended => Stage::Ending,
    }
}

impl Actor for Call {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.ports.media.do_send(MediaCommand::Attach(ctx.address().recipient()));
        match &self.origin {
            Origin::Inbound { .. } | Origin::Stream(_) => {
                self.sip(SipAction::Attach(ctx.address().recipient()))
            }
            Origin::Outbound(options) => {
                let (events, phone, options) =
                    (ctx.address().recipient(), self.phone.clone(), options.clone());
                let offer = self.negotiator.offer();
                self.sip(SipAction::Dial(Box::new(DialRequest { events, phone, offer, options })));
            }
        }
        let (_, actions) = CallState::begin(self.origin.direction(), self.settings.answers_at_once());
        self.perform(actions, ctx);
    }
}

impl Drop for Call {
    /// A call that was never reported as over has panicked: nobody may wait for it, on the wire or on a socket.
    fn drop(&mut self) {
        if self.reported {
            return;
        }
        self.sip(SipAction::Hangup);
        self.ports.media.do_send(MediaCommand::Close(None));
        let reason = EndReason::new(Party::Relay, EndLabel::InternalError);
        self.report(CallNews::Over { was_up: self.state == CallState::Up, reason });
    }
}

impl Handler<SipEvent> for Call {
    type Result = ();

    fn handle(&mut self, event: SipEvent, ctx: &mut Context<Self>) {
        match event {
            SipEvent::State(input) => self.input(Input::Sip(input), ctx),
            SipEvent::Answered(sdp) => self.answered(sdp, ctx),
            SipEvent::Acked(sdp) => self.acked(sdp, ctx),
            SipEvent::AnswerSent => self.report(CallNews::AnswerSent),
            SipEvent::Offer(sdp) => self.offered(sdp),
            SipEvent::OfferAnswered(sdp) => self.offer_answered(&sdp),
            SipEvent::Reoffer(outcome) => self.reoffered(outcome, ctx),
            SipEvent::Transfer(progress) => self.transferring(progress, ctx),
            SipEvent::Digit { digit, duration } => {
                self.digit(digit, duration.unwrap_or(INFO_DIGIT), DigitSource::Info);
            }
        }
    }
}

impl Handler<CallCommand> for Call {
    type Result = ();

    fn handle(&mut self, command: CallCommand, ctx: &mut Context<Self>) {
        let input = match command {
            CallCommand::Answer => Input::Agent(AgentInput::Answer),
            CallCommand::Decline { status, reason } => Input::Agent(AgentInput::Decline { status, reason }),
            CallCommand::Hangup => Input::Agent(AgentInput::Hangup),
            CallCommand::AgentGone => Input::Agent(AgentInput::Gone),
            CallCommand::AgentUnreachable => Input::Agent(AgentInput::Unreachable),
            CallCommand::Shutdown => Input::Shutdown,
            CallCommand::Hold { client, on } => return self.wish(Wish { on, client }, ctx),
            CallCommand::Transfer { client, target } => return self.transfer(client, target),
        };
        self.input(input, ctx);
    }
}

impl Handler<MediaEvent> for Call {
    type Result = ();

    fn handle(&mut self, event: MediaEvent, ctx: &mut Context<Self>) {
        let call = self.id.clone();
        let news = match event {
            MediaEvent::Silent { never_heard } => {
                debug!(call_id = %call, never_heard, "the caller is silent on the wire");
                return self.input(Input::Silent, ctx);
            }
            MediaEvent::Drained => return self.input(Input::Agent(AgentInput::Hangup), ctx),
            MediaEvent::Died => return self.input(Input::MediaDied, ctx),
            MediaEvent::LineClosed => {
                let gone = EndReason::new(Party::Caller, EndLabel::RemoteBye);
                return self.input(Input::Sip(SipInput::Ended(gone)), ctx);
            }
            MediaEvent::Refused { client, status, text, verb } => {
                return self.refuse(client, status, text.into(), verb);
            }
            MediaEvent::Dtmf { digit, duration, source } => return self.digit(digit, duration, source),
            MediaEvent::Speech { started } => Event::Speech { call, started },
            MediaEvent::BargeIn { played } => Event::BargeIn { call, played },
            MediaEvent::Mark { name, reached, played } => {
                let outcome = if reached { MarkOutcome::Played } else { MarkOutcome::Cleared };
                let is_bots = name.starts_with(BOT_MARK);
                let mark = Event::Mark { call, name, outcome, played };
                if is_bots {
                    return self.report(CallNews::For(BOTS, mark));
                }
                mark
            }
            MediaEvent::Water { high: true, queued } => Event::Xoff { call, queued },
            MediaEvent::Water { high: false, queued } => Event::Xon { call, queued },
        };
        self.tell(news);
    }
}

impl Handler<GreetingRead> for Call {
    type Result = ();

    fn handle(&mut self, greeting: GreetingRead, _: &mut Context<Self>) {
        if self.state == CallState::Up {
            self.ports.media.do_send(MediaCommand::Greet(greeting.0));
        }
    }
}

impl Handler<RecordingDone> for Call {
    type Result = ();

    fn handle(&mut self, _: RecordingDone, ctx: &mut Context<Self>) {
        self.over(ctx);
    }
}

/// How long clients wait for a recording at most before they hear that the call is over.
const RECORDING_DEADLINE: Duration = Duration::from_secs(3);
/// The length of a key that came by INFO without one.
const INFO_DIGIT: Duration = Duration::from_millis(160);
/// 491 Request Pending: what needs a call that is up has to wait.
const NOT_UP: u16 = 491;
