//! What a caller is called, and which number he has called.

use sip::msg::Uri;

/// The caller's number: the display name where that is a number, else the user part, else the URI without its scheme.
pub fn phone_of(from: &sip::Party) -> String {
    let display = from.display.as_deref().map(str::trim).filter(|name| is_number(name));
    let user = from.user.as_deref().filter(|user| !user.is_empty());
    let phone = display.or(user).unwrap_or_else(|| from.uri.trim_start_matches("sip:"));
    number_text(phone)
}

/// A number as one field of one line: whatever would end the field or the line is not part of it.
pub fn number_text(number: &str) -> String {
    number.chars().filter(|c| !c.is_control() && !c.is_whitespace() && *c != '#').take(MAX_PHONE).collect()
}

/// The number that was called: the user of the request URI. Where that is the name by which we are registered (`own`), the
/// registrar has put our contact there, and the user of To is the number.
pub fn called_number(request_uri: &str, to: &sip::Party, own: Option<&str>) -> Option<String> {
    let requested = Uri::parse(request_uri).ok().and_then(|uri| uri.user_unescaped());
    let users = [requested.filter(|user| own != Some(user)), to.user.clone()];
    // Behind a semicolon are parameters of the number (RFC 3966 §3).
    let numbers =
        users.into_iter().flatten().map(|user| number_text(user.split(';').next().unwrap_or_default()));
    numbers.into_iter().find(|number| !number.is_empty())
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Characters of a caller's number.
pub const MAX_PHONE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn party(display: Option<&str>, user: Option<&str>) -> sip::Party {
        sip::Party {
            display: display.map(str::to_owned),
            uri: "sip:10.0.0.1".to_owned(),
            user: user.map(str::to_owned),
        }
    }

    #[test]
    fn phone_is_the_display_name_where_that_is_a_number() {
        assert_eq!(phone_of(&party(Some("0903383638"), Some("trunk"))), "0903383638");
    }

    #[test]
    fn phone_is_the_user_part_without_a_number_as_display_name() {
        assert_eq!(phone_of(&party(None, Some("0912"))), "0912");
        assert_eq!(phone_of(&party(Some("Reception"), Some("0912"))), "0912");
    }

    #[test]
    fn phone_never_breaks_the_line_or_the_field() {
        assert_eq!(phone_of(&party(None, Some("09##1\r\n2"))), "0912");
    }

    #[test]
    fn called_number_is_the_user_of_the_request_uri_unless_that_is_our_own_name() {
        let to = |user| party(None, user);
        let called = |uri, user, own| called_number(uri, &to(user), own);
        assert_eq!(called("sip:100@h", Some("200"), None).as_deref(), Some("100"));
        assert_eq!(called("sip:%2B1512;npdi@h;user=phone", Some("200"), None).as_deref(), Some("+1512"));
        assert_eq!(called("tel:+1512;phone-context=x", None, None).as_deref(), Some("+1512"));
        assert_eq!(called("sip:1001@h", Some("0912"), Some("1001")).as_deref(), Some("0912"));
        assert_eq!(called("sip:100@h", Some("0912"), Some("1001")).as_deref(), Some("100"));
        assert_eq!(called("sip:10.0.0.1", Some("0912"), None).as_deref(), Some("0912"));
        assert_eq!(called("sip:10.0.0.1", None, None), None);
        assert_eq!(called("sip:%23%0d@h", Some("0912"), None).as_deref(), Some("0912"));
        assert_eq!(called("sip:09%20%23%231@h", None, None).as_deref(), Some("091"));
    }

    #[test]
    fn caller_without_user_part_is_named_by_its_host() {
        assert_eq!(phone_of(&party(None, None)), "10.0.0.1");
    }
}
