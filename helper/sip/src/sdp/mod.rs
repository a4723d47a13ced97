//! SDP offer and answer for one audio stream (RFC 3264, RFC 8866).
//!
//! In: an offer or answer body, what we can do ([`LocalMedia`], codecs). Out: the body to send and what was
//! [`Agreed`]. It knows no SIP message, no socket and no RTP session; the address in an SDP is reported, not trusted.
//!
//! [`offer`], [`answer`] and [`accept_answer`] are single exchanges. A [`Negotiator`] holds one call's session over
//! all of its exchanges: the version in `o=`, the number and order of m-lines, our own hold.
#![allow(clippy::todo)]

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use model::audio::Codec;
use model::call::EndLabel;

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
    /// What may arrive: every payload type that stands for one of our codecs.
    pub accept: Vec<(u8, Codec)>,
    /// Payload type of RFC 4733 events, where agreed.
    pub telephone_event: Option<u8>,
    /// Where to send RTP; `None` while held by `c=0.0.0.0` or port 0.
    pub remote: Option<SocketAddr>,
    /// Where to send RTCP: `a=rtcp`, else the next port; with `rtcp_mux` the RTP address.
    pub remote_rtcp: Option<SocketAddr>,
    /// Whether RTCP shares the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// Our direction: whether we send and receive.
    pub direction: Direction,
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
    _local: &LocalMedia,
    _codecs: &[Codec],
    _telephone_event: Option<u8>,
    _direction: Direction,
) -> Bytes {
    todo!()
}

/// Answers `offer` with the first offered codec that is in `codecs`.
///
/// # Errors
/// [`AnswerError`] when no audio stream can be accepted; the INVITE is then refused.
pub fn answer(_offer: &[u8], _local: &LocalMedia, _codecs: &[Codec]) -> Result<(Agreed, Bytes), AnswerError> {
    todo!()
}

/// Reads the answer to an [`offer`] that was made with the same `codecs`, `telephone_event` and `direction`.
///
/// # Errors
/// [`AnswerError`] when the answer cannot be used; the call is then ended.
pub fn accept_answer(
    _answer: &[u8],
    _codecs: &[Codec],
    _telephone_event: Option<u8>,
    _direction: Direction,
) -> Result<Agreed, AnswerError> {
    todo!()
}

/// One call's offer/answer state.
#[derive(Debug, Clone)]
pub struct Negotiator {
    _local: LocalMedia,
}

impl Negotiator {
    /// A session of `codecs` in order of preference; `telephone_event` is the payload type that our own offers use.
    pub fn new(local: LocalMedia, _codecs: Vec<Codec>, _telephone_event: Option<u8>) -> Negotiator {
        Negotiator { _local: local }
    }

    /// The direction that we want from now on: `SendOnly` is our hold. It shows in the next offer or answer.
    pub fn set_direction(&mut self, _direction: Direction) {
        todo!()
    }

    /// The offer to send now: the first, or one that changes the session (RFC 3264 §8).
    pub fn offer(&mut self) -> Bytes {
        todo!()
    }

    /// Answers an offer. A repeated offer gets the identical answer.
    ///
    /// # Errors
    /// As [`answer`]; the session then stays as it was.
    pub fn answer(&mut self, _offer: &[u8]) -> Result<(Agreed, Bytes), AnswerError> {
        todo!()
    }

    /// Takes the answer to the last [`offer`](Negotiator::offer).
    ///
    /// # Errors
    /// As [`accept_answer`]; the session then stays as it was.
    pub fn accept_answer(&mut self, _answer: &[u8]) -> Result<Agreed, AnswerError> {
        todo!()
    }
}
