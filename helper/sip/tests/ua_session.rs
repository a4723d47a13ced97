//! Calls that are up: routes, sequence numbers, re-INVITE and UPDATE in both directions, glare.

mod ua_support;

use sip::{CallError, EndCause, Event, OfferMethod};
use ua_support::*;

const SDP_TYPE: &str = "Contact: <sip:alice@10.0.0.77:5099>\r\nContent-Type: application/sdp\r\n";

fn reinvite(cseq: u32, tag: &str, branch: &str) -> String {
    request("INVITE", cseq, tag, branch, SDP_TYPE, OFFER)
}

#[test]
fn record_route_is_mirrored_and_routes_the_bye_in_its_own_order() {
    let mut bench = Bench::new();
    let routes = "Record-Route: <sip:10.0.0.20;lr>, <sip:10.0.0.21;lr>\r\nRecord-Route: <sip:10.0.0.22>\r\n";
    let vias = "Via: SIP/2.0/UDP 10.0.0.20;branch=z9hG4bKproxy\r\nVia: SIP/2.0/UDP 10.0.0.30:5070;branch=z9hG4bKua\r\n";
    let text = request("INVITE", 1, "", "x", &format!("{routes}{CONTACT}"), "");
    let first = text.find("Via:").unwrap();
    let end = first + text[first..].find("\r\n").unwrap() + 2;
    let text = format!("{}{vias}{}", &text[..first], &text[end..]);
    bench.receive_from("10.0.0.20:5060", &text);
    let Event::Incoming(incoming) = bench.event() else { panic!() };
    let call = incoming.call;
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    for (response, with_routes) in bench.sent.drain(..).zip([false, true, true]) {
        assert_eq!(
            response.headers("Via"),
            ["SIP/2.0/UDP 10.0.0.20;branch=z9hG4bKproxy", "SIP/2.0/UDP 10.0.0.30:5070;branch=z9hG4bKua"]
        );
        let routes: &[&str] =
            if with_routes { &["<sip:10.0.0.20;lr>", "<sip:10.0.0.21;lr>", "<sip:10.0.0.22>"] } else { &[] };
        assert_eq!(response.headers("Record-Route"), routes);
        assert_eq!(response.to.to_string(), "10.0.0.20:5060");
    }
    bench.receive(&in_dialog("ACK", 1, &tag, "ack1"));
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let bye = bench.next();
    assert_eq!(bye.start(), "BYE sip:alice@10.0.0.9:5060 SIP/2.0");
    assert_eq!(bye.headers("Route"), ["<sip:10.0.0.20;lr>", "<sip:10.0.0.21;lr>", "<sip:10.0.0.22>"]);
    assert_eq!(bye.to.to_string(), "10.0.0.20:5060");
}

#[test]
fn gap_in_cseq_is_legal_and_a_lower_one_is_500() {
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    bench.receive(&in_dialog("OPTIONS", 900, &tag, "o1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"]);
    bench.receive(&in_dialog("OPTIONS", 899, &tag, "o2"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 500 CSeq Out Of Order"]);
    bench.receive(&in_dialog("BYE", 2, &tag, "b1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 500 CSeq Out Of Order"]);
    assert!(bench.events.is_empty());
}

#[test]
fn request_with_a_wrong_tag_is_481() {
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    bench.receive(&in_dialog("BYE", 2, "other", "b1"));
    bench.receive(&in_dialog("BYE", 2, &tag, "b2").replace("tag=caller", "tag=stranger"));
    bench.receive(&in_dialog("BYE", 2, &tag, "b3").replace("a:b##c@", "other@"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"; 3]);
    assert!(bench.events.is_empty());
}

#[test]
fn unknown_methods_inside_a_dialog_are_405_with_allow() {
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    for method in ["MESSAGE", "SUBSCRIBE", "FOO"] {
        bench.receive(&in_dialog(method, 2, &tag, method));
        let refusal = bench.next();
        assert_eq!(refusal.start(), "SIP/2.0 405 Method Not Allowed");
        assert_eq!(refusal.header("Allow"), "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY");
    }
}

#[test]
fn reinvite_is_reported_answered_acknowledged_and_moves_the_target() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.receive(&reinvite(2, &tag, "re1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 100 Trying"]);
    assert_eq!(bench.event(), Event::Offer { call, sdp: Some(sdp(OFFER)), method: OfferMethod::Invite });
    bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))).unwrap();
    let ok = bench.next();
    assert_eq!((ok.start(), ok.body(), ok.to_tag()), ("SIP/2.0 200 OK", ANSWER, tag.clone()));
    // Repeated until its ACK, and at once when the INVITE comes again.
    bench.receive(&reinvite(2, &tag, "re1"));
    assert_eq!(bench.next().text, ok.text);
    bench.advance(500);
    assert_eq!(bench.next().text, ok.text);
    bench.receive(&in_dialog("ACK", 2, &tag, "ack2"));
    assert_eq!(bench.event(), Event::OfferAcked { call, sdp: None });
    bench.advance(100_000);
    bench.assert_quiet();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let bye = bench.next();
    assert_eq!(
        (bye.start(), bye.to.to_string().as_str()),
        ("BYE sip:alice@10.0.0.77:5099 SIP/2.0", "10.0.0.77:5099")
    );
    bench.assert_empty();
}

