//! Audio through the whole relay: the greeting, every codec both ways, every form in which clients hear and send it.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use audio::codec::{Decoder, Encoder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::rtp_end::{self, Arrival};
use common::temp::TempDir;
use common::ws::{self, Incoming, WsClient};
use common::{WAIT, recording, scene};
use model::audio::Codec;
use testkit::{g711, tone};

const GREETING: &str = "output/transcode/greeting.wav";

#[test]
fn greeting_is_heard_sample_by_sample_from_the_advertised_port() {
    let dir = TempDir::new("greeting");
    let greeting = speech(7, 2);
    dir.write(GREETING, scene::wav(8000, 1, &greeting));
    let (relay, pbx) = (Relay::start_in(dir, &[]), Pbx::new());

    let call = pbx.call(relay.sip(), Invite::default());
    let heard = call.rtp.expect_packets(125, WAIT);
    let advertised = call.rtp.to.unwrap();
    assert!(heard.iter().all(|a| a.from == advertised), "not all from {advertised}");
    assert!(heard.iter().all(|a| a.packet.payload_type == 0 && a.packet.payload.len() == 160));
    assert!(heard.windows(2).all(|w| w[1].packet.seq == w[0].packet.seq.wrapping_add(1)));
    assert!(heard.windows(2).all(|w| w[1].packet.rtp_ts == w[0].packet.rtp_ts.wrapping_add(160)));
    let interval = scene::mean_interval_ms(&heard);
    assert!((18.0..22.0).contains(&interval), "{interval} ms apart");
    assert_heard_whole(&greeting, &heard);
}

#[test]
fn greeting_is_heard_on_outbound_calls() {
    let dir = TempDir::new("greeting");
    let greeting = speech(8, 1);
    dir.write(GREETING, scene::wav(8000, 1, &greeting));
    let pbx = Pbx::new();
    let relay = scene::start_in(dir, &pbx, &[]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let call = scene::outbound(&pbx, &mut ws, &[0, 101]);
    assert_heard_whole(&greeting, &call.rtp.expect_packets(75, WAIT));
}

#[test]
fn greeting_of_another_rate_or_format_is_converted() {
    let left_and_right: Vec<i16> = tone::tone(600.0, 44_100, 500).iter().flat_map(|&s| [s, s]).collect();
    let stereo = scene::wav(44_100, 2, &left_and_right);
    let mp3 = include_bytes!("../helper/audio/tests/fixtures/tone.mp3").to_vec();
    let files = [(GREETING, stereo, 600.0, 8000.0), ("hello.mp3", mp3, 1000.0, 16_384.0)];
    for (name, content, frequency, peak) in files {
        let dir = TempDir::new("greeting");
        dir.write(name, content);
        let relay = Relay::start_in(dir, &[("GREETING_FILE", name)]);
        let call = Pbx::new().call(relay.sip(), Invite::default());
        let heard = scene::loud(&call.rtp.expect_packets(60, WAIT), 0);
        // Half a second, and the padding of a codec.
        assert!((3840..5600).contains(&heard.len()), "{name}: {} samples", heard.len());
        assert!(tone::is_tone(&heard, 8000, frequency, 1.0), "{name}");
        let level = tone::rms(&heard[800..3200]) * 2f64.sqrt() / peak;
        assert!((0.9..1.1).contains(&level), "{name}: level {level}");
    }
}

#[test]
fn call_without_greeting_or_with_a_broken_one_is_a_call() {
    let broken = TempDir::new("greeting");
    broken.write(GREETING, "<html>404 Not Found</html>");
    for dir in [TempDir::new("greeting"), broken] {
        let is_broken = dir.path().join(GREETING).exists();
        let (relay, pbx) = (Relay::start_in(dir, &[]), Pbx::new());
        let mut ws = WsClient::connect(relay.ws(), "");
        let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
        assert_eq!(scene::loud_payloads(&call.rtp.expect_packets(20, WAIT), 0xff), [[0; 0]; 0]);
        if is_broken {
            relay.expect_log("greeting cannot be played");
        }
        call.bye();
        ws.expect("BYE:");
        let complains = |l: &String| l.starts_with("[ERROR]") || l.contains("greeting");
        assert!(is_broken || !relay.log().iter().any(complains), "{:?}", relay.log());
    }
}

#[test]
fn every_packet_reaches_clients_in_the_form_of_their_mode() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    for payload_type in [0, 8] {
        let mut clients = ["", "mode=hex", "mode=multi"].map(|query| WsClient::connect(relay.ws(), query));
        let invite = Invite { formats: vec![payload_type, 101], ..Invite::default() };
        let mut call = pbx.call(relay.sip(), invite);
        let call_id = call.call_id();
        for client in &mut clients {
            client.wait_for(&format!("CALL_ANS:{call_id}"));
        }
        let payload = [vec![0xff; 160], recording::unrepeated_ulaw(payload_type.into(), 1)].concat();
        call.rtp.send_payload(&payload);

        let [classic, hex, multi] = clients.map(|client| {
            let heard = client.expect_rtp(51, WAIT);
            let all = client.transcript();
            let answered = all.iter().position(|(_, m)| is_text(m, "CALL_ANS:")).unwrap();
            assert!(all.iter().position(|(_, m)| m.is_rtp()).unwrap() > answered, "RTP before CALL_ANS");
            heard.into_iter().map(|(_, message)| message).collect::<Vec<_>>()
        });
        let packets = || payload.chunks(160);
        let lines = |prefix: &str| {
            packets().map(|p| Incoming::Text(format!("{prefix}{}", lower_hex(p)))).collect::<Vec<_>>()
        };
        assert_eq!(classic, lines(&format!("RTP:{payload_type}##")));
        assert_eq!(hex, lines("RTP:"));
        let decoded: Vec<_> = packets().map(|p| (call_id.clone(), g711::decode(payload_type, p))).collect();
        assert_eq!(multi.iter().map(ws::multi_rtp).collect::<Vec<_>>(), decoded);
        call.bye();
    }
}

