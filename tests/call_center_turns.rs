//! Conversations in turns, through the real programs: relay, call center, services that are scripted.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use audio::file;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::call_center::CallCenter;
use common::talk::{LONG, Talk, expect_heard, heard, turn};
use common::temp::TempDir;
use common::{WAIT, eventually, free_ports, scene};
use testkit::openai::{Reply, Server, Stage};
use testkit::{tone, voice};
use tokio_tungstenite::tungstenite::{Message, accept};

#[test]
fn caller_is_answered_when_he_has_finished_sentence_by_sentence() {
    let scene = Talk::new(&[("CALL_CENTER_LANGUAGE", "en")]);
    let server = &scene.server;
    server.next(Stage::Transcription, Reply::transcript("What time is it?"));
    server.next(Stage::Chat, Reply::chat("It is noon. Have lunch."));
    // Two seconds, a tenth of a second at a time: the first is heard long before the last is there.
    let slow = Reply::pcm(&tone::tone(440.0, 24_000, 2000)).chunks(4800, Duration::from_millis(100));
    server.next(Stage::Speech, slow);
    server.next(Stage::Speech, Reply::pcm(&tone::tone(660.0, 24_000, 1000)));
    let mut call = scene.call(0);
    turn(&mut call);

    let request = &server.expect(Stage::Transcription, 1, LONG)[0];
    assert_eq!(request.field("language").as_deref(), Some("en"));
    let pcm = file::decode(request.file().unwrap().body.clone().into(), Some("wav")).unwrap();
    assert!((1400..2100).contains(&(pcm.samples.len() / 8)), "{} ms", pcm.samples.len() / 8);
    let chat = &server.expect(Stage::Chat, 1, LONG)[0];
    assert!(chat.json.contains("\"stream\":true") && chat.json.contains("What time is it?"), "{}", chat.json);
    let spoken = server.expect(Stage::Speech, 2, LONG);
    let texts: Vec<_> = spoken.iter().map(|request| request.field("input").unwrap()).collect();
    assert_eq!(texts, ["It is noon.", "Have lunch."]);
    assert_eq!(spoken[0].field("response_format").as_deref(), Some("pcm"));
    assert!(eventually(WAIT, || heard(&call).len() >= 800));
    assert!(spoken[0].at.elapsed() < Duration::from_millis(1500), "heard before the speech is complete");

    assert!(eventually(LONG, || heard(&call).len() >= 23_500), "{} samples", heard(&call).len());
    let all = heard(&call);
    assert!(tone::is_tone(&all[800..15_200], 8000, 440.0, 1.0), "no gap, no second sentence before");
    assert!(tone::is_tone(&all[17_000..23_000], 8000, 660.0, 1.0));
    let line = scene.center.expect_log("turn 1: ");
    for part in ["ms said", "transcript ", "first token ", "first audio ", "first line ", "own share 500 + "]
    {
        assert!(line.contains(part), "{line}");
    }

    // What was said before is known in the next turn.
    server.next(Stage::Transcription, Reply::transcript("And now?"));
    turn(&mut call);
    let chat = &server.expect(Stage::Chat, 2, LONG)[1];
    assert!(chat.json.contains("It is noon. Have lunch.") && chat.json.contains("And now?"), "{}", chat.json);
    assert!(server.connections() <= 3, "{} connections", server.connections());
}

#[test]
fn caller_who_interrupts_silences_the_reply_and_only_what_he_heard_counts() {
    let scene = Talk::new(&[]);
    let server = &scene.server;
    server.next(Stage::Chat, Reply::chat("one two three four five six seven eight nine ten."));
    server.next(Stage::Speech, Reply::pcm(&tone::tone(440.0, 24_000, 10_000)));
    let mut call = scene.call(0);
    turn(&mut call);
    assert!(eventually(LONG, || heard(&call).len() >= 16_000));

    let start = Instant::now();
    call.rtp.send_pcm(&[voice::speech(8000, 1000, 2), vec![0; 8000]].concat());
    scene.center.expect_log("turn 1: the caller interrupts");
    let arrivals = call.rtp.arrivals();
    let is_loud = |payload: &[u8]| payload.iter().any(|&byte| byte & 0x7f < 0x60);
    let loud: Vec<Instant> = arrivals
        .iter()
        .filter(|arrival| is_loud(&arrival.packet.payload))
        .map(|arrival| arrival.at)
        .collect();
    // The next reply begins after a pause.
    let pause = Duration::from_millis(300);
    let last =
        loud.windows(2).find(|pair| pair[1] - pair[0] > pause).map_or(loud[loud.len() - 1], |pair| pair[0]);
    let silenced = last.saturating_duration_since(start);
    assert!(silenced < Duration::from_millis(800), "silence after {silenced:?}");

    let chat = &server.expect(Stage::Chat, 2, LONG)[1];
    assert!(chat.json.contains("one two"), "two seconds were heard: {}", chat.json);
    assert!(!chat.json.contains("six"), "{}", chat.json);
    assert!(eventually(LONG, || scene.center.count_log("turn 2: ") == 1), "the turn goes on");
}

