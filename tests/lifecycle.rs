//! Start and stop: what the relay says, how it refuses to start, and that nothing is left hanging when it ends.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::temp::TempDir;
use common::ws::{Incoming, WsClient};
use common::{WAIT, eventually, free_ports, recording, scene};
use regex_lite::Regex;
use testkit::g711;

/// The form of a log line.
const LINE: &str = r"^\[(INFO|DEBUG|WARNING|ERROR)\] - \d\d-\d\d-\d\d \d\d:\d\d:\d\d - .* - .+:\d+$";
const CALLS: usize = 20;
/// How long an orderly end may take.
const STOP: Duration = Duration::from_secs(5);

#[test]
fn start_and_stop_are_announced_in_order() {
    let mut relay = Relay::start(&[]);
    relay.expect_log("Press Ctrl+C to stop...");
    let (sip, ws) = (relay.sip(), relay.ws());
    relay.signal_terminate();
    assert!(relay.wait_exit(STOP).success());
    relay.expect_log("Servers stopped");
    let log = relay.log();
    let place = |words: &str| log.iter().position(|line| line.contains(words)).expect(words);
    let places = [
        place(&format!(" - SIP Server started on {sip} - ")),
        place(&format!(" - WebSocket Server started on {ws} - ")),
        place(" - Press Ctrl+C to stop... - "),
        place(" - Stopping servers... - "),
        place(" - Servers stopped - "),
    ];
    assert!(places.is_sorted(), "{log:#?}");
    UdpSocket::bind(sip).expect("the SIP port is free again");
    TcpListener::bind(ws).expect("the WebSocket port is free again");
}

#[test]
fn every_line_of_output_and_file_has_the_form_of_the_log_at_every_level() {
    let form = Regex::new(LINE).unwrap();
    for level in ["DEBUG", "INFO"] {
        let pbx = Pbx::new();
        let mut relay = scene::start(&pbx, &[("LOG_LEVEL", level), ("SIP_LOG_FILE", "logs.txt")]);
        everything_happens(&relay, &pbx);
        relay.signal_terminate();
        assert!(relay.wait_exit(STOP).success());
        relay.expect_log("Servers stopped");
        let shown = relay.log();
        let wrong: Vec<_> = shown.iter().filter(|line| !form.is_match(line)).collect();
        assert!(wrong.is_empty(), "{level}: {wrong:#?}");
        let file = fs::read_to_string(relay.dir().join("logs.txt")).unwrap();
        assert!(file.ends_with('\n'));
        // Lines of two threads may change places.
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        let in_file = sorted(file.lines().map(str::to_owned).collect());
        assert_eq!(in_file, sorted(shown.clone()), "the file says what the output says");
        assert!(shown.iter().any(|line| line.starts_with("[INFO]")), "{shown:#?}");
        assert_eq!(shown.iter().any(|line| line.starts_with("[DEBUG]")), level == "DEBUG");
        let number = |line: &&String| line.contains(scene::DIALLED) || line.contains("0903383638");
        assert_eq!(shown.iter().find(number), None, "numbers are masked");
    }
    // A start that fails says so at every level, and at this one nothing else.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = TempDir::new("relay");
    let (_, output) = run_main(&[("LOG_LEVEL", "WARNING"), ("SIP_LOCAL_PORT", &port)], dir.path());
    assert!(output.lines().any(|line| line.starts_with("[ERROR]")), "{output}");
    let important = |line: &str| line.starts_with("[ERROR]") || line.starts_with("[WARNING]");
    assert!(output.lines().all(|line| form.is_match(line) && important(line)), "{output}");
}

#[test]
fn sigterm_ends_twenty_calls_in_order() {
    assert_ends_calls("TERM");
}

#[test]
fn sigint_ends_twenty_calls_in_order() {
    assert_ends_calls("INT");
}

