//! Conversations by the Realtime API, through the real programs: relay, call center, a service that is scripted and strict.

// Helpers of tests are test code, too. A refused handshake has a type of the library.
#![allow(clippy::unwrap_used, clippy::result_large_err)]

mod common;

use std::collections::HashMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::call_center::CallCenter;
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::scene;
use common::{WAIT, eventually};
use testkit::openai::realtime::{Answer, Door, RealtimeServer, Session};
use testkit::openai::{Reply, Server, Stage};
use testkit::rng::Rng;
use testkit::{tone, voice};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message, accept_hdr};

/// Enough for a loaded machine.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn caller_talks_with_a_model_that_hears_and_speaks() {
    let scene = Scene::new(&[("CALL_CENTER_TOOLS", "hang_up"), ("CALL_CENTER_SYSTEM_PROMPT", "be kind")]);
    scene.server.next(Answer::tone("It is noon.", 440.0, 1500));
    let mut call = scene.call(0);
    let session = scene.session(0);
    let update = &session.expect("session.update", 1, LONG)[0].event["session"];
    assert_eq!(update["instructions"], "be kind");
    assert_eq!(update["tools"][0]["name"], "hang_up");
    assert_eq!(update["audio"]["input"]["turn_detection"]["type"], "server_vad");
    assert_eq!(update["audio"]["input"]["transcription"]["language"], "en");
    assert_eq!(update["audio"]["output"]["voice"], "marin");

    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= 11_500), "{} samples", loud(&call, 0).len());
    assert!(tone::is_tone(&loud(&call, 0)[800..11_000], 8000, 440.0, 1.0), "without a gap");
    let line = scene.center.expect_log("turn 1: ");
    for part in ["ms said; after the last word: turn over ", "first audio ", "first line ", "own share "] {
        assert!(line.contains(part), "{line}");
    }
    scene.server.next(Answer::tone("Have lunch.", 660.0, 500).beta());
    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= 15_500), "{} samples", loud(&call, 0).len());
    scene.center.expect_log("turn 2: ");
    assert_eq!(scene.server.sessions(), 1);
    call.bye();
    assert!(eventually(WAIT, || !session.is_open()), "the session ends with its call");
    scene.assert_no_violations();
}

#[test]
fn payload_passes_through_bit_by_bit_both_ways() {
    for (format, codec, silence) in [(0, "pcmu", 0xff), (8, "pcma", 0xd5)] {
        let scene = Scene::new(&[("CALL_CENTER_REALTIME_CODEC", codec)]);
        scene.server.set_listening(false);
        let mut rng = Rng::new(u64::from(format) + 5);
        let mut noise = |length: usize| -> Vec<u8> { (0..length).map(|_| rng.below(256) as u8).collect() };
        let (said, answered) = (noise(8000), noise(12_345));
        scene.server.next(Answer::payload("x", &answered).chunks(777, Duration::from_millis(10)));
        let mut call = scene.call(format);
        let session = scene.session(0);
        session.expect("session.update", 1, LONG);
        call.rtp.send_payload(&said);
        assert!(eventually(LONG, || contains(&session.audio(), &said)), "{} bytes", session.audio().len());

        session.speech_started();
        session.speech_stopped();
        let heard = || -> Vec<u8> {
            let arrivals = call.rtp.arrivals();
            arrivals.iter().flat_map(|arrival| arrival.packet.payload.clone()).collect()
        };
        let padded = [&answered[..], &vec![silence; 160 - answered.len() % 160]].concat();
        assert!(eventually(LONG, || contains(&heard(), &padded)), "{codec}");
        scene.assert_no_violations();
    }
}

