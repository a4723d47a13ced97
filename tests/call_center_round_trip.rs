//! The documented round trip of the call center, through the real programs: relay, call center, services that are scripted.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use audio::file;
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::scene;
use common::talk::{LONG, Talk};
use common::ws::WsClient;
use common::{WAIT, eventually};
use testkit::openai::{Ending, Reply, Server, Stage};
use testkit::{tone, voice};

#[test]
fn caller_is_heard_and_answered_every_120_packets_with_the_documented_models() {
    let scene = buffered(&[]);
    let mut call = scene.call(8);
    let said = voice::speech(8000, 5000, 1);
    call.rtp.send_pcm(&said);

    let transcriptions = scene.server.expect(Stage::Transcription, 2, LONG);
    for request in &transcriptions {
        assert_eq!(request.field("model").as_deref(), Some("whisper-1"));
        assert_eq!(request.field("language").as_deref(), Some("zh"));
        assert_eq!(request.header("authorization"), Some("Bearer sk-test"));
        let upload = request.file().unwrap();
        assert_eq!(upload.file_name.as_deref(), Some("audio.wav"));
        let pcm = file::decode(upload.body.clone().into(), Some("wav")).unwrap();
        assert_eq!((pcm.sample_rate, pcm.samples.len()), (8000, 120 * 160));
        assert_eq!(upload.body.len(), 44 + 120 * 320, "mono, 16 bit");
        assert!(tone::rms(&pcm.samples) > 1000.0, "the caller's voice");
    }
    let chat = &scene.server.expect(Stage::Chat, 2, LONG)[0];
    assert_eq!(chat.field("model").as_deref(), Some("gpt-4o-mini"));
    assert!(
        chat.json.contains("use one sentence to summarize") && chat.json.contains("hello"),
        "{}",
        chat.json
    );
    let speech = &scene.server.expect(Stage::Speech, 2, LONG)[0];
    for (name, value) in [
        ("model", "gpt-4o-mini-tts"),
        ("voice", "alloy"),
        ("input", "Good day."),
        ("speed", "1.0"),
        ("response_format", "wav"),
    ] {
        assert_eq!(speech.field(name).as_deref(), Some(value), "{}", speech.json);
    }
    let heard = || scene::loud(&call.rtp.arrivals(), 8);
    assert!(eventually(LONG, || heard().len() >= 15_000), "{} samples of two seconds", heard().len());
    assert!(
        tone::is_tone(&heard()[800..7000], 8000, 440.0, 1.0),
        "{:?}",
        tone::dominant_frequency(&heard(), 8000)
    );
    assert_eq!(scene.server.requests_of(Stage::Transcription).len(), 2, "one request for 120 packets");
    scene.assert_no_files();
}

#[test]
fn original_client_is_answered_through_the_relay() {
    // What the original program does: classic mode, 120 packets of its focus call, one RTP command with all the PCM.
    let (pbx, relay) = (Pbx::new(), Relay::start(&[]));
    let mut client = WsClient::connect(relay.ws(), "");
    let mut call = pbx.call(relay.sip(), Invite { formats: vec![8, 0], ..Invite::default() });
    client.wait_for("RING_ANS:");
    let up = client.wait_for("CALL_ANS:");
    let id = up.strip_prefix("CALL_ANS:").unwrap();
    call.rtp.send_pcm(&voice::speech(8000, 2500, 1));
    client.expect_classic_rtp(120);
    client.send_pcm(id, &tone::tone(440.0, 8000, 500));
    let heard = || scene::loud(&call.rtp.arrivals(), 8);
    assert!(eventually(WAIT, || heard().len() >= 3900), "{} samples", heard().len());
    assert!(tone::is_tone(&heard()[..3900], 8000, 440.0, 1.0));
}

