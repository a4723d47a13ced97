//! Calls that are up: requests inside the dialog, session changes in both directions, and the end by BYE
//! (RFC 3261 §12.2, §14, §15; RFC 3311).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{Call, CallTimer, Leaving, OfferPhase, OurOffer, State, TheirOffer, Unacked, Up};
use super::compose::{self, ALLOW, ResponseHead};
use super::uac::{body_of, challenged_by, challenges, send_bye, withdraw};
use super::uas::{check_require, sdp_of, send_success};
use super::{CallError, CallKey, EndCause, Event, OfferMethod};
use crate::dialog::{Dialog, Order, order};
use crate::endpoint::{Core, Endpoint, Fault};
use crate::msg::{HeaderName, Message, Method, StatusCode, Via};
use crate::tx::{ClientKey, Clients, Purpose, Reply, ServerKey, Servers, SuccessAck};

/// 491 in a row after which a session change is given up.
const MAX_GLARES: u8 = 8;

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
        match (take_seq(&mut call.state, from_tag, cseq.number), &cseq.method) {
            (Order::Old, _) => {
                return Err(Fault::because(StatusCode::SERVER_INTERNAL_ERROR, "CSeq Out Of Order"));
            }
            (Order::Same, Method::Invite) => return Err(Fault::new(StatusCode::LOOP_DETECTED)),
            (Order::New | Order::Same, _) => {}
        }
        check_require(request)?;
        let head = ResponseHead::new(request, via, source, to_tag);
        let head = head.ok_or_else(|| Fault::new(StatusCode::BAD_REQUEST))?;
        match cseq.method {
            Method::Bye => self.receive_bye(now, key, request, (server, head)),
            Method::Invite => self.receive_reinvite(now, key, request, (server, head), source)?,
            Method::Update => self.receive_update(now, key, request, (server, head))?,
            _ => return Err(self.capabilities()),
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
        request: &Message,
        (server, head): (ServerKey, ResponseHead),
        source: SocketAddr,
    ) -> Result<(), Fault> {
        let sdp = sdp_of(request)?;
        self.admit_transaction()?;
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let trying = head.response(100, "Trying", &[], None);
        let destination = head.destination;
        self.servers.start_invite(&mut self.core, now, server, key, None, (destination, trying));
        let retry_after = self.core.random.below(11).to_string();
        let pending = [("Retry-After", retry_after.as_str())];
        let refusal: Option<(StatusCode, &[(&str, &str)])> = match self.calls.state(key) {
            Some(State::Up(up)) if up.theirs.is_some() || up.unacked.is_some() => {
                Some((StatusCode::SERVER_INTERNAL_ERROR, &pending))
            }
            Some(State::Up(up)) if up.has_sent_offer() => Some((StatusCode::REQUEST_PENDING, &[])),
            Some(State::Up(up)) => {
                up.dialog.refresh_target(request);
                up.dialog.peer = source;
                up.theirs = Some(TheirOffer { server, head: head.clone(), invite: true, cseq });
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
        Ok(())
    }

    fn receive_update(
        &mut self,
        now: Instant,
        key: CallKey,
        request: &Message,
        (server, head): (ServerKey, ResponseHead),
    ) -> Result<(), Fault> {
        let sdp = sdp_of(request)?;
        self.admit_transaction()?;
        let retry_after = self.core.random.below(11).to_string();
        let pending = [("Retry-After", retry_after.as_str())];
        let contact = compose::contact(&self.core.config);
        let accepted = [("Contact", contact.as_str()), ("Allow", ALLOW)];
        let busy = (StatusCode::SERVER_INTERNAL_ERROR, &pending[..]);
        let (status, lines) = match (self.calls.state(key), &sdp) {
            (Some(State::Leaving(_)) | None, _) => (StatusCode::CALL_DOES_NOT_EXIST, &[][..]),
            // An offer while one is open (RFC 3311 §5.2): ours 491, theirs 500.
            (Some(State::Calling(_)), Some(_)) => (StatusCode::REQUEST_PENDING, &[][..]),
            (Some(State::Ringing(_)), Some(_)) => busy,
            (Some(State::Up(up)), Some(_)) if up.theirs.is_some() => busy,
            (Some(State::Up(up)), Some(_)) if up.has_sent_offer() => (StatusCode::REQUEST_PENDING, &[][..]),
            (Some(State::Up(up)), Some(_)) => {
                up.dialog.refresh_target(request);
                let cseq = request.cseq().map_or(0, |cseq| cseq.number);
                let destination = head.destination;
                up.theirs = Some(TheirOffer { server, head, invite: false, cseq });
                self.servers.start_plain(server, key, destination);
                self.core.event(Event::Offer { call: key, sdp, method: OfferMethod::Update });
                return Ok(());
            }
            (Some(State::Up(up)), None) => {
                up.dialog.refresh_target(request);
                (StatusCode::OK, &accepted[..])
            }
            (Some(State::Ringing(ringing)), None) => {
                ringing.dialog.refresh_target(request);
                (StatusCode::OK, &accepted[..])
            }
            (Some(State::Calling(_)), None) => (StatusCode::OK, &accepted[..]),
        };
        self.reply_plain(now, key, server, &head, (status.as_u16(), status.reason()), lines);
        Ok(())
    }

    /// Answers a request other than INVITE from a transaction, so its retransmission gets the same answer.
    fn reply_plain(
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
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let theirs = up.theirs.take().ok_or(CallError::WrongState)?;
        let TheirOffer { server, head, invite, cseq } = theirs;
        if invite {
            send_success(&mut self.core, &mut self.servers, now, key, up, (server, &head, cseq), sdp, false);
        } else {
            let contact = compose::contact(&self.core.config);
            let lines =
                [("Contact", contact.as_str()), ("Allow", ALLOW), ("Server", &self.core.config.user_agent)];
            let response = head.response(200, "OK", &lines, Some(sdp));
            self.servers.reply(&mut self.core, now, server, Reply::Success, response);
        }
        Ok(())
    }

    /// Refuses the peer's offer.
    pub(crate) fn refuse_offer(&mut self, now: Instant, key: CallKey, status: u16) -> Result<(), CallError> {
        let status = StatusCode::new(status).filter(|status| status.is_failure());
        let status = status.ok_or(CallError::Invalid { field: "status" })?;
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let theirs = up.theirs.take().ok_or(CallError::WrongState)?;
        let response = theirs.head.response(status.as_u16(), status.reason(), &[], None);
        self.servers.reply(&mut self.core, now, theirs.server, Reply::Failure, response);
        Ok(())
    }

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

    /// Hangs up a call that is up. Our 2xx must have been acknowledged before a BYE may go out (RFC 3261 §15).
    pub(crate) fn hang_up(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.name.end(&mut self.core, EndCause::LocalBye);
        if !matches!(&call.state, State::Up(up) if up.unacked.as_ref().is_some_and(|unacked| unacked.initial))
        {
            self.leave(now, key);
        }
    }

    /// Sends BYE; the call lives on without its owner until the BYE is answered.
    pub(crate) fn leave(&mut self, now: Instant, key: CallKey) {
        let Some(Call { name, state }) = self.calls.take(&mut self.core, key) else { return };
        let State::Up(mut up) = state else { return };
        abandon_offers(&mut self.core, &mut self.clients, &mut self.servers, now, &mut up);
        let Up { mut dialog, mut auth, .. } = *up;
        if let Some(auth) = &mut auth {
            auth.next_request();
        }
        let bye = send_bye(&mut self.core, &mut self.clients, now, Some(key), &mut dialog, auth.as_mut());
        if let Some(bye) = bye {
            self.calls.put(name, State::Leaving(Box::new(Leaving { dialog, auth, bye })));
        }
    }

    /// A response to a BYE: a challenge is answered, anything else final is the end of the call.
    pub(crate) fn bye_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(key) = self.clients.get(client).and_then(|tx| tx.owner) else { return };
        if let Some(State::Leaving(leaving)) = self.calls.state(key)
            && leaving.bye == client
            && let Some(by) = challenged_by(status)
            && let Leaving { dialog, auth: Some(auth), bye } = &mut **leaving
            && auth.challenged(by, challenges(response, by)).is_ok()
            && let Some(again) =
                send_bye(&mut self.core, &mut self.clients, now, Some(key), dialog, Some(auth))
        {
            *bye = again;
            return;
        }
        self.forget_leaving(key);
    }

    /// The BYE is answered, or never will be.
    pub(crate) fn forget_leaving(&mut self, key: CallKey) {
        if matches!(self.calls.state(key), Some(State::Leaving(_))) {
            self.calls.take(&mut self.core, key);
        }
    }

    /// Sends a re-INVITE.
    pub(crate) fn send_reoffer(&mut self, now: Instant, key: CallKey, sdp: Bytes) -> Result<(), CallError> {
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        if up.ours.is_some() || up.theirs.is_some() || up.unacked.is_some() {
            return Err(CallError::WrongState);
        }
        if let Some(auth) = &mut up.auth {
            auth.next_request();
        }
        up.ours = send_reinvite(&mut self.core, &mut self.clients, now, key, up, sdp, 0);
        Ok(())
    }

    /// A response to our re-INVITE.
    pub(crate) fn reinvite_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let key = self.clients.get(client).and_then(|tx| tx.owner);
        let up = match key.and_then(|key| Some((key, self.calls.state(key)?))) {
            Some((key, State::Up(up))) if up.ours.as_ref().is_some_and(|ours| ours.is_sent(client)) => {
                Some((key, up))
            }
            _ => None,
        };
        let Some((key, up)) = up else {
            self.stray_reinvite_success(client, response, status);
            return;
        };
        let Some(ours) = up.ours.take() else { return };
        self.core.timers.cancel(ours.timer());
        if status.is_success() {
            up.dialog.refresh_target(response);
            acknowledge(&mut self.core, &mut self.clients, client, &up.dialog);
            self.core.event(Event::Reanswered { call: key, sdp: body_of(response) });
            return;
        }
        if let Some(by) = challenged_by(status)
            && let Some(auth) = &mut up.auth
            && auth.challenged(by, challenges(response, by)).is_ok()
        {
            up.ours = send_reinvite(&mut self.core, &mut self.clients, now, key, up, ours.sdp, ours.glares);
            return;
        }
        match status {
            StatusCode::REQUEST_PENDING if ours.glares < MAX_GLARES => {
                let wait = glare_wait(&mut self.core, up.we_called);
                let retry = self.core.arm_call(now + wait, key, CallTimer::OfferRetry);
                let phase = OfferPhase::Waiting { retry };
                up.ours = Some(OurOffer { sdp: ours.sdp, phase, glares: ours.glares + 1 });
            }
            // The dialog is gone on the other side (RFC 3261 §12.2.1.2).
            StatusCode::CALL_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT => {
                let reason = status.reason().to_owned();
                self.end_and_leave(now, key, EndCause::Rejected { status: status.as_u16(), reason });
            }
            _ => self.core.event(Event::ReofferRefused { call: key, status: status.as_u16() }),
        }
    }

    /// A 2xx to a re-INVITE that comes again, or after its call.
    fn stray_reinvite_success(&mut self, client: ClientKey, response: &Message, status: StatusCode) {
        let Some(tx) = self.clients.get_mut(client).filter(|_| status.is_success()) else { return };
        if tx.success_acks.is_empty() {
            let branch = self.core.random.branch();
            let ack = compose::own(&tx.request)
                .zip(response.header(HeaderName::To))
                .and_then(|(invite, to)| compose::orphan_ack(&self.core.config, &invite, to, &branch));
            let Some(ack) = ack else { return };
            tx.success_acks.push(SuccessAck { tag: "".into(), destination: tx.destination, ack });
        } else {
            self.core.counters.retransmissions_in += 1;
            self.core.counters.retransmissions_out += 1;
        }
        if let Some(known) = tx.success_acks.first() {
            self.core.send(known.destination, known.ack.clone());
        }
    }

    /// Nobody answered our re-INVITE: the peer is gone (RFC 3261 §12.2.1.2).
    pub(crate) fn end_and_leave(&mut self, now: Instant, key: CallKey, cause: EndCause) {
        if let Some(call) = self.calls.get_mut(key) {
            call.name.end(&mut self.core, cause);
        }
        self.leave(now, key);
    }

    /// Our re-INVITE rings for too long: withdrawn.
    pub(crate) fn reoffer_limit(&mut self, now: Instant, key: CallKey) {
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        if let Some(OurOffer { phase: OfferPhase::Sent { invite, .. }, .. }) = up.ours.take() {
            withdraw(&mut self.core, &mut self.clients, now, invite);
            self.core.event(Event::ReofferRefused { call: key, status: 408 });
        }
    }

    /// The wait after a glare is over.
    pub(crate) fn reoffer_retry(&mut self, now: Instant, key: CallKey) {
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        let Some(ours) = up.ours.take() else { return };
        if up.theirs.is_some() || up.unacked.is_some() {
            let wait = glare_wait(&mut self.core, up.we_called);
            let retry = self.core.arm_call(now + wait, key, CallTimer::OfferRetry);
            up.ours = Some(OurOffer { phase: OfferPhase::Waiting { retry }, ..ours });
            return;
        }
        up.ours = send_reinvite(&mut self.core, &mut self.clients, now, key, up, ours.sdp, ours.glares);
    }
}

