//! `msg` turns datagrams into [`Message`]s and builders into datagrams (RFC 3261 sections 7, 18.3, 20, 25).
//!
//! In: the bytes of one datagram. Out: a start line, header lines and a body that are views into those bytes, with typed
//! views made only when asked for ([`Message::top_via`], [`Message::from`], ...). Strict in framing (line ends, NUL, sizes,
//! Content-Length), tolerant in values: an odd value costs the one header it stands in, never its neighbours.
//! Knows nothing of transactions, dialogs or transports.

mod addr;
mod build;
mod error;
mod head;
mod host;
mod message;
mod method;
mod name;
mod parse;
mod scan;
mod stamp;
mod status;
mod text;
mod uri;
mod uri_eq;
mod validate;
mod via;
mod views;

pub use addr::{Contact, NameAddr};
pub use build::{BuildError, RequestBuilder, ResponseBuilder};
pub use error::{HeaderError, ParseError, ParseErrorKind};
pub use host::Host;
pub use message::{Header, Headers, Message, StartLine};
pub use method::Method;
pub use name::HeaderName;
pub use parse::{Limits, parse_datagram};
pub use scan::Params;
pub use status::StatusCode;
pub use text::ByteStr;
pub use uri::{Scheme, Uri, UriError};
pub use validate::{RequestFault, validate_request, validate_response};
pub use via::{Transport, Via};
pub use views::{CSeq, MediaType, RAck, SessionExpires};
