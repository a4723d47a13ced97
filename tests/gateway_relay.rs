//! Twilio and Telnyx calls whose callers are given to the relay's clients: the real binary, a provider's WebSocket on one
//! side, clients of the text protocol on the other.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::call_center::CallCenter;
use common::gateway::{self, CALLER, Caller, DID};
use common::pbx::{Invite, Pbx};
use common::recording;
use common::relay::Relay;
use common::scene;
use common::temp::TempDir;
use common::ws::{Incoming, WsClient};
use common::{WAIT, eventually, http};
use serde_json::json;
use testkit::{tone, voice};

/// A relay that gives the calls of its gateway to its clients.
fn relay(settings: &[(&str, &str)]) -> Relay {
    let dir = TempDir::new("gateway-relay");
    let numbers = dir.path().join("sip_config.yaml");
    std::fs::write(&numbers, format!("dids:\n  \"{DID}\":\n    user_id: david\n")).unwrap();
    let numbers = numbers.to_str().unwrap().to_owned();
    let mut all = vec![("GATEWAY_ENABLE", "1"), ("GATEWAY_HANDLER", "relay"), ("GATEWAY_CONFIG", &numbers)];
    all.extend_from_slice(settings);
    Relay::start_in(dir, &all)
}

/// The caller talks, in time: 8 kHz for Twilio.
fn talk(caller: &mut Caller, pcm: &[i16]) {
    let mut payload = Vec::new();
    audio::g711::encode_ulaw(pcm, &mut payload);
    let begin = Instant::now();
    for (n, frame) in payload.chunks(160).enumerate() {
        let due = begin + Duration::from_millis(20) * n as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        caller.media(frame);
    }
}

/// The audio of the first `n` binary RTP messages of a client.
fn heard(client: &WsClient, n: usize) -> Vec<Vec<u8>> {
    let messages = client.expect_rtp(n, WAIT);
    let audio = messages.into_iter().take(n).map(|(_, message)| match message {
        Incoming::Binary(bytes) => {
            let words = bytes.windows(2).position(|pair| pair == b"##").expect("RTP:{id}##") + 2;
            bytes[words..].to_vec()
        }
        other => panic!("binary frames were asked for, not {other:?}"),
    });
    audio.collect()
}

fn say(client: &WsClient, call: &str, audio: &[u8]) {
    client.send_binary(&[format!("RTP:{call}##").as_bytes(), audio].concat());
}

#[test]
fn twilio_call_is_a_call_of_the_text_protocol_and_its_audio_passes_untouched() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi&frames=binary&codec=pcmu");
    let mut caller = Caller::twilio(relay.ws());
    client.expect_all(&[&format!("RING_ANS:{CALLER}##MZ1"), "CALL_ANS:MZ1"]);

    let said = recording::unrepeated_ulaw(1, 1);
    said.chunks(160).for_each(|frame| caller.media(frame));
    assert_eq!(heard(&client, 50).concat(), said);
    let answer = recording::unrepeated_ulaw(2, 1);
    say(&client, "MZ1", &answer);
    client.send("MARK:MZ1##end");
    assert_eq!(caller.hear(50).concat(), answer);
    client.expect_all(&["MARK:MZ1##end##played##1000"]);

    caller.event("dtmf", json!({"dtmf": {"track": "inbound_track", "digit": "7"}}));
    client.expect_all(&["DTMF:MZ1##7##160"]);
    caller.stop();
    client.expect_all(&["BYE:MZ1"]);
    let recordings = recording::list(&relay.recordings());
    assert_eq!(recordings.len(), 1, "{recordings:?}");
    assert!(recordings[0].to_str().unwrap().ends_with("_MZ1.wav"));
    let mut pcm = Vec::new();
    audio::g711::decode_ulaw(&said, &mut pcm);
    assert_eq!(recording::read_mono_8k(&recordings[0]), pcm);
    client.finish();
}

#[test]
fn telnyx_call_has_16_khz_both_ways_and_a_client_hangs_up_on_it() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi&frames=binary&rate=16000");
    let mut caller = Caller::telnyx(relay.ws());
    client.expect_all(&[&format!("RING_ANS:{CALLER}##stream-1"), "CALL_ANS:stream-1"]);

    let said = common::ws::bytes(&tone::tone(440.0, 16_000, 1000));
    said.chunks(640).for_each(|frame| caller.media(frame));
    assert_eq!(heard(&client, 50).concat(), said);
    let answer = common::ws::bytes(&tone::tone(600.0, 16_000, 400));
    say(&client, "stream-1", &answer);
    client.send("HANGUP:stream-1##drain");
    assert_eq!(caller.hear(20).concat(), answer, "all of it, before the end");
    client.expect_all(&["BYE:stream-1"]);
    // The provider has still some of it to play, and says when it has.
    let mark = caller.expect("mark");
    assert!(caller.ws.is_quiet(Duration::from_millis(300)), "the last words are not cut off");
    caller.event("mark", json!({"mark": mark["mark"]}));
    assert_eq!(caller.ws.expect_close(), Some(1000));
    client.finish();
}

