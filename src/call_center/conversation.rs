//! `Conversation` talks with a caller in turns.
//!
//! In: the caller's audio, marks, keys, outcomes of jobs, the time. Out: jobs, audio, marks, CLEAR, HANGUP and the like.
//! Knows nothing of sockets and services.
//!
//! ```text
//! listening ──the caller has finished──▶ transcribing ──text──▶ replying ──first sentence──▶ speaking ──all played──▶ listening
//!     ▲                                       │                     │                           │
//!     └──── the caller speaks: jobs stopped, CLEAR, the history keeps what was heard ───────────┘
//! ```
//!
//! A reply is spoken sentence by sentence while it is still being written. Behind each goes a mark, so that it is known at any
//! time what the caller has heard.

mod speaking;
mod tools;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use audio::speech::SpeechConfig;
use model::{
    command::{Command, HangupWord},
    event::{Event, MarkOutcome},
    id::CallId,
};

pub use self::tools::TOOLS;
pub(super) use self::tools::{HANG_UP, SEND_DIGITS, TRANSFER, is_target};
use self::{speaking::Speaking, tools::Effect};
use super::{
    agent::{Agent, Heard, Input, Job, JobId, Listener, News, Output, speak},
    history::History,
    speech::{Tool, ToolCall},
    turn::TurnTimes,
};
use crate::metrics::Apology;

/// How to converse.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// What the chat model is told first.
    pub system_prompt: String,
    /// What the model may do besides talking.
    pub tools: Vec<Tool>,
    /// Silence after which the caller has finished.
    pub end_of_turn: Duration,
    /// Silence of the caller after which he is asked whether he is there; `None` = never.
    pub patience: Option<Duration>,
    /// That question.
    pub prompt: String,
    /// Said before the call is ended because nobody is there, or because the model wants so and says nothing.
    pub farewell: String,
    /// Said when a service is down.
    pub apology: String,
    /// Played when something of our own cannot be spoken, at 8 kHz.
    pub recording: Arc<[i16]>,
}

/// The agent.
pub struct Conversation {
    call: CallId,
    rules: Rules,
    listener: Listener,
    history: History,
    stage: Stage,
    turn: u64,
    next_job: JobId,
    /// Audio of the caller that was about to be transcribed when he went on.
    carried: Vec<i16>,
    keys: String,
    keys_until: Option<Instant>,
    /// When the caller's silence began.
    silent_since: Instant,
    /// Questions that he left unanswered.
    unanswered: u32,
    /// Whether he has put us on hold, and so says nothing.
    held: bool,
    out: VecDeque<Output>,
}

enum Stage {
    Listening,
    Transcribing {
        job: JobId,
        pcm: Vec<i16>,
        times: TurnTimes,
    },
    Speaking(Speaking),
    /// HANGUP or TRANSFER is under way. One that nothing is heard of has failed: a relay that refuses one does not say of
    /// which call, and a connection may have been lost with the command.
    Leaving {
        by: Then,
        until: Instant,
    },
}

/// What to do when a turn has been played.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    Listen,
    HangUp,
    Transfer(String),
}

impl Conversation {
    /// For one call that is up since `now`.
    pub fn new(call: CallId, rules: Rules, now: Instant) -> Self {
        // The detector rounds up to its frames; so it becomes the nearest one.
        let hangover = rules.end_of_turn.saturating_sub(SpeechConfig::FRAME / 2);
        let speech = SpeechConfig { onset: INTERRUPTION, hangover };
        Self {
            call,
            rules,
            listener: Listener::new(speech),
            history: History::default(),
            stage: Stage::Listening,
            turn: 0,
            next_job: 0,
            carried: Vec::new(),
            keys: String::new(),
            keys_until: None,
            silent_since: now,
            unanswered: 0,
            held: false,
            out: VecDeque::new(),
        }
    }

    /// Speaks first.
    pub fn greet(&mut self, now: Instant, greeting: &str) {
        self.announce(now, greeting.to_owned(), Then::Listen);
    }

    fn start(&mut self, job: Job) -> JobId {
        self.next_job += 1;
        self.out.push_back(Output::Start(self.next_job, job));
        self.next_job
    }

    fn say(&mut self, command: Command) {
        self.out.push_back(Output::Say(command));
    }

