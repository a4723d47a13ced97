//! Twilio's side: what a bot hears, and what is understood of it.

use bytes::Bytes;
use stream::twilio::FromTwilio;
use stream::{BotEvent, BotSession, BotStart, MessageError};

#[test]
fn a_call_is_told_with_twilios_numbers_and_times() {
    let mut bot = bot();
    assert_eq!(bot.connected(), r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    assert_eq!(
        bot.start(),
        concat!(
            r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","#,
            r#""tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"#,
            r#""customParameters":{"from":"+1512"}},"streamSid":"MZ1"}"#
        )
    );
    let silence = Bytes::from(vec![0xff; 160]);
    let payload = format!("{}w==", "/".repeat(213));
    for (chunk, timestamp) in [(1, 0), (2, 20), (3, 40)] {
        let expected = format!(
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"MZ1"}}"#,
            chunk + 1
        );
        assert_eq!(bot.media(silence.clone()), expected);
    }
    assert_eq!(
        bot.dtmf('#'),
        r##"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"#"}}"##
    );
    assert_eq!(
        bot.mark("a\"b"),
        r#"{"event":"mark","sequenceNumber":"6","streamSid":"MZ1","mark":{"name":"a\"b"}}"#
    );
    assert_eq!(
        bot.stop(),
        r#"{"event":"stop","sequenceNumber":"7","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
    );
}

#[test]
fn an_odd_number_of_bytes_moves_the_time_as_far_as_it_sounds() {
    let mut bot = bot();
    for (bytes, timestamp) in [(4, 0), (4, 0), (8, 1), (160, 2), (1, 22)] {
        let Ok(FromTwilio::Media(media)) = FromTwilio::parse(&bot.media(Bytes::from(vec![0; bytes]))) else {
            panic!("no media")
        };
        assert_eq!(media.timestamp.unwrap().as_millis(), timestamp);
    }
}

#[test]
fn a_bots_messages_are_understood() {
    let bot = bot();
    for (text, event) in [
        (
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#,
            BotEvent::Media(Bytes::from_static(&[255, 255])),
        ),
        (r#"{"event":"media","media":{"payload":""}}"#, BotEvent::Media(Bytes::new())),
        (r#"{"event":"mark","streamSid":"MZ1","mark":{"name":7}}"#, BotEvent::Mark("7".to_owned())),
        (r#"{"event":"clear","streamSid":"MZ1"}"#, BotEvent::Clear),
        (r#"{"event":"hangup","streamSid":"MZ2"}"#, BotEvent::Unknown("hangup".to_owned())),
    ] {
        assert_eq!(bot.handle_text(text), Ok(event), "{text}");
    }
}

#[test]
fn what_twilio_would_report_as_invalid_is_an_error() {
    let other = MessageError::Invalid { field: "streamSid", expected: "that of the stream" };
    assert_eq!(bot().handle_text(r#"{"event":"clear","streamSid":"MZ2"}"#), Err(other));
    assert_eq!(
        bot().handle_text(r#"{"event":"media","streamSid":"MZ1"}"#),
        Err(MessageError::Missing("media"))
    );
    assert!(matches!(bot().handle_text("hello"), Err(MessageError::Json(_))));
    assert_eq!(stream::INVALID_MESSAGE, 31951);
}

fn bot() -> BotSession {
    BotSession::new(BotStart {
        stream_sid: "MZ1".to_owned(),
        call_sid: "CA1".to_owned(),
        account_sid: "AC1".to_owned(),
        custom_parameters: [("from".to_owned(), "+1512".to_owned())].into(),
    })
}
