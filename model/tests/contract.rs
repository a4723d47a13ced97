//! The lines of the protocol's contract, word for word.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use model::call::{Direction, EndLabel, EndReason, Party};
use model::command::{
    AgentPayload, Command, HangupWord, IgnoreWord, Selection, is_default_phone, parse, parse_binary,
    parse_with,
};
use model::event::{
    Event, EventError, MarkOutcome, write_rtp_binary, write_rtp_classic, write_rtp_hex, write_rtp_multi,
};
use model::id::CallId;
use model::mode::{AgentCodec, Mode};

#[test]
fn transcript_events_are_printed_word_for_word() {
    let call = id("6zo14J0D@10.0.0.7");
    let out = id("5c1e@10.0.0.5");
    let phone = |p: &str| p.to_owned();
    for (event, classic) in [
        (
            Event::RingAns { phone: phone("0903383638"), call: call.clone() },
            "RING_ANS:0903383638##6zo14J0D@10.0.0.7",
        ),
        (Event::CallAns { call: call.clone() }, "CALL_ANS:6zo14J0D@10.0.0.7"),
        (
            Event::RtpClassic { payload_type: 0, payload: Bytes::from_static(&[0xff, 0xff, 0x7e, 0xff]) },
            "RTP:0##ffff7eff",
        ),
        (Event::Bye { call: call.clone() }, "BYE:6zo14J0D@10.0.0.7"),
        (
            Event::RingAns { phone: phone("0912341234"), call: out.clone() },
            "RING_ANS:0912341234##5c1e@10.0.0.5",
        ),
        (Event::CallIgnore { call: out.clone() }, "CALL_IGNORE:5c1e@10.0.0.5"),
        (
            Event::CallFailed { status: 486, reason: Cow::Borrowed("Busy Here"), call: Some(out.clone()) },
            "CALL_FAILED:486 Busy Here",
        ),
        (Event::RingIgnore { call }, "RING_IGNORE:6zo14J0D@10.0.0.7"),
    ] {
        assert_eq!(event.line(Mode::Classic).as_deref(), Some(classic));
    }
}

#[test]
fn transcript_commands_are_read() {
    let pcm = Bytes::from_static(&[0, 0, 0xff, 0xff, 0, 1]);
    let call = id("6zo14J0D@10.0.0.7");
    for (line, command) in [
        ("CALL:0912341234", Command::Call { phone: "0912341234".into() }),
        ("RTP:6zo14J0D@10.0.0.7##AAD//wAB", Command::Rtp { call: Some(call), audio: AgentPayload::Pcm(pcm) }),
        ("BYE", Command::Hangup { call: None, drain: false, word: HangupWord::Bye }),
        ("BYE\r\n", Command::Hangup { call: None, drain: false, word: HangupWord::Bye }),
    ] {
        assert_eq!(parse(line), Ok(command), "{line}");
    }
}

