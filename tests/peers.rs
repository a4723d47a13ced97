//! The test peers against each other: what they say is understood, so that a failing test speaks of the relay.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use common::pbx::{Invite, Pbx};
use common::ws::{Incoming, WsClient};
use common::{WAIT, recording, rtp_end};
use testkit::tone;
use tokio_tungstenite::tungstenite::{self, Message};

#[test]
fn a_call_between_two_telephones_carries_a_tone_and_ends() {
    let (a, b) = (Pbx::new(), Pbx::with_user("100"));
    let mut caller = a.invite(b.address(), Invite::default());
    let mut called = b.expect_call();
    called.respond(180, "Ringing");
    caller.expect_response(180);
    called.answer(&[8, 101]);
    caller.expect_response(200);
    caller.ack();
    called.expect_request("ACK");
    let speaker = thread::spawn(move || {
        called.rtp.send_pcm(&tone::tone(440.0, 8000, 400));
        called
    });
    let heard = rtp_end::pcm(&caller.rtp.expect_packets(20, WAIT), 8);
    let mut called = speaker.join().unwrap();
    assert_eq!(heard.len(), 3200);
    assert!(tone::is_tone(&heard, 8000, 440.0, 0.5));
    let bye = caller.call.bye();
    caller.send_request(&bye);
    called.expect_bye();
    caller.expect_response(200);
    assert_eq!(
        called.transcript(),
        [
            "INVITE sip:100@".to_owned() + &b.address().to_string() + " SIP/2.0",
            format!("ACK sip:100@{} SIP/2.0", b.address()),
            format!("BYE sip:100@{} SIP/2.0", b.address())
        ]
    );
    assert_eq!((a.seen_again(), b.seen_again(), a.sent_again()), (0, 0, 0));
    assert_eq!((a.unexpected(), b.unexpected()), (vec![], vec![]));
}

#[test]
fn a_cancelled_call_and_a_busy_one_are_acknowledged() {
    let (a, b) = (Pbx::new(), Pbx::with_user("100"));
    let mut caller = a.invite(b.address(), Invite::default());
    let mut called = b.expect_call();
    called.respond(180, "Ringing");
    caller.expect_response(180);
    let answering = thread::spawn(move || {
        let cancel = called.expect_request("CANCEL");
        called.respond_to(&cancel, 200, "OK");
        called.respond(487, "Request Terminated");
        called.expect_request("ACK");
    });
    caller.cancel();
    answering.join().unwrap();

    let mut caller = a.invite(b.address(), Invite::default());
    let mut called = b.expect_call();
    called.respond(486, "Busy Here");
    caller.expect_response(486);
    caller.ack();
    called.expect_request("ACK");
    assert_eq!((a.unexpected(), b.unexpected()), (vec![], vec![]));
}

#[test]
fn a_request_without_answer_is_sent_again_and_the_answer_repeats() {
    let (a, b) = (Pbx::new(), Pbx::with_user("100"));
    let mut caller = a.invite(b.address(), Invite::default());
    let mut called = b.expect_call();
    // Nothing comes for longer than T1: the INVITE goes out again, and is seen as what it is.
    assert!(caller.is_quiet(Duration::from_millis(700)));
    assert!(common::eventually(WAIT, || b.seen_again() == 1));
    called.answer(&[0]);
    caller.expect_response(200);
    caller.ack();
    called.expect_request("ACK");
    assert_eq!(a.sent_again(), 1);
    // The 200 comes again although it was acknowledged: the ACK comes again, too.
    let ok = called.call.respond(200, "OK").sdp("v=0\r\n");
    called.send_response(&ok);
    called.send_response(&ok);
    assert!(common::eventually(WAIT, || a.seen_again() == 1));
}

#[test]
fn websocket_frames_of_every_size_and_kind_are_read_by_a_real_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        let mut lengths = Vec::new();
        while lengths.len() < 5 {
            match socket.read().unwrap() {
                Message::Text(text) => lengths.push(text.len()),
                Message::Binary(data) => lengths.push(data.len()),
                _ => {}
            }
        }
        for text in ["RING_ANS:1##a", "RTP:0##ffff", "CALL_ANS:a"] {
            socket.send(Message::text(text)).unwrap();
        }
        let code = tungstenite::protocol::frame::coding::CloseCode::Policy;
        socket.close(Some(tungstenite::protocol::CloseFrame { code, reason: "".into() })).unwrap();
        while socket.read().is_ok() {}
        lengths
    });
    let mut client = WsClient::connect(address, "mode=multi");
    client.assert_open();
    client.send("CALL:0912341234");
    client.send(&"x".repeat(300));
    client.send(&"y".repeat(100_000));
    client.send_fragmented(&"z".repeat(100_000), 4096);
    client.send_binary(&[0xff; 3]);
    client.expect_all(&["RING_ANS:1##a", "CALL_ANS:a"]);
    assert_eq!(client.expect_classic_rtp(1), [(0, vec![0xff, 0xff])]);
    assert_eq!(client.expect_close(), Some(1008));
    assert!(matches!(client.transcript()[2].1, Incoming::Text(ref text) if text.starts_with("RTP:")));
    assert_eq!(server.join().unwrap(), [15, 300, 100_000, 100_000, 3]);
}

#[test]
fn a_recording_is_compared_sample_by_sample() {
    let sent = testkit::g711::decode_ulaw(&recording::unrepeated_ulaw(1, 1));
    let first = usize::from(sent[200] == 0);
    let recorded = |skipped: usize| [&[0; 400], &sent[skipped..], &[0; 160]].concat();
    let found = recording::compare(&sent, &recorded(0)).unwrap();
    assert_eq!((found.lead + found.equal + found.tail, found.skipped), (8560, usize::from(sent[0] == 0)));
    assert!(found.equal >= 7999);
    assert_eq!(recording::compare(&sent, &recorded(200)).unwrap().skipped, 200 + first);
    let mut damaged = recorded(0);
    damaged[400 + 5000] ^= 1;
    let found = recording::compare(&sent, &damaged).unwrap();
    assert_eq!(found.lead + found.equal, 5400);
    assert_eq!(recording::compare(&sent, &[0; 8000]), None);
    assert_eq!(recording::compare(&sent, &testkit::tone::tone(440.0, 8000, 1000)), None);
}
