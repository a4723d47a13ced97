//! The gateway's webhooks and its list of calls, over HTTP (SPEC A-47 to A-51).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use common::gateway::{
    CALLER, Caller, DID, Gateway, PUBLIC_URL, call_form, post_form, request, telnyx_connected, telnyx_start,
};
use serde_json::{Value, json};

const NOT_CONFIGURED: &str =
    "<Response>\n  <Say>This number is not configured.</Say>\n  <Hangup/>\n</Response>\n";

#[test]
fn telnyx_is_told_to_stream_both_ways_and_to_wait() {
    let gateway = Gateway::echo();
    let form = "application/x-www-form-urlencoded";
    let body = common::gateway::url_encoded(&call_form());
    let (status, head, xml) =
        request(gateway.at, "POST", "/sip/telnyx/answer", &[("Content-Type", form)], body.as_bytes());
    assert_eq!(status, 200);
    assert!(head.to_ascii_lowercase().contains("\r\ncontent-type: application/xml"), "{head}");
    let expected = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Start>
    <Stream url="{PUBLIC_URL}"
            track="inbound_track"
            bidirectionalMode="rtp"
            bidirectionalCodec="L16"
            bidirectionalSamplingRate="16000">
      <Parameter name="caller_id" value="{CALLER}"/>
      <Parameter name="did" value="{DID}"/>
    </Stream>
  </Start>
  <Pause length="3600"/>
</Response>
"#
    );
    assert_eq!(xml, expected);
    gateway.expect_metric(r#"webhooks_total{provider="telnyx",result="answered"}"#, 1.0);
}

#[test]
fn twilio_is_told_to_connect_and_nothing_else() {
    let gateway = Gateway::echo();
    let expected = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Connect>
    <Stream url="{PUBLIC_URL}">
      <Parameter name="caller_id" value="{CALLER}"/>
      <Parameter name="did" value="{DID}"/>
    </Stream>
  </Connect>
</Response>
"#
    );
    assert_eq!(gateway.webhook("twilio"), expected);
}

#[test]
fn number_that_is_not_configured_is_said_to_be_whatever_the_body() {
    let gateway = Gateway::echo();
    for path in ["/sip/telnyx/answer", "/sip/twilio/answer"] {
        let unknown = [("From", CALLER), ("To", "+4420"), ("CallSid", "x")];
        let (status, xml) = post_form(gateway.at, path, &unknown, &[]);
        assert_eq!(status, 200);
        assert!(xml.ends_with(NOT_CONFIGURED), "{xml}");
        let json = format!(r#"{{"To":"{DID}"}}"#);
        for (kind, body) in [("application/json", json.as_bytes()), ("text/plain", b""), ("x/y", &[0xff; 40])]
        {
            let (status, _, xml) = request(gateway.at, "POST", path, &[("Content-Type", kind)], body);
            assert_eq!((status, xml.ends_with(NOT_CONFIGURED)), (200, true), "{kind}: {xml}");
        }
        let (status, _, _) = request(gateway.at, "GET", path, &[], b"");
        assert_eq!(status, 405);
    }
    gateway.expect_metric(r#"webhooks_total{provider="twilio",result="unknown-number"}"#, 4.0);
}

#[test]
fn number_is_found_however_it_is_written() {
    let gateway = Gateway::echo();
    for to in ["+1 (512) 555-1234", "15125551234", "+15125551234"] {
        let form = [("From", CALLER), ("To", to), ("CallSid", "x")];
        let (_, xml) = post_form(gateway.at, "/sip/telnyx/answer", &form, &[]);
        assert!(xml.contains(&format!(r#"name="did" value="{to}""#)), "{xml}");
    }
}

#[test]
fn what_a_caller_calls_himself_cannot_leave_its_attribute() {
    let gateway = Gateway::echo();
    for path in ["/sip/telnyx/answer", "/sip/twilio/answer"] {
        let form = [("From", "+1<&\"'>\n"), ("To", DID), ("CallSid", "x")];
        let (status, xml) = post_form(gateway.at, path, &form, &[]);
        assert_eq!(status, 200);
        let value = xml.split(r#"name="caller_id" value=""#).nth(1).unwrap().split('"').next().unwrap();
        assert!(!value.contains(['<', '>', '\n']), "{value}");
        let back = value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        let back = back.replace("&apos;", "'").replace("&#10;", "\n").replace("&amp;", "&");
        assert_eq!(back, "+1<&\"'>\n");
    }
}

#[test]
fn form_that_is_too_long_is_refused() {
    let gateway = Gateway::echo();
    let (status, _, _) = request(gateway.at, "POST", "/sip/telnyx/answer", &[], &vec![b'a'; 100_000]);
    assert_eq!(status, 413);
    gateway.expect_metric(r#"webhooks_total{provider="telnyx",result="unreadable"}"#, 1.0);
}

fn calls(gateway: &Gateway) -> Value {
    let (status, _, body) = request(gateway.at, "GET", "/api/calls", &[], b"");
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

#[test]
fn calls_are_listed_while_they_are_up_and_afterwards() {
    let gateway = Gateway::echo();
    assert_eq!(
        calls(&gateway),
        json!({"active": [], "recent": [], "stats": {"active_count": 0, "total_completed": 0}})
    );
    let mut caller = Caller::telnyx(gateway.at);
    caller.media(&[0; 640]);
    caller.hear(1);
    let shown = calls(&gateway);
    let active = &shown["active"][0];
    assert_eq!(shown["stats"], json!({"active_count": 1, "total_completed": 0}));
    assert_eq!(active["stream_id"], "stream-1");
    assert_eq!((&active["provider"], &active["status"]), (&json!("telnyx"), &json!("active")));
    assert_eq!((&active["caller_id"], &active["did"]), (&json!(CALLER), &json!(DID)));
    assert_eq!((&active["chunks_received"], &active["chunks_sent"]), (&json!(1), &json!(1)));
    assert_eq!(active["ended_at"], Value::Null);
    caller.stop();
    gateway.expect_metric(r#"streams{provider="telnyx"}"#, 0.0);
    assert_eq!(caller.ws.expect_close(), Some(1000));
    let shown = calls(&gateway);
    assert_eq!(shown["stats"], json!({"active_count": 0, "total_completed": 1}));
    assert_eq!(shown["recent"][0]["status"], "completed");
    assert!(shown["recent"][0]["ended_at"].is_string());
}

#[test]
fn calls_are_not_listed_for_who_comes_through_a_tunnel() {
    let gateway = Gateway::echo();
    for header in ["X-Forwarded-For", "CF-Connecting-IP", "Forwarded"] {
        let (status, _, _) = request(gateway.at, "GET", "/api/calls", &[(header, "192.0.2.1")], b"");
        assert_eq!(status, 403, "{header}");
    }
}

/// Says and hears what the simulator of the seed does, in its order: webhook, handshake, 150 frames of 440 Hz, stop.
#[test]
fn simulated_call_is_echoed_whole() {
    let gateway = Gateway::echo();
    assert!(gateway.webhook("telnyx").contains("<Stream"));
    let mut caller = Caller::open(gateway.at);
    caller.say(&telnyx_connected());
    caller.say(&telnyx_start());
    let mut tone = testkit::tone::Sine::new(440.0, 16_000, 16_000);
    let frames: Vec<Vec<u8>> = (0..150).map(|_| common::ws::bytes(&tone.samples(320))).collect();
    for frame in &frames {
        caller.media(frame);
    }
    assert_eq!(caller.hear(150), frames);
    caller.stop();
    assert_eq!(caller.ws.expect_close(), Some(1000));
}
