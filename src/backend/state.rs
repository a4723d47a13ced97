//! How a session stands, in words.

use std::fmt;

/// How a session stands.
///
/// ```
/// # use sip_relay::backend::SessionState;
/// assert_eq!(SessionState::Active.to_string(), "active");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionState {
    /// Ringing: not answered yet.
    Connecting,
    /// Answered; audio flows.
    Active,
    /// The far end holds the call.
    Paused,
    /// Over, for good.
    Ended,
}

impl SessionState {
    /// `connecting`, `active`, `paused` or `ended`.
    pub const fn value(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.value())
    }
}
