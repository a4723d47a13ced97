//! What a caller of the API may say of itself, why it hangs up, and where a 3xx sends it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod ua_support;

use sip::{CallError, Dial, DialError, EndCause, EndpointConfig, Event, Reason};
use ua_support::*;

fn to_bob() -> Dial {
    Dial::new("sip:bob@10.0.0.9", PEER.parse().unwrap(), sdp(OFFER))
}

/// The From of an INVITE, without its tag.
fn from_of(config: EndpointConfig, dial: Dial) -> String {
    let mut bench = Bench::with(config);
    bench.run(|e, now| e.dial(now, dial)).unwrap();
    let from = bench.next().header("From").to_owned();
    from.rsplit_once(";tag=").unwrap().0.to_owned()
}

fn ours() -> EndpointConfig {
    EndpointConfig::new(OURS.parse().unwrap())
}

#[test]
fn from_is_made_of_display_user_and_host() {
    let text = |text: &str| Some(text.to_owned());
    let named =
        || EndpointConfig { contact_user: text("relay"), from_host: text("pbx.example.com"), ..ours() };
    let rows = [
        (ours(), to_bob(), "<sip:10.0.0.5:5062>"),
        (ours(), Dial { from_user: text("1001"), ..to_bob() }, "<sip:1001@10.0.0.5:5062>"),
        (ours(), Dial { from_user: text("a b@c"), ..to_bob() }, "<sip:a%20b%40c@10.0.0.5:5062>"),
        (named(), to_bob(), "<sip:relay@pbx.example.com>"),
        (named(), Dial { from_user: text("+49301"), ..to_bob() }, "<sip:+49301@pbx.example.com>"),
        (named(), Dial { from_host: text("h:5070"), ..to_bob() }, "<sip:relay@h:5070>"),
        (
            named(),
            Dial { from_display: text("Zoë \"Z\" \\"), ..to_bob() },
            r#""Zoë \"Z\" \\" <sip:relay@pbx.example.com>"#,
        ),
        (named(), Dial { from_display: text(""), ..to_bob() }, "<sip:relay@pbx.example.com>"),
        (named(), Dial { from: text("sip:x@y"), from_user: text("z"), ..to_bob() }, "<sip:x@y>"),
    ];
    for (config, dial, from) in rows {
        assert_eq!(from_of(config, dial), from);
    }
}

#[test]
fn each_peer_is_told_the_address_that_we_have_toward_it() {
    let toward =
        sip::Toward::new(|peer| (peer.ip().to_string() == "10.0.0.9").then(|| [10, 0, 0, 77].into()));
    let config = EndpointConfig { toward: Some(toward), ..ours() };
    let mut bench = Bench::with(config.clone());
    bench.run(|e, now| e.dial(now, to_bob())).unwrap();
    let invite = bench.next();
    assert!(invite.header("Via").starts_with("SIP/2.0/UDP 10.0.0.77:5062;"), "{invite:?}");
    assert_eq!(invite.header("Contact"), "<sip:10.0.0.77:5062>");
    assert!(invite.header("From").starts_with("<sip:10.0.0.77:5062>"), "{invite:?}");

    let (call, _) = bench.inbound_call();
    bench.run(|e, now| e.hangup(now, call)).unwrap();
    let bye = bench.next();
    assert!(bye.header("Via").starts_with("SIP/2.0/UDP 10.0.0.77:5062;"), "{bye:?}");

    let mut bench = Bench::with(config);
    bench.receive_from("10.0.0.8:5060", &self::invite());
    bench.next();
    let Event::Incoming(incoming) = bench.event() else { panic!("no call") };
    bench.run(|e, now| e.ringing(now, incoming.call)).unwrap();
    assert_eq!(bench.next().header("Contact"), format!("<sip:{OURS}>"), "as ever to those it does not know");
}

