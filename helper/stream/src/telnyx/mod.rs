//! Telnyx media streaming: every message in both directions, read and printed
//! (<https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket>).
//!
//! [`FromTelnyx`] is what Telnyx sends to an application, [`ToTelnyx`] what the application sends back. Both can be
//! read and printed, so either side can be stood in for. The order of [`Media`] messages is not guaranteed.

mod from;
mod to;

pub use from::{FromTelnyx, Media, Start};
pub use to::{ToTelnyx, clear, mark, media};
