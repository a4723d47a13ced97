//! `Histogram` counts times in buckets of 10 µs, so that memory does not grow with the length of a run.

use std::time::Duration;

/// How often each length of time occurred. Times beyond 4 s count as 4 s.
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0 }
    }

    pub fn add(&mut self, time: Duration) {
        let at = (time.as_micros() as usize / WIDTH_MICROS).min(BUCKETS - 1);
        self.buckets[at] += 1;
        self.count += 1;
    }

    /// The time that a share (0 to 1) of all times does not exceed; `None` without any.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let at = self.buckets.iter().position(|&n| {
            seen += u64::from(n);
            seen >= rank
        })?;
        Some(Duration::from_micros(((at + 1) * WIDTH_MICROS) as u64))
    }
}

const WIDTH_MICROS: usize = 10;
const BUCKETS: usize = 400_000;
