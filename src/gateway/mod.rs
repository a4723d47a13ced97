//! The gateway: Twilio and Telnyx calls, which come as a webhook and a WebSocket of audio.
//!
//! In: HTTP requests of the two providers, a table of numbers. Out: calls, for a program of this process. docs/gateway.md
//! tells its user what it does.

mod awake;
mod calls;
mod codec;
mod config;
mod did;
mod error;
mod file;
mod gate;
mod handler;
mod health;
mod media_stream;
mod rest;
mod routes;
mod server;
mod token;
mod transport;
mod variables;
mod watch;
mod yaml;

pub use self::{
    awake::{Awake, AwakeGuard},
    codec::{AudioCodec, CANONICAL_CHANNELS, CANONICAL_SAMPLE_RATE, CANONICAL_SAMPLE_WIDTH},
    config::{L16Endian, MEDIA_PATH, ProviderConfig, SipConfig, TelnyxCodec, TelnyxConfig, TwilioConfig},
    did::{DidCheck, DidConfig, DidRouter, DidTable, DidValue},
    error::SipTransportError,
    handler::echo,
    health::Health,
    rest::{ApiBases, Credentials, TelnyxKey},
    routes::{GatewayOptions, SipWebhookHandler},
    server::{Gateway, GatewayError, VoiceServer},
    transport::{
        AudioStream, BaseTransport, EventStream, MarkOutcome, Metadata, PendingMark, SipTransport,
        TransportEvent,
    },
    variables::Variables,
    watch::{DidWatch, LOOK_EVERY},
};
pub(crate) use self::{
    did::home,
    file::{FileError, Settings, read as read_file},
};
