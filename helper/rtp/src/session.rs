//! `Session` owns one call leg's media state and ties its parts together.
#![allow(clippy::todo, unused_variables)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{DtmfError, Encoder, MarkError, Output, QueueFull, SessionConfig, Stats};

/// One call leg's media.
pub struct Session {
    _todo: (),
}

impl Session {
    /// A session that neither sends nor knows its peer yet. `seed` drives the RTCP interval only.
    pub fn new(now: Instant, config: SessionConfig, encoder: Box<dyn Encoder>, seed: u64) -> Self {
        todo!()
    }

    /// The peer's addresses from its SDP. They are untrusted: see [`SessionConfig::symmetric`].
    ///
    /// `rtcp`: `None` means the port above `rtp`. An address other than the last one makes the session look for the
    /// peer's source again; the same address changes nothing.
    pub fn set_remote(&mut self, now: Instant, rtp: SocketAddr, rtcp: Option<SocketAddr>) {
        todo!()
    }

    /// Hold: which ways media flows. Without `send` the playout queue pauses; without `receive` packets are ignored
    /// and the watchdogs rest.
    pub fn set_direction(&mut self, now: Instant, send: bool, receive: bool) {
        todo!()
    }

    /// The call was answered: frame n goes out at `now` + n * 20 ms, until [`close`](Self::close).
    pub fn start(&mut self, now: Instant) {
        todo!()
    }

    /// A datagram came on the RTP port.
    pub fn handle_rtp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        todo!()
    }

    /// A datagram came on the RTCP port.
    pub fn handle_rtcp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        todo!()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next; `None`: not before another input.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The next thing to do; `None` when there is nothing left.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    /// Queues PCM at the encoder's sample rate, any length.
    pub fn queue_pcm(&mut self, now: Instant, pcm: &[i16]) -> Result<(), QueueFull> {
        todo!()
    }

    /// Queues payload of the codec that is sent, any length; its bytes go out untouched.
    pub fn queue_payload(&mut self, now: Instant, payload: &[u8]) -> Result<(), QueueFull> {
        todo!()
    }

    /// Queues a mark, reported when all audio before it has been played: at once if there is none.
    pub fn mark(&mut self, now: Instant, name: String) -> Result<(), MarkError> {
        todo!()
    }

    /// Empties the playout queue; every mark in it comes back as cleared. Digits go on.
    pub fn clear(&mut self, now: Instant) {
        todo!()
    }

    /// Asks for [`Event::Drained`](crate::Event::Drained) when queue and digits are through: at once if there are none.
    pub fn drain(&mut self, now: Instant) {
        todo!()
    }

    /// Sends digits as telephone events (RFC 4733), `each` long; the playout queue pauses meanwhile.
    pub fn send_dtmf(&mut self, now: Instant, digits: &str, each: Duration) -> Result<(), DtmfError> {
        todo!()
    }

    /// Audio in the playout queue.
    pub fn queued(&self) -> Duration {
        todo!()
    }

    /// Agent audio sent on this call leg, exact to the frame.
    pub fn played(&self) -> Duration {
        todo!()
    }

    /// Ends the stream: an RTCP BYE goes out, and nothing after it.
    pub fn close(&mut self, now: Instant) {
        todo!()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        todo!()
    }
}
