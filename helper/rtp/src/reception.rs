//! `Reception` keeps the books of one stream that is received: extended sequence numbers (RFC 3550 §A.1), losses
//! (§A.3) and jitter (§A.8).
//!
//! In: sequence numbers, timestamps and arrivals. Out: extended sequence numbers and the figures of a report block.

use std::time::{Duration, Instant};

pub(crate) struct Reception {
    pub(crate) ssrc: u32,
    clock_rate: u32,
    /// Origin of arrival times.
    epoch: Instant,
    /// First sequence number, extended: 1 << 16 higher than RFC 3550 has it, so that it can be gone below.
    base: u64,
    max: u64,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// Arrival less timestamp of the last packet, in clock units, modulo 2^32.
    transit: Option<u32>,
    /// Interarrival jitter in sixteenths of clock units.
    jitter: u32,
}

/// The part of a report block that only the receiver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Share lost since the last report, in 1/256.
    pub(crate) fraction: u8,
    /// Cumulative, 24 bits, two's complement.
    pub(crate) cumulative: u32,
}

impl Reception {
    /// A stream whose first packet is `seq`; that packet is to be passed to [`extend`](Self::extend) as well.
    pub(crate) fn new(now: Instant, ssrc: u32, seq: u16, clock_rate: u32) -> Self {
        let base = CYCLE + u64::from(seq);
        Self {
            ssrc,
            clock_rate: clock_rate.max(1),
            epoch: now,
            base,
            max: base,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter: 0,
        }
    }

    /// Counts a packet and returns its extended sequence number; `None`, and nothing counted, when it is too far
    /// from the others to be of this stream.
    pub(crate) fn extend(&mut self, seq: u16) -> Option<u64> {
        let ahead = seq.wrapping_sub(self.max as u16);
        let extended = if ahead < MAX_DROPOUT {
            self.max + u64::from(ahead)
        } else if u64::from(ahead) > CYCLE - MAX_MISORDER {
            self.max - (CYCLE - u64::from(ahead))
        } else {
            return None;
        };
        self.max = self.max.max(extended);
        self.received += 1;
        Some(extended)
    }

    /// Takes a packet's timestamp into the jitter.
    pub(crate) fn arrived(&mut self, now: Instant, timestamp: u32) {
        let arrival = units(now.saturating_duration_since(self.epoch), self.clock_rate) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let distance = (transit.wrapping_sub(last) as i32).unsigned_abs();
            if distance > self.clock_rate.saturating_mul(MAX_STEP_SECONDS) {
                return; // the peer's clock was set anew, which is not jitter
            }
            self.jitter = self.jitter + distance - ((self.jitter + 8) >> 4);
        }
    }

    /// Interarrival jitter in clock units.
    pub(crate) fn jitter_units(&self) -> u32 {
        self.jitter >> 4
    }

    /// Interarrival jitter.
    pub(crate) fn jitter(&self) -> Duration {
        Duration::from_nanos(u64::from(self.jitter) * 62_500_000 / u64::from(self.clock_rate))
    }

    /// Whether a packet came after a later one.
    pub(crate) fn is_behind(&self, extended: u64) -> bool {
        extended < self.max
    }

    /// Highest sequence number received, with the count of cycles above 16 bits.
    pub(crate) fn highest(&self) -> u32 {
        (self.max - CYCLE) as u32
    }

    /// Expected less received: negative when duplicates came.
    pub(crate) fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// The losses for a report, and the start of the next reporting interval.
    pub(crate) fn report(&mut self) -> Losses {
        let expected = self.expected() - self.expected_prior;
        let received = self.received - self.received_prior;
        self.expected_prior = self.expected();
        self.received_prior = self.received;
        let fraction = match expected.checked_sub(received) {
            Some(lost) if expected > 0 => (lost * 256 / expected).min(255) as u8,
            _ => 0,
        };
        let cumulative = self.lost().clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        Losses { fraction, cumulative }
    }

    fn expected(&self) -> u64 {
        self.max - self.base + 1
    }
}

/// A duration in clock units.
pub(crate) fn units(duration: Duration, clock_rate: u32) -> u64 {
    (duration.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u64
}

const CYCLE: u64 = 1 << 16;
/// Gap up to which the stream goes on (RFC 3550 §A.1).
const MAX_DROPOUT: u16 = 3000;
/// Distance up to which a packet may come after a later one (RFC 3550 §A.1).
const MAX_MISORDER: u64 = 100;
/// More than this between two packets is a step of the peer's clock.
const MAX_STEP_SECONDS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_go_on_over_the_wrap_in_both_directions() {
        let mut stream = Reception::new(origin(), 1, 65534, 8000);
        let got: Vec<_> = [65534, 65535, 0, 65533, 1, 1, 0].map(|seq| stream.extend(seq).unwrap()).into();
        assert_eq!(got, [131070, 131071, 131072, 131069, 131073, 131073, 131072]);
        assert_eq!(stream.highest(), 65537);
    }

    #[test]
    fn jumps_beyond_dropout_and_misorder_are_refused() {
        let mut stream = Reception::new(origin(), 1, 10000, 8000);
        assert!(stream.extend(10000).is_some());
        assert_eq!(stream.extend(13000), None);
        assert_eq!(stream.extend(9900), None);
        assert_eq!(stream.extend(9901), Some(65536 + 9901));
        assert_eq!(stream.extend(12999), Some(65536 + 12999));
    }

    #[test]
    fn losses_are_counted_as_in_appendix_a3() {
        let mut stream = Reception::new(origin(), 1, 1, 8000);
        for seq in (1..=100).filter(|seq| seq % 4 != 0) {
            stream.extend(seq);
        }
        // 99 expected (1..=99), 75 received
        assert_eq!(stream.lost(), 24);
        assert_eq!(stream.report(), Losses { fraction: (24 * 256 / 99) as u8, cumulative: 24 });
        for seq in 100..=109 {
            stream.extend(seq);
        }
        assert_eq!(stream.report(), Losses { fraction: 0, cumulative: 24 });
        for _ in 0..30 {
            stream.extend(109);
        }
        assert_eq!(stream.lost(), -6);
        assert_eq!(stream.report(), Losses { fraction: 0, cumulative: 0xff_fffa });
    }

    #[test]
    fn jitter_follows_appendix_a8() {
        let start = origin();
        let mut stream = Reception::new(start, 1, 0, 8000);
        let mut expected = 0.0_f64;
        for n in 0..200_u64 {
            let late = if n % 2 == 0 { 0 } else { 5 };
            stream.arrived(start + Duration::from_millis(n * 20 + late), (n * 160) as u32);
            if n > 0 {
                expected += (40.0 - expected) / 16.0;
            }
        }
        assert!((f64::from(stream.jitter_units()) - expected).abs() <= 1.0, "{}", stream.jitter_units());
        assert_eq!(stream.jitter_units(), 39);
    }

    fn origin() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
        Instant::now()
    }
}
