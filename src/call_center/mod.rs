//! The call center: a program that connects to the relay by its text protocol and talks with every caller.
//!
//! ```text
//!            text protocol             events, audio                 Input
//!  relay ══════════════════ WsClient ───────────────▶ CallCenter ──────────▶ Agent (one a call)
//!                               ▲       commands        │     ▲   ◀────────── Output
//!                               └───────────────────────┘     └─ Desk: tasks that ask the services
//! ```
//!
//! In mode realtime each call has a connection to the Realtime API besides: [`realtime`].
//!
//! An agent decides, without actors and sockets; `CallCenter` does what it says. Reading order: [`message`], [`agent`],
//! [`center`]. docs/call_center.md tells its user what it does.

pub mod agent;
mod apology;
pub mod buffered;
pub mod center;
pub mod client;
pub mod conversation;
pub mod desk;
pub mod history;
pub mod message;
pub mod number;
pub mod realtime;
pub mod round_trip;
pub mod sentences;
pub mod speech;
pub mod turn;
mod watch;
pub mod wire;

use std::{fs, io, net::SocketAddr, path::PathBuf, rc::Rc, sync::Arc};

use actix::{Actor, AsyncContext};
use tokio::sync::oneshot;
use tracing::warn;

pub use self::apology::RecordingError;
use self::{
    center::CallCenter,
    client::{Audience, ClientSettings, WsClient},
    desk::Desk,
    speech::SpeechError,
};
use crate::{
    config::LoadedCallCenter,
    gateway::{DidRouter, DidWatch, LOOK_EVERY, SipTransportError},
    metrics::CallCenterMetrics,
    relay::uuid4,
};

/// Why the call center cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no key, and no agent that needs none.
    #[error("OPENAI_API_KEY is required")]
    KeyRequired,
    /// The key cannot be used.
    #[error(transparent)]
    Speech(#[from] SpeechError),
    /// The recorded apology cannot be played.
    #[error("cannot play {} (CALL_CENTER_APOLOGY_FILE): {error}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: RecordingError,
    },
    /// The metrics cannot be served.
    #[error("cannot listen on {address} (CALL_CENTER_METRICS_ADDR): {error}")]
    Metrics {
        /// Where they should be.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
    /// The table of numbers cannot be used.
    #[error("CALL_CENTER_DIDS: {0}")]
    Numbers(#[from] SipTransportError),
    /// Its file cannot be watched.
    #[error("CALL_CENTER_DIDS cannot be watched: {0}")]
    Watch(io::Error),
    /// A folder cannot be made.
    #[error("cannot create {} (OUTPUT_DIR): {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

/// Connects to the relay and talks with its callers until the connection is lost for good.
///
/// # Errors
/// [`StartError`] when it cannot begin.
pub async fn run(loaded: &LoadedCallCenter) -> Result<(), StartError> {
    let metrics = Arc::new(CallCenterMetrics::new());
    let desk = match (loaded.agent, &loaded.api_key) {
        (Some(agent), _) => Desk::without_services(agent),
        (None, None) => return Err(StartError::KeyRequired),
        (None, Some(key)) => {
            for folder in ["convented", "response"] {
                let path = loaded.output_dir.join(folder);
                fs::create_dir_all(&path).map_err(|error| StartError::Folder { path, error })?;
            }
            let recording = apology::load(&loaded.config)?;
            Desk::with_services(key.expose(), loaded, recording, metrics.clone())?
        }
    };
    if let Some(address) = loaded.config.metrics {
        watch::serve(address, metrics.clone(), loaded.token.clone())
            .map_err(|error| StartError::Metrics { address, error })?;
    }
    let (numbers, _watch) = numbers(loaded)?.unzip();
    let desk = Rc::new(desk.with_numbers(numbers));
    let settings = ClientSettings {
        session: uuid4(),
        url: loaded.config.ws_url.clone(),
        token: loaded.token.clone(),
        reconnect: loaded.config.reconnect,
        codec: loaded.codec(),
    };
    let (ended, end) = oneshot::channel();
    let center = CallCenter::create(|ctx| {
        let own = ctx.address();
        let audience = Audience {
            line: own.clone().recipient(),
            signals: own.clone().recipient(),
            audio: own.recipient(),
        };
        let client = WsClient::new(settings, audience, metrics.clone(), ended).start();
        CallCenter::new(desk, client.recipient(), metrics)
    });
    // An error is the client's end, too.
    let _ = end.await;
    drop(center);
    Ok(())
}

/// The table of numbers, and who keeps it up to date.
fn numbers(loaded: &LoadedCallCenter) -> Result<Option<(DidRouter, DidWatch)>, StartError> {
    let Some(path) = &loaded.config.dids else { return Ok(None) };
    let router = DidRouter::open_with(path, loaded.variables.clone(), Some(number::check))?;
    if router.table().is_empty() {
        warn!(file = %router.path().display(), "no number has settings of its own");
    }
    let watch = DidWatch::start(router.clone(), LOOK_EVERY, |_| ()).and_then(DidWatch::on_hangup);
    Ok(Some((router, watch.map_err(StartError::Watch)?)))
}
