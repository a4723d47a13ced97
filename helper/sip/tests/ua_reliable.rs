//! Reliable provisional responses (RFC 3262) in both roles: PRACK in order, retransmission, offers and answers in them.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use sip::{CallError, CallKey, Credentials, Dial, EndCause, EndpointConfig, Event, OfferMethod, Reliable};
use ua_support::*;

const SDP_TYPE: &str = "Content-Type: application/sdp\r\n";
const SECOND: &str = "v=0\r\no=- 1 2 IN IP4 10.0.0.9\r\n";
const SECOND_ANSWER: &str = "v=0\r\no=- 2 3 IN IP4 10.0.0.5\r\n";

fn bench_with(reliable: Reliable) -> Bench {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.reliable = reliable;
    Bench::with(config)
}

fn bench() -> Bench {
    bench_with(Reliable::Supported)
}

/// A reliable response to `invite` in the early dialog `tag`.
fn reliable(invite: &Sent, status: &str, tag: &str, rseq: u32, body: &str) -> String {
    let headers = format!("{CONTACT_OF_PEER}Require: 100rel\r\nRSeq: {rseq}\r\n");
    let kind = if body.is_empty() { "" } else { SDP_TYPE };
    invite.response(status, tag, &format!("{headers}{kind}"), body)
}

const CONTACT_OF_PEER: &str = "Contact: <sip:bob@10.0.0.9:5070>\r\n";

/// The RAck of a PRACK that the endpoint sent; nothing else was.
fn prack(bench: &mut Bench) -> String {
    let prack = bench.next();
    assert!(prack.start().starts_with("PRACK "), "{}", prack.text);
    assert!(bench.sent.is_empty());
    prack.header("RAck").to_owned()
}

/// An inbound call whose INVITE requires reliable responses.
fn requiring(bench: &mut Bench, body: &str) -> CallKey {
    let kind = if body.is_empty() { "" } else { SDP_TYPE };
    bench.receive(&request("INVITE", 1, "", "inv1", &format!("{CONTACT}Require: 100rel\r\n{kind}"), body));
    assert_eq!(bench.next().start(), "SIP/2.0 100 Trying");
    let Event::Incoming(incoming) = bench.event() else { panic!("not a call") };
    incoming.call
}

/// The peer's PRACK of our reliable response.
fn prack_of(provisional: &Sent, cseq: u32, headers: &str, body: &str) -> String {
    let rack = format!("RAck: {} 1 INVITE\r\n", provisional.header("RSeq"));
    request("PRACK", cseq, &provisional.to_tag(), &format!("pr{cseq}"), &format!("{rack}{headers}"), body)
}

#[test]
fn setting_decides_what_the_invite_says() {
    for (reliable, supported, required) in
        [(Reliable::Off, false, false), (Reliable::Supported, true, false), (Reliable::Required, true, true)]
    {
        let mut bench = bench_with(reliable);
        bench.dial("1234567");
        let invite = bench.next();
        let tag = |yes: bool| if yes { vec!["100rel"] } else { vec![] };
        assert_eq!((invite.headers("Supported"), invite.headers("Require")), (tag(supported), tag(required)));
        // A reliable response might bring the offer: an INVITE without one does not ask for it.
        let dial = Dial::new("sip:7@10.0.0.9", PEER.parse().unwrap(), None);
        bench.run(|e, now| e.dial(now, dial)).unwrap();
        let invite = bench.next();
        assert!(invite.headers("Supported").is_empty() && invite.headers("Require").is_empty());
    }
}

#[test]
fn required_extension_is_420_only_when_it_is_off() {
    let invite = request("INVITE", 1, "", "x", &format!("{CONTACT}Require: 100rel\r\n"), "");
    let mut off = Bench::new();
    off.receive(&invite);
    assert_eq!(off.take_lines(), ["SIP/2.0 420 Bad Extension"]);
    let mut bench = bench();
    bench.receive(&invite);
    assert_eq!(bench.take_lines(), ["SIP/2.0 100 Trying"]);
    bench.receive(&request("OPTIONS", 1, "", "o1", "", "").replace("a:b##c", "other"));
    assert_eq!(bench.next().header("Supported"), "100rel");
}

