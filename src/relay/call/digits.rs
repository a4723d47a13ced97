//! Which reports of a key are the same press: a telephone may send one key as a telephone event, by INFO and as tones.
//!
//! In: digits with their time and their way. Out: whether a press is new. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::super::message::DigitSource;

/// The presses of the last seconds.
#[derive(Debug, Default)]
pub struct Digits {
    presses: VecDeque<Press>,
}

#[derive(Debug)]
struct Press {
    digit: char,
    began: Instant,
    ended: Instant,
    /// By which ways it came so far.
    came: Vec<DigitSource>,
}

impl Digits {
    /// A digit was reported now, of a key that was down for `duration` until about now. False if that press is known.
    pub fn is_new(&mut self, digit: char, source: DigitSource, duration: Duration, now: Instant) -> bool {
        let began = now.checked_sub(duration).unwrap_or(now);
        while self.presses.front().is_some_and(|press| press.ended + SLACK < began) {
            self.presses.pop_front();
        }
        // One way reports each press once: the same digit by the same way is another press.
        let known = self.presses.iter_mut().find(|press| {
            press.digit == digit
                && !press.came.contains(&source)
                && press.began <= now + SLACK
                && began <= press.ended + SLACK
        });
        match known {
            Some(press) => press.came.push(source),
            None => {
                if self.presses.len() >= MAX_PRESSES {
                    self.presses.pop_front();
                }
                self.presses.push_back(Press { digit, began, ended: now, came: vec![source] });
                return true;
            }
        }
        false
    }
}

/// How far apart the reports of one press may be, beyond its length: a lost INFO is sent again after 500 ms, and tones
/// are heard through the jitter buffer.
const SLACK: Duration = Duration::from_millis(700);
const MAX_PRESSES: usize = 32;

#[cfg(test)]
mod tests {
    use super::{
        DigitSource::{Info, TelephoneEvent, Tones},
        *,
    };

    const PRESS: Duration = Duration::from_millis(160);

    #[test]
    fn press_that_comes_by_several_ways_is_reported_once() {
        let (mut digits, start) = (Digits::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(digits.is_new('5', Info, PRESS, at(0)));
        assert!(!digits.is_new('5', TelephoneEvent, PRESS, at(150)));
        assert!(!digits.is_new('5', Tones, PRESS, at(200)));
        assert!(digits.is_new('6', TelephoneEvent, PRESS, at(250)), "another key");
    }

    #[test]
    fn same_key_again_by_the_same_way_is_another_press() {
        let (mut digits, start) = (Digits::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(digits.is_new('1', TelephoneEvent, PRESS, at(0)));
        assert!(digits.is_new('1', TelephoneEvent, PRESS, at(200)));
        assert!(!digits.is_new('1', Info, PRESS, at(250)));
        assert!(!digits.is_new('1', Info, PRESS, at(260)), "each press has one twin");
        assert!(digits.is_new('1', Info, PRESS, at(270)));
    }

    #[test]
    fn key_held_for_long_is_one_press_however_it_is_reported() {
        let (mut digits, start) = (Digits::default(), Instant::now());
        let held = Duration::from_secs(3);
        assert!(digits.is_new('9', Info, PRESS, start), "told when it went down");
        assert!(!digits.is_new('9', TelephoneEvent, held, start + held), "told when it came up");
        assert!(digits.is_new('9', Info, PRESS, start + held + 2 * SLACK), "much later");
    }
}
