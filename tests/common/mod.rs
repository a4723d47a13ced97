//! What whole-system tests share: the relay as a process, the telephone side, the WebSocket side, and foreign tools.
//!
//! Everything is on loopback with ports chosen by the system, every file in a temporary folder of its own, every wait has a
//! deadline. Ends only the processes that it started.

// Every test binary compiles this module and uses its own part of it. Test code may print and panic.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr)]

pub mod backend;
pub mod bot;
pub mod call_center;
pub mod gateway;
pub mod http;
pub mod invariants;
pub mod md5;
pub mod pbx;
pub mod python;
pub mod recording;
pub mod registrar;
pub mod relay;
pub mod rtp_end;
pub mod scenario;
pub mod scene;
pub mod script;
pub mod sha1;
pub mod sip_client;
pub mod sip_proxy;
pub mod sipp;
pub mod sipp_call;
pub mod talk;
pub mod temp;
pub mod tools;
pub mod voice_server;
pub mod ws;
pub mod ws_tap;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a wait lasts unless a test says otherwise.
pub const WAIT: Duration = Duration::from_secs(5);

/// A list that one thread fills and others wait on.
#[derive(Debug, Default)]
pub struct Feed<T> {
    items: Mutex<Vec<T>>,
    changed: Condvar,
}

impl<T> Feed<T> {
    pub fn new() -> Self {
        Self { items: Mutex::new(Vec::new()), changed: Condvar::new() }
    }

    pub fn push(&self, item: T) {
        self.items.lock().unwrap().push(item);
        self.changed.notify_all();
    }

    pub fn len(&self) -> usize {
        self.items.lock().unwrap().len()
    }

    /// Looks at the list after every change until `find` gives something or `deadline` passes.
    pub fn wait<R>(&self, deadline: Instant, mut find: impl FnMut(&mut Vec<T>) -> Option<R>) -> Option<R> {
        let mut items = self.items.lock().unwrap();
        loop {
            if let Some(found) = find(&mut items) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            items = self.changed.wait_timeout(items, left).unwrap().0;
        }
    }

    /// Looks at the list once.
    pub fn with<R>(&self, look: impl FnOnce(&mut Vec<T>) -> R) -> R {
        look(&mut self.items.lock().unwrap())
    }
}

/// Asks `condition` every 10 ms until it holds or `timeout` passes; true when it held. For what cannot be waited on
/// (another process's files and resources).
pub fn eventually(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A UDP port of 127.0.0.1 that was free a moment ago, for tools that cannot choose one themselves. Even, with the next
/// `count - 1` ports free as well; below the range the system hands out, each answer different from the last.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test binaries may run at the same time: start at a place of this process's own.
    let origin = std::process::id().wrapping_mul(2654) % 20_000;
    for _ in 0..1000 {
        let step = NEXT.fetch_add(u32::from(count.next_multiple_of(2)), Ordering::Relaxed);
        let base = (10_000 + (origin + step) % 20_000) as u16 & !1;
        if (base..base + count).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("no {count} free UDP ports in a row");
}
