//! `Loudness` finds lasting sound by its level alone: cheaper than the speech detector, and no judge of what it hears.
//!
//! In: frames of PCM. Out: whether it has been loud for long enough. Tones of the network and keys can be left out.

use std::time::Duration;

use model::audio::SampleRate;

use super::level::Level;
use super::tone_guard::{HOP, ToneGuard, Verdict};
use crate::resample::{ResampleError, Resampler};

/// Listens to one stream; one for each. Allocates nothing once it is made.
#[derive(Debug, Clone)]
pub struct Loudness {
    /// Mean square from which on a frame is loud.
    threshold: u64,
    /// Samples that are needed.
    needed: usize,
    /// Loud samples, less a quarter of the others.
    evidence: usize,
    /// Samples since the last loud frame.
    pause: usize,
    /// Samples of a pause that ends what was sustained.
    longest_pause: usize,
    tones: Option<ToneFilter>,
}

/// The guard against tones, at the rate that it needs.
#[derive(Debug, Clone)]
struct ToneFilter {
    guard: ToneGuard,
    to_8k: Resampler,
    /// Audio at 8 kHz that is not a whole hop yet.
    pending: Vec<i16>,
    verdict: Verdict,
}

impl Loudness {
    /// Waits until frames with a root mean square above `rms` have lasted for `sustained`, pauses between syllables left
    /// out: others count against it by a quarter, and 200 ms of them end it. A click is not loud, whatever its peak.
    ///
    /// `rate`: of the mono audio. `ignore_tones`: whether keys, call-progress tones and other steady tones count as quiet;
    /// they are known for what they are after 110 ms, so `sustained` should be longer.
    ///
    /// # Errors
    ///
    /// [`ResampleError`] never, for the rates of [`SampleRate`].
    pub fn new(
        rate: SampleRate,
        rms: u16,
        sustained: Duration,
        ignore_tones: bool,
    ) -> Result<Self, ResampleError> {
        let needed = sustained.as_secs_f64() * f64::from(rate.hz());
        let tones = if ignore_tones { Some(ToneFilter::new(rate)?) } else { None };
        Ok(Self {
            threshold: u64::from(rms).pow(2),
            needed: (needed.round() as usize).max(1),
            evidence: 0,
            pause: 0,
            longest_pause: rate.hz() as usize / 5,
            tones,
        })
    }

    /// Listens to one frame, 20 ms by custom: its level is taken as a whole. Whether it has now been loud for long enough.
    pub fn process(&mut self, frame: &[i16]) -> bool {
        let tone = self.tones.as_mut().map_or(Verdict::Free, |tones| tones.hear(frame));
        let is_loud = self.is_loud(frame);
        self.pause = if is_loud { 0 } else { self.pause.saturating_add(frame.len()) };
        self.evidence = match tone {
            Verdict::Tone => 0,
            _ if self.pause >= self.longest_pause => 0,
            Verdict::Free if is_loud => (self.evidence + frame.len()).min(self.needed),
            Verdict::Suspect if is_loud => self.evidence,
            _ => self.evidence.saturating_sub(frame.len() / 4),
        };
        self.evidence >= self.needed
    }

    fn is_loud(&self, frame: &[i16]) -> bool {
        let square = |sample: &i16| u64::from(sample.unsigned_abs()).pow(2);
        let (energy, peak) = (frame.iter().map(square).sum::<u64>(), frame.iter().map(square).max());
        let length = frame.len() as u64;
        energy > self.threshold * length && peak.is_some_and(|peak| peak * length <= CLICK * energy)
    }

    /// Forgets how long it has been loud.
    pub fn restart(&mut self) {
        self.evidence = 0;
    }
}

impl ToneFilter {
    fn new(rate: SampleRate) -> Result<Self, ResampleError> {
        Ok(Self {
            guard: ToneGuard::new(),
            to_8k: Resampler::new(rate.hz(), 8_000)?,
            pending: Vec::with_capacity(CAPACITY),
            verdict: Verdict::Free,
        })
    }

    /// The gravest verdict on the hops that end within `frame`; the last one, if none does.
    fn hear(&mut self, frame: &[i16]) -> Verdict {
        self.to_8k.process(frame, &mut self.pending);
        let whole = self.pending.len() - self.pending.len() % HOP;
        let (hops, _) = self.pending[..whole].as_chunks::<HOP>();
        // A tone does not become quiet by going on: each hop counts as foreground.
        let verdicts = hops.iter().map(|hop| self.guard.hear(hop, Level::Foreground));
        self.verdict = verdicts.max().unwrap_or(self.verdict);
        self.pending.drain(..whole);
        self.verdict
    }
}

/// A peak of seven times the root mean square, squared: the pulses of a voice have five.
const CLICK: u64 = 49;
/// A hop and a frame of 20 ms.
const CAPACITY: usize = HOP + 160;
