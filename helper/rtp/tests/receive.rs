//! What a session makes of the peer's packets.

mod common;

use common::*;
use rtp::{Event, PacketBuf, SessionConfig, SilenceKind};

#[test]
fn packets_in_order_are_delivered_in_the_call_that_brings_them() {
    let mut leg = Leg::plain();
    for n in 500..550 {
        leg.now = leg.origin + ms(u64::from(n - 500) * 20);
        leg.receive(&pcmu(n));
        let mut expected = vec![audio(n, 500)];
        if n == 500 {
            expected.insert(0, latched());
        }
        assert_eq!(leg.events(), expected);
    }
    let stats = leg.session.stats();
    assert_eq!((stats.packets_received, stats.bytes_received, stats.lost), (50, 8000, 0));
    assert_eq!((stats.jitter, stats.playout_delay), (ms(0), ms(20)));
}

#[test]
fn packets_swapped_and_doubled_come_out_once_each_in_order() {
    let mut leg = Leg::plain();
    for n in [0, 2, 1, 1, 3, 3, 6, 5, 4, 4, 2, 7] {
        leg.receive(&pcmu(n));
    }
    let expected: Vec<_> = std::iter::once(latched()).chain((0..8).map(|n| audio(n, 0))).collect();
    assert_eq!(leg.events(), expected);
    let stats = leg.session.stats();
    assert_eq!((stats.reordered, stats.duplicate, stats.late), (3, 4, 0));
}

#[test]
fn missing_packets_are_lost_after_60_ms_and_late_afterwards() {
    let mut leg = Leg::plain();
    for n in [0, 1] {
        leg.receive(&pcmu(n));
    }
    leg.run_until(60);
    leg.receive(&pcmu(4));
    leg.run_until(80);
    leg.receive(&pcmu(5));
    leg.run_until(119);
    assert_eq!(leg.events(), [latched(), audio(0, 0), audio(1, 0)]);
    leg.run_until(121);
    let lost = Event::Lost { frames: 2, timestamp: 320 };
    assert_eq!(leg.timed_events(), [(120, lost), (120, audio(4, 0)), (120, audio(5, 0))]);
    leg.receive(&pcmu(3));
    leg.receive(&pcmu(3));
    assert_eq!(leg.events(), []);
    let stats = leg.session.stats();
    // Expected 6; received 4 in time, 2 late of which one twice.
    assert_eq!((stats.late, stats.duplicate, stats.lost), (1, 1, 0));
}

#[test]
fn padding_csrcs_and_extension_are_no_payload() {
    let mut leg = Leg::plain();
    let mut packet = vec![0x80 | 0x20 | 0x10 | 2, 0];
    packet.extend([0, 9, 0, 0, 0, 0]);
    packet.extend(PEER_SSRC.to_be_bytes());
    packet.extend([1; 8]);
    packet.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
    packet.extend([7; 160]);
    packet.extend([0, 0, 3]);
    leg.receive(&packet);
    let payload = PacketBuf::from_slice(&[7; 160]);
    let audio = Event::Audio { payload_type: 0, payload, timestamp: 0, talk_spurt: true };
    assert_eq!(leg.events(), [latched(), audio]);
}

#[test]
fn malformed_datagrams_are_counted_and_prove_nothing() {
    let mut leg = Leg::plain();
    let mut oversized = pcmu(1);
    oversized.resize(4000, 0);
    for datagram in [&[][..], &[0x80; 11], &[0x40; 172], &[0x8f; 40], &[0xa0; 12], &oversized] {
        leg.receive(datagram);
    }
    assert_eq!(leg.events(), []);
    assert_eq!(leg.session.stats().malformed, 6);
}

#[test]
fn source_behind_nat_is_latched_and_nothing_of_it_is_lost() {
    let mut leg = Leg::started();
    leg.receive_from(stranger(), &pcmu(5));
    leg.receive_from(stranger(), &pcmu(6));
    leg.run_until(20);
    assert_eq!(leg.events(), []);
    assert!(leg.sent().iter().all(|sent| sent.destination == peer()));
    leg.receive_from(stranger(), &pcmu(7));
    let expected = [Event::Latched { source: stranger() }, audio(5, 5), audio(6, 5), audio(7, 5)];
    assert_eq!(leg.events(), expected);
    leg.run_until(40);
    assert_eq!(leg.sent()[0].destination, stranger());
    leg.receive(&pcmu(8));
    assert_eq!(leg.events(), []);
    assert_eq!(leg.session.stats().foreign_source, 1);
}

