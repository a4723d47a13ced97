//! What a program can do with its call: marks, clearing, events, hanging up (SPEC A-58, A-59, C-26, C-27).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use common::gateway::{Call, Caller, DID, Gateway, PUBLIC_URL, run, take_call};
use common::{Feed, WAIT};
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use sip_relay::config::Secret;
use sip_relay::gateway::{
    ApiBases, BaseTransport, Credentials, GatewayOptions, MarkOutcome, SipTransport, SipTransportError,
    SipWebhookHandler, TransportEvent,
};

fn call(open: fn(SocketAddr) -> Caller) -> (Gateway, Caller, Call) {
    let (gateway, calls) = Gateway::for_calls();
    let caller = open(gateway.at);
    (gateway, caller, take_call(&calls))
}

#[test]
fn mark_resolves_when_the_provider_says_that_it_was_reached_and_not_before() {
    for (open, id) in
        [(Caller::telnyx as fn(_) -> _, ("stream_id", "stream-1")), (Caller::twilio, ("streamSid", "MZ1"))]
    {
        let (_gateway, mut caller, call) = call(open);
        run(call.transport.send_audio(vec![0; 1280])).unwrap();
        let mut mark = run(call.transport.send_mark("u1")).unwrap();
        caller.hear(2);
        let message = caller.expect("mark");
        assert_eq!(message["mark"], json!({"name": "u1"}));
        assert_eq!(message[id.0], id.1);
        caller.event("mark", json!({"mark": {"name": "another"}}));
        caller.media(&[0; 640]);
        // The media came behind the other mark, so that has been dealt with.
        run(async { call.transport.receive_audio().next().await }).unwrap();
        assert_eq!((&mut mark).now_or_never(), None);
        caller.event("mark", json!({"mark": {"name": "u1"}}));
        assert_eq!(run(mark), MarkOutcome::Played);
        let event = run(async { call.transport.events().next().await });
        assert_eq!(event, Some(TransportEvent::Mark { name: "u1".to_owned(), outcome: MarkOutcome::Played }));
    }
}

#[test]
fn clearing_is_told_to_the_provider_and_clears_marks_that_were_sent_or_not() {
    for open in [Caller::telnyx as fn(_) -> _, Caller::twilio] {
        let (_gateway, mut caller, call) = call(open);
        let start = Instant::now();
        let (sent, unsent) = run(async {
            let sent = call.transport.send_mark("sent").await.unwrap();
            call.transport.send_audio(vec![1; 32_000 * 30]).await.unwrap();
            (sent, call.transport.send_mark("unsent").await.unwrap())
        });
        caller.expect("mark");
        run(call.transport.clear_audio()).unwrap();
        // Ten seconds ahead of what is played, and the frame that is being played.
        let most = (start.elapsed().as_millis() as usize + 10_000) / 20 + 1;
        assert_eq!(run(async { (sent.await, unsent.await) }), (MarkOutcome::Cleared, MarkOutcome::Cleared));
        let mut frames = 0;
        while caller.next()["event"] == "media" {
            frames += 1;
        }
        assert!(frames <= most, "{frames} frames of 30 s, {most} may be");
        // The provider echoes what it has cleared; the name is free for another mark.
        let again = run(call.transport.send_mark("sent")).unwrap();
        caller.expect("mark");
        caller.event("mark", json!({"mark": {"name": "sent"}}));
        caller.event("mark", json!({"mark": {"name": "sent"}}));
        assert_eq!(run(again), MarkOutcome::Played);
    }
}

#[test]
fn program_can_wait_until_it_was_heard() {
    let (_gateway, mut caller, call) = call(Caller::twilio);
    let echoes = std::thread::spawn(move || {
        caller.expect("mark");
        caller.event("mark", json!({"mark": {"name": "end"}}));
        caller
    });
    assert_eq!(run(call.transport.mark_played("end")), Ok(MarkOutcome::Played));
    echoes.join().unwrap();
}

#[test]
fn mark_of_a_call_that_ends_is_lost() {
    let (_gateway, mut caller, call) = call(Caller::telnyx);
    let mark = run(call.transport.send_mark("m")).unwrap();
    caller.stop();
    assert_eq!(run(mark), MarkOutcome::Lost);
}

#[test]
fn key_is_an_event() {
    for open in [Caller::telnyx as fn(_) -> _, Caller::twilio] {
        let (_gateway, mut caller, call) = call(open);
        for digit in ["5", "#", "a"] {
            caller.event("dtmf", json!({"dtmf": {"track": "inbound_track", "digit": digit}}));
        }
        caller.stop();
        let events = run(call.transport.events().collect::<Vec<_>>());
        assert_eq!(events, ['5', '#', 'A'].map(|digit| TransportEvent::Dtmf { digit }));
    }
}

