//! A voice for tests: syllables of hiss and vowels in the rhythm of speech, by pulses through formants (after Klatt 1980).
//!
//! It says nothing, but what tells speech from tones is there: a pitch that moves, formants that glide, hiss, closures,
//! pauses of at most 200 ms between words.

use std::f64::consts::{PI, TAU};

use crate::rng::Rng;

/// `ms` milliseconds of speech at `rate` samples a second, without a pause at its start; root mean square about 2500.
/// Odd seeds speak with a high voice, even ones with a low voice.
pub fn speech(rate: u32, ms: u32, seed: u64) -> Vec<i16> {
    let length = (u64::from(rate) * u64::from(ms) / 1000) as usize;
    let mut speaker = Speaker::new(rate, seed);
    while speaker.said.len() < length {
        speaker.word();
    }
    speaker.said.truncate(length);
    let scale = 2500.0 / (speaker.said.iter().map(|s| s * s).sum::<f64>() / length.max(1) as f64).sqrt();
    speaker.said.iter().map(|sample| (sample * scale).clamp(-32_000.0, 32_000.0).round() as i16).collect()
}

struct Speaker {
    rate: f64,
    rng: Rng,
    said: Vec<f64>,
    /// Hz, in the middle of a syllable.
    pitch: f64,
    /// Length of the vocal tract, relative to that of a tall man.
    tract: f64,
    /// Share of a glottal period that has passed.
    phase: f64,
    glottis: f64,
    formants: [Resonator; 4],
    mouth: [f64; 3],
}

impl Speaker {
    fn new(rate: u32, seed: u64) -> Self {
        let high = seed % 2 == 1;
        Self {
            rate: f64::from(rate),
            rng: Rng::new(seed),
            said: Vec::new(),
            pitch: if high { 205.0 } else { 128.0 },
            tract: if high { 1.16 } else { 1.0 },
            phase: 0.0,
            glottis: 0.0,
            formants: [Resonator::default(); 4],
            mouth: VOWELS[0],
        }
    }

    /// One to four syllables, falling in pitch, and a pause.
    fn word(&mut self) {
        let syllables = 1 + self.rng.below(4);
        for n in 0..syllables {
            if self.rng.chance(0.4) {
                self.hiss();
            }
            let vowel = VOWELS[self.rng.below(VOWELS.len() as u64) as usize];
            let accent = 1.12 - 0.22 * n as f64 / syllables as f64 + 0.1 * self.rng.unit();
            self.vowel(vowel, accent);
            if self.rng.chance(0.5) {
                self.pause(30, 60);
            }
        }
        self.pause(60, 140);
    }

    /// A vowel of 90 to 210 ms into which the mouth glides, with a pitch that rises and falls.
    fn vowel(&mut self, to: [f64; 3], accent: f64) {
        let (from, length) = (self.mouth, self.samples(90, 120));
        for n in 0..length {
            let part = n as f64 / length as f64;
            let glide = (part / 0.4).min(1.0);
            self.mouth = std::array::from_fn(|k| from[k] + (to[k] - from[k]) * glide);
            let loud = (part / 0.15).min((1.0 - part) / 0.3).min(1.0);
            let flutter = 1.0 + 0.02 * (self.rng.unit() - 0.5);
            let pitch = self.pitch * accent * (0.92 + 0.12 * (PI * part).sin()) * flutter;
            self.phase += pitch / self.rate;
            let pulse = if self.phase >= 1.0 { 1.0 } else { 0.0 };
            self.phase %= 1.0;
            // The glottis falls by 6 dB an octave from 100 Hz on; what leaves the lips has been raised by as much again.
            let decay = (-TAU * 100.0 / self.rate).exp();
            self.glottis = self.glottis * decay + pulse + 0.004 * (self.rng.unit() - 0.5);
            let sample = self.resonate(self.glottis);
            self.said.push(sample * loud);
        }
    }

    /// A fricative of 50 to 110 ms: noise in the upper band.
    fn hiss(&mut self) {
        let length = self.samples(50, 60);
        let mut band = Resonator::default();
        for n in 0..length {
            let loud = (PI * n as f64 / length as f64).sin();
            let noise = self.rng.unit() - 0.5;
            self.said.push(0.35 * loud * band.next(noise, 2700.0, 900.0, self.rate));
        }
    }

    fn pause(&mut self, least: u64, more: u64) {
        let length = self.samples(least, more);
        self.said.resize(self.said.len() + length, 0.0);
    }

    /// Between `least` and `least + more` milliseconds.
    fn samples(&mut self, least: u64, more: u64) -> usize {
        ((least + self.rng.below(more)) as f64 * self.rate / 1000.0) as usize
    }

    fn resonate(&mut self, source: f64) -> f64 {
        let [first, second, third] = self.mouth;
        let bands = [(first, 70.0), (second, 100.0), (third, 140.0), (3300.0, 220.0)];
        self.formants.iter_mut().zip(bands).fold(source, |sample, (formant, (frequency, width))| {
            formant.next(sample, frequency * self.tract.min(3800.0 / frequency), width, self.rate)
        })
    }
}

/// A second-order resonance with a gain of one at 0 Hz.
#[derive(Debug, Clone, Copy, Default)]
struct Resonator {
    last: [f64; 2],
}

impl Resonator {
    fn next(&mut self, input: f64, frequency: f64, width: f64, rate: f64) -> f64 {
        let radius = (-PI * width / rate).exp();
        let (b, c) = (2.0 * radius * (TAU * frequency / rate).cos(), -radius * radius);
        let output = (1.0 - b - c) * input + b * self.last[0] + c * self.last[1];
        self.last = [output, self.last[0]];
        output
    }
}

/// The first three formants of six vowels, in Hz (Peterson and Barney 1952, men).
const VOWELS: [[f64; 3]; 6] = [
    [730.0, 1090.0, 2440.0],
    [530.0, 1840.0, 2480.0],
    [270.0, 2290.0, 3010.0],
    [570.0, 840.0, 2410.0],
    [300.0, 870.0, 2240.0],
    [490.0, 1350.0, 1690.0],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::rms;

    #[test]
    fn same_seed_says_the_same_at_its_length_and_level() {
        for seed in 0..8 {
            let said = speech(8000, 3000, seed);
            assert_eq!(said.len(), 24_000);
            assert!((2300.0..2510.0).contains(&rms(&said)), "{}", rms(&said));
            assert_eq!(said, speech(8000, 3000, seed));
            assert_ne!(said, speech(8000, 3000, seed + 1));
        }
    }

    #[test]
    fn pauses_are_short() {
        for seed in 0..8 {
            let said = speech(16_000, 10_000, seed);
            let loud: Vec<bool> = said.chunks(160).map(|piece| rms(piece) > 100.0).collect();
            let longest = loud.split(|loud| *loud).map(<[bool]>::len).max();
            assert!(longest.is_some_and(|pause| (5..30).contains(&pause)), "{longest:?} times 10 ms");
        }
    }
}
