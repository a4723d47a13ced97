//! `Recorder` owns the recordings, and reads the greeting; it has a thread of its own, so the disk delays nobody.
//!
//! In: [`RecordAudio`], [`FinishRecording`], [`ReadGreeting`]. Out: WAV files, [`RecordingDone`], [`GreetingRead`].
//! Knows nothing of RTP or of the state of a call.

pub mod cleanup;
mod greeting;
mod wav_file;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use actix::{Actor, Context, Handler, Recipient};
use model::id::CallId;
use tracing::{info, warn};

use self::{greeting::Greeting, wav_file::WavFile};
use super::message::{FinishRecording, GreetingRead, ReadFile, ReadGreeting, RecordAudio, RecordingDone};
use crate::metrics::{Metrics, Present};

/// How others reach the recorder.
#[derive(Debug, Clone)]
pub struct RecorderPort {
    /// Audio; bounded: clone once per call.
    pub audio: Recipient<RecordAudio>,
    /// The end of a recording.
    pub finish: Recipient<FinishRecording>,
    /// The greeting.
    pub greeting: Recipient<ReadGreeting>,
    /// Files to play, which are the [`Reader`](super::reader::Reader)'s.
    pub files: Recipient<ReadFile>,
}

/// See the module's documentation.
pub struct Recorder {
    folder: PathBuf,
    greeting: Greeting,
    /// `None`: the file could not be written, which was said once; the call goes on without.
    open: HashMap<CallId, Option<Open>>,
    metrics: Arc<Metrics>,
}

/// A recording that is being written.
struct Open {
    file: WavFile,
    _present: Present,
}

impl Recorder {
    /// Recordings go to `folder`; the greeting, if there is one, is `greeting`.
    pub fn new(folder: PathBuf, greeting: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self { folder, greeting: Greeting::new(greeting), open: HashMap::new(), metrics }
    }

    fn create(&self, call: &CallId, channels: u16) -> Option<Open> {
        let recordings = &self.metrics.recordings;
        match WavFile::create(&self.folder, &call.file_stem(ID_IN_NAME), channels) {
            Ok(file) => {
                info!(call_id = %call, file = %file.path().display(), "recording");
                recordings.started.inc();
                Some(Open { file, _present: Present::new(&recordings.open) })
            }
            Err(error) => {
                recordings.failed.inc();
                warn!(call_id = %call, %error, "call is not recorded");
                None
            }
        }
    }
}

impl Actor for Recorder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<RecordAudio> for Recorder {
    type Result = ();

    fn handle(&mut self, audio: RecordAudio, _: &mut Context<Self>) {
        if !self.open.contains_key(&audio.call) {
            let file = self.create(&audio.call, audio.channels);
            self.open.insert(audio.call.clone(), file);
        }
        let Some(slot) = self.open.get_mut(&audio.call) else { return };
        // Each half-second batch goes to the disk with its header: a killed process loses less than a second.
        let written = slot.as_mut().map_or(Ok(()), |open| {
            open.file.write_at(audio.position, &audio.samples)?;
            open.file.flush()
        });
        if let Err(error) = written {
            self.metrics.recordings.failed.inc();
            warn!(call_id = %audio.call, %error, "recording ends here");
            *slot = None;
        }
    }
}

impl Handler<FinishRecording> for Recorder {
    type Result = ();

    fn handle(&mut self, finish: FinishRecording, _: &mut Context<Self>) {
        let open = self.open.remove(&finish.call).flatten();
        if let Some(Err(error)) = open.map(|open| open.file.finish()) {
            self.metrics.recordings.failed.inc();
            warn!(call_id = %finish.call, %error, "recording not completed");
        }
        if let Some(done) = finish.done {
            done.do_send(RecordingDone);
        }
    }
}

impl Handler<ReadGreeting> for Recorder {
    type Result = ();

    fn handle(&mut self, read: ReadGreeting, _: &mut Context<Self>) {
        if let Some(pcm) = self.greeting.read() {
            read.to.do_send(GreetingRead(pcm));
        }
    }
}

/// Characters of the call id in a file's name.
const ID_IN_NAME: usize = 8;
/// Half-second batches that may wait for the disk, beyond one per call.
const MAILBOX: usize = 64;
