//! What the caller says, decoded as far as anybody needs it.
//!
//! In: payloads in order, and gaps. Out: [`CallerFrame`]: the payload as G.711 and the same as 8 kHz PCM.

use audio::{codec::Decoder, plc::Concealer, resample::Resampler};
use model::audio::{Codec, SampleRate};

/// One frame of the caller.
pub struct CallerFrame<'a> {
    /// Payload type and payload as they came; on a G.722 call payload type 0 instead. `None` for a concealed frame.
    pub g711: Option<(u8, &'a [u8])>,
    /// Mono, 8 kHz.
    pub pcm_8k: &'a [i16],
}

/// Decodes the payload types of one leg.
pub struct CallerDecoder {
    streams: Vec<Stream>,
    concealer: Concealer,
    decoded: Vec<i16>,
    pcm_8k: Vec<i16>,
    transcoded: Vec<u8>,
}

struct Stream {
    payload_type: u8,
    codec: Codec,
    decoder: Decoder,
    to_8k: Option<Resampler>,
}

impl CallerDecoder {
    pub fn new(accept: &[(u8, Codec)]) -> Self {
        let streams = accept.iter().map(|&(payload_type, codec)| Stream {
            payload_type,
            codec,
            decoder: Decoder::new(codec),
            to_8k: Resampler::new(codec.sample_rate().hz(), RATE)
                .ok()
                .filter(|_| codec.sample_rate().hz() != RATE),
        });
        Self {
            streams: streams.collect(),
            concealer: Concealer::new(SampleRate::Hz8000),
            decoded: Vec::with_capacity(FRAME_16K),
            pcm_8k: Vec::with_capacity(FRAME_16K),
            transcoded: Vec::with_capacity(FRAME_16K),
        }
    }

    /// The next frame; `None` for a payload type that is not of this leg.
    pub fn decode<'a>(&'a mut self, payload_type: u8, payload: &'a [u8]) -> Option<CallerFrame<'a>> {
        let stream = self.streams.iter_mut().find(|stream| stream.payload_type == payload_type)?;
        self.decoded.clear();
        stream.decoder.decode(payload, &mut self.decoded);
        self.pcm_8k.clear();
        match &mut stream.to_8k {
            None => self.pcm_8k.extend_from_slice(&self.decoded),
            Some(resampler) => resampler.process(&self.decoded, &mut self.pcm_8k),
        }
        let g711 = if stream.codec == Codec::G722 {
            self.transcoded.clear();
            audio::g711::encode_ulaw(&self.pcm_8k, &mut self.transcoded);
            (Codec::Pcmu.payload_type(), self.transcoded.as_slice())
        } else {
            (payload_type, payload)
        };
        self.concealer.good(&mut self.pcm_8k);
        Some(CallerFrame { g711: Some(g711), pcm_8k: &self.pcm_8k })
    }

    /// 20 ms in place of a frame that did not come.
    pub fn conceal(&mut self) -> CallerFrame<'_> {
        self.pcm_8k.clear();
        self.pcm_8k.resize(FRAME_8K, 0);
        self.concealer.lost(&mut self.pcm_8k);
        CallerFrame { g711: None, pcm_8k: &self.pcm_8k }
    }
}

const RATE: u32 = 8000;
const FRAME_8K: usize = 160;
const FRAME_16K: usize = 320;
