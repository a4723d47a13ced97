//! `Registration` is what the owner asks for; `Entry` is one that lives, in the table of all.
//!
//! ```text
//!   register ──▶ Asking ──2xx, at 90 % of the granted time──▶ Waiting ──▶ Asking
//!                │  ▲ ──failure, after the back-off─────────▶ │
//!                │  │ ──first failure, without `retry`──────▶ gone
//!                │  └──401, 407, 423: again at once           unregister ──▶ Asking (expires 0) ──▶ gone
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dial::Credentials;
use super::{RegistrationKey, guard};
use crate::auth::AuthSession;
use crate::tx::{ClientKey, TimerKey};

/// A contact to be kept at a registrar with [`Endpoint::register`](crate::Endpoint::register).
///
#[derive(Debug, Clone)]
pub struct Registration {
    /// The address of record, From and To, host included: `sip:1001@pbx.example.com`.
    pub aor: String,
    /// The user of Contact, escaped where needed; `None` takes that of `aor`. Its host is the endpoint's address.
    pub contact_user: Option<String>,
    /// The domain that is registered with, the Request-URI: `sip:pbx.example.com`.
    pub registrar: String,
    /// Where REGISTER is sent: the resolved registrar, or an outbound proxy.
    pub destination: SocketAddr,
    /// Answers 401 and 407.
    pub credentials: Option<Credentials>,
    /// How long each binding is asked for, whole seconds, 1 s to 24 h. The registrar may grant less.
    pub expires: Duration,
    /// Whether it is tried again until it succeeds once. Without it the first failure is the end: `RegistrationFailed`
    /// without `retry_in` is the last event. A registration that has succeeded is kept up in either case.
    pub retry: bool,
}

impl Registration {
    /// A registration for an hour at a time, tried until it succeeds, without credentials.
    pub fn new(aor: impl Into<String>, registrar: impl Into<String>, destination: SocketAddr) -> Self {
        Self {
            aor: aor.into(),
            contact_user: None,
            registrar: registrar.into(),
            destination,
            credentials: None,
            expires: Duration::from_secs(3600),
            retry: true,
        }
    }

    /// The first field that cannot be sent.
    pub(super) fn invalid_field(&self) -> Option<&'static str> {
        let credentials_ok = self.credentials.as_ref().is_none_or(guard::are_credentials);
        [
            ("aor", guard::is_uri(&self.aor)),
            ("contact_user", self.contact_user.as_deref().is_none_or(guard::is_user)),
            ("registrar", guard::is_uri(&self.registrar)),
            ("credentials", credentials_ok),
            ("expires", (1..=MAX_EXPIRES).contains(&self.expires.as_secs())),
        ]
        .into_iter()
        .find_map(|(field, ok)| (!ok).then_some(field))
    }
}

/// Why a registration was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The string would not be one well-formed header value or URI.
    #[error("invalid {field}")]
    Invalid {
        /// Which field of [`Registration`].
        field: &'static str,
    },
    /// A limit of the endpoint is reached.
    #[error("all {limit} registrations are in use")]
    Limit {
        /// How many there are.
        limit: usize,
    },
}

/// What every REGISTER of a registration repeats.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) aor: String,
    pub(crate) registrar: String,
    pub(crate) destination: SocketAddr,
    /// The URI of our Contact.
    pub(crate) contact: String,
    pub(crate) tag: String,
    pub(crate) call_id: String,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) binding: Binding,
    pub(super) auth: Option<AuthSession>,
    /// Seconds asked for; raised by 423.
    pub(super) expires: u32,
    pub(super) cseq: u32,
    pub(super) phase: Phase,
    /// `unregister` was called.
    pub(super) leaving: bool,
    /// Until when the registrar may know our contact.
    pub(super) bound_until: Option<Instant>,
    /// Failures since the last success.
    pub(super) failures: u32,
    /// A failure is not the end.
    pub(super) retry: bool,
    /// 423 answers since the last other one.
    pub(super) raised: u8,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// A REGISTER is out.
    Asking { client: ClientKey, removal: bool },
    /// Until the next one is due.
    Waiting(TimerKey),
}

/// All registrations.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    live: HashMap<RegistrationKey, Box<Entry>>,
    last_key: u64,
}

impl Registrations {
    pub(super) fn next_key(&mut self) -> RegistrationKey {
        self.last_key += 1;
        RegistrationKey(self.last_key)
    }

    pub(super) fn insert(&mut self, key: RegistrationKey, entry: Entry) {
        self.live.insert(key, Box::new(entry));
    }

    pub(super) fn get_mut(&mut self, key: RegistrationKey) -> Option<&mut Entry> {
        self.live.get_mut(&key).map(|entry| &mut **entry)
    }

    pub(super) fn remove(&mut self, key: RegistrationKey) {
        self.live.remove(&key);
    }

    /// Whether one is being given up.
    pub(crate) fn has_leaving(&self) -> bool {
        self.live.values().any(|entry| entry.leaving)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}

impl Entry {
    /// The entry, when `client` is its REGISTER that is out; with whether that removes the contact.
    pub(super) fn is_asking(&self, by: ClientKey) -> Option<bool> {
        match self.phase {
            Phase::Asking { client, removal } => (client == by).then_some(removal),
            Phase::Waiting(_) => None,
        }
    }
}

/// The longest time that is asked for, seconds, whatever a 423 says: a registration must notice that it was lost.
pub(super) const MAX_EXPIRES: u64 = 86_400;
