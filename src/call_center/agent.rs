//! `Agent` is who talks with one caller: what a call center decides, without actors, sockets and services.
//!
//! In: the caller's audio, events of the relay, what came of jobs, the time. Out: commands for the relay and jobs for the
//! services. After every input the outputs are drained, and [`Agent::deadline`] says when to call again.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use audio::speech::{SpeechConfig, SpeechDetector, SpeechEvent};
use bytes::Bytes;
use model::{
    audio::{SampleRate, le_bytes},
    command::{AgentPayload, Command},
    event::Event,
    id::CallId,
};

use super::{
    realtime::{ClientEvent, LinkId, LinkNews},
    speech::{ChatMessage, Tool, ToolCall},
    turn::TurnTimes,
};
use crate::metrics::Apology;

/// The number of a job, given by the agent that wants it; unique within a call.
pub type JobId = u64;

/// What an agent learns.
#[derive(Debug)]
pub enum Input<'a> {
    /// The caller's audio, PCM at 8 kHz.
    Audio(&'a [i16]),
    /// The same as it came, G.711, on a connection that carries that.
    Payload(&'a Bytes),
    /// What the relay says about this call, audio apart.
    Event(&'a Event),
    /// What came of a job of this agent.
    Job(JobId, News),
    /// What comes of a connection of this agent, and when it was read from there.
    Link(LinkId, Instant, LinkNews),
    /// [`Agent::deadline`] has passed.
    Timeout,
}

/// What an agent wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Tell the relay.
    Say(Command),
    /// Begin a job.
    Start(JobId, Job),
    /// End a job whose outcome nobody wants any more. One that has ended already is none.
    Stop(JobId),
    /// Open a connection to the Realtime API.
    Open(LinkId),
    /// Send this there.
    Send(LinkId, ClientEvent),
    /// End that connection. Nothing more comes of it.
    Close(LinkId),
    /// A line for the log of this call.
    Note(String),
    /// The same where something is wrong.
    Trouble(String),
    /// A turn is being answered: its first audio has just been said.
    Answered(TurnTimes),
    /// The caller interrupted an answer.
    Interrupted,
    /// The caller is told that a service is down.
    Apologized(Apology),
}

/// Work for a service, which takes its time.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// The documented round trip: speech to text, chat, text to speech. `pcm` is the caller's at 8 kHz.
    RoundTrip {
        /// What the caller said.
        pcm: Arc<[i16]>,
    },
    /// Speech to text.
    Transcribe {
        /// What the caller said, at 8 kHz.
        pcm: Arc<[i16]>,
    },
    /// A reply of the chat model, in pieces.
    Reply {
        /// What was said so far, the system prompt first.
        messages: Vec<ChatMessage>,
        /// What the model may do besides talking.
        tools: Vec<Tool>,
    },
    /// Text to speech, in pieces.
    Speak {
        /// A sentence.
        text: String,
    },
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// It failed; the text is for the log.
    Failed(String),
    /// A round trip came back: PCM at 8 kHz, nothing if the caller said nothing.
    Answer(Vec<i16>),
    /// What the caller said; nothing but blanks if nothing.
    Transcript(String),
    /// A piece of a reply.
    Piece(String),
    /// The reply is complete, and the model wants these things done.
    ReplyEnd(Vec<ToolCall>),
    /// A piece of speech, PCM at 8 kHz.
    Audio(Vec<i16>),
    /// The speech is complete.
    SpeechEnd,
}

impl News {
    /// Whether nothing more comes of the job.
    pub fn is_last(&self) -> bool {
        match self {
            News::Piece(_) | News::Audio(_) => false,
            News::Failed(_) | News::Answer(_) | News::Transcript(_) | News::ReplyEnd(_) | News::SpeechEnd => {
                true
            }
        }
    }
}

