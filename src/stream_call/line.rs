//! The messages of one provider for one call.
//!
//! In: what the caller does, and the gateway's messages. Out: messages for the gateway, and what it wants. Pure.

use std::time::Duration;

use audio::{g711, resample::resample};
use bytes::Bytes;
use stream::{
    AnnouncedFormat, BotEvent, BotSession, BotStart, Encoding, FRAME, MessageError, Provider, Track,
    telnyx::{FromTelnyx, Media, Start, ToTelnyx},
};

use crate::relay::random_u64;

/// One call of a provider.
pub(super) struct Line {
    provider: Provider,
    call_sid: String,
    stream_id: String,
    caller: String,
    did: String,
    /// What the stream begins with: as the gateway answered the webhook.
    parameters: Vec<(String, String)>,
    /// How the gateway sends audio.
    heard: Encoding,
    /// Twilio's numbers and times.
    twilio: Option<BotSession>,
    /// Telnyx's.
    sequence: u64,
    chunk: u64,
}

/// What the gateway wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Play this to the caller.
    Play(Bytes),
    /// Say this when it has been played.
    Mark(String),
    /// Drop what has not been played.
    Clear,
    /// Nothing that a provider knows.
    Unknown(String),
}

impl Line {
    pub(super) fn new(provider: Provider, caller: &str, did: &str) -> Self {
        let digits = || format!("{:016x}{:016x}", random_u64(), random_u64());
        let (call_sid, stream_id) = match provider {
            Provider::Twilio => (format!("CA{}", digits()), format!("MZ{}", digits())),
            Provider::Telnyx => ("test-call-001".to_owned(), format!("test-stream-{:016x}", random_u64())),
        };
        let parameters =
            [("caller_id", caller), ("did", did)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            provider,
            heard: if provider == Provider::Twilio { Encoding::Pcmu } else { Encoding::L16 },
            call_sid,
            stream_id,
            caller: caller.to_owned(),
            did: did.to_owned(),
            parameters: parameters.into(),
            twilio: None,
            sequence: 0,
            chunk: 0,
        }
    }

    pub(super) fn is_twilio(&self) -> bool {
        self.provider == Provider::Twilio
    }

    pub(super) fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// The fields of the webhook.
    pub(super) fn form(&self) -> Vec<(&str, &str)> {
        let mut form = vec![
            ("From", self.caller.as_str()),
            ("To", &self.did),
            ("CallSid", &self.call_sid),
            ("CallStatus", "ringing"),
            ("Direction", "inbound"),
        ];
        if self.is_twilio() {
            form.push(("AccountSid", ACCOUNT));
        }
        form
    }

    /// What the document that asked for the stream says. Twilio knows one codec.
    pub(super) fn set_answer(&mut self, parameters: Vec<(String, String)>, codec: Option<Encoding>) {
        self.parameters = parameters;
        if !self.is_twilio() {
            self.heard = codec.unwrap_or(self.heard);
        }
    }

    /// The first message.
    pub(super) fn connected(&mut self) -> String {
        match self.provider {
            Provider::Twilio => self.bot().connected(),
            Provider::Telnyx => {
                FromTelnyx::Connected { version: Some("1.0.0".to_owned()), auth_token: None }.print()
            }
        }
    }

    /// The second message.
    pub(super) fn start(&mut self) -> String {
        if self.is_twilio() {
            return self.bot().start();
        }
        let start = Start {
            sequence: self.next(),
            stream_id: self.stream_id.clone(),
            user_id: Some("test-user-001".to_owned()),
            call_control_id: Some(self.call_sid.clone()),
            call_session_id: Some("test-session-001".to_owned()),
            from: Some(self.caller.clone()),
            to: Some(self.did.clone()),
            custom_parameters: self.parameters.iter().cloned().collect(),
            media_format: Some(AnnouncedFormat {
                encoding: Some("L16".to_owned()),
                sample_rate: Some(LINEAR_RATE),
                channels: Some(1),
            }),
            ..Start::default()
        };
        FromTelnyx::Start(start).print()
    }

