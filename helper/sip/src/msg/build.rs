//! Builders write messages; what they write has the right Content-Length and no smuggled line.

use std::fmt;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use super::{HeaderName, Message, Method, StatusCode};

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
}

/// Writes a request.
#[derive(Clone, Debug)]
pub struct RequestBuilder(Writer);

/// Writes a response.
#[derive(Clone, Debug)]
pub struct ResponseBuilder(Writer);

#[derive(Clone, Debug)]
struct Writer {
    head: BytesMut,
    body: Bytes,
    error: Option<BuildError>,
}

impl RequestBuilder {
    /// A request with its request line and nothing else.
    pub fn new(method: &Method, uri: impl fmt::Display) -> Self {
        let _ = (method, uri);
        Self(Writer { head: BytesMut::new(), body: Bytes::new(), error: None })
    }

    /// Adds a Via line below those that are there.
    pub fn via(self, value: impl fmt::Display) -> Self {
        self.header(HeaderName::Via, value)
    }

    /// Adds a header line.
    pub fn header(self, name: impl Into<HeaderName>, value: impl fmt::Display) -> Self {
        let _ = (name.into(), value);
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let _ = content_type;
        self.0.body = body.into();
        self
    }

    /// The datagram.
    pub fn build(self) -> Result<Bytes, BuildError> {
        self.0.build()
    }
}

impl ResponseBuilder {
    /// A response to `request`: all Via lines in order, From, To, Call-ID and CSeq are copied (RFC 3261 section 8.2.6.2);
    /// Timestamp too when `status` is 100. `reason` replaces the usual phrase.
    pub fn to_request(request: &Message, status: StatusCode, reason: Option<&str>) -> Self {
        let _ = (request, status, reason);
        Self(Writer { head: BytesMut::new(), body: Bytes::new(), error: None })
    }

    /// Says where the request came from: the top Via gets `received`, and `rport` where it was asked for
    /// (RFC 3261 section 18.2.1, RFC 3581 section 4).
    pub fn received_from(self, source: SocketAddr) -> Self {
        let _ = source;
        self
    }

    /// Adds this tag to To where the request has none.
    pub fn to_tag(self, tag: &str) -> Self {
        let _ = tag;
        self
    }

    /// Copies the Record-Route lines of the request, as an answer that makes a dialog must (RFC 3261 section 12.1.1).
    pub fn record_route(self) -> Self {
        self
    }

    /// Adds a header line.
    pub fn header(self, name: impl Into<HeaderName>, value: impl fmt::Display) -> Self {
        let _ = (name.into(), value);
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let _ = content_type;
        self.0.body = body.into();
        self
    }

    /// The datagram.
    pub fn build(self) -> Result<Bytes, BuildError> {
        self.0.build()
    }
}

impl Writer {
    fn build(self) -> Result<Bytes, BuildError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.head.freeze()),
        }
    }
}
