//! `Phone` decides what the far end of one call does: the number's last digits choose, the time and the caller move it.
//!
//! In: the number, the time, what happened. Out: [`Step`]s. Knows nothing of SIP messages, sockets or audio.
//!
//! ```text
//!   Ringing ──ring time over──▶ Answered ──ACK──▶ Speaking ──sentence over──▶ Echoing ──10 minutes──▶ Over
//!   refuse ──────────────────────────────────────────────────────────────────────────────────────────▶ Over
//! ```

use std::time::{Duration, Instant};

/// What a number does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Refuses with this SIP status.
    Refuse(u16),
    /// Rings until the caller gives up.
    RingForever,
    /// Rings, answers, says the sentence.
    Answer {
        /// How long it rings.
        ring: Duration,
        /// Rings with 183 and a tone instead of 180 in silence.
        early_media: bool,
        /// Hangs up after the sentence instead of echoing.
        hang_up: bool,
    },
}

/// Last digits of a number, and what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The digits; a SIP status wherever one fits.
    pub digits: &'static str,
    /// What a number with this ending does, in words.
    pub says: &'static str,
    /// The same as a value.
    pub behaviour: Behaviour,
}

impl Ending {
    /// A number with this ending.
    pub fn example(&self) -> String {
        format!("0912340{}", self.digits)
    }
}

impl Behaviour {
    /// What this number does.
    pub fn of(number: &str) -> Self {
        ENDINGS.iter().find(|ending| number.ends_with(ending.digits)).map_or(USUAL, |ending| ending.behaviour)
    }
}

/// What the exchange is to do for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Refuse the call with this SIP status.
    Refuse(u16),
    /// 180 Ringing.
    Ring,
    /// 183 Session Progress, and a ringing tone.
    RingAloud,
    /// 200 OK.
    Answer,
    /// Say the sentence.
    Speak,
    /// From now on, play what is heard.
    Echo,
    /// End the call.
    HangUp,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Phone {
    behaviour: Behaviour,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Ringing { until: Option<Instant> },
    Answered { until: Instant },
    Speaking { until: Instant },
    Echoing { until: Instant },
    Over,
}

