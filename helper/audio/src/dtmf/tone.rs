//! The tone of a key, for sending digits inside the audio.

use std::f64::consts::TAU;
use std::time::Duration;

use model::audio::SampleRate;

use super::{COLUMNS, KEYS, ROWS};

/// The tone of `digit` (`0`-`9`, `*`, `#`, `A`-`D`, `a`-`d`), mono at `rate`: -8 dBm0 the low frequency and -6 dBm0 the
/// high one, with edges of 2 ms. `None` for any other character.
///
/// `duration`: at most 8 s, longer is cut. Receivers need 40 ms, and a pause as long (ITU-T Q.24).
pub fn tone(digit: char, rate: SampleRate, duration: Duration) -> Option<Vec<i16>> {
    let digit = digit.to_ascii_uppercase();
    let (row, column) =
        (0..4).find_map(|row| Some((row, KEYS[row].iter().position(|key| *key == digit)?)))?;
    let rate = f64::from(rate.hz());
    let length = (duration.min(LONGEST).as_secs_f64() * rate) as usize;
    let edge = rate * EDGE_SECONDS;
    let sample = |n: usize| {
        let phase = TAU * n as f64 / rate;
        let wave = LOW_PEAK * (phase * f64::from(ROWS[row])).sin()
            + HIGH_PEAK * (phase * f64::from(COLUMNS[column])).sin();
        let from_edge = n.min(length - 1 - n) as f64 / edge;
        (wave * from_edge.min(1.0)).round() as i16
    };
    Some((0..length).map(sample).collect())
}

/// 0 dBm0 is a sine of 22302 (G.711: full scale is +3.17 dBm0).
const LOW_PEAK: f64 = 8_878.0;
const HIGH_PEAK: f64 = 11_177.0;
const EDGE_SECONDS: f64 = 0.002;
const LONGEST: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tone_has_its_length_at_every_rate_and_does_not_clip() {
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000] {
            let pcm = tone('d', rate, Duration::from_millis(100)).unwrap();
            assert_eq!(pcm.len(), rate.hz() as usize / 10);
            let peak = pcm.iter().map(|sample| sample.unsigned_abs()).max();
            assert!(peak.is_some_and(|peak| (15_000..20_100).contains(&peak)), "{peak:?}");
            assert_eq!((pcm[0], pcm[pcm.len() - 1]), (0, 0));
        }
    }

    #[test]
    fn what_is_no_key_has_no_tone_and_a_long_one_is_cut() {
        assert_eq!(tone('E', SampleRate::Hz8000, Duration::from_millis(100)), None);
        assert_eq!(tone('1', SampleRate::Hz8000, Duration::ZERO), Some(vec![]));
        assert_eq!(tone('1', SampleRate::Hz8000, Duration::MAX).map(|pcm| pcm.len()), Some(64_000));
    }
}