#[test]
fn interrupted_at_any_moment_the_service_learns_what_rtp_carried() {
    let scene = Scene::new(&[]);
    scene.server.set_listening(false);
    let call = scene.call(0);
    let session = scene.session(0);
    session.expect("session.update", 1, LONG);
    let mut rng = Rng::new(11);
    let mut latest = Duration::ZERO;
    session.speech_started();
    for n in 0..12_u8 {
        // Ten seconds, of which the server has sent all long before they are over.
        let value = 0x10 + n;
        scene.server.next(Answer::payload("one two three", &vec![value; 80_000]));
        session.speech_stopped();
        let frames = || {
            let arrivals = call.rtp.arrivals();
            let own = arrivals.into_iter().filter(|arrival| arrival.packet.payload.contains(&value));
            own.map(|arrival| arrival.at).collect::<Vec<_>>()
        };
        let wanted = 1 + rng.below(60) as usize;
        assert!(eventually(LONG, || frames().len() >= wanted), "{} frames", frames().len());

        let start = Instant::now();
        session.speech_started();
        let told = session.expect("conversation.item.truncate", usize::from(n) + 1, LONG);
        let end = told[usize::from(n)].event["audio_end_ms"].as_u64().unwrap();
        // Nothing of it is behind what the relay sends from now on.
        let after = call.rtp.next_packets(5);
        assert!(after.iter().all(|arrival| !arrival.packet.payload.contains(&value)), "moment {n}");
        let carried = frames();
        let ms = carried.len() as u64 * 20;
        assert!(end.abs_diff(ms) <= 20, "moment {n}: {end} ms for {ms} ms that were heard");
        latest = latest.max(carried[carried.len() - 1].saturating_duration_since(start));
    }
    println!("last frame of an interrupted reply at most {latest:?} after the caller began to speak");
    assert!(latest < Duration::from_secs(1), "{latest:?}");
    scene.center.expect_log("turn 1: the caller interrupts");
    scene.assert_no_violations();
}

#[test]
fn model_hangs_up_behind_its_last_word_and_transfers() {
    let scene = Scene::new(&[("CALL_CENTER_TOOLS", "hang_up,transfer")]);
    scene
        .server
        .next(Answer::tone("I connect you.", 440.0, 500).calling("transfer", r#"{"target":"0912341234"}"#));
    let mut call = scene.call(0);
    turn(&mut call);
    let refer = call.expect_request("REFER");
    assert!(refer.header("Refer-To").is_some_and(|to| to.contains("0912341234")), "{refer}");
    assert!(loud(&call, 0).len() >= 3900, "{} samples", loud(&call, 0).len());
    call.respond_to(&refer, 603, "Decline");
    scene.center.expect_log("transfer failed: 603");
    let session = scene.session(0);
    session.expect("response.create", 1, LONG);
    let messages = session.told_of("conversation.item.create");
    assert!(messages.iter().any(|told| told.event["item"]["role"] == "system"), "{messages:?}");

    scene.server.next(Answer::tone("Goodbye.", 440.0, 1000).calling("hang_up", "{}"));
    let before = loud(&call, 0).len();
    turn(&mut call);
    call.expect_request("BYE");
    assert!(loud(&call, 0).len() >= before + 7500, "all of the second of speech");
    assert!(eventually(WAIT, || !session.is_open()));
    scene.assert_no_violations();
}

#[test]
fn fresh_session_takes_over_before_the_limit() {
    let scene = Scene::new(&[("CALL_CENTER_REALTIME_ROLL_OVER_MINUTES", "0.05")]);
    let mut call = scene.call(0);
    let first = scene.session(0);
    turn(&mut call);
    let second = scene.session(1);
    assert!(eventually(LONG, || !first.is_open()));
    let message = &second.expect("conversation.item.create", 1, LONG)[0].event["item"]["content"][0]["text"];
    let text = message.as_str().unwrap();
    assert!(text.contains("Caller: hello") && text.contains("You: Good day."), "{text}");
    let before = loud(&call, 0).len();
    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= before + 7500), "the conversation goes on");
    scene.center.expect_log("a fresh session goes on");
    scene.assert_no_violations();
}

#[test]
fn lost_session_is_made_again_and_noise_changes_nothing() {
    let scene = Scene::new(&[]);
    let mut call = scene.call(0);
    let first = scene.session(0);
    first.expect("session.update", 1, LONG);
    for noise in ["", "hello", "[]", r#"{"type":7}"#, r#"{"type":"new.event","x":{}}"#] {
        first.send_raw(noise);
    }
    first.send_raw(r#"{"type":"response.output_audio.delta","item_id":"x","delta":"*"}"#);
    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= 7500));
    first.send_raw(r#"{"type":"error","error":{"type":"server_error","code":null,"message":"oh sk-test"}}"#);
    scene.center.expect_log("the service says: server_error oh ***");

    // In the middle of a reply: what came is played, and then it goes on.
    scene.server.next(Answer::tone("Long.", 440.0, 3000).chunks(800, Duration::from_millis(50)));
    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= 10_000));
    first.drop_connection();
    scene.center.expect_log("connecting to the service again in ");
    let second = scene.session(1);
    let message = &second.expect("conversation.item.create", 1, LONG)[0].event["item"]["content"][0]["text"];
    assert!(message.as_str().unwrap().contains("You: Good day."), "{message}");
    let before = loud(&call, 0).len();
    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= before + 7500), "the conversation goes on");
    assert_eq!(scene.speech.requests().len(), 0, "no apology");
    scene.assert_no_violations();
}

