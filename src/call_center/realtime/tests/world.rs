//! `World` is the agent in virtual time, with a relay that plays what it gets and answers marks, over a connection with a
//! delay.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::{
    command::{AgentPayload, Command},
    event::{Event, MarkOutcome},
    id::CallId,
    mode::AgentCodec,
};

use crate::call_center::{
    agent::{Agent, Input, Job, JobId, News, Output},
    conversation::{Rules, TOOLS},
    realtime::{
        ClientEvent, FunctionCall, LinkId, LinkNews, LostAction, Plan, RealtimeAgent, ResponseStatus,
        ServerEvent, SessionConfig, TurnDetection,
    },
};

pub const MS: fn(u64) -> Duration = Duration::from_millis;
pub const S: fn(u64) -> Duration = Duration::from_secs;

pub struct World {
    pub agent: RealtimeAgent,
    pub now: Instant,
    /// One way, between the agent and the relay.
    pub delay: Duration,
    pub relay: Relay,
    to_relay: VecDeque<(Instant, Command)>,
    to_agent: VecDeque<(Instant, Event)>,
    /// What the service was told, audio apart.
    pub told: Vec<(LinkId, ClientEvent)>,
    /// Audio that the service was sent.
    pub appended: Vec<u8>,
    pub opened: Vec<LinkId>,
    pub closed: Vec<LinkId>,
    pub jobs: Vec<(JobId, Job)>,
    pub stopped: Vec<JobId>,
    /// Commands for the relay but audio, marks and CLEAR.
    pub orders: Vec<String>,
    pub notes: Vec<String>,
}

/// A playout queue as the relay has it.
pub struct Relay {
    queue: VecDeque<Queued>,
    played: u64,
    /// Frames of audio that RTP carried.
    pub carried: Vec<(Instant, Vec<u8>)>,
    next_frame: Instant,
    pub clears: usize,
    /// It says nothing of marks.
    pub mute: bool,
}

enum Queued {
    Byte(u8),
    Mark(String),
}

pub fn plan() -> Plan {
    Plan {
        session: SessionConfig {
            instructions: "be kind".into(),
            tools: TOOLS.to_vec(),
            codec: AgentCodec::Pcmu,
            turn_detection: TurnDetection::Server,
            transcription: ("whisper-1".into(), "en".into()),
            noise_reduction: None,
            voice: "marin".into(),
            speed: 1.0,
        },
        greeting: None,
        lifetime: S(55 * 60),
        lost_action: LostAction::HangUp,
        seed: 1,
    }
}

impl World {
    /// A call whose connection is being made.
    pub fn opening(plan: Plan) -> Self {
        let now = Instant::now();
        let rules = Rules {
            system_prompt: "be kind".into(),
            tools: TOOLS.to_vec(),
            patience: Some(S(10)),
            prompt: "there?".into(),
            farewell: "bye".into(),
            apology: "sorry".into(),
            end_of_turn: Duration::from_millis(500),
            recording: [3000; 7920].into(),
        };
        let relay = Relay {
            queue: VecDeque::new(),
            played: 0,
            carried: Vec::new(),
            next_frame: now,
            clears: 0,
            mute: false,
        };
        let mut world = Self {
            agent: RealtimeAgent::new(id(), rules, plan, now),
            now,
            delay: Duration::ZERO,
            relay,
            to_relay: VecDeque::new(),
            to_agent: VecDeque::new(),
            told: Vec::new(),
            appended: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            jobs: Vec::new(),
            stopped: Vec::new(),
            orders: Vec::new(),
            notes: Vec::new(),
        };
        world.drain();
        world
    }

    /// A call that may be talked with.
    pub fn with(plan: Plan) -> Self {
        let mut world = Self::opening(plan);
        world.ready(1);
        world
    }

    pub fn new() -> Self {
        Self::with(plan())
    }

    /// The connection is made, and the session has taken what it was told.
    pub fn ready(&mut self, link: LinkId) {
        self.news(link, LinkNews::Up);
        let (to, ClientEvent::SessionUpdate(_)) = self.told.pop().expect("session.update") else { panic!() };
        assert_eq!(to, link);
        self.event(link, ServerEvent::SessionCreated);
        self.event(link, ServerEvent::SessionUpdated);
    }

    pub fn news(&mut self, link: LinkId, news: LinkNews) {
        self.agent.handle(self.now, Input::Link(link, self.now, news));
        self.drain();
    }

