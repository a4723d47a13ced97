//! The gateway's program: Twilio and Telnyx calls, without SIP.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use sip_relay::{config::LoadedVoiceServer, gateway::VoiceServer, logging, metrics::Metrics};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

fn main() -> anyhow::Result<ExitCode> {
    let cwd = env::current_dir().context("the working directory cannot be read")?;
    let loaded = match LoadedVoiceServer::load(env::args_os(), |name| env::var(name).ok(), &cwd) {
        Ok(loaded) => loaded,
        Err(error) => {
            error.print()?;
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    let _logs = logging::init_stdout(loaded.gateway.sip.log_level, loaded.mask)?;
    match actix::System::new().block_on(run(loaded)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            writeln!(io::stderr(), "{error:#}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn run(loaded: LoadedVoiceServer) -> anyhow::Result<()> {
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = VoiceServer::start(&loaded.gateway, &Arc::new(Metrics::new()))?;
    info!("Press Ctrl+C to stop...");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop().await;
    info!("Voice server stopped");
    Ok(())
}
