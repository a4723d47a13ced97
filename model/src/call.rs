//! What a call is, seen from outside: its direction, its status, and how it ended.
//!
//! In: decisions of the SIP core and of actors. Out: values that the text protocol, records and metrics share.
//! It holds no state machine and no call table.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Who placed the call, seen from the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The telephone network called the relay.
    Inbound,
    /// The relay called out.
    Outbound,
}

impl Direction {
    /// `inbound` or `outbound`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a call has come, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallStatus {
    /// Outbound: the INVITE is out, nothing but 100 came back.
    Calling,
    /// A 180 was sent or received.
    Ringing,
    /// Early media: a 183 with SDP was sent or received.
    Early,
    /// A 2xx was sent or received, its ACK is outstanding.
    Answered,
    /// The 2xx was ACKed: the call is up.
    Established,
    /// BYE or CANCEL is out, its answer outstanding.
    Terminating,
    /// Over.
    Terminated,
}

impl CallStatus {
    /// The status in capitals, as records show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            CallStatus::Calling => "CALLING",
            CallStatus::Ringing => "RINGING",
            CallStatus::Early => "EARLY",
            CallStatus::Answered => "ANSWERED",
            CallStatus::Established => "ESTABLISHED",
            CallStatus::Terminating => "TERMINATING",
            CallStatus::Terminated => "TERMINATED",
        }
    }
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// The telephone side.
    Caller,
    /// The program side: a WebSocket client, the library's user.
    Agent,
    /// The relay itself: a timer, a limit, a fault, a shutdown.
    Relay,
}

impl Party {
    /// `caller`, `agent` or `relay`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Party::Caller => "caller",
            Party::Agent => "agent",
            Party::Relay => "relay",
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Declares [`EndLabel`] with its stable text and, where it has one, its SIP status.
macro_rules! end_labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:expr;)*) => {
        /// Why a call ended: a stable word for logs, records and metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EndLabel {
            $($(#[$doc])* $name,)*
        }

        impl EndLabel {
            /// Every label.
            pub const ALL: &[EndLabel] = &[$(EndLabel::$name),*];

            /// The label's stable kebab-case text.
            pub const fn as_str(self) -> &'static str {
                match self { $(EndLabel::$name => $text,)* }
            }

            /// The SIP status that this end stands for where the peer gave none: what an INVITE is refused with, and
            /// what `CALL_FAILED` says. `None` for an ordinary end.
            pub const fn default_status(self) -> Option<u16> {
                match self { $(EndLabel::$name => $status,)* }
            }
        }
    };
}

end_labels! {
    /// The peer sent BYE.
    RemoteBye = "remote-bye", None;
    /// A program hung up.
    AgentHangup = "agent-hangup", None;
    /// CANCEL before the answer, from either side.
    Cancelled = "cancelled", Some(487);
    /// A program declined a ringing call, or the peer did (603).
    Declined = "declined", Some(603);
    /// The peer refused with a status of its own.
    Rejected = "rejected", Some(500);
    /// The peer is busy (486, 600).
    Busy = "busy", Some(486);
    /// Nobody answered in time.
    NoAnswer = "no-answer", Some(408);
    /// A 2xx was never ACKed.
    NoAck = "no-ack", Some(408);
    /// No RTP came after the answer.
    NoMedia = "no-media", Some(408);
    /// RTP stopped coming.
    RtpTimeout = "rtp-timeout", Some(408);
    /// The longest allowed call.
    MaxDuration = "max-duration", None;
    /// The session timer ran out (RFC 4028).
    SessionExpired = "session-expired", Some(408);
    /// The relay is stopping.
    Shutdown = "shutdown", Some(503);
    /// A fault of the relay.
    InternalError = "internal-error", Some(500);
    /// Every RTP port is in use.
    NoFreePort = "no-free-port", Some(503);
    /// Too many calls.
    TooManyCalls = "too-many-calls", Some(503);
    /// Offer and answer share no codec.
    NoCommonCodec = "no-common-codec", Some(488);
    /// The peer's SDP cannot be used.
    BadSdp = "bad-sdp", Some(488);
    /// Digest authentication was refused, or no credentials are configured.
    AuthFailed = "auth-failed", Some(401);
    /// The number or URI cannot be dialled.
    BadNumber = "bad-number", Some(484);
    /// No SIP response (Timer B or F).
    Timeout = "timeout", Some(408);
    /// The transport reported an error, or the target cannot be reached.
    Unreachable = "unreachable", Some(503);
    /// The program that owned the call went away.
    AgentGone = "agent-gone", Some(480);
    /// The program that the call was to be connected to could not be reached.
    AgentUnreachable = "agent-unreachable", Some(480);
    /// The call went elsewhere (REFER succeeded).
    Transferred = "transferred", None;
    /// The peer broke the protocol so that the dialog cannot go on.
    ProtocolError = "protocol-error", Some(400);
}

