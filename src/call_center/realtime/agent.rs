//! `RealtimeAgent` talks with a caller by a model that hears and speaks.
//!
//! In: the caller's G.711, marks, keys, what the service says, the time. Out: events for the service, audio, marks, CLEAR and
//! the like for the relay. The service hears when the caller begins and ends; this agent carries the audio, silences what
//! is played when he interrupts, tells the service what he heard of it, does what the model wants done, and keeps the
//! conversation alive when a session ends or is lost.

mod apology;
mod tools;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::{
    command::{Command, HangupWord},
    event::Event,
    id::CallId,
};

use self::apology::Announcement;
use super::{
    Author, ClientEvent, FunctionCall, LinkId, LinkNews, ResponseStatus, ServerEvent, SessionConfig,
    playback::{Fate, Piece, Playback},
    sessions::{Lost, Ready, Sessions},
    timing::{AudioClock, Timing},
    transcript::Transcript,
};
use crate::call_center::{
    agent::{Agent, Input, JobId, Output},
    conversation::{MOST_KEYS, MOST_QUESTIONS, NEXT_KEY, Rules, TRANSFERRED},
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

    // ---- the caller ---------------------------------------------------------------------------------------------

    fn hear(&mut self, now: Instant, audio: &Bytes) {
        if self.leaving.is_some() {
            return;
        }
        if self.sessions.ready().is_some() {
            self.clock.sent(now, audio.len());
            return self.send(ClientEvent::Append(audio.clone()));
        }
        while self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(audio.clone());
    }

    /// The caller speaks or presses a key: whatever is said gives way.
    fn interrupted(&mut self, now: Instant, by_voice: bool) {
        (self.unanswered, self.rounds, self.wants, self.then) = (0, 0, false, Then::Listen);
        if let Some(Announcement { job, .. }) = self.announcement.take() {
            self.out.push_back(Output::Stop(job));
        }
        let response = self.response.take();
        if let Some(id) = response.as_ref().and_then(|response| response.id.clone()) {
            self.given_up = id;
        }
        // What the caller talks over, the service stops by itself.
        if response.is_some() && !by_voice {
            self.send(ClientEvent::Cancel);
        }
        let out = &mut self.out;
        let id = response.as_ref().and_then(|response| response.id.as_deref());
        if self.playback.interrupt(now, id, &mut |command| out.push_back(Output::Say(command))) {
            self.note(format!("turn {}: the caller interrupts", self.turn));
        }
    }

    fn turn_over(&mut self, now: Instant, read: Instant, at: Option<Duration>) {
        let began = self.speaking.take().flatten();
        self.silent_since = now;
        self.turn += 1;
        let silence = self.plan.session.turn_detection.silence();
        let last_word = at.map(|at| at.saturating_sub(silence));
        let moment = last_word.and_then(|at| self.clock.moment(at)).unwrap_or(read);
        let said = last_word.zip(began).map(|(end, began)| end.saturating_sub(began));
        self.timing = Some(Timing::new(now, read, moment, said));
        self.response = Some(Response::requested(now));
    }

    fn key(&mut self, now: Instant, digit: char) {
        self.interrupted(now, false);
        if self.keys.len() < MOST_KEYS {
            self.keys.push(digit);
        }
        (self.silent_since, self.keys_until) = (now, Some(now + NEXT_KEY));
    }

    fn keys_over(&mut self, now: Instant) {
        self.keys_until = None;
        let text = format!("({} on the keypad)", std::mem::take(&mut self.keys));
        self.turn += 1;
        self.transcript.words(&format!("keys {}", self.turn), true, &text);
        self.send(ClientEvent::Message { author: Author::User, text });
        self.request(now);
    }

    fn relay(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Mark { name, outcome, played, .. } => {
                let fates = self.playback.mark(now, name, *outcome, *played);
                self.fates(now, fates);
            }
            Event::Dtmf { digit, .. } if self.leaving.is_none() => self.key(now, *digit),
            Event::Transfer { status, .. } if *status >= 300 => {
                self.transfer_failed(now, &status.to_string())
            }
            Event::Hold { .. } => self.held = true,
            Event::Resume { .. } => (self.held, self.silent_since) = (false, now),
            _ => {}
        }
    }

    /// It is known how much of something was heard.
    fn fates(&mut self, now: Instant, fates: Vec<Fate>) {
        for Fate { source, item, content_index, heard, received, cut } in fates {
            self.silent_since = now;
            self.transcript.heard(&item, heard, received);
            if !cut {
                continue;
            }
            self.note(format!("{} of {} ms were heard", heard.as_millis(), received.as_millis()));
            // Of nothing heard nothing can be kept: the service refuses to cut at zero.
            if heard >= Duration::from_millis(1) && self.sessions.ready() == Some(source) {
                self.send(ClientEvent::Truncate { item, content_index, audio_end: heard });
            }
        }
    }

    // ---- the service --------------------------------------------------------------------------------------------

    fn link(&mut self, now: Instant, read: Instant, link: LinkId, news: LinkNews) {
        match news {
            LinkNews::Up => {
                if self.sessions.up(now, link) {
                    let update = ClientEvent::SessionUpdate(Box::new(self.plan.session.clone()));
                    self.out.push_back(Output::Send(link, update));
                }
            }
            LinkNews::Down { why, refused } => self.down(now, link, &why, refused),
            LinkNews::Event(ServerEvent::SessionUpdated) => {
                if self.sessions.updated(now, link) == Some(Ready::Current) {
                    self.begin_session(now);
                }
            }
            LinkNews::Event(ServerEvent::Error { ours: true, code, message })
                if self.sessions.is_preparing(link) =>
            {
                self.out.push_back(Output::Close(link));
                let why = format!("the service refuses the session: {code} {message}");
                self.trouble(why.clone());
                self.down(now, link, &why, true);
            }
            LinkNews::Event(event) => {
                if self.sessions.ready() == Some(link) && self.leaving.is_none() {
                    self.event(now, read, link, event);
                }
            }
        }
    }

    /// A session may be talked with: it learns what was said before.
    fn begin_session(&mut self, now: Instant) {
        self.clock = AudioClock::default();
        if let Some(summary) = self.transcript.summary() {
            let text = format!("You are in the middle of this call. What was said so far:\n{summary}");
            self.send(ClientEvent::Message { author: Author::System, text });
        }
        for audio in std::mem::take(&mut self.waiting) {
            self.hear(now, &audio);
        }
        let owes = std::mem::take(&mut self.owes);
        match self.plan.greeting.clone().filter(|_| !self.greeted) {
            Some(greeting) => self.instruct(now, format!("Greet the caller with these words: {greeting}")),
            None if owes => self.request(now),
            None => {}
        }
        self.greeted = true;
        self.silent_since = now;
    }

    fn event(&mut self, now: Instant, read: Instant, link: LinkId, event: ServerEvent) {
        match event {
            ServerEvent::SpeechStarted { item, at } => {
                self.interrupted(now, true);
                self.speaking = Some(at);
                self.transcript.caller(&item);
            }
            ServerEvent::SpeechStopped { at } => self.turn_over(now, read, at),
            ServerEvent::Heard { item, text } => self.transcript.words(&item, true, &text),
            ServerEvent::Spoken { item, text } => self.transcript.words(&item, false, &text),
            ServerEvent::ResponseCreated { response } => self.response_created(now, response),
            ServerEvent::Audio { response, item, content_index, audio } => {
                let piece = Piece { source: link, response: &response, item: &item, content_index, audio };
                self.speech(now, read, piece);
            }
            ServerEvent::AudioDone { item } => {
                let out = &mut self.out;
                self.playback.complete(link, &item, &mut |command| out.push_back(Output::Say(command)));
            }
            ServerEvent::Call(call) => {
                if let Some(response) = &mut self.response {
                    response.last = now;
                    response.note_call(call);
                }
            }
            ServerEvent::ResponseDone { response, status, calls } => {
                self.response_done(now, link, &response, status, calls);
            }
            ServerEvent::Error { code, message, .. } => self.service_error(now, link, &code, &message),
            ServerEvent::SessionCreated | ServerEvent::SessionUpdated | ServerEvent::Other => {}
        }
    }

    fn response_created(&mut self, now: Instant, id: String) {
        // It was asked for when the caller began to speak.
        if self.speaking.is_some() {
            self.given_up = id;
            return self.send(ClientEvent::Cancel);
        }
        let response = self.response.get_or_insert_with(|| Response::requested(now));
        (response.id, response.last) = (Some(id), now);
    }

    fn speech(&mut self, now: Instant, read: Instant, piece: Piece<'_>) {
        if !piece.response.is_empty() && piece.response == self.given_up {
            return;
        }
        if let Some(response) = &mut self.response {
            (response.last, response.audible) = (now, true);
        }
        let item = piece.item.to_owned();
        let out = &mut self.out;
        if self.playback.audio(now, piece, &mut |command| out.push_back(Output::Say(command))) {
            self.transcript.agent(&item);
            if let Some(timing) = self.timing.take() {
                self.note(timing.line(self.turn, read, now));
            }
        }
    }

    fn response_done(
        &mut self,
        now: Instant,
        link: LinkId,
        id: &str,
        status: ResponseStatus,
        calls: Vec<FunctionCall>,
    ) {
        let own = |response: &Response| match &response.id {
            Some(own) => own == id || id.is_empty(),
            None => id != self.given_up,
        };
        let Some(mut response) = self.response.take_if(|response| own(response)) else { return };
        let out = &mut self.out;
        self.playback.complete_response(link, id, &mut |command| out.push_back(Output::Say(command)));
        self.silent_since = now;
        calls.into_iter().for_each(|call| response.note_call(call));
        match status {
            ResponseStatus::Completed => self.tools(now, &response),
            ResponseStatus::Failed(why) => {
                self.trouble(format!("the service could not reply: {why}"));
                if !response.audible {
                    self.apologize(now, self.then.clone());
                }
            }
            ResponseStatus::Cancelled | ResponseStatus::Incomplete => {}
        }
        if std::mem::take(&mut self.wants) && self.response.is_none() {
            self.request(now);
        }
    }

    fn service_error(&mut self, now: Instant, link: LinkId, code: &str, message: &str) {
        self.trouble(format!("the service says: {code} {message}"));
        if code == "session_expired" {
            self.out.push_back(Output::Close(link));
            self.down(now, link, "the session is over", false);
        }
    }

    // ---- time ---------------------------------------------------------------------------------------------------

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

    /// When a reply has to be given up.
    fn reply_overdue(&self) -> Option<Instant> {
        self.response.as_ref().map(|response| response.last + REPLIED)
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

    /// Goes on in the session that was prepared.
    fn change_session(&mut self, now: Instant) {
        let Some((old, _)) = self.sessions.take_next() else { return };
        if let Some(old) = old {
            self.out.push_back(Output::Close(old));
            self.forget_session(old);
            self.note("a fresh session goes on with the conversation");
        }
        self.begin_session(now);
    }

    /// What a session that is over leaves behind.
    fn forget_session(&mut self, link: LinkId) {
        let unanswered = |response: &Response| !response.audible;
        self.owes |= self.response.take().as_ref().is_some_and(unanswered) || self.wants;
        (self.wants, self.speaking) = (false, None);
        let out = &mut self.out;
        self.playback.complete_response(link, "", &mut |command| out.push_back(Output::Say(command)));
    }

    fn down(&mut self, now: Instant, link: LinkId, why: &str, refused: bool) {
        match self.sessions.down(now, link) {
            Lost::Current => self.lost(now, link, refused, refused),
            Lost::Next => self.note(format!("no fresh session yet: {why}")),
            Lost::Neither => {}
        }
    }

    /// The service is there and does not reply.
    fn hung(&mut self, now: Instant, link: LinkId) {
        if self.sessions.down(now, link) == Lost::Current {
            self.lost(now, link, false, true);
        }
    }

    /// The session is lost. `helpless`: the caller has to hear that.
    fn lost(&mut self, now: Instant, link: LinkId, refused: bool, helpless: bool) {
        self.forget_session(link);
        match self.leaving {
            Some(Leaving { until: None }) => return,
            // There may be more to say if the transfer fails.
            Some(Leaving { until: Some(_) }) => {
                self.sessions.wait(now, refused);
                return;
            }
            None => {}
        }
        if self.sessions.has_next() {
            return self.change_session(now);
        }
        if self.sessions.failures() == 0 {
            self.apologized = false;
        }
        let gives_up =
            self.plan.lost_action == LostAction::HangUp && (refused || self.sessions.outage(now) >= GIVEN_UP);
        if gives_up {
            self.trouble("given up: the service stays away");
            return self.apologize(now, Then::HangUp);
        }
        let pause = self.sessions.wait(now, refused);
        self.note(format!("connecting to the service again in {:.1} s", pause.as_secs_f64()));
        if (helpless || self.sessions.outage(now) >= NOTICED) && !self.apologized {
            self.apologize(now, self.then.clone());
        }
    }
}

impl Response {
    fn requested(now: Instant) -> Self {
        Self { id: None, last: now, audible: false, calls: Vec::new() }
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
        let waits = [self.keys_until, self.reply_overdue(), self.silence_over()];
        let parts = [self.sessions.deadline(), self.playback.deadline()];
        waits.into_iter().chain(parts).flatten().min()
    }
}

/// Five seconds of the caller: longer than a session takes to begin.
const MOST_WAITING: usize = 250;
/// Time in which something must be heard of a reply.
const REPLIED: Duration = Duration::from_secs(15);
/// Time without the service after which the caller hears of it.
const NOTICED: Duration = Duration::from_secs(4);
/// Time without a session that lasts after which a call is given up.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// Function calls of one response.
const MOST_CALLS: usize = 8;
