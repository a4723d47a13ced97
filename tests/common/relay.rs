//! `Relay` owns the real binary as a child process: started on free ports, read line by line, ended by its id.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::temp::TempDir;
use super::{Feed, WAIT, eventually, free_ports};

/// Start-up may wait for a busy machine; nothing else does.
const START: Duration = Duration::from_secs(20);

pub struct Relay {
    child: Child,
    lines: Arc<Feed<String>>,
    sip: SocketAddr,
    ws: SocketAddr,
    rtp: (u16, u16),
    // Last: the folder goes after the process.
    dir: TempDir,
}

impl Relay {
    /// Starts the relay in a folder of its own, on loopback, with free ports (SIP, WebSocket, and ten calls' RTP) and no
    /// other setting than `settings`, which win.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(TempDir::new("relay"), settings)
    }

    /// The same in a folder that the test has prepared.
    pub fn start_in(dir: TempDir, settings: &[(&str, &str)]) -> Self {
        let given = |name: &str| settings.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let start = given("RTP_PORT_START").unwrap_or_else(|| free_ports(40).to_string());
        let rtp_start: u16 = start.parse().unwrap();
        let end = given("RTP_PORT_END").unwrap_or_else(|| (rtp_start + 39).to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_main"));
        command
            .current_dir(dir.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.envs(["PATH", "HOME", "TZ"].iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
        command.envs([
            ("SIP_LOCAL_IP", "127.0.0.1"),
            ("SIP_LOCAL_PORT", "0"),
            ("WS_HOST", "127.0.0.1"),
            ("WS_PORT", "0"),
            ("RTP_PORT_START", &start),
            ("RTP_PORT_END", &end),
        ]);
        command.envs(settings.iter().copied());
        let mut child = command.spawn().expect("the relay binary was built for this test");
        let lines = Arc::new(Feed::new());
        read_lines(child.stdout.take().unwrap(), &lines);
        read_lines(child.stderr.take().unwrap(), &lines);
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut relay =
            Self { child, lines, sip: unknown, ws: unknown, rtp: (rtp_start, end.parse().unwrap()), dir };
        relay.sip = relay.started("SIP Server started on ");
        relay.ws = relay.started("WebSocket Server started on ");
        relay
    }

    /// Where SIP is.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where HTTP and WebSocket are.
    pub fn ws(&self) -> SocketAddr {
        self.ws
    }

    /// First and last port of the RTP range.
    pub fn rtp_range(&self) -> (u16, u16) {
        self.rtp
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder it runs in.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Where it records to, unless the test set another place.
    pub fn recordings(&self) -> PathBuf {
        self.dir.path().join("recording")
    }

    /// All output lines so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.with(|lines| lines.clone())
    }

    /// Waits for an output line that contains `part` and returns the first one.
    pub fn expect_log(&self, part: &str) -> String {
        self.wait_log(part, WAIT).unwrap_or_else(|| self.fail(&format!("no log line with {part:?}")))
    }

    fn wait_log(&self, part: &str, timeout: Duration) -> Option<String> {
        self.lines.wait(Instant::now() + timeout, |lines| lines.iter().find(|l| l.contains(part)).cloned())
    }

    fn started(&mut self, words: &str) -> SocketAddr {
        let Some(line) = self.wait_log(words, START) else {
            self.fail(&format!("no line {words:?} within {START:?}"))
        };
        let rest = line.split(words).nth(1).unwrap();
        let part_of_address = |c: &char| c.is_ascii_hexdigit() || ".:[]".contains(*c);
        let address: String = rest.chars().take_while(part_of_address).collect();
        address.parse().unwrap_or_else(|_| panic!("no address in {line:?}"))
    }

    /// True while the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM; the relay ends its calls and exits.
    pub fn signal_terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by name (`TERM`, `INT`, `KILL`, `STOP`, `CONT`). Through the shell, whose `kill` is always there.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status().unwrap();
        assert!(status.success(), "no process {} to signal", self.pid());
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal_terminate();
        self.wait_exit(Duration::from_secs(15))
    }

    /// Waits until the process has ended.
    pub fn wait_exit(&mut self, timeout: Duration) -> ExitStatus {
        let mut status = None;
        if !eventually(timeout, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        }) {
            self.fail(&format!("still running {timeout:?} after it was told to end"));
        }
        status.unwrap()
    }

    /// Number of open file descriptors (Linux).
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The UDP ports that it has bound, on any address (Linux).
    pub fn udp_ports(&self) -> Vec<u16> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let open: HashSet<String> = files
            .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
            .filter_map(|to| Some(to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let tables = ["udp", "udp6"].map(|table| std::fs::read_to_string(format!("/proc/net/{table}")));
        let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields.get(9).is_some_and(|inode| open.contains(*inode)))
            .map(|fields| u16::from_str_radix(fields[1].rsplit(':').next().unwrap(), 16).unwrap())
            .collect()
    }

    /// Resident memory in KiB (Linux).
    pub fn resident_kib(&self) -> u64 {
        resident_kib(self.pid())
    }

    /// The most that was ever resident, KiB (Linux).
    pub fn peak_resident_kib(&self) -> u64 {
        memory(self.pid(), "VmHWM:")
    }

    fn fail(&self, what: &str) -> ! {
        let log = self.log();
        panic!("{what}; last output of the relay:\n{}", log[log.len().saturating_sub(40)..].join("\n"));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("last output of the relay:\n{}", log[log.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Resident memory of a process in KiB (Linux).
pub fn resident_kib(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// Feeds every line of `stream` to `lines`, on a thread of its own.
pub fn read_lines(stream: impl Read + Send + 'static, lines: &Arc<Feed<String>>) {
    let lines = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { break };
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
    });
}
