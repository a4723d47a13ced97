//! Calls with every frame marked and echoed, while everything that can be thrown at a relay is thrown at it at once.
//!
//! `HOSTILE_SECONDS=600 HOSTILE_CALLS=50 cargo test --release --test hostile_load -- --nocapture` is the long form, whose
//! figures are in docs/performance.md. What counts is what the relay loses, not how late a busy machine is.

// Helpers of tests are test code, too, and this one prints its table.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

// The callers and their agent are those of the load bench.
#[path = "../benches/load/agent.rs"]
#[allow(dead_code)]
mod agent;
#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "hostile/datagrams.rs"]
mod datagrams;
#[path = "../benches/load/generator.rs"]
#[allow(dead_code)]
mod generator;
#[path = "../benches/load/histogram.rs"]
mod histogram;
#[path = "../benches/load/media.rs"]
#[allow(dead_code)]
mod media;
#[path = "hostile/programs.rs"]
mod programs;
#[path = "../benches/load/signalling.rs"]
#[allow(dead_code)]
mod signalling;
#[path = "../benches/load/watermark.rs"]
mod watermark;
#[path = "../benches/load/wire.rs"]
mod wire;

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use attacks::{Did, Target};
use common::relay::Relay;
use common::{free_ports, http};
use generator::{Addresses, CALLER_IP, Generator};
use programs::{Health, Resumed};

#[test]
fn good_calls_lose_nothing_while_everything_attacks() {
    let (seconds, calls) = (number("HOSTILE_SECONDS", 20), number("HOSTILE_CALLS", 10) as usize);
    let ports = 4 * (calls + SPARE_CALLS) as u16;
    let base = free_ports(ports);
    let relay = Relay::start(&[
        ("SIP_ALLOWED_PEERS", &[CALLER_IP, datagrams::MAD_PEER, programs::SCANNER].join(",")),
        ("RTP_PORT_START", &base.to_string()),
        ("RTP_PORT_END", &(base + ports - 1).to_string()),
        ("WS_SEND_QUEUE_MAX", "5000"),
    ]);
    let mut good = Generator::new(Addresses { sip: relay.sip(), ws: relay.ws() }, 0, calls, 1, true);
    bring_up(&mut good, calls);
    let before = http::metrics(relay.ws());

    let target = Target { ws: relay.ws(), stop: AtomicBool::new(false) };
    let (did, resumed, health) = attack(&relay, &target, &mut good, Duration::from_secs(seconds));
    let back = frames_come_back(&mut good);
    let after = http::metrics(relay.ws());

    report(&relay, (&before, &after), &did, &resumed, &health, &good);
    let failed = good.signalling.counts.failed;
    assert_eq!(
        (failed, good.stalled(), good.agent_ended()),
        (0, 0, None),
        "the good calls and their client stay"
    );
    assert!(back, "no frame is lost");
    let outcome = good.media.outcome();
    assert_eq!((outcome.repeated, outcome.disordered, good.media.garbled), (0, 0, 0));
    assert!(resumed.times > 0 && resumed.frames.len() > 50, "{} {}", resumed.times, resumed.frames.len());
    assert_eq!(resumed.gaps(), [], "a client that comes back misses nothing");
    assert_eq!(health.unwell, 0, "/health answers");
    assert_counted(&before, &after, &did);
    assert_flat(&health, seconds);
    end(good, calls);
}

/// All calls up, one after the other.
fn bring_up(good: &mut Generator, calls: usize) {
    for call in 0..calls {
        let address = good.media.address(call);
        good.signalling.invite(call, address);
        good.run_until(Instant::now() + Duration::from_millis(20));
    }
    let limit = Instant::now() + PATIENCE;
    while !good.signalling.settled() && Instant::now() < limit {
        good.turn(limit);
    }
    assert_eq!(good.signalling.counts.up, calls);
}

/// Everything at once, while the good calls go on.
fn attack(relay: &Relay, target: &Target, good: &mut Generator, time: Duration) -> (Did, Resumed, Health) {
    let media: Vec<(SocketAddr, u32)> = good
        .media
        .sockets()
        .map(|socket| (socket.peer_addr().unwrap(), media::ssrc(socket.local_addr().unwrap().port())))
        .collect();
    let first_call = good.signalling.ends().call_id(0);
    let sip = relay.sip();
    thread::scope(|scope| {
        let _stop = StopAtEnd(target);
        let mut attacks = Vec::new();
        for (name, attack) in attacks::ALL.iter().filter(|(name, _)| chosen(name)) {
            println!("attack: {name}");
            attacks.push(scope.spawn(move || attack(target)));
        }
        if chosen("sip") {
            attacks.push(scope.spawn(|| datagrams::sip(target, sip)));
        }
        if chosen("rtp") {
            attacks.push(scope.spawn(|| datagrams::rtp(target, &media)));
        }
        if chosen("scanners") {
            attacks.push(scope.spawn(|| programs::scanners(target, sip)));
        }
        let resumed = scope.spawn(|| programs::resuming(target, &first_call));
        let health = scope.spawn(|| programs::watching(target, relay));
        good.media.count_for(time);
        good.run_until(Instant::now() + time);
        target.stop.store(true, Ordering::Relaxed);
        // What the attackers still have to finish must not hold up the echo.
        while attacks.iter().any(|attack| !attack.is_finished()) {
            good.run_until(Instant::now() + Duration::from_millis(20));
        }
        let did = attacks.into_iter().flat_map(|attack| attack.join().unwrap()).collect();
        (did, resumed.join().unwrap(), health.join().unwrap())
    })
}

