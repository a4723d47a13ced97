//! Interoperability with SIPp over a line that loses every fifth message in either direction: retransmissions carry every call.
//!
//! Skipped with a printed reason where SIPp is not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::relay::Relay;
use common::rtp_end::RtpEnd;
use common::scene::DIALLED;
use common::sipp::Sipp;
use common::sipp_call::hint;
use common::temp::TempDir;
use common::ws::{Incoming, WsClient};
use common::{free_ports, scenario, tools};

/// In each direction.
const CALLS: usize = 50;

#[test]
fn every_call_completes_though_every_fifth_message_is_lost() {
    let Some(programs) = tools::find(&["sipp"]) else { return };
    let media = RtpEnd::bind(false);
    let values = [("media_port", media.address().port().to_string())];
    let dirs = [TempDir::new("caller"), TempDir::new("called")];
    let caller = Sipp::calling(&dirs[0], &scenario::read("lossy_caller", &values)).losing(20);
    let called = Sipp::called(&dirs[1], &scenario::read("lossy_called", &values)).losing(20);
    let ports = 4 * (2 * CALLS as u16 + 1);
    let range = free_ports(ports);
    let relay = Relay::start(&[
        ("SIP_SERVER_IP", "127.0.0.1"),
        ("SIP_TRANSFER_PORT", &called.port.to_string()),
        ("RTP_PORT_START", &range.to_string()),
        ("RTP_PORT_END", &(range + ports - 1).to_string()),
    ]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    relay.expect_log("clients=1");

    let mut telephones =
        [caller.start(&programs[0], relay.sip(), "100", CALLS, CALLS), called.answer(&programs[0], CALLS)];
    for _ in 0..CALLS {
        ws.send(&format!("CALL:{DIALLED}"));
    }
    // Each call is ended as soon as it is up, by whoever placed it.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut ours, mut up, mut over) = (HashSet::new(), HashSet::new(), HashSet::new());
    let deadline = Instant::now() + Duration::from_secs(50);
    while over.len() < 2 * CALLS {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(Incoming::Text(event)) = ws.next_signal(left) else {
            panic!("{} calls of {} came up, {} are over", up.len(), 2 * CALLS, over.len())
        };
        let (verb, id) = event.split_once(':').unwrap();
        match verb {
            "CALLING" => assert!(ours.insert(id.split_once("##").unwrap().1.to_owned())),
            "RING_ANS" => {}
            "CALL_ANS" => {
                assert!(up.insert(id.to_owned()), "{id} is up for the second time");
                match ours.contains(id) {
                    true => ws.send(&format!("BYE:{id}")),
                    false => hint(&socket, caller.port, id, 1),
                }
            }
            "BYE" => {
                assert!(up.contains(id) && over.insert(id.to_owned()), "{id} is over for the second time")
            }
            _ => panic!("{event}"),
        }
    }
    assert_eq!((ours.len(), up.len()), (CALLS, 2 * CALLS));
    for (telephone, sipp) in telephones.iter_mut().zip([&caller, &called]) {
        telephone.expect_success(Duration::from_secs(30));
        assert_eq!(sipp.count("SuccessfulCall(C)"), CALLS);
        assert!(sipp.count("Retransmissions(C)") > CALLS / 5, "the line loses messages");
    }
    ws.finish();
}
