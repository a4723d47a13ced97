//! The relay's program: configuration, start, a signal, an orderly stop.

use std::{env, process::ExitCode};

use anyhow::Context;
use sip_relay::{
    config::{Config, LoadError, Loaded},
    logging,
    relay::Relay,
};
use tokio::signal::unix::{SignalKind, signal};
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
    let relay = Relay::start(&config)?;
    info!("Press Ctrl+C to stop...");
    wait_for_signal().await?;
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

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn refuse(error: &LoadError) -> anyhow::Result<ExitCode> {
    error.print()?;
    Ok(ExitCode::from(error.exit_code()))
}