#[test]
fn fault_that_telnyx_reports_is_an_event_and_the_call_goes_on() {
    let (_gateway, mut caller, call) = call(Caller::telnyx);
    let fault = json!({"code": "100004", "title": "invalid media", "detail": "decode error"});
    caller.event("error", json!({ "payload": fault }));
    let event = run(async { call.transport.events().next().await });
    let text = "100004 invalid media: decode error".to_owned();
    assert_eq!(event, Some(TransportEvent::ProviderError { text }));
    assert!(call.transport.is_connected());
    caller.ws.assert_open();
}

#[test]
fn program_that_does_not_listen_loses_the_oldest_and_that_is_counted() {
    let (gateway, mut caller, call) = call(Caller::telnyx);
    for n in 0..600_u32 {
        caller.media(&(n as u16).to_le_bytes().repeat(320));
    }
    caller.stop();
    gateway.expect_metric(r#"streams{provider="telnyx"}"#, 0.0);
    let heard = run(call.transport.receive_audio().collect::<Vec<_>>());
    assert_eq!(heard.len(), 500);
    assert_eq!(heard[0][..2], 100_u16.to_le_bytes());
    gateway.expect_metric(r#"dropped_total{queue="inbox"}"#, 100.0);
}

/// A program written against the trait.
async fn parrot(transport: impl BaseTransport) -> Result<usize, SipTransportError> {
    let mut said = 0;
    let mut audio = transport.receive_audio();
    while let Some(pcm) = audio.next().await {
        said += pcm.len();
        transport.send_audio(&pcm).await?;
        let mark = transport.send_mark("end").await?;
        transport.clear_audio().await?;
        assert_eq!(mark.await, MarkOutcome::Cleared);
        assert_eq!(transport.metadata()["did"], DID);
        transport.close().await;
        assert!(!transport.is_connected());
    }
    Ok(said)
}

#[test]
fn program_can_be_written_against_the_trait() {
    let (_gateway, mut caller, call) = call(Caller::twilio);
    caller.media(&[0xff; 160]);
    assert_eq!(run(parrot(call.transport)), Ok(640));
    assert_eq!(caller.ws.expect_close(), Some(1000));
}

/// Stands in for a provider's HTTP interface: answers each request with the next status.
struct Api {
    at: SocketAddr,
    requests: Arc<Feed<String>>,
}

impl Api {
    fn answering(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let requests = Arc::new(Feed::new());
        let feed = requests.clone();
        std::thread::spawn(move || {
            for status in statuses {
                let Ok((mut tcp, _)) = listener.accept() else { return };
                feed.push(read_request(&mut tcp));
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
                tcp.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { at, requests }
    }

    fn bases(&self) -> ApiBases {
        let base = format!("http://{}", self.at);
        ApiBases { telnyx: base.clone(), twilio: base }
    }

    fn request(&self) -> String {
        let first =
            self.requests.wait(Instant::now() + WAIT, |list| (!list.is_empty()).then(|| list.remove(0)));
        first.expect("a request")
    }
}

fn read_request(tcp: &mut impl Read) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") && tcp.read(&mut byte).unwrap() == 1 {
        text.push(byte[0] as char);
    }
    let head = text.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    tcp.read_exact(&mut body).unwrap();
    text + std::str::from_utf8(&body).unwrap()
}

fn credentials() -> Credentials {
    Credentials {
        telnyx_api_key: Some(Secret::new("KEY1")),
        twilio_account_sid: Some("AC1".to_owned()),
        ..Credentials::default()
    }
}

fn calls_with(api: &Api, credentials: Credentials) -> (Gateway, Arc<Feed<Call>>) {
    let bases = api.bases();
    Gateway::for_calls_with(move |handler| {
        // What is tested here is the end of a stream, not who may begin one.
        let options = GatewayOptions { require_token: Some(false), ..GatewayOptions::default() };
        handler.with_credentials(credentials).with_api_bases(bases).with_options(options)
    })
}

#[test]
fn closing_hangs_up_a_telnyx_call() {
    let api = Api::answering(&[200]);
    let (gateway, calls) = calls_with(&api, credentials());
    let mut caller = Caller::telnyx(gateway.at);
    let call = take_call(&calls);
    run(call.transport.close());
    let request = api.request();
    assert!(request.starts_with("POST /v2/calls/v3:cc1/actions/hangup HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("authorization: bearer key1\r\n"), "{request}");
    assert!(!call.transport.is_connected());
    assert_eq!(caller.ws.expect_close(), Some(1000));
    gateway.expect_metric(r#"hangups_total{provider="telnyx",result="done"}"#, 1.0);
}

#[test]
fn call_that_was_over_is_no_failure_and_an_overloaded_provider_is_asked_again() {
    let api = Api::answering(&[503, 422]);
    let (gateway, calls) = calls_with(&api, credentials());
    let _caller = Caller::telnyx(gateway.at);
    run(take_call(&calls).transport.close());
    gateway.expect_metric(r#"hangups_total{provider="telnyx",result="gone"}"#, 1.0);
}

#[test]
fn provider_that_refuses_is_counted_and_the_socket_is_closed() {
    let api = Api::answering(&[401]);
    let (gateway, calls) = calls_with(&api, credentials());
    let mut caller = Caller::telnyx(gateway.at);
    run(take_call(&calls).transport.close());
    assert_eq!(caller.ws.expect_close(), Some(1000));
    gateway.expect_metric(r#"hangups_total{provider="telnyx",result="failed"}"#, 1.0);
}

#[test]
fn without_credentials_closing_closes_the_socket() {
    for (open, provider) in [(Caller::telnyx as fn(_) -> _, "telnyx"), (Caller::twilio, "twilio")] {
        let (gateway, mut caller, call) = call(open);
        run(call.transport.close());
        run(call.transport.close());
        assert_eq!(caller.ws.expect_close(), Some(1000));
        let series = format!(r#"hangups_total{{provider="{provider}",result="no-credentials"}}"#);
        gateway.expect_metric(&series, 1.0);
    }
}

#[test]
fn call_that_nobody_has_any_more_is_hung_up() {
    let api = Api::answering(&[200]);
    let (gateway, calls) = calls_with(&api, credentials());
    let mut caller = Caller::telnyx(gateway.at);
    let call = take_call(&calls);
    let other_handle = call.transport.clone();
    drop(call);
    caller.ws.assert_open();
    drop(other_handle);
    assert_eq!(caller.ws.expect_close(), Some(1000));
    assert!(api.request().contains("/v3:cc1/"));
}

#[test]
fn telnyx_call_whose_socket_breaks_is_hung_up_and_one_that_stops_is_not() {
    let api = Api::answering(&[200, 200]);
    let (gateway, calls) = calls_with(&api, credentials());
    let mut stopped = Caller::telnyx(gateway.at);
    let _one = take_call(&calls);
    stopped.stop();
    assert_eq!(stopped.ws.expect_close(), Some(1000));
    drop(stopped);
    gateway.expect_metric("sockets", 0.0);
    drop(Caller::telnyx(gateway.at));
    gateway.expect_metric(r#"hangups_total{provider="telnyx",result="done"}"#, 1.0);
    assert_eq!(api.requests.len(), 1);
}

#[test]
fn program_can_reject_a_call() {
    let api = Api::answering(&[200]);
    let bases = api.bases();
    let gateway = Gateway::start(|router| {
        let options = GatewayOptions { require_token: Some(false), ..GatewayOptions::default() };
        let reject =
            |_: SipTransport, _| async { Err(SipTransportError::CallRejected("not now".to_owned())) };
        SipWebhookHandler::new(router, reject, PUBLIC_URL)
            .with_credentials(credentials())
            .with_api_bases(bases)
            .with_options(options)
    });
    let mut caller = Caller::telnyx(gateway.at);
    assert_eq!(caller.ws.expect_close(), Some(1000));
    assert!(api.request().contains("/actions/hangup"));
    gateway.expect_metric(r#"refused_total{reason="rejected"}"#, 1.0);
}

#[test]
fn program_that_panics_ends_its_call_and_no_other() {
    let gateway = Gateway::start(|router| {
        let on_session = |transport: SipTransport, config| async move {
            assert_ne!(transport.metadata()["provider"], "twilio", "on purpose");
            sip_relay::gateway::echo(transport, config).await
        };
        SipWebhookHandler::new(router, on_session, PUBLIC_URL)
    });
    let mut witness = Caller::telnyx(gateway.at);
    witness.media(&[1; 640]);
    witness.hear(1);
    let mut caller = Caller::twilio(gateway.at);
    assert_eq!(caller.ws.expect_close(), Some(1000));
    witness.media(&[2; 640]);
    assert_eq!(witness.hear(1), [[2; 640]]);
}

#[test]
fn twilio_call_is_completed_where_there_is_an_account() {
    let api = Api::answering(&[200]);
    let bases = api.bases();
    let twilio = Credentials { twilio_auth_token: Some(Secret::new("TOKEN")), ..credentials() };
    let url = "wss://voice.example.com/sip/media-stream";
    let (gateway, calls) = Gateway::for_calls_with(move |handler| {
        let options = GatewayOptions { require_token: Some(false), ..GatewayOptions::default() };
        handler.with_credentials(twilio).with_api_bases(bases).with_options(options)
    });
    let signature = stream::signature::twilio::sign_upgrade("TOKEN", url);
    let mut caller = Caller::open_with(gateway.at, &[("x-twilio-signature", &signature)]).unwrap();
    caller.say(&common::gateway::twilio_connected());
    caller.say(&common::gateway::twilio_start());
    let call = take_call(&calls);
    run(call.transport.close());
    let request = api.request();
    assert!(request.starts_with("POST /2010-04-01/Accounts/AC1/Calls/CA1.json HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("QUMxOlRPS0VO"), "basic authentication: {request}");
    assert!(request.ends_with("Status=completed"), "{request}");
    assert_eq!(caller.ws.expect_close(), Some(1000));
}
