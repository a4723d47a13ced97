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

    /// The 32 bytes themselves.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Key(PublicKey::new(key))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Made with another implementation (OpenSSL) from the secret key of RFC 8032 §7.1 TEST 1.
    const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const BODY: &[u8] = br#"{"data":{"event_type":"call.initiated"}}"#;
    const SIGNED_AT: u64 = 1_700_000_000;
    const SIGNATURE: &str =
        "MGVTDtGuYLW5kjFwnqNofgeDUyzsF7r4H1L6jz1lD6palyxYTP6fEPDmGoaV769eef2agFBoHmAp47aBRgOyAw==";

    fn key() -> Key {
        Key::from_base64(&STANDARD.encode(bytes(KEY))).unwrap()
    }

    fn verify(timestamp: &str, body: &[u8], now: u64) -> Result<(), SignatureError> {
        key().verify(SIGNATURE, timestamp, body, now, TOLERANCE)
    }

    #[test]
    fn the_vectors_of_rfc_8032_verify() {
        for (public, message, signature) in VECTORS {
            let public = PublicKey::from_slice(&bytes(public)).unwrap();
            let signature = bytes(signature);
            let signature = Signature::from_slice(&signature).unwrap();
            assert_eq!(public.verify(bytes(message), &signature), Ok(()));
            assert!(public.verify([&bytes(message), &b"x"[..]].concat(), &signature).is_err());
        }
    }

    #[test]
    fn a_webhook_is_verified_with_its_time() {
        assert_eq!(verify("1700000000", BODY, SIGNED_AT), Ok(()));
        assert_eq!(verify("1700000000", BODY, SIGNED_AT + 300), Ok(()));
        assert_eq!(verify("1700000000", BODY, SIGNED_AT + 301), Err(SignatureError::Stale(301)));
        assert_eq!(verify("1700000000", BODY, SIGNED_AT - 301), Err(SignatureError::Stale(301)));
        assert_eq!(verify("1700000001", BODY, SIGNED_AT), Err(SignatureError::Mismatch));
        assert_eq!(verify("1700000000", b"{}", SIGNED_AT), Err(SignatureError::Mismatch));
        assert_eq!(verify("soon", BODY, SIGNED_AT), Err(SignatureError::Malformed("the timestamp")));
        let short = key().verify("AAAA", "1700000000", BODY, SIGNED_AT, TOLERANCE);
        assert_eq!(short, Err(SignatureError::Malformed("the signature")));
    }

    #[test]
    fn a_key_is_read_bare_and_in_its_envelope() {
        let wrapped = [&SPKI[..], &bytes(KEY)].concat();
        assert_eq!(Key::from_base64(&STANDARD.encode(wrapped)), Ok(key()));
        for wrong in ["", "AAAA", "not base64"] {
            assert_eq!(Key::from_base64(wrong), Err(SignatureError::Malformed("the public key")));
        }
    }

    /// RFC 8032 §7.1, TEST 1, 2 and 3: public key, message, signature.
    const VECTORS: [(&str, &str, &str); 3] = [
        (
            KEY,
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
}
