//! The fuzz corpus is replayed on every run: what once made a target fail stays fixed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[path = "fixtures/lines.rs"]
mod lines;

#[test]
fn the_fuzz_corpus_prints_as_it_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/text_protocol");
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        lines::everything(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 40, "{files} files in {}", folder.display());
}
