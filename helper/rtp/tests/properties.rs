//! What holds for every chunking, every network and every datagram.

mod common;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use rtp::Event;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// However audio is cut into messages, and whenever they come as long as the queue does not run dry, the peer
    /// hears the same bytes at the same times.
    #[test]
    fn chunking_does_not_change_what_is_heard(cuts in vec(1_usize..700, 1..60), payload: bool) {
        let total: usize = cuts.iter().sum();
        let samples: Vec<i16> = (0..total).map(|n| (n % 251) as i16 + 1).collect();
        let bytes: Vec<u8> = samples.iter().map(|sample| !(*sample as u8)).collect();
        let play = |cuts: &[usize]| {
            let mut leg = Leg::plain();
            let mut at = 0;
            for cut in cuts {
                leg.with(|session, now| match payload {
                    true => session.queue_payload(now, &bytes[at..at + cut]),
                    false => session.queue_pcm(now, &samples[at..at + cut]),
                }).unwrap();
                at += cut;
                if at > total / 2 && at > 8000 {
                    leg.start();
                }
            }
            leg.start();
            leg.run_until(total as u64 / 8 + 40);
            leg.sent()
        };
        let whole = play(&[total]);
        let heard: Vec<u8> = whole.iter().flat_map(|sent| sent.payload.iter().copied()).collect();
        prop_assert_eq!(&heard[..total], &bytes[..]);
        prop_assert!(heard[total..].iter().all(|byte| *byte == 0xff));
        prop_assert_eq!(play(&cuts), whole);
    }

    /// However the network loses, delays and doubles packets: every frame comes out at most once, in order, at its
    /// place in time, and what does not come out is declared lost.
    #[test]
    fn every_frame_is_delivered_once_or_declared_lost(
        fates in vec((0_u8..100, 0_u64..250, 0_u8..100), 1..300),
        first_seq: u16,
        first_timestamp: u32,
    ) {
        let count = fates.len() as u64 + 2;
        let mut arrivals = vec![(0, 0), ((count - 1) * 20 + 300, count - 1)];
        for (n, (lost, delay, doubled)) in (1..).zip(&fates) {
            let delay = if *lost % 4 == 0 { *delay } else { *delay / 20 };
            if *lost >= 8 {
                arrivals.push((n * 20 + delay, n));
            }
            if *doubled < 8 {
                arrivals.push((n * 20 + delay + 1 + u64::from(*doubled) * 10, n));
            }
        }
        arrivals.sort();
        let mut leg = Leg::plain();
        for (at, n) in &arrivals {
            leg.run_until(*at);
            let seq = first_seq.wrapping_add(*n as u16);
            let timestamp = first_timestamp.wrapping_add(*n as u32 * 160);
            leg.receive(&packet(0, false, seq, timestamp, PEER_SSRC, &(*n as u32).to_be_bytes()));
        }
        leg.run_until(count * 20 + 1000);
        let (mut next, mut lost_in_all, mut delivered) = (0, 0, 0);
        for event in leg.events() {
            match event {
                Event::Audio { payload, timestamp, .. } => {
                    let n = u64::from(u32::from_be_bytes(payload[..].try_into().unwrap()));
                    prop_assert_eq!(n, next);
                    prop_assert_eq!(timestamp, n * 160);
                    next = n + 1;
                    delivered += 1;
                }
                Event::Lost { frames, timestamp } => {
                    prop_assert_eq!(timestamp, next * 160);
                    next += u64::from(frames);
                    lost_in_all += u64::from(frames);
                }
                other => prop_assert_eq!(other, latched()),
            }
        }
        prop_assert_eq!(next, count);
        let stats = leg.session.stats();
        prop_assert_eq!(delivered + lost_in_all, count);
        prop_assert_eq!(stats.packets_received, delivered + stats.late + stats.duplicate);
    }

    /// However late the ticks come: sequence numbers are consecutive, timestamps follow the clock, no audio is lost.
    #[test]
    fn late_ticks_lose_no_audio(ticks in vec(1_u64..600, 1..60)) {
        let mut leg = Leg::started();
        let speech: Vec<u8> = (0..100_u8).flat_map(|n| [n; 160]).collect();
        leg.with(|session, now| session.queue_payload(now, &speech)).unwrap();
        let mut at = 0;
        for tick in ticks {
            at += tick;
            leg.stall_until(at);
            prop_assert_eq!(leg.session.next_timeout(), Some(leg.origin + ms(at / 20 * 20 + 20)));
            let last = leg.sent.last().unwrap();
            prop_assert_eq!(last.timestamp, 1000 + (at / 20) as u32 * 160);
        }
        leg.run_until(at + 2100);
        let sent = leg.sent();
        for pair in sent.windows(2) {
            prop_assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1));
            let step = pair[1].timestamp - pair[0].timestamp;
            prop_assert!(step >= 160 && step % 160 == 0);
        }
        let heard: Vec<u8> =
            sent.iter().flat_map(|sent| sent.payload.iter().copied()).filter(|byte| *byte != 0xff).collect();
        prop_assert_eq!(heard, speech);
    }

    /// Whatever comes from the network, whenever, the session stands, and its answers are bounded.
    #[test]
    fn no_datagram_breaks_a_session(inputs in vec(input(), 0..150)) {
        let mut leg = Leg::started();
        for input in inputs {
            match input {
                Input::Rtp(source, datagram) => leg.receive_from(source, &datagram),
                Input::Rtcp(source, datagram) => {
                    leg.with(|session, now| session.handle_rtcp(now, source, &datagram));
                }
                Input::Wait(wait) => {
                    let at = (leg.now - leg.origin).as_millis() as u64 + wait;
                    leg.stall_until(at);
                }
                Input::Direction(send, receive) => {
                    leg.with(|session, now| session.set_direction(now, send, receive));
                }
                Input::Remote(remote) => leg.with(|session, now| session.set_remote(now, remote, None)),
            }
            prop_assert!(leg.events.len() <= 80 && leg.sent.len() <= 10, "{} {}", leg.events.len(), leg.sent.len());
            leg.events.clear();
            leg.sent.clear();
            prop_assert!(leg.session.next_timeout().is_some_and(|due| due > leg.now));
        }
        leg.session.stats();
    }
}

