//! What can be wrong with a message, with a stream, and with an order for one.

use std::time::Duration;

use crate::format::FormatError;

/// Why one text message was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not a JSON object.
    #[error("not a message: {0}")]
    Json(String),
    /// A field without which the message means nothing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field with something else in it.
    #[error("{field} is not {expected}")]
    Invalid {
        /// Its path, as `media.payload`.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// What is wrong with a stream. After a [fatal](StreamError::is_fatal) one its socket is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// One message was refused; the stream goes on as if it had not come.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Too many such messages in a row.
    #[error("{count} messages in a row were not understood, the last: {last}")]
    Malformed {
        /// How many.
        count: u32,
        /// What was wrong with the last.
        last: MessageError,
    },
    /// The first message is of no provider that we know.
    #[error("neither Twilio nor Telnyx: the first message is {event:?}")]
    ProviderDetection {
        /// Its event, cut to 64 bytes.
        event: String,
    },
    /// The provider's handshake went wrong.
    #[error("the stream did not begin: {0}")]
    ProviderConnection(#[from] HandshakeError),
    /// The provider has been silent for too long.
    #[error("no message for {after:?}")]
    Idle {
        /// How long.
        after: Duration,
    },
}

impl StreamError {
    /// Whether the stream is over.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, StreamError::Message(_))
    }

    /// A short stable name, for counters and logs.
    pub fn label(&self) -> &'static str {
        match self {
            StreamError::Message(_) => "message",
            StreamError::Malformed { .. } => "malformed",
            StreamError::ProviderDetection { .. } => "provider-detection",
            StreamError::ProviderConnection(_) => "provider-connection",
            StreamError::Idle { .. } => "idle",
        }
    }
}

/// Why a stream did not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The second message is something else.
    #[error("expected start, got {event:?}")]
    NotStart {
        /// Its event, cut to 64 bytes.
        event: String,
    },
    /// `start` lacks what we need.
    #[error(transparent)]
    Start(#[from] MessageError),
    /// Audio that we do not speak.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// `start` did not come in time.
    #[error("no start within {after:?}")]
    Timeout {
        /// How long we waited.
        after: Duration,
    },
}

/// Why a mark was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// The stream has not started, or is over.
    #[error("the stream is not up")]
    NotUp,
    /// Too many marks have not been reached yet.
    #[error("{limit} marks are pending")]
    TooMany {
        /// How many may.
        limit: usize,
    },
    /// The name is longer than this.
    #[error("a name may have {limit} bytes")]
    TooLong {
        /// The limit, bytes.
        limit: usize,
    },
}
