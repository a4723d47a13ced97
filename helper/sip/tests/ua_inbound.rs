//! Inbound calls: rung, answered, refused, cancelled, acknowledged and not.

mod ua_support;

use std::time::Duration;

use sip::{CallError, EndCause, EndpointConfig, Event, Incoming, Party, Rejection};
use ua_support::*;

#[test]
fn call_is_100_180_200_and_ack_then_bye() {
    let mut bench = Bench::new();
    bench.receive(&invite());
    let trying = bench.next();
    assert_eq!(trying.start(), "SIP/2.0 100 Trying");
    assert!(!trying.header("To").contains("tag="), "no tag in a 100");

    let Event::Incoming(incoming) = bench.event() else { panic!() };
    let call = incoming.call;
    assert_eq!(
        *incoming,
        Incoming {
            call,
            sip_call_id: "a:b##c@10.0.0.9".into(),
            request_uri: format!("sip:relay@{OURS}"),
            from: Party {
                display: Some("0903383638".into()),
                uri: "sip:0903383638@10.0.0.9".into(),
                user: Some("0903383638".into()),
            },
            to: Party { display: None, uri: format!("sip:relay@{OURS}"), user: Some("relay".into()) },
            offer: Some(sdp(OFFER)),
            headers: vec![],
            source: PEER.parse().unwrap(),
        }
    );

    bench.run(|e, now| e.ringing(now, call)).unwrap();
    let ringing = bench.next();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let ok = bench.next();
    assert_eq!((ringing.start(), ok.start()), ("SIP/2.0 180 Ringing", "SIP/2.0 200 OK"));
    assert_eq!(ringing.to_tag(), ok.to_tag());
    assert_eq!(
        ok.names(),
        [
            "Via",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Contact",
            "Allow",
            "Server",
            "Content-Type",
            "Content-Length"
        ]
    );
    assert_eq!(
        ok.header("Via"),
        format!("SIP/2.0/UDP {PEER};branch=z9hG4bKinv1;received=10.0.0.9;rport=5060")
    );
    assert_eq!(ok.header("Contact"), format!("<sip:{OURS}>"));
    assert_eq!(ok.header("Allow"), "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE");
    assert_eq!(ok.body(), ANSWER);

    bench.receive(&in_dialog("ACK", 1, &ok.to_tag(), "ack1"));
    assert_eq!(bench.event(), Event::Acked { call, sdp: None });
    bench.receive(&in_dialog("BYE", 2, &ok.to_tag(), "bye1"));
    assert_eq!(bench.next().start(), "SIP/2.0 200 OK");
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::RemoteBye { reason: None } });
    bench.assert_empty();
    bench.assert_quiet();
}
