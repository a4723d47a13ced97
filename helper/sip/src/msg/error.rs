//! What can be wrong with a datagram or with one header, and the answer it deserves.

use super::{HeaderName, Message, StatusCode};

/// A header that a typed view could not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The message has no such header.
    #[error("no {0} header")]
    Missing(HeaderName),
    /// The header is there and its value makes no sense.
    #[error("malformed {0} header")]
    Malformed(HeaderName),
}

/// A datagram that is no message, with what could be read of it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The readable part, when the start line was understood. `body` is empty.
    pub salvage: Option<Box<Message>>,
}

/// Why a datagram was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Nothing but line ends: a keep-alive (RFC 5626 section 3.5.1), to be ignored.
    #[error("only line ends")]
    KeepAlive,
    /// No start line of SIP in it.
    #[error("malformed start line")]
    StartLine,
    /// The Request-URI has spaces, angle brackets or control characters in it.
    #[error("malformed Request-URI")]
    RequestUri,
    /// A version of SIP other than 2.0.
    #[error("SIP version is not 2.0")]
    Version,
    /// A status code outside 100 to 699.
    #[error("status code is not in 100..=699")]
    Status,
    /// CR or LF without the other.
    #[error("line end is not CRLF")]
    LineEnd,
    /// A NUL octet in the head.
    #[error("NUL in the head")]
    Nul,
    /// A header line without a colon, or with a name that is no token.
    #[error("malformed header line")]
    HeaderLine,
    /// The head is not closed by an empty line.
    #[error("head is not closed by an empty line")]
    Unterminated,
    /// The head is longer than `limit` octets.
    #[error("head is longer than {limit} octets")]
    HeadTooLarge {
        /// The limit that was in force.
        limit: usize,
    },
    /// More than `limit` header lines.
    #[error("more than {limit} header lines")]
    TooManyHeaders {
        /// The limit that was in force.
        limit: usize,
    },
    /// The body is longer than `limit` octets.
    #[error("body is longer than {limit} octets")]
    BodyTooLarge {
        /// The limit that was in force.
        limit: usize,
    },
    /// Content-Length is not a number, or two of them differ.
    #[error("unusable Content-Length")]
    ContentLength,
    /// Content-Length says more than the datagram holds.
    #[error("Content-Length says {expected} octets, the datagram has {present}")]
    BodyTruncated {
        /// What Content-Length says.
        expected: usize,
        /// What follows the head.
        present: usize,
    },
}

impl ParseError {
    /// The code that a stateless answer to the datagram carries.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            ParseErrorKind::Version => StatusCode::VERSION_NOT_SUPPORTED,
            ParseErrorKind::HeadTooLarge { .. } | ParseErrorKind::TooManyHeaders { .. } => {
                StatusCode::MESSAGE_TOO_LARGE
            }
            ParseErrorKind::BodyTooLarge { .. } => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The phrase that goes with [`ParseError::status`] and says what is wrong.
    pub fn reason(&self) -> &'static str {
        match self.kind {
            ParseErrorKind::StartLine => "Malformed Start Line",
            ParseErrorKind::RequestUri => "Malformed Request-URI",
            ParseErrorKind::HeaderLine => "Malformed Header Line",
            ParseErrorKind::LineEnd => "Line End Is Not CRLF",
            ParseErrorKind::Nul => "NUL In Header",
            ParseErrorKind::Unterminated => "Header Block Not Terminated",
            ParseErrorKind::ContentLength => "Bad Content-Length",
            ParseErrorKind::BodyTruncated { .. } => "Content-Length Exceeds Datagram",
            _ => self.status().reason(),
        }
    }

    /// The request that the datagram was meant to be, when a stateless answer can be routed back: it has a readable
    /// Via and is not an ACK, which is never answered (RFC 3261 section 17).
    pub fn answerable(&self) -> Option<&Message> {
        let salvage = self.salvage.as_deref()?;
        let method = salvage.method()?;
        (*method != super::Method::Ack && salvage.top_via().is_ok()).then_some(salvage)
    }
}
