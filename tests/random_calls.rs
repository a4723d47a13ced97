//! Calls, hang-ups, refusals and clients in random order and at random times: whatever happens, each client's log keeps
//! the invariants (I1 to I10), and afterwards nothing is left.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::invariants::{EventLog, Invariants};
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::rtp_end::pace;
use common::ws::{Incoming, WsClient};
use common::{WAIT, eventually, free_ports};
use testkit::rng::Rng;

/// Callers at once, and calls of each.
const CALLERS: u64 = 6;
const CALLS: u64 = 12;
/// Calls out.
const DIALS: u64 = 24;

#[test]
fn whatever_happens_every_log_keeps_the_invariants() {
    let base = free_ports(4 * 40);
    let (first, last) = (base.to_string(), (base + 4 * 40 - 1).to_string());
    let pbx = Pbx::new();
    let server = pbx.settings();
    let relay = Relay::start(&[
        ("RELAY_ANSWER_MODE", "client"),
        ("RTP_PORT_START", &first),
        ("RTP_PORT_END", &last),
        (server[0].0, &server[0].1),
        (server[1].0, &server[1].1),
    ]);
    // These two see everything from the beginning to the end.
    let agent = WsClient::connect(relay.ws(), "mode=multi");
    let witness = WsClient::connect(relay.ws(), "");
    relay.expect_log("clients=2");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|n| {
                let relay = &relay;
                scope.spawn(move || call_in_many_ways(relay, Rng::new(n)))
            })
            .collect();
        let called = scope.spawn(|| answer_in_many_ways(&pbx, &agent, Rng::new(100)));
        scope.spawn(|| act_on_calls(&agent, Rng::new(200), &over));
        scope.spawn(|| come_and_go(&relay, Rng::new(300), &over));
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        called.join().unwrap();
        over.store(true, Ordering::Relaxed);
    });
    // Every call is over for the relay, too.
    let ports_free = || (base..=base + 4 * 40 - 1).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok());
    assert!(eventually(WAIT, ports_free), "ports are still bound");
    // Only now is everything said.
    for ws in [agent, witness] {
        while !quiet(&ws) {}
        Invariants::check(&ws.log());
    }
    let ended = relay.log().iter().filter(|line| line.contains("call over")).count() as u64;
    assert_eq!(ended, CALLERS * CALLS + DIALS, "every call was a call, and ended once");
    assert!(relay.log().iter().all(|line| !line.contains("[ERROR]")), "{:?}", relay.log());
}

/// True when nothing came for a while.
fn quiet(ws: &WsClient) -> bool {
    let before = ws.transcript().len();
    !eventually(common::ws::QUIET, || ws.transcript().len() > before)
}

/// Waits for a random time of at most so many milliseconds.
fn dally(rng: &mut Rng, most: u64) {
    pace(std::time::Instant::now() + Duration::from_millis(rng.below(most)));
}

fn call_in_many_ways(relay: &Relay, mut rng: Rng) {
    let pbx = Pbx::new();
    for _ in 0..CALLS {
        let mut call = pbx.invite(relay.sip(), Invite { listen: false, ..Invite::default() });
        call.expect_response(180);
        if rng.below(3) == 0 {
            dally(&mut rng, 60);
            call.send_cancel();
        }
        let last = call.expect_final_of("INVITE");
        call.ack();
        if last.status() != Some(200) {
            continue;
        }
        for _ in 0..rng.below(5) {
            let packet = call.rtp.stream().packet(&[0x55; 160]);
            call.rtp.send_raw(&packet.to_bytes());
        }
        dally(&mut rng, 80);
        end_from_either_side(&mut call);
    }
}

/// Our BYE, and the relay's where it crosses ours.
fn end_from_either_side(call: &mut PbxCall) {
    let bye = call.call.bye();
    call.send_request(&bye);
    let answer = call.expect_final_of("BYE");
    assert!(matches!(answer.status(), Some(200 | 481)), "{answer}");
    if let Some(theirs) = call.poll_request("BYE") {
        call.respond_to(&theirs, 200, "OK");
    }
}

fn answer_in_many_ways(pbx: &Pbx, agent: &WsClient, mut rng: Rng) {
    for n in 0..DIALS {
        agent.send(&format!("CALL:09{:08}", n));
        let mut call = pbx.expect_call();
        dally(&mut rng, 20);
        if rng.below(4) > 0 {
            call.respond(180, "Ringing");
            dally(&mut rng, 50);
        }
        let cancel = call.poll_request("CANCEL");
        if let Some(cancel) = &cancel {
            call.respond_to(cancel, 200, "OK");
        }
        let refuses = cancel.is_some() && rng.below(4) > 0 || rng.below(3) == 0;
        if refuses {
            call.respond(if cancel.is_some() { 487 } else { 486 }, "No");
            call.expect_request("ACK");
        } else {
            call.answer(&[0]);
            call.expect_request("ACK");
            dally(&mut rng, 60);
            end_from_either_side(&mut call);
        }
        // A CANCEL that crossed our final response.
        if let Some(cancel) = call.poll_request("CANCEL") {
            call.respond_to(&cancel, 200, "OK");
        }
    }
}

/// Answers, declines and ends calls as they come, some twice.
fn act_on_calls(agent: &WsClient, mut rng: Rng, over: &AtomicBool) {
    let mut handled = 0;
    while !over.load(Ordering::Relaxed) {
        let transcript = agent.transcript();
        for (_, message) in &transcript[handled..] {
            let Incoming::Text(text) = message else { continue };
            let (verb, rest) = text.split_once(':').unwrap_or((text, ""));
            let id = rest.rsplit("##").next().unwrap();
            match (verb, rng.below(6)) {
                ("RING_ANS", 0) => agent.send(&format!("CALL_IGNORE:{id}")),
                ("RING_ANS", 1) => agent.send(&format!("HANGUP:{id}")),
                ("RING_ANS", 2) => {
                    agent.send(&format!("CALL_ANS:{id}"));
                    agent.send(&format!("BYE:{id}"));
                }
                ("RING_ANS", _) => agent.send(&format!("CALL_ANS:{id}")),
                ("CALL_ANS", 0) => agent.send(&format!("BYE:{id}")),
                ("CALL_ANS", 1) => agent.send_pcm(id, &[1000; 800]),
                ("CALL_ANS", 2) => {
                    agent.send(&format!("HANGUP:{id}"));
                    agent.send(&format!("HANGUP:{id}"));
                }
                ("BYE", 0) => agent.send(&format!("BYE:{id}")),
                _ => {}
            }
        }
        handled = transcript.len();
        eventually(Duration::from_millis(20), || agent.transcript().len() > handled);
    }
}

/// Clients of every mode that come and leave; what each saw was right as far as it went.
fn come_and_go(relay: &Relay, mut rng: Rng, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let query = ["", "mode=hex", "mode=multi"][rng.below(3) as usize];
        let ws = WsClient::connect(relay.ws(), query);
        dally(&mut rng, 200);
        if rng.below(4) == 0 {
            ws.send(["MODE:classic", "MODE:hex", "MODE:multi"][rng.below(3) as usize]);
            dally(&mut rng, 100);
        }
        Invariants::check(&EventLog { open: true, ..ws.log() });
    }
}
