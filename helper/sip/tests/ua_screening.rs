//! What a request must be before it becomes a call, and the refusals that leave no state behind.

mod ua_support;

use std::time::Duration;

use sip::{EndpointConfig, Event};
use ua_support::*;

/// The answer to one request that leaves no state and causes no event.
fn refusal(text: &str) -> Sent {
    let mut bench = Bench::new();
    bench.receive(text);
    let answer = bench.next();
    bench.assert_quiet();
    let stats = bench.endpoint.stats();
    assert_eq!((stats.transactions, stats.calls, stats.timers), (0, 0, 0));
    bench.receive(text);
    assert_eq!(bench.next().text, answer.text, "a retransmission gets the same answer, To tag included");
    answer
}

fn invite_with(headers: &str, body: &str) -> String {
    request("INVITE", 1, "", "inv1", &format!("{CONTACT}{headers}"), body)
}

#[test]
fn options_are_answered_with_capabilities_in_and_out_of_a_dialog() {
    let ok = refusal(&request("OPTIONS", 1, "", "o1", "", ""));
    assert_eq!(ok.start(), "SIP/2.0 200 OK");
    assert_eq!(ok.header("Allow"), "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY");
    assert_eq!(ok.header("Accept"), "application/sdp");
    assert_eq!(ok.header("Supported"), "");
    assert!(!ok.to_tag().is_empty());

    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    bench.receive(&in_dialog("OPTIONS", 2, &tag, "o1"));
    assert_eq!(bench.next().header("Allow"), ok.header("Allow"));
}

#[test]
fn while_draining_new_calls_and_options_get_503_and_calls_go_on() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.run(|e, _| e.set_draining(true));
    bench.receive(&invite().replace("a:b##c", "other").replace("inv1", "inv2"));
    let refusal = bench.next();
    assert_eq!((refusal.start(), refusal.header("Retry-After")), ("SIP/2.0 503 Service Unavailable", "5"));
    bench.receive(&request("OPTIONS", 1, "", "o1", "", ""));
    assert_eq!(bench.next().start(), "SIP/2.0 503 Service Unavailable");
    bench.receive(&in_dialog("BYE", 2, &tag, "b1"));
    assert_eq!(bench.next().start(), "SIP/2.0 200 OK");
    assert!(matches!(bench.event(), Event::Ended { call: ended, .. } if ended == call));
}

#[test]
fn method_outside_a_dialog_is_405_or_481() {
    for method in ["REGISTER", "SUBSCRIBE", "MESSAGE", "INFO", "PUBLISH", "NEWMETHOD"] {
        let answer = refusal(&request(method, 1, "", "m1", "", ""));
        assert_eq!(answer.start(), "SIP/2.0 405 Method Not Allowed", "{method}");
        assert_eq!(answer.header("Allow"), "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY");
    }
    for (method, tag) in [
        ("BYE", ""),
        ("BYE", "t"),
        ("UPDATE", "t"),
        ("INVITE", "t"),
        ("OPTIONS", "t"),
        ("NOTIFY", ""),
        ("NOTIFY", "t"),
        ("INFO", "t"),
        ("REFER", "t"),
    ] {
        let answer = refusal(&request(method, 1, tag, "m1", CONTACT, ""));
        assert_eq!(answer.start(), "SIP/2.0 481 Call/Transaction Does Not Exist", "{method}");
    }
}

#[test]
fn refer_outside_a_dialog_is_declined() {
    let answer = refusal(&request("REFER", 1, "", "r1", "Refer-To: <sip:2@10.0.0.9>\r\n", ""));
    assert_eq!(answer.start(), "SIP/2.0 603 Decline");
}

#[test]
fn required_extension_is_420_and_named() {
    let answer = refusal(&invite_with("Require: 100rel\r\nRequire: timer, foo\r\n", ""));
    assert_eq!(
        (answer.start(), answer.header("Unsupported")),
        ("SIP/2.0 420 Bad Extension", "100rel, timer, foo")
    );
}

#[test]
fn scheme_that_is_no_phone_is_416() {
    for text in [invite(), request("OPTIONS", 1, "", "o1", "", "")] {
        let text = text.replacen("sip:relay@10.0.0.5:5062 SIP", "http://10.0.0.5/ SIP", 1);
        assert_eq!(refusal(&text).start(), "SIP/2.0 416 Unsupported URI Scheme");
    }
}

