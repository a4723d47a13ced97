//! SDP offer and answer for one audio stream (RFC 3264, RFC 8866).
//!
//! In: an offer or answer body, what we can do ([`LocalMedia`], codecs). Out: the body to send and what was
//! [`Agreed`]. It knows no SIP message, no socket and no RTP session; the address in an SDP is reported, not trusted.
//!
//! [`offer`], [`answer`] and [`accept_answer`] are single exchanges. A [`Negotiator`] holds one call's session over
//! all of its exchanges: the version in `o=`, the number and order of m-lines, our own hold.

mod negotiator;
mod read;
mod write;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use model::audio::Codec;
use model::call::EndLabel;

pub use negotiator::Negotiator;

/// Which way media flows, from the point of view of the side that says it (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send only: we put the far end on hold.
    SendOnly,
    /// We receive only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// Whether the side that says it sends.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the side that says it receives.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The direction that sends and receives as told.
    pub const fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// The same flow seen from the other side.
    #[must_use]
    pub const fn mirrored(self) -> Direction {
        Direction::of(self.receives(), self.sends())
    }

    /// What both directions allow.
    #[must_use]
    pub const fn and(self, other: Direction) -> Direction {
        Direction::of(self.sends() && other.sends(), self.receives() && other.receives())
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Our side of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// The address that the peer shall send RTP to.
    pub address: IpAddr,
    /// The RTP port; RTCP is the next.
    pub port: u16,
    /// Session id in `o=`; the same for the whole call.
    pub session_id: u64,
    /// Session version in `o=`; one more whenever the body changes.
    pub version: u64,
    /// User in `o=`: `relay` where we offer first, `-` where we answer first.
    pub username: String,
    /// `s=`: `Call` where we offer first, `-` where we answer first.
    pub session_name: String,
}

/// What offer and answer agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The codec to send.
    pub codec: Codec,
    /// The payload type to send it with: the peer's number.
    pub payload_type: u8,
    /// What may arrive: the payload types of the codecs that both sides have, the agreed one first. Equipment does
    /// send one that was offered and not answered.
    pub accept: Vec<(u8, Codec)>,
    /// Payload type of RFC 4733 events at 8000 Hz, where agreed.
    pub telephone_event: Option<u8>,
    /// Where to send RTP; `None` while held by `c=0.0.0.0` or port 0.
    pub remote: Option<SocketAddr>,
    /// Where to send RTCP: the address of `a=rtcp` (RFC 3605), else the port after RTP's.
    pub remote_rtcp: Option<SocketAddr>,
    /// Whether the peer would share one port for RTP and RTCP (RFC 5761). We do not answer it, so RTCP keeps its own.
    pub rtcp_mux: bool,
    /// Our direction: whether we send and receive.
    pub direction: Direction,
    /// Whether the peer wants no media from us: `sendonly`, `inactive`, `c=0.0.0.0` or port 0.
    pub held_by_peer: bool,
    /// Whether we want no media from the peer. Both can hold at once; then the direction is `Inactive`.
    pub held_by_us: bool,
    /// The packet length that the peer asked for, milliseconds.
    pub ptime: Option<u8>,
}

/// Why an offer cannot be answered, or an answer not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No audio stream.
    #[error("no audio stream")]
    NoAudio,
    /// None of the peer's codecs is ours.
    #[error("no common codec, peer has {}", offered.join(" "))]
    NoCommonCodec {
        /// The peer's formats, as `{payload type}` or `{name}/{clock}`; at most 32.
        offered: Vec<String>,
    },
    /// The audio stream uses a transport that we lack, such as RTP/SAVP.
    #[error("transport {proto} is not supported")]
    UnsupportedTransport {
        /// The transport.
        proto: String,
    },
    /// The address of the stream is a host name, a multicast group, or missing.
    #[error("media address {address:?} cannot be used, an IP address is needed")]
    UnusableAddress {
        /// The text in `c=`.
        address: String,
    },
    /// Not SDP.
    #[error("malformed SDP: {reason}")]
    Malformed {
        /// What the parser says.
        reason: String,
    },
}

impl AnswerError {
    /// The SIP status to refuse with.
    pub fn status(&self) -> u16 {
        488
    }

    /// The code of a Warning header (RFC 3261 §20.43).
    pub fn warning_code(&self) -> u16 {
        match self {
            AnswerError::NoAudio => 304,
            AnswerError::NoCommonCodec { .. } => 305,
            AnswerError::UnsupportedTransport { .. } => 302,
            AnswerError::UnusableAddress { .. } => 301,
            AnswerError::Malformed { .. } => 399,
        }
    }

    /// How a call that fails for this reason ends.
    pub fn label(&self) -> EndLabel {
        match self {
            AnswerError::NoAudio | AnswerError::NoCommonCodec { .. } => EndLabel::NoCommonCodec,
            _ => EndLabel::BadSdp,
        }
    }
}

/// Writes an offer of `codecs` in that order, then telephone events under payload type `telephone_event`.
pub fn offer(
    local: &LocalMedia,
    codecs: &[Codec],
    telephone_event: Option<u8>,
    direction: Direction,
) -> Bytes {
    let formats: Vec<_> = codecs.iter().map(|codec| (codec.payload_type(), *codec)).collect();
    let audio = write::Audio {
        port: local.port,
        proto: "RTP/AVP",
        formats: &formats,
        telephone_event,
        ptime: Some(20),
        direction,
    };
    write::body(local, &write::audio(&audio))
}

/// Answers `offer` with the first offered codec that is in `codecs`, in the offered transport, under the offered
/// payload types, and one m-line per offered m-line; those that we do not take have port 0.
///
/// # Errors
/// [`AnswerError`] when no audio stream can be accepted; the INVITE is then refused.
pub fn answer(offer: &[u8], local: &LocalMedia, codecs: &[Codec]) -> Result<(Agreed, Bytes), AnswerError> {
    let answered = negotiator::answer(offer, local, codecs, Direction::SendRecv)?;
    Ok((answered.agreed, write::body(local, &answered.media)))
}

/// Reads the answer to an [`offer`] that was made with the same `codecs`, `telephone_event` and `direction`.
///
/// # Errors
/// [`AnswerError`] when the answer cannot be used; the call is then ended.
pub fn accept_answer(
    answer: &[u8],
    codecs: &[Codec],
    telephone_event: Option<u8>,
    direction: Direction,
) -> Result<Agreed, AnswerError> {
    let formats: Vec<_> = codecs.iter().map(|codec| (codec.payload_type(), *codec)).collect();
    negotiator::accept(answer, 0, &formats, telephone_event, direction)
}

#[cfg(test)]
mod tests;
