//! `Host`: where a URI or a Via points to (RFC 3261 section 25.1).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ByteStr, UriError, scan};

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

impl Host {
    /// Reads a host; IPv6 with or without brackets.
    pub fn parse(text: &ByteStr) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        match bare.parse::<Ipv6Addr>() {
            Ok(ip) => Some(Self::V6(ip)),
            Err(_) => Self::named(text, bare).filter(|_| bare.len() == text.len()),
        }
    }

    /// The address, when the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4(ip) => Some((*ip).into()),
            Self::V6(ip) => Some((*ip).into()),
            Self::Name(_) => None,
        }
    }

    /// An IPv4 address or a name; `None` when it has a character that no name can have.
    fn named(text: &ByteStr, name: &str) -> Option<Self> {
        if name.starts_with(|c: char| c.is_ascii_digit())
            && let Ok(ip) = name.parse()
        {
            return Some(Self::V4(ip));
        }
        let odd = |b: u8| b <= b' ' || b == 0x7f || b"<>\"\\^`{|}[],:;?@/#".contains(&b);
        (!name.bytes().any(odd)).then(|| Self::Name(text.share(name)))
    }
}

/// Reads `host`, `host:port`, `[ipv6]:port` or a bare IPv6 address, with blanks around the colon.
pub(crate) fn host_port(text: &ByteStr, host_port: &str) -> Result<(Host, Option<u16>), UriError> {
    let host_port = scan::trim(host_port);
    let (host, port) = match host_port.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']').ok_or(UriError::Host)?;
            let ip = inner.parse().map_err(|_| UriError::Host)?;
            (Host::V6(ip), scan::trim(port))
        }
        None => {
            let (name, port) =
                host_port.split_at(memchr::memchr(b':', host_port.as_bytes()).unwrap_or(host_port.len()));
            if port.len() > 1
                && port[1..].contains(':')
                && let Ok(ip) = host_port.parse()
            {
                return Ok((Host::V6(ip), None));
            }
            (Host::named(text, scan::trim(name)).ok_or(UriError::Host)?, port)
        }
    };
    let port = match port.strip_prefix(':').map(scan::trim) {
        None if port.is_empty() => None,
        None => return Err(UriError::Host),
        Some("") => None,
        Some(port) => Some(scan::digits(port).and_then(|p| u16::try_from(p).ok()).ok_or(UriError::Port)?),
    };
    Ok((host, port))
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

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Host, Option<u16>), UriError> {
        host_port(&ByteStr::from(text), text)
    }

    #[test]
    fn hosts_are_addresses_or_names() {
        assert_eq!(read("192.0.2.1:5060").unwrap(), (Host::V4("192.0.2.1".parse().unwrap()), Some(5060)));
        assert_eq!(read("[2001:db8::1] : 7").unwrap(), (Host::V6("2001:db8::1".parse().unwrap()), Some(7)));
        assert_eq!(read("1st.example.com:").unwrap(), (Host::Name("1ST.example.COM".into()), None));
        assert_eq!(Host::parse(&"[::1]".into()).unwrap().to_string(), "[::1]");
        assert!(Host::parse(&"[h]".into()).is_none());
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["[::1", "a b", "a<b", "[::1]x"] {
            assert_eq!(read(text), Err(UriError::Host), "{text}");
        }
        for text in ["h:x", "h:65536", "h:-1"] {
            assert_eq!(read(text), Err(UriError::Port), "{text}");
        }
    }
}
