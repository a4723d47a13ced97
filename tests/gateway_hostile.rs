//! Who has no business with the gateway: forged and replayed webhooks, streams that nobody announced, frames that announce too
//! much, sockets that say nothing. All are refused, bounded and counted, and calls go on.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::gateway::{
    Caller, DID, Gateway, PUBLIC_URL, call_form, post_form, request, telnyx_connected, telnyx_start,
    twilio_connected, twilio_start, url_encoded,
};
use ed25519_compact::{KeyPair, Seed};
use serde_json::Value;
use sip_relay::config::Secret;
use sip_relay::gateway::{Credentials, GatewayOptions, SipWebhookHandler, TelnyxKey};
use stream::signature::twilio::{sign, sign_upgrade};

const TOKEN: &str = "12345";
const WEBHOOK: &str = "https://voice.example.com/sip/twilio/answer";

fn with_credentials(credentials: Credentials) -> Gateway {
    Gateway::start(|router| SipWebhookHandler::echo(router, PUBLIC_URL).with_credentials(credentials))
}

fn twilio() -> Gateway {
    with_credentials(Credentials { twilio_auth_token: Some(Secret::new(TOKEN)), ..Credentials::default() })
}

fn pairs(form: &[(&str, &str)]) -> Vec<(String, String)> {
    form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The token in a document.
fn token(xml: &str) -> String {
    let value = xml.split(r#"name="token" value=""#).nth(1).unwrap_or_else(|| panic!("no token in {xml}"));
    value.split('"').next().unwrap().to_owned()
}

fn with_token(mut start: Value, token: &str) -> Value {
    for parameters in ["customParameters", "custom_parameters"] {
        if let Some(parameters) = start["start"].get_mut(parameters) {
            parameters["token"] = token.into();
        }
    }
    start
}

#[test]
fn webhook_of_twilio_needs_its_signature() {
    let gateway = twilio();
    let form = call_form();
    let signature = sign(TOKEN, WEBHOOK, &pairs(&form));
    let post = |form: &[(&str, &str)], headers: &[(&str, &str)]| {
        post_form(gateway.at, "/sip/twilio/answer", form, headers).0
    };
    assert_eq!(post(&form, &[("X-Twilio-Signature", &signature)]), 200);
    assert_eq!(post(&form, &[]), 403);
    assert_eq!(post(&form, &[("X-Twilio-Signature", "AAAA")]), 403);
    let mut forged = form.clone();
    forged[0].1 = "+1900";
    assert_eq!(post(&forged, &[("X-Twilio-Signature", &signature)]), 403, "another caller");
    let other = sign("54321", WEBHOOK, &pairs(&form));
    assert_eq!(post(&form, &[("X-Twilio-Signature", &other)]), 403, "another account");
    gateway.expect_metric(r#"webhooks_total{provider="twilio",result="forbidden"}"#, 4.0);
    gateway.expect_metric(r#"webhooks_total{provider="twilio",result="answered"}"#, 1.0);
    // There is no key of Telnyx to check by.
    assert_eq!(post_form(gateway.at, "/sip/telnyx/answer", &form, &[]).0, 200);
}

#[test]
fn webhook_of_telnyx_needs_its_signature_of_a_moment_ago() {
    let keys = KeyPair::from_seed(Seed::new([7; 32]));
    let public = TelnyxKey::from_bytes(*keys.pk);
    let gateway = with_credentials(Credentials { telnyx_public_key: Some(public), ..Credentials::default() });
    let body = url_encoded(&call_form());
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let post = |signed_at: u64, said_at: u64, body: &str, signed: &str| {
        let signature = keys.sk.sign(format!("{signed_at}|{signed}"), None);
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("telnyx-signature-ed25519", &STANDARD.encode(*signature)),
            ("telnyx-timestamp", &said_at.to_string()),
        ];
        request(gateway.at, "POST", "/sip/telnyx/answer", &headers, body.as_bytes()).0
    };
    assert_eq!(post(unix, unix, &body, &body), 200);
    assert_eq!(post(unix - 290, unix - 290, &body, &body), 200);
    assert_eq!(post(unix - 310, unix - 310, &body, &body), 403, "replayed");
    assert_eq!(post(unix + 400, unix + 400, &body, &body), 403, "from the future");
    assert_eq!(post(unix - 310, unix, &body, &body), 403, "replayed under another time");
    assert_eq!(post(unix, unix, &format!("{body}&x=1"), &body), 403, "another body");
    assert_eq!(post_form(gateway.at, "/sip/telnyx/answer", &call_form(), &[]).0, 403, "none");
    gateway.expect_metric(r#"webhooks_total{provider="telnyx",result="forbidden"}"#, 5.0);
}

#[test]
fn stream_of_twilio_needs_signature_and_token_and_the_token_is_good_once() {
    let gateway = twilio();
    let form = [("From", "+1999"), ("To", DID), ("CallSid", "CA1")];
    let webhook = || {
        let signature = sign(TOKEN, WEBHOOK, &pairs(&form));
        post_form(gateway.at, "/sip/twilio/answer", &form, &[("X-Twilio-Signature", &signature)]).1
    };
    let upgrade = sign_upgrade(TOKEN, PUBLIC_URL);
    let forged = Caller::open_with(gateway.at, &[("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")]);
    assert_eq!(forged.err(), Some(403));
    gateway.expect_metric(r#"refused_total{reason="signature"}"#, 1.0);

    let stream = |signature: Option<&str>, token: Option<&str>, call_sid: &str| {
        let headers: Vec<_> =
            signature.map(|signature| ("x-twilio-signature", signature)).into_iter().collect();
        let mut caller = Caller::open_with(gateway.at, &headers).unwrap();
        caller.say(&twilio_connected());
        let mut start = twilio_start();
        start["start"]["callSid"] = call_sid.into();
        caller.say(&token.map_or(start.clone(), |token| with_token(start, token)));
        caller.media(&[0xff; 160]);
        caller
    };
    let announced = token(&webhook());
    assert_eq!(stream(None, Some(&announced), "CA1").ws.expect_close(), Some(1008), "not signed");
    gateway.expect_metric(r#"refused_total{reason="signature"}"#, 2.0);
    assert_eq!(stream(Some(&upgrade), None, "CA1").ws.expect_close(), Some(1008), "no token");
    assert_eq!(stream(Some(&upgrade), Some("guessed"), "CA1").ws.expect_close(), Some(1008));
    let mut caller = stream(Some(&upgrade), Some(&announced), "CA1");
    caller.hear(1);
    assert_eq!(stream(Some(&upgrade), Some(&announced), "CA1").ws.expect_close(), Some(1008), "used");
    let other_call = token(&webhook());
    assert_eq!(stream(Some(&upgrade), Some(&other_call), "CA2").ws.expect_close(), Some(1008));
    gateway.expect_metric(r#"refused_total{reason="token"}"#, 4.0);

    // Who calls is what the webhook said, whatever the stream says of itself.
    let (_, _, body) = request(gateway.at, "GET", "/api/calls", &[], b"");
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(shown["active"][0]["caller_id"], "+1999");
    caller.media(&[0xff; 160]);
    caller.hear(1);
}

#[test]
fn token_can_be_asked_for_without_any_credential() {
    let gateway = Gateway::start(|router| {
        let options = GatewayOptions { require_token: Some(true), ..GatewayOptions::default() };
        SipWebhookHandler::echo(router, PUBLIC_URL).with_options(options)
    });
    assert_eq!(Caller::telnyx(gateway.at).ws.expect_close(), Some(1008));
    let mut caller = Caller::open(gateway.at);
    caller.say(&telnyx_connected());
    caller.say(&with_token(telnyx_start(), &token(&gateway.webhook("telnyx"))));
    caller.media(&[1; 640]);
    caller.hear(1);
    gateway.expect_metric(r#"refused_total{reason="token"}"#, 1.0);
}

/// A media socket made by hand.
fn raw(at: SocketAddr) -> (TcpStream, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // What a peer that never reads takes is little.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&at.into()).unwrap();
    let mut tcp: TcpStream = socket.into();
    tcp.set_read_timeout(Some(common::WAIT)).unwrap();
    write!(
        tcp,
        "GET /sip/media-stream HTTP/1.1\r\nHost: {at}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    let mut head = [0; 12];
    tcp.read_exact(&mut head).unwrap();
    (tcp, std::str::from_utf8(&head[9..]).unwrap().parse().unwrap())
}

#[test]
fn frame_that_announces_too_much_is_refused_by_its_header() {
    let gateway = Gateway::echo();
    let mut witness = Caller::telnyx(gateway.at);
    let (mut tcp, status) = raw(gateway.at);
    assert_eq!(status, 101);
    let mut header = vec![0x81, 0xff];
    header.extend((500_u64 << 20).to_be_bytes());
    tcp.write_all(&header).unwrap();
    gateway.expect_metric(r#"sockets_closed_total{code="1009",reason="too-big"}"#, 1.0);
    let block = vec![0; 1 << 20];
    let deadline = Instant::now() + common::WAIT;
    while Instant::now() < deadline && tcp.write_all(&block).is_ok() {}
    assert!(tcp.write_all(&block).is_err(), "the connection is closed");
    witness.media(&[1; 640]);
    assert_eq!(witness.hear(1), [[1; 640]]);
}

#[test]
fn message_of_more_than_64_kib_is_refused_also_in_pieces() {
    let gateway = Gateway::echo();
    let mut caller = Caller::telnyx(gateway.at);
    caller.ws.send_fragmented(&"x".repeat((64 << 10) + 1), 1000);
    assert_eq!(caller.ws.expect_close(), Some(1009));
}

#[test]
fn thousand_silent_sockets_are_bounded_and_calls_go_on() {
    // Both ends of each are in this process.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let gateway = Gateway::start(|router| {
        let options =
            GatewayOptions { handshake_timeout: Duration::from_secs(2), ..GatewayOptions::default() };
        SipWebhookHandler::echo(router, PUBLIC_URL).with_options(options)
    });
    let mut witness = Caller::telnyx(gateway.at);
    witness.media(&[1; 640]);
    witness.hear(1);
    let silent: Vec<(TcpStream, u16)> = (0..1000).map(|_| raw(gateway.at)).collect();
    let accepted = silent.iter().filter(|(_, status)| *status == 101).count();
    let refused = silent.iter().filter(|(_, status)| *status == 503).count();
    assert_eq!(accepted + refused, 1000);
    let counted = gateway.metric(r#"refused_total{reason="handshakes"}"#);
    assert_eq!(counted, refused as f64);
    assert!(gateway.metric("sockets") <= 101.0, "{}", gateway.metric("sockets"));
    for n in 0..50 {
        witness.media(&[n; 640]);
        assert_eq!(witness.hear(1), [[n; 640]]);
    }
    // They are closed in time, and their places are free again while the peers still hold on.
    gateway.expect_metric(r#"refused_total{reason="timeout"}"#, accepted as f64);
    gateway.expect_metric("sockets", 1.0);
    let mut next = Caller::telnyx(gateway.at);
    next.media(&[3; 640]);
    next.hear(1);
}

#[test]
fn silent_sockets_take_no_place_from_a_signed_one() {
    let gateway = twilio();
    let silent: Vec<(TcpStream, u16)> = (0..101).map(|_| raw(gateway.at)).collect();
    assert_eq!(silent[100].1, 503);
    let upgrade = sign_upgrade(TOKEN, PUBLIC_URL);
    Caller::open_with(gateway.at, &[("x-twilio-signature", &upgrade)]).unwrap().ws.assert_open();
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let gateway = Gateway::start(|router| {
        let options = GatewayOptions { max_streams: 2, ..GatewayOptions::default() };
        SipWebhookHandler::echo(router, PUBLIC_URL).with_options(options)
    });
    let callers: Vec<Caller> = (0..2).map(|_| Caller::telnyx(gateway.at)).collect();
    gateway.expect_metric(r#"streams{provider="telnyx"}"#, 2.0);
    assert_eq!(Caller::open_with(gateway.at, &[]).err(), Some(503));
    gateway.expect_metric(r#"refused_total{reason="full"}"#, 1.0);
    drop(callers);
    gateway.expect_metric("sockets", 0.0);
    Caller::telnyx(gateway.at);
}

#[test]
fn provider_that_never_reads_costs_a_bounded_queue() {
    let (gateway, calls) = Gateway::for_calls();
    let (mut tcp, _) = raw(gateway.at);
    let mut text = |message: &Value| {
        let text = message.to_string();
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend((text.len() as u16).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        tcp.write_all(&frame).unwrap();
    };
    text(&telnyx_connected());
    text(&telnyx_start());
    let call = common::gateway::take_call(&calls);
    common::gateway::run(async {
        // Marks may not be dropped. Far more of them than the socket's buffers take.
        let name = "m".repeat(250);
        'full: for _ in 0..500 {
            for _ in 0..200 {
                if call.transport.send_mark(name.as_str()).await.is_err() {
                    break 'full;
                }
            }
            let _ = call.transport.clear_audio().await;
        }
    });
    assert!(!call.transport.is_connected());
    drop(tcp);
    gateway.expect_metric(r#"sockets_closed_total{code="1008",reason="too-slow"}"#, 1.0);
}
