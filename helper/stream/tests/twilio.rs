//! The messages of Twilio's documents, letter for letter, and what else is sent in their place.

use std::time::Duration;

use bytes::Bytes;
use stream::twilio::{FromTwilio, Media, Start, ToTwilio};
use stream::{AnnouncedFormat, MessageError, Track};

#[test]
fn what_twilio_sends_reads_and_prints_as_documented() {
    for (text, message) in from_twilio() {
        assert_eq!(FromTwilio::parse(text), Ok(message.clone()), "{text}");
        assert_eq!(message.print(), text);
    }
}

#[test]
fn what_an_application_sends_reads_and_prints_as_documented() {
    let stream_sid = || Some("MZ18ad3ab5a668481ce02b83e7395059f0".to_owned());
    for (text, message) in [
        (
            r#"{"event":"media","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","media":{"payload":"//8="}}"#,
            ToTwilio::Media { stream_sid: stream_sid(), payload: Bytes::from_static(&[255, 255]) },
        ),
        (
            r#"{"event":"mark","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","mark":{"name":"my label"}}"#,
            ToTwilio::Mark { stream_sid: stream_sid(), name: "my label".to_owned() },
        ),
        (
            r#"{"event":"clear","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}"#,
            ToTwilio::Clear { stream_sid: stream_sid() },
        ),
        (r#"{"event":"whistle"}"#, ToTwilio::Unknown { event: "whistle".to_owned() }),
    ] {
        assert_eq!(ToTwilio::parse(text), Ok(message.clone()), "{text}");
        assert_eq!(message.print(), text);
    }
}

#[test]
fn numbers_may_be_numbers_and_everything_optional_may_be_missing() {
    let text = r#" {"media":{"chunk":7,"payload":"/w","timestamp":140,"new":{"a":[1]}},"event":"media","sequenceNumber":9.0} "#;
    let media = Media {
        sequence: Some(9),
        stream_sid: None,
        track: None,
        chunk: Some(7),
        timestamp: Some(Duration::from_millis(140)),
        payload: Bytes::from_static(&[255]),
    };
    assert_eq!(FromTwilio::parse(text), Ok(FromTwilio::Media(media)));

    let text =
        r#"{"event":"start","start":{"streamSid":"MZ1","mediaFormat":{"sampleRate":"8000"},"tracks":null}}"#;
    let start = Start {
        stream_sid: "MZ1".to_owned(),
        media_format: AnnouncedFormat { sample_rate: Some(8000), ..AnnouncedFormat::default() },
        ..Start::default()
    };
    assert_eq!(FromTwilio::parse(text), Ok(FromTwilio::Start(start)));

    let text = r#"{"event":"stop"}"#;
    let stop = FromTwilio::Stop { sequence: None, stream_sid: None, account_sid: None, call_sid: None };
    assert_eq!(FromTwilio::parse(text), Ok(stop));
}

#[test]
fn parameters_may_stand_beside_start_and_be_of_any_kind() {
    let text = r#"{"event":"start","streamSid":"MZ1","customParameters":{"a":"outer","b":"2"},
        "start":{"customParameters":{"a":"inner","n":5,"t":true,"o":{},"z":null}}}"#;
    let Ok(FromTwilio::Start(start)) = FromTwilio::parse(text) else { panic!("no start") };
    let parameters: Vec<(&str, &str)> =
        start.custom_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(parameters, [("a", "inner"), ("b", "2"), ("n", "5"), ("t", "true")]);
}

