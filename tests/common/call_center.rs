//! `CallCenter` owns the real binary of the call center as a child process: started in a folder, read line by line, ended
//! by its id.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::relay::{read_lines, resident_kib};
use super::temp::TempDir;
use super::{Feed, WAIT, eventually};

pub struct CallCenter {
    child: Child,
    lines: Arc<Feed<String>>,
    // Last: the folder goes after the process.
    dir: TempDir,
}

impl CallCenter {
    /// Starts it in a folder of its own, for a relay at `ws`, with no other setting than `settings`; it is connected.
    pub fn start(ws: SocketAddr, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let center = Self::launch(ws, arguments, settings);
        center.expect_log("connected to the relay");
        center
    }

    /// The same without waiting for anything.
    pub fn launch(ws: SocketAddr, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let dir = TempDir::new("call-center");
        let mut command = Command::new(env!("CARGO_BIN_EXE_call_center"));
        command.args(arguments).current_dir(dir.path()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(["PATH", "HOME", "TZ"].iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
        command.env("WS_URL", format!("ws://{ws}")).envs(settings.iter().copied());
        let mut child = command.spawn().expect("the binary was built for this test");
        let lines = Arc::new(Feed::new());
        read_lines(child.stdout.take().unwrap(), &lines);
        read_lines(child.stderr.take().unwrap(), &lines);
        Self { child, lines, dir }
    }

    /// The folder it runs in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What is in `output/{folder}`.
    pub fn output_files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir().join("output").join(folder)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Resident memory in KiB (Linux).
    pub fn resident_kib(&self) -> u64 {
        resident_kib(self.child.id())
    }

    /// Number of open file descriptors (Linux).
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// All output lines so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.with(|lines| lines.clone())
    }

    /// Waits for an output line that contains `part` and returns the first one.
    pub fn expect_log(&self, part: &str) -> String {
        self.expect_log_within(part, Duration::from_secs(15))
    }

    pub fn expect_log_within(&self, part: &str, timeout: Duration) -> String {
        let find = |lines: &mut Vec<String>| lines.iter().find(|line| line.contains(part)).cloned();
        let found = self.lines.wait(Instant::now() + timeout, find);
        found.unwrap_or_else(|| panic!("no log line with {part:?}:\n{}", self.log().join("\n")))
    }

    /// Lines with `part` so far.
    pub fn count_log(&self, part: &str) -> usize {
        self.log().iter().filter(|line| line.contains(part)).count()
    }

    /// Sends a signal by name (`TERM`, `INT`).
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits until it has ended.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = eventually(WAIT, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "still running:\n{}", self.log().join("\n"));
        status.unwrap()
    }
}

impl Drop for CallCenter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log[log.len().saturating_sub(40)..].join("\n");
            eprintln!("last output of the call center:\n{tail}");
        }
    }
}
