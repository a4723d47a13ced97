//! `Budget` bounds the bytes that are on their way from one thread to another.
//!
//! Whoever drops the last part of what was spent gives it back: nobody has to say that it arrived.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

/// See the module's documentation.
pub(super) struct Budget {
    limit: usize,
    spent: Arc<AtomicUsize>,
}

struct Spent {
    bytes: Vec<u8>,
    from: Arc<AtomicUsize>,
}

impl Budget {
    /// At most this many bytes at once, except that one message may always be on its way.
    pub fn new(limit: usize) -> Self {
        Self { limit, spent: Arc::default() }
    }

    /// Takes the bytes into account for as long as they exist; `None` when there is no room.
    pub fn spend(&self, bytes: Vec<u8>) -> Option<Bytes> {
        let length = bytes.len();
        // Several threads may pass the limit at once, each by one message; that is still a bound.
        if self.spent.load(Ordering::Relaxed) >= self.limit {
            return None;
        }
        self.spent.fetch_add(length, Ordering::Relaxed);
        Some(Bytes::from_owner(Spent { bytes, from: self.spent.clone() }))
    }
}

impl AsRef<[u8]> for Spent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        self.from.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_with_the_last_part_of_what_was_spent() {
        let budget = Budget::new(100);
        let first = budget.spend(vec![1; 60]).expect("there is room");
        let second = budget.spend(vec![2; 60]).expect("a message is taken whole");
        assert!(budget.spend(vec![3]).is_none());
        let part = second.slice(..10);
        drop(second);
        assert!(budget.spend(vec![3]).is_none(), "a part of it is still on its way");
        drop(part);
        assert_eq!(budget.spend(vec![3]).as_deref(), Some(&[3][..]));
        drop(first);
        assert_eq!(budget.spent.load(Ordering::Relaxed), 0);
    }
}