#[test]
fn every_command_of_the_table_is_read_and_printed() {
    let call = || id("x@h");
    let table = [
        ("CALL:+886912341234", Command::Call { phone: "+886912341234".into() }),
        ("RTP:x@h##AAEC/w==", Command::Rtp { call: Some(call()), audio: pcm(&[0, 1, 2, 255]) }),
        ("RTP:AAEC/w==", Command::Rtp { call: None, audio: pcm(&[0, 1, 2, 255]) }),
        ("RTP:8##d5d5", Command::Rtp { call: None, audio: payload(8, &[0xd5, 0xd5]) }),
        ("BYE:x@h", Command::Hangup { call: Some(call()), drain: false, word: HangupWord::Bye }),
        ("HANGUP", Command::Hangup { call: None, drain: false, word: HangupWord::Hangup }),
        ("HANGUP:x@h", Command::Hangup { call: Some(call()), drain: false, word: HangupWord::Hangup }),
        ("HANGUP:x@h##drain", Command::Hangup { call: Some(call()), drain: true, word: HangupWord::Hangup }),
        ("CALL_ANS:x@h", Command::CallAns { call: call() }),
        ("RING_ANS:0903383638", Command::RingAns { target: "0903383638".into() }),
        ("RING_ANS:x@h", Command::RingAns { target: "x@h".into() }),
        ("CALL_IGNORE:x@h", Command::Ignore { call: call(), status: None, word: IgnoreWord::Call }),
        ("RING_IGNORE:x@h", Command::Ignore { call: call(), status: None, word: IgnoreWord::Ring }),
        (
            "CALL_IGNORE:x@h##486 Not now",
            Command::Ignore { call: call(), status: Some((486, "Not now".into())), word: IgnoreWord::Call },
        ),
        ("MODE:multi", Command::Mode(Mode::Multi)),
        ("SUBSCRIBE:*", Command::Subscribe(Selection::All)),
        ("SUBSCRIBE:x@h", Command::Subscribe(Selection::One(call()))),
        ("UNSUBSCRIBE:*", Command::Unsubscribe(Selection::All)),
        ("DTMF:x@h##12*#", Command::Dtmf { call: call(), digits: "12*#".into(), duration: None }),
        (
            "DTMF:x@h##5##200",
            Command::Dtmf { call: call(), digits: "5".into(), duration: Some(Duration::from_millis(200)) },
        ),
        ("DTMF:x@h###", Command::Dtmf { call: call(), digits: "#".into(), duration: None }),
        ("MARK:x@h##greeting 1", Command::Mark { call: call(), name: "greeting 1".into() }),
        ("MARK:x@h###1", Command::Mark { call: call(), name: "#1".into() }),
        ("CLEAR:x@h", Command::Clear { call: call() }),
        ("PLAY:x@h##transcode/a.wav", Command::Play { call: call(), file: "transcode/a.wav".into() }),
        ("HOLD:x@h", Command::Hold { call: call() }),
        ("RESUME:x@h", Command::Resume { call: call() }),
        ("TRANSFER:x@h##sip:1@h:5060", Command::Transfer { call: call(), target: "sip:1@h:5060".into() }),
        ("PING", Command::Ping(None)),
        ("PING:", Command::Ping(Some(String::new()))),
        ("PING:a:b##c", Command::Ping(Some("a:b##c".into()))),
    ];
    for (line, command) in table {
        assert_eq!(parse(line), Ok(command.clone()), "{line}");
        assert_eq!(command.to_string(), line);
        assert!(line.starts_with(command.verb()));
    }
}

#[test]
fn words_beyond_the_classic_set_are_multi_only() {
    for line in [
        "SUBSCRIBE:*",
        "DTMF:x##1",
        "MARK:x##n",
        "CLEAR:x",
        "PLAY:x##f",
        "HOLD:x",
        "RESUME:x",
        "TRANSFER:x##1",
        "PING",
        "HANGUP:x##drain",
        "CALL_IGNORE:x##486 Busy",
        "UNSUBSCRIBE:x",
    ] {
        assert!(parse(line).unwrap().is_multi_only(), "{line}");
    }
    for line in [
        "CALL:0912341234",
        "RTP:AAA=",
        "BYE",
        "HANGUP:x",
        "CALL_ANS:x",
        "RING_ANS:1",
        "CALL_IGNORE:x",
        "RING_IGNORE:x",
        "MODE:hex",
    ] {
        assert!(!parse(line).unwrap().is_multi_only(), "{line}");
    }
}

#[test]
fn command_accepts_a_raw_call_id_with_separators() {
    let call = id("a:b##c@h");
    assert_eq!(call.as_str(), "a%3Ab%23%23c@h");
    for line in [
        "BYE:a:b##c@h",
        "CALL_ANS:a:b##c@h",
        "RTP:a:b##c@h##AAA=",
        "MARK:a:b##c@h##n",
        "DTMF:a:b##c@h##5",
        "CALL_IGNORE:a:b##c@h",
        "CALL_IGNORE:a:b##c@h##486 Busy",
        "HANGUP:a:b##c@h##drain",
        "TRANSFER:a:b##c@h##1",
    ] {
        let raw = parse(line).unwrap();
        assert_eq!(raw.call(), Some(&call), "{line}");
        assert_eq!(parse(&line.replace("a:b##c@h", call.as_str())), Ok(raw));
    }
}

