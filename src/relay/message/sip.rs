//! Between the SipListener and the rest: what happens on the wire, and what is wanted there.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix::{Message, Recipient};
use bytes::Bytes;
use model::id::CallId;
use tokio::sync::oneshot;

use super::super::call::state::SipInput;

// ---- SipListener → Switchboard ----------------------------------------------------------------------------------

/// A new INVITE. Until the call attaches itself ([`SipAction::Attach`]), the listener keeps what happens to it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct IncomingCall {
    /// Our name for the call, unique among live calls.
    pub id: CallId,
    /// The caller's number: the user part of From, or its display name where that is a number.
    pub phone: String,
    /// The caller's SDP offer; `None` if the INVITE had none.
    pub offer: Option<Bytes>,
    /// What else the INVITE said.
    pub invite: Arc<Invite>,
}

/// The parts of an INVITE by which a program routes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The Call-ID as received.
    pub sip_call_id: String,
    /// The caller: the URI of From.
    pub from: String,
    /// The callee: the URI of To.
    pub to: String,
    /// The number that was called, or the user name; `None` where that is not known.
    pub called: Option<String>,
    /// Every `X-` header in order, names as received.
    pub headers: Vec<(String, String)>,
    /// Where it came from.
    pub source: SocketAddr,
}

// ---- Call → SipListener -----------------------------------------------------------------------------------------

/// What a call wants done on the wire.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SipCommand {
    /// Which call.
    pub call: CallId,
    /// What to do.
    pub action: SipAction,
}

/// The verbs of [`SipCommand`].
pub enum SipAction {
    /// Send this call's events here from now on, those that are waiting first.
    Attach(Recipient<SipEvent>),
    /// Place an outbound call.
    Dial(Box<DialRequest>),
    /// 180 Ringing.
    Ring,
    /// 200 OK with this SDP answer.
    Answer(Bytes),
    /// A final refusal of a ringing inbound call.
    Reject {
        /// 300-699.
        status: u16,
        /// The phrase, else the standard one.
        reason: Option<String>,
    },
    /// A final refusal of an inbound call for which there will be no [`SipAction::Attach`].
    Refuse {
        /// 300-699.
        status: u16,
        /// For 503: when to try again.
        retry_after: Option<Duration>,
    },
    /// End the call as its state requires: CANCEL, 603 or BYE.
    Hangup,
    /// 200 OK to the peer's re-INVITE or UPDATE.
    AnswerOffer(Bytes),
    /// A refusal of the peer's re-INVITE or UPDATE; the call goes on as it was.
    RejectOffer(u16),
    /// A re-INVITE with this offer. What becomes of it comes back as [`SipEvent::Reoffer`].
    Reoffer(Bytes),
    /// REFER. What becomes of it comes back as [`SipEvent::Transfer`].
    Refer(TransferTarget),
}

/// Whom the far end of a call is asked to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferTarget {
    /// A number at the trunk.
    Phone(String),
    /// A `sip:`, `sips:` or `tel:` URI.
    Uri(String),
}

/// An outbound call to place.
#[derive(Debug)]
pub struct DialRequest {
    /// Who hears what becomes of it.
    pub events: Recipient<SipEvent>,
    /// The number to put into the request URI.
    pub phone: String,
    /// Our SDP offer.
    pub offer: Bytes,
    /// What a program of this process adds.
    pub options: Option<Box<DialOptions>>,
}

/// What a program that uses the relay as a library may say about a call that it places. No WebSocket client can.
#[derive(Debug, Clone, Default)]
pub struct DialOptions {
    /// The complete request URI, instead of the number at the trunk.
    pub target: Option<String>,
    /// Where the INVITE goes, instead of the trunk.
    pub destination: Option<SocketAddr>,
    /// The caller's URI, instead of the trunk's user.
    pub from: Option<String>,
    /// Answers to 401 and 407, instead of the trunk's.
    pub credentials: Option<sip::Credentials>,
    /// Further headers, name and value.
    pub headers: Vec<(String, String)>,
    /// No final answer for this long: CANCEL, 408. Instead of the trunk's.
    pub ring_timeout: Option<Duration>,
    /// Comes back in [`CallHandle::ticket`](super::CallHandle::ticket).
    pub ticket: Option<u64>,
}

/// Everything back to idle: refuse new calls and report when no dialog is left.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct DrainSip {
    /// Told once, when the last dialog is gone.
    pub done: Recipient<SipDrained>,
}

/// The listener has no dialog left.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct SipDrained;

// ---- SipListener → whoever uses the relay as a library ------------------------------------------------------------

/// How the registration goes.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum RegistrationNews {
    /// The registrar took our contact, for the first time or again.
    Registered {
        /// How long it keeps it unless it hears of it again.
        expires: Duration,
    },
    /// It refused, or did not answer.
    Failed {
        /// 401, 403 and 407 are refused credentials; 408: no answer; 503: nobody there, or refused so.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
    /// Given up, at our wish.
    Over,
}

// ---- SipListener → Call -----------------------------------------------------------------------------------------

/// What happened to a call on the wire.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum SipEvent {
    /// Something that moves the state of the call.
    State(SipInput),
    /// An outbound call was answered with this SDP. The ACK is on its way.
    Answered(Option<Bytes>),
    /// The ACK of our 200 came, with the answer to the offer in that 200 where the INVITE had none.
    Acked(Option<Bytes>),
    /// Our 200 to an inbound call is out.
    AnswerSent,
    /// The peer offers a change of the session: answer or refuse it.
    Offer(Option<Bytes>),
    /// The peer's answer to the offer that we made in the 200 to a re-INVITE without one.
    OfferAnswered(Bytes),
    /// What became of [`SipAction::Reoffer`].
    Reoffer(ReofferOutcome),
    /// What becomes of [`SipAction::Refer`].
    Transfer(TransferProgress),
    /// A key that the peer sent by INFO, or a provider in a message of its media stream.
    Digit {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long it was down, where the peer says so.
        duration: Option<Duration>,
    },
}

/// What became of an offer of ours inside a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReofferOutcome {
    /// The peer took it, with this answer.
    Answered(Option<Bytes>),
    /// It refused; the session is as it was.
    Refused(u16),
    /// It met an offer of the peer, which changed the session: to be made again, if it is still wanted.
    Due,
    /// It could not be sent: another exchange is open.
    Busy,
}

/// How far a transfer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferProgress {
    /// What the peer says of the call that it places.
    Heard {
        /// 100 to 699.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// Nothing more will be heard.
        last: bool,
    },
    /// The peer did not even try, or could not be asked.
    Refused {
        /// 300 to 699.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
}

// ---- Switchboard → SipListener ----------------------------------------------------------------------------------

/// Stop, and say so when the socket is closed.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct DismissSip(pub oneshot::Sender<()>);

/// The tables of the SIP core.
#[derive(Message, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[rtype(result = "SipCensus")]
pub struct SipCensusRequest;

/// The answer to [`SipCensusRequest`]. A transaction outlives its call by up to 32 s, to answer what comes again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct SipCensus {
    /// Live transactions, client and server.
    pub transactions: usize,
    /// Dialogs, early ones included.
    pub dialogs: usize,
    /// Calls whose signalling is not finished.
    pub calls: usize,
    /// Calls that events are delivered for.
    pub routes: usize,
    /// Armed timers.
    pub timers: usize,
}
