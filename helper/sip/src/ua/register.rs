//! Keeps registrations alive: REGISTER, its answers, when it is due again (RFC 3261 §10.2).

use std::time::{Duration, Instant};

use super::registration::{Binding, Entry, MAX_EXPIRES, Phase};
use super::uac::{challenged_by, challenges};
use super::{Event, RegisterError, Registration, RegistrationFailure, RegistrationKey, compose, guard};
use crate::auth::AuthSession;
use crate::endpoint::{Core, Endpoint, Fire};
use crate::msg::{Contact, HeaderName, Message, Method, StatusCode, Uri};
use crate::tx::{ClientKey, Clients, Purpose};

impl Endpoint {
    pub(crate) fn start_registration(
        &mut self,
        now: Instant,
        registration: Registration,
    ) -> Result<RegistrationKey, RegisterError> {
        if let Some(field) = registration.invalid_field() {
            return Err(RegisterError::Invalid { field });
        }
        let limit = self.core.config.limits.max_registrations;
        if self.registrations.len() >= limit {
            return Err(RegisterError::Limit { limit });
        }
        let key = self.registrations.next_key();
        let expires = u32::try_from(registration.expires.as_secs()).unwrap_or(u32::MAX);
        let retry = registration.retry;
        let auth = registration.credentials.clone().map(AuthSession::new);
        let binding = binding(&mut self.core, registration);
        let asked = (1, expires);
        let client = send_register(&mut self.core, &mut self.clients, now, key, &binding, asked, &[])
            .ok_or(RegisterError::Invalid { field: "user_agent" })?;
        let entry = Entry {
            binding,
            auth,
            expires,
            cseq: 1,
            phase: Phase::Asking { client, removal: false },
            leaving: false,
            bound_until: None,
            failures: 0,
            retry,
            raised: 0,
        };
        self.registrations.insert(key, entry);
        Ok(key)
    }

    pub(crate) fn end_registration(&mut self, now: Instant, key: RegistrationKey) {
        let Some(entry) = self.registrations.get_mut(key) else { return };
        entry.leaving = true;
        // One REGISTER at a time (RFC 3261 §10.2): the answer to the one that is out comes first.
        if let Phase::Waiting(timer) = entry.phase {
            self.core.timers.cancel(timer);
            self.remove_contact(now, key);
        }
    }

    /// The next REGISTER is due.
    pub(crate) fn registration_due(&mut self, now: Instant, key: RegistrationKey) {
        let Some(entry) = self.registrations.get_mut(key) else { return };
        if let Some(auth) = &mut entry.auth {
            auth.reuse();
        }
        self.ask(now, key, false);
    }

