//! Registrations: REGISTER on the wire, challenges, refreshes, refusals, the back-off, the end.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use std::time::Duration;

use sip::{
    Credentials, EndpointConfig, EndpointLimits, Event, RegisterError, Registration, RegistrationFailure,
    RegistrationKey,
};
use ua_support::*;

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"\r\n";

fn registration() -> Registration {
    let credentials = Some(Credentials { username: "1001".into(), password: "pw".into() });
    Registration {
        credentials,
        ..Registration::new("sip:1001@10.0.0.9", "sip:10.0.0.9", PEER.parse().unwrap())
    }
}

/// Begins to register. Returns the first REGISTER.
fn begin(bench: &mut Bench) -> (RegistrationKey, Sent) {
    let key = bench.run(|e, now| e.register(now, registration())).unwrap();
    (key, bench.next())
}

/// Registers without a challenge.
fn registered(bench: &mut Bench, granted: u64) -> (RegistrationKey, Sent) {
    let (key, register) = begin(bench);
    answer(bench, &register, "200 OK", &format!("Expires: {granted}\r\n"));
    let expires = Duration::from_secs(granted);
    assert_eq!(bench.event(), Event::Registered { key, expires });
    (key, register)
}

fn answer(bench: &mut Bench, register: &Sent, status: &str, headers: &str) {
    bench.receive(&register.response(status, "registrar", headers, ""));
}

fn cseq(register: &Sent) -> u32 {
    register.header("CSeq").strip_suffix(" REGISTER").unwrap().parse().unwrap()
}

/// The status of the failure that is reported next, and the time to the next attempt.
fn failure(bench: &mut Bench, key: RegistrationKey) -> (u16, String, Duration) {
    match bench.event() {
        Event::RegistrationFailed { key: failed, status, reason, retry_in: Some(retry_in), .. }
            if failed == key =>
        {
            (status, reason, retry_in)
        }
        event => panic!("{event:?}"),
    }
}

/// Lets `wait` pass: nothing is sent before it is over, and one REGISTER then.
fn next_after(bench: &mut Bench, wait: Duration) -> Sent {
    let millis = wait.as_millis() as u64;
    bench.advance(millis - 1);
    bench.assert_quiet();
    bench.advance(1);
    let register = bench.next();
    assert!(register.start().starts_with("REGISTER "), "{}", register.text);
    bench.assert_quiet();
    register
}

#[test]
fn register_has_the_golden_form() {
    let mut bench = Bench::new();
    let (_, register) = begin(&mut bench);
    assert_eq!(register.to.to_string(), PEER);
    let (branch, tag) = (register.branch(), register.caller_tag());
    let call_id = register.header("Call-ID").to_owned();
    assert!(call_id.len() == 36 + "@10.0.0.5".len() && call_id.ends_with("@10.0.0.5"), "{call_id}");
    assert_eq!(
        register.text,
        format!(
            "REGISTER sip:10.0.0.9 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.5:5062;branch={branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:1001@10.0.0.9>;tag={tag}\r\n\
             To: <sip:1001@10.0.0.9>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 REGISTER\r\n\
             Contact: <sip:1001@10.0.0.5:5062>;expires=3600\r\n\
             Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY\r\n\
             User-Agent: SIP-Relay-Server/1.0\r\n\
             Expires: 3600\r\n\
             Content-Length: 0\r\n\r\n"
        )
    );
}

#[test]
fn challenge_is_answered_once_with_a_higher_cseq_and_a_new_branch() {
    let mut bench = Bench::new();
    let (key, first) = begin(&mut bench);
    answer(&mut bench, &first, "401 Unauthorized", CHALLENGE);
    let second = bench.next();
    let authorization = second.header("Authorization");
    assert!(
        authorization
            .starts_with("Digest username=\"1001\", realm=\"r\", nonce=\"n1\", uri=\"sip:10.0.0.9\"")
    );
    assert!(authorization.contains("qop=auth, nc=00000001"));
    assert_eq!((cseq(&first), cseq(&second)), (1, 2));
    assert_ne!(first.branch(), second.branch());
    assert_eq!(first.header("Call-ID"), second.header("Call-ID"));
    assert_eq!(first.caller_tag(), second.caller_tag());
    bench.assert_quiet();
    answer(&mut bench, &second, "200 OK", "Expires: 60\r\n");
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(60) });
}

#[test]
fn proxy_and_registrar_are_both_answered() {
    let mut bench = Bench::new();
    let (_, first) = begin(&mut bench);
    let proxy = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"np\"\r\n";
    answer(&mut bench, &first, "407 Proxy Authentication Required", proxy);
    let second = bench.next();
    answer(&mut bench, &second, "401 Unauthorized", CHALLENGE);
    let third = bench.next();
    assert_eq!((third.headers("Proxy-Authorization").len(), third.headers("Authorization").len()), (1, 1));
    assert_eq!(cseq(&third), 3);
}

