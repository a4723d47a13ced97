//! Twilio's side of a stream: what a bot hears that was written for Twilio Media Streams.
//!
//! In: what happens on a call, and the bot's messages. Out: the messages for the bot, with Twilio's numbers and
//! times, and what the bot wants. Plays nothing: the marks are whoever's who has the audio.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::MessageError;
use crate::format::{AnnouncedFormat, MediaFormat, Track};
use crate::twilio::{FromTwilio, Media, Start, ToTwilio};

/// Twilio's number of the error that a bot's message is none of the protocol: "Stream - Protocol - Invalid Message".
pub const INVALID_MESSAGE: u32 = 31951;

/// Which call a bot hears.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BotStart {
    /// The stream, `MZ` and 32 hexadecimal digits at Twilio.
    pub stream_sid: String,
    /// The call, `CA...`.
    pub call_sid: String,
    /// The account, `AC...`.
    pub account_sid: String,
    /// What else the bot is told.
    pub custom_parameters: BTreeMap<String, String>,
}

/// What a bot wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BotEvent {
    /// Play this after what is queued: µ-law, 8000 Hz.
    Media(Bytes),
    /// Say [`BotSession::mark`] when the audio before it has been played, or was cleared.
    Mark(String),
    /// Drop what has not been played, and say every mark.
    Clear,
    /// An event that Twilio does not know; to be ignored.
    Unknown(String),
}

/// The numbers and times of one stream to a bot. The audio is µ-law, 8000 Hz.
#[derive(Debug)]
pub struct BotSession {
    call: BotStart,
    sequence: u64,
    chunk: u64,
    /// Bytes of audio sent so far: eight a millisecond.
    sent: u64,
}

impl BotSession {
    /// A stream that has said nothing.
    pub fn new(call: BotStart) -> Self {
        Self { call, sequence: 0, chunk: 0, sent: 0 }
    }

    /// The call as given.
    pub fn call(&self) -> &BotStart {
        &self.call
    }

    /// The first message.
    pub fn connected(&self) -> String {
        let (protocol, version) = (Some("Call".to_owned()), Some("1.0.0".to_owned()));
        FromTwilio::Connected { protocol, version }.print()
    }

    /// The second message.
    pub fn start(&mut self) -> String {
        let start = Start {
            sequence: self.next(),
            stream_sid: self.call.stream_sid.clone(),
            account_sid: Some(self.call.account_sid.clone()),
            call_sid: Some(self.call.call_sid.clone()),
            tracks: vec![Track::Inbound.name().to_owned()],
            media_format: AnnouncedFormat {
                encoding: Some("audio/x-mulaw".to_owned()),
                sample_rate: Some(8000),
                channels: Some(1),
            },
            custom_parameters: self.call.custom_parameters.clone(),
        };
        FromTwilio::Start(start).print()
    }

    /// The caller's audio, without a gap to what came before: µ-law, at best 160 bytes.
    pub fn media(&mut self, payload: Bytes) -> String {
        let timestamp = MediaFormat::MULAW_8000.duration(self.sent);
        self.sent += payload.len() as u64;
        self.chunk += 1;
        let media = Media {
            sequence: self.next(),
            stream_sid: self.stream_sid(),
            track: Some(Track::Inbound),
            chunk: Some(self.chunk),
            timestamp: Some(timestamp),
            payload,
        };
        FromTwilio::Media(media).print()
    }

    /// The caller pressed a key: `0`-`9`, `*`, `#`, `A`-`D`.
    pub fn dtmf(&mut self, digit: char) -> String {
        let track = Some("inbound_track".to_owned());
        FromTwilio::Dtmf { sequence: self.next(), stream_sid: self.stream_sid(), track, digit }.print()
    }

    /// A mark of the bot was reached or cleared.
    pub fn mark(&mut self, name: &str) -> String {
        FromTwilio::Mark { sequence: self.next(), stream_sid: self.stream_sid(), name: name.to_owned() }
            .print()
    }

    /// The last message.
    pub fn stop(&mut self) -> String {
        FromTwilio::Stop {
            sequence: self.next(),
            stream_sid: self.stream_sid(),
            account_sid: Some(self.call.account_sid.clone()),
            call_sid: Some(self.call.call_sid.clone()),
        }
        .print()
    }

    /// Reads a message of the bot. An error is what Twilio reports as [`INVALID_MESSAGE`], once a stream; the stream
    /// goes on. The stream's name may be left out, but not be another's.
    pub fn handle_text(&self, text: &str) -> Result<BotEvent, MessageError> {
        let (stream_sid, event) = match ToTwilio::parse(text)? {
            ToTwilio::Media { stream_sid, payload } => (stream_sid, BotEvent::Media(payload)),
            ToTwilio::Mark { stream_sid, name } => (stream_sid, BotEvent::Mark(name)),
            ToTwilio::Clear { stream_sid } => (stream_sid, BotEvent::Clear),
            ToTwilio::Unknown { event } => (None, BotEvent::Unknown(event)),
        };
        match stream_sid {
            Some(sid) if sid != self.call.stream_sid => {
                Err(MessageError::Invalid { field: "streamSid", expected: "that of the stream" })
            }
            _ => Ok(event),
        }
    }

    fn next(&mut self) -> Option<u64> {
        self.sequence += 1;
        Some(self.sequence)
    }

    fn stream_sid(&self) -> Option<String> {
        Some(self.call.stream_sid.clone())
    }
}
