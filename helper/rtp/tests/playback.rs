//! What is told of the audio that the peer hears: when it plays, how much of it, where it lies beside the peer's own, and
//! that it does not stay late.

mod common;

use common::*;
use rtp::{Cleared, Event, PacketBuf, SessionConfig};

#[test]
fn playback_begins_with_its_first_frame_and_ends_200_ms_after_its_last() {
    let mut leg = Leg::started();
    assert!(!leg.session.is_playing());
    leg.run_until(90);
    leg.with(|session, now| session.queue_pcm(now, &[1; 500])).unwrap();
    assert_eq!((leg.session.is_playing(), leg.session.playback()), (false, None));
    leg.run_until(120);
    assert_eq!((leg.session.is_playing(), leg.session.playback()), (true, Some(ms(40))));
    leg.run_until(1000);
    let ended = Event::PlaybackEnded { played: us(62_500) };
    // Frames at 100, 120, 140 and 160.
    assert_eq!(leg.playbacks, [(100, Event::PlaybackStarted), (360, ended)]);
    assert!(!leg.session.is_playing());
}

#[test]
fn short_break_is_part_of_a_playback_and_a_longer_one_makes_two() {
    let mut leg = Leg::started();
    for at in [0, 200, 800] {
        leg.run_until(at);
        leg.with(|session, now| session.queue_pcm(now, &[1; 160])).unwrap();
    }
    leg.run_until(2000);
    let ended = |played| Event::PlaybackEnded { played: ms(played) };
    let expected =
        [(20, Event::PlaybackStarted), (420, ended(40)), (820, Event::PlaybackStarted), (1020, ended(20))];
    assert_eq!(leg.playbacks, expected);
}

#[test]
fn clear_says_how_much_of_the_playback_was_heard_and_ends_it() {
    let mut leg = Leg::started();
    leg.with(|session, now| session.queue_pcm(now, &[1; 8000])).unwrap();
    leg.run_until(1500);
    leg.with(|session, now| session.queue_pcm(now, &[1; 8000])).unwrap();
    leg.run_until(1765);
    let cleared = leg.with(|session, now| session.clear(now));
    // Frames from 1520 to 1760; of what was played before, nothing counts.
    assert_eq!(cleared, Cleared { played: Some(ms(260)), dropped: ms(740) });
    assert!(!leg.session.is_playing());
    assert_eq!(leg.playbacks.last(), Some(&(1765, Event::PlaybackEnded { played: ms(260) })));
    leg.run_until(3000);
    assert_eq!(leg.with(|session, now| session.clear(now)), Cleared::default());
    assert_eq!(leg.playbacks.len(), 4);
}

#[test]
fn what_was_not_begun_is_dropped_without_a_playback() {
    let mut leg = Leg::plain();
    leg.with(|session, now| session.queue_pcm(now, &[1; 800])).unwrap();
    let cleared = leg.with(|session, now| session.clear(now));
    assert_eq!(cleared, Cleared { played: None, dropped: ms(100) });
    assert_eq!(leg.playbacks, []);
}

#[test]
fn playback_waits_on_hold_and_ends_with_the_codec() {
    let mut leg = Leg::started();
    leg.with(|session, now| session.queue_pcm(now, &[1; 1600])).unwrap();
    leg.run_until(50);
    leg.with(|session, now| session.set_direction(now, false, true));
    leg.run_until(1000);
    assert_eq!(leg.session.playback(), Some(ms(40)));
    leg.with(|session, now| session.set_direction(now, true, true));
    leg.run_until(1030);
    leg.with(|session, now| session.set_codec(now, 9, &[9], None, Box::new(Counting(0))));
    assert_eq!(
        leg.playbacks,
        [(20, Event::PlaybackStarted), (1030, Event::PlaybackEnded { played: ms(60) })]
    );
}

#[test]
fn both_directions_lie_on_one_timeline() {
    let mut leg = Leg::started();
    leg.session.report_sent_audio(true);
    assert_eq!(leg.session.received_from(), None);
    leg.run_until(70);
    leg.receive(&pcmu(500));
    leg.with(|session, now| session.queue_pcm(now, &[1; 200])).unwrap();
    leg.run_until(90);
    leg.receive(&pcmu(501));
    leg.run_until(120);
    // The first packet came 70 ms after the start; frame 1 was the first to be reported.
    assert_eq!(leg.session.received_from(), Some(560));
    let sent = |position, samples: usize| {
        let payload = PacketBuf::from_vec([vec![0xfe; samples], vec![0xff; 160 - samples]].concat());
        Event::Sent { payload_type: 0, payload, position }
    };
    let expected = [
        (20, sent(160, 0)),
        (40, sent(320, 0)),
        (60, sent(480, 0)),
        (70, latched()),
        (70, audio(500, 500)),
        (80, sent(640, 160)),
        (90, audio(501, 500)),
        (100, sent(800, 40)),
        (120, sent(960, 0)),
    ];
    assert_eq!(leg.timed_events(), expected);
    leg.session.report_sent_audio(false);
    leg.run_until(200);
    assert_eq!(leg.events(), []);
}

