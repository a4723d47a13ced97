//! The media of the voice backend: frames of the caller, keys, playback and its interruption.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::backend::{Served, Told, expect_played};
use common::pbx::{Invite, Pbx, PbxCall};
use common::rtp_end::{self, Arrival};
use common::{WAIT, eventually};
use futures_util::StreamExt;
use futures_util::stream;
use sip_relay::backend::{AudioChunk, BackendError, DtmfEvent, OutboundAudio, SessionState, VoiceSession};
use testkit::{g711, signal, tone};

const SECOND: usize = 8000;

#[test]
fn fifty_packets_are_fifty_frames_and_none_waits() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (mut call, session) = up(&served, &pbx);
    let sent = tone::tone(440.0, 8000, 1000);
    call.rtp.send_pcm(&sent);
    // One frame's time has passed since the last packet was sent.
    let last_sent = Instant::now() - Duration::from_millis(20);
    let frames = served.expect_frames(50);
    assert_eq!(frames.len(), 50);
    let formats = frames.iter().map(|(f, _)| (f.data.len(), f.sample_rate, f.channels, f.sample_width));
    assert!(formats.clone().all(|format| format == (320, 8000, 1, 2)));
    let late = frames[49].1.saturating_duration_since(last_sent);
    assert!(late < Duration::from_millis(100), "{late:?}");
    let heard: Vec<i16> = frames.iter().flat_map(|(frame, _)| frame.samples().collect::<Vec<_>>()).collect();
    assert!(heard == g711::decode_ulaw(&g711::encode_ulaw(&sent)), "not the same samples");
    assert!(frames.is_sorted_by_key(|(frame, _)| frame.timestamp_ms));
    let span = frames[49].0.timestamp_ms - frames[0].0.timestamp_ms;
    assert!((800..1300).contains(&span), "{span} ms");
    end(served, call, session);
}

#[test]
fn swapped_and_doubled_packets_come_out_once_and_in_order() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (mut call, session) = up(&served, &pbx);
    let packets: Vec<_> = (0..20).map(|n| call.rtp.stream().packet(&[0x80 + n; 160]).to_bytes()).collect();
    let order = [0, 2, 1, 3, 5, 6, 4, 4, 7, 8, 9, 9, 11, 10, 12, 13, 16, 14, 15, 17, 17, 18, 19];
    for at in order {
        call.rtp.send_raw(&packets[at]);
    }
    let frames = served.expect_frames(20);
    let expected: Vec<i16> = (0..20).map(|n| g711::decode_ulaw(&[0x80 + n])[0]).collect();
    let heard: Vec<i16> = frames.iter().map(|(frame, _)| frame.samples().next().unwrap()).collect();
    assert_eq!(heard, expected);
    end(served, call, session);
}

#[test]
fn g722_is_heard_and_played_at_16_khz() {
    let (served, pbx) = (Served::start(|config| config.supported_codecs = vec![9, 0]), Pbx::new());
    let mut call = pbx.call(served.sip, Invite { formats: vec![9, 101], ..Invite::default() });
    let session = served.expect_call();
    assert_eq!(session.sample_rate(), 16_000);
    call.rtp.send_payload(&[0xfa; 160 * 3]);
    let frames = served.expect_frames(3);
    assert_eq!((frames[0].0.sample_rate, frames[0].0.data.len()), (16_000, 640));
    served.run(served.backend.send_audio(&session, vec![0; 640 * 5])).unwrap();
    let packets = call.rtp.next_packets(5);
    assert!(packets.iter().all(|a| (a.packet.payload_type, a.packet.payload.len()) == (9, 160)));
    end(served, call, session);
}

#[test]
fn key_is_told_once_with_its_length_even_when_its_end_is_lost_or_its_type_is_not_the_offered_one() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut call = pbx.invite_with(served.sip, Invite::default(), |draft| {
        let sdp = testkit::message::Message::parse(&draft.to_bytes()).unwrap().body().to_owned();
        draft.sdp(&sdp.replace("AVP 0 8 101", "AVP 0 8 96").replace(":101 ", ":96 "))
    });
    call.expect_response(200);
    call.ack();
    let session = served.expect_call();
    let digit = |served: &Served| {
        served.expect("a key", |told| match told {
            Told::Dtmf(_, event) => Some(*event),
            _ => None,
        })
    };
    for payload_type in [96, 101] {
        for packet in call.rtp.stream().key_press(payload_type, 5, 1280, 160) {
            call.rtp.send_raw(&packet.to_bytes());
        }
        assert_eq!(digit(&served), DtmfEvent { digit: '5', duration_ms: 160.0, confidence: 1.0 });
    }
    let pressed = Instant::now();
    let mut packets = call.rtp.stream().key_press(96, 11, 1280, 160);
    packets.truncate(packets.len() - 3);
    packets.iter().for_each(|packet| call.rtp.send_raw(&packet.to_bytes()));
    let event = digit(&served);
    assert_eq!((event.digit, event.duration_ms), ('#', 140.0));
    assert!(pressed.elapsed() < Duration::from_millis(300), "{:?}", pressed.elapsed());
    end(served, call, session);
}

