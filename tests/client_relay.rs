//! A client of the library and the relay, directly: who calls whom, audio both ways, and the end, seen from both programs.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::relay::Relay;
use common::sip_client::{bytes, connected, expect_state, listen};
use common::ws::{self, WsClient};
use common::{WAIT, eventually};
use sip_relay::client::blocking::SimpleSipClient;
use sip_relay::client::{AudioFormat, CallState, Codec};
use testkit::tone;

#[test]
fn client_calls_the_relay_and_both_are_heard() {
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let builder = SimpleSipClient::builder("0912345678", "", "127.0.0.1").port(relay.sip().port());
    let client = connected(builder.register(false));
    assert_eq!(client.make_call("100"), Ok(true));
    client.wait_connected(WAIT).unwrap();
    let call_id = client.call_status().call.unwrap().call_id;
    for event in ["RING_ANS:0912345678##", "CALL_ANS:"] {
        let said = ws.wait_for(event);
        assert!(said.starts_with(&format!("{event}{call_id}")), "{said}");
    }
    assert_eq!(client.negotiated_codec(), Some(Codec::Pcmu), "the relay takes no G.722 unless told to");
    both_are_heard(&client, &mut ws, &call_id);
    client.hangup_call().unwrap();
    assert!(ws.wait_for("BYE:").starts_with(&format!("BYE:{call_id}")));
}

#[test]
fn relay_calls_the_client_and_both_are_heard() {
    let builder = SimpleSipClient::builder("0912345678", "", "127.0.0.1").register(false);
    let client = connected(builder.auto_answer(Duration::from_millis(100)));
    let port = client.call_status().local_sip.unwrap().port().to_string();
    let relay = Relay::start(&[("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", &port)]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    ws.send("CALL:0912345678");
    expect_state(&client, CallState::Ringing);
    client.wait_connected(WAIT).unwrap();
    let call_id = client.call_status().call.unwrap().call_id;
    for event in ["RING_ANS:0912345678##", "CALL_ANS:"] {
        let said = ws.wait_for(event);
        assert!(said.starts_with(&format!("{event}{call_id}")), "{said}");
    }
    both_are_heard(&client, &mut ws, &call_id);
    ws.send(&format!("BYE:{call_id}"));
    expect_state(&client, CallState::Idle);
    assert!(ws.wait_for("BYE:").starts_with(&format!("BYE:{call_id}")));
}

/// 500 Hz of the client reach the program, 700 Hz of the program reach the client.
fn both_are_heard(client: &SimpleSipClient, ws: &mut WsClient, call_id: &str) {
    let heard = listen(client, AudioFormat::Pcm);
    client.send_audio(&bytes(&tone::tone(500.0, 8000, 1000))).unwrap();
    ws.send_pcm(call_id, &tone::tone(700.0, 8000, 1000));
    let loud = |pcm: &[i16]| -> Vec<i16> {
        pcm.chunks(160).filter(|frame| !tone::is_silence(frame)).flatten().copied().collect()
    };
    let played = || loud(&heard.samples()).len() >= 7200;
    assert!(eventually(WAIT, played), "{} samples", loud(&heard.samples()).len());
    let at_client = loud(&heard.samples());
    assert!(tone::is_tone(&at_client, 8000, 700.0, 1.0), "{:?}", tone::dominant_frequency(&at_client, 8000));
    let at_program = || -> Vec<i16> {
        let transcript = ws.transcript();
        let audio = transcript.iter().filter(|(_, message)| message.is_rtp());
        loud(&audio.flat_map(|(_, message)| ws::multi_rtp(message).1).collect::<Vec<_>>())
    };
    assert!(eventually(WAIT, || at_program().len() >= 7200), "{} samples", at_program().len());
    let pcm = at_program();
    assert!(tone::is_tone(&pcm, 8000, 500.0, 1.0), "{:?}", tone::dominant_frequency(&pcm, 8000));
    assert_eq!(client.call_state(), CallState::Streaming);
}
