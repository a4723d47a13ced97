//! Media streams of both providers up to the program that has the call, over real sockets (SPEC A-52 to A-57, A-60, A-61).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::time::Duration;

use common::gateway::{
    CALLER, Call, Caller, DID, Gateway, PUBLIC_URL, payload, run, take_call, telnyx_connected, telnyx_start,
    telnyx_start_of, twilio_connected, twilio_start,
};
use common::ws::{bytes, samples};
use common::{Feed, WAIT};
use futures_util::StreamExt;
use serde_json::{Value, json};
use sip_relay::gateway::{GatewayOptions, L16Endian, SipTransportError, SipWebhookHandler, TelnyxCodec};
use testkit::g711;
use testkit::tone::{Sine, dominant_frequency, rms};

#[test]
fn first_message_tells_the_provider() {
    let (gateway, calls) = Gateway::for_calls();
    for (connected, start, provider) in [
        (twilio_connected(), twilio_start(), "twilio"),
        (telnyx_connected(), telnyx_start(), "telnyx"),
        (json!({"event": "connected"}), telnyx_start(), "telnyx"),
    ] {
        let mut caller = Caller::open(gateway.at);
        caller.say(&connected);
        caller.say(&start);
        assert_eq!(take_call(&calls).transport.metadata()["provider"], provider);
    }
}

