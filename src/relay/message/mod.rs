//! Every message that actors of the relay send each other, grouped by arrow. Read this file first.
//!
//! ```text
//!                 IncomingCall                 CallReport                  ClientEvent
//!   SipListener ──────────────▶ Switchboard ◀──────────── Call   Switchboard ─────────▶ WsClient
//!        ▲  │      SipEvent                                ▲ │                           │  │ │
//!        │  └─────────────────────────────────────────────▶│ │ MediaCommand              │  │ │
//!        └──────────────── SipCommand ─────────────────────┘ ▼                           │  │ │
//!                                                MediaEvent  RtpSession ◀─ AgentOrder ───┘  │ │
//!                     Recorder, Reader ◀── RecordAudio ────────┘  └───── CallerAudio ─────▶│ │
//!                                 └── RecordingDone ─▶ Call ◀────────── CallCommand ────────┘ │
//!                                  Switchboard ◀──────── Connect, PlaceCall, TransferCall ──┘
//! ```
//!
//! A bot on another machine (`agent_stream`) stands in a client's place: `AgentStreams` hears what the switchboard tells
//! clients, and its `AgentStream` of a call gives orders and hears audio as a `WsClient` does.
//!
//! A provider's media stream stands in the place of the SipListener and of the RTP sockets of its one call:
//!
//! ```text
//!                 IncomingStream
//!   MediaStream ──────────────▶ Switchboard
//!     ▲ ▲ │ │        SipEvent                        StreamOutput ──▶ MediaStream
//!     │ │ │ └───────────────────────────▶ Call            ▲
//!     │ └─┼────────── SipCommand ──────────┘              │
//!     │   └────────── StreamAudio ──────────────────▶ RtpSession
//! ```
//!
//! Control goes by `do_send`; audio by `try_send` on one kept `Recipient`, where a full mailbox drops and counts.
//!
//! Each file has the arrows of one part.

mod call;
mod client;
mod lifecycle;
mod media;
mod recorder;
mod sip;
mod stream;

pub use self::{call::*, client::*, lifecycle::*, media::*, recorder::*, sip::*, stream::*};
