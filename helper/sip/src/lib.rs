//! A sans-IO SIP core: messages, transactions, dialogs, user agent and SDP offer/answer.
//!
//! [`Endpoint`] is the one type that actors use: bytes, commands and the time go in; datagrams and events come out.

mod endpoint;
mod ua;

pub use endpoint::{Endpoint, EndpointConfig, EndpointLimits, Stats, Timers};
pub use ua::{
    CallError, CallKey, Credentials, Dial, DialError, EndCause, Event, Incoming, OfferMethod, Output, Party,
    Rejection,
};
