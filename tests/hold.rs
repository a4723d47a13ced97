//! Holding the far end and taking it back, on behalf of a client: the re-INVITE, what is heard meanwhile, refusals, glare,
//! and the far end's own hold at the same time (PROTOCOL `HOLD`, `RESUME`; RFC 3264 §8.4, RFC 3261 §14).

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::pbx::PbxCall;
use common::script::{call_in, dial, done, end, start};
use common::ws::{QUIET, WsClient};
use common::{WAIT, scene};
use testkit::message::Message;
use testkit::{sdp, tone};

#[test]
fn held_caller_hears_what_is_played_and_is_not_heard() {
    for inbound in [true, false] {
        let (relay, pbx, mut ws) = start("mode=multi", &[]);
        let mut call = match inbound {
            true => call_in(&relay, &pbx, &mut ws),
            false => scene::outbound(&pbx, &mut ws, &[0, 8, 101]),
        };
        let id = call.call_id();
        call.rtp.send_payload(&[0x11; 1600]);
        let heard = ws.expect_rtp(10, WAIT).len();

        ws.send(&format!("HOLD:{id}"));
        let offer = take_offer(&mut call, "sendonly", "recvonly");
        assert_eq!(sdp::formats(offer.body()), [0, 101], "a hold changes no codec");
        assert_eq!(sdp::media_address(offer.body()).unwrap().port(), relay.rtp_range().0, "our port stays");
        let silent = call.rtp.next_packets(20);
        assert!(scene::loud_payloads(&silent, 0xff).is_empty(), "silence goes on, at its pace");
        assert!((19.0..21.0).contains(&scene::mean_interval_ms(&silent)));
        call.rtp.send_payload(&[0x22; 1600]);
        assert_eq!(ws.transcript().iter().filter(|(_, m)| m.is_rtp()).count(), heard, "nobody listens");

        let music = tone::tone(440.0, 8000, 400);
        let before = call.rtp.arrivals().len();
        ws.send_pcm(&id, &music);
        let packets = call.rtp.expect_packets(before + 40, WAIT).split_off(before);
        let played = scene::loud(&packets, 0);
        assert!(tone::is_tone(&played, 8000, 440.0, 2.0) && played.len() >= 3000, "{}", played.len());

        ws.send(&format!("HOLD:{id}"));
        assert!(call.is_quiet(QUIET), "it is on hold already");
        ws.send(&format!("RESUME:{id}"));
        take_offer(&mut call, "sendrecv", "sendrecv");
        ws.send(&format!("RESUME:{id}"));
        assert!(call.is_quiet(QUIET), "it is back already");
        call.rtp.send_payload(&[0x33; 1600]);
        ws.expect_rtp(heard + 8, WAIT);
        // The far end's hold is an event; ours is not.
        end(call, &mut ws);
        done(&pbx, [ws]);
    }
}

