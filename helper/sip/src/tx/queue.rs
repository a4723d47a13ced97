//! `TimerQueue` holds every armed timer of an endpoint in due order; arm, cancel and fire cost O(log n).
//! Knows nothing of what the timers mean.

use std::collections::BTreeMap;
use std::time::Instant;

/// Names one armed timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    at: Instant,
    serial: u64,
}

/// Armed timers that carry a `T`.
#[derive(Debug)]
pub(crate) struct TimerQueue<T> {
    armed: BTreeMap<TimerKey, T>,
    serial: u64,
}

impl<T> TimerQueue<T> {
    pub(crate) fn new() -> Self {
        Self { armed: BTreeMap::new(), serial: 0 }
    }

    /// Arms a timer; timers that are due at the same instant fire in the order in which they were armed.
    pub(crate) fn arm(&mut self, at: Instant, what: T) -> TimerKey {
        self.serial += 1;
        let key = TimerKey { at, serial: self.serial };
        self.armed.insert(key, what);
        key
    }

    /// Disarms a timer; one that has fired or was never armed is ignored.
    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.armed.remove(&key);
    }

    /// When the next timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.armed.first_key_value().map(|(key, _)| key.at)
    }

    /// Takes the first timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let entry = self.armed.first_entry()?;
        (entry.key().at <= now).then(|| entry.remove())
    }

    pub(crate) fn len(&self) -> usize {
        self.armed.len()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_fire_in_due_order_and_first_armed_first() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut queue = TimerQueue::new();
        queue.arm(at(20), 'c');
        queue.arm(at(10), 'a');
        queue.arm(at(10), 'b');
        assert_eq!(queue.next(), Some(at(10)));
        assert_eq!(queue.pop_due(at(9)), None);
        assert_eq!(
            [queue.pop_due(at(10)), queue.pop_due(at(10)), queue.pop_due(at(10))],
            [Some('a'), Some('b'), None]
        );
        assert_eq!(queue.pop_due(at(50)), Some('c'));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn cancelled_timer_never_fires_and_leaves_nothing() {
        let start = Instant::now();
        let mut queue = TimerQueue::new();
        let key = queue.arm(start, 'a');
        queue.cancel(key);
        queue.cancel(key);
        assert_eq!((queue.pop_due(start), queue.len()), (None, 0));
    }
}