#[test]
fn bad_arguments_say_what_to_do() {
    for (line, error) in [
        ("", "ERROR:400 Unknown Command##"),
        ("noise", "ERROR:400 Unknown Command##noise"),
        ("ANS:x", "ERROR:400 Unknown Command##ANS"),
        ("bye", "ERROR:400 Unknown Command##bye"),
        ("BYE ", "ERROR:400 Unknown Command##BYE "),
        ("CALL_ANS", "ERROR:400 call id is empty##CALL_ANS"),
        ("RTP", "ERROR:400 needs a call id and base64 audio##RTP"),
        ("RTP:x##AAA=A", "ERROR:400 audio is not base64: Invalid symbol 61, offset 3.##RTP"),
        ("MODE:Multi", "ERROR:400 expected classic, hex or multi##MODE"),
        ("SUBSCRIBE", "ERROR:400 needs a call id or *##SUBSCRIBE"),
        ("DTMF:x##5z", "ERROR:400 needs a call id and 1 to 128 of the digits 0-9 * # A-D##DTMF"),
        ("DTMF:x##5##5", "ERROR:400 a digit lasts 40 to 10000 ms##DTMF"),
        ("MARK:x", "ERROR:400 needs two arguments: MARK:{call-id} # {name}, without the spaces##MARK"),
        ("CALL_IGNORE:x##200 OK", "ERROR:400 status is 300 to 699##CALL_IGNORE"),
        ("RING_ANS:", "ERROR:400 needs the phone number or the call id of a ringing call##RING_ANS"),
    ] {
        let event = parse(line).unwrap_err().event();
        assert_eq!(event.line(Mode::Multi).as_deref(), Some(error), "{line}");
        assert_eq!(event.line(Mode::Classic), None);
        assert_eq!(event.line(Mode::Hex), None);
    }
}

#[test]
fn odd_pcm_is_refused_with_its_length() {
    let line = format!("RTP:x##{}", STANDARD.encode([0; 161]));
    let error = parse(&line).unwrap_err();
    assert_eq!(error.text, "audio is 161 bytes, an odd number: send 16-bit samples");
}

#[test]
fn bad_call_fails_with_484_in_every_mode() {
    for line in ["CALL", "CALL:", "CALL:1##2", "CALL:09\u{7}12"] {
        let event = parse(line).unwrap_err().event();
        for mode in Mode::ALL {
            assert_eq!(event.line(mode).as_deref(), Some("CALL_FAILED:484 Address Incomplete"), "{line:?}");
        }
    }
}

#[test]
fn default_number_pattern_is_7_to_15_ascii_digits() {
    for good in ["1234567", "123456789012345", "+1234567", "0912341234"] {
        assert!(is_default_phone(good), "{good}");
    }
    for bad in [
        "",
        "+",
        "123456",
        "1234567890123456",
        "12345a7",
        "１２３４５６７",
        "1234567 ",
        "1234567\n",
        "++1234567",
    ] {
        assert!(!is_default_phone(bad), "{bad:?}");
    }
}

#[test]
fn audio_may_be_unpadded_wrapped_or_a_wav_file() {
    let bytes = [1, 2, 3, 4];
    for text in
        [STANDARD.encode(bytes), STANDARD_NO_PAD.encode(bytes), "AQID\nBA==".into(), " AQIDBA== ".into()]
    {
        assert_eq!(
            parse(&format!("RTP:{text}")),
            Ok(Command::Rtp { call: None, audio: pcm(&bytes) }),
            "{text}"
        );
    }
    let wav = b"RIFF\x24\0\0\0WAVEfmt ";
    let audio = AgentPayload::Riff(Bytes::from_static(wav));
    assert_eq!(
        parse(&format!("RTP:x##{}", STANDARD.encode(wav))),
        Ok(Command::Rtp { call: Some(id("x")), audio })
    );
    assert_eq!(parse("RTP:x##"), Ok(Command::Rtp { call: Some(id("x")), audio: pcm(&[]) }));
    assert_eq!(parse("RTP:##AAA="), Ok(Command::Rtp { call: None, audio: pcm(&[0, 0]) }));
}

