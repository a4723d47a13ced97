//! The gateway: Twilio and Telnyx calls, which come as a webhook and a WebSocket of audio.
//!
//! In: HTTP requests of the two providers, a table of numbers. Out: calls, for a program of this process. docs/gateway.md
//! tells its user what it does.

mod config;
mod did;
mod error;
mod file;
mod variables;
mod yaml;

pub use self::{
    config::{L16Endian, MEDIA_PATH, ProviderConfig, SipConfig, TelnyxConfig, TwilioConfig},
    did::{DidCheck, DidConfig, DidRouter, DidTable, DidValue},
    error::SipTransportError,
    variables::Variables,
};
pub(crate) use self::{
    did::home,
    file::{FileError, read as read_file},
};
