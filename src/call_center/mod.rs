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
pub mod buffered;
pub mod center;
pub mod client;
pub mod conversation;
pub mod desk;
pub mod history;
pub mod message;
pub mod realtime;
pub mod round_trip;
pub mod sentences;
pub mod speech;
pub mod wire;

use std::{fs, io, path::PathBuf};

use actix::{Actor, AsyncContext};
use tokio::sync::oneshot;

use self::{
    center::CallCenter,
    client::{Audience, ClientSettings, WsClient},
    desk::Desk,
    speech::SpeechError,
};
use crate::config::LoadedCallCenter;

/// Why the call center cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no key, and no agent that needs none.
    #[error("OPENAI_API_KEY is required")]
    KeyRequired,
    /// The key cannot be used.
    #[error(transparent)]
    Speech(#[from] SpeechError),
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
    let desk = match (loaded.agent, &loaded.api_key) {
        (Some(agent), _) => Desk::without_services(agent),
        (None, None) => return Err(StartError::KeyRequired),
        (None, Some(key)) => {
            for folder in ["convented", "response"] {
                let path = loaded.output_dir.join(folder);
                fs::create_dir_all(&path).map_err(|error| StartError::Folder { path, error })?;
            }
            Desk::with_services(key.expose(), loaded)?
        }
    };
    let settings = ClientSettings {
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
        CallCenter::new(desk, WsClient::new(settings, audience, ended).start().recipient())
    });
    // An error is the client's end, too.
    let _ = end.await;
    drop(center);
    Ok(())
}
