//! What happens inside and around a call, with SIPp as the telephone: hold by either side, transfer, refreshes, reliable
//! responses, INVITEs without an offer, media that moves, requests that cross, refusals.
//!
//! SIPp's own count is part of every verdict: no failed call, no retransmission, nothing unexpected. Skipped with a printed
//! reason where it is not installed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::WAIT;
use common::relay::Relay;
use common::rtp_end::RtpEnd;
use common::scenario::{OWN_PORT, Scenario, sdp};
use common::sipp::Sipp;
use common::temp::TempDir;
use common::tools::{self, Process};
use common::ws::{QUIET, WsClient};

const CALLEE: &str = "0912341234";

#[test]
fn telephone_that_is_put_on_hold_and_taken_back_follows() {
    let reoffer = |scenario: Scenario, ours: &str, theirs: &str| {
        let offer = format!("a={ours}");
        let scenario = scenario.receive_with("INVITE", &[("body", &offer)]);
        scenario.respond("200 OK", "", Some(&sdp(OWN_PORT, theirs))).receive("ACK")
    };
    let scenario = reoffer(answered(), "sendonly", "recvonly");
    let scenario = reoffer(scenario, "sendrecv", "sendrecv");
    // The end of the second exchange, and of the third, tells the test that it may go on.
    let key = Some(("application/dtmf", "1"));
    let scenario = scenario.request("INFO", "", key).expect(200);
    let scenario = reoffer(scenario, "sendonly", "recvonly").request("INFO", "", key).expect(200);
    let Some((mut test, id)) = called(&ended_by_us(scenario)) else { return };
    // The second goes out when the first is through.
    test.ws.send(&format!("HOLD:{id}"));
    test.ws.send(&format!("RESUME:{id}"));
    test.ws.expect(&format!("DTMF:{id}##1##"));
    test.ws.send(&format!("HOLD:{id}"));
    test.ws.expect(&format!("DTMF:{id}##1##"));
    test.hang_up(&id);
}

#[test]
fn telephone_that_holds_and_takes_back_is_followed() {
    let mut scenario = begun("", Some(&sdp(OWN_PORT, "sendrecv")));
    for (theirs, ours) in [
        ("sendonly", "recvonly"),
        ("sendrecv", "sendrecv"),
        ("inactive", "inactive"),
        ("sendrecv", "sendrecv"),
    ] {
        scenario = scenario.reinvite(&sdp(OWN_PORT, theirs));
        scenario = scenario.expect_with(200, &[("body", &format!("a={ours}"))]).ack_last().pause(200);
    }
    let Some(mut test) = calling(&hung_up(scenario), &[]) else { return };
    let id = test.up();
    for _ in 0..2 {
        test.ws.expect_all(&[&format!("HOLD:{id}"), &format!("RESUME:{id}")]);
    }
    test.over(&id);
}

#[test]
fn telephone_that_is_asked_to_call_another_says_how_it_goes() {
    let notify = |scenario: Scenario, state: &str, line: &str| {
        let headers = format!("Event: refer\nSubscription-State: {state}\n");
        scenario.request("NOTIFY", &headers, Some(("message/sipfrag", line))).expect(200)
    };
    let scenario = answered().receive_with("REFER", &[("Refer-To", "sip:0287654321@127.0.0.1")]);
    let scenario = scenario.respond("202 Accepted", "", None);
    let scenario = notify(scenario, "active;expires=60", "SIP/2.0 100 Trying");
    let scenario = notify(scenario, "terminated;reason=noresource", "SIP/2.0 200 OK");
    let Some((mut test, id)) = called(&ended_by_us(scenario)) else { return };
    test.ws.send(&format!("TRANSFER:{id}##0287654321"));
    for progress in ["100 Trying", "200 OK"] {
        test.ws.expect_all(&[&format!("TRANSFER:{id}##{progress}")]);
    }
    test.over(&id);
}

#[test]
fn session_is_refreshed_again_and_again_by_update_and_by_reinvite() {
    let timer = "Supported: timer\nSession-Expires: 90;refresher=uac\n";
    let agreed = [("Session-Expires", "90;refresher=uac")];
    let body = sdp(OWN_PORT, "sendrecv");
    let mut scenario = Scenario::caller().invite(timer, Some(&body)).expect_with(200, &agreed).ack(1, None);
    for _ in 0..4 {
        scenario = scenario.pause(200).request("UPDATE", timer, None).expect_with(200, &agreed);
        scenario = scenario.pause(200).request("INVITE", timer, Some(("application/sdp", &body)));
        scenario = scenario.expect_with(200, &agreed).ack_last();
    }
    // One that is too short changes nothing.
    let short = "Supported: timer\nSession-Expires: 30;refresher=uac\n";
    scenario = scenario.request("UPDATE", short, None).expect_with(422, &[("Min-SE", "90")]);
    let Some(mut test) = calling(&hung_up(scenario), &[]) else { return };
    let id = test.up();
    test.over(&id);
}

