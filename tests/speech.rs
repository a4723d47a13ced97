//! What multi clients hear of a caller who talks: `SPEECH`, and `BARGE_IN` over what is played; what is no speech; keys as
//! tones in the audio (PROTOCOL `SPEECH`, `BARGE_IN`, `DTMF`; A-99).

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::pbx::{Invite, PbxCall};
use common::script::{call_in, done, end, start};
use common::ws::{Incoming, QUIET, WsClient};
use common::{WAIT, scene};
use testkit::{signal, tone, voice};

#[test]
fn caller_who_talks_and_stops_is_two_events_whatever_the_codec() {
    at_once([0, 8], |payload_type| {
        let (relay, pbx, mut ws) = start("mode=multi", &[]);
        let invite = Invite { formats: vec![payload_type, 101], ..Invite::default() };
        let mut call = scene::inbound(&relay, &pbx, &mut ws, invite);
        let id = call.call_id();
        call.rtp.send_pcm(&quiet(300));
        call.rtp.send_pcm(&voice::speech(8000, 1200, 11));
        ws.expect_all(&[&format!("SPEECH:{id}##start")]);
        assert!(ws.is_quiet(Duration::ZERO), "pauses between words are no end: {:?}", ws.signals());
        call.rtp.send_pcm(&quiet(900));
        ws.expect_all(&[&format!("SPEECH:{id}##stop")]);
        // The packets may end with the speech as well.
        call.rtp.send_pcm(&voice::speech(8000, 800, 13));
        ws.expect_all(&[&format!("SPEECH:{id}##start"), &format!("SPEECH:{id}##stop")]);
        end(call, &mut ws);
        done(&pbx, [ws]);
    });
}

