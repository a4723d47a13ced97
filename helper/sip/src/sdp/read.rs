//! Reads the parts of a session description that a telephone call needs.
//!
//! Deployed equipment sends bare LF, spaces at line ends, no `s=` or `t=`, an `o=` with signs or letters in it. None of
//! that concerns the media, so only the lines that do are given to the parser, and those trimmed.

use std::net::{IpAddr, SocketAddr};

use model::audio::Codec;
use sdp_types::{Attribute, Connection, Media, Session};

use super::{AnswerError, Direction};

/// One m-line with what applies to it.
#[derive(Debug, Clone)]
pub(super) struct RemoteMedia {
    /// `audio`, `video`, `image`, ...
    pub kind: String,
    /// The port; 0 is a refused or disabled stream.
    pub port: u16,
    /// The transport as written, such as `RTP/AVP`.
    pub proto: String,
    /// The formats as written.
    pub formats: String,
    address: Option<String>,
    attributes: Vec<Attribute>,
    session_direction: Option<Direction>,
}

/// The m-lines of a body, in order.
pub(super) fn parse(body: &[u8]) -> Result<Vec<RemoteMedia>, AnswerError> {
    let malformed = |reason: String| AnswerError::Malformed { reason };
    if body.len() > MAX_BODY {
        return Err(malformed(format!("{} bytes, at most {MAX_BODY} are read", body.len())));
    }
    let session = Session::parse(clean(body).as_bytes()).map_err(|error| malformed(error.to_string()))?;
    if session.medias.len() > MAX_MEDIA {
        return Err(malformed(format!("{} streams, at most {MAX_MEDIA} are read", session.medias.len())));
    }
    let session_address = session.connection.as_ref().map(address_text);
    let session_direction = direction(&session.attributes);
    let media = |media: Media| RemoteMedia {
        address: media.connections.first().map(address_text).or_else(|| session_address.clone()),
        kind: media.media,
        port: media.port,
        proto: media.proto,
        formats: media.fmt,
        attributes: media.attributes,
        session_direction,
    };
    Ok(session.medias.into_iter().map(media).collect())
}

impl RemoteMedia {
    /// Whether it is an audio stream.
    pub fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio")
    }

    /// Whether its transport is plain RTP.
    pub fn is_plain_rtp(&self) -> bool {
        ["RTP/AVP", "RTP/AVPF"].iter().any(|plain| self.proto.eq_ignore_ascii_case(plain))
    }

    /// Our codecs among its formats, in its order, each payload type once.
    pub fn codecs(&self, ours: &[Codec]) -> Vec<(u8, Codec)> {
        let mut found: Vec<(u8, Codec)> = Vec::new();
        for payload_type in self.payload_types() {
            if found.iter().any(|(seen, _)| *seen == payload_type) {
                continue;
            }
            if let Some(codec) = self.codec(payload_type).filter(|codec| ours.contains(codec)) {
                found.push((payload_type, codec));
            }
        }
        found
    }

    /// The payload type of telephone events at 8000 Hz. `expected` is taken without a map, since some answers leave
    /// that out.
    pub fn telephone_event(&self, expected: Option<u8>) -> Option<u8> {
        self.payload_types().find(|payload_type| match self.rtpmap(*payload_type) {
            Some((name, clock, _)) => name.eq_ignore_ascii_case("telephone-event") && clock == Some(8000),
            None => Some(*payload_type) == expected,
        })
    }

    /// The formats for people: `{pt}`, or `{name}/{clock}` where the stream says it.
    pub fn format_names(&self) -> Vec<String> {
        let name = |format: &str| {
            let map = format.parse().ok().and_then(|payload_type| self.rtpmap_text(payload_type));
            map.unwrap_or(format).chars().take(32).collect()
        };
        self.formats.split_ascii_whitespace().take(32).map(name).collect()
    }

    /// The peer's direction, narrowed by an address or port that cannot receive.
    pub fn direction(&self) -> Direction {
        let said = direction(&self.attributes).or(self.session_direction).unwrap_or_default();
        if self.is_disabled() {
            Direction::Inactive
        } else if self.is_black_hole() {
            said.and(Direction::SendOnly)
        } else {
            said
        }
    }

    /// Whether the stream is refused or disabled.
    pub fn is_disabled(&self) -> bool {
        self.port == 0
    }

    /// Where the peer receives RTP; `None` while it does not.
    pub fn rtp(&self) -> Result<Option<SocketAddr>, AnswerError> {
        if self.is_disabled() || self.is_black_hole() {
            return Ok(None);
        }
        let text = self.address.as_deref().unwrap_or_default();
        let unusable = || AnswerError::UnusableAddress { address: text.chars().take(64).collect() };
        let address = ip(text).filter(|ip| usable(*ip)).ok_or_else(unusable)?;
        Ok(Some(SocketAddr::new(address, self.port)))
    }

    /// Where the peer receives RTCP, when it receives RTP at `rtp`.
    pub fn rtcp(&self, rtp: Option<SocketAddr>) -> Option<SocketAddr> {
        let rtp = rtp?;
        let Some(said) = self.value("rtcp") else {
            return rtp.port().checked_add(1).map(|port| SocketAddr::new(rtp.ip(), port));
        };
        let mut fields = said.split_ascii_whitespace();
        let port = fields.next()?.parse().ok().filter(|port| *port != 0)?;
        let address = fields.nth(2).and_then(ip).filter(|ip| usable(*ip)).unwrap_or(rtp.ip());
        Some(SocketAddr::new(address, port))
    }

    /// Whether the stream says `a=rtcp-mux`.
    pub fn rtcp_mux(&self) -> bool {
        self.attributes.iter().any(|a| a.attribute.eq_ignore_ascii_case("rtcp-mux"))
    }

    /// The packet length that the peer asks for, 1 to 200 ms.
    pub fn ptime(&self) -> Option<u8> {
        let value = self.value("ptime")?;
        let whole = value.split('.').next()?.trim();
        whole.parse().ok().filter(|ms| (1..=200).contains(ms))
    }

    fn is_black_hole(&self) -> bool {
        self.address.as_deref().and_then(ip).is_some_and(|ip| ip.is_unspecified())
    }

    fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats.split_ascii_whitespace().filter_map(|format| format.parse().ok()).filter(|pt| *pt <= 127)
    }

    /// The codec of a payload type. The numbers of RFC 3551 stand for themselves, whatever a map says.
    fn codec(&self, payload_type: u8) -> Option<Codec> {
        if let Some(codec) = Codec::from_payload_type(payload_type) {
            return Some(codec);
        }
        let (name, clock, channels) = self.rtpmap(payload_type)?;
        let codec = Codec::ALL.into_iter().find(|codec| name.eq_ignore_ascii_case(codec.name()))?;
        // Some equipment writes G.722's sample rate instead of its clock rate.
        let wide = codec == Codec::G722 && clock == Some(16_000);
        (channels == 1 && (wide || clock == Some(codec.clock_rate()))).then_some(codec)
    }

    /// Name, clock rate and channels of a payload type.
    fn rtpmap(&self, payload_type: u8) -> Option<(&str, Option<u32>, u32)> {
        let mut fields = self.rtpmap_text(payload_type)?.split('/').map(str::trim);
        let name = fields.next()?;
        let clock = fields.next().and_then(|clock| clock.parse().ok());
        let channels = fields.next().map_or(Some(1), |channels| channels.parse().ok())?;
        Some((name, clock, channels))
    }

    fn rtpmap_text(&self, payload_type: u8) -> Option<&str> {
        self.values("rtpmap").find_map(|value| {
            let (number, map) = value.trim_start().split_once([' ', '\t'])?;
            (number.parse() == Ok(payload_type)).then_some(map.trim())
        })
    }

    fn value(&self, name: &'static str) -> Option<&str> {
        self.values(name).next()
    }

    fn values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .filter(move |a| a.attribute.eq_ignore_ascii_case(name))
            .filter_map(|a| a.value.as_deref())
    }
}

