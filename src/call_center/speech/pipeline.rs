//! `VoicePipeline` hears, thinks and speaks: speech to text, chat, text to speech, from file to file.

use std::path::Path;

use bytes::Bytes;

use super::{OpenAiLlm, OpenAiStt, OpenAiTts, SpeechError};

/// The three services together.
#[derive(Debug, Clone)]
pub struct VoicePipeline {
    stt: OpenAiStt,
    llm: OpenAiLlm,
    tts: OpenAiTts,
}

/// What came of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What was said.
    pub text: String,
    /// The reply; empty if nothing was said.
    pub reply: String,
    /// The reply spoken, a WAV file; empty if nothing was said.
    pub audio: Bytes,
}

impl VoicePipeline {
    /// The three together.
    pub fn new(stt: OpenAiStt, llm: OpenAiLlm, tts: OpenAiTts) -> Self {
        Self { stt, llm, tts }
    }

    /// Hears the WAV file `input`, replies, and writes the spoken reply to `output`. `language`: ISO 639-1, `None` for `zh`.
    /// Where nothing was said, nothing is replied and written.
    ///
    /// # Errors
    /// What the first service that fails says.
    pub async fn process(
        &self,
        input: &Path,
        output: &Path,
        language: Option<&str>,
    ) -> Result<Turn, SpeechError> {
        let text = self.stt.transcribe(input, language.unwrap_or("zh")).await?;
        if text.trim().is_empty() {
            return Ok(Turn { text, reply: String::new(), audio: Bytes::new() });
        }
        let reply = self.llm.chat(&text, None).await?;
        let audio = self.tts.speak(&reply, Some(output), None, None).await?;
        Ok(Turn { text, reply, audio })
    }
}
