//! The programs in examples/ do what their first lines say, against the test line and against a phone.

// Helpers of tests are test code, too.
// Tests that are skipped say why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::pbx::{Invite, Pbx};
use common::relay::Relay;
use common::temp::TempDir;
use common::tools::Process;
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
    assert!(output.contains("0912341234 not played: 404"), "{output}");
    assert!(output.contains("0912340486 486 Busy Here"), "{output}");
}

#[test]
fn rust_client_hears_itself_on_the_test_line() {
    let relay = Relay::start(&[]);
    // `cargo test` builds the examples, `cargo test --test examples` does not.
    let program = Path::new(env!("CARGO_BIN_EXE_main")).with_file_name("examples").join("client");
    if !program.exists() {
        assert!(std::env::var_os("REQUIRE_INTEROP").is_none(), "cargo build --examples first");
        return eprintln!("skipped: {} is not built, cargo build --examples", program.display());
    }
    let output =
        Command::new(program).args([&format!("ws://{}/", relay.ws()), "0912341234"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let loudest: u16 = said.rsplit(' ').next().unwrap().trim().parse().unwrap();
    assert!(loudest > 6000, "{said}");
}
