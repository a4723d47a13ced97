//! Outbound calls: the INVITE, its responses, its cancellation, forks and challenges (RFC 3261 §8.1, §9.1, §13.2, §22).

use std::time::Instant;

use bytes::Bytes;

use super::bye::send_bye;
use super::call::{Call, CallTimer, Calling, Early, Outbound, State, Up};
use super::delayed;
use super::reoffer::acknowledge;
use super::session_timer::Ask;
use super::{CallKey, Dial, DialError, EndCause, Event, compose, guard};
use crate::auth::{AuthSession, ChallengedBy};
use crate::dialog::Dialog;
use crate::endpoint::{Core, Endpoint};
use crate::msg::{HeaderName, Message, Method, StatusCode};
use crate::tx::{ClientKey, ClientTx, Clients, Purpose, Withdrawal};

/// 2xx of different forks of one INVITE that are remembered.
const MAX_FORKS: usize = 16;

/// Contacts of a 3xx that are told.
const MAX_REDIRECTIONS: usize = 8;

/// The longest URI of such a contact, bytes.
const MAX_URI: usize = 512;

impl Endpoint {
    pub(crate) fn place_call(&mut self, now: Instant, dial: Dial) -> Result<CallKey, DialError> {
        if let Some(field) = guard::invalid_field(&dial) {
            return Err(DialError::Invalid { field });
        }
        if self.core.draining {
            return Err(DialError::Draining);
        }
        let limits = self.core.config.limits;
        if self.calls.len() >= limits.max_dialogs {
            return Err(DialError::Limit { what: "dialogs", limit: limits.max_dialogs });
        }
        if self.clients.len() + self.servers.len() >= limits.max_transactions {
            return Err(DialError::Limit { what: "transactions", limit: limits.max_transactions });
        }
        let limit = dial.ring_timeout.unwrap_or(limits.max_ringing);
        let auth = dial.credentials.clone().map(AuthSession::new).map(Box::new);
        let outbound = outbound(&mut self.core, dial);
        let key = self.calls.next_key();
        let dialog = (outbound.call_id.clone(), outbound.local_tag.clone());
        let Some(invite) = send_invite(&mut self.core, &mut self.clients, now, key, &outbound, 1, &[]) else {
            return Err(DialError::Invalid { field: "user_agent" });
        };
        let limit = Some(self.core.arm_call(now + limit, key, CallTimer::RingLimit));
        let calling = Calling { outbound, invite, cseq: 1, early: Default::default(), auth, limit };
        self.calls.insert(&self.core.random, key, (&dialog.0, &dialog.1), State::Calling(Box::new(calling)));
        Ok(key)
    }

