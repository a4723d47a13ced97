//! Calls out: from `CALL` to the end, as the telephone system and the client see it (A-74 to A-78, C-03 to C-05).

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::md5::md5;
use common::pbx::Pbx;
use common::relay::Relay;
use common::scene;
use common::script::{dial, done, end_cancelled, refuse, start};
use common::ws::{QUIET, WsClient};
use testkit::message::Message;
use testkit::sdp;

#[test]
fn invite_is_written_as_specified_and_comes_from_the_sip_port() {
    let pbx = Pbx::at(own_address());
    let server = pbx.address().ip();
    let relay = scene::start(&pbx, &[]);
    let mut ws = WsClient::connect(relay.ws(), "");
    ws.send("CALL:0912341234");
    let mut call = pbx.expect_call();
    let text = call.invite_text();
    let (local, base) = (relay.sip(), relay.rtp_range().0);
    assert_eq!(call.relay(), local, "sent from the port that Via and Contact name");
    let branch = between(&text, "branch=z9hG4bK", ";rport");
    let tag = between(&text, ";tag=", "\r\n");
    let uuid = between(&text, "Call-ID: ", "@");
    let session = between(&text, "o=relay ", " IN");
    let (id, version) = session.split_once(' ').unwrap();
    assert!(branch.len() >= 8 && tag.len() >= 8, "{branch} {tag}");
    assert!(uuid.len() == 36 && uuid.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{uuid}");
    assert!(id.parse::<u64>().is_ok() && version.parse::<u64>().is_ok(), "{session}");
    let body = format!(
        "v=0\r\no=relay {session} IN IP4 127.0.0.1\r\ns=Call\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {base} RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    let length = body.len();
    let expected = format!(
        "INVITE sip:0912341234@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{branch};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{local}>;tag={tag}\r\nTo: <sip:0912341234@{server}>\r\n\
         Call-ID: {uuid}@127.0.0.1\r\nCSeq: 1 INVITE\r\nContact: <sip:{local}>\r\n\
         User-Agent: SIP-Relay-Server/1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY\r\n\
         Supported: timer, 100rel\r\nSession-Expires: 1800\r\nMin-SE: 90\r\n\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    assert_eq!(text, expected);
    refuse(&mut call, 486, "Busy Here");
    ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id()), "CALL_FAILED:486 Busy Here"]);
    done(&pbx, [ws]);
}

#[test]
fn call_to_where_no_way_leads_fails_at_once() {
    // From the loopback address nothing leaves this machine.
    let relay = Relay::start(&[("SIP_SERVER_IP", "192.0.2.1")]);
    let mut ws = WsClient::connect(relay.ws(), "mode=multi");
    ws.send("CALL:0912341234");
    let calling = ws.expect("CALLING:0912341234##");
    let id = calling.rsplit("##").next().unwrap();
    ws.expect_all(&[&format!("CALL_FAILED:503 Service Unavailable##{id}")]);
    ws.finish();
}

#[test]
fn call_rings_is_answered_and_ended_by_the_far_end() {
    let (relay, pbx, mut ws) = start("", &[]);
    let mut call = dial(&pbx, &ws);
    call.respond(100, "Trying");
    call.respond(180, "Ringing");
    call.respond(180, "Ringing");
    call.respond(183, "Session Progress");
    let id = call.call_id();
    ws.expect_all(&[&format!("RING_ANS:0912341234##{id}")]);
    call.answer(&[8, 101]);
    let ack = call.expect_request("ACK");
    assert_eq!(ack.cseq(), Some((1, "ACK")));
    assert_eq!(ack.uri(), Some(format!("sip:0903383638@{}", pbx.address()).as_str()), "to the Contact");
    assert_eq!(ack.body(), "");
    ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    let packet = &call.rtp.expect_packets(5, common::WAIT)[4];
    assert_eq!((packet.packet.payload_type, packet.packet.payload.len()), (8, 160), "in the answer's codec");
    assert_eq!(packet.from.port(), relay.rtp_range().0);

    // The 200 comes again, as when the ACK was lost: the ACK comes again, and nothing else happens.
    let acks = pbx.seen_again();
    let ok = call.call.respond(200, "OK").sdp(&sdp::audio(call.rtp.address(), &[8, 101]));
    call.send_response(&ok);
    assert!(common::eventually(common::WAIT, || pbx.seen_again() > acks), "the same ACK again");
    assert!(ws.is_quiet(QUIET));
    let bye = call.call.bye();
    call.send_request(&bye);
    call.expect_response(200);
    ws.expect_all(&[&format!("BYE:{id}")]);
    done(&pbx, [ws]);
}

