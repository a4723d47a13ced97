//! `JitterBuffer` puts the packets of one stream in order for a listener that needs no steady clock (a program).
//!
//! In: packets by extended sequence number. Out: each packet at most once, in order, and the gaps that were given
//! up. Packets in order pass at once; a gap holds back what follows until the missing packet comes or the playout
//! delay has passed. Knows nothing of timestamps beyond how late packets come.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(crate) struct JitterBuffer<P> {
    /// The extended sequence number that is to be delivered next.
    next: Option<u64>,
    /// Packets behind the gap, by sequence number.
    held: VecDeque<Held<P>>,
    /// Bit n: the packet `next` - 1 - n came.
    history: u128,
    deadline: Option<Instant>,
    limit: u64,
    delay: DelayEstimate,
}

struct Held<P> {
    seq: u64,
    arrival: Instant,
    packet: P,
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inserted<P> {
    /// It is the next one: deliver it, then [`JitterBuffer::pop`].
    InOrder(P),
    /// It waits behind a gap; [`JitterBuffer::pop`] tells whether the gap is given up.
    Held,
    /// It came after it had been declared lost.
    Late,
    /// It came before.
    Duplicate,
}

/// What [`JitterBuffer::pop`] releases.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Released<P> {
    /// A packet, with its arrival.
    Packet(Instant, P),
    /// So many packets before the next one are lost.
    Missing(u64),
}

impl<P> JitterBuffer<P> {
    /// `limit`: how far behind a gap a packet may be held, in packets.
    pub(crate) fn new(limit: u16, clock_rate: u32) -> Self {
        let limit = u64::from(limit.clamp(1, MAX_HELD));
        Self {
            next: None,
            held: VecDeque::new(),
            history: 0,
            deadline: None,
            limit,
            delay: DelayEstimate::new(clock_rate),
        }
    }

    /// Takes an arrival into the playout delay.
    pub(crate) fn arrived(&mut self, now: Instant, timestamp: u32) {
        self.delay.record(now, timestamp);
    }

    pub(crate) fn insert(&mut self, now: Instant, seq: u64, packet: P) -> Inserted<P> {
        let next = *self.next.get_or_insert(seq);
        if seq < next {
            let age = next - 1 - seq;
            let bit = if age < 128 { 1 << age } else { 0 };
            if self.history & bit != 0 {
                return Inserted::Duplicate;
            }
            self.history |= bit;
            return Inserted::Late;
        }
        if seq == next {
            self.advance(1, true);
            self.rearm();
            return Inserted::InOrder(packet);
        }
        let place = self.held.partition_point(|held| held.seq < seq);
        if self.held.get(place).is_some_and(|held| held.seq == seq) {
            return Inserted::Duplicate;
        }
        self.held.insert(place, Held { seq, arrival: now, packet });
        if self.deadline.is_none() {
            self.rearm();
        }
        Inserted::Held
    }

    /// What can be delivered at `now`; to be called until it returns `None`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Released<P>> {
        let (next, first, last) = (self.next?, self.held.front()?.seq, self.held.back()?.seq);
        if first == next {
            let Held { arrival, packet, .. } = self.held.pop_front()?;
            self.advance(1, true);
            self.rearm();
            return Some(Released::Packet(arrival, packet));
        }
        if last < next + self.limit && self.deadline.is_none_or(|deadline| deadline > now) {
            return None;
        }
        Some(self.give_up(first - next))
    }

    /// Delivers what is held, whatever is missing; to be called until it returns `None`.
    pub(crate) fn flush(&mut self) -> Option<Released<P>> {
        let missing = self.held.front()?.seq.checked_sub(self.next?)?;
        if missing > 0 {
            return Some(self.give_up(missing));
        }
        let Held { arrival, packet, .. } = self.held.pop_front()?;
        self.advance(1, true);
        self.rearm();
        Some(Released::Packet(arrival, packet))
    }

    /// Forgets the stream: the next packet is the first of another one.
    pub(crate) fn restart(&mut self) {
        self.next = None;
        self.held.clear();
        self.history = 0;
        self.deadline = None;
        self.delay.restart();
    }

    /// When a gap is given up.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long a gap is waited for.
    pub(crate) fn delay(&self) -> Duration {
        self.delay.target()
    }

    fn give_up(&mut self, missing: u64) -> Released<P> {
        self.advance(missing, false);
        self.deadline = None;
        Released::Missing(missing)
    }

    fn advance(&mut self, count: u64, came: bool) {
        self.next = self.next.map(|next| next + count);
        self.history = if count < 128 { self.history << count } else { 0 } | u128::from(came);
    }

    /// Sets the deadline of the gap before the first packet held: from when the first of them came.
    fn rearm(&mut self) {
        let Some(front) = self.held.front() else {
            self.deadline = None;
            return;
        };
        if self.next == Some(front.seq) {
            self.deadline = None;
            return;
        }
        let delay = self.delay.target();
        self.deadline = self.held.iter().map(|held| held.arrival).min().map(|arrival| arrival + delay);
    }
}

