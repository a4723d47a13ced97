//! `X-Twilio-Signature`: HMAC-SHA1 with the account's auth token, base64
//! (<https://www.twilio.com/docs/usage/security#validating-requests>).
//!
//! What is signed is the URL that Twilio was given. Behind a proxy that is not the one that arrives: build it from
//! the configured public origin. Twilio signs it with or without an explicit port and with or without the final
//! slash; all of these pass.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::SignatureError;

/// The header that carries the signature.
pub const HEADER: &str = "x-twilio-signature";

/// Signs a request: `url` with its query, and the fields of its form, in any order. Of a field that comes twice
/// with one value, one counts.
pub fn sign(auth_token: &str, url: &str, form: &[(String, String)]) -> String {
    STANDARD.encode(digest(auth_token, url, &signed_form(form)))
}

/// Signs the upgrade to a WebSocket. The scheme that counts is `wss`, so `https://` is read as that.
pub fn sign_upgrade(auth_token: &str, url: &str) -> String {
    sign(auth_token, &websocket_url(url), &[])
}

/// Verifies a request with a form, or without a body.
pub fn verify(
    auth_token: &str,
    signature: &str,
    url: &str,
    form: &[(String, String)],
) -> Result<(), SignatureError> {
    let given = STANDARD.decode(signature.trim()).map_err(|_| SignatureError::Malformed("the signature"))?;
    let form = signed_form(form);
    // Every variant is computed, whichever fits.
    let fits = variants(url)
        .iter()
        .fold(Choice::from(0), |fits, url| fits | digest(auth_token, url, &form).as_slice().ct_eq(&given));
    if fits.into() { Ok(()) } else { Err(SignatureError::Mismatch) }
}

/// Verifies a request with any other body: its SHA-256 stands in the query, which is signed.
pub fn verify_body(auth_token: &str, signature: &str, url: &str, body: &[u8]) -> Result<(), SignatureError> {
    let given = body_digest(url).ok_or(SignatureError::Malformed("bodySHA256"))?;
    let digest: [u8; 32] = Sha256::digest(body).into();
    verify(auth_token, signature, url, &[])?;
    if digest.ct_eq(&given).into() { Ok(()) } else { Err(SignatureError::Body) }
}

/// Verifies the upgrade to a WebSocket.
pub fn verify_upgrade(auth_token: &str, signature: &str, url: &str) -> Result<(), SignatureError> {
    verify(auth_token, signature, &websocket_url(url), &[])
}