impl Phone {
    /// A call to a phone of this behaviour arrives: the phone, and its first step.
    pub fn call(now: Instant, behaviour: Behaviour) -> (Self, Step) {
        let (until, step) = match behaviour {
            Behaviour::Refuse(status) => {
                return (Self { behaviour, state: State::Over }, Step::Refuse(status));
            }
            Behaviour::RingForever => (None, Step::Ring),
            Behaviour::Answer { ring, early_media: false, .. } => (Some(now + ring), Step::Ring),
            Behaviour::Answer { ring, early_media: true, .. } => (Some(now + ring), Step::RingAloud),
        };
        (Self { behaviour, state: State::Ringing { until } }, step)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: never.
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Ringing { until } => until,
            State::Answered { until } | State::Speaking { until } | State::Echoing { until } => Some(until),
            State::Over => None,
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Step> {
        self.next_timeout().filter(|due| *due <= now)?;
        if let State::Ringing { .. } = self.state {
            self.state = State::Answered { until: now + LONGEST };
            return Some(Step::Answer);
        }
        self.state = State::Over;
        Some(Step::HangUp)
    }

    /// The caller acknowledged the answer.
    pub fn acked(&mut self) -> Option<Step> {
        let State::Answered { until } = self.state else { return None };
        self.state = State::Speaking { until };
        Some(Step::Speak)
    }

    /// The sentence is over.
    pub fn said(&mut self) -> Option<Step> {
        let State::Speaking { until } = self.state else { return None };
        if matches!(self.behaviour, Behaviour::Answer { hang_up: true, .. }) {
            self.state = State::Over;
            return Some(Step::HangUp);
        }
        self.state = State::Echoing { until };
        Some(Step::Echo)
    }
}

/// The endings that do something other than ring for a second, answer, speak and echo. The first that fits counts.
pub const ENDINGS: [Ending; 9] = [
    ending("180", "rings for ten seconds first", answers(10, false, false)),
    ending("183", "rings for three seconds with a tone (early media) first", answers(3, true, false)),
    ending("200", "says the sentence and hangs up", answers(1, false, true)),
    ending("404", "does not exist", Behaviour::Refuse(404)),
    ending("408", "rings and is never answered", Behaviour::RingForever),
    ending("480", "is not available", Behaviour::Refuse(480)),
    ending("486", "is busy", Behaviour::Refuse(486)),
    ending("503", "is overloaded", Behaviour::Refuse(503)),
    ending("603", "declines", Behaviour::Refuse(603)),
];

const fn ending(digits: &'static str, says: &'static str, behaviour: Behaviour) -> Ending {
    Ending { digits, says, behaviour }
}

const fn answers(seconds: u64, early_media: bool, hang_up: bool) -> Behaviour {
    Behaviour::Answer { ring: Duration::from_secs(seconds), early_media, hang_up }
}

const USUAL: Behaviour = answers(1, false, false);
/// The longest call: nobody needs an echo for longer, and a forgotten call must end.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn any_number_rings_a_second_answers_speaks_and_echoes_for_ten_minutes() {
        let start = Instant::now();
        let (mut phone, step) = Phone::call(start, Behaviour::of("0912341234"));
        assert_eq!(step, Step::Ring);
        assert_eq!(phone.next_timeout(), Some(start + SECOND));
        assert_eq!(phone.handle_timeout(start + SECOND / 2), None);
        assert_eq!(phone.handle_timeout(start + SECOND), Some(Step::Answer));
        assert_eq!(phone.acked(), Some(Step::Speak));
        assert_eq!(phone.said(), Some(Step::Echo));
        let end = start + SECOND + LONGEST;
        assert_eq!(phone.next_timeout(), Some(end));
        assert_eq!(phone.handle_timeout(end), Some(Step::HangUp));
        assert_eq!(phone.next_timeout(), None);
    }

    #[test]
    fn last_digits_choose() {
        assert_eq!(Behaviour::of("+84912340486"), Behaviour::Refuse(486));
        assert_eq!(Behaviour::of("0912340404"), Behaviour::Refuse(404));
        assert_eq!(Behaviour::of("0912340603"), Behaviour::Refuse(603));
        assert_eq!(Behaviour::of("0912340408"), Behaviour::RingForever);
        assert_eq!(Behaviour::of("4860000000"), USUAL);
        assert_eq!(Behaviour::of(""), USUAL);
        for ending in ENDINGS {
            assert_eq!(Behaviour::of(&ending.example()), ending.behaviour, "{}", ending.digits);
        }
    }

    #[test]
    fn refusal_is_the_only_step_of_its_call() {
        let (phone, step) = Phone::call(Instant::now(), Behaviour::of("486"));
        assert_eq!((step, phone.next_timeout()), (Step::Refuse(486), None));
    }

    #[test]
    fn phone_that_is_never_answered_waits_for_nothing() {
        let (phone, step) = Phone::call(Instant::now(), Behaviour::of("408"));
        assert_eq!((step, phone.next_timeout()), (Step::Ring, None));
    }

    #[test]
    fn early_media_comes_instead_of_ringing() {
        let start = Instant::now();
        let (mut phone, step) = Phone::call(start, Behaviour::of("183"));
        assert_eq!(step, Step::RingAloud);
        assert_eq!(phone.handle_timeout(start + 3 * SECOND), Some(Step::Answer));
    }

    #[test]
    fn phone_that_hangs_up_does_so_after_the_sentence_and_only_then() {
        let start = Instant::now();
        let (mut phone, _) = Phone::call(start, Behaviour::of("200"));
        assert_eq!(phone.said(), None);
        phone.handle_timeout(start + SECOND);
        assert_eq!((phone.acked(), phone.acked()), (Some(Step::Speak), None));
        assert_eq!((phone.said(), phone.said()), (Some(Step::HangUp), None));
    }

    #[test]
    fn answer_that_is_not_acknowledged_does_not_last_for_ever() {
        let start = Instant::now();
        let (mut phone, _) = Phone::call(start, USUAL);
        phone.handle_timeout(start + SECOND);
        assert_eq!(phone.handle_timeout(start + SECOND + LONGEST), Some(Step::HangUp));
    }
}
