//! Messages as telephone networks send them: refused offers, requests outside of calls, several Via lines, record
//! routes, compact and folded headers, IPv6, changes within a call.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::pbx::{Invite, Pbx};
use common::script::{call_in, done, end, start};
use common::ws::{QUIET, WsClient};
use testkit::message::{Draft, Message};
use testkit::sdp;

#[test]
fn offer_that_cannot_be_answered_is_refused_with_488_and_no_client_hears_of_it() {
    let (relay, pbx, ws) = start("", &[]);
    for formats in [&[18][..], &[9, 101], &[101]] {
        let mut call = pbx.invite(relay.sip(), Invite { formats: formats.to_vec(), ..Invite::default() });
        call.expect_response(488);
        call.ack();
    }
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| draft.sdp("v=0\r\nnonsense"));
    call.expect_response(488);
    call.ack();
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| draft.body("text/plain", "hello"));
    let refusal = call.expect_response(415);
    assert_eq!(refusal.header("Accept"), Some("application/sdp"));
    call.ack();
    done(&pbx, [ws]);
}

#[test]
fn answer_follows_the_offer_in_payload_types_ptime_and_direction() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = pbx.invite_with(relay.sip(), Invite { formats: vec![8], ..Invite::default() }, |draft| {
        let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
            m=audio 20000 RTP/AVP 18 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\na=sendonly\r\n";
        draft.sdp(body)
    });
    let ok = call.expect_response(200);
    let session = ok.body().split_once("o=- ").unwrap().1.split_once(" IN").unwrap().0;
    let base = relay.rtp_range().0;
    assert_eq!(
        ok.body(),
        format!(
            "v=0\r\no=- {session} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {base} RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\n\
             a=fmtp:96 0-16\r\na=ptime:30\r\na=recvonly\r\n"
        )
    );
    call.ack();
    ws.expect("RING_ANS:");
    ws.expect("CALL_ANS:");
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn requests_outside_of_a_call_are_answered_as_they_deserve() {
    let (relay, pbx, ws) = start("", &[]);
    for method in
        ["OPTIONS", "BYE", "UPDATE", "CANCEL", "REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH", "NOSUCH"]
    {
        let answer = pbx.request(relay.sip(), method);
        let expected = match method {
            "OPTIONS" => 200,
            "BYE" | "UPDATE" | "CANCEL" => 481,
            _ => 405,
        };
        assert_eq!(answer.status(), Some(expected), "{method}: {answer}");
        if expected != 481 {
            let allowed = answer.values("Allow");
            assert!(
                ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"].iter().all(|m| allowed.contains(&(*m).into())),
                "{allowed:?}"
            );
        }
        if method == "OPTIONS" {
            assert_eq!(answer.header("Accept"), Some("application/sdp"));
        }
        assert!(answer.tag().is_some(), "{answer}");
    }
    let answer = pbx.call_required(&relay);
    assert_eq!(
        (answer.status(), answer.header("Unsupported")),
        (Some(420), Some("nobody-has-this")),
        "{answer}"
    );
    done(&pbx, [ws]);
}

#[test]
fn bye_and_reinvite_of_a_call_that_is_over_are_answered_481() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    call.bye();
    ws.expect("BYE:");
    let again = call.call.bye();
    call.send_request(&again);
    call.expect_response(481);
    let offer = sdp::audio(call.rtp.address(), &[0]);
    call.reinvite(&offer);
    call.expect_response(481);
    call.ack();
    done(&pbx, [ws]);
}

#[test]
fn all_via_lines_and_record_routes_come_back_and_our_bye_takes_the_route() {
    let (relay, pbx, mut ws) = start("", &[]);
    let route = format!("<sip:{};lr;ftag=x>", pbx.address());
    let far = "<sip:10.9.9.9:5080;lr>";
    // The caller's side of the route set is the proxies' business: its ACK comes to us as they would send it.
    let via = "SIP/2.0/UDP 10.9.9.9:5080;branch=z9hG4bKfar;received=10.1.1.1";
    let mut invite = None;
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| {
        let draft = draft.header("Via", via).header("Record-Route", &route).header("Record-Route", far);
        invite = Message::parse(&draft.to_bytes());
        draft
    });
    let ok = call.expect_response(200);
    let (vias, sent) = (ok.values("Via"), invite.unwrap().values("Via"));
    assert_eq!(vias.len(), 2, "{ok}");
    assert_eq!(vias[1], via);
    let top = sent[0].trim_end_matches(";rport");
    assert!(
        vias[0].starts_with(top) && vias[0].contains(&format!("rport={}", pbx.address().port())),
        "{vias:?}"
    );
    assert_eq!(ok.values("Record-Route"), [route.clone(), far.to_owned()]);
    let ack = call.call.ack(&ok);
    pbx.send_raw(relay.sip(), &ack.to_bytes());
    ws.expect("RING_ANS:");
    ws.expect("CALL_ANS:");
    ws.send("BYE");
    let bye = call.expect_request("BYE");
    assert_eq!(
        bye.values("Route"),
        [route, far.to_owned()],
        "in the order of the Record-Route (RFC 3261 §12.1.1)"
    );
    assert_eq!(bye.uri(), Some(format!("sip:0903383638@{}", pbx.address()).as_str()), "to the Contact");
    call.respond_to(&bye, 200, "OK");
    ws.expect("BYE:");
    done(&pbx, [ws]);
}

