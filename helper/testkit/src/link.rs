//! `Link` owns the datagrams under way in one direction between two test peers.
//!
//! In: datagrams with the time they were sent. Out: datagrams at the time they arrive, or never. Knows nothing of what is
//! inside them. Two links make a path there and back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rng::Rng;

/// What a link does to datagrams. The default is a perfect link: no loss, no delay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkConfig {
    /// Probability that a datagram never arrives.
    pub loss: f64,
    /// Probability that a datagram arrives twice. The copy has its own delay.
    pub duplicate: f64,
    /// Time every datagram takes.
    pub delay: Duration,
    /// Most that is added to `delay`, evenly distributed. Jitter alone never reorders.
    pub jitter: Duration,
    /// Probability that a datagram is held back by `reorder_by`, so that later ones overtake it.
    pub reorder: f64,
    /// How long a reordered datagram is held back.
    pub reorder_by: Duration,
}

/// What happened on a link so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams given to [`Link::send`].
    pub sent: u64,
    /// Datagrams that will never arrive.
    pub lost: u64,
    /// Additional copies made.
    pub duplicated: u64,
    /// Datagrams held back for reordering.
    pub reordered: u64,
    /// Datagrams taken out by [`Link::recv`], copies included.
    pub delivered: u64,
}

/// One direction of an emulated network path. `T` is what a datagram is to the test: `Vec<u8>`, or bytes with an address.
#[derive(Debug)]
pub struct Link<T = Vec<u8>> {
    config: LinkConfig,
    rng: Rng,
    /// By arrival time, then by order of sending.
    in_flight: BTreeMap<(Instant, u64), T>,
    order: u64,
    latest: Option<Instant>,
    drop_next: u64,
    stats: LinkStats,
}

impl<T: Clone> Link<T> {
    /// A link with the given behaviour; the same `seed` and the same sends give the same arrivals.
    pub fn new(seed: u64, config: LinkConfig) -> Self {
        Self {
            config,
            rng: Rng::new(seed),
            in_flight: BTreeMap::new(),
            order: 0,
            latest: None,
            drop_next: 0,
            stats: LinkStats::default(),
        }
    }

    /// A link that delivers everything at once.
    pub fn perfect() -> Self {
        Self::new(0, LinkConfig::default())
    }

    /// Puts a datagram on the link.
    pub fn send(&mut self, now: Instant, datagram: T) {
        self.stats.sent += 1;
        let lost = self.rng.chance(self.config.loss);
        let duplicated = self.rng.chance(self.config.duplicate);
        if self.drop_next > 0 || lost {
            self.drop_next = self.drop_next.saturating_sub(1);
            self.stats.lost += 1;
            return;
        }
        if duplicated {
            self.stats.duplicated += 1;
            self.schedule(now, datagram.clone());
        }
        self.schedule(now, datagram);
    }

    /// Takes out the next datagram that has arrived by `now`.
    pub fn recv(&mut self, now: Instant) -> Option<T> {
        let (&key, _) = self.in_flight.first_key_value()?;
        if key.0 > now {
            return None;
        }
        self.stats.delivered += 1;
        self.in_flight.remove(&key)
    }

    /// When the next datagram arrives; `None` when nothing is under way.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Loses the next `n` datagrams, whatever the probabilities say.
    pub fn drop_next(&mut self, n: u64) {
        self.drop_next = n;
    }

    /// Changes the behaviour for datagrams sent from now on.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// Number of datagrams under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What happened so far.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    fn schedule(&mut self, now: Instant, datagram: T) {
        let mut at = now + self.config.delay + self.config.jitter.mul_f64(self.rng.unit());
        if self.rng.chance(self.config.reorder) {
            self.stats.reordered += 1;
            at += self.config.reorder_by;
        } else {
            // A queue on the way keeps its order: nothing arrives before what was sent before it.
            at = self.latest.map_or(at, |latest| at.max(latest));
            self.latest = Some(at);
        }
        self.in_flight.insert((at, self.order), datagram);
        self.order += 1;
    }
}