#[test]
fn bytes_are_paced_and_the_last_frame_is_filled_up() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (call, session) = up(&served, &pbx);
    let samples = vec![1000_i16; 1000];
    assert!(!served.backend.is_playing(&session));
    served.run(served.backend.send_audio(&session, samples.as_slice())).unwrap();
    assert!(served.backend.is_playing(&session));
    let packets = call.rtp.expect_packets(7, WAIT);
    expect_played(&served.backend, &session, WAIT);
    let of = g711::encode_ulaw(&[1000])[0];
    for (n, arrival) in packets.iter().enumerate() {
        let payload = &arrival.packet.payload;
        let voice = if n == 6 { 40 } else { 160 };
        assert!(
            payload[..voice].iter().all(|byte| *byte == of) && payload[voice..].iter().all(|b| *b == 0xff)
        );
        assert_eq!(payload.len(), 160);
    }
    let span = packets[6].at - packets[0].at;
    // A busy machine sends late and catches up; a burst would take less than a millisecond.
    assert!((60..400).contains(&span.as_millis()), "{span:?} for 6 × 20 ms");
    // Without silence fill nothing follows.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(call.rtp.arrivals().len(), 7);
    end(served, call, session);
}

#[test]
fn stream_of_odd_chunks_is_the_same_bytes() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (call, session) = up(&served, &pbx);
    // Every value that µ-law has, so that nothing is rounded.
    let sent = g711::decode_ulaw(&(0..8000).map(|n| n as u8).collect::<Vec<_>>());
    let bytes: Vec<u8> = sent.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut chunks = Vec::new();
    let mut rest = bytes.as_slice();
    for length in [1, 3, 319, 321, 0, 640, 7].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, more) = rest.split_at(length.min(rest.len()));
        chunks.push(AudioChunk::new(chunk.to_vec()));
        rest = more;
    }
    let audio = OutboundAudio::stream(stream::iter(chunks));
    served.run(served.backend.send_audio(&session, audio)).unwrap();
    let packets = call.rtp.expect_packets(50, WAIT);
    assert!(rtp_end::pcm(&packets, 0) == sent, "not the same samples");
    expect_played(&served.backend, &session, WAIT);
    end(served, call, session);
}

#[test]
fn chunk_of_another_rate_is_converted_and_of_an_unknown_one_refused() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (call, session) = up(&served, &pbx);
    let sent = tone::tone(440.0, 24_000, 1000);
    let data: Vec<u8> = sent.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let chunk = AudioChunk { sample_rate: Some(24_000), ..AudioChunk::new(data) };
    served.run(served.backend.send_audio(&session, chunk.clone())).unwrap();
    let heard = rtp_end::pcm(&call.rtp.expect_packets(50, WAIT), 0);
    assert!(tone::is_tone(&heard, 8000, 440.0, 1.0), "{:?}", tone::dominant_frequency(&heard, 8000));
    let unknown = AudioChunk { sample_rate: Some(44_100), ..chunk };
    let refused = served.run(served.backend.send_audio(&session, unknown));
    assert!(matches!(refused, Err(BackendError::SampleRate(44_100))), "{refused:?}");
    end(served, call, session);
}

#[test]
fn utterances_follow_one_another_and_do_not_mix() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (call, session) = up(&served, &pbx);
    let frame = |value: i16| {
        let data: Vec<u8> = std::iter::repeat_n(value, 160).flat_map(i16::to_le_bytes).collect();
        AudioChunk::new(data)
    };
    // The first one waits for the test's word in the middle.
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let middle = stream::once(async move {
        gone.await.unwrap();
        frame(1000)
    });
    let first = OutboundAudio::stream(stream::iter([frame(1000)]).chain(middle));
    let second = vec![0x10_u8; 320];
    served.run(async {
        let backend = &served.backend;
        let go = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(backend.is_playing(&session), "between two chunks");
            go.send(()).unwrap();
        };
        let (first, second, ()) = tokio::join!(
            backend.send_audio(&session, first),
            backend.send_audio(&session, second.clone()),
            go
        );
        first.unwrap();
        second.unwrap();
    });
    let packets = call.rtp.expect_packets(3, WAIT);
    let voice = g711::encode_ulaw(&[1000])[0];
    let firsts: Vec<u8> = packets.iter().map(|arrival| arrival.packet.payload[0]).collect();
    assert_eq!(firsts, [voice, voice, g711::encode_ulaw(&[0x1010])[0]]);
    end(served, call, session);
}