#[test]
fn second_refusal_of_the_credentials_is_a_failure_and_tried_again_seldom() {
    let mut bench = Bench::new();
    let (key, first) = begin(&mut bench);
    answer(&mut bench, &first, "401 Unauthorized", CHALLENGE);
    let second = bench.next();
    answer(&mut bench, &second, "401 Unauthorized", &CHALLENGE.replace("n1", "n2"));
    let (status, reason, retry_in) = failure(&mut bench, key);
    assert_eq!((status, reason.as_str()), (401, "Unauthorized"));
    assert!((40..=80).contains(&retry_in.as_secs()), "{retry_in:?}");
    bench.assert_quiet();

    let third = next_after(&mut bench, retry_in);
    assert_eq!((cseq(&third), third.header("Call-ID")), (3, first.header("Call-ID")));
    answer(&mut bench, &third, "200 OK", "");
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(3600) });
}

#[test]
fn forbidden_and_a_challenge_without_credentials_are_failures_at_once() {
    let mut bench = Bench::new();
    let (key, first) = begin(&mut bench);
    answer(&mut bench, &first, "403 Go Away", "");
    assert_eq!(failure(&mut bench, key).1, "Go Away");

    let mut bench = Bench::new();
    let anonymous = Registration { credentials: None, ..registration() };
    let key = bench.run(|e, now| e.register(now, anonymous)).unwrap();
    let first = bench.next();
    answer(&mut bench, &first, "401 Unauthorized", CHALLENGE);
    assert_eq!(failure(&mut bench, key).0, 401);
    bench.assert_quiet();
}

#[test]
fn refresh_comes_at_nine_tenths_of_the_granted_time_and_reuses_the_nonce() {
    let mut bench = Bench::new();
    let (key, first) = begin(&mut bench);
    answer(&mut bench, &first, "401 Unauthorized", CHALLENGE);
    let second = bench.next();
    answer(&mut bench, &second, "200 OK", "Contact: <sip:1001@10.0.0.5:5062>;expires=100\r\nExpires: 7\r\n");
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(100) });
    let third = next_after(&mut bench, Duration::from_secs(90));
    assert_eq!((cseq(&third), third.header("Call-ID")), (3, first.header("Call-ID")));
    assert!(third.header("Authorization").contains("nonce=\"n1\""));
    assert!(third.header("Authorization").contains("nc=00000002"));

    let stale = CHALLENGE.replace("n1", "n2").replace("\r\n", ", stale=true\r\n");
    answer(&mut bench, &third, "401 Unauthorized", &stale);
    let fourth = bench.next();
    assert!(fourth.header("Authorization").contains("nonce=\"n2\""));
    assert!(fourth.header("Authorization").contains("nc=00000001"));
    answer(&mut bench, &fourth, "200 OK", "Expires: 10\r\n");
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(10) });
    next_after(&mut bench, Duration::from_secs(9));
}

#[test]
fn granted_time_is_that_of_our_contact_then_of_expires_then_the_one_asked_for() {
    let rows = [
        ("Contact: <sip:x@10.1.1.1>;expires=5, <sip:1001@10.0.0.5:5062>;expires=70\r\n", 70),
        (
            "Contact: <sip:x@10.1.1.1>;expires=5\r\nContact: \"me\" <sip:1001@10.0.0.5:5062>\r\nExpires: 80\r\n",
            80,
        ),
        ("Contact: <sip:1001@192.0.2.1:1024>;expires=90\r\n", 90),
        ("Contact: <sip:x@10.1.1.1>;expires=5, <sip:y@10.1.1.1>;expires=6\r\n", 3600),
        ("Contact: <sip:1001@10.0.0.5:5062>;expires=soon\r\nExpires: never\r\n", 3600),
        ("Expires: 4294967295\r\n", 86_400),
        ("", 3600),
    ];
    for (headers, seconds) in rows {
        let mut bench = Bench::new();
        let (key, register) = begin(&mut bench);
        answer(&mut bench, &register, "200 OK", headers);
        let expires = Duration::from_secs(seconds);
        assert_eq!(bench.event(), Event::Registered { key, expires }, "{headers}");
    }
}

#[test]
fn success_that_grants_nothing_is_a_failure() {
    let mut bench = Bench::new();
    let (key, register) = begin(&mut bench);
    answer(&mut bench, &register, "200 OK", "Expires: 0\r\n");
    assert_eq!(failure(&mut bench, key).1, "Not Bound");
}

