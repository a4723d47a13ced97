//! What unit tests of the relay share.

use std::{
    fs,
    path::{Path, PathBuf},
};

use actix::{Actor, Context, Handler};

use super::message::{AgentOrder, CallCommand, Connect, Disconnect, Listen, PlaceCall, TransferCall};

/// Stands in for the switchboard and for the actors of a call; it hears nothing.
pub struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

macro_rules! ignores {
    ($($message:ty),*) => {$(
        impl Handler<$message> for Nobody {
            type Result = ();

            fn handle(&mut self, _: $message, _: &mut Context<Self>) {}
        }
    )*};
}
ignores!(CallCommand, AgentOrder, Listen, Connect, Disconnect, PlaceCall, TransferCall);

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
