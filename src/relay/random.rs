//! Unpredictable numbers from the operating system; the cores have none of their own.

use std::time::SystemTime;

/// Unpredictable bytes, to seed a core.
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_exact_mut(8) {
        chunk.copy_from_slice(&random_u64().to_le_bytes());
    }
    seed
}

/// An unpredictable number.
pub fn random_u64() -> u64 {
    // The operating system's generator fails only where there is none; a keyed hash of the time has to do then.
    getrandom::u64().unwrap_or_else(|_| {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(SystemTime::now())
    })
}

/// A random UUID (RFC 9562 §5.4).
pub fn uuid4() -> String {
    let high = (random_u64() & !0xf000) | 0x4000;
    let low = (random_u64() & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_has_version_4_and_variant_1() {
        let id = uuid4();
        assert_eq!(id.len(), 36);
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'));
        assert!(parts[3].starts_with(['8', '9', 'a', 'b']));
        assert_ne!(id, uuid4());
    }
}
