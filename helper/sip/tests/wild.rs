//! Forms that the grammar does not allow or barely allows and that deployed equipment sends nevertheless. Each stands for
//! one line of an otherwise usual INVITE; accepted means that parsing and checking pass and that the From tag, the top
//! branch, the CSeq and the Call-ID come out as meant.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use sip::msg::*;

const INVITE: &str = "INVITE sip:100@pbx.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP ua.example.com:5060;branch=z9hG4bKb1;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Al\" <sip:al@example.com>;tag=f1\r\n\
    To: <sip:100@pbx.example.com>\r\n\
    Call-ID: c1@ua\r\n\
    CSeq: 7 INVITE\r\n\
    Contact: <sip:al@ua.example.com:5060>\r\n\
    Content-Length: 0\r\n\r\n";

/// What is odd, the text of [`INVITE`] that it replaces, and what stands there instead.
const ACCEPTED: &[(&str, &str, &[u8])] = &[
    // Request line
    ("a raw # in the user (caller id suppressed)", "sip:100@", b"sip:#31#+4930123456@"),
    ("a raw | in the user", "sip:100@", b"sip:a|b@"),
    ("an empty user", "sip:100@", b"sip:@"),
    ("no user", "sip:100@", b"sip:"),
    ("two at-signs", "sip:100@", b"sip:al@corp.example.com@"),
    ("a star code", "sip:100@", b"sip:*98@"),
    ("a raw UTF-8 user", "sip:100@", "sip:J\u{f6}rg@".as_bytes()),
    ("a Latin-1 user", "sip:100@", b"sip:J\xf6rg@"),
    ("an escape that is none", "sip:100@", b"sip:10%0@"),
    ("a trailing ; behind the Request-URI", "com SIP/2.0", b"com; SIP/2.0"),
    ("two ;; behind the Request-URI", "com SIP/2.0", b"com;;user=phone SIP/2.0"),
    ("a parameter that is empty but for =", "com SIP/2.0", b"com;transport= SIP/2.0"),
    ("an empty port", "100@pbx.example.com SIP", b"100@192.0.2.1: SIP"),
    ("an underscore in the host", "100@pbx.example.com SIP", b"100@my_pbx SIP"),
    ("a scheme in capitals", "INVITE sip:", b"INVITE SIP:"),
    ("the version in small letters", "SIP/2.0\r\nVia", b"sip/2.0\r\nVia"),
    ("empty lines in front", "INVITE sip", b"\r\n\r\nINVITE sip"),
    // Via
    ("a trailing ; behind Via", ";rport\r\n", b";rport;\r\n"),
    ("braces in the branch", "bKb1", b"bK{5F2-9A}"),
    ("at-signs and slashes in the branch", "bKb1", b"bKa@b/c:d=e"),
    ("rport with = and nothing", ";rport", b";rport="),
    ("an empty branch", "branch=z9hG4bKb1", b"branch="),
    ("no branch at all", ";branch=z9hG4bKb1", b""),
    ("SIP and UDP in small letters", "Via: SIP/2.0/UDP", b"Via: sip/2.0/udp"),
    (
        "blanks around every separator of Via",
        "SIP/2.0/UDP ua.example.com:5060;",
        b"SIP / 2.0 / UDP ua.example.com : 5060 ; ",
    ),
    ("an empty port in Via", "ua.example.com:5060;b", b"ua.example.com:;b"),
    ("an underscore in sent-by", "UDP ua.example.com", b"UDP my_phone"),
    ("IPv6 without brackets in Via", "ua.example.com:5060;b", b"2001:db8::1;b"),
    ("received in brackets", ";rport", b";rport;received=[2001:db8::1]"),
    ("a transport of nobody", "SIP/2.0/UDP", b"SIP/2.0/TLS-SCTP"),
    ("two hops in one line without a blank", ";rport\r\n", b";rport,SIP/2.0/UDP b;branch=z9hG4bKb2\r\n"),
    ("a comma behind the last hop", ";rport\r\n", b";rport,\r\n"),
    // From and To
    ("a comma in a name without quotes", "\"Al\" <", b"Doe, Al <"),
    ("parentheses in a name without quotes", "\"Al\" <", b"Al (office) <"),
    ("an at-sign in a name without quotes", "\"Al\" <", b"al@example.com <"),
    ("a semicolon in a name without quotes", "\"Al\" <", b"Al; Doe <"),
    ("an apostrophe and a dot in a name", "\"Al\" <", b"A. O'Hara <"),
    ("a Latin-1 name", "\"Al\" <", b"\"Ren\xe9\" <"),
    ("a UTF-8 name without quotes", "\"Al\" <", "Ren\u{e9} <".as_bytes()),
    ("an empty name", "\"Al\" <", b"\"\" <"),
    ("a quoted name that touches the bracket", "\"Al\" <", b"\"Al\"<"),
    (
        "a quoted name before a URI without brackets",
        "\"Al\" <sip:al@example.com>",
        b"\"Al\" sip:al@example.com",
    ),
    ("a trailing ; behind From", ";tag=f1", b";tag=f1;"),
    ("two ;; in From", ";tag=f1", b";;tag=f1"),
    ("blanks around the tag", ";tag=f1", b" ; tag = f1 "),
    ("TAG in capitals", ";tag=f1", b";TAG=f1"),
    ("a parameter with odd characters before the tag", ";tag=f1", b";x={a|b};tag=f1"),
    ("an empty user in From", "<sip:al@example.com>", b"<sip:@example.com>"),
    ("an empty host in From", "<sip:al@example.com>", b"<sip:anonymous@>"),
    ("nothing behind the scheme in From", "<sip:al@example.com>", b"<sip:>"),
    ("a blank in the user of From", "<sip:al@example.com>", b"<sip:al doe@example.com>"),
    ("a tel URI without a global number", "<sip:al@example.com>", b"<tel:100>"),
    ("blanks inside the brackets", "<sip:al@example.com>", b"< sip:al@example.com >"),
    ("an empty tag in To", "To: <sip:100@pbx.example.com>", b"To: <sip:100@pbx.example.com>;tag="),
    (
        "no brackets in To, and a parameter of the URI",
        "To: <sip:100@pbx.example.com>",
        b"To: sip:100@pbx.example.com;user=phone",
    ),
    // CSeq, Call-ID and the rest
    ("a CSeq of 2^31", "CSeq: 7 ", b"CSeq: 2147483648 "),
    ("a CSeq of 2^32-1", "CSeq: 7 ", b"CSeq: 4294967295 "),
    ("zeros before the CSeq", "CSeq: 7 ", b"CSeq: 0000000007 "),
    ("tabs in CSeq", "CSeq: 7 ", b"CSeq:\t7\t\t"),
    ("a blank before the colon", "Call-ID: ", b"Call-ID : "),
    ("no blank behind the colon", "Call-ID: ", b"i:"),
    ("no Max-Forwards", "Max-Forwards: 70\r\n", b""),
    ("no Content-Length", "Content-Length: 0\r\n", b""),
    ("a header without a value", "Max-Forwards", b"Subject:\r\nMax-Forwards"),
    ("a header with binary in it", "Max-Forwards", b"X-Raw: \x01\x02\xff\xfe\r\nMax-Forwards"),
    ("a header line of blanks behind a header", "Max-Forwards", b"X-Fold: a\r\n \r\nMax-Forwards"),
    ("a star Contact in an INVITE", "<sip:al@ua.example.com:5060>", b"*"),
    ("a comma in the name of Contact", "Contact: <", b"Contact: Doe, Al <"),
    ("an instance id in Contact", ":5060>\r\n", b":5060>;+sip.instance=\"<urn:uuid:0-1>\";reg-id=1\r\n"),
    ("a NUL behind the message", "0\r\n\r\n", b"0\r\n\r\n\0"),
    ("a line end behind the message", "0\r\n\r\n", b"0\r\n\r\n\r\n"),
];

