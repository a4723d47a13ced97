//! The peer's REFER: its owner decides, and tells the peer by NOTIFY what comes of it (RFC 3515 §2.4).
//!
//! ```text
//!   REFER ──▶ Asked ──accept_refer──▶ Telling ──notify_refer, NOTIFY answered──▶ Telling ──the last──▶ gone
//!               └──reject_refer, undecided for too long──▶ gone
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{CallTimer, State, Up};
use super::compose::{self, ResponseHead};
use super::extras::{Ask, OurRequest};
use super::{CallError, CallKey, Event};
use crate::endpoint::{Core, Endpoint};
use crate::msg::{HeaderName, Message, Method, NameAddr, StatusCode};
use crate::tx::{ClientKey, Clients, Purpose, Reply, ServerKey, Servers, TimerKey};

/// How long a word of ours lasts: the peer hears another within this time.
const LIFETIME: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub(super) struct TheirRefer {
    /// The CSeq number of the REFER.
    id: u32,
    /// Whether notifications must name the id.
    named: bool,
    phase: Phase,
    pub(super) limit: TimerKey,
}

#[derive(Debug)]
enum Phase {
    /// Owed: `accept_refer` or `reject_refer`.
    Asked { server: ServerKey, head: ResponseHead },
    /// 202 is out. One NOTIFY at a time, so that none overtakes another; of those that wait only the newest counts.
    Telling { out: Option<OurRequest>, next: Option<Word>, over: bool },
}

/// What a NOTIFY is to say.
#[derive(Debug, Clone, Copy)]
struct Word {
    status: StatusCode,
    /// Why the subscription ends, where it does (RFC 6665 §4.1.3).
    end: Option<&'static str>,
}

impl Endpoint {
    /// A REFER inside a dialog.
    pub(crate) fn receive_refer(
        &mut self,
        now: Instant,
        key: CallKey,
        request: &Message,
        (server, head): (ServerKey, ResponseHead),
    ) {
        let refusal = match self.calls.live(key) {
            Err(_) => Some(StatusCode::CALL_DOES_NOT_EXIST),
            Ok(State::Up(up)) if self.core.config.allow_refer => match one_target(request) {
                None => Some(StatusCode::BAD_REQUEST),
                Some(_) if up.extras().referred.is_some() => Some(StatusCode::REQUEST_PENDING),
                Some(target) => {
                    let id = request.cseq().map_or(0, |cseq| cseq.number);
                    let named = std::mem::replace(&mut up.extras().was_referred, true);
                    // Half of what the peer waits for an answer (timer F).
                    let undecided = now + self.core.config.timers.timeout() / 2;
                    let limit = self.core.arm_call(undecided, key, CallTimer::ReferredLimit);
                    let destination = head.destination;
                    let phase = Phase::Asked { server, head: head.clone() };
                    up.extras().referred = Some(TheirRefer { id, named, phase, limit });
                    self.servers.start_plain(server, key, destination);
                    let referred_by = referred_by(request);
                    self.core.event(Event::ReferRequested { call: key, target, referred_by });
                    None
                }
            },
            Ok(_) => Some(StatusCode::DECLINE),
        };
        if let Some(status) = refusal {
            self.reply_plain(now, key, server, &head, (status.as_u16(), status.reason()), &[]);
        }
    }

    pub(crate) fn grant_refer(&mut self, now: Instant, key: CallKey) -> Result<(), CallError> {
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let referred = up.extras().referred.take_if(|referred| referred.is_asked());
        let referred = referred.ok_or(CallError::WrongState)?;
        let Phase::Asked { server, head } = referred.phase else { return Err(CallError::WrongState) };
        self.core.timers.cancel(referred.limit);
        let contact = compose::contact(&self.core.config, head.destination);
        let lines = [("Contact", contact.as_str()), ("Server", self.core.config.user_agent.as_str())];
        let accepted = StatusCode::ACCEPTED;
        let response = head.response(accepted.as_u16(), accepted.reason(), &lines, None);
        self.servers.reply(&mut self.core, now, server, Reply::Success, response);
        let limit = self.core.arm_call(now + LIFETIME, key, CallTimer::ReferredLimit);
        let phase = Phase::Telling { out: None, next: None, over: false };
        up.extras().referred = Some(TheirRefer { phase, limit, ..referred });
        let trying = Word { status: StatusCode::TRYING, end: None };
        tell(&mut self.core, &mut self.clients, now, key, up, trying);
        Ok(())
    }

    pub(crate) fn deny_refer(&mut self, now: Instant, key: CallKey, status: u16) -> Result<(), CallError> {
        let status = StatusCode::new(status).filter(|status| status.is_failure());
        let status = status.ok_or(CallError::Invalid { field: "status" })?;
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let referred = up.extras().referred.take_if(|referred| referred.is_asked());
        let referred = referred.ok_or(CallError::WrongState)?;
        self.core.timers.cancel(referred.limit);
        refuse(&mut self.core, &mut self.servers, now, referred, status);
        Ok(())
    }

    pub(crate) fn tell_refer(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        last: bool,
    ) -> Result<(), CallError> {
        let status = StatusCode::new(status).ok_or(CallError::Invalid { field: "status" })?;
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let referred = up.extras().referred.as_mut();
        let referred =
            referred.filter(|referred| matches!(referred.phase, Phase::Telling { over: false, .. }));
        let referred = referred.ok_or(CallError::WrongState)?;
        self.core.timers.cancel(referred.limit);
        referred.limit = self.core.arm_call(now + LIFETIME, key, CallTimer::ReferredLimit);
        let end = (last || status.is_final()).then_some("noresource");
        tell(&mut self.core, &mut self.clients, now, key, up, Word { status, end });
        Ok(())
    }

