//! The voice backend behind a Kamailio that names room, session and tenant in headers, called by SIPp and by a telephone
//! of the test; and its example program.
//!
//! Skipped with a printed reason where the programs are not installed.

// Helpers of tests are test code, too.
// Tests that are skipped say why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::backend::{Served, Told};
use common::pbx::{Invite, Pbx};
use common::sipp::Sipp;
use common::temp::TempDir;
use common::tools::{self, Process};
use common::{free_ports, recording, sip_proxy};
use sip_relay::backend::SessionState;
use testkit::g711;

#[test]
fn sipp_calls_through_a_proxy_that_names_the_room_and_every_sample_is_heard() {
    let Some(programs) = tools::find(&["sipp", "kamailio"]) else { return };
    const SECONDS: usize = 4;
    let (served, dir) = (Served::start(|_| ()), TempDir::new("sipp"));
    let (_proxy, proxy) = proxy(&programs[1], &dir, &served);
    let sent = recording::unrepeated_ulaw(7, SECONDS + 2);
    let sipp = Sipp::caller(&dir, &sent, SECONDS);
    let mut process = sipp.start(&programs[0], proxy, "42", 1, 1);

    let session = served.expect_call();
    assert_eq!((session.room_id().as_str(), session.x_header("x-tenant-id")), ("room-42", Some("t9")));
    assert_eq!(session.id(), session.provider_session_id(), "the proxy names the session by the Call-ID");
    served.run(served.backend.send_audio(&session, vec![0; 16_000])).unwrap();
    // SIPp does not stop for what it hears.
    served.expect("barge-in", |told| matches!(told, Told::BargeIn(_)).then_some(()));
    process.expect_success(Duration::from_secs(SECONDS as u64 + 10));
    sipp.assert_clean(1);
    assert_eq!(served.expect_disconnected(), session);

    let heard: Vec<i16> = served.told.with(|told| {
        let frames = told.iter().filter_map(|told| match told {
            Told::Audio(_, frame, _) => Some(frame.clone()),
            _ => None,
        });
        frames.flat_map(|frame| frame.samples().collect::<Vec<_>>()).collect()
    });
    // SIPp stops by another clock than it sends by: on a busy machine it is some packets off.
    assert!((heard.len() / 160).abs_diff(SECONDS * 50) <= 25, "{} frames", heard.len() / 160);
    let whole = recording::Match { lead: 0, skipped: 0, equal: heard.len(), tail: 0 };
    assert_eq!(recording::compare(&g711::decode_ulaw(&sent), &heard), Some(whole));
    served.finish();
}

#[test]
fn our_bye_finds_its_way_back_through_the_proxy() {
    let Some(programs) = tools::find(&["kamailio"]) else { return };
    let (served, dir, pbx) = (Served::start(|_| ()), TempDir::new("kamailio"), Pbx::new());
    let (_proxy, proxy) = proxy(&programs[0], &dir, &served);
    let mut call = pbx.invite(proxy, Invite { to: "7".into(), ..Invite::default() });
    let ok = call.expect_response(200);
    assert_eq!((ok.values("Via").len(), ok.values("Record-Route").len()), (1, 2), "{ok}");
    call.ack();
    let session = served.expect_call();
    assert_eq!(session.room_id(), "room-7");
    std::thread::scope(|scope| {
        scope.spawn(|| call.expect_bye());
        served.run(served.backend.disconnect(&session)).unwrap();
    });
    assert_eq!(session.state(), SessionState::Ended);
    served.finish();
}

#[test]
fn example_calls_itself_and_ends() {
    // `cargo test` builds the examples, `cargo test --test interop_backend` does not.
    let program = Path::new(env!("CARGO_BIN_EXE_main")).with_file_name("examples").join("voice_backend");
    if !program.exists() {
        assert!(std::env::var_os("REQUIRE_INTEROP").is_none(), "cargo build --examples first");
        return eprintln!("skipped: {} is not built, cargo build --examples", program.display());
    }
    let output = Command::new(program).arg("--demo").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "Incoming call for room lobby",
        "DTMF digit: 5, duration: 160ms, room lobby",
        "demo-1 talks over the playback",
        "Call ended: demo-1 (remote-bye)",
        "closed",
    ] {
        assert!(said.lines().any(|said| said == line), "no {line:?} in\n{said}");
    }
}

/// Kamailio in front of a backend, and where it takes calls.
fn proxy(program: &Path, dir: &TempDir, served: &Served) -> (Process, std::net::SocketAddr) {
    let (port, second_port) = (free_ports(2), free_ports(2));
    let values = [("second_port", second_port.to_string()), ("backend_port", served.sip.port().to_string())];
    let template = include_str!("interop/kamailio_rooms.cfg");
    (sip_proxy::start(program, dir, template, port, &values), ([127, 0, 0, 1], port).into())
}