/// Threads of a scope are waited for, also after a panic: they must end.
struct StopAtEnd<'a>(&'a Target);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// A stall leaves a delay, so the last frames may take their time.
fn frames_come_back(good: &mut Generator) -> bool {
    good.media.close();
    let limit = Instant::now() + PATIENCE;
    loop {
        let outcome = good.media.outcome();
        if outcome.back == outcome.sent || Instant::now() >= limit {
            return outcome.back == outcome.sent && outcome.sent > 0;
        }
        good.run_until(Instant::now() + Duration::from_millis(200));
    }
}

/// What was refused shows in the metrics.
fn assert_counted(before: &str, after: &str, did: &Did) {
    let done = |name: &str| did.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name}")).1 as f64;
    let grown =
        |series: &str| http::find(after, series).unwrap_or(0.0) - http::find(before, series).unwrap_or(0.0);
    let at_least = |series: &str, least: f64| {
        assert!(grown(series) >= least, "{series}: {} of {least}", grown(series));
    };
    // The kernel drops what a busy process does not read in time.
    at_least("sip_relay_sip_not_allowed_total", done("SIP requests of a stranger") * 0.5);
    at_least("sip_relay_sip_malformed_total", done("SIP noise from an allowed peer") * 0.02);
    at_least(
        r#"sip_relay_rtp_discarded_packets_total{reason="foreign-source"}"#,
        done("RTP of a stranger") * 0.5,
    );
    let giants = done("500 MB frames announced") + done("messages of 500 MB in fragments");
    at_least(r#"sip_relay_websocket_closed_total{code="1009",reason="too-big"}"#, giants);
    at_least(r#"sip_relay_commands_refused_total{status="400"}"#, 1000.0);
    at_least(r#"sip_relay_commands_refused_total{status="481"}"#, 1000.0);
}

/// Memory does not go on growing once the queues of those who do not read are full, and transactions have begun to end.
fn assert_flat(health: &Health, seconds: u64) {
    if seconds < WARM_UP * 4 {
        let most = health.resident.iter().max().unwrap() / 1024;
        assert!(most < MOST_MIB, "{most} MiB");
        return;
    }
    let warm = WARM_UP as f64 / seconds as f64;
    let quarter = (1.0 - warm) / 4.0;
    let (first, last) =
        (health.resident_between(warm, warm + quarter), health.resident_between(1.0 - quarter, 1.0));
    assert!(last < first + SPARE_KIB, "{first} KiB, then {last} KiB");
}

fn end(mut good: Generator, calls: usize) {
    for call in 0..calls {
        good.signalling.bye(call);
    }
    let limit = Instant::now() + PATIENCE;
    while !good.signalling.finished() && Instant::now() < limit {
        good.turn(limit);
    }
    assert!(good.signalling.finished(), "every BYE is answered");
}

fn report(
    relay: &Relay,
    (before, after): (&str, &str),
    did: &Did,
    resumed: &Resumed,
    health: &Health,
    good: &Generator,
) {
    println!("\n| done | times |\n| --- | ---: |");
    did.iter().for_each(|(what, times)| println!("| {what} | {times} |"));
    println!("| session dropped and resumed | {} |", resumed.times);
    println!("\n| counted by the relay | |\n| --- | ---: |");
    for line in after.lines().filter(|line| line.starts_with("sip_relay_")) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let grown = value.parse().unwrap_or(0.0) - http::find(before, series).unwrap_or(0.0);
        if series.split('{').next().is_some_and(|name| name.ends_with("_total")) && grown > 0.0 {
            println!("| `{series}` | {grown} |");
        }
    }
    println!("| SIP datagrams that the kernel dropped | {} |", kernel_drops(relay.sip().port()));
    let outcome = good.media.outcome();
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!("\n| good calls | |\n| --- | ---: |");
    println!("| calls, failed | {}, {} |", good.signalling.counts.up, good.signalling.counts.failed);
    println!("| frames sent, lost | {}, {} |", outcome.sent, outcome.sent - outcome.back);
    println!(
        "| round trip p50, p99 ms | {}, {} |",
        ms(&outcome.round_trip, 0.5),
        ms(&outcome.round_trip, 0.99)
    );
    println!("| this program late p99 ms | {} |", ms(&good.media.own_lateness, 0.99));
    println!("| frames of the resumed session, gaps | {}, {} |", resumed.frames.len(), resumed.gaps().len());
    println!("| /health failed, slowest ms | {}, {:.1} |", health.unwell, health.slowest.as_secs_f64() * 1e3);
    let tenth =
        |n: usize| format!("{:.1}", mib(health.resident_between(n as f64 / 10.0, (n + 1) as f64 / 10.0)));
    println!("| RSS MiB, each tenth | {} |", (0..10).map(tenth).collect::<Vec<_>>().join(" "));
    println!("| RSS MiB, most | {:.1} |", mib(*health.resident.iter().max().unwrap_or(&0)));
}

fn ms(histogram: &histogram::Histogram, share: f64) -> String {
    histogram
        .quantile(share)
        .map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1e3))
}

/// Datagrams that came to a full receive buffer of a UDP port (Linux).
fn kernel_drops(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let port = format!(":{port:04X}");
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = lines.filter(|fields| fields.get(1).is_some_and(|local| local.ends_with(&port)));
    ours.filter_map(|fields| fields.last()?.parse::<u64>().ok()).sum()
}

/// Whether an attack is part of the run: all are, or those in `HOSTILE_ONLY`.
fn chosen(attack: &str) -> bool {
    std::env::var("HOSTILE_ONLY").map_or(true, |only| only.split(',').any(|name| name == attack))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Calls that may be up beyond the good ones.
const SPARE_CALLS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds until memory must not grow any more: 64·T1 and a little, after which transactions end as fast as they begin.
const WARM_UP: u64 = 60;
const SPARE_KIB: u64 = 8 * 1024;
/// For runs that are over before that.
const MOST_MIB: u64 = 300;
