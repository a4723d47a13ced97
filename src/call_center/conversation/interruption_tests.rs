//! Interruptions in virtual time, from the caller's voice to what goes out as RTP: a conversation and a media session, with
//! nothing between them.

use std::net::{Ipv4Addr, SocketAddr};

use audio::g711;
use model::command::AgentPayload;
use rtp::{Channel, Encoder, Event as RtpEvent, Output as RtpOutput, Session, SessionConfig};
use testkit::{rng::Rng, voice};

use super::*;

#[test]
fn reply_falls_silent_at_fifty_random_moments_and_is_reported_as_it_was_heard() {
    let mut delays = Vec::new();
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let mut line = Line::new(seed);
        line.begin_reply();
        // Anywhere in the reply, sentences and pieces included.
        let before = 10 + rng.below(150);
        (0..before).for_each(|_| assert!(!line.step(&[0; 160]), "seed {seed}: nobody has said anything"));
        let speech = voice::speech(8000, 2000, seed);
        let noticed = speech.chunks(160).position(|frame| line.step(frame));
        delays.push(noticed.unwrap_or_else(|| panic!("seed {seed}: not noticed within two seconds")));
        // What is sent from here on is silence.
        line.pause(40);
        let after: usize = line.sent[line.cleared_at.expect("CLEAR")..].iter().sum();
        assert_eq!(after, 0, "seed {seed}: samples of speech after CLEAR");

        let heard = Duration::from_micros(125) * line.sent.iter().sum::<usize>() as u32;
        let reported = line.reported().unwrap_or_else(|| panic!("seed {seed}: {:?}", line.marks));
        assert!(
            reported.abs_diff(heard) <= Duration::from_millis(20),
            "seed {seed}: {reported:?} of {heard:?}"
        );
    }
}

/// A caller, a conversation and the leg between them, one step for each frame of 20 ms.
struct Line {
    agent: Conversation,
    leg: Session,
    now: Instant,
    rng: Rng,
    /// Samples of speech in each packet that was sent.
    sent: Vec<usize>,
    /// Packets sent before CLEAR.
    cleared_at: Option<usize>,
    marks: Vec<(String, MarkOutcome, Duration)>,
    /// Jobs that speech has to come from, with the samples that are left.
    speech: Vec<(JobId, usize)>,
}

impl Line {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let rules = Rules {
            system_prompt: String::new(),
            tools: Vec::new(),
            end_of_turn: Duration::from_millis(500),
            patience: None,
            prompt: String::new(),
            farewell: String::new(),
            apology: String::new(),
            recording: [0; 160].into(),
        };
        let agent = Conversation::new(CallId::from_sip_call_id("a@h"), rules, now);
        let mut leg = Session::new(now, SessionConfig::new(0, 1, 1, 1), Box::new(Ulaw), seed);
        leg.set_remote(now, SocketAddr::from((Ipv4Addr::LOCALHOST, 4000)), None);
        leg.start(now);
        let (sent, marks, speech) = (Vec::new(), Vec::new(), Vec::new());
        let rng = Rng::new(seed ^ 0xabcd);
        let mut line = Self { agent, leg, now, rng, sent, cleared_at: None, marks, speech };
        line.pause(50);
        line
    }

    /// The caller says something by keys; a reply of three sentences comes, four and a half seconds, and is being played.
    fn begin_reply(&mut self) {
        let (call, duration) = (CallId::from_sip_call_id("a@h"), Duration::from_millis(100));
        self.input(Input::Event(&Event::Dtmf { call, digit: '1', duration }));
        self.pause(100);
        self.input(Input::Job(1, News::Piece("One two three. Four five six. Seven eight. ".into())));
        self.input(Input::Job(1, News::ReplyEnd(Vec::new())));
        while self.sent.iter().all(|samples| *samples == 0) {
            self.step(&[0; 160]);
        }
    }

    fn pause(&mut self, frames: usize) {
        for _ in 0..frames {
            self.step(&[0; 160]);
        }
    }

    /// 20 ms: what the caller says, what comes of jobs, what is sent. True when CLEAR came of it.
    fn step(&mut self, frame: &[i16]) -> bool {
        self.now += Duration::from_millis(20);
        let mut cleared = self.input(Input::Audio(frame));
        // Speech comes in pieces of any size, faster than it is played.
        if let Some((job, left)) = self.speech.first_mut() {
            let (job, piece) = (*job, (1 + self.rng.below(1500) as usize).min(*left));
            *left -= piece;
            let is_all = *left == 0;
            self.input(Input::Job(job, News::Audio(vec![8000; piece])));
            if is_all {
                self.speech.remove(0);
                self.input(Input::Job(job, News::SpeechEnd));
            }
        }
        if self.agent.deadline().is_some_and(|at| at <= self.now) {
            cleared |= self.input(Input::Timeout);
        }
        self.leg.handle_timeout(self.now);
        self.drain_leg();
        cleared
    }

    fn input(&mut self, input: Input<'_>) -> bool {
        self.agent.handle(self.now, input);
        let mut cleared = false;
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Start(job, Job::Speak { .. }) => self.speech.push((job, 12_000)),
                Output::Stop(job) => self.speech.retain(|(speech, _)| *speech != job),
                Output::Say(Command::Rtp { audio: AgentPayload::Pcm(pcm), .. }) => {
                    let pcm: Vec<i16> = model::audio::samples(&pcm).collect();
                    self.leg.queue_pcm(self.now, &pcm).expect("room");
                }
                Output::Say(Command::Mark { name, .. }) => self.leg.mark(self.now, name).expect("room"),
                Output::Say(Command::Clear { .. }) => {
                    cleared = true;
                    self.cleared_at.get_or_insert(self.sent.len());
                    self.leg.clear(self.now);
                }
                _ => {}
            }
        }
        cleared
    }

    fn drain_leg(&mut self) {
        while let Some(output) = self.leg.poll_output() {
            match output {
                RtpOutput::Transmit { channel: Channel::Rtp, packet, .. } => {
                    self.sent.push(packet[12..].iter().filter(|code| **code != SILENCE).count());
                }
                RtpOutput::Event(RtpEvent::MarkPlayed { name, played }) => {
                    self.mark(name, MarkOutcome::Played, played);
                }
                RtpOutput::Event(RtpEvent::MarkCleared { name, played }) => {
                    self.mark(name, MarkOutcome::Cleared, played);
                }
                _ => {}
            }
        }
    }

    fn mark(&mut self, name: String, outcome: MarkOutcome, played: Duration) {
        let call = CallId::from_sip_call_id("a@h");
        self.marks.push((name.clone(), outcome, played));
        self.input(Input::Event(&Event::Mark { call, name, outcome, played }));
    }

    /// How much of the reply was played before it was cut off, by its marks.
    fn reported(&self) -> Option<Duration> {
        let begin =
            self.marks.iter().find(|(name, outcome, _)| name == "t1.0" && *outcome == MarkOutcome::Played)?;
        let end = self.marks.iter().find(|(_, outcome, _)| *outcome == MarkOutcome::Cleared)?;
        Some(end.2 - begin.2)
    }
}

/// A sample of silence in µ-law.
const SILENCE: u8 = 0xff;

struct Ulaw;

impl Encoder for Ulaw {
    fn sample_rate(&self) -> u32 {
        8000
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) {
        g711::encode_ulaw(pcm, payload);
    }
}
