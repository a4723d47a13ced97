//! How audio travels on a multi connection, both ways: text and binary messages, PCM at four rates, G.711 untouched
//! (PROTOCOL "Connecting", "Binary frames").

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::ws::{Incoming, WsClient, bytes, samples};
use common::{WAIT, recording, scene};
use testkit::{g711, tone};

#[test]
fn pcm_of_every_rate_keeps_its_pitch_and_length_both_ways_in_text_and_binary() {
    let relay = Relay::start(&[]);
    thread::scope(|scope| {
        for (frames, rate) in
            ["text", "binary"].iter().flat_map(|f| [8000, 16_000, 24_000, 48_000].map(|r| (*f, r)))
        {
            let relay = &relay;
            scope.spawn(move || {
                let pbx = Pbx::new();
                let mut ws =
                    WsClient::connect(relay.ws(), &format!("mode=multi&frames={frames}&rate={rate}"));
                let mut call = call(relay, &pbx, &mut ws, 8);
                let id = call.call_id();
                send(&ws, frames, &id, &bytes(&tone::tone(600.0, rate, 1000)));
                call.rtp.send_pcm(&tone::tone(440.0, 8000, 1000));

                let heard = heard(&ws, frames, &id, 45);
                assert!(heard.iter().all(|audio| audio.len() == rate as usize / 50 * 2), "20 ms each");
                let pcm: Vec<i16> = heard.iter().flat_map(|audio| samples(audio)).collect();
                assert!(tone::is_tone(&pcm[rate as usize / 10..], rate, 440.0, 1.0), "{frames} {rate}");
                let loud = || scene::loud(&call.rtp.arrivals(), 8);
                assert!(common::eventually(WAIT, || loud().len() >= 7900), "{}", loud().len());
                assert!(loud().len() <= 8320 && tone::is_tone(&loud(), 8000, 600.0, 1.0), "{frames} {rate}");
            });
        }
    });
}

#[test]
fn g711_passes_untouched_where_the_call_has_the_same_and_is_converted_where_it_has_not() {
    let relay = Relay::start(&[]);
    thread::scope(|scope| {
        let laws = [("pcmu", 0), ("pcma", 8)];
        for (frames, (codec, own), (_, of_call)) in [
            ("binary", laws[0], laws[0]),
            ("text", laws[1], laws[1]),
            ("binary", laws[0], laws[1]),
            ("text", laws[1], laws[0]),
        ] {
            let relay = &relay;
            scope.spawn(move || {
                let pbx = Pbx::new();
                let mut ws =
                    WsClient::connect(relay.ws(), &format!("mode=multi&frames={frames}&codec={codec}"));
                let mut call = call(relay, &pbx, &mut ws, of_call);
                let id = call.call_id();
                // Every byte there is: both zeros of µ-law, which decoding and encoding would make one.
                let all: Vec<u8> = (0..=255).chain(0..64).collect();
                send(&ws, frames, &id, &all);
                call.rtp.send_payload(&[all.clone(), g711::encode(of_call, &[0; 320])].concat());

                let heard = heard(&ws, frames, &id, 3);
                assert!(heard.iter().all(|audio| audio.len() == 160));
                let back = g711::encode(own, &g711::decode(of_call, &all));
                let expected = if own == of_call { all.clone() } else { back };
                assert_eq!(heard[..2].concat(), expected, "{frames} {codec} of {of_call}");
                let silence = g711::encode(of_call, &[0])[0];
                let loud = || scene::loud_payloads(&call.rtp.arrivals(), silence);
                assert!(common::eventually(WAIT, || loud().len() == 2), "{:?}", loud().len());
                let there = g711::encode(of_call, &g711::decode(own, &all));
                assert_eq!(
                    loud().concat(),
                    if own == of_call { all } else { there },
                    "{frames} {codec} to {of_call}"
                );
            });
        }
    });
}

#[test]
fn binary_connection_takes_text_as_well_and_a_classic_one_takes_no_binary() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut ws = WsClient::connect(relay.ws(), "mode=multi&frames=binary");
    let mut classic = WsClient::connect(relay.ws(), "");
    relay.expect_log("clients=2");
    let mut call = call(&relay, &pbx, &mut ws, 0);
    let id = call.call_id();
    classic.wait_for("CALL_ANS:");
    ws.send_pcm(&id, &[1000; 160]);
    ws.send_binary(b"PING:x");
    let error = ws.expect("ERROR:4");
    assert!(error.starts_with("ERROR:400 "), "only audio is binary: {error}");
    ws.send_binary(&[format!("RTP:{id}##").as_bytes(), &[1, 2, 3]].concat());
    ws.expect("ERROR:400 ");
    classic.send_binary(&[format!("RTP:{id}##").as_bytes(), &bytes(&[2000; 160])].concat());
    ws.send(&format!("MARK:{id}##end"));
    ws.expect(&format!("MARK:{id}##end##played##20"));
    let heard = scene::loud_payloads(&call.rtp.arrivals(), 0xff);
    assert_eq!(heard, [g711::encode(0, &[1000; 160])]);
    call.bye();
    ws.expect("BYE:");
}

