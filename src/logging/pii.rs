//! `Pii` keeps phone numbers and SIP URIs out of the log.
//!
//! In: a number, a URI, a display name. Out: stars and its last two digits, except where the log line being
//! written may show it.

use std::{
    cell::Cell,
    fmt::{self, Write},
};

thread_local! {
    /// Whether this thread is writing a log line that may show what [`Pii`] holds.
    static SHOWN: Cell<bool> = const { Cell::new(false) };
}

/// Something that names a person: a phone number, a SIP URI, a display name.
///
/// `Display` and `Debug` show the last two digits of a number or of a URI's user, and stars for the rest. The whole is
/// shown only in a log line, and there only at `TRACE` or with `LOG_MASK=0`; anywhere else it is always masked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pii<T>(pub T);

impl<T: fmt::Display> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if SHOWN.get() {
            return self.0.fmt(f);
        }
        write_masked(f, &self.0.to_string())
    }
}

impl<T: fmt::Display> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Runs `write` while [`Pii`] on this thread shows itself if `shown`.
pub(super) fn with_shown<R>(shown: bool, write: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SHOWN.set(self.0);
        }
    }
    let _restore = Restore(SHOWN.replace(shown));
    write()
}

/// Stars everything but the scheme and the last two digits of the number or user. A display name, a host, parameters
/// and whatever else stands around it become `***`, and a user of fewer than five characters is starred whole: two of
/// four would say too much.
fn write_masked(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let bare = text.split_once('<').map_or(text, |(_, inside)| inside);
    let (scheme, rest) = split_scheme(bare);
    let user = rest.split(|c: char| matches!(c, '@' | ';' | '>') || c.is_whitespace()).next().unwrap_or(rest);
    let length = user.chars().count();
    let visible = if length >= 5 { 2 } else { 0 };
    if bare.len() < text.len() {
        f.write_str("***")?;
    }
    f.write_str(scheme)?;
    for (i, c) in user.chars().enumerate() {
        f.write_char(if i + visible >= length && c.is_ascii_digit() { c } else { '*' })?;
    }
    if user.len() < rest.len() { f.write_str("***") } else { Ok(()) }
}

/// Splits `sip:`, `sips:` or `tel:` off, in any case.
fn split_scheme(text: &str) -> (&str, &str) {
    ["sip:", "sips:", "tel:"]
        .into_iter()
        .find_map(|scheme| {
            let (head, tail) = text.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some((head, tail))
        })
        .unwrap_or(("", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_two_of_a_number_or_user_are_shown() {
        let shown = |text| Pii(text).to_string();
        assert_eq!(shown("0912341234"), "********34");
        assert_eq!(shown("+886912341234"), "***********34");
        assert_eq!(shown("sip:0912341234@10.0.0.7:5060;transport=udp"), "sip:********34***");
        assert_eq!(shown("SIPS:alice@example.com"), "SIPS:********");
        assert_eq!(shown("tel:+886912341234;phone-context=x"), "tel:***********34***");
        assert_eq!(shown("\"Alice 42\" <sip:0912341234@h>;tag=1"), "***sip:********34***");
        assert_eq!(shown("Alice Smith"), "********");
        assert_eq!(shown("1001"), "****");
        assert_eq!(shown(""), "");
        assert_eq!(shown("王小明王小明"), "******");
    }

    #[test]
    fn debug_is_masked_as_well() {
        assert_eq!(
            format!("{:?} {:?}", Pii("0912341234"), Some(Pii("0912341234"))),
            "********34 Some(********34)"
        );
    }

    #[test]
    fn masking_is_back_after_a_panic_while_shown() {
        let outcome = std::panic::catch_unwind(|| with_shown(true, || panic!("in a Display")));
        assert!(outcome.is_err());
        assert_eq!(Pii("0912341234").to_string(), "********34");
    }
}