    pub fn event(&mut self, link: LinkId, event: ServerEvent) {
        self.news(link, LinkNews::Event(event));
    }

    pub fn down(&mut self, link: LinkId, refused: bool) {
        self.news(link, LinkNews::Down { why: "x".into(), refused });
    }

    pub fn job(&mut self, job: JobId, news: News) {
        self.agent.handle(self.now, Input::Job(job, news));
        self.drain();
    }

    pub fn relay_says(&mut self, event: &Event) {
        self.agent.handle(self.now, Input::Event(event));
        self.drain();
    }

    pub fn key(&mut self, digit: char) {
        self.relay_says(&Event::Dtmf { call: id(), digit, duration: MS(100) });
    }

    pub fn caller(&mut self, audio: &[u8]) {
        self.agent.handle(self.now, Input::Payload(&Bytes::copy_from_slice(audio)));
        self.drain();
    }

    /// Time passes, and the caller is silent.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.next_moment().min(end);
            self.step();
        }
    }

    /// Time passes until something is the case.
    pub fn pass_until(&mut self, longest: Duration, found: impl Fn(&Self) -> bool) {
        let end = self.now + longest;
        while !found(self) {
            assert!(self.now < end, "not within {longest:?}; told {:?}, notes {:?}", self.told, self.notes);
            self.now = self.next_moment();
            self.step();
        }
    }

    /// When something happens next.
    fn next_moment(&self) -> Instant {
        let relay = self.to_relay.front().map(|(due, _)| *due);
        let agent = self.to_agent.front().map(|(due, _)| *due);
        let moments = [relay, agent, self.agent.deadline(), Some(self.relay.next_frame)];
        moments.into_iter().flatten().min().map_or(self.now, |at| at.max(self.now + MS(1)))
    }

    fn step(&mut self) {
        while self.to_relay.front().is_some_and(|(due, _)| *due <= self.now) {
            let Some((_, command)) = self.to_relay.pop_front() else { break };
            let events = self.relay.take(command);
            self.answer(events);
        }
        if self.now >= self.relay.next_frame {
            let events = self.relay.frame(self.now);
            self.answer(events);
        }
        while self.to_agent.front().is_some_and(|(due, _)| *due <= self.now) {
            let Some((_, event)) = self.to_agent.pop_front() else { break };
            self.relay_says(&event);
        }
        let mut rounds = 0;
        while self.agent.deadline().is_some_and(|at| at <= self.now) {
            self.agent.handle(self.now, Input::Timeout);
            self.drain();
            rounds += 1;
            assert!(rounds < 10, "a deadline that does not move");
        }
    }

    fn answer(&mut self, events: Vec<Event>) {
        if !self.relay.mute {
            let due = self.now + self.delay;
            self.to_agent.extend(events.into_iter().map(|event| (due, event)));
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Send(_, ClientEvent::Append(audio)) => self.appended.extend_from_slice(&audio),
                Output::Send(link, event) => self.told.push((link, event)),
                Output::Open(link) => self.opened.push(link),
                Output::Close(link) => self.closed.push(link),
                Output::Start(job, work) => self.jobs.push((job, work)),
                Output::Stop(job) => self.stopped.push(job),
                Output::Note(text) | Output::Trouble(text) => self.notes.push(text),
                Output::Answered(_) | Output::Interrupted | Output::Apologized(_) => {}
                Output::Say(command) => {
                    if !matches!(command, Command::Rtp { .. } | Command::Mark { .. } | Command::Clear { .. })
                    {
                        self.orders.push(command.to_string());
                    }
                    self.to_relay.push_back((self.now + self.delay, command));
                }
            }
        }
    }

    // ---- what the service says ------------------------------------------------------------------------------------

    /// The caller speaks for a second and a half, by the words of the service, and it begins to reply.
    pub fn turn(&mut self, n: u64, said: &str) {
        self.speech_started(n);
        self.pass(MS(1500));
        self.event(self.link(), ServerEvent::SpeechStopped { at: None });
        self.event(self.link(), ServerEvent::Heard { item: format!("u{n}"), text: said.into() });
        self.created(n);
    }

    pub fn speech_started(&mut self, n: u64) {
        self.event(self.link(), ServerEvent::SpeechStarted { item: format!("u{n}"), at: None });
    }

    pub fn created(&mut self, n: u64) {
        self.event(self.link(), ServerEvent::ResponseCreated { response: format!("r{n}") });
    }

    pub fn delta(&mut self, n: u64, audio: &[u8]) {
        let (response, item) = (format!("r{n}"), format!("a{n}"));
        let audio = audio.to_vec();
        self.event(self.link(), ServerEvent::Audio { response, item, content_index: 0, audio });
    }

    /// A reply of so much audio, all at once, with its words.
    pub fn speech(&mut self, n: u64, text: &str, ms: usize) {
        for chunk in vec![n as u8; ms * 8].chunks(1000) {
            self.delta(n, chunk);
        }
        let item = format!("a{n}");
        self.event(self.link(), ServerEvent::AudioDone { item: item.clone() });
        self.event(self.link(), ServerEvent::Spoken { item, text: text.into() });
    }

    pub fn done(&mut self, n: u64, status: ResponseStatus, calls: Vec<FunctionCall>) {
        self.event(self.link(), ServerEvent::ResponseDone { response: format!("r{n}"), status, calls });
    }

    /// A whole reply.
    pub fn reply(&mut self, n: u64, text: &str, ms: usize) {
        self.speech(n, text, ms);
        self.done(n, ResponseStatus::Completed, Vec::new());
    }

    fn link(&self) -> LinkId {
        let open = self.opened.iter().rev().find(|link| !self.closed.contains(link));
        *open.expect("a connection is open")
    }

    /// What the service was told since the last time.
    pub fn tells(&mut self) -> Vec<ClientEvent> {
        self.told.drain(..).map(|(_, event)| event).collect()
    }

    /// Milliseconds of audio with this value that RTP carried.
    pub fn carried(&self, value: u8) -> usize {
        let bytes = self.relay.carried.iter().flat_map(|(_, frame)| frame);
        bytes.filter(|byte| **byte == value).count() / 8
    }
}

