//! What Twilio sends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::error::MessageError;
use crate::format::{AnnouncedFormat, Track};
use crate::json::Object;
use crate::wire::Envelope;

/// A message from Twilio to an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromTwilio {
    /// The first message.
    Connected {
        /// `Call`.
        protocol: Option<String>,
        /// `1.0.0`.
        version: Option<String>,
    },
    /// The second message: which call.
    Start(Start),
    /// Audio.
    Media(Media),
    /// A key was pressed.
    Dtmf {
        /// Number of the message.
        sequence: Option<u64>,
        /// Which stream.
        stream_sid: Option<String>,
        /// `inbound_track`.
        track: Option<String>,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// All audio before this mark was played, or cleared.
    Mark {
        /// Number of the message.
        sequence: Option<u64>,
        /// Which stream.
        stream_sid: Option<String>,
        /// As the application named it.
        name: String,
    },
    /// The stream is over.
    Stop {
        /// Number of the message.
        sequence: Option<u64>,
        /// Which stream.
        stream_sid: Option<String>,
        /// Which account.
        account_sid: Option<String>,
        /// Which call.
        call_sid: Option<String>,
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
    /// The stream, `MZ...`.
    pub stream_sid: String,
    /// The account, `AC...`.
    pub account_sid: Option<String>,
    /// The call, `CA...`.
    pub call_sid: Option<String>,
    /// `inbound`, `outbound`.
    pub tracks: Vec<String>,
    /// µ-law, 8000 Hz, mono.
    pub media_format: AnnouncedFormat,
    /// The `<Parameter>`s of the TwiML.
    pub custom_parameters: BTreeMap<String, String>,
}

/// Audio of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Number of the message.
    pub sequence: Option<u64>,
    /// Which stream.
    pub stream_sid: Option<String>,
    /// Whose voice.
    pub track: Option<Track>,
    /// 1 for the first of the track.
    pub chunk: Option<u64>,
    /// Since the stream began; whole milliseconds.
    pub timestamp: Option<Duration>,
    /// Codec bytes.
    pub payload: Bytes,
}

impl FromTwilio {
    /// Reads a message as an application. An unknown event is [`FromTwilio::Unknown`], no error.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        Self::read(&Envelope::parse(text)?)
    }

    pub(crate) fn read(message: &Envelope<'_>) -> Result<Self, MessageError> {
        let sequence = || message.sequence.number("sequenceNumber");
        let stream_sid = message.stream_sid.owned();
        Ok(match message.event()? {
            "connected" => {
                FromTwilio::Connected { protocol: message.protocol.owned(), version: message.version.owned() }
            }
            "start" => FromTwilio::Start(Start::read(message)?),
            "media" => {
                let audio = message.media()?;
                FromTwilio::Media(Media {
                    sequence: sequence()?,
                    stream_sid,
                    track: audio.track,
                    chunk: audio.chunk,
                    timestamp: audio.timestamp,
                    payload: audio.payload,
                })
            }
            "dtmf" => FromTwilio::Dtmf {
                sequence: sequence()?,
                stream_sid,
                track: message.dtmf.get().and_then(|dtmf| dtmf.track.owned()),
                digit: message.digit()?,
            },
            "mark" => {
                FromTwilio::Mark { sequence: sequence()?, stream_sid, name: message.mark_name()?.to_owned() }
            }
            "stop" => FromTwilio::Stop {
                sequence: sequence()?,
                stream_sid,
                account_sid: message.stop.get().and_then(|stop| stop.account_sid.owned()),
                call_sid: message.stop.get().and_then(|stop| stop.call_sid.owned()),
            },
            event => FromTwilio::Unknown { event: event.to_owned() },
        })
    }

    /// The message as Twilio prints it.
    pub fn print(&self) -> String {
        match self {
            FromTwilio::Connected { protocol, version } => {
                let mut out = Object::event("connected");
                out.maybe("protocol", protocol.as_deref()).maybe("version", version.as_deref());
                out.finish()
            }
            FromTwilio::Start(start) => start.print(),
            FromTwilio::Media(media) => media.print(),
            FromTwilio::Dtmf { sequence, stream_sid, track, digit } => {
                let mut out = Object::event("dtmf");
                out.maybe("streamSid", stream_sid.as_deref()).quoted("sequenceNumber", *sequence);
                out.object("dtmf", |dtmf| {
                    dtmf.maybe("track", track.as_deref()).text("digit", digit.encode_utf8(&mut [0; 4]));
                });
                out.finish()
            }
            FromTwilio::Mark { sequence, stream_sid, name } => {
                let mut out = Object::event("mark");
                out.quoted("sequenceNumber", *sequence).maybe("streamSid", stream_sid.as_deref());
                out.object("mark", |mark| {
                    mark.text("name", name);
                });
                out.finish()
            }
            FromTwilio::Stop { sequence, stream_sid, account_sid, call_sid } => {
                let mut out = Object::event("stop");
                out.quoted("sequenceNumber", *sequence).maybe("streamSid", stream_sid.as_deref());
                out.object("stop", |stop| {
                    stop.maybe("accountSid", account_sid.as_deref()).maybe("callSid", call_sid.as_deref());
                });
                out.finish()
            }
            FromTwilio::Unknown { event } => Object::event(event).finish(),
        }
    }
}

impl Start {
    /// The stream's name may stand in `start` or beside it, and so may the parameters (as Somleng has them).
    pub(crate) fn read(message: &Envelope<'_>) -> Result<Self, MessageError> {
        let start = message.start.required("start")?;
        let stream_sid = match start.stream_sid.as_str() {
            Some(sid) => sid,
            None => message.stream_sid.required("streamSid")?,
        };
        let mut custom_parameters = message.parameters.0.clone();
        custom_parameters.extend(start.parameters.0.clone());
        let names = ["start.mediaFormat.sampleRate", "start.mediaFormat.channels"];
        Ok(Self {
            sequence: message.sequence.number("sequenceNumber")?,
            stream_sid: stream_sid.to_owned(),
            account_sid: start.account_sid.owned(),
            call_sid: start.call_sid.owned(),
            tracks: start.tracks.0.clone(),
            media_format: start
                .format
                .get()
                .map(|format| format.announced(names))
                .transpose()?
                .unwrap_or_default(),
            custom_parameters,
        })
    }

    fn print(&self) -> String {
        let mut out = Object::event("start");
        out.quoted("sequenceNumber", self.sequence).object("start", |start| {
            start
                .maybe("accountSid", self.account_sid.as_deref())
                .text("streamSid", &self.stream_sid)
                .maybe("callSid", self.call_sid.as_deref())
                .texts("tracks", &self.tracks)
                .object("mediaFormat", |format| {
                    format
                        .maybe("encoding", self.media_format.encoding.as_deref())
                        .number("sampleRate", self.media_format.sample_rate)
                        .number("channels", self.media_format.channels);
                })
                .object("customParameters", |parameters| {
                    for (name, value) in &self.custom_parameters {
                        parameters.text(name, value);
                    }
                });
        });
        out.text("streamSid", &self.stream_sid);
        out.finish()
    }
}

impl Media {
    fn print(&self) -> String {
        let mut out = Object::with_room("media", self.payload.len());
        out.quoted("sequenceNumber", self.sequence).object("media", |media| {
            media
                .maybe("track", self.track.map(Track::name))
                .quoted("chunk", self.chunk)
                .quoted("timestamp", self.timestamp.map(|timestamp| timestamp.as_millis() as u64))
                .base64("payload", &self.payload);
        });
        out.maybe("streamSid", self.stream_sid.as_deref());
        out.finish()
    }
}
