//! The greeting file, decoded once and again when it changes.

use std::{fs, io, path::PathBuf, sync::Arc, time::SystemTime};

use tracing::{info, warn};

/// An audio file that may or may not be there.
pub struct Greeting {
    path: PathBuf,
    /// As of this modification time; `None` for a file that cannot be decoded.
    cached: Option<(SystemTime, Option<Arc<[i16]>>)>,
}

impl Greeting {
    pub fn new(path: PathBuf) -> Self {
        Self { path, cached: None }
    }

    /// The greeting at 8 kHz mono; `None` when there is no file, or none that can be decoded (said once per change).
    pub fn read(&mut self) -> Option<Arc<[i16]>> {
        let modified = match fs::metadata(&self.path).and_then(|meta| meta.modified()) {
            Ok(modified) => modified,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(file = %self.path.display(), %error, "greeting not read");
                }
                self.cached = None;
                return None;
            }
        };
        match &self.cached {
            Some((as_of, pcm)) if *as_of == modified => pcm.clone(),
            _ => {
                let pcm = self.decode();
                self.cached = Some((modified, pcm.clone()));
                pcm
            }
        }
    }

    fn decode(&self) -> Option<Arc<[i16]>> {
        let extension = self.path.extension().and_then(|extension| extension.to_str());
        let decoded = fs::read(&self.path).map_err(|error| error.to_string()).and_then(|data| {
            audio::file::decode_at(data.into(), extension, RATE).map_err(|error| error.to_string())
        });
        match decoded {
            Ok(pcm) => {
                let seconds = pcm.samples.len() as f32 / RATE as f32;
                info!(file = %self.path.display(), seconds, "greeting loaded");
                Some(pcm.samples.into())
            }
            Err(error) => {
                warn!(file = %self.path.display(), error, "greeting cannot be played");
                None
            }
        }
    }
}

const RATE: u32 = 8000;
