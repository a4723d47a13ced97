//! A conversation with a client that knows only the call center's side of the protocol: it takes `RTP:{pt}##{hex}` apart
//! by splitting at `:` and `##`, buffers 120 packets, answers with `RTP:{call id}##{base64 PCM}`.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::WAIT;
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::rtp_end;
use common::ws::{Incoming, WsClient, unhex};
use testkit::{g711, tone};

/// What the caller says and what the client replies, Hz.
const QUESTION: f64 = 440.0;
const REPLY: f64 = 600.0;
const BUFFER_PACKETS: usize = 120;

#[test]
fn reply_is_heard_in_ulaw() {
    has_a_conversation(0);
}

#[test]
fn reply_is_heard_in_alaw() {
    has_a_conversation(8);
}

/// The caller speaks, the client replies after its buffer is full, the caller hears that reply once and hangs up.
fn has_a_conversation(payload_type: u8) {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut client = CallCenter::connect(&relay);
    let invite = Invite { formats: vec![payload_type, 101], ..Invite::default() };
    let mut call = pbx.call(relay.sip(), invite);

    std::thread::scope(|scope| {
        let caller = scope.spawn(|| speak_and_listen(&mut call, payload_type));
        client.run_until_reply();
        caller.join().unwrap();
    });
    assert_eq!(client.payload_types, [payload_type]);
    assert!(
        tone::is_tone(&client.heard, 8000, QUESTION, 1.0),
        "{:?}",
        tone::dominant_frequency(&client.heard, 8000)
    );

    call.bye();
    client.run_until_bye();
    assert_eq!(
        client.words,
        [
            format!("RING_ANS:0903383638##{}", call.call_id()),
            format!("CALL_ANS:{}", call.call_id()),
            format!("BYE:{}", call.call_id())
        ]
    );
    assert_eq!(pbx.unexpected(), Vec::<String>::new());
}

/// Speaks for four seconds, then listens: one second of the reply's tone must have arrived, all in the call's codec.
fn speak_and_listen(call: &mut PbxCall, payload_type: u8) {
    call.rtp.send_pcm(&tone::tone(QUESTION, 8000, 4500));
    let arrivals = call.rtp.arrivals();
    assert!(arrivals.iter().all(|a| a.packet.payload_type == payload_type && a.packet.payload.len() == 160));
    let loud: Vec<i16> = rtp_end::pcm(&arrivals, payload_type)
        .chunks(160)
        .filter(|frame| !tone::is_silence(frame))
        .flatten()
        .copied()
        .collect();
    assert_eq!(loud.len(), 8000, "the reply is one second, heard once");
    assert!(tone::is_tone(&loud, 8000, REPLY, 1.0), "{:?}", tone::dominant_frequency(&loud, 8000));
}

/// The call center's receiving loop.
struct CallCenter {
    ws: WsClient,
    /// Messages handled so far.
    handled: usize,
    call_id: Option<String>,
    buffer: Vec<u8>,
    packets: usize,
    heard: Vec<i16>,
    payload_types: Vec<u8>,
    words: Vec<String>,
}

impl CallCenter {
    fn connect(relay: &Relay) -> Self {
        let ws = WsClient::open(relay.ws(), "/", &[]).expect("the relay accepts the connection");
        Self {
            ws,
            handled: 0,
            call_id: None,
            buffer: Vec::new(),
            packets: 0,
            heard: Vec::new(),
            payload_types: Vec::new(),
            words: Vec::new(),
        }
    }

    /// Reads messages until 120 packets are buffered, and replies.
    fn run_until_reply(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.packets < BUFFER_PACKETS {
            self.handle_next(deadline);
        }
        let payload_type = self.payload_types[0];
        self.heard = g711::decode(payload_type, &self.buffer);
        let call_id = self.call_id.clone().expect("CALL_ANS came before RTP");
        self.ws.send_pcm(&call_id, &tone::tone(REPLY, 8000, 1000));
    }

    /// Reads messages until BYE.
    fn run_until_bye(&mut self) {
        let deadline = Instant::now() + WAIT;
        while !self.words.last().is_some_and(|word| word.starts_with("BYE:")) {
            self.handle_next(deadline);
        }
    }

    fn handle_next(&mut self, deadline: Instant) {
        while self.ws.transcript().len() <= self.handled {
            assert!(Instant::now() < deadline, "{} packets and {:?} in time", self.packets, self.words);
            let _ =
                common::eventually(Duration::from_millis(50), || self.ws.transcript().len() > self.handled);
        }
        let Incoming::Text(text) = self.ws.transcript()[self.handled].1.clone() else { panic!("text only") };
        self.handled += 1;
        let (word, rest) = text.split_once(':').expect("every event is a word, a colon and the rest");
        match word {
            "RTP" => {
                let parts: Vec<&str> = rest.split("##").collect();
                let [payload_type, hex] = parts[..] else { panic!("two parts: {rest:?}") };
                let payload_type: u8 = payload_type.parse().expect("a payload type");
                if !self.payload_types.contains(&payload_type) {
                    self.payload_types.push(payload_type);
                }
                self.buffer.extend(unhex(hex));
                self.packets += 1;
            }
            _ => {
                if word == "CALL_ANS" {
                    self.call_id = Some(rest.to_owned());
                    self.buffer.clear();
                    self.packets = 0;
                }
                self.words.push(text);
            }
        }
    }
}
