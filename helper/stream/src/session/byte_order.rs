//! Byte order of linear PCM: as told, or found by listening.

use bytes::Bytes;

/// Byte order of L16 on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Endian {
    /// As most peers send it.
    #[default]
    Little,
    /// Network order (RFC 3551 §4.5.11).
    Big,
    /// What the caller's audio sounds like: little until something is heard.
    Auto,
}

/// What is known of the order.
#[derive(Debug)]
pub(super) struct ByteOrder {
    endian: Endian,
    /// Chunks that sounded big-endian, less those that sounded little; at [`SURE`] it is settled.
    balance: i32,
}

impl ByteOrder {
    pub(super) fn new(endian: Endian) -> Self {
        Self { endian, balance: 0 }
    }

    pub(super) fn is_big(&self) -> bool {
        match self.endian {
            Endian::Little => false,
            Endian::Big => true,
            Endian::Auto => self.balance > 0,
        }
    }

    /// Takes audio of the wire, gives it in little-endian order.
    pub(super) fn read(&mut self, payload: Bytes) -> Bytes {
        if self.endian == Endian::Auto && self.balance.abs() < SURE {
            self.balance += evidence(&payload);
        }
        if !self.is_big() {
            return payload;
        }
        let mut bytes = Vec::from(payload);
        swap(&mut bytes);
        bytes.into()
    }
}

/// Swaps the bytes of each sample.
pub(super) fn swap(bytes: &mut [u8]) {
    for sample in bytes.chunks_exact_mut(2) {
        sample.swap(0, 1);
    }
}

/// 1 if the audio sounds big-endian, -1 if little, 0 if it may be either. Sound is smooth: read in the wrong order,
/// the difference between neighbours is dominated by what should be the low byte.
fn evidence(payload: &[u8]) -> i32 {
    let roughness = |read: fn([u8; 2]) -> i16| {
        let samples = payload.chunks_exact(2).map(|pair| i64::from(read([pair[0], pair[1]])));
        samples.clone().zip(samples.skip(1)).map(|(a, b)| (a - b).abs()).sum::<i64>()
    };
    let (little, big) = (roughness(i16::from_le_bytes), roughness(i16::from_be_bytes));
    if big * 2 < little {
        1
    } else if little * 2 < big {
        -1
    } else {
        0
    }
}

/// Chunks that must agree, less those that do not.
const SURE: i32 = 5;