#[test]
fn an_error_names_the_field() {
    let missing = |field| Err(MessageError::Missing(field));
    let invalid = |field, expected| Err(MessageError::Invalid { field, expected });
    for (text, error) in [
        (r#"{}"#, missing("event")),
        (r#"{"event":["media"]}"#, invalid("event", "a string")),
        (r#"{"event":"media"}"#, missing("media")),
        (r#"{"event":"media","media":"none"}"#, invalid("media", "an object")),
        (r#"{"event":"media","media":{}}"#, missing("media.payload")),
        (r#"{"event":"media","media":{"payload":"*"}}"#, invalid("media.payload", "base64")),
        (r#"{"event":"media","media":{"payload":"","chunk":"one"}}"#, invalid("media.chunk", "a number")),
        (
            r#"{"event":"media","media":{"payload":"","timestamp":-1}}"#,
            invalid("media.timestamp", "a number"),
        ),
        (r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#, invalid("dtmf.digit", "one of 0-9 * # A-D")),
        (r#"{"event":"dtmf","dtmf":{"digit":"e"}}"#, invalid("dtmf.digit", "one of 0-9 * # A-D")),
        (r#"{"event":"mark","mark":{}}"#, missing("mark.name")),
        (r#"{"event":"start"}"#, missing("start")),
        (r#"{"event":"start","start":{}}"#, missing("streamSid")),
    ] {
        assert_eq!(FromTwilio::parse(text), error, "{text}");
    }
    for text in ["", "null", "[]", "7", r#""media""#, r#"{"event":"stop""#, r#"{"event":"stop"}}"#, "{\u{0}}"]
    {
        assert!(matches!(FromTwilio::parse(text), Err(MessageError::Json(_))), "{text}");
    }
}

fn from_twilio() -> Vec<(&'static str, FromTwilio)> {
    let stream_sid = || Some("MZ18ad3ab5a668481ce02b83e7395059f0".to_owned());
    let parameters = [("FirstName", "Jane"), ("LastName", "Doe")];
    vec![
        (
            r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#,
            FromTwilio::Connected { protocol: Some("Call".to_owned()), version: Some("1.0.0".to_owned()) },
        ),
        (
            concat!(
                r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","#,
                r#""tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"#,
                r#""customParameters":{"FirstName":"Jane","LastName":"Doe"}},"streamSid":"MZ1"}"#
            ),
            FromTwilio::Start(Start {
                sequence: Some(1),
                stream_sid: "MZ1".to_owned(),
                account_sid: Some("AC1".to_owned()),
                call_sid: Some("CA1".to_owned()),
                tracks: vec!["inbound".to_owned()],
                media_format: AnnouncedFormat {
                    encoding: Some("audio/x-mulaw".to_owned()),
                    sample_rate: Some(8000),
                    channels: Some(1),
                },
                custom_parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            }),
        ),
        (
            concat!(
                r#"{"event":"media","sequenceNumber":"3","media":{"track":"outbound","chunk":"1","timestamp":"5","#,
                r#""payload":"no+JhoaJjpz/"},"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}"#
            ),
            FromTwilio::Media(Media {
                sequence: Some(3),
                stream_sid: stream_sid(),
                track: Some(Track::Outbound),
                chunk: Some(1),
                timestamp: Some(Duration::from_millis(5)),
                payload: Bytes::from_static(b"\x9e\x8f\x89\x86\x86\x89\x8e\x9c\xff"),
            }),
        ),
        (
            r#"{"event":"dtmf","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}"#,
            FromTwilio::Dtmf {
                sequence: Some(5),
                stream_sid: stream_sid(),
                track: Some("inbound_track".to_owned()),
                digit: '1',
            },
        ),
        (
            r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","mark":{"name":"my label"}}"#,
            FromTwilio::Mark { sequence: Some(4), stream_sid: stream_sid(), name: "my label".to_owned() },
        ),
        (
            r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","stop":{"accountSid":"AC1","callSid":"CA1"}}"#,
            FromTwilio::Stop {
                sequence: Some(5),
                stream_sid: stream_sid(),
                account_sid: Some("AC1".to_owned()),
                call_sid: Some("CA1".to_owned()),
            },
        ),
        (r#"{"event":"whistle"}"#, FromTwilio::Unknown { event: "whistle".to_owned() }),
    ]
}
