//! Speech is found, and nothing else is taken for it; a caller interrupts by speech, and by nothing else.
//!
//! Beyond these tests, with espeak-ng (eight voices, 300 s, 250 to 3400 Hz, a second of silence before): every start is
//! found within 310 ms of the start, and 99 % of what is louder than an RMS of 300 lies within the speech found.

use std::time::Duration;

use audio::resample::resample;
use audio::speech::{
    BargeIn, BargeInConfig, BargeInMode, Loudness, SpeechConfig, SpeechDetector, SpeechEvent,
};
use model::audio::SampleRate;
use proptest::prelude::*;
use testkit::g711;
use testkit::signal::{cadence, chord, in_noise, key, mix, noise};
use testkit::tone::Sine;
use testkit::voice::speech;

const NARROW: SampleRate = SampleRate::Hz8000;

#[test]
fn speech_is_found_where_it_is_at_both_rates() {
    for seed in 0..4 {
        let said = [vec![0; 8000], speech(8000, 3000, seed), vec![0; 16_000]].concat();
        let line = g711::decode_alaw(&g711::encode_alaw(&said));
        let wide = resample(&said, 8000, 16_000).unwrap();
        for (rate, pcm) in [(NARROW, said), (NARROW, line), (SampleRate::Hz16000, wide)] {
            let events = events(rate, &pcm);
            let [SpeechEvent::Started { at: start }, SpeechEvent::Stopped { at: end }] = events[..] else {
                panic!("seed {seed}: {events:?}")
            };
            assert!((ms(990)..ms(1650)).contains(&start), "seed {seed}: {start:?}");
            assert!((ms(3600)..ms(4100)).contains(&end), "seed {seed}: {end:?}");
        }
    }
}

#[test]
fn speech_is_found_in_noise_and_far_away() {
    for seed in 0..4 {
        let said = [vec![0; 8000], speech(8000, 3000, seed), vec![0; 8000]].concat();
        let quiet: Vec<i16> = said.iter().map(|sample| sample / 8).collect();
        for pcm in [in_noise(&said, 20.0, seed), in_noise(&said, 10.0, seed), quiet] {
            let starts = starts(&pcm);
            assert!(
                starts.first().is_some_and(|at| (ms(950)..ms(2000)).contains(at)),
                "seed {seed}: {starts:?}"
            );
        }
    }
}

#[test]
fn events_come_when_they_are_known() {
    let said = [vec![0; 8000], speech(8000, 2000, 1), vec![0; 8000]].concat();
    let mut detector = SpeechDetector::new(NARROW, SpeechConfig::default()).unwrap();
    let (mut events, mut known) = (Vec::new(), Vec::new());
    for (n, frame) in said.chunks(160).enumerate() {
        let before = events.len();
        detector.process(frame, &mut events);
        if events.len() > before {
            known.push(ms(n as u64 * 20 + 20));
        }
        assert_eq!(detector.speaking(), events.len() == 1);
    }
    let [SpeechEvent::Started { at: start }, SpeechEvent::Stopped { at: end }] = events[..] else {
        panic!("{events:?}")
    };
    let (lag_of_start, lag_of_end) = (known[0] - start, known[1] - end);
    assert!((ms(80)..ms(300)).contains(&lag_of_start), "{lag_of_start:?}");
    assert!((ms(500)..ms(540)).contains(&lag_of_end), "{lag_of_end:?}");
}

#[test]
fn onset_and_hangover_are_as_configured() {
    let said = [vec![0; 8000], speech(8000, 1500, 1), vec![0; 3200], speech(8000, 1500, 1), vec![0; 24_000]];
    let count = |onset, hangover| {
        let config = SpeechConfig { onset: ms(onset), hangover: ms(hangover) };
        let mut detector = SpeechDetector::new(NARROW, config).unwrap();
        let mut events = Vec::new();
        detector.process(&said.concat(), &mut events);
        events.len()
    };
    assert_eq!((count(80, 800), count(80, 300), count(20_000, 500)), (2, 4, 0));
}

