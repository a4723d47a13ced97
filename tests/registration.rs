//! The relay as a telephone of a PBX that wants it to register, and the digest that it asks of callers.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::md5::md5;
use common::pbx::{Invite, Pbx, PbxCall, Request};
use common::relay::Relay;
use common::ws::WsClient;
use common::{eventually, scene};
use testkit::message::{Draft, Message};
use testkit::sdp;

const CHALLENGE: (&str, &str) = ("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n0nce\", qop=\"auth\"");

const ACCOUNT: &[(&str, &str)] =
    &[("SIP_REGISTER", "1"), ("SIP_USERNAME", "1001"), ("SIP_PASSWORD", "s3cret"), ("LOG_LEVEL", "DEBUG")];

#[test]
fn registers_at_start_refreshes_in_time_and_unregisters_at_the_end() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, ACCOUNT);
    let contact = format!("<sip:1001@{}>;expires=", relay.sip());

    let first = pbx.expect_request("REGISTER");
    assert_eq!(first.message().start_line(), format!("REGISTER sip:{} SIP/2.0", pbx.address()));
    assert_eq!(first.header("To"), "<sip:1001@127.0.0.1>");
    assert_eq!(first.header("Contact"), format!("{contact}3600"));
    assert_eq!((first.header("CSeq"), first.header("Expires")), ("1 REGISTER", "3600"));
    assert!(first.message().header("Authorization").is_none());
    pbx.answer(&first, 401, "Unauthorized", &[CHALLENGE]);

    let second = pbx.expect_request("REGISTER");
    assert_eq!(digest_of(&second, "1"), digest(&second, "s3cret"));
    assert_ne!(second.message().branch(), first.message().branch());
    pbx.answer(&second, 200, "OK", &[("Contact", &format!("{contact}2"))]);
    relay.expect_log("registered expires=2");

    let mut last = second;
    for cseq in [3, 4] {
        let asked = Instant::now();
        let refresh = pbx.expect_request("REGISTER");
        assert!(asked.elapsed() > Duration::from_millis(1_500), "{:?}", asked.elapsed());
        assert_eq!(refresh.header("Call-ID"), first.header("Call-ID"));
        assert_eq!(refresh.header("CSeq"), format!("{cseq} REGISTER"));
        assert_eq!(digest_of(&refresh, &(cseq - 1).to_string()), digest(&refresh, "s3cret"));
        pbx.answer(&refresh, 200, "OK", &[("Contact", &format!("{contact}2"))]);
        last = refresh;
    }

    relay.signal_terminate();
    let removal = pbx.expect_request("REGISTER");
    assert_eq!(removal.header("Contact"), format!("{contact}0"));
    assert_eq!((removal.header("Expires"), removal.header("Call-ID")), ("0", last.header("Call-ID")));
    pbx.answer(&removal, 200, "OK", &[]);
    relay.expect_log("no longer registered");
    relay.expect_log("Servers stopped");
    assert_eq!(pbx.unexpected(), [""; 0]);
    assert_hidden(&relay, "s3cret");
}

#[test]
fn wrong_password_is_tried_once_and_said_and_calls_go_on() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, ACCOUNT);
    for cseq in ["1 REGISTER", "2 REGISTER"] {
        let register = pbx.expect_request("REGISTER");
        assert_eq!(register.header("CSeq"), cseq);
        pbx.answer(&register, 401, "Unauthorized", &[CHALLENGE]);
    }
    let line = relay.expect_log("not registered: SIP_USERNAME or SIP_PASSWORD refused");
    assert!(line.starts_with("[WARNING]") && line.contains("status=401"), "{line}");
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::outbound(&pbx, &mut ws, &[0]);
    call.bye();
    assert_eq!(pbx.unexpected(), [""; 0], "a third REGISTER");
    assert_hidden(&relay, "s3cret");
    // There is no registration to remove.
    assert!(relay.terminate().success());
    assert_eq!(pbx.unexpected(), [""; 0]);
}

#[test]
fn pbx_that_does_not_answer_delays_the_end_by_two_seconds_at_most() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, ACCOUNT);
    let register = pbx.expect_request("REGISTER");
    pbx.answer(&register, 200, "OK", &[]);
    relay.expect_log("registered expires=3600");
    let told = Instant::now();
    assert!(relay.terminate().success());
    // The relay waits 1.5 s; the rest is for a busy machine.
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert_eq!(pbx.expect_request("REGISTER").header("Expires"), "0");
}

