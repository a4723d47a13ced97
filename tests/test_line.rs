//! The relay without a PBX: its calls go to the test line, and the test call comes the other way.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::relay::Relay;
use common::ws::{Incoming, WsClient, classic_rtp, multi_rtp};
use common::{WAIT, eventually};
use testkit::tone;

/// The sentence lasts 4.6 s.
const SENTENCE: Duration = Duration::from_secs(6);

#[test]
fn call_is_answered_speaks_and_echoes_a_tone_and_a_key() {
    let relay = Relay::start(&[("SPEECH_DETECTION", "0")]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let call = call(&mut client, "0912341234");
    let call = call.as_str();

    let speech = samples_of(&client.expect_rtp(150, WAIT), call);
    assert!(tone::rms(&speech) > 500.0, "rms {}", tone::rms(&speech));
    wait_for_silence(&client, call);

    let before = client.expect_rtp(1, WAIT).len();
    client.send_pcm(call, &tone::tone(440.0, 8000, 1000));
    let heard = samples_of(&client.expect_rtp(before + 60, WAIT)[before..], call);
    let loud: Vec<i16> =
        heard.chunks(160).filter(|frame| tone::rms(frame) > 4000.0).flatten().copied().collect();
    assert!(loud.len() >= 6400, "{} samples of the tone came back", loud.len());
    assert!(tone::is_tone(&loud, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(&loud, 8000));

    client.send(&format!("DTMF:{call}##5"));
    client.expect(&format!("DTMF:{call}##5##"));

    client.send(&format!("BYE:{call}"));
    client.expect(&format!("BYE:{call}"));
}

#[test]
fn classic_client_hears_the_line_in_the_codec_of_the_call() {
    let relay = Relay::start(&[("RELAY_CODECS", "8")]);
    let mut client = WsClient::connect(relay.ws(), "");
    client.send("CALL:0912341234");
    client.expect("RING_ANS:0912341234##");
    client.expect("CALL_ANS:");
    let packets = client.expect_rtp(50, WAIT);
    assert!(packets.iter().all(|(_, message)| classic_rtp(message).0 == 8));
    client.send("BYE");
    client.expect("BYE:");
}

#[test]
fn special_endings_refuse_the_call_with_their_status() {
    let relay = Relay::start(&[]);
    let mut client = WsClient::connect(relay.ws(), "");
    for (number, ignored, failure) in [
        ("0912340486", true, "CALL_FAILED:486 Busy Here"),
        ("0912340404", false, "CALL_FAILED:404 Not Found"),
        ("0912340603", true, "CALL_FAILED:603 Decline"),
        ("0912340480", true, "CALL_FAILED:480 Temporarily Unavailable"),
        ("0912340503", false, "CALL_FAILED:503 Service Unavailable"),
    ] {
        client.send(&format!("CALL:{number}"));
        if ignored {
            client.expect("CALL_IGNORE:");
        }
        client.expect_all(&[failure]);
    }
}

#[test]
fn phone_that_never_answers_is_given_up() {
    let relay = Relay::start(&[("RELAY_INVITE_TIMEOUT", "0.5"), ("LOG_LEVEL", "DEBUG")]);
    let mut client = WsClient::connect(relay.ws(), "");
    client.send("CALL:0912340408");
    client.expect("RING_ANS:0912340408##");
    client.expect("CALL_IGNORE:");
    client.expect_all(&["CALL_FAILED:408 Request Timeout"]);
    relay.expect_log("test line: call over");
}

#[test]
fn call_can_be_cancelled_while_it_rings() {
    let relay = Relay::start(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    client.send("CALL:0912340180");
    client.expect("CALLING:");
    let ringing = client.expect("RING_ANS:0912340180##");
    let id = ringing.split("##").nth(1).unwrap();
    client.send(&format!("BYE:{id}"));
    client.wait_for("CALL_FAILED:487");
    relay.expect_log("test line: call over");
}

#[test]
fn phone_with_early_media_rings_and_is_answered() {
    let relay = Relay::start(&[]);
    let mut client = WsClient::connect(relay.ws(), "");
    client.send("CALL:0912340183");
    client.expect("RING_ANS:0912340183##");
    client.expect("CALL_ANS:");
    client.expect_rtp(10, WAIT);
}

#[test]
fn phone_that_hangs_up_ends_the_call_after_the_sentence() {
    let relay = Relay::start(&[]);
    let mut client = WsClient::connect(relay.ws(), "");
    client.send("CALL:0912340200");
    client.expect("RING_ANS:0912340200##");
    let up = client.expect("CALL_ANS:");
    let start = Instant::now();
    client.expect_within(&up.replace("CALL_ANS:", "BYE:"), SENTENCE + WAIT);
    assert!(start.elapsed() > Duration::from_secs(4), "after {:?}", start.elapsed());
}

#[test]
fn two_calls_at_once_have_voices_of_their_own_and_leave_nothing_behind() {
    let relay = Relay::start(&[("SPEECH_DETECTION", "0"), ("LOG_LEVEL", "DEBUG")]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let idle = relay.open_files();
    let (first, second) = (call(&mut client, "0912341234"), call(&mut client, "0912341235"));
    let heard = client.expect_rtp(250, WAIT + SENTENCE);
    for id in [&first, &second] {
        assert!(tone::rms(&samples_of(&heard, id)) > 500.0);
    }
    assert!(relay.open_files() > idle, "the calls hold sockets");
    client.send(&format!("BYE:{first}"));
    client.expect(&format!("BYE:{first}"));
    client.send(&format!("BYE:{second}"));
    client.expect(&format!("BYE:{second}"));
    assert!(eventually(WAIT, || relay.open_files() <= idle), "{} files, {idle} before", relay.open_files());

    relay.signal_terminate();
    relay.expect_log("test line census calls=0 ports=0");
    assert!(relay.terminate().success());
}

#[test]
fn shutdown_ends_calls_to_the_test_line() {
    let relay = Relay::start(&[("LOG_LEVEL", "DEBUG")]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let id = call(&mut client, "0912341234");
    relay.signal_terminate();
    client.expect(&format!("BYE:{id}"));
    relay.expect_log("test line census calls=0 ports=0");
    assert!(relay.terminate().success());
}

#[test]
fn banner_says_what_to_type() {
    let relay = Relay::start(&[]);
    let first = relay.expect_log("No SIP_SERVER_IP: outbound calls go to the test line.");
    assert!(first.contains(&format!("Connect ws://{}/ and type CALL:0912341234", relay.ws())), "{first}");
    relay.expect_log("CALL:0912340486 is busy");
}

#[test]
fn readme_lists_every_ending() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for ending in sip_relay::test_line::ENDINGS {
        let row = format!("| ...{} | {} |", ending.digits, ending.says);
        assert!(readme.contains(&row), "no row {row:?}");
    }
}

#[test]
fn test_call_to_a_relay_succeeds_and_hears_an_echo() {
    let relay = Relay::start(&[]);
    let (ws, sip) = (relay.ws(), relay.sip());
    let mut client = WsClient::connect(ws, "");
    let caller = std::thread::spawn(move || test_call(&["--sip", "--seconds", "3"], sip.port()));
    client.expect("RING_ANS:0912345678##");
    client.expect("CALL_ANS:");
    let mut echoed = 0;
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end {
        let heard = client.expect_rtp(echoed + 1, WAIT);
        for (_, message) in &heard[echoed..] {
            let Incoming::Text(text) = message else { panic!("classic audio is text") };
            client.send(text);
        }
        echoed = heard.len();
    }
    client.expect("BYE:");
    let output = caller.join().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("codec PCMU") && text.contains("the tone that was sent came back"), "{text}");
    assert!(text.ends_with("OK\n"), "{text}");
}

#[test]
fn test_call_that_nobody_answers_fails_and_says_why() {
    let relay = Relay::start(&[("RELAY_ANSWER_MODE", "client"), ("RELAY_RING_TIMEOUT", "0.5")]);
    let _client = WsClient::connect(relay.ws(), "");
    let output = test_call(&["--sip"], relay.sip().port());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("FAILED: not answered: 480 Temporarily Unavailable"), "{text}");
}

/// Places a call in multi mode and gives its id when it is up.
fn call(client: &mut WsClient, number: &str) -> String {
    client.send(&format!("CALL:{number}"));
    let calling = client.wait_for(&format!("CALLING:{number}##"));
    let id = calling.split("##").nth(1).unwrap().to_owned();
    client.expect(&format!("RING_ANS:{number}##{id}"));
    client.expect(&format!("CALL_ANS:{id}"));
    id
}

/// What was heard of one call.
fn samples_of(messages: &[(Instant, Incoming)], call: &str) -> Vec<i16> {
    messages
        .iter()
        .map(|(_, message)| multi_rtp(message))
        .filter(|(id, _)| id == call)
        .flat_map(|(_, pcm)| pcm)
        .collect()
}

/// Waits until the sentence is over: half a second of silence after it has begun.
fn wait_for_silence(client: &WsClient, call: &str) {
    let silent = |messages: &[(Instant, Incoming)]| {
        let pcm = samples_of(messages, call);
        pcm.len() >= 4000 && tone::is_silence(&pcm[pcm.len() - 4000..])
    };
    let mut n = 200;
    while !silent(&client.expect_rtp(n, WAIT)) {
        n += 5;
        assert!(n < 500, "the sentence does not end");
    }
}

fn test_call(arguments: &[&str], port: u16) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test_call"));
    command.args(arguments).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.env_clear().output().unwrap()
}