#[test]
fn offer_of_a_hold_continues_the_session_under_the_next_version() {
    let (_relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = scene::outbound(&pbx, &mut ws, &[8, 101]);
    let origin = |body: &str| -> (u64, u64) {
        let line = body.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
        let part = |n: usize| line.split(' ').nth(n).unwrap().parse().unwrap();
        (part(1), part(2))
    };
    let invite = call.invite_text();
    let (session, version) = origin(invite.split("\r\n\r\n").nth(1).unwrap());
    for (n, (word, direction)) in
        [("HOLD", "sendonly"), ("RESUME", "sendrecv"), ("HOLD", "sendonly")].iter().enumerate()
    {
        ws.send(&format!("{word}:{}", call.call_id()));
        let offer = take_offer(&mut call, direction, mirror(direction));
        let body = offer.body();
        assert_eq!(origin(body), (session, version + 1 + n as u64), "{body}");
        assert_eq!(sdp::formats(body), [8, 101]);
    }
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn held_far_end_may_be_silent_and_one_that_holds_us_too_but_not_after_that() {
    let (relay, pbx, mut ws) = start("mode=multi", &[("RTP_INACTIVITY_TIMEOUT", "0.5")]);
    for ours in [true, false] {
        let mut call = call_in(&relay, &pbx, &mut ws);
        let id = call.call_id();
        let active = sdp::audio(call.rtp.address(), &[0, 101]);
        call.rtp.send_payload(&[0x11; 800]);
        if ours {
            ws.send(&format!("HOLD:{id}"));
            take_offer(&mut call, "sendonly", "recvonly");
        } else {
            call.reinvite(&active.replace("sendrecv", "sendonly"));
            call.expect_response(200);
            call.ack();
            ws.expect_all(&[&format!("HOLD:{id}")]);
        }
        assert!(call.is_quiet(Duration::from_millis(1200)), "a held call may be silent; ours: {ours}");
        let begin = Instant::now();
        if ours {
            ws.send(&format!("RESUME:{id}"));
            take_offer(&mut call, "sendrecv", "sendrecv");
        } else {
            call.reinvite(&active);
            call.expect_response(200);
            call.ack();
            ws.expect_all(&[&format!("RESUME:{id}")]);
        }
        call.expect_bye();
        assert!(begin.elapsed() >= Duration::from_millis(450), "{:?}", begin.elapsed());
        ws.expect_all(&[&format!("BYE:{id}")]);
    }
    done(&pbx, [ws]);
}

#[test]
fn refused_hold_is_told_to_who_asked_alone_and_changes_nothing() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut other = WsClient::connect(relay.ws(), "mode=multi");
    relay.expect_log("clients=2");
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    other.expect_all(&[&format!("RING_ANS:0903383638##{id}"), &format!("CALL_ANS:{id}")]);
    for (status, reason) in [(488, "Not Acceptable Here"), (603, "Decline")] {
        ws.send(&format!("HOLD:{id}"));
        let offer = call.expect_request("INVITE");
        assert!(sdp::attribute(offer.body(), "sendonly").is_some());
        call.respond(status, reason);
        call.expect_request("ACK");
        ws.expect_all(&[&format!("ERROR:{status} {reason}##HOLD")]);
    }
    assert!(other.is_quiet(QUIET), "{:?}", other.signals());
    call.rtp.send_payload(&[0x11; 1600]);
    ws.expect_rtp(8, WAIT);
    ws.send(&format!("RESUME:{id}"));
    assert!(call.is_quiet(QUIET), "nothing is held");
    end(call, &mut ws);
    other.expect("BYE:");
    done(&pbx, [ws, other]);
}

#[test]
fn hold_that_meets_an_offer_of_the_far_end_is_made_once_it_is_through() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    // Glare: the far end says so, and the same offer comes again (RFC 3261 §14.1).
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    ws.send(&format!("HOLD:{id}"));
    call.expect_request("INVITE");
    call.respond(491, "Request Pending");
    call.expect_request("ACK");
    take_offer(&mut call, "sendonly", "recvonly");

    // An answer of ours waits for its ACK: the offer has to wait.
    let active = sdp::audio(call.rtp.address(), &[0, 101]);
    call.reinvite(&active.replace("sendrecv", "recvonly"));
    let ok = call.expect_response(200);
    assert!(sdp::attribute(ok.body(), "sendonly").is_some(), "our hold goes on: {}", ok.body());
    ws.send(&format!("RESUME:{id}"));
    assert!(call.is_quiet(Duration::from_millis(600)), "one exchange at a time");
    call.ack();
    take_offer(&mut call, "sendrecv", "sendrecv");
    assert!(ws.is_quiet(QUIET), "no hold of the far end: {:?}", ws.signals());
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn hold_that_our_answer_has_said_meanwhile_is_not_offered_again() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    ws.send(&format!("HOLD:{}", call.call_id()));
    call.expect_request("INVITE");
    call.respond(491, "Request Pending");
    call.expect_request("ACK");
    call.reinvite(&sdp::audio(call.rtp.address(), &[0, 101]));
    let ok = call.expect_response(200);
    assert!(sdp::attribute(ok.body(), "sendonly").is_some(), "{}", ok.body());
    call.ack();
    assert!(call.is_quiet(Duration::from_millis(2500)), "the far end knows it already");
    ws.send(&format!("RESUME:{}", call.call_id()));
    take_offer(&mut call, "sendrecv", "sendrecv");
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn both_sides_may_hold_at_once_and_each_takes_back_its_own() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    let active = sdp::audio(call.rtp.address(), &[0, 101]);
    ws.send(&format!("HOLD:{id}"));
    take_offer(&mut call, "sendonly", "recvonly");
    call.reinvite(&active.replace("sendrecv", "sendonly"));
    let ok = call.expect_response(200);
    assert!(sdp::attribute(ok.body(), "inactive").is_some(), "{}", ok.body());
    call.ack();
    ws.expect_all(&[&format!("HOLD:{id}")]);
    ws.send(&format!("RESUME:{id}"));
    take_offer(&mut call, "sendrecv", "sendonly");
    assert!(ws.is_quiet(QUIET), "the far end's hold goes on");
    call.reinvite(&active);
    call.expect_response(200);
    call.ack();
    ws.expect_all(&[&format!("RESUME:{id}")]);
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn last_of_several_wishes_counts() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    for word in ["HOLD", "RESUME", "HOLD", "RESUME"] {
        ws.send(&format!("{word}:{id}"));
    }
    take_offer(&mut call, "sendonly", "recvonly");
    take_offer(&mut call, "sendrecv", "sendrecv");
    assert!(call.is_quiet(QUIET));
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn call_that_is_not_up_cannot_be_held_and_one_that_is_gone_ends() {
    let (_relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = dial(&pbx, &ws);
    ws.expect("CALLING:");
    for word in ["HOLD", "RESUME"] {
        ws.send(&format!("{word}:{}", call.call_id()));
        ws.expect_all(&[&format!("ERROR:491 the call is not up##{word}")]);
    }
    call.answer(&[0]);
    call.expect_request("ACK");
    ws.expect_all(&[&format!("CALL_ANS:{}", call.call_id())]);
    ws.send(&format!("HOLD:{}", call.call_id()));
    call.expect_request("INVITE");
    // RFC 3261 §12.2.1.2: the far end does not know the call any more.
    call.respond(481, "Call/Transaction Does Not Exist");
    call.expect_request("ACK");
    call.expect_bye();
    ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
    done(&pbx, [ws]);
}

// ---- helpers ----

/// Waits for the relay's re-INVITE, which must say `offered`, and answers it with `answered`.
fn take_offer(call: &mut PbxCall, offered: &str, answered: &str) -> Message {
    let invite = call.expect_request("INVITE");
    assert!(sdp::attribute(invite.body(), offered).is_some(), "{offered} expected in\n{}", invite.body());
    let formats = sdp::formats(invite.body());
    let body = sdp::audio(call.rtp.address(), &formats).replace("a=sendrecv", &format!("a={answered}"));
    let ok = call.call.respond(200, "OK").sdp(&body);
    call.send_response(&ok);
    call.expect_request("ACK");
    invite
}

fn mirror(direction: &str) -> &'static str {
    if direction == "sendonly" { "recvonly" } else { "sendrecv" }
}
