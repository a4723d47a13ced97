//! Calls of a client of the library, out and in: what is on the wire, and which states the program sees.

// Helpers of tests are test code, too.
// Tests that are skipped say why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use common::pbx::{Invite, Pbx, PbxCall};
use common::registrar::{Registrar, digest, parameter};
use common::sip_client::{self, builder, connected, expect_state, outbound, states};
use common::{WAIT, eventually, free_ports};
use sip_relay::client::blocking::SimpleSipClient;
use sip_relay::client::{CallState, Codec, SipClientError};
use testkit::message::{Message, parameter as parameter_of};
use testkit::sdp;

use CallState::{Connected, Idle, Inviting, Ringing, Streaming};

fn address_of(client: &SimpleSipClient) -> std::net::SocketAddr {
    client.call_status().local_sip.unwrap()
}

/// Calls the client; 180 has come.
fn ring(pbx: &Pbx, client: &SimpleSipClient) -> PbxCall {
    let mut call = pbx.invite(address_of(client), Invite { formats: vec![0, 101], ..Invite::default() });
    let ringing = call.expect_response(180);
    assert!(ringing.tag().is_some(), "{ringing}");
    expect_state(client, Ringing);
    call
}

#[test]
fn invite_offers_every_codec_with_its_map() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    assert_eq!(client.make_call("1234"), Ok(true));
    let call = pbx.expect_call();
    let invite = Message::parse(call.invite_text().as_bytes()).unwrap();
    assert_eq!(invite.uri(), Some(&*format!("sip:1234@{}", pbx.address())));
    assert_eq!(sdp::formats(invite.body()), [9, 0, 8, 101], "{invite}");
    for line in [
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
    ] {
        assert!(invite.body().lines().any(|l| l == line), "no {line} in {invite}");
    }
    assert!(invite.body().contains("a=fmtp:101 0-16"), "{invite}");
    assert!(invite.header("From").unwrap().contains("sip:1001@127.0.0.1"), "{invite}");
    assert!(
        invite.header("Contact").unwrap().contains(&format!("sip:1001@{}", address_of(&client))),
        "{invite}"
    );
    let port = sdp::media_address(invite.body()).unwrap().port();
    assert!(port.is_multiple_of(2) && (10_000..20_000).contains(&port), "{invite}");
}

#[test]
fn uri_is_called_as_it_is_through_the_server_and_nonsense_is_not() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx).codecs([Codec::Pcma]));
    for wrong in ["", "12 34", "1\r\nX: y", "http://a"] {
        let error = client.make_call(wrong).unwrap_err();
        assert_eq!(error, SipClientError::InvalidDestination(wrong.to_owned()));
    }
    assert_eq!(client.make_call("sip:bob@example.com:5999"), Ok(true));
    let call = pbx.expect_call();
    assert!(
        call.invite_text().starts_with("INVITE sip:bob@example.com:5999 SIP/2.0\r\n"),
        "{}",
        call.invite_text()
    );
    assert_eq!(sdp::formats(&call.invite_text()), [8, 101]);
    assert_eq!(client.make_call("1234"), Err(SipClientError::Busy));
    assert!(
        !eventually(Duration::from_millis(200), || !pbx.unexpected().is_empty()),
        "{:?}",
        pbx.unexpected()
    );
}

#[test]
fn challenge_to_a_call_is_answered() {
    for (status, challenge, answer) in
        [(407, "Proxy-Authenticate", "Proxy-Authorization"), (401, "WWW-Authenticate", "Authorization")]
    {
        let pbx = Pbx::new();
        let client = connected(builder(&pbx));
        assert_eq!(client.make_call("1234"), Ok(true));
        let mut call = pbx.expect_call();
        let value = "Digest realm=\"r\", nonce=\"n1\", algorithm=MD5, qop=\"auth\", opaque=\"o\"";
        let refusal = call.call.respond(status, "Who?").header(challenge, value);
        call.send_response(&refusal);
        call.expect_request("ACK");
        let again = call.expect_request("INVITE");
        assert_eq!(again.cseq(), Some((2, "INVITE")));
        let answer = again.header(answer).unwrap();
        assert_eq!(parameter(answer, "response"), Some(digest(answer, "INVITE", "pw")), "{answer}");
        assert_eq!(parameter(answer, "opaque").as_deref(), Some("o"));
        assert_eq!(client.call_state(), Inviting);
        call.answer(&[0]);
        call.expect_request("ACK");
        expect_state(&client, Connected);
    }
}

