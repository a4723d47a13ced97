//! `Endpoint` is one SIP user agent, client and server, behind one advertised address.
//! In: datagrams, commands, the time. Out: datagrams, [`Event`]s, the next time to wake it.
//! Knows nothing of sockets, clocks, DNS, logs, or what is inside an SDP body.

mod admission;
mod config;
mod core;
mod fault;
mod random;
mod receive;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use config::{EndpointConfig, EndpointLimits, Reliable, SessionTimer, Stats, Timers, Toward};
pub(crate) use core::{Core, Fire};
pub(crate) use fault::Fault;
pub(crate) use random::{KeyedHash, Random};

use crate::msg::StatusCode;
use crate::tx::{Clients, Servers};
use crate::ua::{
    CallError, CallKey, Calls, Dial, DialError, EndCause, LEAST_INTERVAL, MOST_INTERVAL, Output, Reason,
    RegisterError, Registration, RegistrationKey, Registrations, Rejection, State,
};

/// A sans-IO SIP user agent. After every call that takes `&mut self`, drain [`poll_output`](Self::poll_output).
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) core: Core,
    pub(crate) clients: Clients,
    pub(crate) servers: Servers,
    pub(crate) calls: Calls,
    pub(crate) registrations: Registrations,
}

impl Endpoint {
    /// Creates an endpoint; `seed` feeds its tags, branches, Call-IDs and hash keys and must be unpredictable.
    pub fn new(mut config: EndpointConfig, seed: [u8; 32]) -> Self {
        // A timer of zero would be due again at once, for ever.
        let least = Duration::from_millis(1);
        let timers = &mut config.timers;
        for timer in [&mut timers.t1, &mut timers.t2, &mut timers.t4] {
            *timer = (*timer).max(least);
        }
        if let Some(SessionTimer { expires, min_se }) = &mut config.session_timer {
            let whole = |duration: Duration| Duration::from_secs(duration.as_secs());
            *min_se = whole(*min_se).clamp(LEAST_INTERVAL, MOST_INTERVAL);
            *expires = whole(*expires).clamp(*min_se, MOST_INTERVAL);
        }
        Self {
            core: Core::new(config, seed),
            clients: Clients::default(),
            servers: Servers::default(),
            calls: Calls::default(),
            registrations: Registrations::default(),
        }
    }

