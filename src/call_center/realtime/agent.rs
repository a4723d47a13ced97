//! `RealtimeAgent` talks with a caller by a model that hears and speaks.
//!
//! In: the caller's G.711, marks, keys, what the service says, the time. Out: events for the service, audio, marks, CLEAR and
//! the like for the relay. The service hears when the caller begins and ends; this agent carries the audio, silences what
//! is played when he interrupts, tells the service what he heard of it, does what the model wants done, and keeps the
//! conversation alive when a session ends or is lost.

mod apology;
mod caller;
mod service;
mod session;
mod tools;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::{
    command::{Command, HangupWord},
    id::CallId,
};

use self::apology::Announcement;
use super::{
    Author, ClientEvent, FunctionCall, SessionConfig,
    playback::Playback,
    sessions::Sessions,
    timing::{AudioClock, Timing},
    transcript::Transcript,
};
use crate::call_center::{
    agent::{Agent, Input, JobId, Output},
    conversation::{MOST_QUESTIONS, Rules, TRANSFERRED},
};

/// How to use the service.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What a session is told.
    pub session: SessionConfig,
    /// What the model begins with; `None` = it waits for the caller.
    pub greeting: Option<String>,
    /// How long a session is used. The service ends it after an hour.
    pub lifetime: Duration,
    /// What becomes of the call when the service stays away.
    pub lost_action: LostAction,
    /// Spreads attempts to connect.
    pub seed: u64,
}

/// What becomes of a call without the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostAction {
    /// An apology, and its end: at once where the service refuses us, else after a minute.
    HangUp,
    /// An apology, and attempts as long as it lasts.
    Keep,
}

/// The agent.
pub struct RealtimeAgent {
    call: CallId,
    rules: Rules,
    plan: Plan,
    sessions: Sessions,
    clock: AudioClock,
    /// Audio of the caller that no session could take yet.
    waiting: VecDeque<Bytes>,
    playback: Playback,
    transcript: Transcript,
    response: Option<Response>,
    /// The response that was given up last.
    given_up: String,
    /// The model is to say something as soon as it may.
    wants: bool,
    /// It owes an answer that was lost with its session.
    owes: bool,
    greeted: bool,
    speaking: Option<Option<Duration>>,
    turn: u64,
    timing: Option<Timing>,
    then: Then,
    leaving: Option<Leaving>,
    announcement: Option<Announcement>,
    next_job: JobId,
    apologized: bool,
    /// Things done for the model since the caller spoke.
    rounds: u32,
    keys: String,
    keys_until: Option<Instant>,
    silent_since: Instant,
    unanswered: u32,
    held: bool,
    out: VecDeque<Output>,
}

/// What the model is saying, or was asked to say.
struct Response {
    /// Its name, once the service has begun it.
    id: Option<String>,
    /// When something was heard of it.
    last: Instant,
    /// Some of its audio has come.
    audible: bool,
    /// It was asked for a second time.
    urged: bool,
    calls: Vec<FunctionCall>,
}

/// What to do when everything has been said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    Listen,
    HangUp,
    Transfer(String),
}

/// HANGUP or TRANSFER is under way. A transfer that nothing is heard of has failed.
struct Leaving {
    until: Option<Instant>,
}

impl RealtimeAgent {
    /// For one call that is up since `now`.
    pub fn new(call: CallId, rules: Rules, plan: Plan, now: Instant) -> Self {
        let payload_type = plan.session.codec.codec().map_or(0, |codec| codec.payload_type());
        let mut agent = Self {
            playback: Playback::new(call.clone(), payload_type),
            sessions: Sessions::new(plan.lifetime, plan.seed),
            call,
            rules,
            plan,
            clock: AudioClock::default(),
            waiting: VecDeque::new(),
            transcript: Transcript::default(),
            response: None,
            given_up: String::new(),
            wants: false,
            owes: false,
            greeted: false,
            speaking: None,
            turn: 0,
            timing: None,
            then: Then::Listen,
            leaving: None,
            announcement: None,
            next_job: 0,
            apologized: false,
            rounds: 0,
            keys: String::new(),
            keys_until: None,
            silent_since: now,
            unanswered: 0,
            held: false,
            out: VecDeque::new(),
        };
        let link = agent.sessions.open(now);
        agent.out.push_back(Output::Open(link));
        agent
    }

