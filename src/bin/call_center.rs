//! The call center's program: configuration, start, a signal.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use sip_relay::{call_center, config::LoadedCallCenter, logging};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

fn main() -> anyhow::Result<ExitCode> {
    let cwd = env::current_dir().context("the working directory cannot be read")?;
    let loaded = match LoadedCallCenter::load(env::args_os(), |name| env::var(name).ok(), &cwd) {
        Ok(loaded) => loaded,
        Err(error) => {
            error.print()?;
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    let _logs = logging::init_anew(&loaded.log)?;
    // Two libraries speak TLS; both take the process's provider. It is set only here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    actix::System::new().block_on(run(&loaded))
}

async fn run(loaded: &LoadedCallCenter) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        outcome = call_center::run(loaded) => {
            if let Err(problem) = outcome {
                error!("{problem}");
                writeln!(io::stderr(), "{problem}")?;
            }
            return Ok(ExitCode::FAILURE);
        }
    }
    info!("The call center ends");
    Ok(ExitCode::SUCCESS)
}
