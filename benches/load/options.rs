//! What to run: flags and their limits.

use std::time::Duration;

use clap::Parser;

/// Calls over loopback against the relay's own binary; prints one table row per step. See docs/performance.md.
#[derive(Parser, Debug, Clone)]
#[command(name = "load")]
pub struct Options {
    /// Calls at once, one step each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 200, 500, 1000], value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub calls: Vec<u32>,
    /// Measured seconds of each step, after ramp and warm-up
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Calls set up per second while a step is built up
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub ramp: u32,
    /// Seconds of audio before the measurement
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    warm_up: u64,
    /// WebSocket connections that share the calls
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub clients: u32,
    /// Instead of calls with audio: set-ups per second, one step each (100,500,1000,2000)
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "100,500,1000,2000", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub set_up: Option<Vec<u32>>,
    /// Milliseconds from ACK to BYE with --set-up
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=5000))]
    hold: u64,
    /// CPUs of the relay as taskset takes them; `any`: not pinned
    #[arg(long, default_value = "0")]
    pub relay_cpu: String,
    /// CPUs of this program
    #[arg(long, default_value = "1")]
    pub load_cpu: String,
    /// Settings for the relay
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Another build of the relay, to compare two in one run
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_main"))]
    pub relay: String,
    /// Also prints how much CPU each of the relay's threads took
    #[arg(long)]
    pub threads: bool,
    /// Runs this before the relay's command line, for example a profiler
    #[arg(long, value_name = "COMMAND")]
    pub under: Option<String>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    pub fn seconds(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up)
    }

    pub fn hold(&self) -> Duration {
        Duration::from_millis(self.hold)
    }
}
