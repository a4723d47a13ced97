//! `SipTransportError` is everything that the gateway reports to the program that uses it.

/// Why a stream, a number or a table of numbers cannot be used. The texts are for people; none holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SipTransportError {
    /// The provider's WebSocket is gone, or its handshake was not what is documented.
    #[error("provider connection: {0}")]
    ProviderConnection(String),
    /// The first message is neither Telnyx's nor Twilio's.
    #[error("provider not recognized: {0}")]
    ProviderDetection(String),
    /// Audio cannot be decoded or encoded.
    #[error("audio codec: {0}")]
    AudioCodec(String),
    /// The number is not in the table.
    #[error("DID not configured: {did}")]
    DidNotFound {
        /// The number that was looked for, as it was given.
        did: String,
    },
    /// The table of numbers cannot be used. The text names the file, and the line where there is one.
    #[error("DID configuration: {0}")]
    DidConfig(String),
    /// The program does not want the call.
    #[error("call rejected: {0}")]
    CallRejected(String),
}
