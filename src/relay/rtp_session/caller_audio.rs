//! What the caller says, decoded as far as anybody needs it.
//!
//! In: payloads in order, and gaps. Out: [`CallerFrame`]: the payload as it came, and what it sounds like.

use audio::{codec::Decoder, plc::Concealer, resample::Resampler};
use model::audio::{Codec, SampleRate};

/// One frame of the caller.
pub struct CallerFrame<'a> {
    /// The packet as it came; `None` for a concealed frame.
    pub packet: Option<Packet<'a>>,
    /// Mono, at the codec's own rate.
    pub pcm: &'a [i16],
    /// The codec's own rate.
    pub rate: SampleRate,
    /// The same at 8 kHz.
    pub pcm_8k: &'a [i16],
}

/// One packet of the caller.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    /// RTP payload type.
    pub payload_type: u8,
    /// What that stands for.
    pub codec: Codec,
    /// The payload.
    pub payload: &'a [u8],
}

/// Decodes the payload types of one leg.
pub struct CallerDecoder {
    streams: Vec<Stream>,
    /// The rate of the last packet, the concealer at that rate, and what brings it to 8 kHz.
    rate: SampleRate,
    concealer: Concealer,
    to_8k: Option<Resampler>,
    pcm: Vec<i16>,
    pcm_8k: Vec<i16>,
}

struct Stream {
    payload_type: u8,
    codec: Codec,
    decoder: Decoder,
}

impl CallerDecoder {
    pub fn new(accept: &[(u8, Codec)]) -> Self {
        let streams = accept.iter().map(|&(payload_type, codec)| Stream {
            payload_type,
            codec,
            decoder: Decoder::new(codec),
        });
        let rate = accept.first().map_or(SampleRate::Hz8000, |(_, codec)| codec.sample_rate());
        Self {
            streams: streams.collect(),
            rate,
            concealer: Concealer::new(rate),
            to_8k: to_8k(rate),
            pcm: Vec::with_capacity(FRAME_CAPACITY),
            pcm_8k: Vec::with_capacity(FRAME_CAPACITY),
        }
    }

    /// The next frame; `None` for a payload type that is not of this leg.
    pub fn decode<'a>(&'a mut self, payload_type: u8, payload: &'a [u8]) -> Option<CallerFrame<'a>> {
        let stream = self.streams.iter_mut().find(|stream| stream.payload_type == payload_type)?;
        let codec = stream.codec;
        self.pcm.clear();
        stream.decoder.decode(payload, &mut self.pcm);
        self.follow(codec.sample_rate());
        self.concealer.good(&mut self.pcm);
        Some(self.frame(Some(Packet { payload_type, codec, payload })))
    }

    /// 20 ms in place of a frame that did not come.
    pub fn conceal(&mut self) -> CallerFrame<'_> {
        self.pcm.clear();
        self.pcm.resize(self.rate.frame_samples(), 0);
        self.concealer.lost(&mut self.pcm);
        self.frame(None)
    }

    /// The peer may change between its codecs at any packet.
    fn follow(&mut self, rate: SampleRate) {
        if rate != self.rate {
            self.rate = rate;
            self.concealer = Concealer::new(rate);
            self.to_8k = to_8k(rate);
        }
    }

    fn frame<'a>(&'a mut self, packet: Option<Packet<'a>>) -> CallerFrame<'a> {
        let pcm_8k = match &mut self.to_8k {
            None => &self.pcm,
            Some(resampler) => {
                self.pcm_8k.clear();
                resampler.process(&self.pcm, &mut self.pcm_8k);
                &self.pcm_8k
            }
        };
        CallerFrame { packet, pcm: &self.pcm, rate: self.rate, pcm_8k }
    }
}

fn to_8k(rate: SampleRate) -> Option<Resampler> {
    let needed = rate != SampleRate::Hz8000;
    needed.then(|| Resampler::new(rate.hz(), SampleRate::Hz8000.hz()).ok()).flatten()
}

/// Samples of a frame of 20 ms at 16 kHz.
const FRAME_CAPACITY: usize = 320;
