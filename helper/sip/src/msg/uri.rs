//! `Uri`: a SIP, SIPS or tel URI in its parts (RFC 3261 section 19.1, RFC 3966).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ByteStr, Params};

/// What stands before the first colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other scheme, as it was written.
    Other(ByteStr),
}

/// The host of a URI or of a Via.
#[derive(Clone, Debug)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
    /// A name; empty where the URI has no host (tel and other schemes).
    Name(ByteStr),
}

/// A URI in its parts; [`fmt::Display`] writes them back.
#[derive(Clone, Debug)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user as it was written, `%` escapes included; for tel the number; for other schemes all after the colon.
    pub user: Option<ByteStr>,
    /// The password after `user:`.
    pub password: Option<ByteStr>,
    /// The host.
    pub host: Host,
    /// The port, when one is written.
    pub port: Option<u16>,
    /// The URI parameters.
    pub params: Params,
    /// What follows `?`, without it.
    pub headers: Option<ByteStr>,
}

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// No scheme before a colon.
    #[error("URI has no scheme")]
    Scheme,
    /// The host is no host.
    #[error("malformed host in URI")]
    Host,
    /// The port is not a number up to 65535.
    #[error("malformed port in URI")]
    Port,
}

impl Uri {
    /// Reads a URI from any text, copying it once.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        Self::from_text(&ByteStr::from(text))
    }

    /// Reads a URI, sharing the text's buffer.
    pub fn from_text(text: &ByteStr) -> Result<Self, UriError> {
        let _ = text;
        Err(UriError::Scheme)
    }

    /// Whether the `lr` parameter is there: the hop is a loose router (RFC 3261 section 16.12).
    pub fn is_loose_route(&self) -> bool {
        self.params.has("lr")
    }

    /// The user with its `%` escapes resolved; escapes that make no UTF-8 stay as they are.
    pub fn user_unescaped(&self) -> Option<String> {
        None
    }
}

impl Host {
    /// Reads a host; IPv6 with or without brackets.
    pub fn parse(text: &ByteStr) -> Option<Self> {
        let _ = text;
        None
    }

    /// The address, when the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4(ip) => Some((*ip).into()),
            Self::V6(ip) => Some((*ip).into()),
            Self::Name(_) => None,
        }
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            _ => self.ip().is_some() && self.ip() == other.ip(),
        }
    }
}

impl Eq for Host {}

/// Equality of RFC 3261 section 19.1.4.
impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        let _ = other;
        false
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
