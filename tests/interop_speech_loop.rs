//! A real voice and a real ear: a caller says digits with espeak-ng, pocketsphinx hears them behind the call center, espeak-ng
//! repeats them, and pocketsphinx hears them again in what the caller gets.
//!
//! Skipped with a printed reason where the programs are not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use audio::file;
use common::eventually;
use common::pbx::PbxCall;
use common::relay::Relay;
use common::rtp_end::{self, is_loud};
use common::scene;
use common::talk::Talk;
use common::temp::TempDir;
use common::tools::{self, Process};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/speech_server.py");
/// Recognition of two seconds of speech on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn digits_that_a_caller_says_are_understood_repeated_and_understood_again() {
    let Some(found) = tools::find(&["python3", "espeak-ng", "pocketsphinx_continuous"]) else { return };
    let (python, dir) = (&found[0], TempDir::new("speech-loop"));
    let mut server = Process::start("speech", python, dir.path(), &[SERVER, "serve"]);
    server.expect_output("listening on ", Duration::from_secs(20));
    let output = server.output();
    let port = output.split("listening on ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let base = format!("http://127.0.0.1:{port}/v1");
    let relay = Relay::start(&[]);
    let way = relay.ws();
    let settings = [("OPENAI_API_BASE", base.as_str()), ("CALL_CENTER_LANGUAGE", "en")];
    let scene = Talk::through(relay, way, &settings);

    let mut call = scene.call(0);
    for digits in ["four zero three", "eight three two", "five four zero"] {
        let voice = dir.path().join("voice.wav");
        run(python, &["say", digits, voice.to_str().unwrap()]);
        let voice = file::decode_at(std::fs::read(&voice).unwrap().into(), Some("wav"), 8000).unwrap();
        let before = call.rtp.arrivals().len();
        call.rtp.send_pcm(&[vec![0; 4000], voice.samples, vec![0; 8000]].concat());
        // A caller never stops sending.
        let answered = eventually(LONG, || {
            call.rtp.send_pcm(&[0; 1600]);
            is_over(&call, before)
        });
        assert!(answered, "no answer to {digits:?}; {}", server.output());
        let heard = rtp_end::pcm(&call.rtp.arrivals()[before..], 0);
        let heard = dir.write("heard.wav", scene::wav(8000, 1, &heard));
        assert_eq!(run(python, &["hear", heard.to_str().unwrap()]).trim(), digits);
        assert!(server.output().contains(&format!("heard: {digits}\n")), "{}", server.output());
    }
    assert_eq!(scene.center.count_log("[ERROR]"), 0);
    call.bye();
    scene.center.expect_log("call over");
}

/// Whether something was said since then, and nothing for a second.
fn is_over(call: &PbxCall, before: usize) -> bool {
    let arrivals = call.rtp.arrivals();
    let last = arrivals[before..].iter().rposition(|arrival| is_loud(&arrival.packet));
    last.is_some_and(|last| arrivals.len() - before - last > 50)
}

/// Runs the server's program for one task and returns what it prints.
fn run(python: &Path, arguments: &[&str]) -> String {
    let output = Command::new(python).arg(SERVER).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
