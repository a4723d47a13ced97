//! `Nonces` makes nonces that need no memory until their first right answer, and remembers which counts of those were used.
//!
//! A nonce is its time, a number of the request that it answers, and an HMAC-SHA-256 over both and the source's address:
//! nobody else can make one, and another host cannot use one that it overheard (RFC 7616 §5.4, §5.5).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::digest::hex;

/// The nonces of one endpoint.
#[derive(Debug)]
pub(super) struct Nonces {
    key: [u8; 32],
    /// When the first nonce was made: times count from here.
    epoch: Option<Instant>,
    /// The counts of nonces that were answered rightly, oldest first.
    used: BTreeMap<Stamp, Counts>,
    /// Nonces up to here are spent: the table had no room for more.
    floor: Option<Stamp>,
}

/// Time in milliseconds since the epoch, and the number of the request.
type Stamp = (u64, u64);

/// What may be done with a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NonceState {
    /// Ours, young, and not used with this count before.
    Good,
    /// Anything else.
    Spent,
}

/// The last 64 nonce counts below the highest one.
#[derive(Debug, Clone, Copy)]
struct Counts {
    highest: u32,
    /// Bit n: `highest - n` was used.
    used: u64,
}

impl Nonces {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, epoch: None, used: BTreeMap::new(), floor: None }
    }

    /// A nonce for the request with this number from `source`; the same in the same millisecond.
    pub(super) fn make(&mut self, now: Instant, source: IpAddr, id: u64) -> String {
        let stamp = (self.millis(now), id);
        format!("{:016x}{:016x}{}", stamp.0, stamp.1, self.mac(stamp, source))
    }

    /// Uses `nonce` for the `count`th time.
    pub(super) fn spend(
        &mut self,
        now: Instant,
        lifetime: Duration,
        source: IpAddr,
        nonce: &str,
        count: u32,
    ) -> NonceState {
        let now = self.millis(now);
        let oldest = now.saturating_sub(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        while self.used.first_key_value().is_some_and(|(stamp, _)| stamp.0 < oldest) {
            self.used.pop_first();
        }
        let Some(stamp) = self.read(nonce, source) else { return NonceState::Spent };
        if stamp.0 < oldest || stamp.0 > now || self.floor.is_some_and(|floor| stamp <= floor) {
            return NonceState::Spent;
        }
        if !self.used.entry(stamp).or_insert(Counts { highest: 0, used: 0 }).take(count) {
            return NonceState::Spent;
        }
        if self.used.len() > MAX_NONCES {
            self.floor = self.used.pop_first().map(|(stamp, _)| stamp);
        }
        NonceState::Good
    }

    /// The stamp of a nonce of ours that was made for `source`.
    fn read(&self, nonce: &str, source: IpAddr) -> Option<Stamp> {
        let (time, id) = (nonce.get(..16)?, nonce.get(16..32)?);
        let stamp = (u64::from_str_radix(time, 16).ok()?, u64::from_str_radix(id, 16).ok()?);
        let ours = self.mac(stamp, source).as_bytes().ct_eq(nonce.get(32..)?.as_bytes());
        bool::from(ours).then_some(stamp)
    }

    fn mac(&self, (time, id): Stamp, source: IpAddr) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(&time.to_be_bytes());
        mac.update(&id.to_be_bytes());
        match source.to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        hex(&mac.finalize().into_bytes()[..16])
    }

    fn millis(&mut self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(now);
        u64::try_from(now.saturating_duration_since(epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Counts {
    /// Whether `count` was not used before; it is afterwards. Below the last 64 everything counts as used.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = 1u64.checked_shl(self.highest - count).unwrap_or(0);
        let free = count > 0 && bit != 0 && self.used & bit == 0;
        self.used |= bit;
        free
    }
}

/// Nonces in use at once. More than that, and the oldest have to be asked for again.
const MAX_NONCES: usize = 10_000;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
mod tests {
    use super::NonceState::{Good, Spent};
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(300);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nonce_is_good_for_its_lifetime_from_its_source_with_rising_counts() {
        let (start, source) = (Instant::now(), ip("192.0.2.1"));
        let mut nonces = Nonces::new([1; 32]);
        let nonce = nonces.make(start, source, 7);
        assert_eq!(nonce.len(), 64);
        let mut spend = |at: u64, source: &str, nonce: &str, count| {
            nonces.spend(start + Duration::from_millis(at), LIFETIME, ip(source), nonce, count)
        };
        assert_eq!(spend(0, "192.0.2.2", &nonce, 1), Spent, "another host");
        assert_eq!(spend(0, "192.0.2.1", &nonce.replace('7', "8"), 1), Spent, "another number");
        assert_eq!(spend(0, "192.0.2.1", "", 1), Spent);
        assert_eq!(spend(0, "192.0.2.1", &"é".repeat(32), 1), Spent);
        assert_eq!(spend(0, "192.0.2.1", &nonce, 0), Spent);
        assert_eq!(spend(0, "192.0.2.1", &nonce, 1), Good);
        assert_eq!(spend(0, "192.0.2.1", &nonce, 1), Spent, "a replay");
        assert_eq!(
            spend(0, "::ffff:192.0.2.1", &nonce, 2),
            Good,
            "the same host on a socket for both families"
        );
        assert_eq!(spend(300_000, "192.0.2.1", &nonce, 3), Good);
        assert_eq!(spend(300_001, "192.0.2.1", &nonce, 4), Spent, "too old");
    }

    #[test]
    fn another_key_makes_other_nonces() {
        let (now, source) = (Instant::now(), ip("192.0.2.1"));
        let nonce = Nonces::new([1; 32]).make(now, source, 7);
        assert_eq!(Nonces::new([2; 32]).spend(now, LIFETIME, source, &nonce, 1), Spent);
    }

    #[test]
    fn counts_may_come_out_of_order_within_a_window_of_64() {
        let mut counts = Counts { highest: 0, used: 0 };
        let taken: Vec<u32> = [3, 2, 3, 1, 0, 70, 6, 7, 7, u32::MAX, u32::MAX - 63, u32::MAX - 64]
            .into_iter()
            .filter(|count| counts.take(*count))
            .collect();
        assert_eq!(taken, [3, 2, 1, 70, 7, u32::MAX, u32::MAX - 63]);
    }

    #[test]
    fn full_table_spends_the_oldest_nonces_and_never_lets_a_replay_in() {
        let (start, source) = (Instant::now(), ip("192.0.2.1"));
        let mut nonces = Nonces::new([1; 32]);
        let all: Vec<String> = (0..=MAX_NONCES as u64).map(|id| nonces.make(start, source, id)).collect();
        for nonce in &all {
            assert_eq!(nonces.spend(start, LIFETIME, source, nonce, 1), Good);
        }
        assert_eq!(nonces.used.len(), MAX_NONCES);
        assert_eq!(nonces.spend(start, LIFETIME, source, &all[0], 2), Spent);
        assert_eq!(nonces.spend(start, LIFETIME, source, &all[1], 1), Spent, "a replay");
        assert_eq!(nonces.spend(start, LIFETIME, source, &all[1], 2), Good);
        let much_later = start + LIFETIME + Duration::from_millis(1);
        let fresh = nonces.make(much_later, source, 1);
        assert_eq!(nonces.spend(much_later, LIFETIME, source, &fresh, 1), Good);
        assert_eq!(nonces.used.len(), 1, "what is too old to be used is forgotten");
    }
}
