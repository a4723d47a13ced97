//! Audio and keys of a client of the library, both ways, by packets.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use audio::codec::{Decoder, Encoder};
use common::pbx::{Invite, Pbx, PbxCall};
use common::rtp_end::Arrival;
use common::sip_client::{builder, bytes, connected, expect_state, listen, outbound};
use common::{Feed, WAIT, eventually};
use sip_relay::client::blocking::SimpleSipClient;
use sip_relay::client::{AudioFormat, CallState, Codec, PcmRate, SipClientError};
use testkit::rtp::TelephoneEvent;
use testkit::{g711, tone};

const SILENCE: &[(u8, u8)] = &[(0, 0xff), (8, 0xd5)];

/// A call in this codec that is up, out of a client with this rate.
fn call_in(format: u8, rate: PcmRate) -> (Pbx, SimpleSipClient, PbxCall) {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx).pcm_rate(rate));
    let call = outbound(&client, &pbx, &[format, 101]);
    (pbx, client, call)
}

/// The packets that are not silence.
fn loud(arrivals: &[Arrival], format: u8) -> Vec<Arrival> {
    let silence = SILENCE.iter().find(|(of, _)| *of == format).unwrap().1;
    let is_loud =
        |a: &&Arrival| a.packet.payload_type == format && a.packet.payload.iter().any(|b| *b != silence);
    arrivals.iter().filter(is_loud).cloned().collect()
}

fn encoded(codec: Codec, pcm: &[i16]) -> Vec<u8> {
    let mut payload = Vec::new();
    Encoder::new(codec).encode(pcm, &mut payload);
    payload
}

fn wait_for_loud(call: &PbxCall, format: u8, n: usize) -> Vec<Arrival> {
    let enough = eventually(WAIT, || loud(&call.rtp.arrivals(), format).len() >= n);
    let found = loud(&call.rtp.arrivals(), format);
    assert!(enough, "{} of {n} packets", found.len());
    found
}

