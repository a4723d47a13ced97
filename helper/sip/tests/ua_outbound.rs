//! Outbound calls: the INVITE on the wire, its retransmission, every kind of answer, CANCEL races, forks, challenges.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use std::time::Duration;

use sip::{Credentials, Dial, DialError, EndCause, EndpointConfig, Event};
use ua_support::*;

fn dial_to(target: &str) -> Dial {
    Dial::new(target, PEER.parse().unwrap(), sdp(OFFER))
}

#[test]
fn invite_has_the_golden_form() {
    let mut bench = Bench::new();
    bench.dial("0912341234");
    let invite = bench.next();
    assert_eq!(invite.to.to_string(), PEER);
    let branch = invite.branch();
    let tag = invite.caller_tag();
    let call_id = invite.header("Call-ID").to_owned();
    assert!(branch.starts_with("z9hG4bK") && branch.len() > 20);
    assert!(call_id.len() == 36 + "@10.0.0.5".len() && call_id.ends_with("@10.0.0.5"), "{call_id}");
    assert_eq!(
        invite.text,
        format!(
            "INVITE sip:0912341234@10.0.0.9 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.5:5062;branch={branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:10.0.0.5:5062>;tag={tag}\r\n\
             To: <sip:0912341234@10.0.0.9>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 INVITE\r\n\
             Contact: <sip:10.0.0.5:5062>\r\n\
             User-Agent: SIP-Relay-Server/1.0\r\n\
             Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{OFFER}",
            OFFER.len()
        )
    );
}

#[test]
fn invite_from_an_ipv6_address_brackets_hosts_and_dashes_the_call_id() {
    let mut bench = Bench::with(EndpointConfig::new("[2001:db8::5]:5062".parse().unwrap()));
    let dial = Dial::new("sip:1234567@[2001:db8::9]", "[2001:db8::9]:5060".parse().unwrap(), sdp(OFFER));
    let call = bench.run(|e, now| e.dial(now, dial)).unwrap();
    let invite = bench.next();
    assert!(invite.header("Via").starts_with("SIP/2.0/UDP [2001:db8::5]:5062;branch="));
    assert_eq!(invite.header("Contact"), "<sip:[2001:db8::5]:5062>");
    assert!(invite.header("Call-ID").ends_with("@2001-db8--5"));
    let contact = "Contact: <sip:bob@[2001:db8::9]:5070>\r\n";
    bench.receive_from("[2001:db8::9]:5060", &invite.response("200 OK", "peer", contact, ""));
    assert_eq!(bench.event(), Event::Answered { call, sdp: None });
    assert_eq!(bench.next().to.to_string(), "[2001:db8::9]:5070");
}

#[test]
fn given_from_call_id_and_headers_are_used() {
    let mut bench = Bench::new();
    let dial = Dial {
        from: Some("sip:1001@pbx".into()),
        call_id: Some("my-call".into()),
        headers: vec![("X-Room-ID".into(), "room-42".into())],
        ..dial_to("sip:7@10.0.0.9")
    };
    bench.run(|e, now| e.dial(now, dial)).unwrap();
    let invite = bench.next();
    assert!(invite.header("From").starts_with("<sip:1001@pbx>;tag="));
    assert_eq!((invite.header("Call-ID"), invite.header("X-Room-ID")), ("my-call", "room-42"));

    let dial = Dial { from: Some("\"Bob\" <sip:1001@pbx>".into()), ..dial_to("sip:7@10.0.0.9") };
    bench.run(|e, now| e.dial(now, dial)).unwrap();
    assert!(bench.next().header("From").starts_with("\"Bob\" <sip:1001@pbx>;tag="));
}

