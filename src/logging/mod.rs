//! Logging: `tracing` events become lines on stdout and in the log file.
//!
//! In: events and spans of the whole process. Out: `[LEVEL] - yy-mm-dd HH:MM:SS - MESSAGE - FILE:LINE`, local time, one
//! line per event, the fields behind the message as ` key=value`. A thread per destination writes, so that nobody who
//! logs waits for a disk or a terminal; what does not fit into its queue is dropped and counted.

mod layer;
mod line;
mod pii;
mod throttle;
mod writer;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
};

use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Registry, layer::SubscriberExt};

use self::{layer::LineLayer, writer::Writer};
pub use self::{
    pii::Pii,
    writer::{LogGuard, QUEUE_LINES},
};
use crate::config::LogConfig;

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log file cannot be opened.
    #[error("{setting}={}: cannot be opened for writing: {source}", path.display())]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A writer thread cannot be started.
    #[error("the log writer cannot be started: {0}")]
    Thread(io::Error),
    /// The process logs already.
    #[error("logging is set up already")]
    AlreadySet,
}

/// Logs the whole process to stdout and to the log file, which is appended to. Call once, and keep the guard until the
/// very end: dropping it writes out what is queued.
pub fn init(config: &LogConfig) -> Result<LogGuard, LogError> {
    init_with(config, "SIP_LOG_FILE", OpenOptions::new().create(true).append(true))
}

/// The same for the call center, whose log file begins anew with each start.
pub fn init_anew(config: &LogConfig) -> Result<LogGuard, LogError> {
    let options = &mut OpenOptions::new();
    init_with(config, "CALL_CENTER_LOG_FILE", options.create(true).write(true).truncate(true))
}

/// Logs the whole process to stdout alone. Call once, and keep the guard as with [`init`].
pub fn init_stdout(level: Level, mask: bool) -> Result<LogGuard, LogError> {
    let (subscriber, guard) = subscriber(level, mask, vec![Box::new(io::stdout())])?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)?;
    Ok(guard)
}

fn init_with(config: &LogConfig, setting: &'static str, options: &OpenOptions) -> Result<LogGuard, LogError> {
    let file = options.open(&config.file).map_err(|source| LogError::File {
        setting,
        path: config.file.clone(),
        source,
    })?;
    let (subscriber, guard) =
        subscriber(config.level, config.mask, vec![Box::new(io::stdout()), Box::new(file)])?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)?;
    Ok(guard)
}

/// The subscriber behind [`init`], writing to `sinks` instead.
///
/// `level`: the least important level that is logged. `mask`: whether [`Pii`] is masked above `TRACE`.
pub fn subscriber(
    level: Level,
    mask: bool,
    sinks: Vec<Box<dyn Write + Send>>,
) -> Result<(impl Subscriber + Send + Sync, LogGuard), LogError> {
    let mut writers = Vec::new();
    let mut guard = LogGuard::default();
    for sink in sinks {
        writers.push(Writer::start(sink, QUEUE_LINES, &mut guard).map_err(LogError::Thread)?);
    }
    let filter = LevelFilter::from_level(level);
    Ok((Registry::default().with(LineLayer::new(writers, mask)).with(filter), guard))
}
