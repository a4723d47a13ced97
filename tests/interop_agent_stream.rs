//! Interoperability with pipecat: a bot that its documents would put behind Twilio talks with a caller behind the relay, its
//! `TwilioFrameSerializer` as it comes from PyPI.
//!
//! Skipped with a printed reason where there is no Python or no way to PyPI.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::temp::TempDir;
use common::tools::Process;
use common::{WAIT, http, python, rtp_end, scene};
use testkit::tone;

const PACKAGES: &[&str] = &["pipecat-ai[websocket]==1.14.0", "uvicorn", "websockets"];

const ACCOUNT: &str = "AC11111111111111111111111111111111";

#[test]
fn pipecat_bot_says_back_what_it_hears_and_hangs_up() {
    let Some(mut scene) = Scene::start() else { return };
    let mut call = scene.call();
    scene.bot.expect_output("call twilio {", WAIT);
    for fact in ["'caller_id': '0903383638'", "'To': '100'", "'tenant': '7'"] {
        scene.bot.expect_output(fact, WAIT);
    }
    call.rtp.send_pcm(&tone::tone(440.0, 8000, 4000));
    let heard = scene::loud(&call.rtp.arrivals(), 0);
    // It says it back at its own pace, and begins with what it had to buffer.
    let echo = &heard[heard.len().saturating_sub(16_000)..];
    assert!(echo.len() == 16_000, "{} samples came back", heard.len());
    assert!(tone::is_tone(echo, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(echo, 8000));

    press(&mut call, 5);
    scene.bot.expect_output("digit 5", WAIT);
    press(&mut call, 11);
    scene.bot.expect_output("digit #", WAIT);
    call.expect_bye();
    scene.bot.expect_output("call over", WAIT);
    let metrics = http::metrics(scene.relay.ws());
    let invalid = r#"sip_relay_agent_stream_messages_total{kind="invalid"}"#;
    assert_eq!(http::value(&metrics, invalid), 0.0, "every message of the bot was understood");
}

#[test]
fn pipecat_bot_hears_that_the_caller_has_hung_up() {
    let Some(mut scene) = Scene::start() else { return };
    let mut call = scene.call();
    scene.bot.expect_output("call twilio {", WAIT);
    call.rtp.send_pcm(&tone::tone(440.0, 8000, 500));
    call.bye();
    scene.bot.expect_output("stream over", WAIT);
    scene.bot.expect_output("call over", WAIT);
}

#[test]
fn pipecat_bot_hangs_up_by_its_request_to_the_rest_api() {
    let Some(mut scene) = Scene::with_rest_api() else { return };
    let mut call = scene.call();
    scene.bot.expect_output("call twilio {", WAIT);
    press(&mut call, 11);
    scene.bot.expect_output("digit #", WAIT);
    call.expect_bye();
    scene.bot.expect_output("Successfully terminated Twilio call CA", WAIT);
    scene.bot.expect_output("call over", WAIT);
}

/// A bot, a relay that connects its calls to it, and a telephone system.
struct Scene {
    bot: Process,
    relay: Relay,
    pbx: Pbx,
    _dir: TempDir,
}

impl Scene {
    fn start() -> Option<Self> {
        Self::new(false)
    }

    /// The bot knows the account's token, and the relay in Twilio's place.
    fn with_rest_api() -> Option<Self> {
        Self::new(true)
    }

    fn new(rest_api: bool) -> Option<Self> {
        let python = python::with_packages(PACKAGES)?;
        let dir = TempDir::new("pipecat");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (pbx, url) = (Pbx::new(), format!("ws://127.0.0.1:{port}/ws"));
        let account = [("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_AUTH_TOKEN", "s3cret")];
        let settings = [("AGENT_STREAM_URL", url.as_str()), ("AGENT_STREAM_PARAMETERS", "tenant=7")];
        let settings = settings.into_iter().chain(account.into_iter().filter(|_| rest_api));
        let relay = scene::start(&pbx, &settings.collect::<Vec<_>>());

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/pipecat_bot.py");
        let rest = if rest_api { format!("http://{}", relay.ws()) } else { String::new() };
        // Through the shell, which sets the environment.
        let command = format!(
            "TWILIO_ACCOUNT_SID={ACCOUNT} TWILIO_AUTH_TOKEN=s3cret exec {} {} {port} {rest}",
            python.display(),
            script.display()
        );
        let mut bot = Process::start("pipecat_bot", Path::new("/bin/sh"), dir.path(), &["-c", &command]);
        // It imports a great deal.
        bot.expect_output("Uvicorn running", Duration::from_secs(60));
        Some(Self { bot, relay, pbx, _dir: dir })
    }

    fn call(&self) -> PbxCall {
        self.pbx.call(self.relay.sip(), Invite::default())
    }
}

/// A key of 160 ms, at its time.
fn press(call: &mut PbxCall, event: u8) {
    let begin = std::time::Instant::now();
    for (n, packet) in call.rtp.stream().key_press(101, event, 1280, 160).iter().enumerate() {
        rtp_end::pace(begin + Duration::from_millis(20 * n as u64));
        call.rtp.send_raw(&packet.to_bytes());
    }
}