#[test]
fn reliable_responses_are_confirmed_once_each_and_in_order() {
    let mut bench = bench();
    let call = bench.dial("1234567");
    let invite = bench.next();
    let first = reliable(&invite, "180 Ringing", "peer", 7, "");
    bench.receive(&first);
    let confirmation = bench.next();
    assert_eq!(confirmation.start(), "PRACK sip:bob@10.0.0.9:5070 SIP/2.0");
    assert_eq!((confirmation.header("CSeq"), confirmation.header("RAck")), ("2 PRACK", "7 1 INVITE"));
    assert_eq!((confirmation.to_tag().as_str(), confirmation.body()), ("peer", ""));
    assert_eq!(bench.event(), Event::Ringing { call, status: 180, early_media: None });
    // Repeated: the PRACK that is out repeats itself. Ahead of its turn: not confirmed.
    bench.receive(&first);
    bench.receive(&reliable(&invite, "183 Session Progress", "peer", 9, ANSWER));
    bench.receive(&reliable(&invite, "183 Session Progress", "peer", 6, ANSWER));
    bench.assert_quiet();
    bench.advance(500);
    assert_eq!(bench.next().text, confirmation.text);
    bench.receive(&confirmation.response("200 OK", "", "", ""));
    bench.receive(&reliable(&invite, "183 Session Progress", "peer", 8, ANSWER));
    let second = bench.next();
    assert_eq!((second.header("CSeq"), second.header("RAck")), ("3 PRACK", "8 1 INVITE"));
    assert_eq!(bench.event(), Event::Ringing { call, status: 183, early_media: Some(sdp(ANSWER)) });
    bench.receive(&second.response("200 OK", "", "", ""));
    bench.receive(&reliable(&invite, "183 Session Progress", "peer", 9, ""));
    assert_eq!(prack(&mut bench), "9 1 INVITE");
    assert_eq!(bench.endpoint.stats().dropped, 1);
}

#[test]
fn answer_in_a_reliable_response_is_the_answer_of_the_call() {
    for body in ["", SECOND] {
        let mut bench = bench();
        let call = bench.dial("1234567");
        let invite = bench.next();
        bench.receive(&reliable(&invite, "183 Session Progress", "peer", 1, ANSWER));
        assert_eq!(prack(&mut bench), "1 1 INVITE");
        bench.event();
        let kind = if body.is_empty() { "" } else { SDP_TYPE };
        bench.receive(&invite.response("200 OK", "peer", &format!("{CONTACT_OF_PEER}{kind}"), body));
        assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
        assert_eq!(bench.next().header("CSeq"), "1 ACK");
        bench.run(|e, now| e.hangup(now, call)).unwrap();
        assert_eq!(bench.next().header("CSeq"), "3 BYE", "PRACK counted in the same dialog");
        bench.events.clear();
        bench.assert_empty();
    }
}

#[test]
fn sdp_of_an_unreliable_response_is_early_media_and_not_the_answer() {
    let mut bench = bench();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&invite.response("183 Session Progress", "peer", SDP_TYPE, SECOND));
    assert_eq!(bench.event(), Event::Ringing { call, status: 183, early_media: Some(sdp(SECOND)) });
    bench.receive(&invite.response("200 OK", "peer", ANSWER_HEADERS, ANSWER));
    assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
}

#[test]
fn early_dialogs_of_forks_are_confirmed_apart() {
    let mut bench = bench();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&reliable(&invite, "183 Session Progress", "one", 100, SECOND));
    assert_eq!(prack(&mut bench), "100 1 INVITE");
    bench.receive(&reliable(&invite, "183 Session Progress", "two", 5, ANSWER));
    let other = bench.next();
    assert_eq!((other.header("RAck"), other.header("CSeq")), ("5 1 INVITE", "2 PRACK"));
    assert_eq!(other.to_tag(), "two");
    bench.receive(&reliable(&invite, "180 Ringing", "one", 101, ""));
    assert_eq!(prack(&mut bench), "101 1 INVITE");
    bench.events.clear();
    bench.receive(&invite.response("200 OK", "two", CONTACT_OF_PEER, ""));
    assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
}