impl Up {
    /// Our re-INVITE is out and has no final response.
    fn has_sent_offer(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| matches!(ours.phase, OfferPhase::Sent { .. }))
    }
}

impl OurOffer {
    fn is_sent(&self, client: ClientKey) -> bool {
        matches!(self.phase, OfferPhase::Sent { invite, .. } if invite == client)
    }
}

fn send_reinvite(
    core: &mut Core,
    clients: &mut Clients,
    now: Instant,
    key: CallKey,
    up: &mut Up,
    sdp: Bytes,
    glares: u8,
) -> Option<OurOffer> {
    let branch = core.random.branch();
    let cseq = up.dialog.next_local_seq();
    let headers = match &mut up.auth {
        Some(auth) => {
            let cnonce = core.random.tag();
            auth.headers("INVITE", &up.dialog.next_hop(core.config.contact).uri, &sdp, &cnonce)
        }
        None => Vec::new(),
    };
    let message =
        compose::in_dialog(&core.config, &up.dialog, &Method::Invite, (cseq, &branch), &headers, Some(&sdp))?;
    let invite = ClientKey::new(&core.random, &branch, &Method::Invite);
    clients.start(core, now, invite, Purpose::Reinvite, Some(key), message);
    // Longer than timer B, so silence is told from ringing.
    let limit = core.arm_call(now + core.config.timers.timeout() * 2, key, CallTimer::OfferLimit);
    Some(OurOffer { sdp, phase: OfferPhase::Sent { invite, limit }, glares })
}