#[test]
fn answer_as_mp3_and_in_slow_chunks_is_heard() {
    let scene = buffered(&[("CALL_CENTER_BUFFER_SIZE", "20")]);
    let wav = Reply::wav(44_100, &tone::tone(440.0, 44_100, 1000));
    scene.server.next(Stage::Speech, wav.chunks(20_000, Duration::from_millis(50)));
    let mut call = scene.call(0);
    call.rtp.send_pcm(&voice::speech(8000, 420, 1));
    let heard = |call: &PbxCall| scene::loud(&call.rtp.arrivals(), 0);
    assert!(eventually(LONG, || heard(&call).len() >= 7500), "{} samples", heard(&call).len());
    assert!(tone::is_tone(&heard(&call)[800..7000], 8000, 440.0, 1.0));

    scene.server.next(Stage::Speech, Reply::bytes("audio/mpeg", MP3));
    let before = heard(&call).len();
    call.rtp.send_pcm(&voice::speech(8000, 420, 2));
    assert!(
        eventually(LONG, || heard(&call).len() >= before + 3000),
        "{} samples",
        heard(&call).len() - before
    );
    scene.assert_no_files();
}

#[test]
fn slow_services_leave_one_buffer_waiting_and_a_bye_silences_the_reply() {
    let scene = buffered(&[("CALL_CENTER_BUFFER_SIZE", "20")]);
    let slow = Duration::from_secs(3);
    scene.server.always(Stage::Chat, Reply::chat("Late.").delay(slow));
    let mut call = scene.call(0);
    let start = Instant::now();
    call.rtp.send_pcm(&voice::speech(8000, 2000, 1));
    // Five buffers: one is asked about, the newest waits, the others are gone.
    scene.center.expect_log("a waiting buffer was dropped");
    assert!(start.elapsed() < slow, "events are read while a service is slow");
    scene.server.expect(Stage::Transcription, 2, LONG);
    scene.server.expect(Stage::Speech, 1, LONG);
    scene.server.expect(Stage::Chat, 2, LONG);
    call.bye();
    scene.center.expect_log("call over");
    assert_eq!(scene.server.requests_of(Stage::Transcription).len(), 2);
    // The second chat is answered meanwhile. What must not come, its speech, can only be waited for.
    let spoken = scene.server.requests_of(Stage::Speech).len();
    std::thread::sleep(slow);
    assert_eq!(scene.server.requests_of(Stage::Speech).len(), spoken);
    scene.assert_no_files();
}

#[test]
fn failures_are_one_line_each_and_the_next_buffer_is_answered() {
    let scene = buffered(&[("CALL_CENTER_BUFFER_SIZE", "20")]);
    let server = &scene.server;
    let mut call = scene.call(0);
    let said = voice::speech(8000, 400, 1);
    let failures = [
        (
            Stage::Transcription,
            Reply::error(401, "Incorrect API key: sk-test"),
            "speech to text: 401 Incorrect API key: ***",
        ),
        (
            Stage::Transcription,
            Reply::bytes("application/json", "{\"text\":"),
            "speech to text: unreadable answer",
        ),
        (
            Stage::Transcription,
            Reply::transcript("x").ending(Ending::Drop { after: 3 }),
            "speech to text: connection",
        ),
        (Stage::Chat, Reply::error(401, "no such key"), "chat: 401 no such key"),
        (Stage::Chat, Reply::bytes("text/html", "<html>"), "chat: unreadable answer"),
        (Stage::Speech, Reply::error(400, "no such voice"), "text to speech: 400 no such voice"),
        (
            Stage::Speech,
            Reply::bytes("audio/wav", "noise"),
            "text to speech: unreadable answer: unknown audio format",
        ),
    ];
    let count = failures.len();
    for (stage, reply, line) in failures {
        server.next(stage, reply);
        call.rtp.send_pcm(&said);
        scene.center.expect_log(line);
        assert_eq!(scene.center.count_log(line), 1);
    }
    call.rtp.send_pcm(&said);
    server.expect(Stage::Speech, 3, LONG);
    let heard = || scene::loud(&call.rtp.arrivals(), 0);
    assert!(eventually(LONG, || heard().len() >= 7500), "{} samples", heard().len());
    assert_eq!(scene.center.count_log("[ERROR]"), count);
    assert_eq!(scene.center.count_log("sk-test"), 0);
    scene.assert_no_files();
}

