//! `telnyx-signature-ed25519`: Ed25519 over `{timestamp}|{body}` with Telnyx's key (RFC 8032).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_compact::{PublicKey, Signature};

use super::SignatureError;

/// The header that carries the signature.
pub const HEADER: &str = "telnyx-signature-ed25519";

/// The header that says when it was signed, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "telnyx-timestamp";

/// How far a timestamp may be from now, as Telnyx's own libraries have it.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The public key of an account, as the portal shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(PublicKey);

impl Key {
    /// Reads base64 of 32 bytes, or of the 44 of a `SubjectPublicKeyInfo` (RFC 8410 §4).
    pub fn from_base64(text: &str) -> Result<Self, SignatureError> {
        let malformed = SignatureError::Malformed("the public key");
        let bytes = STANDARD.decode(text.trim()).map_err(|_| malformed)?;
        let bytes = bytes.strip_prefix(&SPKI).unwrap_or(&bytes);
        PublicKey::from_slice(bytes).map(Key).map_err(|_| malformed)
    }

    /// Verifies a webhook. `signature` and `timestamp` as the headers have them, `now` in seconds since 1970.
    pub fn verify(
        &self,
        signature: &str,
        timestamp: &str,
        body: &[u8],
        now: u64,
        tolerance: Duration,
    ) -> Result<(), SignatureError> {
        let signed_at: u64 =
            timestamp.trim().parse().map_err(|_| SignatureError::Malformed("the timestamp"))?;
        let malformed = SignatureError::Malformed("the signature");
        let signature = STANDARD.decode(signature.trim()).map_err(|_| malformed)?;
        let signature = Signature::from_slice(&signature).map_err(|_| malformed)?;
        let signed = [timestamp.trim().as_bytes(), b"|", body].concat();
        self.0.verify(signed, &signature).map_err(|_| SignatureError::Mismatch)?;
        let skew = now.abs_diff(signed_at);
        if skew > tolerance.as_secs() { Err(SignatureError::Stale(skew)) } else { Ok(()) }
    }
}

/// What stands before the key in a `SubjectPublicKeyInfo`.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
