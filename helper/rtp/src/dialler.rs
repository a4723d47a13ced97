//! `Dialler` sends digits as telephone events (RFC 4733 §2.5), one packet per frame of the session's clock.
//!
//! In: digits, and once per frame the RTP timestamp. Out: what to send in that frame. Knows nothing of audio.
//!
//! ```text
//! Idle ──digit──▶ Event (update, update, ..., End) ──▶ Repeat (End, End) ──▶ Gap ──▶ Idle
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use crate::{DtmfError, FRAME};

pub(crate) struct Dialler {
    pending: VecDeque<Digit>,
    state: State,
    /// RTP clock units in a frame.
    frame_units: u32,
    /// Frames from the end of one digit to the start of the next; 2 of them carry the repeated End.
    gap: u32,
}

/// What goes out in one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DtmfFrame {
    /// No digit: audio may flow.
    Idle,
    /// The pause between two digits: silence.
    Gap,
    /// A telephone event.
    Event { payload: [u8; 4], timestamp: u32, marker: bool },
}

struct Digit {
    event: u8,
    frames: u32,
}

enum State {
    Idle,
    Event { event: u8, frames: u32, sent: u32, timestamp: u32 },
    Repeat { payload: [u8; 4], timestamp: u32, left: u32 },
    Gap { left: u32 },
}

impl Dialler {
    pub(crate) fn new(clock_rate: u32, gap: Duration) -> Self {
        let gap = frames(gap).clamp(END_REPEATS, MAX_GAP_FRAMES);
        Self { pending: VecDeque::new(), state: State::Idle, frame_units: clock_rate / 50, gap }
    }

    /// Queues all of `digits`, or none of them.
    pub(crate) fn dial(&mut self, digits: &str, each: Duration) -> Result<(), DtmfError> {
        if !(MIN_DIGIT..=MAX_DIGIT).contains(&each) {
            return Err(DtmfError::InvalidDuration(each));
        }
        for digit in digits.chars() {
            event_of(digit).ok_or(DtmfError::InvalidDigit(digit))?;
        }
        // Every valid digit is one byte.
        if self.pending.len() + digits.len() > MAX_PENDING {
            return Err(DtmfError::TooMany { limit: MAX_PENDING });
        }
        let frames = frames(each);
        self.pending.extend(digits.chars().filter_map(event_of).map(|event| Digit { event, frames }));
        Ok(())
    }

    /// Whether audio has to wait.
    pub(crate) fn is_active(&self) -> bool {
        !self.pending.is_empty() || !matches!(self.state, State::Idle | State::Gap { left: 0 })
    }

    /// What goes out in the frame that begins at `timestamp`.
    pub(crate) fn next(&mut self, timestamp: u32) -> DtmfFrame {
        if let State::Gap { left: 0 } = self.state {
            self.state = State::Idle;
        }
        if let State::Idle = self.state {
            let Some(Digit { event, frames }) = self.pending.pop_front() else { return DtmfFrame::Idle };
            self.state = State::Event { event, frames, sent: 0, timestamp };
        }
        match &mut self.state {
            State::Idle => DtmfFrame::Idle,
            State::Gap { left } => {
                *left -= 1;
                DtmfFrame::Gap
            }
            State::Event { event, frames, sent, timestamp } => {
                let (timestamp, marker) = (*timestamp, *sent == 0);
                *sent += 1;
                let end = sent == frames;
                let payload = payload(*event, end, *sent * self.frame_units);
                if end {
                    self.state = State::Repeat { payload, timestamp, left: END_REPEATS };
                }
                DtmfFrame::Event { payload, timestamp, marker }
            }
            State::Repeat { payload, timestamp, left } => {
                let frame = DtmfFrame::Event { payload: *payload, timestamp: *timestamp, marker: false };
                *left -= 1;
                if *left == 0 {
                    self.state = State::Gap { left: self.gap - END_REPEATS };
                }
                frame
            }
        }
    }
}

/// The event code of a digit (RFC 4733 §3.2).
fn event_of(digit: char) -> Option<u8> {
    EVENTS.iter().position(|event| *event == digit.to_ascii_uppercase()).map(|code| code as u8)
}

