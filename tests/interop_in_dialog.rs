//! Interoperability with SIPp once a call is up: hold by either side and by both at once, transfer, new media addresses and
//! codecs, session timers.
//!
//! SIPp's own count is part of every verdict: it went through its scenario, nothing was repeated. Media ends in the test.
//! Skipped with a printed reason where SIPp is not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::sipp_call::{ROLES, Role, SippCall, talk};
use common::{WAIT, eventually};

/// Longer than two packets are apart, on a busy machine.
const SILENT: std::time::Duration = std::time::Duration::from_millis(300);

#[test]
fn far_end_holds_in_each_way_and_resumes() {
    for role in ROLES {
        let Some(mut call) = SippCall::up(role, "hold_by_far_end", &[]) else { return };
        for heard in [true, false, true] {
            call.media.next_packets(5);
            assert!(is_heard(&mut call));
            call.go();
            call.expect("HOLD:{id}");
            assert!(sends_nothing(&call), "the far end does not want to hear anything");
            assert_eq!(is_heard(&mut call), heard, "all but inactive may be music on hold");
            call.go();
            call.expect("RESUME:{id}");
        }
        call.media.next_packets(5);
        call.go();
        call.expect("BYE:{id}");
        call.done();
    }
}

#[test]
fn client_holds_and_resumes() {
    for role in ROLES {
        let Some(mut call) = SippCall::up(role, "hold_by_client", &[]) else { return };
        // The far end listens to what it is held with; then it does not.
        for sends in [true, false] {
            call.media.next_packets(5);
            assert!(is_heard(&mut call));
            call.send("HOLD:{id}");
            let held = || !is_heard(&mut call);
            assert!(eventually(WAIT, held), "nobody listens");
            if !sends {
                call.expect("HOLD:{id}");
            }
            assert_eq!(sends_nothing(&call), !sends);
            call.send("RESUME:{id}");
            if !sends {
                call.expect("RESUME:{id}");
            }
        }
        call.media.next_packets(5);
        assert!(is_heard(&mut call));
        call.send("BYE:{id}");
        call.expect("BYE:{id}");
        call.done();
    }
}

#[test]
fn both_sides_hold_at_once_and_each_in_its_turn_after_that() {
    for role in ROLES {
        let Some(mut call) = SippCall::up(role, "hold_by_both", &[]) else { return };
        assert!(is_heard(&mut call));
        call.send("HOLD:{id}");
        // RFC 3261 §14.1: up to 2 s where the far end began the call, up to 4 s where we did.
        call.expect("HOLD:{id}");
        assert!(sends_nothing(&call) && !is_heard(&mut call));
        call.send("RESUME:{id}");
        assert!(eventually(WAIT, || is_heard(&mut call)), "our hold is over");
        assert!(sends_nothing(&call), "the far end's goes on");
        call.go();
        call.expect("RESUME:{id}");
        call.media.next_packets(5);
        call.go();
        call.expect("BYE:{id}");
        call.done();
    }
}

#[test]
fn transfer_is_reported_and_its_success_ends_the_call() {
    for role in ROLES {
        let Some(mut call) = SippCall::up(role, "transfer", &[]) else { return };
        call.send("TRANSFER:{id}##0987654321");
        for progress in ["100 Trying", "180 Ringing", "200 OK"] {
            call.expect(&format!("TRANSFER:{{id}}##{progress}"));
        }
        call.expect("BYE:{id}");
        call.done();
    }
}

#[test]
fn transfer_that_is_refused_or_fails_leaves_the_call() {
    for role in ROLES {
        let Some(mut call) = SippCall::up(role, "transfer_refused", &[]) else { return };
        call.send("TRANSFER:{id}##0987654321");
        call.expect("ERROR:403 Forbidden##TRANSFER");
        assert!(is_heard(&mut call));
        call.send("TRANSFER:{id}##0987654321");
        call.expect("TRANSFER:{id}##100 Trying");
        call.expect("TRANSFER:{id}##480 Temporarily Unavailable");
        assert!(is_heard(&mut call));
        call.send("BYE:{id}");
        call.expect("BYE:{id}");
        call.done();
    }
}

#[test]
fn far_end_that_asks_for_a_transfer_is_declined() {
    for role in ROLES {
        let Some(mut call) = SippCall::up(role, "refer", &[]) else { return };
        call.go();
        call.expect_reached("refused");
        assert!(is_heard(&mut call));
        call.go();
        call.expect("BYE:{id}");
        call.done();
    }
}

#[test]
fn media_follows_to_a_new_address_and_codec() {
    for role in ROLES {
        let Some(mut call) = SippCall::up(role, "media_moves", &[]) else { return };
        talk(&call.ws, &call.call_id, &mut call.media);
        for (moved, payload_type) in [(true, 0), (true, 8), (false, 0)] {
            call.go();
            let (here, there) = match moved {
                true => (&mut call.other, &mut call.media),
                false => (&mut call.media, &mut call.other),
            };
            here.payload_type = payload_type;
            let reaches = || here.arrivals().last().is_some_and(|a| a.packet.payload_type == payload_type);
            assert!(eventually(WAIT, reaches), "moved: {moved}, payload type {payload_type}");
            here.next_packets(5);
            let left = there.arrivals().len();
            talk(&call.ws, &call.call_id, here);
            assert_eq!(there.arrivals().len(), left, "nothing goes to the old address");
        }
        call.go();
        call.expect("BYE:{id}");
        call.done();
    }
}

#[test]
fn session_is_refreshed_by_the_far_end_as_often_as_it_likes() {
    // The shortest interval that RFC 4028 §4 allows is 90 s: our own refreshes, and a session that nobody refreshes, are the
    // SIP core's tests, where time is virtual.
    let settings = [("SIP_SESSION_EXPIRES", "120")];
    for role in ROLES {
        let name = if role == Role::Caller { "session_refreshed" } else { "session_refreshed_called" };
        let Some(mut call) = SippCall::up(role, name, &settings) else { return };
        call.expect_reached("refreshed");
        assert!(is_heard(&mut call));
        call.go();
        call.expect("BYE:{id}");
        call.done();
    }
}

// ---- helpers ----

/// The far end says something: whether the client hears it.
fn is_heard(call: &mut SippCall) -> bool {
    let count = |call: &SippCall| call.ws.transcript().iter().filter(|(_, m)| m.is_rtp()).count();
    let before = count(call);
    call.media.send_payload(&[0x22; 800]);
    eventually(SILENT, || count(call) >= before + 3)
}

/// The relay sends no media at all for some time.
fn sends_nothing(call: &SippCall) -> bool {
    // What was on its way arrives before.
    let sent = |call: &SippCall| call.media.arrivals().len();
    let before = sent(call);
    !eventually(SILENT, || sent(call) > before + 1)
}
