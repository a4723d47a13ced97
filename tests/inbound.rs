//! Calls in: ringing, answering, refusing, and what the wire may do to them.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::script::{call_in, done, end, start};
use common::ws::{QUIET, WsClient};
use testkit::message::Message;
use testkit::sdp;

const CLIENT_ANSWERS: &[(&str, &str)] = &[("RELAY_ANSWER_MODE", "client")];

#[test]
fn call_is_answered_at_once_and_up_with_the_ack() {
    let (relay, pbx, mut ws) = start("", &[]);
    let from = Some("\"0903383638\" <sip:trunk@10.1.1.1>".to_owned());
    let mut call = pbx.invite(relay.sip(), Invite { from, ..Invite::default() });
    let id = call.call_id();
    let ok = call.expect_response(200);
    let seen: Vec<&str> = call.transcript().iter().map(String::as_str).collect();
    let allowed = ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"];
    assert!(
        seen.iter().all(|line| allowed.contains(line)) && seen.ends_with(&["SIP/2.0 200 OK"]),
        "{seen:?}"
    );
    assert!(ok.tag().is_some());
    assert_eq!(ok.contact(), Some(format!("sip:{}", relay.sip())));
    assert_eq!(sdp::media_address(ok.body()).unwrap().port(), relay.rtp_range().0);
    assert_eq!(sdp::formats(ok.body()), [0, 101], "the first codec we share, and telephone events");
    ws.expect_all(&[&format!("RING_ANS:0903383638##{id}")]);
    assert!(ws.is_quiet(QUIET), "no CALL_ANS before the ACK");
    call.ack();
    ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn address_of_the_media_may_stand_on_session_or_media_level() {
    let (relay, pbx, mut ws) = start("", &[]);
    for media_level in [false, true] {
        let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| {
            if !media_level {
                return draft;
            }
            let body = Message::parse(&draft.to_bytes()).unwrap().body().to_owned();
            let moved = body.replacen("c=IN IP4 127.0.0.1\r\n", "", 1);
            draft.sdp(&moved.replacen("a=rtpmap", "c=IN IP4 127.0.0.1\r\na=rtpmap", 1))
        });
        call.expect_response(200);
        call.ack();
        ws.expect("RING_ANS:");
        ws.expect("CALL_ANS:");
        call.rtp.expect_packets(2, common::WAIT);
        end(call, &mut ws);
    }
    done(&pbx, [ws]);
}

#[test]
fn phone_is_the_number_of_the_caller_in_every_form_of_from() {
    let (relay, pbx, mut ws) = start("", &[]);
    for (from, phone) in [
        ("<sip:0912@h>", "0912"),
        ("sip:0912@h", "0912"),
        ("\"0903383638\" <sip:0903383638@h>", "0903383638"),
        ("\"Alice B\" <sip:0913@h;user=phone>", "0913"),
        ("Bob <sip:+84913@h:5070>", "+84913"),
        ("<tel:+84913>", "+84913"),
    ] {
        let call = pbx.call(relay.sip(), Invite { from: Some(from.into()), ..Invite::default() });
        let id = call.call_id();
        ws.expect_all(&[&format!("RING_ANS:{phone}##{id}"), &format!("CALL_ANS:{id}")]);
        end(call, &mut ws);
    }
    done(&pbx, [ws]);
}

#[test]
fn client_answers_by_call_id_by_phone_or_by_ring_ans_of_an_id() {
    for form in ["CALL_ANS:{id}", "RING_ANS:{phone}", "RING_ANS:{id}"] {
        let (relay, mut call, pbx, mut ws) = ringing();
        let id = call.call_id();
        assert!(call.is_quiet(QUIET), "no 200 before the client answers");
        ws.send(&form.replace("{id}", &id).replace("{phone}", "0903383638"));
        call.expect_response(200);
        call.ack();
        ws.expect_all(&[&format!("CALL_ANS:{id}")]);
        end(call, &mut ws);
        done(&pbx, [ws]);
        drop(relay);
    }
}

#[test]
fn ring_ans_of_a_phone_answers_the_oldest_call_of_that_number() {
    let (relay, pbx, mut ws) = start("", CLIENT_ANSWERS);
    let mut calls: Vec<PbxCall> = ["0911", "0912", "0912"]
        .iter()
        .map(|user| {
            let from = Some(format!("<sip:{user}@h>"));
            let mut call = pbx.invite(relay.sip(), Invite { from, ..Invite::default() });
            call.expect_response(180);
            ws.expect(&format!("RING_ANS:{user}##"));
            call
        })
        .collect();
    for n in [1, 2, 0] {
        ws.send(if n == 0 { "RING_ANS:0911" } else { "RING_ANS:0912" });
        calls[n].expect_response(200);
        calls[n].ack();
        let id = calls[n].call_id();
        ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    }
    for mut call in calls {
        call.bye();
        ws.wait_for(&format!("BYE:{}", call.call_id()));
    }
    done(&pbx, [ws]);
}

