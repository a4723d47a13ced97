//! DTMF in the audio itself (ITU-T Q.23, Q.24): for peers that send no telephone events.
//!
//! In: PCM at 8 kHz, or a digit. Out: [`DtmfDigit`]s with their durations, or PCM. Knows nothing of RTP: telephone events
//! (RFC 4733) are the session's.

mod bank;
mod detector;
mod tone;

use std::time::Duration;

pub use detector::DtmfDetector;
pub use tone::tone;

/// One press of a key, complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DtmfDigit {
    /// `0`-`9`, `*`, `#`, `A`-`D`.
    pub digit: char,
    /// Where it began, from the start of the audio; within 10 ms.
    pub at: Duration,
    /// How long it sounded; within 13 ms.
    pub duration: Duration,
}

/// Frequencies of the rows of a keypad, in Hz.
const ROWS: [u16; 4] = [697, 770, 852, 941];
/// Frequencies of its columns, in Hz.
const COLUMNS: [u16; 4] = [1209, 1336, 1477, 1633];
/// The keys, row by row.
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