#[test]
fn clear_stops_the_audio_at_once_and_at_the_provider_too() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi&codec=pcmu&frames=binary");
    let mut caller = Caller::twilio(relay.ws());
    client.wait_for("CALL_ANS:");
    say(&client, "MZ1", &recording::unrepeated_ulaw(3, 10));
    caller.hear(10);
    client.send("CLEAR:MZ1");
    let asked = Instant::now();
    let mut late = 0;
    while caller.next()["event"] != "clear" {
        late += 1;
    }
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(late < 20, "{late} messages came after all");
    assert!(caller.ws.is_quiet(Duration::from_millis(300)), "nothing follows, silence neither");
}

#[test]
fn caller_who_talks_over_playback_interrupts_it() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let mut caller = Caller::twilio(relay.ws());
    client.wait_for("CALL_ANS:MZ1");
    client.send_pcm("MZ1", &tone::tone(300.0, 8000, 8000));
    talk(&mut caller, &[0; 3200]);
    talk(&mut caller, &voice::speech(8000, 1200, 11));
    client.expect_all(&["SPEECH:MZ1##start"]);
    let barge_in = client.expect("BARGE_IN:MZ1##");
    let played: u64 = barge_in.rsplit("##").next().unwrap().parse().unwrap();
    assert!((400..=1600).contains(&played), "{barge_in}");
    // The provider says nothing more, as a caller who is silent may have it.
    client.expect_all(&["SPEECH:MZ1##stop"]);
    caller.stop();
    client.expect_all(&["BYE:MZ1"]);
    client.finish();
}

#[test]
fn classic_client_in_client_mode_answers_by_number_and_hears_packets() {
    let relay = relay(&[("RELAY_ANSWER_MODE", "client")]);
    let mut client = WsClient::connect(relay.ws(), "");
    let mut caller = Caller::twilio(relay.ws());
    client.expect_all(&[&format!("RING_ANS:{CALLER}##MZ1")]);
    assert!(client.is_quiet(Duration::from_millis(100)), "it rings");
    client.send(&format!("RING_ANS:{CALLER}"));
    client.expect_all(&["CALL_ANS:MZ1"]);
    caller.media(&[0x55; 160]);
    assert_eq!(client.expect_classic_rtp(1), [(0, vec![0x55; 160])]);
    client.send("BYE");
    client.expect_all(&["BYE:MZ1"]);
    assert_eq!(caller.ws.expect_close(), Some(1000));
    client.finish();
}

#[test]
fn caller_by_sip_and_caller_by_stream_are_bridged_word_for_word() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let pbx = Pbx::new();
    let mut phone = scene::inbound(&relay, &pbx, &mut client, Invite::default());
    let mut caller = Caller::twilio(relay.ws());
    client.wait_for("CALL_ANS:MZ1");
    for n in 0..50_u8 {
        caller.media(&[0x80 | n; 160]);
    }
    for (_, message) in client.expect_rtp(50, WAIT) {
        let Incoming::Text(line) = message else { panic!("text was asked for") };
        client.send(&line.replace("RTP:MZ1##", &format!("RTP:{}##", phone.call_id())));
    }
    let spoken = || {
        let packets = phone.rtp.arrivals();
        let payloads = packets.into_iter().map(|arrival| arrival.packet.payload);
        payloads.filter(|payload| payload.iter().any(|byte| *byte != 0xff)).collect::<Vec<_>>()
    };
    assert!(eventually(WAIT, || spoken().len() >= 50));
    let expected: Vec<Vec<u8>> = (0..50).map(|n| vec![0x80 | n; 160]).collect();
    assert_eq!(spoken(), expected);
    caller.stop();
    client.wait_for("BYE:MZ1");
    phone.bye();
    client.wait_for("BYE:");
}

#[test]
fn call_center_serves_a_stream_unchanged() {
    let relay = relay(&[]);
    let center = CallCenter::start(relay.ws(), &["--agent", "echo"], &[]);
    let mut caller = Caller::telnyx(relay.ws());
    relay.expect_log("call up");
    let said = common::ws::bytes(&tone::tone(440.0, 16_000, 1000));
    said.chunks(640).for_each(|frame| caller.media(frame));
    let mut pcm = Vec::new();
    while pcm.len() < 12_000 {
        pcm.extend(common::ws::samples(&caller.hear(1)[0]));
    }
    assert!(tone::is_tone(&pcm[2000..], 16_000, 440.0, 1.0), "{:?}", center.log());
    caller.stop();
    relay.expect_log("call over");
}

