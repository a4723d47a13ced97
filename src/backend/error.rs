//! What can go wrong with a backend, and in which words.

use std::{io, net::SocketAddr, time::Duration};

use crate::engine::EngineError;

/// Why a method of [`SipVoiceBackend`](super::SipVoiceBackend) did not do what it is for.
///
/// ```
/// use sip_relay::backend::{BackendError, Metadata, SipBackendConfig, SipVoiceBackend};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = SipVoiceBackend::new(SipBackendConfig::default());
/// let error = backend.connect("room", "caller", "voice", &Metadata::default()).await.unwrap_err();
/// assert!(matches!(error, BackendError::UnknownSession));
/// assert_eq!(
///     error.to_string(),
///     "SIPVoiceBackend.connect() requires metadata['session_id'] matching a pre-created session from an incoming INVITE."
/// );
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A field of the configuration cannot be used.
    #[error("{field}: {problem}")]
    Config {
        /// The field of [`SipBackendConfig`](super::SipBackendConfig).
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The SIP socket cannot be bound.
    #[error("cannot listen for SIP on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system gives no thread.
    #[error("no thread: {0}")]
    Thread(#[source] io::Error),
    /// [`start`](super::SipVoiceBackend::start) was called before, and `close` not since.
    #[error("the backend is started already")]
    AlreadyStarted,
    /// There is no telephone yet, or no more.
    #[error("the backend is not started")]
    NotStarted,
    /// An async callback was registered, and neither the registration nor `start` happened inside a tokio runtime.
    #[error("async callbacks need a tokio runtime: register them, or start the backend, inside of one")]
    NoRuntime,
    /// `connect` was not given the id of a live session.
    #[error(
        "SIPVoiceBackend.connect() requires metadata['session_id'] matching a pre-created session from an incoming INVITE."
    )]
    UnknownSession,
    /// A live session has this id.
    #[error("session {0:?} exists already")]
    DuplicateSession(String),
    /// The call is over.
    #[error("the session has ended")]
    SessionEnded,
    /// The call is not up yet.
    #[error("the session is not connected yet")]
    NotConnected,
    /// More audio waits to be played than is kept. Nothing of the refused audio was taken.
    #[error("{waiting:?} of audio wait to be played, {limit:?} are kept")]
    QueueFull {
        /// Audio that waits.
        waiting: Duration,
        /// From how much on no more is taken.
        limit: Duration,
    },
    /// A chunk of audio at a rate that cannot be converted.
    #[error("unknown rate {0}, expected 8000, 16000, 24000 or 48000")]
    SampleRate(u32),
    /// Not a key of a telephone.
    #[error("invalid digit {0:?}, expected 0-9, *, #, A-D")]
    InvalidDigit(char),
    /// A key press outside 40 ms to 8000 ms.
    #[error("invalid duration {0} ms, expected 40 to 8000")]
    InvalidDuration(u32),
    /// The far end does not take telephone events.
    #[error("the far end does not take telephone events")]
    DtmfNotNegotiated,
    /// The far end did not take the call, or it could not be placed.
    #[error("{status} {reason}")]
    Call {
        /// A SIP status, 300 to 699.
        status: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// No room has this id.
    #[error("there is no room {0:?}")]
    UnknownRoom(String),
}

impl From<EngineError> for BackendError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Bind { address, source } => Self::Bind { address, source },
            EngineError::Thread(source) => Self::Thread(source),
        }
    }
}
