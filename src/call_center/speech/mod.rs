//! Speech to text, chat, and text to speech: three traits, and the services of OpenAI and their like behind them.
//!
//! In: WAV files, messages, texts. Out: texts, pieces of replies, audio. Knows nothing of calls and of the relay.
//!
//! | type | asks |
//! |---|---|
//! | [`OpenAiStt`] | `/audio/transcriptions` |
//! | [`OpenAiLlm`] | `/chat/completions` |
//! | [`OpenAiTts`] | `/audio/speech` |
//! | [`VoicePipeline`] | the three, one after the other, from file to file |

mod api;
mod error;
mod llm;
mod pipeline;
mod sse;
mod stt;
mod tts;

use std::pin::Pin;

use bytes::Bytes;

pub use self::{
    api::{Api, DEFAULT_BASE_URL, Retries},
    error::SpeechError,
    llm::OpenAiLlm,
    pipeline::{Turn, VoicePipeline},
    stt::OpenAiStt,
    tts::{OpenAiTts, SpeechFormat},
};

/// The language that a service is to find out itself.
pub const ANY_LANGUAGE: &str = "auto";

/// Work that takes its time; dropping it ends it.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, SpeechError>> + Send + 'a>>;

/// Speech to text.
pub trait Transcribe: Send + Sync {
    /// What is said in `wav`, a whole WAV file. `language`: ISO 639-1, or [`ANY_LANGUAGE`].
    fn transcribe_wav<'a>(&'a self, wav: Bytes, language: &'a str) -> Work<'a, String>;
}

/// A chat model.
pub trait Reply: Send + Sync {
    /// The reply to `messages` as a whole.
    fn reply<'a>(&'a self, messages: &'a [ChatMessage]) -> Work<'a, String>;

    /// The reply in pieces as they come, with `tools` to call. Gives the calls of tools at the end.
    fn reply_in_pieces<'a>(
        &'a self,
        messages: &'a [ChatMessage],
        tools: &'a [Tool],
        piece: &'a (dyn Fn(&str) + Sync),
    ) -> Work<'a, Vec<ToolCall>>;
}

/// Text to speech.
pub trait Synthesize: Send + Sync {
    /// `text` as a whole audio file, in a format that [`audio::file`] reads.
    fn synthesize<'a>(&'a self, text: &'a str) -> Work<'a, Bytes>;

    /// `text` as PCM at 8 kHz, in pieces as they come.
    fn synthesize_in_pieces<'a>(
        &'a self,
        text: &'a str,
        piece: &'a (dyn Fn(Vec<i16>) + Sync),
    ) -> Work<'a, ()>;
}

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The caller.
    User,
    /// The model.
    Assistant,
}

/// Something that the model can do besides talking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// Its only argument, a text, and what that is; `None` = it has none.
    pub argument: Option<(&'static str, &'static str)>,
}

/// The model wants something done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// The value of its argument; empty where it has none.
    pub argument: String,
}
