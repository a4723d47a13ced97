//! Differential test against `sipx-sip`, a strict parser of the same grammar. What it accepts and finds nothing wrong with,
//! we accept with equal fields; the exceptions in both directions are the two lists below, and no others.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use sip::msg::*;

#[path = "fixtures/mutate.rs"]
mod mutate;
#[path = "fixtures/torture.rs"]
mod torture;

/// What we refuse although the oracle accepts it, by our reason.
const REFUSED_BEYOND: &[(&str, &str)] = &[
    (
        "NUL In Header",
        "a NUL outside a quoted pair is no text; code that ends strings at NUL would read another value",
    ),
    ("Malformed Start Line", "a start line is never folded (RFC 3261 section 7.1)"),
    ("Malformed From", "a comma in a URI that is neither SIP's nor in brackets (RFC 3261 section 20.10)"),
    ("Malformed To", "the same"),
    ("Malformed Contact", "a Contact that the request is about is checked before anything is done for it"),
    ("Malformed Via", "every hop is checked, not the top one alone: all of them go into the answer"),
    ("Duplicate Content-Type", "nobody can tell what the body is"),
];

/// What we accept although the oracle refuses it, by its reason.
const ACCEPTED_BEYOND: &[(&str, &str)] = &[
    ("malformed start line: empty", "line ends before the start line are passed over (RFC 3261 section 7.5)"),
    (
        "malformed start line: bad Request-URI: illegal character in URI",
        "#31#, | and the like in dialled numbers",
    ),
    ("malformed start line: bad Request-URI: invalid SIP URI user part", "an empty user, a second at-sign"),
    (
        "malformed start line: bad Request-URI: invalid character in host",
        "underscores; the resolver has the last word",
    ),
    (
        "malformed start line: bad Request-URI: malformed percent escape",
        "a % that escapes nothing stands for itself",
    ),
    ("malformed start line: bad Request-URI: invalid port", "an empty port"),
    (
        "MalformedRequiredHeader(\"From\")",
        "names without quotes, empty tags, stray ; and odd characters in the URI",
    ),
    ("MalformedRequiredHeader(\"To\")", "the same"),
    (
        "MalformedRequiredHeader(\"Via\")",
        "stray ; and empty values, odd characters in branch, IPv6 without brackets",
    ),
    ("malformed Via below the top", "the same"),
    ("MalformedRequiredHeader(\"CSeq\")", "numbers from 2^31 to 2^32-1"),
    ("MissingRequiredHeader(\"Max-Forwards\")", "RFC 2543 requests have none"),
    ("header field limit exceeded", "more folds in one header than the oracle allows"),
];

