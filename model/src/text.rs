//! Rules for free text on a line of the protocol: length, and characters that would break the line.
//!
//! In: text from a peer. Out: text that can stand in a line.

/// The first `max` characters of `text`.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// Appends free text (a reason, a name): at most `max` characters, controls as spaces, a run of `#` as one.
pub(crate) fn push_free(out: &mut String, text: &str, max: usize) {
    let mut last = ' ';
    for c in clip(text, max).chars() {
        let c = if c.is_control() { ' ' } else { c };
        if !(c == '#' && last == '#') {
            out.push(c);
        }
        last = c;
    }
}
