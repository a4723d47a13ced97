//! Interoperability with a Kamailio that challenges: an outbound call through a provider that wants digest authentication
//! (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! Skipped with a printed reason where SIPp or Kamailio are not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::relay::Relay;
use common::sipp::Sipp;
use common::temp::TempDir;
use common::tools::{self, Process};
use common::ws::WsClient;
use common::{free_ports, sip_proxy};

const CALLEE: &str = "0912341234";
const PASSWORD: &str = "it's \"secret\"";

#[test]
fn proxy_challenge_with_md5_is_answered_for_invite_and_bye() {
    call_is_authorized(&Provider { challenge: "proxy", algorithm: "MD5", qop: "1" });
}

#[test]
fn server_challenge_with_sha_256_is_answered_for_invite_and_bye() {
    call_is_authorized(&Provider { challenge: "www", algorithm: "SHA-256", qop: "1" });
}

#[test]
fn challenge_without_qop_is_answered_for_invite_and_bye() {
    call_is_authorized(&Provider { challenge: "proxy", algorithm: "MD5", qop: "0" });
}

#[test]
fn wrong_password_is_tried_once() {
    let settings = [("SIP_USERNAME", "relay"), ("SIP_PASSWORD", "wrong")];
    call_is_refused(&settings, &["challenged INVITE 1", "challenged INVITE 2"]);
}

#[test]
fn call_without_credentials_fails_at_the_first_challenge() {
    call_is_refused(&[], &["challenged INVITE 1"]);
}

/// The call comes up and is hung up by us; each request is challenged once and then accepted.
fn call_is_authorized(provider: &Provider) {
    let Some(programs) = tools::find(&["sipp", "kamailio"]) else { return };
    let dir = TempDir::new("digest");
    let called = Sipp::called(&dir, include_str!("interop/uas_echo.xml"));
    let mut telephone = called.answer(&programs[0], 1);
    let (proxy, port) = provider.start(&programs[1], &dir, called.port);
    let relay = Relay::start(&[
        ("SIP_SERVER_IP", "127.0.0.1"),
        ("SIP_TRANSFER_PORT", &port.to_string()),
        ("SIP_USERNAME", "relay"),
        ("SIP_PASSWORD", PASSWORD),
    ]);
    let mut ws = WsClient::connect(relay.ws(), "");

    ws.send(&format!("CALL:{CALLEE}"));
    let ring = ws.expect(&format!("RING_ANS:{CALLEE}##"));
    let call_id = ring.split("##").nth(1).unwrap().to_owned();
    ws.expect_all(&[&format!("CALL_ANS:{call_id}")]);
    ws.send(&format!("BYE:{call_id}"));
    ws.expect_all(&[&format!("BYE:{call_id}")]);
    telephone.expect_success(Duration::from_secs(10));
    called.assert_clean(1);
    let expected = [
        "challenged INVITE 1",
        "authorized INVITE 2 as relay",
        "challenged BYE 3",
        "authorized BYE 4 as relay",
    ];
    assert_eq!(verdicts(&proxy), expected);
}

/// The call fails with the provider's answer, and the provider has seen these requests.
fn call_is_refused(credentials: &[(&str, &str)], seen: &[&str]) {
    let Some(programs) = tools::find(&["kamailio"]) else { return };
    let dir = TempDir::new("digest");
    let provider = Provider { challenge: "proxy", algorithm: "MD5", qop: "1" };
    let (proxy, port) = provider.start(&programs[0], &dir, free_ports(2));
    let port = port.to_string();
    let server = [("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", port.as_str())];
    let relay = Relay::start(&[&server, credentials].concat());
    let mut ws = WsClient::connect(relay.ws(), "");

    ws.send(&format!("CALL:{CALLEE}"));
    ws.expect_all(&["CALL_FAILED:407 Proxy Authentication Required"]);
    assert!(ws.is_quiet(Duration::from_millis(300)), "{:?}", ws.signals());
    assert_eq!(verdicts(&proxy), seen);
}

struct Provider {
    /// `proxy` (407) or `www` (401).
    challenge: &'static str,
    algorithm: &'static str,
    /// `1`: `qop="auth"`; `0`: none, as in RFC 2069.
    qop: &'static str,
}

impl Provider {
    fn start(&self, program: &Path, dir: &TempDir, callee_port: u16) -> (Process, u16) {
        let port = free_ports(2);
        let values = [
            ("challenge", self.challenge.to_owned()),
            ("algorithm", self.algorithm.to_owned()),
            ("qop", self.qop.to_owned()),
            ("realm", "provider.example".to_owned()),
            ("user", "relay".to_owned()),
            ("password", PASSWORD.replace('"', "\\\"")),
            ("callee_port", callee_port.to_string()),
        ];
        let template = include_str!("interop/kamailio_digest.cfg");
        (sip_proxy::start(program, dir, template, port, &values), port)
    }
}

/// What the provider decided, in order: `challenged {method} {cseq}` or `authorized {method} {cseq} as {user}`.
fn verdicts(proxy: &Process) -> Vec<String> {
    let output = proxy.output();
    let verdict = |line: &str| {
        let start = line.find("challenged ").or_else(|| line.find("authorized "))?;
        Some(line[start..].trim_end().to_owned())
    };
    output.lines().filter_map(verdict).collect()
}
