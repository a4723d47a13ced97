//! Interoperability with Kamailio as a registrar: it wants a digest, grants a short time, and sends calls to where the relay
//! registered (RFC 3261 §10).
//!
//! Skipped with a printed reason where Kamailio is not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::pbx::{Invite, Pbx};
use common::relay::Relay;
use common::temp::TempDir;
use common::tools::{self, Process};
use common::ws::WsClient;
use common::{eventually, free_ports, sip_proxy};

const PASSWORD: &str = "it's \"secret\"";

#[test]
fn md5_registrar_keeps_the_relay_and_sends_it_calls() {
    registered_called_and_gone("MD5");
}

#[test]
fn sha_256_registrar_keeps_the_relay_and_sends_it_calls() {
    registered_called_and_gone("SHA-256");
}

#[test]
fn wrong_password_is_refused_and_tried_once() {
    let Some(programs) = tools::find(&["kamailio"]) else { return };
    let dir = TempDir::new("registrar");
    let (registrar, port) = start(&programs[0], &dir, "MD5");
    let relay = register(port, "wrong");
    let line = relay.expect_log("not registered: SIP_USERNAME or SIP_PASSWORD refused");
    assert!(line.contains("status=401"), "{line}");
    let pbx = Pbx::new();
    let mut call =
        pbx.invite(([127, 0, 0, 1], port).into(), Invite { to: "1001".into(), ..Invite::default() });
    call.expect_response(404);
    call.ack();
    assert!(relay.terminate().success());
    assert_eq!(verdicts(&registrar), ["challenged 1 expires 3600", "challenged 2 expires 3600"]);
}

/// The relay registers, stays registered past the granted time, is called, and is not there any more when it has ended.
fn registered_called_and_gone(algorithm: &str) {
    let Some(programs) = tools::find(&["kamailio"]) else { return };
    let dir = TempDir::new("registrar");
    let (registrar, port) = start(&programs[0], &dir, algorithm);
    let relay = register(port, PASSWORD);
    let begun = Instant::now();
    relay.expect_log("registered expires=4");
    let mut ws = WsClient::connect(relay.ws(), "");

    // Two refreshes, the nonce too old by then.
    let refreshed =
        |verdicts: &[String]| verdicts.iter().filter(|v| v.starts_with("authorized")).count() >= 3;
    assert!(
        eventually(Duration::from_secs(15), || refreshed(&verdicts(&registrar))),
        "{:?}",
        verdicts(&registrar)
    );
    assert!(begun.elapsed() > Duration::from_secs(6));

    let pbx = Pbx::new();
    let to_1001 = || Invite { to: "1001".into(), ..Invite::default() };
    let mut call = pbx.call(([127, 0, 0, 1], port).into(), to_1001());
    let call_id = call.call_id();
    ws.expect_all(&[&format!("RING_ANS:0903383638##{call_id}"), &format!("CALL_ANS:{call_id}")]);
    ws.send(&format!("BYE:{call_id}"));
    call.expect_bye();
    ws.expect_all(&[&format!("BYE:{call_id}")]);

    assert!(relay.terminate().success());
    let said = verdicts(&registrar);
    assert_eq!(said[..2], ["challenged 1 expires 3600", "authorized 2 expires 3600"], "{said:?}");
    assert!(
        said.last().unwrap().ends_with("expires 0") && said.last().unwrap().starts_with("authorized"),
        "{said:?}"
    );
    let mut call = pbx.invite(([127, 0, 0, 1], port).into(), to_1001());
    call.expect_response(404);
    call.ack();
}

fn register(port: u16, password: &str) -> Relay {
    Relay::start(&[
        ("SIP_SERVER_IP", "127.0.0.1"),
        ("SIP_TRANSFER_PORT", &port.to_string()),
        ("SIP_REGISTER", "1"),
        ("SIP_USERNAME", "1001"),
        ("SIP_PASSWORD", password),
        ("LOG_LEVEL", "DEBUG"),
    ])
}

fn start(program: &Path, dir: &TempDir, algorithm: &str) -> (Process, u16) {
    let port = free_ports(2);
    let values = [
        ("algorithm", algorithm.to_owned()),
        ("realm", "pbx.example".to_owned()),
        ("user", "1001".to_owned()),
        ("password", PASSWORD.replace('"', "\\\"")),
        ("expires", "4".to_owned()),
    ];
    let template = include_str!("interop/kamailio_registrar.cfg");
    (sip_proxy::start(program, dir, template, port, &values), port)
}

/// What the registrar decided, in order: `challenged {cseq} expires {seconds}` or `authorized ...`.
fn verdicts(registrar: &Process) -> Vec<String> {
    let output = registrar.output();
    let verdict = |line: &str| {
        let start = line.find("challenged ").or_else(|| line.find("authorized "))?;
        Some(line[start..].trim_end().to_owned())
    };
    output.lines().filter_map(verdict).collect()
}
