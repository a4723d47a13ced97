//! The digest calculation and the header that carries it (RFC 7616 §3.4).

use std::fmt::Write;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::challenge::{Algorithm, Challenge, Qop};
use crate::ua::Credentials;

/// What is hashed besides the challenge.
#[derive(Debug, Clone, Copy)]
pub struct DigestInput<'a> {
    /// Who answers.
    pub credentials: &'a Credentials,
    /// The method of the request.
    pub method: &'a str,
    /// The Request-URI.
    pub uri: &'a str,
    /// The body, for `auth-int`.
    pub body: &'a [u8],
    /// The client's nonce; used with `qop` and the `-sess` algorithms.
    pub cnonce: &'a str,
    /// How often the server's nonce has been used, this time included.
    pub nonce_count: u32,
}

/// The value of Authorization or Proxy-Authorization.
pub fn authorization(challenge: &Challenge, input: &DigestInput<'_>) -> String {
    let mut value = format!(
        r#"Digest username="{}", realm="{}", nonce="{}", uri="{}", response="{}""#,
        escaped(&input.credentials.username),
        challenge.realm,
        challenge.nonce,
        input.uri,
        response(challenge, input),
    );
    let session = matches!(challenge.algorithm, Algorithm::Md5Sess | Algorithm::Sha256Sess);
    // Writing to a String cannot fail.
    if challenge.algorithm_named {
        let _ = write!(value, ", algorithm={}", challenge.algorithm.as_str());
    }
    if let Some(qop) = challenge.qop {
        let _ = write!(value, ", qop={}, nc={:08x}", qop.as_str(), input.nonce_count);
    }
    if challenge.qop.is_some() || session {
        let _ = write!(value, r#", cnonce="{}""#, input.cnonce);
    }
    if let Some(opaque) = &challenge.opaque {
        let _ = write!(value, r#", opaque="{opaque}""#);
    }
    value
}

fn response(challenge: &Challenge, input: &DigestInput<'_>) -> String {
    let algorithm = challenge.algorithm;
    let Credentials { username, password } = input.credentials;
    let nonce = challenge.nonce.as_bytes();
    let cnonce = input.cnonce.as_bytes();

    let mut secret = hash(algorithm, &[username.as_bytes(), challenge.realm.as_bytes(), password.as_bytes()]);
    if matches!(algorithm, Algorithm::Md5Sess | Algorithm::Sha256Sess) {
        secret = hash(algorithm, &[secret.as_bytes(), nonce, cnonce]);
    }
    let request = match challenge.qop {
        Some(Qop::AuthInt) => {
            let body = hash(algorithm, &[input.body]);
            hash(algorithm, &[input.method.as_bytes(), input.uri.as_bytes(), body.as_bytes()])
        }
        Some(Qop::Auth) | None => hash(algorithm, &[input.method.as_bytes(), input.uri.as_bytes()]),
    };
    match challenge.qop {
        None => hash(algorithm, &[secret.as_bytes(), nonce, request.as_bytes()]),
        Some(qop) => {
            let count = format!("{:08x}", input.nonce_count);
            let qop = qop.as_str().as_bytes();
            hash(algorithm, &[secret.as_bytes(), nonce, count.as_bytes(), cnonce, qop, request.as_bytes()])
        }
    }
}

/// Lower-case hex of the algorithm's hash of the parts joined with colons.
pub(super) fn hash(algorithm: Algorithm, parts: &[&[u8]]) -> String {
    match algorithm {
        Algorithm::Md5 | Algorithm::Md5Sess => hex_of::<Md5>(parts),
        Algorithm::Sha256 | Algorithm::Sha256Sess => hex_of::<Sha256>(parts),
    }
}

fn hex_of<H: Digest>(parts: &[&[u8]]) -> String {
    let mut hash = H::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(challenge: &str, user: (&str, &str), method: &str, uri: &str, cnonce: &str) -> String {
        let credentials = Credentials { username: user.0.into(), password: user.1.into() };
        let challenge = Challenge::parse_all(challenge).remove(0);
        let input = DigestInput { credentials: &credentials, method, uri, body: b"", cnonce, nonce_count: 1 };
        authorization(&challenge, &input)
    }

    fn response_in(header: &str) -> &str {
        header.split_once("response=\"").unwrap().1.split_once('"').unwrap().0
    }

    #[test]
    fn register_without_qop_has_the_documented_response() {
        let header =
            respond(r#"Digest realm="r", nonce="n1""#, ("1001", "pw"), "REGISTER", "sip:127.0.0.1", "unused");
        assert_eq!(
            header,
            "Digest username=\"1001\", realm=\"r\", nonce=\"n1\", uri=\"sip:127.0.0.1\", \
             response=\"f94164200a7140f8c4c66aa88247d1f8\""
        );
    }

    #[test]
    fn register_with_qop_auth_has_the_documented_response_and_one_cnonce() {
        let header = respond(
            r#"Digest realm="r", nonce="n1", qop="auth,auth-int", algorithm=MD5, opaque="o""#,
            ("1001", "pw"),
            "REGISTER",
            "sip:127.0.0.1",
            "0a4f113b",
        );
        assert_eq!(
            header,
            "Digest username=\"1001\", realm=\"r\", nonce=\"n1\", uri=\"sip:127.0.0.1\", \
             response=\"b4fafce527fa3ef96081ba12911355ff\", algorithm=MD5, qop=auth, nc=00000001, \
             cnonce=\"0a4f113b\", opaque=\"o\""
        );
    }

    #[test]
    fn examples_of_rfc_7616_for_md5_and_sha_256() {
        let challenge = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let respond = |algorithm: &str| {
            let header = respond(
                &challenge(algorithm),
                ("Mufasa", "Circle of Life"),
                "GET",
                "/dir/index.html",
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            );
            response_in(&header).to_owned()
        };
        assert_eq!(respond("MD5"), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(respond("SHA-256"), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    #[test]
    fn example_of_rfc_2617() {
        let header = respond(
            "Digest realm=\"testrealm@host.com\", qop=\"auth\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
            ("Mufasa", "Circle Of Life"),
            "GET",
            "/dir/index.html",
            "0a4f113b",
        );
        assert_eq!(response_in(&header), "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn sess_hashes_both_nonces_into_the_secret_and_sends_cnonce_even_without_qop() {
        let header = respond(
            r#"Digest realm="r", nonce="n1", algorithm=MD5-sess"#,
            ("1001", "pw"),
            "REGISTER",
            "sip:127.0.0.1",
            "0a4f113b",
        );
        let secret = hex_of::<Md5>(&[b"1001", b"r", b"pw"]);
        let session = hex_of::<Md5>(&[secret.as_bytes(), b"n1", b"0a4f113b"]);
        let request = hex_of::<Md5>(&[b"REGISTER", b"sip:127.0.0.1"]);
        assert_eq!(response_in(&header), hex_of::<Md5>(&[session.as_bytes(), b"n1", request.as_bytes()]));
        assert!(header.ends_with("algorithm=MD5-sess, cnonce=\"0a4f113b\""));
    }

    #[test]
    fn quotes_in_the_user_name_are_escaped() {
        let header = respond(r#"Digest realm="r", nonce="n""#, (r#"a"b\"#, "p"), "INVITE", "sip:h", "c");
        assert!(header.starts_with(r#"Digest username="a\"b\\", "#));
    }
}
