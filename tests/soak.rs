//! Many calls, and what is left afterwards: nothing. A thousand calls one after another, then two hundred at once, thrice.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::thread;
use std::time::Duration;

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::ws::WsClient;
use common::{eventually, free_ports, recording};
use testkit::g711;

const IN_A_ROW: usize = 1000;
const AT_ONCE: usize = 200;
/// How often as many are up at once.
const WAVES: usize = 5;
/// Descriptors that may be open afterwards beyond those before: a log or timer that opened on first use.
const SPARE_FILES: usize = 4;
/// Resident memory that may come on top: the transactions of the last 32 s, and pages the allocator keeps. Less than 5 KiB
/// for each call of a row.
const SPARE_KIB: u64 = 4 * 1024;
/// 64·T1 and a little.
const TRANSACTIONS_END: Duration = Duration::from_millis(33_000);
const NOTHING: &str = "calls=0 ports=0 clients=0 backlog=0 \
     sip_transactions=0 sip_dialogs=0 sip_calls=0 sip_routes=0 sip_timers=0";

#[test]
fn a_thousand_calls_leave_nothing_behind() {
    let base = free_ports(4 * AT_ONCE as u16);
    let (start, end) = (base.to_string(), (base + 4 * AT_ONCE as u16 - 1).to_string());
    let relay = Relay::start(&[("RTP_PORT_START", &start), ("RTP_PORT_END", &end), ("LOG_LEVEL", "DEBUG")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let pbx = Pbx::new();
    // Descriptors and memory that the first calls bring into being stay: what counts is growth after that.
    (0..100).for_each(|_| one_call(&relay, &pbx, &mut ws));
    assert_all_free(&relay, "after the first calls");
    let (files, memory) = (relay.open_files(), relay.resident_kib());

    (100..IN_A_ROW).for_each(|_| one_call(&relay, &pbx, &mut ws));
    assert_all_free(&relay, "after calls in a row");
    assert_no_growth(&relay, files, memory);
    assert_eq!(recording::list(&relay.recordings()).len(), IN_A_ROW);

    // What many calls at once need (100 KiB each) stays with the allocator for the next ones.
    for _ in 0..WAVES {
        wave(&relay, &pbx, &mut ws);
        assert_no_growth(&relay, files, memory + AT_ONCE as u64 * 100);
    }
    one_call(&relay, &pbx, &mut ws);

    assert_eq!(pbx.unexpected(), Vec::<String>::new());
    let (sent_again, seen_again) = (pbx.sent_again(), pbx.seen_again());
    assert_eq!((sent_again, seen_again), (0, 0), "no message was needed twice");
    // The tables of SIP are empty when the last transaction is over: 64·T1 after the last message (RFC 3261 §17, timers H, J
    // and L), by the clock of another process. The client leaves last and hears of no further call.
    std::thread::sleep(TRANSACTIONS_END);
    drop(ws);
    relay.expect_log("client gone");
    assert_eq!(census_at_the_end(relay), NOTHING);
}

/// Ends the relay and reads what it counts as its last word.
fn census_at_the_end(mut relay: Relay) -> String {
    relay.signal_terminate();
    assert!(relay.wait_exit(Duration::from_secs(15)).success());
    let line = relay.expect_log(" census ");
    let numbers = line.split_once(" census ").unwrap().1;
    numbers.split(" - ").next().unwrap().to_owned()
}

/// As many calls at once as there are ports, and one more, which is refused.
fn wave(relay: &Relay, pbx: &Pbx, ws: &mut WsClient) {
    let calls = many_calls(relay, pbx);
    assert_eq!(calls.len(), AT_ONCE);
    assert_eq!(media_ports(relay).len(), 2 * AT_ONCE, "RTP and RTCP of each call");
    let mut refused = pbx.invite(relay.sip(), Invite { listen: false, ..Invite::default() });
    refused.expect_response(503);
    refused.ack();
    hang_up(calls);
    for _ in 0..AT_ONCE {
        ws.wait_for("BYE:");
    }
    assert_all_free(relay, "after calls at once");
}

/// INVITE, 200, ACK, five packets, BYE, 200, and the four words to the client.
fn one_call(relay: &Relay, pbx: &Pbx, ws: &mut WsClient) {
    let mut call = pbx.call(relay.sip(), Invite { listen: false, ..Invite::default() });
    let call_id = call.call_id();
    ws.expect_all(&[&format!("RING_ANS:0903383638##{call_id}"), &format!("CALL_ANS:{call_id}")]);
    for _ in 0..5 {
        let packet = call.rtp.stream().packet(&g711::encode_ulaw(&[4096; 160]));
        call.rtp.send_raw(&packet.to_bytes());
    }
    call.bye();
    ws.expect_all(&[&format!("BYE:{call_id}")]);
}

/// Brings all calls up from eight threads, each call sending for a second.
fn many_calls(relay: &Relay, pbx: &Pbx) -> Vec<PbxCall> {
    let talk = |_| {
        let mut calls: Vec<PbxCall> = (0..AT_ONCE / 8)
            .map(|_| pbx.call(relay.sip(), Invite { listen: false, ..Invite::default() }))
            .collect();
        let start = std::time::Instant::now();
        for n in 0..50 {
            common::rtp_end::pace(start + Duration::from_millis(20 * n));
            for call in &mut calls {
                let packet = call.rtp.stream().packet(&[0x8f; 160]);
                call.rtp.send_raw(&packet.to_bytes());
            }
        }
        calls
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || talk(n))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    })
}

fn hang_up(calls: Vec<PbxCall>) {
    let mut calls = calls;
    thread::scope(|scope| {
        for part in calls.chunks_mut(AT_ONCE / 8) {
            scope.spawn(|| part.iter_mut().for_each(PbxCall::bye));
        }
    });
}

/// The relay holds no port of the range, on no address.
fn assert_all_free(relay: &Relay, when: &str) {
    // A port is given back by its owner, an instant after the client hears of the end.
    let free = eventually(Duration::from_secs(5), || media_ports(relay).is_empty());
    assert!(free, "{when}: still bound: {:?}", media_ports(relay));
}

fn media_ports(relay: &Relay) -> Vec<u16> {
    let (start, end) = relay.rtp_range();
    let mut ports = relay.udp_ports();
    ports.retain(|port| (start..=end).contains(port));
    ports
}

fn assert_no_growth(relay: &Relay, files: usize, memory: u64) {
    let few = eventually(Duration::from_secs(5), || relay.open_files() <= files + SPARE_FILES);
    assert!(few, "{} files open, {files} before", relay.open_files());
    let small = eventually(Duration::from_secs(5), || relay.resident_kib() <= memory + SPARE_KIB);
    assert!(small, "{} KiB resident, {memory} before", relay.resident_kib());
}