fn digest(auth_token: &str, url: &str, form: &str) -> [u8; 20] {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()) else { return [0; 20] };
    mac.update(url.as_bytes());
    mac.update(form.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Names and values in the order of their names, one after the other.
fn signed_form(form: &[(String, String)]) -> String {
    let mut fields: Vec<_> = form.iter().collect();
    fields.sort();
    fields.dedup();
    fields.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect()
}

fn websocket_url(url: &str) -> String {
    for (scheme, websocket) in [("https://", "wss://"), ("http://", "ws://")] {
        if let Some(rest) = url.strip_prefix(scheme) {
            return format!("{websocket}{rest}");
        }
    }
    url.to_owned()
}

/// The hexadecimal digits of `bodySHA256` in the query.
fn body_digest(url: &str) -> Option<[u8; 32]> {
    let query = url.split_once('?')?.1;
    let hex = query.split('&').find_map(|field| field.strip_prefix("bodySHA256="))?;
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// The URL as given, with and without the default port, each with and without the last slash of the path.
fn variants(url: &str) -> [String; 4] {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let port = if matches!(scheme, "http" | "ws") { ":80" } else { ":443" };
    let bare = authority.strip_suffix(port).unwrap_or(authority);
    // The colon of a port stands behind the bracket of an IPv6 address.
    let has_port = bare.rsplit(']').next().is_some_and(|last| last.contains(':'));
    let explicit = if has_port { bare.to_owned() } else { format!("{bare}{port}") };

    let (path, query) = tail.split_at(tail.find(['?', '#']).unwrap_or(tail.len()));
    let open = path.strip_suffix('/').unwrap_or(path);
    [(bare, "/"), (bare, ""), (&explicit, "/"), (&explicit, "")]
        .map(|(authority, slash)| format!("{scheme}://{authority}{open}{slash}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "12345";
    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

    /// The example of Twilio's documents and of its libraries.
    fn form() -> Vec<(String, String)> {
        [
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("Caller", "+14158675309"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn the_documented_example_is_signed_and_verified() {
        assert_eq!(sign(TOKEN, URL, &form()), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        assert_eq!(verify(TOKEN, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", URL, &form()), Ok(()));
    }

    #[test]
    fn a_field_that_comes_twice_counts_once_for_each_value() {
        let form = |values: &[&str]| -> Vec<_> {
            values.iter().map(|value| ("Digits".to_owned(), value.to_string())).collect()
        };
        let signed = |values| sign(TOKEN, URL, &form(values));
        assert_eq!(signed(&["2", "1", "2"]), signed(&["1", "2"]));
        assert_ne!(signed(&["1", "2"]), signed(&["1"]));
        // As of one value with both, since nothing stands between a name and its value.
        assert_eq!(signed(&["1", "2"]), sign(TOKEN, URL, &form(&["1Digits2"])));
    }

    #[test]
    fn another_token_field_or_url_does_not_pass() {
        let signature = sign(TOKEN, URL, &form());
        assert_eq!(verify("12346", &signature, URL, &form()), Err(SignatureError::Mismatch));
        assert_eq!(verify(TOKEN, &signature, URL, &form()[1..]), Err(SignatureError::Mismatch));
        assert_eq!(verify(TOKEN, &signature, &URL[..URL.len() - 1], &form()), Err(SignatureError::Mismatch));
        assert_eq!(verify(TOKEN, "", URL, &form()), Err(SignatureError::Mismatch));
        assert_eq!(verify(TOKEN, "?", URL, &form()), Err(SignatureError::Malformed("the signature")));
    }

    #[test]
    fn a_body_is_verified_by_its_digest_in_the_query() {
        let body = br#"{"property": "value", "boolean": true}"#;
        let digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
        let url = format!("{URL}&bodySHA256={digest}");
        let signature = "a9nBmqA0ju/hNViExpshrM61xv4=";
        assert_eq!(verify_body(TOKEN, signature, &url, body), Ok(()));
        assert_eq!(verify_body(TOKEN, signature, &url, b"{}"), Err(SignatureError::Body));
        assert_eq!(verify_body(TOKEN, signature, URL, body), Err(SignatureError::Malformed("bodySHA256")));
        let short = format!("{URL}&bodySHA256=0a");
        assert_eq!(verify_body(TOKEN, signature, &short, body), Err(SignatureError::Malformed("bodySHA256")));
    }

    #[test]
    fn port_and_last_slash_may_be_there_or_not() {
        for signed in [
            "https://h.example/a",
            "https://h.example/a/",
            "https://h.example:443/a",
            "https://h.example:443/a/",
        ] {
            let signature = sign(TOKEN, signed, &[]);
            for url in ["https://h.example/a", "https://h.example:443/a/"] {
                assert_eq!(verify(TOKEN, &signature, url, &[]), Ok(()), "{signed} as {url}");
            }
            assert_eq!(
                verify(TOKEN, &signature, "https://h.example:8443/a", &[]),
                Err(SignatureError::Mismatch)
            );
        }
        let other = sign(TOKEN, "https://[::1]:8443/a?b", &[]);
        assert_eq!(verify(TOKEN, &other, "https://[::1]:8443/a/?b", &[]), Ok(()));
    }

    #[test]
    fn an_upgrade_is_signed_as_a_websocket() {
        let signature = sign_upgrade(TOKEN, "https://h.example/sip/media-stream");
        assert_eq!(signature, sign(TOKEN, "wss://h.example/sip/media-stream", &[]));
        assert_eq!(verify_upgrade(TOKEN, &signature, "wss://h.example/sip/media-stream/"), Ok(()));
        assert_eq!(
            verify(TOKEN, &signature, "https://h.example/sip/media-stream", &[]),
            Err(SignatureError::Mismatch)
        );
    }
}
