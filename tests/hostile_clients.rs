//! Clients that never read, flood, or announce what they never send: they harm nobody but themselves.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::ws::WsClient;

/// A WebSocket connection made by hand that reads its handshake and then nothing.
fn never_reads(relay: &Relay, query: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(relay.ws()).unwrap();
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    write!(
        tcp,
        "GET /?{query} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        relay.ws()
    )
    .unwrap();
    relay.expect_log("client connected");
    tcp
}

/// A call that a well-behaved client hears; `check` makes sure that it still does.
struct Witness {
    client: WsClient,
    call: PbxCall,
}

impl Witness {
    fn new(relay: &Relay, pbx: &Pbx) -> Self {
        let mut client = WsClient::connect(relay.ws(), "");
        let call = pbx.call(relay.sip(), Invite::default());
        client.expect("RING_ANS:");
        client.expect("CALL_ANS:");
        Self { client, call }
    }

    /// Fifty frames go in, and the same fifty come out.
    fn check(&mut self) {
        let heard_before = self.heard();
        for n in 0..50 {
            self.call.rtp.send_payload(&[n; 160]);
        }
        self.client.expect_rtp(heard_before + 50, common::WAIT);
        let heard = self.client.expect_classic_rtp(heard_before + 50);
        let levels: Vec<u8> = heard[heard_before..].iter().map(|(_, payload)| payload[0]).collect();
        assert_eq!(levels, (0..50).collect::<Vec<u8>>());
    }

    fn heard(&self) -> usize {
        self.client.transcript().iter().filter(|(_, message)| message.is_rtp()).count()
    }

    fn end(mut self) {
        self.call.bye();
        self.client.expect("BYE:");
    }
}

#[test]
fn client_that_never_reads_costs_little_and_delays_nobody() {
    let relay = Relay::start(&[("WS_SEND_QUEUE_MAX", "100")]);
    let pbx = Pbx::new();
    let deaf: Vec<TcpStream> =
        (0..5).map(|_| never_reads(&relay, "mode=multi&rate=48000&frames=binary")).collect();
    let mut witness = Witness::new(&relay, &pbx);
    witness.check();
    let before = relay.resident_kib();
    for _ in 0..6 {
        witness.check();
    }
    let grown = relay.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more for five clients that do not read");
    witness.end();
    drop(deaf);
}

#[test]
fn frame_that_announces_too_much_is_refused_before_it_is_sent() {
    let mut relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut witness = Witness::new(&relay, &pbx);
    let before = relay.resident_kib();
    let mut tcp = never_reads(&relay, "");
    let mut header = vec![0x82, 0xff];
    header.extend((500_u64 << 20).to_be_bytes());
    tcp.write_all(&header).unwrap();
    relay.expect_log("client gone");
    // What follows is refused by the closed connection.
    let block = vec![0; 1 << 20];
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline && tcp.write_all(&block).is_ok() {}
    assert!(tcp.write_all(&block).is_err(), "the connection is closed");
    let grown = relay.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more for a frame that was refused");
    witness.check();
    witness.end();
    assert!(relay.is_running());
}

#[test]
fn message_over_the_limit_closes_with_1009_also_in_pieces() {
    let relay = Relay::start(&[("WS_MAX_MESSAGE_BYTES", "2048")]);
    let mut whole = WsClient::connect(relay.ws(), "");
    whole.send(&"x".repeat(2049));
    assert_eq!(whole.expect_close(), Some(1009));
    let mut pieces = WsClient::connect(relay.ws(), "");
    pieces.send_fragmented(&"x".repeat(2049), 500);
    assert_eq!(pieces.expect_close(), Some(1009));
    let mut fine = WsClient::connect(relay.ws(), "");
    fine.send_fragmented(&"x".repeat(2048), 500);
    fine.assert_open();
}

#[test]
fn flood_of_small_messages_is_not_collected() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut witness = Witness::new(&relay, &pbx);
    witness.check();
    let before = relay.peak_resident_kib();
    let mut tcp = never_reads(&relay, "mode=multi");
    // Far more than a busy relay carries out meanwhile: an empty pong is a whole message.
    let pongs: Vec<u8> = [0x8a, 0x80, 0, 0, 0, 0].repeat(1 << 16);
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        tcp.write_all(&pongs).unwrap();
    }
    let grown = relay.peak_resident_kib() - before;
    assert!(grown < 8 * 1024, "{grown} KiB more for messages that wait");
    witness.check();
    witness.end();
}

#[test]
fn flood_of_garbage_leaves_calls_alone() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut witness = Witness::new(&relay, &pbx);
    let flood = WsClient::connect(relay.ws(), "mode=multi");
    let id = witness.call.call_id();
    for n in 0..5000 {
        flood.send(&format!("GARBAGE{n}:##:::"));
        flood.send(&format!("MARK:{id}##{n}"));
        flood.send(&format!("DTMF:{id}##x"));
        flood.send_binary(b"\x00\xff##");
    }
    witness.check();
    witness.end();
}
