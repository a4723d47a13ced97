//! Requests of the peer inside a dialog: BYE, and session changes by re-INVITE and UPDATE that the owner answers
//! (RFC 3261 §12.2.2, §14.2, §15.1.2; RFC 3311).

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::bye::abandon_offers;
use super::call::{OfferPhase, State, TheirOffer, Up};
use super::compose::{self, ResponseHead};
use super::delayed::pay_ack;
use super::session_timer::Terms;
use super::success::{SuccessKind, send_success};
use super::uas::{check_require, sdp_of};
use super::{CallError, CallKey, EndCause, Event, OfferMethod};
use crate::dialog::{Order, order};
use crate::endpoint::{Endpoint, Fault};
use crate::msg::{HeaderName, Message, Method, StatusCode, Via};
use crate::tx::{Reply, ServerKey};

impl Endpoint {
    /// A request with a To tag, not seen before, of a method that is understood.
    pub(crate) fn receive_in_dialog(
        &mut self,
        now: Instant,
        source: SocketAddr,
        request: &Message,
        via: &Via,
        server: ServerKey,
    ) -> Result<(), Fault> {
        let (Ok(call_id), Ok(from), Ok(to), Ok(cseq)) =
            (request.call_id(), request.from(), request.to(), request.cseq())
        else {
            return Err(Fault::new(StatusCode::BAD_REQUEST));
        };
        let (to_tag, from_tag) = (to.tag().unwrap_or(""), from.tag().unwrap_or(""));
        let unknown = || Fault::new(StatusCode::CALL_DOES_NOT_EXIST);
        let key = self.calls.find(&self.core.random, &call_id, to_tag, from_tag).ok_or_else(unknown)?;
        let call = self.calls.get_mut(key).ok_or_else(unknown)?;
        if call.name.is_ended() && matches!(cseq.method, Method::Invite | Method::Update) {
            // Hung up already: only the ACK or a BYE is still awaited.
            return Err(unknown());
        }
        match (order(last_seq(&mut call.state, from_tag), cseq.number), &cseq.method) {
            (Order::Old, _) => {
                return Err(Fault::because(StatusCode::SERVER_INTERNAL_ERROR, "CSeq Out Of Order"));
            }
            // What has been acted upon came again on another way.
            (Order::Same, Method::Invite | Method::Info | Method::Refer | Method::Notify) => {
                return Err(Fault::new(StatusCode::LOOP_DETECTED));
            }
            (Order::New | Order::Same, _) => {}
        }
        check_require(&self.core.config, request)?;
        let sdp = match cseq.method {
            Method::Invite | Method::Update | Method::Prack => {
                self.admit_transaction()?;
                sdp_of(request)?
            }
            Method::Info | Method::Refer | Method::Notify => {
                self.admit_transaction()?;
                None
            }
            _ => None,
        };
        let session = match self.calls.state(key) {
            Some(State::Up(up)) => up.session.as_deref(),
            _ => None,
        };
        let terms = match cseq.method {
            Method::Invite | Method::Update => Terms::of(&self.core.config, request, session)?,
            _ => None,
        };
        let head = ResponseHead::new(request, via, source, to_tag);
        let head = head.ok_or_else(|| Fault::new(StatusCode::BAD_REQUEST))?;
        // Only now: a request that is refused without a transaction gets the same answer when it comes again.
        if let Some(state) = self.calls.state(key) {
            note_seq(state, from_tag, cseq.number);
        }
        match cseq.method {
            Method::Bye => self.receive_bye(now, key, request, (server, head)),
            Method::Invite => self.receive_reinvite(now, key, (request, sdp, terms), (server, head), source),
            Method::Update => self.receive_update(now, key, (request, sdp, terms), (server, head)),
            Method::Prack => self.receive_prack(now, key, (request, sdp), (server, head)),
            Method::Info => self.receive_info(now, key, request, (server, head)),
            Method::Refer => self.receive_refer(now, key, request, (server, head)),
            Method::Notify => self.receive_notify(now, key, request, (server, head)),
            _ => return Err(self.capabilities(true)),
        }
        Ok(())
    }

