//! Foreign programs as a test uses them: found or skipped, started in a folder, ended by their id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::eventually;

/// Paths of the programs, or `None` with a printed reason when one is not installed. With `REQUIRE_INTEROP=1` in the
/// environment a missing one fails the test instead.
pub fn find(names: &[&str]) -> Option<Vec<PathBuf>> {
    let found: Vec<PathBuf> = names.iter().filter_map(|name| which(name)).collect();
    if found.len() == names.len() {
        return Some(found);
    }
    let missing: Vec<&&str> = names.iter().filter(|name| which(name).is_none()).collect();
    assert!(std::env::var_os("REQUIRE_INTEROP").is_none_or(|v| v != "1"), "not installed: {missing:?}");
    eprintln!("skipped: not installed: {missing:?}");
    None
}

/// The path of one program, if it is installed.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A started program. Its output goes to `{name}.log` in its folder.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` in `dir`.
    pub fn start(name: &str, program: &Path, dir: &Path, args: &[&str]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log).unwrap();
        let child = Command::new(program)
            .args(args)
            .current_dir(dir)
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        Self { name: name.to_owned(), child, log }
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until its output contains `part`.
    pub fn expect_output(&mut self, part: &str, timeout: Duration) {
        let seen = eventually(timeout, || self.output().contains(part));
        assert!(seen, "{}: no {part:?} within {timeout:?}:\n{}", self.name, self.output());
    }

    /// Waits until UDP `port` of this machine is bound: the program listens.
    pub fn expect_listening(&mut self, port: u16) {
        let bound = eventually(Duration::from_secs(10), || udp_port_is_bound(port));
        assert!(bound, "{} does not listen on {port}:\n{}", self.name, self.output());
    }

    /// Waits for its end.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let mut status = None;
        let ended = eventually(timeout, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "{} still runs after {timeout:?}:\n{}", self.name, tail(&self.output()));
        status.unwrap()
    }

    /// Waits for its end, which must be a success.
    pub fn expect_success(&mut self, timeout: Duration) {
        let status = self.wait(timeout);
        assert!(status.success(), "{}: {status}:\n{}", self.name, tail(&self.output()));
    }

    /// Asks it to end (SIGTERM, to this process alone).
    pub fn terminate(&mut self) {
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // SIGTERM first: programs with children of their own (kamailio) end those only then.
            self.terminate();
            if !eventually(Duration::from_secs(2), || matches!(self.child.try_wait(), Ok(Some(_)))) {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("last output of {}:\n{}", self.name, tail(&self.output()));
        }
    }
}

/// True when some process has bound this UDP port (Linux; all addresses).
pub fn udp_port_is_bound(port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    ["/proc/net/udp", "/proc/net/udp6"].iter().any(|file| {
        let table = std::fs::read_to_string(file).unwrap_or_default();
        table
            .lines()
            .skip(1)
            .any(|l| l.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&wanted)))
    })
}

/// Fills the `{{name}}` places of a template.
pub fn fill(template: &str, values: &[(&str, String)]) -> String {
    let filled = values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value));
    assert!(!filled.contains("{{"), "a place is not filled:\n{filled}");
    filled
}

fn tail(text: &str) -> &str {
    let start = text.char_indices().rev().nth(4000).map_or(0, |(i, _)| i);
    &text[start..]
}
