//! Every message that the actors of the call center send each other. Read this file first.
//!
//! ```text
//!                 Line, Signal, CallerAudio               JobNews
//!   ═ relay ═ WsClient ─────────────────────▶ CallCenter ◀──────── tasks (speech to text, chat, text to speech)
//!                 ▲                                │ │               ▲
//!                 └──────────── Say ───────────────┘ └── start, end ─┘
//!                            LinkOrder    LinkReport
//!                   CallCenter ─────────▶ RealtimeLink ═ service ═       (one a call, mode realtime)
//!                              ◀─────────
//! ```
//!
//! Signalling goes by `do_send`; the caller's audio by `try_send` on one kept `Recipient`, where a full mailbox drops and
//! counts. What a call does with all that is decided by its [`Agent`](super::agent::Agent), without actors.

use std::{sync::Arc, time::Instant};

use actix::Message;
use bytes::Bytes;
use model::{command::Command, event::Event, id::CallId};

use super::{
    agent::{JobId, News},
    realtime::{ClientEvent, LinkId, LinkNews},
};

// ---- WsClient → CallCenter --------------------------------------------------------------------------------------

/// The connection to the relay came or went.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum Line {
    /// It is there. `multi`: the relay has the words of multi mode; without them it is an older one.
    Up {
        /// See above.
        multi: bool,
    },
    /// It is lost. Calls that were up may still be.
    Down,
}

/// What the relay says, audio apart.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Signal(pub Event);

/// A piece of what a caller says, usually 20 ms.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct CallerAudio {
    /// The call.
    pub call: CallId,
    /// What was heard.
    pub audio: Heard,
}

/// Audio of a caller, in the form in which the connection carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// PCM at 8 kHz.
    Pcm(Arc<[i16]>),
    /// G.711, untouched: a part of the message that it came in.
    Payload(Bytes),
}

// ---- CallCenter → WsClient --------------------------------------------------------------------------------------

/// To be sent to the relay, in this order.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Say(pub Command);

// ---- tasks → CallCenter -----------------------------------------------------------------------------------------

/// What came of a job, or a part of it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct JobNews {
    /// The call that it is for.
    pub call: CallId,
    /// Which life of that call: an id may come back.
    pub generation: u64,
    /// The job, numbered by the call's agent.
    pub job: JobId,
    /// What came.
    pub news: News,
    /// When it was there.
    pub at: Instant,
}

// ---- CallCenter → RealtimeLink ----------------------------------------------------------------------------------

/// What is to be done with a connection to the Realtime API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum LinkOrder {
    /// Send this.
    Send(ClientEvent),
    /// End it.
    Close,
}

// ---- RealtimeLink → CallCenter ----------------------------------------------------------------------------------

/// What comes of a connection to the Realtime API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct LinkReport {
    /// The call that it is for.
    pub call: CallId,
    /// Which life of that call.
    pub generation: u64,
    /// The connection, numbered by the call's agent.
    pub link: LinkId,
    /// When it was read from the socket.
    pub read: Instant,
    /// What came.
    pub news: LinkNews,
}