#[test]
fn timeline_begins_with_early_media_and_runs_on_over_digits_hold_and_stalls() {
    let mut leg = Leg::plain();
    leg.session.report_sent_audio(true);
    leg.receive(&pcmu(0));
    leg.run_until(1000);
    leg.start();
    assert_eq!(leg.session.received_from(), Some(0));
    leg.with(|session, now| session.send_dtmf(now, "5", ms(40))).unwrap();
    leg.run_until(1120);
    leg.with(|session, now| session.set_direction(now, false, true));
    leg.run_until(1200);
    leg.with(|session, now| session.set_direction(now, true, true));
    leg.run_until(1220);
    leg.stall_until(2220);
    let positions: Vec<_> = (leg.events().iter())
        .filter_map(|event| match event {
            Event::Sent { position, .. } => Some(*position / 160),
            _ => None,
        })
        .collect();
    // In frames: the first at 1000 ms, the digit from 1020 to 1080, hold until 1200, ten frames of a late tick.
    let expected = [vec![50, 55, 56, 61], (102..112).collect()].concat();
    assert_eq!(positions, expected);
}

#[test]
fn live_stream_that_ran_dry_catches_up_in_its_next_pause() {
    // Nothing comes from 1000 ms on for 200 ms, then all of it at once; 600 ms of silence from frame 200 on.
    let heard = live(300, |n| if (50..60).contains(&n) { 60 } else { n }, |n| (200..230).contains(&n));
    assert_eq!(heard.delays(0..50), vec![10; 50]);
    assert_eq!(heard.delays(60..200), vec![210; 140]);
    // One frame stays as a cushion.
    assert_eq!(heard.delays(230..300), vec![30; 70]);
    assert_eq!(heard.caught_up, 9);
}

#[test]
fn live_stream_without_a_pause_stays_late_and_whole() {
    let heard = live(300, |n| if (50..60).contains(&n) { 60 } else { n }, |_| false);
    assert_eq!(heard.delays(60..300), vec![210; 240]);
    assert_eq!(heard.caught_up, 0);
}

#[test]
fn pause_of_100_ms_is_kept_whatever_is_late() {
    let heard = live(300, |n| if (50..60).contains(&n) { 60 } else { n }, |n| n % 20 < 5 && n > 60);
    assert_eq!(heard.delays(286..300), vec![210; 14]);
    assert_eq!(heard.caught_up, 0);
}

#[test]
fn speech_that_comes_faster_than_it_is_said_keeps_its_pauses() {
    // 400 ms, a break of 300 ms, then all the rest at once.
    let heard = live(300, |n| if n < 20 { 0 } else { 35 }, |n| (100..150).contains(&n));
    assert_eq!(heard.caught_up, 0);
}

#[test]
fn source_that_paused_for_a_second_owes_nothing() {
    // After a second without anything, eight frames come at once.
    let heard = live(300, |n| if (50..100).contains(&n) { 108 } else { n.max(8) }, |n| n >= 50);
    assert_eq!(heard.caught_up, 0);
}

/// What the peer heard of a live source.
struct Heard {
    /// When each frame was said, and when it went out; silence is left out.
    frames: Vec<(u64, u64)>,
    caught_up: u64,
}

impl Heard {
    /// How late the frames were.
    fn delays(&self, frames: std::ops::Range<u64>) -> Vec<u64> {
        let of = |said: &u64| frames.contains(&((said - 10) / 20));
        self.frames.iter().filter(|(said, _)| of(said)).map(|(said, sent)| sent - said).collect()
    }
}

/// Frame n is said 10 ms before the session's frame n + 1 and comes when frame `comes_with` is said. No frame of speech may
/// be lost, doubled or moved.
fn live(count: u64, comes_with: impl Fn(u64) -> u64, is_silent: impl Fn(u64) -> bool) -> Heard {
    let mut leg = Leg::started();
    for n in 0..count {
        leg.run_until(comes_with(n) * 20 + 10);
        let sample = if is_silent(n) { 0 } else { 100 + (n % 100) as i16 };
        leg.with(|session, now| session.queue_pcm(now, &[sample; 160])).expect("the queue has room");
    }
    leg.run_until(count * 20 + 5000);
    let sent: Vec<_> =
        leg.sent().iter().map(|sent| (sent.at, !sent.payload[0])).filter(|(_, n)| *n != 0).collect();
    let said: Vec<_> = (0..count).filter(|n| !is_silent(*n)).collect();
    let numbers: Vec<_> = sent.iter().map(|(_, number)| u64::from(*number)).collect();
    assert_eq!(numbers, said.iter().map(|n| 100 + n % 100).collect::<Vec<_>>());
    let frames = said.iter().zip(&sent).map(|(n, (at, _))| (n * 20 + 10, *at)).collect();
    Heard { frames, caught_up: leg.session.stats().caught_up_frames }
}

