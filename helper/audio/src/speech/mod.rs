//! Whether somebody talks, and whether to stop talking to him.
//!
//! In: PCM of one stream. Out: decisions. Knows nothing of calls, and plays nothing.
//!
//! ```text
//!              ┌▶ earshot (score) ──┐
//! PCM, 16 ms ──┼▶ LevelMeter ───────┼▶ Judge ──▶ SpeechDetector ──▶ Started, Stopped
//!              └▶ ToneGuard ────────┘                    └─────────────▶ BargeIn ◀── is something played?
//! PCM, 20 ms ───▶ Loudness (level, ToneGuard) ────────────────────────────▲
//! ```

mod barge_in;
mod detector;
mod judge;
mod level;
mod loudness;
mod spectrum;
mod tone_guard;

pub use barge_in::{BargeIn, BargeInConfig, BargeInMode};
pub use detector::{SpeechConfig, SpeechDetector, SpeechEvent};
pub use loudness::Loudness;
