//! `Reader` reads and decodes audio files, on a thread of its own: a long one delays neither a call's audio nor a
//! recording.
//!
//! In: [`ReadFile`]. Out: [`FileRead`]. One after the other; who asks bounds how many wait.

mod sound_file;

use std::path::PathBuf;

use actix::{Actor, Context, Handler};
use tracing::warn;

use super::message::{FileRead, FileSource, ReadFile};

/// See the module's documentation.
pub struct Reader {
    folder: PathBuf,
}

impl Reader {
    /// Files that are asked for by name come from `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl Actor for Reader {
    type Context = Context<Self>;
}

impl Handler<ReadFile> for Reader {
    type Result = ();

    fn handle(&mut self, read: ReadFile, _: &mut Context<Self>) {
        let ReadFile { file, rate, ticket, to } = read;
        let pcm = match file {
            FileSource::Named(name) => sound_file::read(&self.folder, &name, rate),
            FileSource::Whole(data) => sound_file::decode(data, rate),
        };
        let pcm = pcm.inspect_err(|error| warn!(error, "file not played"));
        to.do_send(FileRead { ticket, pcm });
    }
}
