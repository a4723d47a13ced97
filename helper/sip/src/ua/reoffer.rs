//! Session changes that we ask for: the re-INVITE, its answer, glare and refusal (RFC 3261 §14.1).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{CallTimer, OfferPhase, OurOffer, State, Up};
use super::refresh::{is_gone, retry_after};
use super::uac::{body_of, challenged_by, challenges, withdraw};
use super::{CallError, CallKey, EndCause, Event, compose};
use crate::dialog::Dialog;
use crate::endpoint::{Core, Endpoint};
use crate::msg::{HeaderName, Message, Method, StatusCode};
use crate::tx::{ClientKey, Clients, Purpose, SuccessAck};

/// 491 in a row after which a session change is given up.
const MAX_GLARES: u8 = 8;

impl Endpoint {
    /// Sends a re-INVITE.
    pub(crate) fn send_reoffer(&mut self, now: Instant, key: CallKey, sdp: Bytes) -> Result<(), CallError> {
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        if let Some(ours) = up.ours.as_deref_mut() {
            match &mut ours.phase {
                OfferPhase::Waiting { outdated, .. } => {
                    (ours.sdp, ours.refresh, *outdated) = (sdp, false, false);
                }
                // A refresh that the owner does not know of is in the way.
                OfferPhase::Sent { .. } if ours.refresh && ours.then.is_none() => ours.then = Some(sdp),
                OfferPhase::Sent { .. } => return Err(CallError::WrongState),
            }
            return Ok(());
        }
        if up.is_changing() {
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
        let OurOffer { sdp, glares, refresh, then, .. } = *ours;
        if status.is_success() {
            up.dialog.refresh_target(response);
            acknowledge(&mut self.core, &mut self.clients, client, &up.dialog, None);
            up.adopt(&mut self.core, now, key, (None, response), Some(&sdp));
            let answer = body_of(response);
            self.core.event(match refresh {
                true => Event::Refreshed { call: key, sdp: answer },
                false => Event::Reanswered { call: key, sdp: answer },
            });
            return self.reoffer_next(now, key, then);
        }
        if let Some(by) = challenged_by(status)
            && let Some(auth) = &mut up.auth
            && auth.challenged(by, challenges(response, by)).is_ok()
        {
            let again = send_reinvite(&mut self.core, &mut self.clients, now, key, up, sdp, glares);
            up.ours = again.map(|again| Box::new(OurOffer { refresh, then, ..*again }));
            return;
        }
        match status {
            StatusCode::SESSION_INTERVAL_TOO_SMALL
                if up.session.as_mut().is_some_and(|session| session.ask.raise(response)) =>
            {
                if let Some(auth) = &mut up.auth {
                    auth.next_request();
                }
                let again = send_reinvite(&mut self.core, &mut self.clients, now, key, up, sdp, glares);
                up.ours = again.map(|again| Box::new(OurOffer { refresh, then, ..*again }));
            }
            StatusCode::REQUEST_PENDING if glares < MAX_GLARES => {
                let wait = glare_wait(&mut self.core, up.we_called);
                let retry = self.core.arm_call(now + wait, key, CallTimer::OfferRetry);
                let phase = OfferPhase::Waiting { retry, outdated: false };
                // A change says all that a refresh would.
                let (sdp, refresh) = then.map_or((sdp, refresh), |change| (change, false));
                let glares = glares + 1;
                up.ours = Some(Box::new(OurOffer { sdp, phase, glares, refresh, then: None }));
            }
            // The dialog is gone on the other side (RFC 3261 §12.2.1.2).
            status if is_gone(status) && refresh => self.end_and_leave(now, key, EndCause::SessionExpired),
            status if is_gone(status) => {
                let reason = status.reason().to_owned();
                self.end_and_leave(now, key, EndCause::rejected(status.as_u16(), reason));
            }
            _ if refresh => {
                if let Some(session) = &mut up.session {
                    session.retry(&mut self.core, now, key, retry_after(response));
                }
                self.reoffer_next(now, key, then);
            }
            _ => self.core.event(Event::ReofferRefused { call: key, status: status.as_u16() }),
        }
    }

    /// The owner's session change that has waited for a refresh of ours.
    fn reoffer_next(&mut self, now: Instant, key: CallKey, sdp: Option<Bytes>) {
        let Some(sdp) = sdp else { return };
        // The call is up and nothing is open: the refresh was, until now.
        if self.send_reoffer(now, key, sdp).is_err() {
            self.core.event(Event::ReofferRefused { call: key, status: 491 });
        }
    }

    /// A 2xx to a re-INVITE that comes again, or after its call.
    fn stray_reinvite_success(&mut self, client: ClientKey, response: &Message, status: StatusCode) {
        let Some(tx) = self.clients.get_mut(client).filter(|_| status.is_success()) else { return };
        if tx.success_acks.is_empty() {
            let branch = self.core.random.branch();
            let ack =
                compose::own(&tx.request).zip(response.header(HeaderName::To)).and_then(|(invite, to)| {
                    compose::orphan_ack(&self.core.config, tx.destination, &invite, to, &branch)
                });
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

    /// Our re-INVITE rings for too long: withdrawn.
    pub(crate) fn reoffer_limit(&mut self, now: Instant, key: CallKey) {
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        let Some(ours) = up.ours.take() else { return };
        let OurOffer { phase: OfferPhase::Sent { invite, .. }, refresh, then, .. } = *ours else { return };
        withdraw(&mut self.core, &mut self.clients, now, invite);
        if let Some(session) = up.session.as_mut().filter(|_| refresh) {
            session.retry(&mut self.core, now, key, None);
        }
        if !refresh || then.is_some() {
            self.core.event(Event::ReofferRefused { call: key, status: 408 });
        }
    }

    /// The wait after a glare is over.
    pub(crate) fn reoffer_retry(&mut self, now: Instant, key: CallKey) {
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        let Some(ours) = up.ours.take() else { return };
        let OfferPhase::Waiting { outdated, .. } = ours.phase else { return };
        if up.theirs.is_some() || up.unacked.is_some() {
            let wait = glare_wait(&mut self.core, up.we_called);
            let retry = self.core.arm_call(now + wait, key, CallTimer::OfferRetry);
            up.ours = Some(Box::new(OurOffer { phase: OfferPhase::Waiting { retry, outdated }, ..*ours }));
            return;
        }
        let OurOffer { sdp, glares, refresh, .. } = *ours;
        if outdated {
            // A change is a refresh too: only the owner's own is still due.
            if !refresh {
                self.core.event(Event::ReofferDue { call: key });
            }
            return;
        }
        let again = send_reinvite(&mut self.core, &mut self.clients, now, key, up, sdp, glares);
        up.ours = again.map(|again| Box::new(OurOffer { refresh, ..*again }));
    }
}

impl Up {
    /// A session change of either side is not finished, or the call itself not quite up.
    pub(super) fn is_changing(&self) -> bool {
        self.ours.is_some() || self.theirs.is_some() || self.unacked.is_some() || self.ack_owed.is_some()
    }

    /// The session changes while our offer waits: its body, version included, no longer follows the last one (RFC 3264 §8).
    pub(super) fn outdate_offer(&mut self) {
        if let Some(OfferPhase::Waiting { outdated, .. }) =
            self.ours.as_deref_mut().map(|ours| &mut ours.phase)
        {
            *outdated = true;
        }
    }
}

impl OurOffer {
    pub(super) fn is_sent(&self, client: ClientKey) -> bool {
        matches!(self.phase, OfferPhase::Sent { invite, .. } if invite == client)
    }
}

pub(super) fn send_reinvite(
    core: &mut Core,
    clients: &mut Clients,
    now: Instant,
    key: CallKey,
    up: &mut Up,
    sdp: Bytes,
    glares: u8,
) -> Option<Box<OurOffer>> {
    let branch = core.random.branch();
    let cseq = up.dialog.next_local_seq();
    let mut headers = up.session.as_ref().map_or_else(Vec::new, |session| session.lines());
    if let Some(auth) = &mut up.auth {
        let cnonce = core.random.tag();
        headers.extend(auth.headers("INVITE", &up.dialog.next_hop(core.config.contact).uri, &sdp, &cnonce));
    }
    let message =
        compose::in_dialog(&core.config, &up.dialog, &Method::Invite, (cseq, &branch), &headers, Some(&sdp))?;
    let invite = ClientKey::new(&core.random, &branch, &Method::Invite);
    clients.start(core, now, invite, Purpose::Reinvite, Some(key), message);
    // Longer than timer B, so silence is told from ringing.
    let limit = core.arm_call(now + core.config.timers.timeout() * 2, key, CallTimer::OfferLimit);
    Some(Box::new(OurOffer {
        sdp,
        phase: OfferPhase::Sent { invite, limit },
        glares,
        refresh: false,
        then: None,
    }))
}

/// Sends the ACK of a 2xx inside `dialog` and keeps it for retransmissions. Tells whether it could.
pub(super) fn acknowledge(
    core: &mut Core,
    clients: &mut Clients,
    client: ClientKey,
    dialog: &Dialog,
    sdp: Option<&Bytes>,
) -> bool {
    let Some(tx) = clients.get_mut(client) else { return false };
    let branch = core.random.branch();
    let ack = compose::own(&tx.request)
        .and_then(|invite| compose::success_ack(&core.config, dialog, &invite, &branch, sdp));
    let Some((destination, ack)) = ack else { return false };
    core.send(destination, ack.clone());
    tx.success_acks.push(SuccessAck { tag: dialog.remote_tag.clone(), destination, ack });
    true
}

/// RFC 3261 §14.1: the caller waits 2.1 to 4 s, the callee up to 2 s, in steps of 10 ms.
pub(super) fn glare_wait(core: &mut Core, we_called: bool) -> Duration {
    let steps = if we_called { 210 + core.random.below(191) } else { core.random.below(201) };
    Duration::from_millis(10 * u64::from(steps.max(1)))
}
