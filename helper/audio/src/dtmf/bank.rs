//! `Bank` measures a block of audio at the frequencies of DTMF.
//!
//! In: half blocks of 8 kHz PCM. Out: the spectral lines of the block that two of them make. Each half is measured once,
//! although it is part of two blocks: the lines of a block are the sum of its halves', turned by their distance.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use super::{COLUMNS, ROWS};
use crate::resample::dot;

/// Samples of half a block: 6.4 ms.
pub(super) const HALF: usize = 51;
/// Samples of a block. Lines are 78 Hz wide then, and the rows of a keypad 73 Hz apart.
pub(super) const BLOCK: usize = 2 * HALF;

/// The measured frequencies: rows, columns, and the second harmonics of the columns.
const LINES: usize = 12;

/// A spectral line: real and imaginary part, relative to the phase at the start of what was measured.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line {
    re: f32,
    im: f32,
}

impl Line {
    /// This line, times `e^(-i * angle)`.
    fn turned(self, (cos, sin): (f32, f32)) -> Self {
        Self { re: self.re * cos + self.im * sin, im: self.im * cos - self.re * sin }
    }

    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    /// By how much its phase is ahead of `earlier`, in radians, within ±π.
    fn ahead_of(self, earlier: Self) -> f32 {
        (self.im * earlier.re - self.re * earlier.im).atan2(self.re * earlier.re + self.im * earlier.im)
    }
}

/// Half a block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Half {
    lines: [Line; LINES],
    energy: f32,
}

/// A whole block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    lines: [Line; LINES],
    /// Sum of the squares.
    pub(super) energy: f32,
}

impl Half {
    pub(super) fn measure(samples: &[f32; HALF]) -> Self {
        let bank = &*BANK;
        let line = |n: usize| Line { re: dot(samples, &bank.cos[n]), im: -dot(samples, &bank.sin[n]) };
        Self { lines: std::array::from_fn(line), energy: dot(samples, samples) }
    }

    /// The block of this half and the one after it.
    pub(super) fn then(&self, next: &Self) -> Block {
        let bank = &*BANK;
        let line = |n: usize| {
            let turned = next.lines[n].turned(bank.turn[n]);
            Line { re: self.lines[n].re + turned.re, im: self.lines[n].im + turned.im }
        };
        Block { lines: std::array::from_fn(line), energy: self.energy + next.energy }
    }
}

impl Block {
    /// Share of the block's energy at each row.
    pub(super) fn rows(&self) -> [f32; 4] {
        self.shares(0)
    }

    /// Share of the block's energy at each column.
    pub(super) fn columns(&self) -> [f32; 4] {
        self.shares(4)
    }

    /// Share of the block's energy at twice each column.
    pub(super) fn harmonics(&self) -> [f32; 4] {
        self.shares(8)
    }

    /// How far off the nominal frequencies of a key the tones are, as a fraction of them: row, column. `earlier`: the
    /// block half a block before, with the same tones in it.
    pub(super) fn deviation(&self, earlier: &Self, row: usize, column: usize) -> [f32; 2] {
        let bank = &*BANK;
        [row, 4 + column].map(|n| {
            let drift = self.lines[n].turned(bank.turn[n]).ahead_of(earlier.lines[n]);
            drift / (bank.step[n] * HALF as f32)
        })
    }

    fn shares(&self, first: usize) -> [f32; 4] {
        // A sine of amplitude a has the energy a²/2 a sample, and a line of a/2 a sample.
        let scale = 2.0 / (BLOCK as f32 * self.energy.max(1.0));
        std::array::from_fn(|n| self.lines[first + n].power() * scale)
    }
}

struct Bank {
    cos: [[f32; HALF]; LINES],
    sin: [[f32; HALF]; LINES],
    /// Cosine and sine of the phase that passes in half a block.
    turn: [(f32, f32); LINES],
    /// Radians a sample.
    step: [f32; LINES],
}

static BANK: LazyLock<Bank> = LazyLock::new(|| {
    let columns = COLUMNS.map(f64::from);
    let harmonics = columns.map(|column| 2.0 * column);
    let frequencies = [ROWS.map(f64::from), columns, harmonics].concat();
    let step = |n: usize| TAU * frequencies[n] / 8_000.0;
    let angle = |n: usize, sample: usize| step(n) * sample as f64;
    Bank {
        cos: std::array::from_fn(|n| std::array::from_fn(|sample| angle(n, sample).cos() as f32)),
        sin: std::array::from_fn(|n| std::array::from_fn(|sample| angle(n, sample).sin() as f32)),
        turn: std::array::from_fn(|n| (angle(n, HALF).cos() as f32, angle(n, HALF).sin() as f32)),
        step: std::array::from_fn(|n| step(n) as f32),
    }
});
