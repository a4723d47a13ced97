//! What a session sends, and when.

mod common;

use common::*;
use rtp::{DtmfError, Event, MarkError, QueueFull};

#[test]
fn frame_n_goes_out_n_times_20_ms_after_the_start() {
    let mut leg = Leg::started();
    leg.run_until(10_000);
    let expected: Vec<_> = (0..=500_u32)
        .map(|n| Sent {
            at: u64::from(n) * 20,
            destination: peer(),
            payload_type: 0,
            marker: false,
            seq: 100 + n as u16,
            timestamp: 1000 + n * 160,
            payload: vec![0xff; 160],
        })
        .collect();
    assert_eq!(leg.sent(), expected);
    assert_eq!(leg.session.next_timeout(), Some(leg.origin + ms(10_020)));
}

#[test]
fn sequence_number_and_timestamp_wrap_without_a_gap() {
    let mut config = config();
    (config.first_seq, config.first_timestamp) = (65534, u32::MAX - 159);
    let mut leg = Leg::new(config, Complement);
    leg.start();
    leg.run_until(60);
    let got: Vec<_> = leg.sent().iter().map(|sent| (sent.seq, sent.timestamp)).collect();
    assert_eq!(got, [(65534, u32::MAX - 159), (65535, 0), (0, 160), (1, 320)]);
}

#[test]
fn late_tick_catches_up_and_shifts_nothing_after_it() {
    let mut leg = Leg::started();
    leg.with(|session, now| session.queue_pcm(now, &[1; 800])).unwrap();
    leg.stall_until(75);
    leg.run_until(120);
    let at: Vec<_> = leg.sent().iter().map(|sent| (sent.at, sent.timestamp, sent.payload[0])).collect();
    assert_eq!(
        at,
        [
            (0, 1000, 0xff),
            (75, 1160, 0xfe),
            (75, 1320, 0xfe),
            (75, 1480, 0xfe),
            (80, 1640, 0xfe),
            (100, 1800, 0xfe),
            (120, 1960, 0xff)
        ]
    );
    let stats = leg.session.stats();
    assert_eq!((stats.late_ticks, stats.worst_tick, stats.skipped_frames), (1, ms(55), 0));
}

#[test]
fn stall_beyond_the_burst_skips_time_but_no_audio() {
    let mut leg = Leg::started();
    let speech: Vec<i16> = (0..30).flat_map(|n| [100 + n; 160]).collect();
    leg.with(|session, now| session.queue_pcm(now, &speech)).unwrap();
    leg.run_until(20);
    leg.sent();
    leg.stall_until(1010);
    let burst = leg.sent();
    // Frames 2 to 50 are due: 39 are skipped, 10 go out.
    let got: Vec<_> = burst.iter().map(|sent| (sent.seq, sent.timestamp, !sent.payload[0])).collect();
    let expected: Vec<_> = (0..10).map(|n| (102 + n as u16, 1000 + (41 + n) * 160, 101 + n as u8)).collect();
    assert_eq!(got, expected);
    assert!(burst[0].marker && !burst[1].marker);
    assert_eq!(leg.session.next_timeout(), Some(leg.origin + ms(1020)));
    assert_eq!(leg.session.stats().skipped_frames, 39);
    leg.run_until(1400);
    let rest: Vec<_> =
        leg.sent().iter().filter(|sent| sent.payload[0] != 0xff).map(|sent| !sent.payload[0]).collect();
    assert_eq!(rest, (111..130).collect::<Vec<u8>>());
}

#[test]
fn delay_of_a_stall_is_made_up_for_in_silence() {
    let mut leg = Leg::started();
    leg.stall_until(1000);
    assert_eq!(leg.session.stats().skipped_frames, 40);
    // What a live source said meanwhile comes at once: speech, 30 frames of silence, speech, 30 frames of silence.
    for sample in [[100; 1600].as_slice(), &[0; 4800], &[101; 1600], &[0; 4800]] {
        leg.with(|session, now| session.queue_pcm(now, sample)).unwrap();
    }
    leg.sent();
    leg.run_until(3000);
    let payload: Vec<_> = leg.sent().iter().map(|sent| !sent.payload[0]).collect();
    let expected = [[100; 10].as_slice(), &[101; 10], &[0; 80]].concat();
    assert_eq!(payload, expected);
    let stats = leg.session.stats();
    assert_eq!((stats.caught_up_frames, stats.audio_sent), (40, 40));
    assert_eq!(leg.session.played(), ms(1600));
}

