//! The user agent: calls in both directions, registrations, and what their owner sees of them.
//!
//! Reading order: [`event`] and [`dial`] (the border), `call` (its states), `uas`, `uac`,
//! `prack`, `reliable`, `delayed`, `in_dialog`, `success`, `reoffer`, `session_timer`, `refresh`, `bye` (what moves them),
//! `extras`, `reason`, `refer`, `referred`, `info` (what else it may do), `registration` and `register`, `compose` (what goes on the
//! wire), `guard` (what may not).

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
mod prack;
mod reason;
mod refer;
mod referred;
mod refresh;
mod register;
mod registration;
mod reliable;
mod reoffer;
mod session_timer;
mod success;
mod uac;
mod uas;

pub(crate) use call::{CallTimer, Calls, State};
pub use dial::{CallError, Credentials, Dial, DialError};
pub use event::{
    CallKey, EndCause, Event, Incoming, OfferMethod, Output, Party, RegistrationFailure, RegistrationKey,
    Rejection,
};
pub use reason::{Reason, ReasonProtocol};
pub(crate) use registration::Registrations;
pub use registration::{RegisterError, Registration};
pub(crate) use reliable::abandon_early_offer;
pub(crate) use session_timer::{LEAST_INTERVAL, MOST_INTERVAL};
pub(crate) use uas::{check_request_uri, check_require};
