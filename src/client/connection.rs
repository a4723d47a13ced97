//! `Connection` is a client's way to its server: the telephone while there is one, and how it comes and goes.
//!
//! In: connect, disconnect. Out: a running [`Engine`], registered where that is wanted. One step at a time, whoever asks.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    CallFailure, SipClientError, builder::Settings, callbacks::Callbacks, ear::ClientEar, line::Line,
};
use crate::{
    config::{resolve, route_source},
    engine::{self, Engine, EngineError, Stopping},
    relay::message::RegistrationNews,
};

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Connection {
    /// Held by whoever connects or disconnects; within, what is still being put away.
    turn: tokio::sync::Mutex<Option<Stopping>>,
    live: Mutex<Option<Live>>,
}

/// A telephone that runs.
struct Live {
    engine: Engine,
    registration: watch::Receiver<Option<RegistrationNews>>,
}

impl Connection {
    /// Opens the socket and registers. True if there is a connection now, false if the server did not want it.
    pub async fn open(
        &self,
        settings: &Settings,
        line: &Arc<Line>,
        callbacks: &Callbacks,
    ) -> Result<bool, SipClientError> {
        let mut turn = self.turn.lock().await;
        if self.is_open() {
            return Ok(true);
        }
        settings.check()?;
        if let Some(stopping) = turn.as_mut() {
            stopping.await;
            *turn = None;
        }
        let deadline = Instant::now() + settings.connect_timeout;
        let server = address(settings, deadline).await?;
        let ip =
            route_source(server).map_err(|error| no_connection(format!("no way to {server}: {error}")))?;
        let (registration, mut news) = watch::channel(None);
        let ear = ClientEar { line: line.clone(), callbacks: callbacks.clone(), registration };
        let engine = Engine::start(settings.engine(line, server, ip)?, ear)?;
        let outcome = if settings.register {
            let wait = async move {
                let told = tokio::time::timeout_at(deadline, news.wait_for(Option::is_some)).await;
                (told.ok().and_then(|told| told.ok()?.clone()), news)
            };
            let (told, receiver) = engine::run(wait).await?;
            news = receiver;
            judge(told, server)
        } else {
            Ok(())
        };
        match outcome {
            Ok(()) => {
                *self.live() = Some(Live { engine, registration: news });
                Ok(true)
            }
            Err(refusal) => {
                *turn = Some(engine.stop());
                refusal.settle(line)
            }
        }
    }

    /// Ends the call, gives the registration up and closes the sockets.
    pub async fn close(&self, line: &Arc<Line>) -> Result<(), SipClientError> {
        let mut turn = self.turn.lock().await;
        let live = self.live().take();
        if let Some(Live { engine, .. }) = live {
            *turn = Some(engine.stop());
        }
        let Some(stopping) = turn.as_mut() else { return Ok(()) };
        stopping.await;
        *turn = None;
        let line = line.clone();
        Ok(engine::run(async move { line.clear() }).await?)
    }

    pub fn is_open(&self) -> bool {
        self.live().is_some()
    }

    /// Runs `look` on the telephone.
    pub fn with<T>(&self, look: impl FnOnce(&Engine) -> T) -> Result<T, SipClientError> {
        let live = self.live();
        live.as_ref().map(|live| look(&live.engine)).ok_or(SipClientError::NotConnected)
    }

    pub fn is_registered(&self) -> bool {
        let live = self.live();
        let Some(live) = &*live else { return false };
        matches!(&*live.registration.borrow(), Some(RegistrationNews::Registered { .. }))
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        // Nothing inside the lock can panic half-way.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no connection although the telephone runs.
enum Refusal {
    Error(SipClientError),
    Unwanted(CallFailure),
}

impl Refusal {
    fn settle(self, line: &Line) -> Result<bool, SipClientError> {
        match self {
            Self::Error(error) => Err(error),
            Self::Unwanted(failure) => {
                line.fail(failure);
                Ok(false)
            }
        }
    }
}

fn judge(told: Option<RegistrationNews>, server: SocketAddr) -> Result<(), Refusal> {
    let silent = || {
        Refusal::Error(no_connection(format!("{server} does not answer: check address, port and firewall")))
    };
    match told {
        Some(RegistrationNews::Registered { .. }) => Ok(()),
        Some(RegistrationNews::Failed { status: status @ (401 | 403 | 407), .. }) => {
            Err(Refusal::Error(SipClientError::Authentication { status }))
        }
        Some(RegistrationNews::Failed { status: 408, .. } | RegistrationNews::Over) | None => Err(silent()),
        Some(RegistrationNews::Failed { status, reason }) => {
            Err(Refusal::Unwanted(CallFailure { status, reason }))
        }
    }
}

/// The server's address, of the family of our own where that is given.
async fn address(settings: &Settings, deadline: Instant) -> Result<SocketAddr, SipClientError> {
    let (server, near) = (settings.server.clone(), settings.local_ip);
    if let Ok(ip) = server.parse() {
        return Ok(SocketAddr::new(ip, settings.port));
    }
    // Resolving blocks a thread, and may do so for longer than we wait.
    let ask = async move {
        let asked = tokio::task::spawn_blocking(move || resolve(&server, near));
        tokio::time::timeout_at(deadline, asked).await
    };
    let server = &settings.server;
    let ip: IpAddr = match engine::run(ask).await? {
        Ok(Ok(resolved)) => resolved.map_err(|problem| no_connection(format!("{server:?}: {problem}")))?,
        Ok(Err(_)) | Err(_) => {
            let waited = Duration::as_secs_f32(&settings.connect_timeout);
            return Err(no_connection(format!("{server:?} was not resolved within {waited} s")));
        }
    };
    Ok(SocketAddr::new(ip, settings.port))
}

fn no_connection(why: String) -> SipClientError {
    SipClientError::Connection(why)
}

impl From<EngineError> for SipClientError {
    fn from(error: EngineError) -> Self {
        Self::Connection(error.to_string())
    }
}
