//! What is printed is read back, and nothing that is read can do harm.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use stream::telnyx::{self, FromTelnyx, ToTelnyx};
use stream::twilio::{self, FromTwilio, ToTwilio};
use stream::{AnnouncedFormat, BotEvent, BotSession, BotStart, Track, signature, xml};

#[path = "fixtures/messages.rs"]
mod messages;

proptest! {
    #[test]
    fn every_message_of_twilio_survives_its_text(from in from_twilio(), to in to_twilio()) {
        prop_assert_eq!(FromTwilio::parse(&from.print()), Ok(from));
        prop_assert_eq!(ToTwilio::parse(&to.print()), Ok(to));
    }

    #[test]
    fn every_message_of_telnyx_survives_its_text(from in from_telnyx(), to in to_telnyx()) {
        prop_assert_eq!(FromTelnyx::parse(&from.print()), Ok(from));
        prop_assert_eq!(ToTelnyx::parse(&to.print()), Ok(to));
    }

    #[test]
    fn a_session_hears_what_a_bot_session_says(payloads in vec(payload(), 1..20), names in vec(any::<String>(), 0..4)) {
        let mut bot = BotSession::new(BotStart { stream_sid: "MZ1".to_owned(), ..BotStart::default() });
        let mut lines = vec![bot.connected(), bot.start()];
        lines.extend(payloads.into_iter().map(|payload| bot.media(payload)));
        lines.extend(names.iter().map(|name| bot.mark(name)));
        lines.push(bot.stop());
        for line in &lines {
            messages::parsed_is_printed(line);
        }
        messages::everything(format!("0{}", lines.join("\n")).as_bytes());
    }

    #[test]
    fn any_text_harms_nobody(text in any::<String>(), ascii in "[ -~]{0,80}") {
        messages::parsed_is_printed(&text);
        messages::parsed_is_printed(&ascii);
        messages::everything(text.as_bytes());
    }

    #[test]
    fn a_conversation_with_anything_broken_in_it_harms_nobody(
        choice in any::<u8>(), telnyx in any::<bool>(), lines in vec(line(), 0..40),
        breaks in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), broken()), 0..4),
    ) {
        let mut lines = lines;
        for (which, at, broken) in breaks {
            if lines.is_empty() { break }
            let index = which.index(lines.len());
            let line = &mut lines[index];
            let at = line.floor_char_boundary(at.index(line.len() + 1));
            match broken {
                Broken::Cut => line.truncate(at),
                Broken::Insert(text) => line.insert_str(at, &text),
            }
        }
        let head = if telnyx {
            r#"{"event":"connected"}"#.to_owned() + "\n" + r#"{"event":"start","stream_id":"s","start":{}}"#
        } else {
            BotSession::new(BotStart::default()).connected() + "\n" + r#"{"event":"start","start":{"streamSid":"s"}}"#
        };
        let text = format!("{head}\n{}", lines.join("\n"));
        messages::everything(&[&[choice][..], text.as_bytes()].concat());
    }

    #[test]
    fn a_bot_is_understood_or_told_why(text in any::<String>(), to in to_twilio()) {
        let bot = BotSession::new(BotStart { stream_sid: "MZ1".to_owned(), ..BotStart::default() });
        let _ = bot.handle_text(&text);
        match (bot.handle_text(&to.print()), to) {
            (Ok(BotEvent::Media(heard)), ToTwilio::Media { payload, .. }) => prop_assert_eq!(heard, payload),
            (Ok(BotEvent::Mark(heard)), ToTwilio::Mark { name, .. }) => prop_assert_eq!(heard, name),
            (Ok(BotEvent::Clear), ToTwilio::Clear { .. }) => {}
            (Ok(BotEvent::Unknown(heard)), ToTwilio::Unknown { event }) => prop_assert_eq!(heard, event),
            (Err(_), ToTwilio::Media { stream_sid, .. } | ToTwilio::Mark { stream_sid, .. } | ToTwilio::Clear { stream_sid }) => {
                prop_assert!(stream_sid.is_some_and(|sid| sid != "MZ1"));
            }
            (heard, said) => prop_assert!(false, "{heard:?} for {said:?}"),
        }
    }

    #[test]
    fn no_value_breaks_out_of_a_document(url in any::<String>(), name in any::<String>(), value in any::<String>()) {
        for document in [xml::twiml(&url, &[(&name, &value)]), xml::texml(&url, &[(&name, &value)])] {
            // Three attributes of ours, at most five more of TeXML, two of the declaration.
            let quotes = document.matches('"').count();
            prop_assert!(quotes == 10 || quotes == 20, "{}", document);
            prop_assert_eq!(document.matches('<').count(), document.matches('>').count());
            prop_assert!(!document.contains(|c: char| c < ' ' && c != '\n'));
            prop_assert_eq!(unescaped(document.rsplit("value=\"").next().unwrap()), printable(&value));
        }
    }

    #[test]
    fn a_signature_verifies_what_was_signed_and_nothing_else(
        token in "[a-z0-9]{1,40}", other in "[a-z0-9]{1,40}", url in any_url(), form in vec((any::<String>(), any::<String>()), 0..5),
    ) {
        let signed = signature::twilio::sign(&token, &url, &form);
        prop_assert_eq!(signature::twilio::verify(&token, &signed, &url, &form), Ok(()));
        let mut reversed = form.clone();
        reversed.reverse();
        prop_assert_eq!(signature::twilio::verify(&token, &signed, &url, &reversed), Ok(()));
        prop_assert_eq!(signature::twilio::verify(&other, &signed, &url, &form).is_ok(), token == other);
        let upgrade = signature::twilio::sign_upgrade(&token, &url);
        prop_assert_eq!(signature::twilio::verify_upgrade(&token, &upgrade, &url), Ok(()));
    }

    #[test]
    fn no_url_header_or_key_panics(a in any::<String>(), b in any::<String>(), now in any::<u64>(), body in vec(any::<u8>(), 0..20)) {
        let _ = signature::twilio::verify(&a, &b, &a, &[]);
        let _ = signature::twilio::verify_body(&a, &b, &format!("{a}?bodySHA256={b}"), &body);
        let _ = signature::telnyx::Key::from_base64(&a);
        let key = signature::telnyx::Key::from_base64("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap();
        let timestamp = now.to_string();
        prop_assert!(key.verify(&b, &timestamp, &body, now, Duration::MAX).is_err());
    }
}

