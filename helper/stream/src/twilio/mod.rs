//! Twilio Media Streams: every message in both directions, read and printed
//! (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>).
//!
//! [`FromTwilio`] is what Twilio sends to an application, [`ToTwilio`] what the application sends back. Both can be
//! read and printed, so either side can be stood in for. Numbers of the envelope are printed as strings, as Twilio
//! does, and read as either.

mod from;
mod to;

pub use from::{FromTwilio, Media, Start};
pub use to::{ToTwilio, clear, mark, media};
