//! `CallId` is the name of a call on the WebSocket: the SIP Call-ID, percent-encoded so that a line of the text
//! protocol can be split on `:` and `##`.
//!
//! In: a Call-ID header value, or an argument of a command. Out: the wire form, the SIP form, a file-name stem.
//! It does not know where calls are kept, nor whether one of that name exists.

use std::fmt;
use std::sync::Arc;

/// The relay's name of one call. Cheap to clone and to send between threads.
///
/// Holds the wire form: the SIP Call-ID with `%`, `:`, `#`, space and control characters as `%XX` (upper-case hex of
/// the UTF-8 bytes). Two ids are equal exactly when their wire forms are.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Arc<str>);

/// Why an argument is not a call id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallIdError {
    /// The argument is empty.
    #[error("call id is empty")]
    Empty,
    /// The argument is longer than any Call-ID that fits into a datagram.
    #[error("call id is {0} bytes, more than {max}", max = CallId::MAX_ARG)]
    TooLong(usize),
}

impl CallId {
    /// Longest argument that [`CallId::parse_arg`] accepts, bytes: a 64 KiB Call-ID with every byte encoded.
    pub const MAX_ARG: usize = 3 * 65_536;

    /// Names the call of a SIP Call-ID header value. An empty value, which SIP forbids, becomes `-`.
    pub fn from_sip_call_id(sip: &str) -> CallId {
        if sip.is_empty() {
            return CallId(Arc::from("-"));
        }
        if !sip.chars().any(is_encoded) {
            return CallId(Arc::from(sip));
        }
        let mut wire = String::with_capacity(sip.len() + 16);
        for c in sip.chars() {
            if is_encoded(c) {
                let mut utf8 = [0; 4];
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    wire.push('%');
                    wire.push(char::from(HEX[usize::from(byte >> 4)]));
                    wire.push(char::from(HEX[usize::from(byte & 15)]));
                }
            } else {
                wire.push(c);
            }
        }
        CallId(Arc::from(wire))
    }

    /// Reads the id in a command, encoded or raw: a `%XX` that stands for a character of the encoded set is taken as
    /// such (either case), everything else is encoded.
    ///
    /// # Errors
    /// [`CallIdError`] when the argument is empty or longer than [`CallId::MAX_ARG`].
    pub fn parse_arg(arg: &str) -> Result<CallId, CallIdError> {
        if arg.is_empty() {
            return Err(CallIdError::Empty);
        }
        if arg.len() > CallId::MAX_ARG {
            return Err(CallIdError::TooLong(arg.len()));
        }
        if arg.contains('%') {
            Ok(CallId::from_sip_call_id(&decode(arg)))
        } else {
            Ok(CallId::from_sip_call_id(arg))
        }
    }

    /// The wire form: no `:`, no `#`, no space, no control character, never empty.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SIP Call-ID that this id was made from (of an id [`with_suffix`](CallId::with_suffix), the suffix is part of
    /// it, so a dialog keeps its own Call-ID).
    pub fn to_sip_call_id(&self) -> String {
        decode(&self.0)
    }

    /// The first `n` characters of the decoded id as a part of a file name: only `A-Za-z0-9._-`, every other character
    /// as `_`, no leading dot, never empty. It cannot leave a folder.
    pub fn file_stem(&self, n: usize) -> String {
        let mut stem = String::new();
        for c in decode(&self.0).chars().take(n) {
            let safe = c.is_ascii_alphanumeric() || c == '-' || c == '_' || (c == '.' && !stem.is_empty());
            stem.push(if safe { c } else { '_' });
        }
        if stem.is_empty() {
            stem.push('_');
        }
        stem
    }

    /// The id with `~n` appended: a distinct name for a further dialog with the same Call-ID.
    pub fn with_suffix(&self, n: u32) -> CallId {
        CallId(Arc::from(format!("{}~{n}", self.0)))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({})", self.0)
    }
}

impl AsRef<str> for CallId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for CallId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for CallId {
    type Err = CallIdError;

    /// As [`CallId::parse_arg`].
    fn from_str(arg: &str) -> Result<CallId, CallIdError> {
        CallId::parse_arg(arg)
    }
}

/// Whether `c` is written as `%XX` in a wire form.
fn is_encoded(c: char) -> bool {
    matches!(c, '%' | ':' | '#' | ' ') || c.is_control()
}

