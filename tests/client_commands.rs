//! What may be typed: modes, tokens, fragments, errors, noise. No input closes a connection or disturbs a call
//! (A-88, C-01, C-04, C-22, C-33, C-35, I10).

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::pbx::Invite;
use common::relay::Relay;
use common::script::{call_in, dial, done, end, start};
use common::ws::{Incoming, QUIET, WsClient, bytes};

#[test]
fn noise_is_ignored_by_a_classic_connection_and_the_call_goes_on() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    for text in bad_commands(&id) {
        ws.send(&text);
        if text.starts_with("CALL") && !text.contains('_') {
            ws.expect_all(&["CALL_FAILED:484 Address Incomplete"]);
        }
    }
    for word in ["PING", "PING:x", "SUBSCRIBE:*", "DTMF:x##1", "CLEAR:x", "HOLD:x"] {
        ws.send(word);
    }
    ws.send_binary(&[0xff; 1000]);
    ws.send(&"x".repeat(1 << 20));
    ws.send(&format!("RTP:{id}##{}", "!".repeat(1 << 20)));
    ws.send_fragmented(&"RTP:".repeat(1 << 18), 60_000);
    assert!(ws.is_quiet(QUIET), "nothing but a log line: {:?}", ws.signals());
    ws.assert_open();
    call.rtp.send_payload(&[0x55; 160 * 5]);
    ws.expect_rtp(3, common::WAIT);
    ws.send_pcm(&id, &[8000; 160]);
    let loud = || call.rtp.arrivals().iter().any(|p| p.packet.payload[80] & 0x7f < 0x60);
    assert!(common::eventually(common::WAIT, loud));
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn audio_that_was_on_its_way_when_the_call_ended_is_no_error() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    end(call, &mut ws);
    ws.send_pcm(&id, &[8000; 160]);
    ws.send_binary(format!("RTP:{id}##\0\0").as_bytes());
    ws.send_pcm("nobody@h", &[8000; 160]);
    ws.expect_all(&["ERROR:481 Call Does Not Exist##RTP"]);
    ws.send(&format!("MARK:{id}##x"));
    ws.expect_all(&["ERROR:481 Call Does Not Exist##MARK"]);
    done(&pbx, [ws]);
}

#[test]
fn each_bad_command_is_one_error_in_multi() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    let (gone, line) =
        ("481 Call Does Not Exist", |status: &str, verb: &str| format!("ERROR:{status}##{verb}"));
    for (command, error) in [
        ("NOSUCH:x", line("400 Unknown Command", "NOSUCH")),
        ("ANS:x", line("400 Unknown Command", "ANS")),
        ("CALL_FAILED:x", line("400 Unknown Command", "CALL_FAILED")),
        ("bye", line("400 Unknown Command", "bye")),
        ("BYE", line(gone, "BYE")),
        ("HANGUP", line(gone, "HANGUP")),
        ("BYE:nobody@h", line(gone, "BYE")),
        ("HANGUP:nobody@h", line(gone, "HANGUP")),
        ("HANGUP:nobody@h##drain", line(gone, "HANGUP")),
        ("CALL_ANS:nobody@h", line(gone, "CALL_ANS")),
        ("RING_ANS:0900000000", line(gone, "RING_ANS")),
        ("CALL_IGNORE:nobody@h", line(gone, "CALL_IGNORE")),
        ("RING_IGNORE:nobody@h", line(gone, "RING_IGNORE")),
        ("RTP:nobody@h##AAAAAAAA", line(gone, "RTP")),
        ("RTP:AAAAAAAA", line(gone, "RTP")),
        ("DTMF:nobody@h##1", line(gone, "DTMF")),
        ("MARK:nobody@h##m", line(gone, "MARK")),
        ("CLEAR:nobody@h", line(gone, "CLEAR")),
        ("PLAY:nobody@h##greeting.wav", line(gone, "PLAY")),
        ("HOLD:nobody@h", line(gone, "HOLD")),
        ("RESUME:nobody@h", line(gone, "RESUME")),
        ("TRANSFER:nobody@h##0912341234", line(gone, "TRANSFER")),
        ("SUBSCRIBE:nobody@h", line(gone, "SUBSCRIBE")),
        ("UNSUBSCRIBE:nobody@h", line(gone, "UNSUBSCRIBE")),
    ] {
        ws.send(command);
        ws.expect_all(&[&error]);
    }
    for command in bad_commands(&id).iter().filter(|c| !c.trim().is_empty()) {
        let verb = command.trim_end().split(':').next().unwrap();
        if verb == "CALL" {
            ws.send(command);
            ws.expect_all(&["CALL_FAILED:484 Address Incomplete"]);
            continue;
        }
        ws.send(command);
        let error = ws.expect("ERROR:4");
        let is_word = verb.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') && !verb.is_empty();
        assert!(!is_word || error.ends_with(&format!("##{verb}")), "{command:?} gives {error:?}");
    }
    for command in ["", "\r\n"] {
        ws.send(command);
        ws.expect("ERROR:400 ");
    }
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn trailing_line_ends_are_ignored_and_pings_are_answered() {
    let (_relay, pbx, mut ws) = start("mode=multi", &[]);
    for (ping, pong) in
        [("PING", "PONG"), ("PING:a:b##c", "PONG:a:b##c"), ("PING\r\n", "PONG"), ("PING:x\n", "PONG:x")]
    {
        ws.send(ping);
        ws.expect_all(&[pong]);
    }
    ws.send("CALL:0912341234\r\n");
    let mut call = pbx.expect_call();
    common::script::refuse(&mut call, 404, "Not Found");
    ws.expect("CALLING:");
    ws.expect_all(&[&format!("CALL_FAILED:404 Not Found##{}", call.call_id())]);
    done(&pbx, [ws]);
}

