//! One encoder and one decoder type over the codecs that a call speaks.
//!
//! In: PCM at the codec's rate, or an RTP payload. Out: the other. Which codec was agreed is decided elsewhere.

use model::audio::{Codec, SampleRate};

use crate::{g711, g722, l16};

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
            Codec::L16(rate) => EncoderState::L16(rate),
        })
    }

    /// Appends the payload of `pcm`, mono at [`Self::sample_rate`], to `out`; 20 ms are [`Codec::frame_bytes`].
    pub fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        match &mut self.0 {
            EncoderState::Pcmu => g711::encode_ulaw(pcm, out),
            EncoderState::Pcma => g711::encode_alaw(pcm, out),
            EncoderState::G722(encoder) => encoder.encode(pcm, out),
            EncoderState::L16(_) => l16::encode(pcm, out),
        }
    }

    /// The codec that it was made for.
    pub fn codec(&self) -> Codec {
        match self.0 {
            EncoderState::Pcmu => Codec::Pcmu,
            EncoderState::Pcma => Codec::Pcma,
            EncoderState::G722(_) => Codec::G722,
            EncoderState::L16(rate) => Codec::L16(rate),
        }
    }

    /// Rate of the PCM taken: [`Codec::sample_rate`].
    pub fn sample_rate(&self) -> SampleRate {
        self.codec().sample_rate()
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
            Codec::L16(rate) => DecoderState::L16(rate),
        })
    }

    /// Appends the samples of `payload`, mono at [`Self::sample_rate`], to `out`. Any payload decodes.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        match &mut self.0 {
            DecoderState::Pcmu => g711::decode_ulaw(payload, out),
            DecoderState::Pcma => g711::decode_alaw(payload, out),
            DecoderState::G722(decoder) => decoder.decode(payload, out),
            DecoderState::L16(_) => l16::decode(payload, out),
        }
    }

    /// The codec that it was made for.
    pub fn codec(&self) -> Codec {
        match self.0 {
            DecoderState::Pcmu => Codec::Pcmu,
            DecoderState::Pcma => Codec::Pcma,
            DecoderState::G722(_) => Codec::G722,
            DecoderState::L16(rate) => Codec::L16(rate),
        }
    }

    /// Rate of the PCM given: [`Codec::sample_rate`].
    pub fn sample_rate(&self) -> SampleRate {
        self.codec().sample_rate()
    }
}

#[derive(Debug, Clone)]
enum EncoderState {
    Pcmu,
    Pcma,
    G722(Box<g722::Encoder>),
    L16(SampleRate),
}

#[derive(Debug, Clone)]
enum DecoderState {
    Pcmu,
    Pcma,
    G722(Box<g722::Decoder>),
    L16(SampleRate),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_milliseconds_have_their_length_in_every_codec() {
        let linear = [Codec::L16(SampleRate::Hz8000), Codec::L16(SampleRate::Hz16000)];
        for codec in Codec::ALL.into_iter().chain(linear) {
            let (mut encoder, mut decoder) = (Encoder::new(codec), Decoder::new(codec));
            let frame = vec![0; encoder.sample_rate().hz() as usize / 50];
            let mut payload = Vec::new();
            encoder.encode(&frame, &mut payload);
            assert_eq!(payload.len(), codec.frame_bytes(), "{codec:?}");
            let mut pcm = Vec::new();
            decoder.decode(&payload, &mut pcm);
            assert_eq!(pcm.len(), frame.len(), "{codec:?}");
            assert_eq!((encoder.codec(), decoder.codec()), (codec, codec));
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
