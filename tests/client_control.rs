//! What a program of the library does with a call that is up: hold, resume, transfer.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::thread::{self, JoinHandle};

use common::pbx::{Pbx, PbxCall};
use common::sip_client::{builder, bytes, connected, expect_state, listen, outbound};
use common::{WAIT, eventually};
use sip_relay::client::blocking::SimpleSipClient;
use sip_relay::client::{AudioFormat, CallState, SipClientError};
use testkit::{sdp, tone};

type Outcome = Result<(), SipClientError>;

fn asks(
    client: &SimpleSipClient,
    ask: impl FnOnce(&SimpleSipClient) -> Outcome + Send + 'static,
) -> JoinHandle<Outcome> {
    let client = client.clone();
    thread::spawn(move || ask(&client))
}

fn refused(status: u16, reason: &str) -> Outcome {
    Err(SipClientError::Call { status, reason: reason.to_owned() })
}

/// Answers the client's re-INVITE, which says `direction`.
fn take_offer(call: &mut PbxCall, direction: &str, answer: &str) {
    let offer = call.expect_request("INVITE");
    assert!(sdp::attribute(offer.body(), direction).is_some(), "{offer}");
    let body = sdp::audio(call.rtp.address(), &[0]).replace("a=sendrecv", &format!("a={answer}"));
    let ok = call.call.respond(200, "OK").sdp(&body);
    call.send_response(&ok);
    call.expect_request("ACK");
}

#[test]
fn far_end_on_hold_hears_and_is_not_heard() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    assert_eq!(client.hold_call(), Err(SipClientError::NoCall));
    let mut call = outbound(&client, &pbx, &[0]);
    let heard = listen(&client, AudioFormat::Pcm);
    call.rtp.send_payload(&[0x55; 160 * 5]);
    heard.expect(5);

    let holding = asks(&client, |client| client.hold_call());
    take_offer(&mut call, "sendonly", "recvonly");
    assert_eq!(holding.join().unwrap(), Ok(()));
    assert_eq!(client.hold_call(), Ok(()), "it is on hold already");
    let before = heard.frames().len();
    call.rtp.send_payload(&[0x55; 160 * 5]);
    client.send_audio(&bytes(&tone::tone(440.0, 8000, 200))).unwrap();
    let music = || call.rtp.arrivals().iter().filter(|a| a.packet.payload != [0xff; 160]).count() >= 10;
    assert!(eventually(WAIT, music), "it hears the music");
    assert_eq!(heard.frames().len(), before);

    let back = asks(&client, |client| client.resume_call());
    take_offer(&mut call, "sendrecv", "sendrecv");
    assert_eq!(back.join().unwrap(), Ok(()));
    call.rtp.send_payload(&[0x55; 160 * 5]);
    heard.expect(before + 5);
    assert!(call.is_quiet(std::time::Duration::from_millis(100)), "{:?}", call.transcript());
}

#[test]
fn hold_that_is_refused_leaves_the_call_as_it_was() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let mut call = outbound(&client, &pbx, &[0]);
    let holding = asks(&client, |client| client.hold_call());
    call.expect_request("INVITE");
    call.respond(488, "Not Acceptable Here");
    call.expect_request("ACK");
    assert_eq!(holding.join().unwrap(), refused(488, "Not Acceptable Here"));
    assert_eq!(client.call_state(), CallState::Connected);

    // And one whose call ends before is not waited for for ever.
    let holding = asks(&client, |client| client.hold_call());
    call.expect_request("INVITE");
    let bye = call.call.bye();
    call.send_request(&bye);
    assert_eq!(holding.join().unwrap(), refused(487, "Request Terminated"));
}

#[test]
fn transfer_ends_the_call_when_the_far_end_has_reached_them() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let mut call = outbound(&client, &pbx, &[0]);
    assert!(matches!(client.transfer_call("a b"), Err(SipClientError::InvalidDestination(_))));
    let transferring = asks(&client, |client| client.transfer_call("1003"));
    let refer = call.expect_request("REFER");
    assert_eq!(refer.header("Refer-To"), Some(format!("<sip:1003@{}>", pbx.address()).as_str()));
    assert_eq!(client.transfer_call("1004"), refused(491, "Request Pending"));
    call.respond_to(&refer, 202, "Accepted");
    notify(&mut call, "active;expires=60", "SIP/2.0 180 Ringing");
    assert!(!transferring.is_finished());
    notify(&mut call, "terminated;reason=noresource", "SIP/2.0 200 OK");
    assert_eq!(transferring.join().unwrap(), Ok(()));
    call.expect_bye();
    expect_state(&client, CallState::Idle);
    assert_eq!(client.last_failure(), None);
}

#[test]
fn transfer_that_fails_leaves_the_call() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let mut call = outbound(&client, &pbx, &[0]);
    let transferring = asks(&client, |client| client.transfer_call("sip:bob@127.0.0.1:5099"));
    let refer = call.expect_request("REFER");
    assert_eq!(refer.header("Refer-To"), Some("<sip:bob@127.0.0.1:5099>"));
    call.respond_to(&refer, 603, "Decline");
    assert_eq!(transferring.join().unwrap(), refused(603, "Decline"));
    let transferring = asks(&client, |client| client.transfer_call("1003"));
    let refer = call.expect_request("REFER");
    call.respond_to(&refer, 202, "Accepted");
    notify(&mut call, "terminated;reason=noresource", "SIP/2.0 486 Busy Here");
    assert_eq!(transferring.join().unwrap(), refused(486, "Busy Here"));
    assert_eq!(client.call_state(), CallState::Connected);
}

/// Tells how the transfer goes, and waits for the answer.
fn notify(call: &mut PbxCall, state: &str, sipfrag: &str) {
    let notify = call
        .call
        .request("NOTIFY")
        .header("Event", "refer")
        .header("Subscription-State", state)
        .body("message/sipfrag", &format!("{sipfrag}\r\n"));
    call.send_request(&notify);
    call.expect_final_of("NOTIFY");
}
