//! `ToneGuard` tells tones of the network, keys, hum and other steady sounds from speech.
//!
//! In: audio at 8 kHz in hops of 16 ms. Out: a [`Verdict`]. A tone is a key of a telephone keypad, or a spectrum
//! of at most four lines that stays as it is: what moves as little as that for 100 ms is not said by anybody.

use super::level::Level;
use super::spectrum::{BINS, WINDOW, power};
use crate::dtmf::DtmfDetector;

/// Samples in a hop.
pub(super) const HOP: usize = 128;

/// What a hop is, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// No tone.
    Free,
    /// Perhaps a tone: some vowels are as steady.
    Suspect,
    /// A tone, or what follows closely upon one.
    Tone,
}

/// Watches one stream; one for each.
#[derive(Debug, Clone)]
pub(super) struct ToneGuard {
    keys: DtmfDetector,
    window: [f32; WINDOW],
    spectrum: [f32; BINS],
    /// Hops in a row in which a tone was found.
    run: u32,
    /// Hops that what follows a tone is not trusted yet.
    doubt: u32,
}

impl ToneGuard {
    pub(super) fn new() -> Self {
        Self { keys: DtmfDetector::new(), window: [0.0; WINDOW], spectrum: [0.0; BINS], run: 0, doubt: 0 }
    }

    /// Judges `hop`. A tone is suspected 80 ms after its start and sure 32 ms later; a key is sure after 25 ms.
    pub(super) fn hear(&mut self, hop: &[i16; HOP], level: Level) -> Verdict {
        self.window.copy_within(HOP.., 0);
        for (slot, sample) in self.window[WINDOW - HOP..].iter_mut().zip(hop) {
            *slot = f32::from(*sample);
        }
        self.keys.listen(hop, |_| {});
        let tone = if level == Level::Background {
            self.spectrum = [0.0; BINS]; // what follows is a change
            false
        } else {
            self.is_steady()
        };
        self.run = if tone { self.run + 1 } else { 0 };
        if self.run >= SURE || self.keys.sounding() {
            self.doubt = AFTERMATH;
            return Verdict::Tone;
        }
        self.doubt = self.doubt.saturating_sub(1);
        match (self.doubt, tone) {
            (0, false) => Verdict::Free,
            (0, true) => Verdict::Suspect,
            _ => Verdict::Tone,
        }
    }

    /// Whether the last window consists of a few lines and has hardly changed since the hop before.
    fn is_steady(&mut self) -> bool {
        let mut now = power(&self.window);
        now[..2].fill(0.0); // a constant is no sound
        let (mut change, mut total) = (0.0, 0.0);
        for (now, before) in now.iter().zip(&self.spectrum) {
            change += (now - before).abs();
            total += now + before;
        }
        self.spectrum = now;
        change < STEADY * total && in_lines(&now) >= PURE
    }
}

/// The share of the power that lies in the four strongest lines.
fn in_lines(spectrum: &[f32; BINS]) -> f32 {
    let mut rest = *spectrum;
    let total: f32 = spectrum.iter().sum();
    let mut found = 0.0;
    for _ in 0..LINES {
        let peak = (0..BINS).fold(0, |best, bin| if rest[bin] > rest[best] { bin } else { best });
        let line = &mut rest[peak.saturating_sub(2)..(peak + 3).min(BINS)];
        found += line.iter().sum::<f32>();
        line.fill(0.0);
    }
    if total > 0.0 { found / total } else { 0.0 }
}

const LINES: usize = 4;
/// Share of the power in these lines: 0.94 at 12 dB above the noise.
const PURE: f32 = 0.9;
/// Change from hop to hop, relative to the power of both: 0.05 at 15 dB above the noise; speech has less in one of 100 hops.
const STEADY: f32 = 0.1;
/// Hops in a row after which a tone is taken for granted: in speech there are one or two.
const SURE: u32 = 3;
/// 128 ms: as long as the end of a tone looks like speech.
const AFTERMATH: u32 = 8;