#[test]
fn pause_in_speech_is_kept_when_nothing_is_behind() {
    let mut leg = Leg::started();
    for sample in [[1; 160], [0; 160], [1; 160]] {
        leg.with(|session, now| session.queue_pcm(now, &sample)).unwrap();
    }
    leg.run_until(60);
    assert_eq!(leg.sent().iter().map(|sent| sent.payload[0]).collect::<Vec<_>>(), [0xff, 0xfe, 0xff, 0xfe]);
    assert_eq!(leg.session.stats().audio_sent, 3);
}

#[test]
fn stall_in_silence_leaves_nothing_to_make_up_for() {
    let mut leg = Leg::started();
    leg.stall_until(1000);
    leg.run_until(1020);
    leg.with(|session, now| session.queue_pcm(now, &[0; 1600])).unwrap();
    leg.run_until(1300);
    assert_eq!(leg.session.stats().caught_up_frames, 0);
}

#[test]
fn marker_starts_each_talk_spurt() {
    let mut leg = Leg::started();
    for _ in 0..2 {
        leg.with(|session, now| session.queue_pcm(now, &[1; 320])).unwrap();
        let next = (leg.now - leg.origin).as_millis() as u64 + 80;
        leg.run_until(next);
    }
    let markers: Vec<_> = leg.sent().iter().map(|sent| sent.marker).collect();
    assert_eq!(markers, [false, true, false, false, false, true, false, false, false]);
}

#[test]
fn a_law_tone_of_400_samples_is_three_packets() {
    let mut config = config();
    config.payload_type = 8;
    let mut leg = Leg::new(config, ALaw);
    leg.with(|session, now| session.queue_pcm(now, &[4096; 400])).unwrap();
    leg.start();
    leg.run_until(60);
    let payloads: Vec<_> = leg.sent().into_iter().map(|sent| (sent.payload_type, sent.payload)).collect();
    let padded = [[0x85; 80], [0xd5; 80]].concat();
    assert_eq!(payloads, [(8, vec![0x85; 160]), (8, vec![0x85; 160]), (8, padded), (8, vec![0xd5; 160])]);
}

#[test]
fn minute_of_speech_in_one_message_is_played_at_its_pace() {
    let mut leg = Leg::started();
    leg.with(|session, now| session.queue_payload(now, &vec![7; 480_000])).unwrap();
    assert_eq!(leg.session.queued(), ms(60_000));
    leg.run_until(60_020);
    let sent = leg.sent();
    assert_eq!(sent.len(), 3002);
    for (n, sent) in sent.iter().enumerate().skip(1).take(3000) {
        assert_eq!((sent.at, sent.payload.as_slice()), (n as u64 * 20, [7; 160].as_slice()));
    }
    assert_eq!(sent[3001].payload, [0xff; 160]);
    assert_eq!(leg.session.played(), ms(60_000));
}

#[test]
fn g722_takes_320_samples_a_frame_keeps_the_8_khz_clock_and_encodes_silence() {
    let mut config = config();
    config.payload_type = 9;
    let mut leg = Leg::new(config, Counting(0));
    leg.start();
    leg.with(|session, now| session.queue_pcm(now, &[1; 500])).unwrap();
    assert_eq!(leg.session.queued(), std::time::Duration::from_micros(31_250));
    leg.run_until(80);
    let got: Vec<_> = leg.sent().iter().map(|sent| (sent.timestamp, sent.payload[0], sent.marker)).collect();
    // The session encoded frame 0 to learn a frame's length.
    assert_eq!(
        got,
        [(1000, 1, false), (1160, 2, true), (1320, 3, false), (1480, 4, false), (1640, 5, false)]
    );
}

#[test]
fn queue_refuses_the_next_message_and_never_cuts_one() {
    let mut config = config();
    config.queue_limit = ms(1000);
    let mut leg = Leg::new(config, Complement);
    leg.start();
    leg.with(|session, now| session.queue_pcm(now, &[1; 7999])).unwrap();
    leg.with(|session, now| session.queue_pcm(now, &[1; 80_000])).unwrap();
    let full = QueueFull { queued: leg.session.queued(), limit: ms(1000) };
    assert_eq!(leg.with(|session, now| session.queue_pcm(now, &[1])), Err(full));
    assert_eq!(leg.with(|session, now| session.queue_payload(now, &[1])), Err(full));
    assert_eq!(leg.session.stats().refused, 2);
    leg.run_until(10_040);
    assert_eq!(leg.with(|session, now| session.queue_pcm(now, &[1])), Ok(()));
}

