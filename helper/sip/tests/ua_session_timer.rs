//! Session timers (RFC 4028) in both roles: what is agreed, who refreshes and how, and what happens when nobody does.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use std::time::Duration;

use sip::{CallKey, Credentials, Dial, EndCause, EndpointConfig, Event, OfferMethod, SessionTimer};
use ua_support::*;

const SDP_TYPE: &str = "Content-Type: application/sdp\r\n";
const ALLOWS: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n";
const EXPIRED: EndCause = EndCause::SessionExpired;

fn bench_with(expires: u64, min_se: u64) -> Bench {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.session_timer =
        Some(SessionTimer { expires: Duration::from_secs(expires), min_se: Duration::from_secs(min_se) });
    Bench::with(config)
}

fn bench() -> Bench {
    bench_with(1800, 90)
}

/// An outbound call that was answered with these headers.
fn dialled(bench: &mut Bench, headers: &str) -> (CallKey, Sent) {
    let call = bench.dial("1234567");
    let invite = bench.next();
    bench.receive(&invite.response("200 OK", "peer", &format!("{ANSWER_HEADERS}{headers}"), ANSWER));
    assert_eq!(bench.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
    assert!(bench.next().start().starts_with("ACK "));
    (call, invite)
}

/// An inbound call whose INVITE has these headers, acknowledged; returns our 200 too.
fn answered(bench: &mut Bench, headers: &str) -> (CallKey, Sent) {
    bench.receive(&request("INVITE", 1, "", "inv1", &format!("{CONTACT}{SDP_TYPE}{headers}"), OFFER));
    let Event::Incoming(incoming) = bench.event() else { panic!("not a call") };
    bench.run(|e, now| e.answer(now, incoming.call, sdp(ANSWER))).unwrap();
    let ok = bench.sent.pop_back().unwrap();
    assert_eq!(ok.start(), "SIP/2.0 200 OK");
    bench.receive(&in_dialog("ACK", 1, &ok.to_tag(), "ack1"));
    assert_eq!(bench.event(), Event::Acked { call: incoming.call, sdp: None });
    bench.sent.clear();
    (incoming.call, ok)
}

/// Session-Expires and Require of a 2xx of ours.
fn terms(ok: &Sent) -> (&str, Vec<&str>) {
    (ok.header("Session-Expires"), ok.headers("Require"))
}

#[test]
fn invite_asks_for_the_timer_and_leaves_the_refresher_to_the_callee() {
    let mut bench = bench_with(1200, 100);
    bench.dial("1234567");
    let invite = bench.next();
    assert_eq!(invite.header("Supported"), "timer");
    assert_eq!((invite.header("Session-Expires"), invite.header("Min-SE")), ("1200", "100"));
}

#[test]
fn without_the_setting_timer_is_no_extension_of_ours() {
    let mut bench = Bench::new();
    bench.dial("1234567");
    let invite = bench.next();
    for name in ["Supported", "Session-Expires", "Min-SE"] {
        assert!(invite.headers(name).is_empty(), "{name}");
    }
    bench.receive(&request("INVITE", 1, "", "x", &format!("{CONTACT}Require: timer\r\n"), ""));
    assert_eq!(bench.take_lines(), ["SIP/2.0 420 Bad Extension"]);
}

#[test]
fn required_timer_is_accepted_and_told_in_options() {
    let mut bench = bench();
    answered(&mut bench, "Require: timer\r\nSession-Expires: 600\r\n");
    bench.receive(&request("OPTIONS", 1, "", "o1", "", "").replace("a:b##c", "other"));
    assert_eq!(bench.next().header("Supported"), "timer");
    bench.receive(
        &request("INVITE", 1, "", "x", &format!("{CONTACT}Require: timer, foo\r\n"), "")
            .replace("a:b##c", "o2"),
    );
    let refusal = bench.next();
    assert_eq!((refusal.start(), refusal.header("Unsupported")), ("SIP/2.0 420 Bad Extension", "foo"));
}

#[test]
fn settings_below_the_floor_are_raised_to_it() {
    let mut bench = bench_with(10, 5);
    bench.dial("1234567");
    let invite = bench.next();
    assert_eq!((invite.header("Session-Expires"), invite.header("Min-SE")), ("90", "90"));
}

#[test]
fn interval_that_is_too_small_is_422_with_min_se_and_asked_again_with_the_larger_one() {
    let mut bench = bench();
    let call = bench.dial("1234567");
    let first = bench.next();
    bench.receive(&first.response("422 Session Interval Too Small", "x", "Min-SE: 3600\r\n", ""));
    assert_eq!(bench.next().start(), "ACK sip:1234567@10.0.0.9 SIP/2.0");
    let second = bench.next();
    assert_eq!((second.header("Session-Expires"), second.header("Min-SE")), ("3600", "3600"));
    assert_eq!(
        (second.header("Call-ID"), second.header("From")),
        (first.header("Call-ID"), first.header("From"))
    );
    assert_eq!((second.header("CSeq"), second.body()), ("2 INVITE", OFFER));
    assert_ne!(second.branch(), first.branch());
    bench.assert_quiet();
    // The same demand again is a refusal.
    bench.receive(&second.response("422 Session Interval Too Small", "x", "Min-SE: 3600\r\n", ""));
    let cause =
        EndCause::Rejected { status: 422, reason: "Session Interval Too Small".into(), contacts: Vec::new() };
    assert_eq!(bench.event(), Event::Ended { call, cause });
}

#[test]
fn peer_that_keeps_raising_is_followed_three_times() {
    let mut bench = bench();
    bench.dial("1234567");
    for min_se in [2000, 3000, 4000, 5000] {
        let invite = bench.next();
        bench.receive(&invite.response("422 No", "x", &format!("Min-SE: {min_se}\r\n"), ""));
        bench.next();
    }
    assert_eq!(bench.sent.len(), 0);
    assert!(matches!(bench.event(), Event::Ended { .. }));
    bench.assert_empty();
}

#[test]
fn answers_of_an_earlier_challenge_go_with_the_retry_after_422() {
    let mut bench = bench();
    let credentials = Some(Credentials { username: "1001".into(), password: "pw".into() });
    let dial = Dial { credentials, ..Dial::new("sip:7@10.0.0.9", PEER.parse().unwrap(), sdp(OFFER)) };
    bench.run(|e, now| e.dial(now, dial)).unwrap();
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\"\r\n";
    let first = bench.next();
    bench.receive(&first.response("401 Unauthorized", "x", challenge, ""));
    bench.next();
    let second = bench.next();
    bench.receive(&second.response("422 Session Interval Too Small", "x", "Min-SE: 3600\r\n", ""));
    bench.next();
    let third = bench.next();
    assert!(third.header("Authorization").contains("nonce=\"n1\""));
    assert_eq!((third.header("CSeq"), third.header("Min-SE")), ("3 INVITE", "3600"));
}

#[test]
fn request_below_our_minimum_is_422_for_peers_that_know_the_extension_only() {
    let mut bench = bench_with(1800, 300);
    let short = format!("{CONTACT}Session-Expires: 120\r\nSupported: timer\r\n");
    bench.receive(&request("INVITE", 1, "", "x", &short, ""));
    let refusal = bench.next();
    assert_eq!(refusal.start(), "SIP/2.0 422 Session Interval Too Small");
    assert_eq!(refusal.header("Min-SE"), "300");
    assert_eq!(bench.endpoint.stats().calls, 0);
    bench.assert_quiet();
    // A proxy put it there: the caller could not do anything about a 422.
    let (_, ok) = answered(&mut bench, "Session-Expires: 120\r\n");
    assert_eq!(terms(&ok), ("120;refresher=uas", vec![]));
}

/// RFC 4028 table 2, and the interval: never more than was asked for, never less than Min-SE.
#[test]
fn our_2xx_names_interval_and_refresher_by_table_2() {
    for (headers, expires, require) in [
        ("", "1800;refresher=uas", false),
        ("Min-SE: 3600\r\n", "3600;refresher=uas", false),
        ("Session-Expires: 600\r\n", "600;refresher=uas", false),
        ("Session-Expires: 600;refresher=uac\r\n", "600;refresher=uas", false),
        ("Supported: timer\r\n", "1800;refresher=uas", true),
        ("Supported: timer\r\nSession-Expires: 600\r\n", "600;refresher=uas", true),
        ("k: timer\r\nx: 600;refresher=uac\r\n", "600;refresher=uac", true),
        ("Supported: timer\r\nSession-Expires: 600;refresher=UAS\r\n", "600;refresher=uas", true),
        ("Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 90\r\n", "1800;refresher=uas", true),
        ("Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n", "3600;refresher=uas", true),
        ("Supported: timer\r\nSession-Expires: x\r\n", "1800;refresher=uas", true),
    ] {
        let mut bench = bench();
        let (_, ok) = answered(&mut bench, headers);
        let required: &[&str] = if require { &["timer"] } else { &[] };
        assert_eq!(terms(&ok), (expires, required.to_vec()), "{headers}");
        assert_eq!(ok.header("Supported"), "timer");
    }
}

#[test]
fn we_refresh_by_update_at_half_the_interval_when_the_peer_takes_it() {
    let mut bench = bench();
    let (call, _) =
        dialled(&mut bench, &format!("{ALLOWS}Session-Expires: 600;refresher=uac\r\nRequire: timer\r\n"));
    for round in 0..3 {
        bench.advance(299_999);
        bench.assert_quiet();
        bench.advance(1);
        let update = bench.next();
        assert_eq!(update.start(), "UPDATE sip:bob@10.0.0.9:5070 SIP/2.0");
        assert_eq!((update.header("CSeq"), update.body()), (format!("{} UPDATE", round + 2).as_str(), ""));
        assert_eq!(
            (update.header("Session-Expires"), update.header("Supported")),
            ("600;refresher=uac", "timer")
        );
        assert_eq!(update.header("Contact"), "<sip:10.0.0.5:5062>");
        assert!(update.headers("Min-SE").is_empty());
        bench.receive(&update.response("200 OK", "", "Session-Expires: 600;refresher=uac\r\n", ""));
        bench.assert_quiet();
    }
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    bench.assert_empty();
}

#[test]
fn we_refresh_by_reinvite_with_our_sdp_as_it_is_when_the_peer_takes_no_update() {
    let mut bench = bench();
    let (call, ok) =
        answered(&mut bench, "Supported: timer\r\nAllow: INVITE, ACK, BYE\r\nSession-Expires: 600\r\n");
    assert_eq!(terms(&ok), ("600;refresher=uas", vec!["timer"]));
    bench.advance(300_000);
    let again = bench.next();
    assert_eq!(again.start(), "INVITE sip:alice@10.0.0.9:5060 SIP/2.0");
    assert_eq!((again.body(), again.header("Session-Expires")), (ANSWER, "600;refresher=uac"));
    let headers = format!("{ANSWER_HEADERS}Require: timer\r\nSession-Expires: 600;refresher=uac\r\n");
    bench.receive(&again.response("200 OK", "", &headers, OFFER));
    assert!(bench.next().start().starts_with("ACK "));
    assert_eq!(bench.event(), Event::Refreshed { call, sdp: Some(sdp(OFFER)) });
    bench.advance(299_999);
    bench.assert_quiet();
    bench.advance(1);
    assert!(bench.next().start().starts_with("INVITE "));
}

#[test]
fn peer_without_timer_is_refreshed_by_us_alone() {
    let mut bench = bench();
    let (call, _) = dialled(&mut bench, "");
    bench.advance(900_000);
    let again = bench.next();
    assert_eq!((again.start(), again.body()), ("INVITE sip:bob@10.0.0.9:5070 SIP/2.0", OFFER));
    // A refusal proves that the peer is there: its call is not ended for it, and it is not pestered.
    bench.receive(&again.response("488 Not Acceptable Here", "", "", ""));
    bench.next();
    let mut tries = 0;
    for _ in 0..180 {
        bench.advance(10_000);
        while let Some(sent) = bench.sent.pop_front() {
            if sent.start().starts_with("INVITE ") {
                tries += 1;
                bench.receive(&sent.response("488 Not Acceptable Here", "", "", ""));
            }
        }
    }
    assert!((1..=20).contains(&tries), "{tries} attempts in half an hour");
    bench.assert_no_events();
    assert_eq!(bench.endpoint.stats().calls, 1);
    // One that is gone is noticed.
    while bench.events.is_empty() {
        bench.advance(10_000);
    }
    assert_eq!(bench.event(), Event::Ended { call, cause: EXPIRED });
    bench.assert_empty();
}

#[test]
fn refresh_that_meets_silence_481_or_408_ends_the_call_with_bye() {
    for (status, by_update) in [
        (None, true),
        (Some("481 Gone"), true),
        (Some("408 Late"), true),
        (None, false),
        (Some("481 Gone"), false),
    ] {
        let mut bench = bench();
        let allow = if by_update { ALLOWS } else { "" };
        let (call, _) = dialled(&mut bench, &format!("{allow}Session-Expires: 600;refresher=uac\r\n"));
        bench.advance(300_000);
        let refresh = bench.next();
        match status {
            None => bench.advance(32_000),
            Some(status) => bench.receive(&refresh.response(status, "", "", "")),
        }
        assert_eq!(bench.event(), Event::Ended { call, cause: EXPIRED }, "{status:?}");
        assert_eq!(bench.sent.back().unwrap().start(), "BYE sip:bob@10.0.0.9:5070 SIP/2.0");
        bench.assert_empty();
    }
    assert_eq!((EXPIRED.status(), EXPIRED.label()), (Some(408), "session-expired"));
}

#[test]
fn refresh_is_tried_again_by_the_rules_of_each_refusal() {
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\"\r\n";
    for (status, headers, again, after) in [
        ("405 Method Not Allowed", "", "INVITE", 0),
        ("501 Not Implemented", "", "INVITE", 0),
        ("422 Too Small", "Min-SE: 900\r\n", "UPDATE", 0),
        ("401 Unauthorized", challenge, "UPDATE", 0),
        ("503 Busy", "Retry-After: 20\r\n", "UPDATE", 20_000),
        ("500 Oops", "", "UPDATE", 150_000),
    ] {
        let mut bench = bench();
        let credentials = Some(Credentials { username: "1001".into(), password: "pw".into() });
        let dial = Dial { credentials, ..Dial::new("sip:7@10.0.0.9", PEER.parse().unwrap(), sdp(OFFER)) };
        bench.run(|e, now| e.dial(now, dial)).unwrap();
        let invite = bench.next();
        let terms = format!("{ANSWER_HEADERS}{ALLOWS}Session-Expires: 600;refresher=uac\r\n");
        bench.receive(&invite.response("200 OK", "peer", &terms, ANSWER));
        bench.event();
        bench.next();
        bench.advance(300_000);
        let update = bench.next();
        let from = (bench.now - bench.start).as_millis() as u64;
        bench.receive(&update.response(status, "", headers, ""));
        bench.advance(after);
        let second = bench.next();
        assert_eq!(second.start(), format!("{again} sip:bob@10.0.0.9:5070 SIP/2.0"), "{status}");
        assert_eq!(second.at, from + after, "{status}");
        assert_eq!(second.header("CSeq"), format!("3 {again}"));
        if status.starts_with("422") {
            assert_eq!(
                (second.header("Session-Expires"), second.header("Min-SE")),
                ("900;refresher=uac", "900")
            );
        }
        assert_eq!(second.headers("Authorization").len(), usize::from(status.starts_with("401")));
        bench.assert_quiet();
    }
}

#[test]
fn agreed_session_that_no_refresh_succeeds_for_ends_at_its_end() {
    let mut bench = bench();
    let (call, _) = dialled(&mut bench, &format!("{ALLOWS}Session-Expires: 600;refresher=uac\r\n"));
    bench.advance(300_000);
    let mut tries = 0;
    while bench.events.is_empty() {
        while let Some(sent) = bench.sent.pop_front() {
            tries += 1;
            bench.receive(&sent.response("500 Oops", "", "", ""));
        }
        bench.advance(1_000);
    }
    assert_eq!(bench.event(), Event::Ended { call, cause: EXPIRED });
    assert_eq!((bench.now - bench.start).as_secs(), 600);
    assert!((3..=10).contains(&tries), "{tries}");
}

#[test]
fn peer_that_does_not_refresh_is_ended_shortly_before_the_interval_is_over() {
    for (expires, ends) in [(600, 568_000), (90, 60_000)] {
        let mut bench = bench();
        let (call, _) =
            dialled(&mut bench, &format!("Require: timer\r\nSession-Expires: {expires};refresher=uas\r\n"));
        bench.advance(ends - 1);
        bench.assert_quiet();
        bench.advance(1);
        assert_eq!(bench.event(), Event::Ended { call, cause: EXPIRED });
        assert_eq!(bench.take_lines(), ["BYE sip:bob@10.0.0.9:5070 SIP/2.0"]);
        bench.assert_empty();
    }
}

#[test]
fn update_without_sdp_refreshes_and_is_answered_without_the_owner() {
    let mut bench = bench();
    let (call, ok) = answered(&mut bench, "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n");
    let tag = ok.to_tag();
    for round in 0..3 {
        bench.advance(300_000);
        let headers = format!("{CONTACT}Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n");
        bench.receive(&request("UPDATE", 2 + round, &tag, &format!("u{round}"), &headers, ""));
        let ok = bench.next();
        assert_eq!((ok.start(), terms(&ok)), ("SIP/2.0 200 OK", ("600;refresher=uac", vec!["timer"])));
        bench.assert_quiet();
    }
    bench.advance(567_999);
    bench.assert_quiet();
    bench.advance(1);
    assert_eq!(bench.event(), Event::Ended { call, cause: EXPIRED });
}

#[test]
fn answer_to_a_refresh_does_not_go_below_the_minimum_that_the_peer_has_named_before() {
    let mut bench = bench_with(1800, 90);
    let timer = "Supported: timer\r\nSession-Expires: 3600;refresher=uac\r\nMin-SE: 2400\r\n";
    let (_, ok) = answered(&mut bench, timer);
    assert_eq!(ok.header("Session-Expires"), "2400;refresher=uac");
    let timer = "Supported: timer\r\nSession-Expires: 2400;refresher=uac\r\n";
    bench.receive(&request("UPDATE", 2, &ok.to_tag(), "u1", timer, ""));
    assert_eq!(bench.next().header("Session-Expires"), "2400;refresher=uac");
}

#[test]
fn update_below_our_minimum_is_422_and_changes_nothing() {
    let mut bench = bench_with(1800, 300);
    let (_, ok) = answered(&mut bench, "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n");
    bench.receive(&request(
        "UPDATE",
        2,
        &ok.to_tag(),
        "u1",
        "Supported: timer\r\nSession-Expires: 100\r\n",
        "",
    ));
    let refusal = bench.next();
    assert_eq!(
        (refusal.start(), refusal.header("Min-SE")),
        ("SIP/2.0 422 Session Interval Too Small", "300")
    );
    bench.advance(568_000);
    assert!(matches!(bench.event(), Event::Ended { cause: EXPIRED, .. }));
}

#[test]
fn reinvite_and_update_with_sdp_refresh_when_the_owner_answers() {
    for method in [OfferMethod::Invite, OfferMethod::Update] {
        let mut bench = bench();
        let (call, ok) = answered(&mut bench, "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n");
        bench.advance(500_000);
        let name = if method == OfferMethod::Invite { "INVITE" } else { "UPDATE" };
        let headers =
            format!("{CONTACT}{SDP_TYPE}Supported: timer\r\nSession-Expires: 400;refresher=uac\r\n");
        bench.receive(&request(name, 2, &ok.to_tag(), "change", &headers, OFFER));
        assert_eq!(bench.event(), Event::Offer { call, sdp: Some(sdp(OFFER)), method });
        bench.sent.clear();
        bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))).unwrap();
        let accepted = bench.next();
        assert_eq!(terms(&accepted), ("400;refresher=uac", vec!["timer"]));
        bench.receive(&in_dialog("ACK", 2, &ok.to_tag(), "ack2"));
        bench.events.clear();
        bench.advance(367_999);
        bench.assert_quiet();
        bench.advance(1);
        assert_eq!(bench.event(), Event::Ended { call, cause: EXPIRED });
    }
}

