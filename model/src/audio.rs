//! Audio formats: what a call can speak on the wire, and linear PCM as it travels.
//!
//! In: names, payload types, bytes. Out: rates, frame sizes, samples. It encodes nothing (that is `helper/audio`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Length of a frame, milliseconds.
pub const FRAME_MS: u32 = 20;

/// Length of a frame.
pub const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);

/// A voice codec that the relay can send and receive (RFC 3551 §4.5, §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Signed 16-bit linear PCM at this rate, mono, **little-endian**: what media streams of providers carry. L16 of
    /// RTP (RFC 3551 §4.5.11) is big-endian; no SDP offers this one, and no text names it.
    L16(SampleRate),
}

impl Codec {
    /// The codecs that SDP may name, best known first.
    pub const ALL: [Codec; 3] = [Codec::Pcmu, Codec::Pcma, Codec::G722];

    /// The static RTP payload type: 0, 8, 9. Linear PCM has none at these rates, and gets the first dynamic one, 96,
    /// which only this process sees.
    pub const fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::G722 => 9,
            Codec::L16(_) => 96,
        }
    }

    /// The codec of a static payload type.
    pub const fn from_payload_type(payload_type: u8) -> Option<Codec> {
        match payload_type {
            0 => Some(Codec::Pcmu),
            8 => Some(Codec::Pcma),
            9 => Some(Codec::G722),
            _ => None,
        }
    }

    /// Rate of the decoded audio: 8000 Hz for G.711, 16000 Hz for G.722, that of linear PCM.
    pub const fn sample_rate(self) -> SampleRate {
        match self {
            Codec::Pcmu | Codec::Pcma => SampleRate::Hz8000,
            Codec::G722 => SampleRate::Hz16000,
            Codec::L16(rate) => rate,
        }
    }

    /// Rate of the RTP timestamp, Hz: 8000 for all. G.722's is 8000 by historical error (RFC 3551 §4.5.2), that of
    /// linear PCM because only this process sees it.
    pub const fn clock_rate(self) -> u32 {
        8000
    }

    /// Payload bytes of a 20 ms packet: 160, or two for each sample of linear PCM.
    pub const fn frame_bytes(self) -> usize {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 160,
            Codec::L16(rate) => 2 * rate.frame_samples(),
        }
    }

    /// The encoding name of `a=rtpmap`: `PCMU`, `PCMA`, `G722`, `L16`.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::L16(_) => "L16",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a text names no codec or rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AudioError {
    /// Not a codec of [`Codec`].
    #[error("unknown codec {0:?}, expected PCMU, PCMA or G722")]
    UnknownCodec(String),
    /// Not a rate of [`SampleRate`].
    #[error("unknown rate {0:?}, expected 8000, 16000, 24000 or 48000")]
    UnknownRate(String),
}

impl FromStr for Codec {
    type Err = AudioError;

    /// Reads an encoding name in any case (`PCMU`, `ulaw`, `mulaw`, `PCMA`, `alaw`, `G722`) or a static payload type.
    fn from_str(name: &str) -> Result<Codec, AudioError> {
        match name.to_ascii_lowercase().as_str() {
            "pcmu" | "ulaw" | "mulaw" | "0" => Ok(Codec::Pcmu),
            "pcma" | "alaw" | "8" => Ok(Codec::Pcma),
            "g722" | "g.722" | "9" => Ok(Codec::G722),
            _ => Err(AudioError::UnknownCodec(crate::text::clip(name, 32).to_owned())),
        }
    }
}

/// A rate of linear PCM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum SampleRate {
    /// 8000 Hz, narrow band.
    #[default]
    Hz8000,
    /// 16000 Hz, wide band.
    Hz16000,
    /// 24000 Hz, what speech services speak.
    Hz24000,
    /// 48000 Hz.
    Hz48000,
}

