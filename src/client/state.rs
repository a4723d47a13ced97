//! How far the one call of a client has come, as a pure table.
//!
//! ```text
//!   Idle ──make_call──▶ Inviting ──18x──▶ Ringing ──2xx, ACK──▶ Connected ──audio, 250 ms──▶ Streaming
//!     ▲                    └────────────2xx────────────────────▶    │                            │
//!     │  ──INVITE for us───────────────▶ Ringing                    │                            │
//!     └───────────────────────over, from anywhere───────────────────┴────────────────────────────┘
//! ```
//!
//! In: what happened, and when. Out: the state. Knows no calls, no audio, no clock.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How far the call of a client has come.
///
/// ```
/// use sip_relay::client::CallState;
///
/// assert_eq!(CallState::Connected.value(), "connected");
/// assert!(CallState::Streaming.is_active() && !CallState::Ringing.is_active());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CallState {
    /// No call.
    #[default]
    Idle,
    /// A call was placed; the far end has not been heard of.
    Inviting,
    /// It rings: at the far end, or here.
    Ringing,
    /// Both sides have agreed; audio may be sent. Lasts for 250 ms at least, so that a program that looks ten times a second
    /// sees it.
    Connected,
    /// Audio has come from the far end.
    Streaming,
}

impl CallState {
    /// The state in lower case: `idle`, `inviting`, `ringing`, `connected`, `streaming`.
    pub const fn value(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Inviting => "inviting",
            Self::Ringing => "ringing",
            Self::Connected => "connected",
            Self::Streaming => "streaming",
        }
    }

    /// Both sides can talk: connected or streaming.
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Connected | Self::Streaming)
    }
}

impl fmt::Display for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.value())
    }
}

/// What can happen to a call before it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The far end rings.
    Rang,
    /// Both sides have agreed.
    Up,
    /// Audio came, or it was announced that there would be news at this time.
    Heard,
}

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    state: CallState,
    connected_at: Option<Instant>,
    /// Audio came while the state was still to be held.
    heard: bool,
}

impl Progress {
    /// A call that begins.
    pub fn begin(state: CallState) -> Self {
        Self { state, connected_at: None, heard: false }
    }

    pub fn state(&self) -> CallState {
        self.state
    }

    /// Moves on. Returns how long to wait before [`Step::Heard`] is to come again, where it came too early.
    pub fn step(&mut self, now: Instant, step: Step) -> Option<Duration> {
        match (self.state, step) {
            (CallState::Inviting, Step::Rang) => self.state = CallState::Ringing,
            (CallState::Inviting | CallState::Ringing, Step::Up) => {
                self.state = CallState::Connected;
                self.connected_at = Some(now);
            }
            (CallState::Connected, Step::Heard) => {
                let held = self.connected_at.map_or(HOLD, |since| now.saturating_duration_since(since));
                let first = !std::mem::replace(&mut self.heard, true);
                match HOLD.checked_sub(held).filter(|left| !left.is_zero()) {
                    Some(left) => return first.then_some(left),
                    None => self.state = CallState::Streaming,
                }
            }
            _ => {}
        }
        None
    }
}

/// How long a call is `connected` before it is `streaming`: a program that polls every 100 ms must see it, on a busy machine
/// as well.
const HOLD: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_is_held_although_audio_comes_at_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut call = Progress::begin(CallState::Inviting);
        assert_eq!(call.step(at(0), Step::Rang), None);
        assert_eq!(call.state(), CallState::Ringing);
        assert_eq!(call.step(at(100), Step::Up), None);
        assert_eq!(call.step(at(100), Step::Heard), Some(HOLD), "one packet may be all that comes");
        assert_eq!(call.step(at(349), Step::Heard), None, "a second reminder is not needed");
        assert_eq!(call.state(), CallState::Connected);
        call.step(at(350), Step::Heard);
        assert_eq!(call.state(), CallState::Streaming);
    }

    #[test]
    fn audio_before_the_answer_is_no_streaming() {
        let now = Instant::now();
        let mut call = Progress::begin(CallState::Inviting);
        assert_eq!(call.step(now, Step::Heard), None);
        assert_eq!(call.state(), CallState::Inviting);
        call.step(now, Step::Up);
        assert_eq!(call.state(), CallState::Connected);
        call.step(now + HOLD * 4, Step::Heard);
        assert_eq!(call.state(), CallState::Streaming);
    }

    #[test]
    fn ringing_that_comes_late_changes_nothing() {
        let now = Instant::now();
        let mut call = Progress::begin(CallState::Inviting);
        for step in [Step::Up, Step::Rang, Step::Up] {
            call.step(now, step);
        }
        assert_eq!(call.state(), CallState::Connected);
    }
}
