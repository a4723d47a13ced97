//! To and from the threads that read and write files.

use std::sync::Arc;

use actix::{Message, Recipient};
use bytes::Bytes;
use model::{audio::SampleRate, id::CallId};

// ---- RtpSession, Call → Recorder --------------------------------------------------------------------------------

/// A stretch of a call's audio. The first one opens `{RECORDING_DIR}/YYYYmmdd_HHMMSS_{first 8 of the call id}.wav`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct RecordAudio {
    /// Which call.
    pub call: CallId,
    /// Where the stretch begins, in samples at 8 kHz since the recording began. What lies before and was not sent is silence.
    pub position: u64,
    /// 1: the caller; 2: the caller and the agent in turn. The same for the whole call.
    pub channels: u16,
    /// 8 kHz.
    pub samples: Vec<i16>,
}

/// Complete the recording on disk, then say so.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct FinishRecording {
    /// Which call.
    pub call: CallId,
    /// Who waits.
    pub done: Option<Recipient<RecordingDone>>,
}

/// Read and decode an audio file. To the reader.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ReadFile {
    /// Which.
    pub file: FileSource,
    /// The rate to bring it to.
    pub rate: SampleRate,
    /// Comes back with the answer.
    pub ticket: u64,
    /// Who wants it.
    pub to: Recipient<FileRead>,
}

/// An audio file of a client.
#[derive(Debug)]
pub enum FileSource {
    /// In the output folder, as the client typed it: untrusted.
    Named(String),
    /// A WAV file that came in one message.
    Whole(Bytes),
}

/// Read and decode the greeting, unless it is in memory and unchanged on disk.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ReadGreeting {
    /// Who wants it.
    pub to: Recipient<GreetingRead>,
}

// ---- Recorder → Call --------------------------------------------------------------------------------------------

/// The recording is complete on disk, or there was nothing to record.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct RecordingDone;

/// The answer to [`ReadFile`].
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct FileRead {
    /// Of the question.
    pub ticket: u64,
    /// The audio, mono; or why there is none, for the client.
    pub pcm: Result<Arc<[i16]>, String>,
}

/// The greeting, 8 kHz mono. Not sent when there is none.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct GreetingRead(pub Arc<[i16]>);
