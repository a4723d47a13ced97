//! The gateway: Twilio and Telnyx calls, which come as a webhook and a WebSocket of audio.
//!
//! In: HTTP requests of the two providers, a table of numbers. Out: calls, for a program of this process. docs/gateway.md
//! tells its user what it does.

mod awake;
mod config;
mod did;
mod error;
mod file;
mod health;
mod server;
mod variables;
mod watch;
mod yaml;

pub use self::{
    awake::{Awake, AwakeGuard},
    config::{L16Endian, MEDIA_PATH, ProviderConfig, SipConfig, TelnyxConfig, TwilioConfig},
    did::{DidCheck, DidConfig, DidRouter, DidTable, DidValue},
    error::SipTransportError,
    health::Health,
    server::{Gateway, GatewayError, VoiceServer},
    variables::Variables,
    watch::{DidWatch, LOOK_EVERY},
};
pub(crate) use self::{
    did::home,
    file::{FileError, Settings, read as read_file},
};
