//! `AGENT_STREAM_URL`: a call is connected to a bot that was written for Twilio Media Streams, and the relay is Twilio to it.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::bot::{BotServer, BotStream, Heard, payload};
use common::gateway::{self, Caller};
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::temp::TempDir;
use common::ws::{QUIET, WsClient, bytes, samples};
use common::{WAIT, eventually, free_ports, http, scene, sha1};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;
use testkit::{g711, tone};
use tokio_tungstenite::tungstenite;

const CALLER: &str = "0903383638";
const SILENCE: u8 = 0xff;

#[test]
fn messages_are_twilios_field_for_field() {
    let settings = [
        ("AGENT_STREAM_PARAMETERS", "tenant=7,token=a=b"),
        ("TWILIO_ACCOUNT_SID", "AC11111111111111111111111111111111"),
    ];
    let (_relay, pbx, bot) = start(&settings);
    let mut call =
        pbx.invite_with(_relay.sip(), Invite { to: "+15125551234".into(), ..Invite::default() }, |draft| {
            draft.header("X-Room-ID", "42").header("Y-Other", "no")
        });
    call.expect_response(200);
    call.ack();

    let (mut stream, start) = bot.expect_started();
    let sid = stream.stream_sid.clone();
    let call_sid = start["start"]["callSid"].as_str().unwrap().to_owned();
    assert_is_sid(&sid, "MZ");
    assert_is_sid(&call_sid, "CA");
    assert_eq!(
        start,
        json!({
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": sid,
            "start": {
                "accountSid": "AC11111111111111111111111111111111",
                "streamSid": sid,
                "callSid": call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {
                    "caller_id": CALLER, "From": CALLER,
                    "did": "+15125551234", "To": "+15125551234",
                    "direction": "inbound",
                    "sip_call_id": call.call_id(),
                    "SipHeader_X-Room-ID": "42",
                    "tenant": "7", "token": "a=b",
                },
            },
        })
    );

    call.rtp.send_payload(&pattern(5));
    for (n, (_, media)) in stream.expect_media(5).iter().enumerate() {
        let expected = json!({
            "event": "media",
            "sequenceNumber": (n + 2).to_string(),
            "streamSid": sid,
            "media": {
                "track": "inbound",
                "chunk": (n + 1).to_string(),
                "timestamp": (n * 20).to_string(),
                "payload": media["media"]["payload"],
            },
        });
        assert_eq!(*media, expected);
        assert_eq!(payload(media).len(), 160);
    }

    for packet in call.rtp.stream().key_press(101, 11, 1280, 160) {
        call.rtp.send_raw(&packet.to_bytes());
    }
    let dtmf = stream.expect("dtmf");
    let number = dtmf["sequenceNumber"].clone();
    let expected = json!({
        "event": "dtmf", "sequenceNumber": number, "streamSid": sid,
        "dtmf": {"track": "inbound_track", "digit": "#"},
    });
    assert_eq!(dtmf, expected);

    stream.send_mark("greeting");
    let mark = stream.expect("mark");
    let number = mark["sequenceNumber"].clone();
    let expected =
        json!({"event": "mark", "sequenceNumber": number, "streamSid": sid, "mark": {"name": "greeting"}});
    assert_eq!(mark, expected);

    call.bye();
    let stop = stream.expect("stop");
    let number = stop["sequenceNumber"].clone();
    let expected = json!({
        "event": "stop", "sequenceNumber": number, "streamSid": sid,
        "stop": {"accountSid": "AC11111111111111111111111111111111", "callSid": call_sid},
    });
    assert_eq!(stop, expected);
    stream.expect_closed(Some(1000));
    assert_numbers_are_in_order(&stream);
}

#[test]
fn audio_passes_both_ways_untouched_on_a_call_of_its_law() {
    let (relay, pbx, bot) = start(&[]);
    let mut call = pbx.call(relay.sip(), Invite { formats: vec![0], ..Invite::default() });
    let (stream, _) = bot.expect_started();
    let said = pattern(50);
    // Chunks of any length, as text to speech makes them.
    said.chunks(333).for_each(|chunk| stream.send_media(chunk));
    call.rtp.send_payload(&said);
    let heard = wait_for_audio(&stream, &said);
    assert!(contains(&heard, &said), "what the caller said is among {} bytes", heard.len());
    assert!(contains(&received(&call, 60), &said), "what the bot said reached the caller");
    end(call, stream);
}