#[test]
fn interval_too_brief_is_raised_at_once_and_remembered() {
    let mut bench = Bench::new();
    let brief = Registration { expires: Duration::from_secs(60), ..registration() };
    let key = bench.run(|e, now| e.register(now, brief)).unwrap();
    let first = bench.next();
    assert_eq!(first.header("Expires"), "60");
    answer(&mut bench, &first, "423 Interval Too Brief", "Min-Expires: 300\r\n");
    let second = bench.next();
    assert_eq!(second.header("Expires"), "300");
    assert!(second.header("Contact").ends_with(";expires=300"));
    assert_eq!(cseq(&second), 2);
    answer(&mut bench, &second, "200 OK", "");
    assert_eq!(bench.event(), Event::Registered { key, expires: Duration::from_secs(300) });
    assert_eq!(next_after(&mut bench, Duration::from_secs(270)).header("Expires"), "300");
}

#[test]
fn min_expires_that_makes_no_sense_is_a_failure() {
    for headers in ["", "Min-Expires: 3600\r\n", "Min-Expires: 86401\r\n", "Min-Expires: x\r\n"] {
        let mut bench = Bench::new();
        let (key, register) = begin(&mut bench);
        answer(&mut bench, &register, "423 Interval Too Brief", headers);
        assert_eq!(failure(&mut bench, key).0, 423, "{headers}");
        bench.assert_quiet();
    }
}

#[test]
fn interval_that_is_too_brief_for_ever_ends_in_the_back_off() {
    let mut bench = Bench::new();
    let (key, mut register) = begin(&mut bench);
    for least in [4000, 5000, 6000, 7000] {
        answer(&mut bench, &register, "423 Interval Too Brief", &format!("Min-Expires: {least}\r\n"));
        if least < 7000 {
            register = bench.next();
        }
    }
    assert_eq!(failure(&mut bench, key).0, 423);
    bench.assert_quiet();
}

#[test]
fn retry_after_is_kept_up_to_an_hour() {
    for (header, seconds) in [("Retry-After: 90\r\n", 90), ("Retry-After: 999999\r\n", 3600)] {
        let mut bench = Bench::new();
        let (key, register) = begin(&mut bench);
        answer(&mut bench, &register, "503 Service Unavailable", header);
        let retry_in = Duration::from_secs(seconds);
        let reason = "Service Unavailable".into();
        let cause = RegistrationFailure::Refused;
        let failed = Event::RegistrationFailed { key, status: 503, reason, cause, retry_in: Some(retry_in) };
        assert_eq!(bench.event(), failed);
        next_after(&mut bench, retry_in);
    }
}

