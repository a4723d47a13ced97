//! Guards for every text that a caller of the API puts into a message: none may end a line or open another header.

use super::dial::{Credentials, Dial};
use crate::msg::{ByteStr, HeaderName, NameAddr, Scheme, Uri};

/// One header value on one line.
pub(crate) fn is_value(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}

/// A quoted string (RFC 3261 §25.1) of what [`is_value`].
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The user part of a URI: what could be mistaken for something else is written as `%` and its code (RFC 3261 §25.1).
pub(crate) fn user_part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ if b"-_.!~*'()&=+$".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The host of a URI, with a port or without.
pub(crate) fn is_host(text: &str) -> bool {
    !text.contains(['@', ';', '?', '/']) && is_uri(&format!("sip:{text}"))
}

/// The user part that a caller wishes: something, on one line.
pub(crate) fn is_user(text: &str) -> bool {
    !text.is_empty() && is_value(text)
}

/// A token (RFC 3261 §25.1).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

/// A SIP, SIPS or tel URI that can stand in a request line: ASCII, no blanks, quotes, brackets or headers part.
pub(crate) fn is_uri(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b));
    plain
        && Uri::parse(text).is_ok_and(|uri| {
            uri.headers.is_none() && !matches!(uri.scheme, Scheme::Other(_)) && has_host(&uri)
        })
}

fn has_host(uri: &Uri) -> bool {
    uri.scheme == Scheme::Tel || !uri.host.to_string().is_empty()
}

/// A Call-ID: one word, printable.
pub(crate) fn is_call_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Headers that a caller may add: well-formed, and none of those that the endpoint writes.
pub(crate) fn are_headers(headers: &[(String, String)]) -> bool {
    headers.iter().all(|(name, value)| is_token(name) && is_value(value) && !is_ours(name))
}

/// Credentials whose user name can stand in a header.
pub(crate) fn are_credentials(credentials: &Credentials) -> bool {
    is_value(&credentials.username) && !credentials.username.is_empty()
}

/// The first field of a dial that cannot be sent.
pub(crate) fn invalid_field(dial: &Dial) -> Option<&'static str> {
    let from_ok = dial.from.as_deref().is_none_or(|from| is_uri(from) || is_name_addr(from));
    let identity_ok = dial.asserted_identity.as_deref().is_none_or(|id| is_uri(id) || is_name_addr(id));
    let credentials_ok = dial.credentials.as_ref().is_none_or(are_credentials);
    [
        ("target", is_uri(&dial.target)),
        ("from", from_ok),
        ("from_display", dial.from_display.as_deref().is_none_or(is_value)),
        ("from_user", dial.from_user.as_deref().is_none_or(is_user)),
        ("from_host", dial.from_host.as_deref().is_none_or(is_host)),
        ("asserted_identity", identity_ok),
        ("call_id", dial.call_id.as_deref().is_none_or(is_call_id)),
        ("headers", are_headers(&dial.headers)),
        ("credentials", credentials_ok),
    ]
    .into_iter()
    .find_map(|(field, ok)| (!ok).then_some(field))
}

/// `"Display" <uri>` without parameters, because the tag is ours.
fn is_name_addr(text: &str) -> bool {
    is_value(text)
        && text.ends_with('>')
        && NameAddr::parse(&ByteStr::from(text), HeaderName::From).is_ok_and(|addr| is_uri(&addr.uri))
}

fn is_ours(name: &str) -> bool {
    use HeaderName as H;
    matches!(
        H::from(name),
        H::Via
            | H::From
            | H::To
            | H::CallId
            | H::CSeq
            | H::Contact
            | H::MaxForwards
            | H::RecordRoute
            | H::ContentType
            | H::ContentLength
            | H::UserAgent
            | H::Server
            | H::Allow
            | H::Authorization
            | H::ProxyAuthorization
            | H::RetryAfter
            | H::SessionExpires
            | H::MinSe
            | H::RSeq
            | H::RAck
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_ends_a_line_is_a_value_a_uri_or_a_call_id() {
        for evil in ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\u{85}b"] {
            assert!(!is_value(evil), "{evil:?}");
            assert!(!is_uri(&format!("sip:{evil}@h")), "{evil:?}");
            assert!(!is_call_id(evil), "{evil:?}");
            assert!(!is_token(evil), "{evil:?}");
        }
        assert!(is_value("fine\tvalue, \"ü\""));
    }

    #[test]
    fn uris_are_sip_sips_or_tel_and_fit_a_request_line() {
        for good in ["sip:1234@10.0.0.9", "sips:a@h:5061;transport=tls", "sip:[::1]:5060", "tel:+123456789"] {
            assert!(is_uri(good), "{good}");
        }
        for bad in [
            "",
            "1234",
            "http://h",
            "sip:",
            "sip:a b@h",
            "sip:a@h>",
            "<sip:a@h>",
            "sip:a@h?Route=x",
            "sip:é@h",
        ] {
            assert!(!is_uri(bad), "{bad}");
        }
    }

    #[test]
    fn user_parts_are_escaped_and_hosts_are_hosts() {
        assert_eq!(user_part("+49(30)1.2~x"), "+49(30)1.2~x");
        assert_eq!(user_part("a b@c;d#é"), "a%20b%40c%3Bd%23%C3%A9");
        for good in ["pbx.example.com", "10.0.0.5:5062", "[2001:db8::1]:5060"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a@b", "h;lr", "h>", "h x", "h\r\nX: y", "h?x=y"] {
            assert!(!is_host(bad), "{bad:?}");
        }
    }

    #[test]
    fn headers_of_the_endpoint_cannot_be_overridden_under_any_name() {
        let header = |name: &str| are_headers(&[(name.to_owned(), "v".to_owned())]);
        assert!(header("X-Room-ID") && header("Subject") && header("Route"));
        for ours in ["Via", "v", "CONTENT-LENGTH", "l", "From", "t", "Call-ID", "cseq", "m", "bad name", ""] {
            assert!(!header(ours), "{ours}");
        }
    }
}