#[test]
fn reinvite_without_a_body_asks_for_an_offer_and_the_ack_brings_the_answer() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.receive(&request("INVITE", 2, &tag, "re1", CONTACT, ""));
    assert_eq!(bench.event(), Event::Offer { call, sdp: None, method: OfferMethod::Invite });
    bench.run(|e, now| e.answer_offer(now, call, sdp(OFFER))).unwrap();
    bench.receive(&request("ACK", 2, &tag, "ack2", "Content-Type: application/sdp\r\n", ANSWER));
    assert_eq!(bench.event(), Event::OfferAcked { call, sdp: Some(sdp(ANSWER)) });
}

#[test]
fn unacknowledged_reinvite_answer_ends_the_call_with_bye() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.receive(&reinvite(2, &tag, "re1"));
    bench.event();
    bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))).unwrap();
    bench.advance(32_000);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::NoAck });
    assert_eq!(bench.sent.back().unwrap().start(), "BYE sip:alice@10.0.0.77:5099 SIP/2.0");
    bench.assert_empty();
}

#[test]
fn refused_reinvite_leaves_the_call_up() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.receive(&reinvite(2, &tag, "re1"));
    bench.event();
    bench.sent.clear();
    bench.run(|e, now| e.reject_offer(now, call, 488)).unwrap();
    assert_eq!(bench.take_lines(), ["SIP/2.0 488 Not Acceptable Here"]);
    assert_eq!(bench.run(|e, now| e.reject_offer(now, call, 488)), Err(CallError::WrongState));
    bench.receive(&in_dialog("ACK", 2, &tag, "re1"));
    bench.advance(60_000);
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().calls, 1);
}

#[test]
fn second_invite_while_one_is_open_is_500_with_retry_after() {
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    bench.receive(&reinvite(2, &tag, "re1"));
    bench.event();
    bench.sent.clear();
    bench.receive(&reinvite(3, &tag, "re2"));
    let (trying, refusal) = (bench.next(), bench.next());
    assert_eq!(
        (trying.start(), refusal.start()),
        ("SIP/2.0 100 Trying", "SIP/2.0 500 Server Internal Error")
    );
    assert!(refusal.header("Retry-After").parse::<u8>().unwrap() <= 10);
    bench.receive(&in_dialog("ACK", 3, &tag, "re2"));
    bench.receive(&request("UPDATE", 4, &tag, "u1", SDP_TYPE, OFFER));
    let refusal = bench.next();
    assert_eq!(refusal.start(), "SIP/2.0 500 Server Internal Error");
    assert!(refusal.header("Retry-After").parse::<u8>().unwrap() <= 10);
    bench.assert_quiet();
}

#[test]
fn reinvite_into_a_ringing_call_is_500_with_retry_after() {
    let mut bench = Bench::new();
    bench.ringing_call();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.sent.clear();
    bench.receive(&reinvite(2, &tag, "re1"));
    bench.next();
    let refusal = bench.next();
    assert_eq!(refusal.start(), "SIP/2.0 500 Server Internal Error");
    assert!(refusal.header("Retry-After").parse::<u8>().unwrap() <= 10);
    bench.assert_quiet();
}

#[test]
fn cancel_of_a_reinvite_withdraws_the_offer_and_keeps_the_call() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.receive(&reinvite(2, &tag, "re1"));
    bench.event();
    bench.sent.clear();
    bench.receive(&request("CANCEL", 2, &tag, "re1", "", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.event(), Event::OfferWithdrawn { call });
    assert_eq!(bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))), Err(CallError::WrongState));
    assert_eq!(bench.endpoint.stats().calls, 1);
}

