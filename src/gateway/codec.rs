//! `AudioCodec` turns a provider's audio into canonical PCM and back, for one call.
//!
//! In: a provider's payload, or canonical PCM: 16 kHz, 16 bit little-endian, mono. Out: the other. Each direction keeps the
//! state of its resampler and codec from piece to piece, so there is no click where one piece ends and the next begins.

use audio::{
    codec::{Decoder, Encoder},
    resample::Resampler,
};
use bytes::Bytes;
use model::audio::{Codec, le_bytes, samples};
use stream::{Encoding, MediaFormat};

use super::SipTransportError;

/// Samples a second of canonical PCM.
pub const CANONICAL_SAMPLE_RATE: u32 = 16_000;
/// Bytes of one sample of canonical PCM, which is signed and little-endian.
pub const CANONICAL_SAMPLE_WIDTH: usize = 2;
/// Canonical PCM is mono.
pub const CANONICAL_CHANNELS: u16 = 1;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct AudioCodec {
    format: MediaFormat,
    decoding: Option<Decoder>,
    encoding: Option<Encoder>,
    to_canonical: Resampler,
    from_canonical: Resampler,
    samples: Vec<i16>,
    resampled: Vec<i16>,
}

impl AudioCodec {
    /// A codec for mono audio of `source_rate` samples a second (8000 to 48000).
    ///
    /// `source_encoding`: `mulaw`, `alaw`, `L16` or `G722`, or another of the providers' names for these: `PCMU`,
    /// `audio/x-mulaw`, `linear16`, in any case.
    ///
    /// # Errors
    /// [`SipTransportError::AudioCodec`] for any other name or rate.
    pub fn new(source_rate: u32, source_encoding: &str) -> Result<Self, SipTransportError> {
        let encoding = Encoding::from_name(source_encoding)
            .ok_or_else(|| error(format!("unknown encoding {source_encoding:?}")))?;
        Self::of(MediaFormat { encoding, rate: source_rate, channels: 1 })
    }

    /// A codec for a format that a provider announced.
    ///
    /// # Errors
    /// [`SipTransportError::AudioCodec`] for a rate that cannot be converted.
    pub(crate) fn of(format: MediaFormat) -> Result<Self, SipTransportError> {
        let codec = match format.encoding {
            Encoding::Pcmu => Some(Codec::Pcmu),
            Encoding::Pcma => Some(Codec::Pcma),
            Encoding::G722 => Some(Codec::G722),
            Encoding::L16 => None,
        };
        // G.722 has one rate, whatever was announced (RFC 3551 §4.5.2 is why 8000 is).
        let rate = if format.encoding == Encoding::G722 { CANONICAL_SAMPLE_RATE } else { format.rate };
        if !(8_000..=48_000).contains(&rate) || !(1..=2).contains(&format.channels) {
            return Err(error(format!("{} at {rate} Hz, {} channels", format.encoding, format.channels)));
        }
        let resampler = |from, to| Resampler::new(from, to).map_err(|odd| error(odd.to_string()));
        Ok(Self {
            format,
            decoding: codec.map(Decoder::new),
            encoding: codec.map(Encoder::new),
            to_canonical: resampler(rate, CANONICAL_SAMPLE_RATE)?,
            from_canonical: resampler(CANONICAL_SAMPLE_RATE, rate)?,
            samples: Vec::new(),
            resampled: Vec::new(),
        })
    }

    /// The canonical PCM of a provider's `payload`: as long in time. Of 8 kHz audio it has exactly twice the samples.
    ///
    /// # Errors
    /// [`SipTransportError::AudioCodec`] if the payload ends within a sample.
    pub fn decode_to_canonical(&mut self, payload: &[u8]) -> Result<Bytes, SipTransportError> {
        if self.is_noop() {
            whole_samples(payload, CANONICAL_SAMPLE_WIDTH)?;
            return Ok(Bytes::copy_from_slice(payload));
        }
        self.samples.clear();
        match &mut self.decoding {
            Some(decoder) => decoder.decode(payload, &mut self.samples),
            None => {
                whole_samples(payload, CANONICAL_SAMPLE_WIDTH * usize::from(self.format.channels))?;
                self.samples.extend(samples(payload));
            }
        }
        if self.format.channels == 2 {
            let mono = |pair: &[i16; 2]| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16;
            self.samples = self.samples.as_chunks::<2>().0.iter().map(mono).collect();
        }
        self.resampled.clear();
        self.to_canonical.process(&self.samples, &mut self.resampled);
        Ok(le_bytes(&self.resampled).collect())
    }

    /// A provider's payload for canonical `pcm`: as long in time. At 8 kHz it has half the samples.
    ///
    /// # Errors
    /// [`SipTransportError::AudioCodec`] if `pcm` ends within a sample.
    pub fn encode_from_canonical(&mut self, pcm: &[u8]) -> Result<Bytes, SipTransportError> {
        whole_samples(pcm, CANONICAL_SAMPLE_WIDTH)?;
        if self.is_noop() {
            return Ok(Bytes::copy_from_slice(pcm));
        }
        self.samples.clear();
        self.samples.extend(samples(pcm));
        self.resampled.clear();
        self.from_canonical.process(&self.samples, &mut self.resampled);
        if self.format.channels == 2 {
            self.resampled = self.resampled.iter().flat_map(|&sample| [sample; 2]).collect();
        }
        Ok(match &mut self.encoding {
            None => le_bytes(&self.resampled).collect(),
            Some(encoder) => {
                let mut payload = Vec::with_capacity(self.resampled.len());
                encoder.encode(&self.resampled, &mut payload);
                payload.into()
            }
        })
    }

    /// Whether the provider's audio is canonical as it is, and passes through untouched.
    pub fn is_noop(&self) -> bool {
        self.format == MediaFormat::L16_16000
    }
}

