//! The end of a call that is up: BYE in its state, its answer, and what is still open (RFC 3261 §15).

use std::time::Instant;

use super::call::{Call, Leaving, OfferPhase, State, Up};
use super::delayed::pay_ack;
use super::uac::{challenged_by, challenges, withdraw};
use super::{CallError, CallKey, EndCause, Reason, Rejection, compose};
use crate::auth::AuthSession;
use crate::dialog::Dialog;
use crate::endpoint::{Core, Endpoint};
use crate::msg::{Message, Method, StatusCode};
use crate::tx::{ClientKey, Clients, Purpose, Reply, Servers};

impl Endpoint {
    /// Hangs up a call in any state, and tells the peer why.
    pub(crate) fn end_because(
        &mut self,
        now: Instant,
        key: CallKey,
        reason: &Reason,
    ) -> Result<(), CallError> {
        let state = self.calls.live(key)?;
        let reason = reason.value().ok_or(CallError::Invalid { field: "reason" })?;
        match state {
            State::Ringing(_) => {
                let headers = vec![("Reason".to_owned(), reason.into())];
                return self.send_rejection(now, key, &Rejection { headers, ..Rejection::new(603) });
            }
            State::Calling(_) => self.give_up_because(now, key, reason),
            State::Up(up) => {
                up.reason = Some(reason);
                self.hang_up(now, key);
            }
            State::Leaving(_) => {}
        }
        Ok(())
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

    /// Nobody answered our re-INVITE: the peer is gone (RFC 3261 §12.2.1.2).
    pub(crate) fn end_and_leave(&mut self, now: Instant, key: CallKey, cause: EndCause) {
        if let Some(call) = self.calls.get_mut(key) {
            call.name.end(&mut self.core, cause);
        }
        self.leave(now, key);
    }

    /// Sends BYE; the call lives on without its owner until the BYE is answered.
    pub(crate) fn leave(&mut self, now: Instant, key: CallKey) {
        let Some(Call { name, state }) = self.calls.take(&mut self.core, key) else { return };
        let State::Up(mut up) = state else { return };
        abandon_offers(&mut self.core, &mut self.clients, &mut self.servers, now, &mut up);
        pay_ack(&mut self.core, &mut self.clients, &mut up, None);
        let Up { mut dialog, mut auth, reason, .. } = *up;
        if let Some(auth) = &mut auth {
            auth.next_request();
        }
        let bye = send_bye(
            &mut self.core,
            &mut self.clients,
            now,
            Some(key),
            &mut dialog,
            (auth.as_deref_mut(), reason.as_deref()),
        );
        if let Some(bye) = bye {
            self.calls.put(name, State::Leaving(Box::new(Leaving { dialog, auth, bye, reason })));
        }
    }

    /// A response to a BYE: a challenge is answered, anything else final is the end of the call.
    pub(crate) fn bye_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(key) = self.clients.get(client).and_then(|tx| tx.owner) else { return };
        if let Some(State::Leaving(leaving)) = self.calls.state(key)
            && leaving.bye == client
            && let Some(by) = challenged_by(status)
            && let Leaving { dialog, auth: Some(auth), bye, reason } = &mut **leaving
            && auth.challenged(by, challenges(response, by)).is_ok()
            && let Some(again) = send_bye(
                &mut self.core,
                &mut self.clients,
                now,
                Some(key),
                dialog,
                (Some(auth), reason.as_deref()),
            )
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
}

/// Sends a BYE inside `dialog`.
pub(crate) fn send_bye(
    core: &mut Core,
    clients: &mut Clients,
    now: Instant,
    owner: Option<CallKey>,
    dialog: &mut Dialog,
    (auth, reason): (Option<&mut AuthSession>, Option<&str>),
) -> Option<ClientKey> {
    let branch = core.random.branch();
    let cseq = dialog.next_local_seq();
    let mut headers = match auth {
        Some(auth) => {
            let cnonce = core.random.tag();
            auth.headers("BYE", &dialog.next_hop(core.config.contact).uri, b"", &cnonce)
        }
        None => Vec::new(),
    };
    headers.extend(reason.map(|reason| ("Reason", reason.to_owned())));
    let message = compose::in_dialog(&core.config, dialog, &Method::Bye, (cseq, &branch), &headers, None)?;
    let key = ClientKey::new(&core.random, &branch, &Method::Bye);
    clients.start(core, now, key, Purpose::Bye, owner, message);
    Some(key)
}

/// The call ends: its open session changes are refused or withdrawn.
pub(super) fn abandon_offers(
    core: &mut Core,
    clients: &mut Clients,
    servers: &mut Servers,
    now: Instant,
    up: &mut Up,
) {
    if let Some(theirs) = up.theirs.take() {
        let terminated = StatusCode::REQUEST_TERMINATED;
        let response = theirs.head.response(terminated.as_u16(), terminated.reason(), &[], None);
        servers.reply(core, now, theirs.server, Reply::Failure, response);
    }
    super::referred::abandon(core, servers, now, up);
    if let Some(ours) = up.ours.take() {
        core.timers.cancel(ours.timer());
        if let OfferPhase::Sent { invite, .. } = ours.phase {
            withdraw(core, clients, now, invite);
        }
    }
}
