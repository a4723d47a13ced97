//! `Cadence` keeps a stream of 20 ms frames without holes: a bot that was written for Twilio takes its clock from them.
//!
//! In: when a frame of the caller came. Out: how many frames of silence are due, and when to ask again. A telephone that
//! suppresses silence, or that is on hold, sends nothing; Twilio's media goes on all the same. Pure.

use std::time::{Duration, Instant};

use model::audio::FRAME;

/// See the module's documentation.
#[derive(Debug)]
pub struct Cadence {
    /// When the next frame is expected.
    due: Instant,
    /// Silence is sent until the caller is heard again.
    filling: bool,
}

impl Cadence {
    /// A stream that begins now.
    pub fn new(now: Instant) -> Self {
        Self { due: now + FRAME, filling: false }
    }

    /// A frame of the caller came. Several at once, of a longer packet, are so many frames in advance.
    pub fn heard(&mut self, now: Instant) {
        self.filling = false;
        self.due = (self.due.max(now) + FRAME).min(now + LEAD);
    }

    /// Frames of silence to send now.
    pub fn missing(&mut self, now: Instant) -> usize {
        let patience = if self.filling { Duration::ZERO } else { GRACE };
        if now < self.due + patience {
            return 0;
        }
        self.filling = true;
        let missing = (now - self.due).as_nanos() / FRAME.as_nanos() + 1;
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        if missing > MOST {
            // We were stopped, not the caller: nothing to make up for.
            self.due = now + FRAME;
            return 1;
        }
        self.due += FRAME * missing as u32;
        missing
    }

    /// When to ask again.
    pub fn next(&self) -> Instant {
        if self.filling { self.due } else { self.due + GRACE }
    }
}

/// Time without a frame after which the caller is taken to be silent: longer than the jitter of any usable network.
const GRACE: Duration = Duration::from_millis(100);
/// How far ahead of its time a burst may be counted.
const LEAD: Duration = Duration::from_millis(200);
/// Frames that are made up for at most.
const MOST: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn regular_frames_need_no_silence_whatever_their_packets() {
        for (packet, interval) in [(1, 20), (3, 60), (5, 100)] {
            let start = Instant::now();
            let mut cadence = Cadence::new(start);
            for n in 0..50 {
                let now = start + MS * (n * interval);
                assert_eq!(cadence.missing(now), 0, "{packet} frames every {interval} ms, packet {n}");
                (0..packet).for_each(|_| cadence.heard(now));
            }
        }
    }

    #[test]
    fn pause_is_filled_to_the_frame_and_ends_with_the_caller() {
        let start = Instant::now();
        let mut cadence = Cadence::new(start);
        cadence.heard(start + FRAME);
        let mut sent = 1;
        let mut now = start;
        while now < start + Duration::from_secs(1) {
            now = cadence.next();
            sent += cadence.missing(now);
        }
        assert_eq!(sent as u128, (now - start).as_millis() / 20);
        cadence.heard(now + FRAME);
        assert_eq!(cadence.missing(now + FRAME * 3), 0);
        assert_eq!(cadence.next(), now + FRAME * 2 + GRACE);
    }

    #[test]
    fn stop_of_our_own_is_not_made_up_for() {
        let start = Instant::now();
        let mut cadence = Cadence::new(start);
        assert_eq!(cadence.missing(start + Duration::from_secs(5)), 1);
        assert_eq!(cadence.next(), start + Duration::from_secs(5) + FRAME);
    }
}
