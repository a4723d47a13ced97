//! Whether a request came from the provider that it claims to come from.
//!
//! In: the parts of a request, the secret or the public key, and for Telnyx the time. Out: yes, or why not.

pub mod telnyx;
pub mod twilio;

/// Why a request is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature, or what it signs, is not of the form that the provider uses.
    #[error("{0} is not well formed")]
    Malformed(&'static str),
    /// The body is not the one that was signed.
    #[error("the body is not the one that was signed")]
    Body,
    /// Signed with another secret, or something else was signed.
    #[error("the signature is of something else")]
    Mismatch,
    /// Signed too long ago, or in the future.
    #[error("signed {0} seconds from now")]
    Stale(u64),
}
