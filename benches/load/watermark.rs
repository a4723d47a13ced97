//! The watermark of a frame: 32 bits, each as five samples of one sign. Call number and frame number survive µ-law, PCM
//! and back, and show whose frame came back and when it was sent.

use testkit::g711;

/// Samples of a 20 ms frame.
pub const SAMPLES: usize = 160;
const CHIP: usize = 5;
const BITS: usize = SAMPLES / CHIP;
const LEVEL: i16 = 8000;

/// What was found in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No signal at all.
    Silence,
    Mark {
        call: u16,
        frame: u16,
    },
    /// Neither: what came out is not what went in.
    Garbled,
}

/// Writes and reads marks as µ-law payload.
pub struct Codebook {
    high: u8,
    low: u8,
}

impl Codebook {
    pub fn new() -> Self {
        let payload = g711::encode_ulaw(&[LEVEL, -LEVEL]);
        Self { high: payload[0], low: payload[1] }
    }

    pub fn write(&self, call: u16, frame: u16, payload: &mut [u8]) {
        let word = u32::from(call) << 16 | u32::from(frame);
        for (bit, chip) in payload[..SAMPLES].chunks_exact_mut(CHIP).enumerate() {
            chip.fill(if word >> (BITS - 1 - bit) & 1 == 1 { self.high } else { self.low });
        }
    }

    pub fn read_ulaw(&self, payload: &[u8]) -> Found {
        let level = |byte: u8| match byte {
            b if b == self.high => 1,
            b if b == self.low => -1,
            0xff | 0x7f => 0,
            _ => OTHER,
        };
        read(payload.iter().map(|&byte| level(byte)))
    }

    pub fn read_pcm(&self, samples: &[u8]) -> Found {
        let level = |pair: &[u8]| match i16::from_le_bytes([pair[0], pair[1]]) {
            LOUD.. => 1,
            ..=QUIETEST => -1,
            -8..=8 => 0,
            _ => OTHER,
        };
        read(samples.chunks_exact(2).map(level))
    }
}

fn read(levels: impl ExactSizeIterator<Item = i8>) -> Found {
    if levels.len() != SAMPLES {
        return Found::Garbled;
    }
    let (mut word, mut chip, mut silent) = (0_u32, 0_i8, 0);
    for (n, level) in levels.enumerate() {
        if level == OTHER {
            return Found::Garbled;
        }
        silent += usize::from(level == 0);
        chip += level;
        if n % CHIP == CHIP - 1 {
            if chip.unsigned_abs() as usize != CHIP && chip != 0 {
                return Found::Garbled;
            }
            word = word << 1 | u32::from(chip > 0);
            chip = 0;
        }
    }
    match silent {
        0 => Found::Mark { call: (word >> 16) as u16, frame: word as u16 },
        SAMPLES => Found::Silence,
        _ => Found::Garbled,
    }
}

const OTHER: i8 = i8::MIN;
const LOUD: i16 = LEVEL / 2;
const QUIETEST: i16 = -LOUD;