fn us(us: u64) -> std::time::Duration {
    std::time::Duration::from_micros(us)
}

/// Five frames ahead.
fn ahead() -> Leg {
    let config = SessionConfig { lead: ms(100), silence_fill: false, ..config() };
    let mut leg = Leg::new(config, Complement);
    leg.start();
    leg
}

fn times(leg: &Leg) -> Vec<u64> {
    leg.sent.iter().map(|packet| packet.at).collect()
}

#[test]
fn lead_is_sent_at_once_and_kept_and_all_is_counted_when_it_is_due() {
    let mut leg = ahead();
    leg.run_until(30);
    leg.with(|session, now| session.queue_pcm(now, &[1; 1600])).unwrap();
    leg.with(|session, now| session.mark(now, "end".into())).unwrap();
    leg.run_until(130);
    assert_eq!(leg.session.played(), ms(100), "frames that are due from 40 to 120");
    leg.run_until(1000);
    assert_eq!(times(&leg), [40, 40, 40, 40, 40, 40, 60, 80, 100, 120]);
    let timestamps = leg.sent.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
    assert!(timestamps.into_iter().all(|step| step == 160), "each has its own place");
    assert_eq!(leg.sent.iter().filter(|packet| packet.marker).count(), 1, "one talk spurt");
    let end = Event::MarkPlayed { name: "end".into(), played: ms(200) };
    assert_eq!(leg.events, [(240, end)]);
    let ended = Event::PlaybackEnded { played: ms(200) };
    assert_eq!(leg.playbacks, [(40, Event::PlaybackStarted), (420, ended)]);
}

#[test]
fn clear_takes_back_what_was_sent_ahead() {
    let mut leg = ahead();
    leg.with(|session, now| session.queue_pcm(now, &[1; 320])).unwrap();
    leg.with(|session, now| session.mark(now, "two".into())).unwrap();
    leg.with(|session, now| session.queue_pcm(now, &[1; 1600])).unwrap();
    leg.run_until(25);
    let cleared = leg.with(|session, now| session.clear(now));
    assert_eq!(cleared, Cleared { played: Some(ms(20)), dropped: ms(220) });
    let two = Event::MarkCleared { name: "two".into(), played: ms(20) };
    assert_eq!(leg.events, [(25, two)]);
    leg.with(|session, now| session.drain(now));
    leg.run_until(100);
    assert_eq!(leg.events.last(), Some(&(40, Event::Drained)), "the frame on its way is heard out");
    leg.with(|session, now| session.queue_pcm(now, &[1; 160])).unwrap();
    leg.with(|session, now| session.mark(now, "next".into())).unwrap();
    leg.run_until(1000);
    let next = Event::MarkPlayed { name: "next".into(), played: ms(40) };
    assert_eq!(leg.events.last(), Some(&(140, next)), "what was taken back was never played");
}

#[test]
fn live_source_with_half_frames_is_not_torn_by_the_lead() {
    let mut leg = ahead();
    // 30 ms at a time, in time.
    for n in 0..10_u64 {
        leg.with(|session, now| session.queue_pcm(now, &[1; 240])).unwrap();
        leg.run_until(30 * n + 29);
    }
    leg.run_until(1000);
    let silent = leg.sent.iter().flat_map(|packet| &packet.payload).filter(|byte| **byte == 0xff).count();
    assert_eq!((leg.sent.len(), silent), (15, 0), "{:?}", times(&leg));
}

#[test]
fn stall_shorter_than_the_lead_is_not_heard_and_leaves_the_lead_as_it_was() {
    let mut leg = ahead();
    leg.with(|session, now| session.queue_pcm(now, &[1; 160 * 50])).unwrap();
    leg.run_until(205);
    let before = leg.sent.len();
    leg.stall_until(290);
    leg.run_until(2000);
    assert_eq!(times(&leg)[before..before + 4], [290; 4], "four ticks at once");
    assert_eq!(leg.sent.len(), 50);
    assert_eq!(leg.session.played(), ms(1000));
}
