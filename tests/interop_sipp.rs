//! Interoperability with SIPp, as caller and as called, directly and behind a Kamailio proxy with two Record-Routes.
//!
//! SIPp's own count is part of every verdict: no failed call, no retransmission. Skipped with a printed reason where the
//! programs are not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::pbx::{Invite, Pbx};
use common::relay::Relay;
use common::sipp::Sipp;
use common::temp::TempDir;
use common::tools;
use common::ws::{Incoming, WsClient, classic_rtp};
use common::{eventually, free_ports, recording, rtp_end, sip_proxy};
use testkit::{g711, tone};

const CALLEE: &str = "0912341234";

#[test]
fn fifty_calls_with_media_are_recorded_sample_for_sample() {
    const CALLS: usize = 50;
    const SECONDS: usize = 30;
    let Some(programs) = tools::find(&["sipp"]) else { return };
    let range = free_ports(4 * (CALLS as u16 + 1));
    let (start, end) = (range.to_string(), (range + 4 * (CALLS as u16 + 1) - 1).to_string());
    let relay = Relay::start(&[("RTP_PORT_START", &start), ("RTP_PORT_END", &end)]);
    let mut ws = WsClient::connect(relay.ws(), "");

    let dir = TempDir::new("sipp");
    let sent = recording::unrepeated_ulaw(50, SECONDS + 2);
    let sipp = Sipp::caller(&dir, &sent, SECONDS);
    let mut process = sipp.start(&programs[0], relay.sip(), "100", CALLS, CALLS);
    for _ in 0..CALLS {
        ws.wait_for("CALL_ANS:");
    }
    // One more call, answered last: the client's focus. While the others stream, it hears itself through the client.
    let pbx = Pbx::new();
    let mut call = pbx.call(relay.sip(), Invite::default());
    ws.wait_for("CALL_ANS:");
    echo_and_hear(&mut call, &ws);
    call.bye();
    process.expect_success(Duration::from_secs(SECONDS as u64 + 30));

    sipp.assert_clean(CALLS);
    let own: String = call.call_id().chars().take(8).collect();
    let is_own = |file: &PathBuf| file.to_string_lossy().contains(&own);
    let files: Vec<PathBuf> =
        recording::list(&relay.recordings()).into_iter().filter(|f| !is_own(f)).collect();
    assert_eq!(files.len(), CALLS);
    let sent = g711::decode_ulaw(&sent);
    for file in files {
        let recorded = recording::read_mono_8k(&file);
        let packets = recorded.len() / 160;
        // SIPp stops by another clock than it sends by: on a busy machine it is some packets off.
        assert!(packets.abs_diff(SECONDS * 50) <= 25, "{}: {packets}", file.display());
        let whole = recording::Match { lead: 0, skipped: 0, equal: packets * 160, tail: 0 };
        assert_eq!(recording::compare(&sent, &recorded), Some(whole), "{}", file.display());
        let totals = media_totals(&relay, &file);
        let received = format!(" received={packets} lost=0 late=0 duplicate=0 foreign=0 ");
        assert!(totals.contains(&received) && totals.contains(" send_errors=0"), "{totals}");
        // The other direction flows from the answer to the end, without a pause.
        let out: usize = totals.split(" sent=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(out.abs_diff(packets) <= 25, "{totals}");
    }
}

#[test]
fn sipp_is_called_hears_itself_and_is_hung_up_on() {
    let Some(programs) = tools::find(&["sipp"]) else { return };
    let dir = TempDir::new("sipp");
    let sipp = Sipp::called(&dir, include_str!("interop/uas_echo.xml"));
    let mut process = sipp.answer(&programs[0], 1);
    let relay =
        Relay::start(&[("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", &sipp.port.to_string())]);
    let mut ws = WsClient::connect(relay.ws(), "");

    let call_id = call_out(&mut ws);
    hear_own_tone(&ws, &call_id);
    ws.send(&format!("BYE:{call_id}"));
    ws.expect_all(&[&format!("BYE:{call_id}")]);
    process.expect_success(Duration::from_secs(10));
    sipp.assert_clean(1);
}

#[test]
fn sipp_is_called_and_hangs_up() {
    let Some(programs) = tools::find(&["sipp"]) else { return };
    let dir = TempDir::new("sipp");
    let values = [("talk_ms", "4000".to_owned())];
    let sipp = Sipp::called(&dir, &tools::fill(include_str!("interop/uas_echo_bye.xml"), &values));
    let mut process = sipp.answer(&programs[0], 1);
    let relay =
        Relay::start(&[("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", &sipp.port.to_string())]);
    let mut ws = WsClient::connect(relay.ws(), "");

    let call_id = call_out(&mut ws);
    hear_own_tone(&ws, &call_id);
    ws.expect_all(&[&format!("BYE:{call_id}")]);
    process.expect_success(Duration::from_secs(10));
    sipp.assert_clean(1);
}

#[test]
fn calls_pass_a_proxy_that_records_two_routes() {
    let Some(programs) = tools::find(&["sipp", "kamailio"]) else { return };
    let proxy_ports = (free_ports(2), free_ports(2));
    let relay =
        Relay::start(&[("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", &proxy_ports.0.to_string())]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let dir = TempDir::new("kamailio");
    let values = [("talk_ms", "4000".to_owned())];
    let called = Sipp::called(&dir, &tools::fill(include_str!("interop/uas_echo_bye.xml"), &values));
    let config = [
        ("second_port", proxy_ports.1.to_string()),
        ("callee", CALLEE.to_owned()),
        ("callee_port", called.port.to_string()),
        ("relay_port", relay.sip().port().to_string()),
    ];
    let template = include_str!("interop/kamailio.cfg");
    let _proxy = sip_proxy::start(&programs[1], &dir, template, proxy_ports.0, &config);

    // Out through the proxy, hung up by the telephone, then by us.
    let mut telephone = called.answer(&programs[0], 1);
    let call_id = call_out(&mut ws);
    hear_own_tone(&ws, &call_id);
    ws.expect_all(&[&format!("BYE:{call_id}")]);
    telephone.expect_success(Duration::from_secs(10));
    called.assert_clean(1);

    let dir = TempDir::new("sipp");
    let called = Sipp::called(&dir, include_str!("interop/uas_echo.xml")).at(called.port);
    let mut telephone = called.answer(&programs[0], 1);
    let call_id = call_out(&mut ws);
    ws.send(&format!("BYE:{call_id}"));
    ws.expect_all(&[&format!("BYE:{call_id}")]);
    telephone.expect_success(Duration::from_secs(10));
    called.assert_clean(1);

    // In through the proxy: five calls with media at once.
    let sent = recording::unrepeated_ulaw(5, 5);
    let caller = Sipp::caller(&dir, &sent, 3);
    let proxy = ([127, 0, 0, 1], proxy_ports.0).into();
    let mut process = caller.start(&programs[0], proxy, "100", 5, 5);
    for _ in 0..5 {
        ws.wait_for("CALL_ANS:");
    }
    process.expect_success(Duration::from_secs(20));
    caller.assert_clean(5);
    let complete = eventually(Duration::from_secs(5), || {
        recording::list(&relay.recordings())
            .iter()
            .filter(|f| holds(f, &g711::decode_ulaw(&sent), 2 * 8000))
            .count()
            == 5
    });
    assert!(complete, "five recordings hold what was sent");
}

/// What the relay says about the media of the call that was recorded here.
fn media_totals(relay: &Relay, file: &Path) -> String {
    let recording = relay.expect_log(&file.file_name().unwrap().to_string_lossy());
    let call = recording.split("call_id=").nth(1).unwrap().split(' ').next().unwrap();
    relay.expect_log(&format!("media closed call_id={call} "))
}

/// Places a call and waits until it is up; returns its id.
fn call_out(ws: &mut WsClient) -> String {
    ws.send(&format!("CALL:{CALLEE}"));
    let ring = ws.expect(&format!("RING_ANS:{CALLEE}##"));
    let call_id = ring.split("##").nth(1).unwrap().to_owned();
    ws.expect_all(&[&format!("CALL_ANS:{call_id}")]);
    call_id
}

/// Says two seconds of a tone to a telephone that echoes, and hears it in the call's codec.
fn hear_own_tone(ws: &WsClient, call_id: &str) {
    let before = ws.expect_rtp(0, Duration::ZERO).len();
    ws.send_pcm(call_id, &tone::tone(600.0, 8000, 2000));
    let packets = ws.expect_rtp(before + 120, Duration::from_secs(8));
    let heard: Vec<i16> = packets[before..].iter().flat_map(|(_, m)| decode(m)).collect();
    let frequency = tone::dominant_frequency(&heard, 8000);
    assert!(tone::is_tone(&heard, 8000, 600.0, 1.0), "heard {frequency:?} Hz of 600");
}

/// The caller says a tone, the client sends every packet of its focus call back, the caller hears the tone.
fn echo_and_hear(call: &mut common::pbx::PbxCall, ws: &WsClient) {
    let call_id = call.call_id();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = ws.expect_rtp(0, Duration::ZERO).len();
            let end = Instant::now() + Duration::from_secs(6);
            while Instant::now() < end {
                let messages = ws.expect_rtp(next + 1, Duration::from_secs(5));
                messages[next..].iter().for_each(|(_, m)| ws.send_pcm(&call_id, &decode(m)));
                next = messages.len();
            }
        });
        call.rtp.send_pcm(&tone::tone(1000.0, 8000, 8000));
    });
    let heard = rtp_end::pcm(&call.rtp.arrivals(), 0);
    assert!(
        tone::is_tone(&heard, 8000, 1000.0, 1.0),
        "heard {:?} Hz of 1000",
        tone::dominant_frequency(&heard, 8000)
    );
    // RTP goes out all the time, one packet every 20 ms.
    let arrivals = call.rtp.arrivals();
    let time = arrivals[arrivals.len() - 1].at - arrivals[0].at;
    let mean = time / (arrivals.len() as u32 - 1);
    assert!((18..=22).contains(&mean.as_millis()), "one packet every {mean:?}");
}

fn decode(message: &Incoming) -> Vec<i16> {
    let (payload_type, payload) = classic_rtp(message);
    g711::decode(payload_type, &payload)
}

fn holds(file: &Path, sent: &[i16], samples: usize) -> bool {
    hound::WavReader::open(file).is_ok()
        && recording::compare(sent, &recording::read_mono_8k(file))
            .is_some_and(|m| m.equal >= samples && m.skipped <= 800)
}
