//! The documented round trip: the caller's audio to a WAV file, to text, to a reply, to speech, to PCM.
//!
//! In: PCM at 8 kHz. Out: the same. Its two files are gone when it is over, however that came about.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    sync::Arc,
};

use audio::file;
use bytes::Bytes;

use super::{
    desk::{JobError, Service, Services},
    speech::{ChatMessage, Role, SpeechError},
};
use crate::relay::uuid4;

/// Answers `pcm` (8 kHz); empty where nothing was said.
///
/// # Errors
/// [`JobError`] of the first service that fails.
pub async fn run(services: &Services, pcm: Arc<[i16]>) -> Result<Vec<i16>, JobError> {
    let at = |service| move |error| JobError { service, error };
    let name = format!("{}.wav", uuid4());

    let question = TempFile::new(services.output_dir.join("convented").join(&name));
    let wav = blocking(move || question.write(&wav(&pcm)?)).await.map_err(at(Service::Transcription))?;
    let text = services.stt.transcribe_wav(wav.bytes.clone(), &services.language).await;
    drop(wav);
    let text = text.map_err(at(Service::Transcription))?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }

    let messages = [
        ChatMessage { role: Role::System, text: services.system_prompt.clone() },
        ChatMessage { role: Role::User, text },
    ];
    let reply = services.llm.reply(&messages).await.map_err(at(Service::Chat))?;
    let speech = services.tts.synthesize(&reply).await.map_err(at(Service::Speech))?;

    let answer = TempFile::new(services.output_dir.join("response").join(&name));
    let decoded = blocking(move || {
        let answer = answer.write(&speech)?;
        // The contents decide: a service may send another format than it was asked for.
        file::decode_at(answer.bytes.clone(), None, 8000)
            .map_err(|error| SpeechError::Answer(error.to_string()))
    });
    Ok(decoded.await.map_err(at(Service::Speech))?.samples)
}

/// A whole WAV file of mono 16-bit 8 kHz.
pub(super) fn wav(pcm: &[i16]) -> Result<Bytes, SpeechError> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::with_capacity(pcm.len() * 2 + 44));
    let write = |bytes: &mut Cursor<Vec<u8>>| -> Result<(), hound::Error> {
        let mut writer = hound::WavWriter::new(bytes, spec)?;
        let mut samples = writer.get_i16_writer(u32::try_from(pcm.len()).unwrap_or(u32::MAX));
        pcm.iter().for_each(|&sample| samples.write_sample(sample));
        samples.flush()?;
        writer.finalize()
    };
    write(&mut bytes).map_err(|error| SpeechError::Answer(error.to_string()))?;
    Ok(bytes.into_inner().into())
}

/// Runs `work` where it may block. It goes on if this is dropped, so it owns the files that it writes.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpeechError> + Send + 'static,
) -> Result<T, SpeechError> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|panic| Err(SpeechError::Answer(panic.to_string())))
}

/// A file that goes when this goes.
struct TempFile(PathBuf);

/// One that is there, and what is in it.
struct Written {
    bytes: Bytes,
    _file: TempFile,
}

impl TempFile {
    fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn write(self, bytes: &Bytes) -> Result<Written, SpeechError> {
        match fs::write(&self.0, bytes) {
            Ok(()) => Ok(Written { bytes: bytes.clone(), _file: self }),
            Err(error) => Err(SpeechError::File { path: self.0.clone(), error }),
        }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        // It may never have been written.
        let _ = fs::remove_file(path);
    }
}
