//! The user agent: calls in both directions, and what their owner sees of them.

mod dial;
mod event;

pub use dial::{CallError, Credentials, Dial, DialError};
pub use event::{CallKey, EndCause, Event, Incoming, OfferMethod, Output, Party, Rejection};
