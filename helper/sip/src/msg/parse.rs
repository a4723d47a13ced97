//! `parse_datagram` cuts one datagram into a [`Message`] (RFC 3261 sections 7 and 18.3).
//!
//! Reading goes on after the first fault, so that the rest can still be used to answer it.

use bytes::Bytes;
use memchr::{memchr, memchr2, memmem};

use super::head::{Head, start_line};
use super::message::{Header, Headers};
use super::{ByteStr, HeaderName, Message, ParseError, ParseErrorKind, scan};

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
/// Empty lines before the start line are passed over. The body is Content-Length octets and what follows is discarded;
/// without Content-Length the body is the rest of the datagram (RFC 3261 section 18.3).
pub fn parse_datagram(datagram: Bytes, limits: &Limits) -> Result<Message, ParseError> {
    let begin = datagram.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(datagram.len());
    if datagram[begin..].iter().all(|&b| b == 0) {
        return Err(ParseError { kind: ParseErrorKind::KeepAlive, salvage: None });
    }
    let mut fault = None;
    let end = end_of_head(&datagram[begin..], limits, &mut fault);
    let head = Head::new(datagram.slice(begin..begin + end));
    check_nul(&head.bytes, &mut fault);

    let mut lines = Lines { bytes: &head.bytes, at: 0, bare: None };
    let Some((from, to)) = lines.next() else {
        return Err(ParseError { kind: ParseErrorKind::StartLine, salvage: None });
    };
    let start = match start_line(&head, from, to, &mut fault) {
        Ok(start) => start,
        Err(kind) => return Err(ParseError { kind, salvage: None }),
    };
    let mut headers = Headers { lines: Vec::with_capacity(24) };
    let mut length = None;
    for (from, to) in lines.by_ref() {
        if headers.len() == limits.headers {
            set(&mut fault, ParseErrorKind::TooManyHeaders { limit: limits.headers });
            break;
        }
        match header_line(&head, from, to) {
            Some(header) => {
                if header.name == HeaderName::ContentLength {
                    content_length(&header.value, &mut length, &mut fault);
                }
                headers.lines.push(header);
            }
            None => set(&mut fault, ParseErrorKind::HeaderLine),
        }
    }
    if lines.bare.is_some() {
        fault = Some(ParseErrorKind::LineEnd);
    }

    let rest = datagram.slice(begin + end..);
    let body = fault.map_or_else(|| body(rest, length, limits), Err);
    let mut message = Message { start, headers, body: Bytes::new(), raw: datagram };
    match body {
        Ok(body) => {
            message.body = body;
            Ok(message)
        }
        Err(kind) => Err(ParseError { kind, salvage: Some(Box::new(message)) }),
    }
}

/// The lines of a head as ranges without their line ends, folded ones joined, up to the empty line.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The first CR or LF that stands without the other; an LF ends the line all the same.
    bare: Option<usize>,
}

impl Iterator for Lines<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let (from, mut search) = (self.at, self.at);
        loop {
            let Some(found) = memchr2(b'\r', b'\n', self.bytes.get(search..)?) else {
                self.at = self.bytes.len();
                return (from < self.at).then_some((from, self.at));
            };
            let end = search + found;
            let next = match (self.bytes[end], self.bytes.get(end + 1)) {
                (b'\r', Some(b'\n')) => end + 2,
                (b'\r', _) => {
                    self.bare = self.bare.or(Some(end));
                    search = end + 1;
                    continue;
                }
                _ => {
                    self.bare = self.bare.or(Some(end));
                    end + 1
                }
            };
            match self.bytes.get(next) {
                Some(b' ' | b'\t') if end > from => search = next,
                _ => {
                    self.at = next;
                    return (end > from).then_some((from, end));
                }
            }
        }
    }
}

/// Where the head ends, the empty line included.
fn end_of_head(bytes: &[u8], limits: &Limits, fault: &mut Option<ParseErrorKind>) -> usize {
    let window = &bytes[..bytes.len().min(limits.head)];
    match memmem::find(window, b"\r\n\r\n") {
        Some(at) => at + 4,
        None if bytes.len() > limits.head => {
            set(fault, ParseErrorKind::HeadTooLarge { limit: limits.head });
            window.len()
        }
        None => {
            set(fault, ParseErrorKind::Unterminated);
            window.len()
        }
    }
}

/// A NUL is legal only behind the backslash of a quoted pair (RFC 3261 section 25.1).
fn check_nul(head: &[u8], fault: &mut Option<ParseErrorKind>) {
    let mut from = 0;
    while let Some(at) = memchr(0, &head[from..]) {
        let at = from + at;
        if at == 0 || head[at - 1] != b'\\' {
            return set(fault, ParseErrorKind::Nul);
        }
        from = at + 1;
    }
}

