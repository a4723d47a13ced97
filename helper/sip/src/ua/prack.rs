//! Reliable provisional responses to our INVITE (RFC 3262 §4): each is confirmed by PRACK, in the order of its early dialog.
//! An SDP answer in one of them is the answer of the call (RFC 3261 §13.2.1).

use std::time::Instant;

use bytes::Bytes;

use super::call::{Calling, State};
use super::uac::{body_of, challenged_by, challenges, note_early_dialog};
use super::{CallKey, Event, compose};
use crate::dialog::Dialog;
use crate::endpoint::{Core, Endpoint, EndpointConfig, Reliable};
use crate::msg::{HeaderName, Message, Method, StatusCode};
use crate::tx::{ClientKey, Clients, Purpose};

/// The option tag.
pub(crate) const RELIABLE: &str = "100rel";

/// What an early dialog has beyond its tag once a reliable response came in it.
#[derive(Debug)]
pub(crate) struct Confirmed {
    pub(crate) dialog: Dialog,
    /// The RSeq of the last response that was confirmed.
    rseq: u32,
    /// The SDP answer.
    pub(crate) answer: Option<Bytes>,
}

impl Endpoint {
    /// A response 101 to 199 to an INVITE that opens a call.
    pub(crate) fn early_response(
        &mut self,
        now: Instant,
        (client, key): (ClientKey, CallKey),
        response: &Message,
        status: StatusCode,
    ) {
        let Some(State::Calling(calling)) = self.calls.state(key) else { return };
        note_early_dialog(calling, response);
        if is_reliable(&self.core.config, calling, response) {
            let confirmed = confirm(&mut self.core, &self.clients, client, calling, response);
            let Some(tag) = confirmed else { return };
            send_prack(&mut self.core, &mut self.clients, now, key, calling, &tag, rack(response));
        }
        let early_media = body_of(response);
        self.core.event(Event::Ringing { call: key, status: status.as_u16(), early_media });
    }

    /// A response to a PRACK: a challenge is answered. Whatever else it is, the INVITE has an outcome of its own.
    pub(crate) fn prack_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(by) = response.status().and_then(challenged_by) else { return };
        let Some(tx) = self.clients.get(client) else { return };
        let (owner, prack) = (tx.owner, compose::own(&tx.request));
        let (Some(key), Some(prack)) = (owner, prack) else { return };
        let Some(State::Calling(calling)) = self.calls.state(key) else { return };
        let Some(auth) = &mut calling.auth else { return };
        if auth.challenged(by, challenges(response, by)).is_err() {
            return;
        }
        let rack = prack.header(HeaderName::RAck).map(ToString::to_string);
        if let Some(tag) = prack.to().ok().and_then(|to| to.tag().map(str::to_owned)) {
            send_prack(&mut self.core, &mut self.clients, now, key, calling, &tag, rack);
        }
    }
}

/// Whether the response wants a PRACK. Without an offer in the INVITE it might bring one, so such an INVITE does not name
/// the extension.
fn is_reliable(config: &EndpointConfig, calling: &Calling, response: &Message) -> bool {
    config.reliable != Reliable::Off
        && calling.outbound.offer.is_some()
        && response.require().any(|tag| tag.eq_ignore_ascii_case(RELIABLE))
        && response.rseq().is_ok()
}

/// Takes a response that is the next of its early dialog and gives the dialog's tag. A repeated one is answered by the PRACK
/// that is out; one that is ahead of its turn is not confirmed, so it comes again (RFC 3262 §4).
fn confirm(
    core: &mut Core,
    clients: &Clients,
    client: ClientKey,
    calling: &mut Calling,
    response: &Message,
) -> Option<String> {
    let (rseq, tag) = (response.rseq().ok()?, response.to().ok()?.tag().map(str::to_owned));
    let Some((tag, early)) = tag.and_then(|tag| calling.early(&tag).map(|early| (tag, early))) else {
        core.counters.dropped += 1;
        return None;
    };
    match &mut early.confirmed {
        None => {
            let tx = clients.get(client)?;
            let dialog = Dialog::uac(&compose::own(&tx.request)?, response, tx.destination).ok()?;
            early.confirmed = Some(Box::new(Confirmed { dialog, rseq, answer: body_of(response) }));
        }
        Some(confirmed) if rseq.checked_sub(1) == Some(confirmed.rseq) => {
            confirmed.rseq = rseq;
            confirmed.dialog.refresh_target(response);
            confirmed.answer = confirmed.answer.take().or_else(|| body_of(response));
        }
        Some(confirmed) if rseq <= confirmed.rseq => {
            core.counters.retransmissions_in += 1;
            return None;
        }
        Some(_) => {
            core.counters.dropped += 1;
            return None;
        }
    }
    Some(tag)
}

/// The value of the RAck that confirms a response.
fn rack(response: &Message) -> Option<String> {
    let (rseq, cseq) = (response.rseq().ok()?, response.cseq().ok()?);
    Some(format!("{rseq} {cseq}"))
}

fn send_prack(
    core: &mut Core,
    clients: &mut Clients,
    now: Instant,
    key: CallKey,
    calling: &mut Calling,
    tag: &str,
    rack: Option<String>,
) {
    let Calling { early, auth, .. } = calling;
    let early = early.iter_mut().find(|early| *early.remote_tag == *tag);
    let (Some(confirmed), Some(rack)) = (early.and_then(|early| early.confirmed.as_mut()), rack) else {
        return;
    };
    let branch = core.random.branch();
    let cseq = confirmed.dialog.next_local_seq();
    let mut lines = vec![("RAck", rack)];
    if let Some(auth) = auth {
        let cnonce = core.random.tag();
        let uri = confirmed.dialog.next_hop(core.config.contact).uri;
        lines.extend(auth.headers("PRACK", &uri, b"", &cnonce));
    }
    let message =
        compose::in_dialog(&core.config, &confirmed.dialog, &Method::Prack, (cseq, &branch), &lines, None);
    if let Some(message) = message {
        let client = ClientKey::new(&core.random, &branch, &Method::Prack);
        clients.start(core, now, client, Purpose::Prack, Some(key), message);
    }
}
