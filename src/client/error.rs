//! What can go wrong with a client, each with what to do about it.

use std::fmt;

/// Why something that a client was asked for was not done.
///
/// ```
/// use sip_relay::client::SipClientError;
///
/// let error = SipClientError::InvalidDigit('Z');
/// assert_eq!(error.to_string(), "'Z' is no telephone key: send one of 0-9, *, #, A-D");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SipClientError {
    /// The server's name has no address, nobody answers there, or no socket can be bound here.
    #[error("no connection to the SIP server: {0}")]
    Connection(String),
    /// The server refused the user name or the password.
    #[error("the SIP server refused the credentials ({status}): check user name and password")]
    Authentication {
        /// 401, 403 or 407.
        status: u16,
    },
    /// The call did not come about, or cannot do what was asked.
    #[error("the call failed: {status} {reason}")]
    Call {
        /// A SIP status, 300 to 699 (RFC 3261 §21).
        status: u16,
        /// In words.
        reason: String,
    },
    /// There is no connection to a server yet, or no more.
    #[error("the client is not connected: call connect() first, and look at what it returns")]
    NotConnected,
    /// There is no call that this could be done with.
    #[error("there is no such call: place one with make_call() or wait for one, and look at call_state()")]
    NoCall,
    /// A client has one call at a time.
    #[error("the client has a call already: hang up first, or use a second client")]
    Busy,
    /// What was given is no key of a telephone.
    #[error("{0:?} is no telephone key: send one of 0-9, *, #, A-D")]
    InvalidDigit(char),
    /// What was given is neither a number, nor an extension, nor a `sip:` URI.
    #[error("{0:?} cannot be called: give a number, an extension, or sip:user@host, without spaces")]
    InvalidDestination(String),
    /// A call can be refused with a status of 300 to 699 only.
    #[error("a call cannot be refused with status {0}: use 300 to 699, such as 486 (busy) or 603 (declined)")]
    InvalidStatus(u16),
    /// More audio is queued than a call plays in ten minutes.
    #[error("ten minutes of audio are queued already: send audio at the pace at which it is played")]
    AudioQueueFull,
    /// The client was built with a value that cannot be used.
    #[error("{setting}: {problem}")]
    InvalidSetting {
        /// The method of the [`ClientBuilder`](super::ClientBuilder).
        setting: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
}

/// Why the last call or registration came to nothing.
///
/// ```
/// use sip_relay::client::CallFailure;
///
/// let failure = CallFailure { status: 486, reason: "Busy Here".to_owned() };
/// assert_eq!(failure.to_string(), "486 Busy Here");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// The SIP status of the far end; where it gave none, the one that says the same (408: no answer).
    pub status: u16,
    /// The reason phrase of the far end, else the standard one.
    pub reason: String,
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)
    }
}

impl From<CallFailure> for SipClientError {
    fn from(CallFailure { status, reason }: CallFailure) -> Self {
        Self::Call { status, reason }
    }
}
