//! Addresses: reads them, and asks the operating system whether they are ours.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
};

use super::parse::Parsed;

/// An IPv4 or IPv6 address; IPv6 also in brackets.
pub(super) fn ip(text: &str) -> Parsed<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "expected an IP address, not a name".to_owned())
}

/// An address that SIP and RTP can be bound to on this machine.
pub(super) fn local_udp_ip(text: &str) -> Parsed<IpAddr> {
    let ip = ip(text)?;
    match UdpSocket::bind((ip, 0)) {
        Ok(_) => Ok(ip),
        Err(error) => Err(not_local(&error)),
    }
}

/// An address or name of this machine that the WebSocket server can be bound to.
pub(super) fn local_tcp_ip(text: &str) -> Parsed<IpAddr> {
    let ip = host(text, None)?;
    match TcpListener::bind((ip, 0)) {
        Ok(_) => Ok(ip),
        Err(error) => Err(not_local(&error)),
    }
}

/// An address, or a name that is resolved now. Of several addresses the first of the family of `near`, or else of IPv4.
pub(crate) fn host(text: &str, near: Option<IpAddr>) -> Parsed<IpAddr> {
    if let Ok(ip) = ip(text) {
        return Ok(ip);
    }
    let expected = |why: String| format!("expected an IP address or a name that can be resolved ({why})");
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == ':' || c == '/') {
        return Err(expected("this is neither".to_owned()));
    }
    let found: Vec<IpAddr> =
        (text, 0).to_socket_addrs().map_err(|error| expected(error.to_string()))?.map(|a| a.ip()).collect();
    let ipv4 = near.is_none_or(|near| near.is_ipv4());
    found
        .iter()
        .find(|ip| ip.is_ipv4() == ipv4)
        .or(found.first())
        .copied()
        .ok_or_else(|| expected("it has no address".to_owned()))
}

/// The source address of packets to `server`. Sends nothing.
pub(crate) fn route_source(server: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = UdpSocket::bind((any, 0))?;
    probe.connect(server)?;
    Ok(probe.local_addr()?.ip())
}

fn not_local(error: &io::Error) -> String {
    format!("expected an address of this machine ({error}); leave it unset for the default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_may_stand_in_brackets() {
        assert_eq!(ip("[::1]"), Ok(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(ip("::1"), ip("[::1]"));
        for wrong in ["localhost", "1.2.3", "[127.0.0.1", "1.2.3.4:5060", ""] {
            assert!(ip(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn route_to_loopback_starts_at_loopback() {
        let source = route_source(SocketAddr::from((Ipv4Addr::LOCALHOST, 5060)));
        assert_eq!(source.ok(), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn local_name_resolves_to_loopback() {
        assert_eq!(host("localhost", None).map(|ip| ip.is_loopback()), Ok(true));
        for wrong in ["", "no such host", "http://pbx", "pbx:5060"] {
            assert!(host(wrong, None).is_err(), "{wrong:?}");
        }
    }
}
