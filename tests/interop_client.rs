//! Interoperability of the library's client with Kamailio as a registrar and proxy: digests, refreshes, and two clients that
//! call each other through it.
//!
//! Skipped with a printed reason where Kamailio is not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::sip_client::{bytes, connected, expect_state, listen};
use common::temp::TempDir;
use common::tools::{self, Process};
use common::{WAIT, eventually, free_ports, sip_proxy};
use sip_relay::client::blocking::SimpleSipClient;
use sip_relay::client::{AudioFormat, CallState, ClientBuilder, Codec, SipClientError};
use testkit::tone;

const PASSWORD: &str = "it's \"secret\"";

#[test]
fn two_clients_talk_through_the_registrar() {
    for algorithm in ["MD5", "SHA-256"] {
        let Some((_registrar, _dir, port)) = start(algorithm) else { return };
        let client = |user| connected(builder(user, PASSWORD, port).auto_answer(Duration::from_millis(200)));
        let (alice, bob) = (client("1001"), client("1002"));
        assert!(alice.call_status().registered && bob.call_status().registered);
        for (caller, callee, name) in [(&alice, &bob, "1002"), (&bob, &alice, "1001")] {
            talk(caller, callee, name);
        }
        // Who has left is not found any more.
        bob.disconnect().unwrap();
        assert_eq!(alice.make_call("1002"), Ok(true));
        let gone = alice.wait_connected(WAIT).unwrap_err();
        assert!(matches!(gone, SipClientError::Call { status: 404, .. }), "{gone}");
        alice.disconnect().unwrap();
    }
}

#[test]
fn registration_outlives_what_was_granted() {
    let Some((registrar, _dir, port)) = start("MD5") else { return };
    let client = connected(builder("1001", PASSWORD, port));
    let refreshed = || registrar.output().matches("authorized ").count() >= 3;
    // Two refreshes of 4 s, the nonce too old by then.
    assert!(eventually(Duration::from_secs(15), refreshed), "{}", registrar.output());
    assert!(client.call_status().registered);
    client.disconnect().unwrap();
    assert!(registrar.output().contains("expires 0"), "{}", registrar.output());
}

#[test]
fn wrong_password_is_an_authentication_error() {
    let Some((registrar, _dir, port)) = start("MD5") else { return };
    let client = SimpleSipClient::from(builder("1001", "wrong", port));
    assert_eq!(client.connect(), Err(SipClientError::Authentication { status: 401 }));
    assert_eq!(registrar.output().matches("challenged ").count(), 2, "{}", registrar.output());
    let unknown = SimpleSipClient::from(builder("1009", PASSWORD, port));
    assert_eq!(unknown.connect(), Err(SipClientError::Authentication { status: 401 }));
}

fn builder(user: &str, password: &str, port: u16) -> ClientBuilder {
    SimpleSipClient::builder(user, password, "127.0.0.1").port(port)
}

/// `caller` says 500 Hz, the callee 700 Hz; then the callee hangs up.
fn talk(caller: &SimpleSipClient, callee: &SimpleSipClient, name: &str) {
    assert_eq!(caller.make_call(name), Ok(true));
    caller.wait_connected(WAIT).unwrap();
    callee.wait_connected(WAIT).unwrap();
    assert_eq!(
        (caller.negotiated_codec(), callee.negotiated_codec()),
        (Some(Codec::G722), Some(Codec::G722))
    );
    for (from, to, frequency) in [(caller, callee, 500.0), (callee, caller, 700.0)] {
        let heard = listen(to, AudioFormat::Pcm);
        from.send_audio(&bytes(&tone::tone(frequency, 8000, 600))).unwrap();
        let loud = || -> Vec<i16> {
            let samples = heard.samples();
            // G.722 takes a few samples to settle, and its silence is not quite silent.
            samples.chunks(160).filter(|frame| tone::rms(frame) > 1000.0).flatten().copied().collect()
        };
        assert!(eventually(WAIT, || loud().len() >= 4000), "{} samples", loud().len());
        let pcm = loud();
        assert!(tone::is_tone(&pcm, 8000, frequency, 1.0), "{:?}", tone::dominant_frequency(&pcm, 8000));
        to.remove_audio_callback();
    }
    callee.hangup_call().unwrap();
    expect_state(caller, CallState::Idle);
    assert_eq!(caller.last_failure(), None);
}

fn start(algorithm: &str) -> Option<(Process, TempDir, u16)> {
    let programs = tools::find(&["kamailio"])?;
    let (dir, port) = (TempDir::new("client"), free_ports(2));
    let values = [
        ("algorithm", algorithm.to_owned()),
        ("realm", "pbx.example".to_owned()),
        ("user", "1001|1002".to_owned()),
        ("password", PASSWORD.replace('"', "\\\"")),
        ("expires", "4".to_owned()),
    ];
    let template = include_str!("interop/kamailio_registrar.cfg");
    let process = sip_proxy::start(Path::new(&programs[0]), &dir, template, port, &values);
    Some((process, dir, port))
}
