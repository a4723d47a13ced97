//! The call center as a program: its start and its end, its connection, and the agents that need no services.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::call_center::CallCenter;
use common::pbx::{Invite, Pbx};
use common::relay::Relay;
use common::scene;
use common::temp::TempDir;
use common::ws::{WsClient, multi_rtp};
use common::{WAIT, eventually};
use testkit::{tone, voice};

#[test]
fn without_a_key_it_says_so_and_exits_with_1() {
    let dir = TempDir::new("no-key");
    dir.write("call_center.log", "of an earlier start\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_call_center"));
    let output = command.env_clear().current_dir(dir.path()).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "OPENAI_API_KEY is required\n");
    let log = fs::read_to_string(dir.path().join("call_center.log")).unwrap();
    assert!(log.starts_with("[ERROR] - ") && log.contains(" - OPENAI_API_KEY is required - "), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), log);
}

#[test]
fn interrupt_and_terminate_end_it_with_0() {
    let relay = Relay::start(&[]);
    for signal in ["INT", "TERM"] {
        let mut center = CallCenter::start(relay.ws(), &["--agent", "echo"], &[]);
        center.signal(signal);
        assert_eq!(center.wait_exit().code(), Some(0), "{signal}");
    }
}

#[test]
fn lost_connection_ends_it_with_1_where_it_may_not_connect_again() {
    let relay = Relay::start(&[]);
    let reconnect = [("CALL_CENTER_RECONNECT", "0")];
    let mut center = CallCenter::start(relay.ws(), &["--agent", "echo"], &reconnect);
    assert!(relay.terminate().success());
    assert_eq!(center.wait_exit().code(), Some(1));
    center.expect_log("connection to the relay lost");

    let mut center = CallCenter::launch(closed_port(), &["--agent", "echo"], &reconnect);
    assert_eq!(center.wait_exit().code(), Some(1));
    center.expect_log("cannot connect to the relay");
}

#[test]
fn lost_connection_is_made_again() {
    let address = closed_port();
    let center = CallCenter::launch(address, &["--agent", "echo"], &[]);
    center.expect_log("connecting again seconds=1");
    center.expect_log("connecting again seconds=2");
    let port = address.port().to_string();
    let relay = Relay::start(&[("WS_PORT", &port)]);
    center.expect_log("connected to the relay");
    assert!(relay.terminate().success());
    center.expect_log("connection to the relay lost");
    let _relay = Relay::start(&[("WS_PORT", &port)]);
    assert!(eventually(WAIT * 2, || center.count_log("connected to the relay") == 2));
}

#[test]
fn token_is_presented_and_never_logged() {
    let relay = Relay::start(&[("WS_TOKEN", "hunter2")]);
    let refused = CallCenter::launch(relay.ws(), &["--agent", "echo"], &[]);
    refused.expect_log("401");
    let settings = [("WS_TOKEN", "hunter2"), ("LOG_LEVEL", "TRACE")];
    let center = CallCenter::start(relay.ws(), &["--agent", "echo"], &settings);
    assert_eq!(center.count_log("hunter2"), 0);
}

#[test]
fn echo_returns_the_audio_as_it_comes() {
    let (pbx, relay) = (Pbx::new(), Relay::start(&[]));
    let center = CallCenter::start(relay.ws(), &["--agent", "echo"], &[]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    center.expect_log("call up");
    call.rtp.send_pcm(&tone::tone(440.0, 8000, 600));
    let heard = || scene::loud(&call.rtp.arrivals(), 0);
    assert!(eventually(WAIT, || heard().len() >= 4000), "{} samples", heard().len());
    assert!(tone::is_tone(&heard()[..4000], 8000, 440.0, 1.0));
}

#[test]
fn parrot_repeats_each_turn_when_it_is_over() {
    let (pbx, relay) = (Pbx::new(), Relay::start(&[]));
    let center = CallCenter::start(relay.ws(), &["--agent", "parrot"], &[]);
    let mut call = pbx.call(relay.sip(), Invite { formats: vec![8, 0], ..Invite::default() });
    center.expect_log("call up");
    let said = [vec![0; 4000], voice::speech(8000, 1500, 1), vec![0; 8000]].concat();
    call.rtp.send_pcm(&said);
    let loud = |samples: &[i16]| samples.chunks(160).filter(|frame| tone::rms(frame) > 300.0).count();
    let wanted = loud(&said);
    let heard = || loud(&scene::loud(&call.rtp.arrivals(), 8));
    assert!(eventually(WAIT, || heard() + 3 >= wanted), "{} of {wanted} loud frames", heard());
    center.expect_log("repeats 1");
}

#[test]
fn parrot_and_the_test_line_talk_with_each_other() {
    let relay = Relay::start(&[]);
    let _center = CallCenter::start(relay.ws(), &["--agent", "parrot"], &[]);
    let mut client = WsClient::connect(relay.ws(), "mode=multi");
    client.send("CALL:0912341234");
    client.wait_for("CALL_ANS:");
    // The line says its sentence; the parrot repeats it, and the line echoes that.
    let bursts = || {
        let heard = client.transcript();
        let audio = heard.iter().filter(|(_, message)| message.is_rtp());
        let pcm: Vec<i16> = audio.flat_map(|(_, message)| multi_rtp(message).1).collect();
        let loud: Vec<bool> = pcm.chunks(4000).map(|part| tone::rms(part) > 300.0).collect();
        loud.chunk_by(|a, b| a == b).filter(|run| run[0] && run.len() >= 3).count()
    };
    assert!(eventually(Duration::from_secs(20), || bursts() >= 2), "{} times", bursts());
}

/// An address of loopback where nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}
