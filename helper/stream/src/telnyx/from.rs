//! What Telnyx sends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::error::MessageError;
use crate::format::{AnnouncedFormat, Track};
use crate::json::Object;
use crate::wire::Envelope;

/// A message from Telnyx to an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromTelnyx {
    /// The first message.
    Connected {
        /// `1.0.0`.
        version: Option<String>,
        /// The `stream_auth_token` of the one who asked for the stream.
        auth_token: Option<String>,
    },
    /// The second message: which call.
    Start(Start),
    /// Audio: RTP payload without its header.
    Media(Media),
    /// A key was pressed.
    Dtmf {
        /// Number of the message.
        sequence: Option<u64>,
        /// Which stream.
        stream_id: Option<String>,
        /// RFC 3339.
        occurred_at: Option<String>,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// All audio before this mark was played, or cleared.
    Mark {
        /// Number of the message.
        sequence: Option<u64>,
        /// Which stream.
        stream_id: Option<String>,
        /// As the application named it.
        name: String,
    },
    /// Telnyx refused something.
    Error {
        /// Which stream.
        stream_id: Option<String>,
        /// As `100004`.
        code: Option<String>,
        /// As `invalid_media`.
        title: Option<String>,
        /// In words.
        detail: Option<String>,
    },
    /// The stream is over.
    Stop {
        /// Number of the message.
        sequence: Option<u64>,
        /// Which stream.
        stream_id: Option<String>,
        /// Which account.
        user_id: Option<String>,
        /// Which call.
        call_control_id: Option<String>,
    },
    /// Something newer than this text; to be ignored.
    Unknown {
        /// Its event.
        event: String,
    },
}

/// Which call a stream carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// Number of the message: 1.
    pub sequence: Option<u64>,
    /// The stream.
    pub stream_id: String,
    /// The account.
    pub user_id: Option<String>,
    /// The call leg, for the REST interface.
    pub call_control_id: Option<String>,
    /// All legs of the call.
    pub call_session_id: Option<String>,
    /// The caller.
    pub from: Option<String>,
    /// The number called.
    pub to: Option<String>,
    /// Of the call.
    pub tags: Vec<String>,
    /// Base64, as the application gave it.
    pub client_state: Option<String>,
    /// The `<Parameter>`s of the TeXML.
    pub custom_parameters: BTreeMap<String, String>,
    /// What the caller's audio is coded as. `None`: not said.
    pub media_format: Option<AnnouncedFormat>,
}

/// Audio of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Number of the message.
    pub sequence: Option<u64>,
    /// Which stream.
    pub stream_id: Option<String>,
    /// Whose voice.
    pub track: Option<Track>,
    /// 1 for the first of the track; the order in which to play.
    pub chunk: Option<u64>,
    /// Since the stream began; whole milliseconds.
    pub timestamp: Option<Duration>,
    /// Codec bytes. Of L16 in the order of the wire.
    pub payload: Bytes,
}