#[test]
fn wrong_key_is_said_clearly_and_the_call_ends_with_an_apology() {
    let scene = Scene::new(&[("CALL_CENTER_APOLOGY", "sorry"), ("OPENAI_API_KEY", "sk-wrong")]);
    let mut call = scene.call(0);
    scene.center.expect_log("realtime: 401 Incorrect API key provided: ***.");
    let request = &scene.speech.expect(Stage::Speech, 1, LONG)[0];
    assert_eq!(request.field("input").as_deref(), Some("sorry"));
    call.expect_request("BYE");
    assert!(loud(&call, 0).len() >= 7500, "all of the apology");
    assert_eq!((scene.center.count_log("sk-wrong"), scene.server.attempts()), (0, 1));
}

#[test]
fn call_is_kept_where_that_is_wanted_and_goes_on_when_the_service_is_back() {
    let scene = Scene::new(&[("CALL_CENTER_REALTIME_LOST_ACTION", "keep")]);
    scene.server.set_door(Door::Refuse(503, "overloaded".into()));
    // Nor can the apology be spoken: tones.
    scene.speech.always(Stage::Speech, Reply::error(400, "x"));
    let mut call = scene.call(0);
    scene.center.expect_log("realtime: 503 overloaded");
    assert!(eventually(LONG, || loud(&call, 0).len() >= 7000), "{} samples", loud(&call, 0).len());
    scene.server.set_door(Door::Key("sk-test".into()));
    scene.session(0).expect("session.update", 1, LONG);
    let before = loud(&call, 0).len();
    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= before + 7500), "the conversation goes on");
    assert!(call.poll_request("BYE").is_none());
}

#[test]
fn service_that_hangs_is_left() {
    // One that never answers the handshake, while the other never replies.
    let silent = Scene::new(&[]);
    silent.server.set_door(Door::Silent);
    let _call = silent.call(0);
    let scene = Scene::new(&[("CALL_CENTER_SILENCE_SECONDS", "0")]);
    scene.server.next(Answer::never());
    let mut call = scene.call(0);
    turn(&mut call);
    silent.speech.expect(Stage::Speech, 1, LONG);
    silent.center.expect_log_within("realtime: no answer within 10 seconds", LONG * 2);
    scene.center.expect_log_within("the service does not reply", LONG * 2);
    scene.speech.expect(Stage::Speech, 1, LONG);
    assert!(eventually(LONG, || scene.server.open_sessions() == 1 && scene.server.sessions() == 2));
    let before = loud(&call, 0).len();
    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= before + 7500), "the conversation goes on");
}

#[test]
fn relay_that_restarts_is_found_again() {
    let scene = Scene::new(&[]);
    let _old = scene.call(0);
    scene.session(0);
    let port = scene.relay.ws().port().to_string();
    scene.relay.signal("KILL");
    scene.center.expect_log("connection to the relay lost");
    let relay = Relay::start(&[("WS_PORT", &port)]);
    assert!(eventually(LONG, || scene.center.count_log("connected to the relay") == 2));
    let mut call = scene.pbx.call(relay.sip(), Invite { formats: vec![0], ..Invite::default() });
    scene.session(1).expect("session.update", 1, LONG);
    turn(&mut call);
    assert!(eventually(LONG, || loud(&call, 0).len() >= 7500), "{} samples", loud(&call, 0).len());
}

#[test]
fn without_a_key_it_exits_with_1() {
    let (relay, mode) = (Relay::start(&[]), [("CALL_CENTER_MODE", "realtime")]);
    let mut center = CallCenter::launch(relay.ws(), &[], &mode);
    assert_eq!(center.wait_exit().code(), Some(1));
    center.expect_log("OPENAI_API_KEY is required");
}

