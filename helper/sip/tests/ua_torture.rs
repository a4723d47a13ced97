//! RFC 4475 at the user agent: the answer that each of its messages gets from an endpoint, and what it leaves behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

#[path = "fixtures/torture.rs"]
#[allow(dead_code, reason = "the messages are taken from the table of all of them")]
mod fixtures;

use bytes::Bytes;
use sip::Event;
use ua_support::*;

/// What the endpoint does with a datagram: the status of its last answer, whether a call came of it.
fn treatment(datagram: &'static [u8]) -> (Option<u16>, bool) {
    let mut bench = Bench::new();
    bench.endpoint.handle_datagram(bench.now, PEER.parse().unwrap(), Bytes::from_static(datagram));
    bench.drain();
    let status = bench.sent.back().map(|sent| sent.start()[8..11].parse().unwrap());
    let call = bench.events.iter().any(|event| matches!(event, Event::Incoming(_)));
    bench.assert_empty();
    (status, call)
}

/// Message, status of the answer, whether it becomes a call. 405 stands for a request that is fine and asks for what a
/// relay does not do (REGISTER, MESSAGE, unknown methods); no status for responses, which nobody waits for.
const TREATMENT: &[(&str, Option<u16>, bool)] = &[
    // 3.1.1 valid
    ("wsinv", Some(481), false),
    ("intmeth", Some(405), false),
    ("esc01", Some(100), true),
    ("escnull", Some(405), false),
    ("esc02", Some(405), false),
    ("lwsdisp", Some(200), false),
    ("longreq", Some(100), true),
    ("dblreq", Some(405), false),
    ("semiuri", Some(200), false),
    ("transports", Some(200), false),
    ("mpart01", Some(405), false),
    ("unreason", None, false),
    ("noreason", None, false),
    // 3.1.2 invalid
    ("badinv01", Some(400), false),
    ("clerr", Some(400), false),
    ("ncl", Some(400), false),
    ("scalar02", Some(400), false),
    ("scalarlg", None, false),
    ("quotbal", Some(400), false),
    ("ltgtruri", Some(400), false),
    ("badvers", Some(505), false),
    ("mismatch01", Some(400), false),
    ("mismatch02", Some(400), false),
    ("bigcode", None, false),
    // 3.2 transaction layer
    ("badbranch", Some(200), false),
    // 3.3 application layer
    ("insuf", Some(400), false),
    ("unkscm", Some(416), false),
    ("novelsc", Some(416), false),
    ("bext01", Some(420), false),
    ("invut", Some(415), false),
    ("multi01", Some(400), false),
    ("mcl01", Some(400), false),
    ("bcast", None, false),
    ("zeromf", Some(200), false),
    ("sdp01", Some(406), false),
    // 3.4 backward compatibility
    ("inv2543", Some(100), true),
];

#[test]
fn each_message_gets_the_answer_that_the_rfc_describes() {
    for (name, status, call) in TREATMENT {
        let (_, datagram) = fixtures::ALL.iter().find(|(known, _)| known == name).unwrap();
        assert_eq!(treatment(datagram), (*status, *call), "{name}");
    }
}

#[test]
fn none_of_the_messages_is_fatal_or_leaves_anything_behind() {
    for (_, datagram) in fixtures::ALL {
        treatment(datagram);
    }
}
