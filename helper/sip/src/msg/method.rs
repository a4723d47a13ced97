//! `Method` names what a request asks for (RFC 3261 section 7.1 and the RFCs that add methods).

use std::fmt;

use super::ByteStr;

/// A SIP method; case matters, so `invite` is an [`Method::Other`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Begins or changes a session (RFC 3261 section 13).
    Invite,
    /// Confirms a final answer to an INVITE (RFC 3261 section 17.1.1.3).
    Ack,
    /// Ends a session (RFC 3261 section 15).
    Bye,
    /// Withdraws a pending INVITE (RFC 3261 section 9).
    Cancel,
    /// Asks for capabilities (RFC 3261 section 11).
    Options,
    /// Binds an address of record to contacts (RFC 3261 section 10).
    Register,
    /// Confirms a reliable provisional response (RFC 3262).
    Prack,
    /// Changes a session before or after the answer (RFC 3311).
    Update,
    /// Carries application data inside a dialog (RFC 6086).
    Info,
    /// Asks the peer to contact a third party (RFC 3515).
    Refer,
    /// Reports an event (RFC 6665).
    Notify,
    /// Asks for event reports (RFC 6665).
    Subscribe,
    /// An instant message (RFC 3428).
    Message,
    /// Publishes event state (RFC 3903).
    Publish,
    /// Any other token.
    Other(ByteStr),
}

impl Method {
    /// The method whose name is exactly `text`, without allocation for the known ones.
    pub(crate) fn known(text: &str) -> Option<Self> {
        Some(match text {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "OPTIONS" => Self::Options,
            "REGISTER" => Self::Register,
            "PRACK" => Self::Prack,
            "UPDATE" => Self::Update,
            "INFO" => Self::Info,
            "REFER" => Self::Refer,
            "NOTIFY" => Self::Notify,
            "SUBSCRIBE" => Self::Subscribe,
            "MESSAGE" => Self::Message,
            "PUBLISH" => Self::Publish,
            _ => return None,
        })
    }

    /// The name as it stands in a request line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Method {
    fn from(text: &str) -> Self {
        Self::known(text).unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl From<ByteStr> for Method {
    fn from(text: ByteStr) -> Self {
        Self::known(&text).unwrap_or(Self::Other(text))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive() {
        assert_eq!(Method::from("INVITE"), Method::Invite);
        assert_eq!(Method::from("invite"), Method::Other("invite".into()));
        assert_eq!(Method::from("PUBLISH").to_string(), "PUBLISH");
    }
}