    /// Takes one received datagram.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: Bytes) {
        self.receive(now, source, datagram);
    }

    /// Fires every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(fire) = self.core.timers.pop_due(now) {
            self.fire(now, fire);
        }
    }

    /// Tells that nothing can be sent to `destination` any more, as when a connection breaks: fails what waits for an
    /// answer from there, and ends inbound calls that ring there.
    pub fn handle_transport_error(&mut self, now: Instant, destination: SocketAddr) {
        self.fail_destination(now, destination);
    }

    /// Tells that a datagram to `destination` came back (ICMP). A request of ours that has had no answer at all fails as in
    /// RFC 3261 §18.4: its call or registration is `TransportError` or `Unreachable`. Whatever has been heard from there
    /// stays: an ICMP message is easily forged, and a peer that answered is there.
    pub fn handle_unreachable(&mut self, now: Instant, destination: SocketAddr) {
        self.fail_unanswered(now, destination);
    }

    /// The next effect, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outbox.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called; `None` when nothing is pending.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.core.timers.next()
    }

    /// Places a call.
    pub fn dial(&mut self, now: Instant, dial: Dial) -> Result<CallKey, DialError> {
        self.place_call(now, dial)
    }

    /// Sends 180 Ringing for an inbound call. Where the peer requires it the response goes reliably (RFC 3262): once per PRACK,
    /// and not at all to an INVITE without an offer; without a PRACK within 64·T1 the call is refused with 504.
    pub fn ringing(&mut self, now: Instant, call: CallKey) -> Result<(), CallError> {
        self.send_provisional(now, call, StatusCode::RINGING, None)
    }

    /// Sends 183 Session Progress with SDP for an inbound call. As [`ringing`](Self::ringing); the SDP of a reliable 183 is the
    /// answer of the call, and that of [`answer`](Self::answer) is then not sent.
    pub fn progress(&mut self, now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        self.send_provisional(now, call, StatusCode::SESSION_PROGRESS, Some(&sdp))
    }

    /// Answers an inbound call with 200 and SDP: the answer, or the offer where the INVITE had none. The 200 goes out at once,
    /// or after the PRACK of a reliable 183 with SDP. It is retransmitted until the ACK comes, and after 64·T1 without one
    /// the call ends with BYE and [`EndCause::NoAck`](crate::EndCause::NoAck).
    pub fn answer(&mut self, now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        self.send_answer(now, call, &sdp)
    }

    /// Acknowledges the 2xx of an outbound call that was dialled without an offer, with the answer to the offer in that
    /// 2xx (RFC 3261 §13.2.2.4). Owed within 8 s (a quarter of 64·T1) of `Answered`; the endpoint then sends an ACK
    /// without SDP and BYE, and the call ends with [`EndCause::Timeout`](crate::EndCause::Timeout).
    pub fn ack_with(&mut self, _now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        self.send_ack_with(call, &sdp)
    }

    /// Refuses an inbound call that has not been answered.
    pub fn reject(&mut self, now: Instant, call: CallKey, rejection: Rejection) -> Result<(), CallError> {
        self.send_rejection(now, call, &rejection)
    }

    /// Ends a call; its state decides how: CANCEL, 603 or BYE.
    pub fn hangup(&mut self, now: Instant, call: CallKey) -> Result<(), CallError> {
        match self.calls.live(call)? {
            State::Ringing(_) => return self.send_rejection(now, call, &Rejection::new(603)),
            State::Calling(_) => self.give_up(now, call, EndCause::LocalCancel),
            State::Up(_) | State::Leaving(_) => self.hang_up(now, call),
        }
        Ok(())
    }

    /// Ends a call as [`hangup`](Self::hangup) does, and tells the peer why (Reason, RFC 3326).
    pub fn hangup_with(&mut self, now: Instant, call: CallKey, reason: Reason) -> Result<(), CallError> {
        self.end_because(now, call, &reason)
    }

    /// Accepts the peer's re-INVITE, UPDATE or PRACK offer with 200 and SDP.
    pub fn answer_offer(&mut self, now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        self.accept_offer(now, call, &sdp)
    }

    /// Refuses the peer's re-INVITE, UPDATE or PRACK offer; the session stays as it was.
    pub fn reject_offer(&mut self, now: Instant, call: CallKey, status: u16) -> Result<(), CallError> {
        self.refuse_offer(now, call, status)
    }

    /// Sends a re-INVITE with a new offer. The outcome is `Reanswered` or `ReofferRefused`; a 481, a 408 or silence ends
    /// the call (RFC 3261 §12.2.1.2).
    ///
    /// A glare (491) is waited out and the same body sent again; if the peer's offer was accepted meanwhile, `ReofferDue`
    /// asks for a new body instead. While it waits, a second `reoffer` replaces the body. `WrongState` while an offer of
    /// either side is open or a 2xx of ours waits for its ACK: try again after the event that closes it.
    pub fn reoffer(&mut self, now: Instant, call: CallKey, sdp: Bytes) -> Result<(), CallError> {
        self.send_reoffer(now, call, sdp)
    }

    /// Asks the peer of a call that is up to call `target`, a `sip:`, `sips:` or `tel:` URI (REFER, RFC 3515: blind
    /// transfer). The outcome is `ReferRefused`, or `ReferAccepted` and then `ReferProgress` up to one that is `last`; the
    /// call goes on until somebody hangs up. `WrongState` while an earlier one has no outcome.
    pub fn refer(&mut self, now: Instant, call: CallKey, target: &str) -> Result<(), CallError> {
        self.send_refer(now, call, target)
    }

    /// Accepts a `ReferRequested` with 202, and tells the peer that it is being tried.
    pub fn accept_refer(&mut self, now: Instant, call: CallKey) -> Result<(), CallError> {
        self.grant_refer(now, call)
    }

    /// Refuses a `ReferRequested` with a status from 300 to 699.
    pub fn reject_refer(&mut self, now: Instant, call: CallKey, status: u16) -> Result<(), CallError> {
        self.deny_refer(now, call, status)
    }

    /// Tells the peer what has come of its REFER: a status from 100 to 699. One of 200 and above is the last, `last` makes
    /// any other so. Within three minutes of the last word another is due; then the peer is told 408.
    pub fn notify_refer(
        &mut self,
        now: Instant,
        call: CallKey,
        status: u16,
        last: bool,
    ) -> Result<(), CallError> {
        self.tell_refer(now, call, status, last)
    }

    /// Sends a key by INFO (`application/dtmf-relay`) in a call that is up, to a peer that lacks telephone events: `0` to
    /// `9`, `*`, `#`, `A` to `D`; 1 ms to 10 s. Keys go out one after the other; `WrongState` when 32 wait.
    pub fn send_info_dtmf(
        &mut self,
        now: Instant,
        call: CallKey,
        digit: char,
        duration: Duration,
    ) -> Result<(), CallError> {
        self.send_info(now, call, digit, duration)
    }

    /// Tells a registrar where we are, and again before it forgets, and after every failure unless that is not wanted, until
    /// [`unregister`](Self::unregister). The outcomes are `Registered` and `RegistrationFailed`.
    pub fn register(
        &mut self,
        now: Instant,
        registration: Registration,
    ) -> Result<RegistrationKey, RegisterError> {
        self.start_registration(now, registration)
    }

    /// Ends a registration: the registrar is told to forget our contact, unless it does not know it. The outcome is
    /// `Unregistered`, at once or when the registrar has answered. A key that is not known is ignored.
    pub fn unregister(&mut self, now: Instant, key: RegistrationKey) {
        self.end_registration(now, key);
    }

    /// While draining, new INVITEs and OPTIONS are answered 503 with Retry-After; calls in progress go on.
    pub fn set_draining(&mut self, draining: bool) {
        self.core.draining = draining;
    }

    /// Whether the program may end without leaving a peer in doubt: no call is left, no INVITE, cancelled ones included,
    /// waits for the final response that wants an ACK, or an ACK and a BYE, and no registration is being given up.
    pub fn is_settled(&self) -> bool {
        self.calls.len() == 0 && !self.clients.has_pending_invite() && !self.registrations.has_leaving()
    }

    /// Counters and table sizes.
    pub fn stats(&self) -> Stats {
        Stats {
            transactions: self.clients.len() + self.servers.len(),
            dialogs: self.calls.dialogs(),
            calls: self.calls.len(),
            registrations: self.registrations.len(),
            timers: self.core.timers.len(),
            ..self.core.counters
        }
    }

    /// The settings this endpoint was made with.
    pub fn config(&self) -> &EndpointConfig {
        &self.core.config
    }
}