/// Reads one header line; `None` when it has no colon or its name is no token.
fn header_line(head: &Head, from: usize, to: usize) -> Option<Header> {
    let line = &head.bytes[from..to];
    let colon = memchr(b':', line)?;
    let name_len = colon - line[..colon].iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let name = match HeaderName::known(&line[..name_len]) {
        Some(name) => name,
        None if scan::is_token(&line[..name_len]) => HeaderName::Other(head.text(from, from + name_len).0),
        None => return None,
    };
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let value = &line[colon + 1..];
    let begin = colon + 1 + value.iter().take_while(|b| blank(b)).count();
    let end = line.len() - line[begin..].iter().rev().take_while(|b| blank(b)).count();
    let (mut value, latin1) = head.text(from + begin, from + end);
    if memchr2(b'\r', b'\n', value.as_bytes()).is_some() {
        value = unfold(&value);
    }
    Some(Header { name, value, latin1 })
}

/// Each fold with the blanks around it becomes one space (RFC 3261 section 7.3.1). A CR that stands alone does too, so
/// that an answer to such a line does not repeat it.
fn unfold(value: &str) -> ByteStr {
    let mut plain = String::with_capacity(value.len());
    for line in value.split(['\r', '\n']) {
        let line = line.trim_matches(scan::is_blank);
        if !plain.is_empty() && !line.is_empty() {
            plain.push(' ');
        }
        plain.push_str(line);
    }
    ByteStr::from(plain)
}

fn content_length(value: &str, length: &mut Option<u64>, fault: &mut Option<ParseErrorKind>) {
    match scan::digits(value) {
        Some(n) if length.is_none_or(|known| known == n) => *length = Some(n),
        _ => set(fault, ParseErrorKind::ContentLength),
    }
}

fn body(rest: Bytes, length: Option<u64>, limits: &Limits) -> Result<Bytes, ParseErrorKind> {
    let expected = length.map_or(rest.len(), |n| usize::try_from(n).unwrap_or(usize::MAX));
    if expected > rest.len() {
        return Err(ParseErrorKind::BodyTruncated { expected, present: rest.len() });
    }
    if expected > limits.body {
        return Err(ParseErrorKind::BodyTooLarge { limit: limits.body });
    }
    Ok(rest.slice(..expected))
}

/// Notes a fault unless an earlier one is there.
pub(crate) fn set(fault: &mut Option<ParseErrorKind>, kind: ParseErrorKind) {
    fault.get_or_insert(kind);
}

#[cfg(test)]
mod tests {
    use super::super::{Method, StartLine, StatusCode};
    use super::*;