#[test]
fn states_are_seen_in_order_and_the_ack_goes_where_the_200_says() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let seen = states(&client);
    assert_eq!(client.make_call("1234"), Ok(true));
    assert_eq!(client.call_state(), Inviting);
    let mut call = pbx.expect_call();
    call.respond(180, "Ringing");
    seen.wait(Instant::now() + WAIT, |seen| seen.contains(&Ringing).then_some(())).expect("it rings");
    assert_eq!(client.negotiated_codec(), None);

    // The 200 comes with another Contact than where the INVITE went.
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    elsewhere.set_read_timeout(Some(WAIT)).unwrap();
    let contact = format!("<sip:over-there@{}>", elsewhere.local_addr().unwrap());
    let ok =
        call.call.respond(200, "OK").replace("Contact", contact).sdp(&sdp::audio(call.rtp.address(), &[0]));
    call.send_response(&ok);
    let mut buffer = [0; 2048];
    let (n, _) = elsewhere.recv_from(&mut buffer).expect("the ACK");
    let ack = Message::parse(&buffer[..n]).unwrap();
    assert_eq!(ack.method(), Some("ACK"));
    assert_eq!(ack.uri(), Some(&*format!("sip:over-there@{}", elsewhere.local_addr().unwrap())));
    let ok = Message::parse(&ok.to_bytes()).unwrap();
    assert_eq!((ack.tag(), ack.from_tag()), (ok.tag(), ok.from_tag()));
    seen.wait(Instant::now() + WAIT, |seen| seen.contains(&Connected).then_some(())).expect("it is up");
    seen.with(|seen| assert_eq!(*seen, [Idle, Inviting, Ringing, Connected]));
    client.hangup_call().unwrap();
}

#[test]
fn connected_is_seen_although_audio_comes_with_the_200() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let seen = states(&client);
    assert_eq!(client.make_call("1234"), Ok(true));
    let mut call = pbx.expect_call();
    call.answer(&[0]);
    let talking = thread::spawn(move || {
        call.rtp.send_payload(&[0x55; 160 * 50]);
        call
    });
    let mut polled = Vec::new();
    let begun = Instant::now();
    // As the documented example does: ten times a second.
    while client.call_state() != Streaming && begun.elapsed() < WAIT {
        polled.push(client.call_state().value());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(polled.contains(&"connected"), "{polled:?}");
    assert_eq!(client.call_state().value(), "streaming");
    drop(talking.join().unwrap());
    seen.with(|seen| assert_eq!(*seen, [Idle, Inviting, Connected, Streaming]));
}

#[test]
fn one_packet_is_enough_for_streaming() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let mut call = outbound(&client, &pbx, &[0]);
    call.rtp.send_payload(&[0x55; 160 * 3]);
    expect_state(&client, Streaming);
}

#[test]
fn refusals_are_acknowledged_and_kept() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let refusals = [
        (404, "Not Found"),
        (486, "Busy Here"),
        (603, "Decline"),
        (487, "Request Terminated"),
        (500, "Broken"),
    ];
    for (status, reason) in refusals {
        assert_eq!(client.make_call("1234"), Ok(true));
        assert_eq!(client.last_failure(), None);
        let mut call = pbx.expect_call();
        call.respond(status, reason);
        call.expect_request("ACK");
        expect_state(&client, Idle);
        assert_eq!(client.last_failure().unwrap().to_string(), format!("{status} {reason}"));
        let error = client.wait_connected(WAIT).unwrap_err();
        assert_eq!(error, SipClientError::Call { status, reason: reason.to_owned() });
    }
}

#[test]
fn waiting_ends_with_the_refusal_or_in_time() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    assert_eq!(client.wait_connected(WAIT), Err(SipClientError::NoCall));
    assert_eq!(client.make_call("1234"), Ok(true));
    let mut call = pbx.expect_call();
    let begun = Instant::now();
    let late = client.wait_connected(Duration::from_millis(200)).unwrap_err();
    assert!(matches!(late, SipClientError::Call { status: 408, .. }), "{late}");
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(client.call_state(), Inviting, "the call goes on");
    let waiting = thread::spawn({
        let client = client.clone();
        move || client.wait_connected(WAIT)
    });
    call.respond(486, "Busy Here");
    let refused = waiting.join().unwrap().unwrap_err();
    assert_eq!(refused, SipClientError::Call { status: 486, reason: "Busy Here".to_owned() });
}

