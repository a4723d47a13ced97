//! What an application sends to Telnyx.

use bytes::Bytes;

use crate::error::MessageError;
use crate::json::Object;
use crate::wire::Envelope;

/// A message from an application to Telnyx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToTelnyx {
    /// Audio to play after what is queued: RTP payload of 20 ms to 30 s, as the stream was asked for.
    Media {
        /// Which stream.
        stream_id: Option<String>,
        /// Codec bytes.
        payload: Bytes,
    },
    /// A place in the audio; comes back when it is reached.
    Mark {
        /// Which stream.
        stream_id: Option<String>,
        /// Any name.
        name: String,
    },
    /// Drops the audio that has not been played. All marks come back.
    Clear {
        /// Which stream.
        stream_id: Option<String>,
    },
    /// No message of the protocol.
    Unknown {
        /// Its event.
        event: String,
    },
}

impl ToTelnyx {
    /// Reads a message as Telnyx. An unknown event is [`ToTelnyx::Unknown`], no error.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let message = Envelope::parse(text)?;
        let stream_id = message.stream_id.owned();
        Ok(match message.event()? {
            "media" => ToTelnyx::Media { stream_id, payload: message.media()?.payload },
            "mark" => ToTelnyx::Mark { stream_id, name: message.mark_name()?.to_owned() },
            "clear" => ToTelnyx::Clear { stream_id },
            event => ToTelnyx::Unknown { event: event.to_owned() },
        })
    }

    /// The message as Telnyx's documents show it.
    pub fn print(&self) -> String {
        match self {
            ToTelnyx::Media { stream_id, payload } => print_media(stream_id.as_deref(), payload),
            ToTelnyx::Mark { stream_id, name } => print_mark(stream_id.as_deref(), name),
            ToTelnyx::Clear { stream_id } => print_clear(stream_id.as_deref()),
            ToTelnyx::Unknown { event } => Object::event(event).finish(),
        }
    }
}

/// Prints [`ToTelnyx::Media`] without a copy of the payload.
pub fn media(stream_id: &str, payload: &[u8]) -> String {
    print_media(Some(stream_id), payload)
}

/// Prints [`ToTelnyx::Mark`].
pub fn mark(stream_id: &str, name: &str) -> String {
    print_mark(Some(stream_id), name)
}

/// Prints [`ToTelnyx::Clear`].
pub fn clear(stream_id: &str) -> String {
    print_clear(Some(stream_id))
}

fn print_media(stream_id: Option<&str>, payload: &[u8]) -> String {
    let mut out = Object::with_room("media", payload.len());
    out.maybe("stream_id", stream_id).object("media", |media| {
        media.base64("payload", payload);
    });
    out.finish()
}

fn print_mark(stream_id: Option<&str>, name: &str) -> String {
    let mut out = Object::event("mark");
    out.maybe("stream_id", stream_id).object("mark", |mark| {
        mark.text("name", name);
    });
    out.finish()
}

fn print_clear(stream_id: Option<&str>) -> String {
    let mut out = Object::event("clear");
    out.maybe("stream_id", stream_id);
    out.finish()
}
