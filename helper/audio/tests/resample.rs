//! The resampler by its effect on tones: gain, purity, what it lets through that it should not.

use std::f64::consts::TAU;

use audio::resample::{ResampleError, Resampler, resample};
use proptest::prelude::*;

const AMPLITUDE: f64 = 16_000.0;
const TELEPHONY: [u32; 4] = [8_000, 16_000, 24_000, 48_000];
const FILES: [u32; 9] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

#[test]
fn doubling_and_halving_the_rate_doubles_and_halves_the_length() {
    let pcm = tone(300.0, 8_000, 801);
    assert_eq!(process(&pcm, 8_000, 16_000).len(), 1_602);
    assert_eq!(process(&pcm[..800], 16_000, 8_000).len(), 400);
    assert_eq!(resample(&pcm, 8_000, 16_000).unwrap().len(), 1_602);
    assert_eq!(resample(&pcm[..800], 16_000, 8_000).unwrap().len(), 400);
}

#[test]
fn every_20_ms_frame_gives_a_20_ms_frame_between_telephony_rates() {
    for from in TELEPHONY {
        for to in TELEPHONY {
            let mut resampler = Resampler::new(from, to).unwrap();
            for _ in 0..5 {
                let mut out = Vec::new();
                resampler.process(&vec![1_000; from as usize / 50], &mut out);
                assert_eq!(out.len(), to as usize / 50, "{from} to {to}");
            }
        }
    }
}

#[test]
fn equal_rates_pass_samples_through() {
    let pcm = tone(440.0, 24_000, 100);
    assert_eq!(process(&pcm, 24_000, 24_000), pcm);
    assert_eq!(resample(&pcm, 24_000, 24_000).unwrap(), pcm);
}

#[test]
fn a_tone_in_the_pass_band_comes_out_clean_at_every_pair_of_rates() {
    for from in FILES {
        for to in TELEPHONY {
            let out = middle(resample(&tone(1_000.0, from, from as usize), from, to).unwrap());
            let (level, residue) = fit(&out, 1_000.0, to);
            let gain = decibels(level / AMPLITUDE);
            assert!(gain.abs() < 0.02, "{from} to {to}: gain {gain:.3} dB");
            // Rounding to 16 bits alone leaves 92 dB at this level.
            let snr = decibels(AMPLITUDE / residue);
            assert!(snr > 80.0, "{from} to {to}: {snr:.1} dB");
        }
    }
}

#[test]
fn the_telephone_band_is_flat() {
    for (from, to) in [(8_000, 16_000), (16_000, 8_000), (48_000, 8_000), (8_000, 24_000), (44_100, 8_000)] {
        for frequency in [100.0, 300.0, 2_500.0, 3_400.0] {
            let out = middle(resample(&tone(frequency, from, from as usize), from, to).unwrap());
            let gain = decibels(fit(&out, frequency, to).0 / AMPLITUDE);
            assert!(gain.abs() < 0.1, "{frequency} Hz, {from} to {to}: {gain:.3} dB");
        }
    }
}

#[test]
fn aliases_of_tones_above_the_new_band_are_80_db_down() {
    for from in [16_000, 24_000, 44_100, 48_000, 96_000] {
        for to in [8_000, 16_000, 24_000]
            .into_iter()
            .filter(|to| *to < from && 0.6 * f64::from(*to) < f64::from(from) / 2.0)
        {
            let above = 0.6 * f64::from(to);
            let out = middle(resample(&tone(above, from, from as usize), from, to).unwrap());
            let alias = fit(&out, f64::from(to) - above, to).0;
            assert!(
                decibels(alias / AMPLITUDE) < -80.0,
                "{from} to {to}: {:.1} dB",
                decibels(alias / AMPLITUDE)
            );
        }
    }
}

#[test]
fn images_of_tones_are_80_db_down() {
    for (from, to) in [(8_000, 16_000), (8_000, 24_000), (8_000, 48_000), (16_000, 24_000), (24_000, 48_000)]
    {
        let frequency = 0.425 * f64::from(from);
        let out = middle(resample(&tone(frequency, from, from as usize), from, to).unwrap());
        let image = fit(&out, f64::from(from) - frequency, to).0;
        assert!(decibels(image / AMPLITUDE) < -80.0, "{from} to {to}: {:.1} dB", decibels(image / AMPLITUDE));
    }
}