#[test]
fn cancelled_playback_stops_within_three_packets() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (call, session) = up(&served, &pbx);
    let five_seconds = vec![0x10_u8; SECOND * 2 * 5];
    served.run(served.backend.send_audio(&session, five_seconds)).unwrap();
    call.rtp.expect_packets(50, WAIT);
    assert!(served.run(served.backend.cancel_audio(&session)));
    let cancelled = Instant::now();
    assert!(!served.backend.is_playing(&session));
    assert!(!served.run(served.backend.cancel_audio(&session)), "a second time");
    std::thread::sleep(Duration::from_millis(200));
    let after = call.rtp.arrivals().iter().filter(|arrival| arrival.at > cancelled).count();
    assert!(after <= 3, "{after} packets");

    // What is sent from now on is played.
    served.run(served.backend.send_audio(&session, vec![0x10_u8; 320 * 3])).unwrap();
    call.rtp.next_packets(2);
    expect_played(&served.backend, &session, WAIT);
    end(served, call, session);
}

#[test]
fn cancel_ends_a_stream_that_waits_for_its_next_chunk() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (call, session) = up(&served, &pbx);
    let never = stream::iter([AudioChunk::new(vec![0x10; 320])]).chain(stream::pending());
    served.run(async {
        let backend = &served.backend;
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(backend.is_playing(&session));
            assert!(backend.cancel_audio(&session).await);
        };
        let sent = backend.send_audio(&session, OutboundAudio::stream(never));
        let (sent, ()) = tokio::join!(sent, cancel);
        sent.expect("an interruption is no error");
    });
    assert!(!served.backend.is_playing(&session));
    end(served, call, session);
}

#[test]
fn stream_without_end_is_taken_ten_seconds_ahead() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (call, session) = up(&served, &pbx);
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = taken.clone();
    let endless = stream::repeat_with(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        AudioChunk::new(vec![0x10; 320])
    });
    served.run(async {
        let sent = served.backend.send_audio(&session, OutboundAudio::stream(endless));
        tokio::time::timeout(Duration::from_millis(500), sent).await.expect_err("it does not end");
    });
    let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!((500..=650).contains(&taken), "{taken} frames of 20 ms");
    assert!(served.run(served.backend.cancel_audio(&session)));
    end(served, call, session);
}

#[test]
fn call_that_ends_ends_its_playback() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (mut call, session) = up(&served, &pbx);
    served.run(async {
        let sent = served.backend.send_audio(&session, OutboundAudio::stream(stream::pending()));
        let hang_up = tokio::task::spawn_blocking(move || call.bye());
        let (sent, hung_up) = tokio::join!(sent, hang_up);
        hung_up.unwrap();
        assert!(matches!(sent, Err(BackendError::SessionEnded)), "{sent:?}");
    });
    assert_eq!(session.state(), SessionState::Ended);
    assert!(!served.backend.is_playing(&session));
    let late = served.run(served.backend.send_audio(&session, vec![0; 320]));
    assert!(matches!(late, Err(BackendError::SessionEnded)), "{late:?}");
    let late = served.backend.send_dtmf(&session, '5', 160);
    assert!(matches!(late, Err(BackendError::SessionEnded)), "{late:?}");
    served.expect_disconnected();
    served.finish();
}

