//! Concealment of gaps in a voice-like signal: no clicks, a fade to silence, a smooth return.

use std::f64::consts::TAU;

use audio::plc::Concealer;
use model::audio::SampleRate;
use proptest::prelude::*;

const RATES: [SampleRate; 2] = [SampleRate::Hz8000, SampleRate::Hz16000];

#[test]
fn frames_without_a_loss_stay_untouched() {
    for rate in RATES {
        let voice = voice(rate, 140.0, 10);
        assert_eq!(conceal(rate, &voice, |_| false), voice);
    }
}

#[test]
fn one_lost_frame_of_a_steady_voice_is_hardly_heard() {
    for rate in RATES {
        for pitch in [80.0, 113.0, 140.0, 190.0] {
            let voice = voice(rate, pitch, 12);
            let heard = conceal(rate, &voice, |frame| frame == 6);
            let frame = rate.frame_samples();
            let gap = 6 * frame..7 * frame;
            let error = power(gap.clone().map(|n| f64::from(heard[n]) - f64::from(voice[n])));
            let snr = 10.0 * (power(gap.map(|n| f64::from(voice[n]))) / error).log10();
            assert!(snr > 12.0, "{pitch} Hz at {rate}: {snr:.1} dB");
        }
    }
}

#[test]
fn gaps_begin_last_and_end_without_clicks() {
    for rate in RATES {
        for pitch in [80.0, 113.0, 140.0, 190.0] {
            let voice = voice(rate, pitch, 20);
            for first in 5..9 {
                for length in 1..6 {
                    let heard = conceal(rate, &voice, |frame| (first..first + length).contains(&frame));
                    let (natural, concealed) = (largest_step(&voice), largest_step(&heard));
                    assert!(
                        f64::from(concealed) < 1.25 * f64::from(natural),
                        "{pitch} Hz at {rate}, frames {first} +{length}: step of {concealed}, natural {natural}"
                    );
                }
            }
        }
    }
}

#[test]
fn gain_falls_by_a_fifth_every_10_ms_and_is_zero_after_60_ms() {
    for rate in RATES {
        let frame = rate.frame_samples();
        // 100 Hz: periods of exactly 10 ms, so each 10 ms of a gap show the gain alone.
        let voice = voice(rate, 100.0, 10);
        let heard = conceal(rate, &voice, |frame| frame >= 6);
        let ten_ms = frame / 2;
        let levels: Vec<f64> = (heard[6 * frame..].chunks(ten_ms))
            .map(|piece| power(piece.iter().map(|&sample| f64::from(sample))).sqrt())
            .collect();
        let full = power(voice[..ten_ms].iter().map(|&sample| f64::from(sample))).sqrt();
        for (n, (level, expected)) in levels.iter().zip([1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.0, 0.0]).enumerate()
        {
            assert!((level / full - expected).abs() < 0.06, "10 ms number {n}: {:.2} of full", level / full);
        }
        assert!(heard[9 * frame..].iter().all(|&sample| sample == 0));
    }
}

#[test]
fn speech_returns_untouched_10_ms_after_the_gap() {
    for rate in RATES {
        let frame = rate.frame_samples();
        let voice = voice(rate, 140.0, 12);
        let heard = conceal(rate, &voice, |frame| (4..8).contains(&frame));
        assert_eq!(heard[8 * frame + frame / 2..], voice[8 * frame + frame / 2..]);
        assert_ne!(heard[8 * frame..8 * frame + frame / 2], voice[8 * frame..8 * frame + frame / 2]);
    }
}

#[test]
fn a_loss_before_any_speech_is_silence() {
    for rate in RATES {
        let mut out = vec![1; rate.frame_samples()];
        Concealer::new(rate).lost(&mut out);
        assert_eq!(out, vec![0; rate.frame_samples()]);
    }
}

#[test]
fn a_second_loss_right_after_the_return_is_concealed_at_full_gain() {
    let rate = SampleRate::Hz8000;
    let voice = voice(rate, 140.0, 20);
    let heard = conceal(rate, &voice, |frame| (4..8).contains(&frame) || frame == 10);
    let gap = 10 * 160..11 * 160;
    let level = |pcm: &[i16]| power(pcm[gap.clone()].iter().map(|&sample| f64::from(sample))).sqrt();
    assert!((0.8..1.1).contains(&(level(&heard) / level(&voice))), "{}", level(&heard) / level(&voice));
}

proptest! {
    #[test]
    fn frames_of_any_size_and_content_are_taken(
        wide in any::<bool>(),
        frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<i16>(), 0..900)), 0..12),
    ) {
        let mut concealer = Concealer::new(RATES[usize::from(wide)]);
        for (lost, mut frame) in frames {
            if lost { concealer.lost(&mut frame) } else { concealer.good(&mut frame) }
        }
    }

    #[test]
    fn concealment_is_the_same_in_pieces_of_any_size(sizes in prop::collection::vec(1_usize..200, 1..20)) {
        let mut whole = Concealer::new(SampleRate::Hz8000);
        whole.good(&mut voice(SampleRate::Hz8000, 120.0, 4));
        let mut pieces = whole.clone();
        let mut expected = vec![0; sizes.iter().sum()];
        whole.lost(&mut expected);
        let mut got = Vec::new();
        for size in sizes {
            let mut piece = vec![0; size];
            pieces.lost(&mut piece);
            got.extend(piece);
        }
        prop_assert_eq!(got, expected);
    }
}

/// What is heard of `voice` when the frames that `is_lost` names do not arrive.
fn conceal(rate: SampleRate, voice: &[i16], is_lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut concealer = Concealer::new(rate);
    let mut heard = voice.to_vec();
    for (n, frame) in heard.chunks_mut(rate.frame_samples()).enumerate() {
        if is_lost(n) { concealer.lost(frame) } else { concealer.good(frame) }
    }
    heard
}

/// A steady vowel: eight harmonics of `pitch` Hz, falling by 4 dB each.
fn voice(rate: SampleRate, pitch: f64, frames: usize) -> Vec<i16> {
    (0..frames * rate.frame_samples())
        .map(|n| {
            let seconds = n as f64 / f64::from(rate.hz());
            let harmonics = (1..=8)
                .map(|k| 0.63_f64.powi(k) * (TAU * pitch * f64::from(k) * seconds + f64::from(k * k)).sin());
            (9_000.0 * harmonics.sum::<f64>()).round() as i16
        })
        .collect()
}

fn largest_step(pcm: &[i16]) -> i32 {
    pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap_or(0)
}

fn power(samples: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = samples.len() as f64;
    samples.map(|sample| sample * sample).sum::<f64>() / count
}
