//! `test_call` as Telnyx and as Twilio, against a gateway of the test's own that hears with the `stream` crate.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::temp::TempDir;
use common::{Feed, WAIT};
use stream::signature::twilio;
use stream::{Event, MarkOutcome, MediaFormat, Provider, Session, SessionConfig, StreamInfo, xml};
use testkit::{g711, tone};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

#[test]
fn telnyx_call_is_echoed_in_real_time() {
    let gateway = Gateway::start(Manner::Echo);
    let (output, text) = gateway.call(&["--frames", "60"]);
    assert!(output.status.success() && text.contains("ALL TESTS PASSED"), "{text}");
    for line in [
        "  Status: ok",
        "  DIDs:   [\"+15125551234\"]",
        "  ✓ The webhook answers with <Stream>: the call would be connected",
        "  → Sent: connected",
        "    Frames sent:     60",
        "    Frames received: 60",
        "    Bytes sent:      38400",
        "    Bytes received:  38400",
        "    ✓ Echo mode working — server echoed 60/60 frames",
        "  → Sent: stop",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line:?} in {text}");
    }
    assert_eq!(gateway.requests(), ["GET /health", "POST /sip/telnyx/answer"]);
    let form = gateway.form();
    assert!(form.starts_with("From=%2B15125559999&To=%2B15125551234&CallSid=test-call-001"), "{form}");

    let call = gateway.heard();
    assert_eq!((call.info.provider, call.info.inbound), (Provider::Telnyx, MediaFormat::L16_16000));
    assert_eq!(call.info.outbound, MediaFormat::L16_16000);
    assert_eq!(call.info.call_id, "test-call-001");
    // What the webhook answered, the token with it.
    assert_eq!(call.info.caller_id.as_deref(), Some("+15125559999"));
    assert_eq!(call.info.custom_parameters["token"], "a<b");
    assert!(call.stopped && call.session.stats().lost == 0);
    let samples: Vec<i16> =
        call.audio().chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(samples.len(), 60 * 320);
    assert!(tone::is_tone(&samples, 16_000, 440.0, 1.0), "{:?}", tone::dominant_frequency(&samples, 16_000));
    call.expect_real_time();
}