#[test]
fn our_reoffer_refreshes_and_keeps_the_roles_and_the_next_refresh_repeats_it() {
    let mut bench = bench();
    let (call, _) = dialled(&mut bench, "Require: timer\r\nSession-Expires: 600;refresher=uas\r\n");
    bench.advance(500_000);
    bench.run(|e, now| e.reoffer(now, call, sdp(ANSWER))).unwrap();
    let change = bench.next();
    assert_eq!(change.header("Session-Expires"), "600;refresher=uas");
    let headers = format!("{ANSWER_HEADERS}Session-Expires: 600;refresher=uac\r\n");
    bench.receive(&change.response("200 OK", "", &headers, OFFER));
    assert_eq!(bench.event(), Event::Reanswered { call, sdp: Some(sdp(OFFER)) });
    bench.next();
    // The peer has handed the refreshing over.
    bench.advance(300_000);
    let refresh = bench.next();
    assert_eq!((refresh.body(), refresh.header("Session-Expires")), (ANSWER, "600;refresher=uac"));
}

#[test]
fn owners_change_waits_for_a_refresh_that_is_out() {
    for (status, outcome) in [("200 OK", 2), ("500 Oops", 1)] {
        let mut bench = bench();
        let (call, _) = dialled(&mut bench, "Session-Expires: 600;refresher=uac\r\n");
        bench.advance(300_000);
        let refresh = bench.next();
        bench.run(|e, now| e.reoffer(now, call, sdp(ANSWER))).unwrap();
        bench.assert_quiet();
        bench.receive(&refresh.response(status, "", ANSWER_HEADERS, ANSWER));
        bench.next();
        let change = bench.next();
        assert_eq!((change.header("CSeq"), change.body()), ("3 INVITE", ANSWER));
        bench.receive(&change.response("200 OK", "", ANSWER_HEADERS, OFFER));
        assert_eq!(bench.events.len(), outcome);
        assert_eq!(bench.events.pop_back(), Some(Event::Reanswered { call, sdp: Some(sdp(OFFER)) }));
    }
}