#[test]
fn texts_of_the_caller_cannot_open_another_header() {
    let mut bench = Bench::new();
    let evil = || "a\r\nX-Evil: b".to_owned();
    for (field, dial) in [
        ("target", dial_to("sip:1@h\r\nX-Evil: b")),
        ("target", dial_to("sip:1@h SIP/2.0")),
        ("target", dial_to("1234")),
        ("from", Dial { from: Some("<sip:a@h>;tag=1".into()), ..dial_to("sip:1@h") }),
        ("from", Dial { from: Some("\"a\r\nX-Evil: b\" <sip:a@h>".into()), ..dial_to("sip:1@h") }),
        ("call_id", Dial { call_id: Some(evil()), ..dial_to("sip:1@h") }),
        ("headers", Dial { headers: vec![("X-A".into(), evil())], ..dial_to("sip:1@h") }),
        ("headers", Dial { headers: vec![("Via".into(), "x".into())], ..dial_to("sip:1@h") }),
        (
            "credentials",
            Dial {
                credentials: Some(Credentials { username: evil(), password: String::new() }),
                ..dial_to("sip:1@h")
            },
        ),
    ] {
        assert_eq!(bench.run(|e, now| e.dial(now, dial)), Err(DialError::Invalid { field }));
    }
    bench.assert_quiet();
    bench.assert_empty();
}

#[test]
fn silence_repeats_the_invite_by_timer_a_and_ends_by_timer_b() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    bench.advance(32_000);
    let times: Vec<u64> = bench.take_starts().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 15500, 31500]);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::Timeout });
    assert_eq!(bench.endpoint.stats().transactions, 0);
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn provisional_stops_the_retransmission_and_each_above_100_is_reported() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&invite.response("100 Trying", "", "", ""));
    bench.advance(20_000);
    bench.assert_quiet();
    bench.receive(&invite.response("180 Ringing", "peer", "", ""));
    bench.receive(&invite.response(
        "183 Session Progress",
        "peer",
        "Content-Type: application/sdp\r\n",
        ANSWER,
    ));
    assert_eq!(
        bench.events,
        [
            Event::Ringing { call, status: 180, early_media: None },
            Event::Ringing { call, status: 183, early_media: Some(sdp(ANSWER)) },
        ]
    );
    assert_eq!(bench.endpoint.stats().dialogs, 1);
}

#[test]
fn answer_is_acknowledged_along_the_reversed_route_and_each_repetition_again() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    let invite = bench.next();
    let headers = format!(
        "Record-Route: <sip:10.0.0.22;lr>, <sip:10.0.0.21:5080;lr>\r\n\
         Record-Route: <sip:10.0.0.20;lr>\r\n{ANSWER_HEADERS}"
    );
    let ok = invite.response("200 OK", "peer", &headers, ANSWER);
    bench.receive(&ok);
    assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
    let ack = bench.next();
    assert_eq!(ack.start(), "ACK sip:bob@10.0.0.9:5070 SIP/2.0");
    assert_eq!(ack.to.to_string(), "10.0.0.20:5060");
    assert_eq!(ack.headers("Route"), ["<sip:10.0.0.20;lr>", "<sip:10.0.0.21:5080;lr>", "<sip:10.0.0.22;lr>"]);
    assert_eq!((ack.header("CSeq"), ack.to_tag().as_str()), ("1 ACK", "peer"));
    assert_ne!(ack.branch(), invite.branch());
    // A repeated 200 gets the very same ACK and is not reported again.
    bench.receive(&ok);
    assert_eq!(bench.next().text, ack.text);
    bench.assert_quiet();

    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let bye = bench.next();
    assert_eq!((bye.start(), bye.header("CSeq")), ("BYE sip:bob@10.0.0.9:5070 SIP/2.0", "2 BYE"));
    assert_eq!(bye.headers("Route"), ack.headers("Route"));
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalBye });
    bench.receive(&bye.response("200 OK", "", "", ""));
    bench.receive(&ok);
    assert_eq!(bench.next().text, ack.text, "the 200 is acknowledged even after the call");
    bench.assert_empty();
}

