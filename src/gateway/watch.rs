//! `DidWatch` keeps the table of numbers up to date: on a thread of its own, it reads the file again when that has changed,
//! and when it is told to.
//!
//! In: the file, SIGHUP. Out: a new table, a line in the log, a word to who counts.

use std::{
    fmt, io,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::AbortHandle,
};
use tracing::{info, warn};

use super::{DidRouter, did::Stamp};

/// How often the file is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Watches until it is dropped.
pub struct DidWatch {
    orders: SyncSender<()>,
    on_hangup: Option<AbortHandle>,
}

impl DidWatch {
    /// Looks at the file of `router` at this interval. `counted` hears of every reload whether it succeeded.
    ///
    /// # Errors
    /// Whatever keeps a thread from starting.
    pub fn start(
        router: DidRouter,
        every: Duration,
        counted: impl Fn(bool) + Send + 'static,
    ) -> io::Result<Self> {
        // Whoever finds one waiting has his wish fulfilled by it.
        let (orders, received) = sync_channel(1);
        thread::Builder::new()
            .name("did-watch".to_owned())
            .spawn(move || watch(&router, &received, every, &counted))?;
        Ok(Self { orders, on_hangup: None })
    }

    /// Reloads on SIGHUP, too, instead of ending the process. Must run inside an actix system.
    ///
    /// # Errors
    /// The operating system's, if the signal cannot be taken.
    pub fn on_hangup(mut self) -> io::Result<Self> {
        let mut hangups = signal(SignalKind::hangup())?;
        let orders = self.orders.clone();
        let task = actix::spawn(async move {
            while hangups.recv().await.is_some() {
                let _ = orders.try_send(());
            }
        });
        self.on_hangup = Some(task.abort_handle());
        Ok(self)
    }

    /// Reloads soon, whether or not the file has changed.
    pub fn reload(&self) {
        let _ = self.orders.try_send(());
    }
}

impl Drop for DidWatch {
    fn drop(&mut self) {
        if let Some(task) = &self.on_hangup {
            task.abort();
        }
    }
}

impl fmt::Debug for DidWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DidWatch")
    }
}

fn watch(router: &DidRouter, orders: &Receiver<()>, every: Duration, counted: &impl Fn(bool)) {
    loop {
        match orders.recv_timeout(every) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) if router.is_outdated() => settle(router.path()),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let outcome = router.reload();
        match &outcome {
            Ok(()) => info!(dids = router.table().len(), file = %router.path().display(), "numbers reloaded"),
            Err(error) => warn!(%error, "the numbers stay as they were"),
        }
        counted(outcome.is_ok());
    }
}

/// Waits until nobody writes any more, or for so long that it does not matter. A file that is written anew is empty first, and
/// an empty one is a table without numbers.
fn settle(path: &Path) {
    let mut before = Stamp::of(path);
    for _ in 0..MOST_PAUSES {
        thread::sleep(PAUSE);
        let now = Stamp::of(path);
        if now == before {
            return;
        }
        before = now;
    }
}

/// Longer than it takes to write a file of ours.
const PAUSE: Duration = Duration::from_millis(50);
const MOST_PAUSES: u32 = 20;