    /// A response to an INVITE that opens a call.
    pub(crate) fn invite_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(status) = response.status() else { return };
        let owner = self.clients.get(client).and_then(|tx| tx.owner);
        let calling = match owner.and_then(|key| Some((key, self.calls.state(key)?))) {
            Some((key, State::Calling(calling))) if calling.invite == client => Some((key, calling)),
            _ => None,
        };
        match calling {
            _ if status == StatusCode::TRYING => {}
            Some((key, _)) if status.is_provisional() => {
                self.early_response(now, (client, key), response, status);
            }
            Some((key, _)) if status.is_success() => self.call_answered(now, client, key, response),
            Some((key, _)) => self.call_refused(now, key, response, status),
            None if status.is_success() => self.further_success(now, client, response),
            None => {}
        }
    }

    /// The first 2xx: the call is up. ACK, unless the 2xx brings an offer that is to be answered in it.
    fn call_answered(&mut self, now: Instant, client: ClientKey, key: CallKey, response: &Message) {
        let Some(Call { mut name, state: State::Calling(mut calling) }) =
            self.calls.take(&mut self.core, key)
        else {
            return;
        };
        let mut sdp = body_of(response);
        let ack_is_owed = calling.outbound.offer.is_none() && sdp.is_some();
        let dialog = match ack_is_owed {
            true => self.dialog_of(client, response),
            false => self.acknowledge(client, response),
        };
        let Some(mut dialog) = dialog else {
            name.end(&mut self.core, EndCause::ProtocolError { what: "Malformed 2xx" });
            return;
        };
        if let Some(early) = calling.early(&dialog.remote_tag.clone()) {
            dialog.remote_seq = early.remote_seq;
            if let Some(confirmed) = early.confirmed.take() {
                dialog.local_seq = confirmed.dialog.local_seq;
                // An answer came already: what the 2xx says is no other (RFC 3261 §13.2.1).
                sdp = confirmed.answer.or(sdp);
            }
        }
        let mut up = Up::new(dialog, true, calling.auth);
        let sent = calling.outbound.offer.as_ref();
        up.adopt(&mut self.core, now, key, (calling.outbound.ask, response), sent);
        if ack_is_owed {
            up.ack_owed = Some(delayed::owe_ack(&mut self.core, now, key, client));
        }
        self.calls.put(name, State::Up(Box::new(up)));
        self.core.event(Event::Answered { call: key, sdp });
    }

    /// A 2xx that comes again, comes from another fork, or comes to a call that has been given up.
    fn further_success(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let tag = response.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
        if self.is_ack_owed(client, &tag) {
            self.core.counters.retransmissions_in += 1;
            return;
        }
        let Some(tx) = self.clients.get(client) else { return };
        if let Some(known) = tx.success_acks.iter().find(|known| *known.tag == *tag) {
            self.core.counters.retransmissions_in += 1;
            self.core.counters.retransmissions_out += 1;
            self.core.send(known.destination, known.ack.clone());
            return;
        }
        if tx.success_acks.len() >= MAX_FORKS {
            self.core.counters.dropped += 1;
            return;
        }
        if let Some(mut dialog) = self.acknowledge(client, response) {
            let reason = self.clients.get(client).and_then(|tx| tx.reason.clone());
            send_bye(&mut self.core, &mut self.clients, now, None, &mut dialog, (None, reason.as_deref()));
        }
    }

    /// Sends the ACK of a 2xx, keeps it for retransmissions, and gives the dialog that the 2xx made.
    fn acknowledge(&mut self, client: ClientKey, response: &Message) -> Option<Dialog> {
        let dialog = self.dialog_of(client, response)?;
        acknowledge(&mut self.core, &mut self.clients, client, &dialog, None).then_some(dialog)
    }

    /// The dialog that a response to our INVITE made.
    fn dialog_of(&self, client: ClientKey, response: &Message) -> Option<Dialog> {
        let tx = self.clients.get(client)?;
        Dialog::uac(&compose::own(&tx.request)?, response, tx.destination).ok()
    }

    /// A final response 300 to 699; the transaction has sent the ACK.
    fn call_refused(&mut self, now: Instant, key: CallKey, response: &Message, status: StatusCode) {
        let Some(State::Calling(calling)) = self.calls.state(key) else { return };
        if let Some(challenged) = challenged_by(status)
            && let Some(auth) = &mut calling.auth
            && auth.challenged(challenged, challenges(response, challenged)).is_ok()
            && invite_again(&mut self.core, &mut self.clients, now, key, calling)
        {
            return;
        }
        // A longer session timer (RFC 4028 §7.3).
        if status == StatusCode::SESSION_INTERVAL_TOO_SMALL
            && calling.outbound.ask.as_mut().is_some_and(|ask| ask.raise(response))
        {
            if let Some(auth) = &mut calling.auth {
                auth.reuse();
            }
            if invite_again(&mut self.core, &mut self.clients, now, key, calling) {
                return;
            }
        }
        let reason = response.reason().map(ToString::to_string).filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or_else(|| status.reason().to_owned());
        let contacts = if status.is_redirection() { redirections(response) } else { Vec::new() };
        self.drop_call(key, EndCause::Rejected { status: status.as_u16(), reason, contacts });
    }

    /// Gives up a call that has not been answered: CANCEL now or at the first provisional response; a 2xx that crosses
    /// is answered with ACK and BYE.
    pub(crate) fn give_up(&mut self, now: Instant, key: CallKey, cause: EndCause) {
        if let Some(State::Calling(calling)) = self.calls.state(key) {
            let client = calling.invite;
            withdraw(&mut self.core, &mut self.clients, now, client);
        }
        self.drop_call(key, cause);
    }

    /// The same, and the peer is told why.
    pub(crate) fn give_up_because(&mut self, now: Instant, key: CallKey, reason: Box<str>) {
        if let Some(State::Calling(calling)) = self.calls.state(key)
            && let Some(tx) = self.clients.get_mut(calling.invite)
        {
            tx.reason = Some(reason);
        }
        self.give_up(now, key, EndCause::LocalCancel);
    }

    /// Ends a call without further signalling.
    pub(crate) fn drop_call(&mut self, key: CallKey, cause: EndCause) {
        if let Some(mut call) = self.calls.take(&mut self.core, key) {
            call.name.end(&mut self.core, cause);
        }
    }

    /// After every provisional response: the CANCEL that waited for it.
    pub(crate) fn cancel_if_wanted(&mut self, now: Instant, client: ClientKey) {
        let wanted = |tx: &ClientTx| tx.withdrawal == Withdrawal::Wanted && tx.is_proceeding();
        if self.clients.get(client).is_some_and(wanted) {
            send_cancel(&mut self.core, &mut self.clients, now, client);
        }
    }
}

/// Nobody waits for this INVITE any more: CANCEL it, at once when a provisional response has come.
pub(crate) fn withdraw(core: &mut Core, clients: &mut Clients, now: Instant, client: ClientKey) {
    let Some(tx) = clients.get_mut(client) else { return };
    tx.owner = None;
    if !tx.is_pending() || tx.withdrawal != Withdrawal::No {
        return;
    }
    if tx.is_proceeding() {
        send_cancel(core, clients, now, client);
    } else {
        tx.withdrawal = Withdrawal::Wanted;
    }
}

