//! What a WebSocket connection chose: which words it gets, and how its audio travels.
//!
//! In: the values of the query parameters `mode`, `frames` and `codec`. Out: the typed choice. The rate is a
//! [`SampleRate`](crate::audio::SampleRate).

use std::fmt;
use std::str::FromStr;

use crate::audio::Codec;

/// Which words a connection gets, and which RTP form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// `RTP:{pt}##{hex}`, the classic words, one focus call.
    #[default]
    Classic,
    /// `RTP:{hex}`, the classic words, one focus call.
    Hex,
    /// `RTP:{call-id}##{b64pcm}`, all words, all calls.
    Multi,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 3] = [Mode::Classic, Mode::Hex, Mode::Multi];

    /// `classic`, `hex` or `multi`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Classic => "classic",
            Mode::Hex => "hex",
            Mode::Multi => "multi",
        }
    }
}

/// How RTP messages travel on a multi connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Frames {
    /// Base64 in a text message.
    #[default]
    Text,
    /// Raw bytes in a binary message.
    Binary,
}

impl Frames {
    /// `text` or `binary`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Frames::Text => "text",
            Frames::Binary => "binary",
        }
    }
}

/// What is inside an RTP message of a multi connection, both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AgentCodec {
    /// Signed 16-bit little-endian mono PCM.
    #[default]
    Pcm,
    /// G.711 µ-law bytes.
    Pcmu,
    /// G.711 A-law bytes.
    Pcma,
}

impl AgentCodec {
    /// `pcm`, `pcmu` or `pcma`.
    pub const fn as_str(self) -> &'static str {
        match self {
            AgentCodec::Pcm => "pcm",
            AgentCodec::Pcmu => "pcmu",
            AgentCodec::Pcma => "pcma",
        }
    }

    /// The G.711 law; `None` for linear PCM.
    pub const fn codec(self) -> Option<Codec> {
        match self {
            AgentCodec::Pcm => None,
            AgentCodec::Pcmu => Some(Codec::Pcmu),
            AgentCodec::Pcma => Some(Codec::Pcma),
        }
    }
}

/// A value that the parameter does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct ModeError {
    /// The values that it has.
    pub expected: &'static str,
}

/// Implements text in both directions for a choice.
macro_rules! choice {
    ($type:ident, $expected:literal, $($value:expr),*) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = ModeError;

            fn from_str(text: &str) -> Result<$type, ModeError> {
                [$($value),*].into_iter().find(|v| v.as_str() == text).ok_or(ModeError { expected: $expected })
            }
        }
    };
}

choice!(Mode, "classic, hex or multi", Mode::Classic, Mode::Hex, Mode::Multi);
choice!(Frames, "text or binary", Frames::Text, Frames::Binary);
choice!(AgentCodec, "pcm, pcmu or pcma", AgentCodec::Pcm, AgentCodec::Pcmu, AgentCodec::Pcma);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_lower_case_words() {
        assert_eq!("hex".parse(), Ok(Mode::Hex));
        assert_eq!("binary".parse(), Ok(Frames::Binary));
        assert_eq!("pcma".parse(), Ok(AgentCodec::Pcma));
        assert_eq!("Multi".parse::<Mode>().unwrap_err().to_string(), "expected classic, hex or multi");
        assert_eq!(
            (Mode::default(), Frames::default(), AgentCodec::default()),
            (Mode::Classic, Frames::Text, AgentCodec::Pcm)
        );
    }
}