#[test]
fn busy_and_failing_services_are_asked_again_after_a_pause() {
    let scene = buffered(&[("CALL_CENTER_BUFFER_SIZE", "20")]);
    let server = &scene.server;
    server.next(Stage::Transcription, Reply::error(429, "slow down").header("Retry-After", "1"));
    server.next(Stage::Transcription, Reply::error(500, "oh"));
    for _ in 0..2 {
        server.next(Stage::Chat, Reply::error(503, "overloaded"));
    }
    let mut call = scene.call(0);
    call.rtp.send_pcm(&voice::speech(8000, 400, 1));
    let asked = server.expect(Stage::Transcription, 3, LONG);
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1), "Retry-After");
    assert!(asked[2].at - asked[1].at >= Duration::from_millis(500));
    server.expect(Stage::Chat, 3, LONG);
    server.expect(Stage::Speech, 1, LONG);
    assert_eq!(scene.center.count_log("[ERROR]"), 0);
}

#[test]
fn each_stage_may_have_a_service_of_its_own() {
    let (stt, tts) = (Server::start(), Server::start());
    let (stt_url, tts_url) = (stt.base_url(), tts.base_url());
    let settings = [
        ("CALL_CENTER_BUFFER_SIZE", "20"),
        ("OPENAI_STT_BASE_URL", stt_url.as_str()),
        ("OPENAI_TTS_BASE_URL", tts_url.as_str()),
    ];
    let scene = buffered(&settings);
    let mut call = scene.call(0);
    call.rtp.send_pcm(&voice::speech(8000, 400, 1));
    tts.expect(Stage::Speech, 1, LONG);
    assert_eq!((stt.requests().len(), scene.server.requests().len(), tts.requests().len()), (1, 1, 1));
}

#[test]
fn two_callers_are_answered_at_once_each_its_own() {
    let scene = buffered(&[("CALL_CENTER_BUFFER_SIZE", "20")]);
    scene.server.always(Stage::Chat, Reply::chat("x").delay(Duration::from_secs(1)));
    let (mut first, mut second) = (scene.call(0), scene.call(8));
    first.rtp.send_pcm(&voice::speech(8000, 400, 1));
    second.rtp.send_pcm(&voice::speech(8000, 400, 2));
    let chats = scene.server.expect(Stage::Chat, 2, LONG);
    assert!(chats[1].at - chats[0].at < Duration::from_millis(1000), "neither waits for the other");
    for (call, format) in [(&first, 0), (&second, 8)] {
        let heard = || scene::loud(&call.rtp.arrivals(), format).len();
        assert!(eventually(LONG, || heard() >= 7500), "{} samples", heard());
    }
}

#[test]
fn silent_buffers_are_not_sent_with_vad() {
    let scene = buffered(&[("CALL_CENTER_BUFFER_SIZE", "20"), ("CALL_CENTER_VAD", "1")]);
    let mut call = scene.call(0);
    call.rtp.send_pcm(&[0; 8000]);
    call.rtp.send_pcm(&voice::speech(8000, 800, 1));
    let requests = scene.server.expect(Stage::Transcription, 1, LONG);
    let pcm = file::decode(requests[0].file().unwrap().body.clone().into(), Some("wav")).unwrap();
    assert!(tone::rms(&pcm.samples) > 500.0);
}

/// A call center that answers buffer by buffer.
fn buffered(settings: &[(&str, &str)]) -> Talk {
    let all: Vec<_> = [("CALL_CENTER_MODE", "buffer")].iter().chain(settings).copied().collect();
    Talk::new(&all)
}

/// Half a second and more of a tone.
const MP3: &[u8] = include_bytes!("../helper/audio/tests/fixtures/tone.mp3");
