//! Our 2xx to an INVITE: sent, repeated until its ACK comes, and what happens when it does or does not
//! (RFC 3261 §13.3.1.4).

use std::time::Instant;

use bytes::Bytes;

use super::call::{CallTimer, Unacked, Up};
use super::compose::ResponseHead;
use super::session_timer::Terms;
use super::uac::body_of;
use super::{CallKey, EndCause, Event};
use crate::endpoint::{Core, Endpoint};
use crate::msg::{Message, StatusCode};
use crate::tx::{Reply, ServerKey, Servers};

impl Endpoint {
    /// An ACK of a 2xx: no transaction, only the dialog and the CSeq tell whose it is (RFC 3261 §13.3.1.4).
    pub(crate) fn receive_success_ack(&mut self, now: Instant, request: &Message) {
        let key = (|| {
            let (from, to) = (request.from().ok()?, request.to().ok()?);
            let (to_tag, from_tag) = (to.tag()?, from.tag().unwrap_or(""));
            self.calls.find(&self.core.random, &request.call_id().ok()?, to_tag, from_tag)
        })();
        let cseq = request.cseq().ok().map(|cseq| cseq.number);
        let unacked = key.filter(|_| cseq.is_some()).and_then(|key| {
            let unacked = self.calls.settle(&mut self.core, key, cseq)?;
            Some((key, unacked))
        });
        let Some((key, unacked)) = unacked else {
            self.core.counters.dropped += 1;
            return;
        };
        if self.calls.get_mut(key).is_some_and(|call| call.name.is_ended()) {
            // Hung up while the ACK was out: now a BYE is allowed (RFC 3261 §15).
            self.leave(now, key);
            return;
        }
        let sdp = body_of(request);
        self.core.event(match unacked.initial {
            true => Event::Acked { call: key, sdp },
            false => Event::OfferAcked { call: key, sdp },
        });
    }

    /// The INVITE came again after its 2xx: if the ACK is still missing, the 2xx was lost.
    pub(crate) fn repeat_success(&mut self, server: ServerKey) {
        let Some(owner) = self.servers.get(server).and_then(|tx| tx.owner) else { return };
        if let Some(unacked) = self.calls.unacked(owner) {
            self.core.counters.retransmissions_out += 1;
            let (destination, response) = (unacked.destination, unacked.response.clone());
            self.core.send(destination, response);
        }
    }

    /// The un-ACKed 2xx is due again: T1, doubling up to T2 (RFC 3261 §13.3.1.4).
    pub(crate) fn resend_success(&mut self, now: Instant, key: CallKey) {
        let t2 = self.core.config.timers.t2;
        let Some(unacked) = self.calls.unacked(key) else { return };
        unacked.interval = (unacked.interval * 2).min(t2);
        unacked.resend = self.core.arm_call(now + unacked.interval, key, CallTimer::Resend);
        let Unacked { destination, response, .. } = unacked;
        self.core.counters.retransmissions_out += 1;
        self.core.send(*destination, response.clone());
    }

    /// 64·T1 without an ACK: BYE (RFC 3261 §13.3.1.4).
    pub(crate) fn ack_overdue(&mut self, now: Instant, key: CallKey) {
        self.calls.settle(&mut self.core, key, None);
        if let Some(call) = self.calls.get_mut(key) {
            call.name.end(&mut self.core, EndCause::NoAck);
        }
        self.leave(now, key);
    }
}

/// What a 2xx of ours is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SuccessKind {
    /// The session timer that it starts.
    pub(crate) terms: Option<Terms>,
    /// It opens the call.
    pub(crate) initial: bool,
    /// Its SDP is an offer: the request had none.
    pub(crate) offers: bool,
}

/// Sends a 2xx to an INVITE or re-INVITE and arms its retransmission (RFC 3261 §13.3.1.4).
#[allow(clippy::too_many_arguments, reason = "one place for both kinds of 2xx")]
pub(crate) fn send_success(
    core: &mut Core,
    servers: &mut Servers,
    now: Instant,
    key: CallKey,
    up: &mut Up,
    (server, head, cseq): (ServerKey, &ResponseHead, u32),
    sdp: Option<&Bytes>,
    SuccessKind { terms, initial, offers }: SuccessKind,
) {
    let opens = initial.then_some(&up.dialog);
    let response = head.session(&core.config, opens, StatusCode::OK, (terms, &[]), sdp);
    servers.reply(core, now, server, Reply::Success, response.clone());
    up.agree(core, now, key, terms, sdp);
    let timers = core.config.timers;
    up.unacked = Some(Box::new(Unacked {
        cseq,
        initial,
        offers,
        response,
        destination: head.destination,
        interval: timers.t1,
        resend: core.arm_call(now + timers.t1, key, CallTimer::Resend),
        deadline: core.arm_call(now + timers.timeout(), key, CallTimer::AckOverdue),
    }));
}