#[test]
fn second_of_pcm_goes_out_at_its_pace_without_a_gap() {
    let (_pbx, client, call) = call_in(0, PcmRate::default());
    let pcm = tone::tone(440.0, 8000, 1000);
    let audio = bytes(&pcm);
    let begun = Instant::now();
    client.send_audio(&audio).unwrap();
    assert!(begun.elapsed() < Duration::from_millis(20), "{:?}", begun.elapsed());
    let sent = wait_for_loud(&call, 0, 50);
    assert_eq!(sent.len(), 50);
    let payload: Vec<u8> = sent.iter().flat_map(|a| a.packet.payload.clone()).collect();
    assert!(payload == encoded(Codec::Pcmu, &pcm), "it is not what was sent");
    for pair in sent.windows(2) {
        let [before, after] = [&pair[0].packet, &pair[1].packet];
        assert_eq!((after.payload_type, after.payload.len(), after.ssrc), (0, 160, before.ssrc));
        assert_eq!(after.seq, before.seq.wrapping_add(1));
        assert_eq!(after.rtp_ts, before.rtp_ts.wrapping_add(160));
    }
    let took = sent[49].at - sent[0].at;
    // 49 intervals; 0.06 s for a busy machine.
    assert!((920..1040).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn silence_is_sent_from_the_answer_in_the_codec_of_the_call() {
    for &(format, silence) in SILENCE {
        let (_pbx, _client, call) = call_in(format, PcmRate::default());
        let arrivals = call.rtp.next_packets(5);
        assert!(
            arrivals.iter().all(|a| a.packet.payload_type == format && a.packet.payload == [silence; 160])
        );
    }
}

#[test]
fn audio_of_any_length_and_before_the_answer_arrives_whole() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    assert_eq!(client.send_audio(&[0; 320]), Err(SipClientError::NoCall));
    assert_eq!(client.make_call("1234"), Ok(true));
    let mut call = pbx.expect_call();
    let pcm = tone::tone(300.0, 8000, 400);
    // Odd lengths cut samples in half.
    for part in bytes(&pcm).chunks(333) {
        client.send_audio(part).unwrap();
    }
    call.answer(&[8]);
    call.expect_request("ACK");
    let sent = wait_for_loud(&call, 8, 20);
    let payload: Vec<u8> = sent.iter().flat_map(|a| a.packet.payload.clone()).collect();
    assert!(payload == encoded(Codec::Pcma, &pcm), "it is not what was sent");
}

#[test]
fn tone_keeps_its_pitch_in_g722_at_every_rate() {
    for (rate, hz) in [(PcmRate::Hz(8000), 8000), (PcmRate::Hz(16_000), 16_000), (PcmRate::Native, 16_000)] {
        let (_pbx, client, call) = call_in(9, rate);
        assert_eq!(client.audio_config().sample_rate, hz);
        let before = call.rtp.arrivals().len();
        client.send_audio(&bytes(&tone::tone(1000.0, hz, 1000))).unwrap();
        let arrivals = call.rtp.expect_packets(before + 60, WAIT);
        let mut decoder = Decoder::new(Codec::G722);
        let mut heard = Vec::new();
        for pair in arrivals.windows(2) {
            assert_eq!(pair[1].packet.rtp_ts, pair[0].packet.rtp_ts.wrapping_add(160));
        }
        for arrival in &arrivals {
            assert_eq!((arrival.packet.payload_type, arrival.packet.payload.len()), (9, 160));
            decoder.decode(&arrival.packet.payload, &mut heard);
        }
        // From the middle of the second.
        let middle = (before + 20) * 320;
        let heard = &heard[middle..middle + 16_000 / 2];
        assert!(tone::is_tone(heard, 16_000, 1000.0, 1.0), "{:?}", tone::dominant_frequency(heard, 16_000));
    }
}

#[test]
fn callback_hears_each_frame_in_the_form_that_it_wants() {
    let (_pbx, client, mut call) = call_in(8, PcmRate::default());
    let payload: Vec<u8> = (0..160 * 10).map(|n| (n * 7 % 251) as u8).collect();
    let pcm = listen(&client, AudioFormat::Pcm);
    call.rtp.send_payload(&payload);
    let frames = pcm.expect(10);
    assert!(
        frames.iter().all(|frame| frame.len() == 320),
        "{:?}",
        frames.iter().map(Vec::len).collect::<Vec<_>>()
    );
    assert!(frames.concat() == bytes(&g711::decode(8, &payload)), "it is not the A-law table's");

    // Another form, in the same call.
    let pcmu = listen(&client, AudioFormat::Pcmu);
    call.rtp.send_payload(&payload);
    let frames = pcmu.expect(10);
    assert!(frames.iter().all(|frame| frame.len() == 160));
    assert!(frames.concat() == encoded(Codec::Pcmu, &g711::decode(8, &payload)), "it is not the µ-law of it");
    assert_eq!(pcm.frames().len(), 10, "it was replaced");

    client.remove_audio_callback();
    call.rtp.send_payload(&payload);
    expect_state(&client, CallState::Streaming);
    assert_eq!(pcmu.frames().len(), 10, "it was removed");
    assert_eq!(client.call_status().audio_dropped, 0);
}

#[test]
fn wide_band_is_heard_at_the_rate_that_was_asked_for() {
    for (rate, hz) in [(PcmRate::Hz(8000), 8000), (PcmRate::Hz(16_000), 16_000), (PcmRate::Native, 16_000)] {
        let (_pbx, client, mut call) = call_in(9, rate);
        let heard = listen(&client, AudioFormat::Pcm);
        call.rtp.send_payload(&encoded(Codec::G722, &tone::tone(1500.0, 16_000, 500)));
        let frames = heard.expect(25);
        assert!(frames.iter().all(|frame| frame.len() == hz as usize / 25), "{rate:?}");
        let samples = heard.samples();
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        assert!(
            tone::is_tone(middle, hz, 1500.0, 1.0),
            "{rate:?} {:?}",
            tone::dominant_frequency(middle, hz)
        );
    }
}

#[test]
fn callback_that_blocks_loses_audio_and_nothing_else() {
    let (_pbx, client, mut call) = call_in(0, PcmRate::default());
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let (wait, called) = (std::sync::Mutex::new(wait), Arc::new(AtomicUsize::new(0)));
    let count = called.clone();
    client.set_audio_callback(
        move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = wait.lock().unwrap().recv();
        },
        AudioFormat::Pcm,
    );
    // 3 s; 2 s of it may wait.
    call.rtp.send_payload(&[0x55; 160 * 150]);
    assert!(eventually(WAIT, || client.call_status().audio_dropped > 0));
    assert_eq!(called.load(Ordering::SeqCst), 1);
    // The telephone works, and audio goes out.
    client.send_audio(&bytes(&tone::tone(440.0, 8000, 100))).unwrap();
    wait_for_loud(&call, 0, 5);
    let hanging_up = thread::spawn({
        let client = client.clone();
        move || client.hangup_call()
    });
    call.expect_bye();
    hanging_up.join().unwrap().unwrap();
    drop(let_go);
}

#[test]
fn callback_may_send_what_it_hears_and_hang_up() {
    let (_pbx, client, mut call) = call_in(0, PcmRate::default());
    let echo = client.clone();
    let count = AtomicUsize::new(0);
    client.set_audio_callback(
        move |pcm, _| {
            if count.fetch_add(1, Ordering::SeqCst) == 25 {
                echo.hangup_call().unwrap();
            } else {
                echo.send_audio(pcm).unwrap();
            }
        },
        AudioFormat::Pcm,
    );
    call.rtp.send_pcm(&tone::tone(440.0, 8000, 600));
    call.expect_bye();
    let sent = loud(&call.rtp.arrivals(), 0);
    assert!(sent.len() >= 20, "{}", sent.len());
    expect_state(&client, CallState::Idle);
    // The callback holds the client: without this, they would keep each other.
    client.remove_audio_callback();
}

