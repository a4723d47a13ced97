//! One recording: 16-bit 8 kHz WAV of one channel or more, written as it comes, gaps as silence.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use hound::{SampleFormat, WavSpec, WavWriter};
use jiff::Zoned;

/// An open recording. Dropping it completes the header too; [`WavFile::finish`] also says whether that worked.
pub struct WavFile {
    writer: WavWriter<BufWriter<File>>,
    path: PathBuf,
    channels: u16,
    /// Samples of all channels.
    written: u64,
}

impl WavFile {
    /// Creates `{folder}/YYYYmmdd_HHMMSS_{stem}.wav` (local time), or the same with `_2`, `_3`, ... where that exists.
    pub fn create(folder: &Path, stem: &str, channels: u16) -> Result<Self, hound::Error> {
        let base = format!("{}_{stem}", Zoned::now().strftime("%Y%m%d_%H%M%S"));
        let (file, path) = create_new(folder, &base)?;
        let writer = WavWriter::new(BufWriter::new(file), WavSpec { channels, ..SPEC })?;
        Ok(Self { writer, path, channels, written: 0 })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes samples, those of the channels in turn, at a position in samples of one channel since the beginning. What was
    /// skipped becomes silence; what lies before the end of the file is already written and is left out.
    pub fn write_at(&mut self, position: u64, samples: &[i16]) -> Result<(), hound::Error> {
        let position = position * u64::from(self.channels);
        while self.written < position {
            let gap = (position - self.written).min(SILENCE.len() as u64);
            self.append(&SILENCE[..gap as usize])?;
        }
        let known = (self.written - position).min(samples.len() as u64);
        self.append(&samples[known as usize..])
    }

    fn append(&mut self, samples: &[i16]) -> Result<(), hound::Error> {
        let mut block = self.writer.get_i16_writer(samples.len() as u32);
        for &sample in samples {
            block.write_sample(sample);
        }
        block.flush()?;
        self.written += samples.len() as u64;
        Ok(())
    }

    /// Makes the file on disk complete up to here.
    pub fn flush(&mut self) -> Result<(), hound::Error> {
        self.writer.flush()
    }

    /// Completes the file.
    pub fn finish(self) -> Result<(), hound::Error> {
        self.writer.finalize()
    }
}

fn create_new(folder: &Path, base: &str) -> io::Result<(File, PathBuf)> {
    let names =
        std::iter::once(format!("{base}.wav")).chain((2..=MAX_SAME_NAME).map(|n| format!("{base}_{n}.wav")));
    for name in names {
        let path = folder.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (file, path)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

const SPEC: WavSpec =
    WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
const SILENCE: [i16; 8000] = [0; 8000];
/// Calls of one second whose ids begin alike.
const MAX_SAME_NAME: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::TempDir;

    fn samples(path: &Path) -> Vec<i16> {
        let mut reader = hound::WavReader::open(path).expect("a WAV file");
        assert_eq!(reader.spec(), SPEC);
        reader.samples().map(|sample| sample.expect("a sample")).collect()
    }

    #[test]
    fn gap_is_silence_and_overlap_is_not_written_twice() {
        let folder = TempDir::new();
        let mut file = WavFile::create(folder.path(), "abc", 1).expect("created");
        file.write_at(0, &[1, 2]).expect("written");
        file.write_at(4, &[5, 6]).expect("written");
        file.write_at(5, &[6, 7]).expect("written");
        let path = file.path().to_owned();
        file.finish().expect("finished");
        assert_eq!(samples(&path), [1, 2, 0, 0, 5, 6, 7]);
    }

    #[test]
    fn positions_of_two_channels_count_pairs() {
        let folder = TempDir::new();
        let mut file = WavFile::create(folder.path(), "abc", 2).expect("created");
        file.write_at(1, &[1, 2]).expect("written");
        file.write_at(3, &[3, 4]).expect("written");
        let path = file.path().to_owned();
        file.finish().expect("finished");
        let mut reader = hound::WavReader::open(path).expect("a WAV file");
        assert_eq!(reader.spec().channels, 2);
        let samples: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample")).collect();
        assert_eq!(samples, [0, 0, 1, 2, 0, 0, 3, 4]);
    }

    #[test]
    fn flushed_file_can_be_read_while_it_is_still_written() {
        let folder = TempDir::new();
        let mut file = WavFile::create(folder.path(), "abc", 1).expect("created");
        file.write_at(0, &[7; 160]).expect("written");
        file.flush().expect("flushed");
        assert_eq!(samples(file.path()), [7; 160]);
    }

    #[test]
    fn calls_with_the_same_name_get_files_of_their_own() {
        let folder = TempDir::new();
        let files: Vec<_> =
            (0..3).map(|_| WavFile::create(folder.path(), "same", 1).expect("created")).collect();
        let paths: std::collections::HashSet<_> = files.iter().map(|file| file.path().to_owned()).collect();
        assert_eq!(paths.len(), 3);
    }
}
