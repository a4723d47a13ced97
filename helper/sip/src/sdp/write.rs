//! Writes session descriptions: ours are always of the same few lines.

use std::fmt::Write;
use std::net::IpAddr;

use bytes::Bytes;
use model::audio::Codec;

use super::{Direction, LocalMedia};

/// Our audio m-line and what belongs to it.
#[derive(Debug)]
pub(super) struct Audio<'a> {
    /// Our RTP port; 0 where the stream is refused or was offered with 0.
    pub port: u16,
    /// The transport; in an answer, the offered one.
    pub proto: &'a str,
    /// Payload types and codecs in order of preference.
    pub formats: &'a [(u8, Codec)],
    /// Payload type of telephone events.
    pub telephone_event: Option<u8>,
    /// Packet length, milliseconds.
    pub ptime: Option<u8>,
    /// Our direction.
    pub direction: Direction,
}

/// The audio m-line with its attributes.
pub(super) fn audio(audio: &Audio<'_>) -> String {
    let mut out = String::with_capacity(256);
    // Writing to a String has no error to report.
    let _ = write!(out, "m=audio {} {}", audio.port, audio.proto);
    for (payload_type, _) in audio.formats {
        let _ = write!(out, " {payload_type}");
    }
    if let Some(event) = audio.telephone_event {
        let _ = write!(out, " {event}");
    }
    out.push_str("\r\n");
    for (payload_type, codec) in audio.formats {
        let _ = write!(out, "a=rtpmap:{payload_type} {}/{}\r\n", codec.name(), codec.clock_rate());
    }
    if let Some(event) = audio.telephone_event {
        let _ = write!(out, "a=rtpmap:{event} telephone-event/8000\r\na=fmtp:{event} 0-16\r\n");
    }
    if let Some(ptime) = audio.ptime {
        let _ = write!(out, "a=ptime:{ptime}\r\n");
    }
    let _ = write!(out, "a={}\r\n", audio.direction);
    out
}

/// An m-line that refuses a stream: port 0 and the offered formats (RFC 3264 §6).
pub(super) fn refused(kind: &str, proto: &str, formats: &str) -> String {
    format!("m={kind} 0 {proto} {formats}\r\n")
}

/// A whole body around m-lines.
pub(super) fn body(local: &LocalMedia, media: &str) -> Bytes {
    let family = match local.address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    };
    let LocalMedia { address, session_id, version, .. } = local;
    let user = word(&local.username);
    let name = line(&local.session_name);
    Bytes::from(format!(
        "v=0\r\no={user} {session_id} {version} IN {family} {address}\r\ns={name}\r\n\
         c=IN {family} {address}\r\nt=0 0\r\n{media}"
    ))
}

/// One field of `o=`: no spaces or controls, never empty.
fn word(text: &str) -> String {
    let word: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// The value of a line: no controls, never empty.
fn line(text: &str) -> String {
    let line: String = text.chars().filter(|c| !c.is_control()).collect();
    if line.trim().is_empty() { "-".to_owned() } else { line }
}
