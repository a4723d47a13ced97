//! Lexical pieces that every header shares: blanks, quoted strings, lists and parameters (RFC 3261 section 25.1).

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

use super::ByteStr;

/// Parameters of a header or of a URI: `;name=value;flag`, kept as they were written.
///
/// Names are compared without case. Blanks around `;` and `=` and empty parameters (`;;`) are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(ByteStr);

impl Params {
    /// Parameters from text that begins with `;` or is empty.
    pub fn new(raw: ByteStr) -> Self {
        Self(raw)
    }

    /// The text, with its leading `;`.
    pub fn raw(&self) -> &ByteStr {
        &self.0
    }

    /// Name and value of each parameter in order; a quoted value keeps its quotes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        params(&self.0)
    }

    /// Whether there is such a parameter, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter of that name; a quoted value keeps its quotes.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).and_then(|(_, v)| v)
    }

    /// The value of the first parameter of that name, without quotes and backslashes.
    pub fn get_unquoted(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(unquote)
    }
}

/// The elements of a comma-separated list, without blanks around them and without empty ones.
pub(crate) fn split_list(value: &str) -> impl Iterator<Item = &str> {
    Pieces { rest: Some(value), delimiter: b',', brackets: true }.map(trim).filter(|part| !part.is_empty())
}

/// The pieces between `;`, outside quotes, as they were written.
pub(crate) fn segments(params: &str) -> impl Iterator<Item = &str> {
    Pieces { rest: Some(params), delimiter: b';', brackets: false }
}

/// The parameters in `;a=b;c`.
pub(crate) fn params(raw: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    segments(raw).filter_map(|segment| {
        let (name, value) = match segment.split_once('=') {
            Some((name, value)) => (trim(name), Some(trim(value))),
            None => (trim(segment), None),
        };
        (!name.is_empty()).then_some((name, value))
    })
}

/// Whether this byte stands in `text` outside quoted strings.
pub(crate) fn has_unquoted(text: &str, byte: u8) -> bool {
    let mut pieces = Pieces { rest: Some(text), delimiter: byte, brackets: false };
    pieces.next();
    pieces.rest.is_some()
}

/// Whether every quoted string in `text` has its end.
pub(crate) fn quotes_close(text: &str) -> bool {
    let mut from = 0;
    while let Some(at) = text.as_bytes().get(from..).and_then(|rest| memchr(b'"', rest)) {
        match closing_quote(text.as_bytes(), from + at + 1) {
            Some(end) => from = end + 1,
            None => return false,
        }
    }
    true
}

/// The text of a quoted string; anything else stays as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        None => Cow::Borrowed(text),
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(inner) => {
            let mut plain = String::with_capacity(inner.len());
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                plain.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            Cow::Owned(plain)
        }
    }
}

/// Where the quoted string that begins before `from` ends: the index of its closing quote.
pub(crate) fn closing_quote(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

/// Without the blanks (SP, HTAB, CR, LF) at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// SP, HTAB and the line ends that folding leaves.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Whether `text` is a token (RFC 3261 section 25.1).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| TOKEN[usize::from(b)])
}

/// A number written in decimal digits and nothing else; `None` when it is more than `u64` holds.
pub(crate) fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 128 {
        table[i] = (i as u8).is_ascii_alphanumeric();
        i += 1;
    }
    let extra = b"-.!%*_+`'~";
    let mut i = 0;
    while i < extra.len() {
        table[extra[i] as usize] = true;
        i += 1;
    }
    table
};

/// Cuts a text at a delimiter that stands outside quoted strings and, when asked, outside angle brackets.
/// A quote or bracket that nothing closes reaches to the end.
struct Pieces<'a> {
    rest: Option<&'a str>,
    delimiter: u8,
    brackets: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.take()?;
        let bytes = rest.as_bytes();
        let bracket = if self.brackets { b'<' } else { b'"' };
        let mut from = 0;
        while let Some(at) = bytes.get(from..).and_then(|b| memchr3(self.delimiter, b'"', bracket, b)) {
            let at = from + at;
            let end = match bytes[at] {
                b'"' => closing_quote(bytes, at + 1),
                b if b == self.delimiter => {
                    self.rest = Some(&rest[at + 1..]);
                    return Some(&rest[..at]);
                }
                _ => memchr(b'>', &bytes[at..]).map(|n| at + n),
            };
            match end {
                Some(end) => from = end + 1,
                None => break,
            }
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> Vec<&str> {
        split_list(value).collect()
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_cut() {
        assert_eq!(list("a , b,,c"), ["a", "b", "c"]);
        assert_eq!(list(r#""x, \", y" <sip:a,b@c>;p="1,2", d"#), [r#""x, \", y" <sip:a,b@c>;p="1,2""#, "d"]);
        assert_eq!(list(r#"a, "open, end"#), ["a", r#""open, end"#]);
        assert_eq!(list("<a, b"), ["<a, b"]);
        assert_eq!(list(" ,, "), [""; 0]);
    }

    #[test]
    fn parameters_pass_over_blanks_and_empty_ones() {
        let params = Params::new(ByteStr::from(r#";; tag    = 19 ;flag; q="a;\"b\"" ;"#));
        assert_eq!(
            params.iter().collect::<Vec<_>>(),
            [("tag", Some("19")), ("flag", None), ("q", Some(r#""a;\"b\"""#))]
        );
        assert_eq!(params.get("TAG"), Some("19"));
        assert!(params.has("Flag") && params.get("flag").is_none() && !params.has("other"));
        assert_eq!(params.get_unquoted("q").as_deref(), Some("a;\"b\""));
    }

    #[test]
    fn an_escaped_quote_does_not_close() {
        assert_eq!(closing_quote(br#"a\"b" c"#, 0), Some(4));
        assert_eq!(closing_quote(br#"a\"#, 0), None);
        assert!(quotes_close(r#"a "b\"" "c""#) && !quotes_close(r#"a "b" "c"#) && !quotes_close(r#""\""#));
        assert!(!has_unquoted(r#"a "," b"#, b','));
        assert!(has_unquoted(r#"a "," b,"#, b','));
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(digits("0068"), Some(68));
        assert_eq!(digits("18446744073709551615"), Some(u64::MAX));
        assert!(
            ["", "-1", "+1", "1 ", "18446744073709551616", "\u{0661}"].iter().all(|t| digits(t).is_none())
        );
    }
}
