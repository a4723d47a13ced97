//! Makes tones and measures them: which frequency, how loud, or nothing at all.
//!
//! Samples are mono `i16`. Measuring is done by the signal's spectrum around its peak, so a little noise, G.711 or a few
//! missing frames do not move the answer.

use std::f64::consts::TAU;

/// A sine generator that keeps its phase from frame to frame.
#[derive(Debug, Clone)]
pub struct Sine {
    step: f64,
    phase: f64,
    amplitude: f64,
}

impl Sine {
    /// A sine of `frequency` Hz at `rate` samples a second. `amplitude` is the peak, at most `i16::MAX`.
    pub fn new(frequency: f64, rate: u32, amplitude: i16) -> Self {
        Self { step: TAU * frequency / f64::from(rate), phase: 0.0, amplitude: f64::from(amplitude) }
    }

    /// The next `n` samples.
    pub fn samples(&mut self, n: usize) -> Vec<i16> {
        (0..n).map(|_| self.next_sample()).collect()
    }

    fn next_sample(&mut self) -> i16 {
        let sample = self.amplitude * self.phase.sin();
        self.phase = (self.phase + self.step) % TAU;
        sample.round() as i16
    }
}

/// A tone as one piece: `ms` milliseconds of `frequency` Hz at `rate`, peak 8000 (a quarter of full scale).
pub fn tone(frequency: f64, rate: u32, ms: u32) -> Vec<i16> {
    Sine::new(frequency, rate, 8000).samples((u64::from(rate) * u64::from(ms) / 1000) as usize)
}

/// Root mean square of the samples; 0 for none. A full-scale sine has about 23170.
pub fn rms(pcm: &[i16]) -> f64 {
    if pcm.is_empty() {
        return 0.0;
    }
    let energy: f64 = pcm.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    (energy / pcm.len() as f64).sqrt()
}

/// True when every sample is within the smallest steps of G.711 around zero (A-law has no zero: its silence is 8).
pub fn is_silence(pcm: &[i16]) -> bool {
    pcm.iter().all(|s| s.unsigned_abs() <= 8)
}

/// The strongest frequency in Hz; `None` for silence or fewer than 10 ms.
///
/// Within 0.5 % for a tone between 100 Hz and 0.45 times the rate that lasts 50 ms or more.
pub fn dominant_frequency(pcm: &[i16], rate: u32) -> Option<f64> {
    let rate = f64::from(rate);
    if (pcm.len() as f64) < rate / 100.0 || rms(pcm) < 20.0 {
        return None;
    }
    // Coarse: a peak in steps of half a bin over the loudest 2048 samples. Fine: the maximum around it over up to 8192.
    let coarse = windowed(loudest(pcm, 2048));
    let step = rate / (2.0 * coarse.len() as f64);
    let steps = (rate * 0.49 / step) as usize;
    let peak = (1..=steps)
        .map(|i| (i, power(&coarse, i as f64 * step, rate)))
        .fold((0, 0.0), |best, candidate| if candidate.1 > best.1 { candidate } else { best });
    let found = maximise(&coarse, peak.0 as f64 * step, step, rate);
    let fine = windowed(loudest(pcm, 8192));
    Some(maximise(&fine, found, rate / fine.len() as f64 / 2.0, rate))
}

/// True when the strongest frequency is within `percent` of `expected` Hz.
pub fn is_tone(pcm: &[i16], rate: u32, expected: f64, percent: f64) -> bool {
    dominant_frequency(pcm, rate).is_some_and(|f| (f - expected).abs() <= expected * percent / 100.0)
}

/// The stretch of at most `n` samples with the most energy, searched in steps of a quarter of `n`.
fn loudest(pcm: &[i16], n: usize) -> &[i16] {
    if pcm.len() <= n {
        return pcm;
    }
    let starts = (0..=pcm.len() - n).step_by(n / 4);
    let best = starts.map(|s| (s, rms(&pcm[s..s + n]))).fold((0, -1.0), |a, b| if b.1 > a.1 { b } else { a });
    &pcm[best.0..best.0 + n]
}