#[test]
fn end_of_the_audio_is_the_end_of_the_speech() {
    let mut detector = SpeechDetector::new(NARROW, SpeechConfig::default()).unwrap();
    let mut events = Vec::new();
    detector.process(&[vec![0; 8000], speech(8000, 2000, 1)].concat(), &mut events);
    assert!(detector.speaking());
    let Some(SpeechEvent::Stopped { at }) = detector.flush() else { panic!("somebody was talking") };
    assert!((ms(2700)..=ms(3000)).contains(&at), "{at:?}");
    assert!(!detector.speaking());
    assert_eq!(detector.flush(), None);
}

#[test]
fn other_rates_are_refused() {
    for rate in [SampleRate::Hz24000, SampleRate::Hz48000] {
        assert!(SpeechDetector::new(rate, SpeechConfig::default()).is_err());
    }
}

#[test]
fn silence_and_noise_of_any_level_are_no_speech() {
    assert_eq!(starts(&[0; 80_000]), [Duration::ZERO; 0]);
    assert_eq!(starts(&[500; 16_000]), [Duration::ZERO; 0]);
    for level in [60.0, 1000.0, 4000.0] {
        assert_eq!(starts(&noise(level, 80_000, 3)), [], "noise of {level}");
        let late = [vec![0; 16_000], noise(level, 64_000, 4)].concat();
        assert_eq!(starts(&late), [], "noise of {level} after silence");
    }
}

#[test]
fn keys_are_no_speech() {
    for (on, off) in [(40, 40), (100, 100), (70, 200), (500, 200)] {
        for peak in [600, 4000, 12_000] {
            let press = |digit| cadence(&key(digit, 8000, on, peak), 8000, on, off, on + off);
            let pcm: Vec<i16> = "159D*0#3".chars().flat_map(press).collect::<Vec<_>>().repeat(2);
            assert_eq!(starts(&pcm), [], "{on}/{off}, peak {peak}");
            assert_eq!(starts(&in_noise(&pcm, 20.0, 1)), [], "{on}/{off}, peak {peak}, in noise");
        }
    }
}

#[test]
fn tones_of_the_network_are_no_speech() {
    for (name, tone) in network_tones() {
        for (what, pcm) in [("clean", tone.clone()), ("in noise", in_noise(&tone, 15.0, 2))] {
            let line = g711::decode_ulaw(&g711::encode_ulaw(&pcm));
            assert_eq!(starts(&line), [Duration::ZERO; 0], "{name}, {what}");
        }
    }
}

#[test]
fn sines_hum_and_clicks_are_no_speech() {
    for frequency in [100.0, 300.0, 440.0, 800.0, 1000.0, 2100.0] {
        for peak in [500, 8000] {
            let sine = Sine::new(frequency, 8000, peak).samples(16_000);
            assert_eq!(starts(&sine), [], "{frequency} Hz");
        }
    }
    for fundamental in [50.0, 60.0] {
        for peak in [300, 1500, 4000] {
            let parts = [(1.0, 1.0), (2.0, 0.3), (3.0, 0.6), (5.0, 0.4), (7.0, 0.2)]
                .map(|(order, share)| (order * fundamental, (f64::from(peak) * share) as i16));
            let hum = chord(&parts, 8000, 4000);
            assert_eq!(starts(&hum), [], "hum of {fundamental} Hz");
            assert_eq!(starts(&in_noise(&hum, 20.0, 1)), [], "hum of {fundamental} Hz in noise");
        }
    }
    for every in [8000, 800, 240] {
        for width in [1, 2, 8] {
            let click = |n: usize| [0, 20_000, -20_000][if n % every < width { 1 + n % 2 } else { 0 }];
            let pcm: Vec<i16> = (0..24_000).map(click).collect();
            assert_eq!(starts(&pcm), [], "{width} samples every {every}");
        }
    }
}