#[test]
fn bye_while_a_reinvite_is_open_answers_both() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.receive(&reinvite(2, &tag, "re1"));
    bench.event();
    bench.sent.clear();
    bench.receive(&in_dialog("BYE", 3, &tag, "b1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::RemoteBye { reason: None } });
    bench.assert_empty();
}

#[test]
fn update_with_an_offer_is_answered_without_an_ack() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    let update = request("UPDATE", 2, &tag, "u1", SDP_TYPE, OFFER);
    bench.receive(&update);
    assert_eq!(bench.event(), Event::Offer { call, sdp: Some(sdp(OFFER)), method: OfferMethod::Update });
    bench.receive(&update);
    bench.assert_quiet();
    bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))).unwrap();
    let ok = bench.next();
    assert_eq!((ok.start(), ok.header("CSeq"), ok.body()), ("SIP/2.0 200 OK", "2 UPDATE", ANSWER));
    bench.receive(&update);
    assert_eq!(bench.next().text, ok.text);
    bench.advance(100_000);
    bench.assert_quiet();
}

#[test]
fn update_without_a_body_is_200_at_once_and_moves_the_target() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.receive(&request("UPDATE", 2, &tag, "u1", "Contact: <sip:alice@10.0.0.78>\r\n", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"]);
    assert!(bench.events.is_empty());
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.next().start(), "BYE sip:alice@10.0.0.78 SIP/2.0");
}

#[test]
fn update_offer_before_our_answer_is_500_and_before_theirs_491() {
    let mut bench = Bench::new();
    bench.ringing_call();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.sent.clear();
    bench.receive(&request("UPDATE", 2, &tag, "u1", SDP_TYPE, OFFER));
    let refusal = bench.next();
    assert_eq!(refusal.start(), "SIP/2.0 500 Server Internal Error");
    assert!(refusal.header("Retry-After").parse::<u8>().unwrap() <= 10);

    let mut bench = Bench::new();
    bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&invite.response("180 Ringing", "peer", "", ""));
    bench.receive(&invite.peer_request("UPDATE", 1, SDP_TYPE, OFFER));
    assert_eq!(bench.next().start(), "SIP/2.0 491 Request Pending");
}

#[test]
fn reoffer_is_a_reinvite_whose_answer_is_acknowledged_and_reported() {
    let mut bench = Bench::new();
    let (call, invite) = bench.outbound_call();
    bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))).unwrap();
    let again = bench.next();
    assert_eq!(again.start(), "INVITE sip:bob@10.0.0.9:5070 SIP/2.0");
    assert_eq!((again.header("CSeq"), again.to_tag().as_str()), ("2 INVITE", "peer"));
    assert_eq!(again.header("From"), invite.header("From"));
    assert_eq!((again.body(), again.header("Contact")), (OFFER, "<sip:10.0.0.5:5062>"));
    assert_eq!(bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))), Err(CallError::WrongState));
    let ok = again.response(
        "200 OK",
        "",
        "Contact: <sip:bob@10.0.0.10>\r\nContent-Type: application/sdp\r\n",
        ANSWER,
    );
    bench.receive(&ok);
    let ack = bench.next();
    assert_eq!((ack.start(), ack.header("CSeq")), ("ACK sip:bob@10.0.0.10 SIP/2.0", "2 ACK"));
    assert_eq!(bench.event(), Event::Reanswered { call, sdp: Some(sdp(ANSWER)) });
    bench.receive(&ok);
    assert_eq!(bench.next().text, ack.text);
    bench.assert_quiet();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.next().header("CSeq"), "3 BYE");
    bench.assert_empty();
}

