//! Keeps a session alive: the refresh by UPDATE or re-INVITE, its answers, and the end of a session that nobody refreshes
//! (RFC 4028 §7.4, §10; RFC 3311).

use std::time::{Duration, Instant};

use super::call::{State, Up};
use super::reoffer::{glare_wait, send_reinvite};
use super::uac::{challenged_by, challenges};
use super::{CallKey, EndCause, compose};
use crate::endpoint::{Core, Endpoint};
use crate::msg::{Message, Method, StatusCode};
use crate::tx::{ClientKey, Clients, Purpose};

impl Endpoint {
    /// The session timer of a call fired: it is to be refreshed, or over.
    pub(crate) fn session_due(&mut self, now: Instant, key: CallKey) {
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        let changing = up.is_changing();
        let Some(session) = &mut up.session else { return };
        if now < session.expires_at {
            match changing || session.update.is_some() {
                // The change refreshes the session, if it succeeds.
                true => session.retry(&mut self.core, now, key, None),
                false => refresh(&mut self.core, &mut self.clients, now, key, up, true),
            }
        } else if session.agreed {
            self.end_and_leave(now, key, EndCause::SessionExpired);
        } else {
            // Only we keep this timer, and the peer has answered, if only with errors: it is there.
            session.expires_at = now + session.interval;
            session.wake(&mut self.core, now + session.interval / 2, key);
        }
    }

    /// A response to our UPDATE.
    pub(crate) fn update_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(key) = self.clients.get(client).and_then(|tx| tx.owner) else { return };
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        let Some(session) = up.session.as_mut().filter(|session| session.update == Some(client)) else {
            return;
        };
        session.update = None;
        if status.is_success() {
            up.dialog.refresh_target(response);
            up.adopt(&mut self.core, now, key, (None, response), None);
            return;
        }
        if let Some(by) = challenged_by(status)
            && let Some(auth) = &mut up.auth
            && auth.challenged(by, challenges(response, by)).is_ok()
        {
            return refresh(&mut self.core, &mut self.clients, now, key, up, false);
        }
        match status {
            StatusCode::SESSION_INTERVAL_TOO_SMALL if session.ask.raise(response) => {
                refresh(&mut self.core, &mut self.clients, now, key, up, true);
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED if session.by_update => {
                session.by_update = false;
                refresh(&mut self.core, &mut self.clients, now, key, up, true);
            }
            StatusCode::REQUEST_PENDING => {
                let wait = glare_wait(&mut self.core, up.we_called);
                session.retry(&mut self.core, now, key, Some(wait));
            }
            status if is_gone(status) => self.end_and_leave(now, key, EndCause::SessionExpired),
            _ => session.retry(&mut self.core, now, key, retry_after(response)),
        }
    }
}

impl Up {
    /// How the call ends that has no answer to its re-INVITE or UPDATE `client`; `None` when that is not awaited.
    pub(crate) fn unanswered(&self, client: ClientKey, cause: EndCause) -> Option<EndCause> {
        let by_update = self.session.as_ref().is_some_and(|session| session.update == Some(client));
        let ours = self.ours.as_ref().filter(|ours| ours.is_sent(client));
        let refresh = by_update || ours.is_some_and(|ours| ours.refresh);
        match cause {
            EndCause::Timeout if refresh => Some(EndCause::SessionExpired),
            cause => (by_update || ours.is_some()).then_some(cause),
        }
    }
}

/// The dialog is gone on the other side (RFC 3261 §12.2.1.2).
pub(super) fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::CALL_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT)
}

/// How long the peer wants to be left alone.
pub(super) fn retry_after(response: &Message) -> Option<Duration> {
    response
        .retry_after()
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(|seconds| Duration::from_secs(seconds.into()))
}

/// Sends a refresh: UPDATE without SDP where the peer takes it, or where there is no SDP; else a re-INVITE with ours as it
/// is. `fresh` begins a new request, whose challenges do not count as refusals of the last one.
fn refresh(core: &mut Core, clients: &mut Clients, now: Instant, key: CallKey, up: &mut Up, fresh: bool) {
    let Some(session) = &mut up.session else { return };
    session.wake(core, session.expires_at, key);
    if let Some(auth) = up.auth.as_mut().filter(|_| fresh) {
        auth.next_request();
    }
    if !session.by_update && !session.sdp.is_empty() {
        let sdp = session.sdp.clone();
        up.ours = send_reinvite(core, clients, now, key, up, sdp, 0);
        if let Some(ours) = &mut up.ours {
            ours.refresh = true;
        }
        return;
    }
    let mut lines = session.lines();
    let branch = core.random.branch();
    let cseq = up.dialog.next_local_seq();
    if let Some(auth) = &mut up.auth {
        let cnonce = core.random.tag();
        lines.extend(auth.headers("UPDATE", &up.dialog.next_hop(core.config.contact).uri, b"", &cnonce));
    }
    let message =
        compose::in_dialog(&core.config, &up.dialog, &Method::Update, (cseq, &branch), &lines, None);
    if let Some(message) = message {
        let client = ClientKey::new(&core.random, &branch, &Method::Update);
        clients.start(core, now, client, Purpose::Update, Some(key), message);
        session.update = Some(client);
    }
}
