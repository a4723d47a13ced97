//! Inbound calls: rung, answered, refused, cancelled, acknowledged and not.

mod ua_support;

use std::time::Duration;

use sip::{CallError, EndCause, EndpointConfig, Event, Incoming, Party, Rejection};
use ua_support::*;

#[test]
fn request_between_the_invite_and_its_answer_does_not_hide_the_ack() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.receive(&in_dialog("OPTIONS", 2, &tag, "o1"));
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    bench.receive(&in_dialog("ACK", 1, &tag, "ack1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
}

#[test]
fn call_is_100_180_200_and_ack_then_bye() {
    let mut bench = Bench::new();
    bench.receive(&invite());
    let trying = bench.next();
    assert_eq!(trying.start(), "SIP/2.0 100 Trying");
    assert!(!trying.header("To").contains("tag="), "no tag in a 100");

    let Event::Incoming(incoming) = bench.event() else { panic!() };
    let call = incoming.call;
    assert_eq!(
        *incoming,
        Incoming {
            call,
            sip_call_id: "a:b##c@10.0.0.9".into(),
            request_uri: format!("sip:relay@{OURS}"),
            from: Party {
                display: Some("0903383638".into()),
                uri: "sip:0903383638@10.0.0.9".into(),
                user: Some("0903383638".into()),
            },
            to: Party { display: None, uri: format!("sip:relay@{OURS}"), user: Some("relay".into()) },
            offer: Some(sdp(OFFER)),
            headers: vec![],
            source: PEER.parse().unwrap(),
        }
    );

    bench.run(|e, now| e.ringing(now, call)).unwrap();
    let ringing = bench.next();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let ok = bench.next();
    assert_eq!((ringing.start(), ok.start()), ("SIP/2.0 180 Ringing", "SIP/2.0 200 OK"));
    assert_eq!(ringing.to_tag(), ok.to_tag());
    assert_eq!(
        ok.names(),
        [
            "Via",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Contact",
            "Allow",
            "Server",
            "Content-Type",
            "Content-Length"
        ]
    );
    assert_eq!(
        ok.header("Via"),
        format!("SIP/2.0/UDP {PEER};branch=z9hG4bKinv1;received=10.0.0.9;rport=5060")
    );
    assert_eq!(ok.header("Contact"), format!("<sip:{OURS}>"));
    assert_eq!(ok.header("Allow"), "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY");
    assert_eq!(ok.body(), ANSWER);

    bench.receive(&in_dialog("ACK", 1, &ok.to_tag(), "ack1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
    bench.receive(&in_dialog("BYE", 2, &ok.to_tag(), "bye1"));
    assert_eq!(bench.next().start(), "SIP/2.0 200 OK");
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::RemoteBye { reason: None } });
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn unanswered_2xx_is_repeated_at_doubling_intervals_and_then_bye() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.sent.clear();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    bench.advance(31_999);
    let ok = "SIP/2.0 200 OK".to_owned();
    let times = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(bench.take_starts(), times.map(|at| (at, ok.clone())));
    assert!(bench.events.is_empty());
    bench.advance(1);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::NoAck });
    let bye = bench.next();
    assert_eq!((bye.at, bye.start()), (32_000, "BYE sip:alice@10.0.0.9:5060 SIP/2.0"));
    bench.receive(&bye.response("200 OK", "", "", ""));
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn retransmitted_invite_gets_the_last_response_and_no_second_call() {
    let mut bench = Bench::new();
    bench.receive(&invite());
    let Event::Incoming(incoming) = bench.event() else { panic!() };
    let first = bench.next().text;
    bench.receive(&invite());
    assert_eq!(bench.next().text, first);
    bench.run(|e, now| e.ringing(now, incoming.call)).unwrap();
    let ringing = bench.next().text;
    bench.receive(&invite());
    assert_eq!(bench.next().text, ringing);
    bench.run(|e, now| e.answer(now, incoming.call, sdp(ANSWER))).unwrap();
    let ok = bench.next();
    bench.receive(&invite());
    assert_eq!(bench.next().text, ok.text);
    bench.receive(&in_dialog("ACK", 1, &ok.to_tag(), "ack1"));
    assert_eq!(bench.event(), Event::Acked { call: incoming.call, sdp: None });
    // A late duplicate after the ACK is absorbed (RFC 6026 §7.1).
    bench.advance(20_000);
    bench.receive(&invite());
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().calls, 1);
}