/// How much later than the fastest the packets of the last ten seconds came.
struct DelayEstimate {
    clock_rate: i64,
    /// Arrival less timestamp, in µs, relative to the first packet.
    delays: Vec<i32>,
    oldest: usize,
    origin: Option<Instant>,
    timestamp: u32,
    /// Media time since the origin, in clock units.
    position: i64,
    last: i64,
}

impl DelayEstimate {
    fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: i64::from(clock_rate.max(1)),
            delays: Vec::new(),
            oldest: 0,
            origin: None,
            timestamp: 0,
            position: 0,
            last: 0,
        }
    }

    fn restart(&mut self) {
        self.delays.clear();
        self.oldest = 0;
        self.origin = None;
    }

    fn record(&mut self, now: Instant, timestamp: u32) {
        let origin = *self.origin.get_or_insert_with(|| {
            (self.timestamp, self.position, self.last) = (timestamp, 0, 0);
            now
        });
        self.position += i64::from(timestamp.wrapping_sub(self.timestamp) as i32);
        self.timestamp = timestamp;
        let elapsed = i64::try_from(now.saturating_duration_since(origin).as_micros()).unwrap_or(i64::MAX);
        let delay = elapsed - self.position * 1_000_000 / self.clock_rate;
        if (delay - self.last).abs() > MAX_STEP_MICROS {
            // The peer's clock was set anew: its old delays say nothing.
            self.restart();
            return;
        }
        self.last = delay;
        let delay = delay.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        if self.delays.len() < WINDOW {
            if self.delays.capacity() == 0 {
                self.delays.reserve_exact(WINDOW);
            }
            self.delays.push(delay);
        } else {
            self.delays[self.oldest] = delay;
            self.oldest = (self.oldest + 1) % WINDOW;
        }
    }

    /// The 97th percentile, within bounds. Costs some microseconds: only gaps ask for it.
    fn target(&self) -> Duration {
        if self.delays.len() < ENOUGH {
            return START_DELAY;
        }
        let mut sorted = [0; WINDOW];
        let sorted = &mut sorted[..self.delays.len()];
        sorted.copy_from_slice(&self.delays);
        let fastest = sorted.iter().copied().min().unwrap_or(0);
        let (_, percentile, _) = sorted.select_nth_unstable((self.delays.len() - 1) * 97 / 100);
        let micros = i64::from(*percentile) - i64::from(fastest);
        Duration::from_micros(micros.unsigned_abs()).clamp(MIN_DELAY, MAX_DELAY)
    }
}