    fn parse(text: &str) -> Result<Message, ParseErrorKind> {
        parse_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).map_err(|e| e.kind)
    }

    fn kind(text: &str) -> ParseErrorKind {
        parse(text).unwrap_err()
    }

    #[test]
    fn start_line_headers_and_body_are_cut() {
        let m = parse("\r\n\r\nINFO sip:a@b SIP/2.0\r\nv: one\r\nX-A:\r\n\tb \r\n c\r\nl: 3\r\n\r\nabcdef")
            .unwrap();
        assert_eq!(m.start, StartLine::Request { method: Method::Info, uri: "sip:a@b".into() });
        let lines: Vec<_> = m.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
        assert_eq!(lines, [("Via", "one"), ("X-A", "b c"), ("Content-Length", "3")]);
        assert_eq!(m.body, "abc");
        let m = parse("SIP/2.0 180 \r\n\r\nrest").unwrap();
        assert_eq!(m.start, StartLine::Response { status: StatusCode::RINGING, reason: ByteStr::new() });
        assert_eq!(m.body, "rest");
    }

    #[test]
    fn line_ends_alone_are_a_keep_alive() {
        for text in ["", "\r\n", "\r\n\r\n", "\0\0\0\0"] {
            assert_eq!(kind(text), ParseErrorKind::KeepAlive);
        }
    }

    #[test]
    fn framing_is_strict() {
        assert_eq!(kind("OPTIONS sip:b SIP/2.0\nVia: x\n\n"), ParseErrorKind::LineEnd);
        assert_eq!(kind("OPTIONS sip:b SIP/2.0\r\nVia: x\rTo: y\r\n\r\n"), ParseErrorKind::LineEnd);
        assert_eq!(kind("OPTIONS sip:b SIP/2.0\r\nVia: x\0\r\n\r\n"), ParseErrorKind::Nul);
        assert_eq!(kind("OPTIONS sip:b SIP/2.0\r\nVia: x\r\n"), ParseErrorKind::Unterminated);
        assert_eq!(kind("OPTIONS sip:b SIP/2.0\r\nVia x\r\n\r\n"), ParseErrorKind::HeaderLine);
        assert_eq!(kind("OPTIONS sip:b SIP/2.0\r\nVi a: x\r\n\r\n"), ParseErrorKind::HeaderLine);
        assert_eq!(kind("OPTIONS  sip:b SIP/2.0\r\n\r\n"), ParseErrorKind::StartLine);
        assert_eq!(kind("OPTIONS\tsip:b SIP/2.0\r\n\r\n"), ParseErrorKind::StartLine);
        assert_eq!(kind("OPTIONS SIP/2.0\r\n\r\n"), ParseErrorKind::RequestUri);
        assert_eq!(kind("OPTIONS sip:b HTTP/1.1\r\n\r\n"), ParseErrorKind::StartLine);
        assert_eq!(kind("OPTIONS sip:b SIP/3.0\r\n\r\n"), ParseErrorKind::Version);
        assert_eq!(kind("SIP/2.0 700 X\r\n\r\n"), ParseErrorKind::Status);
        assert_eq!(kind("hello"), ParseErrorKind::StartLine);
    }

    #[test]
    fn content_length_is_one_number_that_the_datagram_holds() {
        let with = |lines: &str| parse(&format!("OPTIONS sip:b SIP/2.0\r\n{lines}\r\nhello"));
        assert_eq!(with("l : 0005\r\nContent-Length: 5\r\n").unwrap().body, "hello");
        assert_eq!(with("l: 5\r\nl: 4\r\n").unwrap_err(), ParseErrorKind::ContentLength);
        for value in ["-1", "", "1 2", "5,5", "99999999999999999999999"] {
            assert_eq!(with(&format!("l: {value}\r\n")).unwrap_err(), ParseErrorKind::ContentLength);
        }
        let truncated = ParseErrorKind::BodyTruncated { expected: 6, present: 5 };
        assert_eq!(with("l: 6\r\n").unwrap_err(), truncated);
    }

    #[test]
    fn limits_refuse_and_still_leave_enough_to_answer() {
        let limits = Limits { head: 200, headers: 3, body: 4 };
        let parse = |text: String| parse_datagram(Bytes::from(text), &limits).unwrap_err();
        let head = "OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=x\r\n";
        let long = parse(format!("{head}X: {}\r\n\r\n", "y".repeat(200)));
        assert_eq!(
            (long.kind.clone(), long.status()),
            (ParseErrorKind::HeadTooLarge { limit: 200 }, StatusCode::MESSAGE_TOO_LARGE)
        );
        let many = parse(format!("{head}{}\r\n", "X: y\r\n".repeat(3)));
        assert_eq!(many.kind, ParseErrorKind::TooManyHeaders { limit: 3 });
        let body = parse(format!("{head}\r\n12345"));
        assert_eq!(
            (body.kind.clone(), body.status()),
            (ParseErrorKind::BodyTooLarge { limit: 4 }, StatusCode::REQUEST_ENTITY_TOO_LARGE)
        );
        for error in [long, many, body] {
            assert_eq!(error.answerable().unwrap().headers.lines[0].value, "SIP/2.0/UDP h;branch=x");
        }
    }

    #[test]
    fn a_byte_that_is_not_utf8_costs_its_own_line_only() {
        let raw = b"INVITE sip:a@b SIP/2.0\r\nFrom: caf\xe9 <sip:a@b>;tag=1\r\nTo: J\xc3\xb6rg <sip:c@d>\r\nCall-ID: z\r\n\r\n";
        let m = parse_datagram(Bytes::from_static(raw), &Limits::default()).unwrap();
        let values: Vec<_> = m.headers.iter().map(|h| (h.value.as_str(), h.latin1)).collect();
        assert_eq!(
            values,
            [("caf\u{e9} <sip:a@b>;tag=1", true), ("J\u{f6}rg <sip:c@d>", false), ("z", false)]
        );
    }

    #[test]
    fn the_rest_is_read_after_a_fault() {
        let text = "ACK sip:b;  lr SIP/2.0\r\nnonsense\r\nVia: SIP/2.0/UDP h\r\nCall-ID: 7\r\n\r\n";
        let error = parse_datagram(Bytes::from(text), &Limits::default()).unwrap_err();
        assert_eq!(
            (error.kind.clone(), error.status()),
            (ParseErrorKind::RequestUri, StatusCode::BAD_REQUEST)
        );
        assert_eq!(error.salvage.as_ref().unwrap().header(HeaderName::CallId).unwrap(), "7");
        assert!(error.answerable().is_none(), "an ACK is never answered");
    }
}