    fn receive_bye(
        &mut self,
        now: Instant,
        key: CallKey,
        request: &Message,
        (server, head): (ServerKey, ResponseHead),
    ) {
        if self.admit_transaction().is_ok() {
            self.reply_plain(now, key, server, &head, (200, "OK"), &[]);
        } else {
            // A BYE is never refused; a retransmission of this one will get 481.
            self.core.send(head.destination, head.response(200, "OK", &[], None));
        }
        let reason = request.header(HeaderName::Reason).map(ToString::to_string);
        let cause = EndCause::RemoteBye { reason };
        match self.calls.state(key) {
            Some(State::Ringing(_)) => {
                let terminated = StatusCode::REQUEST_TERMINATED;
                self.refuse_ringing(now, key, (terminated, terminated.reason()), &[], cause);
            }
            Some(State::Calling(_)) => self.give_up(now, key, cause),
            Some(State::Up(up)) => {
                abandon_offers(&mut self.core, &mut self.clients, &mut self.servers, now, up);
                pay_ack(&mut self.core, &mut self.clients, up, None);
                self.drop_call(key, cause);
            }
            // The peer's BYE crosses ours: ours is answered by its own transaction.
            Some(State::Leaving(_)) | None => {}
        }
    }

    fn receive_reinvite(
        &mut self,
        now: Instant,
        key: CallKey,
        (request, sdp, terms): (&Message, Option<Bytes>, Option<Terms>),
        (server, head): (ServerKey, ResponseHead),
        source: SocketAddr,
    ) {
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let trying = head.response(100, "Trying", &[], None);
        let destination = head.destination;
        self.servers.start_invite(&mut self.core, now, server, key, None, (destination, trying));
        let retry_after = self.core.random.below(11).to_string();
        let pending = [("Retry-After", retry_after.as_str())];
        let refusal: Option<(StatusCode, &[(&str, &str)])> = match self.calls.state(key) {
            Some(State::Up(up)) if up.theirs.is_some() || up.unacked.is_some() || up.ack_owed.is_some() => {
                Some((StatusCode::SERVER_INTERNAL_ERROR, &pending))
            }
            Some(State::Up(up)) if up.has_sent_offer() => Some((StatusCode::REQUEST_PENDING, &[])),
            Some(State::Up(up)) => {
                up.dialog.refresh_target(request);
                up.dialog.peer = source;
                let has_offer = sdp.is_some();
                up.theirs = Some(Box::new(TheirOffer {
                    server,
                    head: head.clone(),
                    invite: true,
                    has_offer,
                    cseq,
                    terms,
                }));
                None
            }
            Some(State::Ringing(_)) => Some((StatusCode::SERVER_INTERNAL_ERROR, &pending)),
            Some(State::Calling(_)) => Some((StatusCode::REQUEST_PENDING, &[])),
            Some(State::Leaving(_)) | None => Some((StatusCode::CALL_DOES_NOT_EXIST, &[])),
        };
        match refusal {
            Some((status, lines)) => {
                let response = head.response(status.as_u16(), status.reason(), lines, None);
                self.servers.reply(&mut self.core, now, server, Reply::Failure, response);
            }
            None => self.core.event(Event::Offer { call: key, sdp, method: OfferMethod::Invite }),
        }
    }

    fn receive_update(
        &mut self,
        now: Instant,
        key: CallKey,
        (request, sdp, terms): (&Message, Option<Bytes>, Option<Terms>),
        (server, head): (ServerKey, ResponseHead),
    ) {
        let retry_after = self.core.random.below(11).to_string();
        let pending = [("Retry-After", retry_after.as_str())];
        let contact = compose::contact(&self.core.config, head.destination);
        let in_force = matches!(self.calls.state(key), Some(State::Up(_)));
        let extra = compose::extension_lines(&self.core.config, terms.filter(|_| in_force));
        let mut accepted = vec![("Contact", contact.as_str()), ("Allow", compose::allow(&self.core.config))];
        accepted.extend(extra.iter().map(|(name, value)| (*name, value.as_str())));
        let busy = (StatusCode::SERVER_INTERNAL_ERROR, &pending[..]);
        let (status, lines) = match (self.calls.state(key), &sdp) {
            (Some(State::Leaving(_)) | None, _) => (StatusCode::CALL_DOES_NOT_EXIST, &[][..]),
            // An offer while one is open (RFC 3311 §5.2): ours 491, theirs 500.
            (Some(State::Calling(_)), Some(_)) => (StatusCode::REQUEST_PENDING, &[][..]),
            (Some(State::Ringing(ringing)), Some(_)) => match &mut ringing.reliability {
                Some(reliability) if reliability.takes_offer() => {
                    ringing.dialog.refresh_target(request);
                    let cseq = request.cseq().map_or(0, |cseq| cseq.number);
                    let offer = TheirOffer::plain(server, head, cseq, None);
                    reliability.theirs = Some(Box::new(offer.begin(&mut self.servers, key)));
                    self.core.event(Event::Offer { call: key, sdp, method: OfferMethod::Update });
                    return;
                }
                _ => busy,
            },
            (Some(State::Up(up)), Some(_)) if up.theirs.is_some() || up.ack_owed.is_some() => busy,
            (Some(State::Up(up)), Some(_)) if up.has_sent_offer() => (StatusCode::REQUEST_PENDING, &[][..]),
            (Some(State::Up(up)), Some(_)) => {
                up.dialog.refresh_target(request);
                let cseq = request.cseq().map_or(0, |cseq| cseq.number);
                let destination = head.destination;
                up.theirs =
                    Some(Box::new(TheirOffer { server, head, invite: false, has_offer: true, cseq, terms }));
                self.servers.start_plain(server, key, destination);
                self.core.event(Event::Offer { call: key, sdp, method: OfferMethod::Update });
                return;
            }
            (Some(State::Up(up)), None) => {
                up.dialog.refresh_target(request);
                up.agree(&mut self.core, now, key, terms, None);
                (StatusCode::OK, &accepted[..])
            }
            (Some(State::Ringing(ringing)), None) => {
                ringing.dialog.refresh_target(request);
                (StatusCode::OK, &accepted[..])
            }
            (Some(State::Calling(_)), None) => (StatusCode::OK, &accepted[..]),
        };
        self.reply_plain(now, key, server, &head, (status.as_u16(), status.reason()), lines);
    }

