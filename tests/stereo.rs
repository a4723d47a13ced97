//! Recordings of both sides (`RECORDING_CHANNELS=2`): the caller left, what was sent right, side by side to the sample.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::pbx::{Invite, Pbx};
use common::relay::Relay;
use common::ws::WsClient;
use common::{WAIT, recording, scene};
use testkit::{g711, tone};

#[test]
fn each_side_has_a_channel_of_its_own() {
    let (relay, pbx) = (Relay::start(&[("RECORDING_CHANNELS", "2"), ("RELAY_CODECS", "0,8,9")]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    for (payload_type, n) in [(0, 1), (8, 2), (9, 3)] {
        let invite = Invite { formats: vec![payload_type, 101], ..Invite::default() };
        let mut call = scene::inbound(&relay, &pbx, &mut ws, invite);
        ws.send_pcm(&call.call_id(), &tone::tone(440.0, 8000, 1000));
        match payload_type {
            // The telephone of the tests speaks no G.722: what it sends is not a tone, but is heard.
            9 => call.rtp.send_payload(&recording::unrepeated_ulaw(1, 1)),
            _ => call.rtp.send_pcm(&tone::tone(1000.0, 8000, 1000)),
        }
        call.rtp.expect_packets(60, WAIT);
        call.bye();
        ws.wait_for("BYE:");
        let files = recording::list(&relay.recordings());
        assert_eq!(files.len(), n, "{files:?}");
        let file = files.iter().find(|f| f.to_str().unwrap().contains(&call.call_id()[..8])).unwrap();
        let (left, right) = sides(&recording::read(file));
        let loud = |side: &[i16]| -> Vec<i16> {
            side.chunks(160).filter(|frame| !tone::is_silence(frame)).flatten().copied().collect()
        };
        assert!((7500..9000).contains(&loud(&left).len()), "{}", loud(&left).len());
        assert!((7500..9000).contains(&loud(&right).len()), "{}", loud(&right).len());
        assert!(payload_type == 9 || tone::is_tone(&loud(&left)[160..7000], 8000, 1000.0, 2.0));
        assert!(tone::is_tone(&loud(&right)[160..7000], 8000, 440.0, 2.0));
    }
}

#[test]
fn echo_of_the_far_end_lies_at_one_distance_from_what_was_sent_all_along() {
    let (relay, pbx) = (Relay::start(&[("RECORDING_CHANNELS", "2")]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    let spoken = g711::decode_ulaw(&recording::unrepeated_ulaw(9, 4));
    ws.send_pcm(&call.call_id(), &spoken[..16_000]);
    // Every packet comes back at once, for a while; then the far end is silent without a packet, then echoes again.
    let mut echoed = 0;
    let mut echo = |call: &mut common::pbx::PbxCall, until: usize, back: bool| {
        while echoed < until {
            let packets = call.rtp.expect_packets(echoed + 1, WAIT);
            for arrival in &packets[echoed..] {
                match back {
                    true => {
                        let packet = call.rtp.stream().packet(&arrival.packet.payload);
                        call.rtp.send_raw(&packet.to_bytes());
                    }
                    false => call.rtp.stream().skip(160),
                }
            }
            echoed = packets.len();
        }
    };
    echo(&mut call, 110, true);
    ws.send_pcm(&call.call_id(), &spoken[16_000..]);
    echo(&mut call, 135, false);
    echo(&mut call, 230, true);
    call.bye();
    ws.wait_for("BYE:");
    let (left, right) = sides(&recording::read(&recording::list(&relay.recordings())[0]));

    let place = |side: &[i16], of: &[i16]| side.windows(of.len()).position(|part| part == of);
    let mut distances = Vec::new();
    for begin in [1600, 8000, 14_000, 24_000, 28_000] {
        let part = &spoken[begin..begin + 160];
        let sent = place(&right, part).unwrap_or_else(|| panic!("{begin}: not on the right"));
        let came_back = place(&left, part).unwrap_or_else(|| panic!("{begin}: not on the left"));
        assert!(came_back >= sent, "{begin}: an echo does not come first");
        distances.push(came_back - sent);
    }
    assert!(distances.iter().all(|d| *d == distances[0]), "{distances:?}");
    assert!(distances[0] <= 800, "{distances:?}: more than the way there and back");
}

// ---- helpers ----

/// The left and the right of a recording at 8 kHz.
fn sides((rate, channels, samples): &(u32, u16, Vec<i16>)) -> (Vec<i16>, Vec<i16>) {
    assert_eq!((*rate, *channels), (8000, 2));
    samples.chunks_exact(2).map(|frame| (frame[0], frame[1])).unzip()
}