    /// The caller's audio as the provider codes it, in frames of 20 ms; the last may be shorter.
    pub(super) fn frames(&self, samples: &[i16]) -> Vec<Bytes> {
        let coded = match self.provider {
            Provider::Telnyx => model::audio::le_bytes(samples).collect(),
            Provider::Twilio => {
                let narrow =
                    resample(samples, LINEAR_RATE, 8000).expect("both rates are of those that it knows");
                let mut coded = Vec::with_capacity(narrow.len());
                g711::encode_ulaw(&narrow, &mut coded);
                coded
            }
        };
        coded.chunks(self.frame_bytes()).map(Bytes::copy_from_slice).collect()
    }

    /// The message with one such frame.
    pub(super) fn media(&mut self, payload: Bytes) -> String {
        if self.is_twilio() {
            return self.bot().media(payload);
        }
        let timestamp = FRAME * u32::try_from(self.chunk).unwrap_or(u32::MAX);
        self.chunk += 1;
        let media = Media {
            sequence: self.next(),
            stream_id: Some(self.stream_id.clone()),
            track: Some(Track::Inbound),
            chunk: Some(self.chunk),
            timestamp: Some(timestamp),
            payload,
        };
        FromTelnyx::Media(media).print()
    }

    /// A mark of the gateway was reached.
    pub(super) fn mark(&mut self, name: &str) -> String {
        if self.is_twilio() {
            return self.bot().mark(name);
        }
        let (stream_id, name) = (Some(self.stream_id.clone()), name.to_owned());
        FromTelnyx::Mark { sequence: self.next(), stream_id, name }.print()
    }

    /// The last message.
    pub(super) fn stop(&mut self) -> String {
        if self.is_twilio() {
            return self.bot().stop();
        }
        FromTelnyx::Stop {
            sequence: self.next(),
            stream_id: Some(self.stream_id.clone()),
            user_id: Some("test-user-001".to_owned()),
            call_control_id: Some(self.call_sid.clone()),
        }
        .print()
    }

    /// Reads a message of the gateway.
    pub(super) fn read(&mut self, text: &str) -> Result<Wish, MessageError> {
        if self.is_twilio() {
            return self.bot().handle_text(text).map(|event| match event {
                BotEvent::Media(payload) => Wish::Play(payload),
                BotEvent::Mark(name) => Wish::Mark(name),
                BotEvent::Clear => Wish::Clear,
                BotEvent::Unknown(event) => Wish::Unknown(event),
            });
        }
        Ok(match ToTelnyx::parse(text)? {
            ToTelnyx::Media { payload, .. } => Wish::Play(payload),
            ToTelnyx::Mark { name, .. } => Wish::Mark(name),
            ToTelnyx::Clear { .. } => Wish::Clear,
            ToTelnyx::Unknown { event } => Wish::Unknown(event),
        })
    }

