//! Where media comes from and goes to: latching, hold, a change of address, RTCP, telephone events of the caller.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::rtp_end::{self, RtpEnd};
use common::ws::{Incoming, WsClient};
use common::{WAIT, eventually, recording, scene};
use testkit::rtp::{Packet, Stream};
use testkit::{g711, sdp};

#[test]
fn stranger_is_neither_heard_nor_sent_anything() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    call.rtp.send_payload(&[0x11; 1600]);
    ws.expect_rtp(10, WAIT);

    let stranger = listener("127.0.0.1:0");
    let mut stream = Stream::new(0, 0x7374_7261, 1, 0);
    let port = call.rtp.to.unwrap();
    for _ in 0..20 {
        stranger.send_to(&stream.packet(&[0x55; 160]).to_bytes(), port).unwrap();
    }
    call.rtp.send_payload(&[0x11; 1600]);
    let heard = ws.expect_classic_rtp(20);
    assert!(heard.iter().all(|(_, payload)| *payload == [0x11; 160]));
    call.rtp.next_packets(10);
    assert_eq!(received(&stranger, Duration::from_millis(100)), 0);
}

#[test]
fn caller_behind_nat_is_found_by_its_packets_and_nobody_else_is() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[]);
    let mut ws = WsClient::connect(relay.ws(), "");
    // The description names an address at which nobody speaks.
    let private = listener("127.0.0.9:0");
    let mut call = answered_at(&pbx, &mut ws, private.local_addr().unwrap());
    assert!(received(&private, Duration::from_millis(300)) > 5, "until the caller is heard");
    assert!(call.rtp.arrivals().is_empty());

    // Two packets of one source prove nothing; those of the caller, one after the other, do.
    let other = listener("127.0.0.1:0");
    let mut stream = Stream::new(0, 0x6f74_6865, 1, 0);
    let mut disturb = |count: usize| {
        for _ in 0..count {
            other.send_to(&stream.packet(&[0x55; 160]).to_bytes(), call.rtp.to.unwrap()).unwrap();
        }
    };
    disturb(2);
    let spoken = recording::unrepeated_ulaw(1, 1);
    call.rtp.send_payload(&spoken);
    let mut stream = Stream::new(0, 0x6f74_6865, 3, 320);
    for _ in 0..10 {
        other.send_to(&stream.packet(&[0x55; 160]).to_bytes(), call.rtp.to.unwrap()).unwrap();
    }
    let heard = ws.expect_classic_rtp(50);
    let heard: Vec<u8> = heard.into_iter().flat_map(|(_, payload)| payload).collect();
    assert!(heard == spoken, "from the first packet on, and nothing else");
    call.rtp.next_packets(10);
    received(&private, Duration::from_millis(1));
    assert_eq!(
        received(&private, Duration::from_millis(200)),
        0,
        "no longer to the address of the description"
    );
    assert_eq!(received(&other, Duration::from_millis(1)), 0);
}

#[test]
fn without_symmetric_rtp_the_description_is_the_truth() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[("RTP_SYMMETRIC", "0")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::outbound(&pbx, &mut ws, &[0, 101]);
    let elsewhere = listener("127.0.0.9:0");
    let mut stream = Stream::new(0, 0x656c_7365, 1, 0);
    for _ in 0..10 {
        elsewhere.send_to(&stream.packet(&[0x55; 160]).to_bytes(), call.rtp.to.unwrap()).unwrap();
    }
    call.rtp.send_payload(&[0x11; 1600]);
    let heard = ws.expect_classic_rtp(10);
    assert!(heard.iter().all(|(_, payload)| *payload == [0x11; 160]));
    call.rtp.next_packets(10);
    assert_eq!(received(&elsewhere, Duration::from_millis(100)), 0);
}

