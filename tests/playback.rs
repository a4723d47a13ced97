//! What clients play to a caller: long replies at their pace, marks, clearing, hanging up afterwards, keys.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::pbx::{Invite, Pbx};
use common::relay::Relay;
use common::rtp_end::{self, Arrival};
use common::temp::TempDir;
use common::ws::WsClient;
use common::{WAIT, recording, scene};
use testkit::rtp::TelephoneEvent;
use testkit::{g711, tone};

#[test]
fn long_reply_in_one_frame_or_many_is_heard_whole_at_real_time() {
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let call = scene::inbound(&relay, &Pbx::new(), &mut ws, Invite::default());
    let spoken = g711::decode_ulaw(&recording::unrepeated_ulaw(5, 8));
    let (first, second) = spoken.split_at(4 * 8000);
    ws.send_pcm(&call.call_id(), first);
    ws.send_fragmented(&ws_line(&call.call_id(), second), 1000);

    let heard = call.rtp.expect_packets(420, 2 * WAIT);
    let found = recording::compare(&spoken, &rtp_end::pcm(&heard, 0)).expect("it is heard");
    assert_eq!(found.skipped + found.equal, spoken.len(), "{found:?}");
    let interval = scene::mean_interval_ms(&heard);
    assert!((19.5..20.5).contains(&interval), "{interval} ms apart");
    // Every packet at its own time: what a busy machine delays does not delay what follows.
    let start = heard[0].at;
    let late = |n: usize, a: &Arrival| (a.at - start).as_secs_f64() * 1e3 - 20.0 * n as f64;
    let lateness: Vec<f64> = heard.iter().enumerate().map(|(n, a)| late(n, a)).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let drift = mean(&lateness[370..]) - mean(&lateness[..50]);
    assert!(drift.abs() < 50.0, "the last second is {drift} ms later than the first");
}

#[test]
fn minute_of_speech_is_accepted_in_one_message_and_cleared_at_once() {
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let call = scene::inbound(&relay, &Pbx::new(), &mut ws, Invite::default());
    let id = call.call_id();
    let minute = tone::tone(500.0, 8000, 61_000);
    for fragmented in [false, true] {
        match fragmented {
            false => ws.send_pcm(&id, &minute),
            true => ws.send_fragmented(&ws_line(&id, &minute), 60_000),
        }
        // The water mark says how much is queued: all of it.
        let full = ws.expect(&format!("XOFF:{id}##"));
        let queued: u64 = full.rsplit("##").next().unwrap().parse().unwrap();
        assert!((60_500..=61_000).contains(&queued), "{full}");
        ws.send(&format!("MARK:{id}##end"));
        let before = call.rtp.arrivals().len();
        let playing = call.rtp.expect_packets(before + 10, WAIT);
        assert_eq!(scene::loud_payloads(&playing[before..], 0xff).len(), 10);
        ws.send(&format!("CLEAR:{id}"));
        let empty = ws.wait_for(&format!("MARK:{id}##end##cleared##"));
        assert!(empty.rsplit("##").next().unwrap().parse::<u64>().unwrap() < 20_000, "{empty}");
        // What was on its way when CLEAR came, and no more.
        let after = call.rtp.next_packets(20);
        assert!(scene::loud_payloads(&after, 0xff).len() <= 3, "audio stops within 60 ms");
        let signals = ws.signals();
        assert!(!signals.iter().any(|s| format!("{s:?}").contains("ERROR")), "{signals:?}");
        if !fragmented {
            ws.expect_within(&format!("XON:{id}##"), Duration::from_millis(10));
        }
    }
    assert!(!relay.log().iter().any(|line| line.contains("refused") || line.contains("dropped")));
}

