//! Packet-loss concealment: fills a gap with the last pitch periods, fading, and joins what comes after it.
//!
//! In: decoded frames in order of playout, or the fact that one is missing. Out: the frames to play. It works on PCM, so
//! for every codec, and knows nothing of packets. After the published description of G.711 Appendix I, but without its
//! delay of 3.75 ms: the start of a gap cannot be blended with samples already played, so a fading offset joins it.

use model::audio::SampleRate;

use crate::resample::{dot, round};

/// Conceals the losses of one stream; one for each.
#[derive(Debug, Clone)]
pub struct Concealer {
    lengths: Lengths,
    /// The latest samples played, concealment included.
    history: Vec<i16>,
    /// What stands for the missing speech; kept, so that a loss allocates nothing.
    substitute: Substitute,
    /// Samples played since the last good frame.
    concealed: usize,
    scratch: Vec<f32>,
}

impl Concealer {
    /// `sample_rate`: of the decoded audio.
    pub fn new(sample_rate: SampleRate) -> Self {
        let lengths = Lengths::new(sample_rate);
        Self {
            lengths,
            history: vec![0; lengths.history],
            substitute: Substitute::new(lengths),
            concealed: 0,
            scratch: Vec::with_capacity(lengths.window + lengths.longest_pitch),
        }
    }

    /// Takes a frame that arrived. After a gap its start is blended with the concealment; else it stays as it is.
    pub fn good(&mut self, frame: &mut [i16]) {
        if self.concealed > 0 {
            let overlap = self.substitute.overlap_after(self.concealed).min(frame.len());
            for (n, sample) in frame[..overlap].iter_mut().enumerate() {
                let weight = (n + 1) as f32 / (overlap + 1) as f32;
                *sample = round(f32::from(*sample) * weight + self.substitute.next_sample() * (1.0 - weight));
            }
            self.concealed = 0;
        }
        self.remember(frame);
    }

    /// Fills `out`, a frame that is missing: the pitch repeated; from 10 ms on 20 % less every 10 ms, so silence after
    /// 60 ms.
    pub fn lost(&mut self, out: &mut [i16]) {
        if self.concealed == 0 {
            let pitch = self.pitch();
            self.substitute.start(&self.history, pitch);
        }
        for sample in out.iter_mut() {
            *sample = round(self.substitute.next_sample());
        }
        self.concealed = self.concealed.saturating_add(out.len());
        self.remember(out);
    }

    fn remember(&mut self, frame: &[i16]) {
        let frame = &frame[frame.len().saturating_sub(self.history.len())..];
        let kept = self.history.len() - frame.len();
        self.history.copy_within(frame.len().., 0);
        self.history[kept..].copy_from_slice(frame);
    }

    /// Length of the latest pitch period: the lag at which the last 20 ms are most alike to what was before; on every
    /// second (fourth, ..) sample first, then exactly.
    fn pitch(&mut self) -> usize {
        let Lengths { shortest_pitch, longest_pitch, window, stride, history, .. } = self.lengths;
        let recent = &self.history[history - window - longest_pitch..];
        self.scratch.clear();
        self.scratch.extend(recent.iter().step_by(stride).map(|&sample| f32::from(sample)));
        let coarse = stride
            * best_lag(&self.scratch, window / stride, shortest_pitch / stride, longest_pitch / stride);
        self.scratch.clear();
        self.scratch.extend(recent.iter().map(|&sample| f32::from(sample)));
        let first = (coarse + 1).saturating_sub(stride).max(shortest_pitch);
        best_lag(&self.scratch, window, first, (coarse + stride - 1).min(longest_pitch))
    }
}

