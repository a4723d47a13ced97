//! `SipVoiceBackend` takes and places SIP calls for a program of this process: each call is a [`VoiceSession`] with audio
//! both ways, keys, and an end that is told.
//!
//! ```text
//!   INVITE (SDP, X-Room-ID, X-Session-ID) ─▶ 100, 180, 200 ─▶ on_call
//!   RTP ◀────────────────────────────────────────────────────▶ on_audio_received, send_audio
//!   RTP telephone events ────────────────────────────────────▶ on_dtmf_received
//!   BYE, no ACK, silence ────────────────────────────────────▶ on_call_disconnected
//! ```
//!
//! In: [`SipBackendConfig`], callbacks, audio. Out: sessions. It is a layer over the telephone of this library (`engine`):
//! SIP and RTP are the relay's. [`Rooms`] and [`Hooks`] are what a program may keep its sessions in.

mod audio;
mod callbacks;
mod capability;
mod config;
mod dial;
mod dispatch;
mod ear;
mod error;
mod hooks;
mod listening;
mod metadata;
mod outbound;
mod playback;
mod registry;
mod rooms;
mod session;
mod state;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::runtime::Handle;

pub use self::{
    audio::{AudioChunk, AudioFrame, OutboundAudio},
    capability::VoiceCapability,
    config::{BargeInConfig, SipBackendConfig},
    dial::DialOptions,
    error::BackendError,
    hooks::{HookContext, HookExecution, HookTrigger, Hooks},
    metadata::Metadata,
    rooms::Rooms,
    session::VoiceSession,
    state::SessionState,
};
use self::{
    callbacks::Callbacks,
    dial::{HostToward, Placing, Route},
    dispatch::Dispatcher,
    ear::SessionEar,
    registry::Registry,
};
pub use crate::engine::DtmfEvent;
use crate::{engine::Engine, relay::message::CallCommand};

/// See the [module's documentation](self). A handle: every clone is the same backend.
///
/// ```no_run
/// use sip_relay::backend::{SipBackendConfig, SipVoiceBackend};
///
/// # async fn serve() -> Result<(), sip_relay::backend::BackendError> {
/// let backend = SipVoiceBackend::new(SipBackendConfig {
///     local_sip_addr: ("0.0.0.0".into(), 5060),
///     local_rtp_ip: "10.0.0.5".into(),
///     rtp_port_start: 10_000,
///     ..SipBackendConfig::default()
/// });
/// backend.on_call(|session| println!("Incoming call for room {}", session.room_id()));
/// backend.on_call_disconnected(|session| println!("Call ended: {}", session.id()));
/// backend.start().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Callbacks
///
/// Plain callbacks run one after another on a thread of the backend's own, in the order in which things happened. One that
/// takes its time delays the others, but no call; audio is dropped, oldest first, when more than 4096 frames wait. Async
/// ones are spawned in that order and then run side by side, on the tokio runtime that was current when they were
/// registered, else on the one in which the backend was started.
///
/// Dropping the last handle ends all calls in the background. A callback that owns a handle keeps the backend alive until
/// [`close`](Self::close).
#[derive(Clone)]
pub struct SipVoiceBackend(Arc<Shared>);

struct Shared {
    config: SipBackendConfig,
    registry: Arc<Registry>,
    callbacks: Arc<Callbacks>,
    running: Mutex<Option<Running>>,
    tickets: AtomicU64,
}

struct Running {
    engine: Engine,
    callers: Callers,
    host: HostToward,
}

/// The thread of callbacks; it ends with its owner.
struct Callers(Dispatcher);

impl Drop for Callers {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl SipVoiceBackend {
    /// A backend that does nothing before [`start`](Self::start).
    pub fn new(config: SipBackendConfig) -> Self {
        Self(Arc::new(Shared {
            config,
            registry: Arc::default(),
            callbacks: Arc::default(),
            running: Mutex::default(),
            tickets: AtomicU64::new(0),
        }))
    }

    /// `SIP`.
    pub fn name(&self) -> &'static str {
        "SIP"
    }

    /// Keys come out of band, and playback can be interrupted: exactly these two.
    pub fn capabilities(&self) -> VoiceCapability {
        VoiceCapability::DTMF_SIGNALING | VoiceCapability::INTERRUPTION
    }

    /// Binds the SIP socket and takes calls from now on.
    ///
    /// # Errors
    /// A configuration that cannot be used, an address that cannot be bound, or async callbacks without a tokio runtime.
    pub async fn start(&self) -> Result<(), BackendError> {
        let mut running = self.running();
        if running.is_some() {
            return Err(BackendError::AlreadyStarted);
        }
        let Shared { config, registry, callbacks, .. } = &*self.0;
        if !callbacks.spawner().start(Handle::try_current().ok()) {
            return Err(BackendError::NoRuntime);
        }
        let admitting = registry.clone();
        let settings = config.telephone(Arc::new(move |invite| admitting.admit(invite)))?;
        let host = HostToward { by_route: settings.by_route, otherwise: settings.advertised };
        let dispatcher = Dispatcher::start(callbacks.clone()).map_err(BackendError::Thread)?;
        let callers = Callers(dispatcher.clone());
        let ear = SessionEar {
            registry: registry.clone(),
            callbacks: callbacks.clone(),
            dispatcher,
            auto_cancel: config.barge_in.auto_cancel,
            calls: HashMap::new(),
        };
        let engine = Engine::start(settings, ear)?;
        tracing::info!(address = %engine.sip_address(), "SIP backend listening");
        *running = Some(Running { engine, callers, host });
        Ok(())
    }