#[test]
fn first_message_of_nobody_closes_the_socket_and_is_counted() {
    let (gateway, calls) = Gateway::for_calls();
    let mut caller = Caller::open(gateway.at);
    caller.say(&json!({"event": "x"}));
    assert_eq!(caller.ws.expect_close(), Some(1008));
    gateway.expect_metric(r#"refused_total{reason="not-recognized"}"#, 1.0);
    assert_eq!(calls.len(), 0);
    gateway.expect_metric("sockets", 0.0);
}

#[test]
fn second_message_has_to_be_start() {
    let (gateway, calls) = Gateway::for_calls();
    for first in [telnyx_connected(), twilio_connected()] {
        let mut caller = Caller::open(gateway.at);
        caller.say(&first);
        caller.media(&[0; 160]);
        assert_eq!(caller.ws.expect_close(), Some(1008));
    }
    gateway.expect_metric(r#"refused_total{reason="not-a-start"}"#, 2.0);
    assert_eq!(calls.len(), 0, "on_session is not called");
}

#[test]
fn three_unreadable_messages_in_a_row_close_the_socket_and_fewer_do_not() {
    let (gateway, calls) = Gateway::for_calls();
    let mut caller = Caller::telnyx(gateway.at);
    let call = take_call(&calls);
    for broken in [["{", "[]"], ["", "nonsense"]] {
        broken.iter().for_each(|text| caller.ws.send(text));
        caller.media(&[1; 640]);
    }
    caller.event("something-new", json!({"a": [1, {"b": null}]}));
    caller.ws.assert_open();
    ["{", "{", "{"].iter().for_each(|text| caller.ws.send(text));
    assert_eq!(caller.ws.expect_close(), Some(1008));
    gateway.expect_metric(r#"refused_total{reason="malformed"}"#, 1.0);
    let heard = run(call.transport.receive_audio().collect::<Vec<_>>());
    assert_eq!(heard, [vec![1; 640], vec![1; 640]]);
    assert!(!call.transport.is_connected());
}

#[test]
fn socket_on_which_nothing_begins_is_closed_in_time() {
    let gateway = Gateway::start(|router| {
        let options =
            GatewayOptions { handshake_timeout: Duration::from_millis(300), ..GatewayOptions::default() };
        SipWebhookHandler::echo(router, PUBLIC_URL).with_options(options)
    });
    let mut silent = Caller::open(gateway.at);
    let mut half = Caller::open(gateway.at);
    half.say(&twilio_connected());
    assert_eq!([silent.ws.expect_close(), half.ws.expect_close()], [Some(1008); 2]);
    gateway.expect_metric(r#"refused_total{reason="timeout"}"#, 2.0);
}

#[test]
fn provider_that_falls_silent_is_given_up() {
    let gateway = Gateway::start(|router| {
        let options =
            GatewayOptions { idle_timeout: Duration::from_millis(300), ..GatewayOptions::default() };
        SipWebhookHandler::echo(router, PUBLIC_URL).with_options(options)
    });
    let mut caller = Caller::twilio(gateway.at);
    assert_eq!(caller.ws.expect_close(), Some(1008));
    gateway.expect_metric(r#"refused_total{reason="idle"}"#, 1.0);
    gateway.expect_metric(r#"streams{provider="twilio"}"#, 0.0);
}

/// What a program hears of a second of this tone, sent in messages of 20 ms in this format.
fn heard(
    gateway: &Gateway,
    calls: &Feed<Call>,
    format: Value,
    encode: impl Fn(&[i16]) -> Vec<u8>,
    rate: u32,
) -> Vec<i16> {
    let mut caller = Caller::open(gateway.at);
    caller.say(&telnyx_connected());
    caller.say(&telnyx_start_of(format));
    let call = take_call(calls);
    let mut tone = Sine::new(1000.0, rate, 8000);
    for _ in 0..50 {
        caller.media(&encode(&tone.samples(rate as usize / 50)));
    }
    caller.stop();
    let pieces = run(call.transport.receive_audio().collect::<Vec<_>>());
    samples(&pieces.concat())
}

#[track_caller]
fn assert_tone(pcm: &[i16], what: &str) {
    assert_eq!(pcm.len(), 16_000, "{what}");
    let found = dominant_frequency(pcm, 16_000).expect("a tone");
    assert!((found - 1000.0).abs() < 10.0, "{what}: {found} Hz");
    let level = 20.0 * (rms(&pcm[2000..14_000]) / (8000.0 / 2f64.sqrt())).log10();
    assert!(level.abs() < 0.5, "{what}: {level} dB");
}

#[test]
fn every_format_of_telnyx_is_heard_as_it_is_said() {
    let (gateway, calls) = Gateway::for_calls();
    let linear: fn(&[i16]) -> Vec<u8> = bytes;
    let ulaw: fn(&[i16]) -> Vec<u8> = testkit::g711::encode_ulaw;
    let alaw: fn(&[i16]) -> Vec<u8> = testkit::g711::encode_alaw;
    for (encoding, rate, sample_rate, encode) in [
        ("audio/L16", 16_000, json!("16000"), linear),
        ("L16", 16_000, json!(16_000), linear),
        ("L16", 8000, json!(8000), linear),
        ("PCMU", 8000, json!(8000), ulaw),
        ("PCMU", 8000, json!("8000"), ulaw),
        ("PCMA", 8000, json!("8000"), alaw),
        ("audio/x-mulaw", 8000, json!(8000), ulaw),
    ] {
        let format = json!({"encoding": encoding, "sample_rate": sample_rate, "channels": 1});
        let pcm = heard(&gateway, &calls, format, encode, rate);
        assert_tone(&pcm, &format!("{encoding} {sample_rate}"));
    }
}

#[test]
fn telnyx_gets_the_codec_that_it_was_asked_for() {
    for (codec, name, decode) in [
        (TelnyxCodec::Pcmu, "PCMU", g711::decode_ulaw as fn(&[u8]) -> Vec<i16>),
        (TelnyxCodec::Pcma, "PCMA", g711::decode_alaw),
    ] {
        let (gateway, calls) = Gateway::for_calls_with(move |handler| {
            handler.with_options(GatewayOptions { telnyx_codec: codec, ..GatewayOptions::default() })
        });
        let xml = gateway.webhook("telnyx");
        for attribute in [&format!(r#"bidirectionalCodec="{name}""#), r#"bidirectionalSamplingRate="8000""#] {
            assert!(xml.contains(attribute), "{xml}");
        }
        let mut caller = Caller::telnyx(gateway.at);
        let call = take_call(&calls);
        run(call.transport.send_audio(bytes(&Sine::new(440.0, 16_000, 8000).samples(16_000)))).unwrap();
        let heard = caller.hear(50);
        assert!(heard.iter().all(|payload| payload.len() == 160));
        let pcm = decode(&heard.concat());
        assert!(testkit::tone::is_tone(&pcm[800..], 8000, 440.0, 1.0), "{name}");
    }
}

#[test]
fn big_endian_samples_are_heard_and_said_where_that_was_chosen() {
    let swapped = |pcm: &[i16]| pcm.iter().flat_map(|s| s.to_be_bytes()).collect::<Vec<u8>>();
    for order in [L16Endian::Big, L16Endian::Auto] {
        let (gateway, calls) = Gateway::for_calls_with(move |handler| {
            handler.with_options(GatewayOptions { l16: order, ..GatewayOptions::default() })
        });
        let format = json!({"encoding": "L16", "sample_rate": 16_000, "channels": 1});
        let pcm = heard(&gateway, &calls, format, swapped, 16_000);
        // The first frame is what it is found out by.
        if order == L16Endian::Big {
            assert_tone(&pcm, "big");
        } else {
            assert!(testkit::tone::is_tone(&pcm[640..], 16_000, 1000.0, 1.0));
        }
        let mut caller = Caller::telnyx(gateway.at);
        let call = take_call(&calls);
        let tone = Sine::new(1000.0, 16_000, 8000).samples(320);
        for _ in 0..10 {
            caller.media(&swapped(&tone));
        }
        run(async {
            let mut audio = call.transport.receive_audio();
            for _ in 0..10 {
                audio.next().await.unwrap();
            }
            call.transport.send_audio(bytes(&tone)).await.unwrap();
        });
        assert_eq!(caller.hear(1), [swapped(&tone)]);
    }
}

#[test]
fn telnyx_itself_says_who_calls_where_the_stream_is_not_from_our_document() {
    let (gateway, calls) = Gateway::for_calls();
    let mut caller = Caller::open(gateway.at);
    let mut start = telnyx_start_of(json!({"encoding": "PCMU", "sample_rate": 8000, "channels": 1}));
    start["start"].as_object_mut().unwrap().remove("custom_parameters");
    start["start"]["from"] = CALLER.into();
    start["start"]["to"] = "+4420".into();
    caller.say(&telnyx_connected());
    caller.say(&start);
    let call = take_call(&calls);
    let metadata = call.transport.metadata();
    assert_eq!((metadata["caller_id"].as_str(), metadata["did"].as_str()), (CALLER, "+4420"));
    assert_eq!(call.config, None, "a number that is not in the table is served all the same");
    // It did not ask for L16: it gets what it sends.
    run(call.transport.send_audio(vec![0; 640])).unwrap();
    assert_eq!(caller.hear(1), [[0xff; 160]]);
}

#[test]
fn twilio_is_heard_and_answered_in_mulaw() {
    let (gateway, calls) = Gateway::for_calls();
    let mut caller = Caller::twilio(gateway.at);
    let call = take_call(&calls);
    assert_eq!(call.config.as_ref().unwrap().user_id, "david");
    caller.media(&[0xff; 160]);
    let first = run(async { call.transport.receive_audio().next().await });
    assert_eq!(first.unwrap().len(), 640);
    run(call.transport.send_audio(vec![0; 640])).unwrap();
    let message = caller.expect("media");
    assert_eq!(message["streamSid"], "MZ1");
    assert_eq!(payload(&message), [0xff; 160]);
}

#[test]
fn tone_reaches_twilio_as_it_was_said() {
    let (gateway, calls) = Gateway::for_calls();
    let mut caller = Caller::twilio(gateway.at);
    let call = take_call(&calls);
    let tone = bytes(&Sine::new(1000.0, 16_000, 8000).samples(16_000));
    run(call.transport.send_audio(tone)).unwrap();
    let heard = testkit::g711::decode_ulaw(&caller.hear(50).concat());
    let found = dominant_frequency(&heard, 8000).unwrap();
    assert!((found - 1000.0).abs() < 10.0, "{found}");
    let level = 20.0 * (rms(&heard[1000..7000]) / (8000.0 / 2f64.sqrt())).log10();
    assert!(level.abs() < 0.5, "{level} dB");
}

#[test]
fn canonical_audio_passes_telnyx_untouched_in_messages_of_twenty_milliseconds() {
    let (gateway, calls) = Gateway::for_calls();
    let mut caller = Caller::telnyx(gateway.at);
    let call = take_call(&calls);
    let noise: Vec<u8> = (0..640_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    caller.media(&noise);
    assert_eq!(run(async { call.transport.receive_audio().next().await }).unwrap(), noise);

    let three_seconds: Vec<u8> =
        (0..96_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    run(call.transport.send_audio(three_seconds.clone())).unwrap();
    let said = caller.hear(150);
    assert!(said.iter().all(|frame| frame.len() == 640));
    assert_eq!(said.concat(), three_seconds);
}

#[test]
fn audio_of_any_length_goes_out_in_whole_frames_and_its_end_is_not_lost() {
    let (gateway, calls) = Gateway::for_calls();
    let mut caller = Caller::telnyx(gateway.at);
    let call = take_call(&calls);
    run(async {
        for _ in 0..3 {
            call.transport.send_audio(vec![7; 500]).await.unwrap();
        }
    });
    let said = caller.hear(3).concat();
    assert_eq!(said, [vec![7; 1500], vec![0; 420]].concat());
    let odd = run(call.transport.send_audio(vec![0; 3]));
    assert!(matches!(odd, Err(SipTransportError::AudioCodec(_))), "{odd:?}");
}

#[test]
fn stop_ends_the_call_for_its_program() {
    let (gateway, calls) = Gateway::for_calls();
    let mut caller = Caller::telnyx(gateway.at);
    let call = take_call(&calls);
    assert!(call.transport.is_connected());
    caller.media(&[1; 640]);
    caller.stop();
    let heard = run(call.transport.receive_audio().collect::<Vec<_>>());
    assert_eq!(heard, [vec![1; 640]], "what came before is heard");
    assert!(!call.transport.is_connected());
    assert!(common::gateway::is_over(run(call.transport.send_audio(vec![0; 640]))));
    assert!(common::gateway::is_over(run(call.transport.send_mark("late"))));
    assert!(common::gateway::is_over(run(call.transport.clear_audio())));
    assert_eq!(caller.ws.expect_close(), Some(1000));
}

#[test]
fn socket_that_breaks_ends_the_call_for_its_program() {
    let (gateway, calls) = Gateway::for_calls();
    for open in [Caller::telnyx as fn(_) -> _, Caller::twilio] {
        let caller = open(gateway.at);
        let call = take_call(&calls);
        drop(caller);
        assert_eq!(run(call.transport.receive_audio().count()), 0);
        let over = common::eventually(WAIT, || !call.transport.is_connected());
        assert!(over);
    }
    gateway.expect_metric("sockets", 0.0);
}

#[test]
fn metadata_has_the_documented_keys() {
    let (gateway, calls) = Gateway::for_calls();
    let _telnyx = Caller::telnyx(gateway.at);
    let call = take_call(&calls);
    let facts: Vec<_> = call.transport.metadata().iter().map(|(key, value)| (*key, value.as_str())).collect();
    let expected = [
        ("call_control_id", "v3:cc1"),
        ("call_sid", "v3:cc1"),
        ("caller_id", CALLER),
        ("did", DID),
        ("provider", "telnyx"),
        ("stream_id", "stream-1"),
        ("transport", "sip"),
    ];
    assert_eq!(facts, expected);
    let _twilio = Caller::twilio(gateway.at);
    let call = take_call(&calls);
    let facts: Vec<_> = call.transport.metadata().iter().map(|(key, value)| (*key, value.as_str())).collect();
    let expected = [
        ("account_sid", "AC1"),
        ("call_sid", "CA1"),
        ("caller_id", CALLER),
        ("did", DID),
        ("provider", "twilio"),
        ("stream_id", "MZ1"),
        ("transport", "sip"),
    ];
    assert_eq!(facts, expected);
}