#[test]
fn reliable_ringing_is_confirmed_by_the_caller() {
    let scenario = Scenario::caller().invite("Require: 100rel\n", Some(&sdp(OWN_PORT, "sendrecv")));
    let scenario =
        hung_up(scenario.confirm_ringing().expect_with(200, &[("CSeq", "1 INVITE")]).ack(1, None).pause(200));
    let Some(mut test) = calling(&scenario, &[("RELAY_ANSWER_MODE", "client")]) else { return };
    let ring = test.ws.expect("RING_ANS:0903383638##");
    let id = ring.split("##").nth(1).unwrap().to_owned();
    // Somebody takes a second to pick up: by then the ringing has been confirmed.
    assert!(test.ws.is_quiet(Duration::from_secs(1)));
    test.ws.send(&format!("CALL_ANS:{id}"));
    test.ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    test.over(&id);
}

#[test]
fn reliable_progress_with_an_answer_is_confirmed_by_us() {
    let scenario = Scenario::called().respond_first(
        "183 Session Progress",
        "Require: 100rel\nRSeq: 42\n",
        Some(&sdp(OWN_PORT, "sendrecv")),
    );
    let scenario = scenario.raw(
        r#"<recv request="PRACK"><action>
          <ereg regexp="42 1 INVITE" search_in="hdr" header="RAck:" check_it="true" assign_to="rack"/>
        </action></recv><Reference variables="rack"/>"#,
    );
    let scenario = scenario.respond("200 OK", "", None).pause(200);
    let scenario = scenario.respond_first("200 OK", "", None).receive("ACK");
    let Some((mut test, id)) = called(&ended_by_us(scenario)) else { return };
    test.hang_up(&id);
}

#[test]
fn caller_without_an_offer_answers_ours_in_its_ack() {
    let scenario = Scenario::caller().invite("", None);
    let scenario = scenario.expect_with(200, &[("body", "m=audio [0-9]+ RTP/AVP 0 8 101")]);
    let scenario = scenario.ack(1, Some(&sdp(OWN_PORT, "sendrecv"))).pause(300);
    let Some(mut test) = calling(&hung_up(scenario), &[]) else { return };
    let id = test.up();
    test.over(&id);
}

#[test]
fn media_follows_a_reinvite_to_another_address() {
    let elsewhere = RtpEnd::bind(true);
    let port = elsewhere.address().port().to_string();
    let scenario = begun("", Some(&sdp(OWN_PORT, "sendrecv"))).pause(200);
    let scenario = scenario.reinvite(&sdp(&port, "sendrecv")).expect(200).ack_last().pause(1500);
    let Some(mut test) = calling(&hung_up(scenario), &[]) else { return };
    let id = test.up();
    let packets = elsewhere.expect_packets(40, WAIT);
    assert!(packets.iter().all(|packet| packet.packet.payload_type == 0));
    test.over(&id);
}

#[test]
fn cancel_that_crosses_the_answer_and_bye_that_crosses_a_bye_end_in_one_call() {
    // The 200 was sent when the CANCEL comes, and is not confirmed: the call is up, and the CANCEL too late.
    let scenario = Scenario::caller().invite("", Some(&sdp(OWN_PORT, "sendrecv"))).expect(200).cancel();
    let scenario = scenario.expect_with(200, &[("CSeq", "1 CANCEL")]).ack(1, None);
    // Our BYE has come and has had no answer yet when the caller's goes out.
    let scenario = scenario.raw(
        r#"<recv request="BYE"><action>
          <ereg regexp=".*" search_in="hdr" header="Via:" check_it="true" assign_to="via"/>
          <ereg regexp=".*" search_in="hdr" header="From:" check_it="true" assign_to="from"/>
          <ereg regexp=".*" search_in="hdr" header="To:" check_it="true" assign_to="to"/>
          <ereg regexp=".*" search_in="hdr" header="CSeq:" check_it="true" assign_to="cseq"/>
        </action></recv>
        <send retrans="500"><![CDATA[

          BYE [next_url] SIP/2.0
          Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
          Max-Forwards: 70
          From:[$to]
          To:[$from]
          Call-ID: [call_id]
          CSeq: 2 BYE
          Content-Length: 0

        ]]></send>
        <recv response="200"/>
        <send><![CDATA[

          SIP/2.0 200 OK
          Via:[$via]
          From:[$from]
          To:[$to]
          Call-ID: [call_id]
          CSeq:[$cseq]
          Content-Length: 0

        ]]></send>"#,
    );
    let Some(mut test) = calling(&scenario.end(), &[]) else { return };
    let id = test.up();
    test.ws.send(&format!("BYE:{id}"));
    test.over(&id);
}

#[test]
fn call_that_is_sent_elsewhere_fails_with_its_status() {
    let moved = "302 Moved Temporarily";
    let headers = "Contact: <sip:0900000000@127.0.0.1:9>\n";
    let scenario = Scenario::called().respond_first(moved, headers, None).receive("ACK").end();
    let Some(mut test) = dialling(&scenario, &[]) else { return };
    test.ws.expect_all(&[&test.calling]);
    test.ws.expect_all(&[&format!("CALL_FAILED:{moved}##{}", test.id())]);
    test.finish();
}