    /// An answer to REGISTER.
    pub(crate) fn register_response(
        &mut self,
        now: Instant,
        key: RegistrationKey,
        client: ClientKey,
        response: &Message,
    ) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(entry) = self.registrations.get_mut(key) else { return };
        let Some(removal) = entry.is_asking(client) else { return };
        if let Some(by) = challenged_by(status)
            && let Some(auth) = &mut entry.auth
            && auth.challenged(by, challenges(response, by)).is_ok()
        {
            return self.ask(now, key, removal);
        }
        if status == StatusCode::INTERVAL_TOO_BRIEF && !removal && entry.raise(response) {
            if let Some(auth) = &mut entry.auth {
                auth.reuse();
            }
            return self.ask(now, key, removal);
        }
        entry.raised = 0;
        if removal {
            return self.registration_over(key);
        }
        if !status.is_success() {
            let reason = response.reason().map(ToString::to_string).filter(|reason| !reason.is_empty());
            let reason = reason.unwrap_or_else(|| status.reason().to_owned());
            let after = response.retry_after().ok().filter(|seconds| *seconds > 0);
            let cause = match status.as_u16() {
                401 | 403 | 407 => RegistrationFailure::CredentialsRefused,
                _ => RegistrationFailure::Refused,
            };
            return self.registration_failed(now, key, (status.as_u16(), reason, cause), after);
        }
        match granted(response, &entry.binding.contact, entry.expires) {
            0 => {
                let failure = (status.as_u16(), "Not Bound".into(), RegistrationFailure::Refused);
                self.registration_failed(now, key, failure, None)
            }
            seconds => self.registered(now, key, Duration::from_secs(seconds.into())),
        }
    }

    /// REGISTER got no answer.
    pub(crate) fn register_unanswered(
        &mut self,
        now: Instant,
        key: RegistrationKey,
        client: ClientKey,
        timeout: bool,
    ) {
        let Some(removal) = self.registrations.get_mut(key).and_then(|entry| entry.is_asking(client)) else {
            return;
        };
        if removal {
            return self.registration_over(key);
        }
        let (status, cause) = match timeout {
            true => (StatusCode::REQUEST_TIMEOUT, RegistrationFailure::NoAnswer),
            false => (StatusCode::SERVICE_UNAVAILABLE, RegistrationFailure::Unreachable),
        };
        self.registration_failed(now, key, (status.as_u16(), status.reason().to_owned(), cause), None);
    }

    fn registered(&mut self, now: Instant, key: RegistrationKey, expires: Duration) {
        let Some(entry) = self.registrations.get_mut(key) else { return };
        (entry.failures, entry.retry) = (0, true);
        entry.bound_until = Some(now + expires);
        let due = now + expires * 9 / 10;
        entry.phase = Phase::Waiting(self.core.timers.arm(due, Fire::Registration(key)));
        let leaving = entry.leaving;
        self.core.event(Event::Registered { key, expires });
        if leaving {
            self.end_registration(now, key);
        }
    }

    /// Plans the next attempt: at the registrar's Retry-After, else after the back-off.
    fn registration_failed(
        &mut self,
        now: Instant,
        key: RegistrationKey,
        (status, reason, cause): (u16, String, RegistrationFailure),
        after: Option<u32>,
    ) {
        let Some(entry) = self.registrations.get_mut(key) else { return };
        if entry.leaving {
            return self.remove_contact(now, key);
        }
        if !entry.retry {
            self.registrations.remove(key);
            self.core.event(Event::RegistrationFailed { key, status, reason, cause, retry_in: None });
            return;
        }
        entry.failures += 1;
        let refused = cause == RegistrationFailure::CredentialsRefused;
        let retry_in = match after {
            Some(seconds) => Duration::from_secs(seconds.into()).min(MAX_RETRY_AFTER),
            None => back_off(&mut self.core, entry.failures, refused),
        };
        entry.phase = Phase::Waiting(self.core.timers.arm(now + retry_in, Fire::Registration(key)));
        self.core.event(Event::RegistrationFailed { key, status, reason, cause, retry_in: Some(retry_in) });
    }

    /// Tells the registrar to forget our contact, where it may know it.
    fn remove_contact(&mut self, now: Instant, key: RegistrationKey) {
        let Some(entry) = self.registrations.get_mut(key) else { return };
        if entry.bound_until.is_none_or(|until| until <= now) {
            return self.registration_over(key);
        }
        if let Some(auth) = &mut entry.auth {
            auth.reuse();
        }
        self.ask(now, key, true);
    }

    fn registration_over(&mut self, key: RegistrationKey) {
        self.registrations.remove(key);
        self.core.event(Event::Unregistered { key });
    }

    /// Sends a REGISTER with the next CSeq, a new branch and the answers to the challenges so far.
    fn ask(&mut self, now: Instant, key: RegistrationKey, removal: bool) {
        let Some(entry) = self.registrations.get_mut(key) else { return };
        entry.cseq = entry.cseq.checked_add(1).unwrap_or(1);
        let cnonce = self.core.random.tag();
        let headers = entry.auth.as_mut().map_or_else(Vec::new, |auth| {
            auth.headers(Method::Register.as_str(), &entry.binding.registrar, b"", &cnonce)
        });
        let asked = (entry.cseq, if removal { 0 } else { entry.expires });
        let sent =
            send_register(&mut self.core, &mut self.clients, now, key, &entry.binding, asked, &headers);
        match sent {
            Some(client) => entry.phase = Phase::Asking { client, removal },
            // A challenge that cannot be written into one header line.
            None if removal => self.registration_over(key),
            None => {
                let failure = (400, "Malformed Challenge".into(), RegistrationFailure::Refused);
                self.registration_failed(now, key, failure, None)
            }
        }
    }
}

