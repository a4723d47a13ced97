//! What an answer changes in the lines that it copies: `received` and `rport` in Via, the tag in To.

use std::net::SocketAddr;

use super::{ByteStr, HeaderName, NameAddr, Params, Via, scan};

/// A Via line whose first element says where the request came from; `None` when it needs no change.
pub(crate) fn stamp(line: &ByteStr, source: SocketAddr) -> Option<String> {
    let first = scan::split_list(line).next()?;
    let via = Via::parse(&line.share(first)).ok()?;
    let ip = source.ip().to_canonical();
    let received = via.rport.is_some() || via.host.ip() != Some(ip);
    if !received && via.received.is_none() {
        return None;
    }
    let mut stamped = without_params(first, &via.params, &["received", "rport"]);
    if received {
        stamped.push_str(&format!(";received={ip}"));
    }
    if via.rport.is_some() {
        stamped.push_str(&format!(";rport={}", source.port()));
    }
    let rest = line.find(first).map_or("", |at| &line[at + first.len()..]);
    stamped.push_str(rest);
    Some(stamped)
}

/// A To value with a tag; `None` when it has one already.
pub(crate) fn add_tag(value: &ByteStr, tag: &str) -> Option<String> {
    let plain = match NameAddr::parse(value, HeaderName::To) {
        Ok(to) if to.tag().is_some() => return None,
        Ok(to) if to.params.has("tag") => without_params(value, &to.params, &["tag"]),
        _ => value.trim_end_matches([';', ' ', '\t']).to_owned(),
    };
    Some(format!("{plain};tag={tag}"))
}

/// A header value, of which `params` is the end, without the parameters of these names; the rest stays as it is.
fn without_params(value: &str, params: &Params, names: &[&str]) -> String {
    let mut plain = value.strip_suffix(params.raw().as_str()).unwrap_or(value).to_owned();
    for segment in scan::segments(params.raw()) {
        let name = scan::trim(segment.split('=').next().unwrap_or_default());
        if !name.is_empty() && !names.iter().any(|n| n.eq_ignore_ascii_case(name)) {
            plain.push(';');
            plain.push_str(segment);
        }
    }
    plain.truncate(plain.trim_end_matches(scan::is_blank).len());
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_and_rport_follow_the_source() {
        let stamped = |via: &str, source: &str| stamp(&ByteStr::from(via), source.parse().unwrap());
        assert_eq!(stamped("SIP/2.0/UDP 192.0.2.1;branch=x", "192.0.2.1:5060"), None);
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.1;rport;branch=x", "192.0.2.1:7").unwrap(),
            "SIP/2.0/UDP 192.0.2.1;branch=x;received=192.0.2.1;rport=7"
        );
        assert_eq!(
            stamped("SIP/2.0/UDP h;received=6.6.6.6;branch=x;", "[2001:db8::1]:5060").unwrap(),
            "SIP/2.0/UDP h;branch=x;received=2001:db8::1"
        );
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.1;received=6.6.6.6", "[::ffff:192.0.2.1]:5060").unwrap(),
            "SIP/2.0/UDP 192.0.2.1"
        );
    }

    #[test]
    fn a_tag_is_added_only_where_there_is_none() {
        let tagged = |to: &str| add_tag(&ByteStr::from(to), "t");
        assert_eq!(tagged("<sip:b@h>;tag=x"), None);
        assert_eq!(tagged("sip:b@h").unwrap(), "sip:b@h;tag=t");
        assert_eq!(tagged("\"a;tag=1\" <sip:b@h;tag=2>;").unwrap(), "\"a;tag=1\" <sip:b@h;tag=2>;tag=t");
        assert_eq!(tagged("<sip:b@h>;tag=;x=1").unwrap(), "<sip:b@h>;x=1;tag=t");
        assert_eq!(tagged("\"<>;x\" <sip:b>;tag=").unwrap(), "\"<>;x\" <sip:b>;tag=t");
        assert_eq!(tagged("\"open <sip:b@h>").unwrap(), "\"open <sip:b@h>;tag=t");
    }
}
