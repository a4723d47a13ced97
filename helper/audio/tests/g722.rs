//! G.722 against a reference that is bit-exact to the ITU-T test vectors in both directions.
//!
//! `fixtures/reference.g722` is what the reference encoder makes of [`signal`]; of what it decodes only a hash is kept.
//!
//! A second witness is ffmpeg 5.1.9, whose encoder and decoder turn out bit-exact as well. Its fixtures are a second of
//! speech (espeak-ng, `-v en-gb`, 16 kHz), and that second decoded and encoded once more:
//!
//! ```text
//! ffmpeg -f s16le -ar 16000 -ac 1 -i spoken.raw -c:a g722 -f g722 speech.g722
//! ffmpeg -f g722 -i speech.g722 -f s16le speech.raw
//! ffmpeg -f s16le -ar 16000 -ac 1 -i speech.raw -c:a g722 -f g722 recoded.g722
//! ```
//!
//! The hashes of this file are of such outputs, too: `noise(3)` decoded, `noise(4)` encoded.

use audio::g722::{Decoder, Encoder};
use proptest::prelude::*;

#[test]
fn signal_of_the_test_is_the_one_of_the_fixture() {
    let bytes: Vec<u8> = signal().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert_eq!(fnv(&bytes), 0x1f5f_ea99_199d_8e8e);
}

#[test]
fn encodes_bit_exactly() {
    let mut encoded = Vec::new();
    Encoder::new().encode(&signal(), &mut encoded);
    let first_difference = encoded.iter().zip(REFERENCE).position(|(ours, theirs)| ours != theirs);
    assert_eq!((first_difference, encoded.len()), (None, REFERENCE.len()));
}

#[test]
fn decodes_bit_exactly() {
    assert_eq!(hash_of_decoded(REFERENCE), 0x681c_2781_7a84_25e9);
}

#[test]
fn decodes_random_bytes_bit_exactly() {
    let payload: Vec<u8> = noise(2).map(|bits| bits as u8).take(6_000).collect();
    assert_eq!(hash_of_decoded(&payload), 0xb74d_2ee8_bfbb_636f);
}

#[test]
fn decodes_speech_as_ffmpeg_does() {
    assert_eq!(hash_of_decoded(SPEECH), SPEECH_HASH);
}

#[test]
fn encodes_speech_as_ffmpeg_does() {
    let (mut pcm, mut encoded) = (Vec::new(), Vec::new());
    Decoder::new().decode(SPEECH, &mut pcm);
    Encoder::new().encode(&pcm, &mut encoded);
    let first_difference = encoded.iter().zip(RECODED).position(|(ours, theirs)| ours != theirs);
    assert_eq!((first_difference, encoded.len()), (None, RECODED.len()));
}

#[test]
fn random_bytes_and_full_scale_noise_are_as_ffmpeg_has_them() {
    let payload: Vec<u8> = noise(3).map(|bits| bits as u8).take(8_000).collect();
    assert_eq!(hash_of_decoded(&payload), RANDOM_HASH);
    let pcm: Vec<i16> = noise(4).map(|bits| bits as i16).take(16_000).collect();
    let mut encoded = Vec::new();
    Encoder::new().encode(&pcm, &mut encoded);
    assert_eq!(fnv(&encoded), NOISE_HASH);
}

#[test]
fn tone_sampled_at_8_khz_keeps_its_pitch() {
    // What a narrow-band source needs before G.722: 1 kHz must not become 2 kHz.
    let tone: Vec<i16> =
        (0..1_600).map(|n| (8_000.0 * (n as f64 * std::f64::consts::TAU / 8.0).sin()) as i16).collect();
    let wide = audio::resample::resample(&tone, 8_000, 16_000).unwrap();
    let mut payload = Vec::new();
    Encoder::new().encode(&wide, &mut payload);
    assert_eq!(payload.len(), 1_600);
    let mut decoded = Vec::new();
    Decoder::new().decode(&payload, &mut decoded);
    let rising = decoded[800..2_400].windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    assert!((99..=101).contains(&rising), "{rising} periods in 100 ms");
}

proptest! {
    #[test]
    fn pieces_of_any_size_encode_as_the_whole(
        pcm in proptest::collection::vec(any::<i16>(), 0..700),
        piece in 1_usize..50,
    ) {
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        Encoder::new().encode(&pcm, &mut whole);
        let mut encoder = Encoder::new();
        for piece in pcm.chunks(piece) {
            encoder.encode(piece, &mut pieces);
        }
        prop_assert_eq!(whole.len(), pcm.len() / 2);
        prop_assert_eq!(whole, pieces);
    }
}

/// 0.75 s at 16 kHz: silence, a tone, soft noise, a high tone in noise, full-scale noise, a full-scale square wave.
fn signal() -> Vec<i16> {
    let mut noise = noise(1);
    (0..12_000)
        .map(|n| {
            let noise = noise.next().map_or(0, |bits| bits as i16);
            match n / 2_000 {
                0 => 0,
                1 => triangle(n, 16, 10_000),
                2 => noise >> 3,
                3 => triangle(n, 5, 9_000) + (noise >> 4),
                4 => noise,
                _ => [i16::MAX, i16::MIN][usize::from(n % 32 >= 16)],
            }
        })
        .collect()
}

fn triangle(n: i32, period: i32, amplitude: i32) -> i16 {
    let phase = n % period;
    (amplitude * (4 * phase.min(period - phase) - period)).div_euclid(period) as i16
}

/// The upper halves of a linear congruential sequence.
fn noise(seed: u32) -> impl Iterator<Item = u16> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(seed), next).skip(1).map(|state| (state >> 16) as u16)
}

fn hash_of_decoded(payload: &[u8]) -> u64 {
    let mut pcm = Vec::new();
    Decoder::new().decode(payload, &mut pcm);
    assert_eq!(pcm.len(), payload.len() * 2);
    fnv(&pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>())
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

static REFERENCE: &[u8] = include_bytes!("fixtures/reference.g722");
static SPEECH: &[u8] = include_bytes!("fixtures/speech.g722");
static RECODED: &[u8] = include_bytes!("fixtures/recoded.g722");
const SPEECH_HASH: u64 = 0x21ea_9495_e61b_e915;
const RANDOM_HASH: u64 = 0xaaa6_5955_aa21_ba66;
const NOISE_HASH: u64 = 0x9c6b_1b42_4852_7458;