#[test]
fn compact_folded_and_oddly_written_headers_are_understood() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = pbx.invite_with(relay.sip(), Invite::default(), |draft| odd(&draft));
    let id = call.call_id();
    call.expect_response(200);
    call.ack();
    ws.expect_all(&[&format!("RING_ANS:0903383638##{id}"), &format!("CALL_ANS:{id}")]);
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn reinvite_is_answered_moves_the_media_and_can_hold_the_call() {
    let (relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = call_in(&relay, &pbx, &mut ws);
    let id = call.call_id();
    let moved = common::rtp_end::RtpEnd::bind(true);
    call.reinvite(&sdp::audio(moved.address(), &[0, 8, 101]));
    let ok = call.expect_response(200);
    assert_eq!(sdp::media_address(ok.body()).unwrap().port(), relay.rtp_range().0, "our port stays");
    call.ack();
    moved.expect_packets(3, common::WAIT);
    let hold = sdp::audio(moved.address(), &[0, 8, 101]).replace("a=sendrecv", "a=sendonly");
    call.reinvite(&hold);
    let ok = call.expect_response(200);
    assert!(sdp::attribute(ok.body(), "recvonly").is_some(), "{}", ok.body());
    call.ack();
    ws.expect_all(&[&format!("HOLD:{id}")]);
    call.reinvite(&sdp::audio(moved.address(), &[0, 8, 101]));
    call.expect_response(200);
    call.ack();
    ws.expect_all(&[&format!("RESUME:{id}")]);
    // What cannot be agreed on is refused, and the call goes on.
    call.reinvite(&sdp::audio(moved.address(), &[18]));
    call.expect_response(488);
    call.ack();
    assert!(ws.is_quiet(QUIET));
    end(call, &mut ws);
    done(&pbx, [ws]);
}

#[test]
fn call_over_ipv6_is_answered_and_ended_by_either_side() {
    let pbx = Pbx::at("[::1]:0".parse().unwrap());
    let server = pbx.settings();
    let settings = [("SIP_LOCAL_IP", "::1"), (server[0].0, &server[0].1), (server[1].0, &server[1].1)];
    let relay = common::relay::Relay::start(&settings);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut call = pbx.call(relay.sip(), Invite::default());
    let id = call.call_id();
    let wire = id.replace(':', "%3A");
    ws.expect_all(&[&format!("RING_ANS:0903383638##{wire}"), &format!("CALL_ANS:{wire}")]);
    assert!(call.rtp.to.unwrap().is_ipv6());
    call.rtp.expect_packets(3, common::WAIT);
    call.rtp.send_payload(&[0x55; 160 * 5]);
    ws.expect_rtp(1, common::WAIT);
    call.bye();
    ws.expect_all(&[&format!("BYE:{wire}")]);

    ws.send("CALL:0912341234");
    let mut call = pbx.expect_call();
    let port = pbx.address().port();
    assert_eq!(call.transcript()[0], format!("INVITE sip:0912341234@[::1]:{port} SIP/2.0"));
    let id = call.call_id();
    assert!(id.ends_with("@--1"), "no colons in our call ids: {id}");
    call.answer(&[0]);
    call.expect_request("ACK");
    ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    ws.send(&format!("BYE:{id}"));
    call.expect_bye();
    ws.expect_all(&[&format!("BYE:{id}")]);
    done(&pbx, [ws]);
}

#[test]
fn noise_on_the_sip_port_disturbs_nothing() {
    let (relay, pbx, mut ws) = start("", &[]);
    let call = call_in(&relay, &pbx, &mut ws);
    let mut rng = testkit::rng::Rng::new(7);
    for n in 0..500 {
        let length = rng.below(1 + 3 * n) as usize;
        let noise: Vec<u8> = (0..length).map(|_| rng.below(256) as u8).collect();
        pbx.send_raw(relay.sip(), &noise);
    }
    for text in
        ["\r\n\r\n", "INVITE\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", "INVITE sip:x SIP/2.0\r\nVia: x\r\n\r\n"]
    {
        pbx.send_raw(relay.sip(), text.as_bytes());
    }
    assert_eq!(pbx.request(relay.sip(), "OPTIONS").status(), Some(200));
    end(call, &mut ws);
    ws.finish();
}

// ---- helpers ----

impl Pbx {
    /// The answer to an INVITE that requires an extension.
    fn call_required(&self, relay: &common::relay::Relay) -> Message {
        let require = |draft: Draft| draft.header("Require", "nobody-has-this");
        let mut call = self.invite_with(relay.sip(), Invite::default(), require);
        let answer = call.expect_final();
        call.ack();
        answer
    }
}

/// The same message in compact forms, folded lines, odd case and odd blanks (RFC 3261 §7.3).
fn odd(draft: &Draft) -> Draft {
    let message = Message::parse(&draft.to_bytes()).unwrap();
    let mut odd = Draft::request("INVITE", message.uri().unwrap());
    for (name, short) in [
        ("Via", "v"),
        ("Max-Forwards", "MAX-FORWARDS  "),
        ("From", "f"),
        ("To", "t\t"),
        ("Call-ID", "i"),
        ("CSeq", "cseq"),
        ("Contact", "m"),
        ("Content-Type", "c"),
    ] {
        let value = message.header(name).unwrap();
        // Folded before every parameter, and between number and method.
        let value = value
            .replace(";tag", "\r\n ;tag")
            .replace(";branch", "\r\n\t ; branch")
            .replace("1 INVITE", "1\r\n   INVITE");
        odd = odd.header(short, value);
    }
    let mut odd = odd.body("application/sdp", message.body()).without("Content-Type");
    odd = odd.header("l", message.body().len());
    odd.header("Content-Length", message.body().len()).without("l")
}