#[test]
fn every_failure_is_acknowledged_in_the_transaction_and_ends_the_call() {
    for (line, status, reason) in [
        ("302 Moved Temporarily", 302, "Moved Temporarily"),
        ("404 Nobody", 404, "Nobody"),
        ("486 Busy Here", 486, "Busy Here"),
        ("487 ", 487, "Request Terminated"),
        ("500 Oops", 500, "Oops"),
        ("603 Decline", 603, "Decline"),
        ("401 Unauthorized", 401, "Unauthorized"),
    ] {
        let mut bench = Bench::new();
        let call = bench.dial("1234567");
        let invite = bench.next();
        let failure = invite.response(line, "peer", "", "");
        bench.receive(&failure);
        let ack = bench.next();
        assert_eq!(ack.start(), "ACK sip:1234567@10.0.0.9 SIP/2.0");
        assert_eq!(ack.names(), ["Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Content-Length"]);
        assert_eq!((ack.header("Via"), ack.header("CSeq")), (invite.header("Via"), "1 ACK"));
        assert_eq!((ack.to.to_string().as_str(), ack.to_tag().as_str()), (PEER, "peer"));
        let cause = EndCause::Rejected { status, reason: reason.into(), contacts: Vec::new() };
        assert_eq!(bench.event(), Event::Ended { call, cause });
        bench.receive(&failure);
        assert_eq!(bench.next().text, ack.text, "a repeated failure is acknowledged again");
        bench.advance(32_000);
        assert_eq!(bench.endpoint.stats().transactions, 0, "timer D");
        bench.assert_quiet();
    }
}

#[test]
fn hangup_after_a_provisional_cancels_with_the_branch_and_cseq_of_the_invite() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&invite.response("180 Ringing", "peer", "", ""));
    bench.event();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalCancel });
    let cancel = bench.next();
    assert_eq!(cancel.start(), "CANCEL sip:1234567@10.0.0.9 SIP/2.0");
    assert_eq!(cancel.names(), ["Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Content-Length"]);
    for name in ["Via", "From", "To", "Call-ID"] {
        assert_eq!(cancel.header(name), invite.header(name));
    }
    assert_eq!(cancel.header("CSeq"), "1 CANCEL");
    bench.receive(&cancel.response("200 OK", "peer", "", ""));
    assert!(!bench.endpoint.is_settled(), "the INVITE's final response is yet to come");
    bench.receive(&invite.response("487 Request Terminated", "peer", "", ""));
    assert_eq!(bench.take_lines(), ["ACK sip:1234567@10.0.0.9 SIP/2.0"]);
    assert!(bench.endpoint.is_settled());
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn hangup_before_any_response_keeps_the_cancel_back_until_one_comes() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalCancel });
    assert!(bench.sent.is_empty());
    bench.receive(&invite.response("100 Trying", "", "", ""));
    assert_eq!(bench.take_lines(), ["CANCEL sip:1234567@10.0.0.9 SIP/2.0"]);
    bench.receive(&invite.response("180 Ringing", "peer", "", ""));
    bench.assert_quiet();
    bench.assert_empty();
}

#[test]
fn answer_that_crosses_the_cancel_gets_ack_and_bye() {
    for provisional in [true, false] {
        let mut bench = Bench::new();
        let call = bench.dial("1234567");
        let invite = bench.next();
        if provisional {
            bench.receive(&invite.response("180 Ringing", "peer", "", ""));
            bench.event();
        }
        bench.run(|e, now| e.hangup(now, call)).unwrap();
        assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalCancel });
        bench.sent.clear();
        let ok = invite.response("200 OK", "peer", ANSWER_HEADERS, ANSWER);
        bench.receive(&ok);
        assert_eq!(
            bench.take_lines(),
            ["ACK sip:bob@10.0.0.9:5070 SIP/2.0", "BYE sip:bob@10.0.0.9:5070 SIP/2.0"]
        );
        bench.receive(&ok);
        assert_eq!(bench.take_lines(), ["ACK sip:bob@10.0.0.9:5070 SIP/2.0"], "and no second BYE");
        bench.assert_empty();
        assert!(bench.events.is_empty());
    }
}

