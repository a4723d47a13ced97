//! Whom to call: reads what a program gives as a destination.
//!
//! In: a number, an extension or a `sip:` URI. Out: what is dialled. Knows no server.

use sip::msg::{Scheme, Uri};

use super::SipClientError;

/// What a destination comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// The user part of the request URI, escaped.
    pub user: String,
    /// The whole request URI, where one was given.
    pub target: Option<String>,
}

/// Reads a destination. Spaces, line ends and control characters make it invalid: they could end the request line.
pub(super) fn read(text: &str) -> Result<Destination, SipClientError> {
    let invalid = || SipClientError::InvalidDestination(text.chars().take(MAX_LENGTH).collect());
    let printable = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if text.is_empty() || text.len() > MAX_LENGTH || !printable {
        return Err(invalid());
    }
    let is_uri = text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip:"));
    let target = match text.split_once('@') {
        _ if is_uri => text.to_owned(),
        Some((user, _)) if !user.contains(':') => format!("sip:{text}"),
        None if !text.contains(':') => return Ok(Destination { user: escape(text), target: None }),
        _ => return Err(invalid()),
    };
    let plain = target.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b));
    let uri = Uri::parse(&target).map_err(|_| invalid())?;
    if !plain || uri.scheme != Scheme::Sip || uri.headers.is_some() || uri.host.to_string().is_empty() {
        return Err(invalid());
    }
    let user = uri.user.map_or_else(|| uri.host.to_string(), |user| user.to_string());
    Ok(Destination { user, target: Some(target) })
}

/// Whether a text can be the user part of a URI as it is (RFC 3261 §25.1).
pub(super) fn is_user(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_user_byte)
}

fn is_user_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte)
}

fn escape(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for byte in user.bytes() {
        if is_user_byte(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Bytes of a destination.
const MAX_LENGTH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_extensions_are_users_at_the_server() {
        for (given, user) in
            [("1234", "1234"), ("+886912", "+886912"), ("*67#", "*67%23"), ("büro", "b%C3%BCro")]
        {
            let read = read(given).expect(given);
            assert_eq!((read.user.as_str(), read.target), (user, None));
        }
    }

    #[test]
    fn uri_is_called_as_it_is() {
        let uri = "sip:bob@example.com:5070;transport=udp";
        let expected = Destination { user: "bob".into(), target: Some(uri.into()) };
        assert_eq!(read(uri), Ok(expected));
        assert_eq!(
            read("bob@example.com").expect("a user and a host").target.unwrap(),
            "sip:bob@example.com"
        );
        assert_eq!(read("SIP:127.0.0.1").expect("a host").user, "127.0.0.1");
        assert_eq!(read("sip:[::1]:5062").expect("a host").user, "[::1]");
    }

    #[test]
    fn what_could_break_a_message_or_has_no_meaning_is_refused() {
        let long = "1".repeat(257);
        let wrong = [
            "",
            " ",
            "12 34",
            "1\r\nVia: x",
            "1\n",
            "12\t3",
            "a\u{2028}b",
            "tel:123",
            "sips:a@b",
            "sip:",
            "sip:a@",
            "sip:a@b?Subject=x",
            "sip:<a>@b",
            "sip:a@b\"",
            "http://x/",
            &long,
        ];
        for given in wrong {
            assert!(matches!(read(given), Err(SipClientError::InvalidDestination(_))), "{given:?}");
        }
    }
}
