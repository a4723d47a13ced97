//! Prints JSON with the members in the order in which they are given, as the providers' documents show them.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A JSON object that grows.
pub(crate) struct Object {
    text: String,
    /// Whether the next member is the first of its object.
    first: bool,
}

impl Object {
    /// `{"event":...`
    pub(crate) fn event(event: &str) -> Self {
        Self::with_room(event, 128)
    }

    /// The same, for a message with a payload of so many bytes.
    pub(crate) fn with_room(event: &str, payload: usize) -> Self {
        let mut object = Self { text: String::with_capacity(payload.div_ceil(3) * 4 + 160), first: true };
        object.text.push('{');
        object.text("event", event);
        object
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        push_string(&mut self.text, value);
        self
    }

    pub(crate) fn maybe(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// A number as a string: so the providers write those of their envelopes.
    pub(crate) fn quoted(&mut self, name: &str, value: Option<u64>) -> &mut Self {
        if let Some(value) = value {
            self.name(name);
            let _ = write!(self.text, "\"{value}\"");
        }
        self
    }

    pub(crate) fn number(&mut self, name: &str, value: Option<u32>) -> &mut Self {
        if let Some(value) = value {
            self.name(name);
            let _ = write!(self.text, "{value}");
        }
        self
    }

    pub(crate) fn base64(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.name(name);
        self.text.push('"');
        STANDARD.encode_string(bytes, &mut self.text);
        self.text.push('"');
        self
    }

    pub(crate) fn texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        self.name(name);
        self.text.push('[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            push_string(&mut self.text, value);
        }
        self.text.push(']');
        self
    }

    /// A member that is an object, filled by `fill`.
    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.name(name);
        self.text.push('{');
        self.first = true;
        fill(self);
        self.text.push('}');
        self.first = false;
        self
    }

    pub(crate) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.text.push(',');
        }
        push_string(&mut self.text, name);
        self.text.push(':');
    }
}

/// A JSON string (RFC 8259 §7).
fn push_string(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
