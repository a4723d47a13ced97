//! Formats of audio as the providers name them, and the two directions of a call.

use std::fmt;
use std::time::Duration;

use crate::FRAME;

/// How a payload is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// G.711 µ-law: `PCMU`, `mulaw`, `audio/x-mulaw`.
    Pcmu,
    /// G.711 A-law: `PCMA`, `alaw`, `audio/x-alaw`.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Linear PCM, 16 bit. At this crate's interface always little-endian, whatever the wire says.
    L16,
}

impl Encoding {
    /// Telnyx's name: `PCMU`, `PCMA`, `G722`, `L16`.
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Pcmu => "PCMU",
            Encoding::Pcma => "PCMA",
            Encoding::G722 => "G722",
            Encoding::L16 => "L16",
        }
    }

    /// The encoding of a provider's name for it, in any case, with or without `audio/` and `x-`.
    pub fn from_name(name: &str) -> Option<Encoding> {
        let name = name.trim().to_ascii_lowercase();
        let name = name.strip_prefix("audio/").unwrap_or(&name);
        // Whole names only: "pcmu" contains "pcm".
        match name.strip_prefix("x-").unwrap_or(name) {
            "pcmu" | "mulaw" | "ulaw" | "mu-law" | "g711u" | "g711_ulaw" => Some(Encoding::Pcmu),
            "pcma" | "alaw" | "a-law" | "g711a" | "g711_alaw" => Some(Encoding::Pcma),
            "g722" | "g.722" => Some(Encoding::G722),
            "l16" | "linear16" | "pcm" | "pcm16" | "pcm_s16le" | "s16le" | "slin" | "raw" => {
                Some(Encoding::L16)
            }
            _ => None,
        }
    }

    const fn usual_rate(self) -> u32 {
        match self {
            Encoding::Pcmu | Encoding::Pcma => 8000,
            Encoding::G722 | Encoding::L16 => 16_000,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The audio of one direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaFormat {
    /// How it is coded.
    pub encoding: Encoding,
    /// Samples a second, 8000-48000. Of G.722 what the provider said, 8000 or 16000: it has 64 kbit/s at both.
    pub rate: u32,
    /// 1 or 2, interleaved.
    pub channels: u8,
}

impl MediaFormat {
    /// What Twilio speaks: µ-law, 8000 Hz.
    pub const MULAW_8000: MediaFormat = MediaFormat { encoding: Encoding::Pcmu, rate: 8000, channels: 1 };

    /// What our TeXML asks of Telnyx: linear, 16000 Hz.
    pub const L16_16000: MediaFormat = MediaFormat { encoding: Encoding::L16, rate: 16_000, channels: 1 };

    /// Reads what a provider announced; what it left out is as in `default`, the rate as is usual for the encoding.
    pub fn read(announced: &AnnouncedFormat, default: MediaFormat) -> Result<MediaFormat, FormatError> {
        let encoding = match &announced.encoding {
            None => default.encoding,
            Some(name) => {
                Encoding::from_name(name).ok_or_else(|| FormatError::Encoding(clip(name, 64).to_owned()))?
            }
        };
        let usual = if encoding == default.encoding { default.rate } else { encoding.usual_rate() };
        let rate = announced.sample_rate.unwrap_or(usual);
        if !(8000..=48_000).contains(&rate) {
            return Err(FormatError::Rate(rate));
        }
        match announced.channels.unwrap_or(1) {
            channels @ (1 | 2) => Ok(MediaFormat { encoding, rate, channels: channels as u8 }),
            channels => Err(FormatError::Channels(channels)),
        }
    }

    /// Bytes of one second.
    pub const fn bytes_per_second(&self) -> u32 {
        let samples = self.rate * self.channels as u32;
        match self.encoding {
            Encoding::Pcmu | Encoding::Pcma => samples,
            Encoding::G722 => 8000 * self.channels as u32,
            Encoding::L16 => samples * 2,
        }
    }

    /// Bytes of one frame of 20 ms: 160 of µ-law at 8000 Hz, 640 of L16 at 16000 Hz.
    pub const fn frame_bytes(&self) -> usize {
        self.bytes_per_second() as usize / (1000 / FRAME.as_millis() as usize)
    }

    /// How long `bytes` sound.
    pub fn duration(&self, bytes: u64) -> Duration {
        Duration::from_micros(bytes.saturating_mul(1_000_000) / u64::from(self.bytes_per_second()))
    }
}

/// A format in the provider's own words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnnouncedFormat {
    /// As `audio/x-mulaw` or `PCMU`.
    pub encoding: Option<String>,
    /// Samples a second.
    pub sample_rate: Option<u32>,
    /// 1 for mono.
    pub channels: Option<u32>,
}

/// Why a format cannot be spoken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// No [`Encoding`].
    #[error("encoding {0:?} is not supported, expected PCMU, PCMA, G722 or L16")]
    Encoding(String),
    /// Outside of 8000-48000 Hz.
    #[error("{0} samples a second are not supported")]
    Rate(u32),
    /// Neither mono nor stereo.
    #[error("{0} channels are not supported")]
    Channels(u32),
}