#[test]
fn stream_for_which_there_is_no_room_is_closed_and_the_other_goes_on() {
    let relay = relay(&[("MAX_CALLS", "1")]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi&frames=binary&codec=pcmu");
    let mut first = Caller::twilio(relay.ws());
    client.wait_for("CALL_ANS:MZ1");
    let mut second = Caller::telnyx(relay.ws());
    second.ws.expect_close();
    first.media(&[0x31; 160]);
    assert_eq!(heard(&client, 1), [[0x31; 160]]);
    let refused = r#"sip_relay_calls_refused_total{direction="inbound",reason="too-many-calls"}"#;
    assert_eq!(http::value(&http::metrics(relay.ws()), refused), 1.0);
    first.stop();
    client.expect_all(&["BYE:MZ1"]);
    client.finish();
}

/// A-98, with the program that a user tries the gateway with.
#[test]
fn test_call_hears_what_a_client_says_back() {
    for provider in ["telnyx", "twilio"] {
        let relay = relay(&[]);
        let mut client = WsClient::connect(relay.ws(), "mode=multi");
        let port = relay.ws().port().to_string();
        let arguments = ["--port", &port, "--did", DID, "--frames", "75", "--provider", provider];
        let mut program = Command::new(env!("CARGO_BIN_EXE_test_call"));
        let call = program.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let ring = client.expect("RING_ANS:");
        let id = ring.rsplit("##").next().unwrap().to_owned();
        client.expect_all(&[&format!("CALL_ANS:{id}")]);
        let mut said = 0;
        let over = eventually(2 * WAIT, || {
            let heard = client.transcript().into_iter().filter(|(_, message)| message.is_rtp());
            for (_, message) in heard.skip(said) {
                let Incoming::Text(line) = message else { panic!("text was asked for") };
                client.send(&line);
                said += 1;
            }
            client.signals().contains(&Incoming::Text(format!("BYE:{id}")))
        });
        assert!(over, "{said} frames were heard");
        let output = call.wait_with_output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains("ALL TESTS PASSED"), "{printed}");
        let echoed = printed.split("server echoed ").nth(1).expect("an echo").split('/').next().unwrap();
        // What is said before the call is up is not heard.
        assert!((70..=75).contains(&echoed.parse::<u32>().unwrap()), "{printed}");
    }
}

#[test]
fn socket_that_breaks_ends_its_call() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let caller = Caller::twilio(relay.ws());
    client.expect_all(&[&format!("RING_ANS:{CALLER}##MZ1"), "CALL_ANS:MZ1"]);
    drop(caller);
    client.expect_all(&["BYE:MZ1"]);
    client.finish();
}

#[test]
fn shutdown_closes_streams_and_tells_clients_first() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let mut caller = Caller::twilio(relay.ws());
    client.wait_for("CALL_ANS:MZ1");
    relay.signal_terminate();
    client.expect_all(&["BYE:MZ1"]);
    assert_eq!(caller.ws.expect_close(), Some(1000));
    assert_eq!(client.expect_close(), Some(1001));
    let mut relay = relay;
    assert!(relay.wait_exit(Duration::from_secs(5)).success());
}

#[test]
fn webhook_of_a_configured_number_leads_to_a_call() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let (status, twiml) = gateway::post_form(relay.ws(), "/sip/twilio/answer", &gateway::call_form(), &[]);
    assert_eq!(status, 200);
    let url = format!("url=\"ws://{}/sip/media-stream\"", relay.ws());
    assert!(twiml.contains(&url), "{twiml}");
    let mut caller = Caller::twilio(relay.ws());
    client.expect_all(&[&format!("RING_ANS:{CALLER}##MZ1"), "CALL_ANS:MZ1"]);
    client.send("HOLD:MZ1");
    client.expect_all(&["ERROR:501 Not Implemented##HOLD"]);
    client.send("DTMF:MZ1##1");
    // 160 ms of tones and a pause of 60 ms.
    assert_eq!(caller.hear(11).len(), 11);
    client.send("BYE:MZ1");
    client.expect_all(&["BYE:MZ1"]);
    // A provider that says nothing of its queue is not waited for for long.
    caller.expect("mark");
    let waited = Instant::now();
    caller.ws.expect_close();
    assert!(waited.elapsed() < Duration::from_secs(3), "{:?}", waited.elapsed());
    client.finish();
}
