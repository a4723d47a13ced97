//! `parse_datagram` cuts one datagram into a [`Message`] (RFC 3261 sections 7 and 18.3).

use bytes::Bytes;

use super::{Message, ParseError, ParseErrorKind};

/// What a message may measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of start line and header lines, the closing empty line included.
    pub head: usize,
    /// Header lines.
    pub headers: usize,
    /// Octets of the body.
    pub body: usize,
}

impl Default for Limits {
    /// 32 KiB of head, 256 header lines, 64 KiB of body.
    fn default() -> Self {
        Self { head: 32 * 1024, headers: 256, body: 64 * 1024 }
    }
}

/// Reads one message from one datagram.
///
/// Empty lines before the start line are passed over. The body is Content-Length octets, what follows is discarded;
/// without Content-Length it is the rest of the datagram.
pub fn parse_datagram(datagram: Bytes, limits: &Limits) -> Result<Message, ParseError> {
    let _ = (datagram, limits);
    Err(ParseError { kind: ParseErrorKind::StartLine, salvage: None })
}
