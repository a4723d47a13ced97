//! The call center: a program that connects to the relay by its text protocol and talks with every caller.
//!
//! ```text
//!            text protocol             events, audio                 Input
//!  relay ══════════════════ WsClient ───────────────▶ CallCenter ──────────▶ Agent (one a call)
//!                               ▲       commands        │     ▲   ◀────────── Output
//!                               └───────────────────────┘     └─ Desk: tasks that ask the services
//! ```
//!
//! An agent decides, without actors and sockets; `CallCenter` does what it says. Reading order: [`message`], [`agent`],
//! [`center`]. docs/call_center.md tells its user what it does.

pub mod agent;
pub mod center;
pub mod client;
pub mod desk;
pub mod message;
pub mod wire;

use actix::{Actor, AsyncContext};
use tokio::sync::oneshot;

use self::{
    center::CallCenter,
    client::{Audience, ClientSettings, WsClient},
    desk::Desk,
};
use crate::config::LoadedCallCenter;

/// Why the call center cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no key, and no agent that needs none.
    #[error("OPENAI_API_KEY is required")]
    KeyRequired,
}

/// Connects to the relay and talks with its callers until the connection is lost for good.
///
/// # Errors
/// [`StartError`] when it cannot begin.
pub async fn run(loaded: &LoadedCallCenter) -> Result<(), StartError> {
    let desk = match loaded.agent {
        Some(agent) => Desk::without_services(agent),
        None => return Err(StartError::KeyRequired),
    };
    let settings = ClientSettings {
        url: loaded.config.ws_url.clone(),
        token: loaded.token.clone(),
        reconnect: loaded.config.reconnect,
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
