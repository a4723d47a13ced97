//! `Reason` tells the other side why a call is given up (RFC 3326).

use super::guard;
use crate::msg::StatusCode;

/// Whose code the cause of a [`Reason`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReasonProtocol {
    /// A cause of ITU-T Q.850: 16 is normal call clearing, 17 user busy, 31 normal unspecified.
    Q850,
    /// A SIP status: 200 with "Call completed elsewhere", 486, 600.
    Sip,
}

/// Why a call is given up, for the Reason header of BYE, CANCEL or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Whose code it is.
    pub protocol: ReasonProtocol,
    /// 1 to 127 of Q.850, 100 to 699 of SIP.
    pub cause: u16,
    /// Words for people.
    pub text: Option<String>,
}

impl Reason {
    /// A Q.850 cause without words.
    pub fn q850(cause: u16) -> Self {
        Self { protocol: ReasonProtocol::Q850, cause, text: None }
    }

    /// A SIP status without words.
    pub fn sip(status: u16) -> Self {
        Self { protocol: ReasonProtocol::Sip, cause: status, text: None }
    }

    /// The same with words.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The value of the header; `None` when the cause is out of range or the words would not fit one line.
    pub(super) fn value(&self) -> Option<Box<str>> {
        let (name, known) = match self.protocol {
            ReasonProtocol::Q850 => ("Q.850", (1..=127).contains(&self.cause)),
            ReasonProtocol::Sip => ("SIP", StatusCode::new(self.cause).is_some()),
        };
        let text = self.text.as_deref().unwrap_or("");
        if !known || !guard::is_value(text) {
            return None;
        }
        let cause = self.cause;
        Some(match text.is_empty() {
            true => format!("{name};cause={cause}").into(),
            false => format!("{name};cause={cause};text={}", guard::quoted(text)).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_quoted_and_cannot_end_its_line() {
        let value = |reason: Reason| reason.value().map(String::from);
        assert_eq!(value(Reason::q850(16)).unwrap(), "Q.850;cause=16");
        let busy = Reason::sip(486).text("Busy \"here\" \\");
        assert_eq!(value(busy).unwrap(), r#"SIP;cause=486;text="Busy \"here\" \\""#);
        for bad in [
            Reason::q850(0),
            Reason::q850(128),
            Reason::sip(99),
            Reason::sip(700),
            Reason::q850(16).text("a\r\nX: y"),
        ] {
            assert_eq!(bad.value(), None, "{bad:?}");
        }
    }
}
