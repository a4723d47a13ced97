//! Digest authentication of strangers: who is challenged, what is let in, and what it costs.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use std::time::Duration;

use sip::auth::{Challenge, DigestInput, authorization};
use sip::{AuthServer, Credentials, EndpointConfig, Event};
use ua_support::*;

fn guarded() -> Bench {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    config.auth = Some(AuthServer::new("sip-relay").user("1001", "pw"));
    Bench::with(config)
}

/// The answer to the challenge at this place in a 401.
fn credentials(challenge: &Sent, at: usize, user: (&str, &str), method: &str, nonce_count: u32) -> String {
    let challenge = Challenge::parse_all(challenge.headers("WWW-Authenticate")[at]).remove(0);
    let credentials = &Credentials { username: user.0.into(), password: user.1.into() };
    let uri = &format!("sip:relay@{OURS}");
    let input = DigestInput { credentials, method, uri, body: b"", cnonce: "0a4f113b", nonce_count };
    format!("Authorization: {}\r\n", authorization(&challenge, &input))
}

fn invite_with(cseq: u32, headers: &str) -> String {
    let headers = format!("{CONTACT}{headers}Content-Type: application/sdp\r\n");
    request("INVITE", cseq, "", &format!("inv{cseq}"), &headers, OFFER)
}

/// The 401 that a request gets, which leaves nothing behind.
fn challenge(bench: &mut Bench, text: &str) -> Sent {
    bench.receive(text);
    let refusal = bench.next();
    assert_eq!(refusal.start(), "SIP/2.0 401 Unauthorized", "{text}");
    assert!(bench.sent.is_empty());
    let stats = bench.endpoint.stats();
    assert_eq!((stats.transactions, stats.calls, stats.timers), (0, 0, 0));
    refusal
}

const RIGHT: (&str, &str) = ("1001", "pw");

#[test]
fn stranger_is_challenged_by_both_algorithms_and_a_retransmission_gets_the_same_answer() {
    let mut bench = guarded();
    let refusal = challenge(&mut bench, &invite());
    let offered: Vec<_> = refusal.headers("WWW-Authenticate").into_iter().map(Challenge::parse_all).collect();
    let nonce = offered[0][0].nonce.clone();
    let brief = |algorithm: &str| {
        format!("Digest realm=\"sip-relay\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"")
    };
    assert_eq!(refusal.headers("WWW-Authenticate"), [brief("SHA-256"), brief("MD5")]);
    assert_eq!(challenge(&mut bench, &invite()).text, refusal.text);
    bench.assert_no_events();
    assert_eq!(bench.endpoint.stats().unauthorised, 2);
    bench.receive(&in_dialog("ACK", 1, &refusal.to_tag(), "inv1"));
    bench.assert_quiet();
}

#[test]
fn right_password_by_either_algorithm_becomes_a_call_and_its_requests_need_no_more() {
    for at in [0, 1] {
        let mut bench = guarded();
        let refusal = challenge(&mut bench, &invite_with(1, ""));
        bench.receive(&invite_with(2, &credentials(&refusal, at, RIGHT, "INVITE", 1)));
        let Event::Incoming(incoming) = bench.event() else { panic!() };
        bench.run(|e, now| e.answer(now, incoming.call, sdp(ANSWER))).unwrap();
        let tag = bench.sent.back().unwrap().to_tag();
        bench.receive(&in_dialog("ACK", 2, &tag, "ack1"));
        assert!(matches!(bench.event(), Event::Acked { .. }));
        bench.sent.clear();
        bench.receive(&in_dialog("OPTIONS", 3, &tag, "o1"));
        bench.receive(&in_dialog("BYE", 4, &tag, "b1"));
        assert_eq!(bench.take_lines(), ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]);
        assert!(matches!(bench.event(), Event::Ended { .. }));
        assert_eq!(bench.endpoint.stats().unauthorised, 1);
        bench.assert_empty();
    }
}