/// The same for what is refused, and why, here and on purpose.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    // Two readers would cut the request line at different places.
    ("a blank in the Request-URI", "sip:100@", "sip:1 00@", "400 Malformed Request-URI"),
    ("a blank behind the request line", "SIP/2.0\r\nVia", "SIP/2.0 \r\nVia", "400 Malformed Start Line"),
    // Two readers would see different headers.
    ("line ends of LF alone", "\r\n", "\n", "400 Line End Is Not CRLF"),
    ("a line without a colon", "Max-Forwards: 70", "Max-Forwards 70", "400 Malformed Header Line"),
    ("a blank in a header name", "Max-Forwards:", "Max Forwards:", "400 Malformed Header Line"),
    ("no empty line at the end", "0\r\n\r\n", "0\r\n", "400 Header Block Not Terminated"),
    // RFC 3261 section 20.14: the header stands once.
    (
        "two equal Content-Length",
        "Content-Length: 0",
        "Content-Length: 0\r\nContent-Length: 0",
        "400 Duplicate Content-Length",
    ),
    // Nobody can tell where the name ends and the address begins.
    ("a quote that nothing closes", "\"Al\" <", "\"Al <", "400 Malformed From"),
];

#[test]
fn odd_forms_are_accepted_with_the_values_they_mean() {
    for (what, was, becomes) in ACCEPTED {
        let message = parse_datagram(replaced(was, becomes), &Limits::default())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(validate_request(&message), Ok(()), "{what}");
        let branch = match *what {
            "braces in the branch" => Some("z9hG4bK{5F2-9A}"),
            "at-signs and slashes in the branch" => Some("z9hG4bKa@b/c:d=e"),
            "an empty branch" | "no branch at all" => None,
            _ => Some("z9hG4bKb1"),
        };
        let number = match *what {
            "a CSeq of 2^31" => 1 << 31,
            "a CSeq of 2^32-1" => u32::MAX,
            _ => 7,
        };
        assert_eq!(message.top_via().unwrap().branch.as_deref(), branch, "{what}");
        assert_eq!(message.top_via().unwrap().rport, Some(None), "{what}");
        assert_eq!(message.from().unwrap().tag(), Some("f1"), "{what}");
        assert_eq!(message.to().unwrap().tag(), None, "{what}");
        assert_eq!(message.cseq(), Ok(CSeq { number, method: Method::Invite }), "{what}");
        assert_eq!(message.call_id().unwrap(), "c1@ua", "{what}");
    }
}

