//! The head of a datagram as text, and its first line (RFC 3261 sections 7.1 and 7.2).

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::parse::set;
use super::{ByteStr, Method, ParseErrorKind, StartLine, StatusCode, scan};

/// The head of a datagram, as bytes and, when it is UTF-8, as text.
pub(crate) struct Head {
    pub(crate) bytes: Bytes,
    text: Option<ByteStr>,
}

impl Head {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { text: ByteStr::from_utf8(bytes.clone()), bytes }
    }

    /// A part of the head as text, and whether it had to be read as ISO 8859-1.
    pub(crate) fn text(&self, from: usize, to: usize) -> (ByteStr, bool) {
        match &self.text {
            Some(text) => match text.get(from..to) {
                Some(part) => (text.share(part), false),
                None => (ByteStr::new(), false),
            },
            None => {
                let bytes = self.bytes.slice(from..to);
                match ByteStr::from_utf8(bytes.clone()) {
                    Some(text) => (text, false),
                    None => (ByteStr::from_bytes_lossless(bytes), true),
                }
            }
        }
    }
}

/// Reads the first line. An error means that it is no start line of SIP at all; a smaller fault is noted in `fault`.
pub(crate) fn start_line(
    head: &Head,
    from: usize,
    to: usize,
    fault: &mut Option<ParseErrorKind>,
) -> Result<StartLine, ParseErrorKind> {
    let line = &head.bytes[from..to];
    if memchr2(b'\r', b'\n', line).is_some() {
        return Err(ParseErrorKind::StartLine);
    }
    if line.get(..4).is_some_and(|s| s.eq_ignore_ascii_case(b"SIP/")) {
        let (version, rest) = cut(line, b' ').ok_or(ParseErrorKind::StartLine)?;
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(ParseErrorKind::Version);
        }
        let (code, reason) = cut(rest, b' ').unwrap_or((rest, b""));
        let status = match code {
            [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                StatusCode::new([a, b, c].iter().fold(0, |n, &&d| n * 10 + u16::from(d - b'0')))
            }
            _ => None,
        };
        let status = status.ok_or(ParseErrorKind::Status)?;
        return Ok(StartLine::Response { status, reason: head.text(to - reason.len(), to).0 });
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let method_end = line.iter().position(blank).ok_or(ParseErrorKind::StartLine)?;
    let line_end = line.len() - line.iter().rev().take_while(|b| blank(b)).count();
    let version_begin = line[..line_end].iter().rposition(blank).map_or(0, |at| at + 1);
    let version = &line[version_begin..line_end];
    if version_begin < method_end
        || !scan::is_token(&line[..method_end])
        || !version.get(..4).is_some_and(|s| s.eq_ignore_ascii_case(b"SIP/"))
    {
        return Err(ParseErrorKind::StartLine);
    }
    let between = &line[method_end..version_begin];
    let uri_begin = method_end + between.iter().take_while(|b| blank(b)).count();
    let uri_end = (version_begin - between.iter().rev().take_while(|b| blank(b)).count()).max(uri_begin);
    let uri = &line[uri_begin..uri_end];
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        set(fault, ParseErrorKind::Version);
    }
    if uri.is_empty() || uri.iter().any(|&b| b <= b' ' || b == 0x7f || b"<>\"".contains(&b)) {
        set(fault, ParseErrorKind::RequestUri);
    }
    let single = |at: usize, next: usize| at + 1 == next && line[at] == b' ';
    if !single(method_end, uri_begin) || !single(uri_end, version_begin) || line_end != line.len() {
        set(fault, ParseErrorKind::StartLine);
    }
    Ok(StartLine::Request {
        method: Method::from(head.text(from, from + method_end).0),
        uri: head.text(from + uri_begin, from + uri_end).0,
    })
}

fn cut(line: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr(byte, line)?;
    Some((&line[..at], &line[at + 1..]))
}