fn send_cancel(core: &mut Core, clients: &mut Clients, now: Instant, client: ClientKey) {
    let Some(tx) = clients.get_mut(client) else { return };
    tx.withdrawal = Withdrawal::Sent;
    let (destination, Some(cancel)) = (tx.destination, compose::cancel(&tx.request, tx.reason.as_deref()))
    else {
        return;
    };
    let branch = compose::own(&cancel).and_then(|cancel| cancel.top_via().ok()?.branch);
    let key = ClientKey::new(&core.random, branch.as_deref().unwrap_or(""), &Method::Cancel);
    clients.start(core, now, key, Purpose::Cancel, None, (destination, cancel));
    clients.limit_withdrawn(core, now, client);
}

/// Sends the INVITE with the next CSeq, a new branch and the answers to the challenges so far.
fn invite_again(
    core: &mut Core,
    clients: &mut Clients,
    now: Instant,
    key: CallKey,
    calling: &mut Calling,
) -> bool {
    calling.cseq += 1;
    calling.early.clear();
    let outbound = &calling.outbound;
    let cnonce = core.random.tag();
    let headers = calling.auth.as_mut().map_or_else(Vec::new, |auth| {
        auth.headers("INVITE", &outbound.target, outbound.offer.as_deref().unwrap_or_default(), &cnonce)
    });
    let sent = send_invite(core, clients, now, key, outbound, calling.cseq, &headers);
    let Some(client) = sent else { return false };
    calling.invite = client;
    true
}

fn send_invite(
    core: &mut Core,
    clients: &mut Clients,
    now: Instant,
    call: CallKey,
    outbound: &Outbound,
    cseq: u32,
    authorization: &[(&'static str, String)],
) -> Option<ClientKey> {
    let branch = core.random.branch();
    let invite = compose::invite(&core.config, outbound, cseq, &branch, authorization)?;
    let key = ClientKey::new(&core.random, &branch, &Method::Invite);
    clients.start(core, now, key, Purpose::Invite, Some(call), (outbound.destination, invite));
    Some(key)
}

fn outbound(core: &mut Core, mut dial: Dial) -> Outbound {
    let config = &core.config;
    let from = dial.caller(config);
    let headers = dial.further_headers();
    let host = config.contact_for(dial.destination).ip().to_string().replace(':', "-");
    let local_tag = core.random.tag();
    Outbound {
        target: dial.target,
        destination: dial.destination,
        from: format!("{from};tag={local_tag}"),
        local_tag,
        call_id: dial.call_id.unwrap_or_else(|| format!("{}@{host}", core.random.uuid4())),
        headers,
        offer: dial.offer,
        ask: config.session_timer.as_ref().map(Ask::first),
    }
}

/// The contacts of a 3xx that can be dialled, best first (RFC 3261 §8.1.3.4). Their headers part is left out.
fn redirections(response: &Message) -> Vec<String> {
    let addrs = response.contacts().filter_map(Result::ok);
    let mut found: Vec<(f32, String)> = addrs
        .filter_map(|contact| {
            let addr = contact.addr()?;
            let uri = addr.uri.split('?').next().filter(|uri| uri.len() <= MAX_URI && guard::is_uri(uri))?;
            let q = addr.params.get("q").and_then(|q| q.trim().parse().ok()).unwrap_or(1.0);
            Some((q, uri.to_owned()))
        })
        .take(MAX_REDIRECTIONS)
        .collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    found.into_iter().map(|(_, uri)| uri).collect()
}

/// A provisional response with a To tag makes an early dialog (RFC 3261 §12.1).
pub(super) fn note_early_dialog(calling: &mut Calling, response: &Message) {
    let Ok(to) = response.to() else { return };
    let Some(tag) = to.tag() else { return };
    let known = calling.early.iter().any(|early| *early.remote_tag == *tag);
    if !known && calling.early.len() < MAX_FORKS {
        calling.early.push(Early { remote_tag: tag.into(), remote_seq: None, confirmed: None });
    }
}

/// The SDP body of a response.
pub(crate) fn body_of(response: &Message) -> Option<Bytes> {
    let sdp =
        !response.body.is_empty() && response.content_type().map_or(true, |media| media.is(compose::SDP));
    sdp.then(|| Bytes::copy_from_slice(&response.body))
}

pub(crate) fn challenged_by(status: StatusCode) -> Option<ChallengedBy> {
    match status {
        StatusCode::UNAUTHORIZED => Some(ChallengedBy::Server),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some(ChallengedBy::Proxy),
        _ => None,
    }
}

/// The challenges of a 401 or 407.
pub(crate) fn challenges(response: &Message, by: ChallengedBy) -> impl Iterator<Item = &str> {
    let name = match by {
        ChallengedBy::Server => HeaderName::WwwAuthenticate,
        ChallengedBy::Proxy => HeaderName::ProxyAuthenticate,
    };
    response.headers_of(name).map(|value| value.as_str())
}