#[test]
fn prack_goes_along_the_route_of_its_response_and_answers_a_challenge() {
    let mut bench = bench();
    let credentials = Some(Credentials { username: "1001".into(), password: "pw".into() });
    let dial = Dial { credentials, ..Dial::new("sip:7@10.0.0.9", PEER.parse().unwrap(), sdp(OFFER)) };
    bench.run(|e, now| e.dial(now, dial)).unwrap();
    let invite = bench.next();
    let routes = "Record-Route: <sip:10.0.0.21;lr>\r\nRecord-Route: <sip:10.0.0.20;lr>\r\n";
    let headers = format!("{CONTACT_OF_PEER}{routes}Require: 100rel\r\nRSeq: 1\r\n");
    bench.receive(&invite.response("180 Ringing", "peer", &headers, ""));
    let prack = bench.next();
    assert_eq!(prack.headers("Route"), ["<sip:10.0.0.20;lr>", "<sip:10.0.0.21;lr>"]);
    assert_eq!(prack.to.to_string(), "10.0.0.20:5060");
    let challenge = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n2\"\r\n";
    bench.receive(&prack.response("407 Proxy Authentication Required", "", challenge, ""));
    let again = bench.next();
    assert_eq!((again.header("RAck"), again.header("CSeq")), ("1 1 INVITE", "3 PRACK"));
    assert!(again.header("Proxy-Authorization").contains("uri=\"sip:bob@10.0.0.9:5070\""));
    bench.receive(&again.response("407 Proxy Authentication Required", "", challenge, ""));
    assert!(bench.sent.is_empty());
}

#[test]
fn prack_that_is_refused_or_lost_leaves_the_call_to_the_invite() {
    let mut bench = bench();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&reliable(&invite, "180 Ringing", "peer", 1, ""));
    bench.event();
    let prack = bench.next();
    bench.receive(&prack.response("481 Gone", "", "", ""));
    bench.receive(&reliable(&invite, "183 Session Progress", "peer", 2, ANSWER));
    bench.event();
    bench.advance(40_000);
    bench.assert_no_events();
    bench.sent.clear();
    bench.receive(&invite.response("200 OK", "peer", CONTACT_OF_PEER, ""));
    assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
}

#[test]
fn hangup_while_a_prack_is_out_cancels_and_leaves_nothing() {
    let mut bench = bench();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&reliable(&invite, "183 Session Progress", "peer", 1, ANSWER));
    bench.event();
    let prack = bench.next();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalCancel });
    assert_eq!(bench.take_lines(), ["CANCEL sip:1234567@10.0.0.9 SIP/2.0"]);
    assert!(!bench.endpoint.is_settled());
    bench.receive(&prack.response(
        "401 Unauthorized",
        "",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
        "",
    ));
    bench.receive(&reliable(&invite, "180 Ringing", "peer", 2, ""));
    bench.receive(&invite.response("487 Request Terminated", "peer", "", ""));
    assert_eq!(bench.take_lines(), ["ACK sip:1234567@10.0.0.9 SIP/2.0"]);
    assert!(bench.endpoint.is_settled());
    bench.assert_no_events();
    bench.assert_empty();
}

#[test]
fn reliable_response_that_nobody_asked_for_is_an_ordinary_one() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&reliable(&invite, "180 Ringing", "peer", 1, ""));
    assert_eq!(bench.event(), Event::Ringing { call, status: 180, early_media: None });
    bench.assert_quiet();
}

