//! sip-relay: a relay between the telephone network and programs.
//!
//! A caller talks SIP and RTP; a program talks one line of text over a WebSocket; the relay stands between them.
//!
//! ```text
//!  SIP ─UDP─▶ SipListener ──▶ Call ──▶ Switchboard ──▶ WsClient ══ text protocol ══▶ program
//!  RTP ─UDP─▶ RtpSession ────────── caller's audio ──▶ WsClient
//!             RtpSession ◀───────── agent's audio ──── WsClient
//! ```
//!
//! Protocol logic is pure and lives in `helper/*`: a core takes bytes and the time, and returns what to send, what
//! happened and when to wake it. Here live the actors, which own the sockets, the files and the clock, and do what the
//! cores say.
//!
//! Reading order: [`relay::message`] (every arrow of the picture), [`relay::call::state`] (the life of a call), then
//! any actor. `docs/architecture.md` has the rules, `docs/protocol.md` the contract with clients.

pub mod backend;
pub mod call_center;
pub mod client;
pub mod config;
mod engine;
pub mod gateway;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod relay;
pub mod stream_call;
pub mod test_line;
mod ws_writer;
