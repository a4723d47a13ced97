//! Delayed offer: an INVITE without SDP, the offer in the 2xx, the answer in the ACK, in both directions.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use sip::{CallError, CallKey, Dial, EndCause, Event};
use ua_support::*;

const SDP_TYPE: &str = "Content-Type: application/sdp\r\n";

/// An outbound call without an offer whose 2xx has come; the offer in it is [`OFFER`].
fn answered_with_an_offer(bench: &mut Bench) -> (CallKey, Sent, String) {
    let dial = Dial::new("sip:1234567@10.0.0.9", PEER.parse().unwrap(), None);
    let call = bench.run(|e, now| e.dial(now, dial)).unwrap();
    let invite = bench.next();
    assert_eq!((invite.body(), invite.headers("Content-Type").len()), ("", 0));
    let ok = invite.response("200 OK", "peer", ANSWER_HEADERS, OFFER);
    bench.receive(&ok);
    assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(OFFER)) });
    bench.assert_quiet();
    (call, invite, ok)
}

/// An inbound call without an offer that was answered with ours; returns our tag.
fn invited_without_an_offer(bench: &mut Bench) -> (CallKey, String) {
    bench.receive(&request("INVITE", 1, "", "inv1", CONTACT, ""));
    let Event::Incoming(incoming) = bench.event() else { panic!("not a call") };
    assert_eq!(incoming.offer, None);
    let call = incoming.call;
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    bench.run(|e, now| e.answer(now, call, sdp(OFFER))).unwrap();
    let ok = bench.sent.back().unwrap();
    assert_eq!((ok.start(), ok.body()), ("SIP/2.0 200 OK", OFFER));
    let tag = ok.to_tag();
    bench.sent.clear();
    (call, tag)
}

#[test]
fn ack_brings_the_answer_to_the_offer_in_our_2xx() {
    let mut bench = Bench::new();
    let (call, tag) = invited_without_an_offer(&mut bench);
    bench.receive(&request("ACK", 1, &tag, "ack1", SDP_TYPE, ANSWER));
    assert_eq!(bench.event(), Event::Acked { call, sdp: Some(sdp(ANSWER)) });
    bench.advance(100_000);
    bench.assert_quiet();
}

#[test]
fn ack_without_an_answer_is_told_too() {
    let mut bench = Bench::new();
    let (call, tag) = invited_without_an_offer(&mut bench);
    bench.receive(&in_dialog("ACK", 1, &tag, "ack1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.take_lines(), ["BYE sip:alice@10.0.0.9:5060 SIP/2.0"]);
    bench.events.clear();
    bench.assert_empty();
}

#[test]
fn update_offer_before_the_answer_to_ours_is_491() {
    let mut bench = Bench::new();
    let (_, tag) = invited_without_an_offer(&mut bench);
    bench.receive(&request("UPDATE", 2, &tag, "u1", &format!("{CONTACT}{SDP_TYPE}"), OFFER));
    assert_eq!(bench.take_lines(), ["SIP/2.0 491 Request Pending"]);
    bench.assert_no_events();
    // An answer to the peer's own offer leaves none of ours open.
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.receive(&request("UPDATE", 2, &tag, "u1", &format!("{CONTACT}{SDP_TYPE}"), OFFER));
    assert!(matches!(bench.event(), Event::Offer { .. }));
}

#[test]
fn ack_waits_for_the_answer_and_carries_it_and_comes_again_with_each_2xx() {
    let mut bench = Bench::new();
    let (call, _, ok) = answered_with_an_offer(&mut bench);
    for _ in 0..3 {
        bench.advance(1_000);
        bench.receive(&ok);
    }
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().retransmissions_in, 3);
    bench.run(|e, now| e.ack_with(now, call, sdp(ANSWER))).unwrap();
    let ack = bench.next();
    assert_eq!((ack.start(), ack.header("CSeq")), ("ACK sip:bob@10.0.0.9:5070 SIP/2.0", "1 ACK"));
    assert_eq!((ack.body(), ack.header("Content-Type")), (ANSWER, "application/sdp"));
    bench.receive(&ok);
    assert_eq!(bench.next().text, ack.text);
    assert_eq!(bench.run(|e, now| e.ack_with(now, call, sdp(ANSWER))), Err(CallError::WrongState));
    bench.advance(100_000);
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().calls, 1);
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.take_lines(), ["BYE sip:bob@10.0.0.9:5070 SIP/2.0"]);
    bench.assert_empty();
}

