//! Many clients of the library in one process register, call each other, hang up and go, and leave nothing behind.
//!
//! `CLIENTS=500 cargo test --test client_many -- --nocapture` prints what they cost.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::registrar::Registrar;
use common::{WAIT, eventually};
use futures_util::future::join_all;
use sip_relay::client::{AudioFormat, CallState, SimpleSipClient};

/// What the process holds (Linux).
#[derive(Debug, Clone, Copy)]
struct Held {
    files: usize,
    threads: usize,
    kib: usize,
}

fn held() -> Held {
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    Held {
        files: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
    }
}

#[test]
fn clients_come_and_go_and_leave_nothing_behind() {
    let clients: usize = std::env::var("CLIENTS").map_or(40, |count| count.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let registrar = Registrar::start();
    // The threads that all clients share start with the first one.
    runtime.block_on(round(&registrar, 2));
    // The threads of its callbacks end by themselves.
    let before = (0..50).map(|_| held()).inspect(|_| pause()).min_by_key(|held| held.threads).unwrap();
    let mut after = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let during = runtime.block_on(round(&registrar, clients));
        eprintln!("{clients} clients: before {before:?}, during {during:?}, {:?}", begun.elapsed());
        // A call's two sockets and what waits for them are there while it lasts; a callback's thread, until it is removed.
        assert!(during.threads <= before.threads + CALLBACKS, "{during:?}");
        let gone = eventually(WAIT, || held().files <= before.files && held().threads <= before.threads);
        assert!(gone, "before {before:?}, after {:?}", held());
        assert_eq!(registrar.registered(), 0);
        after.push(held());
    }
    eprintln!("after each round: {after:?}");
    // The first two rounds fill the allocator's own stores.
    let growth = after[ROUNDS - 1].kib.saturating_sub(after[1].kib);
    assert!(growth < 2048, "{growth} KiB more after {} clients: {after:?}", clients * (ROUNDS - 2));
}

/// How often all clients come and go.
const ROUNDS: usize = 5;

/// Lets threads end that nobody can wait for.
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// How many clients of a round listen.
const CALLBACKS: usize = 4;
/// Calls at once; each has two legs in this process.
const WAVE: usize = 10;

/// `count` clients register, call each other in pairs, are heard, hang up and disconnect.
async fn round(registrar: &Registrar, count: usize) -> Held {
    let new = |n: usize| {
        let builder = SimpleSipClient::builder(&format!("user{n}"), "pw", "127.0.0.1");
        let builder = builder.port(registrar.address().port()).auto_answer(Duration::ZERO);
        builder.connect_timeout(Duration::from_secs(20)).build()
    };
    let clients: Vec<SimpleSipClient> = (0..count).map(new).collect();
    let connected = join_all(clients.iter().map(SimpleSipClient::connect)).await;
    assert!(connected.iter().all(|outcome| *outcome == Ok(true)), "{connected:?}");
    assert_eq!(registrar.registered(), count);

    let frames = Arc::new(AtomicUsize::new(0));
    for client in &clients[..CALLBACKS.min(count)] {
        let frames = frames.clone();
        let heard = move |_: &[u8], _| {
            frames.fetch_add(1, Ordering::Relaxed);
        };
        client.set_audio_callback(heard, AudioFormat::Pcm);
    }
    let pairs: Vec<(usize, &[SimpleSipClient])> = clients.chunks_exact(2).enumerate().collect();
    for wave in pairs.chunks(WAVE) {
        join_all(wave.iter().map(|(n, pair)| talk(&pair[0], &pair[1], format!("user{}", n * 2 + 1)))).await;
    }
    assert!(frames.load(Ordering::Relaxed) > 0, "nothing was heard");
    let during = held();
    let left = join_all(clients.iter().map(SimpleSipClient::disconnect)).await;
    assert!(left.iter().all(Result::is_ok), "{left:?}");
    during
}

async fn talk(caller: &SimpleSipClient, callee: &SimpleSipClient, name: String) {
    assert_eq!(caller.make_call(&name).await, Ok(true));
    caller.wait_connected(Duration::from_secs(20)).await.unwrap();
    caller.send_audio(&[1; 3200]).unwrap();
    for client in [caller, callee] {
        client.watch_state().wait_for(|state| *state == CallState::Streaming).await.unwrap();
    }
    callee.hangup_call().await.unwrap();
    caller.watch_state().wait_for(|state| *state == CallState::Idle).await.unwrap();
}
