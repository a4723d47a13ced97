//! What goes through a session: frames of the caller, audio to play, keys.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use model::audio::{le_bytes, samples};

/// 20 ms of a caller, as it was decoded.
///
/// ```
/// # use sip_relay::backend::AudioFrame;
/// fn loudest(frame: &AudioFrame) -> u16 {
///     frame.samples().map(i16::unsigned_abs).max().unwrap_or(0)
/// }
/// # let data = [1_i16, -3].iter().flat_map(|s| s.to_le_bytes()).collect();
/// # let frame = AudioFrame { data, sample_rate: 8000, channels: 1, sample_width: 2, timestamp_ms: 0 };
/// # assert_eq!(loudest(&frame), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioFrame {
    /// Samples, signed 16-bit little-endian: 320 bytes at 8000 Hz, 640 at 16000 Hz.
    pub data: Bytes,
    /// Samples a second: 8000, or 16000 where G.722 is spoken.
    pub sample_rate: u32,
    /// Always 1.
    pub channels: u16,
    /// Bytes of a sample; always 2.
    pub sample_width: u16,
    /// When it arrived, in milliseconds since the call came up.
    pub timestamp_ms: u64,
}

impl AudioFrame {
    /// The samples as numbers.
    pub fn samples(&self) -> impl Iterator<Item = i16> {
        samples(&self.data)
    }
}

/// A piece of audio of any length, as a speech service gives it.
///
/// ```
/// use sip_relay::backend::AudioChunk;
///
/// let as_the_session_speaks = AudioChunk::new(vec![0; 320]);
/// let of_a_service = AudioChunk { sample_rate: Some(24_000), ..AudioChunk::new(vec![0; 960]) };
/// # assert_ne!(as_the_session_speaks, of_a_service);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioChunk {
    /// Samples, signed 16-bit little-endian mono. A sample may be split between two chunks of a stream.
    pub data: Bytes,
    /// Samples a second: 8000, 16000, 24000 or 48000; `None`: the session's own rate, which needs no conversion.
    pub sample_rate: Option<u32>,
}

impl AudioChunk {
    /// Audio at the session's own rate.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), sample_rate: None }
    }
}

/// What [`send_audio`](super::SipVoiceBackend::send_audio) plays: bytes, or a stream of chunks.
///
/// ```
/// use sip_relay::backend::{AudioChunk, OutboundAudio};
/// use futures_util::stream;
///
/// let at_once: OutboundAudio = vec![0_u8; 16_000].into();
/// let as_it_comes = OutboundAudio::stream(stream::iter([AudioChunk::new(vec![0; 333]), AudioChunk::new(vec![0; 7])]));
/// # let _ = (at_once, as_it_comes);
/// ```
pub enum OutboundAudio {
    /// Samples, signed 16-bit little-endian mono, at the session's own rate. An odd last byte is no sample.
    Bytes(Bytes),
    /// Chunks of any length, played without a gap as long as they come in time.
    Stream(Pin<Box<dyn Stream<Item = AudioChunk> + Send>>),
}

impl OutboundAudio {
    /// Plays what `chunks` yields.
    pub fn stream(chunks: impl Stream<Item = AudioChunk> + Send + 'static) -> Self {
        Self::Stream(Box::pin(chunks))
    }
}

impl From<Bytes> for OutboundAudio {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for OutboundAudio {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for OutboundAudio {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<&[i16]> for OutboundAudio {
    /// Samples as numbers.
    fn from(samples: &[i16]) -> Self {
        Self::Bytes(le_bytes(samples).collect())
    }
}

impl From<AudioChunk> for OutboundAudio {
    fn from(chunk: AudioChunk) -> Self {
        Self::stream(Once(Some(chunk)))
    }
}

impl From<Pin<Box<dyn Stream<Item = AudioChunk> + Send>>> for OutboundAudio {
    fn from(stream: Pin<Box<dyn Stream<Item = AudioChunk> + Send>>) -> Self {
        Self::Stream(stream)
    }
}

impl fmt::Debug for OutboundAudio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A stream of one chunk.
struct Once(Option<AudioChunk>);

impl Stream for Once {
    type Item = AudioChunk;

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<AudioChunk>> {
        std::task::Poll::Ready(self.0.take())
    }
}