#[test]
fn asserted_identity_and_own_headers_are_sent_and_repeated_after_a_challenge() {
    let mut bench = Bench::new();
    let dial = Dial {
        asserted_identity: Some("sip:+49301@trunk".into()),
        headers: vec![("X-Room-ID".into(), "42".into()), ("Subject".into(), "a, b".into())],
        credentials: Some(sip::Credentials { username: "u".into(), password: "p".into() }),
        ..to_bob()
    };
    bench.run(|e, now| e.dial(now, dial)).unwrap();
    let first = bench.next();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    bench.receive(&first.response("407 Proxy Authentication Required", "p", challenge, ""));
    assert!(bench.next().start().starts_with("ACK "));
    let second = bench.next();
    for invite in [&first, &second] {
        assert_eq!(invite.headers("P-Asserted-Identity"), ["<sip:+49301@trunk>"]);
        assert_eq!((invite.header("X-Room-ID"), invite.header("Subject")), ("42", "a, b"));
    }
    assert!(second.header("Proxy-Authorization").contains("username=\"u\""));
    assert_eq!((second.header("CSeq"), second.header("From")), ("2 INVITE", first.header("From")));
    assert_ne!(second.branch(), first.branch());
}

#[test]
fn texts_of_the_caller_stay_in_their_place() {
    let evil = || Some("a\r\nX-Evil: b".to_owned());
    let mut bench = Bench::new();
    for (field, dial) in [
        ("from_display", Dial { from_display: evil(), ..to_bob() }),
        ("from_user", Dial { from_user: evil(), ..to_bob() }),
        ("from_user", Dial { from_user: Some(String::new()), ..to_bob() }),
        ("from_host", Dial { from_host: evil(), ..to_bob() }),
        ("from_host", Dial { from_host: Some("h>;tag=1".into()), ..to_bob() }),
        ("asserted_identity", Dial { asserted_identity: evil(), ..to_bob() }),
        ("asserted_identity", Dial { asserted_identity: Some("+49301".into()), ..to_bob() }),
    ] {
        assert_eq!(bench.run(|e, now| e.dial(now, dial)), Err(DialError::Invalid { field }));
    }
    let (call, _) = bench.outbound_call();
    let refused = bench.run(|e, now| e.hangup_with(now, call, Reason::q850(16).text("a\r\nX-Evil: b")));
    assert_eq!(refused, Err(CallError::Invalid { field: "reason" }));
    bench.assert_quiet();
    assert_eq!(bench.endpoint.stats().calls, 1);
}

const CLEARING: &str = "Q.850;cause=16;text=\"Normal call clearing\"";

fn clearing() -> Reason {
    Reason::q850(16).text("Normal call clearing")
}

#[test]
fn reason_goes_with_the_bye() {
    let mut bench = Bench::new();
    let (call, _) = bench.outbound_call();
    bench.run(|e, now| e.hangup_with(now, call, clearing())).unwrap();
    let bye = bench.next();
    assert_eq!((bye.start(), bye.header("Reason")), ("BYE sip:bob@10.0.0.9:5070 SIP/2.0", CLEARING));
    assert_eq!(bench.event(), Event::Ended { call, cause: EndCause::LocalBye });
    assert_eq!(bench.run(|e, now| e.hangup_with(now, call, clearing())), Err(CallError::Unknown));
}

#[test]
fn reason_goes_with_the_bye_that_waits_for_the_ack() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.run(|e, now| e.answer(now, call, sdp(ANSWER))).unwrap();
    let tag = bench.sent.back().unwrap().to_tag();
    bench.sent.clear();
    bench.run(|e, now| e.hangup_with(now, call, clearing())).unwrap();
    assert!(bench.sent.is_empty());
    bench.receive(&in_dialog("ACK", 1, &tag, "a1"));
    assert_eq!(bench.next().header("Reason"), CLEARING);
}

