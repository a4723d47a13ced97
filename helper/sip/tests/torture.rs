//! RFC 4475, one test a message: each is read with exactly these values or refused in the way that the RFC describes.
//!
//! The treatment here is that of the message layer. What a user agent adds (405, 416, 420, 481, ...) is tested with it;
//! the tests below show that the message reaches it whole. With `RFC4475_DIR` set, the RFC's own files get the same verdicts.

#![allow(clippy::unwrap_used, clippy::print_stderr)]
#![allow(clippy::disallowed_methods)] // `RFC4475_DIR` names a folder of files

use bytes::Bytes;
use sip::msg::*;

#[path = "fixtures/torture.rs"]
mod fixtures;
use fixtures::*;

const SDP: &str =
    "v=0\r\no=- 20 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 41000 RTP/AVP 0 8\r\n";

// 3.1.1 Valid messages

#[test]
fn wsinv_blanks_and_folds_are_passed_over() {
    let m = good(WSINV);
    assert_eq!(request_line(&m), ("INVITE", "sip:desk@office-a.example.com;color"));
    let to = m.to().unwrap();
    assert_eq!((to.uri.as_str(), to.tag()), ("sip:desk@office-a.example.com", Some("55512x")));
    let from = m.from().unwrap();
    assert_eq!((from.display.as_deref(), from.tag()), (Some("L Torvik \\\""), Some("7ab7c")));
    assert_eq!((m.max_forwards(), m.call_id().unwrap().as_str()), (Ok(31), "ws.aa11@192.0.2.7"));
    assert_eq!(m.cseq(), Ok(CSeq { number: 21, method: Method::Invite }));
    let vias: Vec<_> = m.vias().map(|v| Via::parse(&v).unwrap()).collect();
    let hops: Vec<_> =
        vias.iter().map(|v| (v.transport.as_str(), v.host.to_string(), v.branch.as_deref())).collect();
    assert_eq!(
        hops,
        [
            ("UDP", "192.0.2.9".to_owned(), Some("77oldstyle")),
            ("TCP", "shuttle.example.com".to_owned(), Some("z9hG4bKq1w2")),
            ("UDP", "198.51.100.4".to_owned(), Some("z9hG4bK771")),
        ]
    );
    assert_eq!(m.header(HeaderName::Subject).unwrap(), "");
    assert_eq!(m.header(HeaderName::from("headeroftomorrow")).unwrap(), "a value that goes on");
    assert_eq!(m.header(HeaderName::from("HeaderWithOddValue")).unwrap(), ",,;;,;,,;");
    let route = m.routes().unwrap().remove(0).parsed_uri().unwrap();
    assert!(
        route.is_loose_route() && route.has_param("bare") && route.param("novel").as_deref() == Some("1")
    );
    let contact = m.contact().unwrap();
    let contact = contact.addr().unwrap();
    assert_eq!(contact.display.as_deref(), Some("A \"B\""));
    assert_eq!((contact.params.get("fresh"), contact.params.get("q")), (Some("thing"), Some("0.25")));
    assert!(contact.params.has("extra"));
    assert_eq!(m.body, SDP);
}

