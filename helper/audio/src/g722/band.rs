//! One sub-band of G.722: an adaptive quantiser around an adaptive predictor (ITU-T G.722 §3.2 to §3.6, §6.2).
//!
//! In: a sub-band sample, or its code. Out: the other. Names of the steps (UPPOL2, FILTEZ ..) are those of §6.2, whose
//! 16-bit saturating arithmetic is followed step by step: the encoder and the decoder stay equal only if every rounding is.

use super::tables::{
    HIGH_LEVEL, HIGH_LOG_STEP, HIGH_OUTPUT, LOW_LEVELS, LOW_LOG_STEP, LOW_OUTPUT_4, LOW_OUTPUT_6, OCTAVE,
};

/// The lower band, 0 to 4 kHz: six bits a sample.
#[derive(Debug, Clone)]
pub(super) struct LowBand {
    predictor: Predictor,
    step: Step,
}

impl Default for LowBand {
    fn default() -> Self {
        Self { predictor: Predictor::default(), step: Step { log: 0, size: 32 } }
    }
}

impl LowBand {
    pub(super) fn encode(&mut self, sample: i16) -> u8 {
        let error = saturate(i32::from(sample) - self.predictor.estimate);
        // One's complement, as the recommendation takes the magnitude.
        let magnitude = if error < 0 { !error } else { error };
        let interval = LOW_LEVELS.partition_point(|level| (level * self.step.size) >> 12 <= magnitude) as u8;
        let code = match (error < 0, interval) {
            (true, 0 | 1) => 63 - interval,
            (true, _) => 33 - interval,
            (false, _) => 61 - interval,
        };
        self.adapt(code);
        code
    }

    /// `code`: six bits.
    pub(super) fn decode(&mut self, code: u8) -> i16 {
        let difference = scale(self.step.size, LOW_OUTPUT_6[usize::from(code & 0x3F)]);
        let output = saturate(self.predictor.estimate + difference);
        self.adapt(code);
        limit_15_bits(output)
    }

    /// Only the four leading bits count, so that two bits may be stolen on the way without losing synchronism.
    fn adapt(&mut self, code: u8) {
        let index = usize::from(code >> 2 & 0xF);
        let difference = scale(self.step.size, LOW_OUTPUT_4[index]);
        self.step.adapt(LOW_LOG_STEP[index], 18_432, 8);
        self.predictor.update(difference);
    }
}

/// The upper band, 4 to 8 kHz: two bits a sample.
#[derive(Debug, Clone)]
pub(super) struct HighBand {
    predictor: Predictor,
    step: Step,
}

impl Default for HighBand {
    fn default() -> Self {
        Self { predictor: Predictor::default(), step: Step { log: 0, size: 8 } }
    }
}

impl HighBand {
    pub(super) fn encode(&mut self, sample: i16) -> u8 {
        let error = saturate(i32::from(sample) - self.predictor.estimate);
        let magnitude = if error < 0 { !error } else { error };
        let large = magnitude >= (HIGH_LEVEL * self.step.size) >> 12;
        let code = match (error < 0, large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.adapt(code);
        code
    }

    /// `code`: two bits.
    pub(super) fn decode(&mut self, code: u8) -> i16 {
        let difference = scale(self.step.size, HIGH_OUTPUT[usize::from(code & 3)]);
        let output = saturate(self.predictor.estimate + difference);
        self.adapt(code);
        limit_15_bits(output)
    }

    fn adapt(&mut self, code: u8) {
        let index = usize::from(code & 3);
        let difference = scale(self.step.size, HIGH_OUTPUT[index]);
        self.step.adapt(HIGH_LOG_STEP[index], 22_528, 10);
        self.predictor.update(difference);
    }
}

/// The quantiser's step size and its logarithm.
#[derive(Debug, Clone)]
struct Step {
    log: i32,
    size: i32,
}

impl Step {
    /// LOGSCL/LOGSCH, then SCALEL/SCALEH: leaks the logarithm, adds `change`, limits to `max`, takes the power.
    fn adapt(&mut self, change: i32, max: i32, exponent: i32) {
        self.log = (scale(self.log, 32_512) + change).clamp(0, max);
        let mantissa = OCTAVE[(self.log >> 6 & 31) as usize];
        let shift = exponent - (self.log >> 11);
        self.size = (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2;
    }
}

/// Predicts the next sample from two poles and six zeros, each adapted by the sign of its correlation.
#[derive(Debug, Clone, Default)]
struct Predictor {
    /// Coefficients of the poles, 14 fractional bits.
    poles: [i32; 2],
    /// Coefficients of the zeros, 14 fractional bits.
    zeros: [i32; 6],
    /// Quantised differences, the latest first.
    differences: [i32; 6],
    /// Reconstructed samples, the latest first.
    reconstructed: [i32; 2],
    /// Signals partially reconstructed, by the zeros alone, the latest first.
    partial: [i32; 2],
    /// What the zeros predict.
    zero_estimate: i32,
    /// What both predict: the next sample.
    estimate: i32,
}

impl Predictor {
    /// BLOCK4: takes the quantised difference of this sample, adapts, and predicts the next.
    fn update(&mut self, difference: i32) {
        let reconstructed = saturate(self.estimate + difference);
        let partial = saturate(self.zero_estimate + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        self.predict();
    }

    /// UPPOL2 and UPPOL1.
    fn adapt_poles(&mut self, partial: i32) {
        let same_as_last = same_sign(partial, self.partial[0]);
        let quadruple = saturate(self.poles[0] << 2);
        let towards = if same_as_last { saturate(-quadruple) } else { quadruple } >> 7;
        let kick = if same_sign(partial, self.partial[1]) { 128 } else { -128 };
        self.poles[1] = (towards + kick + scale(self.poles[1], 32_512)).clamp(-12_288, 12_288);
        let kick = if same_as_last { 192 } else { -192 };
        // Keeps the pair of poles within the region of stability.
        let bound = 15_360 - self.poles[1];
        self.poles[0] = (kick + scale(self.poles[0], 32_640)).clamp(-bound, bound);
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        let kick = if difference == 0 { 0 } else { 128 };
        for (zero, &past) in self.zeros.iter_mut().zip(&self.differences) {
            let kick = if same_sign(difference, past) { kick } else { -kick };
            *zero = saturate(kick + scale(*zero, 32_640));
        }
    }

    /// FILTEP, FILTEZ and PREDIC.
    fn predict(&mut self) {
        let [last, before] = self.reconstructed.map(|sample| saturate(sample * 2));
        let by_poles = saturate(scale(self.poles[0], last) + scale(self.poles[1], before));
        // The sum starts at the oldest difference: with saturation the order counts.
        self.zero_estimate = (self.zeros.iter().zip(&self.differences).rev())
            .fold(0, |sum, (&zero, &past)| saturate(sum + scale(zero, saturate(past * 2))));
        self.estimate = saturate(by_poles + self.zero_estimate);
    }
}

/// Whether both are negative, or neither is.
fn same_sign(a: i32, b: i32) -> bool {
    (a ^ b) >= 0
}

/// Product of two 16-bit values as fractions of 15 bits, rounded down.
fn scale(a: i32, b: i32) -> i32 {
    (a * b) >> 15
}

fn saturate(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

/// LIMIT: what the receive filter bank can take without overflow.
fn limit_15_bits(value: i32) -> i16 {
    value.clamp(-16_384, 16_383) as i16
}