#[test]
fn body_that_is_not_sdp_is_415_with_accept_unless_it_is_optional() {
    let answer = refusal(&invite_with("Content-Type: text/plain\r\n", "hello"));
    assert_eq!(
        (answer.start(), answer.header("Accept")),
        ("SIP/2.0 415 Unsupported Media Type", "application/sdp")
    );
    let answer = refusal(&invite_with("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "x"));
    assert_eq!(answer.header("Accept-Encoding"), "identity");

    let mut bench = Bench::new();
    bench.receive(&invite_with(
        "Content-Type: text/plain\r\nContent-Disposition: x; handling=optional\r\n",
        "hello",
    ));
    let Event::Incoming(incoming) = bench.event() else { panic!() };
    assert_eq!(incoming.offer, None);
}

#[test]
fn malformed_contact_is_400_and_a_missing_one_means_the_source() {
    let answer = refusal(&request("INVITE", 1, "", "inv1", "Contact: <broken\r\n", ""));
    assert_eq!(answer.start(), "SIP/2.0 400 Malformed Contact");
    assert_eq!(
        refusal(&request("INVITE", 1, "", "inv1", "Contact: *\r\n", "")).start(),
        "SIP/2.0 400 Bad Request"
    );

    let mut bench = Bench::new();
    bench.receive(&request("INVITE", 1, "", "inv1", "", ""));
    let Event::Incoming(incoming) = bench.event() else { panic!() };
    bench.run(|e, now| e.answer(now, incoming.call, sdp(ANSWER))).unwrap();
    bench.advance(32_000);
    assert_eq!(bench.sent.back().unwrap().start(), format!("BYE sip:{PEER} SIP/2.0"));
}

#[test]
fn invite_that_accepts_no_sdp_is_406() {
    assert_eq!(refusal(&invite_with("Accept: text/x-other\r\n", "")).start(), "SIP/2.0 406 Not Acceptable");
    for accept in ["application/sdp", "text/plain, Application/SDP;level=1", "*/*", ""] {
        let mut bench = Bench::new();
        bench.receive(&invite_with(&format!("Accept: {accept}\r\n"), ""));
        assert!(matches!(bench.event(), Event::Incoming(_)), "{accept}");
    }
}

#[test]
fn full_transaction_table_refuses_session_changes_but_never_a_bye() {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.limits.max_transactions = 3;
    let mut bench = Bench::with(config);
    let (call, tag) = bench.inbound_call();
    bench.receive(&request("UPDATE", 2, &tag, "u1", CONTACT, ""));
    bench.receive(&request("UPDATE", 3, &tag, "u2", CONTACT, ""));
    bench.receive(&request("UPDATE", 4, &tag, "u3", CONTACT, ""));
    bench.receive(&request("INVITE", 5, &tag, "re1", CONTACT, ""));
    bench.receive(&in_dialog("BYE", 6, &tag, "b1"));
    let statuses: Vec<String> = bench.take_lines().iter().map(|line| line[8..11].to_owned()).collect();
    assert_eq!(statuses, ["200", "200", "503", "503", "200"]);
    assert!(matches!(bench.event(), Event::Ended { call: ended, .. } if ended == call));
    bench.assert_empty();
}

#[test]
fn head_over_the_limit_is_513() {
    let answer = refusal(&invite_with(&format!("X-Long: {}\r\n", "a".repeat(40_000)), ""));
    assert_eq!(answer.start(), "SIP/2.0 513 Message Too Large");
}

#[test]
fn max_forwards_of_zero_still_reaches_a_user_agent() {
    let mut bench = Bench::new();
    bench.receive(&invite().replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert!(matches!(bench.event(), Event::Incoming(_)));
}

#[test]
fn merged_request_is_482() {
    let mut bench = Bench::new();
    bench.ringing_call();
    bench.sent.clear();
    bench.receive(&invite().replace("z9hG4bKinv1", "z9hG4bKother"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 482 Loop Detected"]);
    bench.assert_quiet();
}

#[test]
fn malformed_request_is_400_or_505_without_state_and_an_ack_is_never_answered() {
    let mut bench = Bench::new();
    bench.receive(&invite().replace("CSeq: 1 INVITE", "CSeq: x INVITE"));
    bench.receive(&invite().replace("To: ", "X-To: "));
    bench.receive(&invite().replacen("SIP/2.0\r\n", "SIP/7.0\r\n", 1));
    bench.receive(&invite().replace("Content-Length: ", "Content-Length: 9"));
    let statuses: Vec<String> = bench.take_lines().iter().map(|line| line[8..11].to_owned()).collect();
    assert_eq!(statuses, ["400", "400", "505", "400"]);
    bench.receive(&in_dialog("ACK", 1, "t", "a1").replace("CSeq: 1 ACK", "CSeq: x ACK"));
    bench.receive("complete nonsense");
    bench.receive("INVITE sip:a@b SIP/2.0\r\n\r\n");
    bench.receive("\r\n\r\n");
    bench.receive("");
    bench.assert_quiet();
    let stats = bench.endpoint.stats();
    assert_eq!((stats.malformed, stats.transactions, stats.calls), (7, 0, 0));
}

#[test]
fn limits_refuse_with_503_and_retry_after() {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.limits.max_unacked = 2;
    config.limits.retry_after = Duration::from_secs(9);
    let mut bench = Bench::with(config);
    for n in 0..3 {
        bench.receive(&invite().replace("a:b##c", &format!("call{n}")).replace("inv1", &format!("inv{n}")));
    }
    let refusal = bench.sent.back().unwrap().clone();
    assert_eq!((refusal.start(), refusal.header("Retry-After")), ("SIP/2.0 503 Service Unavailable", "9"));
    assert_eq!((bench.events.len(), bench.endpoint.stats().rejected_by_limit), (2, 1));

    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.limits.max_transactions = 1;
    let mut bench = Bench::with(config);
    bench.ringing_call();
    bench.receive(&invite().replace("a:b##c", "other").replace("inv1", "inv2"));
    assert_eq!(bench.sent.back().unwrap().start(), "SIP/2.0 503 Service Unavailable");
}

#[test]
fn unacked_limit_is_free_again_after_every_way_to_end() {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.limits.max_unacked = 1;
    let mut bench = Bench::with(config);
    for n in 0..4 {
        let unique =
            |text: String| text.replace("a:b##c", &format!("call{n}")).replace("inv1", &format!("inv{n}"));
        bench.receive(&unique(invite()));
        let Event::Incoming(incoming) = bench.event() else { panic!("round {n} was refused") };
        let call = incoming.call;
        match n {
            0 => bench.run(|e, now| e.hangup(now, call)).unwrap(),
            1 => bench.receive(&unique(request("CANCEL", 1, "", "inv1", "", ""))),
            2 => {
                bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
                let tag = bench.sent.back().unwrap().to_tag();
                bench.receive(&unique(in_dialog("ACK", 1, &tag, "a1")));
            }
            _ => {
                bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
                bench.advance(40_000);
            }
        }
        bench.events.clear();
    }
    bench.receive(&invite());
    assert!(matches!(bench.event(), Event::Incoming(_)));
}

#[test]
fn body_over_the_limit_is_413() {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.limits.max_body = 100;
    let mut bench = Bench::with(config);
    bench.receive(&invite_with("Content-Type: application/sdp\r\n", &"a".repeat(101)));
    assert_eq!(bench.next().start(), "SIP/2.0 413 Request Entity Too Large");
    bench.assert_quiet();
}

#[test]
fn response_follows_the_port_of_the_via_without_rport_and_the_source_with_it() {
    let mut bench = Bench::new();
    bench.receive_from("192.0.2.7:4444", &request("OPTIONS", 1, "", "o1", "", ""));
    let answer = bench.next();
    assert_eq!(answer.to.to_string(), "192.0.2.7:4444");
    assert_eq!(
        answer.header("Via"),
        format!("SIP/2.0/UDP {PEER};branch=z9hG4bKo1;received=192.0.2.7;rport=4444")
    );
    bench.receive_from("192.0.2.7:4444", &request("OPTIONS", 1, "", "o1", "", "").replace(";rport", ""));
    let answer = bench.next();
    assert_eq!(answer.to.to_string(), "192.0.2.7:5060");
    assert_eq!(answer.header("Via"), format!("SIP/2.0/UDP {PEER};branch=z9hG4bKo1;received=192.0.2.7"));
}

#[test]
fn ipv6_source_is_received_without_brackets() {
    let mut bench = Bench::with(EndpointConfig::new("[2001:db8::5]:5062".parse().unwrap()));
    let options = request("OPTIONS", 1, "", "o1", "", "").replace(PEER, "[2001:db8::9]:5060");
    bench.receive_from("[2001:db8::9]:7777", &options);
    let answer = bench.next();
    assert_eq!(answer.to.to_string(), "[2001:db8::9]:7777");
    assert_eq!(
        answer.header("Via"),
        "SIP/2.0/UDP [2001:db8::9]:5060;branch=z9hG4bKo1;received=2001:db8::9;rport=7777"
    );
}

#[test]
fn x_headers_reach_the_owner_in_their_own_spelling() {
    let mut bench = Bench::new();
    bench.receive(&invite_with(
        "X-Room-ID: room-42\r\nx-session-id: s1\r\nX-Tenant-ID: t9\r\nSubject: no\r\n",
        "",
    ));
    let Event::Incoming(incoming) = bench.event() else { panic!() };
    let pairs: Vec<(&str, &str)> = incoming.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("X-Room-ID", "room-42"), ("x-session-id", "s1"), ("X-Tenant-ID", "t9")]);
}

#[test]
fn caller_without_a_display_name_is_known_by_its_user() {
    let mut bench = Bench::new();
    bench.receive(&invite().replace("\"0903383638\" <sip:0903383638@10.0.0.9>", "<sip:0912@10.0.0.9>"));
    let Event::Incoming(incoming) = bench.event() else { panic!() };
    assert_eq!((incoming.from.display, incoming.from.user), (None, Some("0912".into())));
}

#[test]
fn invite_of_an_rfc_2543_client_without_a_cookie_is_one_call() {
    let mut bench = Bench::new();
    let old = |text: String| text.replace(";branch=z9hG4bKinv1;rport", "");
    bench.receive(&old(invite()));
    let Event::Incoming(incoming) = bench.event() else { panic!() };
    bench.receive(&old(invite()));
    bench.assert_no_events();
    bench.run(|e, now| e.hangup(now, incoming.call)).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.event();
    bench.receive(&old(in_dialog("ACK", 1, &tag, "inv1")));
    bench.sent.clear();
    bench.advance(5_000);
    assert_eq!(bench.endpoint.stats().transactions, 0, "the ACK stopped G and H, I is over");
    bench.assert_quiet();
}
