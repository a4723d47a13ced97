//! Reads an audio file held in memory: WAV (PCM, float, µ-law, A-law, ADPCM), AIFF, MP3, FLAC, Ogg Vorbis, AAC and M4A.
//!
//! In: the bytes, a hint of the format, limits. Out: mono 16-bit PCM, at the file's rate or a wanted one. The bytes are
//! not trusted: no length that a header claims is believed before samples bear it out. Where they come from (disk, a
//! speech service) is not known here.

use std::time::Duration;

use bytes::Bytes;

use crate::resample::ResampleError;

/// Mono audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcm {
    /// Hz.
    pub sample_rate: u32,
    /// One channel; the mean of the file's channels.
    pub samples: Vec<i16>,
}

impl Pcm {
    /// Length in time.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.samples.len() as u64 * 1_000_000_000 / u64::from(self.sample_rate.max(1)))
    }
}

/// What a file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Length of the audio in time.
    pub duration: Duration,
}

impl Default for Limits {
    /// [`MAX_BYTES`] and [`MAX_DURATION`].
    fn default() -> Self {
        Self { bytes: MAX_BYTES, duration: MAX_DURATION }
    }
}

/// Largest file that is read unless the caller says otherwise, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// Longest audio that is read unless the caller says otherwise.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 60);

/// Decodes a file at its own sample rate, within the default [`Limits`].
///
/// `extension_hint`: the extension of the file's name without its dot; contents decide where it is wrong or missing.
///
/// # Errors
///
/// [`DecodeError`] if nothing can be decoded. A file that breaks off or is damaged gives what comes before that.
pub fn decode(data: Bytes, extension_hint: Option<&str>) -> Result<Pcm, DecodeError> {
    decode_within(data, extension_hint, None, Limits::default())
}

/// Decodes a file and resamples it to `target_rate`, in Hz, within the default [`Limits`].
///
/// # Errors
///
/// As [`decode`]; also if there is no conversion from the file's rate.
pub fn decode_at(data: Bytes, extension_hint: Option<&str>, target_rate: u32) -> Result<Pcm, DecodeError> {
    decode_within(data, extension_hint, Some(target_rate), Limits::default())
}

/// Decodes a file within `limits`; at its own sample rate, or resampled to `target_rate`, in Hz.
///
/// # Errors
///
/// As [`decode_at`].
pub fn decode_within(
    data: Bytes,
    extension_hint: Option<&str>,
    target_rate: Option<u32>,
    limits: Limits,
) -> Result<Pcm, DecodeError> {
    let _ = (data, extension_hint, target_rate, limits);
    todo!()
}

/// Why a file gave no audio.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The file is longer than [`Limits::bytes`].
    #[error("audio file of {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The audio is longer than [`Limits::duration`].
    #[error("audio longer than the limit of {limit:?}")]
    TooLong {
        /// The limit.
        limit: Duration,
    },
    /// Not the start of any known format.
    #[error("unknown audio format")]
    UnknownFormat,
    /// A known container without an audio track that can be decoded.
    #[error("no audio track of a supported codec")]
    UnsupportedCodec,
    /// A known format, but not one sample could be decoded.
    #[error("no audio in the file: {reason}")]
    NoAudio {
        /// What the decoder met.
        reason: String,
    },
    /// The wanted sample rate cannot be reached.
    #[error(transparent)]
    Resample(#[from] ResampleError),
}
