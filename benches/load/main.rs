//! Calls over loopback against the relay's own binary: every frame marked, every frame accounted for.
//!
//! The relay runs as a child process on one CPU, this program on another: callers (SIP, RTP) on one side, WebSocket agents
//! that send every frame back on the other. One table row per step; docs/performance.md says what each column means.
//! Linux only: the relay's CPU time and memory come from /proc.

// A bench prints its table, and ends with a panic where it cannot go on.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod agent;
mod generator;
mod histogram;
mod media;
mod options;
mod relay;
mod report;
mod signalling;
mod usage;
mod watermark;
mod wire;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clap::Parser;

use generator::{Generator, idle_media};
use options::Options;
use relay::Relay;

fn main() {
    let options = Options::parse();
    if !options.bench {
        // `cargo test --all-targets` runs benches too, without optimisation.
        println!("load: nothing to test; run `cargo bench --bench load`");
        return;
    }
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let pinned = relay::pin_self(&options.load_cpu);
    report::machine(&options, pinned);
    match &options.set_up {
        Some(rates) => {
            report::set_up_head();
            for (run, &rate) in rates.iter().enumerate() {
                set_up_step(&options, run as u32, rate);
            }
        }
        None => {
            report::media_head();
            for (run, &calls) in options.calls.iter().enumerate() {
                media_step(&options, run as u32, calls);
            }
        }
    }
}

/// So many calls at once, all with audio, for the measured time.
fn media_step(options: &Options, run: u32, calls: u32) {
    let relay = Relay::start(options);
    let count = calls as usize;
    let mut generator = Generator::new(relay.addresses, run, count, options.clients as usize, true);
    generator.run_until(Instant::now() + SETTLE);
    let idle_kib = relay.usage.resident_kib();

    let mut next = 0;
    let start = Instant::now();
    while !generator.signalling.settled() {
        let due = start + Duration::from_secs(1) * next as u32 / options.ramp;
        if next < count && Instant::now() >= due {
            let address = generator.media.address(next);
            generator.signalling.invite(next, address);
            next += 1;
        } else {
            generator.turn(if next < count { due } else { Instant::now() + SETTLE });
        }
    }
    generator.run_until(Instant::now() + options.warm_up());
    let before = relay.usage.read();
    generator.media.count_for(options.seconds());
    generator.run_until(Instant::now() + options.seconds());
    let after = relay.usage.read();
    let resident_kib = relay.usage.resident_kib();
    // The load stays as it was until the last frame that counts is back.
    generator.run_until(Instant::now() + TAIL);
    generator.media.close();

    let counts = generator.signalling.counts.clone();
    let mut due = Instant::now();
    for call in 0..count {
        generator.signalling.bye(call);
        due += Duration::from_secs(1) / options.ramp;
        generator.run_until(due);
    }
    let deadline = Instant::now() + END;
    while !generator.signalling.finished() && Instant::now() < deadline {
        generator.turn(deadline);
    }
    generator.run_until(Instant::now() + SETTLE);
    let totals = relay.stop();
    let spent = before.until(&after);
    report::media_row(&generator, calls, &counts, &spent, (idle_kib, resident_kib), &totals);
    if options.threads {
        report::threads(&spent);
    }
}

/// So many calls per second for the measured time, each ended soon after it came up, without audio from callers.
fn set_up_step(options: &Options, run: u32, rate: u32) {
    let relay = Relay::start(options);
    let count = rate as usize * options.seconds().as_secs() as usize;
    let mut generator = Generator::new(relay.addresses, run, count, options.clients as usize, false);
    generator.run_until(Instant::now() + SETTLE);
    let (_idle, media) = idle_media();
    let idle_kib = relay.usage.resident_kib();

    let before = relay.usage.read();
    let start = Instant::now();
    let mut leaving = VecDeque::new();
    let mut next = 0;
    let deadline = start + options.seconds() + options.hold() + END;
    while !generator.signalling.finished() && Instant::now() < deadline {
        let now = Instant::now();
        let due = start + Duration::from_secs(1) * next as u32 / rate;
        if next < count && now >= due {
            generator.signalling.invite(next, media);
            leaving.push_back((now + options.hold(), next));
            next += 1;
        }
        // A call that is not up yet is asked again later.
        while leaving.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, call)) = leaving.pop_front() else { break };
            if !generator.signalling.bye(call) {
                leaving.push_back((now + options.hold().max(TAIL), call));
            }
        }
        generator.turn(if next < count { due } else { deadline });
    }
    let after = relay.usage.read();
    let kib = (idle_kib, relay.usage.resident_kib());
    generator.run_until(Instant::now() + SETTLE);
    let totals = relay.stop();
    let spent = before.until(&after);
    report::set_up_row(&generator, rate, count, &spent, kib, &totals);
    if options.threads {
        report::threads(&spent);
    }
}

/// Lets the relay become idle.
const SETTLE: Duration = Duration::from_millis(300);
/// The time that the last frames get to come back.
const TAIL: Duration = Duration::from_millis(500);
/// The time that the last calls get to end.
const END: Duration = Duration::from_secs(10);
