//! Recordings as a test looks at them: which there are, what is inside, whether it is what was sent.

use std::path::{Path, PathBuf};

/// The WAV files of a folder, in order of name.
pub fn list(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).map(|e| e.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    let mut files: Vec<PathBuf> = entries;
    files.retain(|p| p.extension().is_some_and(|e| e == "wav"));
    files.sort();
    files
}

/// Reads a WAV file of 16-bit samples: rate, channels, samples.
pub fn read(path: &Path) -> (u32, u16, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    assert_eq!(spec.bits_per_sample, 16, "{}", path.display());
    (spec.sample_rate, spec.channels, reader.samples::<i16>().map(Result::unwrap).collect())
}

/// Reads a recording as the relay makes them by default: mono, 8 kHz.
pub fn read_mono_8k(path: &Path) -> Vec<i16> {
    let (rate, channels, pcm) = read(path);
    assert_eq!((rate, channels), (8000, 1), "{}", path.display());
    pcm
}

/// How a recording relates to what was sent, in samples.
#[derive(Debug, PartialEq, Eq)]
pub struct Match {
    /// Silence before the first recorded sample of the signal.
    pub lead: usize,
    /// Sent samples that are missing before that one.
    pub skipped: usize,
    /// Samples from there on that are exactly those sent.
    pub equal: usize,
    /// What follows in the recording.
    pub tail: usize,
}

/// Finds where the recording's first 20 ms that are not silent are in `sent`, and counts how far the two are equal from
/// there, sample by sample. `None` when those 20 ms do not occur.
pub fn compare(sent: &[i16], recorded: &[i16]) -> Option<Match> {
    let lead = recorded.iter().position(|&s| s != 0)?;
    let head = recorded.get(lead..lead + 160)?;
    let skipped = sent.windows(head.len()).position(|w| w == head)?;
    let equal = sent[skipped..].iter().zip(&recorded[lead..]).take_while(|(a, b)| a == b).count();
    Some(Match { lead, skipped, equal, tail: recorded.len() - lead - equal })
}

/// A signal without repetition, made of µ-law values so that G.711 carries it unchanged: `seconds` at 8 kHz.
pub fn unrepeated_ulaw(seed: u64, seconds: usize) -> Vec<u8> {
    let mut rng = testkit::rng::Rng::new(seed);
    // The negative zero would come back as the positive one; nothing else is lost.
    (0..seconds * 8000).map(|_| rng.below(256) as u8).map(|b| if b == 0x7f { 0xff } else { b }).collect()
}
