//! `Endpoint` is one SIP user agent, client and server, behind one advertised address.
//! In: datagrams, commands, the time. Out: datagrams, [`Event`]s, the next time to wake it.
//! Knows nothing of sockets, clocks, DNS, logs, or what is inside an SDP body.

mod config;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

pub use config::{EndpointConfig, EndpointLimits, Stats, Timers};

use crate::ua::{CallError, CallKey, Dial, DialError, Output, Rejection};

/// A sans-IO SIP user agent. After every call that takes `&mut self`, drain [`poll_output`](Self::poll_output).
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
}

#[allow(clippy::todo, unused_variables)]
impl Endpoint {
    /// Creates an endpoint; `seed` feeds its tags, branches, Call-IDs and hash keys and must be unpredictable.
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> Self {
        Self { config }
    }

    /// Takes one received datagram.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: Bytes) {
        todo!()
    }

    /// Fires every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    /// Tells that datagrams to `destination` cannot be delivered (ICMP): fails what waits for an answer from there.
    pub fn handle_transport_error(&mut self, now: Instant, destination: SocketAddr) {
        todo!()
    }

    /// The next effect, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called; `None` when nothing is pending.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Places a call.
    pub fn dial(&mut self, now: Instant, dial: Dial) -> Result<CallKey, DialError> {
        todo!()
    }

    /// Sends 180 Ringing for an inbound call.
    pub fn ringing(&mut self, now: Instant, call: CallKey) -> Result<(), CallError> {
        todo!()
    }

    /// Sends 183 Session Progress with SDP for an inbound call.
    pub fn progress(&mut self, now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        todo!()
    }

    /// Answers an inbound call with 200 and SDP; it is retransmitted until the ACK comes, and after 64·T1 without one
    /// the call ends with BYE and [`EndCause::NoAck`](crate::EndCause::NoAck).
    pub fn answer(&mut self, now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        todo!()
    }

    /// Refuses an inbound call that has not been answered.
    pub fn reject(&mut self, now: Instant, call: CallKey, rejection: Rejection) -> Result<(), CallError> {
        todo!()
    }

    /// Ends a call; its state decides how: CANCEL, 603 or BYE.
    pub fn hangup(&mut self, now: Instant, call: CallKey) -> Result<(), CallError> {
        todo!()
    }

    /// Accepts the peer's re-INVITE or UPDATE with 200 and SDP.
    pub fn answer_offer(&mut self, now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        todo!()
    }

    /// Refuses the peer's re-INVITE or UPDATE; the session stays as it was.
    pub fn reject_offer(&mut self, now: Instant, call: CallKey, status: u16) -> Result<(), CallError> {
        todo!()
    }

    /// Sends a re-INVITE with a new offer. The outcome is `Reanswered` or `ReofferRefused`.
    pub fn reoffer(&mut self, now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        todo!()
    }

    /// While draining, new INVITEs and OPTIONS are answered 503 with Retry-After; calls in progress go on.
    pub fn set_draining(&mut self, draining: bool) {
        todo!()
    }

    /// Counters and table sizes.
    pub fn stats(&self) -> Stats {
        todo!()
    }

    /// The settings this endpoint was made with.
    pub fn config(&self) -> &EndpointConfig {
        &self.config
    }
}
