//! Conversations by the OpenAI Realtime API: one WebSocket for each call, the caller's G.711 passed through both ways.
//!
//! ```text
//!                  Input::Payload, Event        ClientEvent
//!  relay ══ WsClient ──▶ CallCenter ──▶ RealtimeAgent ──▶ CallCenter ──▶ RealtimeLink ══════ service
//!                                  ◀── Output::Say                  ◀── LinkNews
//! ```
//!
//! [`RealtimeAgent`] decides, without sockets and the clock; [`link`] owns the WebSocket. [`ClientEvent`] and [`ServerEvent`] are
//! the two halves of the wire.

mod agent;
mod back_off;
mod client_event;
pub mod link;
mod playback;
mod server_event;
mod sessions;
mod timing;
mod transcript;

pub use self::{
    agent::{LostAction, Plan, RealtimeAgent},
    back_off::BackOff,
    client_event::{Author, ClientEvent, Eagerness, NoiseReduction, SessionConfig, TurnDetection},
    server_event::{FunctionCall, ResponseStatus, ServerEvent, ServerEventError},
};

/// The number of a connection to the service, given by the agent that wants it; unique within a call.
pub type LinkId = u64;

/// What comes of a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkNews {
    /// It is made.
    Up,
    /// The service says something.
    Event(ServerEvent),
    /// It could not be made, or is lost. The last news of it.
    Down {
        /// For the log.
        why: String,
        /// The service would say the same again: a wrong key, an unknown model.
        refused: bool,
    },
}

#[cfg(test)]
mod tests;