#[test]
fn twilio_call_is_echoed_in_real_time() {
    let gateway = Gateway::start(Manner::Echo);
    let (output, text) =
        gateway.call(&["--provider", "twilio", "--frames", "60", "--caller", "+18005550000"]);
    assert!(output.status.success() && text.contains("ALL TESTS PASSED"), "{text}");
    assert!(text.contains("    ✓ Echo mode working — server echoed 60/60 frames\n"), "{text}");
    assert_eq!(gateway.requests(), ["GET /health", "POST /sip/twilio/answer"]);
    let form = gateway.form();
    assert!(form.contains("&AccountSid=AC"), "{form}");

    let call = gateway.heard();
    assert_eq!((call.info.provider, call.info.inbound), (Provider::Twilio, MediaFormat::MULAW_8000));
    assert_eq!(call.info.caller_id.as_deref(), Some("+18005550000"));
    assert!(form.contains(&format!("CallSid={}&", call.info.call_id)), "{form}");
    let samples = g711::decode_ulaw(&call.audio());
    assert_eq!(samples.len(), 60 * 160);
    assert!(tone::is_tone(&samples, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(&samples, 8000));
    call.expect_real_time();
}

#[test]
fn webhook_and_socket_are_signed_for_the_public_url() {
    for (ws_url, public) in
        [(None, None), (Some("wss://voice.example.com/sip/media-stream"), Some("voice.example.com"))]
    {
        let gateway = Gateway::start(Manner::Echo);
        let mut arguments = vec!["--provider", "twilio", "--sign", "--frames", "5"];
        arguments.extend(ws_url.iter().flat_map(|url| ["--ws-url", *url]));
        let (output, text) = gateway.call(&arguments);
        assert!(output.status.success(), "{text}");
        let (http, ws, host) = match public {
            Some(host) => ("https", "wss", host.to_owned()),
            None => ("http", "ws", gateway.address.to_string()),
        };
        let [None, Some(webhook), Some(upgrade)] = &gateway.signatures()[..] else { panic!("not signed") };
        let form: Vec<(String, String)> =
            fields(&gateway.form()).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let url = format!("{http}://{host}/sip/twilio/answer");
        assert_eq!(twilio::verify("12345", webhook, &url, &form), Ok(()));
        let url = format!("{ws}://{host}/sip/media-stream");
        assert_eq!(twilio::verify_upgrade("12345", upgrade, &url), Ok(()));
    }
}

#[test]
fn file_arrives_byte_for_byte() {
    let dir = TempDir::new("stream_call");
    let path = dir.path().join("audio.raw");
    let audio: Vec<u8> = (0..640 * 5 + 100).map(|n: u32| (n * 7 % 251) as u8).collect();
    std::fs::write(&path, &audio).unwrap();
    let gateway = Gateway::start(Manner::Echo);
    let (output, text) = gateway.call(&["--audio-file", path.to_str().unwrap(), "--skip-webhook"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("Server sent 6 frames"), "{text}");
    assert_eq!(gateway.requests(), ["GET /health"]);
    let call = gateway.heard();
    assert_eq!(call.audio(), audio);
    assert_eq!(call.info.did.as_deref(), Some("+15125551234"));
}

#[test]
fn marks_come_back_when_the_audio_has_been_played_or_is_cleared() {
    for provider in ["telnyx", "twilio"] {
        let gateway = Gateway::start(Manner::Marks);
        let (output, text) = gateway.call(&["--provider", provider, "--frames", "50", "--skip-webhook"]);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("    Marks, clears:   3, 1\n"), "{text}");
        let call = gateway.heard();
        let [(first, a), (second, b), (third, c)] = &call.marks[..] else { panic!("{:?}", call.marks) };
        assert_eq!((a.as_str(), b.as_str(), c.as_str()), ("at once", "played", "cleared"));
        assert!(*first < Duration::from_millis(100), "{first:?}");
        assert!(Duration::from_millis(195) < *second && *second < Duration::from_millis(400), "{second:?}");
        // A minute of audio was before it.
        assert!(*third < Duration::from_secs(2), "{third:?}");
    }
}

#[test]
fn silent_gateway_is_no_failure_but_is_told() {
    let gateway = Gateway::start(Manner::Silent);
    let (output, text) = gateway.call(&["--frames", "5"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("No echo responses received"), "{text}");
}

#[test]
fn gateway_that_hangs_up_is_a_failure() {
    let gateway = Gateway::start(Manner::Refuse);
    let (output, text) = gateway.call(&[]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ WebSocket closed unexpectedly: 1008 no such call"), "{text}");
    assert!(text.contains("SOME TESTS FAILED"), "{text}");
}

#[test]
fn number_that_is_not_configured_is_a_failure_and_the_socket_is_tried() {
    let gateway = Gateway::start(Manner::Echo);
    let (output, text) = gateway.call(&["--did", "+19", "--frames", "15"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the number is not configured") && text.contains("server echoed"), "{text}");
    assert!(text.contains("SOME TESTS FAILED"), "{text}");
}

#[test]
fn nobody_there_is_a_failure() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = test_call(free, &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ cannot connect to http://127.0.0.1:"), "{text}");
}

#[test]
fn flags_that_do_not_go_together_are_wrong_use() {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    for arguments in [
        &["--sip", "--provider", "twilio"][..],
        &["--sip", "--frames", "5"],
        &["--number", "100"],
        &["--frames", "0"],
        &["--provider", "plivo"],
        &["--audio-file", "/nowhere.raw"],
        &["--audio-file", "x", "--frames", "5"],
        &["--sign"],
        &["--ws-url", "wss://h/", "--provider", "twilio"],
    ] {
        let output = test_call(nowhere, arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

fn test_call(gateway: SocketAddr, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test_call"));
    command.args(["--host", &gateway.ip().to_string(), "--port", &gateway.port().to_string()]);
    command.args(arguments).env_clear().env("TWILIO_AUTH_TOKEN", "12345").output().unwrap()
}

/// What the gateway does with a call.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Says back every frame.
    Echo,
    /// Hears.
    Silent,
    /// Marks before any audio, after 200 ms of it, and behind a minute of it that it clears after a while.
    Marks,
    /// Closes the socket after the start.
    Refuse,
}

/// A gateway on a port of its own, until the test ends. Clones are the same.
#[derive(Clone)]
struct Gateway {
    address: SocketAddr,
    /// Method and path, body.
    requests: Arc<Feed<(String, String)>>,
    calls: Arc<Feed<Call>>,
    /// Twilio's, of every request and upgrade.
    signatures: Arc<Feed<Option<String>>>,
}

/// A call that is over.
struct Call {
    info: StreamInfo,
    session: Session,
    media: Vec<(Instant, Vec<u8>)>,
    /// Marks that came back, and when, since the start.
    marks: Vec<(Duration, String)>,
    stopped: bool,
}

impl Gateway {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Self {
            address,
            requests: Arc::default(),
            calls: Arc::new(Feed::new()),
            signatures: Arc::default(),
        };
        let served = gateway.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                served.serve(connection.unwrap(), manner);
            }
        });
        gateway
    }

    fn call(&self, arguments: &[&str]) -> (Output, String) {
        let output = test_call(self.address, arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output, text)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.with(|requests| requests.iter().map(|(request, _)| request.clone()).collect())
    }

    /// The body of the webhook.
    fn form(&self) -> String {
        self.requests.with(|requests| requests.last().unwrap().1.clone())
    }

    fn signatures(&self) -> Vec<Option<String>> {
        self.signatures.with(|signatures| signatures.clone())
    }

    fn serve(&self, mut connection: TcpStream, manner: Manner) {
        connection.set_read_timeout(Some(WAIT)).unwrap();
        let mut head = [0; 64];
        while connection.peek(&mut head).unwrap() < 20 {
            std::thread::yield_now();
        }
        if head.starts_with(b"GET /sip/media-stream ") {
            #[allow(clippy::result_large_err, reason = "the library's own type")]
            let note = |request: &Request, response: Response| {
                let signature = request.headers().get(twilio::HEADER);
                self.signatures.push(signature.map(|value| value.to_str().unwrap().to_owned()));
                Ok(response)
            };
            let mut socket = tungstenite::accept_hdr(connection, note).unwrap();
            self.calls.push(media_stream(&mut socket, manner));
            return;
        }
        let (head, body) = read_request(&mut connection);
        let request = head.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let (kind, answer) = match request.as_str() {
            "GET /health" => {
                ("application/json", r#"{"status":"ok","dids":["+15125551234"],"ollama":false}"#.to_owned())
            }
            _ => ("application/xml", webhook(&request, &body)),
        };
        self.signatures.push(header(&head, twilio::HEADER).map(str::to_owned));
        self.requests.push((request, body));
        let length = answer.len();
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        );
        connection.write_all(response.as_bytes()).unwrap();
    }

    fn heard(&self) -> Call {
        self.calls.wait(Instant::now() + WAIT, Vec::pop).expect("a call ended")
    }
}

impl Call {
    fn audio(&self) -> Vec<u8> {
        self.media.iter().flat_map(|(_, payload)| payload.clone()).collect()
    }

    /// No frame comes before its time, and all are there soon after the last one's.
    fn expect_real_time(&self) {
        let first = self.media[0].0;
        for (n, (at, _)) in (0..).zip(&self.media) {
            let due = Duration::from_millis(20) * n;
            // The first may have been held up on its way.
            assert!(*at - first + Duration::from_millis(15) >= due, "frame {n} after {:?}", *at - first);
        }
        let (last, _) = self.media.last().unwrap();
        let due = Duration::from_millis(20) * (self.media.len() as u32 - 1);
        assert!(*last - first < due + Duration::from_millis(500), "{:?}", *last - first);
    }
}

fn webhook(request: &str, form: &str) -> String {
    let fields = fields(form);
    let field = |name: &str| fields.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value.as_str());
    let parameters = [("caller_id", field("From")), ("did", field("To")), ("token", "a<b")];
    match (field("To"), request) {
        ("+15125551234", "POST /sip/telnyx/answer") => xml::texml("wss://elsewhere/", &parameters),
        ("+15125551234", "POST /sip/twilio/answer") => xml::twiml("wss://elsewhere/", &parameters),
        _ => xml::NOT_CONFIGURED.to_owned(),
    }
}

/// What stands in a form of these tests.
fn fields(form: &str) -> Vec<(&str, String)> {
    form.split('&').filter_map(|f| f.split_once('=')).map(|(n, v)| (n, v.replace("%2B", "+"))).collect()
}

/// The head and the body.
fn read_request(connection: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let count = connection.read(&mut more).unwrap();
        assert!(count > 0, "a request was cut short");
        bytes.extend_from_slice(&more[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if body.len() >= header(head, "content-length").map_or(0, |length| length.parse().unwrap()) {
            return (head.to_owned(), body.to_owned());
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn media_stream(socket: &mut WebSocket<TcpStream>, manner: Manner) -> Call {
    let mut session = Session::new(Instant::now(), SessionConfig::default());
    let mut info = None;
    let (mut media, mut marks, mut stopped) = (Vec::new(), Vec::new(), false);
    let mut started = Instant::now();
    loop {
        let text = match socket.read() {
            Ok(Message::Text(text)) => text,
            Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => break,
            Ok(_) => continue,
            // Refused, the call does not wait for the close frame to come back.
            Err(error) => {
                assert!(manner == Manner::Refuse, "{error}");
                break;
            }
        };
        if text.contains(r#""event":"mark""#) {
            // Read here, since a session does not tell of one that it has cleared.
            let message: serde_json::Value = serde_json::from_str(&text).unwrap();
            marks.push((started.elapsed(), message["mark"]["name"].as_str().unwrap().to_owned()));
        }
        session.handle_text(Instant::now(), &text).unwrap();
        let mut say = |text: String| socket.send(Message::text(text)).unwrap();
        while let Some(event) = session.poll() {
            match event {
                Event::Started(call) if manner == Manner::Marks => {
                    started = Instant::now();
                    let minute = vec![0; call.outbound.bytes_per_second() as usize * 60];
                    say(session.mark("at once").unwrap());
                    say(session.media(&minute[..minute.len() / 300]).unwrap());
                    say(session.mark("played").unwrap());
                    say(session.media(&minute).unwrap());
                    say(session.mark("cleared").unwrap());
                    info = Some(*call);
                }
                Event::Started(call) => info = Some(*call),
                Event::Media { payload, .. } => {
                    media.push((Instant::now(), payload.to_vec()));
                    if manner == Manner::Echo {
                        say(session.media(&payload).unwrap());
                    }
                    if manner == Manner::Marks && media.len() == 40 {
                        say(session.clear(Instant::now()).unwrap());
                        assert_eq!(
                            session.poll(),
                            Some(Event::Mark { name: "cleared".to_owned(), outcome: MarkOutcome::Cleared })
                        );
                    }
                }
                Event::Mark { outcome, .. } => assert_eq!(outcome, MarkOutcome::Played),
                Event::Stopped => stopped = true,
                Event::Dtmf { .. } | Event::Error { .. } => panic!("{event:?}"),
            }
        }
        if manner == Manner::Refuse && info.is_some() && !stopped {
            let frame = CloseFrame { code: CloseCode::Policy, reason: "no such call".into() };
            socket.close(Some(frame)).unwrap();
        }
    }
    Call { info: info.expect("the call started"), session, media, marks, stopped }
}