#[test]
fn audio_of_another_law_is_transcoded_both_ways() {
    let (relay, pbx, bot) = start(&[]);
    let mut call = pbx.call(relay.sip(), Invite { formats: vec![8], ..Invite::default() });
    let (stream, _) = bot.expect_started();
    stream.send_media(&g711::encode_ulaw(&tone::tone(600.0, 8000, 600)));
    call.rtp.send_pcm(&tone::tone(440.0, 8000, 600));
    stream.expect_media(30);
    let heard: Vec<u8> = stream.audio().into_iter().skip_while(|&byte| byte == SILENCE).take(4000).collect();
    assert!(tone::is_tone(&g711::decode_ulaw(&heard), 8000, 440.0, 1.0));
    assert!(tone::is_tone(&scene::loud(&call.rtp.arrivals(), 8)[..3200], 8000, 600.0, 1.0));
    end(call, stream);
}

#[test]
fn mark_comes_back_when_its_audio_was_played_and_at_once_when_nothing_is_queued() {
    let (relay, pbx, bot) = start(&[]);
    let call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, _) = bot.expect_started();
    stream.send_mark("nothing before it");
    stream.expect_mark("nothing before it");

    let begin = Instant::now();
    stream.send_media(&pattern(25));
    stream.send_mark("one");
    stream.send_media(&pattern(25));
    // Names are the bot's own: any text, and the same twice.
    stream.send_mark("one");
    stream.send_mark("##\r\n:\"x\"");
    stream.expect_mark("one");
    let half = begin.elapsed();
    stream.expect_mark("one");
    stream.expect_mark("##\r\n:\"x\"");
    let whole = begin.elapsed();
    assert!(half >= Duration::from_millis(480) && half < Duration::from_millis(900), "{half:?}");
    assert!(whole >= Duration::from_millis(980) && whole < Duration::from_millis(1500), "{whole:?}");
    end(call, stream);
}

#[test]
fn clear_empties_the_queue_and_every_mark_comes_back() {
    let (relay, pbx, bot) = start(&[]);
    let call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, _) = bot.expect_started();
    for n in 0..5 {
        stream.send_media(&[0x80; 16_000]);
        stream.send_mark(&n.to_string());
    }
    call.rtp.expect_packets(10, WAIT);
    stream.send_clear();
    (0..5).for_each(|n| stream.expect_mark(&n.to_string()));
    let after: Vec<_> = call.rtp.next_packets(10);
    let loud = after.iter().skip(3).filter(|arrival| arrival.packet.payload.contains(&0x80)).count();
    assert_eq!(loud, 0, "nothing of 10 s of audio is left");
    // What comes after it is played.
    let said = pattern(5);
    stream.send_media(&said);
    stream.send_mark("after");
    stream.expect_mark("after");
    assert!(contains(&received(&call, 1), &said));
    stream.send_clear();
    assert!(stream.is_quiet(QUIET), "no mark is left: {:?}", stream.signals());
    end(call, stream);
}

