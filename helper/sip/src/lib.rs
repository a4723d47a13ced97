//! SIP without sockets: bytes and the time go in, datagrams and events come out.
//!
//! Reading order: [`msg`] (what a message is), `tx` (the four transaction machines), `dialog` (what two ends agree on),
//! `ua` (what a call does), [`Endpoint`] (the one type that actors use). Nothing here knows a socket, a clock or a runtime.
#![forbid(unsafe_code)]

pub mod auth;
pub mod msg;
pub mod sdp;

mod dialog;
mod endpoint;
mod tx;
mod ua;

pub use auth::AuthServer;
pub use endpoint::{Endpoint, EndpointConfig, EndpointLimits, Reliable, SessionTimer, Stats, Timers, Toward};
pub use ua::{
    CallError, CallKey, Credentials, Dial, DialError, EndCause, Event, Incoming, OfferMethod, Output, Party,
    Reason, ReasonProtocol, RegisterError, Registration, RegistrationFailure, RegistrationKey, Rejection,
};
