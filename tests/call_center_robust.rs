//! What goes wrong around the call center, and what becomes of its calls then.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::http::{metrics, value};
use common::pbx::{Invite, PbxCall};
use common::relay::Relay;
use common::rtp_end::is_loud;
use common::talk::{LONG, Talk, expect_heard, heard, turn};
use common::{WAIT, eventually, free_ports};
use testkit::openai::{Reply, Stage};
use testkit::{tone, voice};

#[test]
fn relay_that_restarts_leaves_no_call_behind_and_the_next_caller_is_answered() {
    let port = free_tcp_port().to_string();
    let relay = Relay::start(&[("WS_PORT", &port)]);
    let way = relay.ws();
    let mut scene = Talk::through(relay, way, &[]);
    scene.server.next(Stage::Speech, Reply::pcm(&tone::tone(440.0, 24_000, 1000).repeat(60)));
    let mut call = scene.call(0);
    turn(&mut call);
    expect_heard(&call, 4000);

    scene.relay.signal("KILL");
    scene.center.expect_log("connection to the relay lost");
    scene.relay = Relay::start(&[("WS_PORT", &port)]);
    assert!(eventually(LONG, || scene.center.count_log("connected to the relay") == 2));
    let mut next = scene.call(0);
    scene.server.next(Stage::Transcription, Reply::transcript("I am the next"));
    turn(&mut next);
    expect_heard(&next, 7500);
    let chats = scene.server.requests_of(Stage::Chat);
    let chat = chats.iter().find(|chat| chat.json.contains("I am the next")).expect("a chat");
    assert!(!chat.json.contains("hello"), "it is another conversation: {}", chat.json);
    let over = scene.center.expect_log_within("call over", Duration::from_secs(30));
    assert!(
        over.contains("it did not come back with the connection") && over.contains(&call.call_id()),
        "{over}"
    );
    next.bye();
    assert!(eventually(WAIT, || scene.center.count_log("call over") == 2));
}

#[test]
fn service_that_hangs_is_given_up_told_to_the_caller_and_asked_again_in_the_next_turn() {
    let scene = Talk::new(&[("CALL_CENTER_SERVICE_TIMEOUT", "1")]);
    let hanging = Duration::from_secs(3600);
    let mut call = scene.call(0);
    let mut before = 0;
    for (stage, reply, line) in [
        (Stage::Transcription, Reply::transcript("x"), "speech to text: no answer in time"),
        (Stage::Chat, Reply::chat("x"), "chat: no answer in time"),
        (Stage::Speech, Reply::pcm(&[0; 24_000]), "text to speech: no answer in time"),
    ] {
        scene.server.next(stage, reply.clone().delay(hanging));
        turn(&mut call);
        scene.center.expect_log(line);
        before = expect_heard(&call, before + 7500).len();
    }
    // It begins and then says no more.
    let broken = Reply::pcm(&tone::tone(440.0, 24_000, 1000)).chunks(24_000, hanging);
    scene.server.next(Stage::Speech, broken);
    turn(&mut call);
    assert!(eventually(LONG, || scene.center.count_log("text to speech: no answer in time") == 2));
    assert_eq!(scene.center.count_log("[ERROR]"), 4, "one line each");
    before = heard(&call).len();
    scene.server.next(Stage::Chat, Reply::chat("Well again."));
    turn(&mut call);
    expect_heard(&call, before + 7500);
    call.bye();
    scene.center.expect_log("call over");
}

#[test]
fn wrong_key_is_said_in_one_clear_line_for_each_request_and_the_caller_hears_the_recording() {
    let scene = Talk::new(&[("CALL_CENTER_TOOLS", "hang_up")]);
    for stage in [Stage::Transcription, Stage::Chat, Stage::Speech] {
        scene.server.always(stage, Reply::error(401, "Incorrect API key provided: sk-test"));
    }
    let mut call = scene.call(0);
    turn(&mut call);
    // The recording of our own is longer than two seconds.
    expect_heard(&call, 13_000);
    for service in ["speech to text", "text to speech"] {
        scene.center.expect_log(&format!("{service}: 401 Incorrect API key provided: ***"));
    }
    assert_eq!(scene.center.count_log("[ERROR]"), 2);
    assert_eq!(scene.server.requests().len(), 2, "a wrong key is not tried again");
    assert_eq!(scene.center.count_log("sk-test"), 0);
    call.bye();
    scene.center.expect_log("call over");
}