#[test]
fn stranger_after_the_latch_is_counted_and_changes_nothing() {
    let mut leg = Leg::started();
    leg.receive(&pcmu(0));
    for n in 1..20 {
        leg.receive_from(stranger(), &pcmu(n));
    }
    leg.receive_from(stranger(), b"noise");
    leg.receive(&pcmu(1));
    assert_eq!(leg.events(), [latched(), audio(0, 0), audio(1, 0)]);
    assert_eq!(leg.session.stats().foreign_source, 19);
}

#[test]
fn second_packet_of_another_ssrc_begins_a_new_stream() {
    let mut leg = Leg::plain();
    leg.receive(&pcmu(0));
    leg.run_until(1000);
    let other = |seq, timestamp| packet(0, false, seq, timestamp, 77, &[1; 160]);
    leg.receive(&other(9000, 5));
    assert_eq!(leg.events(), [latched(), audio(0, 0)]);
    leg.run_until(1020);
    leg.receive(&other(9001, 165));
    let payload = PacketBuf::from_slice(&[1; 160]);
    let audio = |timestamp, talk_spurt| Event::Audio {
        payload_type: 0,
        payload: payload.clone(),
        timestamp,
        talk_spurt,
    };
    // Its first sample belongs where the clock was when it came: 1 s after the first packet.
    assert_eq!(leg.events(), [audio(8000, true), audio(8160, false)]);
    let stats = leg.session.stats();
    assert_eq!((stats.stream_restarts, stats.lost, stats.stray), (1, 0, 0));
}

#[test]
fn stray_packets_of_other_ssrcs_do_not_disturb_the_stream() {
    let mut leg = Leg::plain();
    for n in 0..10 {
        leg.receive(&pcmu(n));
        leg.receive(&packet(0, false, 100 + 7 * n, 0, 77, &[1; 160]));
    }
    assert_eq!(leg.events().len(), 11);
    assert_eq!(leg.session.stats().stray, 9);
}

#[test]
fn jump_in_sequence_begins_a_new_stream_too() {
    let mut leg = Leg::plain();
    leg.receive(&pcmu(0));
    leg.receive(&packet(0, false, 30_000, 160, PEER_SSRC, &[1; 160]));
    leg.receive(&packet(0, false, 30_001, 320, PEER_SSRC, &[1; 160]));
    assert_eq!(leg.events().len(), 4);
    let stats = leg.session.stats();
    assert_eq!((stats.stream_restarts, stats.lost), (1, 0));
}

#[test]
fn silence_suppression_is_a_talk_spurt_and_no_loss() {
    let mut leg = Leg::plain();
    leg.receive(&pcmu(0));
    leg.run_until(30_000);
    leg.receive(&packet(0, true, 1, 240_000, PEER_SSRC, &[1; 160]));
    let payload = PacketBuf::from_slice(&[1; 160]);
    let spurt = Event::Audio { payload_type: 0, payload, timestamp: 240_000, talk_spurt: true };
    assert_eq!(leg.events(), [latched(), audio(0, 0), spurt]);
}

#[test]
fn comfort_noise_and_unknown_types_take_their_place_and_are_no_loss() {
    let mut leg = Leg::plain();
    leg.receive(&pcmu(0));
    leg.receive(&packet(13, false, 1, 160, PEER_SSRC, &[40]));
    leg.receive(&packet(96, false, 2, 320, PEER_SSRC, &[1, 2, 3]));
    leg.receive(&packet(0, false, 3, 480, PEER_SSRC, &[]));
    leg.receive(&pcmu(4));
    let payload = PacketBuf::from_slice(&[4; 160]);
    let after = Event::Audio { payload_type: 0, payload, timestamp: 640, talk_spurt: true };
    assert_eq!(leg.events(), [latched(), audio(0, 0), after]);
    assert_eq!(leg.session.stats().unknown_payload_type, 1);
}

#[test]
fn unknown_type_latches_nobody() {
    let mut leg = Leg::plain();
    for seq in 0..5 {
        leg.receive(&packet(96, false, seq, 0, PEER_SSRC, &[1]));
    }
    assert_eq!(leg.events(), []);
    assert_eq!(leg.session.stats().foreign_source, 5);
}

#[test]
fn telephone_event_is_one_digit_without_marker_and_with_its_first_packets_lost() {
    let mut leg = Leg::plain();
    leg.receive(&pcmu(0));
    for seq in 3..6 {
        leg.receive(&event(seq, 160, 5, false, (seq - 1) * 160));
    }
    for seq in 6..9 {
        leg.receive(&event(seq, 160, 5, true, 1280));
    }
    assert_eq!(leg.events(), [latched(), audio(0, 0), Event::Dtmf { digit: '5', duration: ms(160) }]);
    leg.run_until(60);
    leg.receive(&packet(0, true, 9, 1600, PEER_SSRC, &[9; 160]));
    let payload = PacketBuf::from_slice(&[9; 160]);
    let after = Event::Audio { payload_type: 0, payload, timestamp: 1600, talk_spurt: true };
    assert_eq!(leg.events(), [after]);
    assert_eq!(leg.session.stats().dtmf_received, 1);
}