#[test]
fn call_that_rings_for_too_long_is_cancelled() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx).ring_timeout(Duration::from_millis(500)));
    assert_eq!(client.make_call("1234"), Ok(true));
    let mut call = pbx.expect_call();
    call.respond(180, "Ringing");
    call.expect_request("CANCEL");
    expect_state(&client, Idle);
    assert_eq!(client.last_failure().unwrap().status, 408);
}

#[test]
fn codec_is_that_of_the_answer_with_and_without_its_map() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    for (format, codec, name) in
        [(9, Codec::G722, "G722"), (0, Codec::Pcmu, "PCMU"), (8, Codec::Pcma, "PCMA")]
    {
        for maps in [true, false] {
            assert_eq!(client.make_call("1234"), Ok(true));
            let mut call = pbx.expect_call();
            let body = sdp::audio(call.rtp.address(), &[format]);
            let lines = body.split_inclusive("\r\n").filter(|line| maps || !line.starts_with("a=rtpmap"));
            let ok = call.call.respond(200, "OK").sdp(&lines.collect::<String>());
            call.send_response(&ok);
            call.expect_request("ACK");
            client.wait_connected(WAIT).unwrap();
            assert_eq!(client.negotiated_codec(), Some(codec));
            assert_eq!(client.negotiated_codec().unwrap().to_string(), name);
            assert_eq!(client.negotiated_payload_type(), Some(format));
            assert_eq!(client.audio_config().payload_type, Some(format));
            let hanging_up = hang_up(&client);
            call.expect_bye();
            hanging_up.join().unwrap();
            assert_eq!((client.negotiated_codec(), client.negotiated_payload_type()), (None, None));
        }
    }
}

fn hang_up(client: &SimpleSipClient) -> thread::JoinHandle<()> {
    let client = client.clone();
    thread::spawn(move || client.hangup_call().unwrap())
}

#[test]
fn media_address_of_the_stream_wins_over_the_session() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    assert_eq!(client.remote_rtp_info(), None);
    assert_eq!(client.make_call("1234"), Ok(true));
    let mut call = pbx.expect_call();
    let at = call.rtp.address();
    let body = sdp::audio(at, &[0]).replacen("c=IN IP4 127.0.0.1", "c=IN IP4 127.0.0.9", 1);
    let body = body.replace("a=ptime", "c=IN IP4 127.0.0.1\r\na=ptime");
    let ok = call.call.respond(200, "OK").sdp(&body);
    call.send_response(&ok);
    call.expect_request("ACK");
    client.wait_connected(WAIT).unwrap();
    assert_eq!(client.remote_rtp_info(), Some((at.ip(), at.port())));
    client.hangup_call().unwrap();
    assert_eq!(client.remote_rtp_info(), None);
}

#[test]
fn hanging_up_while_it_rings_there_cancels() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    assert_eq!(client.make_call("1234"), Ok(true));
    let mut call = pbx.expect_call();
    let invite = Message::parse(call.invite_text().as_bytes()).unwrap();
    call.respond(180, "Ringing");
    expect_state(&client, Ringing);
    client.hangup_call().unwrap();
    assert_eq!(client.call_state(), Idle);
    let cancel = call.expect_request("CANCEL");
    assert_eq!(cancel.branch(), invite.branch());
    assert_eq!((cancel.cseq().unwrap().0, cancel.uri()), (invite.cseq().unwrap().0, invite.uri()));
    call.respond_to(&cancel, 200, "OK");
    call.respond(487, "Request Terminated");
    call.expect_request("ACK");
    assert_eq!(client.last_failure(), None, "it is what the program wanted");
    assert_eq!(client.hangup_call(), Ok(()), "there is nothing to hang up");
}

