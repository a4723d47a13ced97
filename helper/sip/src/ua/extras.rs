//! `Extras` is what a call seldom has: transfers in both directions and keys sent by INFO. `OurRequest` is one request of
//! these that is out.
//! Each request answers challenges on its own, since several may be out at once.

use std::time::Instant;

use bytes::Bytes;

use super::call::Up;
use super::info::InfoQueue;
use super::refer::OurRefer;
use super::referred::TheirRefer;
use super::uac::{challenged_by, challenges};
use super::{CallKey, EndCause, compose};
use crate::auth::AuthSession;
use crate::dialog::Dialog;
use crate::endpoint::Core;
use crate::msg::{Message, Method};
use crate::tx::{ClientKey, Clients, Purpose, TimerKey};

#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Our REFER, until its outcome is known.
    pub(super) refer: Option<OurRefer>,
    /// The peer's REFER, until it knows the outcome.
    pub(super) referred: Option<TheirRefer>,
    /// The peer has sent a REFER before: notifications must tell which is meant (RFC 3515 §2.4.6).
    pub(super) was_referred: bool,
    pub(super) info: InfoQueue,
}

/// A request other than INVITE that we make inside a dialog.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) purpose: Purpose,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Content-Type and body.
    pub(super) body: Option<(&'static str, Bytes)>,
}

/// Such a request that is out.
#[derive(Debug)]
pub(super) struct OurRequest {
    pub(super) client: ClientKey,
    pub(super) cseq: u32,
    ask: Ask,
    auth: Option<Box<AuthSession>>,
}

impl Extras {
    /// The timers that watch it.
    pub(super) fn timers(&self) -> impl Iterator<Item = TimerKey> {
        let refer = self.refer.iter().filter_map(|refer| refer.limit);
        refer.chain(self.referred.iter().map(|referred| referred.limit))
    }
}

impl Up {
    pub(super) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}

impl Ask {
    /// Sends it; `None` when it cannot be written.
    pub(super) fn send(
        self,
        core: &mut Core,
        clients: &mut Clients,
        now: Instant,
        key: CallKey,
        (dialog, auth): (&mut Dialog, Option<&AuthSession>),
    ) -> Option<OurRequest> {
        let mut auth = auth.map(|auth| Box::new(auth.fork()));
        let (client, cseq) = self.transmit(core, clients, now, key, (dialog, auth.as_deref_mut()))?;
        Some(OurRequest { client, cseq, ask: self, auth })
    }

    fn transmit(
        &self,
        core: &mut Core,
        clients: &mut Clients,
        now: Instant,
        key: CallKey,
        (dialog, auth): (&mut Dialog, Option<&mut AuthSession>),
    ) -> Option<(ClientKey, u32)> {
        let branch = core.random.branch();
        let cseq = dialog.next_local_seq();
        let mut headers = self.headers.clone();
        let body = self.body.as_ref().map(|(content_type, body)| (*content_type, body));
        if let Some(auth) = auth {
            let cnonce = core.random.tag();
            let uri = dialog.next_hop(core.config.contact).uri;
            let body = body.map_or(&[][..], |(_, body)| body);
            headers.extend(auth.headers(self.method.as_str(), &uri, body, &cnonce));
        }
        let message = compose::request(&core.config, dialog, &self.method, (cseq, &branch), &headers, body)?;
        let client = ClientKey::new(&core.random, &branch, &self.method);
        clients.start(core, now, client, self.purpose, Some(key), message);
        Some((client, cseq))
    }
}

impl OurRequest {
    /// Answers the challenge of a 401 or 407 by sending the request again; `false` when the refusal stands.
    pub(super) fn is_sent_again(
        &mut self,
        core: &mut Core,
        clients: &mut Clients,
        now: Instant,
        key: CallKey,
        (dialog, response): (&mut Dialog, &Message),
    ) -> bool {
        let by = response.status().and_then(challenged_by);
        let (Some(by), Some(auth)) = (by, &mut self.auth) else { return false };
        if auth.challenged(by, challenges(response, by)).is_err() {
            return false;
        }
        match self.ask.transmit(core, clients, now, key, (dialog, Some(auth))) {
            Some(sent) => {
                (self.client, self.cseq) = sent;
                true
            }
            None => false,
        }
    }
}

/// The status that stands for a request that got no answer (RFC 3261 §8.1.3.1).
pub(super) fn unanswered(cause: &EndCause) -> (u16, String) {
    (cause.status().unwrap_or(408), cause.reason().to_owned())
}

/// The status and the words of a response.
pub(super) fn refusal(response: &Message) -> (u16, String) {
    let status = response.status().map_or(500, |status| status.as_u16());
    let reason = response.reason().map(ToString::to_string).filter(|reason| !reason.is_empty());
    let standard = || response.status().map_or("", |status| status.reason()).to_owned();
    (status, reason.unwrap_or_else(standard))
}