#[test]
fn echoed_event_is_told_from_a_numeric_call_id() {
    assert_eq!(parse("RTP:0##FFff"), Ok(Command::Rtp { call: None, audio: payload(0, &[255, 255]) }));
    assert_eq!(parse("RTP:127##00"), Ok(Command::Rtp { call: None, audio: payload(127, &[0]) }));
    for (line, call, bytes) in [
        ("RTP:128##aaaaaaaa", "128", [0x69, 0xa6, 0x9a, 0x69, 0xa6, 0x9a]),
        ("RTP:0##AAAA/wAA", "0", [0, 0, 0, 255, 0, 0]),
        ("RTP:+0##AAAAAAAA", "+0", [0; 6]),
        ("RTP:0000##AAAAAAAA", "0000", [0; 6]),
    ] {
        assert_eq!(parse(line), Ok(Command::Rtp { call: Some(id(call)), audio: pcm(&bytes) }), "{line}");
    }
}

#[test]
fn g711_connection_sends_payload_bytes_of_any_length() {
    let audio = |pt| Ok(Command::Rtp { call: Some(id("x")), audio: payload(pt, &[0xff; 161]) });
    let line = format!("RTP:x##{}", STANDARD.encode([0xff; 161]));
    assert_eq!(parse_with(&line, AgentCodec::Pcmu), audio(0));
    assert_eq!(parse_with(&line, AgentCodec::Pcma), audio(8));
    assert_eq!(
        audio(0).map(|c: Command| c.to_string()).ok(),
        parse_with(&line, AgentCodec::Pcmu).ok().map(|_| line)
    );
}

#[test]
fn binary_message_is_the_line_with_raw_bytes() {
    let mut message = Vec::new();
    write_rtp_binary(&id("a:b"), &[1, 35, 35, 2], &mut message);
    assert_eq!(message, b"RTP:a%3Ab##\x01##\x02");
    let message = Bytes::from(message);
    let command = Command::Rtp { call: Some(id("a:b")), audio: pcm(&[1, 35, 35, 2]) };
    assert_eq!(parse_binary(message.clone(), AgentCodec::Pcm), Ok(command));
    let event = Event::RtpMulti { call: id("a:b"), audio: Bytes::from_static(&[1, 35, 35, 2]) };
    assert_eq!(Event::parse_binary(message), Ok(event));
    assert!(parse_binary(Bytes::from_static(b"RTP:x##\x01"), AgentCodec::Pcm).is_err());
    assert!(parse_binary(Bytes::from_static(b"RTP:x##\x01"), AgentCodec::Pcmu).is_ok());
    assert!(parse_binary(Bytes::from_static(b"BYE"), AgentCodec::Pcm).is_err());
    assert!(parse_binary(Bytes::from_static(b"RTP:\xff##"), AgentCodec::Pcm).is_err());
}

