//! Keeps a flood of one kind of line from filling the disk: whoever can provoke a line can provoke it a million times.
//!
//! In: the place in the code that wants to log, and the time. Out: whether it may, and how many lines of that place were
//! withheld before. Debugging is not throttled: who asks for it wants all of it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Level, Metadata, callsite::Identifier};

/// The places that log, and what each may still say.
#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<Identifier, Bucket>>);

impl Throttle {
    /// `Some` when the line may be written, with the number of lines of its kind that were not since the last.
    pub(super) fn admit(&self, metadata: &Metadata<'_>, now: Instant) -> Option<u64> {
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        // What was counted before a panic still counts.
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(metadata.callsite()).or_insert_with(|| Bucket::new(now)).take(now)
    }
}

/// The lines that one place may write at once.
struct Bucket {
    tokens: f64,
    filled: Instant,
    withheld: u64,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { tokens: AT_ONCE, filled: now, withheld: 0 }
    }

    fn take(&mut self, now: Instant) -> Option<u64> {
        let passed: Duration = now.saturating_duration_since(self.filled);
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * PER_SECOND).min(AT_ONCE);
        if self.tokens < 1.0 {
            self.withheld += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.withheld))
    }
}

/// Lines of one kind at once: what a busy minute brings.
const AT_ONCE: f64 = 1000.0;
/// And from then on, a second: more calls than one machine sees for long.
const PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousand_lines_may_come_at_once_and_then_a_hundred_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let mut written =
            |at: Duration| (0..3000).filter_map(|_| bucket.take(start + at)).collect::<Vec<_>>();
        assert_eq!(written(Duration::ZERO), [0; 1000]);
        assert!(written(Duration::from_millis(9)).is_empty());
        let after_a_second = written(Duration::from_secs(1));
        assert_eq!((after_a_second.len(), after_a_second[0]), (100, 5000), "what was withheld is told once");
        assert!(after_a_second[1..].iter().all(|withheld| *withheld == 0));
        assert_eq!(written(Duration::from_secs(3600)).len(), 1000, "never more at once");
    }
}
