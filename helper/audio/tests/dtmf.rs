//! DTMF digits in audio: what ITU-T Q.24 wants received, what it wants ignored, and everything else that is no key.
//!
//! Beyond these tests, 1733 s of espeak-ng speech (eight voices in six languages, 250 to 3400 Hz) gave no false digit.

use std::time::Duration;

use audio::dtmf::{self, DtmfDetector, DtmfDigit};
use model::audio::SampleRate;
use proptest::prelude::*;
use testkit::g711;
use testkit::signal::{cadence, chord, in_noise, key, key_frequencies, mix, noise};
use testkit::voice::speech;

const KEYS: &str = "123A456B789C*0#D";

#[test]
fn every_key_is_reported_once_with_its_place_and_length() {
    for digit in KEYS.chars() {
        let pcm = [vec![0; 803], key(digit, 8000, 100, 6000), vec![0; 800]].concat();
        for pcm in
            [g711::decode_ulaw(&g711::encode_ulaw(&pcm)), g711::decode_alaw(&g711::encode_alaw(&pcm)), pcm]
        {
            let [heard] = digits(&pcm)[..] else { panic!("{digit}: {:?}", digits(&pcm)) };
            assert_eq!(heard.digit, digit);
            assert!(near(heard.at, 100, 10) && near(heard.duration, 100, 13), "{heard:?}");
        }
    }
}

#[test]
fn tones_made_here_are_heard_here() {
    let pause = [0; 400];
    let pcm: Vec<i16> = (KEYS.chars())
        .flat_map(|digit| [dtmf::tone(digit, SampleRate::Hz8000, ms(60)).unwrap(), pause.to_vec()].concat())
        .collect();
    assert_eq!(text(&digits(&pcm)), KEYS);
}

#[test]
fn digits_of_40_ms_and_pauses_of_40_ms_are_told_apart_at_every_offset() {
    for offset in 0..102 {
        let pcm = [vec![0; offset], sequence("11223344#*", 40, 40, 6000)].concat();
        assert_eq!(text(&digits(&pcm)), "11223344#*", "offset {offset}");
    }
}

#[test]
fn tones_shorter_than_23_ms_are_ignored_at_every_offset() {
    for offset in 0..102 {
        for digit in KEYS.chars() {
            let mut pcm =
                [vec![0; offset], key(digit, 8000, 30, 6000)[..183].to_vec(), vec![0; 800]].concat();
            assert_eq!(digits(&pcm), [], "{digit}, offset {offset}");
            pcm = in_noise(&pcm, 20.0, offset as u64);
            assert_eq!(digits(&pcm), [], "{digit}, offset {offset}, in noise");
        }
    }
}

#[test]
fn break_of_10_ms_does_not_split_a_digit() {
    for offset in 0..102 {
        let tone = key('5', 8000, 60, 6000);
        let pcm = [vec![0; offset], tone.clone(), vec![0; 80], tone, vec![0; 800]].concat();
        assert_eq!(text(&digits(&pcm)), "5", "offset {offset}");
    }
}

#[test]
fn digits_are_heard_in_noise_15_db_below_them() {
    for seed in 0..40 {
        let pcm = in_noise(&sequence(KEYS, 50, 50, 4000), 15.0, seed);
        let line = g711::decode_ulaw(&g711::encode_ulaw(&pcm));
        assert_eq!(text(&digits(&line)), KEYS, "seed {seed}");
    }
}

#[test]
fn frequencies_may_be_off_by_1_5_percent_and_not_by_3_5() {
    for digit in KEYS.chars() {
        let [row, column] = key_frequencies(digit);
        let heard = |of_row: f64, of_column: f64| {
            let tone = chord(&[(row * of_row, 6000), (column * of_column, 6000)], 8000, 50);
            text(&digits(&[vec![0; 400], tone, vec![0; 800]].concat()))
        };
        for (of_row, of_column) in [(1.015, 1.015), (0.985, 0.985), (1.015, 0.985), (0.985, 1.015)] {
            assert_eq!(heard(of_row, of_column), digit.to_string(), "{of_row} {of_column}");
        }
        for (of_row, of_column) in [(1.035, 1.0), (0.965, 1.0), (1.0, 1.035), (1.0, 0.965)] {
            assert_eq!(heard(of_row, of_column), "", "{digit}: {of_row} {of_column}");
        }
    }
}

#[test]
fn column_may_be_4_db_louder_or_8_db_quieter_and_not_12_db() {
    for digit in KEYS.chars() {
        let [row, column] = key_frequencies(digit);
        let heard = |twist: f64| {
            let peak = (5000.0 * 10_f64.powf(twist / 20.0)) as i16;
            let tone = chord(&[(row, 5000), (column, peak)], 8000, 60);
            text(&digits(&[vec![0; 400], tone, vec![0; 800]].concat()))
        };
        for (twist, expected) in [(4.0, true), (-8.0, true), (9.0, false), (-12.0, false)] {
            assert_eq!(heard(twist) == digit.to_string(), expected, "{digit}, twist of {twist} dB");
        }
    }
}

