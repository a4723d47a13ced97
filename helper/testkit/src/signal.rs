//! Signals of the telephone network and its surroundings, for tests: tones of several frequencies, cadences, keys, noise.
//!
//! Samples are mono `i16`; levels are peaks for tones and root mean squares for noise.

use crate::rng::Rng;
use crate::tone::Sine;

/// `ms` milliseconds of several sines at once, each given as frequency in Hz and peak.
pub fn chord(parts: &[(f64, i16)], rate: u32, ms: u32) -> Vec<i16> {
    let mut sum = vec![0; (u64::from(rate) * u64::from(ms) / 1000) as usize];
    for (frequency, peak) in parts {
        let sine = Sine::new(*frequency, rate, *peak).samples(sum.len());
        sum = mix(&sum, &sine);
    }
    sum
}

/// `on` milliseconds of `tone` and `off` milliseconds of silence, until `ms` milliseconds are full. The tone begins anew
/// each time.
pub fn cadence(tone: &[i16], rate: u32, on: u32, off: u32, ms: u32) -> Vec<i16> {
    let samples = |ms: u32| (u64::from(rate) * u64::from(ms) / 1000) as usize;
    let period = tone.iter().copied().take(samples(on)).chain(std::iter::repeat_n(0, samples(off)));
    period.cycle().take(samples(ms)).collect()
}

/// One key of a telephone keypad (ITU-T Q.23): both tones with the peak `peak`.
///
/// # Panics
///
/// If `digit` is none of `0`-`9`, `*`, `#`, `A`-`D`.
pub fn key(digit: char, rate: u32, ms: u32, peak: i16) -> Vec<i16> {
    let [row, column] = key_frequencies(digit);
    chord(&[(row, peak), (column, peak)], rate, ms)
}

/// The two frequencies of a key, in Hz.
///
/// # Panics
///
/// If `digit` is none of `0`-`9`, `*`, `#`, `A`-`D`.
pub fn key_frequencies(digit: char) -> [f64; 2] {
    let at = "123A456B789C*0#D".find(digit).unwrap_or_else(|| panic!("{digit:?} is no key"));
    [[697.0, 770.0, 852.0, 941.0][at / 4], [1209.0, 1336.0, 1477.0, 1633.0][at % 4]]
}

/// `n` samples of white noise, nearly Gaussian.
pub fn noise(rms: f64, n: usize, seed: u64) -> Vec<i16> {
    let mut rng = Rng::new(seed);
    // The sum of twelve evenly distributed numbers has a variance of one.
    let gauss = std::iter::repeat_with(|| (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0);
    gauss.take(n).map(|value| (value * rms).round() as i16).collect()
}

/// Both signals at once, as long as the first; what is too loud is clipped.
pub fn mix(signal: &[i16], other: &[i16]) -> Vec<i16> {
    let others = other.iter().copied().chain(std::iter::repeat(0));
    signal.iter().zip(others).map(|(sample, other)| sample.saturating_add(other)).collect()
}

/// The signal in white noise that lies `snr` dB below it.
pub fn in_noise(signal: &[i16], snr: f64, seed: u64) -> Vec<i16> {
    let level = crate::tone::rms(signal) * 10_f64.powf(-snr / 20.0);
    mix(signal, &noise(level, signal.len(), seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::rms;

    #[test]
    fn levels_are_as_asked_for() {
        assert!((rms(&noise(300.0, 80_000, 1)) - 300.0).abs() < 5.0);
        let dual = chord(&[(440.0, 5000), (480.0, 5000)], 8000, 1000);
        assert!((rms(&dual) - 5000.0).abs() < 10.0);
        let noisy = in_noise(&dual, 20.0, 1);
        let difference: Vec<i16> = noisy.iter().zip(&dual).map(|(noisy, clean)| noisy - clean).collect();
        assert!((rms(&difference) - 500.0).abs() < 15.0);
    }

    #[test]
    fn cadence_is_on_and_off_in_turn() {
        let cadence = cadence(&[1; 1000], 8000, 10, 5, 22);
        let expected = [[1; 80].as_slice(), &[0; 40], &[1; 56]].concat();
        assert_eq!(cadence, expected);
    }

    #[test]
    fn keys_are_where_the_standard_has_them() {
        assert_eq!(key_frequencies('1'), [697.0, 1209.0]);
        assert_eq!(key_frequencies('6'), [770.0, 1477.0]);
        assert_eq!(key_frequencies('0'), [941.0, 1336.0]);
        assert_eq!(key_frequencies('D'), [941.0, 1633.0]);
    }
}
