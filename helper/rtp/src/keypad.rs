//! `Keypad` recognises key presses in the peer's telephone events (RFC 4733 §2.5.2).
//!
//! In: events with their RTP timestamp, in any order and any number of times. Out: each key press once. A press is
//! known by its timestamp and event, never by the marker bit, which gets lost.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::dialler::digit_of;

pub(crate) struct Keypad {
    clock_rate: u32,
    current: Option<Press>,
    /// The press that was reported last: its End packets are still coming.
    reported: Option<(u32, u8)>,
}

/// A key that is held down, as far as is known.
struct Press {
    /// Of the segment that is being sent.
    timestamp: u32,
    event: u8,
    /// Clock units in earlier segments of a very long press.
    before: u64,
    duration: u16,
    heard: Instant,
}

/// A complete key press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyPress {
    pub(crate) digit: char,
    pub(crate) duration: Duration,
}

impl Keypad {
    pub(crate) fn new(clock_rate: u32) -> Self {
        Self { clock_rate: clock_rate.max(1), current: None, reported: None }
    }

    /// One telephone-event packet. Events that are no digits are ignored.
    pub(crate) fn handle(&mut self, now: Instant, timestamp: u32, payload: &[u8]) -> SmallVec<[KeyPress; 2]> {
        let mut presses = SmallVec::new();
        let [event, flags, high, low, ..] = *payload else { return presses };
        if digit_of(event).is_none() || self.is_stale(timestamp, event) {
            return presses;
        }
        let duration = u16::from_be_bytes([high, low]);
        let continued = match &mut self.current {
            Some(press) if press.event == event && press.timestamp == timestamp => {
                press.duration = press.duration.max(duration);
                true
            }
            // A press longer than 0xffff units goes on in a new segment (RFC 4733 §2.5.1.3).
            Some(press) if press.event == event && timestamp == press.timestamp.wrapping_add(0xffff) => {
                press.before += 0xffff;
                press.timestamp = timestamp;
                press.duration = duration;
                true
            }
            _ => false,
        };
        if !continued {
            presses.extend(self.flush());
            self.current = Some(Press { timestamp, event, before: 0, duration, heard: now });
        }
        if let Some(press) = &mut self.current {
            press.heard = now;
        }
        if flags & 0x80 != 0 {
            presses.extend(self.flush());
        }
        presses
    }

    /// When a press is taken as complete although no End came.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.current.as_ref().map(|press| press.heard + SILENCE)
    }

    /// The press that is complete at `now` although no End came.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<KeyPress> {
        if self.next_timeout()? > now {
            return None;
        }
        self.flush()
    }

    /// The press that is still going on.
    pub(crate) fn flush(&mut self) -> Option<KeyPress> {
        let press = self.current.take()?;
        self.reported = Some((press.timestamp, press.event));
        let units = press.before + u64::from(press.duration);
        let duration = Duration::from_nanos(units * 1_000_000_000 / u64::from(self.clock_rate));
        Some(KeyPress { digit: digit_of(press.event)?, duration })
    }

    /// The peer began another stream: its timestamps have nothing to do with the old ones.
    pub(crate) fn restart(&mut self) -> Option<KeyPress> {
        let press = self.flush();
        self.reported = None;
        press
    }

    /// Whether the packet belongs to a press that was reported, or comes late from before the one at hand.
    fn is_stale(&self, timestamp: u32, event: u8) -> bool {
        let newest = match (&self.current, self.reported) {
            (_, Some(reported)) if reported == (timestamp, event) => return true,
            (Some(press), _) => press.timestamp,
            (None, Some((reported, _))) => reported,
            (None, None) => return false,
        };
        let behind = newest.wrapping_sub(timestamp);
        behind != 0 && behind < self.clock_rate.saturating_mul(STALE_SECONDS)
    }
}