#[test]
fn bot_that_closes_the_socket_ends_the_call() {
    let (relay, pbx, bot) = start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    let (mut stream, _) = bot.expect_started();
    stream.close();
    call.expect_bye();
    ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
    stream.expect_closed(Some(1000));
    assert_eq!(
        stream.signals(),
        signals_without_stop(&stream),
        "a stream that the bot has closed gets no stop"
    );
    expect_ended(&relay, "agent-hangup", "agent");
    expect_metric(&relay, r#"sip_relay_agent_streams_closed_total{reason="bot"}"#, 1.0);
    expect_metric(&relay, "sip_relay_agent_streams", 0.0);
}

#[test]
fn bot_that_crashes_ends_the_call() {
    let (relay, pbx, bot) = start(&[]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    let (stream, _) = bot.expect_started();
    stream.crash();
    call.expect_bye();
    expect_ended(&relay, "agent-gone", "agent");
    expect_metric(&relay, r#"sip_relay_agent_streams_closed_total{reason="lost"}"#, 1.0);
}

#[test]
fn bot_that_cannot_be_reached_ends_the_call_and_says_why() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = refusing.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut tcp in refusing.incoming().map_while(Result::ok) {
            let _ = tcp.read(&mut [0; 4096]);
            let _ = tcp.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let unreachable = [
        (format!("ws://{nobody}/"), "unreachable"),
        ("wss://nobody.invalid/".to_owned(), "unreachable"),
        (format!("ws://{plain}/?secret=hunter2"), "refused"),
        (format!("wss://{plain}/"), "tls"),
    ];
    for (url, reason) in unreachable {
        let pbx = Pbx::new();
        let relay = scene::start(&pbx, &[("AGENT_STREAM_URL", &url)]);
        let mut call = pbx.call(relay.sip(), Invite::default());
        call.expect_bye();
        let series = format!("sip_relay_agent_streams_failed_total{{reason=\"{reason}\"}}");
        expect_metric(&relay, &series, 1.0);
        expect_ended(&relay, "agent-unreachable", "agent");
        relay.expect_log("the bot cannot be reached, the call ends");
        assert!(!relay.log().iter().any(|line| line.contains("hunter2")), "no secret is shown");
    }
}

#[test]
fn bot_that_never_answers_the_handshake_ends_the_call_after_ten_seconds() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let pbx = Pbx::new();
    let url = format!("ws://{}/", mute.local_addr().unwrap());
    let relay = scene::start(&pbx, &[("AGENT_STREAM_URL", &url)]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    let begin = Instant::now();
    let ended = eventually(Duration::from_secs(14), || call.poll_request("BYE").is_some());
    assert!(ended && begin.elapsed() > Duration::from_secs(9), "{:?}", begin.elapsed());
    expect_metric(&relay, r#"sip_relay_agent_streams_failed_total{reason="timeout"}"#, 1.0);
}

#[test]
fn caller_may_hang_up_while_the_bot_is_dialled() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let pbx = Pbx::new();
    let url = format!("ws://{}/", mute.local_addr().unwrap());
    let relay = scene::start(&pbx, &[("AGENT_STREAM_URL", &url)]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    let (mut dialled, _) = mute.accept().unwrap();
    call.bye();
    dialled.set_read_timeout(Some(WAIT)).unwrap();
    let mut request = Vec::new();
    dialled.read_to_end(&mut request).expect("the attempt is given up");
    assert!(request.starts_with(b"GET / HTTP/1.1\r\n"));
    expect_ended(&relay, "remote-bye", "caller");
}

#[test]
fn silent_bot_and_silent_caller_keep_a_stream_without_holes() {
    let (relay, pbx, bot) = start(&[]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, _) = bot.expect_started();
    // The caller says nothing, something, and nothing again: as a telephone that suppresses silence.
    stream.expect_media(50);
    let said = pattern(25);
    call.rtp.send_payload(&said);
    stream.expect_media(130);
    let media = stream.media();
    let span = media[media.len() - 1].0 - media[0].0;
    let per_second = (media.len() - 1) as f64 / span.as_secs_f64();
    assert!((45.0..55.0).contains(&per_second), "{per_second} messages a second");
    assert!(contains(&stream.audio(), &said));
    let loud = stream.audio().iter().filter(|&&byte| byte != SILENCE).count();
    assert_eq!(loud, said.iter().filter(|&&byte| byte != SILENCE).count(), "the rest is silence");
    assert!(stream.is_quiet(Duration::ZERO));
    assert!(call.poll_request("BYE").is_none(), "a bot may be silent");
    end(call, stream);
}

#[test]
fn bot_that_sends_at_twice_real_time_loses_nothing() {
    let (relay, pbx, bot) = start(&[]);
    let call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, _) = bot.expect_started();
    let said = pattern(150);
    let begin = Instant::now();
    for (n, frame) in said.chunks(160).enumerate() {
        common::rtp_end::pace(begin + Duration::from_millis(10 * n as u64));
        stream.send_media(frame);
    }
    stream.send_mark("end");
    stream.expect_mark("end");
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(2980), "{took:?}");
    assert!(contains(&received(&call, 1), &said));
    expect_metric(&relay, r#"sip_relay_dropped_total{queue="playout"}"#, 0.0);
    end(call, stream);
}

#[test]
fn ten_minutes_in_one_burst_are_taken_and_cleared_at_once() {
    let (relay, pbx, bot) = start(&[]);
    let call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, _) = bot.expect_started();
    let before = relay.resident_kib();
    // Ten minutes: first in 30,000 messages with a mark behind each, then in one message.
    let begin = Instant::now();
    for n in 0..29_999 {
        stream.send_media(&[0x80; 160]);
        stream.send_mark(&n.to_string());
    }
    stream.send_clear();
    for n in 0..29_999 {
        stream.expect_mark(&n.to_string());
    }
    stream.send_media(&vec![0x80; 4_799_840]);
    stream.send_mark("whole");
    stream.send_clear();
    stream.expect_mark("whole");
    let took = begin.elapsed();
    let grown = relay.resident_kib().saturating_sub(before);
    assert!(grown < 100 * 1024, "{grown} KiB");
    expect_metric(&relay, r#"sip_relay_dropped_total{queue="playout"}"#, 0.0);
    expect_metric(&relay, r#"sip_relay_dropped_total{queue="session-mailbox"}"#, 0.0);
    assert_eq!(stream.signals().len(), 30_002, "connected, start, and every mark once");
    println!(
        "20 minutes of audio in 30,000 messages and marks, taken and cleared: {took:?}, {grown} KiB more"
    );

    let said = pattern(5);
    stream.send_media(&said);
    stream.send_mark("after");
    stream.expect_mark("after");
    assert!(contains(&received(&call, 1), &said), "and the stream goes on");
    end(call, stream);
}

#[test]
fn bot_that_never_reads_costs_bounded_memory_and_ends_its_call() {
    let bot = BotServer::deaf();
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[("AGENT_STREAM_URL", &bot.url("/"))]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    let stream = bot.expect_stream();
    let before = relay.resident_kib();
    let mut sent = 0;
    while call.poll_request("BYE").is_none() {
        // Each is answered at once.
        (0..1000).for_each(|_| stream.send_text(r#"{"event":"mark","mark":{"name":"x"}}"#));
        sent += 1000;
        assert!(sent < 2_000_000, "a queue without end");
    }
    let grown = relay.resident_kib().saturating_sub(before);
    assert!(grown < 50 * 1024, "{grown} KiB");
    expect_ended(&relay, "agent-gone", "agent");
    expect_metric(&relay, r#"sip_relay_agent_streams_closed_total{reason="no-pong"}"#, 1.0);
}

#[test]
fn more_than_ten_minutes_are_refused_and_counted() {
    let (relay, pbx, bot) = start(&[]);
    let call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, _) = bot.expect_started();
    stream.send_media(&vec![0x80; 4_810_000]);
    (0..10).for_each(|_| stream.send_media(&[0x80; 160]));
    stream.send_mark("behind");
    stream.send_clear();
    stream.expect_mark("behind");
    expect_metric(&relay, r#"sip_relay_dropped_total{queue="playout"}"#, 10.0);
    end(call, stream);
}

#[test]
fn garbage_is_counted_and_nothing_else_changes() {
    let (relay, pbx, bot) = start(&[]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, _) = bot.expect_started();
    let garbage = [
        "",
        "hello",
        "null",
        "[]",
        "{}",
        r#"{"event":7}"#,
        r#"{"event":"dance"}"#,
        r#"{"event":"media"}"#,
        r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#,
        r#"{"event":"media","media":{"payload":"not base64!"}}"#,
        r#"{"event":"mark"}"#,
        r#"{"event":"mark","mark":{}}"#,
        "{\"event\":\"mark\",\"mark\":{\"name\":\"cut",
    ];
    garbage.iter().for_each(|text| stream.send_text(text));
    stream.send_text(&"[".repeat(100_000));
    stream.send_frame(0x82, &[0; 1000]);
    stream.send_frame(0x8a, b"a pong that nobody asked for");
    stream.send_mark("still there");
    stream.expect_mark("still there");
    let invalid = garbage.len() as f64 + 2.0;
    expect_metric(&relay, r#"sip_relay_agent_stream_messages_total{kind="invalid"}"#, invalid);
    relay.expect_log("message of the bot ignored");
    let said = pattern(5);
    call.rtp.send_payload(&said);
    stream.send_media(&said);
    wait_for_audio(&stream, &said);
    assert!(contains(&received(&call, 10), &said));
    end(call, stream);
}

#[test]
fn bot_that_breaks_the_websocket_ends_its_call_and_no_other() {
    let (relay, pbx, bot) = start(&[]);
    let (mut broken, mut whole) = (pbx.call(relay.sip(), Invite::default()), None);
    let (stream, _) = bot.expect_started();
    whole.replace(pbx.call(relay.sip(), Invite::default()));
    let (other, _) = bot.expect_started();
    // A text message that is not UTF-8.
    stream.send_frame(0x81, &[0xff, 0xfe]);
    broken.expect_bye();
    expect_ended(&relay, "agent-gone", "agent");
    end(whole.unwrap(), other);
}

#[test]
fn twenty_calls_at_once_have_a_bot_each() {
    let port = free_ports(80);
    let (first, last) = (port.to_string(), (port + 79).to_string());
    let (relay, pbx, bot) = start(&[("RTP_PORT_START", &first), ("RTP_PORT_END", &last)]);
    let mut calls: Vec<PbxCall> = Vec::new();
    let mut streams = Vec::new();
    for n in 0..20 {
        let from = format!("<sip:09000000{n:02}@127.0.0.1>");
        calls.push(pbx.call(relay.sip(), Invite { from: Some(from), ..Invite::default() }));
        let (stream, start) = bot.expect_started();
        assert_eq!(start["start"]["customParameters"]["caller_id"], format!("09000000{n:02}"));
        streams.push(stream);
    }
    let sids: HashSet<String> = streams.iter().map(|stream| stream.stream_sid.clone()).collect();
    assert_eq!(sids.len(), 20);
    // Each has a level of its own, both ways.
    let level = |n: usize, way: u8| vec![way | n as u8; 160 * 50];
    for (n, stream) in streams.iter().enumerate() {
        stream.send_media(&level(n, 0x80));
    }
    std::thread::scope(|scope| {
        for (n, call) in calls.iter_mut().enumerate() {
            scope.spawn(move || call.rtp.send_payload(&level(n, 0xa0)));
        }
    });
    for (n, (call, stream)) in calls.iter().zip(&streams).enumerate() {
        wait_for_audio(stream, &level(n, 0xa0));
        assert!(contains(&received(call, 60), &level(n, 0x80)), "call {n}");
        let foreign = stream.audio().iter().any(|&byte| byte != SILENCE && byte != 0xa0 | n as u8);
        assert!(!foreign, "bot {n} hears its own caller only");
    }
    expect_metric(&relay, "sip_relay_agent_streams", 20.0);
    for (call, stream) in calls.into_iter().zip(streams) {
        end(call, stream);
    }
    expect_metric(&relay, "sip_relay_agent_streams", 0.0);
    expect_metric(&relay, r#"sip_relay_agent_streams_closed_total{reason="call-over"}"#, 20.0);
}

#[test]
fn upgrade_is_signed_as_twilio_signs_it() {
    let bot = BotServer::start();
    let pbx = Pbx::new();
    let url = bot.url("/media?tenant=7&x=%20y");
    let relay = scene::start(&pbx, &[("AGENT_STREAM_URL", &url), ("TWILIO_AUTH_TOKEN", "12345")]);
    let call = pbx.call(relay.sip(), Invite::default());
    let (stream, _) = bot.expect_started();
    assert_eq!(stream.target, "/media?tenant=7&x=%20y");
    // Twilio knows `wss` alone, and so does whoever checks.
    let signed = format!("wss://{}/media?tenant=7&x=%20y", bot.address());
    let expected = STANDARD.encode(sha1::hmac(b"12345", signed.as_bytes()));
    assert_eq!(stream.header("x-twilio-signature"), Some(expected.as_str()));
    assert_eq!(stream.header("host"), Some(bot.address().to_string().as_str()));
    end(call, stream);
    assert!(!relay.log().iter().any(|line| line.contains("12345") || line.contains("tenant=7")));
}

#[test]
fn bot_with_a_certificate_is_spoken_to_in_tls_where_its_authority_is_trusted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/tls").join(name);
    let certificate = CertificateDer::from_pem_file(file("bot.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("bot.key")).unwrap();
    let server =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
    let server = Arc::new(server);
    let bot = std::thread::spawn(move || {
        loop {
            let tcp = listener.accept().unwrap().0;
            let tls = rustls::ServerConnection::new(server.clone()).unwrap();
            // Who does not trust the certificate breaks off here.
            let Ok(mut socket) = tungstenite::accept(rustls::StreamOwned::new(tls, tcp)) else { continue };
            socket.send(r#"{"event":"mark","mark":{"name":"over TLS"}}"#.into()).unwrap();
            let mut heard = Vec::new();
            while !heard.last().is_some_and(|text: &String| text.contains("over TLS")) {
                heard.push(socket.read().unwrap().to_string());
            }
            socket.close(None).unwrap();
            while socket.read().is_ok() {}
            return heard;
        }
    });
    let url = format!("wss://localhost:{port}/");
    let pbx = Pbx::new();
    let distrustful = scene::start(&pbx, &[("AGENT_STREAM_URL", &url)]);
    pbx.call(distrustful.sip(), Invite::default()).expect_bye();
    expect_metric(&distrustful, r#"sip_relay_agent_streams_failed_total{reason="tls"}"#, 1.0);

    let ca = file("ca.pem").display().to_string();
    let relay = scene::start(&pbx, &[("AGENT_STREAM_URL", &url), ("AGENT_STREAM_CA", &ca)]);
    pbx.call(relay.sip(), Invite::default()).expect_bye();
    let heard = bot.join().unwrap();
    assert!(heard[0].contains("connected") && heard[1].contains("start"), "{heard:?}");
    expect_metric(&relay, r#"sip_relay_agent_streams_closed_total{reason="bot"}"#, 1.0);
}

#[test]
fn upgrade_without_a_token_is_not_signed() {
    let (relay, pbx, bot) = start(&[]);
    let call = pbx.call(relay.sip(), Invite::default());
    let (stream, start) = bot.expect_started();
    assert_eq!(stream.header("x-twilio-signature"), None);
    assert_eq!(start["start"]["accountSid"], "AC00000000000000000000000000000000");
    end(call, stream);
}

#[test]
fn websocket_clients_hear_the_same_call_as_usual() {
    let (relay, pbx, bot) = start(&[]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    let mut call = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    let (mut stream, _) = bot.expect_started();
    let said = pattern(10);
    call.rtp.send_payload(&said);
    wait_for_audio(&stream, &said);
    assert_eq!(ws.expect_rtp(10, WAIT).len(), 10);
    ws.send(&format!("MARK:{}##mine", call.call_id()));
    ws.expect(&format!("MARK:{}##mine##played##", call.call_id()));
    assert!(stream.is_quiet(QUIET), "a client's mark is not the bot's: {:?}", stream.signals());
    stream.send_mark("bot's");
    stream.expect_mark("bot's");
    assert!(ws.is_quiet(QUIET), "a bot's mark is not the client's: {:?}", ws.signals());
    call.bye();
    stream.expect("stop");
    ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
    ws.finish();
}

#[test]
fn call_that_a_client_places_has_a_bot_when_it_is_up() {
    let (relay, pbx, bot) = start(&[("SIP_USERNAME", "1001")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = scene::ringing(&pbx, &mut ws);
    assert_eq!(bot.waiting(), 0, "a call that rings has none");
    call.answer(&[0]);
    call.expect_request("ACK");
    let (stream, start) = bot.expect_started();
    let parameters = &start["start"]["customParameters"];
    assert_eq!(
        *parameters,
        json!({
            "caller_id": "1001", "From": "1001", "did": scene::DIALLED, "To": scene::DIALLED,
            "direction": "outbound", "sip_call_id": call.call_id(),
        })
    );
    end(call, stream);
}

#[test]
fn call_that_telnyx_brings_has_a_bot_that_knows_twilio_alone() {
    let bot = BotServer::start();
    let dir = TempDir::new("numbers");
    let file = dir.write("dids.yaml", "dids: {}\n").display().to_string();
    let url = bot.url("/");
    let relay = Relay::start(&[
        ("GATEWAY_ENABLE", "1"),
        ("GATEWAY_HANDLER", "relay"),
        ("GATEWAY_CONFIG", &file),
        ("AGENT_STREAM_URL", &url),
    ]);
    let mut caller = Caller::telnyx(relay.ws());
    let (mut stream, start) = bot.expect_started();
    let parameters = &start["start"]["customParameters"];
    assert_eq!(
        (&parameters["caller_id"], &parameters["To"]),
        (&json!(gateway::CALLER), &json!(gateway::DID))
    );

    // Telnyx sends and takes L16 at 16 kHz.
    let mut voice = tone::Sine::new(440.0, 16_000, 8000);
    let begin = Instant::now();
    for n in 0..50 {
        common::rtp_end::pace(begin + Duration::from_millis(20 * n));
        caller.media(&bytes(&voice.samples(320)));
    }
    stream.expect_media(60);
    let heard: Vec<u8> = stream.audio().into_iter().skip_while(|&byte| byte == SILENCE).take(6400).collect();
    assert!(tone::is_tone(&g711::decode_ulaw(&heard), 8000, 440.0, 1.0), "{} bytes", heard.len());

    stream.send_media(&g711::encode_ulaw(&tone::tone(600.0, 8000, 1000)));
    let mut said = Vec::new();
    while said.len() < 40 * 320 {
        let message = caller.next();
        if message["event"] == "media" {
            let pcm = samples(&gateway::payload(&message));
            said.extend(Some(pcm).filter(|pcm| tone::rms(pcm) > 1000.0).into_iter().flatten());
        }
    }
    assert!(tone::is_tone(&said, 16_000, 600.0, 1.0), "the bot is heard");
    caller.event("dtmf", json!({"dtmf": {"digit": "7"}}));
    assert_eq!(stream.expect("dtmf")["dtmf"]["digit"], "7");
    caller.stop();
    stream.expect("stop");
    stream.expect_closed(Some(1000));
}

#[test]
fn number_may_have_a_bot_of_its_own_or_none() {
    let (all, own) = (BotServer::start(), BotServer::start());
    let dir = TempDir::new("numbers");
    let dids = format!(
        "dids:\n  '100': {{agent_stream_url: '{}'}}\n  '200': {{agent_stream_url: none}}\n  '300': {{user_id: x}}\n  \
         '400': {{agent_stream_url: 'ws://elsewhere/'}}\n",
        own.url("/own")
    );
    let file = dir.write("dids.yaml", dids).display().to_string();
    let gateway = [("GATEWAY_ENABLE", "1"), ("GATEWAY_CONFIG", file.as_str())];
    let pbx = Pbx::new();
    let url = all.url("/all");
    let relay = scene::start(&pbx, &[gateway[0], gateway[1], ("AGENT_STREAM_URL", &url)]);
    let call = |relay: &Relay, to: &str| pbx.call(relay.sip(), Invite { to: to.into(), ..Invite::default() });
    for (number, bot, target) in [("100", &own, "/own"), ("300", &all, "/all"), ("500", &all, "/all")] {
        let call = call(&relay, number);
        let (stream, start) = bot.expect_started();
        assert_eq!(
            (stream.target.as_str(), &start["start"]["customParameters"]["did"]),
            (target, &json!(number))
        );
        end(call, stream);
    }
    call(&relay, "400").expect_bye();
    expect_metric(&relay, r#"sip_relay_agent_streams_failed_total{reason="address"}"#, 1.0);
    let mut none = call(&relay, "200");
    none.rtp.next_packets(10);
    none.bye();
    assert_eq!((all.waiting(), own.waiting()), (0, 0), "a number without a bot");

    // Without a bot for all, a call without one is for clients as ever: what happens is kept for the next of them.
    let relay = scene::start(&pbx, &gateway);
    let (with, mut without) = (call(&relay, "100"), call(&relay, "300"));
    let (stream, _) = own.expect_started();
    end(with, stream);
    without.bye();
    let mut ws = WsClient::connect(relay.ws(), "");
    let (rings, up, over) = (format!("RING_ANS:{CALLER}##"), "CALL_ANS:", "BYE:");
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(ws.expect(""));
    }
    for word in [rings.as_str(), up, over] {
        assert_eq!(seen.iter().filter(|line| line.starts_with(word)).count(), 2, "{seen:?}");
    }
    assert_eq!((all.waiting(), own.waiting()), (0, 0));
}

#[test]
fn bot_may_hang_up_by_the_request_that_it_would_make_to_twilio() {
    let account = "AC11111111111111111111111111111111";
    let (relay, pbx, bot) = start(&[("TWILIO_ACCOUNT_SID", account), ("TWILIO_AUTH_TOKEN", "s3cret")]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, start) = bot.expect_started();
    let call_sid = start["start"]["callSid"].as_str().unwrap();
    let path = |account: &str, call: &str| format!("/2010-04-01/Accounts/{account}/Calls/{call}.json");
    let good = format!("{account}:s3cret");
    let post = |path: &str, user: Option<&str>, form: &str| {
        let (status, body) = http::post_form(relay.ws(), path, user, form);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        (status, body["code"].as_u64())
    };
    let (own, completed) = (path(account, call_sid), "Status=completed");
    for user in [None, Some(""), Some("s3cret"), Some("AC2:s3cret"), Some(&*format!("{account}:guess"))] {
        assert_eq!(post(&own, user, completed), (401, Some(20003)), "{user:?}");
    }
    assert_eq!(post(&path(account, "CA1"), Some(&good), completed), (404, Some(20404)));
    assert_eq!(post(&path("AC2", call_sid), Some(&good), completed), (404, Some(20404)));
    assert_eq!(post(&own, Some(&good), "Twiml=x"), (400, Some(20001)));
    assert!(call.poll_request("BYE").is_none());

    let (status, body) = http::post_form(relay.ws(), &own, Some(&good), completed);
    assert_eq!(status, 200);
    let expected = json!({"sid": call_sid, "account_sid": account, "status": "completed"});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
    call.expect_bye();
    stream.expect("stop");
    stream.expect_closed(Some(1000));
    expect_ended(&relay, "agent-hangup", "agent");
    expect_metric(&relay, "sip_relay_agent_streams", 0.0);
    assert_eq!(post(&own, Some(&good), completed), (404, Some(20404)), "the call is over");

    // Without a token nobody may.
    let (relay, ..) = self::start(&[]);
    assert_eq!(http::post_form(relay.ws(), &own, Some(&good), completed).0, 426);
}

#[test]
fn stopping_relay_says_stop_to_its_bots() {
    let (relay, pbx, bot) = start(&[]);
    let mut call = pbx.call(relay.sip(), Invite::default());
    let (mut stream, _) = bot.expect_started();
    relay.signal_terminate();
    call.expect_bye();
    stream.expect("stop");
    stream.expect_closed(Some(1000));
    let mut relay = relay;
    let begin = Instant::now();
    assert!(relay.wait_exit(WAIT).success());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn hundred_calls_one_after_the_other_leave_nothing_behind() {
    let (relay, pbx, bot) = start(&[]);
    let mut files = 0;
    for n in 0..100 {
        let call = pbx.call(relay.sip(), Invite { listen: false, ..Invite::default() });
        let (stream, _) = bot.expect_started();
        end(call, stream);
        if n == 9 {
            files = settled_files(&relay);
        }
    }
    let after = settled_files(&relay);
    assert!(after <= files + 2, "{files} open files after 10 calls, {after} after 100");
    expect_metric(&relay, r#"sip_relay_agent_streams_closed_total{reason="call-over"}"#, 100.0);
}

#[test]
fn hmac_of_the_test_cases_of_rfc_2202() {
    let hex = |digest: [u8; 20]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(sha1::hmac(&[0x0b; 20], b"Hi There")), "b617318655057264e28bc0b6fb378c8ef146be00");
    let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
    assert_eq!(hex(sha1::hmac(&[0xaa; 80], long)), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
}

// ---- helpers ----

/// A relay whose calls are connected to a bot.
fn start(settings: &[(&str, &str)]) -> (Relay, Pbx, BotServer) {
    let (pbx, bot) = (Pbx::new(), BotServer::start());
    let url = bot.url("/stream");
    let settings: Vec<_> =
        [("AGENT_STREAM_URL", url.as_str())].into_iter().chain(settings.iter().copied()).collect();
    (scene::start(&pbx, &settings), pbx, bot)
}

/// The caller hangs up, and the bot hears Twilio's last words.
fn end(mut call: PbxCall, mut stream: BotStream) {
    call.bye();
    stream.expect("stop");
    stream.expect_closed(Some(1000));
}

/// Payload in which no frame is like another and every byte but that of silence is there.
fn pattern(frames: usize) -> Vec<u8> {
    (0..frames * 160).map(|n| ((n * 7 + n / 160 * 31) % 255) as u8).collect()
}

fn contains(heard: &[u8], said: &[u8]) -> bool {
    heard.windows(said.len()).any(|window| window == said)
}

/// Waits until the bot has heard this.
fn wait_for_audio(stream: &BotStream, said: &[u8]) -> Vec<u8> {
    assert!(
        eventually(WAIT, || contains(&stream.audio(), said)),
        "the bot heard {} bytes",
        stream.audio().len()
    );
    stream.audio()
}

/// What the caller has heard when `more` packets have come.
fn received(call: &PbxCall, more: usize) -> Vec<u8> {
    call.rtp.next_packets(more);
    call.rtp.arrivals().iter().flat_map(|arrival| arrival.packet.payload.clone()).collect()
}

fn assert_is_sid(sid: &str, kind: &str) {
    let hex = sid.strip_prefix(kind).unwrap();
    assert!(hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{sid}");
}

/// Every message but the first has the number after the one before.
fn assert_numbers_are_in_order(stream: &BotStream) {
    let numbers: Vec<u64> = stream
        .everything()
        .iter()
        .filter_map(|heard| match heard {
            Heard::Json(value) => value["sequenceNumber"].as_str()?.parse().ok(),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

fn signals_without_stop(stream: &BotStream) -> Vec<Heard> {
    let is_stop = |heard: &Heard| matches!(heard, Heard::Json(value) if value["event"] == "stop");
    stream.signals().into_iter().filter(|heard| !is_stop(heard)).collect()
}

fn expect_ended(relay: &Relay, reason: &str, party: &str) {
    let series = format!("sip_relay_calls_ended_total{{reason=\"{reason}\",party=\"{party}\"}}");
    expect_metric(relay, &series, 1.0);
}

fn expect_metric(relay: &Relay, series: &str, expected: f64) {
    let value = || http::find(&http::metrics(relay.ws()), series);
    assert!(eventually(WAIT, || value() == Some(expected)), "{series} is {:?}, not {expected}", value());
}

/// Open files when all calls are over.
fn settled_files(relay: &Relay) -> usize {
    expect_metric(relay, "sip_relay_agent_streams", 0.0);
    expect_metric(relay, "sip_relay_rtp_ports_in_use", 0.0);
    relay.open_files()
}