#[test]
fn mode_changes_words_and_audio_from_then_on() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    // What must be seen between one change of mode and the next.
    let mut seen = 0;
    let mut forms = |ws: &mut WsClient, call: &mut common::pbx::PbxCall| -> Vec<&'static str> {
        call.rtp.send_payload(&[0x55; 160 * 10]);
        let audio = ws.expect_rtp(seen + 8, common::WAIT);
        assert!(ws.is_quiet(QUIET));
        let new: Vec<_> = audio[seen..].iter().map(|(_, m)| form(m, &id)).collect();
        seen = ws.transcript().iter().filter(|(_, m)| m.is_rtp()).count();
        new
    };
    assert!(forms(&mut ws, &mut call).iter().all(|f| *f == "classic"));
    ws.send("MODE:hex");
    ws.assert_open();
    assert!(ws.is_quiet(QUIET));
    assert!(forms(&mut ws, &mut call).iter().all(|f| *f == "hex"));
    ws.send("MODE:multi");
    ws.send("PING");
    ws.expect_all(&["PONG"]);
    assert!(forms(&mut ws, &mut call).iter().all(|f| *f == "multi"));
    ws.send("MODE:nonsense");
    ws.expect("ERROR:400 ");
    // Without call ids in the audio, the client has to know the focus again.
    ws.send("MODE:classic");
    ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    assert!(forms(&mut ws, &mut call).iter().all(|f| *f == "classic"));
    ws.send("PING");
    assert!(ws.is_quiet(QUIET), "a word of multi only");
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn mode_comes_from_the_query_the_sub_protocol_the_first_message_or_the_setting() {
    let relay = Relay::start(&[("WS_MODE", "multi")]);
    let is_multi = |ws: &mut WsClient| {
        ws.send("PING");
        !ws.is_quiet(QUIET)
    };
    assert!(is_multi(&mut WsClient::connect(relay.ws(), "")), "WS_MODE");
    assert!(!is_multi(&mut WsClient::connect(relay.ws(), "mode=classic")), "the query wins");
    let relay = Relay::start(&[]);
    let header = [("sec-websocket-protocol", "sip-relay.multi")];
    assert!(
        is_multi(&mut WsClient::open(relay.ws(), "/any/path", &header).unwrap()),
        "sub-protocol, any path"
    );
    let mut ws = WsClient::connect(relay.ws(), "");
    assert!(!is_multi(&mut ws));
    ws.send("MODE:multi");
    assert!(is_multi(&mut ws));
    for query in ["mode=nonsense", "mode=multi&frames=x", "mode=multi&codec=opus", "mode=multi&rate=11025"] {
        assert_eq!(WsClient::open(relay.ws(), &format!("/?{query}"), &[]).err(), Some(400), "{query}");
    }
}

