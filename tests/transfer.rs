//! Blind transfer on behalf of a client: the REFER, what the far end says of it, what is refused and why (PROTOCOL
//! `TRANSFER`; RFC 3515), and a REFER of the far end, which is declined.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::pbx::PbxCall;
use common::scene;
use common::script::{call_in, dial, done, end, start};
use common::ws::{QUIET, WsClient};
use testkit::message::Message;

#[test]
fn transfer_is_a_refer_whose_progress_every_client_hears_and_whose_success_ends_the_call() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut others = [WsClient::connect(relay.ws(), "mode=multi"), WsClient::connect(relay.ws(), "")];
    relay.expect_log("clients=3");
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    for other in &mut others {
        other.expect_all(&[&format!("RING_ANS:0903383638##{id}"), &format!("CALL_ANS:{id}")]);
    }
    ws.send(&format!("TRANSFER:{id}##0912341234"));
    let refer = call.expect_request("REFER");
    assert_eq!(refer.header("Refer-To"), Some(format!("<sip:0912341234@{}>", pbx.address()).as_str()));
    call.respond_to(&refer, 202, "Accepted");
    for (state, sipfrag) in [
        ("active;expires=60", "SIP/2.0 100 Trying"),
        ("active;expires=60", "SIP/2.0 180 Ringing"),
        ("terminated;reason=noresource", "SIP/2.0 200 OK"),
    ] {
        notify(&mut call, state, sipfrag);
        let progress = format!("TRANSFER:{id}##{}", &sipfrag["SIP/2.0 ".len()..]);
        ws.expect_all(&[&progress]);
        others[0].expect_all(&[&progress]);
    }
    call.expect_bye();
    ws.expect_all(&[&format!("BYE:{id}")]);
    others.iter_mut().for_each(|other| other.expect_all(&[&format!("BYE:{id}")]));
    relay.expect_log("reason=transferred");
    let [multi, classic] = others;
    done(&pbx, [ws, multi, classic]);
}

#[test]
fn transfer_that_fails_leaves_the_call_and_may_be_tried_again() {
    let (_relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = scene::outbound(&pbx, &mut ws, &[0, 101]);
    let id = call.call_id();
    // Refused at once: the asking client alone hears of it.
    ws.send(&format!("TRANSFER:{id}##sip:agent-7@127.0.0.1:5099"));
    let refer = call.expect_request("REFER");
    assert_eq!(refer.header("Refer-To"), Some("<sip:agent-7@127.0.0.1:5099>"));
    call.respond_to(&refer, 603, "Decline");
    ws.expect_all(&["ERROR:603 Decline##TRANSFER"]);
    // Tried, and nobody answered.
    ws.send(&format!("TRANSFER:{id}##0912341234"));
    let refer = call.expect_request("REFER");
    ws.send(&format!("TRANSFER:{id}##0912341234"));
    ws.expect_all(&["ERROR:491 Request Pending##TRANSFER"]);
    call.respond_to(&refer, 202, "Accepted");
    notify(&mut call, "terminated;reason=noresource", "SIP/2.0 486 Busy Here");
    ws.expect_all(&[&format!("TRANSFER:{id}##486 Busy Here")]);
    call.rtp.send_payload(&[0x11; 1600]);
    ws.expect_rtp(8, common::WAIT);
    ws.send(&format!("TRANSFER:{id}##0912341234"));
    call.expect_request("REFER");
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn transfer_goes_only_where_a_call_may_go() {
    let (relay, pbx, mut ws) = start("mode=multi", &[("CALL_ALLOWED_PREFIXES", "09,+8862")]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    for (target, error) in [
        ("12", "484 Address Incomplete"),
        ("reception", "484 Address Incomplete"),
        ("tel:0912341234", "484 Address Incomplete"),
        ("sip:", "484 Address Incomplete"),
        ("sip:0912@10.0.0.7>\r\nX: y", "4"),
        ("sip:0912@10.0.0.7?Replaces=a", "484 Address Incomplete"),
        ("0812341234", "403 Forbidden"),
        ("sip:0812341234@10.0.0.7", "403 Forbidden"),
        ("sip:10.0.0.7", "403 Forbidden"),
    ] {
        ws.send(&format!("TRANSFER:{id}##{target}"));
        let refused = ws.expect(&format!("ERROR:{error}"));
        assert!(refused.ends_with("##TRANSFER"), "{target:?}: {refused}");
    }
    assert!(call.is_quiet(QUIET), "nothing was asked of the far end");
    ws.send(&format!("TRANSFER:{id}##sip:0912@10.0.0.7;transport=udp"));
    let refer = call.expect_request("REFER");
    assert_eq!(refer.header("Refer-To"), Some("<sip:0912@10.0.0.7;transport=udp>"));
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn call_that_is_not_up_cannot_be_transferred() {
    let (_relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = dial(&pbx, &ws);
    ws.expect("CALLING:");
    ws.send(&format!("TRANSFER:{}##0912341234", call.call_id()));
    ws.expect_all(&["ERROR:491 the call is not up##TRANSFER"]);
    common::script::refuse(&mut call, 404, "Not Found");
    ws.expect("CALL_FAILED:");
    done(&pbx, [ws]);
}

#[test]
fn refer_of_the_far_end_is_declined_and_the_call_goes_on() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let refer = call.call.request("REFER").header("Refer-To", "<sip:0912341234@127.0.0.1>");
    call.send_request(&refer);
    assert_eq!(call.expect_final().status(), Some(603));
    assert!(ws.is_quiet(QUIET), "nobody is called");
    end(call, &mut ws);
    done(&pbx, [ws]);
}

// ---- helpers ----

/// Tells the relay how far the transfer is.
fn notify(call: &mut PbxCall, state: &str, sipfrag: &str) -> Message {
    let notify = call.call.request("NOTIFY").header("Event", "refer").header("Subscription-State", state);
    call.send_request(&notify.body("message/sipfrag", &format!("{sipfrag}\r\n")));
    call.expect_response(200)
}
