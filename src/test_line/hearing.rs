//! `Hearing` judges received audio: how much there was, how loud, and whether a given tone was in it.
//!
//! In: 8 kHz PCM, frame by frame. Out: [`Heard`]. Pure; the tone is measured with the Goertzel algorithm.

use std::f64::consts::TAU;

use super::sound::RATE;

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Heard {
    /// Packets of audio received.
    pub frames: u32,
    /// Root mean square of all samples, 0 to 32768. Below 20 it is silence.
    pub rms: f64,
    /// Length of the longest stretch that was the tone and little else, in frames.
    pub tone_frames: u32,
}

impl Heard {
    /// The tone was there, for a fifth of a second at least.
    pub fn tone(&self) -> bool {
        self.tone_frames >= TONE_FRAMES
    }

    /// There was something to hear.
    pub fn sound(&self) -> bool {
        self.rms >= SILENCE
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Hearing {
    coefficient: f64,
    heard: Heard,
    samples: u64,
    energy: f64,
    stretch: u32,
}

impl Hearing {
    /// Listens for a tone of `hz`.
    pub fn new(hz: f64) -> Self {
        let coefficient = 2.0 * (TAU * hz / f64::from(RATE)).cos();
        Self { coefficient, heard: Heard::default(), samples: 0, energy: 0.0, stretch: 0 }
    }

    /// Hears one packet's audio.
    pub fn hear(&mut self, pcm: &[i16]) {
        self.heard.frames = self.heard.frames.saturating_add(1);
        self.samples += pcm.len() as u64;
        let energy: f64 = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        self.energy += energy;
        let loud = energy > pcm.len() as f64 * SILENCE * SILENCE;
        self.stretch = if loud && self.share(pcm, energy) > SHARE { self.stretch + 1 } else { 0 };
        self.heard.tone_frames = self.heard.tone_frames.max(self.stretch);
    }

    /// What was heard so far.
    pub fn heard(&self) -> Heard {
        let rms = if self.samples == 0 { 0.0 } else { (self.energy / self.samples as f64).sqrt() };
        Heard { rms, ..self.heard }
    }

    /// The part of a frame's energy that is the tone's, 0 to 1.
    fn share(&self, pcm: &[i16], energy: f64) -> f64 {
        let (mut last, mut before) = (0.0, 0.0);
        for sample in pcm {
            (last, before) = (f64::from(*sample) + self.coefficient * last - before, last);
        }
        let power = last * last + before * before - self.coefficient * last * before;
        // A sine of N samples has energy N·A²/2 and Goertzel power N²·A²/4.
        2.0 * power / (pcm.len() as f64 * energy)
    }
}

/// 200 ms.
const TONE_FRAMES: u32 = 10;
/// Louder than the smallest steps of A-law, softer than any line noise that matters.
const SILENCE: f64 = 20.0;
const SHARE: f64 = 0.8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::sound, *};

    fn heard(pcm: &[i16]) -> Heard {
        let mut hearing = Hearing::new(1000.0);
        pcm.chunks(160).for_each(|frame| hearing.hear(frame));
        hearing.heard()
    }

    #[test]
    fn tone_is_found_with_its_length_and_loudness() {
        let heard = heard(&sound::tone(1000.0, Duration::from_millis(400)));
        assert_eq!((heard.frames, heard.tone_frames), (20, 20));
        assert!((heard.rms - 8192.0 / 2f64.sqrt()).abs() < 5.0, "{}", heard.rms);
        assert!(heard.tone() && heard.sound());
    }

    #[test]
    fn other_tone_speech_and_silence_are_not_the_tone() {
        let other = heard(&sound::tone(1100.0, Duration::from_millis(400)));
        assert!(!other.tone() && other.sound(), "{other:?}");
        let speech = heard(&sound::sentence());
        assert!(!speech.tone() && speech.sound(), "{speech:?}");
        let silence = heard(&[8; 1600]);
        assert!(!silence.tone() && !silence.sound(), "{silence:?}");
    }

    #[test]
    fn nothing_heard_is_nothing() {
        assert_eq!(Hearing::new(1000.0).heard(), Heard::default());
    }
}