#[test]
fn ours_goes_reliably_where_it_is_required_and_repeats_until_its_prack() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    let ringing = bench.next();
    assert_eq!((ringing.start(), ringing.header("Require")), ("SIP/2.0 180 Ringing", "100rel"));
    assert!(ringing.header("RSeq").parse::<u32>().is_ok_and(|rseq| rseq > 0 && rseq < 1 << 31));
    bench.advance(7_500);
    let times: Vec<u64> = bench.sent.iter().map(|sent| sent.at).collect();
    assert_eq!(times, [500, 1_500, 3_500, 7_500]);
    assert!(bench.sent.iter().all(|sent| sent.text == ringing.text));
    bench.sent.clear();
    let prack = prack_of(&ringing, 2, "", "");
    bench.receive(&prack);
    let ok = bench.next();
    assert_eq!((ok.start(), ok.header("CSeq")), ("SIP/2.0 200 OK", "2 PRACK"));
    // Repeated: answered by its transaction. Again under another branch: there is nothing to confirm.
    bench.receive(&prack);
    assert_eq!(bench.next().text, ok.text);
    bench.receive(&prack_of(&ringing, 3, "", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.advance(50_000);
    bench.assert_quiet();
    // A call that rings on says so every minute, reliably.
    bench.advance(10_000);
    let again = bench.next();
    let number = |sent: &Sent| sent.header("RSeq").parse::<u32>().unwrap();
    assert_eq!((again.start(), number(&again)), ("SIP/2.0 180 Ringing", number(&ringing) + 1));
}

#[test]
fn peer_that_only_supports_it_gets_unreliable_responses_unless_we_require_it() {
    for (setting, expected) in [(Reliable::Supported, 0), (Reliable::Required, 1), (Reliable::Off, 0)] {
        let mut bench = bench_with(setting);
        bench.receive(&request(
            "INVITE",
            1,
            "",
            "x",
            &format!("{CONTACT}{SDP_TYPE}Supported: 100rel\r\n"),
            OFFER,
        ));
        let Event::Incoming(incoming) = bench.event() else { panic!("not a call") };
        bench.run(|e, now| e.ringing(now, incoming.call)).unwrap();
        assert_eq!(bench.sent.back().unwrap().headers("RSeq").len(), expected, "{setting:?}");
    }
}

#[test]
fn wrong_rack_is_481_and_the_response_is_repeated() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    let ringing = bench.next();
    let rseq: u32 = ringing.header("RSeq").parse().unwrap();
    for (cseq, rack) in [
        (2, format!("RAck: {} 1 INVITE\r\n", rseq + 1)),
        (3, format!("RAck: {rseq} 2 INVITE\r\n")),
        (4, format!("RAck: {rseq} 1 UPDATE\r\n")),
        (5, "RAck: x\r\n".to_owned()),
        (6, String::new()),
    ] {
        bench.receive(&request("PRACK", cseq, &ringing.to_tag(), &format!("w{cseq}"), &rack, ""));
        assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"], "{rack}");
    }
    bench.advance(500);
    assert_eq!(bench.next().text, ringing.text);
    // Outside of a call, and in one that is up.
    bench.receive(&request("PRACK", 7, "", "o1", "RAck: 1 1 INVITE\r\n", "").replace("a:b##c", "other"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    bench.receive(&request("PRACK", 2, &tag, "p1", "RAck: 1 1 INVITE\r\n", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
}

#[test]
fn without_a_prack_the_call_is_refused_with_504() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    bench.advance(31_999);
    bench.assert_no_events();
    bench.sent.clear();
    bench.advance(1);
    assert_eq!(bench.take_lines(), ["SIP/2.0 504 Server Time-out"]);
    let cause = EndCause::Declined { status: 504, reason: "Server Time-out".into() };
    assert_eq!(bench.event(), Event::Ended { call, cause });
    bench.assert_empty();
}

#[test]
fn second_response_waits_for_the_prack_of_the_first() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    let first = bench.next();
    bench.run(|e, now| e.progress(now, call, sdp(ANSWER))).unwrap();
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    assert!(bench.sent.is_empty());
    bench.receive(&prack_of(&first, 2, "", ""));
    let (ok, second) = (bench.next(), bench.next());
    let number = |sent: &Sent| sent.header("RSeq").parse::<u32>().unwrap();
    assert_eq!(ok.header("CSeq"), "2 PRACK");
    assert_eq!((second.start(), second.body()), ("SIP/2.0 180 Ringing", ANSWER));
    assert_eq!(number(&second), number(&first) + 1);
    bench.assert_quiet();
    // SDP goes once: it is the answer.
    bench.receive(&prack_of(&second, 3, "", ""));
    bench.next();
    bench.run(|e, now| e.progress(now, call, sdp(SECOND_ANSWER))).unwrap();
    let third = bench.next();
    assert_eq!((third.start(), third.body()), ("SIP/2.0 183 Session Progress", ""));
}

#[test]
fn answer_waits_for_the_prack_of_a_response_with_sdp_and_is_sent_without() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.progress(now, call, sdp(ANSWER))).unwrap();
    let progress = bench.next();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    bench.assert_quiet();
    assert_eq!(bench.run(|e, now| e.answer(now, call, sdp(ANSWER))), Err(CallError::WrongState));
    assert_eq!(bench.run(|e, now| e.ringing(now, call)), Err(CallError::WrongState));
    bench.receive(&prack_of(&progress, 2, "", ""));
    let (confirmed, ok) = (bench.next(), bench.next());
    assert_eq!((confirmed.header("CSeq"), ok.header("CSeq")), ("2 PRACK", "1 INVITE"));
    assert_eq!((ok.start(), ok.body(), ok.headers("Content-Type").len()), ("SIP/2.0 200 OK", "", 0));
    bench.receive(&in_dialog("ACK", 1, &ok.to_tag(), "ack1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
    bench.advance(100_000);
    bench.assert_quiet();
}

#[test]
fn answer_does_not_wait_for_the_prack_of_a_response_without_sdp() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    let ringing = bench.next();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let ok = bench.next();
    assert_eq!((ok.start(), ok.body()), ("SIP/2.0 200 OK", ANSWER));
    // Its PRACK is still answered, once; the response is not repeated.
    bench.receive(&prack_of(&ringing, 2, "", ""));
    assert_eq!(bench.next().start(), "SIP/2.0 200 OK");
    bench.receive(&prack_of(&ringing, 3, "", ""));
    assert_eq!(bench.next().start(), "SIP/2.0 481 Call/Transaction Does Not Exist");
    bench.receive(&in_dialog("ACK", 1, &ok.to_tag(), "ack1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
    bench.advance(100_000);
    bench.assert_quiet();
}

#[test]
fn offer_in_a_prack_is_answered_by_the_owner_and_holds_the_2xx_back() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.progress(now, call, sdp(ANSWER))).unwrap();
    let progress = bench.next();
    bench.receive(&prack_of(&progress, 2, SDP_TYPE, SECOND));
    assert_eq!(bench.event(), Event::Offer { call, sdp: Some(sdp(SECOND)), method: OfferMethod::Prack });
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    assert!(bench.sent.is_empty());
    bench.run(|e, now| e.answer_offer(now, call, sdp(SECOND_ANSWER))).unwrap();
    let (confirmed, ok) = (bench.next(), bench.next());
    assert_eq!((confirmed.header("CSeq"), confirmed.body()), ("2 PRACK", SECOND_ANSWER));
    assert_eq!((ok.header("CSeq"), ok.body()), ("1 INVITE", ""));
    assert_eq!(bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))), Err(CallError::WrongState));
}

