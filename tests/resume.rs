//! Sessions that outlive their connection: docs/protocol.md, "Resuming a session".

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::pbx::{Invite, Pbx};
use common::relay::Relay;
use common::ws::{Incoming, WsClient, multi_rtp};
use testkit::g711;

/// A counter in the audio: frame n of the caller, up to 126, is a constant level that no other frame has.
fn numbered_frame(n: usize) -> Vec<u8> {
    vec![u8::try_from(n).unwrap(); 160]
}

/// The levels that a client heard, in order; consecutive frames of one level are one entry.
fn levels(heard: &[(std::time::Instant, Incoming)]) -> Vec<i16> {
    heard
        .iter()
        .filter(|(_, message)| message.is_rtp())
        .map(|(_, message)| multi_rtp(message).1[80])
        .collect()
}

fn level(n: usize) -> i16 {
    g711::decode_ulaw(&numbered_frame(n))[80]
}

/// Messages that count for `received`.
fn counted(heard: &[(std::time::Instant, Incoming)]) -> usize {
    heard.iter().filter(|(_, m)| matches!(m, Incoming::Text(_) | Incoming::Binary(_))).count()
}

#[test]
fn dropped_client_gets_every_frame_and_event_of_the_gap() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut first = WsClient::connect(relay.ws(), "mode=multi&session=bot-1");
    let mut call = pbx.call(relay.sip(), Invite::default());
    let id = call.call_id();
    first.expect("RING_ANS:");
    first.expect("CALL_ANS:");
    for n in 0..25 {
        call.rtp.send_payload(&numbered_frame(n));
    }
    first.expect_rtp(25, common::WAIT);
    let before = first.transcript();
    drop(first);

    for n in 25..75 {
        call.rtp.send_payload(&numbered_frame(n));
    }
    let mut other = pbx.call(relay.sip(), Invite::default());
    let query = format!("mode=multi&session=bot-1&received={}", counted(&before));
    let mut second = WsClient::connect(relay.ws(), &query);
    second.expect(&format!("RING_ANS:0903383638##{}", other.call_id()));
    second.expect(&format!("CALL_ANS:{}", other.call_id()));
    for n in 75..100 {
        call.rtp.send_payload(&numbered_frame(n));
    }
    second.expect_rtp(75, common::WAIT);

    let mut heard = levels(&before);
    heard.extend(levels(&second.transcript()));
    assert_eq!(heard, (0..100).map(level).collect::<Vec<_>>());
    other.bye();
    second.expect(&format!("BYE:{}", other.call_id()));
    call.bye();
    second.expect(&format!("BYE:{id}"));
}

#[test]
fn call_stays_up_and_hears_silence_while_its_client_is_away() {
    let relay = Relay::start(&[("WS_LOST_ACTION", "hangup")]);
    let pbx = Pbx::new();
    let mut first = WsClient::connect(relay.ws(), "mode=multi&session=s");
    let mut call = pbx.call(relay.sip(), Invite::default());
    first.expect("RING_ANS:");
    first.expect("CALL_ANS:");
    drop(first);
    let packets = call.rtp.next_packets(25);
    assert!(packets.iter().all(|packet| packet.packet.payload.iter().all(|&byte| byte == 0xff)));
    let mut second = WsClient::connect(relay.ws(), "mode=multi&session=s");
    call.bye();
    second.expect(&format!("BYE:{}", call.call_id()));
}

#[test]
fn session_that_nobody_resumes_hangs_up_where_that_is_asked_for() {
    let relay = Relay::start(&[("WS_LOST_ACTION", "hangup"), ("WS_RESUME_SECONDS", "0.3")]);
    let pbx = Pbx::new();
    let mut client = WsClient::connect(relay.ws(), "mode=multi&session=s");
    let mut call = pbx.call(relay.sip(), Invite::default());
    client.expect("RING_ANS:");
    client.expect("CALL_ANS:");
    drop(client);
    call.expect_bye();
    // The next client hears the whole story.
    let mut next = WsClient::connect(relay.ws(), "mode=multi");
    next.expect("RING_ANS:");
    next.expect("CALL_ANS:");
    next.expect("BYE:");
}

#[test]
fn lost_client_leaves_its_calls_to_the_next_one_by_default() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut client = WsClient::connect(relay.ws(), "");
    let mut call = pbx.call(relay.sip(), Invite::default());
    client.expect("RING_ANS:");
    client.expect("CALL_ANS:");
    drop(client);
    assert_eq!(call.rtp.next_packets(25).len(), 25, "the call goes on");
    let mut next = WsClient::connect(relay.ws(), "");
    next.expect("RING_ANS:");
    next.expect("CALL_ANS:");
    next.send("BYE");
    call.expect_bye();
    next.expect("BYE:");
}

#[test]
fn second_connection_takes_a_live_session_over() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut first = WsClient::connect(relay.ws(), "mode=multi&session=s");
    let mut call = pbx.call(relay.sip(), Invite::default());
    first.expect("RING_ANS:");
    first.expect("CALL_ANS:");
    let mut second = WsClient::connect(relay.ws(), "mode=multi&session=s");
    assert_eq!(first.expect_close(), Some(1008));
    call.rtp.send_payload(&numbered_frame(3));
    second.expect_rtp(1, common::WAIT);
    second.send(&format!("BYE:{}", call.call_id()));
    call.expect_bye();
    second.expect("BYE:");
}

#[test]
fn count_of_messages_goes_on_where_the_session_is_gone() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    // Of a session that an earlier relay had.
    let mut first = WsClient::connect(relay.ws(), "mode=multi&session=s&received=700");
    let mut call = pbx.call(relay.sip(), Invite::default());
    first.expect("RING_ANS:");
    first.expect("CALL_ANS:");
    drop(first);
    // The second of the two never arrived.
    let mut second = WsClient::connect(relay.ws(), "mode=multi&session=s&received=701");
    second.expect("CALL_ANS:");
    call.bye();
    second.expect("BYE:");
}

#[test]
fn session_needs_multi_mode_and_a_plain_name() {
    let relay = Relay::start(&[]);
    for query in ["session=s", "mode=hex&session=s", "mode=multi&session=", "mode=multi&session=a%20b"] {
        let refused = WsClient::open(relay.ws(), &format!("/?{query}"), &[]).err();
        assert_eq!(refused, Some(400), "{query}");
    }
}
