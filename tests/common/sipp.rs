//! `Sipp` is one SIPp with a scenario: a caller that plays a file, or a telephone that echoes. Its own count is the verdict.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::free_ports;
use super::temp::TempDir;
use super::tools::{self, Process};

/// One SIPp: its scenario and ports.
pub struct Sipp {
    scenario: PathBuf,
    statistics: PathBuf,
    dir: PathBuf,
    pub port: u16,
    media_port: u16,
    lost_percent: u32,
}

impl Sipp {
    /// A caller that sends `media` (µ-law) for `seconds`.
    pub fn caller(dir: &TempDir, media: &[u8], seconds: usize) -> Self {
        let file = dir.write("media.ul", media);
        let values = [("media_file", file.display().to_string()), ("media_ms", (seconds * 1000).to_string())];
        Self::new(dir, "caller", &tools::fill(include_str!("../interop/uac_stream.xml"), &values))
    }

    /// A telephone that is called and echoes RTP.
    pub fn called(dir: &TempDir, scenario: &str) -> Self {
        Self::new(dir, "called", scenario)
    }

    /// The same on this SIP port.
    pub fn at(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The same with a line that loses this part of the messages, in either direction.
    pub fn losing(mut self, percent: u32) -> Self {
        self.lost_percent = percent;
        self
    }

    /// A caller with this scenario.
    pub fn calling(dir: &TempDir, scenario: &str) -> Self {
        Self::new(dir, "caller", scenario)
    }

    fn new(dir: &TempDir, name: &str, scenario: &str) -> Self {
        Self {
            scenario: dir.write(&format!("{name}.xml"), scenario),
            statistics: dir.path().join(format!("{name}.csv")),
            dir: dir.path().to_owned(),
            port: free_ports(2),
            media_port: free_ports(4),
            lost_percent: 0,
        }
    }

    /// Starts `calls` calls to `user` at `target`, as many at a time as `at_once`, ten new ones a second.
    pub fn start(
        &self,
        program: &Path,
        target: SocketAddr,
        user: &str,
        calls: usize,
        at_once: usize,
    ) -> Process {
        let (target, calls, at_once) = (target.to_string(), calls.to_string(), at_once.to_string());
        self.run("sipp-caller", program, &[&target, "-s", user, "-m", &calls, "-l", &at_once, "-r", "10"])
    }

    /// Waits for `calls` calls and echoes their RTP.
    pub fn answer(&self, program: &Path, calls: usize) -> Process {
        let mut process = self.run("sipp-called", program, &["-rtp_echo", "-m", &calls.to_string()]);
        process.expect_listening(self.port);
        process
    }

    fn run(&self, name: &str, program: &Path, args: &[&str]) -> Process {
        let (scenario, statistics) =
            (self.scenario.display().to_string(), self.statistics.display().to_string());
        let (port, media) = (self.port.to_string(), self.media_port.to_string());
        let common =
            ["-sf", &scenario, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", &port, "-mp", &media, "-nostdin"];
        let report = ["-trace_err", "-trace_stat", "-stf", &statistics, "-fd", "1"];
        // That the machine is busy is nothing for SIPp to warn of, and no verdict on the relay.
        let patience = ["-watchdog_minor_threshold", "60000", "-watchdog_major_threshold", "60000"];
        let percent = self.lost_percent.to_string();
        let lossy = ["-lost", percent.as_str(), "-max_retrans", "20"];
        let lossy = if self.lost_percent > 0 { &lossy[..] } else { &[] };
        Process::start(name, program, &self.dir, &[args, &common, &report, &patience, lossy].concat())
    }

    /// SIPp's last statistics line: all calls succeeded, nothing was repeated, nothing unexpected came.
    pub fn assert_clean(&self, calls: usize) {
        assert_eq!(self.count("SuccessfulCall(C)"), calls);
        for zero in
            ["FailedCall(C)", "Retransmissions(C)", "OutOfCallMsgs(C)", "DeadCallMsgs(C)", "Warnings(C)"]
        {
            assert_eq!(self.count(zero), 0, "{zero}");
        }
    }

    /// A number of SIPp's last statistics line.
    pub fn count(&self, name: &str) -> usize {
        let text = std::fs::read_to_string(&self.statistics).unwrap();
        let mut lines = text.lines();
        let mut names = lines.next().unwrap().split(';');
        let column = names.position(|other| other == name).unwrap_or_else(|| panic!("no column {name:?}"));
        lines.last().unwrap().split(';').nth(column).unwrap().parse().unwrap()
    }
}
