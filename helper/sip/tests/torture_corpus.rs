//! The fuzz corpus is replayed on every run: what once made a target fail stays fixed.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods)] // the corpus is a folder of files

use std::fs;
use std::path::Path;

#[path = "fixtures/touch.rs"]
mod touch;

#[test]
fn the_fuzz_corpus_does_not_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sip_datagram");
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        touch::everything(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 19, "{files} files in {}", folder.display());
}