impl fmt::Display for EndLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no label of [`EndLabel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown end label")]
pub struct UnknownEndLabel;

impl FromStr for EndLabel {
    type Err = UnknownEndLabel;

    fn from_str(text: &str) -> Result<EndLabel, UnknownEndLabel> {
        EndLabel::ALL.iter().copied().find(|label| label.as_str() == text).ok_or(UnknownEndLabel)
    }
}

/// How a call ended; every call has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndReason {
    /// Who ended it.
    pub by: Party,
    /// Why, as a stable word.
    pub label: EndLabel,
    /// The SIP status that ended it, 300 to 699, where there was one.
    pub status: Option<u16>,
    /// Reason phrase or explanation, for people.
    pub reason: Cow<'static, str>,
}

impl EndReason {
    /// An end with the label's own status and that status' phrase (the label itself where it has none).
    pub fn new(by: Party, label: EndLabel) -> EndReason {
        let status = label.default_status();
        let reason = status.map_or(label.as_str(), reason_phrase);
        EndReason { by, label, status, reason: Cow::Borrowed(reason) }
    }

    /// An outbound call refused with a final response of 300 to 699. An empty phrase becomes the standard one.
    pub fn refused(status: u16, phrase: &str) -> EndReason {
        let label = match status {
            401 | 407 => EndLabel::AuthFailed,
            408 | 480 => EndLabel::NoAnswer,
            486 | 600 => EndLabel::Busy,
            487 => EndLabel::Cancelled,
            488 | 606 => EndLabel::NoCommonCodec,
            603 => EndLabel::Declined,
            _ => EndLabel::Rejected,
        };
        let reason = match phrase.trim() {
            "" => Cow::Borrowed(reason_phrase(status)),
            phrase => Cow::Owned(phrase.to_owned()),
        };
        EndReason { by: Party::Caller, label, status: Some(status), reason }
    }

    /// The same end with another status and phrase.
    #[must_use]
    pub fn with_status(mut self, status: u16, reason: impl Into<Cow<'static, str>>) -> EndReason {
        self.status = Some(status);
        self.reason = reason.into();
        self
    }

    /// The status and phrase of `CALL_FAILED`: the end's own, else 487 for a call that was given up before it was up.
    pub fn failure(&self) -> (u16, &str) {
        match self.status {
            Some(status) => (status, &self.reason),
            None => (487, reason_phrase(487)),
        }
    }

    /// Whether an outbound call that ended so was not taken by the far end: 408, 480, 486, 487, 600, 603 or nobody
    /// answered. Such an end is announced by `CALL_IGNORE` as well.
    pub fn is_not_taken(&self) -> bool {
        self.label == EndLabel::NoAnswer || matches!(self.failure().0, 408 | 480 | 486 | 487 | 600 | 603)
    }
}

impl fmt::Display for EndReason {
    /// `{label} by {party}`, then the status and phrase where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.label, self.by)?;
        match self.status {
            Some(status) => write!(f, " ({status} {})", self.reason),
            None => Ok(()),
        }
    }
}

/// The standard reason phrase of a SIP status (RFC 3261 §21 and its extensions); the class' name for others.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            0 | 1 => "Provisional",
            2 => "OK",
            3 => "Redirected",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_stable_kebab_case_and_distinct() {
        for (n, label) in EndLabel::ALL.iter().enumerate() {
            assert_eq!(label.as_str().parse(), Ok(*label));
            assert!(label.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{label}");
            assert!(EndLabel::ALL[..n].iter().all(|other| other.as_str() != label.as_str()));
        }
        assert_eq!("nonsense".parse::<EndLabel>(), Err(UnknownEndLabel));
    }

    #[test]
    fn refused_call_keeps_the_peers_phrase() {
        let end = EndReason::refused(486, "Besetzt");
        assert_eq!(end.failure(), (486, "Besetzt"));
        assert_eq!(end.to_string(), "busy by caller (486 Besetzt)");
        assert_eq!(EndReason::refused(486, " ").failure(), (486, "Busy Here"));
        assert_eq!(EndReason::refused(433, "").failure(), (433, "Request Failure"));
    }

    #[test]
    fn only_an_untaken_call_is_ignored() {
        for status in [408, 480, 486, 487, 600, 603] {
            assert!(EndReason::refused(status, "").is_not_taken(), "{status}");
        }
        for status in [301, 404, 484, 488, 500, 503] {
            assert!(!EndReason::refused(status, "").is_not_taken(), "{status}");
        }
        assert!(EndReason::new(Party::Relay, EndLabel::NoAnswer).is_not_taken());
        assert!(EndReason::new(Party::Agent, EndLabel::AgentHangup).is_not_taken());
        assert!(!EndReason::new(Party::Relay, EndLabel::NoFreePort).is_not_taken());
    }

    #[test]
    fn statuses_are_in_order_of_a_call() {
        use CallStatus::*;
        assert!([Calling, Ringing, Early, Answered, Established, Terminating, Terminated].is_sorted());
        assert_eq!(Established.to_string(), "ESTABLISHED");
    }
}