#[test]
fn level_may_be_25_db_below_the_loudest() {
    for (peak, expected) in [(15_000, KEYS), (1_250, KEYS), (300, KEYS), (50, "")] {
        let line = g711::decode_ulaw(&g711::encode_ulaw(&sequence(KEYS, 50, 50, peak)));
        assert_eq!(text(&digits(&line)), expected, "peak {peak}");
    }
}

#[test]
fn tones_of_the_network_noise_and_music_are_no_digits() {
    let tones: [&[(f64, i16)]; 14] = [
        &[(440.0, 6000), (480.0, 6000)],
        &[(400.0, 6000), (450.0, 6000)],
        &[(350.0, 6000), (440.0, 6000)],
        &[(480.0, 6000), (620.0, 6000)],
        &[(425.0, 9000)],
        &[(697.0, 9000)],
        &[(1209.0, 9000)],
        &[(697.0, 6000), (770.0, 6000)],
        &[(1209.0, 6000), (1477.0, 6000)],
        &[(1100.0, 9000)],
        &[(2100.0, 9000)],
        // Chords with notes of two keys: F5 F#6, and a third note.
        &[(698.5, 6000), (1480.0, 6000), (880.0, 6000)],
        &[(784.0, 6000), (1318.5, 6000), (1568.0, 6000)],
        &[(932.3, 6000), (1174.7, 6000), (1396.9, 6000), (1864.7, 4000)],
    ];
    for parts in tones {
        let pcm = cadence(&chord(parts, 8000, 1000), 8000, 100, 100, 4000);
        assert_eq!(digits(&pcm), [], "{parts:?}");
        assert_eq!(digits(&chord(parts, 8000, 4000)), [], "{parts:?} without pauses");
    }
    for level in [30.0, 1000.0, 8000.0] {
        assert_eq!(digits(&noise(level, 480_000, 5)), []);
    }
}

#[test]
fn speech_is_no_digits() {
    for seed in 0..6 {
        assert_eq!(digits(&speech(8000, 20_000, seed)), [], "seed {seed}");
    }
}

#[test]
fn digits_are_heard_in_speech_15_db_below_them() {
    let keys = sequence(KEYS, 80, 60, 9000);
    let quiet: Vec<i16> = speech(8000, 4000, 1).iter().map(|sample| sample / 4).collect();
    assert_eq!(text(&digits(&mix(&keys, &quiet))), KEYS);
}

#[test]
fn harmonics_make_a_voice_of_a_tone() {
    let parts = [(697.0, 4000), (1209.0, 4000), (2418.0, 2500)];
    assert_eq!(digits(&chord(&parts, 8000, 1000)), []);
}

#[test]
fn key_still_down_at_the_end_is_reported_by_flush() {
    let mut detector = DtmfDetector::new();
    let mut digits = Vec::new();
    detector.process(&key('7', 8000, 200, 6000), &mut digits);
    assert_eq!((digits.len(), detector.sounding()), (0, true));
    let ended = detector.flush();
    assert!(ended.is_some_and(|ended| ended.digit == '7' && near(ended.duration, 200, 13)), "{ended:?}");
    assert_eq!((detector.flush(), detector.sounding()), (None, false));
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_digits(sizes in prop::collection::vec(0_usize..400, 1..40)) {
        let pcm = sequence("159D", 60, 45, 6000);
        let (mut detector, mut heard, mut rest) = (DtmfDetector::new(), Vec::new(), &pcm[..]);
        for size in sizes {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            detector.process(piece, &mut heard);
            rest = after;
        }
        detector.process(rest, &mut heard);
        prop_assert_eq!(heard, digits(&pcm));
    }

    #[test]
    fn any_samples_are_taken(pcm in prop::collection::vec(any::<i16>(), 0..3000)) {
        digits(&pcm);
    }
}

/// All of the digits, one after the other, with a second of silence after them.
fn sequence(keys: &str, on: u32, off: u32, peak: i16) -> Vec<i16> {
    let one = |digit| cadence(&key(digit, 8000, on, peak), 8000, on, off, on + off);
    keys.chars().flat_map(one).chain([0; 8000]).collect()
}

fn digits(pcm: &[i16]) -> Vec<DtmfDigit> {
    let mut digits = Vec::new();
    DtmfDetector::new().process(pcm, &mut digits);
    digits
}

fn text(digits: &[DtmfDigit]) -> String {
    digits.iter().map(|digit| digit.digit).collect()
}

fn near(time: Duration, expected: u64, tolerance: u64) -> bool {
    time.abs_diff(ms(expected)) <= ms(tolerance)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