#[test]
fn multi_client_learns_the_call_id_at_once_and_with_each_failure() {
    let (_relay, pbx, mut ws) = start("mode=multi", &[]);
    let mut call = dial(&pbx, &ws);
    let id = call.call_id();
    ws.expect_all(&[&format!("CALLING:0912341234##{id}")]);
    refuse(&mut call, 486, "Busy Here");
    ws.expect_all(&[&format!("CALL_IGNORE:{id}"), &format!("CALL_FAILED:486 Busy Here##{id}")]);
    ws.send("CALL:123");
    ws.expect_all(&["CALL_FAILED:484 Address Incomplete"]);
    done(&pbx, [ws]);
}

#[test]
fn refusals_are_acknowledged_and_named_and_only_some_are_ignores() {
    let (_relay, pbx, mut ws) = start("", &[]);
    let cases = [
        (486, "Busy Here", true),
        (480, "Temporarily Unavailable", true),
        (408, "Request Timeout", true),
        (487, "Request Terminated", true),
        (600, "Busy Everywhere", true),
        (603, "Decline", true),
        (404, "Not Found", false),
        (302, "Moved Temporarily", false),
        (503, "Service Unavailable", false),
        (500, "Own Words: here", false),
    ];
    for (status, reason, ignored) in cases {
        let mut call = dial(&pbx, &ws);
        let invite = Message::parse(call.invite_text().as_bytes()).unwrap();
        refuse(&mut call, status, reason);
        assert_eq!(call.transcript().len(), 2, "INVITE and ACK, no response: {:?}", call.transcript());
        if ignored {
            ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id())]);
        }
        ws.expect_all(&[&format!("CALL_FAILED:{status} {reason}")]);
        assert!(invite.branch().is_some());
    }
    done(&pbx, [ws]);
}

#[test]
fn ack_of_a_refusal_repeats_the_branch_and_comes_again_with_the_refusal() {
    let (_relay, pbx, mut ws) = start("", &[]);
    let mut call = dial(&pbx, &ws);
    let invite = Message::parse(call.invite_text().as_bytes()).unwrap();
    call.respond(180, "Ringing");
    ws.expect("RING_ANS:");
    let busy = call.call.respond(486, "Busy Here");
    call.send_response(&busy);
    let ack = call.expect_request("ACK");
    assert_eq!((ack.branch(), ack.uri(), ack.cseq()), (invite.branch(), invite.uri(), Some((1, "ACK"))));
    assert_eq!(ack.tag(), Message::parse(&busy.to_bytes()).unwrap().tag());
    ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id()), "CALL_FAILED:486 Busy Here"]);
    call.send_response(&busy);
    assert!(common::eventually(common::WAIT, || pbx.seen_again() == 1), "the ACK again");
    done(&pbx, [ws]);
}

#[test]
fn unauthorized_invite_comes_again_with_the_digest_and_only_once() {
    for (status, challenge, answer) in
        [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")]
    {
        let pbx = Pbx::new();
        let relay = scene::start(&pbx, &[("SIP_USERNAME", "alice"), ("SIP_PASSWORD", "s3cret")]);
        let mut ws = WsClient::connect(relay.ws(), "");
        let mut call = dial(&pbx, &ws);
        let from = Message::parse(call.invite_text().as_bytes()).unwrap().header("From").unwrap().to_owned();
        assert!(from.starts_with("<sip:alice@127.0.0.1>;tag="), "{from}");
        let value = "Digest realm=\"pbx\", nonce=\"n0nce\", algorithm=MD5, qop=\"auth\", opaque=\"o\"";
        let refusal = call.call.respond(status, "Unauthorized").header(challenge, value);
        call.send_response(&refusal);
        call.expect_request("ACK");
        let again = call.expect_request("INVITE");
        assert_eq!(again.cseq(), Some((2, "INVITE")));
        assert_eq!(again.header("From"), Some(from.as_str()), "the same call");
        assert_digest(again.header(answer).expect(answer), again.uri().unwrap());
        call.respond(180, "Ringing");
        let id = call.call_id();
        ws.expect_all(&[&format!("RING_ANS:0912341234##{id}")]);
        call.answer(&[0]);
        call.expect_request("ACK");
        ws.expect_all(&[&format!("CALL_ANS:{id}")]);
        call.bye();
        ws.expect_all(&[&format!("BYE:{id}")]);

        // Credentials that are refused are not sent for ever.
        let mut call = dial(&pbx, &ws);
        for _ in 0..2 {
            let refusal = call.call.respond(status, "Unauthorized").header(challenge, value);
            call.send_response(&refusal);
            call.expect_request("ACK");
            if call.transcript().iter().filter(|line| line.starts_with("INVITE")).count() < 2 {
                call.expect_request("INVITE");
            }
        }
        assert!(call.is_quiet(QUIET), "{:?}", call.transcript());
        ws.expect_all(&[&format!("CALL_FAILED:{status} Unauthorized")]);
        done(&pbx, [ws]);
    }
}

#[test]
fn unanswered_call_is_cancelled_and_fails_with_408() {
    for rings in [true, false] {
        let pbx = Pbx::new();
        let relay = scene::start(&pbx, &[("RELAY_INVITE_TIMEOUT", "1")]);
        let mut ws = WsClient::connect(relay.ws(), "");
        let start = Instant::now();
        let mut call = dial(&pbx, &ws);
        let invite = Message::parse(call.invite_text().as_bytes()).unwrap();
        call.respond(100, "Trying");
        if rings {
            call.respond(180, "Ringing");
            ws.expect("RING_ANS:");
        }
        let cancel = call.expect_request("CANCEL");
        let after = start.elapsed();
        assert!(after > Duration::from_millis(950) && after < Duration::from_secs(3), "after {after:?}");
        assert_cancels(&cancel, &invite);
        end_cancelled(&mut call, &cancel);
        ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id()), "CALL_FAILED:408 Request Timeout"]);
        done(&pbx, [ws]);
    }
}