fn any_url() -> impl Strategy<Value = String> {
    "(https?|wss?)://[a-z.]{1,20}(:[0-9]{1,5})?(/[a-z/]{0,10})?(\\?[a-z=&]{0,10})?"
}

/// What XML can say of a text.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if (c < ' ' && !"\t\n\r".contains(c)) || "\u{fffe}\u{ffff}".contains(c) { '\u{fffd}' } else { c }
        })
        .collect()
}

/// The value of an attribute, up to its quote.
fn unescaped(text: &str) -> String {
    let value = text.split('"').next().unwrap_or_default();
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#9;", "\t"),
        ("&#10;", "\n"),
        ("&#13;", "\r"),
    ]
    .iter()
    .fold(value.to_owned(), |value, (entity, c)| value.replace(entity, c))
    .replace("&amp;", "&")
}

/// One line of a conversation.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => from_telnyx().prop_map(|message| message.print()),
        4 => from_twilio().prop_map(|message| message.print()),
        6 => (0..12_u64, payload()).prop_map(|(chunk, payload)| media(chunk, payload)),
        1 => any::<u64>().prop_map(|chunk| media(chunk, Bytes::new())),
        2 => (0..200_u16).prop_map(|ms| format!("+{ms}")),
        2 => "![abc]".prop_map(String::from),
        2 => "[abc]".prop_map(|name| format!(r#"{{"event":"mark","mark":{{"name":"{name}"}}}}"#)),
        1 => Just("-".to_owned()),
    ]
}

fn media(chunk: u64, payload: Bytes) -> String {
    let (sequence, stream_id, track, timestamp) = (None, None, None, None);
    FromTelnyx::Media(telnyx::Media { sequence, stream_id, track, chunk: Some(chunk), timestamp, payload })
        .print()
}

#[derive(Debug, Clone)]
enum Broken {
    Cut,
    Insert(String),
}