#[test]
fn far_end_that_never_answers_the_bye_delays_nobody_for_long() {
    let (mut relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let calls: Vec<PbxCall> =
        (0..3).map(|_| scene::inbound(&relay, &pbx, &mut ws, Invite::default())).collect();
    relay.signal_terminate();
    assert!(relay.wait_exit(STOP).success());
    for _ in &calls {
        ws.expect("BYE:");
    }
    assert_eq!(ws.expect_close(), Some(1001));
    let byes = pbx.unexpected().into_iter().filter(|message| message.starts_with("BYE "));
    assert_eq!(byes.count(), 3);
    assert!(pbx.seen_again() >= 3, "each BYE was repeated while nothing came back");
}

#[test]
fn calls_that_are_not_up_yet_end_with_the_relay() {
    let pbx = Pbx::new();
    let mut relay = scene::start(&pbx, &[("RELAY_ANSWER_MODE", "client")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut inbound = pbx.invite(relay.sip(), Invite::default());
    inbound.expect_response(180);
    ws.expect("RING_ANS:0903383638##");
    let mut outbound = scene::ringing(&pbx, &mut ws);
    // And one to which nothing was said at all, so that no CANCEL may be sent (RFC 3261 9.1).
    ws.send("CALL:0912341235");
    let _unheard = pbx.expect_call();

    relay.signal_terminate();
    let cancel = outbound.expect_request("CANCEL");
    outbound.respond_to(&cancel, 200, "OK");
    outbound.respond(487, "Request Terminated");
    outbound.expect_request("ACK");
    let refusal = inbound.expect_final();
    assert!(refusal.status().is_some_and(|status| (400..700).contains(&status)), "{refusal}");
    inbound.ack();
    assert!(relay.wait_exit(STOP).success());
    assert_eq!(ws.expect_close(), Some(1001));
    let signals = ws.signals();
    let count = |prefix: &str| {
        signals.iter().filter(|s| matches!(s, Incoming::Text(t) if t.starts_with(prefix))).count()
    };
    assert_eq!(count(&format!("RING_IGNORE:{}", inbound.call_id())), 1, "{signals:?}");
    assert_eq!(count("CALL_FAILED:"), 2, "{signals:?}");
    assert_eq!(count("BYE:") + count("CALL_ANS:"), 0, "{signals:?}");
}

#[test]
fn calls_are_refused_while_the_relay_ends() {
    let (mut relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "");
    // A caller that does not answer the BYE keeps the relay from ending at once.
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    relay.signal_terminate();
    call.expect_request("BYE");
    let mut late = pbx.invite(relay.sip(), Invite::default());
    late.expect_response(503);
    late.ack();
    assert!(relay.wait_exit(STOP).success());
}

#[test]
fn busy_port_is_named_with_its_setting_and_ends_the_start() {
    let sip = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ws = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = [("SIP_LOCAL_PORT", sip.local_addr().unwrap()), ("WS_PORT", ws.local_addr().unwrap())];
    for (setting, address) in taken {
        let dir = TempDir::new("relay");
        let (status, output) = run_main(&[(setting, &address.port().to_string())], dir.path());
        assert_eq!(status, Some(1), "{output}");
        let said = output.lines().find(|line| line.contains(setting)).unwrap_or_else(|| panic!("{output}"));
        assert!(said.contains(&address.to_string()), "{said}");
        assert!(!output.contains("started on"), "{output}");
    }
}

/// Calls of all kinds, in both directions, and messages that make no sense.
fn everything_happens(relay: &Relay, pbx: &Pbx) {
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let mut call = pbx.call(relay.sip(), Invite::default());
    ws.wait_for("CALL_ANS:");
    call.rtp.send_payload(&[0x11; 1600]);
    ws.send_pcm(&call.call_id(), &[4096; 1600]);
    for words in ["CALL:12\n34", "BYE:nobody", "no such word", "RTP:x##!", "", "CALL_IGNORE:\u{1b}[2J"] {
        ws.send(words);
    }
    pbx.send_raw(relay.sip(), b"nonsense\r\n[ERROR] - forged\r\n\r\n");
    pbx.send_raw(relay.sip(), b"INVITE sip:x SIP/2.0\r\nVia: bad\r\n\r\n");
    pbx.request(relay.sip(), "OPTIONS");
    call.rtp.send_raw(b"no packet");
    call.bye();
    ws.wait_for("BYE:");
    let mut busy = scene::ringing(pbx, &mut ws);
    busy.respond(486, "Busy [ERROR] - Here");
    busy.expect_request("ACK");
    ws.wait_for("CALL_FAILED:");
    let mut refused = pbx.invite(relay.sip(), Invite { formats: vec![18], ..Invite::default() });
    refused.expect_response(488);
    refused.ack();
    WsClient::open(relay.ws(), "/?mode=nonsense%0a", &[]).err();
}

/// Twenty calls with media, then the signal: a BYE to every caller and every client, complete recordings, exit 0.
fn assert_ends_calls(signal: &str) {
    let base = free_ports(4 * CALLS as u16);
    let (first, last) = (base.to_string(), (base + 4 * CALLS as u16 - 1).to_string());
    let pbx = Pbx::new();
    let mut relay = scene::start(&pbx, &[("RTP_PORT_START", &first), ("RTP_PORT_END", &last)]);
    let mut clients = ["", "mode=multi"].map(|query| WsClient::connect(relay.ws(), query));
    let [classic, _] = &mut clients;
    let mut calls: Vec<PbxCall> = (0..CALLS)
        .map(|n| match n % 4 {
            0 => scene::outbound(&pbx, classic, &[0, 101]),
            _ => scene::inbound(&relay, &pbx, classic, Invite { listen: false, ..Invite::default() }),
        })
        .collect();
    let spoken = recording::unrepeated_ulaw(4, 1);
    thread::scope(|scope| {
        for call in &mut calls {
            scope.spawn(|| call.rtp.send_payload(&spoken));
        }
    });
    relay.signal(signal);
    let begin = Instant::now();
    calls.iter_mut().for_each(PbxCall::expect_bye);
    assert!(relay.wait_exit(STOP).success());
    assert!(begin.elapsed() < STOP, "{:?}", begin.elapsed());

    let sent = g711::decode_ulaw(&spoken);
    let files = recording::list(&relay.recordings());
    assert_eq!(files.len(), CALLS);
    for file in files {
        let found = recording::compare(&sent, &recording::read_mono_8k(&file)).expect("it is recorded");
        assert!(found.skipped < 4 && found.skipped + found.equal == sent.len(), "{found:?}");
    }
    for client in &mut clients {
        assert_eq!(client.expect_close(), Some(1001));
        let mut ended: Vec<String> = client.signals().iter().filter_map(bye).collect();
        let mut all: Vec<String> = calls.iter().map(PbxCall::call_id).collect();
        ended.sort();
        all.sort();
        assert_eq!(ended, all, "each client hears of each end once");
    }
    assert!(!relay.log().iter().any(|line| line.starts_with("[ERROR]")), "{:?}", relay.log());
}

fn bye(message: &Incoming) -> Option<String> {
    match message {
        Incoming::Text(text) => text.strip_prefix("BYE:").map(str::to_owned),
        _ => None,
    }
}

/// Runs the program, which ends by itself: exit status and all output.
fn run_main(settings: &[(&str, &str)], dir: &Path) -> (Option<i32>, String) {
    let output = dir.join("output.txt");
    let file = fs::File::create(&output).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_main"))
        .current_dir(dir)
        .env_clear()
        .envs([("SIP_LOCAL_IP", "127.0.0.1"), ("SIP_LOCAL_PORT", "0"), ("WS_PORT", "0")])
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let ended = eventually(WAIT, || child.try_wait().unwrap().is_some());
    let _ = child.kill();
    let status = child.wait().unwrap();
    let output = fs::read_to_string(output).unwrap();
    assert!(ended, "it runs on: {output}");
    (status.code(), output)
}
