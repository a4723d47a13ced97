//! Where a request inside a dialog goes: route set, loose and strict routers, and the address behind a URI.

use std::net::SocketAddr;

use crate::msg::{ByteStr, HeaderName, NameAddr, Scheme, Uri};

/// The next hop of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The Request-URI.
    pub(crate) uri: String,
    /// The Route values, in order.
    pub(crate) routes: Vec<String>,
    pub(crate) destination: SocketAddr,
}

/// Applies the route set (RFC 3261 §12.2.1.1, §16.12.1): a first hop with `lr` leaves the target in the Request-URI, a
/// strict router takes its place and sends the target to the end of the list.
pub(super) fn next(target: &str, routes: &[Box<str>], local: SocketAddr, peer: SocketAddr) -> Hop {
    let first =
        routes.first().and_then(|route| NameAddr::parse(&ByteStr::from(&**route), HeaderName::Route).ok());
    let Some(first) = first else {
        let destination = address_of(target, local).unwrap_or(peer);
        return Hop { uri: target.to_owned(), routes: Vec::new(), destination };
    };
    let destination = address_of(&first.uri, local).unwrap_or(peer);
    let loose = first.parsed_uri().is_ok_and(|uri| uri.is_loose_route());
    if loose {
        let routes = routes.iter().map(|route| route.to_string()).collect();
        return Hop { uri: target.to_owned(), routes, destination };
    }
    let rest = routes.iter().skip(1).map(|route| route.to_string());
    Hop { uri: first.uri.to_string(), routes: rest.chain([format!("<{target}>")]).collect(), destination }
}

/// The address that a SIP URI names without DNS; `None` for a host name, for an address that no datagram can be sent to
/// from `local`, and for other schemes.
pub(crate) fn address_of(uri: &str, local: SocketAddr) -> Option<SocketAddr> {
    let uri = Uri::parse(uri).ok()?;
    let default_port = match uri.scheme {
        Scheme::Sip => 5060,
        Scheme::Sips => 5061,
        Scheme::Tel | Scheme::Other(_) => return None,
    };
    let ip = uri.host.ip()?;
    let port = uri.port.unwrap_or(default_port);
    let same_family = ip.is_ipv4() == local.is_ipv4();
    (same_family && port != 0 && !ip.is_unspecified() && !ip.is_multicast())
        .then_some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "192.0.2.99:5999";

    fn hop(target: &str, routes: &[&str]) -> (String, Vec<String>, String) {
        let routes: Vec<Box<str>> = routes.iter().map(|route| (*route).into()).collect();
        let local = "192.0.2.1:5060".parse().unwrap();
        let Hop { uri, routes, destination } = next(target, &routes, local, PEER.parse().unwrap());
        (uri, routes, destination.to_string())
    }

    #[test]
    fn without_routes_the_request_goes_to_the_contact() {
        assert_eq!(
            hop("sip:bob@192.0.2.4:5070", &[]),
            ("sip:bob@192.0.2.4:5070".into(), vec![], "192.0.2.4:5070".into())
        );
    }

    #[test]
    fn loose_router_leaves_the_target_in_the_request_uri() {
        assert_eq!(
            hop("sip:bob@192.0.2.4", &["<sip:192.0.2.7;lr>", "<sip:p2.example.com;lr>"]),
            (
                "sip:bob@192.0.2.4".into(),
                vec!["<sip:192.0.2.7;lr>".into(), "<sip:p2.example.com;lr>".into()],
                "192.0.2.7:5060".into()
            )
        );
    }

    #[test]
    fn strict_router_takes_the_request_uri_and_the_target_goes_last() {
        assert_eq!(
            hop("sip:bob@192.0.2.4", &["<sip:192.0.2.7:5080>", "<sip:p2.example.com;lr>"]),
            (
                "sip:192.0.2.7:5080".into(),
                vec!["<sip:p2.example.com;lr>".into(), "<sip:bob@192.0.2.4>".into()],
                "192.0.2.7:5080".into()
            )
        );
    }

    #[test]
    fn what_no_datagram_can_reach_goes_where_the_peer_sends_from() {
        for target in [
            "sip:bob@pbx.example.com",
            "sip:bob@0.0.0.0:5060",
            "sip:bob@192.0.2.4:0",
            "sip:bob@[2001:db8::1]",
            "sip:bob@224.0.0.1",
            "tel:+123456789",
        ] {
            assert_eq!(hop(target, &[]).2, PEER, "{target}");
        }
    }

    #[test]
    fn ipv6_target_is_reached_from_an_ipv6_address() {
        let local = "[2001:db8::1]:5060".parse().unwrap();
        assert_eq!(
            address_of("sip:bob@[2001:db8::9]:5070", local),
            Some("[2001:db8::9]:5070".parse().unwrap())
        );
        assert_eq!(address_of("sips:bob@[2001:db8::9]", local), Some("[2001:db8::9]:5061".parse().unwrap()));
    }
}