#[test]
fn cancelled_invite_without_a_final_response_is_forgotten_after_64_t1() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&invite.response("180 Ringing", "peer", "", ""));
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let cancel = bench.next();
    bench.receive(&cancel.response("200 OK", "peer", "", ""));
    bench.advance(32_000);
    assert_eq!(bench.endpoint.stats().transactions, 0);
}

#[test]
fn ring_timeout_cancels_and_ends_with_408() {
    let mut bench = Bench::new();
    let dial = Dial { ring_timeout: Some(Duration::from_secs(32)), ..dial_to("sip:7@10.0.0.9") };
    let call = bench.run(|e, now| e.dial(now, dial)).unwrap();
    let invite = bench.next();
    bench.receive(&invite.response("180 Ringing", "peer", "", ""));
    bench.event();
    bench.advance(31_999);
    bench.assert_quiet();
    bench.advance(1);
    let Event::Ended { call: ended, cause } = bench.event() else { panic!() };
    assert_eq!((ended, cause.status(), cause.reason()), (call, Some(408), "Request Timeout"));
    assert_eq!(bench.take_lines(), ["CANCEL sip:7@10.0.0.9 SIP/2.0"]);
    bench.assert_empty();
}

#[test]
fn second_fork_that_answers_gets_ack_and_bye() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&invite.response("180 Ringing", "one", "", ""));
    bench.receive(&invite.response("180 Ringing", "two", "", ""));
    assert_eq!(bench.endpoint.stats().dialogs, 2);
    bench.events.clear();
    bench.receive(&invite.response("200 OK", "one", ANSWER_HEADERS, ANSWER));
    assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
    bench.sent.clear();
    let other = invite.response("200 OK", "two", "Contact: <sip:carol@10.0.0.8>\r\n", ANSWER);
    bench.receive(&other);
    let (ack, bye) = (bench.next(), bench.next());
    assert_eq!((ack.start(), ack.to_tag().as_str()), ("ACK sip:carol@10.0.0.8 SIP/2.0", "two"));
    assert_eq!((bye.start(), bye.to_tag().as_str()), ("BYE sip:carol@10.0.0.8 SIP/2.0", "two"));
    bench.receive(&other);
    assert_eq!(bench.next().text, ack.text);
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().calls, 1);
}

const WWW: &str =
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth,auth-int\", algorithm=MD5\r\n";
const PROXY: &str = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n2\"\r\n";

fn dial_with_password(bench: &mut Bench) -> sip::CallKey {
    let credentials = Some(Credentials { username: "1001".into(), password: "pw".into() });
    let dial = Dial { credentials, ..dial_to("sip:7@10.0.0.9") };
    bench.run(|e, now| e.dial(now, dial)).unwrap()
}