    /// What the gateway sent, at 8000 Hz, good enough to recognise a tone.
    pub(super) fn narrow(&self, payload: &[u8]) -> Vec<i16> {
        let mut samples = Vec::with_capacity(payload.len());
        match self.heard {
            Encoding::Pcmu => g711::decode_ulaw(payload, &mut samples),
            Encoding::Pcma => g711::decode_alaw(payload, &mut samples),
            Encoding::L16 => {
                samples.extend(payload.chunks_exact(4).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
            }
            // Nobody asks for it.
            Encoding::G722 => {}
        }
        samples
    }

    /// How long such a payload sounds.
    pub(super) fn duration(&self, payload: &[u8]) -> Duration {
        let frame = if self.heard == Encoding::L16 { LINEAR_FRAME } else { 160 };
        FRAME.mul_f64(payload.len() as f64 / frame as f64)
    }

    /// Bytes of 20 ms.
    fn frame_bytes(&self) -> usize {
        match self.provider {
            Provider::Twilio => 160,
            Provider::Telnyx => LINEAR_FRAME,
        }
    }

    fn bot(&mut self) -> &mut BotSession {
        let (stream_sid, call_sid, parameters) = (&self.stream_id, &self.call_sid, &self.parameters);
        self.twilio.get_or_insert_with(|| {
            BotSession::new(BotStart {
                stream_sid: stream_sid.clone(),
                call_sid: call_sid.clone(),
                account_sid: ACCOUNT.to_owned(),
                custom_parameters: parameters.iter().cloned().collect(),
            })
        })
    }

    fn next(&mut self) -> Option<u64> {
        self.sequence += 1;
        Some(self.sequence)
    }
}

/// Bytes of 20 ms of linear audio.
pub(super) const LINEAR_FRAME: usize = 640;
/// Its samples a second.
pub(super) const LINEAR_RATE: u32 = 16_000;
const ACCOUNT: &str = "AC00000000000000000000000000000000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telnyx_sends_linear_audio_and_the_parameters_of_the_answer() {
        let mut line = Line::new(Provider::Telnyx, "+15125559999", "+15125551234");
        assert_eq!(line.connected(), r#"{"event":"connected","version":"1.0.0"}"#);
        let parameters =
            [("did", "+2"), ("token", "t")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        line.set_answer(parameters.into(), None);
        assert_eq!((line.duration(&[0; 640]), line.narrow(&[1, 0, 2, 0, 3, 0, 4, 0])), (FRAME, vec![1, 3]));
        line.set_answer(line.parameters.clone(), Some(Encoding::Pcma));
        assert_eq!((line.duration(&[0; 160]), line.narrow(&[0xd5])), (FRAME, vec![8]));
        let start = line.start();
        for part in [
            r#""sequence_number":"1","stream_id":"test-stream-"#,
            r#""from":"+15125559999","to":"+15125551234""#,
            r#""custom_parameters":{"did":"+2","token":"t"}"#,
            r#""media_format":{"encoding":"L16","sample_rate":16000,"channels":1}"#,
        ] {
            assert!(start.contains(part), "{part} in {start}");
        }
        let frames = line.frames(&[1; 330]);
        assert_eq!(frames.iter().map(Bytes::len).collect::<Vec<_>>(), [640, 20]);
        for (chunk, timestamp) in [(1, 0), (2, 20)] {
            let part = format!(
                r#""media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp}","payload":"AQAB"#
            );
            let media = line.media(frames[0].clone());
            assert!(media.contains(&part), "{part} in {media}");
        }
        assert!(line.stop().contains(r#""sequence_number":"4","stop":{"#));
    }

    #[test]
    fn twilio_sends_law_coded_audio_at_half_the_rate() {
        let mut line = Line::new(Provider::Twilio, "+15125559999", "+15125551234");
        assert_eq!(line.connected(), r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        let start = line.start();
        let parameters = r#""customParameters":{"caller_id":"+15125559999","did":"+15125551234"}"#;
        assert!(start.contains(parameters), "{parameters} in {start}");
        let frames = line.frames(&[0; 640]);
        assert_eq!(frames, [vec![0xff; 160], vec![0xff; 160]]);
        assert!(
            line.media(frames[0].clone())
                .contains(r#""sequenceNumber":"2","media":{"track":"inbound","chunk":"1""#)
        );
        assert_eq!(line.duration(&frames[0]), FRAME);
    }

    #[test]
    fn wishes_of_the_gateway_are_understood_of_both() {
        for provider in [Provider::Telnyx, Provider::Twilio] {
            let mut line = Line::new(provider, "+1", "+2");
            let media = line.read(r#"{"event":"media","media":{"payload":"//8="}}"#);
            assert_eq!(media, Ok(Wish::Play(Bytes::from_static(&[255, 255]))));
            assert_eq!(line.read(r#"{"event":"mark","mark":{"name":"m"}}"#), Ok(Wish::Mark("m".to_owned())));
            assert_eq!(line.read(r#"{"event":"clear"}"#), Ok(Wish::Clear));
            assert_eq!(line.read(r#"{"event":"x"}"#), Ok(Wish::Unknown("x".to_owned())));
            assert!(line.read("{").is_err());
        }
    }
}