#[test]
fn caller_who_talks_over_playback_is_told_of_once_per_playback() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    let begin = call.rtp.arrivals().len();
    ws.send_pcm(&id, &tone::tone(300.0, 8000, 8000));
    ws.send(&format!("MARK:{id}##end"));
    call.rtp.send_pcm(&quiet(400));
    call.rtp.send_pcm(&voice::speech(8000, 1200, 11));
    let played = barge_in(&mut ws, &id);
    let heard = scene::loud_payloads(&call.rtp.arrivals()[begin..], 0xff).len() as u64 * 20;
    assert!((400..=heard.min(1600)).contains(&played), "{played} ms of {heard}");
    call.rtp.send_pcm(&quiet(700));
    ws.wait_for(&format!("SPEECH:{id}##stop"));
    // The same playback again.
    call.rtp.send_pcm(&voice::speech(8000, 800, 13));
    call.rtp.send_pcm(&quiet(700));
    ws.expect_all(&[&format!("SPEECH:{id}##start"), &format!("SPEECH:{id}##stop")]);
    assert!(!said(&ws, "MARK:"), "it goes on until the client clears it");
    ws.send(&format!("CLEAR:{id}"));
    ws.expect(&format!("MARK:{id}##end##cleared##"));
    // Another one.
    ws.send_pcm(&id, &tone::tone(300.0, 8000, 8000));
    call.rtp.send_pcm(&quiet(200));
    call.rtp.send_pcm(&voice::speech(8000, 1200, 15));
    let played = barge_in(&mut ws, &id);
    assert!((100..=1600).contains(&played), "{played} ms of the second playback");
    end_stepping_over(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn silence_keys_and_tones_of_the_network_interrupt_nothing() {
    let ringback = signal::chord(&[(440.0, 5000), (480.0, 5000)], 8000, 1000);
    let busy = signal::cadence(&signal::chord(&[(425.0, 8000)], 8000, 200), 8000, 200, 200, 1200);
    let keys = [signal::key('5', 8000, 400, 8000), quiet(200), signal::key('#', 8000, 200, 8000)].concat();
    let cases = [
        ("silence", quiet(1000)),
        ("a whisper of noise", signal::noise(60.0, 8000, 1)),
        ("ring-back", signal::cadence(&ringback, 8000, 800, 400, 2400)),
        ("busy", busy),
        ("keys", keys),
        ("a beep", tone::tone(1000.0, 8000, 800)),
    ];
    at_once(cases, |(what, pcm)| {
        let (relay, pbx, mut ws) = start("mode=multi", &[]);
        let mut call = call_in(&relay, &pbx, &mut ws);
        let id = call.call_id();
        ws.send_pcm(&id, &tone::tone(300.0, 8000, 10_000));
        call.rtp.send_pcm(&quiet(200));
        call.rtp.send_pcm(&pcm);
        // And telephone events are no speech either.
        key(&mut call, 5);
        call.rtp.send_pcm(&quiet(200));
        ws.expect(&format!("DTMF:{id}##5##"));
        assert!(ws.is_quiet(QUIET), "{what} is no speech: {:?}", ws.signals());
        end(call, &mut ws);
        done(&pbx, [ws]);
    });
}

#[test]
fn clear_after_an_interruption_stops_what_is_heard_within_60_ms() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    ws.send_pcm(&id, &tone::tone(300.0, 8000, 10_000));
    ws.send(&format!("MARK:{id}##reply"));
    call.rtp.expect_packets(10, WAIT);
    key(&mut call, 1);
    ws.expect(&format!("DTMF:{id}##1##"));
    call.rtp.send_pcm(&voice::speech(8000, 1200, 19));
    barge_in(&mut ws, &id);
    let cleared = Instant::now();
    ws.send(&format!("CLEAR:{id}"));
    ws.wait_for(&format!("MARK:{id}##reply##cleared##"));
    call.rtp.next_packets(15);
    let loud = |a: &common::rtp_end::Arrival| a.packet.payload.iter().any(|&byte| byte != 0xff);
    let last = call.rtp.arrivals().into_iter().rfind(loud).expect("it was heard").at;
    let after = last.saturating_duration_since(cleared);
    assert!(after <= Duration::from_millis(60), "{after:?}");
    ws.send(&format!("MARK:{id}##next"));
    ws.wait_for(&format!("MARK:{id}##next##played##"));
    end_stepping_over(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn classic_clients_hear_none_of_it_and_it_can_be_switched_off() {
    at_once([("1", true), ("0", false)], |(setting, heard)| {
        let (relay, pbx, mut classic) = start("", &[("SPEECH_DETECTION", setting)]);
        let mut call = call_in(&relay, &pbx, &mut classic);
        let id = call.call_id();
        call.rtp.send_pcm(&voice::speech(8000, 800, 11));
        let mut multi = WsClient::connect(relay.ws(), "mode=multi");
        relay.expect_log("clients=2");
        multi.expect_all(&[&format!("RING_ANS:0903383638##{id}"), &format!("CALL_ANS:{id}")]);
        multi.send(&format!("UNSUBSCRIBE:{id}"));
        multi.send("PING");
        multi.expect_all(&["PONG"]);
        call.rtp.send_pcm(&voice::speech(8000, 800, 13));
        assert!(multi.is_quiet(QUIET), "nobody who could use it hears the call: {:?}", multi.signals());
        call.rtp.send_pcm(&quiet(600));
        multi.send(&format!("SUBSCRIBE:{id}"));
        multi.send("PING");
        multi.expect_all(&["PONG"]);
        call.rtp.send_pcm(&voice::speech(8000, 800, 13));
        call.rtp.send_pcm(&quiet(700));
        if heard {
            multi.expect_all(&[&format!("SPEECH:{id}##start"), &format!("SPEECH:{id}##stop")]);
        }
        assert!(multi.is_quiet(QUIET), "{:?}", multi.signals());
        assert!(classic.is_quiet(QUIET), "{:?}", classic.signals());
        end(call, &mut classic);
        multi.expect("BYE:");
        done(&pbx, [classic, multi]);
    });
}

#[test]
fn keys_as_tones_are_events_where_they_are_wanted() {
    let tones = |keys: &str| -> Vec<i16> {
        keys.chars().flat_map(|key| [signal::key(key, 8000, 100, 8000), quiet(100)].concat()).collect()
    };
    let (with_events, without) = (vec![0, 101], vec![0]);
    let cases = [
        ("0", without.clone(), false),
        ("1", with_events.clone(), true),
        ("auto", without, true),
        ("auto", with_events, false),
    ];
    at_once(cases, |(setting, formats, heard)| {
        let (relay, pbx, mut ws) = start("mode=multi", &[("DTMF_INBAND", setting)]);
        let invite = Invite { formats, ..Invite::default() };
        let mut call = scene::inbound(&relay, &pbx, &mut ws, invite);
        let id = call.call_id();
        call.rtp.send_pcm(&tones("1590*#D1"));
        if heard {
            for key in "1590*#D1".chars() {
                let event = ws.expect(&format!("DTMF:{id}##{key}##"));
                let ms: u64 = event.rsplit("##").next().unwrap().parse().unwrap();
                assert!((80..=120).contains(&ms), "{event}");
            }
        }
        if setting == "1" {
            // One press by both ways.
            key(&mut call, 5);
            call.rtp.send_pcm(&tones("5"));
            ws.expect(&format!("DTMF:{id}##5##"));
        }
        assert!(ws.is_quiet(QUIET), "{setting}: {:?}", ws.signals());
        end(call, &mut ws);
        done(&pbx, [ws]);
    });
}

// ---- helpers ----

/// Does the same with each case at the same time: audio takes its time.
fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            let test = &test;
            scope.spawn(move || test(case));
        }
    });
}

fn quiet(ms: usize) -> Vec<i16> {
    vec![0; ms * 8]
}

/// A key of 160 ms as telephone events.
fn key(call: &mut PbxCall, event: u8) {
    for packet in call.rtp.stream().key_press(101, event, 1280, 160) {
        call.rtp.send_raw(&packet.to_bytes());
    }
}

/// Waits for the interruption and returns how much had been played, milliseconds.
fn barge_in(ws: &mut WsClient, id: &str) -> u64 {
    let event = ws.wait_for(&format!("BARGE_IN:{id}##"));
    event.rsplit("##").next().unwrap().parse().unwrap()
}

fn said(ws: &WsClient, prefix: &str) -> bool {
    ws.signals().iter().any(|m| matches!(m, Incoming::Text(text) if text.starts_with(prefix)))
}

fn end_stepping_over(mut call: PbxCall, ws: &mut WsClient) {
    call.bye();
    ws.wait_for(&format!("BYE:{}", call.call_id()));
}
