//! What the model says in one response, and how fast.

use std::time::Duration;

use crate::{g711, tone};

/// One response.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) text: String,
    pub(super) speech: Speech,
    pub(super) calls: Vec<(String, String)>,
    pub(super) delay: Duration,
    pub(super) chunk: usize,
    pub(super) pace: Duration,
    pub(super) beta: bool,
    pub(super) fate: Fate,
}

#[derive(Debug, Clone)]
pub(super) enum Speech {
    /// In the session's format, as it is.
    Payload(Vec<u8>),
    /// At 8 kHz, to be encoded.
    Pcm(Vec<i16>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Completed,
    Failed(String),
    /// Nothing is ever heard of it.
    Never,
}

impl Answer {
    fn new(text: &str, speech: Speech) -> Self {
        Self {
            text: text.to_owned(),
            speech,
            calls: Vec::new(),
            delay: Duration::ZERO,
            chunk: 4000,
            pace: Duration::from_millis(20),
            beta: false,
            fate: Fate::Completed,
        }
    }

    /// Speech in the session's format, sent untouched.
    pub fn payload(text: &str, audio: &[u8]) -> Self {
        Self::new(text, Speech::Payload(audio.to_vec()))
    }

    /// A tone, in whatever format the session has.
    pub fn tone(text: &str, hz: f64, ms: u32) -> Self {
        Self::new(text, Speech::Pcm(tone::tone(hz, 8000, ms)))
    }

    /// No speech.
    pub fn silent() -> Self {
        Self::new("", Speech::Payload(Vec::new()))
    }

    /// A response that comes to nothing.
    pub fn failed(why: &str) -> Self {
        Self { fate: Fate::Failed(why.to_owned()), ..Self::silent() }
    }

    /// A response that never comes.
    pub fn never() -> Self {
        Self { fate: Fate::Never, ..Self::silent() }
    }

    /// With a function call, whose arguments are JSON.
    pub fn calling(mut self, name: &str, arguments: &str) -> Self {
        self.calls.push((name.to_owned(), arguments.to_owned()));
        self
    }

    /// Begins after this time.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// In pieces of so many bytes, one each `pace`. Otherwise half a second of speech each 20 ms.
    pub fn chunks(self, bytes: usize, pace: Duration) -> Self {
        Self { chunk: bytes.max(1), pace, ..self }
    }

    /// With the names of events that the beta had.
    pub fn beta(self) -> Self {
        Self { beta: true, ..self }
    }

    pub(super) fn audio(&self, payload_type: u8) -> Vec<u8> {
        match &self.speech {
            Speech::Payload(audio) => audio.clone(),
            Speech::Pcm(pcm) => g711::encode(payload_type, pcm),
        }
    }
}