/// Updates come every 20 to 50 ms, so four in a row are missing.
const SILENCE: Duration = Duration::from_millis(200);
/// The longest single event lasts 8.2 s; a timestamp further behind means that the peer's clock was set anew.
const STALE_SECONDS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ends_are_one_press() {
        let (mut keypad, now) = keypad();
        for duration in [160, 320, 480] {
            assert!(keypad.handle(now, 4000, &event(5, false, duration)).is_empty());
        }
        assert_eq!(keypad.handle(now, 4000, &event(5, true, 1280)).as_slice(), [press('5', 160)]);
        assert!(keypad.handle(now, 4000, &event(5, true, 1280)).is_empty());
        assert!(keypad.handle(now, 4000, &event(5, true, 1280)).is_empty());
        assert!(keypad.handle(now, 4000, &event(5, false, 960)).is_empty(), "late update");
        assert_eq!(keypad.next_timeout(), None);
    }

    #[test]
    fn lone_end_is_a_press() {
        let (mut keypad, now) = keypad();
        assert_eq!(keypad.handle(now, 4000, &event(11, true, 800)).as_slice(), [press('#', 100)]);
    }

    #[test]
    fn press_without_end_is_reported_after_200_ms() {
        let (mut keypad, now) = keypad();
        keypad.handle(now, 4000, &event(0, false, 160));
        keypad.handle(now + ms(20), 4000, &event(0, false, 320));
        assert_eq!(keypad.next_timeout(), Some(now + ms(220)));
        assert_eq!(keypad.handle_timeout(now + ms(219)), None);
        assert_eq!(keypad.handle_timeout(now + ms(220)), Some(press('0', 40)));
        assert!(keypad.handle(now + ms(230), 4000, &event(0, true, 1280)).is_empty());
    }

    #[test]
    fn next_press_reports_the_one_whose_ends_were_lost() {
        let (mut keypad, now) = keypad();
        keypad.handle(now, 4000, &event(1, false, 800));
        assert_eq!(keypad.handle(now, 6000, &event(1, false, 160)).as_slice(), [press('1', 100)]);
        assert_eq!(keypad.handle(now, 6000, &event(1, true, 800)).as_slice(), [press('1', 100)]);
        assert!(keypad.handle(now, 4000, &event(1, true, 800)).is_empty(), "End of the first, late");
    }

    #[test]
    fn same_key_pressed_twice_is_two_presses() {
        let (mut keypad, now) = keypad();
        assert_eq!(keypad.handle(now, 4000, &event(9, true, 800)).as_slice(), [press('9', 100)]);
        assert_eq!(keypad.handle(now, 5200, &event(9, true, 800)).as_slice(), [press('9', 100)]);
    }

    #[test]
    fn press_goes_on_across_the_timestamp_wrap_and_segments() {
        let (mut keypad, now) = keypad();
        let start = u32::MAX - 100;
        keypad.handle(now, start, &event(2, false, 0xffff));
        assert!(keypad.handle(now, start.wrapping_add(0xffff), &event(2, false, 160)).is_empty());
        let presses = keypad.handle(now, start.wrapping_add(0xffff), &event(2, true, 465));
        assert_eq!(presses.as_slice(), [press('2', 8250)]);
    }

    #[test]
    fn short_payloads_and_other_events_are_ignored() {
        let (mut keypad, now) = keypad();
        assert!(keypad.handle(now, 4000, &[5, 0x8a, 5]).is_empty());
        assert!(keypad.handle(now, 4000, &event(16, true, 800)).is_empty());
        assert!(keypad.handle(now, 4000, &event(255, true, 800)).is_empty());
        assert_eq!(keypad.next_timeout(), None);
    }

    fn keypad() -> (Keypad, Instant) {
        #[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
        let now = Instant::now();
        (Keypad::new(8000), now)
    }

    fn event(event: u8, end: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [event, if end { 0x8a } else { 0x0a }, high, low]
    }

    fn press(digit: char, duration: u64) -> KeyPress {
        KeyPress { digit, duration: ms(duration) }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