#[test]
fn speech_over_ring_back_and_after_a_key_is_found() {
    let ringing = chord(&[(440.0, 800), (480.0, 800)], 8000, 6000);
    let said = [vec![0; 16_000], speech(8000, 3000, 1)].concat();
    let over = starts(&mix(&ringing, &said));
    assert!(over.first().is_some_and(|at| (ms(1900)..ms(3000)).contains(at)), "{over:?}");
    let after = starts(&[vec![0; 4000], key('5', 8000, 200, 8000), speech(8000, 3000, 1)].concat());
    assert!(after.first().is_some_and(|at| (ms(690)..ms(1500)).contains(at)), "{after:?}");
}

#[test]
fn caller_interrupts_once_per_playback() {
    let said = speech(8000, 6000, 1);
    for config in configs() {
        let mut barge_in = BargeIn::new(NARROW, config).unwrap();
        feed(&mut barge_in, &[0; 16_000], |_| false);
        let fired = feed(&mut barge_in, &said, |frame| frame != 150);
        let [first, second] = fired[..] else { panic!("{config:?}: {fired:?}") };
        assert!((15..60).contains(&first) && (166..220).contains(&second), "{config:?}: {fired:?}");
    }
}

#[test]
fn nobody_interrupts_what_is_not_played() {
    for config in configs() {
        let mut barge_in = BargeIn::new(NARROW, config).unwrap();
        assert_eq!(feed(&mut barge_in, &speech(8000, 4000, 1), |_| false), [0usize; 0]);
        // What was said before the playback does not count, nor does the hang-over.
        assert_eq!(feed(&mut barge_in, &[0; 8000], |_| true), [0usize; 0]);
    }
}

#[test]
fn loud_sound_of_300_ms_interrupts_and_a_shorter_or_softer_one_does_not() {
    let config = BargeInConfig { ignore_tones: false, ..BargeInConfig::default() };
    let fired = |level: f64, frames: usize| {
        let mut barge_in = BargeIn::new(NARROW, config).unwrap();
        feed(&mut barge_in, &[noise(level, 160 * frames, 1), vec![0; 1600]].concat(), |_| true)
    };
    assert_eq!(fired(3000.0, 20), [14]);
    assert_eq!(fired(3000.0, 15), [14]);
    assert_eq!(fired(3000.0, 14), [0usize; 0]);
    assert_eq!(fired(100.0, 200), [0usize; 0]);
    assert_eq!(fired(700.0, 20), [14]);
}

#[test]
fn keys_and_tones_of_the_network_interrupt_nothing() {
    let keys: Vec<i16> = "0123456789"
        .chars()
        .flat_map(|digit| cadence(&key(digit, 8000, 300, 8000), 8000, 300, 80, 380))
        .collect();
    for (name, tone) in network_tones().into_iter().chain([("keys", keys)]) {
        for config in configs() {
            for pcm in [tone.clone(), in_noise(&tone, 25.0, 1)] {
                let mut barge_in = BargeIn::new(NARROW, config).unwrap();
                assert_eq!(feed(&mut barge_in, &pcm, |_| true), [0usize; 0], "{name}, {config:?}");
            }
        }
    }
}

#[test]
fn tones_interrupt_where_they_are_not_ignored() {
    let mut barge_in = BargeIn::new(NARROW, BargeInConfig { ignore_tones: false, ..configs()[0] }).unwrap();
    assert_eq!(feed(&mut barge_in, &chord(&[(440.0, 4000)], 8000, 1000), |_| true), [14]);
}

#[test]
fn clicks_are_not_loud_for_long_enough() {
    // One sample in each frame, and bursts of 5 ms in every fifth.
    for (every, width) in [(160, 1), (800, 40)] {
        let click = |n: usize| if n % every < width { [30_000, -30_000][n % 2] } else { 0 };
        let clicks: Vec<i16> = (0..40_000).map(click).collect();
        let mut loudness = Loudness::new(NARROW, 500, ms(300), true).unwrap();
        assert!(clicks.chunks(160).all(|frame| !loudness.process(frame)), "{width} every {every}");
    }
}

