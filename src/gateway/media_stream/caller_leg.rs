//! `CallerLeg` makes a stream the caller's side of a call of the relay.
//!
//! In: payload and keys of the provider, what the relay wants sent. Out: the same to the relay, payload for the provider. Audio
//! that the relay speaks itself passes untouched; the rest is converted. Knows nothing of sockets and messages.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use actix::Recipient;
use bytes::Bytes;
use model::{
    audio::{Codec, SampleRate},
    call::EndLabel,
    id::CallId,
};
use stream::{Encoding, MediaFormat, StreamInfo};
use tracing::debug;

use super::super::{SipTransportError, codec::AudioCodec, gate::Parties};
use crate::relay::{
    message::{IncomingStream, SipAction, SipCommand, StreamAudio, StreamOutput, StreamStart},
    stream_leg::{CloseStream, StreamLeg},
};

/// See the module's documentation.
#[derive(Debug)]
pub struct CallerLeg {
    leg: StreamLeg,
    /// Where the relay does not speak the caller's format: from it.
    hearing: Option<AudioCodec>,
    /// The same to it.
    speaking: Option<AudioCodec>,
    /// When the relay said something last, unless it was cleared.
    said: Option<Instant>,
}

impl CallerLeg {
    /// A leg for a stream that begins, and what introduces it to the relay. `own` are the stream's own actor.
    ///
    /// # Errors
    /// [`SipTransportError::AudioCodec`] if its audio cannot be converted.
    pub fn new(
        info: &StreamInfo,
        parties: &Parties,
        source: SocketAddr,
        own: (Recipient<SipCommand>, Recipient<StreamOutput>),
    ) -> Result<(Self, IncomingStream), SipTransportError> {
        let (received, hearing) = spoken(info.inbound)?;
        let (sent, speaking) = spoken(info.outbound)?;
        let start = StreamStart {
            id: CallId::from_sip_call_id(&info.stream_id),
            phone: parties.caller_id.clone(),
            called: parties.did.clone(),
            parameters: parameters(info),
            source,
            received,
            sent,
        };
        let (leg, incoming) = StreamLeg::open(start, own.0, own.1);
        Ok((Self { leg, hearing, speaking, said: None }, incoming))
    }

    /// The caller said something.
    pub fn hear(&mut self, payload: Bytes, timestamp: Duration) {
        let payload = match &mut self.hearing {
            None => payload,
            Some(codec) => match codec.decode_to_canonical(&payload) {
                Ok(pcm) => pcm,
                Err(error) => return debug!(%error, "audio of the provider"),
            },
        };
        // The session has brought it into order.
        self.leg.audio(StreamAudio { chunk: None, timestamp: Some(timestamp), payload });
    }

    /// The caller pressed a key.
    pub fn digit(&mut self, digit: char) {
        self.leg.digit(digit, None);
    }

    /// What the relay wants said, in the provider's format.
    pub fn say(&mut self, payload: Bytes, now: Instant) -> Bytes {
        self.said = Some(now);
        match &mut self.speaking {
            None => payload,
            // The relay sends whole samples.
            Some(codec) => codec.encode_from_canonical(&payload).unwrap_or_default(),
        }
    }

    /// The provider drops what it has not played.
    pub fn cleared(&mut self) {
        self.said = None;
    }

    /// Whether the provider may still be playing what was said last.
    pub fn may_be_playing(&self, now: Instant) -> bool {
        self.said.is_some_and(|said| now.saturating_duration_since(said) < QUEUED)
    }

    /// Carries out what the relay wants. `Some`: the stream is to be closed.
    pub fn command(&mut self, action: SipAction) -> Option<CloseStream> {
        self.leg.command(action)
    }

    /// The stream is over.
    pub fn ended(&mut self, label: EndLabel) {
        self.leg.ended(label);
    }
}

/// What a provider may have in its queue: the relay's lead, and what a stall of the network has left there.
const QUEUED: Duration = Duration::from_secs(2);

/// What the relay calls a format, and how it is converted where the relay does not speak it.
fn spoken(format: MediaFormat) -> Result<(Codec, Option<AudioCodec>), SipTransportError> {
    let codec = match (format.encoding, format.rate, format.channels) {
        (Encoding::Pcmu, 8000, 1) => Some(Codec::Pcmu),
        (Encoding::Pcma, 8000, 1) => Some(Codec::Pcma),
        (Encoding::G722, _, 1) => Some(Codec::G722),
        (Encoding::L16, rate, 1) => SampleRate::from_hz(rate).map(Codec::L16),
        _ => None,
    };
    match codec {
        Some(codec) => Ok((codec, None)),
        None => Ok((Codec::L16(SampleRate::Hz16000), Some(AudioCodec::of(format)?))),
    }
}

/// What else is known of a call. The token is nobody else's affair.
fn parameters(info: &StreamInfo) -> Vec<(String, String)> {
    let own = [("provider", info.provider.name()), ("call_sid", info.call_id.as_str())];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let known = [super::super::gate::PARAMETER, "caller_id", "did", "provider", "call_sid"];
    let custom = info.custom_parameters.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    own.into_iter().chain(custom.map(|(name, value)| (name.clone(), value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_the_relay_pass_untouched_and_others_are_converted() {
        let format = |encoding, rate, channels| MediaFormat { encoding, rate, channels };
        for (format, codec, converted) in [
            (MediaFormat::MULAW_8000, Codec::Pcmu, false),
            (format(Encoding::Pcma, 8000, 1), Codec::Pcma, false),
            (format(Encoding::G722, 8000, 1), Codec::G722, false),
            (MediaFormat::L16_16000, Codec::L16(SampleRate::Hz16000), false),
            (format(Encoding::L16, 8000, 1), Codec::L16(SampleRate::Hz8000), false),
            (format(Encoding::L16, 11_025, 1), Codec::L16(SampleRate::Hz16000), true),
            (format(Encoding::Pcmu, 8000, 2), Codec::L16(SampleRate::Hz16000), true),
        ] {
            let (spoken, codec_pair) = spoken(format).expect("a format");
            assert_eq!((spoken, codec_pair.is_some()), (codec, converted), "{format:?}");
        }
    }
}