#[test]
fn crowd_that_calls_at_once_is_answered_and_leaves_nothing_behind() {
    // 200 by hand: CALL_CENTER_CROWD=200 cargo test --test call_center_robust crowd
    let crowd: usize = std::env::var("CALL_CENTER_CROWD").map_or(40, |n| n.parse().unwrap());
    let ports = u16::try_from(crowd * 4).unwrap();
    let first = free_ports(ports);
    let (start, end) = (first.to_string(), (first + ports - 1).to_string());
    let relay = Relay::start(&[("RTP_PORT_START", &start), ("RTP_PORT_END", &end)]);
    let way = relay.ws();
    let scene = Arc::new(Talk::through(relay, way, &[("CALL_CENTER_METRICS_ADDR", "0")]));
    let line = scene.center.expect_log("Metrics served on ");
    let address = line.split(' ').find_map(|word| word.parse().ok()).unwrap();

    let wave = || {
        let begin = Arc::new(Barrier::new(crowd));
        let callers = (0..crowd).map(|_| {
            let (scene, begin) = (scene.clone(), begin.clone());
            thread::spawn(move || {
                begin.wait();
                let mut call =
                    scene.pbx.call(scene.relay.sip(), Invite { formats: vec![0], ..Invite::default() });
                call.rtp.send_pcm(&[vec![0; 8000], voice::speech(8000, 1500, 1), vec![0; 8000]].concat());
                let answered = eventually(LONG, || call.rtp.loud_packets() >= 47);
                call.bye();
                answered
            })
        });
        let callers: Vec<_> = callers.collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).filter(|answered| *answered).count()
    };
    let size = |scene: &Talk| (scene.center.resident_kib(), scene.center.open_files());
    assert_eq!(wave(), crowd);
    assert!(eventually(LONG, || scene.center.count_log("call over") == crowd));
    let before = size(&scene);
    assert_eq!(wave(), crowd);
    assert!(eventually(LONG, || scene.center.count_log("call over") == 2 * crowd));
    let after = size(&scene);
    eprintln!(
        "{crowd} at once: resident KiB and open files after the first and the second crowd: {before:?}, {after:?}"
    );
    assert!(after.0 < before.0 + before.0 / 4 + 4096, "{before:?} and then {after:?}");
    // Connections to the services are kept for a while, as many as were needed at once.
    assert!(after.1 <= before.1 + crowd, "{before:?} and then {after:?}");
    let text = metrics(address);
    assert_eq!(value(&text, "call_center_conversations"), 0.0);
    assert_eq!(value(&text, "call_center_dropped_audio_total"), 0.0);
    assert_eq!(value(&text, "call_center_turns_total"), 2.0 * crowd as f64);
    assert_eq!(scene.center.count_log("[ERROR]"), 0);
}

#[test]
fn reply_of_ten_minutes_is_spoken_little_by_little_and_ends_with_the_call() {
    let scene = Talk::new(&[]);
    scene.server.next(Stage::Chat, Reply::chat(&"This sentence takes ten seconds. ".repeat(60)));
    let ten_seconds = tone::tone(440.0, 24_000, 1000).repeat(10);
    scene.server.always(Stage::Speech, Reply::pcm(&ten_seconds));
    let mut call = scene.call(0);
    turn(&mut call);
    expect_heard(&call, 8 * 6000);
    let asked = scene.server.requests_of(Stage::Speech).len();
    assert!((2..=4).contains(&asked), "{asked} sentences after six seconds");
    call.bye();
    scene.center.expect_log("call over");

    scene.server.next(Stage::Chat, Reply::chat("The next caller is answered."));
    let asked = scene.server.requests_of(Stage::Speech).len();
    let mut next = scene.call(0);
    turn(&mut next);
    expect_heard(&next, 8000);
    let speech = scene.server.requests_of(Stage::Speech);
    let texts: Vec<_> = speech[asked..].iter().map(|request| request.field("input").unwrap()).collect();
    assert_eq!(texts, ["The next caller is answered."], "nothing was asked for after the call");
}

#[test]
fn voice_that_goes_on_for_ten_minutes_is_cut_and_the_caller_may_still_interrupt() {
    let scene = Talk::new(&[]);
    let ten_minutes = tone::tone(440.0, 24_000, 1000).repeat(600);
    scene.server.next(Stage::Speech, Reply::pcm(&ten_minutes));
    let mut call = scene.call(0);
    turn(&mut call);
    expect_heard(&call, 4000);
    scene.center.expect_log("more audio than a sentence can have");
    let resident = scene.center.resident_kib();
    assert!(resident < 120 * 1024, "{resident} KiB");
    assert_eq!(scene.center.count_log("connection to the relay lost"), 0);

    scene.server.next(Stage::Chat, Reply::chat("All right."));
    call.rtp.send_pcm(&[voice::speech(8000, 1000, 2), vec![0; 8000]].concat());
    scene.center.expect_log("turn 1: the caller interrupts");
    assert!(eventually(LONG, || scene.center.count_log("turn 2: ") == 1));
    assert!(eventually(LONG, || falls_silent(&call)), "it is still played");
    call.bye();
    scene.center.expect_log("call over");
}

/// Whether the last quarter of a second was silent.
fn falls_silent(call: &PbxCall) -> bool {
    let arrivals = call.rtp.arrivals();
    let last = &arrivals[arrivals.len().saturating_sub(12)..];
    !last.iter().any(|arrival| is_loud(&arrival.packet))
}

/// A TCP port of loopback where nobody listens.
fn free_tcp_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
