//! Media streams of Twilio and Telnyx, without a socket: one telephone call as JSON text messages over a WebSocket.
//!
//! In: text messages, audio to send and the time. Out: text messages and events. Knows nothing of sockets, HTTP and
//! codecs: payload arrives as the provider's codec bytes and leaves so.
//!
//! | part | decides |
//! |---|---|
//! | [`Session`] | one stream of a provider that dialled us: which provider, what happened, what to send |
//! | [`BotSession`] | one stream to a program that expects Twilio: the same protocol from the other side |
//! | [`twilio`], [`telnyx`] | every message of the two protocols, read and printed |
//! | [`xml`] | the documents that answer a provider's webhook |
//! | [`signature`] | whether a request came from the provider, and our own signature as one |
//!
//! The contract of a core: every call that takes `now` is followed by [`Session::poll`] until it returns `None`, then
//! a timer is set to [`Session::deadline`], and [`Session::handle_timeout`] is called when it fires.

mod bot;
mod error;
mod format;
mod json;
mod session;
pub mod signature;
pub mod telnyx;
pub mod twilio;
mod wire;
pub mod xml;

pub use bot::{BotEvent, BotSession, BotStart, INVALID_MESSAGE};
pub use error::{HandshakeError, MarkError, MessageError, StreamError};
pub use format::{AnnouncedFormat, Encoding, FormatError, MediaFormat, Track};
pub use session::{Endian, Event, MarkOutcome, Provider, Session, SessionConfig, Stats, StreamInfo};

/// Length of one frame of audio: what is sent as one message.
pub const FRAME: std::time::Duration = std::time::Duration::from_millis(20);