    fn note(&mut self, text: impl Into<String>) {
        self.out.push_back(Output::Note(text.into()));
    }

    /// The caller speaks: whatever is going on gives way.
    fn interrupted(&mut self) {
        self.unanswered = 0;
        match std::mem::replace(&mut self.stage, Stage::Listening) {
            Stage::Transcribing { job, pcm, .. } => {
                self.out.push_back(Output::Stop(job));
                self.carried.extend(pcm);
                let surplus = self.carried.len().saturating_sub(MOST_CARRIED);
                self.carried.drain(..surplus);
            }
            Stage::Speaking(speaking) => {
                self.out.extend(speaking.jobs().map(Output::Stop));
                if speaking.has_begun() {
                    // The rest of a sentence that was being sent has no mark yet.
                    if let Some((text, length)) = speaking.half_sent() {
                        self.mark_sentence(&text, length, speaking.marks());
                    }
                    self.say(Command::Clear { call: self.call.clone() });
                    self.history.interrupt(self.turn);
                    self.out.push_back(Output::Interrupted);
                    self.note(format!("turn {}: the caller interrupts", self.turn));
                }
            }
            stage @ Stage::Leaving { .. } => self.stage = stage,
            Stage::Listening => {}
        }
    }

    fn mark_sentence(&mut self, text: &str, length: Duration, index: usize) {
        self.history.sentence(self.turn, text, length);
        self.say(Command::Mark { call: self.call.clone(), name: mark_name(self.turn, index) });
    }

    /// The caller has finished.
    fn turn_over(&mut self, now: Instant, said: Vec<i16>) {
        self.silent_since = now;
        if matches!(self.stage, Stage::Leaving { .. }) {
            return;
        }
        let mut pcm = std::mem::take(&mut self.carried);
        pcm.extend(said);
        let times = TurnTimes::new(now, Duration::from_millis(pcm.len() as u64 / 8), self.rules.end_of_turn);
        let job = self.start(Job::Transcribe { pcm: pcm.as_slice().into() });
        self.stage = Stage::Transcribing { job, pcm, times };
    }

    /// The caller said `text`, or pressed keys.
    fn said(&mut self, text: &str, times: TurnTimes) {
        self.history.caller(text);
        self.turn += 1;
        let messages = self.history.messages(&self.rules.system_prompt);
        let job = self.start(Job::Reply { messages, tools: self.rules.tools.clone() });
        self.stage = Stage::Speaking(Speaking::reply(job, times));
    }

    /// Speaks a sentence of our own.
    fn announce(&mut self, now: Instant, text: String, then: Then) {
        self.turn += 1;
        self.stage = Stage::Speaking(Speaking::announcement(text, then, now));
        self.go_on(now);
    }

    /// Plays the recording in place of something that cannot be spoken.
    fn play_recording(&mut self, now: Instant, then: Then) {
        self.turn += 1;
        self.out.push_back(Output::Apologized(Apology::Recorded));
        let recording = Speaking::recording(self.rules.apology.clone(), &self.rules.recording, then, now);
        self.stage = Stage::Speaking(recording);
        self.go_on(now);
    }

    /// Begins what can begin, sends what can be sent, ends what is over.
    fn go_on(&mut self, now: Instant) {
        let mut speaking = match std::mem::replace(&mut self.stage, Stage::Listening) {
            Stage::Speaking(speaking) => speaking,
            other => return self.stage = other,
        };
        loop {
            if let Some(pcm) = speaking.next_audio() {
                if !speaking.has_begun() {
                    self.history.begin(self.turn);
                    self.say(Command::Mark { call: self.call.clone(), name: mark_name(self.turn, 0) });
                }
                self.out.push_back(speak(&self.call, &pcm));
                if speaking.was_sent(self.turn, now, pcm.len()) && !speaking.is_announcement() {
                    self.out.push_back(Output::Answered(speaking.times.clone()));
                }
            } else if let Some((text, length)) = speaking.next_complete() {
                self.mark_sentence(&text, length, speaking.marks() - 1);
            } else {
                break;
            }
        }
        // A sentence that is over makes room for the next.
        while let Some(text) = speaking.next_to_synthesize(now) {
            let job = self.start(Job::Speak { text });
            speaking.synthesizing(job);
        }
        self.stage = Stage::Speaking(speaking);
        self.settle(now);
    }