#[test]
fn file_that_takes_long_to_read_holds_up_no_recording_and_no_end() {
    let dir = TempDir::new("relay");
    dir.write("output/long.wav", scene::wav(96_000, 2, &tone::tone(440.0, 96_000, 2 * 65_000)));
    let (relay, pbx) = (Relay::start_in(dir, &[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let playing = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    let mut other = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    other.rtp.send_payload(&recording::unrepeated_ulaw(6, 1)[..3200]);
    ws.send(&format!("PLAY:{}##long.wav", playing.call_id()));
    ws.send("PING");
    ws.expect_all(&["PONG"]);
    other.bye();
    // Its recording is complete while the file is being read; 65 s of audio say themselves when they are queued.
    ws.expect_all(&[&format!("BYE:{}", other.call_id())]);
    assert_eq!(recording::read_mono_8k(&recording::list(&relay.recordings())[0]).len(), 3200);
    ws.expect_within(&format!("XOFF:{}##", playing.call_id()), 4 * WAIT);
}

#[test]
fn wav_file_in_a_message_keeps_its_place_however_long_it_is() {
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let call = scene::inbound(&relay, &Pbx::new(), &mut ws, Invite::default());
    let id = call.call_id();
    let parts = [(16_000, 200), (48_000, 3000), (8000, 200), (48_000, 3000)];
    for (rate, milliseconds) in parts {
        let file = scene::wav(rate, 1, &tone::tone(500.0, rate, milliseconds));
        ws.send(&format!("RTP:{id}##{}", STANDARD.encode(file)));
        ws.send(&format!("MARK:{id}##{milliseconds}"));
    }
    for (name, end) in [(200, 200), (3000, 3200), (200, 3400), (3000, 6400)] {
        let mark = ws.expect_within(&format!("MARK:{id}##{name}##played##"), 2 * WAIT);
        let played: i64 = mark.rsplit("##").next().unwrap().parse().unwrap();
        assert!((played - end).abs() < 20, "{mark}, not {end}");
    }
    // Many sentences at once are not refused because the first is still being read.
    let sentence = scene::wav(48_000, 1, &tone::tone(500.0, 48_000, 3000));
    for _ in 0..25 {
        ws.send(&format!("RTP:{id}##{}", STANDARD.encode(&sentence)));
    }
    ws.expect_within(&format!("XOFF:{id}##"), 2 * WAIT);
}

#[test]
fn queue_limit_lies_between_messages_and_never_inside_one() {
    let relay = Relay::start(&[("RTP_SEND_QUEUE_MAX", "50")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let call = scene::inbound(&relay, &Pbx::new(), &mut ws, Invite::default());
    ws.send_pcm(&call.call_id(), &[4096; 16_000]);
    ws.send_pcm(&call.call_id(), &[8192; 8000]);
    relay.expect_log("command refused");
    let heard = call.rtp.next_packets(140);
    let payload = g711::encode_ulaw(&[4096; 160]);
    assert_eq!(scene::loud_payloads(&call.rtp.arrivals(), 0xff), vec![payload; 100], "of {}", heard.len());
}

#[test]
fn marks_report_what_was_played_and_what_was_cleared() {
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let call = scene::inbound(&relay, &Pbx::new(), &mut ws, Invite::default());
    let id = call.call_id();
    ws.send(&format!("MARK:{id}##nothing"));
    ws.expect_all(&[&format!("MARK:{id}##nothing##played##0")]);
    ws.send_pcm(&id, &[4096; 4000]);
    ws.send(&format!("MARK:{id}##half"));
    ws.send_pcm(&id, &[8192; 80_000]);
    ws.send(&format!("MARK:{id}##late"));
    ws.expect_all(&[&format!("MARK:{id}##half##played##500")]);
    let when_half = call.rtp.arrivals();
    let played = scene::loud_payloads(&when_half, 0xff).len();
    assert!((24..=40).contains(&played), "the mark came after {played} packets of 25");

    ws.send(&format!("CLEAR:{id}"));
    let cleared = ws.expect(&format!("MARK:{id}##late##cleared##"));
    let position: usize = cleared.rsplit("##").next().unwrap().parse().unwrap();
    call.rtp.next_packets(10);
    let heard = scene::loud_payloads(&call.rtp.arrivals(), 0xff).len();
    assert_eq!(heard * 20, position, "{cleared}: what the relay says was heard is what the caller heard");
}

#[test]
fn drained_hangup_comes_after_the_last_queued_frame() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    let id = call.call_id();
    let goodbye = g711::decode_ulaw(&recording::unrepeated_ulaw(6, 1));
    ws.send_pcm(&id, &goodbye);
    ws.send(&format!("HANGUP:{id}##drain"));
    call.expect_bye();
    let heard = rtp_end::pcm(&call.rtp.arrivals(), 0);
    let found = recording::compare(&goodbye, &heard).expect("it is heard");
    assert_eq!(found.skipped + found.equal, goodbye.len(), "{found:?}");
    ws.expect_all(&[&format!("BYE:{id}")]);
}

#[test]
fn keys_are_sent_as_telephone_events_in_place_of_audio() {
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let call = scene::inbound(&relay, &Pbx::new(), &mut ws, Invite::default());
    ws.send(&format!("DTMF:{}##5#", call.call_id()));
    let heard = call.rtp.next_packets(50);
    let events: Vec<&Arrival> = heard.iter().filter(|a| a.packet.payload_type == 101).collect();
    let pressed = [(5, 0x05), (11, 0x0b)].map(|(event, _)| {
        let steps = (1..8).map(move |n| (event, false, n * 160));
        steps.chain([(event, true, 1280); 3]).collect::<Vec<_>>()
    });
    let sent: Vec<_> = events
        .iter()
        .map(|a| TelephoneEvent::parse(&a.packet.payload).expect("four bytes"))
        .map(|e| (e.event, e.end, e.duration))
        .collect();
    assert_eq!(sent, pressed.concat());
    let (first, second) = events.split_at(10);
    for key in [first, second] {
        assert!(key.iter().all(|a| a.packet.rtp_ts == key[0].packet.rtp_ts), "one timestamp");
        assert!(key[0].packet.marker && key[1..].iter().all(|a| !a.packet.marker));
        let numbers = key.windows(2).all(|w| w[1].packet.seq == w[0].packet.seq.wrapping_add(1));
        assert!(numbers, "nothing is sent between the packets of a key");
    }
    let between = second[0].packet.rtp_ts.wrapping_sub(first[0].packet.rtp_ts);
    assert!(between >= 1280 + 320, "keys are apart: {between}");
}

fn ws_line(call_id: &str, pcm: &[i16]) -> String {
    use base64::Engine as _;
    let audio = base64::engine::general_purpose::STANDARD.encode(common::ws::bytes(pcm));
    format!("RTP:{call_id}##{audio}")
}
