//! Between the switchboard and its clients, bots included.

use std::sync::Arc;

use actix::{Message, Recipient};
use model::{
    call::{Direction, EndReason},
    event::Event,
    id::CallId,
};

use super::{
    super::ws_client::{Backlog, Calls},
    AgentOrder, CallCommand, CallerAudio, DialOptions, Invite, Listen, Listener, MediaFacts,
};

// ---- WsClient → Switchboard -------------------------------------------------------------------------------------

/// Names one WebSocket connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A client is there and wants to hear of calls.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Connect {
    /// Who.
    pub client: ClientId,
    /// Where its events go.
    pub events: Recipient<ClientEvent>,
    /// The session that it opens or resumes.
    pub session: Option<SessionClaim>,
    /// What a program of this process wants besides.
    pub inside: Option<Insider>,
    /// It hears of calls, and does not count as one who may talk in all of them: as if it were not there, what happens is
    /// kept for the next client, and the last one may go.
    pub beside: bool,
}

/// What a program of this process hears that no WebSocket client does.
#[derive(Debug, Clone)]
pub struct Insider {
    /// The facts behind the events.
    pub facts: Recipient<CallFact>,
    /// Every call from its first frame on.
    pub listener: Listener,
}

/// A client that opens a session, or resumes one: the session is this client's from now on.
#[derive(Debug)]
pub struct SessionClaim {
    /// The client's name for it.
    pub name: String,
    /// How it is asked to give the session up again.
    pub hand_over: Recipient<HandOver>,
    /// Where its predecessor sends what it leaves behind.
    pub inherit: Recipient<Inherit>,
    /// Where its predecessor sends audio that still comes in.
    pub audio: Recipient<PassedOn>,
}

/// A client is gone.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Disconnect(pub ClientId);

/// Place a call. Answered by [`ClientEvent`]s to this client alone until the call exists.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct PlaceCall {
    /// Who asks.
    pub client: ClientId,
    /// The number, unchecked.
    pub phone: String,
    /// Given by programs of this process.
    pub options: Option<Box<DialOptions>>,
}

/// Transfer a call, if the rules allow a call to there. Refused by an `ERROR` to this client alone.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct TransferCall {
    /// Who asks.
    pub client: ClientId,
    /// Which call.
    pub call: CallId,
    /// A number or a URI, unchecked.
    pub target: String,
}

/// Give the session up: another connection goes on with it. From the switchboard to the session's client.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct HandOver {
    /// Where to send what is left.
    pub inherit: Recipient<Inherit>,
    /// Where to send audio that still comes in.
    pub audio: Recipient<PassedOn>,
}

/// Audio that came to an earlier connection of the session. From client to client.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct PassedOn(pub CallerAudio);

/// What one connection of a session leaves to the next. From client to client.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Inherit {
    /// The connection that leaves it.
    pub from: ClientId,
    /// What was written lately, and what was not.
    pub backlog: Backlog,
    /// The calls that it knew.
    pub calls: Calls,
}

// ---- Switchboard → WsClient -------------------------------------------------------------------------------------

/// One thing a client hears.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub enum ClientEvent {
    /// A call appeared. Nothing is written for it; the client may address it from now on.
    Known(CallHandle),
    /// Write this.
    Say(Event),
    /// The session existed: an [`Inherit`] comes, and the events that follow wait for it.
    Resuming,
    /// The relay stops: write what is left, then close.
    Close,
}

/// One fact about a call, for programs of this process.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct CallFact {
    /// Which call.
    pub call: CallId,
    /// What is so.
    pub kind: FactKind,
}

/// The kinds of [`CallFact`].
#[derive(Debug, Clone)]
pub enum FactKind {
    /// The media was agreed, or has changed.
    Media(MediaFacts),
    /// Our 200 to an inbound call is out, and its media is open.
    AnswerSent,
    /// The call is over. The last fact of a call, after its last event.
    Over {
        /// Why.
        reason: EndReason,
    },
}

/// How clients reach a call.
#[derive(Debug, Clone)]
pub struct CallHandle {
    /// Its name on the WebSocket.
    pub id: CallId,
    /// Who called whom.
    pub direction: Direction,
    /// The number at the far end.
    pub phone: String,
    /// The client that placed it, if one did.
    pub placed_by: Option<ClientId>,
    /// What that client named it by ([`DialOptions::ticket`]).
    pub ticket: Option<u64>,
    /// What the INVITE said, of an inbound call.
    pub invite: Option<Arc<Invite>>,
    /// Control.
    pub commands: Recipient<CallCommand>,
    /// Audio to the caller. Clone once per client.
    pub audio: Recipient<AgentOrder>,
    /// Who hears the caller.
    pub listeners: Recipient<Listen>,
}

// ---- AgentStreams → AgentStream ---------------------------------------------------------------------------------

/// What the names begin with under which bots' marks wait in a playout queue: no client can use such a name. What becomes of
/// them [`BOTS`] alone hear.
pub const BOT_MARK: &str = "##";

/// The client that stands for all bots. WebSocket clients are numbered from 1.
pub const BOTS: ClientId = ClientId(0);

/// What happened to the call of a bot.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum CallNewsForBot {
    /// This mark was reached, or dropped by CLEAR.
    Mark(String),
    /// The caller pressed a key: `0`-`9`, `*`, `#`, `A`-`D`.
    Digit(char),
    /// The call is over.
    Over,
}

// ---- AgentStream → AgentStreams ---------------------------------------------------------------------------------

/// The stream of this call has ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct StreamOver(pub CallId);