#[test]
fn ten_seconds_are_held_before_the_start() {
    let mut leg = Leg::plain();
    leg.with(|session, now| session.queue_pcm(now, &[1; 80_000])).unwrap();
    let full = QueueFull { queued: ms(10_000), limit: ms(10_000) };
    assert_eq!(leg.with(|session, now| session.queue_pcm(now, &[1])), Err(full));
    leg.run_until(5000);
    assert_eq!(leg.sent(), []);
    leg.start();
    assert_eq!(leg.sent()[0].payload, [0xfe; 160]);
    assert_eq!(leg.with(|session, now| session.queue_pcm(now, &[1])), Ok(()));
}

#[test]
fn marks_come_when_their_audio_has_been_heard() {
    let mut leg = Leg::started();
    leg.with(|session, now| {
        session.mark(now, "nothing".into()).unwrap();
        session.queue_pcm(now, &[1; 400]).unwrap();
        session.mark(now, "a".into()).unwrap();
        session.queue_pcm(now, &[1; 240]).unwrap();
        session.mark(now, "b".into()).unwrap();
    });
    leg.run_until(200);
    let played = |name: &str, at| Event::MarkPlayed { name: name.into(), played: ms(at) };
    // Frames at 20, 40, 60 and 80: "a" lies in the third, "b" at the end of the fourth.
    assert_eq!(
        leg.timed_events(),
        [(0, played("nothing", 0)), (80, played("a", 50)), (100, played("b", 80))]
    );
    leg.with(|session, now| session.mark(now, "after".into())).unwrap();
    assert_eq!(leg.timed_events(), [(200, played("after", 80))]);
}

#[test]
fn frame_on_the_wire_is_heard_out_before_mark_and_drain() {
    let mut leg = Leg::started();
    leg.with(|session, now| session.queue_pcm(now, &[1; 160])).unwrap();
    leg.run_until(35);
    assert_eq!(leg.session.queued(), ms(0));
    leg.with(|session, now| {
        session.mark(now, "m".into()).unwrap();
        session.drain(now);
    });
    assert_eq!(leg.timed_events(), []);
    leg.run_until(100);
    let mark = Event::MarkPlayed { name: "m".into(), played: ms(20) };
    assert_eq!(leg.timed_events(), [(40, mark), (40, Event::Drained)]);
}

#[test]
fn clear_silences_at_once_and_returns_every_mark_with_the_position() {
    let mut leg = Leg::started();
    leg.with(|session, now| {
        session.queue_pcm(now, &[1; 160]).unwrap();
        session.mark(now, "played".into()).unwrap();
        session.queue_pcm(now, &[1; 8000]).unwrap();
        session.mark(now, "a".into()).unwrap();
        session.mark(now, "b".into()).unwrap();
    });
    leg.run_until(50);
    leg.with(|session, now| session.clear(now));
    leg.sent();
    let cleared = |name: &str| Event::MarkCleared { name: name.into(), played: ms(40) };
    let played = Event::MarkPlayed { name: "played".into(), played: ms(20) };
    assert_eq!(leg.timed_events(), [(40, played), (50, cleared("a")), (50, cleared("b"))]);
    leg.run_until(100);
    assert!(leg.sent().iter().all(|sent| sent.payload == [0xff; 160]));
    assert_eq!((leg.session.queued(), leg.session.played()), (ms(0), ms(40)));
}

#[test]
fn marks_are_bounded() {
    const LIMIT: usize = 32_768;
    let mut leg = Leg::plain();
    leg.with(|session, now| session.queue_pcm(now, &[1; 160])).unwrap();
    let long = "x".repeat(257);
    let error = MarkError::NameTooLong { length: 257, limit: 256 };
    assert_eq!(leg.with(|session, now| session.mark(now, long)), Err(error));
    for n in 0..LIMIT {
        assert_eq!(leg.with(|session, now| session.mark(now, n.to_string())), Ok(()));
    }
    let error = MarkError::TooMany { limit: LIMIT };
    assert_eq!(leg.with(|session, now| session.mark(now, "one more".into())), Err(error));
    leg.with(|session, now| session.clear(now));
    assert_eq!(leg.events().len(), LIMIT);
    assert_eq!(leg.with(|session, now| session.mark(now, "again".into())), Ok(()));
}