#[test]
fn numbers_of_7_to_15_digits_are_called_and_others_fail_with_484() {
    let (_relay, pbx, mut ws) = start("", &[]);
    for number in ["1234567", "123456789012345", "+1234567", "+123456789012345", "0912341234"] {
        ws.send(&format!("CALL:{number}"));
        let mut call = pbx.expect_call();
        let uri = format!("INVITE sip:{number}@127.0.0.1:{} SIP/2.0", pbx.address().port());
        assert_eq!(call.transcript()[0], uri);
        refuse(&mut call, 486, "Busy Here");
        ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id()), "CALL_FAILED:486 Busy Here"]);
    }
    let wrong = [
        "123456",
        "1234567890123456",
        "+123456",
        "++1234567",
        "12345678a",
        "abcdefgh",
        "０９１２３４１２３４",
        "0912341234 ",
        " 0912341234",
        "0912341234##x",
        "0912341234;x=y",
        "0912341234@evil",
        "",
        "+",
        "0912 341234",
        "0912341234\n1",
        "0912341234%0d%0a",
    ];
    for number in wrong {
        ws.send(&format!("CALL:{number}"));
        ws.expect_all(&["CALL_FAILED:484 Address Incomplete"]);
    }
    let mut call = dial(&pbx, &ws);
    refuse(&mut call, 603, "Decline");
    ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id()), "CALL_FAILED:603 Decline"]);
    done(&pbx, [ws]);
}

#[test]
fn hanging_up_before_the_answer_cancels_and_fails_once() {
    for form in ["BYE", "BYE:{id}", "HANGUP", "HANGUP:{id}"] {
        let (_relay, pbx, mut ws) = start("", &[]);
        let mut call = dial(&pbx, &ws);
        let invite = Message::parse(call.invite_text().as_bytes()).unwrap();
        call.respond(180, "Ringing");
        ws.expect("RING_ANS:");
        ws.send(&form.replace("{id}", &call.call_id()));
        let cancel = call.expect_request("CANCEL");
        assert_cancels(&cancel, &invite);
        end_cancelled(&mut call, &cancel);
        ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id()), "CALL_FAILED:487 Request Terminated"]);
        done(&pbx, [ws]);
    }
}

#[test]
fn cancel_waits_for_the_first_provisional_response() {
    let (_relay, pbx, mut ws) = start("", &[]);
    let mut call = dial(&pbx, &ws);
    ws.send("BYE");
    // RFC 3261 §9.1: no CANCEL before anything came back.
    assert!(call.is_quiet(QUIET), "{:?}", call.transcript());
    call.respond(180, "Ringing");
    let cancel = call.expect_request("CANCEL");
    end_cancelled(&mut call, &cancel);
    ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id()), "CALL_FAILED:487 Request Terminated"]);
    done(&pbx, [ws]);
}

#[test]
fn answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let (_relay, pbx, mut ws) = start("", &[]);
    let mut call = dial(&pbx, &ws);
    call.respond(180, "Ringing");
    ws.expect("RING_ANS:");
    ws.send("HANGUP");
    let cancel = call.expect_request("CANCEL");
    call.answer(&[0]);
    call.respond_to(&cancel, 200, "OK");
    call.expect_request("ACK");
    call.expect_bye();
    ws.expect_all(&[&format!("CALL_IGNORE:{}", call.call_id()), "CALL_FAILED:487 Request Terminated"]);
    done(&pbx, [ws]);
}

