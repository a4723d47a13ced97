//! Audio files that clients ask for by name: from the output folder, never from outside it; and those that they send.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use model::audio::SampleRate;

/// Reads `{folder}/{name}` and brings it to `rate`. The error is for the client.
///
/// `name` is untrusted: it may name a folder inside, but neither it nor a link may lead outside.
pub fn read(folder: &Path, name: &str, rate: SampleRate) -> Result<Arc<[i16]>, String> {
    let missing = || format!("no file {name:?} in the output folder");
    let root = folder.canonicalize().map_err(|_| missing())?;
    let path = root.join(name).canonicalize().map_err(|_| missing())?;
    if !path.starts_with(&root) || !path.is_file() {
        return Err(missing());
    }
    let size = fs::metadata(&path).map_err(|_| missing())?.len();
    if size > MAX_BYTES {
        return Err(format!("file {name:?} is larger than {} MiB", MAX_BYTES >> 20));
    }
    let data = fs::read(&path).map_err(|error| format!("file {name:?}: {error}"))?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    let decoded = audio::file::decode_at(data.into(), extension, rate.hz())
        .map_err(|error| format!("file {name:?}: {error}"))?;
    Ok(decoded.samples.into())
}

/// Decodes a WAV file that came in a message and brings it to `rate`. The error is for the client.
pub fn decode(data: Bytes, rate: SampleRate) -> Result<Arc<[i16]>, String> {
    let decoded = audio::file::decode_at(data, Some("wav"), rate.hz()).map_err(|error| error.to_string())?;
    Ok(decoded.samples.into())
}

const MAX_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::TempDir;

    fn wav(path: &Path, samples: &[i16]) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).expect("created");
        samples.iter().for_each(|&sample| writer.write_sample(sample).expect("written"));
        writer.finalize().expect("finished");
    }

    #[test]
    fn file_inside_is_read_and_brought_to_the_rate() {
        let folder = TempDir::new();
        fs::create_dir(folder.path().join("prompts")).expect("made");
        wav(&folder.path().join("prompts/hello.wav"), &[100; 800]);
        let pcm = read(folder.path(), "prompts/hello.wav", SampleRate::Hz8000).expect("read");
        assert_eq!(pcm[..], [100; 800]);
        let pcm = read(folder.path(), "prompts/hello.wav", SampleRate::Hz16000).expect("read");
        assert_eq!(pcm.len(), 1600);
    }

    #[test]
    fn nothing_outside_the_folder_is_read() {
        let outside = TempDir::new();
        wav(&outside.path().join("secret.wav"), &[1; 160]);
        let folder = TempDir::new();
        let link = folder.path().join("link.wav");
        std::os::unix::fs::symlink(outside.path().join("secret.wav"), &link).expect("linked");
        let absolute = outside.path().join("secret.wav");
        let up = format!("../{}/secret.wav", outside.path().file_name().unwrap().to_str().unwrap());
        for name in [absolute.to_str().unwrap(), &up, "link.wav", "..", "", "none.wav"] {
            let error = read(folder.path(), name, SampleRate::Hz8000).expect_err(name);
            assert!(error.starts_with("no file"), "{error}");
        }
    }
}
