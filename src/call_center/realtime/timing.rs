//! `Timing` is when what happened in a turn, for one line of the log.

use std::time::{Duration, Instant};

/// The moments of one turn.
#[derive(Debug, Clone)]
pub(super) struct Timing {
    said: Option<Duration>,
    /// When the caller's last word had come to us.
    last_word: Instant,
    /// When the service said that he has finished.
    over: Instant,
    /// Our own time until then, from that message on.
    own_before: Duration,
}

impl Timing {
    /// A turn that the service said was over in a message of `read`, which was dealt with at `now`.
    pub(super) fn new(now: Instant, read: Instant, last_word: Instant, said: Option<Duration>) -> Self {
        let own_before = now.saturating_duration_since(read);
        Self { said, last_word, over: read, own_before }
    }

    /// The line of the log, when the first audio of the answer, in a message of `read`, went to the relay at `now`:
    /// milliseconds since the caller's last word. Own is the time that we had the message of the service in our hands.
    pub(super) fn line(&self, turn: u64, read: Instant, now: Instant) -> String {
        let at = |moment: Instant| moment.saturating_duration_since(self.last_word).as_millis();
        let said = self.said.map_or_else(|| "-".to_owned(), |said| said.as_millis().to_string());
        format!(
            "turn {turn}: {said} ms said; after the last word: turn over {} ms, first audio {}, first line {}; own share \
             {} + {} ms",
            at(self.over),
            at(read),
            at(now),
            self.own_before.as_millis(),
            now.saturating_duration_since(read).as_millis(),
        )
    }
}

/// The audio that was sent in a session, by which the service names moments.
#[derive(Debug, Clone, Default)]
pub(super) struct AudioClock {
    bytes: u64,
    last: Option<Instant>,
}

impl AudioClock {
    /// So many bytes of G.711 were sent.
    pub(super) fn sent(&mut self, now: Instant, bytes: usize) {
        self.bytes += bytes as u64;
        self.last = Some(now);
    }

    /// When the audio at `position` was sent.
    pub(super) fn moment(&self, position: Duration) -> Option<Instant> {
        let behind = Duration::from_micros(self.bytes * 125).saturating_sub(position);
        self.last?.checked_sub(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_tells_our_share_from_the_services() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let timing = Timing::new(at(603), at(600), at(100), Some(Duration::from_millis(1700)));
        assert_eq!(
            timing.line(3, at(900), at(901)),
            "turn 3: 1700 ms said; after the last word: turn over 500 ms, first audio 800, first line 801; own share 3 + 1 ms"
        );
    }

    #[test]
    fn moments_are_found_by_the_audio_sent() {
        let start = Instant::now();
        let mut clock = AudioClock::default();
        assert_eq!(clock.moment(Duration::ZERO), None);
        for n in 1..=100 {
            clock.sent(start + Duration::from_millis(20 * n), 160);
        }
        assert_eq!(clock.moment(Duration::from_millis(1500)), Some(start + Duration::from_millis(1500)));
        assert_eq!(clock.moment(Duration::from_secs(9)), Some(start + Duration::from_secs(2)));
    }
}
