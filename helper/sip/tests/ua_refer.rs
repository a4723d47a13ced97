//! Transfers: our REFER and what the peer tells of it, the peer's REFER and what we tell (RFC 3515).
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use sip::{CallError, CallKey, Credentials, Dial, EndCause, EndpointConfig, Event};
use ua_support::*;

const TARGET: &str = "sip:2345678@10.0.0.9";

/// A call that we placed and transferred; the REFER is not answered.
fn referred() -> (Bench, CallKey, Sent, Sent) {
    let mut bench = Bench::new();
    let (call, invite) = bench.outbound_call();
    bench.run(|e, now| e.refer(now, call, TARGET)).unwrap();
    let refer = bench.next();
    bench.assert_quiet();
    (bench, call, invite, refer)
}

/// The same, and accepted.
fn accepted() -> (Bench, CallKey, Sent, Sent) {
    let (mut bench, call, invite, refer) = referred();
    bench.receive(&refer.response("202 Accepted", "", "", ""));
    assert_eq!(bench.event(), Event::ReferAccepted { call });
    bench.assert_quiet();
    (bench, call, invite, refer)
}

fn notify(invite: &Sent, cseq: u32, state: &str, frag: &str) -> String {
    let headers = format!(
        "Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n"
    );
    invite.peer_request("NOTIFY", cseq, &headers, frag)
}

fn progress(call: CallKey, status: u16, reason: &str, last: bool) -> Event {
    Event::ReferProgress { call, status, reason: reason.into(), last }
}