#[test]
fn glare_is_491_for_the_peer_and_a_later_second_try_for_us() {
    for (we_called, least, most) in [(true, 2_100, 4_000), (false, 10, 2_000)] {
        let mut bench = Bench::new();
        let (call, crossing) = if we_called {
            let (call, invite) = bench.outbound_call();
            (call, invite.peer_request("INVITE", 1, SDP_TYPE, OFFER))
        } else {
            let (call, tag) = bench.inbound_call();
            (call, reinvite(2, &tag, "re1"))
        };
        bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))).unwrap();
        let ours = bench.next();
        bench.receive(&crossing);
        assert_eq!(bench.take_lines(), ["SIP/2.0 100 Trying", "SIP/2.0 491 Request Pending"]);
        let from = bench.now;
        bench.receive(&ours.response("491 Request Pending", "", "", ""));
        assert!(bench.next().start().starts_with("ACK "));
        bench.sent.clear();
        // The peer does not acknowledge the 491; only our INVITE matters here.
        let again = loop {
            bench.advance(10);
            if let Some(at) = bench.sent.iter().position(|sent| sent.start().starts_with("INVITE ")) {
                break bench.sent.remove(at).unwrap();
            }
        };
        let waited = (bench.now - from).as_millis();
        assert!((least..=most).contains(&waited), "we_called {we_called}: {waited} ms");
        assert_ne!(again.branch(), ours.branch());
        assert!(bench.events.is_empty());
    }
}

#[test]
fn refused_reoffer_is_reported_and_the_call_stays() {
    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))).unwrap();
    let again = bench.next();
    bench.receive(&again.response("488 Not Acceptable Here", "", "", ""));
    assert_eq!(bench.event(), Event::ReofferRefused { call, status: 488 });
    assert_eq!(bench.endpoint.stats().calls, 1);
    assert!(bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))).is_ok());
}

#[test]
fn reoffer_that_meets_silence_or_481_ends_the_call_with_bye() {
    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))).unwrap();
    bench.advance(32_000);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::Timeout });
    assert!(bench.sent.back().unwrap().start().starts_with("BYE "));
    bench.assert_empty();

    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))).unwrap();
    let again = bench.next();
    bench.receive(&again.response("481 Call Does Not Exist", "", "", ""));
    let Event::Ended { cause, .. } = bench.event() else { panic!() };
    assert_eq!(cause.status(), Some(481));
    bench.assert_empty();
}

#[test]
fn reoffer_that_rings_for_ever_is_withdrawn() {
    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))).unwrap();
    let again = bench.next();
    bench.receive(&again.response("100 Trying", "", "", ""));
    bench.advance(64_000);
    assert_eq!(bench.event(), Event::ReofferRefused { call, status: 408 });
    assert_eq!(bench.take_lines(), ["CANCEL sip:bob@10.0.0.9:5070 SIP/2.0"]);
    // A 2xx that crosses is acknowledged; the call goes on.
    bench.receive(&again.response("200 OK", "", ANSWER_HEADERS, ANSWER));
    assert_eq!(bench.take_lines(), ["ACK sip:bob@10.0.0.9:5070 SIP/2.0"]);
    assert_eq!(bench.endpoint.stats().calls, 1);
    assert!(bench.events.is_empty());
}

#[test]
fn crossing_byes_are_both_answered_and_the_call_ends_once() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let ours = bench.next();
    bench.receive(&in_dialog("BYE", 2, &tag, "b1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"]);
    bench.receive(&ours.response("481 Call/Transaction Does Not Exist", "", "", ""));
    assert_eq!(bench.events, [Event::Ended { call, cause: EndCause::LocalBye }]);
    bench.assert_empty();
}

#[test]
fn session_change_after_the_hangup_is_481_and_not_reported() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    bench.sent.clear();
    bench.receive(&request("UPDATE", 2, &tag, "u1", SDP_TYPE, OFFER));
    bench.receive(&reinvite(3, &tag, "re1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"; 2]);
    assert_eq!(bench.events, [Event::Ended { call, cause: EndCause::LocalBye }]);
}

#[test]
fn refused_reinvite_gets_the_same_refusal_again() {
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    let required = request("INVITE", 2, &tag, "re1", &format!("{CONTACT}Require: x\r\n"), "");
    let unreadable =
        request("INVITE", 3, &tag, "re2", &format!("{CONTACT}Content-Type: text/plain\r\n"), "x");
    for (text, line) in
        [(required, "SIP/2.0 420 Bad Extension"), (unreadable, "SIP/2.0 415 Unsupported Media Type")]
    {
        bench.receive(&text);
        bench.receive(&text);
        assert_eq!(bench.take_lines(), [line; 2]);
    }
    bench.assert_quiet();
}

#[test]
fn options_inside_a_call_are_200_while_draining() {
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    bench.run(|e, _| e.set_draining(true));
    bench.receive(&in_dialog("OPTIONS", 2, &tag, "o1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"]);
}