/// Whose voice a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// From the caller.
    Inbound,
    /// To the caller.
    Outbound,
}

impl Track {
    /// `inbound` or `outbound`.
    pub const fn name(self) -> &'static str {
        match self {
            Track::Inbound => "inbound",
            Track::Outbound => "outbound",
        }
    }

    /// Reads `outbound` and `outbound_track`; every other word is inbound.
    pub(crate) fn read(name: &str) -> Track {
        if name.starts_with("outbound") { Track::Outbound } else { Track::Inbound }
    }
}

/// The longest beginning of `text` with at most `limit` bytes.
pub(crate) fn clip(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(encoding: &str, rate: Option<u32>) -> AnnouncedFormat {
        AnnouncedFormat { encoding: Some(encoding.to_owned()), sample_rate: rate, channels: None }
    }

    #[test]
    fn names_of_the_providers_are_read_as_what_they_are() {
        for (name, encoding, rate) in [
            ("audio/L16", Encoding::L16, 16_000),
            ("L16", Encoding::L16, 16_000),
            ("pcm", Encoding::L16, 16_000),
            ("PCMU", Encoding::Pcmu, 8000),
            ("audio/x-mulaw", Encoding::Pcmu, 8000),
            ("ulaw", Encoding::Pcmu, 8000),
            ("PCMA", Encoding::Pcma, 8000),
            ("audio/x-alaw", Encoding::Pcma, 8000),
            ("G722", Encoding::G722, 16_000),
        ] {
            let format = MediaFormat::read(&announced(name, None), MediaFormat::L16_16000);
            assert_eq!(format, Ok(MediaFormat { encoding, rate, channels: 1 }), "{name}");
        }
        let none = AnnouncedFormat::default();
        assert_eq!(MediaFormat::read(&none, MediaFormat::L16_16000), Ok(MediaFormat::L16_16000));
        assert_eq!(MediaFormat::read(&none, MediaFormat::MULAW_8000), Ok(MediaFormat::MULAW_8000));
    }

    #[test]
    fn what_cannot_be_spoken_is_named() {
        let read = |announced| MediaFormat::read(&announced, MediaFormat::L16_16000);
        assert_eq!(read(announced("OPUS", None)), Err(FormatError::Encoding("OPUS".to_owned())));
        assert_eq!(read(announced("L16", Some(0))), Err(FormatError::Rate(0)));
        assert_eq!(read(announced("L16", Some(96_000))), Err(FormatError::Rate(96_000)));
        let channels = AnnouncedFormat { channels: Some(300), ..announced("L16", None) };
        assert_eq!(read(channels), Err(FormatError::Channels(300)));
    }

    #[test]
    fn a_frame_is_twenty_milliseconds() {
        assert_eq!(MediaFormat::MULAW_8000.frame_bytes(), 160);
        assert_eq!(MediaFormat::L16_16000.frame_bytes(), 640);
        let g722 = MediaFormat { encoding: Encoding::G722, rate: 16_000, channels: 1 };
        assert_eq!(g722.frame_bytes(), 160);
        assert_eq!(MediaFormat::L16_16000.duration(640), FRAME);
    }
}