#[test]
fn early_media_rings_once_and_is_not_an_answer() {
    let (_relay, pbx, mut ws) = start("", &[]);
    let mut call = dial(&pbx, &ws);
    let id = call.call_id();
    let early = call.call.respond(183, "Session Progress").sdp(&sdp::audio(call.rtp.address(), &[0, 101]));
    call.send_response(&early);
    ws.expect_all(&[&format!("RING_ANS:0912341234##{id}")]);
    call.rtp.payload_type = 0;
    call.rtp.send_payload(&[0x55; 160 * 10]);
    call.respond(180, "Ringing");
    assert!(ws.is_quiet(QUIET));
    let audio = ws.transcript().iter().filter(|(_, m)| m.is_rtp()).count();
    assert_eq!(audio, 0, "no RTP before CALL_ANS");
    call.answer(&[0, 101]);
    call.expect_request("ACK");
    ws.expect_all(&[&format!("CALL_ANS:{id}")]);
    call.rtp.send_payload(&[0x55; 160 * 5]);
    ws.expect_rtp(1, common::WAIT);
    call.bye();
    ws.expect_all(&[&format!("BYE:{id}")]);
    done(&pbx, [ws]);
}

#[test]
fn answer_without_a_usable_codec_is_acknowledged_ended_and_fails_with_488() {
    for body in [Some(&[18][..]), Some(&[9]), None] {
        let (_relay, pbx, mut ws) = start("", &[]);
        let mut call = dial(&pbx, &ws);
        let ok = call.call.respond(200, "OK");
        let ok = body.map_or(ok.clone(), |formats| ok.sdp(&sdp::audio(call.rtp.address(), formats)));
        call.send_response(&ok);
        call.expect_request("ACK");
        call.expect_bye();
        let failed = ws.expect("CALL_FAILED:488 ");
        assert_eq!(failed, "CALL_FAILED:488 Not Acceptable Here");
        done(&pbx, [ws]);
    }
}

#[test]
fn telephone_system_that_is_not_there_fails_the_call() {
    let gone = Pbx::new();
    let relay = scene::start(&gone, &[("RELAY_INVITE_TIMEOUT", "1")]);
    drop(gone);
    let mut ws = WsClient::connect(relay.ws(), "");
    ws.send("CALL:0912341234");
    // Nothing can be cancelled where nothing ever answered.
    let ignore = ws.expect("CALL_IGNORE:");
    assert!(ignore.len() > "CALL_IGNORE:".len());
    ws.expect_all(&["CALL_FAILED:408 Request Timeout"]);
    ws.finish();
}

/// RFC 3261 §9.1: what a CANCEL shares with its INVITE.
fn assert_cancels(cancel: &Message, invite: &Message) {
    assert_eq!(cancel.branch(), invite.branch());
    assert_eq!((cancel.uri(), cancel.cseq()), (invite.uri(), Some((1, "CANCEL"))));
    for name in ["From", "To", "Call-ID"] {
        assert_eq!(cancel.header(name), invite.header(name));
    }
}

/// RFC 2617 §3.2.2.1 with `qop=auth`.
fn assert_digest(value: &str, uri: &str) {
    let field = |name: &str| {
        let list = value.strip_prefix("Digest ").unwrap().split(',').map(str::trim);
        let of = |part: &&str| part.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        let part = list.clone().find(of).unwrap_or_else(|| panic!("no {name} in {value}"));
        part[name.len() + 1..].trim_matches('"').to_owned()
    };
    for (name, expected) in [
        ("username", "alice"),
        ("realm", "pbx"),
        ("nonce", "n0nce"),
        ("opaque", "o"),
        ("qop", "auth"),
        ("nc", "00000001"),
    ] {
        assert_eq!(field(name), expected, "{value}");
    }
    assert_eq!(field("uri"), uri);
    let (a1, a2) = (md5("alice:pbx:s3cret"), md5(&format!("INVITE:{uri}")));
    let expected = md5(&format!("{a1}:n0nce:00000001:{}:auth:{a2}", field("cnonce")));
    assert_eq!(field("response"), expected);
}

/// The text between two others.
fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}")).1;
    rest.split_once(after).unwrap().0.to_owned()
}

/// Port 5060 of a loopback address that no other test uses.
fn own_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, b, c, _] = std::process::id().to_be_bytes();
    let [.., low] = std::process::id().to_be_bytes();
    let n = NEXT.fetch_add(1, Ordering::Relaxed) as u8;
    SocketAddr::from(([127, 16 + (b ^ n) % 200, c, low.max(1)], 5060))
}
