//! What a client library builds on: a registration that succeeds or says why not, and a peer that is not there.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use std::time::Duration;

use sip::{
    Credentials, Dial, EndCause, Event, Registration, RegistrationFailure as Failure, RegistrationKey,
};
use ua_support::*;

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=MD5\r\n";

/// One attempt, as `connect` makes it.
fn once() -> Registration {
    Registration {
        credentials: Some(Credentials { username: "1001".into(), password: "pw".into() }),
        retry: false,
        ..Registration::new("sip:1001@10.0.0.9", "sip:10.0.0.9", PEER.parse().unwrap())
    }
}

fn connect(bench: &mut Bench) -> (RegistrationKey, Sent) {
    let key = bench.run(|e, now| e.register(now, once())).unwrap();
    (key, bench.next())
}

fn answer(bench: &mut Bench, register: &Sent, status: &str, headers: &str) {
    bench.receive(&register.response(status, "registrar", headers, ""));
}

fn cseq(register: &Sent) -> u32 {
    register.header("CSeq").strip_suffix(" REGISTER").unwrap().parse().unwrap()
}

/// The registration failed for good: nothing of it is left.
fn assert_failed(bench: &mut Bench, key: RegistrationKey, status: u16, cause: Failure) {
    match bench.event() {
        Event::RegistrationFailed { key: failed, status: is, cause: why, retry_in: None, .. } => {
            assert_eq!((failed, is, why), (key, status, cause));
        }
        event => panic!("{event:?}"),
    }
    bench.sent.clear();
    bench.advance(1_000_000);
    bench.run(|e, now| e.unregister(now, key));
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().registrations, 0);
    bench.assert_empty();
}

#[test]
fn challenged_connect_takes_two_registers_and_tells_the_granted_time() {
    let mut bench = Bench::new();
    let (key, first) = connect(&mut bench);
    answer(&mut bench, &first, "401 Unauthorized", CHALLENGE);
    let second = bench.next();
    assert!(second.header("Authorization").contains("username=\"1001\""));
    assert!(cseq(&second) > cseq(&first));
    assert_ne!(second.branch(), first.branch());
    answer(&mut bench, &second, "200 OK", "Contact: <sip:1001@10.0.0.5:5062>;expires=120\r\n");
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(120) });
    bench.assert_quiet();
}

#[test]
fn second_401_is_refused_credentials_after_two_registers() {
    let mut bench = Bench::new();
    let (key, first) = connect(&mut bench);
    answer(&mut bench, &first, "401 Unauthorized", CHALLENGE);
    let second = bench.next();
    answer(&mut bench, &second, "401 Unauthorized", &CHALLENGE.replace("n1", "n2"));
    bench.assert_no_more_sent();
    assert_failed(&mut bench, key, 401, Failure::CredentialsRefused);
}

#[test]
fn refusals_are_told_apart_from_silence_and_from_nobody() {
    for (line, status, cause) in [
        ("403 Forbidden", 403, Failure::CredentialsRefused),
        ("404 Not Found", 404, Failure::Refused),
        ("408 Request Timeout", 408, Failure::Refused),
        ("503 Service Unavailable", 503, Failure::Refused),
        ("603 Decline", 603, Failure::Refused),
        ("302 Moved Temporarily", 302, Failure::Refused),
    ] {
        let mut bench = Bench::new();
        let (key, register) = connect(&mut bench);
        answer(&mut bench, &register, line, "Retry-After: 5\r\n");
        assert_failed(&mut bench, key, status, cause);
    }
    let mut bench = Bench::new();
    let (key, _) = connect(&mut bench);
    bench.advance(32_000);
    assert_failed(&mut bench, key, 408, Failure::NoAnswer);

    let mut bench = Bench::new();
    let (key, _) = connect(&mut bench);
    bench.run(|e, now| e.handle_unreachable(now, PEER.parse().unwrap()));
    assert_failed(&mut bench, key, 503, Failure::Unreachable);
}

#[test]
fn too_brief_interval_is_no_failure() {
    let mut bench = Bench::new();
    let (key, first) = connect(&mut bench);
    answer(&mut bench, &first, "423 Interval Too Brief", "Min-Expires: 7200\r\n");
    let second = bench.next();
    assert_eq!(second.header("Expires"), "7200");
    answer(&mut bench, &second, "200 OK", "");
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(7200) });
}

#[test]
fn brief_registration_is_refreshed_in_time_and_removed_at_the_end() {
    let mut bench = Bench::new();
    let (key, mut register) = connect(&mut bench);
    let (call_id, mut last) = (register.header("Call-ID").to_owned(), 0);
    let start = bench.now;
    let mut refreshes = 0;
    loop {
        assert_eq!(register.header("Call-ID"), call_id);
        assert!(cseq(&register) > last);
        last = cseq(&register);
        answer(&mut bench, &register, "200 OK", "Expires: 2\r\n");
        assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(2) });
        bench.advance(1_799);
        bench.assert_quiet();
        bench.advance(1);
        if bench.now - start > Duration::from_secs(5) {
            break;
        }
        register = bench.next();
        refreshes += 1;
    }
    assert!(refreshes >= 2);
    let refresh = bench.next();
    answer(&mut bench, &refresh, "200 OK", "Expires: 2\r\n");
    bench.event();
    bench.run(|e, now| e.unregister(now, key));
    let removal = bench.next();
    assert_eq!((removal.header("Expires"), removal.header("Call-ID")), ("0", call_id.as_str()));
    assert!(cseq(&removal) > cseq(&refresh));
    answer(&mut bench, &removal, "200 OK", "");
    assert_eq!(bench.event(), Event::Unregistered { key });
    bench.assert_empty();
}

