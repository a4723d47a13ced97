//! Session changes of both sides that meet: what waits, what is sent again, and with which body (RFC 3261 §14.1,
//! RFC 3264 §8).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use sip::{CallError, CallKey, Event, OfferMethod};
use ua_support::*;

const HOLD: &str = "v=0\r\no=- 2 3 IN IP4 10.0.0.5\r\n";
const LATER: &str = "v=0\r\no=- 2 4 IN IP4 10.0.0.5\r\n";
const SDP_TYPE: &str = "Contact: <sip:bob@10.0.0.9:5070>\r\nContent-Type: application/sdp\r\n";

/// A call that we placed, whose `reoffer` got 491.
fn waiting() -> (Bench, CallKey, Sent) {
    let mut bench = Bench::new();
    let (call, invite) = bench.outbound_call();
    bench.run(|e, now| e.reoffer(now, call, sdp(HOLD))).unwrap();
    let ours = bench.next();
    bench.receive(&ours.response("491 Request Pending", "", "", ""));
    assert!(bench.next().start().starts_with("ACK "));
    bench.assert_quiet();
    (bench, call, invite)
}

/// The next INVITE that is sent within the longest wait of RFC 3261 §14.1.
fn next_invite(bench: &mut Bench) -> Option<Sent> {
    bench.advance(4_000);
    bench.sent.drain(..).find(|sent| sent.start().starts_with("INVITE "))
}

/// The peer's re-INVITE is accepted and acknowledged.
fn accept_theirs(bench: &mut Bench, call: CallKey, invite: &Sent) {
    bench.receive(&invite.peer_request("INVITE", 1, SDP_TYPE, OFFER));
    assert_eq!(bench.event(), Event::Offer { call, sdp: Some(sdp(OFFER)), method: OfferMethod::Invite });
    bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))).unwrap();
    bench.receive(&invite.peer_request("ACK", 1, "", ""));
    assert_eq!(bench.event(), Event::OfferAcked { call, sdp: None });
    bench.sent.clear();
}

#[test]
fn offer_that_met_another_is_sent_again_with_the_same_body() {
    let (mut bench, call, _) = waiting();
    let again = next_invite(&mut bench).unwrap();
    assert_eq!((again.body(), again.header("CSeq")), (HOLD, "3 INVITE"));
    bench.receive(&again.response("200 OK", "", SDP_TYPE, ANSWER));
    assert_eq!(bench.event(), Event::Reanswered { call, sdp: Some(sdp(ANSWER)) });
}

#[test]
fn body_that_waits_is_out_of_date_once_the_peers_offer_is_accepted() {
    let (mut bench, call, invite) = waiting();
    accept_theirs(&mut bench, call, &invite);
    assert_eq!(next_invite(&mut bench).map(|sent| sent.text), None, "not with the old version");
    assert_eq!(bench.event(), Event::ReofferDue { call });
    bench.advance(100_000);
    bench.assert_quiet();
    bench.run(|e, now| e.reoffer(now, call, sdp(LATER))).unwrap();
    assert_eq!(bench.next().body(), LATER);
}

#[test]
fn body_that_waits_survives_a_refusal_of_the_peers_offer() {
    let (mut bench, call, invite) = waiting();
    bench.receive(&invite.peer_request("INVITE", 1, SDP_TYPE, OFFER));
    bench.event();
    bench.run(|e, now| e.reject_offer(now, call, 488)).unwrap();
    let mut ack = invite.peer_request("ACK", 1, "", "");
    ack = ack.replace("z9hG4bKpACK1", "z9hG4bKpINVITE1");
    bench.receive(&ack);
    assert_eq!(next_invite(&mut bench).unwrap().body(), HOLD);
}

#[test]
fn body_that_waits_can_be_replaced() {
    let (mut bench, call, invite) = waiting();
    bench.run(|e, now| e.reoffer(now, call, sdp(LATER))).unwrap();
    bench.assert_quiet();
    assert_eq!(next_invite(&mut bench).unwrap().body(), LATER);

    let (mut bench, call, second) = waiting();
    accept_theirs(&mut bench, call, &second);
    bench.run(|e, now| e.reoffer(now, call, sdp(LATER))).unwrap();
    assert_eq!(next_invite(&mut bench).unwrap().body(), LATER);
    bench.assert_no_events();
    drop(invite);
}

#[test]
fn offer_of_ours_waits_while_one_of_the_peer_is_open() {
    let (mut bench, call, invite) = waiting();
    bench.receive(&invite.peer_request("INVITE", 1, SDP_TYPE, OFFER));
    bench.event();
    bench.sent.clear();
    bench.advance(60_000);
    bench.assert_quiet();
    bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))).unwrap();
    bench.receive(&invite.peer_request("ACK", 1, "", ""));
    bench.event();
    bench.advance(4_000);
    assert_eq!(bench.event(), Event::ReofferDue { call });
}

#[test]
fn eight_glares_in_a_row_are_a_refusal() {
    let (mut bench, call, _) = waiting();
    for _ in 1..8 {
        let again = next_invite(&mut bench).unwrap();
        bench.receive(&again.response("491 Request Pending", "", "", ""));
        bench.assert_no_events();
    }
    let last = next_invite(&mut bench).unwrap();
    bench.receive(&last.response("491 Request Pending", "", "", ""));
    assert_eq!(bench.event(), Event::ReofferRefused { call, status: 491 });
    bench.sent.clear();
    bench.advance(60_000);
    bench.assert_quiet();
}

#[test]
fn hang_up_while_an_offer_waits_sends_bye_and_nothing_else() {
    let (mut bench, call, _) = waiting();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let bye = bench.next();
    bench.event();
    bench.receive(&bye.response("200 OK", "", "", ""));
    bench.advance(60_000);
    bench.assert_quiet();
    assert_eq!(bench.run(|e, now| e.reoffer(now, call, sdp(HOLD))), Err(CallError::Unknown));
    bench.assert_empty();
}