/// Undoes the encoding; a `%` that starts no sequence of the encoded set stays as it is.
fn decode(wire: &str) -> String {
    let mut out = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (c, used) = match (escape(rest.as_bytes()), escape(rest.as_bytes().get(3..).unwrap_or_default()))
        {
            (Some(byte), _) if byte < 0x80 && is_encoded(char::from(byte)) => (char::from(byte), 3),
            // The C1 controls U+0080 to U+009F are C2 80 to C2 9F in UTF-8.
            (Some(0xC2), Some(byte @ 0x80..=0x9F)) => (char::from(byte), 6),
            _ => ('%', 1),
        };
        out.push(c);
        rest = &rest[used..];
    }
    out.push_str(rest);
    out
}

/// The byte that a leading `%XX` stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |c: u8| char::from(c).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn separators_in_a_call_id_are_encoded() {
        let id = CallId::from_sip_call_id("a:b##c@h");
        assert_eq!(id.as_str(), "a%3Ab%23%23c@h");
        assert_eq!(id.to_sip_call_id(), "a:b##c@h");
    }

    #[test]
    fn ordinary_call_id_is_unchanged() {
        assert_eq!(CallId::from_sip_call_id("6zo14J0D@10.0.0.7").as_str(), "6zo14J0D@10.0.0.7");
    }

    #[test]
    fn argument_may_be_encoded_raw_or_in_lower_case() {
        let id = CallId::from_sip_call_id("a:b##c@h");
        for arg in ["a:b##c@h", "a%3Ab%23%23c@h", "a%3ab%23#c@h", "a%3Ab##c@h"] {
            assert_eq!(CallId::parse_arg(arg), Ok(id.clone()), "{arg}");
        }
    }

    #[test]
    fn percent_of_no_encoded_character_is_taken_literally() {
        for (arg, wire) in
            [("a%41b", "a%2541b"), ("50%", "50%25"), ("%2", "%252"), ("%zz", "%25zz"), ("%C2x", "%25C2x")]
        {
            assert_eq!(CallId::parse_arg(arg).unwrap().as_str(), wire);
        }
        assert_eq!(CallId::parse_arg("a%25b").unwrap().to_sip_call_id(), "a%b");
        assert_eq!(CallId::parse_arg("%c2%85").unwrap().to_sip_call_id(), "\u{85}");
    }

    #[test]
    fn empty_and_endless_arguments_are_refused() {
        assert_eq!(CallId::parse_arg(""), Err(CallIdError::Empty));
        let long = "x".repeat(CallId::MAX_ARG + 1);
        assert_eq!(CallId::parse_arg(&long), Err(CallIdError::TooLong(CallId::MAX_ARG + 1)));
        assert_eq!(CallId::from_sip_call_id("").as_str(), "-");
    }

    #[test]
    fn file_stem_stays_in_its_folder() {
        for (sip, n, stem) in [
            ("6zo14J0D@10.0.0.7", 8, "6zo14J0D"),
            ("../../etc/passwd", 8, "_._.._et"),
            ("..", 8, "_."),
            ("a:b c", 8, "a_b_c"),
            ("é/\\\0", 8, "____"),
            ("abc", 0, "_"),
        ] {
            assert_eq!(CallId::from_sip_call_id(sip).file_stem(n), stem);
        }
    }

    #[test]
    fn suffix_makes_another_id() {
        let id = CallId::from_sip_call_id("a:b");
        assert_eq!(id.with_suffix(2).as_str(), "a%3Ab~2");
        assert_ne!(id.with_suffix(2), id);
    }

    proptest! {
        #[test]
        fn every_call_id_survives_the_wire(sip in "\\PC{1,20}|[%:# \\x00-\\x1f\\x7f-\\xa0a-zA-F0-9]{1,20}") {
            let id = CallId::from_sip_call_id(&sip);
            prop_assert!(!id.as_str().contains([':', '#', ' ']));
            prop_assert!(!id.as_str().chars().any(char::is_control));
            prop_assert_eq!(id.to_sip_call_id(), sip);
            prop_assert_eq!(CallId::parse_arg(id.as_str()).unwrap(), id);
        }

        #[test]
        fn file_stem_is_always_safe(sip in any::<String>(), n in 0usize..40) {
            let stem = CallId::from_sip_call_id(&sip).file_stem(n);
            prop_assert!(!stem.is_empty() && !stem.starts_with('.') && stem.len() <= n.max(1));
            prop_assert!(stem.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
        }
    }
}
