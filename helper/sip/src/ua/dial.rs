//! What the owner gives to place a call, and what can be wrong with a command.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::guard;
use crate::endpoint::EndpointConfig;

/// A call to be placed with [`Endpoint::dial`](crate::Endpoint::dial).
#[derive(Debug, Clone)]
pub struct Dial {
    /// Request-URI and To, a `sip:` URI.
    pub target: String,
    /// Where the INVITE is sent: the resolved target, or an outbound proxy.
    pub destination: SocketAddr,
    /// The caller for From: a URI or `"Display" <uri>`. `None` makes it of the three fields below.
    pub from: Option<String>,
    /// The display name of From.
    pub from_display: Option<String>,
    /// The user part of From, escaped where needed; `None` takes the endpoint's `contact_user`.
    pub from_user: Option<String>,
    /// The host of From, with a port or without; `None` takes the endpoint's `from_host`, or its address.
    pub from_host: Option<String>,
    /// The caller as a trusted network shall see it, P-Asserted-Identity (RFC 3325): a URI or `"Display" <uri>`.
    pub asserted_identity: Option<String>,
    /// The Call-ID; `None` makes `{uuid4}@{host}`.
    pub call_id: Option<String>,
    /// The SDP offer; `None` lets the callee make it: `Answered` then brings the offer, and
    /// [`Endpoint::ack_with`](crate::Endpoint::ack_with) is owed (RFC 3261 §13.2.1).
    pub offer: Option<Bytes>,
    /// Answers 401 and 407.
    pub credentials: Option<Credentials>,
    /// Further headers of the INVITE, name and value; none that the endpoint writes itself.
    pub headers: Vec<(String, String)>,
    /// Longest time from the INVITE to the final response; then CANCEL and `Ended` with 408.
    pub ring_timeout: Option<Duration>,
}

impl Dial {
    /// A call without credentials, extra headers or a time limit.
    pub fn new(target: impl Into<String>, destination: SocketAddr, offer: impl Into<Option<Bytes>>) -> Self {
        Self {
            target: target.into(),
            destination,
            from: None,
            from_display: None,
            from_user: None,
            from_host: None,
            asserted_identity: None,
            call_id: None,
            offer: offer.into(),
            credentials: None,
            headers: Vec::new(),
            ring_timeout: None,
        }
    }

    /// The value of From, without its tag.
    pub(super) fn caller(&self, config: &EndpointConfig) -> String {
        if let Some(from) = &self.from {
            return bracketed(from);
        }
        let host = self.from_host.as_ref().or(config.from_host.as_ref());
        let host = host.cloned().unwrap_or_else(|| config.contact_for(self.destination).to_string());
        let uri = match (&self.from_user, &config.contact_user) {
            (Some(user), _) => format!("<sip:{}@{host}>", guard::user_part(user)),
            (None, Some(user)) => format!("<sip:{user}@{host}>"),
            (None, None) => format!("<sip:{host}>"),
        };
        match self.from_display.as_deref().filter(|display| !display.is_empty()) {
            Some(display) => format!("{} {uri}", guard::quoted(display)),
            None => uri,
        }
    }

    /// The headers beyond those that every INVITE has.
    pub(super) fn further_headers(&mut self) -> Vec<(String, String)> {
        let mut headers = std::mem::take(&mut self.headers);
        headers
            .extend(self.asserted_identity.take().map(|id| ("P-Asserted-Identity".into(), bracketed(&id))));
        headers
    }
}

/// A URI in brackets; what has them already stays as it is.
fn bracketed(addr: &str) -> String {
    if addr.contains('<') { addr.to_owned() } else { format!("<{addr}>") }
}

/// User name and password for digest challenges.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The `username` of the Authorization header.
    pub username: String,
    /// The shared secret; never printed.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Why a call could not be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The string would not be one well-formed header value or URI.
    #[error("invalid {field}")]
    Invalid {
        /// Which field of [`Dial`].
        field: &'static str,
    },
    /// A limit of the endpoint is reached, 503.
    #[error("all {limit} {what} are in use")]
    Limit {
        /// What ran out.
        what: &'static str,
        /// How many there are.
        limit: usize,
    },
    /// The endpoint is draining and takes no new calls.
    #[error("the endpoint is draining")]
    Draining,
}

/// Why a command for a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no such call, or it has ended.
    #[error("no such call")]
    Unknown,
    /// The call is not in a state in which this can be done.
    #[error("not possible in the state of the call")]
    WrongState,
    /// The string would not be one well-formed header value.
    #[error("invalid {field}")]
    Invalid {
        /// Which argument.
        field: &'static str,
    },
}