    fn say(&mut self, command: Command) {
        self.out.push_back(Output::Say(command));
    }

    fn note(&mut self, text: impl Into<String>) {
        self.out.push_back(Output::Note(text.into()));
    }

    fn trouble(&mut self, text: impl Into<String>) {
        self.out.push_back(Output::Trouble(text.into()));
    }

    fn send(&mut self, event: ClientEvent) {
        if let Some(link) = self.sessions.ready() {
            self.out.push_back(Output::Send(link, event));
        }
    }

    /// Has the model say something: now, or when it has said what it is saying.
    fn request(&mut self, now: Instant) {
        if self.speaking.is_some() {
            // The service answers by itself when the caller has finished.
        } else if self.sessions.ready().is_none() {
            self.owes = true;
        } else if self.response.is_some() {
            self.wants = true;
        } else {
            self.send(ClientEvent::Respond);
            self.response = Some(Response::requested(now));
        }
    }

    fn instruct(&mut self, now: Instant, text: String) {
        self.send(ClientEvent::Message { author: Author::System, text });
        self.request(now);
    }

    fn timeout(&mut self, now: Instant) {
        let fates = self.playback.timeout(now);
        self.fates(now, fates);
        if self.keys_until.is_some_and(|at| now >= at) {
            self.keys_over(now);
        }
        if self.leaving.as_ref().and_then(|leaving| leaving.until).is_some_and(|at| now >= at) {
            self.transfer_failed(now, "nothing is heard of it");
        }
        if let Some(link) = self.sessions.late(now) {
            self.out.push_back(Output::Close(link));
            self.trouble("the service takes too long to begin a session");
            self.down(now, link, "late", false);
        }
        if self.urge_due().is_some_and(|at| now >= at) {
            self.urge();
        }
        if self.reply_overdue().is_some_and(|at| now >= at)
            && let Some(link) = self.sessions.ready()
        {
            self.out.push_back(Output::Close(link));
            self.trouble("the service does not reply");
            self.hung(now, link);
        }
        if self.leaving.is_none()
            && let Some(link) = self.sessions.due(now)
        {
            self.out.push_back(Output::Open(link));
        }
        if self.sessions.is_at_its_end(now) {
            self.change_session(now);
        }
        if self.absence_noticed().is_some_and(|at| now >= at) {
            self.apologize(now, self.then.clone());
        }
        if self.silence_over().is_some_and(|at| now >= at) {
            self.ask_silent_caller(now);
        }
    }

    fn ask_silent_caller(&mut self, now: Instant) {
        self.unanswered += 1;
        self.silent_since = now;
        if self.unanswered > MOST_QUESTIONS {
            self.bid_farewell(now);
        } else {
            let text = format!("The caller says nothing. Ask with these words: {}", self.rules.prompt);
            self.instruct(now, text);
        }
    }

    fn bid_farewell(&mut self, now: Instant) {
        self.then = Then::HangUp;
        self.instruct(now, format!("The call ends. Say these words only: {}", self.rules.farewell));
    }

    /// When a reply that has not begun has to be asked for: a service may take a noise for the end of nothing.
    fn urge_due(&self) -> Option<Instant> {
        let waits = |response: &&Response| response.id.is_none() && !response.urged;
        self.response.as_ref().filter(waits).map(|response| response.last + URGED)
    }

    fn urge(&mut self) {
        if let Some(response) = &mut self.response {
            response.urged = true;
            self.send(ClientEvent::Respond);
        }
    }

