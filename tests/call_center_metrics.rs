//! What the call center counts, as docs/metrics.md says, and where it shows it.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use common::call_center::CallCenter;
use common::http::{find, get, metrics, try_get, value};
use common::talk::{LONG, Talk, expect_heard, turn};
use common::{WAIT, eventually};
use testkit::openai::{Reply, Stage};
use testkit::{tone, voice};

/// Every service takes so long.
const DELAY: Duration = Duration::from_millis(200);

#[test]
fn turns_interruptions_and_failures_are_counted_and_stages_measured() {
    let scene = Talk::new(&[("CALL_CENTER_METRICS_ADDR", "0")]);
    let address = served(&scene.center);
    assert!(get(address, "/health").1.starts_with(r#"{"status":"ok","#));
    assert!(eventually(WAIT, || value(&metrics(address), "call_center_connected") == 1.0));

    let server = &scene.server;
    server.next(Stage::Transcription, Reply::transcript("hello").delay(DELAY));
    server.next(Stage::Chat, Reply::chat("One long sentence.").delay(DELAY));
    let speech = Reply::pcm(&tone::tone(440.0, 24_000, 10_000)).delay(DELAY);
    server.next(Stage::Speech, speech);
    let mut call = scene.call(0);
    turn(&mut call);
    expect_heard(&call, 800);
    let text = metrics(address);
    assert_eq!(value(&text, "call_center_conversations"), 1.0);
    assert_eq!(value(&text, "call_center_turns_total"), 1.0);
    for stage in ["transcript", "first-token", "first-audio", "first-line", "total", "own"] {
        assert_eq!(
            value(&text, &format!("call_center_turn_seconds_count{{stage=\"{stage}\"}}")),
            1.0,
            "{stage}"
        );
    }
    let seconds = |stage: &str| value(&text, &format!("call_center_turn_seconds_sum{{stage=\"{stage}\"}}"));
    for stage in ["transcript", "first-token", "first-audio"] {
        assert!(seconds(stage) >= DELAY.as_secs_f64(), "{stage}: {}", seconds(stage));
    }
    let parts = ["transcript", "first-token", "first-audio", "first-line"].map(seconds).iter().sum::<f64>();
    assert!((parts - seconds("total")).abs() < 1e-6, "the stages are the total");
    assert!(seconds("own") < seconds("total") - 3.0 * DELAY.as_secs_f64(), "services are not our own share");

    // The caller interrupts; his next turn fails at one service after the other.
    server.next(Stage::Transcription, Reply::error(401, "wrong key"));
    server.next(Stage::Speech, Reply::error(400, "no voice"));
    call.rtp.send_pcm(&[voice::speech(8000, 1000, 2), vec![0; 8000]].concat());
    server.expect(Stage::Speech, 2, LONG);
    let counted = |series: &str| find(&metrics(address), series).unwrap_or(0.0);
    for series in [
        "call_center_interruptions_total",
        r#"call_center_service_failures_total{service="transcription",kind="unauthorised"}"#,
        r#"call_center_service_failures_total{service="speech",kind="refused"}"#,
        r#"call_center_apologies_total{voice="spoken"}"#,
        r#"call_center_apologies_total{voice="recorded"}"#,
    ] {
        assert!(eventually(WAIT, || counted(series) == 1.0), "{series}: {}", counted(series));
    }
    call.bye();
    assert!(eventually(WAIT, || counted("call_center_conversations") == 0.0));
    assert_eq!(counted("call_center_turns_total"), 1.0, "an apology is no answer");
    assert!(scene.relay.terminate().success());
    assert!(eventually(WAIT, || counted("call_center_connected") == 0.0));
}

#[test]
fn metrics_are_served_only_where_that_is_wanted_and_with_the_token_away_from_loopback() {
    let talk = Talk::new(&[]);
    assert_eq!(talk.center.count_log("Metrics served on"), 0);

    let settings = [("CALL_CENTER_METRICS_ADDR", "0.0.0.0:0"), ("WS_TOKEN", "hunter2")];
    let center = CallCenter::start(talk.relay.ws(), &["--agent", "echo"], &settings);
    let address = SocketAddr::from(([127, 0, 0, 1], served(&center).port()));
    assert_eq!(try_get(address, "/metrics").map(|answer| answer.0), Some(401));
    assert_eq!(get(address, "/metrics?token=hunter2").0, 200);
    assert_eq!(get(address, "/other").0, 404);

    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let settings = [("CALL_CENTER_METRICS_ADDR", port.as_str())];
    let mut center = CallCenter::launch(talk.relay.ws(), &["--agent", "echo"], &settings);
    assert_eq!(center.wait_exit().code(), Some(1));
    center.expect_log(&format!("cannot listen on 127.0.0.1:{port} (CALL_CENTER_METRICS_ADDR): "));
}

/// Where a call center serves them.
fn served(center: &CallCenter) -> SocketAddr {
    let line = center.expect_log("Metrics served on ");
    let rest = line.split("Metrics served on ").nth(1).unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}