#[test]
fn keys_are_sent_as_telephone_events() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (call, session) = up(&served, &pbx);
    for (digit, ms) in [('Z', 160), ('5', 39), ('5', 8001)] {
        let refused = served.backend.send_dtmf(&session, digit, ms).unwrap_err();
        let expected = match digit {
            'Z' => matches!(refused, BackendError::InvalidDigit('Z')),
            _ => matches!(refused, BackendError::InvalidDuration(wrong) if wrong == ms),
        };
        assert!(expected, "{refused:?}");
    }
    served.backend.send_dtmf(&session, '5', 160).unwrap();
    let packets = call.rtp.expect_packets(10, WAIT);
    let events: Vec<Vec<u8>> = packets.iter().map(|arrival| arrival.packet.payload.clone()).collect();
    let expected = (1..=7).map(|n| vec![5, 10, ((n * 160) >> 8) as u8, (n * 160) as u8]);
    assert_eq!(events[..7], expected.collect::<Vec<_>>());
    assert_eq!(events[7..], [[5, 0x8a, 5, 0]; 3]);
    let one_press = |arrival: &Arrival| {
        (arrival.packet.payload_type, arrival.packet.rtp_ts) == (101, packets[0].packet.rtp_ts)
    };
    assert!(packets.iter().all(one_press));
    assert_eq!(packets.iter().filter(|arrival| arrival.packet.marker).count(), 1);
    end(served, call, session);

    let served = Served::start(|_| ());
    let mut call = pbx.call(served.sip, Invite { formats: vec![0], ..Invite::default() });
    let session = served.expect_call();
    let refused = served.backend.send_dtmf(&session, '5', 160);
    assert!(matches!(refused, Err(BackendError::DtmfNotNegotiated)), "{refused:?}");
    call.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn slow_callback_holds_up_no_call() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (entered, blocked) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
    let (signal, wait) = (std::sync::Mutex::new(entered.0), std::sync::Mutex::new(blocked.1));
    served.backend.on_dtmf_received(move |_, _| {
        signal.lock().unwrap().send(()).unwrap();
        // Until the test is through.
        let _ = wait.lock().unwrap().recv();
    });
    let (mut call, session) = up(&served, &pbx);
    let key = call.rtp.stream().key_press(101, 1, 800, 160);
    key.iter().for_each(|packet| call.rtp.send_raw(&packet.to_bytes()));
    entered.1.recv_timeout(WAIT).expect("the callback runs");

    call.rtp.send_payload(&[0xff; 160 * 3]);
    served.run(served.backend.send_audio(&session, vec![0; 320 * 5])).unwrap();
    call.rtp.next_packets(4);
    call.bye();
    assert!(eventually(WAIT, || session.state() == SessionState::Ended));
    assert_eq!(served.told.len(), 1, "only the key, which was told before: {:?}", served.signals());
    drop(blocked.0);
    assert_eq!(served.expect_frames(3).len(), 3);
    served.expect("the key", |told| matches!(told, Told::Dtmf(..)).then_some(()));
    assert_eq!(served.expect_disconnected(), session);
    assert_eq!(served.backend.dropped_frames(), 0);
    served.finish();
}

fn up(served: &Served, pbx: &Pbx) -> (PbxCall, VoiceSession) {
    let call = pbx.call(served.sip, Invite::default());
    (call, served.expect_call())
}

fn end(served: Served, mut call: PbxCall, session: VoiceSession) {
    call.bye();
    assert_eq!(served.expect_disconnected(), session);
    served.finish();
}

#[test]
fn caller_who_talks_over_playback_is_told_once_and_stops_it() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (mut call, session) = up(&served, &pbx);
    for _ in 0..2 {
        play_seconds(&served, &session, 5);
        call.rtp.next_packets(5);
        call.rtp.send_pcm(&talk(400, 3000.0));
        let told = served.expect("barge-in", |told| match told {
            Told::BargeIn(session) => Some(session.clone()),
            _ => None,
        });
        assert_eq!(told, session);
        expect_played(&served.backend, &session, Duration::from_millis(200));
        let stopped = Instant::now();
        call.rtp.send_pcm(&talk(400, 3000.0));
        let after = call.rtp.arrivals().iter().filter(|arrival| arrival.at > stopped).count();
        assert!(after <= 3, "{after} packets");
        assert_eq!(served.signals(), [], "once a playback");
    }
    end(served, call, session);
}

#[test]
fn barge_in_that_does_not_cancel_is_told_once_a_playback() {
    let (served, pbx) = (Served::start(|config| config.barge_in.auto_cancel = false), Pbx::new());
    let (mut call, session) = up(&served, &pbx);
    play_seconds(&served, &session, 3);
    call.rtp.send_pcm(&talk(1500, 3000.0));
    assert!(served.backend.is_playing(&session));
    served.expect("barge-in", |told| matches!(told, Told::BargeIn(_)).then_some(()));
    assert_eq!(served.signals(), []);
    end(served, call, session);
}

#[test]
fn silence_murmur_keys_and_tones_are_no_barge_in_and_neither_is_talk_without_playback() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (mut call, session) = up(&served, &pbx);
    call.rtp.send_pcm(&talk(600, 3000.0));
    play_seconds(&served, &session, 20);
    let ringing = tone::tone(425.0, 8000, 600);
    let key = signal::key('5', 8000, 600, 8000);
    for heard in [vec![0; 4800], talk(600, 100.0), ringing, key] {
        call.rtp.send_pcm(&heard);
    }
    for packet in call.rtp.stream().key_press(101, 5, 4000, 160) {
        call.rtp.send_raw(&packet.to_bytes());
    }
    served.expect("the key", |told| matches!(told, Told::Dtmf(..)).then_some(()));
    assert!(served.backend.is_playing(&session));
    assert_eq!(served.signals(), []);
    end(served, call, session);
}

fn play_seconds(served: &Served, session: &VoiceSession, seconds: usize) {
    let audio = vec![0x10_u8; SECOND * 2 * seconds];
    served.run(served.backend.send_audio(session, audio)).unwrap();
}

/// Something of this loudness all the time, which is no tone.
fn talk(ms: usize, rms: f64) -> Vec<i16> {
    signal::noise(rms, ms * 8, 11)
}
