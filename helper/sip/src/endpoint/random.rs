//! `Random` makes the unpredictable parts of messages and the keyed hashes of the tables, all from one seed.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

#[derive(Debug)]
pub(crate) struct Random {
    rng: ChaCha8Rng,
    salt: [u8; 32],
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        Self { rng, salt }
    }

    /// A branch parameter (RFC 3261 §8.1.1.7).
    pub(crate) fn branch(&mut self) -> String {
        format!("z9hG4bK{:016x}{:04x}", self.rng.next_u64(), self.rng.next_u32() & 0xffff)
    }

    /// A tag or a cnonce.
    pub(crate) fn tag(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    /// A random (version 4) UUID (RFC 9562 §5.4).
    pub(crate) fn uuid4(&mut self) -> String {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (i, byte) in bytes.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.rng.next_u32() % end.max(1)
    }

    /// A key.
    pub(crate) fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        key
    }

    /// A hash that a peer who does not know the seed cannot steer; starts a chain of parts.
    pub(crate) fn hash(&self) -> KeyedHash {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.salt);
        KeyedHash(hasher)
    }
}

/// Parts of a key being hashed, each closed so that `ab`,`c` differs from `a`,`bc`.
pub(crate) struct KeyedHash(DefaultHasher);

impl KeyedHash {
    pub(crate) fn text(mut self, part: &str) -> Self {
        self.0.write(part.as_bytes());
        self.0.write_u8(0xff);
        self
    }

    /// ASCII case is ignored.
    pub(crate) fn caseless(mut self, part: &str) -> Self {
        part.bytes().for_each(|b| self.0.write_u8(b.to_ascii_lowercase()));
        self.0.write_u8(0xff);
        self
    }

    pub(crate) fn number(mut self, part: u32) -> Self {
        self.0.write_u32(part);
        self
    }

    pub(crate) fn finish(self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_has_version_4_and_its_variant() {
        let uuid = Random::new([7; 32]).uuid4();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
        assert_eq!(uuid.match_indices('-').map(|(i, _)| i).collect::<Vec<_>>(), [8, 13, 18, 23]);
    }

    #[test]
    fn hash_depends_on_the_seed_and_on_where_parts_end() {
        let (one, two) = (Random::new([1; 32]), Random::new([2; 32]));
        assert_eq!(one.hash().text("a").finish(), one.hash().text("a").finish());
        assert_ne!(one.hash().text("a").finish(), two.hash().text("a").finish());
        assert_ne!(one.hash().text("ab").text("c").finish(), one.hash().text("a").text("bc").finish());
        assert_eq!(one.hash().caseless("Ab").finish(), one.hash().caseless("aB").finish());
    }
}