#[test]
fn drained_comes_when_the_last_frame_has_been_heard() {
    let mut leg = Leg::started();
    leg.with(|session, now| session.drain(now));
    assert_eq!(leg.timed_events(), [(0, Event::Drained)]);
    leg.with(|session, now| {
        session.queue_pcm(now, &[1; 200]).unwrap();
        session.drain(now);
    });
    leg.run_until(500);
    assert_eq!(leg.timed_events(), [(60, Event::Drained)]);
}

#[test]
fn drain_waits_for_digits_and_ends_with_clear() {
    let mut leg = Leg::started();
    leg.with(|session, now| {
        session.queue_pcm(now, &[1; 80_000]).unwrap();
        session.send_dtmf(now, "1", ms(40)).unwrap();
        session.drain(now);
    });
    leg.run_until(50);
    leg.with(|session, now| session.clear(now));
    assert_eq!(leg.timed_events(), []);
    leg.run_until(500);
    // Event at 20 and 40, Ends until 80, the gap at 100.
    assert_eq!(leg.timed_events(), [(120, Event::Drained)]);
}

#[test]
fn high_and_low_water_alternate() {
    let mut config = config();
    (config.high_water, config.low_water) = (ms(1000), ms(200));
    let mut leg = Leg::new(config, Complement);
    leg.start();
    let second = [1; 8000];
    leg.with(|session, now| session.queue_pcm(now, &second)).unwrap();
    assert_eq!(leg.events(), []);
    leg.with(|session, now| session.queue_pcm(now, &second)).unwrap();
    leg.with(|session, now| session.queue_pcm(now, &second)).unwrap();
    assert_eq!(leg.events(), [Event::HighWater { queued: ms(2000) }]);
    leg.run_until(2780);
    assert_eq!(leg.events(), []);
    leg.run_until(4000);
    assert_eq!(leg.timed_events(), [(2800, Event::LowWater { queued: ms(200) })]);
    leg.with(|session, now| session.queue_pcm(now, &[1; 16_000])).unwrap();
    leg.with(|session, now| session.clear(now));
    assert_eq!(leg.events(), [Event::HighWater { queued: ms(2000) }, Event::LowWater { queued: ms(0) }]);
}

#[test]
fn digit_suspends_audio_and_has_one_timestamp() {
    let mut leg = Leg::started();
    leg.with(|session, now| session.queue_pcm(now, &[1; 320])).unwrap();
    leg.run_until(20);
    leg.with(|session, now| session.send_dtmf(now, "5", ms(160))).unwrap();
    leg.run_until(260);
    let sent = leg.sent();
    let seqs: Vec<_> = sent.iter().map(|sent| sent.seq).collect();
    assert_eq!(seqs, (100..114).collect::<Vec<u16>>());
    let types: Vec<_> = sent.iter().map(|sent| (sent.payload_type, sent.marker)).collect();
    let events = [[(101, true)].as_slice(), &[(101, false); 9]].concat();
    assert_eq!(types, [[(0, false), (0, true)].as_slice(), &events, &[(0, false), (0, true)]].concat());
    assert!(sent[2..12].iter().all(|sent| sent.timestamp == 1320));
    let durations = [0xa0, 0x140, 0x1e0, 0x280, 0x320, 0x3c0, 0x460, 0x500, 0x500, 0x500];
    for (n, (sent, duration)) in sent[2..12].iter().zip(durations).enumerate() {
        let flags = if n < 7 { 0x0a } else { 0x8a };
        assert_eq!(sent.payload, [5, flags, (duration >> 8) as u8, duration as u8]);
    }
    // The pause after the digit is silence; then the queue goes on where it stood, at the clock's timestamp.
    assert_eq!((sent[12].payload[0], sent[12].timestamp), (0xff, 2920));
    assert_eq!((sent[13].payload[0], sent[13].timestamp), (0xfe, 3080));
}

#[test]
fn digits_need_telephone_event() {
    let mut config = config();
    config.telephone_event = None;
    let mut leg = Leg::new(config, Complement);
    assert_eq!(leg.with(|session, now| session.send_dtmf(now, "5", ms(160))), Err(DtmfError::NotNegotiated));
    let mut leg = Leg::started();
    let error = Err(DtmfError::InvalidDigit('Z'));
    assert_eq!(leg.with(|session, now| session.send_dtmf(now, "Z", ms(160))), error);
}