#[test]
fn duplicate_ack_and_ack_of_another_cseq_are_ignored() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.sent.clear();
    bench.receive(&in_dialog("ACK", 2, &tag, "ack0"));
    bench.receive(&in_dialog("ACK", 1, "strange", "ack0"));
    bench.assert_quiet();
    bench.receive(&in_dialog("ACK", 1, &tag, "ack1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
    bench.receive(&in_dialog("ACK", 1, &tag, "ack1"));
    bench.assert_quiet();
}

#[test]
fn ack_on_the_branch_of_the_invite_is_an_ack_of_the_2xx_too() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.receive(&in_dialog("ACK", 1, &tag, "inv1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
}

#[test]
fn cancel_is_200_and_487_and_the_invite_is_never_answered() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.sent.clear();
    bench.receive(&request("CANCEL", 1, "", "inv1", "", ""));
    let ok = bench.next();
    assert_eq!(ok.to_tag(), tag);
    assert_eq!((ok.start(), ok.header("CSeq")), ("SIP/2.0 200 OK", "1 CANCEL"));
    let terminated = bench.next();
    assert_eq!(
        (terminated.start(), terminated.header("CSeq")),
        ("SIP/2.0 487 Request Terminated", "1 INVITE")
    );
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::Cancelled });
    assert_eq!(bench.run(|e, now| e.answer(now, call, sdp(ANSWER))), Err(CallError::Unknown));
    // The 487 is repeated until its ACK: G doubles up to T2.
    bench.advance(4_000);
    assert_eq!(bench.take_starts().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [500, 1500, 3500]);
    bench.receive(&in_dialog("ACK", 1, &terminated.to_tag(), "inv1"));
    bench.advance(30_000);
    bench.assert_quiet();
    bench.assert_empty();
}

#[test]
fn cancel_that_crosses_the_2xx_gets_200_and_changes_nothing() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.sent.clear();
    bench.receive(&request("CANCEL", 1, "", "inv1", "", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"]);
    bench.receive(&in_dialog("ACK", 1, &tag, "ack1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
}

#[test]
fn cancel_for_nothing_is_481() {
    let mut bench = Bench::new();
    bench.receive(&request("CANCEL", 1, "", "inv1", "", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    let _call = bench.ringing_call();
    bench.sent.clear();
    bench.receive(&request("CANCEL", 1, "", "other", "", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
}

#[test]
fn rejection_carries_status_reason_retry_after_and_headers() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.sent.clear();
    let rejection = Rejection {
        reason: Some("No RTP ports".into()),
        headers: vec![("X-Why".into(), "full".into())],
        ..Rejection::new(503).retry_after(Duration::from_secs(7))
    };
    bench.run(|e, now| e.reject(now, call, rejection)).unwrap();
    let refusal = bench.next();
    assert_eq!(refusal.start(), "SIP/2.0 503 No RTP ports");
    assert_eq!((refusal.header("Retry-After"), refusal.header("X-Why")), ("7", "full"));
    let cause = EndCause::Declined { status: 503, reason: "No RTP ports".into() };
    assert_eq!(bench.event(), Event::Ended { call, cause });
    bench.receive(&in_dialog("ACK", 1, &refusal.to_tag(), "inv1"));
    bench.assert_empty();
}

#[test]
fn hangup_of_a_ringing_call_is_603() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.sent.clear();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.take_lines(), ["SIP/2.0 603 Decline"]);
    let cause = EndCause::Declined { status: 603, reason: "Decline".into() };
    assert_eq!(bench.event(), Event::Ended { call, cause });
    assert_eq!(bench.run(|e, now| e.hangup(now, call)), Err(CallError::Unknown));
}

#[test]
fn hangup_before_the_ack_ends_at_once_and_the_bye_waits_for_the_ack() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.sent.clear();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalBye });
    bench.assert_quiet();
    bench.receive(&in_dialog("ACK", 1, &tag, "ack1"));
    let bye = bench.next();
    assert_eq!(bye.start(), "BYE sip:alice@10.0.0.9:5060 SIP/2.0");
    bench.receive(&bye.response("200 OK", "", "", ""));
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn hangup_without_any_ack_sends_the_bye_after_64_t1() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    bench.advance(32_000);
    assert_eq!(bench.sent.back().unwrap().start(), "BYE sip:alice@10.0.0.9:5060 SIP/2.0");
    assert_eq!(bench.events, [Event::Ended { call, cause: EndCause::LocalBye }]);
    bench.assert_empty();
}

#[test]
fn hangup_of_a_call_that_is_up_is_a_bye_inside_the_dialog() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalBye });
    let bye = bench.next();
    assert_eq!(bye.to.to_string(), PEER);
    assert_eq!(
        bye.names(),
        ["Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "User-Agent", "Content-Length"]
    );
    assert_eq!(bye.header("From"), format!("<sip:relay@{OURS}>;tag={tag}"));
    assert_eq!(bye.header("To"), "\"0903383638\" <sip:0903383638@10.0.0.9>;tag=caller");
    assert_eq!((bye.header("Call-ID"), bye.header("CSeq")), ("a:b##c@10.0.0.9", "1 BYE"));
    // Timer E: doubling up to T2; F gives up.
    bench.advance(32_000);
    let times: Vec<u64> = bench.take_starts().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    bench.assert_empty();
}