#[test]
fn offer_in_a_prack_can_be_refused_and_one_before_our_answer_is_488() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    let ringing = bench.next();
    bench.receive(&prack_of(&ringing, 2, SDP_TYPE, SECOND));
    assert_eq!(bench.take_lines(), ["SIP/2.0 488 Not Acceptable Here"]);
    bench.run(|e, now| e.progress(now, call, sdp(ANSWER))).unwrap();
    let progress = bench.next();
    bench.receive(&prack_of(&progress, 3, SDP_TYPE, SECOND));
    assert!(matches!(bench.event(), Event::Offer { method: OfferMethod::Prack, .. }));
    bench.run(|e, now| e.reject_offer(now, call, 488)).unwrap();
    assert_eq!(bench.take_lines(), ["SIP/2.0 488 Not Acceptable Here"]);
    bench.advance(50_000);
    bench.assert_quiet();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    assert_eq!(bench.next().start(), "SIP/2.0 200 OK");
}

#[test]
fn update_offer_after_a_confirmed_answer_is_answered_while_it_rings() {
    let mut bench = bench();
    let call = requiring(&mut bench, OFFER);
    bench.run(|e, now| e.progress(now, call, sdp(ANSWER))).unwrap();
    let progress = bench.next();
    let update = |cseq| {
        request(
            "UPDATE",
            cseq,
            &progress.to_tag(),
            &format!("u{cseq}"),
            &format!("{CONTACT}{SDP_TYPE}"),
            SECOND,
        )
    };
    bench.receive(&update(2));
    assert_eq!(bench.take_lines(), ["SIP/2.0 500 Server Internal Error"]);
    bench.receive(&prack_of(&progress, 3, "", ""));
    bench.next();
    bench.receive(&update(4));
    assert_eq!(bench.event(), Event::Offer { call, sdp: Some(sdp(SECOND)), method: OfferMethod::Update });
    bench.run(|e, now| e.answer_offer(now, call, sdp(SECOND_ANSWER))).unwrap();
    let ok = bench.next();
    assert_eq!((ok.header("CSeq"), ok.body()), ("4 UPDATE", SECOND_ANSWER));
}

