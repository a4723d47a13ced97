//! `Via`: one hop that a request has passed (RFC 3261 section 20.42, RFC 3581).

use super::{ByteStr, HeaderError, Host, Params};

/// The transport that a Via names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// SCTP.
    Sctp,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS (RFC 7118).
    Wss,
    /// Any other token, as it was written.
    Other(ByteStr),
}

/// One Via element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// How the hop sent the request.
    pub transport: Transport,
    /// The host that the hop wants answers at.
    pub host: Host,
    /// The port that the hop wants answers at; `None` means the default of the transport.
    pub port: Option<u16>,
    /// The `branch` parameter; an empty one counts as none.
    pub branch: Option<ByteStr>,
    /// The `received` parameter.
    pub received: Option<ByteStr>,
    /// The `rport` parameter: `None` absent, `Some(None)` asked for, `Some(Some(port))` filled in.
    pub rport: Option<Option<u16>>,
    /// All parameters as they were written.
    pub params: Params,
}

impl Via {
    /// Reads one Via element.
    pub fn parse(value: &ByteStr) -> Result<Self, HeaderError> {
        let _ = value;
        Err(HeaderError::Malformed(super::HeaderName::Via))
    }

    /// The branch, when it follows RFC 3261 (begins with `z9hG4bK` and goes on).
    pub fn rfc3261_branch(&self) -> Option<&str> {
        self.branch
            .as_deref()
            .filter(|b| b.len() > 7 && b.get(..7).is_some_and(|c| c.eq_ignore_ascii_case("z9hG4bK")))
    }
}
