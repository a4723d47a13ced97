//! INVITEs without an offer: ours goes out in the 200, the caller's answer comes in the ACK (RFC 3261 §13.2.1).

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::script::{done, end, start};
use common::ws::QUIET;
use common::{WAIT, scene};
use testkit::message::Message;
use testkit::{sdp, tone};

#[test]
fn call_without_an_offer_gets_ours_and_talks_as_the_ack_answers() {
    for mode in ["auto", "client"] {
        let (relay, pbx, mut ws) = start("mode=multi", &[("RELAY_ANSWER_MODE", mode)]);
        let mut call = invite(&pbx, &relay);
        let id = call.call_id();
        if mode == "client" {
            call.expect_response(180);
            ws.expect_all(&[&format!("RING_ANS:0903383638##{id}")]);
            ws.send(&format!("CALL_ANS:{id}"));
        }
        let ok = call.expect_response(200);
        assert_eq!(sdp::formats(ok.body()), [0, 8, 101], "{}", ok.body());
        assert!(sdp::attribute(ok.body(), "sendrecv").is_some());
        let answer = sdp::audio(call.rtp.address(), &[8, 101]);
        call.rtp.payload_type = 8;
        call.ack_with(|ack| ack.sdp(&answer));
        if mode == "auto" {
            ws.expect_all(&[&format!("RING_ANS:0903383638##{id}")]);
        }
        ws.expect_all(&[&format!("CALL_ANS:{id}")]);
        call.rtp.send_pcm(&tone::tone(500.0, 8000, 200));
        ws.expect_rtp(8, WAIT);
        ws.send_pcm(&id, &tone::tone(440.0, 8000, 200));
        call.rtp.expect_packets(15, WAIT);
        let heard = || tone::is_tone(&scene::loud(&call.rtp.arrivals(), 8), 8000, 440.0, 2.0);
        assert!(common::eventually(WAIT, heard), "A-law, as the ACK says");
        end(call, &mut ws);
        done(&pbx, [ws]);
    }
}

#[test]
fn ack_without_an_answer_that_can_be_used_ends_the_call_before_it_is_up() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    for answer in
        [None, Some("v=0\r\nnonsense".to_owned()), Some(sdp::audio("127.0.0.1:4000".parse().unwrap(), &[18]))]
    {
        let mut call = invite(&pbx, &relay);
        let id = call.call_id();
        call.expect_response(200);
        call.ack_with(|ack| match &answer {
            Some(sdp) => ack.sdp(sdp),
            None => ack,
        });
        call.expect_bye();
        ws.expect_all(&[&format!("RING_ANS:0903383638##{id}"), &format!("RING_IGNORE:{id}")]);
        assert!(call.rtp.arrivals().is_empty(), "nobody knows where to send to");
    }
    assert!(ws.is_quiet(QUIET));
    done(&pbx, [ws]);
}

// ---- helpers ----

fn invite(pbx: &Pbx, relay: &Relay) -> PbxCall {
    pbx.invite_with(relay.sip(), Invite::default(), |draft| {
        let draft = draft.without("Content-Type").body("text/plain", "").without("Content-Type");
        let text = String::from_utf8(draft.to_bytes()).unwrap();
        assert!(Message::parse(text.as_bytes()).unwrap().body().is_empty());
        draft
    })
}
