//! `NameAddr`: a display name, a URI and header parameters, as in From, To, Contact and Route (RFC 3261 section 20.10).

use std::fmt;

use super::uri::is_scheme;
use super::{ByteStr, HeaderError, HeaderName, Params, Uri, UriError, scan};

/// `"Display" <uri>;params` or the bare form `uri;params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name without quotes and backslashes; `None` when there is none or it is empty.
    pub display: Option<String>,
    /// The URI as it was written, without angle brackets.
    pub uri: ByteStr,
    /// The parameters after the URI; those inside the brackets belong to the URI.
    pub params: Params,
}

/// The value of a Contact header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// `*`: every binding (RFC 3261 section 10.2.2).
    Star,
    /// An address.
    Addr(NameAddr),
}

impl NameAddr {
    /// An address without parameters.
    pub fn new(display: Option<&str>, uri: impl Into<ByteStr>) -> Self {
        Self { display: display.map(str::to_owned), uri: uri.into(), params: Params::default() }
    }

    /// Reads one address; `name` goes into the error.
    ///
    /// Tolerated: any characters in an unquoted display name, blanks inside the angle brackets, a quoted name before a
    /// URI without brackets. Refused: a quote or bracket that nothing closes, no scheme, a comma outside quotes and
    /// brackets behind the URI, and `?` or a comma behind the user of a URI without brackets, where it would be ambiguous
    /// (RFC 3261 section 20.10).
    pub fn parse(value: &ByteStr, name: HeaderName) -> Result<Self, HeaderError> {
        Self::read(value).ok_or(HeaderError::Malformed(name))
    }

    fn read(value: &ByteStr) -> Option<Self> {
        let text = scan::trim(value);
        let (display, uri, params) = match opening_bracket(text) {
            Some(open) => {
                let (inner, after) = text[open + 1..].split_once('>')?;
                (&text[..open], scan::trim(inner), scan::trim(after))
            }
            None => {
                let quoted =
                    if text.starts_with('"') { scan::closing_quote(text.as_bytes(), 1)? + 1 } else { 0 };
                let spec = scan::trim(&text[quoted..]);
                let (uri, params) = spec.split_at(spec.find(';').unwrap_or(spec.len()));
                let uri = scan::trim(uri);
                let host = uri.split_once('@').map_or(uri, |(_, host)| host);
                if host.contains(['?', ',']) || uri.contains([' ', '\t']) {
                    return None;
                }
                (&text[..quoted], uri, params)
            }
        };
        let well_formed = has_scheme(uri)
            && (params.is_empty() || params.starts_with(';'))
            && scan::quotes_close(params)
            && !scan::has_unquoted(params, b',');
        if !well_formed {
            return None;
        }
        let display = scan::unquote(scan::trim(display));
        Some(Self {
            display: (!display.is_empty()).then(|| display.into_owned()),
            uri: value.share(uri),
            params: Params::new(value.share(params)),
        })
    }

    /// The `tag` parameter; an empty one counts as none.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The URI in its parts.
    pub fn parsed_uri(&self) -> Result<Uri, UriError> {
        Uri::from_text(&self.uri)
    }
}

impl Contact {
    /// The address; `None` for `*`.
    pub fn addr(&self) -> Option<&NameAddr> {
        match self {
            Self::Star => None,
            Self::Addr(addr) => Some(addr),
        }
    }
}

impl fmt::Display for NameAddr {
    /// Writes the name in quotes, the URI in brackets, then the parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "\"{}\" ", display.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        write!(f, "<{}>{}", self.uri, self.params.raw())
    }
}

/// Where the first `<` outside quotes stands.
fn opening_bracket(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'<', b'"', bytes.get(from..)?)?;
        if bytes[at] == b'<' {
            return Some(at);
        }
        from = scan::closing_quote(bytes, at + 1)? + 1;
    }
}

/// Whether the text begins with a URI scheme and a colon.
fn has_scheme(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// The addresses of a comma-separated list. A piece without a colon belongs to the display name of the next one, where
/// the sender forgot the quotes.
pub(crate) fn split_addrs(value: &str) -> impl Iterator<Item = &str> {
    let mut pieces = scan::split_list(value);
    let offset = move |part: &str| part.as_ptr() as usize - value.as_ptr() as usize;
    std::iter::from_fn(move || {
        let first = pieces.next()?;
        let mut last = first;
        while !last.contains(':') && first != "*" {
            match pieces.next() {
                Some(piece) => last = piece,
                None => break,
            }
        }
        Some(&value[offset(first)..offset(last) + last.len()])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(Option<String>, String, Option<String>)> {
        let addr = NameAddr::read(&ByteStr::from(value))?;
        Some((addr.display.clone(), addr.uri.to_string(), addr.tag().map(str::to_owned)))
    }

    fn is(display: &str, uri: &str, tag: &str) -> Option<(Option<String>, String, Option<String>)> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some((some(display), uri.to_owned(), some(tag)))
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(read(r#""A. \"B\"" <sip:a@b;x=1>;tag=7"#), is("A. \"B\"", "sip:a@b;x=1", "7"));
        assert_eq!(read("sip:a@b;tag=7;x"), is("", "sip:a@b", "7"));
        assert_eq!(read("caller<sip:c@d>;tag=323"), is("caller", "sip:c@d", "323"));
        assert_eq!(read("\"\" <tel:+123>"), is("", "tel:+123", ""));
    }

    #[test]
    fn odd_names_and_blanks_are_tolerated() {
        assert_eq!(read("Bell, Alexander <sip:a@b>;tag=43"), is("Bell, Alexander", "sip:a@b", "43"));
        assert_eq!(read("\"W, T\" < sip:a@b > ; tag = 9 ;"), is("W, T", "sip:a@b", "9"));
        assert_eq!(read("\"X\" sip:a@b;tag=1"), is("X", "sip:a@b", "1"));
        assert_eq!(read("sip:a,b?c@d;tag=1"), is("", "sip:a,b?c@d", "1"));
        assert_eq!(read("<sip:a@b>;tag="), is("", "sip:a@b", ""));
    }

    #[test]
    fn ambiguous_ones_are_refused() {
        for value in [
            "",
            "<>",
            "sip",
            "<sip:a@b",
            "\"Mr <sip:a@b>",
            "<a@b>",
            "sip:a@b?Route=x",
            "sip:a@b, sip:c@d",
            "<sip:a@b>;tag=1, <sip:c@d>",
            "<sip:a@b> tag=1",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn a_forgotten_pair_of_quotes_does_not_cut_an_address() {
        let parts: Vec<_> = split_addrs("Doe, John <sip:j@d>, <sip:k@d>;x=\"a,b\", *").collect();
        assert_eq!(parts, ["Doe, John <sip:j@d>", "<sip:k@d>;x=\"a,b\"", "*"]);
        assert_eq!(split_addrs("a, b").collect::<Vec<_>>(), ["a, b"]);
    }

    #[test]
    fn display_quotes_what_needs_it() {
        let mut addr = NameAddr::new(Some("a\"b\\"), "sip:x@y");
        addr.params = Params::new(";tag=1".into());
        assert_eq!(addr.to_string(), r#""a\"b\\" <sip:x@y>;tag=1"#);
        assert_eq!(read(&addr.to_string()), is("a\"b\\", "sip:x@y", "1"));
    }
}