/// The digit of an event code; `None` above 15.
pub(crate) fn digit_of(event: u8) -> Option<char> {
    EVENTS.get(usize::from(event)).copied()
}

fn payload(event: u8, end: bool, duration: u32) -> [u8; 4] {
    // 8 s at 8000 Hz, the longest digit, is 64000 units; a faster clock saturates.
    let [high, low] = u16::try_from(duration).unwrap_or(u16::MAX).to_be_bytes();
    [event, u8::from(end) << 7 | VOLUME, high, low]
}

fn frames(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(FRAME.as_nanos())).unwrap_or(u32::MAX)
}

const EVENTS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];
/// -10 dBm0, the usual level.
const VOLUME: u8 = 10;
/// The End packet goes out three times in all (RFC 4733 §2.5.1.4).
const END_REPEATS: u32 = 2;
const MAX_GAP_FRAMES: u32 = 500;
const MIN_DIGIT: Duration = Duration::from_millis(40);
const MAX_DIGIT: Duration = Duration::from_secs(8);
const MAX_PENDING: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digit_5_of_160_ms_is_seven_updates_and_three_ends() {
        let mut dialler = Dialler::new(8000, Duration::from_millis(50));
        dialler.dial("5", Duration::from_millis(160)).unwrap();
        let mut expected: Vec<_> = (1..=7)
            .map(|n: u8| ([5, 0x0a, ((n as u16 * 160) >> 8) as u8, (n as u16 * 160) as u8], n == 1))
            .collect();
        expected.extend([([5, 0x8a, 0x05, 0x00], false); 3]);
        for (n, (payload, marker)) in expected.into_iter().enumerate() {
            let frame = dialler.next(1000 + 160 * n as u32);
            assert_eq!(frame, DtmfFrame::Event { payload, timestamp: 1000, marker }, "packet {n}");
        }
        assert_eq!(dialler.next(9000), DtmfFrame::Gap);
        assert_eq!(dialler.next(9160), DtmfFrame::Idle);
        assert!(!dialler.is_active());
    }

    #[test]
    fn next_digit_starts_60_ms_after_the_first_ended() {
        let mut dialler = Dialler::new(8000, Duration::from_millis(50));
        dialler.dial("1d", Duration::from_millis(40)).unwrap();
        let frames: Vec<_> = (0..10).map(|n| dialler.next(n * 160)).collect();
        let event = |payload, timestamp, marker| DtmfFrame::Event { payload, timestamp, marker };
        assert_eq!(
            frames,
            [
                event([1, 10, 0, 160], 0, true),
                event([1, 138, 1, 64], 0, false),
                event([1, 138, 1, 64], 0, false),
                event([1, 138, 1, 64], 0, false),
                DtmfFrame::Gap,
                event([15, 10, 0, 160], 800, true),
                event([15, 138, 1, 64], 800, false),
                event([15, 138, 1, 64], 800, false),
                event([15, 138, 1, 64], 800, false),
                DtmfFrame::Gap,
            ]
        );
    }

    #[test]
    fn bad_digits_and_durations_queue_nothing() {
        let mut dialler = Dialler::new(8000, Duration::from_millis(50));
        let ms = Duration::from_millis;
        assert_eq!(dialler.dial("12Z", ms(160)), Err(DtmfError::InvalidDigit('Z')));
        assert_eq!(dialler.dial("１", ms(160)), Err(DtmfError::InvalidDigit('１')));
        assert_eq!(dialler.dial("1", ms(39)), Err(DtmfError::InvalidDuration(ms(39))));
        assert_eq!(dialler.dial("1", ms(8001)), Err(DtmfError::InvalidDuration(ms(8001))));
        assert_eq!(dialler.dial(&"1".repeat(257), ms(160)), Err(DtmfError::TooMany { limit: 256 }));
        assert!(!dialler.is_active());
        assert_eq!(dialler.dial("0123456789*#ABCDabcd", ms(160)), Ok(()));
        assert_eq!(dialler.pending.iter().map(|digit| digit.event).max(), Some(15));
    }
}