#[test]
fn caller_with_the_right_password_is_let_in_and_needs_it_once() {
    let pbx = Pbx::new();
    let relay = Relay::start(&[("SIP_AUTH_USERS", "1001:s3cret,1002:other"), ("SIP_AUTH_REALM", "door")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = pbx.invite(relay.sip(), Invite::default());
    let refusal = call.expect_response(401);
    let challenges: Vec<_> = refusal.headers("WWW-Authenticate").collect();
    assert!(challenges[0].starts_with("Digest realm=\"door\", nonce=\""), "{refusal}");
    assert!(challenges[0].contains("SHA-256") && challenges[1].contains("MD5"), "{refusal}");
    call.ack();

    invite_again(&mut call, &refusal, "1002", "other");
    call.expect_response(200);
    call.ack();
    let call_id = call.call_id();
    ws.expect_all(&[&format!("RING_ANS:0903383638##{call_id}"), &format!("CALL_ANS:{call_id}")]);
    call.bye();
    ws.expect_all(&[&format!("BYE:{call_id}")]);
    assert_hidden(&relay, "s3cret");
}

#[test]
fn caller_with_a_wrong_password_or_name_stays_outside_and_is_logged() {
    let pbx = Pbx::new();
    let relay = Relay::start(&[("SIP_AUTH_USERS", "1001:s3cret"), ("LOG_MASK", "0")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    for (user, password) in [("1001", "guess"), ("0987654321", "s3cret")] {
        let mut call = pbx.invite(relay.sip(), Invite::default());
        let refusal = call.expect_response(401);
        call.ack();
        invite_again(&mut call, &refusal, user, password);
        let again = call.expect_response(401);
        assert!(!again.to_string().contains("stale"), "{again}");
        call.ack();
        let line = relay.expect_log(&format!("user={user}"));
        assert!(line.starts_with("[WARNING]") && line.contains("peer=127.0.0.1"), "{line}");
    }
    assert!(ws.is_quiet(Duration::from_millis(200)), "{:?}", ws.signals());
}

#[test]
fn five_thousand_strangers_leave_nothing_behind() {
    let pbx = Pbx::new();
    let mut relay = Relay::start(&[("SIP_AUTH_USERS", "1001:s3cret"), ("LOG_LEVEL", "DEBUG")]);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 4096];
    for burst in 0..100 {
        for n in 0..50 {
            let n = burst * 50 + n;
            let noise = noise(["INVITE", "REGISTER", "OPTIONS"][n % 3], n);
            stranger.send_to(noise.as_bytes(), relay.sip()).unwrap();
        }
        for _ in 0..50 {
            let (length, _) = stranger.recv_from(&mut answer).expect("every stranger gets an answer");
            assert!(answer[..length].starts_with(b"SIP/2.0 401 "));
        }
    }
    let options = pbx.request(relay.sip(), "OPTIONS");
    assert_eq!(options.status(), Some(401));
    relay.signal_terminate();
    relay.wait_exit(Duration::from_secs(15));
    let census = relay.expect_log("census");
    for table in ["sip_transactions=0", "sip_dialogs=0", "sip_calls=0", "sip_timers=0", "calls=0"] {
        assert!(census.contains(table), "{census}");
    }
    assert!(relay.log().len() < 100, "strangers fill the log");
}

/// The next INVITE of this call, with the answer to the MD5 challenge.
fn invite_again(call: &mut PbxCall, refusal: &Message, user: &str, password: &str) {
    let challenge = refusal.headers("WWW-Authenticate").find(|value| value.contains("MD5")).unwrap();
    let (realm, nonce) = (between(challenge, "realm=\"", "\""), between(challenge, "nonce=\"", "\""));
    let uri = "sip:100@relay";
    let (a1, a2) = (md5(&format!("{user}:{realm}:{password}")), md5(&format!("INVITE:{uri}")));
    let response = md5(&format!("{a1}:{nonce}:00000001:c:auth:{a2}"));
    let answer = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm=MD5, qop=auth, nc=00000001, cnonce=\"c\""
    );
    let sdp = sdp::audio(call.rtp.address(), &[0]);
    let invite: Draft = call.call.invite().header("Authorization", answer).sdp(&sdp);
    call.send_request(&invite);
}

fn noise(method: &str, n: usize) -> String {
    format!(
        "{method} sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKnoise{n};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{n}@127.0.0.1>;tag=x{n}\r\nTo: <sip:100@127.0.0.1>\r\nCall-ID: noise{n}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:{n}@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The response in the Authorization of a request whose nonce is used for the `count`th time.
fn digest_of(request: &Request, count: &str) -> String {
    let header = request.header("Authorization");
    assert!(header.contains("username=\"1001\"") && header.contains("nonce=\"n0nce\""), "{header}");
    assert!(header.contains(&format!("nc={count:0>8}")), "{header}");
    between(header, "response=\"", "\"")
}

/// What that response has to be, recomputed.
fn digest(request: &Request, password: &str) -> String {
    let header = request.header("Authorization");
    let uri = request.message().uri().unwrap();
    assert_eq!(between(header, "uri=\"", "\""), uri);
    let (count, cnonce) = (between(header, "nc=", ","), between(header, "cnonce=\"", "\""));
    let (a1, a2) = (md5(&format!("1001:pbx:{password}")), md5(&format!("REGISTER:{uri}")));
    md5(&format!("{a1}:n0nce:{count}:{cnonce}:auth:{a2}"))
}

/// A password stands in no line of the log.
fn assert_hidden(relay: &Relay, password: &str) {
    assert!(eventually(Duration::from_secs(1), || !relay.log().is_empty()));
    let shown: Vec<_> = relay.log().into_iter().filter(|line| line.contains(password)).collect();
    assert_eq!(shown, [""; 0]);
}

/// The text between two others.
fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}")).1;
    rest.split_once(after).unwrap().0.to_owned()
}
