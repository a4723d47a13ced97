//! The session of a call: offers and answers, and what they come to for the media.
//!
//! In: SDP of the far end, wishes to hold it. Out: SDP of ours, plans for the media. What is agreed is decided by the
//! [`Negotiator`](sip::sdp::Negotiator), when a re-INVITE goes out by [`Hold`](super::hold::Hold).

use actix::{AsyncContext, Context};
use bytes::Bytes;
use model::{call::reason_phrase, event::Event};
use sip::sdp::{Agreed, Direction};
use tracing::{info, warn};

use super::{
    super::message::{CallNews, MediaCommand, MediaFacts, MediaPlan, ReofferOutcome, SipAction},
    Call, Origin,
    hold::{Step, Wish},
    state::{CallState, Input, SipInput},
};

impl Call {
    pub(super) fn answer(&mut self) {
        let (plan, body) = match &self.origin {
            Origin::Inbound { agreed, body } => (agreed.as_deref().map(MediaPlan::from), body.clone()),
            Origin::Stream(plan) => (Some(MediaPlan::clone(plan)), Bytes::new()),
            Origin::Outbound(_) => return,
        };
        // The media is open before the caller can know where to send.
        self.plan = plan;
        self.open_media();
        self.sip(SipAction::Answer(body));
    }

    pub(super) fn open_media(&self) {
        if let Some(plan) = &self.plan {
            self.ports.media.do_send(MediaCommand::Start(Box::new(plan.clone())));
            self.report(CallNews::Media(plan.facts(self.negotiator.is_held_by_us())));
        }
    }

    /// The far end answered our offer, or changed the session.
    fn agree(&mut self, agreed: &Agreed) {
        let before = self.plan.replace(MediaPlan::from(agreed));
        let (Some(before), Some(now)) = (before, &self.plan) else { return };
        self.ports.media.do_send(MediaCommand::Update(Box::new(now.clone())));
        self.report(CallNews::Media(now.facts(self.negotiator.is_held_by_us())));
        let held = now.held;
        if held != before.held {
            let call = self.id.clone();
            self.report(CallNews::Event(if held { Event::Hold { call } } else { Event::Resume { call } }));
        }
    }

    /// The far end took an outbound call.
    pub(super) fn answered(&mut self, sdp: Option<Bytes>, ctx: &mut Context<Self>) {
        let input = if self.settle(sdp) { SipInput::Answered } else { SipInput::Unusable };
        self.input(Input::Sip(input), ctx);
    }

    /// The caller confirmed our 200. Where the offer was ours, the media opens now.
    pub(super) fn acked(&mut self, sdp: Option<Bytes>, ctx: &mut Context<Self>) {
        let settled = self.plan.is_some();
        let usable = settled || self.settle(sdp);
        if usable && !settled {
            self.open_media();
        }
        self.input(Input::Sip(if usable { SipInput::Acked } else { SipInput::Unusable }), ctx);
    }

    /// Takes the answer to our first offer. False if it cannot be used.
    fn settle(&mut self, sdp: Option<Bytes>) -> bool {
        let Some(sdp) = sdp else {
            warn!(call_id = %self.id, "the answer has no SDP");
            return false;
        };
        match self.negotiator.accept_answer(&sdp) {
            Ok(agreed) => self.plan = Some(MediaPlan::from(&agreed)),
            Err(error) => warn!(call_id = %self.id, %error, "the answer cannot be used"),
        }
        self.plan.is_some()
    }

    pub(super) fn offered(&mut self, sdp: Option<Bytes>) {
        let Some(sdp) = sdp else {
            let offer = self.negotiator.offer();
            return self.sip(SipAction::AnswerOffer(offer));
        };
        match self.negotiator.answer(&sdp) {
            Ok((agreed, answer)) => {
                self.sip(SipAction::AnswerOffer(answer));
                self.agree(&agreed);
            }
            Err(error) => {
                info!(call_id = %self.id, %error, "offer refused, the session goes on as it was");
                self.sip(SipAction::RejectOffer(error.status()));
            }
        }
    }