/// The lag from `shortest` to `longest` of the highest normalised correlation between the last `window` samples of
/// `signal` and as many that end a lag earlier.
fn best_lag(signal: &[f32], window: usize, shortest: usize, longest: usize) -> usize {
    let end = &signal[signal.len() - window..];
    let likeness = |lag: usize| {
        let earlier = &signal[signal.len() - window - lag..][..window];
        dot(end, earlier) / dot(earlier, earlier).max(window as f32).sqrt()
    };
    let mut best = (shortest, likeness(shortest));
    for lag in shortest + 1..=longest {
        let likeness = likeness(lag);
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best.0
}

/// The pitch periods before a gap, repeated: one for 10 ms, then two, then three, so that it does not buzz.
#[derive(Debug, Clone)]
struct Substitute {
    lengths: Lengths,
    /// What was played before the gap.
    source: Vec<i16>,
    pitch: usize,
    /// Periods repeated now.
    cycle: Cycle,
    /// Periods repeated before, while the change is blended.
    previous: Option<Cycle>,
    /// Samples given.
    elapsed: usize,
    /// Step from what the first period follows in the source to what it follows in the gap.
    offset: f32,
}

/// A place in the last `periods` pitch periods of the source.
#[derive(Debug, Clone, Copy)]
struct Cycle {
    periods: usize,
    position: usize,
}

impl Substitute {
    fn new(lengths: Lengths) -> Self {
        let cycle = Cycle { periods: 1, position: 0 };
        let (source, pitch) = (vec![0; lengths.history], lengths.shortest_pitch);
        Self { lengths, source, pitch, cycle, previous: None, elapsed: 0, offset: 0.0 }
    }

    fn start(&mut self, source: &[i16], pitch: usize) {
        self.source.copy_from_slice(source);
        self.pitch = pitch;
        self.cycle = Cycle { periods: 1, position: 0 };
        self.previous = None;
        self.elapsed = 0;
        let last = source.len() - 1;
        self.offset = f32::from(source[last]) - f32::from(source[last - pitch]);
    }

    /// Samples over which speech after `concealed` samples of gap is blended: longer, the longer the gap was.
    fn overlap_after(&self, concealed: usize) -> usize {
        let ten_ms = self.lengths.ten_ms;
        (self.blend() + concealed / ten_ms * (ten_ms * 2 / 5)).min(ten_ms)
    }

    fn next_sample(&mut self) -> f32 {
        let ten_ms = self.lengths.ten_ms;
        if self.elapsed >= 6 * ten_ms {
            return 0.0;
        }
        if self.elapsed == ten_ms || self.elapsed == 2 * ten_ms {
            self.previous = Some(self.cycle);
            self.cycle =
                Cycle { periods: self.cycle.periods + 1, position: self.cycle.position % self.pitch };
        }
        let mut sample = self.read(self.cycle);
        let (blend, since_change) = (self.blend(), self.elapsed % ten_ms);
        if let Some(previous) = self.previous {
            if since_change < blend {
                let weight = (since_change + 1) as f32 / (blend + 1) as f32;
                sample = sample * weight + self.read(previous) * (1.0 - weight);
                self.previous = Some(self.advanced(previous));
            } else {
                self.previous = None;
            }
        }
        if self.elapsed < blend {
            sample += self.offset * (1.0 - (self.elapsed + 1) as f32 / (blend + 1) as f32);
        }
        self.cycle = self.advanced(self.cycle);
        let fade = 0.2 * self.elapsed.saturating_sub(ten_ms) as f32 / ten_ms as f32;
        self.elapsed += 1;
        sample * (1.0 - fade)
    }

    /// The sample at a place; the last quarter of a period blends into what comes before the first one.
    fn read(&self, Cycle { periods, position }: Cycle) -> f32 {
        let (length, blend) = (periods * self.pitch, self.blend());
        let at = self.source.len() - length + position;
        let sample = f32::from(self.source[at]);
        let Some(into_blend) = (position + blend).checked_sub(length) else {
            return sample;
        };
        let weight = (into_blend + 1) as f32 / (blend + 1) as f32;
        sample * (1.0 - weight) + f32::from(self.source[at - length]) * weight
    }

    fn advanced(&self, Cycle { periods, position }: Cycle) -> Cycle {
        Cycle { periods, position: (position + 1) % (periods * self.pitch) }
    }

    /// Samples over which two pieces are blended: a quarter of a pitch period.
    fn blend(&self) -> usize {
        self.pitch / 4
    }
}

/// The lengths of the algorithm, in samples.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    ten_ms: usize,
    /// 5 ms: a voice of 200 Hz.
    shortest_pitch: usize,
    /// 15 ms: a voice of 67 Hz.
    longest_pitch: usize,
    /// 20 ms, over which the likeness is taken.
    window: usize,
    /// Of how many samples the coarse search takes one: it works at 4 kHz.
    stride: usize,
    /// Three of the longest pitch periods and a quarter.
    history: usize,
}

impl Lengths {
    fn new(sample_rate: SampleRate) -> Self {
        let ms = sample_rate.hz() as usize / 1_000;
        let longest_pitch = 15 * ms;
        Self {
            ten_ms: 10 * ms,
            shortest_pitch: 5 * ms,
            longest_pitch,
            window: 20 * ms,
            stride: ms / 4,
            history: 3 * longest_pitch + longest_pitch / 4,
        }
    }
}
