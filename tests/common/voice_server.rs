//! `VoiceServer` owns the real binary of the gateway as a child process: started in a folder, read line by line, ended by its
//! id.

use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::relay::read_lines;
use super::temp::TempDir;
use super::{Feed, eventually};

/// Start-up may wait for a busy machine.
const START: Duration = Duration::from_secs(20);

pub struct VoiceServer {
    child: Child,
    lines: Arc<Feed<String>>,
    // Last: the folder goes after the process.
    dir: TempDir,
}

impl VoiceServer {
    /// Starts it in this folder, which is its home as well, with these arguments and no other setting than `settings`.
    pub fn launch(dir: TempDir, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sip-voice-server"));
        command.args(arguments).current_dir(dir.path()).env_clear().env("HOME", dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(settings.iter().copied());
        let mut child = command.spawn().expect("the binary was built for this test");
        let lines = Arc::new(Feed::new());
        read_lines(child.stdout.take().unwrap(), &lines);
        read_lines(child.stderr.take().unwrap(), &lines);
        Self { child, lines, dir }
    }

    pub fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// Where it listens, when it does.
    pub fn address(&self) -> SocketAddr {
        let line = self.expect_log("Voice server started on ");
        let address = line.split("started on ").nth(1).unwrap().split(' ').next().unwrap();
        address.parse().unwrap_or_else(|_| panic!("no address in {line:?}"))
    }

    /// All output lines so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.with(|lines| lines.clone())
    }

    /// Waits for an output line that contains `part` and returns the first one.
    pub fn expect_log(&self, part: &str) -> String {
        let find = |lines: &mut Vec<String>| lines.iter().find(|line| line.contains(part)).cloned();
        let found = self.lines.wait(Instant::now() + START, find);
        found.unwrap_or_else(|| panic!("no log line with {part:?}:\n{}", self.log().join("\n")))
    }

    /// Sends a signal by name (`TERM`, `HUP`).
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// True while the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = eventually(START, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "still running:\n{}", self.log().join("\n"));
        status.unwrap()
    }
}

impl Drop for VoiceServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