    /// When a reply has to be given up.
    fn reply_overdue(&self) -> Option<Instant> {
        self.response.as_ref().map(|response| response.last + REPLIED)
    }

    /// When the caller has to hear that there is nobody to talk with.
    fn absence_noticed(&self) -> Option<Instant> {
        let waits = !self.apologized && self.leaving.is_none();
        self.sessions.absent_since().filter(|_| waits).map(|since| since + NOTICED)
    }

    /// When the caller has been silent for too long.
    fn silence_over(&self) -> Option<Instant> {
        let waits = self.is_quiet() && self.sessions.ready().is_some() && !self.held;
        self.rules.patience.filter(|_| waits).map(|patience| self.silent_since + patience)
    }

    /// Whether nobody speaks and nothing is under way.
    fn is_quiet(&self) -> bool {
        self.is_said() && self.then == Then::Listen && self.keys.is_empty() && self.leaving.is_none()
    }

    /// Whether everything has been said and heard.
    fn is_said(&self) -> bool {
        self.response.is_none()
            && !self.wants
            && self.announcement.is_none()
            && self.speaking.is_none()
            && self.playback.is_settled()
    }

    /// Does what was put off until everything is said.
    fn settle(&mut self, now: Instant) {
        if self.leaving.is_some() || !self.is_said() {
            return;
        }
        match std::mem::replace(&mut self.then, Then::Listen) {
            Then::Listen => {
                if self.sessions.has_next() && self.keys.is_empty() {
                    self.change_session(now);
                }
            }
            Then::HangUp => {
                self.leaving = Some(Leaving { until: None });
                let (call, word) = (Some(self.call.clone()), HangupWord::Hangup);
                self.say(Command::Hangup { call, drain: true, word });
                self.out.extend(self.sessions.close().into_iter().map(Output::Close));
            }
            Then::Transfer(target) => {
                self.leaving = Some(Leaving { until: Some(now + TRANSFERRED) });
                self.say(Command::Transfer { call: self.call.clone(), target });
            }
        }
    }
}

impl Response {
    fn requested(now: Instant) -> Self {
        Self { id: None, last: now, audible: false, urged: false, calls: Vec::new() }
    }

    /// The same call is told of several times, not always completely.
    fn note_call(&mut self, call: FunctionCall) {
        if let Some(known) = self.calls.iter_mut().find(|known| known.id == call.id) {
            if !call.name.is_empty() {
                known.name = call.name;
            }
            if !call.arguments.is_empty() {
                known.arguments = call.arguments;
            }
        } else if self.calls.len() < MOST_CALLS {
            self.calls.push(call);
        }
    }
}

impl Agent for RealtimeAgent {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Payload(audio) => return self.hear(now, audio),
            // The connection to the relay carries G.711 in this mode.
            Input::Audio(_) => return,
            Input::Event(event) => self.relay(now, event),
            Input::Job(job, news) => self.job(now, job, news),
            Input::Link(link, read, news) => self.link(now, read, link, news),
            Input::Timeout => self.timeout(now),
        }
        self.settle(now);
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        let leaving = self.leaving.as_ref().and_then(|leaving| leaving.until);
        if self.leaving.is_some() {
            return leaving;
        }
        let waits = [self.keys_until, self.reply_overdue(), self.absence_noticed(), self.silence_over()];
        let parts = [self.urge_due(), self.sessions.deadline(), self.playback.deadline()];
        waits.into_iter().chain(parts).flatten().min()
    }
}

/// Time in which something must be heard of a reply.
const REPLIED: Duration = Duration::from_secs(15);
/// Time in which a reply should have begun.
const URGED: Duration = Duration::from_secs(7);
/// Time without the service after which the caller hears of it.
const NOTICED: Duration = Duration::from_secs(4);
/// Function calls of one response.
const MOST_CALLS: usize = 8;