#[test]
fn the_delay_is_24_samples_of_the_slower_side() {
    for (from, to, delay) in
        [(8_000, 16_000, 48), (16_000, 8_000, 24), (48_000, 8_000, 24), (16_000, 24_000, 36)]
    {
        assert_eq!(Resampler::new(from, to).unwrap().delay(), delay);
        let mut impulse = vec![0; from as usize / 10];
        impulse[0] = 20_000;
        let out = process(&impulse, from, to);
        let peak = (0..out.len()).max_by_key(|&n| out[n]).unwrap();
        assert_eq!(peak, delay, "{from} to {to}");
        let whole = resample(&impulse, from, to).unwrap();
        assert_eq!((0..whole.len()).max_by_key(|&n| whole[n]), Some(0), "{from} to {to}");
    }
}

#[test]
fn flush_gives_the_rest_and_starts_afresh() {
    let pcm = tone(700.0, 44_100, 4_410);
    let mut resampler = Resampler::new(44_100, 8_000).unwrap();
    let mut first = Vec::new();
    resampler.process(&pcm, &mut first);
    assert_eq!(first.len(), 800);
    resampler.flush(&mut first);
    assert_eq!(first.len(), 800 + resampler.delay());
    let mut second = Vec::new();
    resampler.process(&pcm, &mut second);
    resampler.flush(&mut second);
    assert_eq!(first, second);
}

#[test]
fn full_scale_is_limited_not_wrapped() {
    let square: Vec<i16> = (0..800).map(|n| if n % 40 < 20 { i16::MAX } else { i16::MIN }).collect();
    let out = resample(&square, 8_000, 16_000).unwrap();
    for (n, pair) in out.chunks_exact(2).enumerate().filter(|(n, _)| (4..16).contains(&(n % 20))) {
        assert_eq!(pair[0] > 0, square[n] > 0, "sample {n}");
    }
    assert_eq!((out.iter().max(), out.iter().min()), (Some(&i16::MAX), Some(&i16::MIN)));
}

#[test]
fn rates_without_a_conversion_are_refused() {
    for (from_hz, to_hz) in [(0, 8_000), (8_000, 0), (8_000, 500_000), (44_101, 8_000)] {
        assert_eq!(Resampler::new(from_hz, to_hz).err(), Some(ResampleError { from_hz, to_hz }));
    }
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_samples_as_the_whole(
        from in prop::sample::select(&FILES),
        to in prop::sample::select(&TELEPHONY),
        pcm in prop::collection::vec(any::<i16>(), 0..3_000),
        sizes in prop::collection::vec(0_usize..700, 1..8),
    ) {
        let mut resampler = Resampler::new(from, to).unwrap();
        let (mut pieces, mut rest, mut sizes) = (Vec::new(), &pcm[..], sizes.into_iter());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap_or(333).min(rest.len()));
            resampler.process(piece, &mut pieces);
            rest = after;
        }
        prop_assert_eq!(process(&pcm, from, to), pieces);
    }
}

fn process(pcm: &[i16], from: u32, to: u32) -> Vec<i16> {
    let mut out = Vec::new();
    Resampler::new(from, to).unwrap().process(pcm, &mut out);
    out
}

fn tone(frequency: f64, rate: u32, samples: usize) -> Vec<i16> {
    let step = TAU * frequency / f64::from(rate);
    (0..samples).map(|n| (AMPLITUDE * (step * n as f64).sin()).round() as i16).collect()
}

/// Without the onset and the end.
fn middle(mut pcm: Vec<i16>) -> Vec<i16> {
    let margin = pcm.len() / 20;
    pcm.truncate(pcm.len() - margin);
    pcm.drain(..margin);
    pcm
}

/// Amplitude of the sine of `frequency` in `pcm` (0.9 s, a whole number of periods), and of all else.
fn fit(pcm: &[i16], frequency: f64, rate: u32) -> (f64, f64) {
    let step = TAU * frequency / f64::from(rate);
    let scale = 2.0 / pcm.len() as f64;
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (n, &sample) in pcm.iter().enumerate() {
        sine += f64::from(sample) * (step * n as f64).sin() * scale;
        cosine += f64::from(sample) * (step * n as f64).cos() * scale;
    }
    let residue: f64 = (pcm.iter().enumerate())
        .map(|(n, &sample)| {
            let angle = step * n as f64;
            (f64::from(sample) - sine * angle.sin() - cosine * angle.cos()).powi(2)
        })
        .sum();
    (sine.hypot(cosine), (residue * scale).sqrt())
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}