    /// The far end answered the offer that we made at its request.
    pub(super) fn offer_answered(&mut self, sdp: &[u8]) {
        match self.negotiator.accept_answer(sdp) {
            Ok(agreed) => self.agree(&agreed),
            Err(error) => info!(call_id = %self.id, %error, "answer to our offer not used"),
        }
    }

    /// A client wants the far end on hold, or back.
    pub(super) fn wish(&mut self, wish: Wish, ctx: &mut Context<Self>) {
        if self.state != CallState::Up {
            return self.not_up(wish.client, verb(wish));
        }
        let step = self.hold.wish(wish);
        self.take(step, ctx);
    }

    fn take(&mut self, step: Step, ctx: &mut Context<Self>) {
        match step {
            Step::Rest => {}
            Step::Offer { on } => {
                let direction = if on { Direction::SendOnly } else { Direction::SendRecv };
                let offer = self.negotiator.offer_with(direction);
                self.sip(SipAction::Reoffer(offer));
            }
            Step::Wait(pause) => {
                ctx.run_later(pause, |call, ctx| call.reoffer_again(ctx));
            }
        }
    }

    fn reoffer_again(&mut self, ctx: &mut Context<Self>) {
        if self.state != CallState::Up {
            return;
        }
        // Our answer to an offer of the far end may have said it already.
        let step = match self.hold.offered() {
            Some(on) if on == self.negotiator.is_held_by_us() => self.hold.accepted(),
            _ => self.hold.again(),
        };
        self.take(step, ctx);
    }

    /// What became of our re-INVITE.
    pub(super) fn reoffered(&mut self, outcome: ReofferOutcome, ctx: &mut Context<Self>) {
        match outcome {
            ReofferOutcome::Answered(sdp) => match sdp.map(|sdp| self.negotiator.accept_answer(&sdp)) {
                Some(Ok(agreed)) => {
                    self.agree(&agreed);
                    let step = self.hold.accepted();
                    self.take(step, ctx);
                }
                Some(Err(error)) => {
                    info!(call_id = %self.id, %error, "the answer cannot be used");
                    self.hold_refused(error.status(), ctx);
                }
                None => self.hold_refused(NO_SDP, ctx),
            },
            ReofferOutcome::Refused(status) => self.hold_refused(status, ctx),
            ReofferOutcome::Due => self.reoffer_again(ctx),
            ReofferOutcome::Busy => match self.hold.busy() {
                Some(step) => self.take(step, ctx),
                None => self.hold_refused(BUSY, ctx),
            },
        }
    }

    fn hold_refused(&mut self, status: u16, ctx: &mut Context<Self>) {
        self.negotiator.offer_refused();
        let (refused, step) = self.hold.refused();
        if let Some(wish) = refused {
            self.refuse(wish.client, status, reason_phrase(status).into(), verb(wish));
        }
        self.take(step, ctx);
    }
}

/// The word of the text protocol.
fn verb(wish: Wish) -> &'static str {
    if wish.on { "HOLD" } else { "RESUME" }
}

impl MediaPlan {
    fn facts(&self, on_hold: bool) -> MediaFacts {
        MediaFacts {
            codec: self.codec,
            payload_type: self.payload_type,
            telephone_events: self.telephone_event.is_some(),
            remote: self.remote,
            on_hold,
        }
    }
}

impl From<&Agreed> for MediaPlan {
    fn from(agreed: &Agreed) -> Self {
        let (send, receive) = match agreed.direction {
            Direction::SendRecv => (true, true),
            Direction::SendOnly => (true, false),
            Direction::RecvOnly => (false, true),
            Direction::Inactive => (false, false),
        };
        Self {
            codec: agreed.codec,
            payload_type: agreed.payload_type,
            accept: agreed.accept.clone(),
            telephone_event: agreed.telephone_event,
            remote: agreed.remote,
            remote_rtcp: agreed.remote_rtcp,
            send,
            receive,
            held: agreed.held_by_peer,
        }
    }
}

/// 488 Not Acceptable Here: an answer without SDP.
const NO_SDP: u16 = 488;
/// 491 Request Pending: the far end's exchange did not end.
const BUSY: u16 = 491;