    /// Ends a turn of which everything was said and played.
    fn settle(&mut self, now: Instant) {
        let Stage::Speaking(speaking) = &mut self.stage else { return };
        let overdue = speaking.overdue().is_some_and(|at| now >= at);
        if !speaking.is_said() || !(self.history.is_settled(self.turn) || overdue) {
            return;
        }
        let then = speaking.then();
        if speaking.was_in_vain() {
            return self.play_recording(now, then);
        }
        // A model that hangs up without a word.
        if then == Then::HangUp && !speaking.has_begun() {
            return self.announce(now, self.rules.farewell.clone(), Then::HangUp);
        }
        self.silent_since = now;
        self.leave(now, then);
    }

    fn leave(&mut self, now: Instant, by: Then) {
        let until = match &by {
            Then::Listen => {
                self.stage = Stage::Listening;
                return;
            }
            Then::HangUp => {
                let (call, word) = (Some(self.call.clone()), HangupWord::Hangup);
                self.say(Command::Hangup { call, drain: true, word });
                now + HUNG_UP
            }
            Then::Transfer(target) => {
                self.say(Command::Transfer { call: self.call.clone(), target: target.clone() });
                now + TRANSFERRED
            }
        };
        self.stage = Stage::Leaving { by, until };
    }

    fn news(&mut self, now: Instant, job: JobId, news: News) {
        match (&mut self.stage, news) {
            (Stage::Transcribing { job: own, times, .. }, News::Transcript(text)) if *own == job => {
                let mut times = times.clone();
                times.transcript(now);
                if text.trim().is_empty() {
                    self.stage = Stage::Listening;
                } else {
                    self.said(text.trim(), times);
                }
            }
            (Stage::Transcribing { job: own, .. }, News::Failed(_)) if *own == job => self.apologize(now),
            (Stage::Speaking(speaking), news) => {
                // What can still be said is said; the apology comes instead of an answer.
                if matches!(news, News::Failed(_)) && !speaking.has_begun() {
                    let (is_chat, then) = (speaking.is_written_by(job), speaking.then());
                    self.out.extend(speaking.jobs().filter(|other| *other != job).map(Output::Stop));
                    return if is_chat { self.apologize(now) } else { self.play_recording(now, then) };
                }
                let calls = speaking.news(now, job, news);
                if let Some(job) = speaking.stop_overlong() {
                    self.out.push_back(Output::Stop(job));
                    self.note("more audio than a sentence can have, its rest is left out");
                }
                calls.into_iter().flatten().for_each(|call| self.tool(call));
                self.go_on(now);
            }
            _ => {}
        }
    }

    fn tool(&mut self, call: ToolCall) {
        if !self.rules.tools.iter().any(|tool| tool.name == call.name) {
            self.note(format!("the model wants a tool that it does not have: {:.40}", call.name));
            return;
        }
        self.note(format!("the model uses {}", call.name));
        match (tools::effect(call), &mut self.stage) {
            (Some(Effect::Then(then)), Stage::Speaking(speaking)) => speaking.set_then(then),
            (Some(Effect::Digits(digits)), _) => {
                self.say(Command::Dtmf { call: self.call.clone(), digits, duration: None });
            }
            _ => {}
        }
    }

    /// A service is down.
    fn apologize(&mut self, now: Instant) {
        self.out.push_back(Output::Apologized(Apology::Spoken));
        self.announce(now, self.rules.apology.clone(), Then::Listen);
    }

    fn key(&mut self, now: Instant, digit: char) {
        self.interrupted();
        if self.keys.len() < MOST_KEYS {
            self.keys.push(digit);
        }
        self.keys_until = Some(now + NEXT_KEY);
    }