#[test]
fn two_hundred_conversations_at_once_stay_within_bounds() {
    const CALLS: usize = 200;
    let (server, listener) = (RealtimeServer::start(), TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let url = server.url();
    let settings = [
        ("OPENAI_API_KEY", "sk-test"),
        ("OPENAI_REALTIME_URL", url.as_str()),
        ("CALL_CENTER_MODE", "realtime"),
    ];
    let center = CallCenter::launch(listener.local_addr().unwrap(), &[], &settings);
    // A relay that takes what it gets: this is about the call center.
    let mut query = String::new();
    let mut socket = accept_hdr(listener.accept().unwrap().0, |request: &Request, mut response: Response| {
        query = request.uri().query().unwrap_or_default().to_owned();
        let protocol = request.headers()["sec-websocket-protocol"].clone();
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    })
    .unwrap();
    assert!(query.starts_with("mode=multi&codec=pcmu&frames=binary&session="), "{query}");
    for n in 0..CALLS {
        socket.send(Message::text(format!("CALL_ANS:{n}@h"))).unwrap();
    }
    assert!(eventually(LONG, || server.open_sessions() == CALLS), "{} sessions", server.open_sessions());
    // Every caller speaks for half a second, and then listens.
    socket.get_ref().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut heard: HashMap<String, usize> = HashMap::new();
    let deadline = Instant::now() + LONG * 2;
    let start = Instant::now();
    let mut tick = 0;
    while heard.len() < CALLS || heard.values().any(|bytes| *bytes < 8000) {
        assert!(Instant::now() < deadline, "{} calls were answered; {heard:?}", heard.len());
        if tick < 90 && start.elapsed() >= Duration::from_millis(40) * tick {
            let byte = if tick < 25 { 0x10 } else { 0xff };
            for n in 0..CALLS {
                let frame = [format!("RTP:{n}@h##").as_bytes(), &[byte; 160]].concat();
                socket.write(Message::binary(frame)).unwrap();
            }
            socket.flush().unwrap();
            tick += 1;
        }
        match socket.read() {
            Ok(Message::Binary(message)) => {
                let at = message.windows(2).position(|pair| pair == b"##").unwrap();
                let id = String::from_utf8(message[4..at].to_vec()).unwrap();
                *heard.entry(id).or_default() += message.len() - at - 2;
            }
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(heard.values().all(|bytes| *bytes == 8000), "a second for each");
    let resident = center.resident_kib();
    let shares: Vec<u64> = center.log().iter().filter_map(|line| own_share(line)).collect();
    println!(
        "{CALLS} conversations answered after {:?}, {resident} KiB resident, own share at most {:?} ms",
        start.elapsed(),
        shares.iter().max()
    );
    assert!(resident < 200_000, "{resident} KiB");
    assert_eq!(center.count_log("audio of callers dropped"), 0);
    for n in 0..CALLS {
        socket.send(Message::text(format!("BYE:{n}@h"))).unwrap();
    }
    assert!(eventually(LONG, || server.open_sessions() == 0), "{} sessions left", server.open_sessions());
    assert_eq!(server.violations(), [""; 0]);
}

/// Relay, call center and services.
struct Scene {
    center: CallCenter,
    relay: Relay,
    pbx: Pbx,
    server: RealtimeServer,
    /// For apologies.
    speech: Server,
}

impl Scene {
    fn new(settings: &[(&str, &str)]) -> Self {
        let (server, speech, relay) = (RealtimeServer::start(), Server::start(), Relay::start(&[]));
        let (url, base) = (server.url(), speech.base_url());
        speech.always(Stage::Speech, Reply::pcm(&tone::tone(440.0, 24_000, 1000)));
        let mut all = vec![
            ("OPENAI_API_KEY", "sk-test"),
            ("OPENAI_API_BASE", base.as_str()),
            ("OPENAI_REALTIME_URL", url.as_str()),
            ("CALL_CENTER_MODE", "realtime"),
            ("CALL_CENTER_LANGUAGE", "en"),
        ];
        all.extend(settings);
        let center = CallCenter::start(relay.ws(), &[], &all);
        Self { center, relay, pbx: Pbx::new(), server, speech }
    }

    /// A call that is up.
    fn call(&self, format: u8) -> PbxCall {
        let call = self.pbx.call(self.relay.sip(), Invite { formats: vec![format], ..Invite::default() });
        self.center.expect_log("call up");
        call
    }

    fn session(&self, n: usize) -> Session {
        self.server.session(n, LONG)
    }

    fn assert_no_violations(&self) {
        assert_eq!(self.server.violations(), [""; 0]);
    }
}

/// The caller says something for a second and a half, and then nothing.
fn turn(call: &mut PbxCall) {
    call.rtp.send_pcm(&[vec![0; 4000], voice::speech(8000, 1500, 1), vec![0; 8000]].concat());
}

fn loud(call: &PbxCall, format: u8) -> Vec<i16> {
    scene::loud(&call.rtp.arrivals(), format)
}

/// Milliseconds of the call center's own in the line of a turn.
fn own_share(line: &str) -> Option<u64> {
    let (before, after) = line.split_once("own share ")?.1.split_once(" ms")?.0.split_once(" + ")?;
    Some(before.parse::<u64>().ok()? + after.parse::<u64>().ok()?)
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}
