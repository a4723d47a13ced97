//! Reads an audio file held in memory: WAV (PCM, float, µ-law, A-law, ADPCM), AIFF, MP3, FLAC, Ogg Vorbis, AAC and M4A.
//!
//! In: the bytes, a hint of the format, limits. Out: mono 16-bit PCM, at the file's rate or a wanted one. The bytes are
//! not trusted: no length that a header claims is believed before samples bear it out. Where they come from (disk, a
//! speech service) is not known here.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use crate::resample::{ResampleError, Resampler, round};
use crate::wav;

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
    /// Length of the audio in time; above 48 kHz, as many samples as at 48 kHz.
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

/// Decodes a file at its own sample rate (1000 to 384000 Hz), within the default [`Limits`].
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
    if data.len() > limits.bytes {
        return Err(DecodeError::TooLarge { bytes: data.len(), limit: limits.bytes });
    }
    let mut sink = Sink::new(target_rate, limits);
    // The decoders assert things that only a well-formed file keeps. Their panic costs this file its rest, no more.
    let outcome = catch_unwind(AssertUnwindSafe(|| read(data, extension_hint, &mut sink)))
        .unwrap_or_else(|_| Err(DecodeError::no_audio("the decoder stopped at malformed data")));
    match outcome {
        Err(refused @ (DecodeError::TooLong { .. } | DecodeError::Resample(_))) => Err(refused),
        Err(nothing) if sink.source.is_none() => Err(nothing),
        _ => sink.finish(),
    }
}

fn read(data: Bytes, extension_hint: Option<&str>, sink: &mut Sink) -> Result<(), DecodeError> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(with_sizes(data))), Default::default());
    let mut hint = Hint::new();
    if let Some(extension) = extension_hint {
        hint.with_extension(extension);
    }
    let mut file = symphonia::default::get_probe()
        .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| match error {
            SymphoniaError::Unsupported(_) => DecodeError::UnknownFormat,
            error => DecodeError::no_audio(error),
        })?;
    let (track, mut decoder) = decoder(&*file)?;
    let mut bad_packets = 0;
    while bad_packets < MAX_BAD_PACKETS {
        let packet = match file.next_packet() {
            Ok(Some(packet)) => packet,
            // A reset begins the second of several chained streams.
            Ok(None) | Err(SymphoniaError::ResetRequired) => break,
            Err(error) => return Err(DecodeError::no_audio(error)),
        };
        if packet.track_id != track {
            continue;
        }
        match decoder.decode(&packet) {
            Ok(audio) if audio.frames() > 0 => {
                if !sink.take(&audio)? {
                    break;
                }
            }
            // A file is free to hold empty and broken packets, but not so many that reading it never ends.
            Ok(_) | Err(SymphoniaError::DecodeError(_) | SymphoniaError::IoError(_)) => bad_packets += 1,
            Err(error) => return Err(DecodeError::no_audio(error)),
        }
    }
    Ok(())
}

/// The first audio track and its decoder.
fn decoder(file: &dyn FormatReader) -> Result<(u32, Box<dyn AudioDecoder>), DecodeError> {
    let track = file.default_track(TrackType::Audio).ok_or(DecodeError::UnsupportedCodec)?;
    let parameters = track.codec_params.as_ref().and_then(|codec| codec.audio());
    let parameters = parameters.ok_or(DecodeError::UnsupportedCodec)?;
    if parameters.channels.as_ref().is_some_and(|channels| channels.count() > MAX_CHANNELS) {
        return Err(DecodeError::no_audio(format_args!("more than {MAX_CHANNELS} channels")));
    }
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &Default::default())
        .map_err(|error| match error {
            SymphoniaError::Unsupported(_) => DecodeError::UnsupportedCodec,
            error => DecodeError::no_audio(error),
        })?;
    Ok((track.id, decoder))
}

/// A WAV file of unknown length, or whose writer never came back to its header, gets its sizes; any other data stays.
fn with_sizes(data: Bytes) -> Bytes {
    let prefix = &data[..data.len().min(wav::REPAIR_PREFIX_LEN)];
    match wav::repair_foreign_header(data.len() as u64, prefix) {
        Some(mut whole) => {
            whole.extend_from_slice(&data[prefix.len()..]);
            whole.into()
        }
        None => data,
    }
}

/// Takes decoded packets, mixes them to one channel and resamples them.
struct Sink {
    target_rate: Option<u32>,
    limits: Limits,
    pcm: Pcm,
    /// Rate of the first packet, in Hz, and what it needs to become the wanted one.
    source: Option<(u32, Resampler)>,
    /// Samples of one channel taken so far, at the file's rate.
    taken: u64,
    interleaved: Vec<f32>,
    mono: Vec<i16>,
}

impl Sink {
    fn new(target_rate: Option<u32>, limits: Limits) -> Self {
        Self {
            target_rate,
            limits,
            pcm: Pcm { sample_rate: 0, samples: Vec::new() },
            source: None,
            taken: 0,
            interleaved: Vec::new(),
            mono: Vec::new(),
        }
    }

    /// `false`: the file goes on at another rate, which this one does not follow.
    fn take(&mut self, audio: &GenericAudioBufferRef<'_>) -> Result<bool, DecodeError> {
        let (rate, channels) = (audio.spec().rate(), audio.spec().channels().count().max(1));
        let (source_rate, resampler) = match &mut self.source {
            Some(source) => (source.0, &mut source.1),
            None => {
                self.pcm.sample_rate = self.target_rate.unwrap_or(rate);
                let resampler = Resampler::new(rate, self.pcm.sample_rate)?;
                let source = self.source.insert((rate, resampler));
                (source.0, &mut source.1)
            }
        };
        if rate != source_rate {
            return Ok(false);
        }
        self.taken += audio.frames() as u64;
        let limit = self.limits.duration;
        if u128::from(self.taken) * 1_000 > limit.as_millis() * u128::from(rate.min(FULL_RATE)) {
            return Err(DecodeError::TooLong { limit });
        }
        self.interleaved.resize(audio.samples_interleaved(), 0.0);
        audio.copy_to_slice_interleaved(&mut self.interleaved);
        self.mono.clear();
        let scale = 32_768.0 / channels as f32;
        self.mono.extend(
            self.interleaved.chunks_exact(channels).map(|frame| round(frame.iter().sum::<f32>() * scale)),
        );
        resampler.process(&self.mono, &mut self.pcm.samples);
        Ok(true)
    }

    fn finish(mut self) -> Result<Pcm, DecodeError> {
        let Some((_, resampler)) = &mut self.source else {
            return Err(DecodeError::no_audio("not one sample"));
        };
        resampler.flush(&mut self.pcm.samples);
        self.pcm.samples.drain(..resampler.delay());
        Ok(self.pcm)
    }
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
    /// The file's rate is out of bounds, or cannot be converted to the wanted one.
    #[error(transparent)]
    Resample(#[from] ResampleError),
}

impl DecodeError {
    fn no_audio(reason: impl ToString) -> Self {
        Self::NoAudio { reason: reason.to_string() }
    }
}

/// Packets of one file that may give no sample.
const MAX_BAD_PACKETS: u32 = 1_000;
/// Channels that are mixed.
const MAX_CHANNELS: usize = 64;
/// Rate up to which [`Limits::duration`] counts in full, in Hz: so many samples are the limit at higher rates too.
const FULL_RATE: u32 = 48_000;
