//! The keys of a caller, however the telephone sends them: as telephone events (RFC 4733), by INFO, as tones in the audio, or
//! in several of these ways at once (PROTOCOL `DTMF`).

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::pbx::PbxCall;
use common::script::{call_in, done, end, start};
use common::ws::QUIET;

#[test]
fn key_that_comes_by_info_is_an_event() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    for (kind, body, event) in [
        ("application/dtmf-relay", "Signal=5\r\nDuration=250\r\n", "5##250"),
        ("application/dtmf-relay", "Signal= *\r\nDuration= 100\r\n", "*##100"),
        ("application/dtmf", "7", "7##160"),
    ] {
        info(&mut call, kind, body, 200);
        ws.expect_all(&[&format!("DTMF:{id}##{event}")]);
    }
    info(&mut call, "application/vnd.nobody", "5", 415);
    assert!(ws.is_quiet(QUIET));
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn key_that_comes_as_telephone_event_and_by_info_is_one_event() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    // Twice the same key, the INFO once behind the event and once before it.
    for event_first in [true, false] {
        for part in [event_first, !event_first] {
            if part {
                telephone_event(&mut call, 3);
            } else {
                info(&mut call, "application/dtmf-relay", "Signal=3\r\nDuration=160\r\n", 200);
            }
        }
    }
    for _ in 0..2 {
        ws.expect(&format!("DTMF:{id}##3##"));
    }
    assert!(ws.is_quiet(QUIET), "{:?}", ws.signals());
    telephone_event(&mut call, 11);
    telephone_event(&mut call, 11);
    for _ in 0..2 {
        ws.expect(&format!("DTMF:{id}###"));
    }
    end(call, &mut ws);
    done(&pbx, [ws]);
}

// ---- helpers ----

fn info(call: &mut PbxCall, kind: &str, body: &str, status: u16) {
    let info = call.call.request("INFO").body(kind, body);
    call.send_request(&info);
    assert_eq!(call.expect_final().status(), Some(status), "{body:?}");
}

/// A key of 160 ms.
fn telephone_event(call: &mut PbxCall, event: u8) {
    for packet in call.rtp.stream().key_press(101, event, 1280, 160) {
        call.rtp.send_raw(&packet.to_bytes());
    }
}
