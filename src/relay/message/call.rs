//! To a call, and what it reports.

use std::net::SocketAddr;

use actix::Message;
use model::{audio::Codec, call::EndReason, event::Event, id::CallId};

use super::{ClientId, TransferTarget};

// ---- WsClient → Call, Switchboard → Call ------------------------------------------------------------------------

/// What the agent side wants of a call.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum CallCommand {
    /// Answer it, if it rings.
    Answer,
    /// Refuse it, if it rings.
    Decline {
        /// 603 where the client names none.
        status: u16,
        /// The phrase, else the standard one.
        reason: Option<String>,
    },
    /// End it, whatever its state.
    Hangup,
    /// Put the far end on hold, or take it back. One that is on hold already stays so.
    Hold {
        /// Who asks, and hears if it cannot be done.
        client: ClientId,
        /// On hold, as opposed to taken back.
        on: bool,
    },
    /// Ask the far end to call somebody else (blind transfer).
    Transfer {
        /// Who asks, and hears if it cannot be done.
        client: ClientId,
        /// Whom.
        target: TransferTarget,
    },
    /// Nobody is there any more to talk with the caller.
    AgentGone,
    /// The program that was to talk with the caller could not be reached.
    AgentUnreachable,
    /// The relay stops.
    Shutdown,
}

// ---- Call → Switchboard -----------------------------------------------------------------------------------------

/// What clients are to hear about a call, and how the switchboard's table changes with it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct CallReport {
    /// Which call.
    pub call: CallId,
    /// What happened.
    pub news: CallNews,
}

/// The kinds of [`CallReport`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallNews {
    /// It rings (inbound: at us; outbound: at the far end).
    Ringing,
    /// Our 200 to an inbound call is out; it is up when the ACK comes.
    AnswerSent,
    /// It is up.
    Up,
    /// What it speaks and with whom was agreed, or has changed.
    Media(MediaFacts),
    /// Anything else that clients hear while it lasts.
    Event(Event),
    /// What one client alone hears.
    For(ClientId, Event),
    /// It is over. The last report of a call.
    Over {
        /// It had been up.
        was_up: bool,
        /// Why.
        reason: EndReason,
    },
}

/// What offer and answer settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaFacts {
    /// What we send.
    pub codec: Codec,
    /// The RTP payload type under which we send it.
    pub payload_type: u8,
    /// Both sides have telephone events.
    pub telephone_events: bool,
    /// Where the peer wants RTP; `None` while it gives no address.
    pub remote: Option<SocketAddr>,
    /// We have put the peer on hold.
    pub on_hold: bool,
}
