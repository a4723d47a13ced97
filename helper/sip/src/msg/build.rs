//! Builders write messages: Content-Length is always right, and no value can smuggle a line in.

use std::fmt::{self, Write};
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memchr3;
use smallvec::SmallVec;

use super::message::Header;
use super::stamp::{add_tag, stamp};
use super::{HeaderName, Message, Method, StatusCode, scan};

/// Why a message was not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// CR, LF or NUL in a value: a header injection.
    #[error("CR, LF or NUL in {0}")]
    HeaderInjection(HeaderName),
    /// The name is no token.
    #[error("header name is no token: {0:?}")]
    HeaderName(String),
    /// The method is no token, or the URI or the reason phrase has characters that a start line cannot hold.
    #[error("malformed start line")]
    StartLine,
    /// Content-Length is computed, never given.
    #[error("Content-Length is computed")]
    ContentLength,
    /// The tag is no token.
    #[error("tag is no token: {0:?}")]
    Tag(String),
}

/// Writes a request: the request line, the headers in the order in which they are added, the body.
#[derive(Clone, Debug)]
pub struct RequestBuilder(Writer);

/// Writes a response to a request: what the answer copies from it, then the headers that are added, then the body.
#[derive(Clone, Debug)]
pub struct ResponseBuilder {
    status: StatusCode,
    reason: Option<String>,
    vias: SmallVec<[Header; 4]>,
    record_routes: SmallVec<[Header; 2]>,
    with_record_route: bool,
    copied: SmallVec<[Header; 5]>,
    source: Option<SocketAddr>,
    to_tag: Option<String>,
    added: Writer,
}

impl RequestBuilder {
    /// A request with its request line and nothing else. A blank in the URI is written as `%20`.
    pub fn new(method: &Method, uri: impl fmt::Display) -> Self {
        let mut writer = Writer::new(1024);
        if !scan::is_token(method.as_str().as_bytes()) {
            writer.fail(BuildError::StartLine);
        }
        let uri = uri.to_string();
        let uri = if uri.contains(' ') { uri.replace(' ', "%20") } else { uri };
        if uri.is_empty() || uri.bytes().any(|b| b <= b' ' || b == 0x7f || b"<>\"".contains(&b)) {
            writer.fail(BuildError::StartLine);
        }
        for part in [method.as_str(), " ", &uri, " SIP/2.0\r\n"] {
            writer.head.put_slice(part.as_bytes());
        }
        Self(writer)
    }

    /// Adds a Via line below those that are there.
    pub fn via(self, value: impl fmt::Display) -> Self {
        self.header(HeaderName::Via, value)
    }

    /// Adds a header line.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl fmt::Display) -> Self {
        self.0.header(&name.into(), value);
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.0.body(content_type, body.into());
        self
    }

    /// The datagram.
    pub fn build(self) -> Result<Bytes, BuildError> {
        self.0.finish()
    }
}

impl ResponseBuilder {
    /// A response to `request`: all Via lines in order, From, To, Call-ID and CSeq are copied as they were written
    /// (RFC 3261 section 8.2.6.2), and Timestamp too into a 100. `reason` replaces the usual phrase.
    ///
    /// `request` may be what a [`super::ParseError`] salvaged: what is not there is not copied.
    pub fn to_request(request: &Message, status: StatusCode, reason: Option<&str>) -> Self {
        let (mut vias, mut record_routes, mut copied) = (SmallVec::new(), SmallVec::new(), SmallVec::new());
        for line in &request.headers {
            match line.name {
                HeaderName::Via => vias.push(line.clone()),
                HeaderName::RecordRoute => record_routes.push(line.clone()),
                HeaderName::From | HeaderName::To | HeaderName::CallId | HeaderName::CSeq => {
                    copied.push(line.clone())
                }
                HeaderName::Timestamp if status == StatusCode::TRYING => copied.push(line.clone()),
                _ => {}
            }
        }
        Self {
            status,
            reason: reason.map(str::to_owned),
            vias,
            record_routes,
            with_record_route: false,
            copied,
            source: None,
            to_tag: None,
            added: Writer::new(256),
        }
    }