#[derive(Debug, Clone)]
enum Input {
    Rtp(std::net::SocketAddr, Vec<u8>),
    Rtcp(std::net::SocketAddr, Vec<u8>),
    Wait(u64),
    Direction(bool, bool),
    Remote(std::net::SocketAddr),
}

fn input() -> impl Strategy<Value = Input> {
    let source = prop_oneof![4 => Just(peer()), 1 => Just(stranger())];
    let near =
        (prop_oneof![Just(0_u8), Just(101), Just(13), Just(96)], any::<bool>(), 0_u16..300, 0_u32..40_000);
    let valid = (near, prop_oneof![6 => Just(PEER_SSRC), 1 => any::<u32>()], vec(any::<u8>(), 0..200))
        .prop_map(|((kind, marker, seq, timestamp), ssrc, payload)| {
            packet(kind, marker, seq, timestamp, ssrc, &payload)
        });
    let wild = (any::<u16>(), any::<u32>(), vec(any::<u8>(), 0..20))
        .prop_map(|(seq, timestamp, payload)| packet(0, false, seq, timestamp, PEER_SSRC, &payload));
    let noise = vec(any::<u8>(), 0..80);
    let flipped =
        (valid.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut packet, at, byte)| {
            let at = at.index(packet.len());
            packet[at] = byte;
            packet
        });
    let rtcp = (200_u8..208, 0_u8..32, vec(any::<u8>(), 0..60)).prop_map(|(kind, count, mut body)| {
        body.resize(body.len() / 4 * 4, 0);
        let mut packet = vec![0x80 | count, kind, 0, (body.len() / 4) as u8];
        packet.append(&mut body);
        packet
    });
    prop_oneof![
        8 => (source.clone(), valid).prop_map(|(source, packet)| Input::Rtp(source, packet)),
        2 => (source.clone(), wild).prop_map(|(source, packet)| Input::Rtp(source, packet)),
        2 => (source.clone(), flipped).prop_map(|(source, packet)| Input::Rtp(source, packet)),
        1 => (source.clone(), noise.clone()).prop_map(|(source, packet)| Input::Rtp(source, packet)),
        1 => (source.clone(), noise).prop_map(|(source, packet)| Input::Rtcp(source, packet)),
        2 => (source, rtcp).prop_map(|(source, packet)| Input::Rtcp(source, packet)),
        4 => (0_u64..100).prop_map(Input::Wait),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(send, receive)| Input::Direction(send, receive)),
        1 => prop_oneof![Just(peer()), Just(stranger())].prop_map(Input::Remote),
    ]
}
