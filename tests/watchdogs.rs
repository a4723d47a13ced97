//! Every state of a call has a clock: silence, too long a call, and nobody who answers end it on both sides.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::scene;
use common::ws::WsClient;
use testkit::sdp;

#[test]
fn call_without_any_media_ends_after_the_establishment_timeout() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[("RTP_ESTABLISHMENT_TIMEOUT", "1"), ("RTP_INACTIVITY_TIMEOUT", "60")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let begin = Instant::now();
    let call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    assert_ended_by_the_relay(call, &mut ws, begin, Duration::from_secs(1), &relay);
    let begin = Instant::now();
    let call = scene::outbound(&pbx, &mut ws, &[0, 101]);
    assert_ended_by_the_relay(call, &mut ws, begin, Duration::from_secs(1), &relay);
}

#[test]
fn call_whose_media_stops_ends_after_the_inactivity_timeout() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[("RTP_INACTIVITY_TIMEOUT", "0.8"), ("RTP_ESTABLISHMENT_TIMEOUT", "60")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    // Media for longer than the timeout keeps it up; a gap shorter than it does not end it.
    call.rtp.send_payload(&[0x11; 8000]);
    assert!(call.is_quiet(Duration::from_millis(500)));
    call.rtp.send_payload(&[0x11; 1600]);
    let last_packet = Instant::now() - Duration::from_millis(20);
    assert_ended_by_the_relay(call, &mut ws, last_packet, Duration::from_millis(800), &relay);
}

#[test]
fn held_call_may_be_silent_and_an_active_one_again_not() {
    let (pbx, settings) = (Pbx::new(), [("RTP_INACTIVITY_TIMEOUT", "0.5")]);
    let relay = scene::start(&pbx, &settings);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    call.rtp.send_payload(&[0x11; 800]);
    let active = sdp::audio(call.rtp.address(), &[0, 101]);
    reinvite(&mut call, &active.replace("a=sendrecv", "a=inactive"));
    assert!(call.is_quiet(Duration::from_millis(1200)), "on hold there is nothing to hear");
    let begin = Instant::now();
    reinvite(&mut call, &active);
    assert_ended_by_the_relay(call, &mut ws, begin, Duration::from_millis(500), &relay);
}

#[test]
fn call_ends_after_the_maximum_duration_though_both_sides_talk() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[("MAX_CALL_DURATION", "1")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let begin = Instant::now();
    let mut talking = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    ws.send_pcm(&talking.call_id(), &[4096; 16_000]);
    talking.rtp.send_payload(&[0x11; 8000]);
    assert_ended_by_the_relay(talking, &mut ws, begin, Duration::from_secs(1), &relay);
    let begin = Instant::now();
    let outbound = scene::outbound(&pbx, &mut ws, &[0, 101]);
    assert_ended_by_the_relay(outbound, &mut ws, begin, Duration::from_secs(1), &relay);
}

#[test]
fn ringing_call_that_no_client_answers_is_refused() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[("RELAY_ANSWER_MODE", "client"), ("RELAY_RING_TIMEOUT", "0.5")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let begin = Instant::now();
    let mut call = pbx.invite(relay.sip(), Invite::default());
    call.expect_response(180);
    call.expect_response(480);
    assert!(begin.elapsed() >= Duration::from_millis(500));
    call.ack();
    ws.expect("RING_ANS:");
    ws.expect_all(&[&format!("RING_IGNORE:{}", call.call_id())]);
}

/// The relay sends a BYE to the far end and tells the client, `limit` after `begin` and not before.
fn assert_ended_by_the_relay(
    mut call: PbxCall,
    ws: &mut WsClient,
    begin: Instant,
    limit: Duration,
    relay: &Relay,
) {
    call.expect_bye();
    let after = begin.elapsed();
    ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
    // Timers are not early; how late they are is the machine's affair.
    assert!(after >= limit && after < limit + Duration::from_millis(1500), "{after:?} instead of {limit:?}");
    let over = relay.expect_log(&format!("call over call_id={}", call.call_id()));
    assert!(over.contains(" by relay "), "{over}");
}

fn reinvite(call: &mut PbxCall, sdp: &str) {
    call.reinvite(sdp);
    call.expect_response(200);
    call.ack();
}
