//! `/health`, `/ready` and `/metrics` of a running relay: calls and clients change them as docs/metrics.md says.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::http::{self, get, value};
use common::pbx::{Invite, Pbx};
use common::relay::Relay;
use common::ws::WsClient;
use common::{WAIT, eventually, free_ports};

const NUMBER: &str = "0903383638";

#[test]
fn call_is_counted_and_leaves_every_gauge_at_zero() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut ws = WsClient::connect(relay.ws(), "");
    ws.assert_open();
    let before = metrics(&relay);
    assert_eq!(value(&before, "sip_relay_websocket_clients"), 1.0);
    assert_eq!(value(&before, "sip_relay_rtp_ports"), 10.0);
    assert!(!has(&before, "sip_relay_calls_ended_total"), "nothing has ended");

    let mut call = pbx.call(relay.sip(), Invite::default());
    let call_id = call.call_id();
    ws.expect_all(&[&format!("RING_ANS:{NUMBER}##{call_id}"), &format!("CALL_ANS:{call_id}")]);
    call.rtp.send_payload(&[0x8f; 160 * 30]);
    ws.expect_rtp(30, WAIT);
    let during = metrics(&relay);
    for (series, expected) in [
        (r#"sip_relay_calls{direction="inbound",state="up"}"#, 1.0),
        (r#"sip_relay_calls{direction="inbound",state="answered"}"#, 0.0),
        (r#"sip_relay_calls_started_total{direction="inbound"}"#, 1.0),
        (r#"sip_relay_calls_started_total{direction="outbound"}"#, 0.0),
        ("sip_relay_rtp_ports_in_use", 1.0),
        ("sip_relay_recordings_open", 1.0),
        (r#"sip_relay_call_setup_seconds_count{direction="inbound"}"#, 1.0),
    ] {
        assert_eq!(value(&during, series), expected, "{series}");
    }
    eventually_is(&relay, "sip_relay_sip_dialogs", 1.0);

    ws.send("CALL_ANS:nobody");
    ws.send("RTP:nobody##AAA=");
    call.bye();
    ws.expect_all(&[&format!("BYE:{call_id}")]);
    drop(ws);
    for gauge in GAUGES {
        eventually_is(&relay, gauge, 0.0);
    }
    let after = metrics(&relay);
    for (series, expected) in [
        (r#"sip_relay_calls_ended_total{reason="remote-bye",party="caller"}"#, 1.0),
        ("sip_relay_rtp_received_packets_total", 30.0),
        ("sip_relay_rtp_received_bytes_total", 4800.0),
        ("sip_relay_rtp_lost_packets_total", 0.0),
        ("sip_relay_rtp_jitter_seconds_count", 1.0),
        (r#"sip_relay_rtp_sent_packets_total{content="audio"}"#, 0.0),
        (r#"sip_relay_rtp_discarded_packets_total{reason="foreign-source"}"#, 0.0),
        ("sip_relay_recordings_total", 1.0),
        ("sip_relay_recordings_failed_total", 0.0),
        ("sip_relay_websocket_connections_total", 1.0),
        (r#"sip_relay_websocket_closed_total{code="1006",reason="lost"}"#, 1.0),
        (r#"sip_relay_commands_total{verb="CALL_ANS"}"#, 1.0),
        (r#"sip_relay_commands_total{verb="RTP"}"#, 1.0),
        (r#"sip_relay_commands_refused_total{status="481"}"#, 2.0),
        (r#"sip_relay_dropped_total{queue="recorder"}"#, 0.0),
        (r#"sip_relay_dropped_total{queue="playout"}"#, 0.0),
    ] {
        assert_eq!(value(&after, series), expected, "{series}");
    }
    assert!(value(&after, r#"sip_relay_rtp_sent_packets_total{content="silence"}"#) >= 30.0);
    assert!(value(&after, r#"sip_relay_sip_datagrams_total{direction="received"}"#) >= 3.0);
    for secret in [NUMBER, call_id.as_str(), "127.0.0.1"] {
        assert!(!after.contains(secret), "{secret} is in:\n{after}");
    }
}

#[test]
fn outbound_call_is_counted_from_dialling_to_the_hangup() {
    let pbx = Pbx::new();
    let [server, port] = pbx.settings();
    let relay = Relay::start(&[(server.0, &server.1), (port.0, &port.1)]);
    let mut ws = WsClient::connect(relay.ws(), "");
    ws.send("CALL:0912341234");
    let mut call = pbx.expect_call();
    let live = |state: &str| format!(r#"sip_relay_calls{{direction="outbound",state="{state}"}}"#);
    assert_eq!(value(&metrics(&relay), &live("dialing")), 1.0);
    call.respond(180, "Ringing");
    ws.wait_for("RING_ANS:");
    assert_eq!(value(&metrics(&relay), &live("ringing")), 1.0);
    call.answer(&[0]);
    ws.wait_for("CALL_ANS:");
    assert_eq!(value(&metrics(&relay), &live("up")), 1.0);
    ws.send("BYE");
    call.expect_bye();
    ws.wait_for("BYE:");
    ws.send("CALL:12");
    ws.wait_for("CALL_FAILED:484");

    let after = metrics(&relay);
    for (series, expected) in [
        (r#"sip_relay_calls_ended_total{reason="agent-hangup",party="agent"}"#, 1.0),
        (r#"sip_relay_call_setup_seconds_count{direction="outbound"}"#, 1.0),
        (r#"sip_relay_commands_total{verb="BYE"}"#, 1.0),
        (r#"sip_relay_commands_refused_total{status="484"}"#, 1.0),
    ] {
        assert_eq!(value(&after, series), expected, "{series}");
    }
}

#[test]
fn refused_calls_and_connections_are_counted_by_their_reason() {
    let port = free_ports(4);
    let (start, end) = (port.to_string(), (port + 3).to_string());
    let relay = Relay::start(&[
        ("RTP_PORT_START", &start),
        ("RTP_PORT_END", &end),
        ("WS_TOKEN", "s3cret"),
        ("WS_MAX_MESSAGE_BYTES", "1024"),
    ]);
    let pbx = Pbx::new();
    let mut first = pbx.call(relay.sip(), Invite { listen: false, ..Invite::default() });
    let mut second = pbx.invite(relay.sip(), Invite { listen: false, ..Invite::default() });
    second.expect_response(503);
    second.ack();
    let mut video = pbx.invite(relay.sip(), Invite { listen: false, formats: vec![34], ..Invite::default() });
    video.expect_response(503);
    video.ack();
    first.bye();
    eventually_is(&relay, "sip_relay_rtp_ports_in_use", 0.0);
    let mut video = pbx.invite(relay.sip(), Invite { listen: false, formats: vec![34], ..Invite::default() });
    video.expect_response(488);
    video.ack();
    assert_eq!(WsClient::open(relay.ws(), "/", &[]).err(), Some(401));
    assert_eq!(WsClient::open(relay.ws(), "/?token=s3cret&mode=loud", &[]).err(), Some(400));
    let mut ws = WsClient::connect(relay.ws(), "token=s3cret");
    ws.send(&"x".repeat(2000));
    assert_eq!(ws.expect_close(), Some(1009));

    eventually_is(&relay, "sip_relay_websocket_clients", 0.0);
    let text = metrics(&relay);
    for (series, expected) in [
        (r#"sip_relay_calls_refused_total{direction="inbound",reason="no-free-port"}"#, 2.0),
        (r#"sip_relay_calls_refused_total{direction="inbound",reason="no-common-codec"}"#, 1.0),
        (r#"sip_relay_websocket_refused_total{status="401"}"#, 1.0),
        (r#"sip_relay_websocket_refused_total{status="400"}"#, 1.0),
        (r#"sip_relay_websocket_closed_total{code="1009",reason="too-big"}"#, 1.0),
        (r#"sip_relay_calls_started_total{direction="inbound"}"#, 1.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    assert!(!text.contains("s3cret"));
}

#[test]
fn plain_get_is_a_page_at_the_root_and_an_upgrade_elsewhere() {
    let relay = Relay::start(&[]);
    let (status, page) = get(relay.ws(), "/");
    assert_eq!(status, 200);
    assert!(page.contains("sip-relay") && page.contains("CALL:0912341234"), "{page}");
    assert_eq!(get(relay.ws(), "/any/path").0, 426, "what is no route is for WebSockets");
}

#[test]
fn stopping_relay_is_healthy_and_not_ready() {
    let mut relay = Relay::start(&[]);
    let pbx = Pbx::new();
    assert!(eventually(WAIT, || get(relay.ws(), "/ready").0 == 200));
    assert_eq!(get(relay.ws(), "/ready").1, "{\"status\":\"ready\"}\n");
    let mut call = pbx.call(relay.sip(), Invite { listen: false, ..Invite::default() });
    relay.signal_terminate();
    // Until its BYE is answered the relay waits, and serves.
    let bye = call.expect_request("BYE");
    let (status, body) = get(relay.ws(), "/ready");
    let expected = "{\"status\":\"not ready\",\"reason\":\"the relay is stopping\"}\n";
    assert_eq!((status, body.as_str()), (503, expected));
    let (status, body) = get(relay.ws(), "/health");
    assert_eq!(status, 200);
    assert!(body.starts_with(r#"{"status":"ok","#), "{body}");
    call.respond_to(&bye, 200, "OK");
    assert!(relay.wait_exit(WAIT).success());
}

#[test]
fn metrics_ask_for_the_token_where_others_can_reach_them() {
    let relay = Relay::start(&[("WS_HOST", "0.0.0.0"), ("WS_TOKEN", "s3cret")]);
    let open = |path: &str| get(relay.ws(), path).0;
    assert_eq!(open("/metrics"), 401);
    assert_eq!(open("/metrics?token=guess"), 401);
    assert_eq!(open("/metrics?token=s3cret"), 200);
    assert_eq!(open("/health"), 200);
    assert_eq!(open("/"), 200);
    assert_eq!(open("/elsewhere"), 426, "every other path is for WebSockets");
}

/// What must be zero when nothing is there.
const GAUGES: &[&str] = &[
    r#"sip_relay_calls{direction="inbound",state="ringing"}"#,
    r#"sip_relay_calls{direction="inbound",state="answered"}"#,
    r#"sip_relay_calls{direction="inbound",state="up"}"#,
    r#"sip_relay_calls{direction="inbound",state="ending"}"#,
    "sip_relay_rtp_ports_in_use",
    "sip_relay_recordings_open",
    "sip_relay_websocket_clients",
    "sip_relay_sip_dialogs",
    "sip_relay_backlog_events",
];

fn metrics(relay: &Relay) -> String {
    http::metrics(relay.ws())
}

fn eventually_is(relay: &Relay, series: &str, expected: f64) {
    let reached = eventually(WAIT, || value(&metrics(relay), series) == expected);
    assert!(reached, "{series} is {}, not {expected}", value(&metrics(relay), series));
}

fn has(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.starts_with(name))
}
