//! RTP ports: as many calls as fit, refusals when none is free, and every port given back however a call ends.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::ws::WsClient;
use common::{eventually, free_ports, scene};

#[test]
fn three_calls_fit_into_the_default_range_and_the_fourth_is_refused() {
    let (base, relay, pbx) = three_calls_relay();
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut calls: Vec<PbxCall> =
        (0..3).map(|_| scene::inbound(&relay, &pbx, &mut ws, Invite::default())).collect();
    let ports = |calls: &[PbxCall]| calls.iter().map(rtp_port).collect::<Vec<_>>();
    assert_eq!(ports(&calls), [base, base + 4, base + 8]);

    let mut refused = pbx.invite(relay.sip(), Invite::default());
    let response = refused.expect_response(503);
    refused.ack();
    let wait: u32 = response.header("Retry-After").expect("a time to wait").trim().parse().unwrap();
    assert!(wait > 0);
    ws.send(&format!("CALL:{}", scene::DIALLED));
    ws.expect_all(&["CALL_FAILED:503 No RTP ports available"]);
    assert!(ws.is_quiet(Duration::from_millis(100)), "a refused call is none: {:?}", ws.signals());
    let invited = |messages: Vec<String>| messages.iter().any(|m| m.starts_with("INVITE "));
    assert!(!invited(pbx.unexpected()), "nothing goes out without a port");

    let mut ended = calls.remove(1);
    ended.bye();
    ws.expect_all(&[&format!("BYE:{}", ended.call_id())]);
    let next = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    assert_eq!(rtp_port(&next), base + 4, "the one that became free");
    // The calls that stayed have noticed nothing.
    for mut call in calls {
        call.rtp.next_packets(3);
        call.bye();
        ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
    }
    let outbound = scene::outbound(&pbx, &mut ws, &[0, 101]);
    assert!([base, base + 8].contains(&rtp_port(&outbound)));
}

#[test]
fn hundred_calls_one_after_another_leave_every_port_free() {
    let (base, relay, pbx) = three_calls_relay();
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut used = std::collections::BTreeSet::new();
    for n in 0..100 {
        let mut call = match n % 4 {
            3 => scene::outbound(&pbx, &mut ws, &[0, 101]),
            _ => scene::inbound(&relay, &pbx, &mut ws, Invite { listen: false, ..Invite::default() }),
        };
        used.insert(rtp_port(&call));
        if n % 2 == 0 {
            call.bye();
        } else {
            ws.send(&format!("BYE:{}", call.call_id()));
            call.expect_bye();
        }
        ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
    }
    assert_eq!(used.into_iter().collect::<Vec<_>>(), [base, base + 4, base + 8], "in turn");
    assert_all_free(&relay);
}

#[test]
fn calls_that_come_to_nothing_give_their_port_back() {
    let base = free_ports(2);
    let range = [base, base + 1].map(|port| port.to_string());
    let pbx = Pbx::new();
    let settings = [
        ("RTP_PORT_START", range[0].as_str()),
        ("RTP_PORT_END", &range[1]),
        ("RELAY_ANSWER_MODE", "client"),
        ("RELAY_INVITE_TIMEOUT", "0.5"),
    ];
    let relay = scene::start(&pbx, &settings);
    let mut ws = WsClient::connect(relay.ws(), "");
    for _ in 0..3 {
        // The only port is free again each time, or the next call would be refused for the lack of it.
        let mut no_codec = pbx.invite(relay.sip(), Invite { formats: vec![18], ..Invite::default() });
        no_codec.expect_response(488);
        no_codec.ack();

        let mut cancelled = ringing_inbound(&relay, &pbx, &mut ws);
        cancelled.cancel();
        ws.expect("RING_IGNORE:");
        let mut declined = ringing_inbound(&relay, &pbx, &mut ws);
        ws.send(&format!("CALL_IGNORE:{}", declined.call_id()));
        declined.expect_response(603);
        declined.ack();
        ws.expect("RING_IGNORE:");

        let mut busy = scene::ringing(&pbx, &mut ws);
        busy.respond(486, "Busy Here");
        busy.expect_request("ACK");
        ws.expect("CALL_IGNORE:");
        ws.expect_all(&["CALL_FAILED:486 Busy Here"]);
        let mut unanswered = scene::ringing(&pbx, &mut ws);
        let cancel = unanswered.expect_request("CANCEL");
        unanswered.respond_to(&cancel, 200, "OK");
        unanswered.respond(487, "Request Terminated");
        ws.expect("CALL_IGNORE:");
        ws.expect_all(&["CALL_FAILED:408 Request Timeout"]);
    }
    assert_all_free(&relay);
}

#[test]
fn port_of_another_program_is_skipped() {
    let base = free_ports(12);
    let stranger = UdpSocket::bind(("127.0.0.1", base + 5)).unwrap();
    let pbx = Pbx::new();
    let relay = start(&pbx, base, &[]);
    let calls: Vec<PbxCall> = (0..2).map(|_| pbx.call(relay.sip(), Invite::default())).collect();
    assert_eq!(calls.iter().map(rtp_port).collect::<Vec<_>>(), [base, base + 8]);
    pbx.invite(relay.sip(), Invite::default()).expect_response(503);
    drop(stranger);
    let call = pbx.call(relay.sip(), Invite::default());
    assert_eq!(rtp_port(&call), base + 4);
}

#[test]
fn limit_on_calls_holds_before_the_ports_are_used_up() {
    let pbx = Pbx::new();
    let relay = start(&pbx, free_ports(12), &[("MAX_CALLS", "1")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    let mut refused = pbx.invite(relay.sip(), Invite::default());
    refused.expect_response(503);
    refused.ack();
    ws.send(&format!("CALL:{}", scene::DIALLED));
    ws.expect("CALL_FAILED:503 ");
    call.bye();
    ws.expect("BYE:");
    scene::outbound(&pbx, &mut ws, &[0, 101]);
}

/// A relay with a range like the default one, 31000 to 31010, and the first port of it.
fn three_calls_relay() -> (u16, Relay, Pbx) {
    let (base, pbx) = (free_ports(12), Pbx::new());
    (base, start(&pbx, base, &[]), pbx)
}

fn start(pbx: &Pbx, base: u16, settings: &[(&str, &str)]) -> Relay {
    let (first, last) = (base.to_string(), (base + 10).to_string());
    let range = [("RTP_PORT_START", first.as_str()), ("RTP_PORT_END", &last)];
    scene::start(pbx, &[&range, settings].concat())
}

fn ringing_inbound(relay: &Relay, pbx: &Pbx, ws: &mut WsClient) -> PbxCall {
    let mut call = pbx.invite(relay.sip(), Invite::default());
    call.expect_response(180);
    ws.expect("RING_ANS:");
    call
}

/// The RTP port that the relay named in its description.
fn rtp_port(call: &PbxCall) -> u16 {
    call.rtp.to.expect("the relay described its media").port()
}

fn assert_all_free(relay: &Relay) {
    let (start, end) = relay.rtp_range();
    let free = || (start..=end).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok());
    assert!(eventually(common::WAIT, free), "every port of the range can be bound");
}
