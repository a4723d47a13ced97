//! The programs in examples/ do what their first lines say, against the test line and against a phone.

// Helpers of tests are test code, too.
// Tests that are skipped say why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::pbx::{Invite, Pbx};
use common::registrar::Registrar;
use common::relay::Relay;
use common::sip_client;
use common::temp::TempDir;
use common::tools::Process;
use sip_relay::client::CallState;
use sip_relay::client::blocking::SimpleSipClient;
use testkit::tone;

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).display().to_string()
}

/// A Python with the `websockets` package; says so where there is none.
fn python() -> Option<PathBuf> {
    let found = common::tools::find(&["python3"])?.remove(0);
    let has_websockets = Command::new(&found).args(["-c", "import websockets"]).output();
    if has_websockets.is_ok_and(|output| output.status.success()) {
        return Some(found);
    }
    assert!(std::env::var_os("REQUIRE_INTEROP").is_none(), "python3 lacks the package websockets");
    eprintln!("skipped: python3 lacks the package websockets");
    None
}

#[test]
fn echo_bot_says_back_what_it_hears() {
    let Some(python) = python() else { return };
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let dir = TempDir::new("echo_bot");
    let url = format!("ws://{}/", relay.ws());
    let mut bot = Process::start("echo_bot", &python, dir.path(), &[&example("echo_bot.py"), &url]);
    relay.expect_log("client connected");
    let mut call = pbx.call(relay.sip(), Invite::default());
    call.rtp.send_pcm(&tone::tone(440.0, 8000, 3000));
    let heard = common::rtp_end::pcm(&call.rtp.arrivals(), 0);
    let echo = &heard[heard.len() - 8000..];
    assert!(tone::is_tone(echo, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(echo, 8000));
    call.bye();
    bot.expect_output("BYE:", Duration::from_secs(5));
}

#[test]
fn auto_dialler_tells_how_each_call_went() {
    let Some(python) = python() else { return };
    let relay = Relay::start(&[]);
    let dir = TempDir::new("auto_dialler");
    let url = format!("ws://{}/", relay.ws());
    let script = example("auto_dialler.py");
    let arguments = [script.as_str(), "none.wav", "0912341234", "0912340486", "--url", &url];
    let mut dialler = Process::start("auto_dialler", &python, dir.path(), &arguments);
    dialler.expect_success(Duration::from_secs(20));
    let output = dialler.output();
    assert!(output.contains("0912341234 answered\n0912341234 not played: 404"), "{output}");
    assert!(output.contains("0912340486 486 Busy Here"), "{output}");
}

#[test]
fn twilio_bot_talks_with_a_caller_of_the_relay_and_with_nobody_who_lacks_the_token() {
    let Some(python) = python() else { return };
    let dir = TempDir::new("twilio_bot");
    // Through the shell, which sets the environment.
    let command =
        format!("TWILIO_AUTH_TOKEN=s3cret exec {} {} 0", python.display(), example("twilio_bot.py"));
    let mut bot = Process::start("twilio_bot", Path::new("/bin/sh"), dir.path(), &["-c", &command]);
    bot.expect_output("listening on ", Duration::from_secs(10));
    let output = bot.output();
    let port = output.trim().rsplit(' ').next().unwrap();
    let url = format!("ws://127.0.0.1:{port}/ws?a=b");
    let pbx = Pbx::new();
    let wrong = common::scene::start(&pbx, &[("AGENT_STREAM_URL", &url), ("TWILIO_AUTH_TOKEN", "guess")]);
    pbx.call(wrong.sip(), Invite::default()).expect_bye();
    wrong.expect_log("the bot answered HTTP 403");

    let relay = common::scene::start(&pbx, &[("AGENT_STREAM_URL", &url), ("TWILIO_AUTH_TOKEN", "s3cret")]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    bot.expect_output("played beep", Duration::from_secs(5));
    call.rtp.send_pcm(&tone::tone(440.0, 8000, 2000));
    let heard = common::rtp_end::pcm(&call.rtp.arrivals(), 0);
    let echo = &heard[heard.len() - 4000..];
    assert!(tone::is_tone(echo, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(echo, 8000));
    for packet in call.rtp.stream().key_press(101, 11, 1280, 160) {
        call.rtp.send_raw(&packet.to_bytes());
    }
    bot.expect_output("digit #", Duration::from_secs(5));
    call.expect_bye();
    bot.expect_output("over", Duration::from_secs(5));
}

/// A program of examples/; says so where it is not built.
fn built(name: &str) -> Option<PathBuf> {
    // `cargo test` builds the examples, `cargo test --test examples` does not.
    let program = Path::new(env!("CARGO_BIN_EXE_main")).with_file_name("examples").join(name);
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var_os("REQUIRE_INTEROP").is_none(), "cargo build --examples first");
    eprintln!("skipped: {} is not built, cargo build --examples", program.display());
    None
}

#[test]
fn basic_call_needs_no_pbx_and_takes_one() {
    let Some(program) = built("basic_call") else { return };
    let dir = TempDir::new("basic_call");
    let mut alone = Process::start("basic_call", &program, dir.path(), &[]);
    let registrar = Registrar::start();
    let pbx = registrar.address();
    let builder = SimpleSipClient::builder("1002", "pw", "127.0.0.1").port(pbx.port());
    let callee = sip_client::connected(builder.auto_answer(Duration::ZERO));
    let arguments = [&format!("127.0.0.1:{}", pbx.port()), "1001", "pw", "1002"];
    let mut through = Process::start("basic_call_pbx", &program, dir.path(), &arguments);
    sip_client::expect_state(&callee, CallState::Streaming);
    for (process, codec) in [(&mut alone, "PCMU"), (&mut through, "G722")] {
        process.expect_success(Duration::from_secs(20));
        let output = process.output();
        assert!(output.contains(&format!("connected, codec {codec}")), "{output}");
        assert!(output.contains("streaming, ") && output.ends_with("idle, not connected\n"), "{output}");
    }
    let mut wrong = Process::start("basic_call_usage", &program, dir.path(), &["1001"]);
    assert!(!wrong.wait(Duration::from_secs(5)).success());
}

#[test]
fn stream_audio_plays_a_file_and_writes_what_it_hears() {
    let Some(program) = built("stream_audio") else { return };
    let dir = TempDir::new("stream_audio");
    let mut alone = Process::start("stream_audio", &program, dir.path(), &[]);
    alone.expect_success(Duration::from_secs(30));
    let mut file = hound::WavReader::open(dir.path().join("heard.wav")).unwrap();
    let heard: Vec<i16> = file.samples().map(Result::unwrap).collect();
    // It speaks first, then it says back what is left of the tone.
    let loud: Vec<i16> = heard.chunks(160).filter(|f| tone::rms(f) > 1000.0).flatten().copied().collect();
    let echo = &loud[loud.len() - 4000..];
    assert!(tone::is_tone(echo, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(echo, 8000));
    assert!(alone.output().contains("heard "), "{}", alone.output());
}

#[test]
fn rust_client_hears_itself_on_the_test_line() {
    let relay = Relay::start(&[]);
    let Some(program) = built("client") else { return };
    let output =
        Command::new(program).args([&format!("ws://{}/", relay.ws()), "0912341234"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let loudest: u16 = said.rsplit(' ').next().unwrap().trim().parse().unwrap();
    assert!(loudest > 6000, "{said}");
}
