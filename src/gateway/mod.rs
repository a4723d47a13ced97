//! The gateway: Twilio and Telnyx calls, which come as a webhook and a WebSocket of audio.
//!
//! In: HTTP requests of the two providers, a table of numbers. Out: calls, for a program of this process. docs/gateway.md
//! tells its user what it does.

mod error;

pub use error::SipTransportError;
