//! When a provider has played what it was sent: the marks come back then.
//!
//! In: how long the audio that arrives sounds, marks, clears, the time. Out: marks that are due. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The queue of a provider, of which only the times are kept.
#[derive(Debug, Default)]
pub(super) struct Playout {
    /// When the last audio of the queue has been played.
    end: Option<Instant>,
    marks: VecDeque<(Instant, String)>,
}

impl Playout {
    pub(super) fn play(&mut self, now: Instant, length: Duration) {
        self.end = Some(self.end.map_or(now, |end| end.max(now)) + length);
    }

    /// Behind all audio so far; at once if there is none.
    pub(super) fn mark(&mut self, now: Instant, name: String) {
        self.marks.push_back((self.end.map_or(now, |end| end.max(now)), name));
    }

    /// Drops the audio: every mark is due.
    pub(super) fn clear(&mut self, now: Instant) {
        self.end = None;
        self.marks.iter_mut().for_each(|(due, _)| *due = now);
    }

    /// When the next mark is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.marks.front().map(|(due, _)| *due)
    }

    /// The next mark that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<String> {
        self.marks.pop_front_if(|(due, _)| *due <= now).map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_when_the_audio_before_them_was_played() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut playout = Playout::default();
        playout.mark(at(0), "none".to_owned());
        assert_eq!(playout.due(at(0)), Some("none".to_owned()));
        playout.play(at(0), Duration::from_millis(100));
        playout.play(at(50), Duration::from_millis(100));
        playout.mark(at(50), "a".to_owned());
        assert_eq!((playout.deadline(), playout.due(at(199))), (Some(at(200)), None));
        assert_eq!((playout.due(at(200)), playout.deadline()), (Some("a".to_owned()), None));
        // A pause is no audio that was sent early.
        playout.play(at(500), Duration::from_millis(20));
        playout.mark(at(500), "b".to_owned());
        assert_eq!(playout.deadline(), Some(at(520)));
    }

    #[test]
    fn clear_brings_every_mark_back() {
        let now = Instant::now();
        let mut playout = Playout::default();
        playout.play(now, Duration::from_secs(60));
        playout.mark(now, "a".to_owned());
        playout.mark(now, "b".to_owned());
        playout.clear(now);
        assert_eq!(
            (playout.due(now), playout.due(now), playout.due(now)),
            (Some("a".to_owned()), Some("b".to_owned()), None)
        );
        playout.mark(now, "c".to_owned());
        assert_eq!(playout.deadline(), Some(now));
    }
}
