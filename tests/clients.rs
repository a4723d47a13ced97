//! What WebSocket clients hear and may do: hanging up, several clients, several calls, coming late, focus
//! (A-78, A-84 to A-87, I1 to I10).

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::invariants::{EventLog, Invariants};
use common::pbx::{Invite, PbxCall};
use common::script::{call_in, dial, done, end, refuse, start};
use common::ws::{Incoming, QUIET, WsClient, classic_rtp, multi_rtp};

#[test]
fn each_way_to_hang_up_ends_an_established_call_with_one_bye() {
    for query in ["", "mode=hex", "mode=multi"] {
        let (relay, pbx, mut ws) = start(query, &[]);
        for form in ["BYE", "BYE:{id}", "HANGUP", "HANGUP:{id}"] {
            if query == "mode=multi" && !form.contains(':') {
                continue;
            }
            for outbound in [false, true] {
                let mut call =
                    if outbound { call_out(&pbx, &mut ws) } else { call_in(&relay, &pbx, &mut ws) };
                ws.send(&form.replace("{id}", &call.call_id()));
                call.expect_bye();
                ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
            }
        }
        done(&pbx, [ws]);
    }
}

#[test]
fn every_client_hears_all_signalling_and_one_that_leaves_changes_nothing() {
    let (relay, pbx, mut first) = start("", &[]);
    let mut second = WsClient::connect(relay.ws(), "mode=multi");
    let mut third = WsClient::connect(relay.ws(), "mode=hex");
    settle(&relay, 3);
    let call = call_in(&relay, &pbx, &mut first);
    let id = call.call_id();
    for ws in [&mut second, &mut third] {
        ws.expect_all(&[&format!("RING_ANS:0903383638##{id}"), &format!("CALL_ANS:{id}")]);
    }
    drop(first);
    let mut out = dial(&pbx, &third);
    refuse(&mut out, 486, "Busy Here");
    let (ignore, failed) = (format!("CALL_IGNORE:{}", out.call_id()), "CALL_FAILED:486 Busy Here");
    third.expect_all(&[&ignore, failed]);
    second.expect_all(&[&ignore, &format!("{failed}##{}", out.call_id())]);
    end(call, &mut third);
    second.expect_all(&[&format!("BYE:{id}")]);
    done(&pbx, [second, third]);
}

