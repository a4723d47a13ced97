//! `Variables` are what `${NAME}` means in a file: the process environment, and below it the `.env` file.
//!
//! In: text with references. Out: the text with their values; a name that is not set stays as it is written.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

/// Where values are looked up. Clones share it. Never shows a value.
#[derive(Clone)]
pub struct Variables(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Variables {
    /// Values by their names.
    pub fn new(value: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(value))
    }

    /// The process environment.
    pub fn of_process() -> Self {
        Self::new(crate::config::process_variable)
    }

    /// These where `self` has none.
    #[must_use]
    pub fn or(self, below: BTreeMap<String, String>) -> Self {
        Self::new(move |name| self.value(name).or_else(|| below.get(name).cloned()))
    }

    /// One value.
    pub fn value(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

/// `text` with the values of its `${NAME}`s. What a value itself refers to is left as it is.
///
/// # Errors
/// The text would become longer than [`MAX_EXPANDED`].
pub fn expand<'a>(text: &'a str, value: &dyn Fn(&str) -> Option<String>) -> Result<Cow<'a, str>, TooLong> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, name, after)) = next_reference(rest) {
        match value(name) {
            Some(value) => {
                expanded.push_str(before);
                expanded.push_str(&value);
            }
            None => expanded.push_str(&rest[..rest.len() - after.len()]),
        }
        if expanded.len() > MAX_EXPANDED {
            return Err(TooLong);
        }
        rest = after;
    }
    if rest.len() == text.len() {
        return Ok(Cow::Borrowed(text));
    }
    expanded.push_str(rest);
    Ok(Cow::Owned(expanded))
}

/// The first `${NAME}` in `text`: what is before it, the name, what is behind it.
pub fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("${").map(|at| from + at) {
        let name = &text[at + 2..];
        let length = name.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let starts_well = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if length > 0 && starts_well && name[length..].starts_with('}') {
            return Some((&text[..at], &name[..length], &name[length + 1..]));
        }
        from = at + 2;
    }
    None
}

/// See [`expand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Bytes of one expanded text.
pub const MAX_EXPANDED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        let value = |name: &str| match name {
            "KEY" => Some("k".to_owned()),
            "EMPTY" => Some(String::new()),
            "NEST" => Some("${KEY}".to_owned()),
            "_1" => Some("x".to_owned()),
            "LONG" => Some("l".repeat(MAX_EXPANDED / 2)),
            _ => None,
        };
        expand(text, &value).map_or_else(|TooLong| "too long".to_owned(), Cow::into_owned)
    }

    #[test]
    fn references_are_replaced_and_all_else_stays() {
        for (text, expected) in [
            ("${KEY}", "k"),
            ("a${KEY}b${KEY}", "akbk"),
            ("${EMPTY}", ""),
            ("${UNSET}-${KEY}", "${UNSET}-k"),
            ("${NEST}", "${KEY}"),
            ("${_1}", "x"),
            ("$KEY ${1KEY} ${} ${KEY ${K-Y} $${KEY}", "$KEY ${1KEY} ${} ${KEY ${K-Y} $k"),
            ("${${KEY}}", "${k}"),
            ("ü${KEY}é", "ükeé".replace("ke", "k").as_str()),
            ("", ""),
        ] {
            assert_eq!(expanded(text), expected, "{text}");
        }
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(expanded("${LONG}${LONG}").len(), MAX_EXPANDED);
        assert_eq!(expanded("${LONG}${LONG}${KEY}"), "too long");
    }

    #[test]
    fn lower_layer_is_asked_where_the_upper_has_nothing() {
        let upper = Variables::new(|name| (name == "A").then(|| "1".to_owned()));
        let both = upper.or(BTreeMap::from([("A", "2"), ("B", "3")].map(|(k, v)| (k.into(), v.into()))));
        assert_eq!(
            [both.value("A"), both.value("B"), both.value("C")],
            [Some("1".into()), Some("3".into()), None]
        );
        assert_eq!(format!("{both:?}"), "Variables");
    }
}
