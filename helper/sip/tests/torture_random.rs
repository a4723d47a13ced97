//! No datagram makes the parser, a typed view or a builder panic, and what they give out can be read again.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sip::msg::*;

#[path = "fixtures/mutate.rs"]
mod mutate;
#[path = "fixtures/torture.rs"]
mod torture;
#[path = "fixtures/touch.rs"]
mod touch;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(4475),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn arbitrary_bytes_do_not_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        touch::everything(&raw);
    }

    #[test]
    fn damaged_messages_do_not_panic(raw in mutate::damaged()) {
        touch::everything(&raw);
    }

    #[test]
    fn any_text_can_be_read_as_a_value(text in "[ -~\\t\u{e9}]{0,60}|[sip:@;?<>\"\\\\,=%\\[\\]0-9a/. ]{0,40}") {
        let text = ByteStr::from(text);
        if let Ok(uri) = Uri::from_text(&text) {
            let again = Uri::parse(&uri.to_string());
            prop_assert_eq!(again.as_ref().map(ToString::to_string), Ok(uri.to_string()));
        }
        if let Ok(addr) = NameAddr::parse(&text, HeaderName::From) {
            let again = NameAddr::parse(&addr.to_string().into(), HeaderName::From);
            prop_assert_eq!(again, Ok(addr));
        }
        if let Ok(via) = Via::parse(&text) {
            let again = Via::parse(&via.to_string().into()).map(|v| (v.host, v.port, v.branch));
            prop_assert_eq!(again, Ok((via.host, via.port, via.branch)));
        }
    }

    #[test]
    fn an_answer_to_any_message_can_be_read(raw in mutate::damaged(), port in any::<u16>()) {
        let request = match parse_datagram(raw.into(), &Limits::default()) {
            Ok(message) => message,
            Err(ParseError { salvage: Some(salvage), .. }) => *salvage,
            Err(_) => return Ok(()),
        };
        prop_assume!(!request.raw().contains(&0));
        let built = ResponseBuilder::to_request(&request, StatusCode::OK, None)
            .received_from(SocketAddr::from(([192, 0, 2, 200], port)))
            .to_tag("t")
            .record_route()
            .body("text/plain", Bytes::from_static(b"body"))
            .build()
            .unwrap();
        let wide = Limits { head: 1 << 20, ..Limits::default() };
        let answer = match parse_datagram(built.clone(), &wide) {
            Ok(answer) => answer,
            Err(error) => return Err(TestCaseError::fail(format!("{error} in {:?}", built))),
        };
        prop_assert_eq!(answer.body.as_ref(), b"body");
        prop_assert_eq!(answer.vias().count(), request.vias().count());
        for name in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq, HeaderName::RecordRoute] {
            prop_assert!(answer.headers_of(&name).eq(request.headers_of(&name)));
        }
        if let Ok(via) = request.top_via() {
            let stamped = answer.top_via().unwrap();
            prop_assert_eq!(&stamped.branch, &via.branch);
            prop_assert!(stamped.received_ip().is_some(), "{via} became {stamped}");
            prop_assert_eq!(stamped.rport, via.rport.map(|_| Some(port)));
        }
    }
}
