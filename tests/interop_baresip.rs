//! Interoperability with baresip: it calls in and is called, and a tone from either side arrives at the other.
//!
//! Skipped with a printed reason where baresip is not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::relay::Relay;
use common::temp::TempDir;
use common::tools::{self, Process};
use common::ws::WsClient;
use common::{eventually, free_ports, recording};
use testkit::{g711, tone};

/// What baresip says and what the WebSocket client says, Hz.
const THEIRS: f64 = 440.0;
const OURS: f64 = 600.0;
const MODULES: &str = "/usr/lib/baresip/modules";

#[test]
fn baresip_calls_in_and_both_sides_hear_a_tone() {
    let Some(programs) = tools::find(&["baresip"]) else { return };
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let phone = Phone::prepare("0903383638", "manual", "pcmu/8000/1");
    let dial = format!("/dial sip:100@{}", relay.sip());
    let mut baresip = phone.start(&programs[0], &["-e", &dial]);

    let ring = ws.expect_within("RING_ANS:0903383638##", Duration::from_secs(10));
    let call_id = ring.split("##").nth(1).unwrap().to_owned();
    ws.expect_all(&[&format!("CALL_ANS:{call_id}")]);
    talk(&ws, &call_id, 0);
    baresip.terminate();
    ws.expect_within(&format!("BYE:{call_id}"), Duration::from_secs(10));
    baresip.wait(Duration::from_secs(10));
    phone.assert_heard(OURS);
    let files = recording::list(&relay.recordings());
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(tone::is_tone(&recording::read_mono_8k(&files[0]), 8000, THEIRS, 1.0));
}

#[test]
fn baresip_with_the_right_password_is_let_in_and_with_a_wrong_one_it_is_not() {
    let Some(programs) = tools::find(&["baresip"]) else { return };
    // Its version 1.0 gives up when SHA-256 is offered besides MD5.
    let relay = Relay::start(&[("SIP_AUTH_USERS", "0903383638:s3cret"), ("SIP_AUTH_ALGORITHMS", "MD5")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    for password in ["wrong", "s3cret"] {
        let phone = Phone::prepare("0903383638", "manual", "pcmu/8000/1");
        let account = format!("<sip:0903383638@127.0.0.1:{}>;regint=0;auth_pass={password}\n", phone.port);
        phone.dir.write("accounts", account);
        let dial = format!("/dial sip:100@{}", relay.sip());
        let mut baresip = phone.start(&programs[0], &["-e", &dial]);
        if password == "wrong" {
            relay.expect_log("SIP_AUTH_USERS: wrong user or password");
            assert!(ws.is_quiet(Duration::from_millis(300)), "{:?}", ws.signals());
        } else {
            ws.expect_within("RING_ANS:0903383638##", Duration::from_secs(10));
        }
        baresip.terminate();
        baresip.wait(Duration::from_secs(10));
    }
}

#[test]
fn baresip_is_called_and_both_sides_hear_a_tone() {
    let Some(programs) = tools::find(&["baresip"]) else { return };
    let phone = Phone::prepare("0912341234", "auto", "pcma/8000/1");
    let mut baresip = phone.start(&programs[0], &[]);
    baresip.expect_listening(phone.port);
    let port = phone.port.to_string();
    let relay = Relay::start(&[("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", &port)]);
    let mut ws = WsClient::connect(relay.ws(), "");

    ws.send("CALL:0912341234");
    // Automatic answer may come without ringing first.
    let answered = ws.wait_for("CALL_ANS:");
    let call_id = answered.strip_prefix("CALL_ANS:").unwrap().to_owned();
    talk(&ws, &call_id, 8);
    ws.send(&format!("BYE:{call_id}"));
    ws.expect_all(&[&format!("BYE:{call_id}")]);
    let saved = eventually(Duration::from_secs(5), || phone.heard().is_some());
    assert!(saved, "baresip closed the file of what it heard");
    baresip.terminate();
    baresip.wait(Duration::from_secs(10));
    phone.assert_heard(OURS);
}

/// Three seconds of conversation: we say our tone, and hear theirs in this codec.
fn talk(ws: &WsClient, call_id: &str, payload_type: u8) {
    ws.send_pcm(call_id, &tone::tone(OURS, 8000, 3000));
    let packets = ws.expect_classic_rtp(150);
    assert!(packets.iter().all(|(pt, payload)| *pt == payload_type && payload.len() == 160));
    let heard: Vec<i16> = packets.iter().flat_map(|(pt, payload)| g711::decode(*pt, payload)).collect();
    let frequency = tone::dominant_frequency(&heard, 8000);
    assert!(tone::is_tone(&heard, 8000, THEIRS, 1.0), "heard {frequency:?} Hz of {THEIRS}");
    // A little more, so that all of our three seconds are out before somebody hangs up.
    ws.expect_rtp(170, Duration::from_secs(5));
}

/// One baresip configuration in a folder of its own.
struct Phone {
    dir: TempDir,
    port: u16,
}

impl Phone {
    fn prepare(user: &str, answer_mode: &str, codec: &str) -> Self {
        let dir = TempDir::new("baresip");
        let (port, rtp) = (free_ports(2), free_ports(20));
        let dump = dir.path().join("dump");
        std::fs::create_dir(&dump).unwrap();
        let values = [
            ("sip_port", port.to_string()),
            ("tone_hz", THEIRS.to_string()),
            ("rtp_start", rtp.to_string()),
            ("rtp_end", (rtp + 19).to_string()),
            ("modules", MODULES.to_owned()),
            ("dump", dump.display().to_string()),
        ];
        dir.write("config", tools::fill(include_str!("interop/baresip.config"), &values));
        let account =
            format!("<sip:{user}@127.0.0.1:{port}>;regint=0;answermode={answer_mode};audio_codecs={codec}\n");
        dir.write("accounts", account);
        dir.write("contacts", "");
        Self { dir, port }
    }

    fn start(&self, program: &Path, more: &[&str]) -> Process {
        let dir = self.dir.path().display().to_string();
        let args = [&["-4", "-f", &dir, "-t", "30"], more].concat();
        Process::start("baresip", program, self.dir.path(), &args)
    }

    /// What it heard: samples and rate of the file with the decoded side, once that is complete.
    fn heard(&self) -> Option<(u32, Vec<i16>)> {
        let files: Vec<PathBuf> = recording::list(&self.dir.path().join("dump"));
        let decoded = files.iter().find(|f| f.to_string_lossy().ends_with("-dec.wav"))?;
        let mut reader = hound::WavReader::open(decoded).ok()?;
        let spec = reader.spec();
        let samples: Result<Vec<i16>, _> = reader.samples::<i16>().collect();
        let mono: Vec<i16> = samples.ok()?.chunks(usize::from(spec.channels)).map(|frame| frame[0]).collect();
        (!mono.is_empty()).then_some((spec.sample_rate, mono))
    }

    fn assert_heard(&self, expected: f64) {
        let (rate, pcm) = self.heard().expect("baresip wrote what it heard");
        let frequency = tone::dominant_frequency(&pcm, rate);
        assert!(tone::is_tone(&pcm, rate, expected, 1.0), "baresip heard {frequency:?} Hz of {expected}");
    }
}
