//! Interoperability with pipecat: its serializers for Twilio and Telnyx, as they come from PyPI, read what the `stream` crate
//! prints and print what it reads; and `test_call` calls a gateway that is made of one.
//!
//! Skipped with a printed reason where there is no Python or no way to PyPI.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common::temp::TempDir;
use common::tools::Process;
use common::{WAIT, python};
use serde_json::{Value, json};
use stream::telnyx::{FromTelnyx, Start, ToTelnyx};
use stream::twilio::ToTwilio;
use stream::{
    AnnouncedFormat, BotEvent, BotSession, BotStart, Event, Provider, Session, SessionConfig, Track,
};
use testkit::{g711, tone};

/// Those of the other test that talks with pipecat: one environment for both.
const PACKAGES: &[&str] = &["pipecat-ai[websocket]==1.14.0", "uvicorn", "websockets"];

#[test]
fn pipecat_hears_a_bot_session_as_twilio_and_is_understood() {
    let Some(mut pipecat) = Pipecat::start() else { return };
    assert_eq!(pipecat.ask(json!({"do": "new", "provider": "twilio", "stream": "MZ1"})), "ready");
    let mut bot = BotSession::new(BotStart { stream_sid: "MZ1".to_owned(), ..BotStart::default() });
    for text in [bot.connected(), bot.start(), bot.mark("m"), bot.stop()] {
        assert_eq!(pipecat.read(&text), Value::Null);
    }
    let frames = g711::encode_ulaw(&tone::tone(440.0, 8000, 1000));
    let heard = pipecat.hear(frames.chunks(160).map(|frame| bot.media(Bytes::copy_from_slice(frame))));
    expect_tone(&heard, 16_000);
    for digit in "0123456789*#".chars() {
        assert_eq!(pipecat.read(&bot.dtmf(digit)), json!({"frame": "dtmf", "digit": digit.to_string()}));
    }

    let said = pipecat.say().into_iter().flat_map(|text| match bot.handle_text(&text) {
        Ok(BotEvent::Media(payload)) => payload.to_vec(),
        other => panic!("{other:?} for {text}"),
    });
    expect_tone(&g711::decode_ulaw(&said.collect::<Vec<u8>>()), 8000);
    assert_eq!(bot.handle_text(&pipecat.text(json!({"do": "interrupt"}))), Ok(BotEvent::Clear));
    let mark = ToTwilio::Mark { stream_sid: Some("MZ1".to_owned()), name: "m".to_owned() };
    let message: Value = serde_json::from_str(&mark.print()).unwrap();
    let sent = pipecat.text(json!({"do": "send", "message": message}));
    assert_eq!(bot.handle_text(&sent), Ok(BotEvent::Mark("m".to_owned())));
}