impl FromTelnyx {
    /// Reads a message as an application. An unknown event is [`FromTelnyx::Unknown`], no error.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        Self::read(&Envelope::parse(text)?)
    }

    pub(crate) fn read(message: &Envelope<'_>) -> Result<Self, MessageError> {
        let sequence = || message.sequence_number.number("sequence_number");
        let stream_id = message.stream_id.owned();
        Ok(match message.event()? {
            "connected" => FromTelnyx::Connected {
                version: message.version.owned(),
                auth_token: message.auth_token.owned(),
            },
            "start" => FromTelnyx::Start(Start::read(message)?),
            "media" => {
                let audio = message.media()?;
                FromTelnyx::Media(Media {
                    sequence: sequence()?,
                    stream_id,
                    track: audio.track,
                    chunk: audio.chunk,
                    timestamp: audio.timestamp,
                    payload: audio.payload,
                })
            }
            "dtmf" => FromTelnyx::Dtmf {
                sequence: sequence()?,
                stream_id,
                occurred_at: message.occurred_at.owned(),
                digit: message.digit()?,
            },
            "mark" => {
                FromTelnyx::Mark { sequence: sequence()?, stream_id, name: message.mark_name()?.to_owned() }
            }
            "error" => {
                let fault = message.payload.get().or(message.error.get());
                FromTelnyx::Error {
                    stream_id,
                    code: fault.and_then(|fault| fault.code.owned()),
                    title: fault.and_then(|fault| fault.title.owned()),
                    detail: fault.and_then(|fault| fault.detail.owned()),
                }
            }
            "stop" => FromTelnyx::Stop {
                sequence: sequence()?,
                stream_id,
                user_id: message.stop.get().and_then(|stop| stop.user_id.owned()),
                call_control_id: message.stop.get().and_then(|stop| stop.call_control_id.owned()),
            },
            event => FromTelnyx::Unknown { event: event.to_owned() },
        })
    }

    /// The message as Telnyx prints it.
    pub fn print(&self) -> String {
        match self {
            FromTelnyx::Connected { version, auth_token } => {
                let mut out = Object::event("connected");
                out.maybe("version", version.as_deref());
                out.maybe("x-telnyx-streaming-auth-token", auth_token.as_deref());
                out.finish()
            }
            FromTelnyx::Start(start) => start.print(),
            FromTelnyx::Media(media) => media.print(),
            FromTelnyx::Dtmf { sequence, stream_id, occurred_at, digit } => {
                let mut out = Object::event("dtmf");
                out.maybe("stream_id", stream_id.as_deref()).maybe("occurred_at", occurred_at.as_deref());
                out.quoted("sequence_number", *sequence).object("dtmf", |dtmf| {
                    dtmf.text("digit", digit.encode_utf8(&mut [0; 4]));
                });
                out.finish()
            }
            FromTelnyx::Mark { sequence, stream_id, name } => {
                let mut out = Object::event("mark");
                out.quoted("sequence_number", *sequence).maybe("stream_id", stream_id.as_deref());
                out.object("mark", |mark| {
                    mark.text("name", name);
                });
                out.finish()
            }
            FromTelnyx::Error { stream_id, code, title, detail } => {
                let mut out = Object::event("error");
                out.object("payload", |fault| {
                    fault.maybe("code", code.as_deref()).maybe("title", title.as_deref());
                    fault.maybe("detail", detail.as_deref());
                });
                out.maybe("stream_id", stream_id.as_deref());
                out.finish()
            }
            FromTelnyx::Stop { sequence, stream_id, user_id, call_control_id } => {
                let mut out = Object::event("stop");
                out.quoted("sequence_number", *sequence).object("stop", |stop| {
                    stop.maybe("user_id", user_id.as_deref());
                    stop.maybe("call_control_id", call_control_id.as_deref());
                });
                out.maybe("stream_id", stream_id.as_deref());
                out.finish()
            }
            FromTelnyx::Unknown { event } => Object::event(event).finish(),
        }
    }
}

impl Start {
    pub(crate) fn read(message: &Envelope<'_>) -> Result<Self, MessageError> {
        let start = message.start.required("start")?;
        let stream_id = match message.stream_id.as_str() {
            Some(id) => id,
            None => start.stream_id.required("stream_id")?,
        };
        let names = ["start.media_format.sample_rate", "start.media_format.channels"];
        Ok(Self {
            sequence: message.sequence_number.number("sequence_number")?,
            stream_id: stream_id.to_owned(),
            user_id: start.user_id.owned(),
            call_control_id: start.call_control_id.owned(),
            call_session_id: start.call_session_id.owned(),
            from: start.from.owned(),
            to: start.to.owned(),
            tags: start.tags.0.clone(),
            client_state: start.client_state.owned(),
            custom_parameters: start.custom_parameters.0.clone(),
            media_format: start.media_format.get().map(|format| format.announced(names)).transpose()?,
        })
    }

    fn print(&self) -> String {
        let mut out = Object::event("start");
        out.quoted("sequence_number", self.sequence).text("stream_id", &self.stream_id).object(
            "start",
            |start| {
                start
                    .maybe("user_id", self.user_id.as_deref())
                    .maybe("call_control_id", self.call_control_id.as_deref())
                    .maybe("call_session_id", self.call_session_id.as_deref())
                    .maybe("from", self.from.as_deref())
                    .maybe("to", self.to.as_deref())
                    .texts("tags", &self.tags)
                    .maybe("client_state", self.client_state.as_deref())
                    .object("custom_parameters", |parameters| {
                        for (name, value) in &self.custom_parameters {
                            parameters.text(name, value);
                        }
                    });
                if let Some(announced) = &self.media_format {
                    start.object("media_format", |format| {
                        format
                            .maybe("encoding", announced.encoding.as_deref())
                            .number("sample_rate", announced.sample_rate)
                            .number("channels", announced.channels);
                    });
                }
            },
        );
        out.finish()
    }
}

impl Media {
    fn print(&self) -> String {
        let mut out = Object::with_room("media", self.payload.len());
        out.quoted("sequence_number", self.sequence).maybe("stream_id", self.stream_id.as_deref());
        out.object("media", |media| {
            media
                .maybe("track", self.track.map(Track::name))
                .quoted("chunk", self.chunk)
                .quoted("timestamp", self.timestamp.map(|timestamp| timestamp.as_millis() as u64))
                .base64("payload", &self.payload);
        });
        out.finish()
    }
}