#[test]
fn cancel_hangup_and_bye_end_a_call_whose_prack_is_awaited_or_whose_offer_is_open() {
    for open in [false, true] {
        for how in ["CANCEL", "BYE", "hangup", "lost"] {
            let mut bench = bench();
            let call = requiring(&mut bench, OFFER);
            bench.run(|e, now| e.progress(now, call, sdp(ANSWER))).unwrap();
            let progress = bench.next();
            if open {
                bench.receive(&prack_of(&progress, 2, SDP_TYPE, SECOND));
                bench.event();
            }
            bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
            assert!(bench.sent.is_empty());
            match how {
                "CANCEL" => bench.receive(&request("CANCEL", 1, "", "inv1", "", "")),
                "BYE" => bench.receive(&in_dialog("BYE", 3, &progress.to_tag(), "b1")),
                "lost" => bench.run(|e, now| e.handle_transport_error(now, PEER.parse().unwrap())),
                _ => bench.run(|e, now| e.hangup(now, call)).unwrap(),
            }
            let Event::Ended { cause, .. } = bench.event() else { panic!("{how}") };
            assert_eq!(
                cause.label(),
                match how {
                    "CANCEL" => "cancelled",
                    "BYE" => "remote-bye",
                    "lost" => "transport-error",
                    _ => "declined",
                }
            );
            let pracks = bench.sent.iter().filter(|sent| sent.header("CSeq") == "2 PRACK").count();
            assert_eq!(pracks, usize::from(open), "{how}");
            assert!(bench.endpoint.is_settled());
            bench.receive(&in_dialog("ACK", 1, &progress.to_tag(), "inv1"));
            bench.sent.clear();
            bench.assert_empty();
            bench.assert_no_events();
        }
    }
}

#[test]
fn invite_without_an_offer_gets_the_offer_in_the_2xx_and_nothing_reliable_before() {
    let mut bench = bench();
    let call = requiring(&mut bench, "");
    bench.run(|e, now| e.ringing(now, call)).unwrap();
    bench.run(|e, now| e.progress(now, call, sdp(OFFER))).unwrap();
    bench.assert_quiet();
    bench.run(|e, now| e.answer(now, call, sdp(OFFER))).unwrap();
    let ok = bench.next();
    assert_eq!((ok.start(), ok.body()), ("SIP/2.0 200 OK", OFFER));
    bench.receive(&request("ACK", 1, &ok.to_tag(), "ack1", SDP_TYPE, ANSWER));
    assert_eq!(bench.event(), Event::Acked { call, sdp: Some(sdp(ANSWER)) });
}
