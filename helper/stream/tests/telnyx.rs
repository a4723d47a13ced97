//! The messages of Telnyx's documents, letter for letter, and what else is sent in their place.

use std::time::Duration;

use bytes::Bytes;
use stream::telnyx::{FromTelnyx, Media, Start, ToTelnyx};
use stream::{AnnouncedFormat, MessageError, Track};

#[test]
fn what_telnyx_sends_reads_and_prints_as_documented() {
    for (text, message) in from_telnyx() {
        assert_eq!(FromTelnyx::parse(text), Ok(message.clone()), "{text}");
        assert_eq!(message.print(), text);
    }
}

#[test]
fn what_an_application_sends_reads_and_prints_as_documented() {
    let payload = Bytes::from_static(&[1, 2]);
    let (stream_id, none) = (Some("32DE0DEA".to_owned()), None);
    let name = "my label".to_owned();
    for (text, message) in [
        (
            r#"{"event":"media","stream_id":"32DE0DEA","media":{"payload":"AQI="}}"#,
            ToTelnyx::Media { stream_id: stream_id.clone(), payload: payload.clone() },
        ),
        (
            r#"{"event":"media","media":{"payload":"AQI="}}"#,
            ToTelnyx::Media { stream_id: none.clone(), payload },
        ),
        (
            r#"{"event":"mark","stream_id":"32DE0DEA","mark":{"name":"my label"}}"#,
            ToTelnyx::Mark { stream_id: stream_id.clone(), name },
        ),
        (r#"{"event":"clear","stream_id":"32DE0DEA"}"#, ToTelnyx::Clear { stream_id }),
        (r#"{"event":"clear"}"#, ToTelnyx::Clear { stream_id: none }),
        (r#"{"event":"whistle"}"#, ToTelnyx::Unknown { event: "whistle".to_owned() }),
    ] {
        assert_eq!(ToTelnyx::parse(text), Ok(message.clone()), "{text}");
        assert_eq!(message.print(), text);
    }
}

#[test]
fn what_simulators_send_is_read() {
    // The simulator of the original transport: a rate in quotes, no numbers, no tags.
    let text = r#"{"event": "start", "stream_id": "test-stream-001", "start": {"call_control_id": "test-call-001",
        "media_format": {"encoding": "audio/L16", "sample_rate": "16000", "channels": 1},
        "custom_parameters": [{"name": "did", "value": "+15125551234"}, {"name": "x"}, 5]}}"#;
    let start = Start {
        stream_id: "test-stream-001".to_owned(),
        call_control_id: Some("test-call-001".to_owned()),
        custom_parameters: [("did".to_owned(), "+15125551234".to_owned())].into(),
        media_format: Some(announced("audio/L16", 16_000)),
        ..Start::default()
    };
    assert_eq!(FromTelnyx::parse(text), Ok(FromTelnyx::Start(start)));
}

#[test]
fn an_error_names_the_field() {
    let missing = |field| Err(MessageError::Missing(field));
    let invalid = |field, expected| Err(MessageError::Invalid { field, expected });
    for (text, error) in [
        (r#"{"event":"start","start":{}}"#, missing("stream_id")),
        (
            r#"{"event":"start","stream_id":"s","start":{"media_format":{"sample_rate":"16 kHz"}}}"#,
            invalid("start.media_format.sample_rate", "a number"),
        ),
        (
            r#"{"event":"start","stream_id":"s","start":{"media_format":{"channels":{}}}}"#,
            invalid("start.media_format.channels", "a number"),
        ),
        (r#"{"event":"mark","mark":{"name":[]}}"#, invalid("mark.name", "a string")),
        (
            r#"{"event":"mark","mark":{"name":"a"},"sequence_number":"x"}"#,
            invalid("sequence_number", "a number"),
        ),
    ] {
        assert_eq!(FromTelnyx::parse(text), error, "{text}");
    }
}

const ID: &str = "32DE0DEA-53CB-4B21-89A4-9E1819C043BC";

fn announced(encoding: &str, rate: u32) -> AnnouncedFormat {
    AnnouncedFormat { encoding: Some(encoding.to_owned()), sample_rate: Some(rate), channels: Some(1) }
}

fn from_telnyx() -> Vec<(&'static str, FromTelnyx)> {
    let id = || Some(ID.to_owned());
    let text = |text: &str| Some(text.to_owned());
    vec![
        (
            r#"{"event":"connected","version":"1.0.0"}"#,
            FromTelnyx::Connected { version: text("1.0.0"), auth_token: None },
        ),
        (
            r#"{"event":"connected","version":"1.0.0","x-telnyx-streaming-auth-token":"secret"}"#,
            FromTelnyx::Connected { version: text("1.0.0"), auth_token: text("secret") },
        ),
        (
            concat!(
                r#"{"event":"start","sequence_number":"1","stream_id":"32DE0DEA-53CB-4B21-89A4-9E1819C043BC","start":{"#,
                r#""user_id":"3E6F995F","call_control_id":"v2:T02llQ","call_session_id":"ff55a038","from":"+13122010094","#,
                r#""to":"+13122123456","tags":["TAG1","TAG2"],"client_state":"aGF2ZSBhIG5pY2UgZGF5ID1d","#,
                r#""custom_parameters":{"customer_id":"customer_123"},"#,
                r#""media_format":{"encoding":"PCMU","sample_rate":8000,"channels":1}}}"#
            ),
            FromTelnyx::Start(Start {
                sequence: Some(1),
                stream_id: ID.to_owned(),
                user_id: text("3E6F995F"),
                call_control_id: text("v2:T02llQ"),
                call_session_id: text("ff55a038"),
                from: text("+13122010094"),
                to: text("+13122123456"),
                tags: vec!["TAG1".to_owned(), "TAG2".to_owned()],
                client_state: text("aGF2ZSBhIG5pY2UgZGF5ID1d"),
                custom_parameters: [("customer_id".to_owned(), "customer_123".to_owned())].into(),
                media_format: Some(announced("PCMU", 8000)),
            }),
        ),
        (
            concat!(
                r#"{"event":"media","sequence_number":"4","stream_id":"32DE0DEA-53CB-4B21-89A4-9E1819C043BC","#,
                r#""media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"no+JhoaJjpz/"}}"#
            ),
            FromTelnyx::Media(Media {
                sequence: Some(4),
                stream_id: id(),
                track: Some(Track::Inbound),
                chunk: Some(2),
                timestamp: Some(Duration::from_millis(5)),
                payload: Bytes::from_static(b"\x9e\x8f\x89\x86\x86\x89\x8e\x9c\xff"),
            }),
        ),
        (
            r##"{"event":"dtmf","stream_id":"32DE0DEA-53CB-4B21-89A4-9E1819C043BC","occurred_at":"2020-03-24T17:34:56.783225Z","sequence_number":"5","dtmf":{"digit":"#"}}"##,
            FromTelnyx::Dtmf {
                sequence: Some(5),
                stream_id: id(),
                occurred_at: text("2020-03-24T17:34:56.783225Z"),
                digit: '#',
            },
        ),
        (
            r#"{"event":"mark","sequence_number":"4","stream_id":"32DE0DEA-53CB-4B21-89A4-9E1819C043BC","mark":{"name":"my label"}}"#,
            FromTelnyx::Mark { sequence: Some(4), stream_id: id(), name: "my label".to_owned() },
        ),
        (
            r#"{"event":"error","payload":{"code":"100004","title":"invalid_media","detail":"Media is not base64"},"stream_id":"32DE0DEA-53CB-4B21-89A4-9E1819C043BC"}"#,
            FromTelnyx::Error {
                stream_id: id(),
                code: text("100004"),
                title: text("invalid_media"),
                detail: text("Media is not base64"),
            },
        ),
        (
            r#"{"event":"stop","sequence_number":"5","stop":{"user_id":"3E6F995F","call_control_id":"v2:T02llQ"},"stream_id":"32DE0DEA-53CB-4B21-89A4-9E1819C043BC"}"#,
            FromTelnyx::Stop {
                sequence: Some(5),
                stream_id: id(),
                user_id: text("3E6F995F"),
                call_control_id: text("v2:T02llQ"),
            },
        ),
        (r#"{"event":"whistle"}"#, FromTelnyx::Unknown { event: "whistle".to_owned() }),
    ]
}
