//! Our reliable provisional responses (RFC 3262 §3): one at a time, repeated until its PRACK comes, and what waits for that:
//! the next one, and a 2xx whose answer the response already carried. A PRACK may bring an offer (§5), which the owner
//! answers.
//!
//! An INVITE without an offer gets none above 100: the first reliable response would have to bring our offer
//! (RFC 3261 §13.2.1), and that is in the 2xx.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{CallTimer, Ringing, State, TheirOffer};
use super::compose::{self, ResponseHead};
use super::prack::RELIABLE;
use super::uas::REFRESH;
use super::{CallError, CallKey, EndCause, Event, OfferMethod};
use crate::endpoint::{Core, Endpoint, EndpointConfig, Reliable};
use crate::msg::{Message, Method, StatusCode};
use crate::tx::{Reply, ServerKey, Servers, TimerKey};

/// The reliable responses of a call that rings at us.
#[derive(Debug)]
pub(crate) struct Reliability {
    /// RSeq of the last one.
    rseq: u32,
    status: StatusCode,
    unconfirmed: Option<Unconfirmed>,
    /// The one after that.
    next: Option<(StatusCode, Option<Bytes>)>,
    /// Our side of the session, once one of them carried it.
    pub(super) answer: Option<Bytes>,
    /// The 2xx that waits.
    held: Option<Bytes>,
    /// The offer of a PRACK or UPDATE that waits for `answer_offer` or `reject_offer`.
    pub(super) theirs: Option<Box<TheirOffer>>,
}

#[derive(Debug)]
struct Unconfirmed {
    response: Bytes,
    has_sdp: bool,
    interval: Duration,
    resend: TimerKey,
    deadline: TimerKey,
}

impl Reliability {
    /// For an INVITE to which provisional responses go reliably.
    pub(super) fn of(core: &mut Core, request: &Message) -> Option<Box<Self>> {
        if !wanted(&core.config, request) {
            return None;
        }
        // RFC 3262 §3: from 1 to 2^31 - 1; the lower half leaves room to count.
        let rseq = core.random.below(1 << 30);
        let status = StatusCode::RINGING;
        let (next, answer, held) = (None, None, None);
        Some(Box::new(Self { rseq, status, unconfirmed: None, next, answer, held, theirs: None }))
    }

    /// The RSeq of the response that waits for its PRACK.
    pub(super) fn awaited(&self) -> Option<u32> {
        self.unconfirmed.as_ref().map(|_| self.rseq)
    }

    pub(super) fn timers(&self) -> impl Iterator<Item = TimerKey> {
        self.unconfirmed.iter().flat_map(|unconfirmed| [unconfirmed.resend, unconfirmed.deadline])
    }

    /// Whether a 2xx has to wait (RFC 3262 §3, §5).
    fn is_open(&self) -> bool {
        self.unconfirmed.as_ref().is_some_and(|unconfirmed| unconfirmed.has_sdp) || self.theirs.is_some()
    }

    /// Whether the peer may make an offer: ours is answered, and nothing else is open.
    pub(super) fn takes_offer(&self) -> bool {
        self.answer.is_some() && !self.is_open()
    }
}

impl Endpoint {
    /// Sends 180 or 183 reliably, or keeps it until the one before is confirmed.
    pub(super) fn send_reliable(
        &mut self,
        now: Instant,
        key: CallKey,
        status: StatusCode,
        sdp: Option<&Bytes>,
    ) -> Result<(), CallError> {
        let State::Ringing(ringing) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let has_offer = ringing.has_offer;
        let Some(reliability) = &mut ringing.reliability else { return Err(CallError::WrongState) };
        if reliability.held.is_some() {
            return Err(CallError::WrongState);
        }
        if !has_offer {
            return Ok(());
        }
        if reliability.unconfirmed.is_none() && reliability.theirs.is_none() {
            emit(&mut self.core, &mut self.servers, now, key, ringing, status, sdp.cloned());
            return Ok(());
        }
        let earlier = reliability.next.take().and_then(|(_, sdp)| sdp);
        reliability.next = Some((status, sdp.cloned().or(earlier)));
        Ok(())
    }