#[test]
fn reply_is_cut_into_packets_and_its_tail_padded_with_silence() {
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let invite = Invite { formats: vec![8, 101], ..Invite::default() };
    let call = scene::inbound(&relay, &Pbx::new(), &mut ws, invite);
    ws.send_pcm(&call.call_id(), &[4096; 400]);

    let heard = call.rtp.next_packets(30);
    let tail = [[0x85; 80], [0xd5; 80]].concat();
    assert_eq!(scene::loud_payloads(&heard, 0xd5), [vec![0x85; 160], vec![0x85; 160], tail]);
    let first = heard.iter().position(|a| a.packet.payload[0] == 0x85).unwrap();
    assert!(heard[first..first + 3].iter().all(|a| a.packet.payload[0] == 0x85), "one after the other");
    let marked: Vec<usize> =
        heard.iter().enumerate().filter(|(_, a)| a.packet.marker).map(|(n, _)| n).collect();
    assert_eq!(marked, [first], "the marker is on the first packet of the talk spurt");
    assert!(heard.iter().all(|a| a.packet.payload_type == 8));
}

#[test]
fn lenient_forms_of_audio_reach_the_focus_call() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let bare = base64(&ws::bytes(&[1000; 160]));
    let riff = base64(&scene::wav(8000, 1, &[2000; 160]));
    let echo = lower_hex(&[0x21; 160]);
    for payload_type in [0, 8] {
        let mut ws = WsClient::connect(relay.ws(), "");
        let invite = Invite { formats: vec![payload_type, 101], ..Invite::default() };
        let mut call = scene::inbound(&relay, &pbx, &mut ws, invite);
        for audio in [&format!("RTP:{bare}"), &format!("RTP:{riff}"), &format!("RTP:0##{echo}")] {
            ws.send(audio);
        }
        let silence = g711::encode(payload_type, &[0])[0];
        let heard = scene::loud_payloads(&call.rtp.next_packets(30), silence);
        let echoed = g711::decode_ulaw(&[0x21])[0];
        let expected = [1000, 2000, echoed].map(|sample| g711::encode(payload_type, &[sample; 160]));
        assert_eq!(heard, expected);
        call.bye();
        ws.expect("BYE:");
    }
}

#[test]
fn tones_keep_their_frequency_both_ways_in_pcmu() {
    assert_tones_both_ways(Codec::Pcmu);
}

#[test]
fn tones_keep_their_frequency_both_ways_in_pcma() {
    assert_tones_both_ways(Codec::Pcma);
}

#[test]
fn tones_keep_their_frequency_both_ways_in_g722() {
    assert_tones_both_ways(Codec::G722);
}

#[test]
fn silence_of_the_codec_is_sent_from_the_answer_on() {
    let relay = Relay::start(&[("RELAY_CODECS", "9,0,8")]);
    let pbx = Pbx::new();
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
        let payload_type = codec.payload_type();
        let invite = Invite { formats: vec![payload_type, 101], ..Invite::default() };
        let mut call = pbx.invite(relay.sip(), invite);
        call.expect_response(200);
        // No ACK yet: the relay has answered, and that is when media begins.
        let heard = call.rtp.expect_packets(20, WAIT);
        assert!(heard.iter().all(|a| a.packet.payload_type == payload_type && a.packet.payload.len() == 160));
        match codec {
            Codec::Pcmu => assert_eq!(scene::loud_payloads(&heard, 0xff), [[0; 0]; 0]),
            Codec::Pcma => assert_eq!(scene::loud_payloads(&heard, 0xd5), [[0; 0]; 0]),
            Codec::G722 | Codec::L16(_) => {
                assert!(decode(codec, &heard).iter().all(|s| s.unsigned_abs() < 32));
            }
        }
        call.ack();
        call.bye();
        let totals = relay.expect_log(&format!("media closed call_id={}", call.call_id()));
        assert!(totals.contains(" send_errors=0 "), "the first packet included: {totals}");
    }
}