#[test]
fn refresh_after_a_glare_is_sent_again() {
    let mut bench = bench();
    dialled(&mut bench, "Session-Expires: 600;refresher=uac\r\n");
    bench.advance(300_000);
    let refresh = bench.next();
    bench.receive(&refresh.response("491 Request Pending", "", "", ""));
    bench.next();
    bench.advance(4_000);
    let again = bench.next();
    assert_eq!((again.header("CSeq"), again.body()), ("3 INVITE", OFFER));
    bench.receive(&again.response("200 OK", "", ANSWER_HEADERS, ANSWER));
    assert!(matches!(bench.event(), Event::Refreshed { .. }));
}

#[test]
fn refresh_that_waits_is_dropped_when_the_peers_own_change_comes_first() {
    let mut bench = bench();
    let (call, invite) = dialled(&mut bench, "Session-Expires: 600;refresher=uac\r\n");
    bench.advance(300_000);
    let refresh = bench.next();
    bench.receive(&refresh.response("491 Request Pending", "", "", ""));
    let headers = format!("{ANSWER_HEADERS}Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n");
    bench.receive(&invite.peer_request("INVITE", 1, &headers, OFFER));
    bench.run(|e, now| e.answer_offer(now, call, sdp(ANSWER))).unwrap();
    bench.receive(&invite.peer_request("ACK", 1, "", ""));
    bench.sent.clear();
    bench.events.clear();
    bench.advance(299_999);
    bench.assert_quiet();
    bench.advance(1);
    assert_eq!(bench.next().body(), ANSWER);
}

