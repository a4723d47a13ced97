//! `OpenAiTts` asks `/audio/speech`.

use std::{io, path::Path};

use audio::{file, resample::Resampler};
use bytes::{Bytes, BytesMut};
use reqwest::{Response, header::CONTENT_TYPE};
use serde_json::json;

use super::{Api, DEFAULT_BASE_URL, SpeechError, Synthesize, Work};

/// Text to speech by OpenAI, or by a server that speaks like it.
#[derive(Debug, Clone)]
pub struct OpenAiTts {
    api: Api,
    model: String,
    voice: String,
    speed: f64,
}

/// What the service is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechFormat {
    /// A WAV file.
    Wav,
    /// Bare samples at 24 kHz, which can be played as they come.
    Pcm,
}

impl OpenAiTts {
    /// With the model `gpt-4o-mini-tts` and the voice `alloy` of OpenAI itself.
    ///
    /// # Errors
    /// [`SpeechError::EmptyKey`].
    pub fn new(api_key: &str) -> Result<Self, SpeechError> {
        Ok(Self::with_api(Api::new(api_key, DEFAULT_BASE_URL)?))
    }

    /// The same of another service.
    pub fn with_api(api: Api) -> Self {
        Self { api, model: "gpt-4o-mini-tts".to_owned(), voice: "alloy".to_owned(), speed: 1.0 }
    }

    /// With another model.
    pub fn with_model(self, model: &str) -> Self {
        Self { model: model.to_owned(), ..self }
    }

    /// With another voice, and at another speed (0.25 to 4.0), where a call names none.
    pub fn with_voice(self, voice: &str, speed: f64) -> Self {
        Self { voice: voice.to_owned(), speed, ..self }
    }

    /// `text` as a WAV file, which is written to `output` if that is given. `voice` and `speed` (0.25 to 4.0): `None` for
    /// those of this value, `alloy` and 1.0 unless set.
    ///
    /// # Errors
    /// [`SpeechError::EmptyText`] and [`SpeechError::Speed`] before anything is sent; else whatever the service does.
    pub async fn speak(
        &self,
        text: &str,
        output: Option<&Path>,
        voice: Option<&str>,
        speed: Option<f64>,
    ) -> Result<Bytes, SpeechError> {
        let (voice, speed) = (voice.unwrap_or(&self.voice), speed.unwrap_or(self.speed));
        let response = self.ask(text, voice, speed, SpeechFormat::Wav).await?;
        let audio = self.whole(response, BytesMut::new()).await?;
        if let Some(path) = output {
            let (file, bytes) = (path.to_owned(), audio.clone());
            let written = tokio::task::spawn_blocking(move || std::fs::write(file, bytes)).await;
            let written = written.map_err(io::Error::other).and_then(|written| written);
            written.map_err(|error| SpeechError::File { path: path.to_owned(), error })?;
        }
        Ok(audio)
    }

    async fn ask(
        &self,
        text: &str,
        voice: &str,
        speed: f64,
        format: SpeechFormat,
    ) -> Result<Response, SpeechError> {
        if text.trim().is_empty() {
            return Err(SpeechError::EmptyText);
        }
        if !(0.25..=4.0).contains(&speed) {
            return Err(SpeechError::Speed);
        }
        let format = match format {
            SpeechFormat::Wav => "wav",
            SpeechFormat::Pcm => "pcm",
        };
        let body = json!({
            "model": self.model, "input": text, "voice": voice, "speed": speed, "response_format": format
        });
        self.api.post("/audio/speech", |request| Ok(request.json(&body))).await
    }

    /// What is left of an answer, behind what has come of it.
    async fn whole(&self, mut response: Response, mut audio: BytesMut) -> Result<Bytes, SpeechError> {
        while let Some(chunk) = self.api.piece(&mut response).await? {
            if audio.len() + chunk.len() > LONGEST_AUDIO {
                return Err(SpeechError::Answer("more audio than a reply can have".to_owned()));
            }
            audio.extend_from_slice(&chunk);
        }
        Ok(audio.freeze())
    }
}

impl Synthesize for OpenAiTts {
    fn synthesize<'a>(&'a self, text: &'a str) -> Work<'a, Bytes> {
        Box::pin(self.speak(text, None, None, None))
    }

    fn synthesize_in_pieces<'a>(
        &'a self,
        text: &'a str,
        piece: &'a (dyn Fn(Vec<i16>) + Sync),
    ) -> Work<'a, ()> {
        Box::pin(async move {
            let mut response = self.ask(text, &self.voice, self.speed, SpeechFormat::Pcm).await?;
            let first = self.api.piece(&mut response).await?;
            let mut first = BytesMut::from(&first.unwrap_or_default()[..]);
            // A server that is not OpenAI's may send a file whatever it was asked for.
            if is_a_file(&response, &first) {
                let audio = self.whole(response, first).await?;
                let decoded = tokio::task::spawn_blocking(move || file::decode_at(audio, None, 8000)).await;
                let unreadable = |error: &dyn ToString| SpeechError::Answer(error.to_string());
                let pcm = decoded.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
                piece(pcm.samples);
                return Ok(());
            }
            let mut down = Downsampler::new()?;
            loop {
                let samples = down.take(&mut first);
                if !samples.is_empty() {
                    piece(samples);
                }
                match self.api.piece(&mut response).await? {
                    Some(chunk) => first.extend_from_slice(&chunk),
                    None => break,
                }
            }
            piece(down.finish());
            Ok(())
        })
    }
}

fn is_a_file(response: &Response, first: &[u8]) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let by_name = ["wav", "mpeg", "mp3", "flac", "ogg", "aac"].iter().any(|kind| media_type.contains(kind));
    by_name || first.starts_with(b"RIFF") || first.starts_with(b"ID3") || first.starts_with(b"OggS")
}

/// Bytes of 24 kHz to samples of 8 kHz.
struct Downsampler(Resampler);

impl Downsampler {
    fn new() -> Result<Self, SpeechError> {
        Resampler::new(24_000, 8_000).map(Self).map_err(|error| SpeechError::Answer(error.to_string()))
    }

    /// Takes whole samples out of `bytes`.
    fn take(&mut self, bytes: &mut BytesMut) -> Vec<i16> {
        let whole = bytes.split_to(bytes.len() & !1);
        let samples: Vec<i16> = model::audio::samples(&whole).collect();
        let mut out = Vec::with_capacity(samples.len() / 3 + 1);
        self.0.process(&samples, &mut out);
        out
    }

    fn finish(mut self) -> Vec<i16> {
        let mut out = Vec::new();
        self.0.flush(&mut out);
        out
    }
}

/// Ten minutes of a WAV file at 24 kHz.
const LONGEST_AUDIO: usize = 30 << 20;