fn error(text: String) -> SipTransportError {
    SipTransportError::AudioCodec(text)
}

fn whole_samples(bytes: &[u8], width: usize) -> Result<(), SipTransportError> {
    if bytes.len().is_multiple_of(width) {
        return Ok(());
    }
    Err(error(format!("{} bytes are not whole samples of {width} bytes", bytes.len())))
}

#[cfg(test)]
mod tests {
    use testkit::tone::{Sine, dominant_frequency, rms};

    use super::*;

    fn bytes_of(samples: &[i16]) -> Bytes {
        le_bytes(samples).collect()
    }

    fn samples(bytes: &[u8]) -> Vec<i16> {
        model::audio::samples(bytes).collect()
    }

    /// Loudness of the middle, in dB relative to `reference`.
    fn decibels(pcm: &[i16], reference: f64) -> f64 {
        20.0 * (rms(&pcm[pcm.len() / 4..pcm.len() * 3 / 4]) / reference).log10()
    }

    #[test]
    fn tone_keeps_its_pitch_and_loudness_in_every_format_both_ways() {
        let peak = 8000;
        let loudness = f64::from(peak) / 2f64.sqrt();
        for (encoding, rate) in [
            ("mulaw", 8000),
            ("PCMA", 8000),
            ("L16", 8000),
            ("L16", 16_000),
            ("L16", 24_000),
            ("G722", 16_000),
        ] {
            for frequency in [300.0, 1000.0, 2800.0] {
                let mut codec = AudioCodec::new(rate, encoding).expect("a format");
                let tone = Sine::new(frequency, CANONICAL_SAMPLE_RATE, peak).samples(16_000);
                let wire: Vec<u8> = tone
                    .chunks(320)
                    .flat_map(|frame| codec.encode_from_canonical(&bytes_of(frame)).expect("whole samples"))
                    .collect();
                let back: Vec<u8> = wire
                    .chunks(wire.len() / 50)
                    .flat_map(|p| codec.decode_to_canonical(p).expect("whole"))
                    .collect();
                let back = samples(&back);
                assert_eq!(back.len(), tone.len(), "{encoding}/{rate}");
                let found = dominant_frequency(&back, CANONICAL_SAMPLE_RATE).expect("a tone");
                assert!(
                    (found - frequency).abs() < frequency * 0.01,
                    "{encoding}/{rate}: {frequency} is {found}"
                );
                let change = decibels(&back, loudness);
                assert!(change.abs() < 0.5, "{encoding}/{rate}: {frequency} Hz by {change} dB");
            }
        }
    }

    #[test]
    fn lengths_double_and_halve_however_the_audio_is_cut() {
        let mut codec = AudioCodec::new(8000, "mulaw").expect("a format");
        for n in [1, 7, 160, 159, 4097] {
            assert_eq!(codec.decode_to_canonical(&vec![0xff; n]).expect("fine").len(), n * 4);
            assert_eq!(codec.encode_from_canonical(&vec![0; n * 4]).expect("fine").len(), n);
        }
    }

    #[test]
    fn cut_of_the_stream_does_not_change_the_audio() {
        let tone = bytes_of(&Sine::new(440.0, CANONICAL_SAMPLE_RATE, 12_000).samples(3200));
        let mut whole = AudioCodec::new(8000, "L16").expect("a format");
        let mut pieces = whole.clone();
        let expected = whole.encode_from_canonical(&tone).expect("whole samples");
        let cut: Vec<u8> =
            tone.chunks(98).flat_map(|p| pieces.encode_from_canonical(p).expect("whole samples")).collect();
        for (a, b) in samples(&expected).iter().zip(samples(&cut)) {
            assert!((a - b).abs() <= 2);
        }
        assert_eq!(expected.len(), cut.len());
    }

    #[test]
    fn canonical_audio_passes_untouched() {
        let mut codec = AudioCodec::new(16_000, "L16").expect("a format");
        assert!(codec.is_noop());
        let noise: Vec<u8> = (0..640).map(|n| (n * 37 % 251) as u8).collect();
        assert_eq!(codec.decode_to_canonical(&noise).expect("whole samples"), noise);
        assert_eq!(codec.encode_from_canonical(&noise).expect("whole samples"), noise);
        assert!(!AudioCodec::new(8000, "L16").expect("a format").is_noop());
        assert!(!AudioCodec::new(8000, "mulaw").expect("a format").is_noop());
    }

    #[test]
    fn half_samples_and_unknown_formats_are_errors() {
        let mut codec = AudioCodec::new(16_000, "L16").expect("a format");
        for result in [codec.decode_to_canonical(&[1]), codec.encode_from_canonical(&[1, 2, 3])] {
            assert!(matches!(result, Err(SipTransportError::AudioCodec(_))), "{result:?}");
        }
        for (rate, encoding) in [(8000, "opus"), (8000, ""), (0, "mulaw"), (7999, "L16"), (96_000, "L16")] {
            let result = AudioCodec::new(rate, encoding).map(|_| ());
            assert!(matches!(result, Err(SipTransportError::AudioCodec(_))), "{encoding} {rate}");
        }
    }

    #[test]
    fn two_channels_become_one() {
        let format = MediaFormat { encoding: Encoding::L16, rate: 16_000, channels: 2 };
        let mut codec = AudioCodec::of(format).expect("a format");
        let mono = codec.decode_to_canonical(&bytes_of(&[100, 300, -5, -7])).expect("whole samples");
        assert_eq!(samples(&mono), [200, -6]);
        let stereo = codec.encode_from_canonical(&bytes_of(&[9, -9])).expect("whole samples");
        assert_eq!(samples(&stereo), [9, 9, -9, -9]);
    }
}