/// Sends the ACK of a 2xx inside `dialog` and keeps it for retransmissions.
fn acknowledge(core: &mut Core, clients: &mut Clients, client: ClientKey, dialog: &Dialog) {
    let Some(tx) = clients.get_mut(client) else { return };
    let branch = core.random.branch();
    let ack = compose::own(&tx.request)
        .and_then(|invite| compose::success_ack(&core.config, dialog, &invite, &branch));
    if let Some((destination, ack)) = ack {
        core.send(destination, ack.clone());
        tx.success_acks.push(SuccessAck { tag: dialog.remote_tag.clone(), destination, ack });
    }
}

/// The call ends: its open session changes are refused or withdrawn.
fn abandon_offers(core: &mut Core, clients: &mut Clients, servers: &mut Servers, now: Instant, up: &mut Up) {
    if let Some(theirs) = up.theirs.take() {
        let terminated = StatusCode::REQUEST_TERMINATED;
        let response = theirs.head.response(terminated.as_u16(), terminated.reason(), &[], None);
        servers.reply(core, now, theirs.server, Reply::Failure, response);
    }
    if let Some(ours) = up.ours.take() {
        core.timers.cancel(ours.timer());
        if let OfferPhase::Sent { invite, .. } = ours.phase {
            withdraw(core, clients, now, invite);
        }
    }
}

/// RFC 3261 §14.1: the caller waits 2.1 to 4 s, the callee up to 2 s, in steps of 10 ms.
fn glare_wait(core: &mut Core, we_called: bool) -> Duration {
    let steps = if we_called { 210 + core.random.below(191) } else { core.random.below(201) };
    Duration::from_millis(10 * u64::from(steps.max(1)))
}

fn take_seq(state: &mut State, remote_tag: &str, number: u32) -> Order {
    match state {
        State::Ringing(ringing) => ringing.dialog.take_remote_seq(number),
        State::Up(up) => up.dialog.take_remote_seq(number),
        State::Leaving(leaving) => leaving.dialog.take_remote_seq(number),
        State::Calling(calling) => {
            match calling.early.iter_mut().find(|early| *early.remote_tag == *remote_tag) {
                Some(early) => {
                    let order = order(early.remote_seq, number);
                    if order == Order::New {
                        early.remote_seq = Some(number);
                    }
                    order
                }
                None => Order::New,
            }
        }
    }
}