#[test]
fn intmeth_every_legal_character_is_kept() {
    let m = good(INTMETH);
    let method = "~odd-METHOD'9_*+`.%is!fine";
    let uri = "sip:0_weird.USER~(of-all!kinds)&so'on+$/what?,/;;*:&pw=1,it!has*a$pass_too.(yes)@example.com";
    assert_eq!(request_line(&m), (method, uri));
    let uri = Uri::parse(uri).unwrap();
    assert_eq!(uri.user.as_deref(), Some("0_weird.USER~(of-all!kinds)&so'on+$/what?,/;;*"));
    assert_eq!(uri.password.as_deref(), Some("&pw=1,it!has*a$pass_too.(yes)"));
    assert_eq!(m.top_via().unwrap().branch.as_deref(), Some("z9hG4bK-.!%61*_+`'~"));
    assert_eq!(m.to().unwrap().display.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    let from = m.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("word1~` word2'+_ word3*%!.-"));
    assert_eq!((from.uri.as_str(), from.tag()), ("sip:plain@example.com", Some("_t~1'+`*%!-.")));
    assert_eq!(from.params.get_unquoted("oddParam''~+*_!.-%").as_deref(), Some("\u{e6}\u{f8}\u{e5} \u{436}"));
    assert_eq!(m.call_id().unwrap(), r#"intm.w%ZZ-!.*_+'@w`~)(><:\/"][?}{"#);
    assert_eq!(m.cseq(), Ok(CSeq { number: 77_001_122, method: method.into() }));
    assert_eq!(m.max_forwards(), Ok(255));
    assert_eq!(
        m.header(HeaderName::from("novelHeader-!.%*+_`'~")).unwrap(),
        "\u{feff}\u{5927}\u{505c}\u{96fb}"
    );
}

#[test]
fn esc01_escapes_are_resolved_where_asked_for_and_once() {
    let m = good(ESC01);
    let uri = Uri::from_text(m.request_uri().unwrap()).unwrap();
    assert_eq!(uri.user_unescaped().as_deref(), Some("sips:clerk@example.com"));
    assert_eq!((uri.scheme.clone(), uri.host.to_string().as_str()), (Scheme::Sip, "example.net"));
    assert_eq!(m.to().unwrap().parsed_uri().unwrap(), Uri::parse("sip:clerk@example.com").unwrap());
    assert_eq!(m.from().unwrap().parsed_uri().unwrap().user_unescaped().as_deref(), Some("two words"));
    let contact = m.contact().unwrap().addr().unwrap().parsed_uri().unwrap();
    assert_eq!(contact.user_unescaped().as_deref(), Some("caller"));
    assert!(contact.is_loose_route());
    assert_eq!(contact.param("name").as_deref(), Some("value%41"));
}

#[test]
fn escnull_an_escaped_nul_is_a_character_like_others() {
    let m = good(ESCNULL);
    assert_eq!(m.to().unwrap().parsed_uri().unwrap().user_unescaped().as_deref(), Some("zero-\0-zero"));
    let users: Vec<_> = m
        .contacts()
        .map(|c| c.unwrap().addr().unwrap().parsed_uri().unwrap().user_unescaped().unwrap())
        .collect();
    assert_eq!(users, ["\0", "\0\0"]);
    let uris: Vec<_> = m.contacts().map(|c| c.unwrap().addr().unwrap().parsed_uri().unwrap()).collect();
    assert_ne!(uris[0], uris[1]);
}

#[test]
fn esc02_a_percent_sign_escapes_nothing_outside_uris() {
    let m = good(ESC02);
    assert_eq!(m.method(), Some(&Method::Other("OP%54IO%4ES".into())));
    assert_eq!(m.cseq().unwrap().method.as_str(), "OP%54IO%4ES");
    assert_eq!(m.to().unwrap().display.as_deref(), Some("%Y%41"));
    assert_eq!(m.top_via().unwrap().branch.as_deref(), Some("z9hG4bK77%qqx2"));
    let uris: Vec<_> = m.contacts().map(|c| c.unwrap().addr().unwrap().uri.to_string()).collect();
    assert_eq!(uris, ["sip:one@h1.example.com", "sip:three@h3.example.com"]);
    assert_eq!(m.header(HeaderName::from("C%6Fntact")).unwrap(), "<sip:two@h2.example.com>");
}

#[test]
fn lwsdisp_a_display_name_may_touch_the_bracket() {
    let from = good(LWSDISP).from().unwrap();
    assert_eq!((from.display.as_deref(), from.uri.as_str()), (Some("dialer"), "sip:dialer@example.com"));
    assert_eq!(from.tag(), Some("ld6"));
}

#[test]
fn longreq_long_values_are_kept_whole() {
    let m = good(LONGREQ);
    assert_eq!(m.vias().count(), 31);
    let top = m.top_via().unwrap();
    assert_eq!(
        (top.host.to_string().as_str(), top.branch, top.transport),
        ("hop30.example.com", None, Transport::Tcp)
    );
    let last = Via::parse(&m.vias().last().unwrap()).unwrap();
    assert_eq!(last.received.as_deref(), Some("192.0.2.5"));
    assert_eq!(last.branch.map(|b| b.len()), Some(8 * 25 + 11));
    assert_eq!(m.from().unwrap().tag().map(str::len), Some(120));
    assert_eq!(m.to().unwrap().display.map(|d| d.len()), Some(19 + 48 + 10));
    assert_eq!(m.call_id().unwrap().len(), 8 + 120);
    assert_eq!(m.body, SDP);
}

#[test]
fn dblreq_what_follows_the_body_is_discarded() {
    let m = good(DBLREQ);
    assert_eq!((m.method(), m.call_id().unwrap().as_str()), (Some(&Method::Register), "dblreq.1"));
    assert_eq!((m.headers.len(), m.body.len()), (8, 0));
}

#[test]
fn semiuri_semicolons_belong_to_the_user() {
    let m = good(SEMIURI);
    let uri = Uri::from_text(m.request_uri().unwrap()).unwrap();
    assert_eq!(uri.user_unescaped().as_deref(), Some("clerk;kind=x@example.net"));
    assert_eq!((uri.host.to_string().as_str(), uri.params.raw().as_str()), ("example.com", ""));
    let accepted: Vec<_> = m.list(HeaderName::Accept).collect();
    assert_eq!(accepted, ["application/sdp", "application/pkcs7-mime", "multipart/mixed", "message/sip"]);
}

#[test]
fn transports_of_any_name_are_read() {
    let m = good(TRANSPORTS);
    let names: Vec<_> = m.vias().map(|v| Via::parse(&v).unwrap().transport.to_string()).collect();
    assert_eq!(names, ["UDP", "SCTP", "TLS", "PIGEON", "TCP"]);
    assert_eq!(m.call_id().unwrap(), "transports.10");
}

#[test]
fn mpart01_a_binary_body_is_kept_octet_for_octet() {
    let m = good(MPART01);
    assert!(m.content_type().unwrap().is("multipart/mixed"));
    assert_eq!(m.content_type().unwrap().params.get("boundary"), Some("cut11here"));
    assert!(m.body.starts_with(b"--cut11here\r\n") && m.body.ends_with(b"\r\n--cut11here--\r\n"));
    assert!(m.body.windows(8).any(|w| w == [0, 1, 10, 13, 255, 254, 128, b'0']));
    assert_eq!(m.top_via().unwrap().rport, Some(None));
    assert_eq!(m.header(HeaderName::from("y")).unwrap(), "b64b64b64b64+/b64b64=");
}

#[test]
fn unreason_a_reason_phrase_is_utf8() {
    let m = good(UNREASON);
    assert_eq!(m.status(), Some(StatusCode::OK));
    assert_eq!(m.reason().unwrap(), "= 3**2 * 7 \u{434}\u{435}\u{432}\u{44f}\u{442}\u{44c}");
}

#[test]
fn noreason_a_reason_phrase_may_be_empty() {
    let m = good(NOREASON);
    assert_eq!((m.status(), m.reason().unwrap().as_str()), (Some(StatusCode::TRYING), ""));
}

// 3.1.2 Invalid messages

#[test]
fn badinv01_empty_via_elements_are_a_400() {
    assert_eq!(fault(BADINV01), (400, "Malformed Via"));
    // The answer still finds its way: the first element is whole.
    let via = message(BADINV01).top_via().unwrap();
    assert_eq!((via.host.to_string().as_str(), via.branch), ("192.0.2.15", None));
}

#[test]
fn clerr_a_body_that_is_not_there_is_a_400() {
    let error = refused(CLERR);
    assert_eq!(error.kind, ParseErrorKind::BodyTruncated { expected: 9000, present: SDP.len() });
    assert_eq!(answer(&error), 400);
}

#[test]
fn ncl_a_negative_length_is_a_400() {
    let error = refused(NCL);
    assert_eq!((error.kind.clone(), answer(&error)), (ParseErrorKind::ContentLength, 400));
}

#[test]
fn scalar02_numbers_that_overflow_are_a_400() {
    assert_eq!(fault(SCALAR02), (400, "Malformed CSeq"));
    let m = message(SCALAR02);
    assert_eq!(m.max_forwards(), Err(HeaderError::Malformed(HeaderName::MaxForwards)));
    assert_eq!(m.expires(), Err(HeaderError::Malformed(HeaderName::Expires)));
}

#[test]
fn scalarlg_a_response_with_a_cseq_that_overflows_is_discarded() {
    let m = message(SCALARLG);
    assert_eq!(validate_response(&m), Err(HeaderError::Malformed(HeaderName::CSeq)));
    assert_eq!(m.retry_after(), Err(HeaderError::Malformed(HeaderName::RetryAfter)));
}

#[test]
fn quotbal_an_open_quote_is_a_400() {
    assert_eq!(fault(QUOTBAL), (400, "Malformed To"));
}

#[test]
fn ltgtruri_brackets_around_the_request_uri_are_a_400() {
    let error = refused(LTGTRURI);
    assert_eq!((error.kind.clone(), answer(&error)), (ParseErrorKind::RequestUri, 400));
}

#[test]
fn lwsruri_a_blank_in_the_request_uri_is_a_400() {
    let error = refused(LWSRURI);
    assert_eq!((error.kind.clone(), answer(&error)), (ParseErrorKind::RequestUri, 400));
    assert_eq!(error.salvage.unwrap().to().unwrap().tag(), Some("lr8-a"));
}

#[test]
fn lwsstart_two_blanks_in_the_request_line_are_a_400() {
    let error = refused(LWSSTART);
    assert_eq!((error.kind.clone(), answer(&error)), (ParseErrorKind::StartLine, 400));
    assert_eq!(error.salvage.unwrap().request_uri().unwrap(), "sip:clerk@example.com");
}

#[test]
fn trws_blanks_behind_the_request_line_are_a_400() {
    let error = refused(TRWS);
    assert_eq!((error.kind.clone(), answer(&error)), (ParseErrorKind::StartLine, 400));
}

#[test]
fn escruri_headers_in_the_request_uri_are_a_400() {
    assert_eq!(fault(ESCRURI), (400, "Headers In Request-URI"));
}

#[test]
fn baddate_a_date_that_nobody_needs_does_not_matter() {
    let m = good(BADDATE);
    assert_eq!(m.header(HeaderName::Date).unwrap(), "Sat, 02 Jan 2010 17:00:00 CET");
    assert_eq!((m.method(), m.body.as_ref()), (Some(&Method::Invite), SDP.as_bytes()));
}

#[test]
fn regbadct_an_ambiguous_contact_is_a_400() {
    assert_eq!(fault(REGBADCT), (400, "Malformed Contact"));
}

#[test]
fn badaspec_blanks_inside_brackets_are_passed_over() {
    let to = good(BADASPEC).to().unwrap();
    assert_eq!((to.display.as_deref(), to.uri.as_str()), (Some("Reis, Philipp"), "sip:p.reis@example.org"));
}

#[test]
fn baddn_forgotten_quotes_are_inferred() {
    let m = good(BADDN);
    let (from, to) = (m.from().unwrap(), m.to().unwrap());
    assert_eq!((from.display.as_deref(), from.tag()), (Some("Gray, Elisha"), Some("bn15")));
    assert_eq!((to.display.as_deref(), to.uri.as_str()), (Some("Reis, Philipp"), "sip:p.reis@example.org"));
}

#[test]
fn badvers_another_version_is_a_505() {
    let error = refused(BADVERS);
    assert_eq!((error.kind.clone(), answer(&error)), (ParseErrorKind::Version, 505));
    assert_eq!(error.reason(), "Version Not Supported");
}

#[test]
fn mismatch01_cseq_of_another_method_is_a_400() {
    assert_eq!(fault(MISMATCH01), (400, "CSeq Method Mismatch"));
}

#[test]
fn mismatch02_cseq_of_another_method_is_a_400_for_an_unknown_method_too() {
    assert_eq!(fault(MISMATCH02), (400, "CSeq Method Mismatch"));
}

#[test]
fn bigcode_a_response_with_an_impossible_code_is_discarded() {
    let error = refused(BIGCODE);
    assert_eq!((error.kind.clone(), error.answerable().is_none()), (ParseErrorKind::Status, true));
}

// 3.2 Transaction layer

#[test]
fn badbranch_the_cookie_alone_identifies_no_transaction() {
    let via = good(BADBRANCH).top_via().unwrap();
    assert_eq!((via.branch.as_deref(), via.rfc3261_branch()), (Some("z9hG4bK"), None));
}

// 3.3 Application layer

#[test]
fn insuf_missing_headers_are_a_400() {
    assert_eq!(fault(INSUF), (400, "Missing From"));
    let m = message(INSUF);
    assert_eq!(m.call_id(), Err(HeaderError::Missing(HeaderName::CallId)));
    assert_eq!(m.to(), Err(HeaderError::Missing(HeaderName::To)));
    assert_eq!(m.top_via().unwrap().branch.as_deref(), Some("z9hG4bKin.1"));
}

#[test]
fn unkscm_an_unknown_scheme_reaches_the_user_agent() {
    let m = good(UNKSCM);
    let uri = Uri::from_text(m.request_uri().unwrap()).unwrap();
    assert_eq!(uri.scheme, Scheme::Other("schemeOfNobody".into()));
    assert_eq!(uri.user.as_deref(), Some("opaquestuff"));
}

#[test]
fn novelsc_a_foreign_scheme_reaches_the_user_agent() {
    let m = good(NOVELSC);
    assert_eq!(Uri::from_text(m.request_uri().unwrap()).unwrap().scheme, Scheme::Other("coap.tcp".into()));
}

#[test]
fn unksm2_unknown_schemes_in_headers_are_kept() {
    let m = good(UNKSM2);
    assert_eq!(m.to().unwrap().uri, "issn:03178471");
    assert_eq!(m.from().unwrap().parsed_uri().unwrap().scheme, Scheme::Other("gopher".into()));
    assert_eq!((m.from().unwrap().tag(), m.to().unwrap().tag()), (Some("um4"), None));
    assert_eq!(m.contact().unwrap().addr().unwrap().uri, "person:Joan_Doe");
}

#[test]
fn bext01_required_extensions_are_listed() {
    let m = good(BEXT01);
    assert_eq!(m.require().collect::<Vec<_>>(), ["unheardOf", "unheardOfToo"]);
    assert_eq!(m.list(HeaderName::ProxyRequire).collect::<Vec<_>>(), ["noProxyKnows", "norThisOne"]);
}

#[test]
fn invut_an_unknown_body_type_is_named() {
    let m = good(INVUT);
    assert_eq!(m.content_type().unwrap().essence, "application/formatOfNobody");
    assert_eq!(m.body, "<sound>\r\n <g711 port=\"443\"/>\r\n</sound>\r\n");
}

#[test]
fn regaut01_an_unknown_authorization_is_passed_on() {
    let m = good(REGAUT01);
    assert_eq!(m.header(HeaderName::Authorization).unwrap(), "SchemeOfNobody opaque=stuff");
}

#[test]
fn multi01_two_values_where_one_may_stand_are_a_400() {
    assert_eq!(fault(MULTI01), (400, "Duplicate From"));
}

#[test]
fn mcl01_two_lengths_that_differ_are_a_400() {
    let error = refused(MCL01);
    assert_eq!((error.kind.clone(), answer(&error)), (ParseErrorKind::ContentLength, 400));
}

#[test]
fn bcast_a_response_with_two_vias_shows_both() {
    let m = good(BCAST);
    let hosts: Vec<_> = m.vias().map(|v| Via::parse(&v).unwrap().host.to_string()).collect();
    assert_eq!(hosts, ["192.0.2.198", "255.255.255.255"]);
    assert_eq!(m.body, SDP);
}

#[test]
fn zeromf_zero_hops_are_a_number_like_others() {
    assert_eq!(good(ZEROMF).max_forwards(), Ok(0));
}

#[test]
fn cparam01_a_parameter_without_brackets_is_of_the_header() {
    let contact = good(CPARAM01).contact().unwrap();
    let contact = contact.addr().unwrap();
    assert!(contact.params.has("novelparam"));
    assert_eq!(contact.uri, "sip:+12125551212@gw.example.net");
}

#[test]
fn cparam02_a_parameter_in_brackets_is_of_the_uri() {
    let contact = good(CPARAM02).contact().unwrap();
    let contact = contact.addr().unwrap();
    assert!(!contact.params.has("novelparam"));
    assert!(contact.parsed_uri().unwrap().has_param("novelparam"));
}

#[test]
fn regescrt_headers_of_a_contact_uri_are_kept() {
    let contact = good(REGESCRT).contact().unwrap().addr().unwrap().parsed_uri().unwrap();
    let fields: Vec<_> = contact.header_fields().collect();
    assert_eq!(fields, [("Route".into(), "<sip:edge.example.com>".into())]);
}

#[test]
fn sdp01_what_is_accepted_reaches_the_user_agent() {
    let m = good(SDP01);
    assert_eq!(m.list(HeaderName::Accept).collect::<Vec<_>>(), ["text/ofNobody"]);
    assert_eq!(m.body, SDP);
}

// 3.4 Backward compatibility

#[test]
fn inv2543_an_old_invite_is_served() {
    let m = good(INV2543);
    assert_eq!((m.top_via().unwrap().branch, m.from().unwrap().tag()), (None, None));
    assert_eq!(m.max_forwards(), Err(HeaderError::Missing(HeaderName::MaxForwards)));
    assert_eq!(m.to().unwrap().params.get("user"), Some("phone"));
    assert_eq!(
        m.record_routes().unwrap()[0].parsed_uri().unwrap().param("maddr").as_deref(),
        Some("hop1.example.com")
    );
    assert_eq!(m.body, SDP);
}

// The whole corpus

#[test]
fn every_refused_request_can_be_answered() {
    for (name, raw) in ALL {
        let request = match parse_datagram(Bytes::from_static(raw), &Limits::default()) {
            Ok(message) if message.is_request() => message,
            Err(ParseError { salvage: Some(salvage), .. }) => *salvage,
            _ => continue,
        };
        let built =
            ResponseBuilder::to_request(&request, StatusCode::BAD_REQUEST, None).to_tag("t").build().unwrap();
        let response = parse_datagram(built, &Limits::default()).unwrap();
        assert_eq!(response.vias().collect::<Vec<_>>(), request.vias().collect::<Vec<_>>(), "{name}");
        for header in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            assert!(response.headers_of(&header).eq(request.headers_of(&header)), "{name} {header}");
        }
        let tag = request.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or("t".to_owned());
        if let Ok(to) = response.to() {
            assert_eq!(to.tag(), Some(tag.as_str()), "{name}");
        }
    }
}

