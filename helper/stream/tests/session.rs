//! One stream from its first message to its last, in virtual time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stream::{
    Encoding, Endian, Event, FormatError, HandshakeError, MarkError, MarkOutcome, MediaFormat, MessageError,
    Provider, Session, SessionConfig, StreamError,
};

const TWILIO: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
const TELNYX: &str = r#"{"event":"connected","version":"1.0.0"}"#;
const TWILIO_START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1",
    "callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
    "customParameters":{"caller_id":"+15125559999","did":"+15125551234"}},"streamSid":"MZ1"}"#;

#[test]
fn the_first_message_tells_the_provider() {
    let mut twilio = Stream::new();
    twilio.text(TWILIO);
    twilio.text(TWILIO_START);
    assert_eq!(twilio.session.info().unwrap().provider, Provider::Twilio);

    let telnyx = Stream::telnyx(r#"{}"#);
    assert_eq!(telnyx.session.info().unwrap().provider, Provider::Telnyx);

    for (first, event) in [(r#"{"event":"x"}"#, "x"), (r#"{"protocol":"Other"}"#, ""), (r#"{}"#, "")] {
        let mut stream = Stream::new();
        let error = stream.session.handle_text(stream.now, first).unwrap_err();
        assert_eq!(error, StreamError::ProviderDetection { event: event.to_owned() });
        assert!(error.is_fatal() && stream.session.is_over());
        assert_eq!((stream.session.poll(), stream.session.deadline()), (None, None));
    }
}

#[test]
fn the_second_message_must_be_start() {
    for (second, error) in [
        (
            r#"{"event":"media","media":{"payload":""}}"#,
            HandshakeError::NotStart { event: "media".to_owned() },
        ),
        (r#"{"no":"event"}"#, HandshakeError::NotStart { event: String::new() }),
        (r#"{"event":"start","start":{}}"#, HandshakeError::Start(MessageError::Missing("stream_id"))),
        (
            r#"{"event":"start","stream_id":"s","start":{"media_format":{"encoding":"OPUS"}}}"#,
            HandshakeError::Format(FormatError::Encoding("OPUS".to_owned())),
        ),
    ] {
        let mut stream = Stream::new();
        stream.text(TELNYX);
        assert_eq!(
            stream.session.handle_text(stream.now, second),
            Err(StreamError::ProviderConnection(error))
        );
        assert_eq!(stream.session.poll(), None);
        assert!(stream.session.is_over());
    }
}

#[test]
fn a_twilio_call_is_known_by_its_start() {
    let mut stream = Stream::new();
    stream.text(TWILIO);
    stream.text(TWILIO_START);
    let Some(Event::Started(info)) = stream.session.poll() else { panic!("not started") };
    assert_eq!(
        (info.stream_id.as_str(), info.call_id.as_str(), info.account.as_deref()),
        ("MZ1", "CA1", Some("AC1"))
    );
    assert_eq!(
        (info.caller_id.as_deref(), info.did.as_deref()),
        (Some("+15125559999"), Some("+15125551234"))
    );
    assert_eq!((info.inbound, info.outbound), (MediaFormat::MULAW_8000, MediaFormat::MULAW_8000));
    assert_eq!(
        stream.session.media(&[255, 255]).unwrap(),
        r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#
    );
    assert_eq!(
        stream.session.mark("u1").unwrap(),
        r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"u1"}}"#
    );
    assert_eq!(stream.session.clear(stream.now).unwrap(), r#"{"event":"clear","streamSid":"MZ1"}"#);
}

#[test]
fn a_telnyx_call_of_our_own_texml_is_answered_as_that_asked() {
    let mut stream = Stream::telnyx(
        r#"{"call_control_id":"v3:1","user_id":"u","from":"+1","to":"+2","custom_parameters":{"did":"+3","token":"t"},
            "media_format":{"encoding":"PCMA","sample_rate":8000,"channels":1}}"#,
    );
    let Some(Event::Started(info)) = stream.session.poll() else { panic!("not started") };
    assert_eq!((info.call_id.as_str(), info.account.as_deref()), ("v3:1", Some("u")));
    // A parameter of ours goes before what Telnyx says, and only that one.
    assert_eq!((info.caller_id.as_deref(), info.did.as_deref()), (Some("+1"), Some("+3")));
    assert_eq!(info.custom_parameters["token"], "t");
    assert_eq!(info.inbound, MediaFormat { encoding: Encoding::Pcma, rate: 8000, channels: 1 });
    assert_eq!(info.outbound, MediaFormat::L16_16000);
    assert_eq!(
        stream.session.media(&[1, 2]).unwrap(),
        r#"{"event":"media","stream_id":"s","media":{"payload":"AQI="}}"#
    );
    assert_eq!(
        stream.session.mark("u1").unwrap(),
        r#"{"event":"mark","stream_id":"s","mark":{"name":"u1"}}"#
    );
    assert_eq!(stream.session.clear(stream.now).unwrap(), r#"{"event":"clear","stream_id":"s"}"#);
}

#[test]
fn a_telnyx_call_of_somebody_elses_making_is_answered_as_it_comes() {
    let mut stream =
        Stream::telnyx(r#"{"from":"+1","to":"+2","media_format":{"encoding":"PCMU","sample_rate":"8000"}}"#);
    let Some(Event::Started(info)) = stream.session.poll() else { panic!("not started") };
    assert_eq!((info.caller_id.as_deref(), info.did.as_deref()), (Some("+1"), Some("+2")));
    assert_eq!((info.inbound, info.outbound), (MediaFormat::MULAW_8000, MediaFormat::MULAW_8000));
}

#[test]
fn audio_keys_and_the_end_are_told_in_order() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    stream.text(r#"{"event":"media","media":{"chunk":"1","timestamp":"0","payload":"AQI="}}"#);
    stream.text(r#"{"event":"dtmf","dtmf":{"digit":"5"}}"#);
    stream
        .text(r#"{"event":"error","payload":{"code":100004,"title":"invalid_media","detail":"no base64"}}"#);
    stream.text(r#"{"event":"news"}"#);
    stream.session.mark("last").unwrap();
    stream.text(r#"{"event":"stop","stop":{}}"#);
    assert_eq!(
        stream.events(),
        [
            Event::Media { payload: Bytes::from_static(&[1, 2]), timestamp: Duration::ZERO },
            Event::Dtmf { digit: '5' },
            Event::Error { code: Some("100004".to_owned()), detail: "invalid_media: no base64".to_owned() },
            Event::Mark { name: "last".to_owned(), outcome: MarkOutcome::Cleared },
            Event::Stopped,
        ]
    );
    stream.text(r#"{"event":"dtmf","dtmf":{"digit":"5"}}"#);
    stream.session.handle_close();
    assert_eq!((stream.events(), stream.session.deadline()), (vec![], None));
    assert_eq!((stream.session.media(&[]), stream.session.mark("m")), (None, Err(MarkError::NotUp)));
    assert_eq!(stream.session.stats().unknown, 1);
}

#[test]
fn a_lost_socket_ends_the_stream() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    stream.session.handle_close();
    assert_eq!(stream.events(), [Event::Stopped]);

    let mut early = Stream::new();
    early.session.handle_close();
    assert_eq!(early.events(), []);
}

#[test]
fn three_broken_messages_in_a_row_end_the_stream_and_two_do_not() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    for _ in 0..3 {
        for broken in ["{", r#"{"event":"media"}"#] {
            let error = stream.session.handle_text(stream.now, broken).unwrap_err();
            assert!(matches!(error, StreamError::Message(_)) && !error.is_fatal());
        }
        stream.text(r#"{"event":"news"}"#);
    }
    stream.session.handle_text(stream.now, "{").unwrap_err();
    stream.session.handle_text(stream.now, "{").unwrap_err();
    let error = stream.session.handle_text(stream.now, r#"{"event":"dtmf"}"#).unwrap_err();
    assert_eq!(error, StreamError::Malformed { count: 3, last: MessageError::Missing("dtmf") });
    assert!(error.is_fatal());
    assert_eq!(stream.events(), [Event::Stopped]);
    assert_eq!(stream.session.stats().malformed, 9);
}

#[test]
fn a_handshake_has_ten_seconds() {
    let mut stream = Stream::new();
    let deadline = stream.now + Duration::from_secs(10);
    assert_eq!(stream.session.deadline(), Some(deadline));
    stream.now += Duration::from_secs(9);
    stream.text(TWILIO);
    assert_eq!(stream.session.deadline(), Some(deadline));
    assert_eq!(stream.session.handle_timeout(deadline - Duration::from_millis(1)), Ok(()));
    let after = Duration::from_secs(10);
    assert_eq!(
        stream.session.handle_timeout(deadline),
        Err(StreamError::ProviderConnection(HandshakeError::Timeout { after }))
    );
    assert_eq!((stream.session.deadline(), stream.session.poll()), (None, None));
}

#[test]
fn a_silent_provider_is_given_up() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    stream.now += Duration::from_secs(59);
    stream.text(r#"{"event":"news"}"#);
    stream.now += Duration::from_secs(59);
    assert_eq!(stream.session.handle_timeout(stream.now), Ok(()));
    stream.now = stream.session.deadline().unwrap();
    let error = stream.session.handle_timeout(stream.now);
    assert_eq!(error, Err(StreamError::Idle { after: Duration::from_secs(60) }));
    assert_eq!(stream.events(), [Event::Stopped]);
}

#[test]
fn chunks_of_telnyx_are_played_in_their_order_and_once() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    for chunk in [1, 3, 2, 2, 1, 4, 6, 7, 5] {
        stream.chunk(chunk);
    }
    assert_eq!(stream.chunks(), [1, 2, 3, 4, 5, 6, 7]);
    let stats = stream.session.stats();
    assert_eq!((stats.media, stats.duplicates, stats.lost), (7, 2, 0));
}

#[test]
fn a_gap_is_waited_for_as_long_as_five_chunks() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    for chunk in [1, 3, 4, 5, 6, 7] {
        stream.chunk(chunk);
    }
    assert_eq!(stream.chunks(), [1]);
    stream.chunk(8);
    assert_eq!(stream.chunks(), [3, 4, 5, 6, 7, 8]);
    stream.chunk(2);
    stream.chunk(9);
    assert_eq!(stream.chunks(), [9]);
    let stats = stream.session.stats();
    assert_eq!((stats.lost, stats.duplicates), (1, 1));
}

#[test]
fn a_gap_is_waited_for_as_long_as_a_hundred_milliseconds() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    stream.chunk(1);
    stream.chunk(3);
    let deadline = stream.now + Duration::from_millis(100);
    assert_eq!(stream.session.deadline(), Some(deadline));
    stream.now += Duration::from_millis(60);
    stream.chunk(5);
    assert_eq!(stream.session.deadline(), Some(deadline));
    assert_eq!(stream.chunks(), [1]);
    stream.now = deadline;
    assert_eq!(stream.session.handle_timeout(stream.now), Ok(()));
    assert_eq!(stream.chunks(), [3]);
    // The next gap has its own time.
    assert_eq!(stream.session.deadline(), Some(deadline + Duration::from_millis(100)));
    stream.chunk(4);
    assert_eq!(stream.chunks(), [4, 5]);
    assert_eq!(stream.session.deadline(), Some(stream.now + Duration::from_secs(60)));
    assert_eq!(stream.session.stats().lost, 1);
}

#[test]
fn what_is_held_back_is_played_before_the_end() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    for chunk in [1, 3, 5] {
        stream.chunk(chunk);
    }
    stream.text(r#"{"event":"stop"}"#);
    assert_eq!(stream.chunks(), [1, 3, 5]);
    assert_eq!(stream.session.stats().lost, 2);
}

#[test]
fn numbering_may_begin_anywhere_and_begin_anew() {
    for first in [0, 1, 1000, u64::MAX - 1] {
        let mut stream = Stream::telnyx(r#"{}"#);
        stream.session.poll();
        stream.chunk(first);
        stream.chunk(first + 1);
        assert_eq!(stream.chunks(), [first, first + 1]);
        stream.chunk(u64::MAX);
        stream.chunk(0);
        stream.chunk(1);
        stream.session.handle_close();
        assert!(stream.chunks().ends_with(if first < 2 { &[u64::MAX][..] } else { &[0, 1] }));
    }
    // Without numbers there is no order but that of arrival.
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    for payload in ["AQI=", "AwQ="] {
        stream.text(&format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#));
    }
    let timestamp = |payload: &[u8]| MediaFormat::L16_16000.duration(payload.len() as u64);
    assert_eq!(
        stream.events(),
        [
            Event::Media { payload: Bytes::from_static(&[1, 2]), timestamp: Duration::ZERO },
            Event::Media { payload: Bytes::from_static(&[3, 4]), timestamp: timestamp(&[1, 2]) },
        ]
    );
}

#[test]
fn what_the_caller_hears_is_not_what_the_caller_says() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    stream.text(r#"{"event":"media","media":{"track":"outbound","chunk":"1","payload":"AQI="}}"#);
    assert_eq!((stream.events(), stream.session.stats().other_track), (vec![], 1));
}

#[test]
fn a_mark_is_played_when_it_comes_back() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    for name in ["a", "b", "a"] {
        stream.session.mark(name).unwrap();
    }
    stream.echo("a");
    stream.echo("stranger");
    stream.echo("b");
    stream.echo("a");
    stream.echo("a");
    let played = |name: &str| Event::Mark { name: name.to_owned(), outcome: MarkOutcome::Played };
    assert_eq!(stream.events(), [played("a"), played("b"), played("a")]);
}

#[test]
fn clear_resolves_every_mark_at_once_and_once() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    stream.session.mark("a").unwrap();
    stream.session.mark("b").unwrap();
    stream.session.clear(stream.now).unwrap();
    let cleared = |name: &str| Event::Mark { name: name.to_owned(), outcome: MarkOutcome::Cleared };
    assert_eq!(stream.events(), [cleared("a"), cleared("b")]);
    // The provider echoes what it cleared, then what was sent later.
    stream.session.mark("a").unwrap();
    stream.echo("a");
    stream.echo("b");
    assert_eq!(stream.events(), []);
    stream.echo("a");
    assert_eq!(stream.events(), [Event::Mark { name: "a".to_owned(), outcome: MarkOutcome::Played }]);
}

#[test]
fn a_provider_that_echoes_nothing_upon_clear_costs_no_later_mark() {
    let mut stream = Stream::telnyx(r#"{}"#);
    stream.session.poll();
    stream.session.mark("a").unwrap();
    stream.session.clear(stream.now).unwrap();
    stream.session.mark("a").unwrap();
    stream.events();
    stream.now += Duration::from_secs(5);
    stream.echo("a");
    assert_eq!(stream.events(), [Event::Mark { name: "a".to_owned(), outcome: MarkOutcome::Played }]);
}

#[test]
fn marks_are_bounded() {
    let mut stream =
        Stream::with(SessionConfig { mark_limit: 2, ..SessionConfig::default() }, TELNYX, &start("{}"));
    stream.session.mark("a").unwrap();
    assert_eq!(stream.session.mark(&"m".repeat(257)), Err(MarkError::TooLong { limit: 256 }));
    stream.session.mark("b").unwrap();
    assert_eq!(stream.session.mark("c"), Err(MarkError::TooMany { limit: 2 }));
    stream.session.clear(stream.now).unwrap();
    assert!(stream.session.mark("c").is_ok());
}

#[test]
fn l16_is_little_endian_here_whatever_the_wire_says() {
    for (endian, wire) in [(Endian::Little, [1, 2]), (Endian::Big, [2, 1])] {
        let config = SessionConfig { l16: endian, ..SessionConfig::default() };
        let mut stream = Stream::with(config, TELNYX, &start("{}"));
        stream.session.poll();
        stream.payload(1, &wire);
        let payload = Bytes::from_static(&[1, 2]);
        assert_eq!(stream.events(), [Event::Media { payload: payload.clone(), timestamp: Duration::ZERO }]);
        let sent = stream.session.media(&payload).unwrap();
        assert_eq!(stream::telnyx::ToTelnyx::parse(&sent), Ok(to_telnyx(&wire)));
    }
    // G.711 has no byte order.
    let config = SessionConfig { l16: Endian::Big, ..SessionConfig::default() };
    let mut stream = Stream::with(config, TELNYX, &start(r#"{"media_format":{"encoding":"PCMU"}}"#));
    stream.session.poll();
    stream.payload(1, &[1, 2]);
    assert_eq!(
        stream.events()[0],
        Event::Media { payload: Bytes::from_static(&[1, 2]), timestamp: Duration::ZERO }
    );
    assert!(stream.session.media(&[1, 2]).unwrap().contains("AQI="));
}

#[test]
fn the_byte_order_is_heard_from_the_first_sound() {
    for amplitude in [100.0, 3000.0, 30_000.0] {
        let tone: Vec<u8> = (0..320)
            .map(|n| ((f64::from(n) * 440.0 * std::f64::consts::TAU / 16_000.0).sin() * amplitude) as i16)
            .flat_map(i16::to_le_bytes)
            .collect();
        let swapped: Vec<u8> = tone.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
        for (wire, big) in [(&tone, false), (&swapped, true)] {
            let config = SessionConfig { l16: Endian::Auto, ..SessionConfig::default() };
            let mut stream = Stream::with(config, TELNYX, &start("{}"));
            stream.session.poll();
            stream.payload(1, &[0; 640]);
            assert!(
                stream.session.media(&[1, 2]).unwrap().contains("AQI="),
                "little until something is heard"
            );
            stream.events();
            stream.payload(2, wire);
            let [Event::Media { payload, .. }] = &stream.events()[..] else { panic!("no audio") };
            assert_eq!(payload, &tone);
            let sent = stream.session.media(&[1, 2]).unwrap();
            assert_eq!(
                stream::telnyx::ToTelnyx::parse(&sent),
                Ok(to_telnyx(if big { &[2, 1] } else { &[1, 2] }))
            );
        }
    }
}

fn to_telnyx(payload: &[u8]) -> stream::telnyx::ToTelnyx {
    stream::telnyx::ToTelnyx::Media {
        stream_id: Some("s".to_owned()),
        payload: Bytes::copy_from_slice(payload),
    }
}

fn start(start: &str) -> String {
    format!(r#"{{"event":"start","stream_id":"s","start":{start}}}"#)
}

struct Stream {
    session: Session,
    now: Instant,
}

impl Stream {
    fn new() -> Self {
        #[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
        let now = Instant::now();
        Self { session: Session::new(now, SessionConfig::default()), now }
    }

    fn telnyx(object: &str) -> Self {
        Self::with(SessionConfig::default(), TELNYX, &start(object))
    }

    fn with(config: SessionConfig, connected: &str, start: &str) -> Self {
        let mut stream = Self::new();
        stream.session = Session::new(stream.now, config);
        stream.text(connected);
        stream.text(start);
        stream
    }

    fn text(&mut self, text: &str) {
        assert_eq!(self.session.handle_text(self.now, text), Ok(()), "{text}");
    }

    fn echo(&mut self, name: &str) {
        self.text(&format!(r#"{{"event":"mark","mark":{{"name":"{name}"}}}}"#));
    }

    /// A chunk whose payload is its number.
    fn chunk(&mut self, number: u64) {
        self.payload(number, &number.to_be_bytes());
    }

    fn payload(&mut self, number: u64, payload: &[u8]) {
        let media = stream::telnyx::Media {
            sequence: None,
            stream_id: None,
            track: None,
            chunk: Some(number),
            timestamp: None,
            payload: Bytes::copy_from_slice(payload),
        };
        self.text(&stream::telnyx::FromTelnyx::Media(media).print());
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll()).collect()
    }

    /// The numbers of the chunks that were told.
    fn chunks(&mut self) -> Vec<u64> {
        let number = |event| match event {
            Event::Media { payload, .. } => payload.first_chunk().map(|number| u64::from_be_bytes(*number)),
            _ => None,
        };
        self.events().into_iter().filter_map(number).collect()
    }
}