/// The earliest of several optional times: when a test with several links and cores has something to do next.
pub fn earliest(times: impl IntoIterator<Item = Option<Instant>>) -> Option<Instant> {
    times.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::VirtualClock;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Sends 0..n 20 ms apart and returns (milliseconds of arrival, datagram) in order of arrival.
    fn run(seed: u64, config: LinkConfig, n: u64) -> (Vec<(u64, u64)>, LinkStats) {
        let mut clock = VirtualClock::new();
        let mut link = Link::new(seed, config);
        for i in 0..n {
            link.send(clock.at(ms(20 * i)), i);
        }
        let mut arrivals = Vec::new();
        while let Some(at) = link.next_arrival() {
            clock.advance_to(at);
            let datagram = link.recv(clock.now()).expect("its arrival time has come");
            arrivals.push((clock.elapsed().as_millis() as u64, datagram));
        }
        (arrivals, link.stats())
    }

    #[test]
    fn perfect_link_delivers_at_once_and_in_order() {
        let (arrivals, stats) = run(1, LinkConfig::default(), 5);
        assert_eq!(arrivals, [(0, 0), (20, 1), (40, 2), (60, 3), (80, 4)]);
        assert_eq!(stats, LinkStats { sent: 5, delivered: 5, ..Default::default() });
    }

    #[test]
    fn delay_holds_a_datagram_until_its_time() {
        let clock = VirtualClock::new();
        let mut link = Link::new(1, LinkConfig { delay: ms(50), ..Default::default() });
        link.send(clock.now(), "a");
        assert_eq!(link.recv(clock.at(ms(49))), None);
        assert_eq!(link.next_arrival(), Some(clock.at(ms(50))));
        assert_eq!(link.recv(clock.at(ms(50))), Some("a"));
        assert_eq!(link.recv(clock.at(ms(50))), None);
    }

    #[test]
    fn jitter_spreads_arrivals_without_reordering() {
        let (arrivals, _) = run(3, LinkConfig { delay: ms(30), jitter: ms(60), ..Default::default() }, 200);
        assert!(arrivals.iter().map(|a| a.1).eq(0..200));
        let delays: Vec<u64> = arrivals.iter().map(|&(at, i)| at - 20 * i).collect();
        assert!(delays.iter().all(|d| (30..=90).contains(d)), "{delays:?}");
        assert!(delays.iter().max().unwrap() - delays.iter().min().unwrap() > 40);
    }

    #[test]
    fn loss_and_duplicates_come_at_their_rate_and_are_counted() {
        let (arrivals, stats) =
            run(5, LinkConfig { loss: 0.1, duplicate: 0.05, ..Default::default() }, 10_000);
        assert!((900..1100).contains(&stats.lost), "{stats:?}");
        assert!((380..520).contains(&stats.duplicated), "{stats:?}");
        assert_eq!(stats.delivered, stats.sent - stats.lost + stats.duplicated);
        assert_eq!(arrivals.len() as u64, stats.delivered);
    }

    #[test]
    fn reordered_datagrams_are_overtaken() {
        let config = LinkConfig { reorder: 0.1, reorder_by: ms(50), ..Default::default() };
        let (arrivals, stats) = run(2, config, 100);
        let overtaken = arrivals.windows(2).filter(|w| w[1].1 < w[0].1).count() as u64;
        assert!(stats.reordered > 0);
        assert!(overtaken > 0 && overtaken <= stats.reordered);
        assert_eq!(arrivals.len(), 100);
    }

    #[test]
    fn same_seed_gives_the_same_run() {
        let config = LinkConfig { loss: 0.2, jitter: ms(40), ..Default::default() };
        assert_eq!(run(9, config.clone(), 500), run(9, config.clone(), 500));
        assert_ne!(run(9, config.clone(), 500), run(10, config, 500));
    }

    #[test]
    fn named_losses_hit_exactly_the_next_datagrams() {
        let clock = VirtualClock::new();
        let mut link = Link::<u8>::perfect();
        link.drop_next(2);
        (0..4).for_each(|i| link.send(clock.now(), i));
        assert_eq!((link.recv(clock.now()), link.recv(clock.now())), (Some(2), Some(3)));
        assert_eq!(link.stats().lost, 2);
    }

    #[test]
    fn earliest_skips_what_has_no_time() {
        let clock = VirtualClock::new();
        assert_eq!(earliest([None, Some(clock.at(ms(5))), Some(clock.at(ms(2)))]), Some(clock.at(ms(2))));
        assert_eq!(earliest([None, None]), None);
    }
}
