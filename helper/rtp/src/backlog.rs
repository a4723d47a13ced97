//! `Backlog` keeps account of how late the queued audio is, so that it can be made up for in silence.
//!
//! In: frames that were skipped, frames that went out without audio although more was to come, frames sent. Out: how
//! many frames of silence may be left out. Two ways lead to a delay:
//!
//! - We were stalled: what was due then is late by the frames that were skipped. All silence makes up for it.
//! - The queue ran dry: a live source is late from then on, by the fill that went out instead. It is live when at most a
//!   little more than the fill waits afterwards; then pauses are shortened, but never below 100 ms, and one frame stays
//!   in the queue as a cushion. A source that was dry for a second has made a pause of its own.

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Frames skipped in stalls.
    stalled: u64,
    /// Frames filled in for a live source, of which at least as many wait.
    filled: u64,
    /// Frames filled in since the queue ran dry; `None` if no audio went before.
    dry: Option<u64>,
    /// Frames of silence in a row that went out.
    silent: u64,
}

impl Backlog {
    /// So many frames were skipped.
    pub(crate) fn stalled(&mut self, frames: u64) {
        self.stalled += frames;
    }

    /// A frame of audio is due. `waiting`: whole frames in the queue, it included; `silent`: whether it is silence. How
    /// many frames of silence may be left out before it.
    pub(crate) fn audio(&mut self, waiting: u64, silent: impl FnOnce() -> bool) -> u64 {
        let dry = self.dry.replace(0).unwrap_or(0);
        self.filled = (self.filled + dry).min(waiting.saturating_sub(CUSHION));
        if self.filled > 0 && waiting > self.filled + LIVE {
            self.filled = 0; // a source that is so far ahead is not live
        }
        if self.filled == 0 && self.stalled == 0 {
            self.silent = 0;
            return 0;
        }
        self.silent = if silent() { self.silent + 1 } else { 0 };
        if self.silent > PAUSE { self.stalled.max(self.filled) } else { self.stalled }
    }

    /// So many frames of silence were left out.
    pub(crate) fn caught_up(&mut self, frames: u64) {
        self.stalled = self.stalled.saturating_sub(frames);
        self.filled = self.filled.saturating_sub(frames);
    }

    /// The queue is empty when a frame is due. `late`: that frame is itself part of a late tick's burst.
    pub(crate) fn empty(&mut self, late: bool) {
        if !late {
            self.stalled = 0; // an empty queue is not behind
        }
        self.filled = 0;
        self.silent = 0;
        self.dry = self.dry.map(|frames| frames + 1).filter(|frames| *frames < OWN_PAUSE);
    }

    /// The queue has been emptied on purpose.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Frames that stay in the queue of a live source, the one that is due included.
const CUSHION: u64 = 2;
/// Frames that may wait beyond the fill: 200 ms.
const LIVE: u64 = 10;
/// Frames of silence that a pause keeps.
const PAUSE: u64 = 5;
/// A second.
const OWN_PAUSE: u64 = 50;
