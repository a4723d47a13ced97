//! Files of every format read, and files that lie or are damaged.
//!
//! The compressed fixtures hold a tone of 1 kHz at half of full scale: 0.5 s mono at 16 kHz, or 0.4 s stereo at 44.1 kHz.

use std::time::Duration;

use audio::file::{DecodeError, Limits, Pcm, decode, decode_at, decode_within};
use audio::wav;
use bytes::Bytes;
use proptest::prelude::*;

#[test]
fn a_16_bit_wav_comes_out_bit_by_bit() {
    let samples = [0, 1, -1, 12_345, -12_345, i16::MAX, i16::MIN];
    let file = wav_file(1, 1, 16, &samples.map(i16::to_le_bytes).concat());
    assert_eq!(decode(file, Some("wav")).unwrap(), Pcm { sample_rate: 8_000, samples: samples.to_vec() });
}

#[test]
fn stereo_is_mixed_to_the_mean_of_the_channels() {
    let frames: [[i16; 2]; 4] = [[1_000, 3_000], [-500, 500], [i16::MAX, i16::MAX], [i16::MIN, i16::MIN]];
    let file =
        wav_file(1, 2, 16, &frames.as_flattened().iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<_>>());
    assert_eq!(decode(file, None).unwrap().samples, [2_000, 0, i16::MAX, i16::MIN]);
}

#[test]
fn other_sample_formats_of_wav_are_read() {
    let ulaw = wav_file(7, 1, 8, &[0xFF, 0x80, 0x00]);
    assert_eq!(decode(ulaw, None).unwrap().samples, [0, 32_124, -32_124]);
    let alaw = wav_file(6, 1, 8, &[0xD5, 0xAA, 0x2A]);
    assert_eq!(decode(alaw, None).unwrap().samples, [8, 32_256, -32_256]);
    let float = wav_file(3, 1, 32, &[0.5_f32, -0.25, 2.0].map(f32::to_le_bytes).concat());
    assert_eq!(decode(float, None).unwrap().samples, [16_384, -8_192, i16::MAX]);
    let wide = wav_file(1, 1, 24, &[0x00, 0x00, 0x40, 0x00, 0x00, 0xC0]);
    assert_eq!(decode(wide, None).unwrap().samples, [16_384, -16_384]);
    let narrow = wav_file(1, 1, 8, &[0x80, 0xC0, 0x40]);
    assert_eq!(decode(narrow, None).unwrap().samples, [0, 16_384, -16_384]);
}

#[test]
fn compressed_formats_give_their_tone() {
    for (name, data, rate, seconds, amplitude) in FIXTURES {
        for hint in [Some(name), None, Some("wav"), Some("")] {
            let pcm = decode(Bytes::from_static(data), hint)
                .unwrap_or_else(|error| panic!("{name}, {hint:?}: {error}"));
            assert_eq!(pcm.sample_rate, rate, "{name}");
            assert_tone(name, &pcm, seconds, amplitude);
        }
    }
}

#[test]
fn any_file_is_resampled_to_the_rate_of_the_call() {
    for (name, data, _, seconds, amplitude) in FIXTURES {
        for rate in [8_000, 16_000, 24_000] {
            let pcm = decode_at(Bytes::from_static(data), None, rate).unwrap();
            assert_eq!(pcm.sample_rate, rate, "{name}");
            assert_tone(name, &pcm, seconds, amplitude);
        }
    }
}

#[test]
fn resampled_audio_has_the_length_of_the_file() {
    let file = wav_file(1, 1, 16, &vec![0; 2 * 8_001]);
    assert_eq!(decode_at(file.clone(), None, 16_000).unwrap().samples.len(), 16_002);
    assert_eq!(decode_at(file, None, 24_000).unwrap().duration(), Duration::from_nanos(1_000_125_000));
}

#[test]
fn a_streamed_wav_of_unknown_length_ends_with_its_samples() {
    for fake in [u32::MAX, 0x7FFF_F000, 0xFFFF_FFFE, 0] {
        let samples: Vec<i16> = (0..3_000).collect();
        let mut file =
            wav_file(1, 1, 16, &samples.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<_>>()).to_vec();
        file[4..8].copy_from_slice(&fake.to_le_bytes());
        file[40..44].copy_from_slice(&fake.to_le_bytes());
        assert_eq!(decode(file.into(), Some("wav")).unwrap().samples, samples, "{fake:#x}");
    }
}

#[test]
fn a_file_cut_short_gives_what_is_there() {
    for (name, data, _, _, _) in FIXTURES.iter().filter(|(name, ..)| *name != "m4a") {
        let whole = decode(Bytes::from_static(data), None).unwrap().samples.len();
        let part = decode(Bytes::from_static(&data[..data.len() - 150]), None).unwrap().samples.len();
        assert!((whole / 2..whole).contains(&part), "{name}: {part} of {whole}");
    }
}

#[test]
fn what_is_no_audio_is_refused_by_name() {
    let unknown = |data: &'static [u8], hint| decode(Bytes::from_static(data), hint).unwrap_err();
    for hint in [None, Some("wav"), Some("mp3")] {
        assert!(matches!(unknown(b"", hint), DecodeError::UnknownFormat));
        assert!(matches!(
            unknown(b"<html><body>404 Not Found</body></html>", hint),
            DecodeError::UnknownFormat
        ));
    }
    let empty = decode(wav_file(1, 1, 16, &[]), None).unwrap_err();
    assert!(matches!(empty, DecodeError::NoAudio { .. }), "{empty:?}");
    let opus = decode(Bytes::from_static(OGG_OPUS), Some("ogg")).unwrap_err();
    assert!(matches!(opus, DecodeError::UnsupportedCodec), "{opus:?}");
}