    fn timeout(&mut self, now: Instant) {
        if self.keys_until.is_some_and(|at| now >= at) {
            self.keys_until = None;
            let keys = std::mem::take(&mut self.keys);
            if matches!(self.stage, Stage::Listening) {
                self.said(
                    &format!("({keys} on the keypad)"),
                    TurnTimes::new(now, Duration::ZERO, Duration::ZERO),
                );
            }
        }
        self.voice_failed(now);
        // There may be room for the next sentence.
        self.go_on(now);
        self.still_here(now);
        if self.silence_over().is_some_and(|at| now >= at) {
            self.unanswered += 1;
            if self.unanswered > MOST_QUESTIONS {
                self.announce(now, self.rules.farewell.clone(), Then::HangUp);
            } else {
                self.announce(now, self.rules.prompt.clone(), Then::Listen);
            }
        }
    }

    /// An announcement whose voice does not come is played from the recording.
    fn voice_failed(&mut self, now: Instant) {
        if let Stage::Speaking(speaking) = &self.stage
            && speaking.voice_due().is_some_and(|at| now >= at)
        {
            let then = speaking.then();
            self.out.extend(speaking.jobs().map(Output::Stop));
            self.play_recording(now, then);
        }
    }

    /// The call should be over or elsewhere, and is not.
    fn still_here(&mut self, now: Instant) {
        let Stage::Leaving { by, until } = &self.stage else { return };
        if now < *until {
            return;
        }
        if let Then::Transfer(_) = by {
            self.note("nothing is heard of the transfer");
            self.apologize(now);
        } else {
            self.note("nothing is heard of the hang-up");
            self.leave(now, Then::HangUp);
        }
    }

    /// When the caller has been silent for too long.
    fn silence_over(&self) -> Option<Instant> {
        let waits = matches!(self.stage, Stage::Listening)
            && !self.held
            && !self.listener.speaking()
            && self.keys.is_empty();
        self.rules.patience.filter(|_| waits).map(|patience| self.silent_since + patience)
    }
}

impl Agent for Conversation {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Audio(pcm) => match self.listener.hear(pcm) {
                Some(Heard::Began) => self.interrupted(),
                Some(Heard::Turn(said)) => self.turn_over(now, said),
                None => {}
            },
            Input::Event(Event::Mark { name, outcome, played, .. }) => {
                if let Some((turn, index)) = read_mark_name(name) {
                    self.history.mark(turn, index, *outcome, *played);
                    if *outcome == MarkOutcome::Played {
                        self.settle(now);
                    }
                }
            }
            Input::Event(Event::Dtmf { digit, .. }) => self.key(now, *digit),
            Input::Event(Event::Transfer { status, .. }) if *status >= 300 => {
                self.note(format!("transfer failed: {status}"));
                self.apologize(now);
            }
            Input::Event(Event::Hold { .. }) => self.held = true,
            Input::Event(Event::Resume { .. }) => {
                self.held = false;
                self.silent_since = now;
            }
            // No connections are opened, and audio comes as PCM.
            Input::Event(_) | Input::Payload(_) | Input::Link(..) => {}
            Input::Job(job, news) => self.news(now, job, news),
            Input::Timeout => self.timeout(now),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        let staged = match &self.stage {
            Stage::Speaking(speaking) => speaking.deadline(),
            Stage::Leaving { until, .. } => Some(*until),
            _ => None,
        };
        [self.keys_until, staged, self.silence_over()].into_iter().flatten().min()
    }
}

fn mark_name(turn: u64, index: usize) -> String {
    format!("t{turn}.{index}")
}

fn read_mark_name(name: &str) -> Option<(u64, usize)> {
    let (turn, index) = name.strip_prefix('t')?.split_once('.')?;
    Some((turn.parse().ok()?, index.parse().ok()?))
}

/// Speech that is an interruption. A cough is none.
const INTERRUPTION: Duration = Duration::from_millis(112);
/// Time after a key in which another one belongs to it.
pub(super) const NEXT_KEY: Duration = Duration::from_millis(1500);
pub(super) const MOST_KEYS: usize = 32;
/// Questions that a silent caller is asked before the call is ended.
pub(super) const MOST_QUESTIONS: u32 = 2;
/// Time in which a transfer has to be done.
pub(super) const TRANSFERRED: Duration = Duration::from_secs(45);
/// Time in which a call has to be over after HANGUP.
const HUNG_UP: Duration = Duration::from_secs(10);
/// A minute of samples.
const MOST_CARRIED: usize = 60 * 8000;

#[cfg(test)]
mod interruption_tests;
#[cfg(test)]
mod tests;
