//! A provider's call in the relay: its clients have it like any other (SPEC A-98).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::time::Duration;

use common::gateway::{CALLER, Caller, DID, payload, post_form, telnyx_start};
use common::relay::Relay;
use common::ws::{WsClient, bytes, classic_rtp};
use common::{http, temp::TempDir};
use serde_json::json;
use testkit::tone::{Sine, is_tone};

fn relay(settings: &[(&str, &str)]) -> Relay {
    let dir = TempDir::new("gateway");
    std::fs::write(dir.path().join("dids.yaml"), format!("dids:\n  \"{DID}\":\n    user_id: david\n"))
        .unwrap();
    let mut all =
        vec![("GATEWAY_ENABLE", "1"), ("GATEWAY_HANDLER", "relay"), ("GATEWAY_CONFIG", "dids.yaml")];
    all.extend_from_slice(settings);
    Relay::start_in(dir, &all)
}

/// Says a tone and listens for one, for this many frames, in real time.
fn talk(caller: &mut Caller, frames: usize) {
    let mut tone = Sine::new(440.0, 16_000, 8000);
    let start = std::time::Instant::now();
    for n in 0..frames {
        // A caller speaks in real time.
        std::thread::sleep(
            (start + Duration::from_millis(20 * n as u64))
                .saturating_duration_since(std::time::Instant::now()),
        );
        caller.media(&bytes(&tone.samples(320)));
    }
}

#[test]
fn client_sees_a_stream_as_a_call_and_its_audio_comes_back_as_media() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let form = [("From", CALLER), ("To", DID), ("CallSid", "x")];
    let (status, xml) = post_form(relay.ws(), "/sip/telnyx/answer", &form, &[]);
    assert_eq!(
        (status, xml.contains(&format!("ws://{}/sip/media-stream", relay.ws()))),
        (200, true),
        "{xml}"
    );

    let mut caller = Caller::telnyx(relay.ws());
    client.expect_all(&[&format!("RING_ANS:{CALLER}##stream-1"), "CALL_ANS:stream-1"]);
    assert_eq!(client.called(), [format!("CALLED:stream-1##{DID}")]);
    talk(&mut caller, 50);
    let audio = client.expect_rtp(45, common::WAIT);
    let heard: Vec<i16> = audio.iter().flat_map(|(_, message)| common::ws::multi_rtp(message).1).collect();
    assert!(is_tone(&heard, 8000, 440.0, 1.0), "the caller is heard");

    client.send_pcm("stream-1", &Sine::new(600.0, 8000, 8000).samples(8000));
    let mut said = Vec::new();
    while said.len() < 40 * 320 {
        let message = caller.next();
        if message["event"] == "media" {
            said.extend(common::ws::samples(&payload(&message)));
        }
    }
    assert!(is_tone(&said, 16_000, 600.0, 1.0), "the program is heard");

    caller.event("dtmf", json!({"dtmf": {"digit": "7"}}));
    client.wait_for("DTMF:stream-1##7");
    caller.stop();
    client.wait_for("BYE:stream-1");
    assert_eq!(caller.ws.expect_close(), Some(1000));
    let recordings = std::fs::read_dir(relay.recordings()).unwrap().count();
    assert_eq!(recordings, 1);
    let text = http::metrics(relay.ws());
    assert_eq!(http::value(&text, r#"sip_relay_gateway_streams_started_total{provider="telnyx"}"#), 1.0);
    assert_eq!(http::value(&text, r#"sip_relay_calls_ended_total{reason="remote-bye",party="caller"}"#), 1.0);
}

#[test]
fn classic_client_gets_a_twilio_call_as_mulaw_and_hangs_it_up() {
    let relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "");
    let mut caller = Caller::twilio(relay.ws());
    client.expect_all(&[&format!("RING_ANS:{CALLER}##MZ1"), "CALL_ANS:MZ1"]);
    for _ in 0..25 {
        caller.media(&[0x80; 160]);
    }
    let audio = client.expect_rtp(5, common::WAIT);
    assert_eq!(classic_rtp(&audio[4].1), (0, vec![0x80; 160]));
    client.send("BYE");
    assert_eq!(caller.ws.expect_close(), Some(1000));
    client.wait_for("BYE:MZ1");
}

#[test]
fn call_that_is_declined_is_hung_up() {
    let relay = relay(&[("RELAY_ANSWER_MODE", "client")]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let mut caller = Caller::telnyx(relay.ws());
    client.expect("RING_ANS:");
    client.send("CALL_IGNORE:stream-1");
    assert_eq!(caller.ws.expect_close(), Some(1000));
    client.wait_for("RING_IGNORE:stream-1");
    let text = http::metrics(relay.ws());
    assert_eq!(http::value(&text, r#"sip_relay_gateway_refused_total{reason="declined"}"#), 1.0);
}

#[test]
fn relay_that_stops_ends_its_streams() {
    let mut relay = relay(&[]);
    let mut client = WsClient::connect(relay.ws(), "");
    let mut caller = Caller::telnyx(relay.ws());
    client.expect("RING_ANS:");
    client.expect("CALL_ANS:");
    relay.signal_terminate();
    client.wait_for("BYE:stream-1");
    assert_eq!(caller.ws.expect_close(), Some(1000));
    assert!(relay.wait_exit(Duration::from_secs(10)).success());
}

#[test]
fn echo_is_the_default_of_the_relay_and_its_clients_hear_nothing_of_it() {
    let relay = relay(&[("GATEWAY_HANDLER", "echo")]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    let mut caller = Caller::open(relay.ws());
    caller.say(&common::gateway::telnyx_connected());
    caller.say(&telnyx_start());
    caller.media(&[5; 640]);
    assert_eq!(caller.hear(1), [[5; 640]]);
    assert!(client.is_quiet(common::ws::QUIET));
    let (status, body) = http::get(relay.ws(), "/api/calls");
    assert_eq!((status, body.contains("stream-1")), (200, true), "{body}");
}