#[test]
fn client_declines_with_603_or_in_multi_with_a_status_of_its_own() {
    for (query, form, status, reason) in [
        ("", "CALL_IGNORE:{id}", 603, "Decline"),
        ("", "RING_IGNORE:{id}", 603, "Decline"),
        ("", "BYE:{id}", 603, "Decline"),
        ("", "HANGUP:{id}", 603, "Decline"),
        ("mode=multi", "CALL_IGNORE:{id}##486 Out to lunch", 486, "Out to lunch"),
        ("mode=multi", "RING_IGNORE:{id}##480", 480, "Temporarily Unavailable"),
    ] {
        let (relay, pbx, mut ws) = start(query, CLIENT_ANSWERS);
        let mut call = ring(&relay, &pbx, &mut ws);
        ws.send(&form.replace("{id}", &call.call_id()));
        let refusal = call.expect_response(status);
        assert_eq!(refusal.reason(), Some(reason));
        call.ack();
        ws.expect_all(&[&format!("RING_IGNORE:{}", call.call_id())]);
        done(&pbx, [ws]);
    }
}

#[test]
fn caller_that_gives_up_is_told_487_and_the_client_ring_ignore() {
    let (_relay, mut call, pbx, mut ws) = ringing();
    call.cancel();
    ws.expect_all(&[&format!("RING_IGNORE:{}", call.call_id())]);
    // Too late, and harmless.
    ws.send(&format!("CALL_ANS:{}", call.call_id()));
    assert!(call.is_quiet(QUIET));
    done(&pbx, [ws]);
}

#[test]
fn call_that_nobody_answers_is_refused_with_480() {
    let (relay, pbx, mut ws) = start("", &[CLIENT_ANSWERS[0], ("RELAY_RING_TIMEOUT", "1")]);
    let began = Instant::now();
    let mut call = ring(&relay, &pbx, &mut ws);
    call.expect_response(480);
    let after = began.elapsed();
    assert!(after > Duration::from_millis(950) && after < Duration::from_secs(3), "after {after:?}");
    call.ack();
    ws.expect_all(&[&format!("RING_IGNORE:{}", call.call_id())]);
    done(&pbx, [ws]);
}

#[test]
fn cancel_that_crosses_the_answer_changes_nothing() {
    let (_relay, mut call, pbx, mut ws) = ringing();
    let id = call.call_id();
    ws.send(&format!("CALL_ANS:{id}"));
    call.expect_response(200);
    let cancel = call.call.cancel();
    call.send_again(&cancel);
    let ok = call.expect_response(200);
    assert_eq!(ok.cseq(), Some((1, "CANCEL")));
    assert!(call.is_quiet(QUIET), "no 487 after the 200: {:?}", call.transcript());
    call.ack();
    ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn answer_is_repeated_until_the_ack_comes() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = pbx.invite(relay.sip(), Invite::default());
    call.expect_response(200);
    let began = Instant::now();
    assert!(common::eventually(common::WAIT, || pbx.seen_again() == 2), "{}", pbx.seen_again());
    // After T1 and after three T1 (RFC 3261 §13.3.1.4).
    assert!(began.elapsed() > Duration::from_millis(1200), "{:?}", began.elapsed());
    call.ack();
    ws.expect("RING_ANS:");
    ws.expect("CALL_ANS:");
    let repeated = pbx.seen_again();
    assert!(
        !common::eventually(Duration::from_millis(2200), || pbx.seen_again() > repeated),
        "the ACK ends it"
    );
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn retransmitted_invite_gets_the_same_answer_and_makes_no_second_call() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut sent = None;
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| {
        sent = Some(draft.clone());
        draft
    });
    call.expect_response(200);
    let before = pbx.seen_again();
    call.send_again(&sent.unwrap());
    assert!(
        common::eventually(Duration::from_millis(400), || pbx.seen_again() > before),
        "the same 200 again"
    );
    call.ack();
    ws.expect("RING_ANS:");
    ws.expect("CALL_ANS:");
    end(call, &mut ws);
    assert!(common::eventually(common::WAIT, || relay.log().iter().any(|l| l.contains("call over"))));
    assert_eq!(relay.log().iter().filter(|line| line.contains("inbound call")).count(), 1);
    done(&pbx, [ws]);
}

#[test]
fn retransmitted_bye_gets_the_same_answer_and_ends_the_call_once() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let bye = call.call.bye();
    call.send_request(&bye);
    call.expect_response(200);
    let before = pbx.seen_again();
    call.send_again(&bye);
    assert!(common::eventually(common::WAIT, || pbx.seen_again() == before + 1), "the same 200 again");
    ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
    done(&pbx, [ws]);
}

#[test]
fn hanging_up_before_the_ack_ends_the_call_with_ring_ignore() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = pbx.invite(relay.sip(), Invite::default());
    call.expect_response(200);
    ws.expect("RING_ANS:");
    ws.send(&format!("HANGUP:{}", call.call_id()));
    // RFC 3261 §15: a UAS waits for the ACK before its BYE.
    assert!(call.is_quiet(QUIET), "{:?}", call.transcript());
    call.ack();
    call.expect_bye();
    ws.expect_all(&[&format!("RING_IGNORE:{}", call.call_id())]);
    done(&pbx, [ws]);
}

// ---- helpers ----

/// A relay on which clients answer, with a call that rings.
fn ringing() -> (Relay, PbxCall, Pbx, WsClient) {
    let (relay, pbx, mut ws) = start("", CLIENT_ANSWERS);
    let call = ring(&relay, &pbx, &mut ws);
    (relay, call, pbx, ws)
}

fn ring(relay: &Relay, pbx: &Pbx, ws: &mut WsClient) -> PbxCall {
    let mut call = pbx.invite(relay.sip(), Invite::default());
    call.expect_response(180);
    ws.expect_all(&[&format!("RING_ANS:0903383638##{}", call.call_id())]);
    call
}
