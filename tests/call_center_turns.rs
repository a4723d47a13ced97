//! Conversations in turns, through the real programs: relay, call center, services that are scripted.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use audio::file;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::call_center::CallCenter;
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::scene;
use common::{WAIT, eventually};
use testkit::openai::{Reply, Server, Stage};
use testkit::{tone, voice};
use tokio_tungstenite::tungstenite::{Message, accept};

/// Enough for a loaded machine.
const LONG: Duration = Duration::from_secs(15);

#[test]
fn caller_is_answered_when_he_has_finished_sentence_by_sentence() {
    let scene = Scene::new(&[("CALL_CENTER_LANGUAGE", "en")]);
    let server = &scene.server;
    server.next(Stage::Transcription, Reply::transcript("What time is it?"));
    server.next(Stage::Chat, Reply::chat("It is noon. Have lunch."));
    // Two seconds, a tenth of a second at a time: the first is heard long before the last is there.
    let slow = Reply::pcm(&tone::tone(440.0, 24_000, 2000)).chunks(4800, Duration::from_millis(100));
    server.next(Stage::Speech, slow);
    server.next(Stage::Speech, Reply::pcm(&tone::tone(660.0, 24_000, 1000)));
    let mut call = scene.call();
    scene.turn(&mut call);

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
    assert!(eventually(WAIT, || loud(&call).len() >= 800));
    assert!(spoken[0].at.elapsed() < Duration::from_millis(1500), "heard before the speech is complete");

    assert!(eventually(LONG, || loud(&call).len() >= 23_500), "{} samples", loud(&call).len());
    let heard = loud(&call);
    assert!(tone::is_tone(&heard[800..15_200], 8000, 440.0, 1.0), "no gap, no second sentence before");
    assert!(tone::is_tone(&heard[17_000..23_000], 8000, 660.0, 1.0));
    let line = scene.center.expect_log("turn 1: ");
    for part in ["ms said", "transcript ", "first token ", "first audio ", "first line ", "own share 500 + "]
    {
        assert!(line.contains(part), "{line}");
    }

    // What was said before is known in the next turn.
    server.next(Stage::Transcription, Reply::transcript("And now?"));
    scene.turn(&mut call);
    let chat = &server.expect(Stage::Chat, 2, LONG)[1];
    assert!(chat.json.contains("It is noon. Have lunch.") && chat.json.contains("And now?"), "{}", chat.json);
    assert!(server.connections() <= 3, "{} connections", server.connections());
}

#[test]
fn caller_who_interrupts_silences_the_reply_and_only_what_he_heard_counts() {
    let scene = Scene::new(&[]);
    let server = &scene.server;
    server.next(Stage::Chat, Reply::chat("one two three four five six seven eight nine ten."));
    server.next(Stage::Speech, Reply::pcm(&tone::tone(440.0, 24_000, 10_000)));
    let mut call = scene.call();
    scene.turn(&mut call);
    assert!(eventually(LONG, || loud(&call).len() >= 16_000));

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
    let scene = Scene::new(&[("CALL_CENTER_TOOLS", "hang_up")]);
    scene.server.next(Stage::Chat, Reply::tool("Goodbye.", "hang_up", "{}"));
    let mut call = scene.call();
    scene.turn(&mut call);
    let chat = &scene.server.expect(Stage::Chat, 1, LONG)[0];
    assert!(chat.json.contains("\"name\":\"hang_up\"") && !chat.json.contains("transfer"), "{}", chat.json);
    scene.center.expect_log("the model uses hang_up");
    call.expect_request("BYE");
    assert!(loud(&call).len() >= 7500, "all of the second of speech: {}", loud(&call).len());
    scene.center.expect_log("call over");
}

#[test]
fn service_that_is_down_is_apologized_for() {
    let scene = Scene::new(&[("CALL_CENTER_APOLOGY", "sorry"), ("LOG_LEVEL", "INFO")]);
    scene.server.next(Stage::Chat, Reply::error(401, "no credit"));
    let mut call = scene.call();
    scene.turn(&mut call);
    let speech = &scene.server.expect(Stage::Speech, 1, LONG)[0];
    assert_eq!(speech.field("input").as_deref(), Some("sorry"));
    scene.center.expect_log("chat: 401 no credit");
    assert!(eventually(LONG, || loud(&call).len() >= 7500));

    // Without a voice, too: tones, and the call goes on.
    scene.server.next(Stage::Transcription, Reply::error(400, "x"));
    scene.server.next(Stage::Speech, Reply::error(400, "x"));
    let before = loud(&call).len();
    scene.turn(&mut call);
    assert!(eventually(LONG, || loud(&call).len() >= before + 7000));
    scene.server.next(Stage::Chat, Reply::chat("Well again."));
    scene.turn(&mut call);
    scene.server.expect(Stage::Speech, 3, LONG);
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

/// Relay, call center and services.
struct Scene {
    center: CallCenter,
    relay: Relay,
    pbx: Pbx,
    server: Server,
}

impl Scene {
    fn new(settings: &[(&str, &str)]) -> Self {
        let (server, relay) = (Server::start(), Relay::start(&[]));
        let base = server.base_url();
        let mut all = vec![("OPENAI_API_KEY", "sk-test"), ("OPENAI_API_BASE", base.as_str())];
        all.extend(settings);
        let center = CallCenter::start(relay.ws(), &[], &all);
        Self { center, relay, pbx: Pbx::new(), server }
    }

    /// A call that is up, and talked to.
    fn call(&self) -> PbxCall {
        let call = self.pbx.call(self.relay.sip(), Invite { formats: vec![0], ..Invite::default() });
        self.center.expect_log("call up");
        call
    }

    /// The caller says something for a second and a half, and then nothing.
    fn turn(&self, call: &mut PbxCall) {
        call.rtp.send_pcm(&[vec![0; 4000], voice::speech(8000, 1500, 1), vec![0; 8000]].concat());
    }
}

fn loud(call: &PbxCall) -> Vec<i16> {
    scene::loud(&call.rtp.arrivals(), 0)
}
