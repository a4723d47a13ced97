//! `BackOff` says how long to wait before the next attempt to connect.
//!
//! In: a seed. Out: pauses of 1 to 30 seconds, longer with each attempt, spread so that the calls of a whole call center do not
//! come back in the same moment.

use std::time::Duration;

/// See above.
#[derive(Debug, Clone)]
pub struct BackOff {
    random: u64,
    attempts: u32,
}

impl BackOff {
    /// The same seed gives the same pauses.
    pub fn new(seed: u64) -> Self {
        Self { random: seed, attempts: 0 }
    }

    /// The pause before the next attempt: between half of 2, 4, 8, 16, 30 seconds and the whole.
    pub fn next_pause(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.attempts.min(8)).min(LONGEST);
        self.attempts += 1;
        let share = (self.next_random() >> 32) as f64 / f64::from(u32::MAX);
        whole / 2 + (whole / 2).mul_f64(share)
    }

    /// It went well: the next pause is the first again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_1_to_30_seconds_and_are_spread() {
        let pauses = |seed| {
            let mut back_off = BackOff::new(seed);
            (0..20).map(|_| back_off.next_pause()).collect::<Vec<_>>()
        };
        for seed in 0..100 {
            for (n, pause) in pauses(seed).into_iter().enumerate() {
                let whole = [2.0, 4.0, 8.0, 16.0].get(n).copied().unwrap_or(30.0);
                assert!((whole / 2.0..=whole).contains(&pause.as_secs_f64()), "{n}: {pause:?}");
            }
        }
        assert_eq!(pauses(7), pauses(7));
        let first: std::collections::BTreeSet<_> = (0..100).map(|seed| pauses(seed)[0]).collect();
        assert!(first.len() > 90, "{} different ones", first.len());
    }

    #[test]
    fn success_begins_anew() {
        let mut back_off = BackOff::new(1);
        for _ in 0..5 {
            back_off.next_pause();
        }
        back_off.reset();
        assert!(back_off.next_pause() <= FIRST);
    }
}