#[test]
fn pipecat_hears_messages_of_telnyx_and_is_understood() {
    let Some(mut pipecat) = Pipecat::start() else { return };
    type Law = (&'static str, fn(&[i16]) -> Vec<u8>, fn(&[u8]) -> Vec<i16>);
    let laws: [Law; 2] =
        [("PCMU", g711::encode_ulaw, g711::decode_ulaw), ("PCMA", g711::encode_alaw, g711::decode_alaw)];
    for (encoding, encode, decode) in laws {
        let order = json!({"do": "new", "provider": "telnyx", "stream": "s", "encoding": encoding});
        assert_eq!(pipecat.ask(order), "ready");
        assert_eq!(pipecat.read(&FromTelnyx::Start(start(encoding)).print()), Value::Null);
        let frames = encode(&tone::tone(440.0, 8000, 1000));
        let heard = pipecat.hear(frames.chunks(160).map(|frame| media(frame).print()));
        expect_tone(&heard, 16_000);
        let key = FromTelnyx::Dtmf { sequence: None, stream_id: None, occurred_at: None, digit: '#' };
        assert_eq!(pipecat.read(&key.print()), json!({"frame": "dtmf", "digit": "#"}));

        let said = pipecat.say().into_iter().flat_map(|text| match ToTelnyx::parse(&text) {
            Ok(ToTelnyx::Media { payload, .. }) => payload.to_vec(),
            other => panic!("{other:?} for {text}"),
        });
        expect_tone(&decode(&said.collect::<Vec<u8>>()), 8000);
        let clear = pipecat.text(json!({"do": "interrupt"}));
        assert_eq!(ToTelnyx::parse(&clear), Ok(ToTelnyx::Clear { stream_id: None }));
    }
}

#[test]
fn pipecat_in_a_providers_place_would_hear_what_a_session_sends() {
    // A serializer reads the same media message whoever sends it: what a session says back to a provider, too.
    let Some(mut pipecat) = Pipecat::start() else { return };
    for (provider, connected, start) in [
        (Provider::Twilio, r#"{"event":"connected","protocol":"Call"}"#, twilio_start()),
        (Provider::Telnyx, r#"{"event":"connected"}"#, FromTelnyx::Start(start("PCMU")).print()),
    ] {
        let mut session = Session::new(Instant::now(), SessionConfig::default());
        session.handle_text(Instant::now(), connected).unwrap();
        session.handle_text(Instant::now(), &start).unwrap();
        assert!(matches!(session.poll(), Some(Event::Started(info)) if info.provider == provider));
        let order = json!({"do": "new", "provider": provider.name(), "stream": "s", "encoding": "PCMU"});
        assert_eq!(pipecat.ask(order), "ready");
        let frames = g711::encode_ulaw(&tone::tone(440.0, 8000, 1000));
        let heard = pipecat.hear(frames.chunks(160).map(|frame| session.media(frame).unwrap()));
        expect_tone(&heard, 16_000);
    }
}

#[test]
fn test_call_as_twilio_is_echoed_by_a_gateway_of_pipecat() {
    let Some(python) = python::with_packages(PACKAGES) else { return };
    let dir = TempDir::new("pipecat_echo");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let script = script("pipecat_echo.py");
    let mut gateway = Process::start("pipecat_echo", &python, dir.path(), &[&script, &port]);
    // It imports a great deal.
    gateway.expect_output("listening", Duration::from_secs(60));
    let mut command = Command::new(env!("CARGO_BIN_EXE_test_call"));
    command.args(["--provider", "twilio", "--skip-webhook", "--frames", "100", "--port", &port]);
    let output = command.env_clear().output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("    ✓ Echo mode working — server echoed 100/100 frames\n"), "{text}");
    gateway.expect_output("{'caller_id': '+15125559999', 'did': '+15125551234'}", WAIT);
    gateway.expect_output("stop", WAIT);
}

fn start(encoding: &str) -> Start {
    Start {
        stream_id: "s".to_owned(),
        media_format: Some(AnnouncedFormat {
            encoding: Some(encoding.to_owned()),
            sample_rate: Some(8000),
            channels: Some(1),
        }),
        ..Start::default()
    }
}

fn twilio_start() -> String {
    BotSession::new(BotStart { stream_sid: "s".to_owned(), ..BotStart::default() }).start()
}

fn media(payload: &[u8]) -> FromTelnyx {
    FromTelnyx::Media(stream::telnyx::Media {
        sequence: Some(2),
        stream_id: Some("s".to_owned()),
        track: Some(Track::Inbound),
        chunk: Some(1),
        timestamp: Some(Duration::ZERO),
        payload: Bytes::copy_from_slice(payload),
    })
}

/// A second of 440 Hz, but for what a resampler keeps to itself.
fn expect_tone(samples: &[i16], rate: u32) {
    let second = rate as usize;
    assert!(samples.len() > second * 8 / 10 && samples.len() <= second, "{} samples", samples.len());
    let middle = &samples[second / 5..second * 7 / 10];
    assert!(tone::is_tone(middle, rate, 440.0, 1.0), "{:?}", tone::dominant_frequency(middle, rate));
    assert!(tone::rms(middle) > 4000.0, "rms {}", tone::rms(middle));
}

fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name).display().to_string()
}

/// Pipecat's serializers in a process of their own.
struct Pipecat {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Pipecat {
    fn start() -> Option<Self> {
        let python = python::with_packages(PACKAGES)?;
        let mut command = Command::new(python);
        command.arg(script("pipecat_serializers.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, orders, answers })
    }

    fn ask(&mut self, order: Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        let mut answer = String::new();
        // A process that has died closes its output.
        assert!(self.answers.read_line(&mut answer).unwrap() > 0, "pipecat ended upon {order}");
        serde_json::from_str(&answer).unwrap()
    }

    fn text(&mut self, order: Value) -> String {
        self.ask(order).as_str().unwrap().to_owned()
    }

    fn read(&mut self, text: &str) -> Value {
        self.ask(json!({"do": "read", "text": text}))
    }

    /// What it makes of messages with audio.
    fn hear(&mut self, messages: impl Iterator<Item = String>) -> Vec<i16> {
        let mut samples = Vec::new();
        for text in messages {
            match self.read(&text) {
                // Its resampler begins with a pause.
                Value::Null => {}
                frame => {
                    assert_eq!((&frame["frame"], &frame["rate"]), (&json!("audio"), &json!(16_000)));
                    let pcm = STANDARD.decode(frame["pcm"].as_str().unwrap()).unwrap();
                    samples.extend(pcm.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
                }
            }
        }
        samples
    }

    /// A second of 440 Hz, in its messages.
    fn say(&mut self) -> Vec<String> {
        let pcm: Vec<u8> = tone::tone(440.0, 16_000, 1000).iter().flat_map(|s| s.to_le_bytes()).collect();
        let frames =
            pcm.chunks(640).map(|frame| self.ask(json!({"do": "say", "pcm": STANDARD.encode(frame)})));
        frames.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Pipecat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
