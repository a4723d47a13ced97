//! Session timers (RFC 4028): what both sides agree on, who says that a call goes on, and what is refused.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::WAIT;
use common::pbx::{Invite, PbxCall};
use common::script::{call_in, dial, done, end, start};
use common::ws::QUIET;
use testkit::sdp;

#[test]
fn both_sides_agree_on_the_timer_when_a_call_begins() {
    let (relay, pbx, mut ws) = start("mode=multi", &[("SIP_SESSION_EXPIRES", "600")]);
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| {
        draft.header("Supported", "timer").header("Session-Expires", "300;refresher=uac")
    });
    let ok = call.expect_response(200);
    assert_eq!(ok.header("Session-Expires"), Some("300;refresher=uac"), "{ok}");
    assert_eq!(ok.header("Require"), Some("timer"));
    call.ack();
    ws.wait_for("CALL_ANS:");
    end(call, &mut ws);
    // A peer that does not know of it: we look after the call alone.
    let mut call = pbx.invite(relay.sip(), Invite::default());
    let ok = call.expect_response(200);
    assert_eq!(ok.header("Require"), None, "{ok}");
    call.ack();
    ws.wait_for("CALL_ANS:");
    end(call, &mut ws);
    let call = dial(&pbx, &ws);
    let invite = call.invite_text();
    assert!(invite.contains("\r\nSession-Expires: 600\r\nMin-SE: 90\r\n"), "{invite}");
    ws.send(&format!("BYE:{}", call.call_id()));
}

#[test]
fn interval_that_is_too_short_is_refused_and_a_longer_one_is_offered_when_asked_for() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| {
        draft.header("Supported", "timer").header("Session-Expires", "60")
    });
    let refused = call.expect_response(422);
    assert_eq!(refused.header("Min-SE"), Some("90"));
    call.ack();
    assert!(ws.is_quiet(QUIET), "no client hears of it");

    let mut call = dial(&pbx, &ws);
    let refusal = call.call.respond(422, "Session Interval Too Small").header("Min-SE", "3600");
    call.send_response(&refusal);
    call.expect_request("ACK");
    let again = call.expect_request("INVITE");
    assert_eq!((again.header("Session-Expires"), again.header("Min-SE")), (Some("3600"), Some("3600")));
    call.answer(&[0, 101]);
    call.expect_request("ACK");
    ws.wait_for("CALL_ANS:");
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn refresh_of_the_far_end_is_answered_and_changes_nothing() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    for _ in 0..2 {
        refresh(&mut call);
        let again = sdp::audio(call.rtp.address(), &[0, 8, 101]);
        call.reinvite(&again);
        call.expect_response(200);
        call.ack();
    }
    assert!(ws.is_quiet(QUIET), "{:?}", ws.signals());
    call.rtp.send_payload(&[0x11; 1600]);
    ws.expect_rtp(8, WAIT);
    call.rtp.next_packets(10);
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn without_the_setting_there_is_no_timer() {
    let (relay, pbx, mut ws) = start("mode=multi", &[("SIP_SESSION_EXPIRES", "0")]);
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| {
        draft.header("Supported", "timer").header("Session-Expires", "60")
    });
    let ok = call.expect_response(200);
    assert_eq!(ok.header("Session-Expires"), None, "{ok}");
    call.ack();
    ws.wait_for("CALL_ANS:");
    end(call, &mut ws);
    let call = dial(&pbx, &ws);
    assert!(!call.invite_text().contains("Session-Expires"));
    ws.send(&format!("BYE:{}", call.call_id()));
}

#[test]
#[ignore = "waits for three refreshes, each half of the shortest interval that RFC 4028 allows: 135 s"]
fn we_say_that_a_call_goes_on_and_end_one_that_the_far_end_forgets() {
    let (relay, pbx, mut ws) = start("mode=multi", &[("SIP_SESSION_EXPIRES", "90")]);
    // One that answers refreshes, one that promised to refresh and does not.
    let mut kept = call_in(&relay, &pbx, &mut ws);
    let mut forgotten = pbx.invite_with(relay.sip(), Invite::default(), |draft| {
        draft.header("Supported", "timer").header("Session-Expires", "90;refresher=uac")
    });
    forgotten.expect_response(200);
    forgotten.ack();
    ws.wait_for(&format!("CALL_ANS:{}", forgotten.call_id()));
    for n in 1..=3 {
        let mut update = None;
        let came = common::eventually(Duration::from_secs(60), || {
            kept.rtp.send_payload(&[0x11; 160]);
            forgotten.rtp.send_payload(&[0x11; 160]);
            update =
                update.take().or_else(|| kept.poll_request("UPDATE")).or_else(|| kept.poll_request("INVITE"));
            update.is_some()
        });
        assert!(came, "refresh {n}");
        let update = update.unwrap();
        let answer = kept.call.respond_to(&update, 200, "OK").header("Session-Expires", "90;refresher=uac");
        match update.method() {
            Some("INVITE") => {
                let body = sdp::audio(kept.rtp.address(), &[0, 101]);
                kept.send_response(&answer.sdp(&body));
                kept.expect_request("ACK");
            }
            _ => kept.send_response_to(&answer),
        }
    }
    assert!(forgotten.poll_request("BYE").is_some(), "nobody said that it goes on");
    relay.expect_log("session-expired");
    ws.expect_all(&[&format!("BYE:{}", forgotten.call_id())]);
    end(kept, &mut ws);
}

// ---- helpers ----

/// An UPDATE that says only that the call goes on.
fn refresh(call: &mut PbxCall) {
    let update = call
        .call
        .request("UPDATE")
        .header("Supported", "timer")
        .header("Session-Expires", "1800;refresher=uac");
    call.send_request(&update);
    let ok = call.expect_final();
    assert_eq!((ok.status(), ok.header("Session-Expires")), (Some(200), Some("1800;refresher=uac")), "{ok}");
}
