//! Keys by INFO in both directions.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use std::time::Duration;

use sip::{CallError, EndCause, Event};
use ua_support::*;

const RELAY: &str = "Content-Type: application/dtmf-relay\r\n";
const PRESS: Duration = Duration::from_millis(160);

#[test]
fn key_is_told_once_and_answered_200() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    let info = request("INFO", 2, &tag, "i2", RELAY, "Signal= 5\r\nDuration=160\r\n");
    bench.receive(&info);
    assert_eq!(bench.event(), Event::InfoDtmf { call, digit: '5', duration: Some(PRESS) });
    bench.receive(&info);
    assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK"; 2]);
    bench.receive(&request("INFO", 2, &tag, "other", RELAY, "Signal= 5\r\nDuration=160\r\n"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 482 Loop Detected"], "the same INFO by another way");
    bench.advance(40_000);
    bench.receive(&info);
    assert_eq!(bench.take_lines(), ["SIP/2.0 482 Loop Detected"], "a very late copy");
    bench.assert_quiet();
    bench.receive(&request("INFO", 3, &tag, "i3", "c: Application/DTMF ;x=y\r\n", "#"));
    assert_eq!(bench.event(), Event::InfoDtmf { call, digit: '#', duration: None });
}

#[test]
fn keys_are_told_before_the_answer_too() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.receive(&request("INFO", 2, &tag, "i2", RELAY, "Signal=1"));
    assert_eq!(bench.event(), Event::InfoDtmf { call, digit: '1', duration: None });
    let call = bench.dial("1234567");
    let invite = bench.sent.pop_back().unwrap();
    bench.receive(&invite.response("183 Session Progress", "peer", "", ""));
    bench.event();
    bench.receive(&invite.peer_request("INFO", 1, RELAY, "Signal=2"));
    assert_eq!(bench.event(), Event::InfoDtmf { call, digit: '2', duration: None });
}

#[test]
fn info_that_is_no_key_is_refused_by_what_it_lacks() {
    let mut bench = Bench::new();
    let (_, tag) = bench.inbound_call();
    let mut cseq = 1;
    let mut answer = |headers: &str, body: &str| {
        cseq += 1;
        bench.receive(&request("INFO", cseq, &tag, &format!("i{cseq}"), headers, body));
        bench.assert_no_events();
        bench.next()
    };
    assert_eq!(answer("", "").start(), "SIP/2.0 200 OK", "a keep-alive (RFC 2976)");
    assert_eq!(answer(RELAY, "").start(), "SIP/2.0 200 OK");
    for headers in ["Content-Type: application/media_control+xml\r\n", ""] {
        let refused = answer(headers, "<x/>");
        assert_eq!(refused.start(), "SIP/2.0 415 Unsupported Media Type");
        assert_eq!(refused.header("Accept"), "application/dtmf-relay, application/dtmf");
    }
    let refused = answer("Info-Package: foo\r\nContent-Type: application/foo\r\n", "x");
    assert_eq!((refused.start(), refused.header("Recv-Info")), ("SIP/2.0 469 Bad Info Package", ""));
    for body in ["Signal=\r\n", "Signal=16\r\n", "Signal=E\r\n", "Duration=100\r\n", "55"] {
        assert_eq!(answer(RELAY, body).start(), "SIP/2.0 400 Bad Request", "{body:?}");
    }
}

#[test]
fn info_after_the_hang_up_is_481() {
    let mut bench = Bench::new();
    let (call, tag) = bench.inbound_call();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    bench.events.clear();
    bench.sent.clear();
    bench.receive(&request("INFO", 2, &tag, "i2", RELAY, "Signal=1"));
    assert_eq!(bench.take_lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.assert_no_events();
    bench.assert_empty();
}

#[test]
fn info_that_finds_no_room_is_not_told() {
    let mut config = sip::EndpointConfig::new(OURS.parse().unwrap());
    config.limits.max_transactions = 2;
    let mut bench = Bench::with(config);
    let (_, tag) = bench.inbound_call();
    bench.receive(&request("INFO", 2, &tag, "i2", RELAY, "Signal=1"));
    bench.event();
    bench.receive(&request("INFO", 3, &tag, "i3", RELAY, "Signal=2"));
    assert_eq!(bench.sent.back().unwrap().start(), "SIP/2.0 503 Service Unavailable");
    bench.assert_no_events();
}

#[test]
fn our_keys_go_out_one_after_the_other() {
    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    for digit in ['1', 'd', '#'] {
        bench.run(|e, now| e.send_info_dtmf(now, call, digit, PRESS)).unwrap();
    }
    for (digit, cseq) in [('1', "2 INFO"), ('D', "3 INFO"), ('#', "4 INFO")] {
        let info = bench.next();
        assert_eq!(info.start(), "INFO sip:bob@10.0.0.9:5070 SIP/2.0");
        assert_eq!((info.header("CSeq"), info.header("Content-Type")), (cseq, "application/dtmf-relay"));
        assert_eq!(info.body(), format!("Signal={digit}\r\nDuration=160\r\n"));
        bench.assert_quiet();
        bench.receive(&info.response("200 OK", "", "", ""));
    }
    bench.assert_quiet();
}

#[test]
fn refused_key_is_told_and_drops_those_behind_it() {
    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    for digit in ['1', '2'] {
        bench.run(|e, now| e.send_info_dtmf(now, call, digit, PRESS)).unwrap();
    }
    let info = bench.next();
    bench.receive(&info.response("415 Unsupported Media Type", "", "", ""));
    assert_eq!(bench.event(), Event::InfoRefused { call, status: 415 });
    bench.assert_quiet();
    bench.run(|e, now| e.send_info_dtmf(now, call, '3', PRESS)).unwrap();
    assert!(bench.next().body().starts_with("Signal=3"));
    bench.advance(32_000);
    assert_eq!(bench.event(), Event::InfoRefused { call, status: 408 });
    bench.sent.clear();
    bench.run(|e, now| e.send_info_dtmf(now, call, '4', PRESS)).unwrap();
    let info = bench.next();
    bench.receive(&info.response("481 Gone", "", "", ""));
    assert_eq!(bench.event(), Event::InfoRefused { call, status: 481 });
    assert!(matches!(bench.event(), Event::Ended { cause: EndCause::Rejected { status: 481, .. }, .. }));
    bench.assert_empty();
}

#[test]
fn what_is_no_key_or_too_many_is_refused() {
    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    for digit in ['E', ' ', '\r', 'é', '٣'] {
        let refused = bench.run(|e, now| e.send_info_dtmf(now, call, digit, PRESS));
        assert_eq!(refused, Err(CallError::Invalid { field: "digit" }));
    }
    for duration in [Duration::ZERO, Duration::from_micros(999), Duration::from_millis(10_001)] {
        let refused = bench.run(|e, now| e.send_info_dtmf(now, call, '1', duration));
        assert_eq!(refused, Err(CallError::Invalid { field: "duration" }));
    }
    for _ in 0..33 {
        bench.run(|e, now| e.send_info_dtmf(now, call, '1', PRESS)).unwrap();
    }
    let refused = bench.run(|e, now| e.send_info_dtmf(now, call, '1', PRESS));
    assert_eq!(refused, Err(CallError::WrongState));
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    bench.assert_empty();
}