#[test]
fn calls_without_a_client_are_told_in_order_to_the_next_one_without_old_audio() {
    let (relay, pbx, ws) = start("", &[]);
    drop(ws);
    relay.expect_log("client gone");
    let mut ended = pbx.call(relay.sip(), Invite::default());
    ended.bye();
    let mut call = pbx.call(relay.sip(), Invite::default());
    // Audio of before the client is marked by its payload.
    call.rtp.send_payload(&[0x11; 160 * 10]);
    let (old, id) = (ended.call_id(), call.call_id());
    relay.expect_log("call over");
    let mut ws = WsClient::connect(relay.ws(), "");
    let story = [ws.expect(""), ws.expect(""), ws.expect(""), ws.expect(""), ws.expect("")];
    let expected = [
        format!("RING_ANS:0903383638##{old}"),
        format!("CALL_ANS:{old}"),
        format!("BYE:{old}"),
        format!("RING_ANS:0903383638##{id}"),
        format!("CALL_ANS:{id}"),
    ];
    let of = |id: &str| -> Vec<String> { story.iter().filter(|line| line.ends_with(id)).cloned().collect() };
    assert_eq!(of(&old), expected[..3]);
    assert_eq!(of(&id), expected[3..]);
    call.rtp.send_payload(&[0x22; 160 * 10]);
    let audio = ws.expect_rtp(5, common::WAIT);
    assert!(audio.iter().all(|(_, m)| !classic_rtp(m).1.contains(&0x11)), "RTP is not kept");
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn late_joiner_is_told_of_the_calls_in_progress() {
    let (relay, pbx, mut first) = start("", &[]);
    let over = call_in(&relay, &pbx, &mut first);
    end(over, &mut first);
    let up = call_in(&relay, &pbx, &mut first);
    let mut ringing = dial(&pbx, &first);
    ringing.respond(180, "Ringing");
    first.expect("RING_ANS:");
    let (up_id, ringing_id) = (up.call_id(), ringing.call_id());
    let mut late = WsClient::connect(relay.ws(), "mode=multi");
    late.expect_all(&[
        &format!("RING_ANS:0903383638##{up_id}"),
        &format!("CALL_ANS:{up_id}"),
        &format!("RING_ANS:0912341234##{ringing_id}"),
    ]);
    assert!(late.is_quiet(QUIET), "nothing of calls that are over");
    ringing.answer(&[0]);
    ringing.expect_request("ACK");
    for ws in [&mut first, &mut late] {
        ws.expect_all(&[&format!("CALL_ANS:{ringing_id}")]);
    }
    // And it can act on them.
    late.send(&format!("BYE:{up_id}"));
    let mut up = up;
    up.expect_bye();
    late.expect_all(&[&format!("BYE:{up_id}")]);
    first.expect_all(&[&format!("BYE:{up_id}")]);
    end(ringing, &mut first);
    late.expect_all(&[&format!("BYE:{ringing_id}")]);
    done(&pbx, [first, late]);
}

#[test]
fn focus_is_the_last_call_answered_and_moves_before_the_audio_when_it_ends() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut a = call_in(&relay, &pbx, &mut ws);
    let mut b = call_in(&relay, &pbx, &mut ws);
    let speak =
        |call: &mut PbxCall, byte: u8, frames: usize| call.rtp.send_payload(&vec![byte; 160 * frames]);
    std::thread::scope(|scope| {
        // What the first one says is played out long before the second one is done.
        scope.spawn(|| speak(&mut a, 0xaa, 10));
        scope.spawn(|| speak(&mut b, 0xbb, 50));
    });
    b.bye();
    ws.expect_all(&[&format!("BYE:{}", b.call_id()), &format!("CALL_ANS:{}", a.call_id())]);
    speak(&mut a, 0xab, 20);
    ws.expect_rtp(60, common::WAIT);
    end(a, &mut ws);
    let heard = |of: &[u8]| {
        let focus: Vec<u8> = rtp_bytes(&ws);
        focus.iter().filter(|byte| of.contains(byte)).count()
    };
    assert!(heard(&[0xbb]) >= 45 && heard(&[0xab]) >= 15, "{:?}", rtp_bytes(&ws));
    assert_eq!(heard(&[0xaa]), 0, "the call that is not the focus is not heard");
    let transcript = ws.transcript();
    let position = |what: &dyn Fn(&Incoming) -> bool| transcript.iter().position(|(_, m)| what(m)).unwrap();
    let first_ab = position(&|m| m.is_rtp() && classic_rtp(m).1[80] == 0xab);
    let bye = position(&|m| matches!(m, Incoming::Text(t) if t.starts_with("BYE:")));
    assert!(bye + 1 < first_ab, "CALL_ANS of the other call comes before its audio");
    done(&pbx, [ws]);
}

#[test]
fn client_chooses_its_focus_and_bare_words_mean_it() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut a = call_in(&relay, &pbx, &mut ws);
    let mut b = call_in(&relay, &pbx, &mut ws);
    let mut other = WsClient::connect(relay.ws(), "mode=multi");
    settle(&relay, 2);
    ws.send(&format!("CALL_ANS:{}", a.call_id()));
    ws.expect_all(&[&format!("CALL_ANS:{}", a.call_id())]);
    b.rtp.send_payload(&[0xbb; 160 * 10]);
    a.rtp.send_payload(&[0xaa; 160 * 10]);
    ws.expect_rtp(5, common::WAIT);
    assert!(rtp_bytes(&ws).iter().all(|byte| *byte != 0xbb), "{:?}", rtp_bytes(&ws));
    // 100 ms of a square wave without a call id goes to the focus call alone.
    let pcm: Vec<i16> = (0..800).map(|n| if n / 10 % 2 == 0 { 8000 } else { -8000 }).collect();
    let audio = STANDARD.encode(common::ws::bytes(&pcm));
    ws.send(&format!("RTP:{audio}"));
    let loud = |call: &PbxCall| {
        call.rtp.arrivals().iter().filter(|p| p.packet.payload.iter().any(|b| b & 0x7f < 0x60)).count()
    };
    assert!(common::eventually(common::WAIT, || loud(&a) == 5), "{}", loud(&a));
    assert_eq!(loud(&b), 0);
    ws.send("HANGUP");
    a.expect_bye();
    ws.expect_all(&[&format!("BYE:{}", a.call_id()), &format!("CALL_ANS:{}", b.call_id())]);
    ws.send("BYE");
    b.expect_bye();
    ws.expect_all(&[&format!("BYE:{}", b.call_id())]);
    ws.send("BYE");
    ws.send("HANGUP");
    // The other client is multi: each call was up once, whatever the first one chose.
    other.wait_for(&format!("BYE:{}", b.call_id()));
    done(&pbx, [ws, other]);
}