#[test]
fn hanging_up_says_bye_within_the_dialog() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    assert_eq!(client.make_call("1234"), Ok(true));
    let mut call = pbx.expect_call();
    let invite = Message::parse(call.invite_text().as_bytes()).unwrap();
    let route = format!("<sip:{};lr>", pbx.address());
    let answer = sdp::audio(call.rtp.address(), &[0]);
    let ok = call.call.respond(200, "OK").header("Record-Route", &route).sdp(&answer);
    let sent = Message::parse(&ok.to_bytes()).unwrap();
    call.send_response(&ok);
    call.expect_request("ACK");
    client.wait_connected(WAIT).unwrap();
    let hanging_up = hang_up(&client);
    let bye = call.expect_request("BYE");
    hanging_up.join().unwrap();
    assert_eq!((bye.header("To"), bye.header("From")), (sent.header("To"), invite.header("From")));
    assert_eq!(bye.header("Route"), Some(&*route));
    assert_eq!(bye.uri().map(str::to_owned), sent.contact());
    assert!(bye.cseq().unwrap().0 > invite.cseq().unwrap().0);
    call.respond_to(&bye, 200, "OK");
    assert_eq!(client.call_state(), Idle);
}

#[test]
fn far_end_that_hangs_up_gets_200_each_time() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let mut call = outbound(&client, &pbx, &[0]);
    let bye = call.call.bye();
    call.send_request(&bye);
    call.expect_response(200);
    expect_state(&client, Idle);
    let again = pbx.seen_again();
    call.send_again(&bye);
    assert!(eventually(WAIT, || pbx.seen_again() > again), "the same 200 comes again");
    assert_eq!(client.last_failure(), None);
    assert_eq!(client.make_call("1234"), Ok(true), "the line is free");
}

#[test]
fn call_that_comes_is_answered_after_a_second_and_the_next_one_is_refused() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let seen = states(&client);
    let begun = Instant::now();
    let mut call = pbx.invite(address_of(&client), Invite { formats: vec![8, 0, 101], ..Invite::default() });
    let ringing = call.expect_response(180);
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    assert!(parameter_of(ringing.header("To").unwrap(), "tag").is_some(), "{ringing}");
    let mut second = pbx.invite(address_of(&client), Invite::default());
    second.expect_response(486);
    second.ack();
    let ok = call.expect_response(200);
    let took = begun.elapsed();
    assert!((700..1300).contains(&(took.as_millis() as u64)), "{took:?}");
    assert_eq!(sdp::formats(ok.body())[0], 8, "the caller's first codec: {ok}");
    assert_eq!(ok.tag(), ringing.tag());
    call.ack();
    expect_state(&client, Connected);
    assert_eq!(client.negotiated_codec(), Some(Codec::Pcma));
    assert_eq!(client.make_call("1234"), Err(SipClientError::Busy));
    let mut third = pbx.invite(address_of(&client), Invite::default());
    third.expect_response(486);
    third.ack();
    let report = client.call_status().call.unwrap();
    assert_eq!((report.call_id, report.remote_party), (call.call_id(), "0903383638".to_owned()));
    call.bye();
    expect_state(&client, Idle);
    seen.with(|seen| assert_eq!(*seen, [Idle, Ringing, Connected, Idle]));
    // And the line is free again.
    let mut next = ring(&pbx, &client);
    next.cancel();
}

#[test]
fn call_is_answered_by_hand_where_that_is_wanted() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx).auto_answer(None));
    assert_eq!(client.answer_call(), Err(SipClientError::NoCall));
    let mut call = ring(&pbx, &client);
    assert!(call.is_quiet(Duration::from_millis(1300)), "{:?}", call.transcript());
    client.answer_call().unwrap();
    call.expect_response(200);
    call.ack();
    client.wait_connected(WAIT).unwrap();
    assert_eq!(client.answer_call(), Err(SipClientError::NoCall), "it is answered");
    assert_eq!(client.reject_call(486), Err(SipClientError::NoCall));
    call.bye();
}

#[test]
fn call_is_refused_as_the_program_says() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx).auto_answer(None));
    for status in [486, 603, 404] {
        let mut call = ring(&pbx, &client);
        assert_eq!(client.reject_call(200), Err(SipClientError::InvalidStatus(200)));
        client.reject_call(status).unwrap();
        call.expect_response(status);
        call.ack();
        expect_state(&client, Idle);
        assert_eq!(client.last_failure(), None);
    }
    // Hanging up declines.
    let mut call = ring(&pbx, &client);
    client.hangup_call().unwrap();
    call.expect_response(603);
    call.ack();
    assert_eq!(client.call_state(), Idle);
}

