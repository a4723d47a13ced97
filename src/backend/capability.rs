//! What a voice backend can do beyond carrying audio, as flags.

use std::{
    fmt,
    ops::{BitAnd, BitOr},
};

/// A set of abilities of a voice backend.
///
/// ```
/// use sip_relay::backend::VoiceCapability;
///
/// let can = VoiceCapability::DTMF_SIGNALING | VoiceCapability::INTERRUPTION;
/// assert!(can.contains(VoiceCapability::INTERRUPTION));
/// assert!(!can.contains(VoiceCapability::BARGE_IN));
/// assert_eq!(can.to_string(), "INTERRUPTION | DTMF_SIGNALING");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VoiceCapability(u8);

impl VoiceCapability {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// Audio that is being played can be cancelled.
    pub const INTERRUPTION: Self = Self(1);
    /// The backend leaves it to its user to detect that a caller talks over playback.
    pub const BARGE_IN: Self = Self(2);
    /// Keys arrive out of band (RFC 4733), not as tones in the audio.
    pub const DTMF_SIGNALING: Self = Self(4);

    const NAMES: [(Self, &str); 3] = [
        (Self::INTERRUPTION, "INTERRUPTION"),
        (Self::BARGE_IN, "BARGE_IN"),
        (Self::DTMF_SIGNALING, "DTMF_SIGNALING"),
    ];

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for VoiceCapability {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for VoiceCapability {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for VoiceCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            Self::NAMES.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| *name).collect();
        f.write_str(if names.is_empty() { "NONE".into() } else { names.join(" | ") }.as_str())
    }
}

impl fmt::Debug for VoiceCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoiceCapability({self})")
    }
}