#[test]
fn multi_client_hears_all_calls_or_those_that_it_subscribes_to() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut a = call_in(&relay, &pbx, &mut ws);
    let mut b = call_in(&relay, &pbx, &mut ws);
    let (a_id, b_id) = (a.call_id(), b.call_id());
    both_speak(&mut a, &mut b);
    let count = |ws: &WsClient, id: &str| rtp_calls(ws).iter().filter(|call| *call == id).count();
    assert!(common::eventually(common::WAIT, || count(&ws, &a_id) >= 8 && count(&ws, &b_id) >= 8));
    ws.send(&format!("UNSUBSCRIBE:{a_id}"));
    fence(&mut ws);
    let before = count(&ws, &a_id);
    both_speak(&mut a, &mut b);
    assert!(common::eventually(common::WAIT, || count(&ws, &b_id) >= 16));
    assert_eq!(count(&ws, &a_id), before, "not subscribed to");
    ws.send("UNSUBSCRIBE:*");
    ws.send(&format!("SUBSCRIBE:{a_id}"));
    fence(&mut ws);
    let (mark, other) = (count(&ws, &a_id), count(&ws, &b_id));
    both_speak(&mut a, &mut b);
    assert!(common::eventually(common::WAIT, || count(&ws, &a_id) >= mark + 8));
    assert_eq!(count(&ws, &b_id), other);
    end(a, &mut ws);
    end(b, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn call_id_with_separators_is_encoded_and_understood_in_either_form() {
    let (relay, pbx, mut ws) = start("", &[]);
    for (n, form) in ["a:b##c{n}@h", "a%3Ab%23%23c{n}@h"].iter().enumerate() {
        let call_id = format!("a:b##c{n}@h");
        let wire = format!("a%3Ab%23%23c{n}@h");
        let mut call = pbx.call(relay.sip(), Invite { call_id: Some(call_id), ..Invite::default() });
        ws.expect_all(&[&format!("RING_ANS:0903383638##{wire}"), &format!("CALL_ANS:{wire}")]);
        let named = form.replace("{n}", &n.to_string());
        ws.send_pcm(&named, &[8000; 160]);
        let loud = || call.rtp.arrivals().iter().any(|p| p.packet.payload[80] & 0x7f < 0x60);
        assert!(common::eventually(common::WAIT, loud));
        ws.send(&format!("BYE:{named}"));
        call.expect_bye();
        ws.expect_all(&[&format!("BYE:{wire}")]);
    }
    done(&pbx, [ws]);
}

#[test]
fn shutdown_ends_every_call_on_both_sides_and_then_the_connections() {
    let (relay, pbx, mut ws) = start("mode=multi", &[("RELAY_ANSWER_MODE", "client")]);
    let mut up = pbx.invite(relay.sip(), Invite::default());
    ws.expect("RING_ANS:");
    ws.send(&format!("CALL_ANS:{}", up.call_id()));
    up.expect_response(200);
    up.ack();
    ws.expect("CALL_ANS:");
    let mut ringing = pbx.invite(relay.sip(), Invite::default());
    ringing.expect_response(180);
    ws.expect("RING_ANS:");
    let mut early = dial(&pbx, &ws);
    early.respond(180, "Ringing");
    ws.expect("CALLING:");
    ws.expect("RING_ANS:");
    relay.signal_terminate();
    up.expect_bye();
    let refusal = ringing.expect_final();
    assert!(refusal.status().is_some_and(|s| s >= 400), "{refusal}");
    ringing.ack();
    // The relay stays for what is still under way: the answer to its CANCEL takes a while.
    let cancel = early.expect_request("CANCEL");
    assert!(early.is_quiet(QUIET));
    common::script::end_cancelled(&mut early, &cancel);
    assert_eq!(ws.expect_close(), Some(1001));
    let log = ws.log();
    Invariants::check(&log);
    let said =
        |text: &str| log.messages.iter().any(|m| matches!(m, Incoming::Text(t) if t.starts_with(text)));
    assert!(said(&format!("BYE:{}", up.call_id())));
    assert!(said(&format!("RING_IGNORE:{}", ringing.call_id())));
    assert!(said("CALL_FAILED:"));
    assert_eq!(pbx.unexpected(), Vec::<String>::new());
}

#[test]
fn client_that_never_reads_delays_nobody() {
    let (relay, pbx, mut ws) = start("", &[]);
    // Connected by hand, and nobody reads what comes.
    let deaf = std::net::TcpStream::connect(relay.ws()).unwrap();
    let upgrade = "GET /?mode=hex HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    std::io::Write::write_all(&mut &deaf, upgrade.as_bytes()).unwrap();
    settle(&relay, 2);
    let mut call = call_in(&relay, &pbx, &mut ws);
    call.rtp.send_payload(&[0x55; 160 * 100]);
    let audio = ws.expect_rtp(95, Duration::from_secs(1));
    let gaps = audio.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.max().unwrap() < Duration::from_millis(500), "the other client's audio keeps flowing");
    end(call, &mut ws);
    drop(deaf);
    done(&pbx, [ws]);
}

