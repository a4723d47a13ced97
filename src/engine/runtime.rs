//! The threads that every telephone of the library in this process shares: one for SIP and for what is told, one a core
//! for calls and their media.
//!
//! They start with the first telephone and stay until the process ends: 500 clients have as many threads as one.

use std::{
    future, io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use actix::{Arbiter, System};

use crate::{
    metrics::Metrics,
    relay::{cores, stack::Threads},
};

/// See the module's documentation.
#[derive(Clone)]
pub struct Runtime {
    /// Where actors live.
    pub threads: Threads,
    /// What all telephones of the process count together.
    pub metrics: Arc<Metrics>,
}

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// The one of this process. Fails when the operating system gives no thread.
    pub fn of_process() -> io::Result<Self> {
        let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.clone());
        }
        let started = Self::start()?;
        *runtime = Some(started.clone());
        Ok(started)
    }

    fn start() -> io::Result<Self> {
        let (ready, started) = mpsc::channel();
        thread::Builder::new().name("sip-relay".into()).spawn(move || {
            System::new().block_on(async move {
                let arbiters: Vec<Arbiter> = (0..cores()).map(|_| Arbiter::new()).collect();
                let wire = Arbiter::current();
                let media = arbiters.iter().map(Arbiter::handle).collect();
                // Nobody waits any more if the thread that asked is gone.
                let _ = ready.send(Threads { home: wire.clone(), wire, media });
                future::pending::<()>().await;
            });
        })?;
        let threads = started.recv().map_err(|_| io::Error::other("the SIP thread did not start"))?;
        Ok(Self { threads, metrics: Arc::default() })
    }
}