#[test]
fn every_event_of_the_table_is_printed_and_read() {
    let call = || id("x@h");
    let ms = Duration::from_millis;
    let table = [
        ("CALLING:0912341234##x@h", Event::Calling { phone: "0912341234".into(), call: call() }),
        (
            "CALL_FAILED:486 Busy Here##x@h",
            Event::CallFailed { status: 486, reason: "Busy Here".into(), call: Some(call()) },
        ),
        (
            "CALL_FAILED:484 Address Incomplete",
            Event::CallFailed { status: 484, reason: "Address Incomplete".into(), call: None },
        ),
        ("RTP:x@h##AAEC/w==", Event::RtpMulti { call: call(), audio: Bytes::from_static(&[0, 1, 2, 255]) }),
        ("DTMF:x@h##5##160", Event::Dtmf { call: call(), digit: '5', duration: ms(160) }),
        ("DTMF:x@h#####160", Event::Dtmf { call: call(), digit: '#', duration: ms(160) }),
        ("SPEECH:x@h##start", Event::Speech { call: call(), started: true }),
        ("SPEECH:x@h##stop", Event::Speech { call: call(), started: false }),
        ("BARGE_IN:x@h##1240", Event::BargeIn { call: call(), played: ms(1240) }),
        (
            "MARK:x@h##m 1##played##20",
            Event::Mark { call: call(), name: "m 1".into(), outcome: MarkOutcome::Played, played: ms(20) },
        ),
        (
            "MARK:x@h##m#1##cleared##0",
            Event::Mark { call: call(), name: "m#1".into(), outcome: MarkOutcome::Cleared, played: ms(0) },
        ),
        ("XOFF:x@h##60000", Event::Xoff { call: call(), queued: ms(60_000) }),
        ("XON:x@h##500", Event::Xon { call: call(), queued: ms(500) }),
        ("HOLD:x@h", Event::Hold { call: call() }),
        ("RESUME:x@h", Event::Resume { call: call() }),
        ("CALLED:x@h##+15125551234", Event::Called { call: call(), number: "+15125551234".into() }),
        ("TRANSFER:x@h##200 OK", Event::Transfer { call: call(), status: 200, reason: "OK".into() }),
        (
            "ERROR:481 Call Does Not Exist##BYE",
            Event::Error { status: 481, text: "Call Does Not Exist".into(), verb: "BYE".into() },
        ),
        ("PONG", Event::Pong(None)),
        ("PONG:hello", Event::Pong(Some("hello".into()))),
    ];
    for (line, event) in table {
        assert_eq!(event.line(Mode::Multi).as_deref(), Some(line));
        assert_eq!(Event::parse(line, Mode::Multi), Ok(event.clone()), "{line}");
        assert_eq!(Event::parse(&format!("{line}\r\n"), Mode::Multi), Ok(event.clone()));
        let classic = matches!(event, Event::CallFailed { .. });
        assert_eq!(event.line(Mode::Classic).is_some(), classic, "{line}");
        assert_eq!(event.line(Mode::Hex).is_some(), classic, "{line}");
    }
}

#[test]
fn rtp_has_its_own_form_in_each_mode() {
    let mut line = String::new();
    write_rtp_classic(0, &[0xff; 160], &mut line);
    assert_eq!(line, format!("RTP:0##{}", "ff".repeat(160)));
    let classic = Event::RtpClassic { payload_type: 0, payload: Bytes::from(vec![0xff; 160]) };
    assert_eq!(Event::parse(&line, Mode::Classic), Ok(classic));

    line.clear();
    write_rtp_hex(&[0xab; 160], &mut line);
    assert_eq!(line, format!("RTP:{}", "ab".repeat(160)));
    assert_eq!(Event::parse(&line, Mode::Hex), Ok(Event::RtpHex { payload: Bytes::from(vec![0xab; 160]) }));

    line.clear();
    write_rtp_multi(&id("x@h"), &[0; 320], &mut line);
    assert_eq!(line, format!("RTP:x@h##{}", STANDARD.encode([0; 320])));
    // The form of the event is the form of the command.
    assert_eq!(parse(&line), Ok(Command::Rtp { call: Some(id("x@h")), audio: pcm(&[0; 320]) }));
}