impl SampleRate {
    /// Samples a second.
    pub const fn hz(self) -> u32 {
        match self {
            SampleRate::Hz8000 => 8_000,
            SampleRate::Hz16000 => 16_000,
            SampleRate::Hz24000 => 24_000,
            SampleRate::Hz48000 => 48_000,
        }
    }

    /// The rate of `hz`, if it is one of the four.
    pub const fn from_hz(hz: u32) -> Option<SampleRate> {
        match hz {
            8_000 => Some(SampleRate::Hz8000),
            16_000 => Some(SampleRate::Hz16000),
            24_000 => Some(SampleRate::Hz24000),
            48_000 => Some(SampleRate::Hz48000),
            _ => None,
        }
    }

    /// Samples in 20 ms: 160, 320, 480, 960.
    pub const fn frame_samples(self) -> usize {
        (self.hz() / 1000 * FRAME_MS) as usize
    }

    /// How long `samples` samples last.
    pub const fn duration(self, samples: u64) -> Duration {
        let hz = self.hz() as u64;
        // The remainder is below 48000, so its nanoseconds fit.
        Duration::new(samples / hz, ((samples % hz) * 1_000_000_000 / hz) as u32)
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hz())
    }
}

impl FromStr for SampleRate {
    type Err = AudioError;

    fn from_str(text: &str) -> Result<SampleRate, AudioError> {
        let unknown = || AudioError::UnknownRate(crate::text::clip(text, 32).to_owned());
        text.parse().ok().and_then(SampleRate::from_hz).ok_or_else(unknown)
    }
}

/// The samples of linear PCM as it travels: signed 16 bit, little-endian. An odd last byte is no sample.
pub fn samples(pcm: &[u8]) -> impl ExactSizeIterator<Item = i16> {
    pcm.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair))
}

/// Samples as they travel: signed 16 bit, little-endian.
pub fn le_bytes(samples: &[i16]) -> impl Iterator<Item = u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_types_and_names_round_trip() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_payload_type(codec.payload_type()), Some(codec));
            assert_eq!(codec.to_string().parse(), Ok(codec));
            assert_eq!(codec.payload_type().to_string().parse(), Ok(codec));
        }
        assert_eq!(Codec::from_payload_type(18), None);
        assert_eq!("G729".parse::<Codec>(), Err(AudioError::UnknownCodec("G729".into())));
    }

    #[test]
    fn g722_has_wide_audio_on_a_narrow_clock() {
        assert_eq!(Codec::G722.sample_rate().hz(), 16_000);
        assert_eq!(Codec::G722.clock_rate(), 8_000);
    }

    #[test]
    fn linear_pcm_is_no_codec_that_sdp_or_a_setting_can_name() {
        let wide = Codec::L16(SampleRate::Hz16000);
        assert_eq!((wide.frame_bytes(), wide.sample_rate().hz()), (640, 16_000));
        assert!(!Codec::ALL.contains(&wide));
        assert!("L16".parse::<Codec>().is_err());
        assert_eq!(Codec::from_payload_type(wide.payload_type()), None);
    }

    #[test]
    fn frames_are_20_ms_at_every_rate() {
        for (text, samples) in [("8000", 160), ("16000", 320), ("24000", 480), ("48000", 960)] {
            let rate: SampleRate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(rate.frame_samples(), samples);
            assert_eq!(rate.duration(samples as u64), FRAME);
        }
        assert!("44100".parse::<SampleRate>().is_err());
        assert_eq!(SampleRate::Hz8000.duration(u64::MAX).as_secs(), u64::MAX / 8000);
    }

    #[test]
    fn pcm_travels_little_endian() {
        let bytes: Vec<u8> = le_bytes(&[0x1234, -2]).collect();
        assert_eq!(bytes, [0x34, 0x12, 0xfe, 0xff]);
        assert_eq!(samples(&bytes).collect::<Vec<_>>(), [0x1234, -2]);
        assert_eq!(samples(&bytes[..3]).collect::<Vec<_>>(), [0x1234]);
    }
}
