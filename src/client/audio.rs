//! The forms in which a program hears the far end, and what a call's audio is like.
//!
//! In: 20 ms frames at the rate of the call's codec. Out: frames in the form that was asked for, 20 ms each.

use std::{fmt, str::FromStr};

use audio::{g711, resample::Resampler};
use model::audio::{Codec, SampleRate, le_bytes, samples};

use super::SipClientError;

/// The form in which an audio callback gets its frames.
///
/// ```
/// use sip_relay::client::AudioFormat;
///
/// assert_eq!("pcm".parse(), Ok(AudioFormat::Pcm));
/// assert_eq!(AudioFormat::default().to_string(), "pcmu");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AudioFormat {
    /// Signed 16-bit little-endian mono at the client's [`PcmRate`]: 320 bytes are 20 ms at 8000 Hz.
    Pcm,
    /// G.711 µ-law at 8000 Hz, 160 bytes for 20 ms, whatever the codec of the call.
    #[default]
    Pcmu,
}

impl fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pcm => "pcm",
            Self::Pcmu => "pcmu",
        })
    }
}

/// The text names no [`AudioFormat`].
///
/// ```
/// let unknown = "mp3".parse::<sip_relay::client::AudioFormat>().unwrap_err();
/// assert_eq!(unknown.to_string(), "unknown audio format \"mp3\": use pcm or pcmu");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown audio format {0:?}: use pcm or pcmu")]
pub struct UnknownAudioFormat(String);

impl FromStr for AudioFormat {
    type Err = UnknownAudioFormat;

    /// Reads `pcm` or `pcmu`, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownAudioFormat> {
        match text.to_ascii_lowercase().as_str() {
            "pcm" => Ok(Self::Pcm),
            "pcmu" => Ok(Self::Pcmu),
            _ => Err(UnknownAudioFormat(text.chars().take(32).collect())),
        }
    }
}

/// The rate of the PCM that a program sends and hears.
///
/// ```
/// use sip_relay::client::PcmRate;
///
/// assert_eq!(PcmRate::from(16_000), PcmRate::Hz(16_000));
/// assert_eq!(PcmRate::default(), PcmRate::Hz(8_000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PcmRate {
    /// Samples a second, whatever the codec: 8000, 16000, 24000 or 48000.
    Hz(u32),
    /// That of the call's codec: 8000 for PCMU and PCMA, 16000 for G.722.
    Native,
}

impl Default for PcmRate {
    fn default() -> Self {
        Self::Hz(8_000)
    }
}

impl From<u32> for PcmRate {
    fn from(hz: u32) -> Self {
        Self::Hz(hz)
    }
}

impl PcmRate {
    /// The rate, if it is one that is supported; `None` within: that of the codec.
    pub(super) fn checked(self) -> Result<Option<SampleRate>, SipClientError> {
        let Self::Hz(hz) = self else { return Ok(None) };
        let rates = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000, SampleRate::Hz48000];
        let found = rates.into_iter().find(|rate| rate.hz() == hz);
        let problem =
            || format!("{hz} Hz is not supported: use 8000, 16000, 24000, 48000 or PcmRate::Native");
        found
            .map(Some)
            .ok_or_else(|| SipClientError::InvalidSetting { setting: "pcm_rate", problem: problem() })
    }
}

/// What the audio of a call is like, and how a program exchanges it.
///
/// ```
/// use sip_relay::client::SimpleSipClient;
///
/// let client = SimpleSipClient::new("1001", "secret", "127.0.0.1");
/// let audio = client.audio_config();
/// assert_eq!((audio.sample_rate, audio.frame_size, audio.chunk_size), (8000, 160, 320));
/// assert_eq!(audio.codec, None, "there is no call");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioConfig {
    /// The codec of the call; `None` while there is none.
    pub codec: Option<Codec>,
    /// The RTP payload type that is sent.
    pub payload_type: Option<u8>,
    /// Rate of the PCM that the program sends and hears, Hz.
    pub sample_rate: u32,
    /// Rate of the RTP timestamp, Hz: 8000, also for G.722 (RFC 3551 §4.5.2).
    pub rtp_clock_rate: u32,
    /// Samples of 20 ms of that PCM.
    pub frame_size: usize,
    /// Bytes of 20 ms on the wire.
    pub rtp_frame_size: usize,
    /// How the PCM is written: `s16le`, signed 16-bit little-endian mono.
    pub encoding: &'static str,
    /// Bytes of 20 ms of that PCM: a good size for one `send_audio`.
    pub chunk_size: usize,
}

impl AudioConfig {
    pub(super) fn new(codec: Option<(Codec, u8)>, rate: Option<SampleRate>) -> Self {
        let native = codec.map_or(SampleRate::Hz8000, |(codec, _)| codec.sample_rate());
        let rate = rate.unwrap_or(native);
        Self {
            codec: codec.map(|(codec, _)| codec),
            payload_type: codec.map(|(_, payload_type)| payload_type),
            sample_rate: rate.hz(),
            rtp_clock_rate: 8_000,
            frame_size: rate.frame_samples(),
            rtp_frame_size: 160,
            encoding: "s16le",
            chunk_size: rate.frame_samples() * 2,
        }
    }
}

