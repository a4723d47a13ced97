//! `Message` is a start line, header lines in their order, and a body, all views into one datagram.

use std::borrow::Borrow;

use bytes::Bytes;

use super::{ByteStr, HeaderName, Method, StatusCode, scan};

/// One SIP message as it was received.
#[derive(Clone, Debug)]
pub struct Message {
    /// The request line or the status line.
    pub start: StartLine,
    /// The header lines in the order of the datagram.
    pub headers: Headers,
    /// The body, exactly Content-Length octets.
    pub body: Bytes,
    pub(crate) raw: Bytes,
}

/// The first line of a message (RFC 3261 section 7.1 and 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// A request.
    Request {
        /// What is asked for.
        method: Method,
        /// The Request-URI, as it was written.
        uri: ByteStr,
    },
    /// A response.
    Response {
        /// The code.
        status: StatusCode,
        /// The phrase; may be empty.
        reason: ByteStr,
    },
}

/// One header line: a name and its value, unfolded and without blanks around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name of the field.
    pub name: HeaderName,
    /// The value; a comma-separated list stays one value.
    pub value: ByteStr,
    /// The line was not UTF-8; `value` is its bytes read as ISO 8859-1.
    pub(crate) latin1: bool,
}

/// The header lines of a message, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    pub(crate) lines: Vec<Header>,
}

impl Headers {
    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// All lines in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.lines.iter()
    }

    /// The lines with this name, in order.
    pub fn named(&self, name: impl Borrow<HeaderName>) -> impl Iterator<Item = &Header> {
        self.lines.iter().filter(move |line| line.name == *name.borrow())
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.lines.iter()
    }
}

impl Message {
    /// The datagram that the message was read from.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// The Request-URI of a request.
    pub fn request_uri(&self) -> Option<&ByteStr> {
        match &self.start {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Response { .. } => None,
        }
    }

    /// The code of a response.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(*status),
        }
    }

    /// The phrase of a response.
    pub fn reason(&self) -> Option<&ByteStr> {
        match &self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { reason, .. } => Some(reason),
        }
    }

    /// The value of the first line with this name.
    pub fn header(&self, name: impl Borrow<HeaderName>) -> Option<&ByteStr> {
        self.headers.named(name).next().map(|line| &line.value)
    }

    /// The values of all lines with this name, one a line.
    pub fn headers_of(&self, name: impl Borrow<HeaderName>) -> impl Iterator<Item = &ByteStr> {
        self.headers.named(name).map(|line| &line.value)
    }

    /// The elements of all lines with this name, cut at the commas that stand outside quotes and angle brackets.
    /// Empty elements are left out.
    pub fn list(&self, name: impl Borrow<HeaderName>) -> impl Iterator<Item = ByteStr> {
        self.headers_of(name).flat_map(|value| scan::split_list(value).map(|part| value.share(part)))
    }

    /// The headers whose names begin with `X-`, in the spelling of the sender, with their values.
    pub fn x_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|line| match &line.name {
            HeaderName::Other(name) if name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-")) => {
                Some((name.as_str(), line.value.as_str()))
            }
            _ => None,
        })
    }
}
