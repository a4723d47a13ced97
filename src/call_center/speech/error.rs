//! Why a service gave nothing.

use std::{io, path::PathBuf};

/// Why a service gave nothing. No text of it shows a key.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    /// The key is empty.
    #[error("API key cannot be empty")]
    EmptyKey,
    /// There is no such file to transcribe.
    #[error("Audio file not found: {}", .0.display())]
    FileNotFound(PathBuf),
    /// There is nothing to say.
    #[error("Text cannot be empty")]
    EmptyText,
    /// The voice cannot speak that slowly or fast.
    #[error("Speed must be between 0.25 and 4.0")]
    Speed,
    /// There is nothing to reply to.
    #[error("Message cannot be empty")]
    EmptyMessage,
    /// The model replied nothing.
    #[error("OpenAI Error")]
    NoContent,
    /// The service refused, after as many attempts as were allowed.
    #[error("{status} {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the service says, shortened.
        message: String,
    },
    /// The service took too long.
    #[error("no answer in time")]
    Timeout,
    /// The connection failed, or broke off.
    #[error("connection: {0}")]
    Connection(String),
    /// The answer has another form than it should.
    #[error("unreadable answer: {0}")]
    Answer(String),
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

impl SpeechError {
    /// What kind of failure it is, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            SpeechError::Refused { status: 401 | 403, .. } => "unauthorised",
            SpeechError::Refused { status: 429, .. } => "rate-limited",
            SpeechError::Refused { status: 500.., .. } => "server-error",
            SpeechError::Refused { .. } => "refused",
            SpeechError::Timeout => "timeout",
            SpeechError::Connection(_) => "connection",
            SpeechError::Answer(_) | SpeechError::NoContent => "answer",
            SpeechError::EmptyKey
            | SpeechError::FileNotFound(_)
            | SpeechError::EmptyText
            | SpeechError::Speed
            | SpeechError::EmptyMessage
            | SpeechError::File { .. } => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_tells_the_kind() {
        let refused = |status| SpeechError::Refused { status, message: String::new() }.kind();
        let kinds = [400, 401, 403, 404, 429, 500, 503].map(refused);
        let expected = [
            "refused",
            "unauthorised",
            "unauthorised",
            "refused",
            "rate-limited",
            "server-error",
            "server-error",
        ];
        assert_eq!(kinds, expected);
    }
}
