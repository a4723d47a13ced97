//! Between `main` and the switchboard.

use actix::Message;

use super::SipCensus;

// ---- main → Switchboard -----------------------------------------------------------------------------------------

/// End every call, tell every client, and resolve when all of it is done.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Shutdown;

/// After [`Shutdown`]: leave the thread to others. Resolves when the SIP socket is closed.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Dismiss;

/// How many of each thing exist right now: what must be zero when no call is up.
#[derive(Message, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[rtype(result = "Census")]
pub struct CensusRequest;

/// The answer to [`CensusRequest`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct Census {
    /// Entries of the call table.
    pub calls: usize,
    /// RTP port pairs leased.
    pub ports: usize,
    /// WebSocket clients.
    pub clients: usize,
    /// Events kept for the next client.
    pub backlog: usize,
    /// What the SIP core still knows.
    pub sip: SipCensus,
}
