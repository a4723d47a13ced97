//! The relay's program: configuration, start, a signal, an orderly stop.

use std::{env, process::ExitCode};

use anyhow::Context;
use sip_relay::{
    config::{Config, LoadError, Loaded},
    logging,
    relay::Relay,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

fn main() -> anyhow::Result<ExitCode> {
    let cwd = env::current_dir().context("the working directory cannot be read")?;
    let loaded = match Config::load(env::args_os(), |name| env::var(name).ok(), &cwd) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    let _logs = logging::init(&loaded.config.log)?;
    match actix::System::new().block_on(run(loaded)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("{error:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn run(Loaded { config, warnings }: Loaded) -> anyhow::Result<()> {
    for warning in warnings {
        warn!("{warning}");
    }
    raise_file_limit();
    // Before the start: from then on a signal finds calls that are to be ended.
    let signals = Signals::new()?;
    let relay = Relay::start(&config)?;
    info!("Press Ctrl+C to stop...");
    signals.wait().await;
    info!("Stopping servers...");
    relay.stop().await;
    info!("Servers stopped");
    Ok(())
}

/// Every call holds two sockets, so the usual soft limit of 1024 files is some 500 calls.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%error, "the limit on open files stays as it is");
    }
}

/// SIGTERM and SIGINT, taken from the moment this exists.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn refuse(error: &LoadError) -> anyhow::Result<ExitCode> {
    error.print()?;
    Ok(ExitCode::from(error.exit_code()))
}
