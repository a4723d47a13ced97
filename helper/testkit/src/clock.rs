//! `VirtualClock` owns the time of one test: an `Instant` that moves only when the test says so.

use std::time::{Duration, Instant};

/// A clock that stands still until it is advanced.
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    base: Instant,
    elapsed: Duration,
}

impl VirtualClock {
    /// Starts a clock at zero. The base is the real now, but nothing ever compares it with the real now again.
    pub fn new() -> Self {
        Self { base: Instant::now(), elapsed: Duration::ZERO }
    }

    /// The current virtual time.
    pub fn now(&self) -> Instant {
        self.base + self.elapsed
    }

    /// The virtual time at `offset` after the start, whatever the current time is.
    pub fn at(&self, offset: Duration) -> Instant {
        self.base + offset
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// `instant` as time since the start; zero for anything before it.
    pub fn offset_of(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.base)
    }

    /// Moves the clock forward and returns the new time.
    pub fn advance(&mut self, by: Duration) -> Instant {
        self.elapsed += by;
        self.now()
    }

    /// Moves the clock forward by milliseconds and returns the new time.
    pub fn advance_ms(&mut self, ms: u64) -> Instant {
        self.advance(Duration::from_millis(ms))
    }

    /// Moves the clock to `instant`. A time that has passed leaves the clock where it is: it never runs backwards.
    pub fn advance_to(&mut self, instant: Instant) -> Instant {
        self.elapsed = self.elapsed.max(self.offset_of(instant));
        self.now()
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_until_advanced() {
        let mut clock = VirtualClock::new();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        assert_eq!(clock.advance_ms(20), start + Duration::from_millis(20));
        assert_eq!(clock.elapsed(), Duration::from_millis(20));
        assert_eq!(clock.at(Duration::from_secs(1)), start + Duration::from_secs(1));
    }

    #[test]
    fn never_runs_backwards() {
        let mut clock = VirtualClock::new();
        let start = clock.now();
        clock.advance_ms(100);
        assert_eq!(clock.advance_to(start), start + Duration::from_millis(100));
        assert_eq!(clock.advance_to(start + Duration::from_millis(250)), start + Duration::from_millis(250));
        assert_eq!(clock.offset_of(clock.now()), Duration::from_millis(250));
    }
}