/// The direction among attributes; the last one counts, as for a parser that overwrites.
fn direction(attributes: &[Attribute]) -> Option<Direction> {
    let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    attributes
        .iter()
        .rev()
        .find_map(|a| all.into_iter().find(|d| a.attribute.eq_ignore_ascii_case(d.as_str())))
}

/// The address of a `c=` without TTL and count.
fn address_text(connection: &Connection) -> String {
    connection.connection_address.split('/').next().unwrap_or_default().to_owned()
}

fn ip(text: &str) -> Option<IpAddr> {
    text.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether RTP can be sent to one peer there.
fn usable(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_multicast() && !ip.is_unspecified() && !broadcast
}

/// The lines that concern media, in a form that the parser takes.
fn clean(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut out = String::with_capacity(text.len() + 8);
    let mut connected = false;
    for line in text.split(['\r', '\n']) {
        let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.replace('\0', "");
        let fields: Vec<&str> = match key {
            "c" | "m" => value.split_whitespace().collect(),
            _ => Vec::new(),
        };
        match (key, fields.as_slice()) {
            ("v", _) if out.is_empty() => push(&mut out, "v=", value.trim()),
            (_, _) if out.is_empty() && matches!(key, "c" | "m" | "a") => out.push_str("v=0\r\n"),
            _ => {}
        }
        match (key, fields.as_slice()) {
            ("a", _) => push(&mut out, "a=", value.trim()),
            // A second session address would be refused; a stream may have several.
            ("c", [net, family, address, ..]) if !connected && token(net) && token(family) => {
                connected = true;
                push(&mut out, "c=", &[*net, *family, *address].join(" "));
            }
            // A stream without formats has none of ours.
            ("m", [media, port, proto]) => push(&mut out, "m=", &[*media, *port, *proto, "*"].join(" ")),
            ("m", fields) => push(&mut out, "m=", &fields.join(" ")),
            _ => {}
        }
        if key == "m" {
            connected = false;
        }
    }
    out
}

fn push(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    out.push_str(value);
    out.push_str("\r\n");
}

fn token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Longest body that is read, bytes.
const MAX_BODY: usize = 65_535;

/// Most m-lines that are read.
const MAX_MEDIA: usize = 32;