    /// Keeps the 2xx back where it must not overtake a PRACK; `false` when it can go.
    pub(super) fn hold_answer(&mut self, key: CallKey, sdp: &Bytes) -> Result<bool, CallError> {
        let State::Ringing(ringing) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let Some(reliability) = &mut ringing.reliability else { return Ok(false) };
        if reliability.held.is_some() {
            return Err(CallError::WrongState);
        }
        let open = reliability.is_open();
        if open {
            reliability.held = Some(sdp.clone());
            reliability.next = None;
        }
        Ok(open)
    }

    /// A PRACK inside a dialog (RFC 3262 §3): 481 unless it confirms what waits for it.
    pub(super) fn receive_prack(
        &mut self,
        now: Instant,
        key: CallKey,
        (request, sdp): (&Message, Option<Bytes>),
        (server, head): (ServerKey, ResponseHead),
    ) {
        let rack = request.rack().ok().filter(|rack| rack.method == Method::Invite);
        let rack = rack.map(|rack| (rack.rseq, rack.cseq));
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let status = match self.calls.state(key) {
            Some(State::Ringing(ringing)) => match &mut ringing.reliability {
                Some(reliability)
                    if rack.is_some() && rack == reliability.awaited().map(|rseq| (rseq, ringing.cseq)) =>
                {
                    reliability.disarm(&mut self.core);
                    match sdp {
                        Some(sdp) if reliability.takes_offer() => {
                            let offer = TheirOffer::plain(server, head, cseq, None);
                            reliability.theirs = Some(Box::new(offer.begin(&mut self.servers, key)));
                            let method = OfferMethod::Prack;
                            return self.core.event(Event::Offer { call: key, sdp: Some(sdp), method });
                        }
                        // The offer of the INVITE is not answered yet.
                        Some(_) => StatusCode::NOT_ACCEPTABLE_HERE,
                        None => StatusCode::OK,
                    }
                }
                _ => StatusCode::CALL_DOES_NOT_EXIST,
            },
            // The 2xx did not wait for it.
            Some(State::Up(up)) if rack.is_some() && rack == up.late_prack => {
                up.late_prack = None;
                if sdp.is_some() { StatusCode::NOT_ACCEPTABLE_HERE } else { StatusCode::OK }
            }
            _ => StatusCode::CALL_DOES_NOT_EXIST,
        };
        self.reply_plain(now, key, server, &head, (status.as_u16(), status.reason()), &[]);
        if status != StatusCode::CALL_DOES_NOT_EXIST {
            self.confirmed(now, key);
        }
    }

    /// Nothing is open any more: what has waited goes out.
    pub(super) fn confirmed(&mut self, now: Instant, key: CallKey) {
        let Some(State::Ringing(ringing)) = self.calls.state(key) else { return };
        let Some(reliability) = &mut ringing.reliability else { return };
        if reliability.unconfirmed.is_some() || reliability.theirs.is_some() {
            return;
        }
        if let Some(sdp) = reliability.held.take() {
            // The call rings and nothing is open: it can be answered.
            let _ = self.send_answer(now, key, &sdp);
        } else if let Some((status, sdp)) = reliability.next.take() {
            emit(&mut self.core, &mut self.servers, now, key, ringing, status, sdp);
        } else if ringing.refresh.is_none() {
            ringing.refresh = Some(self.core.arm_call(now + REFRESH, key, CallTimer::Refresh));
        }
    }

    /// Accepts an offer that came while the call rings.
    pub(super) fn accept_early_offer(
        &mut self,
        now: Instant,
        key: CallKey,
        theirs: &TheirOffer,
        sdp: &Bytes,
    ) -> Result<(), CallError> {
        let contact = compose::contact(&self.core.config, theirs.head.destination);
        let lines = [
            ("Contact", contact.as_str()),
            ("Allow", compose::allow(&self.core.config)),
            ("Server", &self.core.config.user_agent),
        ];
        let response = theirs.head.response(200, "OK", &lines, Some(sdp));
        self.servers.reply(&mut self.core, now, theirs.server, Reply::Success, response);
        if let Some(State::Ringing(ringing)) = self.calls.state(key)
            && let Some(reliability) = &mut ringing.reliability
        {
            reliability.answer = Some(sdp.clone());
        }
        self.confirmed(now, key);
        Ok(())
    }

    /// The owner's answer to, or refusal of, an offer that came while the call rings; `None` when there is none.
    pub(super) fn take_early_offer(&mut self, key: CallKey) -> Option<TheirOffer> {
        let Ok(State::Ringing(ringing)) = self.calls.live(key) else { return None };
        Some(*ringing.reliability.as_mut()?.theirs.take()?)
    }