#[test]
fn client_that_leaves_early_has_seen_a_right_beginning() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut other = WsClient::connect(relay.ws(), "");
    settle(&relay, 2);
    let call = call_in(&relay, &pbx, &mut ws);
    Invariants::check(&EventLog { open: true, ..ws.log() });
    drop(ws);
    other.expect("RING_ANS:");
    other.expect("CALL_ANS:");
    end(call, &mut other);
    done(&pbx, [other]);
}

// ---- helpers ----

/// A call out that is up.
fn call_out(pbx: &common::pbx::Pbx, ws: &mut WsClient) -> PbxCall {
    let mut call = dial(pbx, ws);
    call.answer(&[0, 101]);
    call.expect_request("ACK");
    ws.wait_for(&format!("CALL_ANS:{}", call.call_id()));
    call
}

/// Waits until the relay has so many clients: a connection is open a little before its client is known.
fn settle(relay: &common::relay::Relay, clients: usize) {
    relay.expect_log(&format!("clients={clients}"));
}

/// Waits until everything sent before has been carried out.
fn fence(ws: &mut WsClient) {
    ws.send("PING:fence");
    ws.wait_for("PONG:fence");
    // Frames on their way when the command came.
    assert!(ws.is_quiet(Duration::from_millis(60)));
}

fn both_speak(a: &mut PbxCall, b: &mut PbxCall) {
    std::thread::scope(|scope| {
        scope.spawn(|| a.rtp.send_payload(&[0xaa; 160 * 10]));
        scope.spawn(|| b.rtp.send_payload(&[0xbb; 160 * 10]));
    });
}

/// A byte of each classic audio message.
fn rtp_bytes(ws: &WsClient) -> Vec<u8> {
    ws.transcript().iter().filter(|(_, m)| m.is_rtp()).map(|(_, m)| classic_rtp(m).1[80]).collect()
}

/// The call of each multi audio message.
fn rtp_calls(ws: &WsClient) -> Vec<String> {
    ws.transcript().iter().filter(|(_, m)| m.is_rtp()).map(|(_, m)| multi_rtp(m).0).collect()
}