#[test]
fn our_own_user_agent_passes_our_own_door() {
    let mut caller = Bench::new();
    let credentials = Some(Credentials { username: "1001".into(), password: "pw".into() });
    let dial = sip::Dial { credentials, ..sip::Dial::new("sip:x@h", PEER.parse().unwrap(), sdp(OFFER)) };
    let call = caller.run(|e, now| e.dial(now, dial)).unwrap();
    let mut callee = guarded();
    for _ in 0..2 {
        callee.receive(&caller.next().text);
        let answer = callee.next();
        caller.receive(&answer.text);
        if answer.start().contains("401") {
            callee.receive(&caller.next().text);
        }
    }
    assert!(matches!(callee.event(), Event::Incoming(_)));
    assert!(caller.events.iter().all(|event| matches!(event, Event::Ringing { call: c, .. } if *c == call)));
}

#[test]
fn unknown_user_and_wrong_password_get_the_same_answer_and_are_reported() {
    let mut answers = Vec::new();
    for user in [("1001", "wrong"), ("nobody", "pw")] {
        let mut bench = guarded();
        let refusal = challenge(&mut bench, &invite());
        let again = challenge(&mut bench, &invite_with(2, &credentials(&refusal, 0, user, "INVITE", 1)));
        let source = PEER.parse().unwrap();
        let (username, method) = (user.0.to_owned(), "INVITE".to_owned());
        assert_eq!(bench.event(), Event::CredentialsRefused { source, username, method });
        assert!(!again.text.contains("stale"));
        answers.push(again.text);
        bench.assert_empty();
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn nonce_that_is_too_old_is_stale_and_the_new_one_is_good() {
    let mut bench = guarded();
    let refusal = challenge(&mut bench, &invite());
    bench.advance(300_001);
    let stale = challenge(&mut bench, &invite_with(2, &credentials(&refusal, 0, RIGHT, "INVITE", 1)));
    assert!(stale.headers("WWW-Authenticate").iter().all(|value| value.ends_with(", stale=true")));
    bench.assert_no_events();
    bench.receive(&invite_with(3, &credentials(&stale, 0, RIGHT, "INVITE", 1)));
    assert!(matches!(bench.event(), Event::Incoming(_)));
}

#[test]
fn wrong_password_with_an_old_nonce_is_not_stale() {
    let mut bench = guarded();
    let refusal = challenge(&mut bench, &invite());
    bench.advance(300_001);
    let wrong = credentials(&refusal, 0, ("1001", "wrong"), "INVITE", 1);
    assert!(!challenge(&mut bench, &invite_with(2, &wrong)).text.contains("stale"));
}

#[test]
fn lifetime_of_nonces_can_be_chosen() {
    let mut config = EndpointConfig::new(OURS.parse().unwrap());
    let server = AuthServer::new("r").user("1001", "pw").nonce_lifetime(Duration::from_secs(10));
    config.auth = Some(server);
    let mut bench = Bench::with(config);
    let refusal = challenge(&mut bench, &invite());
    bench.advance(10_001);
    let stale = challenge(&mut bench, &invite_with(2, &credentials(&refusal, 0, RIGHT, "INVITE", 1)));
    assert!(stale.text.contains("stale=true"));
}

#[test]
fn overheard_credentials_open_no_second_call() {
    let mut bench = guarded();
    let refusal = challenge(&mut bench, &invite());
    let header = credentials(&refusal, 0, RIGHT, "INVITE", 1);
    bench.receive(&invite_with(2, &header));
    assert!(matches!(bench.event(), Event::Incoming(_)));
    bench.sent.clear();
    let replay = invite_with(3, &header).replace("a:b##c", "other");
    bench.receive(&replay);
    assert!(bench.next().text.contains("stale=true"));
    bench.receive_from("10.0.0.66:5060", &invite_with(4, &credentials(&refusal, 0, RIGHT, "INVITE", 2)));
    assert!(bench.next().text.contains("stale=true"), "another host has no use for the nonce");
    bench.receive(&invite_with(5, &credentials(&refusal, 0, RIGHT, "INVITE", 2)).replace("a:b##c", "third"));
    assert!(matches!(bench.event(), Event::Incoming(_)), "the next count is good");
}

#[test]
fn every_method_outside_a_call_is_challenged_but_ack_and_cancel() {
    for method in ["OPTIONS", "REGISTER", "BYE", "UPDATE", "MESSAGE", "SUBSCRIBE", "NEWMETHOD"] {
        let mut bench = guarded();
        let refusal = challenge(&mut bench, &request(method, 1, "", "m1", "", ""));
        let header = credentials(&refusal, 1, RIGHT, method, 1);
        bench.receive(&request(method, 2, "", "m2", &header, ""));
        let answer = bench.next();
        let status = match method {
            "OPTIONS" => "SIP/2.0 200 OK",
            "BYE" | "UPDATE" => "SIP/2.0 481 Call/Transaction Does Not Exist",
            _ => "SIP/2.0 405 Method Not Allowed",
        };
        assert_eq!(answer.start(), status, "{method}");
    }
    let mut bench = guarded();
    bench.receive(&request("CANCEL", 1, "", "m1", "", ""));
    assert_eq!(bench.next().start(), "SIP/2.0 481 Call/Transaction Does Not Exist");
    bench.receive(&request("ACK", 1, "", "m1", "", ""));
    bench.assert_quiet();
}

#[test]
fn invented_tag_is_no_way_around_the_challenge() {
    let mut bench = guarded();
    bench.receive(&in_dialog("INVITE", 1, "invented", "m1"));
    bench.receive(&in_dialog("BYE", 1, "invented", "m2"));
    bench.receive(&in_dialog("OPTIONS", 1, "invented", "m3"));
    let lines = bench.take_lines();
    assert_eq!(lines, ["SIP/2.0 481 Call/Transaction Does Not Exist"; 3]);
    bench.assert_empty();
    bench.assert_quiet();
}

#[test]
fn cancel_of_an_admitted_call_needs_no_credentials() {
    let mut bench = guarded();
    let refusal = challenge(&mut bench, &invite());
    bench.receive(&invite_with(2, &credentials(&refusal, 0, RIGHT, "INVITE", 1)));
    assert!(matches!(bench.event(), Event::Incoming(_)));
    bench.receive(&request("CANCEL", 2, "", "inv2", "", ""));
    assert!(matches!(bench.event(), Event::Ended { .. }));
}

#[test]
fn answers_that_make_no_sense_are_challenged_again() {
    let mut bench = guarded();
    for value in [
        "",
        "Digest",
        "Basic dXNlcg==",
        "Digest realm=\"sip-relay\"",
        "Digest realm=\"other\", username=\"1001\"",
        "Digest realm=\"sip-relay\", username=\"1001\", nonce=\"\", uri=\"\", response=\"\"",
        "Digest realm=\"sip-relay\", username=\"\u{e9}\\\", nonce=\"\u{e9}\", uri=\",\", response=\"\u{e9}\"",
    ] {
        challenge(&mut bench, &invite_with(1, &format!("Authorization: {value}\r\n")));
    }
    bench.assert_empty();
}

#[test]
fn noise_of_strangers_leaves_nothing_behind() {
    let mut bench = guarded();
    let methods = ["INVITE", "REGISTER", "OPTIONS"];
    for n in 0..5_000 {
        let method = methods[n % 3];
        let headers = match n % 2 {
            0 => String::new(),
            _ => format!(
                "Authorization: Digest username=\"{n}\", realm=\"sip-relay\", nonce=\"{n}\", uri=\"sip:x\", \
                 response=\"00000000000000000000000000000000\"\r\n"
            ),
        };
        let noise = request(method, 1, "", &format!("noise{n}"), &headers, "");
        bench.receive_from(&format!("192.0.2.{}:5060", n % 250), &noise);
        assert_eq!(bench.next().start(), "SIP/2.0 401 Unauthorized");
        bench.events.clear();
        bench.advance(10);
    }
    let stats = bench.endpoint.stats();
    assert_eq!((stats.transactions, stats.calls, stats.dialogs, stats.timers), (0, 0, 0, 0));
    assert_eq!((stats.unauthorised, stats.malformed), (5_000, 0));
    assert!(bench.sent.is_empty() && bench.endpoint.next_timeout().is_none());
}