#[test]
fn limits_are_kept() {
    let file = wav_file(1, 1, 16, &vec![0; 2 * 8_000]);
    let limits = Limits { bytes: file.len(), duration: Duration::from_secs(1) };
    assert_eq!(decode_within(file.clone(), None, None, limits).unwrap().samples.len(), 8_000);
    let small = Limits { bytes: file.len() - 1, ..limits };
    let error = decode_within(file.clone(), None, None, small).unwrap_err();
    assert_eq!(error.to_string(), "audio file of 16044 bytes, more than the limit of 16043");
    let short = Limits { duration: Duration::from_millis(999), ..limits };
    let error = decode_within(file, None, None, short).unwrap_err();
    assert_eq!(error.to_string(), "audio longer than the limit of 999ms");
}

#[test]
fn absurd_headers_are_refused() {
    let mut rates = wav_file(1, 1, 16, &[0; 4_000]).to_vec();
    rates[24..28].copy_from_slice(&4_000_000_000_u32.to_le_bytes());
    assert!(matches!(decode(rates.clone().into(), None), Err(DecodeError::Resample(_))));
    rates[24..28].fill(0);
    assert!(decode(rates.into(), None).is_err());
    let mut channels = wav_file(1, 1, 16, &[0; 400_000]).to_vec();
    channels[22..24].copy_from_slice(&30_000_u16.to_le_bytes());
    channels[32..34].copy_from_slice(&60_000_u16.to_le_bytes());
    assert!(decode(channels.into(), None).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_never_panic_nor_grow(
        which in 0..FIXTURES.len() + 1,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        early in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut data = FIXTURES.get(which).map_or_else(|| wav_file(1, 2, 16, &[7; 2_000]).to_vec(), |f| f.1.to_vec());
        for (at, byte) in damage {
            // Half of the cases: only the headers.
            let range = if early { data.len().min(300) } else { data.len() };
            data[at.index(range)] = byte;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        let bytes = data.len();
        if let Ok(pcm) = decode_at(data.into(), None, 8_000) {
            prop_assert!(pcm.samples.len() < 1_000 * bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..2_000), magic in 0_usize..7) {
        let magic: &[u8] = [&b""[..], b"RIFF\0\0\0\0WAVEfmt ", b"fLaC", b"OggS", b"ID3", b"\xFF\xFB", b"\0\0\0\x18ftypM4A "][magic];
        let _ = decode([magic, &data].concat().into(), None);
    }
}

type Fixture = (&'static str, &'static [u8], u32, f64, f64);

/// Extension, bytes, sample rate, seconds, amplitude of the tone once mixed to one channel.
const FIXTURES: [Fixture; 6] = [
    ("mp3", include_bytes!("fixtures/tone.mp3"), 16_000, 0.5, 16_384.0),
    ("flac", include_bytes!("fixtures/tone.flac"), 16_000, 0.5, 16_384.0),
    ("ogg", include_bytes!("fixtures/tone.ogg"), 16_000, 0.5, 16_384.0),
    ("m4a", include_bytes!("fixtures/tone.m4a"), 16_000, 0.5, 16_384.0),
    ("aac", include_bytes!("fixtures/tone_stereo.aac"), 44_100, 0.4, 16_384.0),
    ("mp3", include_bytes!("fixtures/tone_left.mp3"), 44_100, 0.4, 8_192.0),
];

/// Of a codec that is not read.
const OGG_OPUS: &[u8] = include_bytes!("fixtures/tone.opus");

/// 8 kHz. `format`: the tag of the `fmt ` chunk; `bits`: of a sample.
fn wav_file(format: u16, channels: u16, bits: u16, samples: &[u8]) -> Bytes {
    let block_align = channels * bits / 8;
    let mut file = wav::header(channels, 8_000, samples.len() as u64)[..36].to_vec();
    file[20..22].copy_from_slice(&format.to_le_bytes());
    file[28..32].copy_from_slice(&(8_000 * u32::from(block_align)).to_le_bytes());
    file[32..34].copy_from_slice(&block_align.to_le_bytes());
    file[34..36].copy_from_slice(&bits.to_le_bytes());
    if format != 1 {
        // Other formats have the length of an extension, here none.
        file[16] = 18;
        file.extend([0, 0]);
    }
    file.extend(b"data");
    file.extend((samples.len() as u32).to_le_bytes());
    file.extend(samples);
    let riff_len = file.len() as u32 - 8;
    file[4..8].copy_from_slice(&riff_len.to_le_bytes());
    file.into()
}

/// The length within the padding of a codec, the frequency and the level of the middle.
fn assert_tone(name: &str, pcm: &Pcm, seconds: f64, amplitude: f64) {
    let rate = f64::from(pcm.sample_rate);
    let length = pcm.duration().as_secs_f64();
    assert!((seconds - 0.01..seconds + 0.2).contains(&length), "{name}: {length} s");
    let start = (0.15 * rate) as usize;
    let middle = &pcm.samples[start..start + (0.2 * rate) as usize];
    let rising = middle.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    assert!((199..=201).contains(&rising), "{name}: {rising} periods in 0.2 s");
    let power = middle.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / middle.len() as f64;
    let level = (2.0 * power).sqrt() / amplitude;
    assert!((0.9..1.1).contains(&level), "{name}: level {level:.3}");
}
