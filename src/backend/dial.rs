//! Calls that the backend places.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    BackendError, SessionState, VoiceSession,
    registry::{Dialled, Registry},
};
use crate::{
    config::route_source,
    engine::Refused,
    relay::message::{CallCommand, CallHandle, DialOptions as Order},
};

/// What is said about a call that is placed, besides where to and where from.
///
/// ```
/// use sip_relay::backend::DialOptions;
///
/// let options = DialOptions { room_id: Some("room-42".into()), ..DialOptions::default() };
/// assert_eq!(options.ring_timeout.as_secs(), 60);
/// ```
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// The session's id; `None`: the Call-ID.
    pub session_id: Option<String>,
    /// The session's room; `None`: the Call-ID.
    pub room_id: Option<String>,
    /// The session's participant; `None`: the URI that is called.
    pub participant_id: Option<String>,
    /// Further headers of the INVITE, name and value; those that begin with `X-` are the session's `x_headers` as well.
    pub headers: Vec<(String, String)>,
    /// User name and password for a far end that asks for them (401, 407).
    pub credentials: Option<(String, String)>,
    /// No answer for this long: CANCEL, and status 408. Default 60 s.
    pub ring_timeout: Duration,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            session_id: None,
            room_id: None,
            participant_id: None,
            headers: Vec::new(),
            credentials: None,
            ring_timeout: Duration::from_secs(60),
        }
    }
}

/// The address under which peers know us.
pub(super) struct HostToward {
    pub(super) by_route: bool,
    pub(super) otherwise: IpAddr,
}

impl HostToward {
    pub(super) fn toward(&self, peer: SocketAddr) -> IpAddr {
        let route = self.by_route.then(|| route_source(peer).ok()).flatten();
        route.unwrap_or(self.otherwise)
    }
}

/// Who calls whom, and through what.
pub(super) struct Route {
    pub(super) to: String,
    pub(super) from: String,
    pub(super) proxy: SocketAddr,
    pub(super) ticket: u64,
}

impl Route {
    /// `to`: a number at the proxy or a URI; `from`: a number at this host or a URI.
    pub(super) fn new(to: &str, from: &str, proxy: SocketAddr, host: IpAddr, ticket: u64) -> Self {
        let (to, from) = (uri(to, &proxy.to_string()), uri(from, &authority(host)));
        Self { to, from, proxy, ticket }
    }

    /// What the telephone is asked for.
    pub(super) fn order(&self, options: &DialOptions) -> Order {
        let credentials = options.credentials.as_ref();
        Order {
            target: Some(self.to.clone()),
            destination: Some(self.proxy),
            from: Some(self.from.clone()),
            credentials: credentials.map(|(username, password)| sip::Credentials {
                username: username.clone(),
                password: password.clone(),
            }),
            headers: options.headers.clone(),
            ring_timeout: Some(options.ring_timeout),
            ticket: Some(self.ticket),
        }
    }
}

/// A call that is being placed. Dropping it gives the call up.
pub(super) struct Placing<'a> {
    registry: &'a Registry,
    ticket: u64,
    promised: oneshot::Receiver<VoiceSession>,
    session: Option<VoiceSession>,
}

impl<'a> Placing<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        route: &Route,
        options: DialOptions,
    ) -> Result<Self, BackendError> {
        let (caller, promised) = oneshot::channel();
        let DialOptions { session_id: id, room_id, participant_id, mut headers, .. } = options;
        headers.retain(|(name, _)| name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-")));
        let (from, to) = (route.from.clone(), route.to.clone());
        let dialled = Dialled { id, room_id, participant_id, from, to, headers, caller };
        registry.dial(route.ticket, dialled).map_err(BackendError::DuplicateSession)?;
        Ok(Self { registry, ticket: route.ticket, promised, session: None })
    }

    /// Waits until the call is answered, or is not.
    pub(super) async fn answered(
        mut self,
        placed: Result<CallHandle, Refused>,
    ) -> Result<VoiceSession, BackendError> {
        placed.map_err(|Refused { status, reason }| BackendError::Call { status, reason })?;
        let session = (&mut self.promised).await.map_err(|_| BackendError::NotStarted)?;
        self.session = Some(session.clone());
        let state = session.settled().await;
        self.session = None;
        if state != SessionState::Ended {
            return Ok(session);
        }
        let (status, reason) = session.failure().map_or((487, ""), |reason| reason.failure());
        Err(BackendError::Call { status, reason: reason.to_owned() })
    }
}

impl Drop for Placing<'_> {
    fn drop(&mut self) {
        self.registry.forget(self.ticket);
        // After `forget`, the session has been handed over or never will be.
        let unwanted = self.session.take().or_else(|| self.promised.try_recv().ok());
        if let Some(session) = unwanted {
            session.leave();
            if let Some(line) = session.line() {
                line.commands.do_send(CallCommand::Hangup);
            }
        }
    }
}

fn uri(party: &str, host: &str) -> String {
    let is_uri = ["sip:", "sips:", "tel:"]
        .iter()
        .any(|scheme| party.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    if is_uri { party.to_owned() } else { format!("sip:{party}@{host}") }
}

fn authority(host: IpAddr) -> String {
    match host {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_uris_and_uris_stay() {
        let proxy = "192.0.2.1:5070".parse().expect("an address");
        let host = "::1".parse().expect("an address");
        let route = |to, from| {
            let route = Route::new(to, from, proxy, host, 1);
            (route.to, route.from)
        };
        assert_eq!(route("100", "200"), ("sip:100@192.0.2.1:5070".into(), "sip:200@[::1]".into()));
        assert_eq!(route("SIP:a@b", "tel:+12"), ("SIP:a@b".into(), "tel:+12".into()));
    }
}