#[test]
fn owners_change_takes_the_place_of_a_refresh_that_waits() {
    let mut bench = bench();
    let (call, _) = dialled(&mut bench, "Session-Expires: 600;refresher=uac\r\n");
    bench.advance(300_000);
    let refresh = bench.next();
    bench.receive(&refresh.response("491 Request Pending", "", "", ""));
    bench.next();
    bench.run(|e, now| e.reoffer(now, call, sdp(ANSWER))).unwrap();
    bench.assert_quiet();
    bench.advance(4_000);
    let change = bench.next();
    assert_eq!(change.body(), ANSWER);
    bench.receive(&change.response("200 OK", "", ANSWER_HEADERS, OFFER));
    assert_eq!(bench.event(), Event::Reanswered { call, sdp: Some(sdp(OFFER)) });
}

#[test]
fn interval_in_a_2xx_below_the_floor_does_not_drive_us() {
    let mut bench = bench();
    dialled(&mut bench, &format!("{ALLOWS}Session-Expires: 2;refresher=uac\r\n"));
    bench.advance(44_999);
    bench.assert_quiet();
    bench.advance(1);
    assert!(bench.next().start().starts_with("UPDATE "));
}

#[test]
fn hangup_while_a_refresh_is_out_sends_bye_and_leaves_nothing() {
    for allow in [ALLOWS, ""] {
        let mut bench = bench();
        let (call, _) = dialled(&mut bench, &format!("{allow}Session-Expires: 600;refresher=uac\r\n"));
        bench.advance(300_000);
        let refresh = bench.next();
        bench.run(|e, now| e.hangup(now, call)).unwrap();
        assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalBye });
        let bye = bench.next();
        assert!(bye.start().starts_with("BYE "));
        bench.receive(&refresh.response("481 Gone", "", "", ""));
        bench.receive(&bye.response("200 OK", "", "", ""));
        assert!(bench.endpoint.is_settled());
        bench.assert_no_events();
        bench.assert_empty();
    }
}

#[test]
fn delayed_offer_call_is_refreshed_with_the_answer_that_the_ack_carried() {
    let mut bench = bench();
    let dial = Dial::new("sip:1234567@10.0.0.9", PEER.parse().unwrap(), None);
    let call = bench.run(|e, now| e.dial(now, dial)).unwrap();
    let invite = bench.next();
    bench.receive(&invite.response("200 OK", "peer", ANSWER_HEADERS, OFFER));
    bench.run(|e, now| e.ack_with(now, call, sdp(ANSWER))).unwrap();
    bench.next();
    bench.advance(900_000);
    let refresh = bench.next();
    assert_eq!((refresh.start(), refresh.body()), ("INVITE sip:bob@10.0.0.9:5070 SIP/2.0", ANSWER));
}