#[test]
fn key_is_sent_as_telephone_events() {
    let (_pbx, client, call) = call_in(0, PcmRate::default());
    for wrong in ['Z', 'e', ' ', '٣', '\u{0}'] {
        assert_eq!(client.send_dtmf(wrong), Err(SipClientError::InvalidDigit(wrong)));
    }
    client.send_dtmf('5').unwrap();
    client.send_dtmf('d').unwrap();
    let keys = |arrivals: &[Arrival], event: u8| -> Vec<Arrival> {
        let is_key = |a: &&Arrival| a.packet.payload_type == 101 && a.packet.payload[0] == event;
        arrivals.iter().filter(is_key).cloned().collect()
    };
    let ends = |packets: &[Arrival]| packets.iter().filter(|a| a.packet.payload[1] & 0x80 != 0).count();
    assert!(eventually(WAIT, || ends(&keys(&call.rtp.arrivals(), 15)) == 3), "a lower-case d is a D");
    let five = keys(&call.rtp.arrivals(), 5);
    let events: Vec<TelephoneEvent> =
        five.iter().map(|a| TelephoneEvent::parse(&a.packet.payload).expect("four bytes")).collect();
    assert_eq!(ends(&five), 3);
    assert!(five.len() >= 6, "{events:?}");
    assert!(five.iter().all(|a| a.packet.rtp_ts == five[0].packet.rtp_ts));
    assert!(five.iter().enumerate().all(|(n, a)| a.packet.marker == (n == 0)));
    let updates = &events[..events.len() - 3];
    assert!(updates.windows(2).all(|pair| pair[1].duration > pair[0].duration), "{events:?}");
    assert_eq!(events.last().unwrap().duration, 1280, "160 ms");
}

#[test]
fn key_is_refused_without_a_call_and_where_nobody_takes_it() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    assert_eq!(client.send_dtmf('1'), Err(SipClientError::NoCall));
    let _call = outbound(&client, &pbx, &[0]);
    assert!(matches!(client.send_dtmf('1'), Err(SipClientError::Call { status: 488, .. })));
}

#[test]
fn keys_of_the_far_end_are_heard_with_their_length() {
    let (_pbx, client, mut call) = call_in(0, PcmRate::default());
    let keys = Arc::new(Feed::new());
    let feed = keys.clone();
    client.set_dtmf_callback(move |key| feed.push((key.digit, key.duration_ms, key.confidence)));
    call.rtp.send_payload(&[0x55; 160 * 5]);
    let packets = call.rtp.stream().key_press(101, 11, 1280, 160);
    packets.iter().for_each(|packet| call.rtp.send_raw(&packet.to_bytes()));
    let key = keys.wait(Instant::now() + WAIT, |keys| keys.pop());
    assert_eq!(key, Some(('#', 160.0, 1.0)));
}

#[test]
fn call_that_comes_is_heard_and_spoken_to() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx).auto_answer(Duration::ZERO));
    let heard = listen(&client, AudioFormat::Pcm);
    let sip = client.call_status().local_sip.unwrap();
    let mut call = pbx.call(sip, Invite { formats: vec![8, 101], ..Invite::default() });
    client.wait_connected(WAIT).unwrap();
    client.send_audio(&bytes(&tone::tone(700.0, 8000, 500))).unwrap();
    call.rtp.send_pcm(&tone::tone(500.0, 8000, 500));
    heard.expect(25);
    assert!(tone::is_tone(&heard.samples()[800..], 8000, 500.0, 1.0));
    let sent = wait_for_loud(&call, 8, 25);
    let pcm: Vec<i16> = sent.iter().flat_map(|a| g711::decode(8, &a.packet.payload)).collect();
    assert!(tone::is_tone(&pcm, 8000, 700.0, 1.0));
    call.bye();
}

#[test]
fn audio_beyond_ten_minutes_is_refused_until_much_of_it_is_played() {
    let (_pbx, client, _call) = call_in(0, PcmRate::default());
    let minute = vec![0; 960_000];
    let mut taken = 0;
    // The playout queue refuses on its own thread, and tells.
    let refused = eventually(WAIT, || {
        let outcome = client.send_audio(&minute);
        taken += usize::from(outcome.is_ok());
        outcome == Err(SipClientError::AudioQueueFull)
    });
    assert!(refused && taken >= 10, "{taken} minutes were taken");
    assert_eq!(client.send_audio(&[0; 2]), Err(SipClientError::AudioQueueFull));
}
