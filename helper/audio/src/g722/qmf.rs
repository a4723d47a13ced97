//! The two quadrature mirror filter banks of G.722: 24 taps, one split into two bands and its inverse.
//!
//! In: two samples at 16 kHz, or one sample of each band at 8 kHz. Out: the other.

use super::tables::{QMF_EVEN, QMF_ODD};

/// The transmit filter bank: splits at 4 kHz (ITU-T G.722 §3.1).
#[derive(Debug, Clone, Default)]
pub(super) struct Analysis(DelayLine);

impl Analysis {
    /// One sample of the lower and of the upper band, 15 bits each, for two samples of input.
    pub(super) fn split(&mut self, first: i16, second: i16) -> (i16, i16) {
        let (even, odd) = self.0.filter(first.into(), second.into());
        (saturate((even + odd) >> 14), saturate((even - odd) >> 14))
    }
}

/// The receive filter bank (ITU-T G.722 §4.4).
#[derive(Debug, Clone, Default)]
pub(super) struct Synthesis(DelayLine);

impl Synthesis {
    /// Two samples of output for one sample of each band.
    pub(super) fn join(&mut self, low: i16, high: i16) -> [i16; 2] {
        let (low, high) = (i32::from(low), i32::from(high));
        let (first, second) = self.0.filter(low + high, low - high);
        [saturate(first >> 11), saturate(second >> 11)]
    }
}

/// The last twelve pairs of samples, the oldest first, each half of the pairs in its own line.
#[derive(Debug, Clone, Default)]
struct DelayLine {
    firsts: [i32; 12],
    seconds: [i32; 12],
}

impl DelayLine {
    /// Shifts one pair in; returns the two polyphase halves of the filter, in 13 fractional bits.
    fn filter(&mut self, first: i32, second: i32) -> (i32, i32) {
        self.firsts.copy_within(1.., 0);
        self.firsts[11] = first;
        self.seconds.copy_within(1.., 0);
        self.seconds[11] = second;
        let even = self.seconds.iter().zip(QMF_EVEN).map(|(sample, tap)| sample * tap).sum();
        let odd = self.firsts.iter().zip(QMF_ODD).map(|(sample, tap)| sample * tap).sum();
        (even, odd)
    }
}

fn saturate(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}
