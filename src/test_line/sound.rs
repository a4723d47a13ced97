//! What the telephone says: its sentence, tones, and both in G.711.
//!
//! In: nothing, or PCM. Out: 8 kHz mono PCM, payload. The sentence is a clip in the program, spoken by a synthesizer.

use std::{
    f64::consts::TAU,
    sync::{Arc, LazyLock},
    time::Duration,
};

use audio::{codec, file};
use bytes::Bytes;
use model::audio::Codec;

/// Hz.
pub const RATE: u32 = 8000;
/// The codecs of the telephone.
pub const CODECS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

/// "This is the SIP relay test line. Say something, and you will hear it back."
pub fn sentence() -> Arc<[i16]> {
    static SENTENCE: LazyLock<Arc<[i16]>> = LazyLock::new(|| {
        let clip = Bytes::from_static(include_bytes!("sentence.wav"));
        let decoded = file::decode_at(clip, Some("wav"), RATE);
        decoded.expect("the clip in the program is a WAV file, a test decodes it").samples.into()
    });
    SENTENCE.clone()
}

/// A sine of `hz`, a quarter of full scale.
pub fn tone(hz: f64, length: Duration) -> Arc<[i16]> {
    let samples = length.as_millis() as u64 * u64::from(RATE) / 1000;
    let step = TAU * hz / f64::from(RATE);
    (0..samples).map(|n| ((step * n as f64).sin() * PEAK) as i16).collect()
}

/// A codec of the telephone as the RTP core's encoder.
pub struct Speaker(codec::Encoder);

impl Speaker {
    pub fn new(codec: Codec) -> Self {
        Self(codec::Encoder::new(codec))
    }
}

impl rtp::Encoder for Speaker {
    fn sample_rate(&self) -> u32 {
        self.0.sample_rate().hz()
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) {
        self.0.encode(pcm, payload);
    }
}

const PEAK: f64 = 8192.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_is_four_and_a_half_seconds_of_speech() {
        let sentence = sentence();
        assert_eq!(sentence.len(), 36_705);
        let power = sentence.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / sentence.len() as f64;
        assert!((1000.0..6000.0).contains(&power.sqrt()), "rms {}", power.sqrt());
    }

    #[test]
    fn tone_has_its_length_and_its_peak() {
        let tone = tone(1000.0, Duration::from_millis(20));
        assert_eq!(tone.len(), 160);
        assert_eq!(tone.iter().max(), Some(&8192));
    }
}