/// Who talks with one caller.
pub trait Agent {
    /// Takes an input.
    fn handle(&mut self, now: Instant, input: Input<'_>);

    /// The next thing to be done.
    fn poll(&mut self) -> Option<Output>;

    /// When to call with [`Input::Timeout`].
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// Sends the caller's audio back as it comes.
pub struct Echo {
    call: CallId,
    out: VecDeque<Output>,
}

impl Echo {
    /// For one call.
    pub fn new(call: CallId) -> Self {
        Self { call, out: VecDeque::new() }
    }
}

impl Agent for Echo {
    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        if let Input::Audio(pcm) = input {
            self.out.push_back(speak(&self.call, pcm));
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }
}

/// Repeats what the caller said when the caller has finished.
pub struct Parrot {
    call: CallId,
    listener: Listener,
    out: VecDeque<Output>,
}

impl Parrot {
    /// For one call.
    pub fn new(call: CallId) -> Self {
        Self { call, listener: Listener::new(SpeechConfig::default()), out: VecDeque::new() }
    }
}

impl Agent for Parrot {
    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        let Input::Audio(pcm) = input else { return };
        if let Some(Heard::Turn(turn)) = self.listener.hear(pcm) {
            self.out.push_back(Output::Note(format!("repeats {} ms", turn.len() / 8)));
            self.out.push_back(speak(&self.call, &turn));
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }
}

/// `pcm` (8 kHz) as a command.
pub(super) fn speak(call: &CallId, pcm: &[i16]) -> Output {
    let bytes = le_bytes(pcm).collect();
    Output::Say(Command::Rtp { call: Some(call.clone()), audio: AgentPayload::Pcm(bytes) })
}

/// Cuts what a caller says into turns: from a little before the first word to the last one.
pub(super) struct Listener {
    detector: SpeechDetector,
    /// The end of what was heard: a turn while somebody speaks, else what may become its beginning.
    kept: Vec<i16>,
    /// Samples heard before the first of `kept`.
    start: u64,
    events: Vec<SpeechEvent>,
}

/// What [`Listener`] noticed.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// The caller began to speak.
    Began,
    /// The caller has finished: all of it.
    Turn(Vec<i16>),
}

impl Listener {
    pub(super) fn new(config: SpeechConfig) -> Self {
        let Ok(detector) = SpeechDetector::new(SampleRate::Hz8000, config) else {
            unreachable!("the detector takes 8 kHz")
        };
        Self { detector, kept: Vec::new(), start: 0, events: Vec::new() }
    }

    /// Listens to a piece of audio. Of a turn that is longer than [`LONGEST_TURN`] only the end is kept.
    pub(super) fn hear(&mut self, pcm: &[i16]) -> Option<Heard> {
        self.kept.extend_from_slice(pcm);
        self.detector.process(pcm, &mut self.events);
        let mut heard = None;
        for event in std::mem::take(&mut self.events) {
            heard = Some(match event {
                SpeechEvent::Started { at } => {
                    self.forget_before(sample(at.saturating_sub(LEAD)));
                    Heard::Began
                }
                SpeechEvent::Stopped { at } => {
                    let end = (sample(at + TAIL).saturating_sub(self.start) as usize).min(self.kept.len());
                    let rest = self.kept.split_off(end);
                    self.start += end as u64;
                    Heard::Turn(std::mem::replace(&mut self.kept, rest))
                }
            });
        }
        let longest = if self.detector.speaking() { LONGEST_TURN } else { LOOK_BACK };
        let longest = sample(longest);
        let heard_in_all = self.start + self.kept.len() as u64;
        if self.kept.len() as u64 > longest + sample(LOOK_BACK) {
            self.forget_before(heard_in_all - longest);
        }
        heard
    }

    pub(super) fn speaking(&self) -> bool {
        self.detector.speaking()
    }

    fn forget_before(&mut self, position: u64) {
        let count = (position.saturating_sub(self.start) as usize).min(self.kept.len());
        self.kept.drain(..count);
        self.start += count as u64;
    }
}

/// Samples at 8 kHz.
fn sample(at: Duration) -> u64 {
    at.as_millis() as u64 * 8
}

/// What is kept of the time before the first word, which may begin softly.
const LEAD: Duration = Duration::from_millis(200);
/// What is kept of the time after the last word.
const TAIL: Duration = Duration::from_millis(100);
/// Audio that is kept while nobody speaks: the onset of speech is noticed late.
const LOOK_BACK: Duration = Duration::from_millis(1000);
/// The longest turn.
const LONGEST_TURN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{tone::rms, voice};

    #[test]
    fn listener_gives_each_turn_once_with_its_beginning_and_end() {
        let mut listener = Listener::new(SpeechConfig::default());
        let (first, second) = (voice::speech(8000, 2000, 1), voice::speech(8000, 1500, 2));
        let silence = |ms: usize| vec![0; ms * 8];
        let audio = [silence(2000), first.clone(), silence(1000), second, silence(1000)].concat();
        let heard: Vec<_> = audio.chunks(160).filter_map(|frame| listener.hear(frame)).collect();
        let [Heard::Began, Heard::Turn(a), Heard::Began, Heard::Turn(b)] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert!((2000..2500).contains(&(a.len() / 8)), "{} ms", a.len() / 8);
        assert!((1500..2000).contains(&(b.len() / 8)), "{} ms", b.len() / 8);
        let begin = a.windows(100).position(|window| *window == first[..100]).expect("the first word");
        assert!(begin > 0 && a[begin..].starts_with(&first[..8000]));
        assert!(rms(&a[..begin]) < 1.0);
    }

    #[test]
    fn endless_speech_is_bounded() {
        let mut listener = Listener::new(SpeechConfig::default());
        let speech = voice::speech(8000, 3000, 3);
        for _ in 0..40 {
            for frame in speech.chunks(160) {
                listener.hear(frame);
                assert!(listener.kept.len() <= 62 * 8000);
            }
        }
    }
}
