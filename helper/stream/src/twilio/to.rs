//! What an application sends to Twilio.

use bytes::Bytes;

use crate::error::MessageError;
use crate::json::Object;
use crate::wire::Envelope;

/// A message from an application to Twilio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToTwilio {
    /// Audio to play after what is queued: µ-law bytes, any number, no header of a file.
    Media {
        /// Which stream.
        stream_sid: Option<String>,
        /// Codec bytes.
        payload: Bytes,
    },
    /// A place in the audio; comes back when it is reached.
    Mark {
        /// Which stream.
        stream_sid: Option<String>,
        /// Any name.
        name: String,
    },
    /// Drops the audio that has not been played. All marks come back.
    Clear {
        /// Which stream.
        stream_sid: Option<String>,
    },
    /// No message of the protocol.
    Unknown {
        /// Its event.
        event: String,
    },
}

impl ToTwilio {
    /// Reads a message as Twilio. An unknown event is [`ToTwilio::Unknown`], no error.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let message = Envelope::parse(text)?;
        let stream_sid = message.stream_sid.owned();
        Ok(match message.event()? {
            "media" => ToTwilio::Media { stream_sid, payload: message.media()?.payload },
            "mark" => ToTwilio::Mark { stream_sid, name: message.mark_name()?.to_owned() },
            "clear" => ToTwilio::Clear { stream_sid },
            event => ToTwilio::Unknown { event: event.to_owned() },
        })
    }

    /// The message as Twilio's documents show it.
    pub fn print(&self) -> String {
        match self {
            ToTwilio::Media { stream_sid, payload } => print_media(stream_sid.as_deref(), payload),
            ToTwilio::Mark { stream_sid, name } => print_mark(stream_sid.as_deref(), name),
            ToTwilio::Clear { stream_sid } => print_clear(stream_sid.as_deref()),
            ToTwilio::Unknown { event } => Object::event(event).finish(),
        }
    }
}

/// Prints [`ToTwilio::Media`] without a copy of the payload.
pub fn media(stream_sid: &str, payload: &[u8]) -> String {
    print_media(Some(stream_sid), payload)
}

/// Prints [`ToTwilio::Mark`].
pub fn mark(stream_sid: &str, name: &str) -> String {
    print_mark(Some(stream_sid), name)
}

/// Prints [`ToTwilio::Clear`].
pub fn clear(stream_sid: &str) -> String {
    print_clear(Some(stream_sid))
}

fn print_media(stream_sid: Option<&str>, payload: &[u8]) -> String {
    let mut out = Object::with_room("media", payload.len());
    out.maybe("streamSid", stream_sid).object("media", |media| {
        media.base64("payload", payload);
    });
    out.finish()
}

fn print_mark(stream_sid: Option<&str>, name: &str) -> String {
    let mut out = Object::event("mark");
    out.maybe("streamSid", stream_sid).object("mark", |mark| {
        mark.text("name", name);
    });
    out.finish()
}

fn print_clear(stream_sid: Option<&str>) -> String {
    let mut out = Object::event("clear");
    out.maybe("streamSid", stream_sid);
    out.finish()
}