#[test]
fn hold_stops_media_and_resuming_brings_back_what_was_queued() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    let id = call.call_id();
    let active = sdp::audio(call.rtp.address(), &[0, 8, 101]);
    let direction = |word: &str| active.replace("a=sendrecv", &format!("a={word}"));
    let zero = active.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0");
    let holds = [
        (direction("sendonly"), "recvonly", true),
        (direction("inactive"), "inactive", false),
        (zero, "recvonly", true),
    ];
    for (n, (hold, answered, hears)) in holds.iter().enumerate() {
        let body = reinvite(&mut call, hold);
        assert_eq!(sdp::attribute(&body, answered), Some(""), "{body}");
        ws.expect_all(&[&format!("HOLD:{id}")]);
        assert_falls_silent(&call.rtp);

        let heard_before = rtp_count(&ws);
        call.rtp.send_payload(&[0x11; 1600]);
        match hears {
            true => assert_eq!(ws.expect_rtp(heard_before + 10, WAIT).len(), heard_before + 10),
            false => assert_eq!(rtp_count(&ws), heard_before, "an inactive stream is not listened to"),
        }
        let queued = g711::decode_ulaw(&recording::unrepeated_ulaw(n as u64, 1));
        ws.send_pcm(&id, &queued);
        assert_falls_silent(&call.rtp);

        let before = call.rtp.arrivals().len();
        reinvite(&mut call, &active);
        ws.expect_all(&[&format!("RESUME:{id}")]);
        let after = call.rtp.expect_packets(before + 60, WAIT).split_off(before);
        let found = recording::compare(&queued, &rtp_end::pcm(&after, 0)).expect("it is heard");
        assert!(found.skipped < 5 && found.skipped + found.equal == queued.len(), "{found:?}");
        let (last, first) = (&call.rtp.arrivals()[before - 1].packet, &after[0].packet);
        assert_eq!(first.ssrc, last.ssrc, "the stream goes on");
        assert_eq!(first.seq, last.seq.wrapping_add(1));
    }
}

#[test]
fn change_of_address_by_reinvite_is_followed_both_ways() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    call.rtp.send_payload(&[0x11; 1600]);
    ws.expect_rtp(10, WAIT);
    let mut moved = RtpEnd::bind(true);
    reinvite(&mut call, &sdp::audio(moved.address(), &[0, 101]));
    moved.to = call.rtp.to;
    moved.expect_packets(10, WAIT);
    assert_falls_silent(&call.rtp);
    for _ in 0..10 {
        moved.send_raw(&call.rtp.stream().packet(&[0x22; 160]).to_bytes());
    }
    let heard = ws.expect_classic_rtp(20);
    assert!(heard[10..].iter().all(|(_, payload)| *payload == [0x22; 160]));
    // The old place is a stranger's now.
    call.rtp.send_payload(&[0x11; 1600]);
    assert_eq!(rtp_count(&ws), 20);
    call.bye();
    ws.expect("BYE:");
}

#[test]
fn reports_and_a_goodbye_go_out_on_the_rtcp_port() {
    // With silence the relay is a sender and reports as one; without, it only receives.
    let (sender, receiver) = ((&[("RTP_SILENCE_FILL", "1")], 200), (&[("RTP_SILENCE_FILL", "0")], 201));
    thread::scope(|scope| {
        for (settings, kind) in [sender, receiver] {
            scope.spawn(move || assert_reports(settings, kind));
        }
    });
}

#[test]
fn key_of_the_caller_is_reported_once_and_is_no_audio() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut multi = WsClient::connect(relay.ws(), "mode=multi");
    let mut classic = WsClient::connect(relay.ws(), "");
    let mut call = scene::inbound(&relay, &pbx, &mut multi, Invite::default());
    let id = call.call_id();
    classic.wait_for("CALL_ANS:");
    call.rtp.send_payload(&[0x11; 320]);
    let five = call.rtp.stream().key_press(101, 5, 1280, 160);
    // Whose end was lost on the way.
    let star = call.rtp.stream().key_press(101, 10, 1280, 160)[..7].to_vec();
    let start = Instant::now();
    for (n, packet) in [five, star].concat().iter().enumerate() {
        rtp_end::pace(start + Duration::from_millis(20 * n as u64));
        call.rtp.send_raw(&packet.to_bytes());
    }
    multi.expect_all(&[&format!("DTMF:{id}##5##160"), &format!("DTMF:{id}##*##140")]);
    call.rtp.send_payload(&[0x11; 320]);
    let heard = classic.expect_classic_rtp(4);
    assert!(heard.iter().all(|(payload_type, payload)| *payload_type == 0 && *payload == [0x11; 160]));
    assert!(multi.is_quiet(Duration::from_millis(100)) && classic.is_quiet(Duration::ZERO));
}