#[test]
fn reason_goes_with_the_cancel_at_once_or_later_and_with_the_bye_of_a_crossing_answer() {
    for rings in [true, false] {
        let mut bench = Bench::new();
        let call = bench.dial("1234567");
        let invite = bench.next();
        if rings {
            bench.receive(&invite.response("180 Ringing", "peer", "", ""));
        }
        bench
            .run(|e, now| e.hangup_with(now, call, Reason::sip(200).text("Call completed elsewhere")))
            .unwrap();
        if !rings {
            assert!(bench.sent.is_empty(), "no CANCEL before a provisional response");
            bench.receive(&invite.response("180 Ringing", "peer", "", ""));
        }
        let cancel = bench.next();
        let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\"";
        assert!(cancel.start().starts_with("CANCEL "));
        assert_eq!((cancel.header("Reason"), cancel.header("Via")), (elsewhere, invite.header("Via")));
        bench.receive(&invite.response("200 OK", "peer", ANSWER_HEADERS, ANSWER));
        assert!(bench.next().start().starts_with("ACK "));
        assert_eq!(bench.next().header("Reason"), elsewhere);
    }
}

#[test]
fn reason_goes_with_the_refusal_of_a_ringing_call() {
    let mut bench = Bench::new();
    let call = bench.ringing_call();
    bench.sent.clear();
    bench.run(|e, now| e.hangup_with(now, call, Reason::q850(21))).unwrap();
    let refusal = bench.next();
    assert_eq!((refusal.start(), refusal.header("Reason")), ("SIP/2.0 603 Decline", "Q.850;cause=21"));
}

#[test]
fn challenged_bye_keeps_its_reason() {
    let mut bench = Bench::new();
    let credentials = Some(sip::Credentials { username: "u".into(), password: "p".into() });
    let call = bench.run(|e, now| e.dial(now, Dial { credentials, ..to_bob() })).unwrap();
    let invite = bench.next();
    bench.receive(&invite.response("200 OK", "peer", ANSWER_HEADERS, ANSWER));
    bench.sent.clear();
    bench.run(|e, now| e.hangup_with(now, call, clearing())).unwrap();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    let first = bench.next();
    bench.receive(&first.response("407 Proxy Authentication Required", "", challenge, ""));
    let second = bench.next();
    assert_eq!(second.header("Reason"), CLEARING);
    assert!(second.header("Proxy-Authorization").starts_with("Digest "));
}

#[test]
fn redirection_names_its_contacts_best_first() {
    let contacts = |status: &str, headers: &str| {
        let mut bench = Bench::new();
        bench.dial("1234567");
        let invite = bench.next();
        bench.receive(&invite.response(status, "peer", headers, ""));
        let Event::Ended { cause: EndCause::Rejected { contacts, .. }, .. } = bench.event() else { panic!() };
        assert!(bench.next().start().starts_with("ACK "));
        bench.assert_quiet();
        contacts
    };
    let headers = "Contact: <sip:late@h>;q=0.2, \"B\" <sip:best@h:5070;x=1>;q=0.9\r\nm: <tel:+123>;q=0.5\r\n";
    assert_eq!(contacts("302 Moved Temporarily", headers), ["sip:best@h:5070;x=1", "tel:+123", "sip:late@h"]);
    let odd = "Contact: <sip:a@h?Route=%3Csip:evil%3E>, <http://h/>, <mailto:a@h>, <sip:b@h>;q=x\r\nContact: nonsense\r\n";
    assert_eq!(contacts("301 Moved Permanently", odd), ["sip:a@h", "sip:b@h"]);
    let many = "Contact: <sip:a@h>\r\n".repeat(40);
    assert_eq!(contacts("300 Multiple Choices", &many).len(), 8);
    let long = format!("Contact: <sip:{}@h>\r\n", "a".repeat(600));
    assert_eq!(contacts("302 Moved Temporarily", &long), Vec::<String>::new());
    assert_eq!(contacts("302 Moved Temporarily", ""), Vec::<String>::new());
    assert_eq!(contacts("486 Busy Here", "Contact: <sip:a@h>\r\n"), Vec::<String>::new());
}
