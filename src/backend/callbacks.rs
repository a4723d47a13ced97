//! `Callbacks` holds what a program wants to be called for, and calls it.
//!
//! In: registrations from any thread; what happened, on the thread of [`dispatch`](super::dispatch). A callback that
//! panics is logged and goes on being called. Async ones are spawned on a tokio runtime: the one in which they were
//! registered, else the one in which the backend was started.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::runtime::Handle;
use tracing::error;

use super::{AudioFrame, DtmfEvent, VoiceSession};

/// What a program is told about a session.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Notice {
    Call,
    Disconnected,
    Audio(AudioFrame),
    Dtmf(DtmfEvent),
    BargeIn,
}

type OnSession = Arc<dyn Fn(VoiceSession) + Send + Sync>;
type OnAudio = Arc<dyn Fn(VoiceSession, AudioFrame) + Send + Sync>;
type OnDtmf = Arc<dyn Fn(VoiceSession, DtmfEvent) + Send + Sync>;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Callbacks {
    call: RwLock<Option<OnSession>>,
    disconnected: RwLock<Option<OnSession>>,
    audio: RwLock<Option<OnAudio>>,
    barge_in: RwLock<Vec<OnSession>>,
    dtmf: RwLock<Vec<OnDtmf>>,
    spawner: Spawner,
}

impl Callbacks {
    pub(super) fn set_call(&self, callback: OnSession) {
        *write(&self.call) = Some(callback);
    }

    pub(super) fn set_disconnected(&self, callback: OnSession) {
        *write(&self.disconnected) = Some(callback);
    }

    pub(super) fn set_audio(&self, callback: OnAudio) {
        *write(&self.audio) = Some(callback);
    }

    pub(super) fn add_barge_in(&self, callback: OnSession) {
        write(&self.barge_in).push(callback);
    }

    pub(super) fn add_dtmf(&self, callback: OnDtmf) {
        write(&self.dtmf).push(callback);
    }

    /// Whether frames are wanted at all.
    pub(super) fn hears_audio(&self) -> bool {
        read(&self.audio).is_some()
    }

    /// Where async callbacks run.
    pub(super) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Calls whom it concerns. No lock is held meanwhile, so a callback may register another.
    pub(super) fn tell(&self, session: &VoiceSession, notice: Notice) {
        let one = |callback: &RwLock<Option<OnSession>>| {
            let callback = read(callback).clone();
            callback.iter().for_each(|callback| guarded(|| callback(session.clone())));
        };
        match notice {
            Notice::Call => one(&self.call),
            Notice::Disconnected => one(&self.disconnected),
            Notice::Audio(frame) => {
                let callback = read(&self.audio).clone();
                if let Some(callback) = callback {
                    guarded(|| callback(session.clone(), frame));
                }
            }
            Notice::BargeIn => {
                let callbacks = read(&self.barge_in).clone();
                callbacks.iter().for_each(|callback| guarded(|| callback(session.clone())));
            }
            Notice::Dtmf(event) => {
                let callbacks = read(&self.dtmf).clone();
                callbacks.iter().for_each(|callback| guarded(|| callback(session.clone(), event)));
            }
        }
    }
}

/// Runs the futures of async callbacks.
#[derive(Clone, Default)]
pub(super) struct Spawner {
    /// Of the backend's start.
    fallback: Arc<Mutex<Option<Handle>>>,
    /// An async callback relies on it.
    needed: Arc<AtomicBool>,
}

impl Spawner {
    /// The runtime in which the backend is started. False if there is none and one is needed.
    pub(super) fn start(&self, runtime: Option<Handle>) -> bool {
        let found = runtime.is_some();
        *self.fallback.lock().unwrap_or_else(PoisonError::into_inner) = runtime;
        found || !self.needed.load(Ordering::Relaxed)
    }

    /// What spawns on the runtime that is current now, else on that of the start.
    pub(super) fn here(&self) -> impl Fn(Task) + Send + Sync + use<> {
        let here = Handle::try_current().ok();
        self.needed.fetch_or(here.is_none(), Ordering::Relaxed);
        let fallback = self.fallback.clone();
        move |task| {
            let fallback = || fallback.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match here.clone().or_else(fallback) {
                Some(runtime) => drop(runtime.spawn(task)),
                None => error!("an async callback has no tokio runtime to run on"),
            }
        }
    }

    /// Turns a callback that returns a future into one that returns at once.
    pub(super) fn detach<A, F, Fut>(&self, callback: F) -> impl Fn(A) + Send + Sync + use<A, F, Fut>
    where
        F: Fn(A) -> Fut + Send + Sync,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let spawn = self.here();
        move |argument| spawn(Box::pin(callback(argument)))
    }
}

/// What is spawned.
pub(super) type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// One program's panic is not the end of all calls.
fn guarded(callback: impl FnOnce()) {
    // The callback owns nothing of ours that it could leave half done.
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        error!("a callback panicked");
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