#[test]
fn bye_and_its_retransmission_both_get_200_and_one_end() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    let bye = request("BYE", 7, &tag, "bye1", "Reason: Q.850;cause=16\r\n", "");
    bench.receive(&bye);
    let first = bench.next().text;
    bench.receive(&bye);
    assert_eq!(bench.next().text, first);
    let cause = EndCause::RemoteBye { reason: Some("Q.850;cause=16".into()) };
    assert_eq!(bench.events, [Event::Ended { call, cause }]);
    bench.sent.clear();
    bench.receive(&in_dialog("BYE", 8, &tag, "bye2"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.assert_empty();
}

#[test]
fn bye_before_the_answer_ends_the_invite_with_487() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.sent.clear();
    bench.receive(&in_dialog("BYE", 2, &tag, "bye1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::RemoteBye { reason: None } });
    bench.assert_empty();
}

#[test]
fn progress_carries_sdp_and_the_provisional_is_repeated_every_minute() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.sent.clear();
    bench.run(|e, now| e.progress(now, call, sdp(ANSWER))).unwrap();
    let progress = bench.next();
    assert_eq!((progress.start(), progress.body()), ("SIP/2.0 183 Session Progress", ANSWER));
    bench.advance(60_000);
    assert_eq!(bench.next().text, progress.text);
}

#[test]
fn call_that_nobody_answers_gets_480_and_an_expired_invite_too() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.advance(600_000);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::Timeout });
    bench.assert_empty();

    let mut bench = Bench::new();
    bench.receive(&request("INVITE", 1, "", "inv1", &format!("{CONTACT}Expires: 20\r\n"), ""));
    bench.advance(19_999);
    assert_eq!(bench.take_lines(), ["SIP/2.0 100 Trying"]);
    bench.advance(1);
    assert_eq!(bench.take_lines(), ["SIP/2.0 480 Temporarily Unavailable"]);
}

#[test]
fn trying_waits_when_told_to_and_is_left_out_when_another_response_was_faster() {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.auto_trying_after = Duration::from_millis(200);
    let mut bench = Bench::with(config.clone());
    bench.receive(&invite());
    assert!(bench.sent.is_empty());
    bench.advance(200);
    assert_eq!(bench.take_starts(), [(200, "SIP/2.0 100 Trying".to_owned())]);

    let mut bench = Bench::with(config);
    bench.ringing_call();
    bench.advance(1_000);
    assert_eq!(bench.take_lines(), ["SIP/2.0 180 Ringing"]);
}

#[test]
fn commands_that_do_not_fit_the_state_are_refused() {
    let mut bench = Bench::new();
    let (call, _) = bench.inbound_call();
    assert_eq!(bench.run(|e, now| e.ringing(now, call)), Err(CallError::WrongState));
    assert_eq!(bench.run(|e, now| e.answer(now, call, sdp(ANSWER))), Err(CallError::WrongState));
    assert_eq!(bench.run(|e, now| e.reject(now, call, Rejection::new(486))), Err(CallError::WrongState));
    assert_eq!(bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))), Err(CallError::WrongState));
    bench.assert_quiet();
}

#[test]
fn texts_of_the_caller_cannot_open_another_header() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.sent.clear();
    let evil = "a\r\nX-Evil: b".to_owned();
    for (field, rejection) in [
        ("reason", Rejection { reason: Some(evil.clone()), ..Rejection::new(486) }),
        ("headers", Rejection { headers: vec![("X-A".into(), evil.clone())], ..Rejection::new(486) }),
        ("headers", Rejection { headers: vec![(evil.clone(), "a".into())], ..Rejection::new(486) }),
        (
            "headers",
            Rejection { headers: vec![("Content-Length".into(), "9".into())], ..Rejection::new(486) },
        ),
        ("status", Rejection::new(200)),
        ("status", Rejection::new(700)),
    ] {
        assert_eq!(bench.run(|e, now| e.reject(now, call, rejection)), Err(CallError::Invalid { field }));
    }
    bench.assert_quiet();
}

#[test]
fn peer_that_cannot_be_reached_ends_a_ringing_call() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.handle_transport_error(now, PEER.parse().unwrap()));
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::TransportError });
    bench.assert_empty();
}
