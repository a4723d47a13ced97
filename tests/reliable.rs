//! Reliable provisional responses (RFC 3262): ours where the caller requires them, the PBX's confirmed by PRACK, and media that
//! is agreed in one of them.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::pbx::Invite;
use common::script::{dial, done, end, start};
use common::{WAIT, scene};
use testkit::{sdp, tone};

#[test]
fn answer_in_a_reliable_response_is_confirmed_and_is_the_answer_of_the_call() {
    let (_relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = dial(&pbx, &ws);
    let id = call.call_id();
    ws.expect("CALLING:");
    assert!(call.invite_text().contains("100rel"), "{}", call.invite_text());
    let body = sdp::audio(call.rtp.address(), &[8, 101]);
    call.rtp.payload_type = 8;
    let progress = call.call.respond(183, "Session Progress").header("Require", "100rel").header("RSeq", 7);
    call.send_response(&progress.sdp(&body));
    let prack = call.expect_request("PRACK");
    assert_eq!(prack.header("RAck"), Some("7 1 INVITE"));
    call.respond_to(&prack, 200, "OK");
    ws.expect_all(&[&format!("RING_ANS:0912341234##{id}")]);
    // The 200 need not repeat it (RFC 3261 §13.2.1).
    call.respond(200, "OK");
    call.expect_request("ACK");
    ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    call.rtp.send_pcm(&tone::tone(500.0, 8000, 200));
    ws.expect_rtp(8, WAIT);
    ws.send_pcm(&id, &tone::tone(440.0, 8000, 200));
    let heard = || tone::is_tone(&scene::loud(&call.rtp.arrivals(), 8), 8000, 440.0, 2.0);
    assert!(common::eventually(WAIT, heard), "A-law, as the 183 said");
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn caller_that_requires_it_gets_reliable_ringing() {
    let (relay, pbx, mut ws) = start("mode=multi", &[("RELAY_ANSWER_MODE", "client")]);
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| draft.header("Require", "100rel"));
    let id = call.call_id();
    let ringing = call.expect_response(180);
    assert_eq!(ringing.header("Require"), Some("100rel"), "{ringing}");
    let rseq = ringing.header("RSeq").expect("an RSeq").to_owned();
    let prack = call.call.request("PRACK").header("RAck", format!("{rseq} 1 INVITE"));
    call.send_request(&prack);
    assert_eq!(call.expect_final_of("PRACK").status(), Some(200));
    ws.expect_all(&[&format!("RING_ANS:0903383638##{id}")]);
    ws.send(&format!("CALL_ANS:{id}"));
    let ok = call.expect_final_of("INVITE");
    assert_eq!(ok.status(), Some(200));
    // The ACK of the INVITE bears its number, not that of the PRACK.
    call.ack_with(|ack| ack.replace("CSeq", "1 ACK"));
    ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    call.rtp.expect_packets(5, WAIT);
    end(call, &mut ws);
    done(&pbx, [ws]);
}