    /// A response to our NOTIFY: what waits goes out; a refusal ends the subscription (RFC 6665 §4.2.2).
    pub(crate) fn notify_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(key) = self.clients.get(client).and_then(|tx| tx.owner) else { return };
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        let Some(extras) = up.extras.as_deref_mut() else { return };
        let Some(TheirRefer { phase: Phase::Telling { out, next, over }, .. }) = &mut extras.referred else {
            return;
        };
        let Some(sent) = out.as_mut().filter(|sent| sent.client == client) else { return };
        let with = (&mut up.dialog, response);
        if sent.is_sent_again(&mut self.core, &mut self.clients, now, key, with) {
            return;
        }
        *out = None;
        match next.take() {
            Some(word) if status.is_success() => {
                tell(&mut self.core, &mut self.clients, now, key, up, word);
            }
            None if status.is_success() && !*over => {}
            _ => forget(&mut self.core, up),
        }
    }

    /// Our NOTIFY got no answer: nobody listens.
    pub(crate) fn notify_unanswered(&mut self, key: CallKey, client: ClientKey) {
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        let referred = up.extras.as_deref().and_then(|extras| extras.referred.as_ref());
        if referred.is_some_and(|referred| referred.is_telling(client)) {
            forget(&mut self.core, up);
        }
    }

    /// Undecided for too long: 603. Nothing to tell for too long: 408.
    pub(crate) fn referred_limit(&mut self, now: Instant, key: CallKey) {
        let Some(State::Up(up)) = self.calls.state(key) else { return };
        if let Some(referred) = up.extras().referred.take_if(|referred| referred.is_asked()) {
            refuse(&mut self.core, &mut self.servers, now, referred, StatusCode::DECLINE);
        } else if let Some(referred) = &mut up.extras().referred {
            let word = Word { status: StatusCode::REQUEST_TIMEOUT, end: Some("timeout") };
            // The answer to the last NOTIFY is due before this; nothing of it may stay.
            referred.limit = self.core.arm_call(now + LIFETIME, key, CallTimer::ReferredLimit);
            match referred.phase {
                Phase::Telling { over: false, .. } => {
                    tell(&mut self.core, &mut self.clients, now, key, up, word)
                }
                _ => forget(&mut self.core, up),
            }
        }
    }
}

impl TheirRefer {
    fn is_asked(&self) -> bool {
        matches!(self.phase, Phase::Asked { .. })
    }

    fn is_telling(&self, client: ClientKey) -> bool {
        matches!(&self.phase, Phase::Telling { out: Some(out), .. } if out.client == client)
    }
}

/// Sends a NOTIFY, or keeps it until the one that is out is answered.
fn tell(core: &mut Core, clients: &mut Clients, now: Instant, key: CallKey, up: &mut Up, word: Word) {
    let Some(extras) = up.extras.as_deref_mut() else { return };
    let Some(TheirRefer { id, named, phase: Phase::Telling { out, next, over }, .. }) = &mut extras.referred
    else {
        return;
    };
    *over |= word.end.is_some();
    if out.is_some() {
        *next = Some(word);
        return;
    }
    let event = if *named { format!("refer;id={id}") } else { "refer".to_owned() };
    let state = match word.end {
        Some(reason) => format!("terminated;reason={reason}"),
        None => format!("active;expires={}", LIFETIME.as_secs()),
    };
    let contact = compose::contact(&core.config, up.dialog.peer);
    let headers = vec![("Contact", contact), ("Event", event), ("Subscription-State", state)];
    let body = Bytes::from(format!("SIP/2.0 {} {}\r\n", word.status, word.status.reason()));
    let body = Some(("message/sipfrag;version=2.0", body));
    let ask = Ask { method: Method::Notify, purpose: Purpose::Notify, headers, body };
    let with = (&mut up.dialog, up.auth.as_deref());
    *out = ask.send(core, clients, now, key, with);
}

/// The call ends: a REFER that is not decided is refused.
pub(super) fn abandon(core: &mut Core, servers: &mut Servers, now: Instant, up: &mut Up) {
    let referred = up.extras.as_deref_mut().and_then(|extras| extras.referred.take());
    if let Some(referred) = referred {
        core.timers.cancel(referred.limit);
        refuse(core, servers, now, referred, StatusCode::REQUEST_TERMINATED);
    }
}

fn refuse(core: &mut Core, servers: &mut Servers, now: Instant, referred: TheirRefer, status: StatusCode) {
    if let Phase::Asked { server, head } = referred.phase {
        let lines = [("Server", core.config.user_agent.as_str())];
        let response = head.response(status.as_u16(), status.reason(), &lines, None);
        servers.reply(core, now, server, Reply::Failure, response);
    }
}

fn forget(core: &mut Core, up: &mut Up) {
    if let Some(referred) = up.extras().referred.take() {
        core.timers.cancel(referred.limit);
    }
}

/// The URI of Refer-To, which must be there once (RFC 3515 §2.4.1).
fn one_target(request: &Message) -> Option<String> {
    let target = request.refer_to().ok()?;
    (request.headers_of(HeaderName::ReferTo).count() == 1).then(|| target.uri.to_string())
}

fn referred_by(request: &Message) -> Option<String> {
    let value = request.header(&HeaderName::ReferredBy)?;
    NameAddr::parse(value, HeaderName::ReferredBy).ok().map(|addr| addr.uri.to_string())
}