    /// Answers a request other than INVITE from a transaction, so its retransmission gets the same answer.
    pub(super) fn reply_plain(
        &mut self,
        now: Instant,
        key: CallKey,
        server: ServerKey,
        head: &ResponseHead,
        (status, reason): (u16, &str),
        lines: &[(&str, &str)],
    ) {
        let response = head.response(status, reason, lines, None);
        self.servers.start_plain(server, key, head.destination);
        let reply = if status < 300 { Reply::Success } else { Reply::Failure };
        self.servers.reply(&mut self.core, now, server, reply, response);
    }

    /// Accepts the peer's offer.
    pub(crate) fn accept_offer(&mut self, now: Instant, key: CallKey, sdp: &Bytes) -> Result<(), CallError> {
        if let Some(theirs) = self.take_early_offer(key) {
            return self.accept_early_offer(now, key, &theirs, sdp);
        }
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let theirs = up.theirs.take().ok_or(CallError::WrongState)?;
        let TheirOffer { server, head, invite, has_offer, cseq, terms } = *theirs;
        up.outdate_offer();
        if invite {
            let kind = SuccessKind { terms, initial: false, offers: !has_offer };
            send_success(
                &mut self.core,
                &mut self.servers,
                now,
                key,
                up,
                (server, &head, cseq),
                Some(sdp),
                kind,
            );
        } else {
            let response = head.session(&self.core.config, None, StatusCode::OK, (terms, &[]), Some(sdp));
            self.servers.reply(&mut self.core, now, server, Reply::Success, response);
            up.agree(&mut self.core, now, key, terms, Some(sdp));
        }
        Ok(())
    }

    /// Refuses the peer's offer.
    pub(crate) fn refuse_offer(&mut self, now: Instant, key: CallKey, status: u16) -> Result<(), CallError> {
        let status = StatusCode::new(status).filter(|status| status.is_failure());
        let status = status.ok_or(CallError::Invalid { field: "status" })?;
        if let Some(theirs) = self.take_early_offer(key) {
            theirs.refuse(&mut self.core, &mut self.servers, now, status);
            self.confirmed(now, key);
            return Ok(());
        }
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let theirs = up.theirs.take().ok_or(CallError::WrongState)?;
        theirs.refuse(&mut self.core, &mut self.servers, now, status);
        Ok(())
    }
}

impl Up {
    /// Our re-INVITE is out and has no final response, or our 2xx with an offer no ACK.
    fn has_sent_offer(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| matches!(ours.phase, OfferPhase::Sent { .. }))
            || self.unacked.as_ref().is_some_and(|unacked| unacked.offers)
    }
}

/// The last CSeq number of the peer; in an early dialog that is not known yet there is none.
fn last_seq(state: &mut State, remote_tag: &str) -> Option<u32> {
    match state {
        State::Ringing(ringing) => ringing.dialog.remote_seq,
        State::Up(up) => up.dialog.remote_seq,
        State::Leaving(leaving) => leaving.dialog.remote_seq,
        State::Calling(calling) => calling.early(remote_tag).and_then(|early| early.remote_seq),
    }
}

fn note_seq(state: &mut State, remote_tag: &str, number: u32) {
    let last = match state {
        State::Ringing(ringing) => &mut ringing.dialog.remote_seq,
        State::Up(up) => &mut up.dialog.remote_seq,
        State::Leaving(leaving) => &mut leaving.dialog.remote_seq,
        State::Calling(calling) => match calling.early(remote_tag) {
            Some(early) => &mut early.remote_seq,
            None => return,
        },
    };
    *last = (*last).max(Some(number));
}