#[test]
fn audio_sent_before_the_call_is_up_is_held_and_then_heard_whole() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::ringing(&pbx, &mut ws);
    let spoken = speech(3, 1);
    ws.send_pcm(&call.call_id(), &spoken);
    assert!(call.is_quiet(Duration::from_millis(200)));
    assert!(call.rtp.arrivals().is_empty(), "nothing is sent before the answer");
    call.answer(&[0, 101]);
    call.expect_request("ACK");
    assert_heard_whole(&spoken, &call.rtp.expect_packets(75, WAIT));
}

/// The agent's 600 Hz reach the caller and the caller's 440 Hz reach a classic and a multi client.
fn assert_tones_both_ways(codec: Codec) {
    let relay = Relay::start(&[("RELAY_CODECS", "9,0,8")]);
    let mut classic = WsClient::connect(relay.ws(), "");
    let mut multi = WsClient::connect(relay.ws(), "mode=multi");
    let invite = Invite { formats: vec![codec.payload_type(), 101], ..Invite::default() };
    let mut call = scene::inbound(&relay, &Pbx::new(), &mut classic, invite);
    multi.wait_for("CALL_ANS:");
    let before = call.rtp.arrivals().len();
    classic.send_pcm(&call.call_id(), &tone::tone(600.0, 8000, 1000));
    send_tone(&mut call, codec, 440.0);

    let heard = &call.rtp.expect_packets(before + 60, WAIT)[before..];
    let rate = codec.sample_rate().hz();
    let pcm = decode(codec, heard);
    assert!(tone::is_tone(&pcm, rate, 600.0, 1.0), "{:?}", tone::dominant_frequency(&pcm, rate));
    let loud_frames = pcm.chunks((rate / 50) as usize).filter(|frame| tone::rms(frame) > 1000.0).count();
    assert!((50..=51).contains(&loud_frames), "a second is heard once: {loud_frames} frames");

    let packets = classic.expect_classic_rtp(50);
    let in_classic = if codec == Codec::G722 { 0 } else { codec.payload_type() };
    assert!(packets.iter().all(|(payload_type, _)| *payload_type == in_classic));
    let pcm = packets.iter().flat_map(|(_, p)| g711::decode(in_classic, p)).collect::<Vec<_>>();
    assert!(tone::is_tone(&pcm, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(&pcm, 8000));
    assert_eq!(pcm.len(), 8000);
    let multi = multi.expect_rtp(50, WAIT);
    let pcm: Vec<i16> = multi.iter().flat_map(|(_, message)| ws::multi_rtp(message).1).collect();
    assert!(tone::is_tone(&pcm, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(&pcm, 8000));
    assert_eq!(pcm.len(), 8000);
}

fn send_tone(call: &mut PbxCall, codec: Codec, frequency: f64) {
    let mut payload = Vec::new();
    let pcm = tone::tone(frequency, codec.sample_rate().hz(), 1000);
    Encoder::new(codec).encode(&pcm, &mut payload);
    call.rtp.send_payload(&payload);
}

fn decode(codec: Codec, heard: &[Arrival]) -> Vec<i16> {
    let mut pcm = Vec::new();
    let mut decoder = Decoder::new(codec);
    heard.iter().for_each(|arrival| decoder.decode(&arrival.packet.payload, &mut pcm));
    pcm
}

/// Speech-like noise that G.711 µ-law carries unchanged and that begins with no zero.
fn speech(seed: u64, seconds: usize) -> Vec<i16> {
    let mut pcm = g711::decode_ulaw(&recording::unrepeated_ulaw(seed, seconds));
    pcm[0] = 132;
    pcm
}

fn assert_heard_whole(spoken: &[i16], heard: &[Arrival]) {
    let found = recording::compare(spoken, &rtp_end::pcm(heard, 0)).expect("it is heard at all");
    assert_eq!((found.skipped, found.equal), (0, spoken.len()), "{found:?}");
}

fn is_text(message: &Incoming, prefix: &str) -> bool {
    matches!(message, Incoming::Text(text) if text.starts_with(prefix))
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
