//! Rules for free text on a line of the protocol: its length, and characters that would break the line.
//!
//! In: text from a peer. Out: text that can stand in a line. Every rule is idempotent.

use crate::call::reason_phrase;

/// Longest reason or error text, characters.
pub(crate) const MAX_REASON: usize = 256;
/// Longest mark name, characters.
pub(crate) const MAX_NAME: usize = 256;
/// Longest PING text, characters.
pub(crate) const MAX_PING: usize = 1024;
/// Longest word that is repeated in an error, characters.
pub(crate) const MAX_VERB: usize = 32;
/// Longest phone number or user name, characters.
pub(crate) const MAX_PHONE: usize = 128;

/// The first `max` characters of `text`.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// At most `max` characters, controls as spaces.
pub(crate) fn line(text: &str, max: usize) -> String {
    clip(text, max).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// [`line`], and a run of `#` as one.
pub(crate) fn name(text: &str, max: usize) -> String {
    let mut out = line(text, max);
    let mut last = ' ';
    out.retain(|c| {
        let keep = !(c == '#' && last == '#');
        last = c;
        keep
    });
    out
}

/// Text that `##` may follow: [`name`] without spaces around it and without `#` at its end.
pub(crate) fn reason(text: &str) -> String {
    name(text, MAX_REASON).trim_start_matches(' ').trim_end_matches([' ', '#']).to_owned()
}

/// [`reason`], or the standard phrase of `status` where that is empty.
pub(crate) fn phrase(status: u16, text: &str) -> String {
    match reason(text) {
        empty if empty.is_empty() => reason_phrase(status).to_owned(),
        phrase => phrase,
    }
}

/// A word of the protocol as typed, without `#`.
pub(crate) fn verb(text: &str) -> String {
    let mut out = line(text, MAX_VERB);
    out.retain(|c| c != '#');
    out
}

/// A phone number or user name: `:` and `#` as `%3A` and `%23`, without spaces and controls; `anonymous` where nothing
/// is left.
pub(crate) fn phone(text: &str) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars().filter(|c| *c != ' ' && !c.is_control()) {
        let encoded = match c {
            ':' => Some("%3A"),
            '#' => Some("%23"),
            _ => None,
        };
        length += encoded.map_or(1, str::len);
        if length > MAX_PHONE {
            break;
        }
        match encoded {
            Some(encoded) => out.push_str(encoded),
            None => out.push(c),
        }
    }
    if out.is_empty() {
        out.push_str("anonymous");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_cannot_end_or_split_a_line() {
        assert_eq!(reason(" a##b\r\nc## "), "a#b  c");
        assert_eq!(phrase(486, "##"), "Busy Here");
    }

    #[test]
    fn phone_cannot_split_a_line() {
        assert_eq!(phone("09:1##2 3\n"), "09%3A1%23%2323");
        assert_eq!(phone(""), "anonymous");
    }

    #[test]
    fn clipping_counts_characters() {
        assert_eq!(clip("äöü", 2), "äö");
        assert_eq!(clip("ab", 2), "ab");
    }
}
