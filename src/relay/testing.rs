//! What unit tests of the relay share.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A folder that is removed when it is dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("sip-relay-test-{}", super::random::uuid4()));
        fs::create_dir(&path).expect("a folder in the temporary one");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What cannot be removed stays for the operating system to clean.
        let _ = fs::remove_dir_all(&self.0);
    }
}