#[test]
fn the_files_of_the_rfc_get_the_same_verdicts() {
    let Some(folder) = std::env::var_os("RFC4475_DIR") else {
        eprintln!("skipped: RFC4475_DIR is not set");
        return;
    };
    for (name, ours) in ALL {
        let path = std::path::Path::new(&folder).join(format!("{name}.dat"));
        let mut theirs = std::fs::read(&path).unwrap();
        if !theirs.windows(4).any(|w| w == b"\r\n\r\n") {
            theirs.extend_from_slice(b"\r\n"); // one copy of baddn lacks its empty line
        }
        assert_eq!(verdict(&theirs), verdict(ours), "{name}");
    }
}

/// What becomes of a datagram, in one word and its reason.
fn verdict(raw: &[u8]) -> String {
    match parse_datagram(Bytes::copy_from_slice(raw), &Limits::default()) {
        Err(error) if error.answerable().is_some() => {
            format!("refused {} {}", error.status(), error.reason())
        }
        Err(error) => format!("discarded {error}"),
        Ok(m) if m.is_request() => match validate_request(&m) {
            Ok(()) => format!("request {}", m.headers.len() > 4),
            Err(fault) => format!("fault {} {}", fault.status, fault.reason),
        },
        Ok(m) => format!("response {} {:?}", m.status().unwrap(), validate_response(&m)),
    }
}

fn message(raw: &'static [u8]) -> Message {
    parse_datagram(Bytes::from_static(raw), &Limits::default()).unwrap()
}

/// A message that passes every check.
fn good(raw: &'static [u8]) -> Message {
    let m = message(raw);
    if m.is_request() {
        assert_eq!(validate_request(&m), Ok(()));
    } else {
        assert_eq!(validate_response(&m), Ok(()));
    }
    m
}

fn refused(raw: &'static [u8]) -> ParseError {
    parse_datagram(Bytes::from_static(raw), &Limits::default()).unwrap_err()
}

/// The code of the answer that a refused request gets; the answer can be routed.
fn answer(error: &ParseError) -> u16 {
    assert!(error.answerable().is_some());
    error.status().as_u16()
}

fn fault(raw: &'static [u8]) -> (u16, &'static str) {
    let fault = validate_request(&message(raw)).unwrap_err();
    (fault.status.as_u16(), fault.reason)
}

fn request_line(m: &Message) -> (&str, &str) {
    (m.method().unwrap().as_str(), m.request_uri().unwrap().as_str())
}
