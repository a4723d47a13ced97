//! G.722 wideband audio at 64 kbit/s, mode 1 (ITU-T G.722; RTP payload type 9, RFC 3551 §4.5.2).
//!
//! In: 16-bit PCM at 16 kHz, or one byte per pair of samples. Out: the other; 320 samples = 160 bytes = 20 ms. A pair of
//! quadrature mirror filters splits the signal at 4 kHz; each half is coded as the quantised error of an adaptive
//! predictor, six bits for the lower half and two for the upper. Bit-exact to the ITU reference in both directions. The
//! auxiliary data channel of modes 2 and 3 is not used.

mod band;
mod qmf;
mod tables;

use band::{HighBand, LowBand};

/// Rate of the PCM side, in Hz. The RTP clock of G.722 is 8000 nevertheless.
pub const SAMPLE_RATE: u32 = 16_000;

/// Encodes 16 kHz PCM; one for each stream.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    analysis: qmf::Analysis,
    low: LowBand,
    high: HighBand,
    /// The first half of a pair whose second half has not come yet.
    pending: Option<i16>,
}

impl Encoder {
    /// An encoder in the initial state of the recommendation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one byte for each two samples of `pcm` to `out`. A sample left over waits for the next call.
    pub fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        let mut pcm = pcm;
        if let (Some(first), Some((&second, rest))) = (self.pending, pcm.split_first()) {
            self.pending = None;
            out.push(self.encode_pair(first, second));
            pcm = rest;
        }
        let (pairs, rest) = pcm.as_chunks::<2>();
        out.reserve(pairs.len());
        for &[first, second] in pairs {
            out.push(self.encode_pair(first, second));
        }
        if let &[sample] = rest {
            self.pending = Some(sample);
        }
    }

    fn encode_pair(&mut self, first: i16, second: i16) -> u8 {
        let (low, high) = self.analysis.split(first, second);
        self.high.encode(high) << 6 | self.low.encode(low)
    }
}

/// Decodes to 16 kHz PCM; one for each stream.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    synthesis: qmf::Synthesis,
    low: LowBand,
    high: HighBand,
}

impl Decoder {
    /// A decoder in the initial state of the recommendation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends two samples for each byte of `payload` to `out`.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        out.reserve(payload.len() * 2);
        for &code in payload {
            let low = self.low.decode(code & 0x3F);
            let high = self.high.decode(code >> 6);
            out.extend(self.synthesis.join(low, high));
        }
    }
}