/// Brings the frames of one call into the form that is asked for. Keeps what does not fill a frame yet.
#[derive(Default)]
pub(super) struct Converter {
    resampler: Option<(SampleRate, SampleRate, Resampler)>,
    samples: Vec<i16>,
    resampled: Vec<i16>,
    bytes: Vec<u8>,
    shape: Option<(u64, AudioFormat, SampleRate)>,
}

impl Converter {
    /// Takes `pcm`, signed 16-bit little-endian at `from`, of this call, and calls `each` with every whole frame of 20 ms.
    /// `to`: the rate of PCM; `None`: as it comes.
    pub fn convert(
        &mut self,
        (call, from, pcm): (u64, SampleRate, &[u8]),
        (format, to): (AudioFormat, Option<SampleRate>),
        mut each: impl FnMut(&[u8]),
    ) {
        let rate = if format == AudioFormat::Pcmu { SampleRate::Hz8000 } else { to.unwrap_or(from) };
        if self.shape.replace((call, format, rate)) != Some((call, format, rate)) {
            // What is left of another call or form fits no frame of this one.
            self.bytes.clear();
            self.resampler = None;
        }
        self.samples.clear();
        self.samples.extend(samples(pcm));
        if from != rate {
            self.resample(from, rate);
        }
        let frame = match format {
            AudioFormat::Pcm => {
                self.bytes.extend(le_bytes(&self.samples));
                rate.frame_samples() * 2
            }
            AudioFormat::Pcmu => {
                g711::encode_ulaw(&self.samples, &mut self.bytes);
                rate.frame_samples()
            }
        };
        let whole = self.bytes.len() - self.bytes.len() % frame;
        self.bytes[..whole].chunks_exact(frame).for_each(&mut each);
        self.bytes.drain(..whole);
    }

    fn resample(&mut self, from: SampleRate, to: SampleRate) {
        if self.resampler.as_ref().is_none_or(|(of, at, _)| (*of, *at) != (from, to)) {
            self.resampler = Resampler::new(from.hz(), to.hz()).ok().map(|new| (from, to, new));
        }
        self.resampled.clear();
        if let Some((_, _, resampler)) = &mut self.resampler {
            resampler.process(&self.samples, &mut self.resampled);
        }
        std::mem::swap(&mut self.samples, &mut self.resampled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PCM_8K: (AudioFormat, Option<SampleRate>) = (AudioFormat::Pcm, Some(SampleRate::Hz8000));
    const PCMU: (AudioFormat, Option<SampleRate>) = (AudioFormat::Pcmu, Some(SampleRate::Hz16000));

    fn frames(
        converter: &mut Converter,
        call: u64,
        (rate, samples): (SampleRate, &[i16]),
        to: (AudioFormat, Option<SampleRate>),
    ) -> Vec<Vec<u8>> {
        let pcm: Vec<u8> = le_bytes(samples).collect();
        let mut heard = Vec::new();
        converter.convert((call, rate, &pcm), to, |frame| heard.push(frame.to_vec()));
        heard
    }

    #[test]
    fn every_form_comes_in_frames_of_20_ms() {
        for (from, samples) in [(SampleRate::Hz8000, 160), (SampleRate::Hz16000, 320)] {
            let input = (from, &vec![1000; samples][..]);
            for (to, size) in [
                (PCM_8K, 320),
                ((AudioFormat::Pcm, Some(SampleRate::Hz16000)), 640),
                ((AudioFormat::Pcm, None), samples * 2),
                (PCMU, 160),
            ] {
                let mut converter = Converter::default();
                for _ in 0..3 {
                    let sizes: Vec<usize> =
                        frames(&mut converter, 1, input, to).iter().map(Vec::len).collect();
                    assert_eq!(sizes, [size], "{from:?} {to:?}");
                }
            }
        }
    }

    #[test]
    fn g711_passes_bit_by_bit() {
        let mut converter = Converter::default();
        let mut samples = Vec::new();
        g711::decode_ulaw(&(0..160).map(|n| n as u8).collect::<Vec<u8>>(), &mut samples);
        let input = (SampleRate::Hz8000, &samples[..]);
        let pcm: Vec<u8> = le_bytes(&samples).collect();
        assert_eq!(frames(&mut converter, 1, input, PCM_8K), [pcm]);
        // 7f is minus zero: the one value with two codes.
        let expected: Vec<u8> = (0..160).map(|n| if n == 0x7f { 0xff } else { n }).collect();
        assert_eq!(frames(&mut converter, 1, input, PCMU), [expected]);
    }

    #[test]
    fn rest_of_one_call_is_not_heard_in_the_next() {
        let mut converter = Converter::default();
        let loud = (SampleRate::Hz8000, &[8000; 100][..]);
        assert_eq!(frames(&mut converter, 1, loud, PCM_8K), [[0; 0]; 0]);
        let quiet = (SampleRate::Hz8000, &[0; 160][..]);
        assert_eq!(frames(&mut converter, 2, quiet, PCM_8K), [vec![0; 320]]);
    }

    #[test]
    fn rates_that_no_call_is_converted_to_are_refused_with_those_that_are() {
        assert_eq!(PcmRate::from(16_000).checked(), Ok(Some(SampleRate::Hz16000)));
        assert_eq!(PcmRate::Native.checked(), Ok(None));
        let error = PcmRate::Hz(11_025).checked().expect_err("it is not supported");
        assert!(
            error.to_string().contains("pcm_rate: 11025 Hz") && error.to_string().contains("16000"),
            "{error}"
        );
    }
}