/// The samples without their mean, under a Hann window.
fn windowed(pcm: &[i16]) -> Vec<f64> {
    let n = pcm.len() as f64;
    let mean = pcm.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
    pcm.iter()
        .enumerate()
        .map(|(i, &s)| (f64::from(s) - mean) * (0.5 - 0.5 * (TAU * i as f64 / n).cos()))
        .collect()
}

/// Power of the samples at one frequency (Goertzel).
fn power(samples: &[f64], frequency: f64, rate: f64) -> f64 {
    let coefficient = 2.0 * (TAU * frequency / rate).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for &x in samples {
        (s1, s2) = (x + coefficient * s1 - s2, s1);
    }
    s1 * s1 + s2 * s2 - coefficient * s1 * s2
}

/// The frequency of most power within `reach` Hz of `around` (golden-section search; the peak has one top there).
fn maximise(samples: &[f64], around: f64, reach: f64, rate: f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let (mut low, mut high) = (around - reach, around + reach);
    while high - low > 0.01 {
        let (a, b) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        if power(samples, a, rate) > power(samples, b, rate) { high = b } else { low = a }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711;
    use crate::rng::Rng;

    #[test]
    fn frames_continue_where_the_last_one_ended() {
        let mut framed = Sine::new(440.0, 8000, 8000);
        let frames: Vec<i16> = (0..10).flat_map(|_| framed.samples(160)).collect();
        assert_eq!(frames, Sine::new(440.0, 8000, 8000).samples(1600));
    }

    #[test]
    fn frequency_is_found_within_half_a_percent() {
        for rate in [8000, 16_000, 48_000] {
            for frequency in [100.0, 300.0, 440.0, 595.0, 1000.0, 1004.0, 2100.0, 3400.0] {
                for ms in [50, 200, 1000] {
                    let found =
                        dominant_frequency(&tone(frequency, rate, ms), rate).expect("there is a tone");
                    assert!(
                        (found - frequency).abs() < frequency * 0.005,
                        "{frequency} Hz, {ms} ms, {rate}: {found}"
                    );
                }
            }
        }
    }

    #[test]
    fn frequency_survives_g711_noise_silence_and_missing_frames() {
        let mut rng = Rng::new(4);
        let mut pcm = vec![0i16; 4000];
        pcm.extend(g711::decode_ulaw(&g711::encode_ulaw(&tone(440.0, 8000, 2000))));
        pcm.extend(vec![0i16; 4000]);
        pcm.iter_mut().for_each(|s| *s += (rng.below(1000) as i16) - 500);
        (6..12).for_each(|n| pcm[4000 + n * 800..][..160].fill(0));
        let found = dominant_frequency(&pcm, 8000).expect("there is a tone");
        assert!((found - 440.0).abs() < 2.2, "{found}");
    }

    #[test]
    fn silence_has_no_frequency() {
        assert_eq!(dominant_frequency(&[0; 8000], 8000), None);
        assert_eq!(dominant_frequency(&[8; 8000], 8000), None);
        assert_eq!(dominant_frequency(&tone(440.0, 8000, 1000)[..79], 8000), None);
        assert!(is_silence(&[0, 8, -8]) && !is_silence(&[0, 9]));
        assert!(!is_tone(&[0; 8000], 8000, 440.0, 1.0));
    }

    #[test]
    fn level_of_a_sine_is_its_peak_over_root_two() {
        assert!((rms(&tone(1000.0, 8000, 1000)) - 8000.0 / 2f64.sqrt()).abs() < 1.0);
        assert_eq!(rms(&[]), 0.0);
    }

    #[test]
    fn a_tone_one_percent_off_is_told_apart() {
        assert!(is_tone(&tone(445.0, 8000, 1000), 8000, 440.0, 1.2));
        assert!(!is_tone(&tone(445.0, 8000, 1000), 8000, 440.0, 1.0));
    }
}
