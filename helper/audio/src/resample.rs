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
        match &mut self.filter {
            None => out.extend_from_slice(input),
            Some(filter) => input.chunks(BLOCK).for_each(|block| filter.process(block, out)),
        }
    }

    /// Appends what the filter still holds of the input, [`Self::delay`] samples, to `out`, and starts afresh.
    pub fn flush(&mut self, out: &mut Vec<i16>) {
        if let Some(filter) = &mut self.filter {
            let end = out.len() + filter.delay();
            while out.len() < end {
                filter.process(&[0; 64], out);
            }
            out.truncate(end);
            filter.reset();
        }
    }

    /// Samples of output by which the output lags behind the input.
    pub fn delay(&self) -> usize {
        self.filter.as_ref().map_or(0, Polyphase::delay)
    }
}

/// Resamples one whole signal, without delay: `ceil(samples.len() * to_hz / from_hz)` samples, aligned with the input.
///
/// # Errors
///
/// As [`Resampler::new`].
pub fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Result<Vec<i16>, ResampleError> {
    let mut resampler = Resampler::new(from_hz, to_hz)?;
    let delay = resampler.delay();
    let mut out = Vec::with_capacity(samples.len() * to_hz as usize / from_hz as usize + delay + 1);
    resampler.process(samples, &mut out);
    resampler.flush(&mut out);
    out.drain(..delay);
    Ok(out)
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

/// Interpolates by `up`, low-passes, decimates by `down`, computing only the samples that are kept.
#[derive(Debug, Clone)]
struct Polyphase {
    up: usize,
    down: usize,
    /// Position of the filter's centre, in steps of the interpolated rate; a multiple of `down`.
    centre: usize,
    /// `taps` coefficients for each of the `up` phases, for the oldest sample first.
    coefficients: Vec<f32>,
    /// Samples that each phase looks at; a multiple of [`LANES`].
    taps: usize,
    /// The last `taps - 1` samples, then what is new.
    line: Vec<f32>,
    /// Index in `line` of the newest sample that the next output looks at.
    newest: usize,
    /// Phase of the next output.
    phase: usize,
}

impl Polyphase {
    /// `None` if the table of coefficients would exceed [`MAX_COEFFICIENTS`].
    fn new(from_hz: u32, to_hz: u32) -> Option<Self> {
        let divisor = gcd(from_hz, to_hz);
        let (up, down) = ((to_hz / divisor) as usize, (from_hz / divisor) as usize);
        // A multiple of `down`, so that the delay is a whole number of samples.
        let centre = (SPAN / 2 * up.max(down)) / down * down;
        let taps = (2 * centre).div_ceil(up).next_multiple_of(LANES);
        if taps * up > MAX_COEFFICIENTS {
            return None;
        }
        let mut filter = Self {
            up,
            down,
            centre,
            coefficients: (0..up)
                .flat_map(|phase| phase_coefficients(phase, up, down, centre, taps))
                .collect(),
            taps,
            line: Vec::with_capacity(taps + BLOCK),
            newest: 0,
            phase: 0,
        };
        filter.reset();
        Some(filter)
    }

    fn reset(&mut self) {
        self.line.clear();
        self.line.resize(self.taps - 1, 0.0);
        self.newest = self.taps - 1;
        self.phase = 0;
    }

    fn delay(&self) -> usize {
        self.centre / self.down
    }

    fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        self.line.extend(input.iter().map(|&sample| f32::from(sample)));
        let (whole, fraction) = (self.down / self.up, self.down % self.up);
        while self.newest < self.line.len() {
            let window = &self.line[self.newest + 1 - self.taps..=self.newest];
            let coefficients = &self.coefficients[self.phase * self.taps..][..self.taps];
            out.push(round(dot(window, coefficients)));
            self.newest += whole;
            self.phase += fraction;
            if self.phase >= self.up {
                self.phase -= self.up;
                self.newest += 1;
            }
        }
        // One step is shorter than the filter, so what the next output looks at starts within the line.
        let done = self.newest + 1 - self.taps;
        self.line.drain(..done);
        self.newest -= done;
    }
}

/// The coefficients of one phase, for the oldest sample first, scaled to a gain of one.
fn phase_coefficients(phase: usize, up: usize, down: usize, centre: usize, taps: usize) -> Vec<f32> {
    let cutoff = CUTOFF / up.max(down) as f64;
    let tap = |age: usize| {
        let offset = (phase + age * up) as f64 - centre as f64;
        let within = 1.0 - (offset / centre as f64).powi(2);
        if within <= 0.0 { 0.0 } else { sinc(cutoff * offset) * bessel_i0(BETA * within.sqrt()) }
    };
    let taps: Vec<f64> = (0..taps).rev().map(tap).collect();
    let gain: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / gain) as f32).collect()
}

fn sinc(x: f64) -> f64 {
    let angle = std::f64::consts::PI * x;
    if angle == 0.0 { 1.0 } else { angle.sin() / angle }
}

/// The modified Bessel function of the first kind and order zero, by its series; `x` up to about 10.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..40 {
        term *= (x / (2.0 * f64::from(n))).powi(2);
        sum += term;
    }
    sum
}

/// Sum of the products. The lanes are what the compiler can put into one vector register.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// To the nearest integer, limited to 16 bits.
pub(crate) fn round(sample: f32) -> i16 {
    (sample + 0.5_f32.copysign(sample)) as i16
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The rates taken, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;
/// Length of the filter, in samples of the slower side.
const SPAN: usize = 48;
/// Middle of the transition band, relative to half the slower rate.
const CUTOFF: f64 = 0.95;
/// Shape of the Kaiser window: some 80 dB of stop-band attenuation.
const BETA: f64 = 8.0;
const LANES: usize = 8;
/// 4 MiB of coefficients: 44100 Hz to 48000 Hz takes 8,000 of them, 11025 Hz to 48000 Hz 31,000.
const MAX_COEFFICIENTS: usize = 1 << 20;
/// Samples taken into the line at once, which bounds it.
const BLOCK: usize = 4_096;