#[test]
fn what_is_refused_is_answered_with_its_reason() {
    for (what, was, becomes, expected) in REFUSED {
        let answer = match parse_datagram(replaced(was, becomes.as_bytes()), &Limits::default()) {
            Err(error) => {
                assert!(error.answerable().is_some(), "{what}");
                format!("{} {}", error.status(), error.reason())
            }
            Ok(message) => {
                let fault = validate_request(&message).unwrap_err();
                format!("{} {}", fault.status, fault.reason)
            }
        };
        assert_eq!(answer, *expected, "{what}");
    }
}

#[test]
fn responses_without_a_phrase_are_accepted() {
    for line in ["SIP/2.0 180 ", "SIP/2.0 180", "sip/2.0 180 Ringing", "SIP/2.0 180 R\u{e4}ngd\t;)"] {
        let response = INVITE.replace("INVITE sip:100@pbx.example.com SIP/2.0", line);
        let response = parse_datagram(Bytes::from(response), &Limits::default()).unwrap();
        assert_eq!(response.status(), Some(StatusCode::RINGING));
        assert_eq!(validate_response(&response), Ok(()));
    }
}

fn replaced(was: &str, becomes: &[u8]) -> Bytes {
    assert!(INVITE.contains(was), "{was} is in the INVITE");
    let every = if was == "\r\n" { usize::MAX } else { 1 };
    let mut out = Vec::new();
    for (at, part) in INVITE.splitn(every.saturating_add(1), was).enumerate() {
        if at > 0 {
            out.extend_from_slice(becomes);
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.into()
}
