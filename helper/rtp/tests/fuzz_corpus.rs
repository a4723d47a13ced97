//! The fuzz corpus is replayed on every run: what once made a target fail stays fixed.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "the corpus is a folder of files")]

use std::fs;
use std::path::Path;

#[path = "fixtures/drive.rs"]
mod drive;

#[test]
fn the_fuzz_corpus_breaks_no_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/rtp");
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        drive::everything(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 10, "{files} files in {}", folder.display());
}