fn assert_reports(settings: &[(&str, &str)], kind: u8) {
    let (relay, pbx) = (Relay::start(settings), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    let port = call.rtp.to.unwrap().port() + 1;
    call.rtp.send_payload(&[0x11; 1600]);
    let ours = call.rtp.stream().packet(&[]).ssrc;
    // The first report is due after 2.5 to 7.5 s.
    let report = next_rtcp(&call.rtp, port, Duration::from_secs(9));
    assert_eq!(report[0].0, kind, "{report:?}");
    let block = if kind == 200 { 24 } else { 4 };
    assert_eq!(report[0].1[block..block + 4], ours.to_be_bytes(), "a block about the caller's stream");
    if kind == 200 {
        let relays = call.rtp.arrivals()[0].packet.ssrc;
        assert_eq!(report[0].1[..4], relays.to_be_bytes());
    }
    assert!(report.iter().any(|(kind, _)| *kind == 202), "a name comes along: {report:?}");
    call.bye();
    let deadline = Instant::now() + WAIT;
    while !next_rtcp(&call.rtp, port, WAIT).iter().any(|(kind, _)| *kind == 203) {
        assert!(Instant::now() < deadline, "no RTCP BYE");
    }
    ws.expect("BYE:");
}

/// The packets of the next compound RTCP datagram: type and what follows the first word.
fn next_rtcp(rtp: &RtpEnd, from_port: u16, timeout: Duration) -> Vec<(u8, Vec<u8>)> {
    let mut buffer = [0; 2048];
    rtp.rtcp().set_read_timeout(Some(timeout)).unwrap();
    let (length, from) = rtp.rtcp().recv_from(&mut buffer).expect("RTCP comes");
    assert_eq!(from.port(), from_port);
    let (mut rest, mut packets) = (&buffer[..length], Vec::new());
    while rest.len() >= 4 {
        let (packet, after) = rest.split_at(4 * (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1));
        packets.push((packet[1], packet[4..].to_vec()));
        rest = after;
    }
    packets
}

/// An outbound call of `ws` that is up, whose answer names `media` as the place for RTP.
fn answered_at(pbx: &Pbx, ws: &mut WsClient, media: SocketAddr) -> PbxCall {
    let mut call = scene::ringing(pbx, ws);
    let draft = call.call.respond(200, "OK").sdp(&sdp::audio(media, &[0, 101]));
    call.send_response(&draft);
    call.expect_request("ACK");
    ws.expect("CALL_ANS:");
    call
}

/// Sends a re-INVITE and returns the body of its 200.
fn reinvite(call: &mut PbxCall, sdp: &str) -> String {
    call.reinvite(sdp);
    let ok = call.expect_response(200);
    call.ack();
    ok.body().to_owned()
}

/// Fails unless packets soon stop arriving.
fn assert_falls_silent(rtp: &RtpEnd) {
    let stopped = eventually(WAIT, || {
        let before = rtp.arrivals().len();
        !eventually(Duration::from_millis(200), || rtp.arrivals().len() > before)
    });
    assert!(stopped, "packets still arrive");
}

fn rtp_count(ws: &WsClient) -> usize {
    ws.transcript().iter().filter(|(_, message): &&(_, Incoming)| message.is_rtp()).count()
}

fn listener(address: &str) -> UdpSocket {
    UdpSocket::bind(address).unwrap()
}

/// RTP packets that are waiting or arrive within `time`.
fn received(socket: &UdpSocket, time: Duration) -> usize {
    let deadline = Instant::now() + time;
    let (mut count, mut buffer) = (0, [0; 2048]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).unwrap();
        match socket.recv(&mut buffer) {
            Ok(length) => count += usize::from(Packet::parse(&buffer[..length]).is_some()),
            Err(_) => return count,
        }
        if Instant::now() >= deadline {
            return count;
        }
    }
}