#[test]
fn file_of_any_format_is_played_in_its_place_among_what_is_queued() {
    let dir = common::temp::TempDir::new("relay");
    dir.write("output/prompts/hello.wav", scene::wav(44_100, 1, &tone::tone(700.0, 44_100, 400)));
    for format in ["mp3", "flac", "ogg"] {
        let fixture = format!("{}/helper/audio/tests/fixtures/tone.{format}", env!("CARGO_MANIFEST_DIR"));
        dir.write(&format!("output/tone.{format}"), std::fs::read(fixture).unwrap());
    }
    dir.write("secret.wav", scene::wav(8000, 1, &[1000; 8000]));
    let relay = Relay::start_in(dir, &[]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let call = call(&relay, &Pbx::new(), &mut ws, 0);
    let id = call.call_id();
    let before = call.rtp.arrivals().len();
    ws.send_pcm(&id, &tone::tone(300.0, 8000, 200));
    ws.send(&format!("PLAY:{id}##prompts/hello.wav"));
    ws.send_pcm(&id, &tone::tone(500.0, 8000, 200));
    ws.send(&format!("MARK:{id}##first"));
    let mark = ws.expect(&format!("MARK:{id}##first##played##"));
    assert!((780..=840).contains(&mark.rsplit("##").next().unwrap().parse::<u64>().unwrap()), "{mark}");
    let heard = scene::loud(&call.rtp.arrivals()[before..], 0);
    for (begin, end, frequency) in [(160, 1440, 300.0), (1920, 4640, 700.0), (5120, 6400, 500.0)] {
        let part = &heard[begin..end];
        assert!(tone::is_tone(part, 8000, frequency, 2.0), "{:?}", tone::dominant_frequency(part, 8000));
    }
    for format in ["mp3", "flac", "ogg"] {
        let before = call.rtp.arrivals().len();
        ws.send(&format!("PLAY:{id}##tone.{format}"));
        ws.send(&format!("MARK:{id}##{format}"));
        ws.expect(&format!("MARK:{id}##{format}##played##"));
        let heard = scene::loud(&call.rtp.arrivals()[before..], 0);
        assert!(
            heard.len() >= 3800 && tone::is_tone(&heard[400..3600], 8000, 1000.0, 2.0),
            "{format}: {}",
            heard.len()
        );
    }
    let outside = relay.dir().join("secret.wav");
    for name in
        ["none.wav", "../secret.wav", "prompts/../../secret.wav", outside.to_str().unwrap(), "..", "prompts"]
    {
        ws.send(&format!("PLAY:{id}##{name}"));
        let error = ws.expect("ERROR:404 ");
        assert!(error.ends_with("##PLAY"), "{error}");
    }
    // CLEAR while a file is being played drops the rest of it.
    ws.send(&format!("PLAY:{id}##tone.flac"));
    ws.send(&format!("MARK:{id}##dropped"));
    ws.send(&format!("CLEAR:{id}"));
    ws.expect(&format!("MARK:{id}##dropped##cleared##"));
    drop(relay);
}

#[test]
fn unrepeated_audio_in_binary_arrives_sample_by_sample() {
    let relay = Relay::start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi&frames=binary");
    let call = call(&relay, &Pbx::new(), &mut ws, 0);
    let spoken = g711::decode_ulaw(&recording::unrepeated_ulaw(4, 1));
    // In pieces of odd lengths, as a program that reads a stream sends them.
    for part in spoken.chunks(333) {
        send(&ws, "binary", &call.call_id(), &bytes(part));
    }
    let heard = call.rtp.expect_packets(70, WAIT);
    let found = recording::compare(&spoken, &common::rtp_end::pcm(&heard, 0)).expect("it is heard");
    assert_eq!(found.skipped + found.equal, spoken.len(), "{found:?}");
}

// ---- helpers ----

/// A call of this telephone system alone, in this codec: `ws` may hear of those of others.
fn call(relay: &Relay, pbx: &Pbx, ws: &mut WsClient, payload_type: u8) -> PbxCall {
    let call = pbx.call(relay.sip(), Invite { formats: vec![payload_type, 101], ..Invite::default() });
    ws.wait_for(&format!("CALL_ANS:{}", call.call_id()));
    call
}

fn send(ws: &WsClient, frames: &str, id: &str, audio: &[u8]) {
    let prefix = format!("RTP:{id}##");
    match frames {
        "binary" => ws.send_binary(&[prefix.as_bytes(), audio].concat()),
        _ => ws.send(&format!("{prefix}{}", STANDARD.encode(audio))),
    }
}

/// The first `n` audio messages of one call, in the form in which they have to come.
fn heard(ws: &WsClient, frames: &str, id: &str, n: usize) -> Vec<Vec<u8>> {
    let prefix = format!("RTP:{id}##");
    let audio = |message: &Incoming| match (frames, message) {
        ("binary", Incoming::Binary(bytes)) => bytes.strip_prefix(prefix.as_bytes()).map(<[u8]>::to_vec),
        ("text", Incoming::Text(text)) => text.strip_prefix(&prefix).map(|b64| STANDARD.decode(b64).unwrap()),
        (_, message) => {
            assert!(!message.is_rtp(), "{frames} was asked for");
            None
        }
    };
    let all = || ws.transcript().iter().filter_map(|(_, message)| audio(message)).collect::<Vec<_>>();
    assert!(common::eventually(WAIT, || all().len() >= n), "{} of {n}", all().len());
    all().into_iter().take(n).collect()
}
