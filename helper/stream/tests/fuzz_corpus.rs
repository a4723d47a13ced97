//! The fuzz corpus is replayed on every run: what once made a target fail stays fixed.
#![allow(clippy::disallowed_methods)] // the corpus is a folder of files

use std::fs;
use std::path::Path;

#[path = "fixtures/messages.rs"]
mod messages;

#[test]
fn the_fuzz_corpus_keeps_every_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/stream");
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        messages::everything(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 20, "{files} files in {}", folder.display());
}
