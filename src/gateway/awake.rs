//! `Awake` keeps a Mac from falling asleep while there are calls.
//!
//! In: guards that are taken and dropped. Out: a process of `caffeinate` from the first to the last. On other systems: nothing.

use std::{
    fmt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tracing::warn;

/// Clones share the count.
#[derive(Clone)]
pub struct Awake(Arc<Shared>);

struct Shared {
    /// The program and its arguments; empty: nothing is to be run.
    command: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: usize,
    process: Option<Child>,
}

/// Somebody wants the machine awake, until this is dropped.
#[derive(Debug)]
pub struct AwakeGuard(Awake);

impl Awake {
    /// With what this system has for it.
    pub fn system() -> Self {
        if cfg!(target_os = "macos") {
            // With -w it ends with this process, however that ends.
            let own = std::process::id().to_string();
            Self::with_command(&["caffeinate", "-d", "-i", "-s", "-w", &own])
        } else {
            Self::with_command(&[])
        }
    }

    /// With another program, which runs until it is killed; none if it is empty.
    pub fn with_command(command: &[&str]) -> Self {
        let command = command.iter().map(|&part| part.to_owned()).collect();
        Self(Arc::new(Shared { command, state: Mutex::default() }))
    }

    /// Keeps the machine awake as long as the guard is there. Returns at once.
    #[must_use]
    pub fn hold(&self) -> AwakeGuard {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held += 1;
        if state.held == 1 {
            state.process = self.0.run();
        }
        AwakeGuard(self.clone())
    }

    /// How many guards there are.
    pub fn held(&self) -> usize {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).held
    }
}

impl Shared {
    fn run(&self) -> Option<Child> {
        let (program, arguments) = self.command.split_first()?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(|error| warn!(%error, program, "the machine may fall asleep")).ok()
    }
}

impl Drop for AwakeGuard {
    fn drop(&mut self) {
        let mut state = self.0.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
        if state.held == 0
            && let Some(mut process) = state.process.take()
        {
            // Waiting for its end is nothing for a thread of actors. Without a thread it is waited for with our own end.
            let _ = thread::Builder::new().name("awake".to_owned()).spawn(move || {
                let _ = process.kill();
                let _ = process.wait();
            });
        }
    }
}

impl fmt::Debug for Awake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awake").field("held", &self.held()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn one_process_runs_from_the_first_guard_to_the_last() {
        let file = scratch("awake");
        let script = format!("echo $$ >> {}; exec sleep 60", file.display());
        let awake = Awake::with_command(&["sh", "-c", &script]);
        let (first, second) = (awake.hold(), awake.clone().hold());
        let process = wait_for(|| started(&file).first().copied());
        assert_eq!((awake.held(), started(&file).len()), (2, 1));
        drop(first);
        assert!(Path::new(&format!("/proc/{process}")).exists(), "the second one holds it");
        drop(second);
        wait_for(|| (!Path::new(&format!("/proc/{process}")).exists()).then_some(()));
        assert_eq!(awake.held(), 0);

        let _again = awake.hold();
        wait_for(|| (started(&file).len() == 2).then_some(()));
        fs::remove_file(&file).expect("it can go");
    }

    #[test]
    fn missing_program_holds_up_nobody() {
        let awake = Awake::with_command(&["/nowhere/caffeinate"]);
        drop(awake.hold());
        let awake = Awake::with_command(&[]);
        let guard = awake.hold();
        assert_eq!(format!("{guard:?}"), "AwakeGuard(Awake { held: 1, .. })");
    }

    /// The processes that have run.
    fn started(file: &Path) -> Vec<u32> {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("sip-relay-{name}-{}", std::process::id()))
    }

    fn wait_for<T>(probe: impl Fn() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = probe() {
                return found;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "it does not come");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
