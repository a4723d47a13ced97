//! `Generator` is the one loop of this program: callers, their audio and the agents, on one thread, woken at least once
//! a millisecond while there is audio to send.

use std::net::{SocketAddr, UdpSocket as StdUdpSocket};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mio::{Events, Interest, Poll, Token};

use crate::agent::{Agent, Line};
use crate::media::Media;
use crate::signalling::Signalling;

/// The two ends of a relay.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub sip: SocketAddr,
    pub ws: SocketAddr,
}

pub struct Generator {
    poll: Poll,
    events: Option<Events>,
    pub signalling: Signalling,
    pub media: Media,
    agents: Vec<Agent>,
    /// CALL_ANS that the first agent heard.
    pub announced: usize,
    /// The first ERROR that an agent heard.
    pub first_error: Option<String>,
}

impl Generator {
    /// `calls` callers of a relay, with audio for each where `audio` is set, and `clients` agents that share the calls.
    pub fn new(relay: Addresses, run: u32, calls: usize, clients: usize, audio: bool) -> Self {
        let poll = Poll::new().expect("the system has a readiness queue");
        let mut signalling = Signalling::new(CALLER_IP, relay.sip, run, calls);
        let mut media = Media::new(CALLER_IP, if audio { calls } else { 0 });
        let mut agents: Vec<Agent> = (0..clients).map(|_| Agent::connect(relay.ws)).collect();
        let registry = poll.registry();
        let register = |source: &mut dyn mio::event::Source, token, interest| {
            source.register(registry, Token(token), interest).expect("a socket can be waited for");
        };
        register(&mut signalling.socket, SIP, Interest::READABLE);
        for (n, agent) in agents.iter_mut().enumerate() {
            register(&mut agent.stream, AGENTS + n, Interest::READABLE | Interest::WRITABLE);
            if clients > 1 {
                agent.say("UNSUBSCRIBE:*");
            }
        }
        for (n, socket) in media.sockets().enumerate() {
            register(socket, RTP + n, Interest::READABLE);
        }
        let events = Some(Events::with_capacity(4096));
        Self { poll, events, signalling, media, agents, announced: 0, first_error: None }
    }

    /// Messages that an agent could not send back.
    pub fn stalled(&self) -> u64 {
        self.agents.iter().map(|agent| agent.stalled).sum()
    }

    /// How the first agent's connection ended that did, which none should.
    pub fn agent_ended(&self) -> Option<&str> {
        self.agents.iter().find_map(|agent| agent.ended.as_deref())
    }

    /// Does what is due and waits for the next thing, until `until` at most and never longer than 1 ms.
    pub fn turn(&mut self, until: Instant) {
        self.signalling.timers(Instant::now());
        self.media.send_due();
        let mut events = self.events.take().unwrap_or_else(|| Events::with_capacity(4096));
        let wait = until.saturating_duration_since(Instant::now()).min(TURN);
        // Interrupted by a signal: the next turn waits again.
        let _ = self.poll.poll(&mut events, Some(wait));
        for event in &events {
            match event.token().0 {
                SIP => {
                    let media = &mut self.media;
                    let has_audio = media.sockets().next().is_some();
                    self.signalling.receive(|call, relay| {
                        if has_audio {
                            media.open(call, relay);
                        }
                    });
                }
                token @ AGENTS..RTP => self.serve(token - AGENTS),
                token => self.media.receive(token - RTP),
            }
            self.media.send_due();
        }
        self.events = Some(events);
    }

    /// Turns until a time.
    pub fn run_until(&mut self, until: Instant) {
        while Instant::now() < until {
            self.turn(until);
        }
    }

    fn serve(&mut self, n: usize) {
        let clients = self.agents.len();
        let Self { agents, media, announced, first_error, signalling, .. } = self;
        let agent = &mut agents[n];
        let ends = signalling.ends();
        agent.write();
        loop {
            let more = agent.read();
            let mut wanted = Vec::new();
            agent.messages(|line| match line {
                Line::Audio(text) => {
                    heard(text, |id| ends.call_number(id), media);
                    true
                }
                Line::Signal(text) => {
                    if let Some(id) = text.strip_prefix("CALL_ANS:") {
                        *announced += usize::from(n == 0);
                        if clients > 1 && ends.call_number(id).is_some_and(|call| call % clients == n) {
                            wanted.push(format!("SUBSCRIBE:{id}"));
                        }
                    } else if text.starts_with("ERROR:") {
                        first_error.get_or_insert_with(|| text.to_owned());
                    }
                    false
                }
            });
            wanted.iter().for_each(|line| agent.say(line));
            agent.write();
            media.send_due();
            if !more || agent.ended.is_some() {
                return;
            }
        }
    }
}

fn heard(text: &str, number: impl Fn(&str) -> Option<usize>, media: &mut Media) {
    let mut pcm = [0; 1024];
    let parts = text.strip_prefix("RTP:").and_then(|rest| rest.split_once("##"));
    let Some((id, audio)) = parts else { return };
    if let (Some(call), Ok(length)) = (number(id), STANDARD.decode_slice(audio, &mut pcm)) {
        media.at_agent(call, &pcm[..length]);
    }
}

/// A socket that nobody reads, as the media address of calls without audio.
pub fn idle_media() -> (StdUdpSocket, SocketAddr) {
    let socket = StdUdpSocket::bind((CALLER_IP, 0)).expect("loopback has a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    (socket, address)
}

/// An address of its own, so that thousands of ports disturb nothing else on this machine.
pub const CALLER_IP: &str = "127.0.0.20";
const SIP: usize = 0;
const AGENTS: usize = 1;
const RTP: usize = 1000;
const TURN: Duration = Duration::from_millis(1);