#[test]
fn challenge_of_a_proxy_and_then_of_the_server_are_both_answered() {
    let mut bench = Bench::new();
    let call = dial_with_password(&mut bench);
    let first = bench.next();
    bench.receive(&first.response("407 Proxy Authentication Required", "x", PROXY, ""));
    assert_eq!(bench.next().start(), "ACK sip:7@10.0.0.9 SIP/2.0");
    let second = bench.next();
    assert!(second.header("Proxy-Authorization").starts_with(
        "Digest username=\"1001\", realm=\"p\", nonce=\"n2\", uri=\"sip:7@10.0.0.9\", response=\""
    ));
    assert_eq!(second.header("CSeq"), "2 INVITE");
    assert_ne!(second.branch(), first.branch());
    assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
    assert_eq!(second.header("From"), first.header("From"));
    assert_eq!(second.body(), OFFER);

    bench.receive(&second.response("401 Unauthorized", "y", WWW, ""));
    assert_eq!(bench.next().header("CSeq"), "2 ACK");
    let third = bench.next();
    assert_eq!((third.header("CSeq"), third.headers("Proxy-Authorization").len()), ("3 INVITE", 1));
    assert!(third.header("Authorization").contains("qop=auth, nc=00000001, cnonce=\""));
    bench.receive(&third.response("200 OK", "peer", ANSWER_HEADERS, ANSWER));
    assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
    let ack = bench.next();
    assert_eq!(ack.header("CSeq"), "3 ACK");
    assert_eq!(ack.header("Authorization"), third.header("Authorization"), "RFC 3261 §13.2.2.4");

    // The BYE is challenged as well.
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalBye });
    let bye = bench.next();
    bench.receive(&bye.response("407 Proxy Authentication Required", "", PROXY, ""));
    let again = bench.next();
    assert_eq!((again.header("CSeq"), again.headers("Proxy-Authorization").len()), ("5 BYE", 1));
    bench.receive(&again.response("200 OK", "", "", ""));
    assert_eq!(bench.endpoint.stats().calls, 0);
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn refused_credentials_end_the_call() {
    let mut bench = Bench::new();
    let call = dial_with_password(&mut bench);
    let first = bench.next();
    bench.receive(&first.response("401 Unauthorized", "x", WWW, ""));
    bench.next();
    let second = bench.next();
    bench.receive(&second.response("401 Unauthorized", "x", WWW, ""));
    assert_eq!(bench.take_lines(), ["ACK sip:7@10.0.0.9 SIP/2.0"]);
    let cause = EndCause::Rejected { status: 401, reason: "Unauthorized".into(), contacts: Vec::new() };
    assert_eq!(bench.event(), Event::Ended { call, cause });
    bench.assert_empty();
}

#[test]
fn stale_nonce_is_answered_once_more() {
    let mut bench = Bench::new();
    dial_with_password(&mut bench);
    let first = bench.next();
    bench.receive(&first.response("401 Unauthorized", "x", WWW, ""));
    bench.next();
    let second = bench.next();
    let stale = WWW.replace("n1", "n9").replace("algorithm", "stale=true, algorithm");
    bench.receive(&second.response("401 Unauthorized", "x", &stale, ""));
    bench.next();
    assert!(bench.next().header("Authorization").contains("nonce=\"n9\""));
}

#[test]
fn unreachable_destination_ends_the_call_at_once() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    bench.run(|e, now| e.handle_transport_error(now, "10.0.0.1:5060".parse().unwrap()));
    assert!(bench.events.is_empty());
    bench.run(|e, now| e.handle_transport_error(now, PEER.parse().unwrap()));
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::TransportError });
    bench.assert_empty();
}

#[test]
fn stray_responses_are_counted_and_cause_nothing() {
    let mut bench = Bench::new();
    bench.dial("1234567");
    let invite = bench.next();
    let stranger = invite.response("200 OK", "peer", "", "").replace(&invite.branch(), "z9hG4bKother");
    bench.receive(&stranger);
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().dropped, 1);
}

#[test]
fn dial_respects_limits_and_draining() {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.limits.max_dialogs = 1;
    let mut bench = Bench::with(config);
    bench.dial("1234567");
    let refused = bench.run(|e, now| e.dial(now, dial_to("sip:7@10.0.0.9")));
    assert_eq!(refused, Err(DialError::Limit { what: "dialogs", limit: 1 }));
    bench.run(|e, _| e.set_draining(true));
    assert_eq!(bench.run(|e, now| e.dial(now, dial_to("sip:7@10.0.0.9"))), Err(DialError::Draining));
}

#[test]
fn bye_instead_of_a_lost_answer_ends_the_call() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&invite.response("180 Ringing", "peer", "", ""));
    bench.event();
    bench.receive(&invite.peer_request("BYE", 1, "", ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK", "CANCEL sip:1234567@10.0.0.9 SIP/2.0"]);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::RemoteBye { reason: None } });
    bench.assert_empty();
}
