//! `Hooks` calls what a program has hooked to an event of any session.

use std::{
    future::Future,
    sync::{Arc, PoisonError, RwLock, mpsc},
};

use super::{
    DtmfEvent, SipVoiceBackend, VoiceSession,
    callbacks::{Spawner, Task},
};

/// What a hook waits for. [`Hooks::on`] takes one.
///
/// ```
/// # use sip_relay::backend::HookTrigger;
/// let keys = HookTrigger::OnDtmf;
/// # assert_eq!(keys, HookTrigger::OnDtmf);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HookTrigger {
    /// A caller pressed a key.
    OnDtmf,
}

/// How a hook runs.
///
/// ```
/// # use sip_relay::backend::HookExecution;
/// fn may_reorder(execution: HookExecution) -> bool {
///     execution == HookExecution::Async
/// }
/// # assert!(!may_reorder(HookExecution::Sync));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HookExecution {
    /// To its end before the next hook, and before the next callback of the backend.
    Sync,
    /// Beside everything else.
    Async,
}

/// Where an event of a hook comes from.
///
/// ```
/// use sip_relay::backend::{DtmfEvent, HookContext};
///
/// fn describe(event: &DtmfEvent, context: &HookContext) -> String {
///     format!("{} in {} by {}", event.digit, context.room_id, context.session.participant_id())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct HookContext {
    /// The session.
    pub session: VoiceSession,
    /// Its room.
    pub room_id: String,
    /// Its channel.
    pub channel_id: String,
}

/// Hooks of a program, run on its tokio runtime: the one that is current when they are hooked, else that of
/// [`start`](SipVoiceBackend::start). A handle: every clone is the same set.
///
/// ```no_run
/// use sip_relay::backend::{HookExecution, HookTrigger, Hooks, SipBackendConfig, SipVoiceBackend};
///
/// let backend = SipVoiceBackend::new(SipBackendConfig::default());
/// let hooks = Hooks::new(&backend);
/// hooks.on(HookTrigger::OnDtmf, HookExecution::Async, |event, context| async move {
///     println!("DTMF digit: {}, duration: {}ms in {}", event.digit, event.duration_ms, context.room_id);
/// });
/// ```
#[derive(Clone)]
pub struct Hooks(Arc<Shared>);

struct Shared {
    spawner: Spawner,
    hooks: RwLock<Vec<Hook>>,
}

#[derive(Clone)]
struct Hook {
    trigger: HookTrigger,
    execution: HookExecution,
    make: Arc<dyn Fn(DtmfEvent, HookContext) -> Task + Send + Sync>,
    spawn: Arc<dyn Fn(Task) + Send + Sync>,
}

impl Hooks {
    /// A set without hooks, fed by this backend.
    pub fn new(backend: &SipVoiceBackend) -> Self {
        let spawner = backend.0.callbacks.spawner().clone();
        let hooks = Self(Arc::new(Shared { spawner, hooks: RwLock::default() }));
        let fed = hooks.clone();
        backend.on_dtmf_received(move |session, event| fed.fire(HookTrigger::OnDtmf, event, &session));
        hooks
    }

    /// Runs what `hook` returns at every event of this kind, after the hooks before it.
    pub fn on<F, Fut>(&self, trigger: HookTrigger, execution: HookExecution, hook: F)
    where
        F: Fn(DtmfEvent, HookContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let make = Arc::new(move |event, context| Box::pin(hook(event, context)) as Task);
        let hook = Hook { trigger, execution, make, spawn: Arc::new(self.0.spawner.here()) };
        self.0.hooks.write().unwrap_or_else(PoisonError::into_inner).push(hook);
    }

    fn fire(&self, trigger: HookTrigger, event: DtmfEvent, session: &VoiceSession) {
        let hooks = self.0.hooks.read().unwrap_or_else(PoisonError::into_inner).clone();
        for hook in hooks.iter().filter(|hook| hook.trigger == trigger) {
            let context = HookContext {
                session: session.clone(),
                room_id: session.room_id(),
                channel_id: session.channel_id(),
            };
            hook.run(event, context);
        }
    }
}

impl Hook {
    fn run(&self, event: DtmfEvent, context: HookContext) {
        let task = (self.make)(event, context);
        match self.execution {
            HookExecution::Async => (self.spawn)(task),
            HookExecution::Sync => {
                let (done, finished) = mpsc::channel::<()>();
                (self.spawn)(Box::pin(async move {
                    let _done = done;
                    task.await;
                }));
                // An error is the end that is waited for: the task has dropped its side, by panic or not.
                let _ = finished.recv();
            }
        }
    }
}