#[test]
fn model_that_hangs_up_does_so_behind_its_last_word() {
    let scene = Talk::new(&[("CALL_CENTER_TOOLS", "hang_up")]);
    scene.server.next(Stage::Chat, Reply::tool("Goodbye.", "hang_up", "{}"));
    let mut call = scene.call(0);
    turn(&mut call);
    let chat = &scene.server.expect(Stage::Chat, 1, LONG)[0];
    assert!(chat.json.contains("\"name\":\"hang_up\"") && !chat.json.contains("transfer"), "{}", chat.json);
    scene.center.expect_log("the model uses hang_up");
    call.expect_request("BYE");
    assert!(heard(&call).len() >= 7500, "all of the second of speech: {}", heard(&call).len());
    scene.center.expect_log("call over");
}

#[test]
fn service_that_is_down_is_apologized_for() {
    let scene = Talk::new(&[("CALL_CENTER_APOLOGY", "sorry")]);
    scene.server.next(Stage::Chat, Reply::error(401, "no credit"));
    let mut call = scene.call(0);
    turn(&mut call);
    let speech = &scene.server.expect(Stage::Speech, 1, LONG)[0];
    assert_eq!(speech.field("input").as_deref(), Some("sorry"));
    scene.center.expect_log("chat: 401 no credit");
    let before = expect_heard(&call, 7500).len();

    // Without a voice it comes from our own recording in the callers' language, 2.6 seconds; and the call goes on.
    scene.server.next(Stage::Transcription, Reply::error(400, "x"));
    scene.server.next(Stage::Speech, Reply::error(400, "x"));
    turn(&mut call);
    let recorded = &expect_heard(&call, before + 14_000)[before..];
    assert!(tone::dominant_frequency(recorded, 8000) != Some(440.0) && tone::rms(recorded) > 1000.0);
    scene.server.next(Stage::Chat, Reply::chat("Well again."));
    turn(&mut call);
    let speech = &scene.server.expect(Stage::Speech, 3, LONG)[2];
    assert_eq!(speech.field("input").as_deref(), Some("Well again."));
}

#[test]
fn recorded_apology_is_heard_when_no_service_is_there_at_all() {
    let files = TempDir::new("apology");
    let file = files.write("sorry.wav", scene::wav(16_000, 2, &tone::tone(700.0, 16_000, 2000)));
    let nobody = format!("http://127.0.0.1:{}/v1", free_ports(1));
    let settings =
        [("OPENAI_API_BASE", nobody.as_str()), ("CALL_CENTER_APOLOGY_FILE", file.to_str().unwrap())];
    let scene = Talk::new(&settings);
    let mut call = scene.call(0);
    turn(&mut call);
    // Two channels at 16 kHz: half a second of them is one second, and the tone an octave higher.
    let heard = expect_heard(&call, 7500);
    assert!(
        tone::is_tone(&heard[800..7200], 8000, 1400.0, 1.0),
        "{:?}",
        tone::dominant_frequency(&heard, 8000)
    );
    scene.center.expect_log("speech to text: connection: ");
    assert!(scene.server.requests().is_empty());
}

#[test]
fn recording_that_cannot_be_played_ends_the_program_at_its_start() {
    let files = TempDir::new("apology");
    let file = files.write("sorry.wav", "no audio");
    let settings = [("OPENAI_API_KEY", "k"), ("CALL_CENTER_APOLOGY_FILE", file.to_str().unwrap())];
    let mut center = CallCenter::launch(SocketAddr::from(([127, 0, 0, 1], 9)), &[], &settings);
    assert_eq!(center.wait_exit().code(), Some(1));
    let problem = format!("cannot play {} (CALL_CENTER_APOLOGY_FILE): unknown audio format", file.display());
    assert!(center.log().contains(&problem), "{:?}", center.log());
}

#[test]
fn end_of_a_turn_is_a_setting() {
    for (ms, at_least) in [("100", 0), ("1500", 1200)] {
        let scene = Talk::new(&[("CALL_CENTER_END_OF_TURN_MS", ms)]);
        let mut call = scene.call(0);
        call.rtp.send_pcm(&[vec![0; 4000], voice::speech(8000, 1500, 1)].concat());
        let last_word = Instant::now();
        call.rtp.send_pcm(&[0; 8 * 2000]);
        let first = &scene.server.expect(Stage::Transcription, 1, LONG)[0];
        // The words may end in a pause of their own.
        let waited = first.at.saturating_duration_since(last_word).as_millis();
        assert!(waited >= at_least, "{waited} of {ms} ms");
        scene.center.expect_log(&format!("own share {ms} + "));
    }
}

#[test]
fn older_relay_is_served_buffer_by_buffer() {
    let server = Server::start();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let relay = std::thread::spawn(move || {
        // It knows no sub-protocol: the first attempt ends with the handshake.
        drop(accept(listener.accept().unwrap().0));
        let mut socket = accept(listener.accept().unwrap().0).unwrap();
        let audio = format!("RTP:0##{}", "80".repeat(160));
        for text in ["RING_ANS:0912##a@h", "CALL_ANS:a@h"].into_iter().chain([audio.as_str(); 20]) {
            socket.send(Message::text(text)).unwrap();
        }
        loop {
            if let Message::Text(text) = socket.read().unwrap() {
                return text.to_string();
            }
        }
    });
    let base = server.base_url();
    let settings =
        [("OPENAI_API_KEY", "k"), ("OPENAI_API_BASE", base.as_str()), ("CALL_CENTER_BUFFER_SIZE", "20")];
    let _center = CallCenter::start(address, &[], &settings);
    let answer = relay.join().unwrap();
    let pcm = STANDARD.decode(answer.strip_prefix("RTP:a@h##").unwrap()).unwrap();
    assert_eq!(pcm.len(), 16_000, "a second of 8 kHz");
}
