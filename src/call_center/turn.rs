//! `TurnTimes` is when what happened in a turn: for one line of the log, and for the metrics.

use std::time::{Duration, Instant};

use crate::metrics::TurnStage;

/// The moments of one turn, until its first audio is on its way to the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnTimes {
    turn: u64,
    said: Duration,
    /// Silence that is needed to be sure that the caller has finished.
    end_of_turn: Duration,
    /// When it was clear that the caller had finished.
    over: Instant,
    transcript: Option<Instant>,
    token: Option<Instant>,
    sentence: Option<Instant>,
    audio: Option<Instant>,
    line: Option<Instant>,
}

impl TurnTimes {
    /// A turn of the length `said` of which it is clear since `over` that it is over.
    pub fn new(over: Instant, said: Duration, end_of_turn: Duration) -> Self {
        let (transcript, token, sentence, audio, line) = (None, None, None, None, None);
        Self { turn: 0, said, end_of_turn, over, transcript, token, sentence, audio, line }
    }

    /// What was said has been transcribed.
    pub fn transcript(&mut self, now: Instant) {
        self.transcript.get_or_insert(now);
    }

    /// Something of the reply has come.
    pub fn token(&mut self, now: Instant) {
        self.token.get_or_insert(now);
    }

    /// A sentence of the reply is complete.
    pub fn sentence(&mut self, now: Instant) {
        self.sentence.get_or_insert(now);
    }

    /// Some of its speech has come.
    pub fn audio(&mut self, now: Instant) {
        self.audio.get_or_insert(now);
    }

    /// It was sent to the relay, in the turn with this number.
    pub fn line_sent(&mut self, turn: u64, now: Instant) {
        self.turn = turn;
        self.line.get_or_insert(now);
    }

    /// When the first audio was sent.
    pub fn first_line(&self) -> Option<Instant> {
        self.line
    }

    /// Whether the caller said it, rather than keyed it in.
    pub fn is_spoken(&self) -> bool {
        self.transcript.is_some()
    }

    /// How long each stage took that has been reached, [`TurnStage::Own`] apart.
    pub fn stages(&self) -> impl Iterator<Item = (TurnStage, Duration)> {
        let begin = self.transcript.unwrap_or(self.over);
        [
            (TurnStage::Transcript, Some(self.over), self.transcript),
            (TurnStage::FirstToken, Some(begin), self.token),
            (TurnStage::FirstAudio, self.token, self.audio),
            (TurnStage::FirstLine, self.audio, self.line),
            (TurnStage::Total, Some(self.over), self.line),
        ]
        .into_iter()
        .filter_map(|(stage, from, to)| Some((stage, to?.saturating_duration_since(from?))))
    }

    /// The line of the log: milliseconds since the caller's last word. `own`: what this program took between the answers of
    /// the services.
    pub fn line(&self, own: Duration) -> String {
        let sure = self.end_of_turn;
        let at = |moment: Option<Instant>| match moment {
            Some(moment) => (moment.saturating_duration_since(self.over) + sure).as_millis().to_string(),
            None => "-".to_owned(),
        };
        format!(
            "turn {}: {} ms said; after the last word: turn over {} ms, transcript {}, first token {}, first sentence {}, \
             first audio {}, first line {}; own share {} + {} ms",
            self.turn,
            self.said.as_millis(),
            sure.as_millis(),
            at(self.transcript),
            at(self.token),
            at(self.sentence),
            at(self.audio),
            at(self.line),
            sure.as_millis(),
            own.as_millis(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_is_counted_from_the_one_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut times = TurnTimes::new(start, Duration::from_secs(2), Duration::from_millis(500));
        times.transcript(at(400));
        times.token(at(700));
        times.token(at(750));
        times.sentence(at(800));
        times.audio(at(1100));
        times.line_sent(3, at(1102));
        let stages: Vec<_> = times.stages().map(|(stage, took)| (stage, took.as_millis())).collect();
        let expected = [
            (TurnStage::Transcript, 400),
            (TurnStage::FirstToken, 300),
            (TurnStage::FirstAudio, 400),
            (TurnStage::FirstLine, 2),
            (TurnStage::Total, 1102),
        ];
        assert_eq!(stages, expected);
        let line = times.line(Duration::from_millis(4));
        assert_eq!(
            line,
            "turn 3: 2000 ms said; after the last word: turn over 500 ms, transcript 900, first token 1200, \
             first sentence 1300, first audio 1600, first line 1602; own share 500 + 4 ms"
        );
    }

    #[test]
    fn turn_on_the_keypad_has_no_transcript() {
        let start = Instant::now();
        let mut times = TurnTimes::new(start, Duration::ZERO, Duration::ZERO);
        times.token(start + Duration::from_millis(5));
        let stages: Vec<_> = times.stages().collect();
        assert_eq!(stages, [(TurnStage::FirstToken, Duration::from_millis(5))]);
        assert!(!times.is_spoken() && times.line(Duration::ZERO).contains("transcript -"));
    }
}
