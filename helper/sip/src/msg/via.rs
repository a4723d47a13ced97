//! `Via`: one hop that a request has passed (RFC 3261 section 20.42, RFC 3581).

use std::fmt;
use std::net::IpAddr;

use super::{ByteStr, HeaderError, HeaderName, Host, Params, host, scan};

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
    /// Reads one Via element. Any protocol and version will do, so that even a request of another version
    /// can be answered.
    pub fn parse(value: &ByteStr) -> Result<Self, HeaderError> {
        Self::read(value).ok_or(HeaderError::Malformed(HeaderName::Via))
    }

    /// The branch when it identifies a transaction by RFC 3261 section 8.1.1.7: begins with `z9hG4bK` and goes on.
    pub fn rfc3261_branch(&self) -> Option<&str> {
        let branch = self.branch.as_deref()?;
        let (cookie, id) = branch.split_at_checked(COOKIE.len())?;
        (cookie.eq_ignore_ascii_case(COOKIE) && !id.is_empty()).then_some(branch)
    }

    /// The address in `received`, with or without brackets.
    pub fn received_ip(&self) -> Option<IpAddr> {
        Host::parse(self.received.as_ref()?)?.ip()
    }

    fn read(value: &ByteStr) -> Option<Self> {
        let (protocol, rest) = value.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        if scan::trim(protocol).is_empty() || scan::trim(version).is_empty() {
            return None;
        }
        let (transport, rest) = rest.trim_start_matches(scan::is_blank).split_once(scan::is_blank)?;
        let (sent_by, params) = rest.split_at(memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len()));
        let (host, port) = host::host_port(value, sent_by).ok()?;
        if matches!(&host, Host::Name(name) if name.is_empty()) || !scan::quotes_close(params) {
            return None;
        }
        let mut via = Self {
            transport: Transport::read(value, transport),
            host,
            port,
            branch: None,
            received: None,
            rport: None,
            params: Params::new(value.share(scan::trim(params))),
        };
        for (name, text) in scan::params(params) {
            let some = || text.filter(|t| !t.is_empty()).map(|t| value.share(t));
            if via.branch.is_none() && name.eq_ignore_ascii_case("branch") {
                via.branch = some();
            } else if via.received.is_none() && name.eq_ignore_ascii_case("received") {
                via.received = some();
            } else if via.rport.is_none() && name.eq_ignore_ascii_case("rport") {
                via.rport = Some(text.and_then(|t| t.parse().ok()));
            }
        }
        Some(via)
    }
}

impl Transport {
    /// The name as a Via writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Sctp => "SCTP",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Other(name) => name,
        }
    }

    fn read(value: &ByteStr, token: &str) -> Self {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Sctp, Self::Ws, Self::Wss]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(token))
            .unwrap_or_else(|| Self::Other(value.share(token)))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Via {
    /// Writes the element with `params` as they are; `branch`, `received` and `rport` are only views of those.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.params.raw())
    }
}

/// What a branch of RFC 3261 begins with.
const COOKIE: &str = "z9hG4bK";

#[cfg(test)]
mod tests {
    use super::*;

    fn via(value: &str) -> Via {
        Via::parse(&ByteStr::from(value)).unwrap()
    }

    #[test]
    fn a_usual_via_is_read() {
        let v = via("SIP/2.0/UDP pc33.example.com:5066;branch=z9hG4bK776;rport;received=192.0.2.1");
        assert_eq!(v.transport, Transport::Udp);
        assert_eq!((v.host.to_string().as_str(), v.port), ("pc33.example.com", Some(5066)));
        assert_eq!((v.branch.as_deref(), v.rport), (Some("z9hG4bK776"), Some(None)));
        assert_eq!(v.received_ip(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(v.rfc3261_branch(), Some("z9hG4bK776"));
        assert_eq!(
            v.to_string(),
            "SIP/2.0/UDP pc33.example.com:5066;branch=z9hG4bK776;rport;received=192.0.2.1"
        );
    }

    #[test]
    fn blanks_are_passed_over() {
        let v = via(
            "SIP  / 2.0  / tcp     spindle.example.com : 5060  ;  branch  =   z9hG4bK9ikj8 ; rport = 99 ;",
        );
        assert_eq!((v.transport, v.port, v.rport), (Transport::Tcp, Some(5060), Some(Some(99))));
        assert_eq!(v.branch.as_deref(), Some("z9hG4bK9ikj8"));
    }

    #[test]
    fn ipv6_is_read_with_and_without_brackets() {
        let v = via("SIP/2.0/UDP [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3-111");
        assert_eq!((v.host.to_string().as_str(), v.port), ("[2001:db8::9:1]", Some(6050)));
        assert_eq!(v.received_ip(), Some("2001:db8::9:255".parse().unwrap()));
        assert_eq!(via("SIP/2.0/UDP 2001:db8::1;branch=x").host.ip(), Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn a_branch_of_the_old_kind_identifies_nothing() {
        assert_eq!(via("SIP/2.0/UDP h;branch=z9hG4bK").rfc3261_branch(), None);
        assert_eq!(via("SIP/2.0/UDP h;branch=390skdjuw").rfc3261_branch(), None);
        assert_eq!(via("SIP/2.0/UDP h;branch=").branch, None);
    }

    #[test]
    fn what_names_no_hop_is_refused() {
        for value in [
            "",
            ";",
            "x.example.com;branch=z9hG4bKk",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ;branch=x",
            "/2.0/UDP h",
            "a/b/c d;e=\"f",
        ] {
            assert!(Via::parse(&ByteStr::from(value)).is_err(), "{value}");
        }
    }
}
