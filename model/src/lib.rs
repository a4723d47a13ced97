//! The vocabulary of sip-relay: values that two crates or two processes share, and the grammar of the WebSocket
//! text protocol.
//!
//! In: wire text and SIP header values. Out: typed values, and wire text again. It knows no socket, task, clock,
//! random number or log.
//!
//! Reading order: [`id`] (names of calls), [`call`] (what a call is and how it ends), [`audio`] (formats),
//! [`mode`] (what a connection chose), [`command`] (client to relay), [`event`] (relay to client).

pub mod audio;
pub mod call;
pub mod command;
pub mod event;
pub mod id;
pub mod mode;
mod text;

pub use audio::{Codec, FRAME, FRAME_MS, SampleRate};
pub use call::{CallStatus, Direction, EndLabel, EndReason, Party};
pub use command::{AgentPayload, Command, CommandError};
pub use event::{Event, EventError};
pub use id::CallId;
pub use mode::Mode;
