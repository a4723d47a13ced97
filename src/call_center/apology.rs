//! What callers hear when a service is down and no voice can be had from one: a recording.
//!
//! In: the settings. Out: PCM at 8 kHz, decoded once at start.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::Duration,
};

use audio::file::{self, DecodeError, Limits};
use bytes::Bytes;

use super::StartError;
use crate::config::CallCenterConfig;

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is no audio that we can decode, or too long.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It has no sound in it.
    #[error("it is silent")]
    Silent,
}

/// The recording that the settings name, or else our own in the callers' language: Chinese for `zh`, English for any other.
///
/// # Errors
/// [`StartError::Recording`] where the file cannot be played.
pub(super) fn load(config: &CallCenterConfig) -> Result<Arc<[i16]>, StartError> {
    match &config.apology_file {
        Some(path) => read(path).map_err(|error| StartError::Recording { path: path.clone(), error }),
        None => Ok(own(&config.language)),
    }
}

fn read(path: &Path) -> Result<Arc<[i16]>, RecordingError> {
    let hint = path.extension().and_then(|extension| extension.to_str());
    let mut data = Vec::new();
    // One byte more than is allowed, so that the decoder refuses it.
    File::open(path)?.take(LIMITS.bytes as u64 + 1).read_to_end(&mut data)?;
    let pcm = file::decode_within(data.into(), hint, Some(8000), LIMITS)?.samples;
    if pcm.iter().all(|sample| sample.unsigned_abs() < AUDIBLE) {
        return Err(RecordingError::Silent);
    }
    Ok(pcm.into())
}

/// Our own: "Sorry, I cannot answer right now.", made with espeak-ng.
fn own(language: &str) -> Arc<[i16]> {
    let wav: &'static [u8] = match language {
        "zh" => include_bytes!("apology/zh.wav"),
        _ => include_bytes!("apology/en.wav"),
    };
    let pcm = file::decode_at(Bytes::from_static(wav), Some("wav"), 8000);
    pcm.expect("our own recording can be decoded").samples.into()
}

/// A minute of anything that may lie about.
const LIMITS: Limits = Limits { bytes: 16 << 20, duration: Duration::from_secs(60) };
/// The least sample that is heard on a telephone line.
const AUDIBLE: u16 = 100;

#[cfg(test)]
mod tests {
    use std::fs;

    use testkit::tone::rms;

    use super::*;

    #[test]
    fn our_own_recordings_are_audible_and_short() {
        for language in ["zh", "en", "fr"] {
            let pcm = own(language);
            assert!((1500..4000).contains(&(pcm.len() / 8)), "{language}: {} ms", pcm.len() / 8);
            assert!(rms(&pcm) > 1000.0, "{language}: {}", rms(&pcm));
        }
        assert_ne!(own("zh"), own("fr"));
        assert_eq!(own("en"), own("fr"));
    }

    #[test]
    fn file_that_cannot_be_played_is_named_with_the_reason() {
        let folder = std::env::temp_dir().join(format!("apology-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let refused = |name: &str, content: Option<&[u8]>| {
            let path = folder.join(name);
            if let Some(content) = content {
                fs::write(&path, content).expect("a file");
            }
            let config =
                CallCenterConfig { apology_file: Some(path), ..CallCenterConfig::documented("l".into()) };
            let text = load(&config).expect_err("it cannot be played").to_string();
            text.rsplit_once(&format!("/{name} (CALL_CENTER_APOLOGY_FILE): ")).expect(&text).1.to_owned()
        };
        assert_eq!(refused("none.wav", None), "No such file or directory (os error 2)");
        assert_eq!(refused("noise.wav", Some(b"noise")), "unknown audio format");
        let silence = super::super::round_trip::wav(&[0; 8000]).expect("a WAV file");
        assert_eq!(refused("silence.wav", Some(&silence)), "it is silent");
        fs::remove_dir_all(&folder).expect("ours");
    }
}