    /// Ends every call, closes the sockets, and returns when the callbacks have been told what happened before. A backend
    /// that is closed can be started again.
    pub async fn close(&self) {
        let Some(Running { engine, callers, .. }) = self.running().take() else { return };
        self.0.registry.all().iter().for_each(VoiceSession::leave);
        engine.stop().await;
        callers.0.close();
        callers.0.finished().await;
    }

    /// Where SIP is spoken, while it is.
    pub fn sip_address(&self) -> Option<SocketAddr> {
        self.running().as_ref().map(|running| running.engine.sip_address())
    }

    /// Frames of callers that were dropped since the start because callbacks took too long.
    pub fn dropped_frames(&self) -> u64 {
        self.running().as_ref().map_or(0, |running| running.callers.0.dropped())
    }

    /// Takes up the session of a call: `metadata` names it by `session_id`. It belongs to this room, participant and
    /// channel from now on.
    ///
    /// # Errors
    /// [`BackendError::UnknownSession`] without that name, or without a live session of it.
    pub async fn connect(
        &self,
        room_id: &str,
        participant_id: &str,
        channel_id: &str,
        metadata: &Metadata,
    ) -> Result<VoiceSession, BackendError> {
        let named = metadata.get("session_id").and_then(|id| self.get_session(id));
        let session = named.ok_or(BackendError::UnknownSession)?;
        session.place_at(room_id, Some(participant_id), Some(channel_id));
        Ok(session)
    }

    /// Hangs up: BYE, or CANCEL where the far end still rings. Returns when the session has ended;
    /// [`on_call_disconnected`](Self::on_call_disconnected) is not called.
    ///
    /// # Errors
    /// [`BackendError::NotConnected`] for a session that has no call yet. One that has ended already is no error.
    pub async fn disconnect(&self, session: &VoiceSession) -> Result<(), BackendError> {
        let line = session.line().ok_or(BackendError::NotConnected)?;
        session.leave();
        line.commands.do_send(CallCommand::Hangup);
        session.ended().await;
        Ok(())
    }

    /// The live session of this id.
    pub fn get_session(&self, id: &str) -> Option<VoiceSession> {
        self.0.registry.get(id)
    }

    /// The live sessions of a room, oldest first.
    pub fn list_sessions(&self, room_id: &str) -> Vec<VoiceSession> {
        let mut sessions = self.0.registry.all();
        sessions.retain(|session| session.room_id() == room_id);
        sessions
    }

    /// Plays audio to the caller, after what is being played already: 20 ms at a time, the last frame filled up with
    /// silence. Bytes are queued at once; of a stream, 10 s ahead. Returns when all of it is queued, or was interrupted by
    /// [`cancel_audio`](Self::cancel_audio).
    ///
    /// # Errors
    /// When there is no call, or 10 minutes of audio wait already.
    pub async fn send_audio(
        &self,
        session: &VoiceSession,
        audio: impl Into<OutboundAudio>,
    ) -> Result<(), BackendError> {
        outbound::send_audio(session, audio.into()).await
    }

    /// Stops playback at once and drops what waits for it. False if nothing was being played.
    pub async fn cancel_audio(&self, session: &VoiceSession) -> bool {
        outbound::cancel_audio(session)
    }

    /// Whether audio is being played, or waits for it.
    pub fn is_playing(&self, session: &VoiceSession) -> bool {
        session.playback().plays()
    }

    /// Presses a key for `duration_ms` milliseconds, 40 to 8000; 160 is usual. Playback pauses meanwhile.
    ///
    /// # Errors
    /// A digit other than `0`-`9`, `*`, `#`, `A`-`D`; a far end that takes no telephone events; no call.
    pub fn send_dtmf(
        &self,
        session: &VoiceSession,
        digit: char,
        duration_ms: u32,
    ) -> Result<(), BackendError> {
        outbound::send_dtmf(session, digit, duration_ms)
    }

    /// Calls `to` through `proxy`; returns the session when the far end has answered. Dropping the future gives the call
    /// up. `on_call` is not called for it; `on_call_disconnected` is, when the far end ends it.
    ///
    /// `to`: a URI, or a number at the proxy. `from`: a URI, or a number at this host.
    ///
    /// # Errors
    /// [`BackendError::Call`] with the status of a far end that did not take it: 408 when nobody answered, 503 without a
    /// free port or a way there, 484 for what is no URI.
    pub async fn dial(
        &self,
        to: &str,
        from: &str,
        proxy: SocketAddr,
        options: DialOptions,
    ) -> Result<VoiceSession, BackendError> {
        let ticket = self.0.tickets.fetch_add(1, Ordering::Relaxed);
        let (placed, placing) = {
            let running = self.running();
            let Running { engine, host, .. } = running.as_ref().ok_or(BackendError::NotStarted)?;
            let route = Route::new(to, from, proxy, host.toward(proxy), ticket);
            let order = route.order(&options);
            let placing = Placing::new(&self.0.registry, &route, options)?;
            (engine.dial(to.to_owned(), order), placing)
        };
        placing.answered(placed.await).await
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