    /// The reliable response is due again: T1, doubling without a limit (RFC 3262 §3).
    pub(crate) fn resend_reliable(&mut self, now: Instant, key: CallKey) {
        let Some(State::Ringing(ringing)) = self.calls.state(key) else { return };
        let destination = ringing.head.destination;
        let waiting = ringing.reliability.as_mut().and_then(|reliability| reliability.unconfirmed.as_mut());
        let Some(waiting) = waiting else { return };
        waiting.interval *= 2;
        waiting.resend = self.core.arm_call(now + waiting.interval, key, CallTimer::ReliableResend);
        self.core.counters.retransmissions_out += 1;
        self.core.send(destination, waiting.response.clone());
    }

    /// 64·T1 without a PRACK: 504 (RFC 3262 §3).
    pub(crate) fn prack_overdue(&mut self, now: Instant, key: CallKey) {
        let status = StatusCode::SERVER_TIMEOUT;
        let cause = EndCause::Declined { status: status.as_u16(), reason: status.reason().to_owned() };
        self.refuse_ringing(now, key, (status, status.reason()), &[], cause);
    }

    /// The reliable response is to be repeated, since the call still rings: a new one (RFC 3261 §13.3.1.1).
    pub(super) fn refresh_reliable(&mut self, now: Instant, key: CallKey) -> bool {
        let Some(State::Ringing(ringing)) = self.calls.state(key) else { return false };
        let Some(reliability) = &ringing.reliability else { return false };
        let status = reliability.status;
        if reliability.unconfirmed.is_none() && reliability.theirs.is_none() {
            emit(&mut self.core, &mut self.servers, now, key, ringing, status, None);
        }
        true
    }
}

impl Reliability {
    fn disarm(&mut self, core: &mut Core) {
        if let Some(unconfirmed) = self.unconfirmed.take() {
            core.timers.cancel(unconfirmed.resend);
            core.timers.cancel(unconfirmed.deadline);
        }
    }
}

/// Answers an early offer of a call that ends: 487.
pub(crate) fn abandon_early_offer(
    core: &mut Core,
    servers: &mut Servers,
    now: Instant,
    ringing: &mut Ringing,
) {
    let theirs = ringing.reliability.as_mut().and_then(|reliability| reliability.theirs.take());
    if let Some(theirs) = theirs {
        theirs.refuse(core, servers, now, StatusCode::REQUEST_TERMINATED);
    }
}

/// What the peer wants and we do: always where it is required; where it is only supported, if we are to require it.
fn wanted(config: &EndpointConfig, request: &Message) -> bool {
    match config.reliable {
        Reliable::Off => false,
        Reliable::Supported => request.require().any(|tag| tag.eq_ignore_ascii_case(RELIABLE)),
        Reliable::Required => request.supports(RELIABLE),
    }
}

/// Sends a reliable response under the next RSeq. SDP goes into the first only: it is the answer.
fn emit(
    core: &mut Core,
    servers: &mut Servers,
    now: Instant,
    key: CallKey,
    ringing: &mut Ringing,
    status: StatusCode,
    sdp: Option<Bytes>,
) {
    core.cancel(ringing.refresh.take());
    let Some(reliability) = &mut ringing.reliability else { return };
    let sdp = sdp.filter(|_| reliability.answer.is_none());
    reliability.rseq += 1;
    reliability.status = status;
    let rseq = reliability.rseq.to_string();
    let (opens, lines) = (Some(&ringing.dialog), [("Require", RELIABLE), ("RSeq", rseq.as_str())]);
    let response = ringing.head.session(&core.config, opens, status, (None, &lines), sdp.as_ref());
    servers.reply(core, now, ringing.invite, Reply::Provisional, response.clone());
    let timers = core.config.timers;
    reliability.unconfirmed = Some(Unconfirmed {
        response,
        has_sdp: sdp.is_some(),
        interval: timers.t1,
        resend: core.arm_call(now + timers.t1, key, CallTimer::ReliableResend),
        deadline: core.arm_call(now + timers.timeout(), key, CallTimer::PrackOverdue),
    });
    reliability.answer = reliability.answer.take().or(sdp);
}