#[test]
fn no_peer_text_can_split_a_line() {
    let event = Event::CallFailed { status: 486, reason: " a##b\r\nBYE:x## ".into(), call: Some(id("x")) };
    assert_eq!(event.line(Mode::Multi).as_deref(), Some("CALL_FAILED:486 a#b  BYE:x##x"));
    let event = Event::RingAns { phone: "a##b:c\n".into(), call: id("x") };
    assert_eq!(event.line(Mode::Classic).as_deref(), Some("RING_ANS:a%23%23b%3Ac##x"));
    let event = Event::Called { call: id("x"), number: "a##b:c\n d".into() };
    assert_eq!(event.line(Mode::Multi).as_deref(), Some("CALLED:x##a%23%23b%3Acd"));
    assert_eq!((event.line(Mode::Classic), event.line(Mode::Hex)), (None, None));
    let event = Event::CallFailed { status: 603, reason: "".into(), call: None };
    assert_eq!(event.line(Mode::Classic).as_deref(), Some("CALL_FAILED:603 Decline"));
}

#[test]
fn strange_lines_are_no_events() {
    assert_eq!(Event::parse("HELLO:x", Mode::Multi), Err(EventError::UnknownWord("HELLO".into())));
    for (line, word) in [
        ("BYE", "BYE"),
        ("BYE:", "BYE"),
        ("DTMF:x##E##1", "DTMF"),
        ("RTP:x", "RTP"),
        ("XON:x##", "XON"),
        ("CALL_FAILED:48 x", "CALL_FAILED"),
        ("SPEECH:x##on", "SPEECH"),
        ("MARK:x##n##lost##1", "MARK"),
        ("XON:x##+1", "XON"),
    ] {
        assert_eq!(Event::parse(line, Mode::Multi), Err(EventError::BadArguments(word)), "{line}");
    }
}

#[test]
fn ending_follows_the_invariants() {
    let call = id("x");
    let lines = |direction, up, end: &EndReason| -> Vec<String> {
        Event::ending(&call, direction, up, end).iter().filter_map(|e| e.line(Mode::Multi)).collect()
    };
    let hangup = EndReason::new(Party::Agent, EndLabel::AgentHangup);
    let busy = EndReason::refused(486, "");
    let missing = EndReason::refused(404, "");
    assert_eq!(lines(Direction::Inbound, true, &hangup), ["BYE:x"]);
    assert_eq!(lines(Direction::Outbound, true, &busy), ["BYE:x"]);
    assert_eq!(lines(Direction::Inbound, false, &hangup), ["RING_IGNORE:x"]);
    assert_eq!(lines(Direction::Outbound, false, &busy), ["CALL_IGNORE:x", "CALL_FAILED:486 Busy Here##x"]);
    assert_eq!(lines(Direction::Outbound, false, &missing), ["CALL_FAILED:404 Not Found##x"]);
    assert_eq!(
        lines(Direction::Outbound, false, &hangup),
        ["CALL_IGNORE:x", "CALL_FAILED:487 Request Terminated##x"]
    );
}

#[test]
fn a_megabyte_of_noise_is_one_short_error() {
    let noise: String = (0..1_000_000)
        .map(|n: u32| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 95))
        .collect();
    let error = parse(&noise).unwrap_err();
    assert!(error.verb.chars().count() <= 32 && error.text.len() < 100);
    for verb in ["CALL", "RTP", "DTMF", "MARK", "CALL_ANS", "RING_ANS", "MODE", "PLAY", "PING", "CALL_IGNORE"]
    {
        let error = parse(&format!("{verb}:{noise}")).unwrap_err();
        assert!(error.event().line(Mode::Multi).unwrap().len() < 200, "{verb}");
        assert!(parse(&format!("{verb}:{}", "#".repeat(1_000_000))).is_err());
    }
}

fn id(sip: &str) -> CallId {
    CallId::from_sip_call_id(sip)
}

fn pcm(bytes: &[u8]) -> AgentPayload {
    AgentPayload::Pcm(Bytes::copy_from_slice(bytes))
}

fn payload(payload_type: u8, bytes: &[u8]) -> AgentPayload {
    AgentPayload::Payload { payload_type, payload: Bytes::copy_from_slice(bytes) }
}
