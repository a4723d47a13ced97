//! `test_call` and the gateway, each the real program: what a user does first (SPEC ).

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::WAIT;
use common::gateway::{CALLER, DID};
use common::relay::Relay;
use common::temp::TempDir;
use common::voice_server::VoiceServer;
use common::ws::{Incoming, WsClient};

#[test]
fn voice_server_echoes_the_calls_of_both_providers() {
    let server = voice_server(&[]);
    for provider in ["telnyx", "twilio"] {
        let (output, text) = test_call(server.address(), &["--provider", provider, "--frames", "50"], "");
        assert!(output.status.success() && text.contains("ALL TESTS PASSED"), "{text}");
        assert!(text.contains("    ✓ Echo mode working — server echoed 50/50 frames\n"), "{text}");
    }
    let other = voice_server(&[("TELNYX_CODEC", "PCMU")]);
    let (output, text) = test_call(other.address(), &["--frames", "50"], "");
    assert!(output.status.success() && text.contains("server echoed 50/50 frames"), "{text}");
    assert!(text.contains("    Bytes received:  8000\n"), "{text}");
    // Without a webhook, too, and with a number that is in no table: the call is served all the same.
    let arguments = ["--skip-webhook", "--did", "+19", "--frames", "20"];
    let (output, text) = test_call(server.address(), &arguments, "");
    assert!(output.status.success() && text.contains("server echoed 20/20 frames"), "{text}");
    let (output, text) = test_call(server.address(), &["--did", "+19", "--frames", "1"], "");
    assert!(output.status.code() == Some(1) && text.contains("the number is not configured"), "{text}");
}

#[test]
fn stream_shows_the_token_of_its_webhook_and_is_refused_without() {
    let server = voice_server(&[("GATEWAY_STREAM_TOKEN", "1")]);
    for provider in ["telnyx", "twilio"] {
        let (output, text) = test_call(server.address(), &["--provider", provider, "--frames", "5"], "");
        assert!(output.status.success() && text.contains("<Parameter name=\"token\""), "{text}");
        let (output, text) = test_call(server.address(), &["--provider", provider, "--skip-webhook"], "");
        assert!(output.status.code() == Some(1) && text.contains("closed unexpectedly: 1008"), "{text}");
    }
}

#[test]
fn signature_is_made_for_the_public_url_and_verified() {
    let url = "wss://voice.example.com/sip/media-stream";
    let server = voice_server(&[("TWILIO_AUTH_TOKEN", "12345"), ("SIP_PUBLIC_WS_URL", url)]);
    let signed = ["--provider", "twilio", "--frames", "5", "--sign", "--ws-url", url];
    let (output, text) = test_call(server.address(), &signed, "12345");
    assert!(output.status.success(), "{text}");
    for (arguments, token) in [(&signed[..], "12346"), (&signed[..4], "12345"), (&signed[..5], "12345")] {
        let (output, text) = test_call(server.address(), arguments, token);
        assert!(output.status.code() == Some(1) && text.contains("  Status: 403\n"), "{text}");
        assert!(
            text.contains("✗ no WebSocket: HTTP error: 403 Forbidden") || !arguments.contains(&"--sign"),
            "{text}"
        );
    }
}

#[test]
fn client_of_the_relay_sees_the_call_and_is_heard() {
    let dir = configured();
    let relay = Relay::start_in(
        dir,
        &[("GATEWAY_ENABLE", "1"), ("GATEWAY_HANDLER", "relay"), ("GATEWAY_CONFIG", "dids.yaml")],
    );
    for provider in ["telnyx", "twilio"] {
        let mut client = WsClient::connect(relay.ws(), "mode=multi");
        let at = relay.ws();
        let caller: JoinHandle<_> =
            std::thread::spawn(move || test_call(at, &["--provider", provider, "--frames", "100"], ""));
        client.wait_for(&format!("RING_ANS:{CALLER}##"));
        client.wait_for("CALL_ANS:");
        let mut echoed = 0;
        let end = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < end {
            let heard = client.expect_rtp(echoed + 1, WAIT);
            for (_, message) in &heard[echoed..] {
                let Incoming::Text(text) = message else { panic!("multi audio is text here") };
                client.send(text);
            }
            echoed = heard.len();
        }
        client.wait_for("BYE:");
        let (output, text) = caller.join().unwrap();
        assert!(output.status.success() && text.contains("✓ Echo mode working"), "{text}");
    }
}

fn voice_server(settings: &[(&str, &str)]) -> VoiceServer {
    VoiceServer::launch(configured(), &["-c", "dids.yaml", "-p", "0"], settings)
}

/// A folder with a table that has one number.
fn configured() -> TempDir {
    let dir = TempDir::new("test_call");
    std::fs::write(dir.path().join("dids.yaml"), format!("dids:\n  \"{DID}\":\n    user_id: david\n"))
        .unwrap();
    dir
}

fn test_call(gateway: SocketAddr, arguments: &[&str], auth_token: &str) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test_call"));
    command.args(["--host", &gateway.ip().to_string(), "--port", &gateway.port().to_string()]);
    let output = command.args(arguments).env_clear().env("TWILIO_AUTH_TOKEN", auth_token).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}
