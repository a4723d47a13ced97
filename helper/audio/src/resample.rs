//! Streaming change of the sample rate by a rational factor: a windowed-sinc polyphase filter.
//!
//! In: mono PCM in pieces of any size. Out: PCM at the other rate, the same however the input was cut. The filter spans
//! 48 samples of the slower side (Kaiser window, β = 8), so it delays by less than 24 of them: 3 ms at 8 kHz. Its pass
//! band ends near 0.42 of the slower rate; aliases and images lie below -80 dB.

/// Changes the sample rate of one stream.
#[derive(Debug, Clone)]
pub struct Resampler {
    filter: Option<Polyphase>,
}

impl Resampler {
    /// A resampler from one rate to another, in Hz. Equal rates pass the samples through untouched.
    ///
    /// # Errors
    ///
    /// [`ResampleError`] if a rate is outside 1000 to 384000 Hz, or the ratio of the two is so odd that the filter would
    /// need more than a few megabytes. All pairs of the usual rates (8000, 11025 .. 96000) have a ratio simple enough.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, ResampleError> {
        let error = ResampleError { from_hz, to_hz };
        if !RATES.contains(&from_hz) || !RATES.contains(&to_hz) {
            return Err(error);
        }
        if from_hz == to_hz {
            return Ok(Self { filter: None });
        }
        Polyphase::new(from_hz, to_hz).map(|filter| Self { filter: Some(filter) }).ok_or(error)
    }

    /// Appends what follows from `input` to `out`. Where the ratio of the rates is an integer, each 20 ms of input give
    /// exactly 20 ms of output.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        let _ = (input, out);
        todo!()
    }

    /// Appends what the filter still holds of the input, [`Self::delay`] samples, to `out`, and starts afresh.
    pub fn flush(&mut self, out: &mut Vec<i16>) {
        let _ = out;
        todo!()
    }

    /// Samples of output by which the output lags behind the input, rounded.
    pub fn delay(&self) -> usize {
        todo!()
    }
}

/// Resamples one whole signal, without delay: `ceil(samples.len() * to_hz / from_hz)` samples, aligned with the input.
///
/// # Errors
///
/// As [`Resampler::new`].
pub fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Result<Vec<i16>, ResampleError> {
    let _ = (samples, from_hz, to_hz);
    todo!()
}

/// The rates that no filter here can convert between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no conversion from a sample rate of {from_hz} Hz to {to_hz} Hz")]
pub struct ResampleError {
    /// Rate of the input, in Hz.
    pub from_hz: u32,
    /// Rate of the output, in Hz.
    pub to_hz: u32,
}

#[derive(Debug, Clone)]
struct Polyphase {}

impl Polyphase {
    fn new(_from_hz: u32, _to_hz: u32) -> Option<Self> {
        Some(Self {})
    }
}

const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;