#[test]
fn failures_are_retried_for_ever_from_5_seconds_to_10_minutes() {
    let mut bench = Bench::new();
    let (key, mut register) = begin(&mut bench);
    let mut waits = Vec::new();
    for _ in 0..40 {
        answer(&mut bench, &register, "500 Server Internal Error", "Retry-After: 0\r\n");
        let (.., retry_in) = failure(&mut bench, key);
        waits.push(retry_in);
        register = next_after(&mut bench, retry_in);
    }
    for (failures, wait) in waits.iter().enumerate() {
        let longest = Duration::from_secs((10 << failures.min(6)).min(600));
        assert!((longest / 2..=longest).contains(wait), "{failures}: {wait:?}");
    }
    assert!(waits[10..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter");

    answer(&mut bench, &register, "200 OK", "");
    assert!(matches!(bench.event(), Event::Registered { .. }));
    register = next_after(&mut bench, Duration::from_secs(3240));
    answer(&mut bench, &register, "500 Server Internal Error", "");
    assert!(failure(&mut bench, key).2 <= Duration::from_secs(10), "a success begins the back-off anew");
}

#[test]
fn silence_is_repeated_for_32_seconds_and_then_a_timeout() {
    let mut bench = Bench::new();
    let (key, register) = begin(&mut bench);
    bench.advance(32_000);
    let (status, _, retry_in) = failure(&mut bench, key);
    assert_eq!(status, 408);
    let sent = bench.take_starts();
    assert_eq!(
        sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]
    );
    assert!(sent.iter().all(|(_, line)| *line == register.start()));
    let second = next_after(&mut bench, retry_in);
    assert_eq!((cseq(&second), second.header("Call-ID")), (2, register.header("Call-ID")));
}

#[test]
fn registrar_that_cannot_be_reached_is_a_503() {
    let mut bench = Bench::new();
    let (key, _) = begin(&mut bench);
    bench.run(|e, now| e.handle_transport_error(now, PEER.parse().unwrap()));
    assert_eq!(failure(&mut bench, key).0, 503);
}

#[test]
fn repeated_answers_change_nothing() {
    let mut bench = Bench::new();
    let (_, register) = registered(&mut bench, 100);
    answer(&mut bench, &register, "200 OK", "Expires: 5\r\n");
    answer(&mut bench, &register, "500 Server Internal Error", "");
    bench.assert_quiet();
    next_after(&mut bench, Duration::from_secs(90));
}

#[test]
fn unregister_removes_the_contact_and_leaves_nothing() {
    let mut bench = Bench::new();
    let (key, first) = begin(&mut bench);
    answer(&mut bench, &first, "401 Unauthorized", CHALLENGE);
    let second = bench.next();
    answer(&mut bench, &second, "200 OK", "Expires: 60\r\n");
    bench.event();
    assert!(bench.endpoint.is_settled());

    bench.run(|e, now| e.unregister(now, key));
    assert!(!bench.endpoint.is_settled());
    let removal = bench.next();
    assert_eq!(removal.start(), "REGISTER sip:10.0.0.9 SIP/2.0");
    assert_eq!(
        (removal.header("Contact"), removal.header("Expires")),
        ("<sip:1001@10.0.0.5:5062>;expires=0", "0")
    );
    assert_eq!((cseq(&removal), removal.header("Call-ID")), (3, first.header("Call-ID")));
    bench.assert_quiet();
    answer(&mut bench, &removal, "401 Unauthorized", &CHALLENGE.replace("n1", "n2"));
    let removal = bench.next();
    assert_eq!((removal.header("Expires"), cseq(&removal)), ("0", 4));
    answer(&mut bench, &removal, "200 OK", "");
    assert_eq!(bench.event(), Event::Unregistered { key });
    assert!(bench.endpoint.is_settled());
    bench.run(|e, now| e.unregister(now, key));
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn unregister_waits_for_the_answer_that_is_due() {
    let mut bench = Bench::new();
    let (key, first) = begin(&mut bench);
    bench.run(|e, now| e.unregister(now, key));
    bench.assert_quiet();
    answer(&mut bench, &first, "200 OK", "");
    assert!(matches!(bench.event(), Event::Registered { .. }));
    let removal = bench.next();
    assert_eq!(removal.header("Expires"), "0");
    answer(&mut bench, &removal, "200 OK", "");
    assert_eq!(bench.event(), Event::Unregistered { key });
    bench.assert_empty();
}

#[test]
fn unregister_of_what_the_registrar_does_not_know_sends_nothing() {
    let mut bench = Bench::new();
    let (key, first) = begin(&mut bench);
    answer(&mut bench, &first, "403 Forbidden", "");
    failure(&mut bench, key);
    bench.run(|e, now| e.unregister(now, key));
    assert_eq!(bench.event(), Event::Unregistered { key });
    bench.assert_quiet();

    let (key, first) = begin(&mut bench);
    bench.run(|e, now| e.unregister(now, key));
    answer(&mut bench, &first, "403 Forbidden", "");
    assert_eq!(bench.event(), Event::Unregistered { key });
    bench.assert_quiet();
    bench.assert_empty();
}

#[test]
fn unregister_after_a_failed_refresh_still_removes_the_old_binding() {
    let mut bench = Bench::new();
    let (key, _) = registered(&mut bench, 100);
    let refresh = next_after(&mut bench, Duration::from_secs(90));
    answer(&mut bench, &refresh, "500 Server Internal Error", "Retry-After: 60\r\n");
    failure(&mut bench, key);
    bench.run(|e, now| e.unregister(now, key));
    assert_eq!(bench.next().header("Expires"), "0");
    bench.advance(40_000);
    assert_eq!(bench.event(), Event::Unregistered { key }, "nobody answered");
    bench.assert_no_events();
    bench.assert_empty();
}

#[test]
fn what_cannot_be_sent_is_refused_and_there_is_a_limit() {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.limits = EndpointLimits { max_registrations: 1, ..config.limits };
    let mut bench = Bench::with(config);
    let user = |username: &str| Some(Credentials { username: username.into(), password: String::new() });
    let bad = [
        ("aor", Registration { aor: "sip:a b@h".into(), ..registration() }),
        ("aor", Registration { aor: "sip:a@h>\r\nX: y".into(), ..registration() }),
        ("contact_user", Registration { contact_user: Some("a\r\nX: y".into()), ..registration() }),
        ("registrar", Registration { registrar: "pbx".into(), ..registration() }),
        ("credentials", Registration { credentials: user("a\r\nX: y"), ..registration() }),
        ("credentials", Registration { credentials: user(""), ..registration() }),
        ("expires", Registration { expires: Duration::ZERO, ..registration() }),
        ("expires", Registration { expires: Duration::from_secs(86_401), ..registration() }),
    ];
    for (field, registration) in bad {
        let refused = bench.run(|e, now| e.register(now, registration));
        assert_eq!(refused, Err(RegisterError::Invalid { field }));
    }
    bench.assert_quiet();
    begin(&mut bench);
    let refused = bench.run(|e, now| e.register(now, registration()));
    assert_eq!(refused, Err(RegisterError::Limit { limit: 1 }));
    assert_eq!(bench.endpoint.stats().registrations, 1);
}