#[test]
fn speech_mode_tells_of_speech_as_the_detector_does() {
    let said = [vec![0; 8000], speech(8000, 2000, 3), vec![0; 8000]].concat();
    let mut barge_in = BargeIn::new(NARROW, configs()[1]).unwrap();
    let mut heard = Vec::new();
    for frame in said.chunks(160) {
        barge_in.process(frame, false, &mut heard);
    }
    assert_eq!(heard, events(NARROW, &said));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn pieces_of_any_size_give_the_same_events(
        sizes in prop::collection::vec(0_usize..700, 1..60),
        seed in 0_u64..20,
        wide in any::<bool>(),
    ) {
        let rate = if wide { SampleRate::Hz16000 } else { NARROW };
        let hz = rate.hz();
        let pcm = [vec![0; 3000], speech(hz, 1200, seed), vec![0; hz as usize], key('5', hz, 100, 5000)].concat();
        let mut detector = SpeechDetector::new(rate, SpeechConfig::default()).unwrap();
        let (mut heard, mut rest) = (Vec::new(), &pcm[..]);
        for size in sizes {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            detector.process(piece, &mut heard);
            rest = after;
        }
        detector.process(rest, &mut heard);
        heard.extend(detector.flush());
        prop_assert_eq!(heard, events(rate, &pcm));
    }

    #[test]
    fn any_samples_and_pieces_are_taken(
        frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<i16>(), 0..500)), 0..12),
    ) {
        for config in configs() {
            let mut barge_in = BargeIn::new(NARROW, config).unwrap();
            for (playing, frame) in &frames {
                barge_in.process(frame, *playing, &mut Vec::new());
            }
        }
    }
}

fn configs() -> [BargeInConfig; 2] {
    let by_level = BargeInConfig::default();
    [by_level, BargeInConfig { mode: BargeInMode::Speech(SpeechConfig::default()), ..by_level }]
}

/// The numbers of the frames at which it fired.
fn feed(barge_in: &mut BargeIn, pcm: &[i16], playing: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut events = Vec::new();
    let frames = pcm.chunks(160).enumerate();
    frames.filter_map(|(n, frame)| barge_in.process(frame, playing(n), &mut events).then_some(n)).collect()
}

/// Frequencies in Hz and peaks.
type Sines = &'static [(f64, i16)];

/// Ring-back, busy, congestion and dial tones of three continents, some seconds each.
fn network_tones() -> Vec<(&'static str, Vec<i16>)> {
    let tones: [(&str, Sines, u32, u32); 8] = [
        ("ring-back 440+480", &[(440.0, 5000), (480.0, 5000)], 2000, 1000),
        ("ring-back 400+450", &[(400.0, 5000), (450.0, 5000)], 400, 200),
        ("ring-back 425", &[(425.0, 8000)], 1000, 1000),
        ("busy 425", &[(425.0, 8000)], 500, 500),
        ("congestion 425", &[(425.0, 2000)], 250, 250),
        ("busy 480+620", &[(480.0, 5000), (620.0, 5000)], 500, 500),
        ("reorder 480+620", &[(480.0, 1000), (620.0, 1000)], 250, 250),
        ("dial tone 350+440", &[(350.0, 5000), (440.0, 5000)], 1000, 0),
    ];
    tones.map(|(name, parts, on, off)| (name, cadence(&chord(parts, 8000, on), 8000, on, off, 4000))).to_vec()
}

fn events(rate: SampleRate, pcm: &[i16]) -> Vec<SpeechEvent> {
    let detector = SpeechDetector::new(rate, SpeechConfig::default());
    let mut detector = detector.expect("both rates of the tests are taken");
    let mut events = Vec::new();
    detector.process(pcm, &mut events);
    events.extend(detector.flush());
    events
}

fn starts(pcm: &[i16]) -> Vec<Duration> {
    let starts = events(NARROW, pcm).into_iter().filter_map(|event| match event {
        SpeechEvent::Started { at } => Some(at),
        SpeechEvent::Stopped { .. } => None,
    });
    starts.collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
