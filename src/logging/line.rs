//! The form of a log line.

use std::fmt::{self, Write};

use jiff::Zoned;
use tracing::{
    Level,
    field::{Field, Visit},
};

/// `[LEVEL] - yy-mm-dd HH:MM:SS - MESSAGE - FILE:LINE` and a line feed.
///
/// `message`: one line, as [`Fields`] makes it. `path`: the source file, of which only the name is shown.
pub(super) fn format_line(at: &Zoned, level: Level, message: &str, path: &str, line: u32) -> String {
    let level = match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    };
    let at = at.strftime("%y-%m-%d %H:%M:%S");
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    format!("[{level}] - {at} - {message} - {file}:{line}\n")
}

/// What an event or a span says: the message, and its fields as ` key=value`.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) rest: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

impl Fields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string fails only if the value's own `Display` does; then the line has what came before.
        if field.name() == "message" {
            let _ = write!(Escape(&mut self.message), "{value}");
        } else {
            let _ = write!(self.rest, " {}=", field.name());
            let _ = write!(Escape(&mut self.rest), "{value}");
        }
    }
}

/// Writes into a string, with control characters and line separators escaped, so that what a peer sent can neither
/// start a line of its own nor command the terminal.
struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_level_local_time_message_and_place() {
        let at = jiff::civil::date(2026, 3, 9).at(7, 5, 4, 999_999_999).in_tz("UTC").unwrap();
        let at = at.with_time_zone(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)));
        let line = |level| format_line(&at, level, "call up call_id=a", "src/relay/call/state.rs", 42);
        let rest = " - 26-03-09 15:05:04 - call up call_id=a - state.rs:42\n";
        for (level, name) in [
            (Level::ERROR, "[ERROR]"),
            (Level::WARN, "[WARNING]"),
            (Level::INFO, "[INFO]"),
            (Level::DEBUG, "[DEBUG]"),
            (Level::TRACE, "[DEBUG]"),
        ] {
            assert_eq!(line(level), format!("{name}{rest}"));
        }
    }

    #[test]
    fn line_breaks_and_terminal_commands_are_escaped() {
        let mut out = String::new();
        assert!(write!(Escape(&mut out), "a\r\nb\tc\u{1b}[2J\u{2028}é").is_ok());
        assert_eq!(out, r"a\r\nb\tc\u{1b}[2J\u{2028}é");
    }
}