    /// Says where the request came from: the top Via gets `received` where its host is another one or `rport` was asked
    /// for, and the port in `rport` (RFC 3261 section 18.2.1, RFC 3581 section 4). What the sender wrote there goes.
    pub fn received_from(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Adds this tag to To where the request has none.
    pub fn to_tag(mut self, tag: &str) -> Self {
        if !scan::is_token(tag.as_bytes()) {
            self.added.fail(BuildError::Tag(tag.to_owned()));
        }
        self.to_tag = Some(tag.to_owned());
        self
    }

    /// Copies the Record-Route lines of the request, as an answer that makes a dialog must (RFC 3261 section 12.1.1).
    pub fn record_route(mut self) -> Self {
        self.with_record_route = true;
        self
    }

    /// Adds a header line.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl fmt::Display) -> Self {
        self.added.header(&name.into(), value);
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.added.body(content_type, body.into());
        self
    }

    /// The datagram.
    pub fn build(mut self) -> Result<Bytes, BuildError> {
        let reason = self.reason.as_deref().unwrap_or(self.status.reason());
        if reason.bytes().any(|b| b < b' ' || b == 0x7f) {
            self.added.fail(BuildError::StartLine);
        }
        let mut writer = Writer::new(1024 + self.added.head.len() + self.added.body.len());
        let written = write!(writer.head, "SIP/2.0 {} {reason}\r\n", self.status);
        debug_assert!(written.is_ok(), "a BytesMut grows as it needs to");
        for (at, via) in self.vias.iter().enumerate() {
            let stamped = self.source.filter(|_| at == 0).and_then(|source| stamp(&via.value, source));
            writer.copy(via, stamped.as_deref());
        }
        if self.with_record_route {
            self.record_routes.iter().for_each(|line| writer.copy(line, None));
        }
        for line in &self.copied {
            let tag = self.to_tag.as_deref().filter(|_| line.name == HeaderName::To);
            let tagged = tag.and_then(|tag| add_tag(&line.value, tag));
            writer.copy(line, tagged.as_deref());
        }
        writer.head.put_slice(&self.added.head);
        writer.error = writer.error.or(self.added.error);
        writer.body = self.added.body;
        writer.finish()
    }
}

/// The message while it is written.
#[derive(Clone, Debug)]
struct Writer {
    head: BytesMut,
    body: Bytes,
    error: Option<BuildError>,
}

