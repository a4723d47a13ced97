//! What the relay and the call center together add to a turn, with services that take a fixed time.
//!
//! The figures of docs/performance.md come from the test that is ignored:
//!
//! ```text
//! CALL_CENTER_LOAD=50 cargo test --release --test call_center_load -- --ignored --nocapture
//! ```

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::free_ports;
use common::http::{metrics, value};
use common::pbx::PbxCall;
use common::relay::Relay;
use common::rtp_end::is_loud;
use common::talk::Talk;
use testkit::openai::{Reply, Stage};
use testkit::{tone, voice};

/// What each service takes until its answer comes, all at once.
const SERVICES: [(Stage, Duration); 3] = [
    (Stage::Transcription, Duration::from_millis(150)),
    (Stage::Chat, Duration::from_millis(200)),
    (Stage::Speech, Duration::from_millis(100)),
];
/// The setting's default.
const END_OF_TURN: Duration = Duration::from_millis(500);

#[test]
fn every_turn_of_five_conversations_at_once_is_answered_once() {
    let (turns, text) = run(5, 2);
    assert_eq!(turns.len(), 10);
    assert!(turns.iter().all(Option::is_some), "{turns:?}");
    assert_eq!(value(&text, "call_center_turns_total"), 10.0);
    assert_eq!(value(&text, "call_center_conversations_started_total"), 5.0);
    assert_eq!(value(&text, "call_center_interruptions_total"), 0.0);
    assert_eq!(value(&text, "call_center_dropped_audio_total"), 0.0);
    assert_eq!(value(&text, r#"call_center_turn_seconds_count{stage="own"}"#), 10.0);
}

#[test]
#[ignore = "a measurement: it takes a quiet machine, and asserts nothing about time"]
fn added_delay_of_many_conversations_at_once() {
    let conversations = std::env::var("CALL_CENTER_LOAD").map_or(50, |n| n.parse().unwrap());
    let (turns, text) = run(conversations, 10);
    let mut added: Vec<f64> = turns.iter().flatten().map(|added| added.as_secs_f64() * 1e3).collect();
    added.sort_by(f64::total_cmp);
    let at = |share: f64| added[((added.len() - 1) as f64 * share).round() as usize];
    eprintln!(
        "{conversations} conversations, {} of {} turns answered; added ms p50 {:.1}, p90 {:.1}, p99 {:.1}, most {:.1}",
        added.len(),
        turns.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
    );
    let series = |part: &str| value(&text, &format!("call_center_turn_seconds_{part}{{stage=\"own\"}}"));
    eprintln!("own share of the call center, mean ms {:.2}", series("sum") / series("count") * 1e3);
    eprintln!("audio dropped: {}", value(&text, "call_center_dropped_audio_total"));
    assert_eq!(added.len(), turns.len(), "every turn is answered");
}

/// For each turn, what was added to it: from the caller's last word to the first audio of the answer, less the silence that
/// ends a turn and the time of the services; `None` without an answer. And the metrics when all is over.
fn run(conversations: usize, turns: usize) -> (Vec<Option<Duration>>, String) {
    let ports = u16::try_from(conversations * 4).unwrap();
    let first = free_ports(ports);
    let (start, end) = (first.to_string(), (first + ports - 1).to_string());
    let relay = Relay::start(&[("RTP_PORT_START", &start), ("RTP_PORT_END", &end)]);
    let way = relay.ws();
    let scene = Talk::through(relay, way, &[("CALL_CENTER_METRICS_ADDR", "0")]);
    for (stage, delay) in SERVICES {
        let reply = match stage {
            Stage::Transcription => Reply::transcript("hello"),
            Stage::Chat => Reply::chat("Good day."),
            Stage::Speech => Reply::pcm(&tone::tone(440.0, 24_000, 1000)),
        };
        scene.server.always(stage, reply.delay(delay));
    }
    let said = said();
    let calls: Vec<PbxCall> = (0..conversations).map(|_| scene.call(0)).collect();
    let callers = calls.into_iter().enumerate().map(|(n, mut call)| {
        let said = said.clone();
        thread::spawn(move || {
            // Not all at the same moment, or the machine is idle between them.
            call.rtp.send_pcm(&vec![0; 8000 + 160 * (137 * n % 150)]);
            let added = (0..turns).map(|_| take_turn(&mut call, &said)).collect::<Vec<_>>();
            call.bye();
            added
        })
    });
    let callers: Vec<_> = callers.collect();
    let added = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    let asked = |stage| scene.server.requests_of(stage).len();
    let counts = SERVICES.map(|(stage, _)| asked(stage));
    assert_eq!(counts, [conversations * turns; 3], "one request of each kind for each turn");
    let line = scene.center.expect_log("Metrics served on ");
    let address = line.split(' ').find_map(|word| word.parse().ok()).unwrap();
    (added, metrics(address))
}

/// The caller speaks, and is silent for as long as the answer and its end take.
fn take_turn(call: &mut PbxCall, said: &[i16]) -> Option<Duration> {
    let before = call.rtp.arrivals().len();
    call.rtp.send_pcm(said);
    // The last packet left 20 ms ago, and holds the 20 ms before that.
    let last_word = Instant::now() - Duration::from_millis(20);
    call.rtp.send_pcm(&[0; 8 * 3000]);
    let arrivals = call.rtp.arrivals();
    let first =
        arrivals[before..].iter().find(|arrival| is_loud(&arrival.packet) && arrival.at > last_word)?;
    let services: Duration = SERVICES.iter().map(|(_, delay)| *delay).sum();
    Some((first.at - last_word).saturating_sub(END_OF_TURN + services))
}

/// Speech that ends with a word, not with the pause behind it.
fn said() -> Vec<i16> {
    let speech = voice::speech(8000, 1600, 1);
    let frames = speech.len() / 160;
    let last = (0..frames).rev().find(|n| tone::rms(&speech[n * 160..(n + 1) * 160]) > 500.0).unwrap();
    speech[..(last + 1) * 160].to_vec()
}
