//! The fuzz corpus is replayed on every run: what once made a target fail stays fixed.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods)] // the corpus is a folder of files

use std::fs;
use std::path::Path;

#[path = "fixtures/talk.rs"]
mod talk;
#[path = "fixtures/touch.rs"]
mod touch;

#[test]
fn no_datagram_of_the_corpus_panics() {
    replay("sip_datagram", 19, touch::everything);
}

#[test]
fn no_session_description_of_the_corpus_breaks_a_call() {
    replay("sdp", 40, talk::everything);
}

/// Runs what is in the target's folder, which is not empty by mistake.
fn replay(target: &str, at_least: usize, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        run(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= at_least, "{files} files in {}", folder.display());
}