#[test]
fn owner_that_does_not_answer_in_time_has_the_call_acknowledged_and_ended() {
    let mut bench = Bench::new();
    let (call, _, ok) = answered_with_an_offer(&mut bench);
    bench.advance(7_999);
    bench.assert_quiet();
    bench.advance(1);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::Timeout });
    let (ack, bye) = (bench.next(), bench.next());
    assert_eq!((ack.start(), ack.body()), ("ACK sip:bob@10.0.0.9:5070 SIP/2.0", ""));
    assert_eq!((bye.start(), bye.header("CSeq")), ("BYE sip:bob@10.0.0.9:5070 SIP/2.0", "2 BYE"));
    bench.receive(&ok);
    assert_eq!(bench.next().text, ack.text);
    assert!(bench.run(|e, now| e.ack_with(now, call, sdp(ANSWER))).is_err());
    bench.assert_empty();
}

#[test]
fn hangup_and_bye_before_the_answer_still_send_the_ack() {
    let mut bench = Bench::new();
    let (call, _, _) = answered_with_an_offer(&mut bench);
    assert_eq!(bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))), Err(CallError::WrongState));
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalBye });
    assert_eq!(
        bench.take_lines(),
        ["ACK sip:bob@10.0.0.9:5070 SIP/2.0", "BYE sip:bob@10.0.0.9:5070 SIP/2.0"]
    );
    assert!(!bench.endpoint.is_settled());
    bench.assert_empty();

    let mut bench = Bench::new();
    let (call, invite, _) = answered_with_an_offer(&mut bench);
    bench.receive(&invite.peer_request("BYE", 1, "", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK", "ACK sip:bob@10.0.0.9:5070 SIP/2.0"]);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::RemoteBye { reason: None } });
    assert!(bench.endpoint.is_settled());
    bench.assert_empty();
}

#[test]
fn peer_cannot_change_the_session_before_our_answer() {
    let mut bench = Bench::new();
    let (_, invite, _) = answered_with_an_offer(&mut bench);
    let headers = format!("{CONTACT}{SDP_TYPE}");
    bench.receive(&invite.peer_request("UPDATE", 1, &headers, OFFER));
    assert_eq!(bench.take_lines(), ["SIP/2.0 500 Server Internal Error"]);
    bench.receive(&invite.peer_request("INVITE", 2, &headers, OFFER));
    assert_eq!(bench.take_lines(), ["SIP/2.0 100 Trying", "SIP/2.0 500 Server Internal Error"]);
    bench.assert_no_events();
}

#[test]
fn second_fork_is_acknowledged_and_ended_while_the_first_waits_for_its_answer() {
    let mut bench = Bench::new();
    let (call, invite, _) = answered_with_an_offer(&mut bench);
    bench.receive(&invite.response("200 OK", "fork", "Contact: <sip:carol@10.0.0.8>\r\n", OFFER));
    assert_eq!(bench.take_lines(), ["ACK sip:carol@10.0.0.8 SIP/2.0", "BYE sip:carol@10.0.0.8 SIP/2.0"]);
    bench.run(|e, now| e.ack_with(now, call, sdp(ANSWER))).unwrap();
    assert_eq!(bench.take_lines(), ["ACK sip:bob@10.0.0.9:5070 SIP/2.0"]);
}

#[test]
fn answer_without_an_offer_either_is_acknowledged_at_once() {
    let mut bench = Bench::new();
    let dial = Dial::new("sip:1234567@10.0.0.9", PEER.parse().unwrap(), None);
    let call = bench.run(|e, now| e.dial(now, dial)).unwrap();
    let invite = bench.next();
    bench.receive(&invite.response("200 OK", "peer", CONTACT, ""));
    assert_eq!(bench.event(), Event::Answered { call, sdp: None });
    assert_eq!(bench.take_lines(), ["ACK sip:alice@10.0.0.9:5060 SIP/2.0"]);
    assert_eq!(bench.run(|e, now| e.ack_with(now, call, sdp(ANSWER))), Err(CallError::WrongState));
}
