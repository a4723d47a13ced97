//! What a process took of the machine, from /proc (Linux).

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// The counters of one process.
pub struct Usage {
    process: u32,
}

/// The counters at one time.
#[derive(Debug, Clone)]
pub struct Reading {
    at: Instant,
    /// utime + stime of `/proc/PID/stat`, all threads, in steps of 10 ms.
    coarse: Duration,
    /// Time on a CPU, and time ready to run without one, by thread (`schedstat`).
    threads: BTreeMap<u32, (String, Duration, Duration)>,
}

/// The difference of two readings.
#[derive(Debug, Clone, Default)]
pub struct Spent {
    pub over: Duration,
    pub cpu: Duration,
    /// Ready to run while others had the CPU: a machine that is not quiet shows here.
    pub waiting: Duration,
    /// CPU by name of thread.
    pub by_thread: BTreeMap<String, Duration>,
}

impl Usage {
    pub fn of(process: u32) -> Self {
        Self { process }
    }

    pub fn process(&self) -> u32 {
        self.process
    }

    /// Resident memory, KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0)
    }

    pub fn read(&self) -> Reading {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap_or_default();
        // The name, in brackets, may hold blanks.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|&n| fields.get(n)?.parse::<u64>().ok()).sum();
        let mut threads = BTreeMap::new();
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process)).into_iter().flatten().flatten();
        for task in tasks {
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
            let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let mut times =
                schedstat.split_whitespace().map(|n| Duration::from_nanos(n.parse().unwrap_or(0)));
            let (cpu, waiting) = (times.next().unwrap_or_default(), times.next().unwrap_or_default());
            threads.insert(id, (name, cpu, waiting));
        }
        Reading { at: Instant::now(), coarse: Duration::from_millis(ticks * 10), threads }
    }
}

impl Reading {
    /// What was spent from this reading to a later one.
    pub fn until(&self, later: &Reading) -> Spent {
        let mut spent = Spent { over: later.at - self.at, ..Spent::default() };
        for (id, (name, cpu, waiting)) in &later.threads {
            let (cpu_before, waiting_before) =
                self.threads.get(id).map_or_else(Default::default, |(_, c, w)| (*c, *w));
            let cpu = cpu.saturating_sub(cpu_before);
            spent.cpu += cpu;
            spent.waiting += waiting.saturating_sub(waiting_before);
            *spent.by_thread.entry(name.clone()).or_default() += cpu;
        }
        if spent.cpu.is_zero() {
            spent.cpu = later.coarse.saturating_sub(self.coarse);
        }
        spent
    }
}