#[test]
fn call_that_is_forbidden_to_its_user_fails_after_one_challenge() {
    let challenge =
        "WWW-Authenticate: Digest realm=\"sipp\", nonce=\"4f7a9c\", algorithm=MD5, qop=\"auth\"\n";
    let scenario = Scenario::called().respond_first("401 Unauthorized", challenge, None).receive("ACK");
    let scenario = scenario.receive_with("INVITE", &[("Authorization", "Digest username=.1001.")]);
    let scenario = scenario.refuse("403 Forbidden").receive("ACK").end();
    let Some(mut test) = dialling(&scenario, &[("SIP_USERNAME", "1001"), ("SIP_PASSWORD", "secret")]) else {
        return;
    };
    test.ws.expect_all(&[&test.calling]);
    test.ws.expect_all(&[&format!("CALL_FAILED:403 Forbidden##{}", test.id())]);
    test.finish();
}

// ---- helpers ----

/// A relay, a client and SIPp with a scenario for one call.
struct Test {
    relay: Relay,
    ws: WsClient,
    sipp: Sipp,
    process: Process,
    calling: String,
    _dir: TempDir,
}

impl Test {
    /// The call of SIPp is up.
    fn up(&mut self) -> String {
        let ring = self.ws.expect("RING_ANS:0903383638##");
        let id = ring.split("##").nth(1).unwrap().to_owned();
        self.ws.expect_all(&[&format!("CALL_ANS:{id}")]);
        id
    }

    fn id(&self) -> &str {
        self.calling.split("##").nth(1).unwrap()
    }

    /// We end the call.
    fn hang_up(&mut self, id: &str) {
        self.ws.send(&format!("BYE:{id}"));
        self.over(id);
    }

    /// The call ends, and SIPp is content.
    fn over(&mut self, id: &str) {
        self.ws.expect_within(&format!("BYE:{id}"), Duration::from_secs(10));
        self.finish();
    }

    fn finish(&mut self) {
        self.process.expect_success(Duration::from_secs(20));
        self.sipp.assert_clean(1);
        assert!(self.ws.is_quiet(QUIET), "{:?}", self.ws.signals());
        assert!(self.relay.is_running());
    }
}

fn program() -> Option<PathBuf> {
    tools::find(&["sipp"]).map(|programs| programs[0].clone())
}

/// SIPp calls the relay.
fn calling(scenario: &str, settings: &[(&str, &str)]) -> Option<Test> {
    let program = program()?;
    let relay = Relay::start(settings);
    let ws = WsClient::connect(relay.ws(), "mode=multi");
    relay.expect_log("clients=1");
    let dir = TempDir::new("sipp");
    let sipp = Sipp::calling(&dir, scenario);
    let process = sipp.start(&program, relay.sip(), "100", 1, 1);
    Some(Test { relay, ws, sipp, process, calling: String::new(), _dir: dir })
}

/// SIPp is called by the relay; what comes of it is up to the test.
fn dialling(scenario: &str, settings: &[(&str, &str)]) -> Option<Test> {
    let program: &Path = &program()?;
    let dir = TempDir::new("sipp");
    let sipp = Sipp::called(&dir, scenario);
    let process = sipp.answer(program, 1);
    let port = sipp.port.to_string();
    let server = [("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", port.as_str())];
    let relay = Relay::start(&[&server, settings].concat());
    let ws = WsClient::connect(relay.ws(), "mode=multi");
    relay.expect_log("clients=1");
    ws.send(&format!("CALL:{CALLEE}"));
    let calling = first(&ws);
    Some(Test { relay, ws, sipp, process, calling, _dir: dir })
}

/// SIPp is called by the relay, and the call is up.
fn called(scenario: &str) -> Option<(Test, String)> {
    let mut test = dialling(scenario, &[])?;
    let id = test.id().to_owned();
    let calling = test.calling.clone();
    test.ws.expect_all(&[&calling]);
    test.ws.wait_for(&format!("CALL_ANS:{id}"));
    Some((test, id))
}

/// The first thing that a client is told.
fn first(ws: &WsClient) -> String {
    let mut text = None;
    let told = common::eventually(WAIT, || {
        text = ws.signals().into_iter().find_map(|message| match message {
            common::ws::Incoming::Text(text) => Some(text),
            _ => None,
        });
        text.is_some()
    });
    assert!(told, "CALLING");
    text.unwrap()
}

/// A caller whose call is up.
fn begun(headers: &str, body: Option<&str>) -> Scenario {
    Scenario::caller().invite(headers, body).expect(200).ack(1, None)
}

/// A telephone that has taken the call.
fn answered() -> Scenario {
    let scenario = Scenario::called().respond_first("180 Ringing", "", None).pause(100);
    scenario.respond_first("200 OK", "", Some(&sdp(OWN_PORT, "sendrecv"))).receive("ACK")
}

/// The caller hangs up.
fn hung_up(scenario: Scenario) -> String {
    scenario.pause(300).request("BYE", "", None).expect(200).end()
}

/// The relay hangs up.
fn ended_by_us(scenario: Scenario) -> String {
    scenario.receive("BYE").respond("200 OK", "", None).end()
}
