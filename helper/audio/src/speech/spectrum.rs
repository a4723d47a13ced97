//! The power spectrum of a window of audio.
//!
//! In: 512 samples. Out: 257 powers. A plain radix-2 transform, with its tables made once.

use std::f64::consts::{PI, TAU};
use std::sync::LazyLock;

/// Samples in a window.
pub(super) const WINDOW: usize = 512;
/// Powers in a spectrum, from 0 Hz to half the sample rate.
pub(super) const BINS: usize = WINDOW / 2 + 1;

/// The power spectrum of `samples` under a Hann window.
pub(super) fn power(samples: &[f32; WINDOW]) -> [f32; BINS] {
    let tables = &*TABLES;
    // Real samples, two by two, are the complex input of a transform of half the length.
    let (mut re, mut im) = ([0.0; HALF], [0.0; HALF]);
    for (n, place) in tables.place.iter().enumerate() {
        let (even, odd) = (2 * n, 2 * n + 1);
        re[*place] = samples[even] * tables.window[even];
        im[*place] = samples[odd] * tables.window[odd];
    }
    transform(&mut re, &mut im, tables);
    std::array::from_fn(|bin| {
        let (here, mirror) = (bin % HALF, (HALF - bin) % HALF);
        let even = (0.5 * (re[here] + re[mirror]), 0.5 * (im[here] - im[mirror]));
        let odd = (0.5 * (im[here] + im[mirror]), 0.5 * (re[mirror] - re[here]));
        let (cos, sin) = tables.turn[bin];
        let real = even.0 + odd.0 * cos + odd.1 * sin;
        let imaginary = even.1 + odd.1 * cos - odd.0 * sin;
        real * real + imaginary * imaginary
    })
}

/// In place; the input is in bit-reversed order. Slices of equal length, so that the compiler can use vector registers.
fn transform(re: &mut [f32; HALF], im: &mut [f32; HALF], tables: &Tables) {
    let mut span = 1;
    while span < HALF {
        let (cos, sin) = (&tables.cos[span - 1..2 * span - 1], &tables.sin[span - 1..2 * span - 1]);
        for (re, im) in re.chunks_exact_mut(2 * span).zip(im.chunks_exact_mut(2 * span)) {
            let ((re_a, re_b), (im_a, im_b)) = (re.split_at_mut(span), im.split_at_mut(span));
            let (a, b) = (re_a.iter_mut().zip(im_a), re_b.iter_mut().zip(im_b));
            for (((re_a, im_a), (re_b, im_b)), (cos, sin)) in a.zip(b).zip(cos.iter().zip(sin)) {
                let turned = (*re_b * cos + *im_b * sin, *im_b * cos - *re_b * sin);
                (*re_b, *im_b) = (*re_a - turned.0, *im_a - turned.1);
                (*re_a, *im_a) = (*re_a + turned.0, *im_a + turned.1);
            }
        }
        span *= 2;
    }
}

struct Tables {
    window: [f32; WINDOW],
    /// Where the bit-reversed order puts each pair of samples.
    place: [usize; HALF],
    /// Cosine and sine of each bin's angle.
    turn: [(f32, f32); BINS],
    /// The same for each stage of the transform, one stage of `span` angles after the other.
    cos: [f32; HALF - 1],
    sin: [f32; HALF - 1],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let stage_angle = |n: usize| {
        let span = 1 << (n + 1).ilog2();
        TAU * (n + 1 - span) as f64 / (2 * span) as f64
    };
    let angle = |bin: usize| TAU * bin as f64 / WINDOW as f64;
    Tables {
        window: std::array::from_fn(|n| (PI * n as f64 / WINDOW as f64).sin().powi(2) as f32),
        place: std::array::from_fn(|n| n.reverse_bits() >> (usize::BITS - HALF.trailing_zeros())),
        turn: std::array::from_fn(|bin| (angle(bin).cos() as f32, angle(bin).sin() as f32)),
        cos: std::array::from_fn(|n| stage_angle(n).cos() as f32),
        sin: std::array::from_fn(|n| stage_angle(n).sin() as f32),
    }
});

const HALF: usize = WINDOW / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spectrum_is_the_one_of_the_definition() {
        let samples: [f32; WINDOW] = std::array::from_fn(|n| ((n * n * 7 + n * 13) % 201) as f32 - 100.0);
        let spectrum = power(&samples);
        for (bin, power) in spectrum.iter().enumerate() {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in samples.iter().enumerate() {
                let windowed = f64::from(*sample) * (PI * n as f64 / WINDOW as f64).sin().powi(2);
                let angle = TAU * (bin * n) as f64 / WINDOW as f64;
                re += windowed * angle.cos();
                im -= windowed * angle.sin();
            }
            let expected = re * re + im * im;
            assert!(
                (f64::from(*power) - expected).abs() < 1.0 + expected * 1e-4,
                "bin {bin}: {power} {expected}"
            );
        }
    }
}