#[test]
fn call_that_is_cancelled_is_never_answered() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx).auto_answer(Duration::from_millis(300)));
    let mut call = ring(&pbx, &client);
    call.cancel();
    expect_state(&client, Idle);
    assert!(call.is_quiet(Duration::from_millis(600)), "{:?}", call.transcript());
    assert_eq!(client.last_failure().unwrap().status, 487, "a missed call");
}

#[test]
fn disconnecting_ends_the_call_and_frees_every_port() {
    let pbx = Pbx::new();
    let ports = free_ports(2);
    let client = connected(builder(&pbx).rtp_ports(ports..=ports + 1));
    let mut call = outbound(&client, &pbx, &[0]);
    assert_eq!(call.rtp.to.unwrap().port(), ports);
    UdpSocket::bind(("127.0.0.1", ports)).expect_err("the client has it");
    let sip = address_of(&client);
    let leaving = thread::spawn({
        let client = client.clone();
        move || client.disconnect()
    });
    call.expect_bye();
    assert_eq!(leaving.join().unwrap(), Ok(()));
    assert_eq!(client.call_state(), Idle);
    for address in [sip, ([127, 0, 0, 1], ports).into(), ([127, 0, 0, 1], ports + 1).into()] {
        UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    assert_eq!(client.send_audio(&[0; 320]), Err(SipClientError::NotConnected));
}

#[test]
fn call_without_a_free_port_is_not_placed() {
    let pbx = Pbx::new();
    let ports = free_ports(2);
    let _taken = UdpSocket::bind(("127.0.0.1", ports)).unwrap();
    let client = connected(builder(&pbx).rtp_ports(ports..=ports + 1));
    assert_eq!(client.make_call("1234"), Ok(false));
    assert_eq!(client.last_failure().unwrap().status, 503);
    assert_eq!(client.call_state(), Idle);
}

#[test]
fn dropped_client_hangs_up() {
    let pbx = Pbx::new();
    let client = connected(builder(&pbx));
    let mut call = outbound(&client, &pbx, &[0]);
    let sip = address_of(&client);
    drop(client);
    call.expect_bye();
    assert!(eventually(WAIT, || UdpSocket::bind(sip).is_ok()), "{sip} is still held");
}

#[test]
fn client_speaks_ipv6() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return eprintln!("skipped: this machine has no IPv6 loopback");
    }
    let pbx = Pbx::at("[::1]:0".parse().unwrap());
    let builder = SimpleSipClient::builder("1001", "pw", &format!("[::1]:{}", pbx.address().port()));
    let client = connected(builder.register(false));
    let mut call = outbound(&client, &pbx, &[0]);
    assert!(call.invite_text().starts_with(&format!("INVITE sip:1234@{} SIP/2.0", pbx.address())));
    assert_eq!(client.remote_rtp_info().unwrap().0, pbx.address().ip());
    call.rtp.send_payload(&[0x55; 160 * 20]);
    expect_state(&client, Streaming);
    call.bye();
}

#[test]
fn two_clients_of_one_process_register_and_talk() {
    let registrar = Registrar::start();
    let new = |user: &str| {
        let builder = SimpleSipClient::builder(user, "pw", "127.0.0.1").port(registrar.address().port());
        sip_client::connected(builder.auto_answer(Duration::ZERO))
    };
    let (alice, bob) = (new("alice"), new("bob"));
    assert_eq!(registrar.registered(), 2);
    assert_eq!(alice.make_call("bob"), Ok(true));
    alice.wait_connected(WAIT).unwrap();
    expect_state(&alice, Streaming);
    expect_state(&bob, Streaming);
    assert_eq!((alice.negotiated_codec(), bob.negotiated_codec()), (Some(Codec::G722), Some(Codec::G722)));
    bob.hangup_call().unwrap();
    expect_state(&alice, Idle);
    alice.disconnect().unwrap();
    bob.disconnect().unwrap();
    assert_eq!(registrar.registered(), 0);
}

#[tokio::test]
async fn async_client_calls_and_is_dropped_inside_a_runtime() {
    let pbx = Pbx::new();
    let client = builder(&pbx).build();
    assert_eq!(client.connect().await, Ok(true));
    assert_eq!(client.make_call("1234").await, Ok(true));
    let calling = tokio::task::spawn_blocking(move || {
        let mut call = pbx.expect_call();
        call.answer(&[0]);
        call.expect_request("ACK");
        call.expect_bye();
    });
    client.wait_connected(WAIT).await.unwrap();
    drop(client);
    calling.await.unwrap();
}
