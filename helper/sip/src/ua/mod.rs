//! The user agent: calls in both directions, registrations, and what their owner sees of them.
//!
//! Reading order: [`event`] and [`dial`] (the border), `call` (its states), `uas`, `uac`,
//! `delayed`, `in_dialog`, `success`, `reoffer`, `bye` (what moves them), `extras`, `refer`, `referred`, `info` (what else
//! it may do), `registration` and `register`, `compose` (what goes on the wire), `guard` (what may not).

mod bye;
mod call;
pub(crate) mod compose;
mod delayed;
mod dial;
mod event;
mod extras;
mod guard;
mod in_dialog;
mod info;
mod refer;
mod referred;
mod register;
mod registration;
mod reoffer;
mod success;
mod uac;
mod uas;

pub(crate) use call::{CallTimer, Calls, State};
pub use dial::{CallError, Credentials, Dial, DialError};
pub use event::{CallKey, EndCause, Event, Incoming, OfferMethod, Output, Party, RegistrationKey, Rejection};
pub(crate) use registration::Registrations;
pub use registration::{RegisterError, Registration};
pub(crate) use uas::{check_request_uri, check_require};
