//! Reads JSON as leniently as it can be meant: the members of both protocols in one shape, numbers as numbers or as
//! strings, everything unknown ignored. What is borrowed stays in the text.

use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

mod loose;

pub(crate) use loose::{Field, Parameters, Part, Texts};

use crate::error::MessageError;
use crate::format::{AnnouncedFormat, Track};

/// A message of either provider, in either direction.
#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    pub event: Field<'a>,
    #[serde(borrow)]
    pub protocol: Field<'a>,
    #[serde(borrow)]
    pub version: Field<'a>,
    #[serde(borrow, rename = "streamSid")]
    pub stream_sid: Field<'a>,
    #[serde(borrow)]
    pub stream_id: Field<'a>,
    #[serde(borrow, rename = "sequenceNumber")]
    pub sequence: Field<'a>,
    #[serde(borrow)]
    pub sequence_number: Field<'a>,
    #[serde(borrow)]
    pub occurred_at: Field<'a>,
    #[serde(borrow, rename = "x-telnyx-streaming-auth-token")]
    pub auth_token: Field<'a>,
    #[serde(rename = "customParameters")]
    pub parameters: Parameters,
    #[serde(borrow)]
    pub start: Part<Start<'a>>,
    #[serde(borrow)]
    pub media: Part<Media<'a>>,
    #[serde(borrow)]
    pub dtmf: Part<Dtmf<'a>>,
    #[serde(borrow)]
    pub mark: Part<Mark<'a>>,
    #[serde(borrow)]
    pub stop: Part<Stop<'a>>,
    #[serde(borrow)]
    pub payload: Part<Fault<'a>>,
    #[serde(borrow)]
    pub error: Part<Fault<'a>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Start<'a> {
    #[serde(borrow, rename = "streamSid")]
    pub stream_sid: Field<'a>,
    #[serde(borrow, rename = "accountSid")]
    pub account_sid: Field<'a>,
    #[serde(borrow, rename = "callSid")]
    pub call_sid: Field<'a>,
    #[serde(rename = "customParameters")]
    pub parameters: Parameters,
    #[serde(borrow, rename = "mediaFormat")]
    pub format: Part<Format<'a>>,
    pub tracks: Texts,
    #[serde(borrow)]
    pub stream_id: Field<'a>,
    #[serde(borrow)]
    pub user_id: Field<'a>,
    #[serde(borrow)]
    pub call_control_id: Field<'a>,
    #[serde(borrow)]
    pub call_session_id: Field<'a>,
    #[serde(borrow)]
    pub from: Field<'a>,
    #[serde(borrow)]
    pub to: Field<'a>,
    pub tags: Texts,
    #[serde(borrow)]
    pub client_state: Field<'a>,
    pub custom_parameters: Parameters,
    #[serde(borrow)]
    pub media_format: Part<Format<'a>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Format<'a> {
    #[serde(borrow)]
    pub encoding: Field<'a>,
    #[serde(borrow, rename = "sampleRate")]
    pub rate: Field<'a>,
    #[serde(borrow)]
    pub sample_rate: Field<'a>,
    #[serde(borrow)]
    pub channels: Field<'a>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Media<'a> {
    #[serde(borrow)]
    pub track: Field<'a>,
    #[serde(borrow)]
    pub chunk: Field<'a>,
    #[serde(borrow)]
    pub timestamp: Field<'a>,
    #[serde(borrow)]
    pub payload: Field<'a>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Dtmf<'a> {
    #[serde(borrow)]
    pub track: Field<'a>,
    #[serde(borrow)]
    pub digit: Field<'a>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Mark<'a> {
    #[serde(borrow)]
    pub name: Field<'a>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Stop<'a> {
    #[serde(borrow, rename = "accountSid")]
    pub account_sid: Field<'a>,
    #[serde(borrow, rename = "callSid")]
    pub call_sid: Field<'a>,
    #[serde(borrow)]
    pub user_id: Field<'a>,
    #[serde(borrow)]
    pub call_control_id: Field<'a>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Fault<'a> {
    #[serde(borrow)]
    pub code: Field<'a>,
    #[serde(borrow)]
    pub title: Field<'a>,
    #[serde(borrow)]
    pub detail: Field<'a>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, MessageError> {
        // Read as a part, since a list would pass as a struct.
        match serde_json::from_str(text) {
            Ok(Part::Here(message)) => Ok(message),
            Ok(Part::Absent | Part::Wrong) => Err(MessageError::Json("not an object".to_owned())),
            Err(error) => Err(MessageError::Json(error.to_string())),
        }
    }

    /// The event's name.
    pub(crate) fn event(&self) -> Result<&str, MessageError> {
        self.event.required("event")
    }

    /// The audio of a `media` message.
    pub(crate) fn media(&self) -> Result<Audio, MessageError> {
        let media = self.media.required("media")?;
        let payload = media.payload.required("media.payload")?;
        let payload = LENIENT
            .decode(payload)
            .map_err(|_| MessageError::Invalid { field: "media.payload", expected: "base64" })?;
        Ok(Audio {
            track: media.track.as_str().map(Track::read),
            chunk: media.chunk.number("media.chunk")?,
            timestamp: media.timestamp.number("media.timestamp")?.map(Duration::from_millis),
            payload: payload.into(),
        })
    }

    /// The key of a `dtmf` message.
    pub(crate) fn digit(&self) -> Result<char, MessageError> {
        let digit = self.dtmf.required("dtmf")?.digit.required("dtmf.digit")?;
        let mut chars = digit.chars().map(|c| c.to_ascii_uppercase());
        match (chars.next(), chars.next()) {
            (Some(c @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(c),
            _ => Err(MessageError::Invalid { field: "dtmf.digit", expected: "one of 0-9 * # A-D" }),
        }
    }

    /// The name of a `mark` message.
    pub(crate) fn mark_name(&self) -> Result<&str, MessageError> {
        self.mark.required("mark")?.name.required("mark.name")
    }
}

impl Format<'_> {
    pub(crate) fn announced(&self, names: [&'static str; 2]) -> Result<AnnouncedFormat, MessageError> {
        let rate = if matches!(self.rate, Field::Absent) { &self.sample_rate } else { &self.rate };
        Ok(AnnouncedFormat {
            encoding: self.encoding.owned(),
            sample_rate: rate.number(names[0])?,
            channels: self.channels.number(names[1])?,
        })
    }
}

/// What a `media` message carries.
pub(crate) struct Audio {
    pub track: Option<Track>,
    pub chunk: Option<u64>,
    pub timestamp: Option<Duration>,
    pub payload: Bytes,
}

/// Padded or not: both are seen.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
