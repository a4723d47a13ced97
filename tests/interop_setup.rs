//! Interoperability with SIPp until a call is up, and when it is not to be: offers in the 200, refusals, credentials, crossing
//! requests.
//!
//! SIPp's own count is part of every verdict: it went through its scenario, nothing was repeated. Media ends in the test.
//! Skipped with a printed reason where SIPp is not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::md5;
use common::scene::DIALLED;
use common::sipp_call::{ROLES, Role, SippCall, talk};

#[test]
fn call_without_an_offer_gets_ours_and_talks_as_the_ack_says() {
    let Some(mut call) = SippCall::up(Role::Caller, "offerless", &[]) else { return };
    call.media.payload_type = 8;
    talk(&call.ws, &call.call_id, &mut call.media);
    call.go();
    call.expect("BYE:{id}");
    call.done();
}

#[test]
fn cancelled_call_that_was_answered_meanwhile_is_confirmed_and_hung_up() {
    let Some(mut call) = SippCall::begin(Role::Called, "cancel_crosses_answer", &[]) else { return };
    call.expect_ringing();
    call.send("BYE:{id}");
    call.expect("CALL_IGNORE:{id}");
    call.expect("CALL_FAILED:487 Request Terminated##{id}");
    call.done();
}

#[test]
fn cancel_that_comes_after_our_answer_changes_nothing() {
    let Some(mut call) = SippCall::up(Role::Caller, "cancel_after_answer", &[]) else { return };
    call.expect("BYE:{id}");
    call.done();
}

#[test]
fn caller_gives_up_while_it_rings() {
    let client = [("RELAY_ANSWER_MODE", "client")];
    let Some(mut call) = SippCall::begin(Role::Caller, "cancelled_ringing", &client) else { return };
    call.expect_ringing();
    call.expect("RING_IGNORE:{id}");
    call.done();
}

#[test]
fn both_sides_hang_up_at_once() {
    for role in ROLES {
        let Some(mut call) = SippCall::up(role, "bye_crosses_bye", &[]) else { return };
        call.send("BYE:{id}");
        call.expect("BYE:{id}");
        call.done();
    }
}

#[test]
fn refusal_is_told_with_its_status() {
    for (status, header, ignored) in [
        ("302 Moved Temporarily", "Contact: sip:0987654321@127.0.0.1:5099", false),
        ("486 Busy Here", "Retry-After: 5", true),
        ("603 Decline", "", true),
    ] {
        let values = |_| vec![("status", status.to_owned()), ("header", header.to_owned())];
        let Some(mut call) = SippCall::begin_with(Role::Called, "refused", &[], values) else { return };
        call.expect_ringing();
        if ignored {
            call.expect("CALL_IGNORE:{id}");
        }
        call.expect(&format!("CALL_FAILED:{status}##{{id}}"));
        call.done();
    }
}

#[test]
fn challenge_is_answered_once_and_what_comes_then_counts() {
    for password in ["secret", "wrong"] {
        let settings = [("SIP_USERNAME", "relay"), ("SIP_PASSWORD", password)];
        let Some(mut call) = SippCall::begin(Role::Called, "challenged", &settings) else { return };
        if password == "secret" {
            call.expect_up();
            call.send("BYE:{id}");
            call.expect("BYE:{id}");
        } else {
            call.expect("CALL_FAILED:403 Forbidden##{id}");
        }
        call.done();
    }
}

#[test]
fn challenge_of_a_proxy_is_answered_with_the_right_credentials() {
    let settings = [("SIP_USERNAME", "relay"), ("SIP_PASSWORD", "secret")];
    let response = |port: u16| {
        let secret = md5::md5("relay:sipp.example:secret");
        let request = md5::md5(&format!("INVITE:sip:{DIALLED}@127.0.0.1:{port}"));
        vec![("response", md5::md5(&format!("{secret}:8f2b1c:{request}")))]
    };
    let call = SippCall::begin_with(Role::Called, "challenged_by_proxy", &settings, response);
    let Some(mut call) = call else { return };
    call.expect_up();
    call.send("BYE:{id}");
    call.expect("BYE:{id}");
    call.done();
}

#[test]
fn call_that_nobody_answers_is_cancelled() {
    let limit = [("RELAY_INVITE_TIMEOUT", "0.7")];
    let Some(mut call) = SippCall::begin(Role::Called, "never_answers", &limit) else { return };
    call.expect_ringing();
    call.expect("CALL_IGNORE:{id}");
    call.expect("CALL_FAILED:408 Request Timeout##{id}");
    call.done();
}

#[test]
fn reliable_answer_of_the_far_end_is_confirmed_and_holds_without_another() {
    let Some(mut call) = SippCall::up(Role::Called, "reliable_called", &[]) else { return };
    call.media.payload_type = 8;
    talk(&call.ws, &call.call_id, &mut call.media);
    call.send("BYE:{id}");
    call.expect("BYE:{id}");
    call.done();
}

#[test]
fn caller_that_requires_reliable_ringing_gets_it() {
    for (mode, name) in [("client", "reliable_caller"), ("auto", "reliable_caller_at_once")] {
        let settings = [("RELAY_ANSWER_MODE", mode)];
        let Some(mut call) = SippCall::begin(Role::Caller, name, &settings) else { return };
        call.expect_ringing();
        if mode == "client" {
            call.expect_reached("confirmed");
            call.send("CALL_ANS:{id}");
        }
        call.expect("CALL_ANS:{id}");
        talk(&call.ws, &call.call_id, &mut call.media);
        call.go();
        call.expect("BYE:{id}");
        call.done();
    }
}
