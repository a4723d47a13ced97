//! `Timing` is when what happened in a turn, for one line of the log.

use std::time::{Duration, Instant};

use super::SPEECH;

/// The moments of one turn.
#[derive(Debug, Clone)]
pub(super) struct Timing {
    said: Duration,
    /// When it was clear that the caller had finished.
    over: Instant,
    transcript: Option<Instant>,
    token: Option<Instant>,
    sentence: Option<Instant>,
    audio: Option<Instant>,
    line: Option<Instant>,
}

impl Timing {
    /// A turn of this length that is over.
    pub(super) fn new(over: Instant, said: Duration) -> Self {
        Self { said, over, transcript: None, token: None, sentence: None, audio: None, line: None }
    }

    pub(super) fn transcript(&mut self, now: Instant) {
        self.transcript.get_or_insert(now);
    }

    pub(super) fn token(&mut self, now: Instant) {
        self.token.get_or_insert(now);
    }

    pub(super) fn sentence(&mut self, now: Instant) {
        self.sentence.get_or_insert(now);
    }

    pub(super) fn audio(&mut self, now: Instant) {
        self.audio.get_or_insert(now);
    }

    pub(super) fn line_sent(&mut self, now: Instant) {
        self.line.get_or_insert(now);
    }

    /// The line of the log: milliseconds since the caller's last word. Own is what passed without a service at work: the time
    /// to be sure that the caller has finished, and the rest.
    pub(super) fn line(&self, turn: u64) -> String {
        let sure = SPEECH.hangover;
        let at = |moment: Option<Instant>| match moment {
            Some(moment) => (moment.saturating_duration_since(self.over) + sure).as_millis().to_string(),
            None => "-".to_owned(),
        };
        let rest = match (self.audio, self.line) {
            (Some(audio), Some(line)) => line.saturating_duration_since(audio).as_millis(),
            _ => 0,
        };
        format!(
            "turn {turn}: {} ms said; after the last word: turn over {} ms, transcript {}, first token {}, first sentence \
             {}, first audio {}, first line {}; own share {} + {rest} ms",
            self.said.as_millis(),
            sure.as_millis(),
            at(self.transcript),
            at(self.token),
            at(self.sentence),
            at(self.audio),
            at(self.line),
            sure.as_millis(),
        )
    }
}
