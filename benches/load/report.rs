//! The table.

use std::time::Duration;

use crate::generator::Generator;
use crate::options::Options;
use crate::relay::Totals;
use crate::signalling::Counts;
use crate::usage::Spent;

pub fn machine(options: &Options, pinned: bool) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("relay on CPU {}, load on CPU {} ({})", options.relay_cpu, options.load_cpu, pin(pinned));
    println!("this program may use {cores} CPU(s)");
}

fn pin(pinned: bool) -> &'static str {
    if pinned { "pinned" } else { "not pinned: no taskset" }
}

pub fn media_head() {
    row(&MEDIA.map(str::to_owned));
    row(&MEDIA.map(|_| "---:".to_owned()));
}

pub fn media_row(
    generator: &Generator,
    calls: u32,
    counts: &Counts,
    spent: &Spent,
    (idle_kib, resident_kib): (u64, u64),
    totals: &Totals,
) {
    let outcome = generator.media.outcome();
    let seconds = spent.over.as_secs_f64();
    let call_seconds = seconds * counts.up.max(1) as f64;
    let per_call = resident_kib.saturating_sub(idle_kib) as f64 / counts.up.max(1) as f64;
    let now = &generator.signalling.counts;
    row(&[
        calls.to_string(),
        format!("{}/{}", counts.up, counts.failed),
        pair(&generator.signalling.set_up, 1e3),
        outcome.sent.to_string(),
        (outcome.sent - outcome.back).to_string(),
        format!("{}/{}/{}", outcome.repeated, outcome.disordered, generator.media.garbled),
        pair(&generator.media.to_agent, 1e3),
        pair(&outcome.round_trip, 1e3),
        pair(&outcome.beyond, 1e3),
        one(generator.media.jitter.quantile(0.99), 1e3),
        format!("{:.1}", 100.0 * spent.cpu.as_secs_f64() / seconds),
        format!("{:.0}", 1e6 * spent.cpu.as_secs_f64() / call_seconds),
        format!("{:.0}", 100.0 * spent.waiting.as_secs_f64() / seconds),
        format!("{:.1}", resident_kib as f64 / 1024.0),
        format!("{per_call:.0}"),
        format!("{}/{}/{}", totals.late_ticks, totals.dropped, totals.unrecorded),
        format!("{}/{}", now.sent_again, now.seen_again),
        one(generator.media.own_lateness.quantile(0.99), 1e3),
    ]);
    notes(generator, totals);
}

pub fn set_up_head() {
    row(&SET_UP.map(str::to_owned));
    row(&SET_UP.map(|_| "---:".to_owned()));
}

pub fn set_up_row(
    generator: &Generator,
    rate: u32,
    count: usize,
    spent: &Spent,
    (idle_kib, resident_kib): (u64, u64),
    totals: &Totals,
) {
    let counts = &generator.signalling.counts;
    row(&[
        rate.to_string(),
        format!("{}/{}", counts.up, counts.failed),
        pair(&generator.signalling.set_up, 1e3),
        format!("{}/{}", counts.sent_again, counts.seen_again),
        (count - counts.over.min(count)).to_string(),
        generator.announced.to_string(),
        format!("{:.1}", 100.0 * spent.cpu.as_secs_f64() / spent.over.as_secs_f64()),
        format!("{:.0}", 1e6 * spent.cpu.as_secs_f64() / count.max(1) as f64),
        format!("{:.0}", 100.0 * spent.waiting.as_secs_f64() / spent.over.as_secs_f64()),
        format!("{:.1}/{:.1}", idle_kib as f64 / 1024.0, resident_kib as f64 / 1024.0),
    ]);
    notes(generator, totals);
}

/// CPU by thread, in percent of one core.
pub fn threads(spent: &Spent) {
    let share = |cpu: &Duration| 100.0 * cpu.as_secs_f64() / spent.over.as_secs_f64();
    let list: Vec<String> =
        spent.by_thread.iter().map(|(name, cpu)| format!("{name} {:.1} %", share(cpu))).collect();
    println!("  threads: {}", list.join(", "));
}

fn notes(generator: &Generator, totals: &Totals) {
    let mut notes = Vec::new();
    if let Some(status) = generator.signalling.counts.first_failure {
        notes.push(format!("first failed call: {status}"));
    }
    if generator.stalled() > 0 {
        notes.push(format!("{} messages not sent back: the relay did not read", generator.stalled()));
    }
    if let Some(how) = generator.agent_ended() {
        notes.push(format!("an agent's connection ended: {how}"));
    }
    if totals.send_errors + totals.lost > 0 {
        notes.push(format!(
            "the relay counts {} send errors, {} lost packets",
            totals.send_errors, totals.lost
        ));
    }
    let up = generator.signalling.counts.up as u64;
    if totals.calls > 0 && totals.calls < up {
        notes.push(format!("the relay's own figures are of {} calls: it left log lines out", totals.calls));
    }
    if let Some(warning) = &totals.first_warning {
        notes.push(format!("{} warnings, the first: {warning}", totals.warnings));
    }
    if let Some(error) = &generator.first_error {
        notes.push(format!("first error message: {error}"));
    }
    notes.iter().for_each(|note| println!("  {note}"));
}

fn pair(histogram: &crate::histogram::Histogram, scale: f64) -> String {
    format!("{} / {}", one(histogram.quantile(0.5), scale), one(histogram.quantile(0.99), scale))
}

fn one(time: Option<Duration>, scale: f64) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.2}", time.as_secs_f64() * scale))
}

fn row<const N: usize>(cells: &[String; N]) {
    println!("| {} |", cells.join(" | "));
}

const MEDIA: [&str; 18] = [
    "calls",
    "ok/failed",
    "set-up ms",
    "frames",
    "lost",
    "dup/order/garbled",
    "to agent ms",
    "round trip ms",
    "beyond framing ms",
    "jitter p99 ms",
    "CPU %",
    "CPU µs/call-s",
    "waited %",
    "RSS MB",
    "KB/call",
    "late/dropped/unrecorded",
    "SIP again",
    "load late p99 ms",
];
const SET_UP: [&str; 10] = [
    "calls/s",
    "ok/failed",
    "set-up ms",
    "SIP again",
    "not ended",
    "announced",
    "CPU %",
    "CPU µs/call",
    "waited %",
    "RSS MB before/after",
];
