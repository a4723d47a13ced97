//! Who may send a request outside of calls: digest authentication in front of everything that would cost something
//! (RFC 3261 §22.1, §26.3.2.4). Requests of a call are let in by its tags; ACK and CANCEL cannot be challenged.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Endpoint, Fault};
use crate::auth::{Petition, Refusal};
use crate::msg::{HeaderName, Message, StatusCode, Via};
use crate::ua::Event;

impl Endpoint {
    /// 401 with challenges for a request whose sender has not proved who it is.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        source: SocketAddr,
        request: &Message,
        via: &Via,
    ) -> Result<(), Fault> {
        let Some(server) = &self.core.config.auth else { return Ok(()) };
        let method = request.method().map_or("", |method| method.as_str());
        let call_id = request.call_id().unwrap_or_default();
        // Differs from request to request, so no two clients get one nonce.
        let id = self.core.random.hash().text(via.branch.as_deref().unwrap_or("")).text(&call_id);
        let id = id.number(request.cseq().map_or(0, |cseq| cseq.number)).text(&source.to_string()).finish();
        let petition = Petition { method, source: source.ip(), id };
        let answers = request.headers_of(HeaderName::Authorization).map(|value| value.as_str());
        let Err(refusal) = self.core.authenticator.check(now, server, &petition, answers) else {
            return Ok(());
        };
        self.core.counters.unauthorised += 1;
        let stale = refusal == Refusal::Stale;
        let challenges = self.core.authenticator.challenges(now, server, &petition, stale);
        if let Refusal::Wrong { username } = refusal {
            let method = method.to_owned();
            self.core.event(Event::CredentialsRefused { source, username, method });
        }
        let fault = Fault::new(StatusCode::UNAUTHORIZED);
        Err(challenges
            .into_iter()
            .fold(fault, |fault, value| fault.header(HeaderName::WwwAuthenticate, value)))
    }
}
