//! `OpenAiStt` asks `/audio/transcriptions`.

use std::{io, path::Path};

use bytes::Bytes;
use reqwest::multipart::{Form, Part};

use super::{ANY_LANGUAGE, Api, DEFAULT_BASE_URL, SpeechError, Transcribe, Work};

/// Speech to text by OpenAI, or by a server that speaks like it.
#[derive(Debug, Clone)]
pub struct OpenAiStt {
    api: Api,
    model: String,
}

impl OpenAiStt {
    /// With the model `whisper-1` of OpenAI itself.
    ///
    /// # Errors
    /// [`SpeechError::EmptyKey`].
    pub fn new(api_key: &str) -> Result<Self, SpeechError> {
        Ok(Self::with_api(Api::new(api_key, DEFAULT_BASE_URL)?))
    }

    /// With the model `whisper-1` of another service.
    pub fn with_api(api: Api) -> Self {
        Self { api, model: "whisper-1".to_owned() }
    }

    /// With another model.
    pub fn with_model(self, model: &str) -> Self {
        Self { model: model.to_owned(), ..self }
    }

    /// What is said in the WAV file at `path`. `language`: ISO 639-1, `zh` by default elsewhere; `auto` leaves it to the service.
    ///
    /// # Errors
    /// [`SpeechError::FileNotFound`] before anything is sent; else whatever the service does.
    pub async fn transcribe(&self, path: &Path, language: &str) -> Result<String, SpeechError> {
        let file = path.to_owned();
        let read = tokio::task::spawn_blocking(move || std::fs::read(file));
        let wav = match read.await.map_err(io::Error::other).and_then(|read| read) {
            Ok(wav) => wav,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SpeechError::FileNotFound(path.to_owned()));
            }
            Err(error) => return Err(SpeechError::File { path: path.to_owned(), error }),
        };
        self.transcribe_wav(wav.into(), language).await
    }
}

impl Transcribe for OpenAiStt {
    fn transcribe_wav<'a>(&'a self, wav: Bytes, language: &'a str) -> Work<'a, String> {
        Box::pin(async move {
            let response = self
                .api
                .post("/audio/transcriptions", |request| {
                    let file = Part::stream_with_length(wav.clone(), wav.len() as u64)
                        .file_name("audio.wav")
                        .mime_str("audio/wav")
                        .map_err(|error| self.api.connection(&error))?;
                    let form = Form::new()
                        .part("file", file)
                        .text("model", self.model.clone())
                        .text("response_format", "json");
                    let known = Some(language).filter(|language| *language != ANY_LANGUAGE);
                    let form = known.map(str::to_owned).into_iter().fold(form, |f, l| f.text("language", l));
                    Ok(request.multipart(form))
                })
                .await?;
            let body = self.api.text(response).await?;
            let json: Option<serde_json::Value> = serde_json::from_str(&body).ok();
            let text = json.as_ref().and_then(|json| json.get("text")?.as_str());
            text.map(str::to_owned).ok_or_else(|| SpeechError::Answer(self.api.said(&body)))
        })
    }
}