#[test]
fn telephone_events_are_heard_under_the_further_payload_type_unless_that_is_audio() {
    let heard = |config: SessionConfig| {
        let mut leg = Leg::new(config, Complement);
        leg.receive(&pcmu(0));
        for seq in 1..4 {
            leg.receive(&packet(111, false, seq, 160, PEER_SSRC, &[5, 0x8a, 5, 0]));
        }
        leg.events().split_off(2)
    };
    let further = SessionConfig { also_telephone_event: Some(111), ..config() };
    let digit = [Event::Dtmf { digit: '5', duration: ms(160) }];
    assert_eq!(heard(further.clone()), digit);
    assert_eq!(heard(SessionConfig { telephone_event: None, ..further.clone() }), digit);
    assert_eq!(heard(config()), []);
    let audio = SessionConfig { accept: [0, 111].as_slice().into(), ..further };
    assert!(!heard(audio).contains(&digit[0]));
}

#[test]
fn digit_whose_ends_are_all_lost_comes_within_300_ms() {
    let mut leg = Leg::plain();
    leg.receive(&event(0, 0, 11, false, 160));
    leg.run_until(20);
    leg.receive(&event(1, 0, 11, false, 320));
    leg.run_until(300);
    assert_eq!(leg.timed_events()[1..], [(220, Event::Dtmf { digit: '#', duration: ms(40) })]);
}

#[test]
fn packets_on_hold_are_ignored_and_the_pause_is_no_loss() {
    let mut leg = Leg::started();
    leg.receive(&pcmu(0));
    leg.with(|session, now| session.set_direction(now, true, false));
    for n in 1..100 {
        leg.receive(&pcmu(n));
    }
    leg.run_until(60_000);
    leg.with(|session, now| session.set_direction(now, true, true));
    leg.receive(&packet(0, false, 3000, 480_000, PEER_SSRC, &[1; 160]));
    let payload = PacketBuf::from_slice(&[1; 160]);
    let after = Event::Audio { payload_type: 0, payload, timestamp: 480_000, talk_spurt: true };
    assert_eq!(leg.events(), [latched(), audio(0, 0), after]);
    let stats = leg.session.stats();
    assert_eq!((stats.ignored_on_hold, stats.lost, stats.stream_restarts), (99, 0, 0));
}

#[test]
fn peer_that_never_sends_is_reported_once() {
    let mut leg = Leg::started();
    leg.run_until(200_000);
    let silent = Event::Silent { kind: SilenceKind::Establishment, since: leg.origin };
    assert_eq!(leg.timed_events(), [(60_000, silent)]);
}

#[test]
fn peer_that_stops_is_reported_once_per_silence() {
    let mut leg = Leg::started();
    let silent =
        |leg: &Leg, since| Event::Silent { kind: SilenceKind::Inactivity, since: leg.origin + ms(since) };
    leg.run_until(1000);
    leg.receive(&pcmu(0));
    leg.run_until(100_000);
    assert_eq!(leg.timed_events()[2..], [(31_000, silent(&leg, 1000))]);
    leg.receive(&packet(0, false, 1, 792_000, PEER_SSRC, &[1]));
    leg.run_until(200_000);
    assert_eq!(leg.timed_events()[1..], [(130_000, silent(&leg, 100_000))]);
}

#[test]
fn watchdogs_rest_on_hold_and_start_anew_after_it() {
    let mut leg = Leg::started();
    leg.receive(&pcmu(0));
    leg.with(|session, now| session.set_direction(now, false, false));
    leg.run_until(100_000);
    leg.with(|session, now| session.set_direction(now, true, true));
    leg.run_until(200_000);
    let silent = Event::Silent { kind: SilenceKind::Inactivity, since: leg.origin + ms(100_000) };
    assert_eq!(leg.timed_events()[2..], [(130_000, silent)]);
}

#[test]
fn media_before_the_start_is_delivered() {
    let mut leg = Leg::plain();
    leg.receive(&pcmu(0));
    assert_eq!(leg.events(), [latched(), audio(0, 0)]);
    assert_eq!(leg.session.next_timeout(), None);
}

#[test]
fn what_is_held_comes_out_at_the_end() {
    let mut leg = Leg::plain();
    for packet in [pcmu(0), pcmu(2), event(3, 480, 1, false, 160)] {
        leg.receive(&packet);
    }
    leg.with(|session, now| session.close(now));
    let lost = Event::Lost { frames: 1, timestamp: 160 };
    let digit = Event::Dtmf { digit: '1', duration: ms(20) };
    assert_eq!(leg.events(), [latched(), audio(0, 0), lost, audio(2, 0), digit]);
}
