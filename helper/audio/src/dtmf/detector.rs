//! `DtmfDetector` finds the tones of a keypad in audio at 8 kHz, by ITU-T Q.24.
//!
//! In: PCM in pieces of any size. Out: each digit once, when it has ended. Works through G.711; speech and music are
//! told apart by what else is in the block, by the frequencies, which have to be right within 3 %, and by the length.
//!
//! ```text
//! none ──hit──▶ candidate ──5 hits in a row──▶ digit ──4 misses, or another key──▶ reported
//!                   └──2 misses, or another key──▶ none
//! ```

use std::time::Duration;

use super::bank::{BLOCK, Block, HALF, Half};
use super::{DtmfDigit, KEYS};

/// Finds the digits of one stream; one for each.
#[derive(Debug, Clone)]
pub struct DtmfDetector {
    samples: [f32; HALF],
    filled: usize,
    last_half: Half,
    last_hit: Option<(Key, Block)>,
    /// Half blocks measured.
    halves: u64,
    tone: Option<Tone>,
}

/// Row and column.
type Key = (usize, usize);

/// A tone that goes on.
#[derive(Debug, Clone, Copy)]
struct Tone {
    key: Key,
    /// The half blocks that its first and its last block begin with.
    first: u64,
    last: u64,
    /// Hits in a row.
    run: u32,
    misses: u32,
    /// The largest share of a block's energy that it had.
    purity: f32,
    is_digit: bool,
}

impl Default for DtmfDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl DtmfDetector {
    /// A detector that has heard nothing.
    pub fn new() -> Self {
        Self {
            samples: [0.0; HALF],
            filled: 0,
            last_half: Half::default(),
            last_hit: None,
            halves: 0,
            tone: None,
        }
    }

    /// Listens to `pcm`, mono at 8 kHz, and appends the digits that have ended to `digits`: about 30 ms after they did.
    pub fn process(&mut self, pcm: &[i16], digits: &mut Vec<DtmfDigit>) {
        self.listen(pcm, |digit| digits.push(digit));
    }

    pub(crate) fn listen(&mut self, mut pcm: &[i16], mut heard: impl FnMut(DtmfDigit)) {
        while !pcm.is_empty() {
            let count = pcm.len().min(HALF - self.filled);
            let (now, later) = pcm.split_at(count);
            for (slot, sample) in self.samples[self.filled..].iter_mut().zip(now) {
                *slot = f32::from(*sample);
            }
            self.filled += count;
            pcm = later;
            if self.filled == HALF {
                self.filled = 0;
                if let Some(digit) = self.half() {
                    heard(digit);
                }
            }
        }
    }

    /// The audio is over, or something else comes next: the digit that still sounds, if there is one.
    pub fn flush(&mut self) -> Option<DtmfDigit> {
        let ended = self.tone.take().and_then(Tone::digit);
        let halves = self.halves;
        *self = Self { halves, ..Self::new() };
        ended
    }

    /// Whether a key seems to be down: true from about 25 ms after its start until 25 ms after its end.
    pub fn sounding(&self) -> bool {
        self.tone.is_some_and(|tone| tone.is_digit || tone.run > 1)
    }

    fn half(&mut self) -> Option<DtmfDigit> {
        let half = Half::measure(&self.samples);
        let block = self.last_half.then(&half);
        self.last_half = half;
        self.halves += 1;
        let hit = hit(&block).filter(|(key, _)| self.is_in_tune(*key, &block));
        self.last_hit = hit.map(|(key, _)| (key, block));
        match hit {
            Some((key, purity)) => self.hear(key, purity),
            None => self.miss(),
        }
    }

    fn hear(&mut self, key: Key, purity: f32) -> Option<DtmfDigit> {
        let at = self.halves.saturating_sub(2);
        match &mut self.tone {
            Some(tone) if tone.key == key => {
                tone.last = at;
                tone.run += 1;
                tone.misses = 0;
                tone.purity = tone.purity.max(purity);
                tone.is_digit |= tone.run >= ENOUGH && tone.purity >= PURE;
                None
            }
            _ => {
                let tone = Tone { key, first: at, last: at, run: 1, misses: 0, purity, is_digit: false };
                self.tone.replace(tone).and_then(Tone::digit)
            }
        }
    }

