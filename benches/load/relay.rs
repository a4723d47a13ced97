//! `Relay` owns the relay as a child process: pinned, in a folder of its own, its output read and its totals added up.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::generator::Addresses;
use crate::options::Options;
use crate::usage::Usage;

/// Addresses of their own, so that a thousand ports disturb nothing else on this machine.
pub const RELAY_IP: &str = "127.0.0.10";

pub struct Relay {
    child: Child,
    pub addresses: Addresses,
    pub usage: Usage,
    totals: Arc<Mutex<Totals>>,
    folder: PathBuf,
}

/// What the relay itself said at the end of its calls.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Calls that said anything.
    pub calls: u64,
    /// Frames that were due more than a moment ago when they went out.
    pub late_ticks: u64,
    /// Caller frames that a client did not get, and frames missing from recordings.
    pub dropped: u64,
    pub unrecorded: u64,
    /// Packets that the kernel did not take, and caller packets that did not come.
    pub send_errors: u64,
    pub lost: u64,
    /// Lines at WARNING or above.
    pub warnings: u64,
    pub first_warning: Option<String>,
}

impl Relay {
    pub fn start(options: &Options) -> Self {
        let folder = std::env::temp_dir().join(format!("sip-relay-load-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for recordings can be made");
        let mut child = command(options)
            .current_dir(&folder)
            .env_clear()
            .envs(["PATH", "HOME", "TZ"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs([
                ("SIP_LOCAL_IP", RELAY_IP),
                ("SIP_LOCAL_PORT", "0"),
                ("WS_HOST", RELAY_IP),
                ("WS_PORT", "0"),
                ("WS_SEND_QUEUE_MAX", "20000"),
                ("RTP_PORT_START", "2000"),
                ("RTP_PORT_END", "65001"),
            ])
            .envs(options.set.iter().filter_map(|setting| setting.split_once('=')))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the relay can be started");
        let (sender, lines) = mpsc::channel();
        let totals = Arc::new(Mutex::new(Totals::default()));
        let output = child.stdout.take().expect("the relay's output is piped");
        let adding = totals.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                adding.lock().expect("no thread panics with the totals").read(&line);
                // Nobody waits for lines once the relay is up.
                let _ = sender.send(line);
            }
        });
        let sip = address(&lines, "SIP Server started on ");
        let ws = address(&lines, "WebSocket Server started on ");
        let addresses = Addresses { sip, ws };
        let usage = Usage::of(relay_process(child.id()));
        Self { child, addresses, usage, totals, folder }
    }

    /// Ends the relay in order and returns what it said.
    pub fn stop(mut self) -> Totals {
        let _ = Command::new("kill").arg("-TERM").arg(self.usage.process().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.totals.lock().expect("no thread panics with the totals").clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // An error means that it has ended, or that nothing was written.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Totals {
    fn read(&mut self, line: &str) {
        let expected = line.contains("OPENAI_API_KEY");
        if (line.starts_with("[WARNING]") || line.starts_with("[ERROR]")) && !expected {
            self.warnings += 1;
            self.first_warning.get_or_insert_with(|| line.to_owned());
        }
        if !line.contains("media closed") {
            return;
        }
        let field = |name: &str| -> u64 {
            let value = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        self.calls += 1;
        self.late_ticks += field("late_ticks");
        self.dropped += field("dropped");
        self.unrecorded += field("unrecorded");
        self.send_errors += field("send_errors");
        self.lost += field("lost");
    }
}

/// Pins this program, threads to come included. False where that is not possible.
pub fn pin_self(cpus: &str) -> bool {
    let process = std::process::id().to_string();
    cpus != ANY && {
        let pinned =
            Command::new("taskset").args(["-p", "-c", cpus, &process]).stdout(Stdio::null()).status();
        pinned.is_ok_and(|status| status.success())
    }
}

fn command(options: &Options) -> Command {
    let under = options.under.iter().flat_map(|text| text.split_whitespace());
    let pin = ["taskset", "-c", &options.relay_cpu];
    let can_pin =
        options.relay_cpu != ANY && Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    let mut words =
        pin.into_iter().take(if can_pin { 3 } else { 0 }).chain(under).chain([options.relay.as_str()]);
    let mut command = Command::new(words.next().expect("the relay itself is a word"));
    command.args(words);
    command
}

fn address(lines: &mpsc::Receiver<String>, words: &str) -> SocketAddr {
    let deadline = Instant::now() + START;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line {words:?} of the relay"));
        let Some((_, rest)) = line.split_once(words) else { continue };
        let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c)).unwrap_or(rest.len());
        return rest[..end].parse().unwrap_or_else(|_| panic!("no address in {line:?}"));
    }
}

/// The process itself, or its only child where it runs under another program.
fn relay_process(started: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{started}/task/{started}/children"));
    let child = children.ok().and_then(|list| list.split_whitespace().next()?.parse().ok());
    child.unwrap_or(started)
}

const ANY: &str = "any";
const START: Duration = Duration::from_secs(60);