impl Relay {
    fn take(&mut self, command: Command) -> Vec<Event> {
        match command {
            Command::Rtp { audio: AgentPayload::Payload { payload, .. }, .. } => {
                self.queue.extend(payload.iter().map(|byte| Queued::Byte(*byte)));
                Vec::new()
            }
            Command::Mark { name, .. } => {
                self.queue.push_back(Queued::Mark(name));
                let only_marks = self.queue.iter().all(|queued| matches!(queued, Queued::Mark(_)));
                if only_marks { self.clear(MarkOutcome::Played) } else { Vec::new() }
            }
            Command::Clear { .. } => {
                self.clears += 1;
                self.clear(MarkOutcome::Cleared)
            }
            _ => Vec::new(),
        }
    }

    fn clear(&mut self, outcome: MarkOutcome) -> Vec<Event> {
        let played = Duration::from_micros(self.played * 125);
        let marks = self.queue.drain(..).filter_map(|queued| match queued {
            Queued::Mark(name) => Some(Event::Mark { call: id(), name, outcome, played }),
            Queued::Byte(_) => None,
        });
        marks.collect()
    }

    fn frame(&mut self, now: Instant) -> Vec<Event> {
        self.next_frame += MS(20);
        let mut events = Vec::new();
        let mut frame = Vec::new();
        loop {
            match self.queue.front() {
                Some(Queued::Mark(_)) => {
                    let played = Duration::from_micros(self.played * 125);
                    if let Some(Queued::Mark(name)) = self.queue.pop_front() {
                        events.push(Event::Mark { call: id(), name, outcome: MarkOutcome::Played, played });
                    }
                }
                Some(Queued::Byte(byte)) if frame.len() < 160 => {
                    frame.push(*byte);
                    self.played += 1;
                    self.queue.pop_front();
                }
                _ => break,
            }
        }
        if !frame.is_empty() {
            self.carried.push((now, frame));
        }
        events
    }
}

pub fn id() -> CallId {
    CallId::from_sip_call_id("a@h")
}

pub fn call(name: &str, arguments: &str) -> FunctionCall {
    FunctionCall { id: format!("call_{name}"), name: name.into(), arguments: arguments.into() }
}

pub fn system(text: &str) -> ClientEvent {
    ClientEvent::Message { author: crate::call_center::realtime::Author::System, text: text.into() }
}

impl World {
    pub fn agent_deadline(&self) -> Option<Instant> {
        self.agent.deadline()
    }
}