impl Entry {
    /// Asks for as long as a 423 wants it, where that is more and not too much (RFC 3261 §10.2.8).
    fn raise(&mut self, response: &Message) -> bool {
        let least = response.min_expires().unwrap_or(0);
        let good = least > self.expires && u64::from(least) <= MAX_EXPIRES && self.raised < MAX_RAISES;
        if good {
            self.expires = least;
            self.raised += 1;
        }
        good
    }
}

fn send_register(
    core: &mut Core,
    clients: &mut Clients,
    now: Instant,
    key: RegistrationKey,
    binding: &Binding,
    (cseq, expires): (u32, u32),
    authorization: &[(&'static str, String)],
) -> Option<ClientKey> {
    let branch = core.random.branch();
    let request = compose::register(&core.config, binding, (cseq, &branch), expires, authorization)?;
    let client = ClientKey::new(&core.random, &branch, &Method::Register);
    clients.start(core, now, client, Purpose::Register(key), None, (binding.destination, request));
    Some(client)
}

fn binding(core: &mut Core, registration: Registration) -> Binding {
    let Registration { aor, contact_user, registrar, destination, .. } = registration;
    let address = core.config.contact_for(destination);
    let user = match contact_user {
        Some(user) => Some(guard::user_part(&user)),
        None => Uri::parse(&aor).ok().and_then(|uri| uri.user.map(|user| user.to_string())),
    };
    let contact = match user {
        Some(user) => format!("sip:{user}@{address}"),
        None => format!("sip:{address}"),
    };
    let host = address.ip().to_string().replace(':', "-");
    let (tag, call_id) = (core.random.tag(), format!("{}@{host}", core.random.uuid4()));
    Binding { aor, registrar, destination, contact, tag, call_id }
}

/// How long the registrar keeps our contact, seconds: its own `expires` parameter, else the Expires header, else what we
/// asked for (RFC 3261 §10.2.4). Ours is the contact with our URI, or the only one: a gateway may have rewritten it.
fn granted(response: &Message, contact: &str, asked: u32) -> u32 {
    let ours = Uri::parse(contact).ok();
    let all: Vec<_> = response.contacts().filter_map(Result::ok).collect();
    let is_ours = |contact: &&Contact| contact.addr().and_then(|addr| addr.parsed_uri().ok()) == ours;
    let contact = all.iter().find(is_ours).or_else(|| all.first().filter(|_| all.len() == 1));
    let of_contact = contact.and_then(Contact::addr).and_then(|addr| addr.params.get("expires"));
    let of_contact = of_contact.and_then(|seconds| seconds.trim().parse::<u32>().ok());
    let header = || response.header(HeaderName::Expires).and_then(|_| response.expires().ok());
    let most = u32::try_from(MAX_EXPIRES).unwrap_or(u32::MAX);
    of_contact.or_else(header).unwrap_or(asked).min(most)
}

/// A random time from half to all of 10 s, 20 s, 40 s, ... 10 min (RFC 5626 §4.5). Refused credentials begin further up:
/// many registrars lock out who tries too often.
fn back_off(core: &mut Core, failures: u32, refused: bool) -> Duration {
    let step = if refused { failures.saturating_add(3) } else { failures };
    let longest = LEAST_BACK_OFF * 2_u32.saturating_pow(step.min(16));
    let longest = longest.min(MOST_BACK_OFF);
    let half = u32::try_from(longest.as_millis() / 2).unwrap_or(u32::MAX);
    Duration::from_millis(u64::from(half) + u64::from(core.random.below(half + 1)))
}

const LEAST_BACK_OFF: Duration = Duration::from_secs(5);
const MOST_BACK_OFF: Duration = Duration::from_secs(600);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// 423 answers to one attempt.
const MAX_RAISES: u8 = 3;