    fn miss(&mut self) -> Option<DtmfDigit> {
        let tone = self.tone.as_mut()?;
        tone.run = 0;
        tone.misses += 1;
        if tone.misses < if tone.is_digit { PAUSE } else { DOUBT } {
            return None;
        }
        self.tone.take().and_then(Tone::digit)
    }

    /// Whether the frequencies are right, as far as they can be told from how the phases went on.
    fn is_in_tune(&self, key: Key, block: &Block) -> bool {
        match &self.last_hit {
            Some((last, earlier)) if *last == key => {
                block.deviation(earlier, key.0, key.1).iter().all(|deviation| deviation.abs() <= OUT_OF_TUNE)
            }
            _ => true,
        }
    }
}

impl Tone {
    fn digit(self) -> Option<DtmfDigit> {
        if !self.is_digit {
            return None;
        }
        // The first block was filled by 62 % or up to one half block more, and so was the last.
        let start = self.first * HALF as u64 + EDGE;
        let length = (self.last - self.first) * HALF as u64 + BLOCK as u64 - 2 * EDGE;
        let (row, column) = self.key;
        Some(DtmfDigit { digit: KEYS[row][column], at: time(start), duration: time(length) })
    }
}

/// The key that is in a block, and its share of the energy.
fn hit(block: &Block) -> Option<(Key, f32)> {
    if block.energy < BLOCK as f32 * QUIET * QUIET {
        return None;
    }
    let (rows, columns) = (block.rows(), block.columns());
    let (row, column) = (loudest(&rows)?, loudest(&columns)?);
    let purity = rows[row] + columns[column];
    let is_key = purity >= FILLED
        && columns[column] <= rows[row] * COLUMN_TWIST
        && rows[row] <= columns[column] * ROW_TWIST
        && block.harmonics()[column] <= columns[column] / HARMONIC;
    is_key.then_some(((row, column), purity))
}

/// The one that stands out by 6 dB.
fn loudest(shares: &[f32; 4]) -> Option<usize> {
    let best = (1..4).fold(0, |best, n| if shares[n] > shares[best] { n } else { best });
    let alone = (0..4).all(|n| n == best || shares[n] * STANDS_OUT <= shares[best]);
    alone.then_some(best)
}

fn time(samples: u64) -> Duration {
    Duration::from_nanos(samples * 125_000)
}

/// Least root mean square of a block: about -43 dBm0.
const QUIET: f32 = 110.0;
/// Share of a block's energy that both tones have together: less in a block that they fill in part.
const FILLED: f32 = 0.62;
/// That share in at least one block: at 15 dB above the noise and 1.5 % out of tune it is 0.77; three equal tones have 0.67.
const PURE: f32 = 0.72;
/// The column may be 6 dB louder than the row (Q.24: 4 dB), the row 10 dB louder than the column (8 dB).
const COLUMN_TWIST: f32 = 4.0;
const ROW_TWIST: f32 = 10.0;
/// 6 dB: what a tone 8 dB louder in the other group spills over at its edges is less.
const STANDS_OUT: f32 = 4.0;
/// 9 dB: the voice has strong harmonics.
const HARMONIC: f32 = 8.0;
/// 1.5 % has to be accepted and 3.5 % refused (Q.24); at the edges of a tone the measure is off by half.
const OUT_OF_TUNE: f32 = 0.03;
/// Hits in a row of a digit: 40 ms of tone give 5 or more, 23 ms at most 4.
const ENOUGH: u32 = 5;
/// Misses that end a digit: a pause of 40 ms gives 6 or more, a break of 10 ms at most 3.
const PAUSE: u32 = 4;
/// Misses that end a candidate.
const DOUBT: u32 = 2;
/// How far outside a tone its first and last block reach, on average, in samples.
const EDGE: u64 = 13;