#[test]
fn token_is_required_in_query_or_header_once_it_is_set() {
    let relay = Relay::start(&[("WS_TOKEN", "s3cret-token")]);
    let open = |path: &str, headers: &[(&'static str, &str)]| WsClient::open(relay.ws(), path, headers).err();
    for path in
        ["/", "/?token=", "/?token=wrong", "/?token=s3cret-toke", "/?token=s3cret-tokenx", "/?mode=multi"]
    {
        assert_eq!(open(path, &[]), Some(401), "{path}");
    }
    for value in ["Bearer wrong", "Basic s3cret-token", "s3cret-token", "Bearer"] {
        assert_eq!(open("/", &[("authorization", value)]), Some(401), "{value}");
    }
    assert_eq!(open("/?token=s3cret-token", &[]), None);
    assert_eq!(open("/x/y?mode=multi&token=s3cret-token", &[]), None);
    assert_eq!(open("/", &[("authorization", "Bearer s3cret-token")]), None);
    assert!(relay.log().iter().all(|line| !line.contains("s3cret")), "the token is not in the log");
}

#[test]
fn fragmented_messages_are_put_together_and_may_hold_pings_between() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    ws.send_fragmented("PING:one byte at a time", 1);
    ws.expect_all(&["PONG:one byte at a time"]);
    let call = call_in(&relay, &pbx, &mut ws);
    // Two seconds of audio in small frames, a ping inside.
    let text = format!("RTP:{}##{}", call.call_id(), STANDARD.encode(bytes(&[8000; 16_000])));
    let (head, tail) = text.as_bytes().split_at(30_000);
    ws.send_frame(0x01, head);
    ws.send_frame(0x89, b"between");
    ws.send_frame(0x80, tail);
    let loud = || call.rtp.arrivals().iter().filter(|p| p.packet.payload[80] & 0x7f < 0x60).count();
    assert!(common::eventually(common::WAIT, || loud() == 100), "{} of 100 frames", loud());
    assert!(ws.transcript().iter().any(|(_, m)| *m == Incoming::Pong(b"between".to_vec())));
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn message_over_the_limit_closes_its_connection_with_1009_and_no_other() {
    let (relay, pbx, mut ws) = start("mode=multi", &[("WS_MAX_MESSAGE_BYTES", "65536")]);
    let call = call_in(&relay, &pbx, &mut ws);
    ws.send(&format!("PING:{}", "x".repeat(60_000)));
    ws.expect("ERROR:400 ");
    for fragmented in [false, true] {
        let mut other = WsClient::connect(relay.ws(), "");
        let long = "x".repeat(70_000);
        if fragmented {
            other.send_fragmented(&long, 10_000)
        } else {
            other.send(&long)
        };
        assert_eq!(other.expect_close(), Some(1009), "fragmented: {fragmented}");
    }
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn text_that_is_not_utf_8_closes_its_connection_with_1007_and_no_other() {
    let (relay, pbx, mut ws) = start("", &[]);
    let call = call_in(&relay, &pbx, &mut ws);
    for fragmented in [false, true] {
        // RFC 6455 §8.1.
        let mut other = WsClient::connect(relay.ws(), "");
        if fragmented {
            other.send_frame(0x01, b"BYE");
            other.send_frame(0x80, &[0xc3, 0x28]);
        } else {
            other.send_frame(0x81, &[0xc3, 0x28]);
        }
        assert_eq!(other.expect_close(), Some(1007), "fragmented: {fragmented}");
    }
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn connections_over_the_limit_are_refused_and_places_are_given_back() {
    let relay = Relay::start(&[("WS_MAX_CONNECTIONS", "2")]);
    let first = WsClient::connect(relay.ws(), "");
    let _second = WsClient::connect(relay.ws(), "");
    let open = || WsClient::open(relay.ws(), "/", &[]).err();
    assert_eq!(open(), Some(503));
    drop(first);
    assert!(common::eventually(common::WAIT, || open().is_none()));
}

#[test]
fn command_for_a_call_in_the_wrong_state_changes_nothing() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = dial(&pbx, &ws);
    let id = call.call_id();
    ws.expect("CALLING:");
    for command in
        ["CALL_ANS:{id}", "CALL_IGNORE:{id}", "RING_IGNORE:{id}", "RING_ANS:0912341234", "RING_ANS:{id}"]
    {
        ws.send(&command.replace("{id}", &id));
    }
    assert!(call.is_quiet(QUIET), "an outbound call is not answered or declined by us");
    call.answer(&[0]);
    call.expect_request("ACK");
    ws.wait_for(&format!("CALL_ANS:{id}"));
    for command in ["CALL_ANS:{id}", "CALL_IGNORE:{id}", "RING_IGNORE:{id}"] {
        ws.send(&command.replace("{id}", &id));
    }
    assert!(call.is_quiet(QUIET), "a call that is up is not declined");
    let second = pbx.call(relay.sip(), Invite::default());
    ws.wait_for(&format!("CALL_ANS:{}", second.call_id()));
    end(second, &mut ws);
    end(call, &mut ws);
    done(&pbx, [ws]);
}

// ---- helpers ----

/// Commands that are wrong in themselves, whatever calls there are.
fn bad_commands(id: &str) -> Vec<String> {
    let fixed = [
        "",
        " ",
        ":",
        "##",
        "ANS:x",
        "CALL",
        "CALL:",
        "HELLO WORLD",
        "call:0912341234",
        "RTP",
        "RTP:###",
        "RTP:0##zz",
        "RTP:0##fff",
        "CALL_ANS",
        "CALL_ANS:",
        "RING_ANS:",
        "CALL_IGNORE",
        "RING_IGNORE:",
        "MODE",
        "MODE:",
        "MODE:x",
        "\u{0}\u{1}\u{2}",
        "🦀:🦀##🦀",
        "{\"type\":\"start\"}",
        "GET / HTTP/1.1",
    ];
    let mut commands: Vec<String> = fixed.iter().map(|c| (*c).to_owned()).collect();
    commands.extend([
        format!("RTP:{id}##%%%%"),
        format!("RTP:{id}##QUJD"),
        format!("BYE:{}", "x".repeat(5000)),
    ]);
    commands
}

/// The wire form of an audio message.
fn form(message: &Incoming, id: &str) -> &'static str {
    let Incoming::Text(text) = message else { panic!("{message:?}") };
    match text["RTP:".len()..].split_once("##") {
        Some((call, _)) if call == id => "multi",
        Some(_) => "classic",
        None => "hex",
    }
}