fn broken() -> impl Strategy<Value = Broken> {
    prop_oneof![
        Just(Broken::Cut),
        "[\\[\\]{}\",:0-9a-z\\\\]{1,3}".prop_map(Broken::Insert),
        any::<String>().prop_map(|text| Broken::Insert(text.replace('\n', " "))),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[A-Za-z0-9]{0,34}"]
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    option::of(name())
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn digit() -> impl Strategy<Value = char> {
    prop::sample::select(vec!['0', '5', '9', '*', '#', 'A', 'D'])
}

fn format() -> impl Strategy<Value = AnnouncedFormat> {
    (maybe(), any::<Option<u32>>(), any::<Option<u32>>())
        .prop_map(|(encoding, sample_rate, channels)| AnnouncedFormat { encoding, sample_rate, channels })
}

fn parameters() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(name(), name(), 0..3)
}

fn unknown() -> impl Strategy<Value = String> {
    "[a-z]{0,3}"
}

fn audio() -> impl Strategy<Value = (Option<Track>, Option<u64>, Option<Duration>, Bytes)> {
    let track = prop::sample::select(vec![None, Some(Track::Inbound), Some(Track::Outbound)]);
    (track, any::<Option<u64>>(), option::of(any::<u64>().prop_map(Duration::from_millis)), payload())
}

fn from_twilio() -> impl Strategy<Value = FromTwilio> {
    let sequence = any::<Option<u64>>;
    prop_oneof![
        (maybe(), maybe()).prop_map(|(protocol, version)| FromTwilio::Connected { protocol, version }),
        (sequence(), name(), maybe(), maybe(), vec(name(), 0..3), format(), parameters()).prop_map(
            |(sequence, stream_sid, account_sid, call_sid, tracks, media_format, custom_parameters)| {
                FromTwilio::Start(twilio::Start {
                    sequence,
                    stream_sid,
                    account_sid,
                    call_sid,
                    tracks,
                    media_format,
                    custom_parameters,
                })
            }
        ),
        (sequence(), maybe(), audio()).prop_map(
            |(sequence, stream_sid, (track, chunk, timestamp, payload))| {
                FromTwilio::Media(twilio::Media { sequence, stream_sid, track, chunk, timestamp, payload })
            }
        ),
        (sequence(), maybe(), maybe(), digit()).prop_map(|(sequence, stream_sid, track, digit)| {
            FromTwilio::Dtmf { sequence, stream_sid, track, digit }
        }),
        (sequence(), maybe(), name()).prop_map(|(sequence, stream_sid, name)| FromTwilio::Mark {
            sequence,
            stream_sid,
            name
        }),
        (sequence(), maybe(), maybe(), maybe()).prop_map(|(sequence, stream_sid, account_sid, call_sid)| {
            FromTwilio::Stop { sequence, stream_sid, account_sid, call_sid }
        }),
        unknown().prop_map(|event| FromTwilio::Unknown { event }),
    ]
}

fn to_twilio() -> impl Strategy<Value = ToTwilio> {
    let sid = || prop_oneof![maybe(), Just(Some("MZ1".to_owned()))];
    prop_oneof![
        (sid(), payload()).prop_map(|(stream_sid, payload)| ToTwilio::Media { stream_sid, payload }),
        (sid(), name()).prop_map(|(stream_sid, name)| ToTwilio::Mark { stream_sid, name }),
        sid().prop_map(|stream_sid| ToTwilio::Clear { stream_sid }),
        unknown().prop_map(|event| ToTwilio::Unknown { event }),
    ]
}

fn from_telnyx() -> impl Strategy<Value = FromTelnyx> {
    let sequence = any::<Option<u64>>;
    let ids = (name(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
    prop_oneof![
        (maybe(), maybe()).prop_map(|(version, auth_token)| FromTelnyx::Connected { version, auth_token }),
        (sequence(), ids, vec(name(), 0..3), option::of(format()), parameters()).prop_map(
            |(sequence, ids, tags, media_format, custom_parameters)| {
                let (stream_id, user_id, call_control_id, call_session_id, from, to, client_state) = ids;
                FromTelnyx::Start(telnyx::Start {
                    sequence,
                    stream_id,
                    user_id,
                    call_control_id,
                    call_session_id,
                    from,
                    to,
                    tags,
                    client_state,
                    custom_parameters,
                    media_format,
                })
            }
        ),
        (sequence(), maybe(), audio()).prop_map(
            |(sequence, stream_id, (track, chunk, timestamp, payload))| {
                FromTelnyx::Media(telnyx::Media { sequence, stream_id, track, chunk, timestamp, payload })
            }
        ),
        (sequence(), maybe(), maybe(), digit()).prop_map(|(sequence, stream_id, occurred_at, digit)| {
            FromTelnyx::Dtmf { sequence, stream_id, occurred_at, digit }
        }),
        (sequence(), maybe(), name()).prop_map(|(sequence, stream_id, name)| FromTelnyx::Mark {
            sequence,
            stream_id,
            name
        }),
        (maybe(), maybe(), maybe(), maybe()).prop_map(|(stream_id, code, title, detail)| FromTelnyx::Error {
            stream_id,
            code,
            title,
            detail
        }),
        (sequence(), maybe(), maybe(), maybe()).prop_map(
            |(sequence, stream_id, user_id, call_control_id)| {
                FromTelnyx::Stop { sequence, stream_id, user_id, call_control_id }
            }
        ),
        unknown().prop_map(|event| FromTelnyx::Unknown { event }),
    ]
}

fn to_telnyx() -> impl Strategy<Value = ToTelnyx> {
    prop_oneof![
        (maybe(), payload()).prop_map(|(stream_id, payload)| ToTelnyx::Media { stream_id, payload }),
        (maybe(), name()).prop_map(|(stream_id, name)| ToTelnyx::Mark { stream_id, name }),
        maybe().prop_map(|stream_id| ToTelnyx::Clear { stream_id }),
        unknown().prop_map(|event| ToTelnyx::Unknown { event }),
    ]
}