#[test]
fn registration_that_succeeded_once_is_kept_up_through_failures() {
    let mut bench = Bench::new();
    let (key, register) = connect(&mut bench);
    answer(&mut bench, &register, "200 OK", "Expires: 100\r\n");
    bench.event();
    bench.advance(90_000);
    let refresh = bench.next();
    answer(&mut bench, &refresh, "500 Server Internal Error", "Retry-After: 7\r\n");
    match bench.event() {
        Event::RegistrationFailed { retry_in, .. } => assert_eq!(retry_in, Some(Duration::from_secs(7))),
        event => panic!("{event:?}"),
    }
    bench.advance(7_000);
    let again = bench.next();
    answer(&mut bench, &again, "200 OK", "Expires: 100\r\n");
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(100) });
}

#[test]
fn contact_user_and_host_of_the_address_are_the_callers_choice() {
    let mut bench = Bench::new();
    let mine = Registration {
        aor: "sip:1001@voice.example.com".into(),
        contact_user: Some("desk 4".into()),
        ..once()
    };
    let key = bench.run(|e, now| e.register(now, mine)).unwrap();
    let register = bench.next();
    assert!(register.header("From").starts_with("<sip:1001@voice.example.com>;tag="));
    assert_eq!(register.header("Contact"), "<sip:desk%204@10.0.0.5:5062>;expires=3600");
    answer(
        &mut bench,
        &register,
        "200 OK",
        "Contact: <sip:x@y>;expires=5, <sip:desk%204@10.0.0.5:5062>;expires=70\r\n",
    );
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(70) });
}

#[test]
fn challenged_invite_is_acknowledged_and_sent_again_with_credentials() {
    let mut bench = Bench::new();
    let dial = Dial {
        credentials: Some(Credentials { username: "1001".into(), password: "pw".into() }),
        ..Dial::new("sip:1234@10.0.0.9", PEER.parse().unwrap(), sdp(OFFER))
    };
    bench.run(|e, now| e.dial(now, dial)).unwrap();
    let first = bench.next();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    bench.receive(&first.response("407 Proxy Authentication Required", "p", challenge, ""));
    assert_eq!(bench.next().start(), "ACK sip:1234@10.0.0.9 SIP/2.0");
    let second = bench.next();
    assert!(second.header("Proxy-Authorization").contains("uri=\"sip:1234@10.0.0.9\""));
    bench.assert_quiet();
}

fn unreachable(bench: &mut Bench) {
    bench.run(|e, now| e.handle_unreachable(now, PEER.parse().unwrap()));
}

#[test]
fn invite_to_nobody_ends_at_once() {
    let mut bench = Bench::new();
    let call = bench.dial("1234567");
    bench.run(|e, now| e.handle_unreachable(now, "10.0.0.9:5061".parse().unwrap()));
    bench.assert_no_events();
    unreachable(&mut bench);
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::TransportError });
    assert_eq!(bench.endpoint.stats().transactions, 0);
    unreachable(&mut bench);
    bench.assert_no_events();
    bench.assert_empty();
}

#[test]
fn peer_that_has_answered_anything_is_there() {
    for provisional in ["100 Trying", "180 Ringing"] {
        let mut bench = Bench::new();
        let call = bench.dial("1234567");
        let invite = bench.next();
        bench.receive(&invite.response(provisional, "peer", "", ""));
        bench.events.clear();
        unreachable(&mut bench);
        bench.assert_quiet();
        bench.receive(&invite.response("200 OK", "peer", ANSWER_HEADERS, ANSWER));
        assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
        unreachable(&mut bench);
        bench.assert_no_events();
        assert_eq!(bench.endpoint.stats().calls, 1);
    }
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    unreachable(&mut bench);
    bench.assert_no_events();
    assert!(bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).is_ok());
}

#[test]
fn requests_inside_a_call_to_nobody_end_as_their_silence_would() {
    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    let peer = "10.0.0.9:5070".parse().unwrap();
    bench.run(|e, now| e.refer(now, call, "sip:2@10.0.0.9")).unwrap();
    bench.run(|e, now| e.send_info_dtmf(now, call, '1', Duration::from_millis(160))).unwrap();
    bench.run(|e, now| e.handle_unreachable(now, peer));
    let mut told = [bench.event(), bench.event()];
    told.sort_by_key(|event| matches!(event, Event::InfoRefused { .. }));
    let reason = "Service Unavailable".into();
    assert_eq!(
        told,
        [Event::ReferRefused { call, status: 503, reason }, Event::InfoRefused { call, status: 503 }]
    );
    bench.run(|e, now| e.reoffer(now, call, sdp(OFFER))).unwrap();
    bench.run(|e, now| e.handle_unreachable(now, peer));
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::TransportError });
    bench.run(|e, now| e.handle_unreachable(now, peer));
    assert_eq!(bench.endpoint.stats().calls, 0, "the BYE came back too");
    bench.assert_no_events();
    bench.assert_empty();
}