#[test]
fn refer_names_target_and_referrer_and_its_outcome_is_told() {
    let (mut bench, call, invite, refer) = accepted();
    assert_eq!(refer.start(), "REFER sip:bob@10.0.0.9:5070 SIP/2.0");
    assert_eq!((refer.header("CSeq"), refer.header("Refer-To")), ("2 REFER", "<sip:2345678@10.0.0.9>"));
    assert_eq!(refer.header("Referred-By"), "<sip:10.0.0.5:5062>");
    assert_eq!((refer.header("Contact"), refer.body()), ("<sip:10.0.0.5:5062>", ""));
    let rows = [
        ("active;expires=60", "SIP/2.0 100 Trying\r\n", progress(call, 100, "Trying", false)),
        ("active", "SIP/2.0 180 Ringing\r\n", progress(call, 180, "Ringing", false)),
        ("terminated;reason=noresource", "SIP/2.0 200 OK\r\n", progress(call, 200, "OK", true)),
    ];
    for (cseq, (state, frag, event)) in (1..).zip(rows) {
        bench.receive(&notify(&invite, cseq, state, frag));
        assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"]);
        assert_eq!(bench.event(), event);
    }
    bench.receive(&notify(&invite, 4, "terminated", "SIP/2.0 200 OK\r\n"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.advance(4_000_000);
    bench.assert_quiet();
    assert!(bench.run(|e, now| e.refer(now, call, TARGET)).is_ok(), "the next one may follow");
}

#[test]
fn repeated_notify_is_told_once() {
    let (mut bench, call, invite, _) = accepted();
    let text = notify(&invite, 1, "active", "SIP/2.0 180 Ringing");
    bench.receive(&text);
    bench.receive(&text);
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"; 2]);
    assert_eq!(bench.event(), progress(call, 180, "Ringing", false));
    bench.receive(&text.replace("z9hG4bKp", "z9hG4bKq"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 482 Loop Detected"]);
    bench.assert_quiet();
}

#[test]
fn final_status_is_the_last_even_if_the_peer_goes_on() {
    let (mut bench, call, invite, _) = accepted();
    bench.receive(&notify(&invite, 1, "active", "SIP/2.0 486 Busy Here"));
    assert_eq!(bench.event(), progress(call, 486, "Busy Here", true));
    bench.receive(&notify(&invite, 2, "terminated;reason=noresource", "SIP/2.0 486 Busy Here"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"; 2]);
    bench.assert_no_events();
    assert!(bench.run(|e, now| e.refer(now, call, TARGET)).is_ok());
}

#[test]
fn end_of_the_subscription_is_the_last_whatever_it_says() {
    for (frag, status, reason) in
        [("SIP/2.0 100 Trying", 100, "Trying"), ("SIP/2.0 603 No", 603, "No"), ("", 408, "Request Timeout")]
    {
        let (mut bench, call, invite, _) = accepted();
        bench.receive(&notify(&invite, 1, "Terminated ; reason=timeout", frag));
        assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"]);
        assert_eq!(bench.event(), progress(call, status, reason, true));
        bench.advance(4_000_000);
        bench.assert_quiet();
    }
}

#[test]
fn notify_may_overtake_the_202() {
    let (mut bench, call, invite, refer) = referred();
    bench.receive(&notify(&invite, 1, "active", "SIP/2.0 100 Trying"));
    assert_eq!(bench.event(), Event::ReferAccepted { call });
    assert_eq!(bench.event(), progress(call, 100, "Trying", false));
    bench.receive(&notify(&invite, 2, "terminated", "SIP/2.0 200 OK"));
    assert_eq!(bench.event(), progress(call, 200, "OK", true));
    bench.receive(&refer.response("202 Accepted", "", "", ""));
    bench.assert_no_events();
    assert!(bench.run(|e, now| e.refer(now, call, TARGET)).is_ok());
}

#[test]
fn notify_makes_up_for_a_lost_202() {
    let (mut bench, call, invite, _) = referred();
    bench.receive(&notify(&invite, 1, "active", "SIP/2.0 100 Trying"));
    bench.events.clear();
    bench.advance(40_000);
    bench.assert_no_events();
    bench.receive(&notify(&invite, 2, "terminated", "SIP/2.0 200 OK"));
    assert_eq!(bench.event(), progress(call, 200, "OK", true));
}

#[test]
fn notify_must_fit_the_refer() {
    let (mut bench, call, invite, refer) = accepted();
    let text =
        |cseq, from: &str, to: &str| notify(&invite, cseq, "active", "SIP/2.0 180 Ringing").replace(from, to);
    let id = refer.header("CSeq").split(' ').next().unwrap().to_owned();
    for (cseq, from, to, answer) in [
        (1, "Event: refer", "Event: presence", "489 Bad Event"),
        (2, "Event: refer\r\n", "", "489 Bad Event"),
        (3, "Event: refer", "Event: refer;id=77", "481 Call/Transaction Does Not Exist"),
        (4, "Event: refer", "Event: refer;id=x", "481 Call/Transaction Does Not Exist"),
        (5, "SIP/2.0 180 Ringing", "SIP/2.0 18x Ringing", "400 Bad Request"),
        (6, "message/sipfrag;version=2.0", "application/sdp", "415 Unsupported Media Type"),
    ] {
        bench.receive(&text(cseq, from, to));
        assert_eq!(bench.take_lines(), [format!("SIP/2.0 {answer}")], "{to}");
    }
    let empty = notify(&invite, 7, "active", "");
    bench.receive(&empty);
    assert_eq!(bench.take_lines(), ["SIP/2.0 400 Bad Request"]);
    bench.assert_no_events();
    bench.receive(&text(8, "Event: refer", &format!("o: Refer ; id={id}")));
    assert_eq!(bench.event(), progress(call, 180, "Ringing", false));
}

#[test]
fn notify_without_a_refer_is_481() {
    let mut bench = Bench::new();
    let (_, invite) = bench.outbound_call();
    bench.receive(&notify(&invite, 1, "active", "SIP/2.0 180 Ringing"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.assert_quiet();
}

#[test]
fn silence_after_the_202_is_408_after_a_minute() {
    let (mut bench, call, ..) = accepted();
    bench.advance(59_999);
    bench.assert_quiet();
    bench.advance(1);
    assert_eq!(bench.event(), progress(call, 408, "Request Timeout", true));
    assert_eq!(bench.endpoint.stats().calls, 1);
    assert!(bench.run(|e, now| e.refer(now, call, TARGET)).is_ok());
}

#[test]
fn silence_after_a_notify_is_408_after_the_time_that_it_gives() {
    for (state, seconds) in [
        ("active", 180),
        ("active;expires=300", 300),
        ("active;expires=1", 60),
        ("active;expires=999999", 3600),
    ] {
        let (mut bench, call, invite, _) = accepted();
        bench.receive(&notify(&invite, 1, state, "SIP/2.0 180 Ringing"));
        bench.events.clear();
        bench.sent.clear();
        bench.advance(seconds * 1000 - 1);
        bench.assert_quiet();
        bench.advance(1);
        assert_eq!(bench.event(), progress(call, 408, "Request Timeout", true), "{state}");
    }
}

#[test]
fn refusal_is_told_and_the_call_goes_on() {
    let (mut bench, call, _, refer) = referred();
    bench.receive(&refer.response("603 Not Now", "", "", ""));
    assert_eq!(bench.event(), Event::ReferRefused { call, status: 603, reason: "Not Now".into() });
    bench.assert_quiet();
    bench.run(|e, now| e.refer(now, call, TARGET)).unwrap();
    bench.sent.clear();
    bench.advance(32_000);
    assert_eq!(bench.event(), Event::ReferRefused { call, status: 408, reason: "Request Timeout".into() });
    assert_eq!(bench.endpoint.stats().calls, 1);
}

#[test]
fn refusal_with_481_ends_the_call() {
    let (mut bench, call, _, refer) = referred();
    bench.receive(&refer.response("481 Gone", "", "", ""));
    assert_eq!(bench.event(), Event::ReferRefused { call, status: 481, reason: "Gone".into() });
    assert!(matches!(bench.event(), Event::Ended { cause: EndCause::Rejected { status: 481, .. }, .. }));
    assert!(bench.next().start().starts_with("BYE "));
    bench.assert_empty();
}

#[test]
fn one_refer_at_a_time_and_only_to_a_uri_and_in_a_call_that_is_up() {
    let (mut bench, call, ..) = referred();
    assert_eq!(bench.run(|e, now| e.refer(now, call, TARGET)), Err(CallError::WrongState));
    let (mut bench, call, ..) = accepted();
    assert_eq!(bench.run(|e, now| e.refer(now, call, TARGET)), Err(CallError::WrongState));

    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    for bad in [
        "",
        "1234",
        "http://h",
        "sip:a@h>\r\nX: y",
        "sip:a@h\r\nX: y",
        "sip:a b@h",
        "sip:a@h?Replaces=x",
        "<sip:a@h>",
    ] {
        let refused = bench.run(|e, now| e.refer(now, call, bad));
        assert_eq!(refused, Err(CallError::Invalid { field: "target" }), "{bad:?}");
    }
    let call = bench.ringing_call();
    assert_eq!(bench.run(|e, now| e.refer(now, call, TARGET)), Err(CallError::WrongState));
    bench.sent.clear();
    bench.assert_quiet();
}

#[test]
fn challenge_to_a_refer_is_answered_and_the_second_refusal_stands() {
    let mut bench = Bench::new();
    let dial = Dial {
        credentials: Some(Credentials { username: "u".into(), password: "p".into() }),
        ..Dial::new("sip:1@10.0.0.9", PEER.parse().unwrap(), sdp(OFFER))
    };
    let call = bench.run(|e, now| e.dial(now, dial)).unwrap();
    let invite = bench.next();
    bench.receive(&invite.response("200 OK", "peer", ANSWER_HEADERS, ANSWER));
    bench.events.clear();
    bench.sent.clear();
    bench.run(|e, now| e.refer(now, call, TARGET)).unwrap();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    let first = bench.next();
    bench.receive(&first.response("407 Proxy Authentication Required", "", challenge, ""));
    let second = bench.next();
    assert_eq!((second.header("CSeq"), second.header("Refer-To")), ("3 REFER", "<sip:2345678@10.0.0.9>"));
    assert!(second.header("Proxy-Authorization").contains("uri=\"sip:bob@10.0.0.9:5070\""));
    bench.assert_no_events();
    bench.receive(&second.response("202 Accepted", "", "", ""));
    assert_eq!(bench.event(), Event::ReferAccepted { call });
    let named =
        notify(&invite, 1, "terminated", "SIP/2.0 200 OK").replace("Event: refer", "Event: refer;id=3");
    bench.receive(&named);
    assert_eq!(bench.event(), progress(call, 200, "OK", true));

    bench.sent.clear();
    bench.run(|e, now| e.refer(now, call, TARGET)).unwrap();
    for _ in 0..2 {
        let refer = bench.next();
        bench.receive(&refer.response("407 Proxy Authentication Required", "", challenge, ""));
    }
    assert!(matches!(bench.event(), Event::ReferRefused { status: 407, .. }));
    bench.assert_quiet();
}

#[test]
fn bye_of_the_peer_ends_call_and_transfer_and_a_late_notify_is_481() {
    let (mut bench, call, invite, _) = accepted();
    bench.receive(&invite.peer_request("BYE", 1, "", ""));
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::RemoteBye { reason: None } });
    bench.receive(&notify(&invite, 2, "terminated", "SIP/2.0 200 OK"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK", "SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn notify_that_crosses_our_bye_is_200_and_one_after_it_481() {
    let (mut bench, call, invite, _) = accepted();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let bye = bench.next();
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalBye });
    bench.receive(&notify(&invite, 1, "terminated", "SIP/2.0 200 OK"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"]);
    bench.receive(&bye.response("200 OK", "", "", ""));
    bench.receive(&notify(&invite, 2, "terminated", "SIP/2.0 200 OK"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.assert_no_events();
    bench.assert_empty();
}

#[test]
fn answer_to_a_refer_after_the_hang_up_is_nothing() {
    let (mut bench, call, _, refer) = referred();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    bench.events.clear();
    bench.receive(&refer.response("202 Accepted", "", "", ""));
    bench.advance(100_000);
    bench.assert_no_events();
    bench.assert_empty();
}

// The peer's REFER.

const REFER: &str = "Contact: <sip:alice@10.0.0.9:5060>\r\nRefer-To: \"Bob\" <sip:bob@10.0.0.9;x=1>\r\n\
     Referred-By: <sip:alice@10.0.0.9>\r\n";

fn willing() -> (Bench, CallKey, String) {
    let config = EndpointConfig { allow_refer: true, ..EndpointConfig::new(OURS.parse().unwrap()) };
    let mut bench = Bench::with(config);
    let (call, tag) = bench.inbound_call();
    (bench, call, tag)
}

/// An inbound call whose peer has sent a REFER with CSeq 2.
fn asked() -> (Bench, CallKey, String) {
    let (mut bench, call, tag) = willing();
    bench.receive(&request("REFER", 2, &tag, "r2", REFER, ""));
    let (target, referred_by) = ("sip:bob@10.0.0.9;x=1".into(), Some("sip:alice@10.0.0.9".into()));
    assert_eq!(bench.event(), Event::ReferRequested { call, target, referred_by });
    bench.assert_quiet();
    (bench, call, tag)
}

/// The same, accepted, and the first NOTIFY answered.
fn granted() -> (Bench, CallKey, String) {
    let (mut bench, call, tag) = asked();
    bench.run(|e, now| e.accept_refer(now, call)).unwrap();
    assert_eq!(bench.next().start(), "SIP/2.0 202 Accepted");
    let trying = bench.next();
    bench.receive(&trying.response("200 OK", "", "", ""));
    (bench, call, tag)
}

#[test]
fn refer_is_declined_politely_unless_it_is_allowed() {
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    let refer = request("REFER", 2, &tag, "r2", REFER, "");
    bench.receive(&refer);
    bench.receive(&refer);
    assert_eq!(bench.take_lines(), ["SIP/2.0 603 Decline"; 2]);
    bench.assert_quiet();
}

#[test]
fn allow_names_refer_only_where_it_is_allowed() {
    let (mut bench, _, tag) = willing();
    bench.receive(&in_dialog("OPTIONS", 2, &tag, "o2"));
    assert!(bench.next().header("Allow").ends_with(", INFO, NOTIFY, REFER"));
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    bench.receive(&in_dialog("OPTIONS", 2, &tag, "o2"));
    assert!(bench.next().header("Allow").ends_with(", INFO, NOTIFY"));
}

#[test]
fn accepted_refer_is_202_and_told_by_notify_in_order() {
    let (mut bench, call, tag) = asked();
    bench.receive(&request("REFER", 2, &tag, "r2", REFER, ""));
    bench.assert_quiet();
    bench.run(|e, now| e.accept_refer(now, call)).unwrap();
    let (ok, trying) = (bench.next(), bench.next());
    assert_eq!((ok.start(), ok.header("Contact")), ("SIP/2.0 202 Accepted", "<sip:10.0.0.5:5062>"));
    assert_eq!(trying.start(), "NOTIFY sip:alice@10.0.0.9:5060 SIP/2.0");
    assert_eq!((trying.header("Event"), trying.body()), ("refer", "SIP/2.0 100 Trying\r\n"));
    assert_eq!(trying.header("Subscription-State"), "active;expires=180");
    assert_eq!(trying.header("Content-Type"), "message/sipfrag;version=2.0");

    // What waits for the answer to the first is told in its newest state only.
    for status in [180, 183] {
        bench.run(|e, now| e.notify_refer(now, call, status, false)).unwrap();
    }
    bench.assert_quiet();
    bench.receive(&trying.response("200 OK", "", "", ""));
    let ringing = bench.next();
    assert_eq!((ringing.body(), ringing.header("CSeq")), ("SIP/2.0 183 Session Progress\r\n", "2 NOTIFY"));
    bench.receive(&ringing.response("200 OK", "", "", ""));
    bench.run(|e, now| e.notify_refer(now, call, 200, false)).unwrap();
    let last = bench.next();
    assert_eq!(
        (last.body(), last.header("Subscription-State")),
        ("SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
    );
    assert_eq!(bench.run(|e, now| e.notify_refer(now, call, 200, true)), Err(CallError::WrongState));
    bench.receive(&last.response("200 OK", "", "", ""));
    bench.advance(1_000_000);
    bench.assert_quiet();

    bench.receive(&request("REFER", 3, &tag, "r3", REFER, ""));
    bench.event();
    bench.run(|e, now| e.accept_refer(now, call)).unwrap();
    bench.next();
    assert_eq!(bench.next().header("Event"), "refer;id=3", "not the first in this dialog");
}

#[test]
fn refused_refer_is_answered_with_the_status_and_nothing_follows() {
    let (mut bench, call, tag) = asked();
    assert_eq!(
        bench.run(|e, now| e.reject_refer(now, call, 202)),
        Err(CallError::Invalid { field: "status" })
    );
    assert_eq!(bench.run(|e, now| e.notify_refer(now, call, 180, false)), Err(CallError::WrongState));
    bench.run(|e, now| e.reject_refer(now, call, 480)).unwrap();
    bench.receive(&request("REFER", 2, &tag, "r2", REFER, ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 480 Temporarily Unavailable"; 2]);
    assert_eq!(bench.run(|e, now| e.accept_refer(now, call)), Err(CallError::WrongState));
    bench.advance(1_000_000);
    bench.assert_quiet();
}

#[test]
fn undecided_refer_is_declined_in_time() {
    let (mut bench, call, _) = asked();
    bench.advance(16_000);
    assert_eq!(bench.take_starts(), [(16_000, "SIP/2.0 603 Decline".to_owned())]);
    assert_eq!(bench.run(|e, now| e.accept_refer(now, call)), Err(CallError::WrongState));
}

#[test]
fn second_refer_waits_for_the_first() {
    let (mut bench, _, tag) = asked();
    bench.receive(&request("REFER", 3, &tag, "r3", REFER, ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 491 Request Pending"]);
    let (mut bench, _, tag) = granted();
    bench.receive(&request("REFER", 3, &tag, "r3", REFER, ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 491 Request Pending"]);
    bench.assert_quiet();
}

#[test]
fn refer_to_must_be_there_once() {
    let (mut bench, _, tag) = willing();
    let twice = format!("{REFER}Refer-To: <sip:c@h>\r\n");
    for (cseq, headers) in [(2, ""), (3, twice.as_str()), (4, "Refer-To: nonsense\r\n")] {
        bench.receive(&request("REFER", cseq, &tag, &format!("r{cseq}"), headers, ""));
        assert_eq!(bench.take_lines(), ["SIP/2.0 400 Bad Request"], "{headers}");
    }
    bench.assert_quiet();
}

#[test]
fn refer_with_nothing_to_tell_ends_with_408() {
    let (mut bench, call, _) = granted();
    bench.advance(100_000);
    bench.run(|e, now| e.notify_refer(now, call, 180, false)).unwrap();
    let ringing = bench.next();
    bench.receive(&ringing.response("200 OK", "", "", ""));
    bench.advance(180_000);
    let last = bench.next();
    assert_eq!(
        (last.at, last.body(), last.header("Subscription-State")),
        (280_000, "SIP/2.0 408 Request Timeout\r\n", "terminated;reason=timeout")
    );
    assert_eq!(bench.run(|e, now| e.notify_refer(now, call, 200, true)), Err(CallError::WrongState));
}

#[test]
fn peer_that_does_not_listen_is_told_no_more() {
    let (mut bench, call, _) = granted();
    bench.run(|e, now| e.notify_refer(now, call, 180, false)).unwrap();
    let ringing = bench.next();
    bench.run(|e, now| e.notify_refer(now, call, 200, true)).unwrap();
    bench.receive(&ringing.response("481 No Subscription", "", "", ""));
    bench.advance(1_000_000);
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().calls, 1);

    let (mut bench, call, _) = granted();
    bench.run(|e, now| e.notify_refer(now, call, 180, false)).unwrap();
    bench.advance(32_000);
    bench.sent.clear();
    assert_eq!(bench.run(|e, now| e.notify_refer(now, call, 200, true)), Err(CallError::WrongState));
    bench.assert_quiet();
}

#[test]
fn refer_that_is_undecided_when_the_call_ends_is_487() {
    let (mut bench, call, tag) = asked();
    bench.receive(&in_dialog("BYE", 3, &tag, "b3"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.run(|e, now| e.accept_refer(now, call)), Err(CallError::Unknown));
    bench.assert_empty();

    let (mut bench, call, _) = asked();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let lines = bench.take_lines();
    assert_eq!(lines[0], "SIP/2.0 487 Request Terminated");
    assert!(lines[1].starts_with("BYE "));
    bench.assert_empty();
}

#[test]
fn call_that_ends_while_it_is_told_leaves_nothing() {
    let (mut bench, call, tag) = granted();
    bench.run(|e, now| e.notify_refer(now, call, 180, false)).unwrap();
    let ringing = bench.next();
    bench.receive(&in_dialog("BYE", 3, &tag, "b3"));
    bench.receive(&ringing.response("200 OK", "", "", ""));
    assert_eq!(bench.run(|e, now| e.notify_refer(now, call, 200, true)), Err(CallError::Unknown));
    bench.assert_empty();
}