impl Writer {
    fn new(capacity: usize) -> Self {
        Self { head: BytesMut::with_capacity(capacity), body: Bytes::new(), error: None }
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    fn header(&mut self, name: &HeaderName, value: impl fmt::Display) {
        match name {
            HeaderName::ContentLength => return self.fail(BuildError::ContentLength),
            HeaderName::Other(text) if !scan::is_token(text.as_bytes()) => {
                return self.fail(BuildError::HeaderName(text.to_string()));
            }
            _ => {}
        }
        self.head.put_slice(name.as_str().as_bytes());
        self.head.put_slice(b": ");
        let begin = self.head.len();
        let written = write!(self.head, "{value}");
        if written.is_err() || memchr3(b'\r', b'\n', 0, &self.head[begin..]).is_some() {
            self.fail(BuildError::HeaderInjection(name.clone()));
        }
        self.head.put_slice(b"\r\n");
    }

    fn body(&mut self, content_type: &str, body: Bytes) {
        self.header(&HeaderName::ContentType, content_type);
        self.body = body;
    }

    /// Writes a received line again, octet for octet but for its folds, or with a new value.
    fn copy(&mut self, line: &Header, value: Option<&str>) {
        self.head.put_slice(line.name.as_str().as_bytes());
        self.head.put_slice(b": ");
        let value = value.unwrap_or(&line.value);
        if line.latin1 {
            self.head.extend(value.chars().map(|c| u8::try_from(c).unwrap_or(b'?')));
        } else {
            self.head.put_slice(value.as_bytes());
        }
        self.head.put_slice(b"\r\n");
    }

    fn finish(mut self) -> Result<Bytes, BuildError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let length = write!(self.head, "Content-Length: {}\r\n\r\n", self.body.len());
        debug_assert!(length.is_ok(), "a BytesMut grows as it needs to");
        self.head.put_slice(&self.body);
        Ok(self.head.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, parse_datagram};
    use super::*;

    const INVITE: &str = "INVITE sip:b@h SIP/2.0\r\n\
        Via: SIP/2.0/UDP p.example.com;branch=z9hG4bK2 ;rport , SIP/2.0/TCP q;branch=x\r\n\
        v:  SIP/2.0/UDP 192.0.2.9;x=\"a;b\"\r\n\
        Record-Route: <sip:p;lr>\r\n\
        f: \"Al\" <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\nTimestamp: 5\r\n\r\n";

    fn parse(text: &str) -> Message {
        parse_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    fn text(built: Result<Bytes, BuildError>) -> String {
        String::from_utf8(built.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_request_is_written_in_order_with_its_length() {
        let built = RequestBuilder::new(&Method::Message, "sip:a b@h")
            .via("SIP/2.0/UDP h;branch=z9hG4bK1")
            .header(HeaderName::CSeq, super::super::CSeq { number: 1, method: Method::Message })
            .header("X-Note", "h\u{e9}")
            .body("text/plain", "h\u{e9}")
            .build();
        assert_eq!(
            text(built),
            "MESSAGE sip:a%20b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCSeq: 1 MESSAGE\r\n\
             X-Note: h\u{e9}\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nh\u{e9}"
        );
        assert_eq!(
            text(RequestBuilder::new(&Method::Bye, "sip:b").build()),
            "BYE sip:b SIP/2.0\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_smuggled_line_is_refused() {
        let with = |value: &str| RequestBuilder::new(&Method::Bye, "sip:b").header("X-A", value).build();
        for value in ["a\r\nVia: x", "a\n", "\r", "a\0b"] {
            assert_eq!(with(value), Err(BuildError::HeaderInjection("X-A".into())));
        }
        let named = |name: &str| RequestBuilder::new(&Method::Bye, "sip:b").header(name, "v").build();
        assert_eq!(named("X A"), Err(BuildError::HeaderName("X A".into())));
        assert_eq!(named("a\r\nb"), Err(BuildError::HeaderName("a\r\nb".into())));
        assert_eq!(named("l"), Err(BuildError::ContentLength));
        for uri in ["", "sip:a\r\nb", "sip:<a>"] {
            assert_eq!(RequestBuilder::new(&Method::Bye, uri).build(), Err(BuildError::StartLine));
        }
        assert_eq!(RequestBuilder::new(&"B YE".into(), "sip:b").build(), Err(BuildError::StartLine));
        let answer = |reason| ResponseBuilder::to_request(&parse(INVITE), StatusCode::OK, Some(reason));
        assert_eq!(answer("a\r\nb").build(), Err(BuildError::StartLine));
        assert_eq!(answer("a").to_tag("x;y").build(), Err(BuildError::Tag("x;y".into())));
        let body = answer("a").body("text/plain\r\nX: y", "").build();
        assert_eq!(body, Err(BuildError::HeaderInjection(HeaderName::ContentType)));
    }

    #[test]
    fn an_answer_copies_what_identifies_the_request() {
        let built = ResponseBuilder::to_request(&parse(INVITE), StatusCode::OK, None)
            .received_from("192.0.2.1:9999".parse().unwrap())
            .to_tag("t")
            .record_route()
            .header(HeaderName::Contact, "<sip:me>")
            .body("application/sdp", "v=0\r\n")
            .build();
        assert_eq!(
            text(built),
            "SIP/2.0 200 OK\r\n\
             Via: SIP/2.0/UDP p.example.com;branch=z9hG4bK2;received=192.0.2.1;rport=9999 , SIP/2.0/TCP q;branch=x\r\n\
             Via: SIP/2.0/UDP 192.0.2.9;x=\"a;b\"\r\nRecord-Route: <sip:p;lr>\r\n\
             From: \"Al\" <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=t\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\
             Contact: <sip:me>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        );
    }

    #[test]
    fn only_a_100_copies_timestamp_and_only_dialogs_need_routes() {
        let answer = |status| text(ResponseBuilder::to_request(&parse(INVITE), status, None).build());
        assert!(answer(StatusCode::TRYING).contains("Timestamp: 5\r\n"));
        assert!(!answer(StatusCode::RINGING).contains("Timestamp"));
        assert!(!answer(StatusCode::OK).contains("Record-Route"));
        assert!(
            answer(StatusCode::OK).contains("Via: SIP/2.0/UDP p.example.com;branch=z9hG4bK2 ;rport , SIP")
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_come_back_as_they_were() {
        let raw = b"BYE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: caf\xe9 <sip:a@h>;tag=1\r\nTo: \xff <sip:b>\r\n\r\n";
        let request = parse_datagram(Bytes::from_static(raw), &Limits::default()).unwrap();
        let built = ResponseBuilder::to_request(&request, StatusCode::OK, None).to_tag("t").build().unwrap();
        let expected: &[u8] = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nFrom: caf\xe9 <sip:a@h>;tag=1\r\n\
            To: \xff <sip:b>;tag=t\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(built, expected);
    }
}