#[test]
fn what_the_oracle_accepts_is_accepted_with_equal_fields() {
    let config = ProptestConfig {
        rng_seed: RngSeed::Fixed(3261),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let mut tally = Tally::default();
    for _ in 0..USUAL {
        tally.compare(&draw(&mut runner, &mutate::usual()));
    }
    assert_eq!(tally.both, USUAL, "usual messages are accepted by both");
    torture::ALL.iter().for_each(|(_, raw)| tally.compare(raw));
    for _ in 0..DAMAGED {
        tally.compare(&draw(&mut runner, &mutate::damaged()));
    }
    for (seen, list) in [(&tally.only_oracle, REFUSED_BEYOND), (&tally.only_we, ACCEPTED_BEYOND)] {
        let unlisted: Vec<_> =
            seen.iter().filter(|reason| list.iter().all(|(known, _)| known != reason)).collect();
        assert_eq!(unlisted, [""; 0]);
    }
    assert!(tally.both > USUAL + DAMAGED / 5, "{} messages are accepted by both", tally.both);
}

const USUAL: usize = 3000;
const DAMAGED: usize = 12_000;

/// How many messages both accept, and why one of the two refuses the others.
#[derive(Default)]
struct Tally {
    both: usize,
    only_oracle: BTreeSet<String>,
    only_we: BTreeSet<String>,
}

impl Tally {
    fn compare(&mut self, raw: &[u8]) {
        match (oracle(raw), ours(raw)) {
            (Ok(theirs), Ok(ours)) => {
                self.both += 1;
                assert_same(&ours, &theirs, raw);
            }
            (Ok(_), Err(reason)) => {
                self.only_oracle.insert(reason);
            }
            (Err(reason), Ok(_)) => {
                self.only_we.insert(reason);
            }
            (Err(_), Err(_)) => {}
        }
    }
}

fn draw<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

fn ours(raw: &[u8]) -> Result<Message, String> {
    let message = parse_datagram(Bytes::copy_from_slice(raw), &Limits::default())
        .map_err(|error| error.reason().to_owned())?;
    if message.is_request() {
        validate_request(&message).map_err(|fault| fault.reason.to_owned())?;
    } else {
        validate_response(&message).map_err(|error| error.to_string())?;
    }
    Ok(message)
}

fn oracle(raw: &[u8]) -> Result<sipx_sip::Message, String> {
    let message = sipx_sip::parse_datagram(Bytes::copy_from_slice(raw), &sipx_sip::Limits::datagram())
        .map_err(|error| match error {
            sipx_sip::error::ParseError::HeaderSyntax { kind, .. } => kind.to_string(),
            other => other.to_string().split(" (").next().unwrap_or_default().to_owned(),
        })?;
    match sipx_sip::validate(&message).first() {
        Some(finding) => Err(format!("{finding:?}")),
        None if hops(&message).is_none() => Err("malformed Via below the top".to_owned()),
        None => Ok(message),
    }
}

fn hops(message: &sipx_sip::Message) -> Option<Vec<sipx_sip::Via>> {
    message.headers().typed_all::<sipx_sip::Via>().collect::<Result<_, _>>().ok()
}

/// Both readings have the same start line, hops, tags, identifiers and body.
fn assert_same(ours: &Message, theirs: &sipx_sip::Message, raw: &[u8]) {
    let shown = String::from_utf8_lossy(raw);
    match (theirs, &ours.start) {
        (sipx_sip::Message::Request(theirs), StartLine::Request { method, uri }) => {
            assert_eq!(method.as_str().as_bytes(), theirs.method.as_bytes(), "{shown}");
            assert!(same(uri, &theirs.uri.to_bytes()), "{shown}");
            let parts = Uri::from_text(uri).unwrap();
            if theirs.uri.host().is_some() {
                assert_eq!(parts.host.to_string(), theirs.uri.host().unwrap().to_string(), "{shown}");
                assert_eq!(parts.port, theirs.uri.port(), "{shown}");
                assert_eq!(parts.user.as_deref().map(str::as_bytes), theirs.uri.user(), "{shown}");
            }
        }
        (sipx_sip::Message::Response(theirs), StartLine::Response { status, reason }) => {
            assert_eq!(status.as_u16(), theirs.status.code(), "{shown}");
            assert!(same(reason, &theirs.reason), "{shown}");
        }
        _ => panic!("one is a request, the other a response: {shown}"),
    }
    let headers = theirs.headers();
    let hops = hops(theirs).unwrap();
    assert_eq!(ours.vias().count(), hops.len(), "{shown}");
    for (our, their) in ours.vias().zip(&hops) {
        let our = Via::parse(&our).unwrap();
        let transport = our.transport.as_str().to_ascii_lowercase();
        assert!(same(&transport, &their.transport.to_ascii_lowercase()), "{shown}");
        assert_eq!((our.host.to_string(), our.port), (their.host.to_string(), their.port), "{shown}");
        let branch = our.params.get_unquoted("branch");
        assert!(same_option(branch.as_deref(), their.branch()), "{shown}");
        assert_eq!(our.rport.is_some(), their.rport().is_some(), "{shown}");
        assert!(same_option(our.received.as_deref(), their.received()), "{shown}");
    }
    let from = headers.typed::<sipx_sip::headers::From>().unwrap().unwrap();
    let to = headers.typed::<sipx_sip::headers::To>().unwrap().unwrap();
    for (our, their) in [(ours.from().unwrap(), &*from), (ours.to().unwrap(), &*to)] {
        let tag = our.params.get_unquoted("tag");
        assert!(same_option(tag.as_deref(), their.tag()), "{shown}");
        assert!(same(&our.uri, &their.uri.to_bytes()), "{shown}");
        let (our, their) = (our.display.unwrap_or_default(), their.display_name.clone().unwrap_or_default());
        assert!(readings(&our).iter().any(|our| words(our).eq(words(&their))), "{shown}");
    }
    let call_id = headers.typed::<sipx_sip::CallId>().unwrap().unwrap();
    assert!(same(&ours.call_id().unwrap(), &call_id.0), "{shown}");
    let cseq = headers.typed::<sipx_sip::CSeq>().unwrap().unwrap();
    let our_cseq = ours.cseq().unwrap();
    assert_eq!(
        (our_cseq.number, our_cseq.method.as_str().as_bytes()),
        (cseq.sequence, cseq.method.as_bytes()),
        "{shown}"
    );
    assert_eq!(&ours.body, theirs.body(), "{shown}");
    assert_eq!(ours.headers.len(), headers.len(), "{shown}");
}

/// Whether our text is these octets, or these octets read as ISO 8859-1.
fn same(our: &str, their: &[u8]) -> bool {
    readings(our).iter().any(|our| our == their)
}

/// The octets that may be behind a text of ours: itself, or one octet a character.
fn readings(our: &str) -> [Vec<u8>; 2] {
    [our.as_bytes().to_vec(), our.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()]
}

/// What stands between blanks: a fold is one blank to us, and the oracle keeps the blanks around it.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty())
}

fn same_option(our: Option<&str>, their: Option<&[u8]>) -> bool {
    match (our, their) {
        (Some(our), Some(their)) => same(our, their),
        (None, None) => true,
        _ => false,
    }
}
