//! The reports of a session, and what it makes of the peer's.

mod common;

use common::*;
use rtp::{Event, SessionConfig};

#[test]
fn reports_come_every_2_5_to_7_5_seconds_to_the_port_above_rtp() {
    let mut leg = reporting();
    leg.run_until(600_000);
    let times: Vec<_> = std::iter::once(0).chain(leg.reports.iter().map(|(at, ..)| *at)).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (2500..=7500).contains(gap)), "{gaps:?}");
    assert!((100..150).contains(&gaps.len()), "{}", gaps.len());
    assert!(leg.reports.iter().all(|(_, to, _)| *to == "192.0.2.7:4001".parse().unwrap()));
    assert_eq!(leg.session.stats().rtcp_sent, gaps.len() as u64);
}

#[test]
fn sender_report_has_the_counts_and_the_clock() {
    let mut leg = reporting();
    leg.run_until(8000);
    let (at, _, report) = leg.reports[0].clone();
    let frames = at as u32 / 20 + 1;
    assert_eq!((report[0], report[1]), (0x80, 200));
    assert_eq!(word(&report, 4), SSRC);
    assert_eq!(u64::from(word(&report, 8)), 2_208_988_800 + at / 1000);
    let units = word(&report, 16).wrapping_sub(1000);
    assert!(units.abs_diff(at as u32 * 8) <= 8, "{units} at {at} ms");
    assert_eq!((word(&report, 20), word(&report, 24)), (frames, frames * 160));
    // SDES with the CNAME, which is the SSRC in hex.
    assert_eq!(report[28..30], [0x81, 202]);
    assert_eq!(report[36..46], *b"\x01\x0801020304"[..10].as_ref());
}

#[test]
fn listener_sends_receiver_reports_with_the_losses() {
    let mut leg = reporting();
    leg.with(|session, now| session.set_direction(now, false, true));
    // One frame went out at the start; two intervals later the session is no sender any more.
    for n in (0..1000).filter(|n| n % 10 != 9) {
        leg.run_until(n * 20);
        leg.receive(&pcmu(n as u16));
    }
    leg.run_until(30_000);
    let report = &leg.reports.last().unwrap().2;
    assert_eq!((report[0], report[1]), (0x81, 201));
    assert_eq!((word(report, 4), word(report, 8)), (SSRC, PEER_SSRC));
    assert_eq!(word(report, 12) & 0xff_ffff, 99);
    assert_eq!(word(report, 16), 998);
    assert_eq!(leg.session.stats().lost, 99);
}

#[test]
fn round_trip_comes_from_the_peers_answer_to_our_report() {
    let mut leg = reporting();
    leg.run_until(8000);
    let (at, _, report) = leg.reports[0].clone();
    let middle = word(&report, 8) << 16 | word(&report, 12) >> 16;
    let answer = receiver_report(SSRC, 64, 80, middle, 65536 / 2);
    leg.now = leg.origin + ms(at + 500 + 40);
    let now = leg.now;
    leg.session.handle_rtcp(now, "192.0.2.7:4001".parse().unwrap(), &answer);
    let stats = leg.session.stats();
    let rtt = stats.rtt.unwrap();
    assert!(rtt.abs_diff(ms(40)) <= ms(1), "{rtt:?}");
    assert_eq!((stats.remote_fraction_lost, stats.remote_jitter), (Some(0.25), Some(ms(10))));
    assert_eq!(stats.rtcp_received, 1);
}

#[test]
fn our_report_tells_when_the_peers_came() {
    let mut leg = reporting();
    leg.receive(&pcmu(0));
    leg.run_until(100);
    let mut sender_report = vec![0x80, 200, 0, 6];
    sender_report.extend(PEER_SSRC.to_be_bytes());
    sender_report
        .extend([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 160]);
    leg.with(|session, now| session.handle_rtcp(now, "192.0.2.7:4001".parse().unwrap(), &sender_report));
    leg.run_until(8000);
    let (at, _, report) = &leg.reports[0];
    assert_eq!(report[0], 0x81);
    assert_eq!(word(report, 28 + 16), 0x3344_5566);
    let delay = u64::from(word(report, 28 + 20)) * 1000 / 65536;
    assert!(delay.abs_diff(at - 100) <= 1, "{delay}");
}

#[test]
fn close_sends_a_bye() {
    let mut leg = reporting();
    leg.run_until(1000);
    leg.with(|session, now| session.close(now));
    let (at, _, report) = leg.reports.last().unwrap();
    assert_eq!(*at, 1000);
    let bye = [[0x81, 203, 0, 1].as_slice(), &SSRC.to_be_bytes()].concat();
    assert_eq!(report[report.len() - 8..], bye);
}

#[test]
fn session_that_never_sent_leaves_without_a_bye() {
    let mut leg = Leg::plain();
    leg.with(|session, now| session.close(now));
    assert_eq!(leg.reports, []);
}

#[test]
fn bye_of_the_peers_stream_is_reported_once_and_of_another_not() {
    let mut leg = Leg::started();
    leg.receive(&pcmu(0));
    leg.events();
    let bye = |ssrc: u32| {
        [[0x80, 201, 0, 1].as_slice(), &ssrc.to_be_bytes(), &[0x81, 203, 0, 1], &ssrc.to_be_bytes()].concat()
    };
    let source = "192.0.2.7:4001".parse().unwrap();
    leg.with(|session, now| session.handle_rtcp(now, source, &bye(99)));
    leg.with(|session, now| session.handle_rtcp(now, stranger(), &bye(PEER_SSRC)));
    assert_eq!(leg.events(), []);
    leg.with(|session, now| session.handle_rtcp(now, source, &bye(PEER_SSRC)));
    leg.with(|session, now| session.handle_rtcp(now, source, &bye(PEER_SSRC)));
    assert_eq!(leg.events(), [Event::RemoteBye]);
    assert_eq!(leg.session.stats().foreign_source, 1);
}

#[test]
fn reports_follow_the_peer_to_where_its_own_come_from() {
    let mut leg = reporting();
    for n in 0..3 {
        leg.receive_from(stranger(), &pcmu(n));
    }
    leg.run_until(8000);
    assert_eq!(leg.reports[0].1, "203.0.113.5:6001".parse().unwrap());
    leg.reports.clear();
    let source = "203.0.113.5:7777".parse().unwrap();
    let report = receiver_report(SSRC, 0, 0, 0, 0);
    leg.with(|session, now| session.handle_rtcp(now, source, &report));
    leg.run_until(16_000);
    assert_eq!(leg.reports[0].1, source);
}

#[test]
fn reports_keep_a_peer_that_suppresses_silence_alive() {
    let mut leg = Leg::started();
    leg.receive(&pcmu(0));
    leg.events();
    for n in 1..20 {
        leg.run_until(n * 10_000);
        let report = receiver_report(SSRC, 0, 0, 0, 0);
        leg.with(|session, now| session.handle_rtcp(now, "192.0.2.7:4001".parse().unwrap(), &report));
    }
    assert_eq!(leg.events(), []);
}

fn reporting() -> Leg {
    let mut leg = Leg::new(SessionConfig { rtcp_interval: ms(5000), ..config() }, Complement);
    leg.start();
    leg
}

fn receiver_report(about: u32, fraction: u8, jitter: u32, last_sr: u32, delay: u32) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7];
    let lost = u32::from(fraction) << 24;
    for word in [PEER_SSRC, about, lost, 0, jitter, last_sr, delay] {
        report.extend(word.to_be_bytes());
    }
    report
}

fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
}