/// Packets held at most.
const MAX_HELD: u16 = 64;
/// Ten seconds of packets.
const WINDOW: usize = 500;
/// Packets from which on the estimate is used: one second.
const ENOUGH: usize = 50;
const START_DELAY: Duration = Duration::from_millis(60);
const MIN_DELAY: Duration = Duration::from_millis(20);
const MAX_DELAY: Duration = Duration::from_millis(200);
const MAX_STEP_MICROS: i64 = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_in_order_pass_at_once() {
        let (mut buffer, now) = buffer();
        for seq in 10..20 {
            assert_eq!(buffer.insert(now, seq, seq), Inserted::InOrder(seq));
            assert_eq!(buffer.pop(now), None);
            assert_eq!(buffer.next_timeout(), None);
        }
    }

    #[test]
    fn gap_holds_until_the_missing_packet_comes() {
        let (mut buffer, now) = buffer();
        buffer.insert(now, 10, 10);
        assert_eq!(buffer.insert(now, 12, 12), Inserted::Held);
        assert_eq!(buffer.insert(now, 13, 13), Inserted::Held);
        assert_eq!(buffer.insert(now, 13, 13), Inserted::Duplicate);
        assert_eq!(buffer.pop(now), None);
        assert_eq!(buffer.insert(now, 11, 11), Inserted::InOrder(11));
        assert_eq!(drain(&mut buffer, now), [Released::Packet(now, 12), Released::Packet(now, 13)]);
        assert_eq!(buffer.next_timeout(), None);
        assert_eq!(buffer.insert(now, 11, 11), Inserted::Duplicate);
    }

    #[test]
    fn gap_is_given_up_60_ms_after_it_was_seen_and_the_packet_is_late_then() {
        let (mut buffer, now) = buffer();
        buffer.insert(now, 10, 10);
        buffer.insert(now + ms(40), 13, 13);
        buffer.insert(now + ms(60), 14, 14);
        assert_eq!(buffer.next_timeout(), Some(now + ms(100)));
        assert_eq!(buffer.pop(now + ms(99)), None);
        let released =
            [Released::Missing(2), Released::Packet(now + ms(40), 13), Released::Packet(now + ms(60), 14)];
        assert_eq!(drain(&mut buffer, now + ms(100)), released);
        assert_eq!(buffer.insert(now + ms(101), 12, 12), Inserted::Late);
        assert_eq!(buffer.insert(now + ms(101), 12, 12), Inserted::Duplicate);
        assert_eq!(buffer.insert(now + ms(101), 15, 15), Inserted::InOrder(15));
    }

    #[test]
    fn second_gap_waits_from_its_own_start() {
        let (mut buffer, now) = buffer();
        buffer.insert(now, 10, 10);
        buffer.insert(now, 12, 12);
        buffer.insert(now + ms(30), 14, 14);
        let released = [Released::Missing(1), Released::Packet(now, 12)];
        assert_eq!(drain(&mut buffer, now + ms(60)), released);
        assert_eq!(buffer.next_timeout(), Some(now + ms(90)));
        let released = [Released::Missing(1), Released::Packet(now + ms(30), 14)];
        assert_eq!(drain(&mut buffer, now + ms(90)), released);
    }

    #[test]
    fn full_buffer_gives_the_gap_up_early() {
        let (mut buffer, now) = buffer();
        buffer.insert(now, 10, 10);
        for seq in 12..=74 {
            assert_eq!(buffer.insert(now, seq, seq), Inserted::Held);
            assert_eq!(buffer.pop(now), None, "{seq}");
        }
        buffer.insert(now, 75, 75);
        let released = drain(&mut buffer, now);
        assert_eq!(released[0], Released::Missing(1));
        assert_eq!(released.len(), 65);
        assert_eq!(buffer.held.len(), 0);
    }

    #[test]
    fn delay_follows_the_97th_percentile_within_its_bounds() {
        let (mut buffer, now) = buffer();
        assert_eq!(buffer.delay(), ms(60));
        for n in 0..49 {
            buffer.arrived(now + ms(n * 20), n as u32 * 160);
        }
        assert_eq!(buffer.delay(), ms(60));
        buffer.arrived(now + ms(49 * 20), 49 * 160);
        assert_eq!(buffer.delay(), ms(20));
        for n in 50..550 {
            let late = if n % 20 == 0 { 90 } else { 0 };
            buffer.arrived(now + ms(n * 20 + late), n as u32 * 160);
        }
        assert_eq!(buffer.delay(), ms(90));
        for n in 550..1050 {
            let late = if n % 20 == 0 { 900 } else { 0 };
            buffer.arrived(now + ms(n * 20 + late), n as u32 * 160);
        }
        assert_eq!(buffer.delay(), ms(200));
    }

    #[test]
    fn step_of_the_peers_clock_starts_the_estimate_anew() {
        let (mut buffer, now) = buffer();
        for n in 0..60 {
            buffer.arrived(now + ms(n * 20), n as u32 * 160);
        }
        assert_eq!(buffer.delay(), ms(20));
        buffer.arrived(now + ms(1200), 3_000_000_000);
        assert_eq!(buffer.delay(), ms(60));
    }

    fn buffer() -> (JitterBuffer<u64>, Instant) {
        #[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
        let now = Instant::now();
        (JitterBuffer::new(64, 8000), now)
    }

    fn drain(buffer: &mut JitterBuffer<u64>, now: Instant) -> Vec<Released<u64>> {
        std::iter::from_fn(|| buffer.pop(now)).collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
