//! One encoder and one decoder type over the codecs that the relay negotiates.
//!
//! In: PCM at the codec's rate, or an RTP payload. Out: the other. Which codec was agreed is decided elsewhere.

use crate::{g711, g722};

/// Local stand-in until `model` brings the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
}

/// Encodes PCM to RTP payload; holds what the codec carries from frame to frame.
#[derive(Debug, Clone)]
pub struct Encoder(EncoderState);

impl Encoder {
    /// An encoder in its initial state, one for each stream.
    pub fn new(codec: Codec) -> Self {
        Self(match codec {
            Codec::Pcmu => EncoderState::Pcmu,
            Codec::Pcma => EncoderState::Pcma,
            Codec::G722 => EncoderState::G722(Box::default()),
        })
    }

    /// Appends the payload of `pcm`, mono at [`Self::sample_rate`], to `out`; 20 ms are 160 bytes in every codec.
    pub fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        match &mut self.0 {
            EncoderState::Pcmu => g711::encode_ulaw(pcm, out),
            EncoderState::Pcma => g711::encode_alaw(pcm, out),
            EncoderState::G722(encoder) => encoder.encode(pcm, out),
        }
    }

    /// Rate of the PCM taken, in Hz: 8000, or 16000 for G.722 (whose RTP clock still runs at 8000, RFC 3551 §4.5.2).
    pub fn sample_rate(&self) -> u32 {
        match self.0 {
            EncoderState::Pcmu | EncoderState::Pcma => NARROWBAND,
            EncoderState::G722(_) => g722::SAMPLE_RATE,
        }
    }
}

/// Decodes RTP payload to PCM; holds what the codec carries from frame to frame.
#[derive(Debug, Clone)]
pub struct Decoder(DecoderState);

impl Decoder {
    /// A decoder in its initial state, one for each stream.
    pub fn new(codec: Codec) -> Self {
        Self(match codec {
            Codec::Pcmu => DecoderState::Pcmu,
            Codec::Pcma => DecoderState::Pcma,
            Codec::G722 => DecoderState::G722(Box::default()),
        })
    }

    /// Appends the samples of `payload`, mono at [`Self::sample_rate`], to `out`. Any payload decodes.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        match &mut self.0 {
            DecoderState::Pcmu => g711::decode_ulaw(payload, out),
            DecoderState::Pcma => g711::decode_alaw(payload, out),
            DecoderState::G722(decoder) => decoder.decode(payload, out),
        }
    }

    /// Rate of the PCM given, in Hz: 8000, or 16000 for G.722.
    pub fn sample_rate(&self) -> u32 {
        match self.0 {
            DecoderState::Pcmu | DecoderState::Pcma => NARROWBAND,
            DecoderState::G722(_) => g722::SAMPLE_RATE,
        }
    }
}

#[derive(Debug, Clone)]
enum EncoderState {
    Pcmu,
    Pcma,
    G722(Box<g722::Encoder>),
}

#[derive(Debug, Clone)]
enum DecoderState {
    Pcmu,
    Pcma,
    G722(Box<g722::Decoder>),
}

const NARROWBAND: u32 = 8_000;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Codec; 3] = [Codec::Pcmu, Codec::Pcma, Codec::G722];

    #[test]
    fn twenty_milliseconds_are_160_bytes_in_every_codec() {
        for codec in ALL {
            let (mut encoder, mut decoder) = (Encoder::new(codec), Decoder::new(codec));
            let frame = vec![0; encoder.sample_rate() as usize / 50];
            let mut payload = Vec::new();
            encoder.encode(&frame, &mut payload);
            assert_eq!(payload.len(), 160, "{codec:?}");
            let mut pcm = Vec::new();
            decoder.decode(&payload, &mut pcm);
            assert_eq!(pcm.len(), frame.len(), "{codec:?}");
            assert_eq!(encoder.sample_rate(), decoder.sample_rate());
        }
    }

    #[test]
    fn g711_silence_is_the_code_of_zero() {
        let mut out = Vec::new();
        Encoder::new(Codec::Pcmu).encode(&[0; 2], &mut out);
        Encoder::new(Codec::Pcma).encode(&[0; 2], &mut out);
        assert_eq!(out, [0xFF, 0xFF, 0xD5, 0xD5]);
    }
}