#[test]
fn hold_pauses_the_queue_while_the_clock_runs_on() {
    let mut leg = Leg::started();
    leg.with(|session, now| session.queue_pcm(now, &[1; 480])).unwrap();
    leg.run_until(20);
    leg.with(|session, now| session.set_direction(now, false, true));
    leg.run_until(1010);
    leg.with(|session, now| session.set_direction(now, true, true));
    leg.run_until(1060);
    let got: Vec<_> = leg
        .sent()
        .iter()
        .map(|sent| (sent.at, sent.seq, sent.timestamp, sent.marker, sent.payload[0]))
        .collect();
    assert_eq!(
        got,
        [
            (0, 100, 1000, false, 0xff),
            (20, 101, 1160, true, 0xfe),
            (1020, 102, 9160, true, 0xfe),
            (1040, 103, 9320, false, 0xfe),
            (1060, 104, 9480, false, 0xff)
        ]
    );
}

#[test]
fn codec_changes_within_the_stream() {
    let mut leg = Leg::started();
    leg.with(|session, now| {
        session.queue_pcm(now, &[1; 480]).unwrap();
        session.mark(now, "m".into()).unwrap();
    });
    leg.run_until(20);
    leg.with(|session, now| session.set_codec(now, 9, &[9], None, Box::new(Counting(0))));
    assert_eq!(leg.events(), [Event::MarkCleared { name: "m".into(), played: ms(20) }]);
    leg.with(|session, now| session.queue_pcm(now, &[1; 320])).unwrap();
    leg.run_until(60);
    let got: Vec<_> =
        leg.sent().iter().map(|sent| (sent.payload_type, sent.seq, sent.timestamp, sent.marker)).collect();
    assert_eq!(
        got,
        [(0, 100, 1000, false), (0, 101, 1160, true), (9, 102, 1320, true), (9, 103, 1480, false)]
    );
    assert_eq!(leg.session.played(), ms(40));
    assert_eq!(leg.with(|session, now| session.send_dtmf(now, "5", ms(160))), Err(DtmfError::NotNegotiated));
    leg.receive(&pcmu(0));
    leg.receive(&packet(9, false, 1, 160, PEER_SSRC, &[1; 160]));
    assert_eq!(leg.session.stats().packets_received, 1);
}

#[test]
fn nothing_is_sent_between_utterances_without_silence_fill() {
    let mut config = config();
    config.silence_fill = false;
    let mut leg = Leg::new(config, Complement);
    leg.start();
    leg.run_until(90);
    leg.with(|session, now| session.queue_pcm(now, &[1; 320])).unwrap();
    leg.run_until(200);
    let got: Vec<_> =
        leg.sent().iter().map(|sent| (sent.at, sent.seq, sent.timestamp, sent.marker)).collect();
    assert_eq!(got, [(100, 100, 1800, true), (120, 101, 1960, false)]);
}

#[test]
fn queue_waits_while_the_peer_is_unknown() {
    let mut leg = Leg::plain();
    let mut config = config();
    config.symmetric = false;
    leg.session = rtp::Session::new(leg.origin, config, Box::new(Complement), 1);
    leg.with(|session, now| session.queue_pcm(now, &[1; 160])).unwrap();
    leg.start();
    leg.run_until(100);
    assert_eq!(leg.sent(), []);
    leg.with(|session, now| session.set_remote(now, peer(), None));
    leg.run_until(120);
    let sent = leg.sent();
    assert_eq!((sent.len(), sent[0].timestamp, sent[0].payload[0]), (1, 1960, 0xfe));
}

#[test]
fn closed_session_does_nothing_more() {
    let mut leg = Leg::started();
    leg.run_until(100);
    leg.sent();
    leg.with(|session, now| session.close(now));
    assert_eq!(leg.session.next_timeout(), None);
    leg.stall_until(5000);
    leg.receive(&pcmu(1));
    leg.start();
    let full = QueueFull { queued: ms(0), limit: ms(0) };
    assert_eq!(leg.with(|session, now| session.queue_pcm(now, &[1])), Err(full));
    assert_eq!(leg.with(|session, now| session.mark(now, "m".into())), Err(MarkError::Closed));
    assert_eq!(leg.with(|session, now| session.send_dtmf(now, "1", ms(160))), Err(DtmfError::Closed));
    assert_eq!((leg.sent(), leg.events()), (vec![], vec![]));
}
