//! The signalling of the voice backend: calls that are answered, refused, changed and ended.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::backend::Served;
use common::pbx::{Invite, Pbx, PbxCall};
use common::rtp_end::RtpEnd;
use common::{WAIT, eventually, free_ports};
use sip_relay::backend::{BackendError, SessionState, SipBackendConfig, SipVoiceBackend, VoiceCapability};
use testkit::message::Message;
use testkit::sdp;

#[test]
fn defaults_and_capabilities_are_the_documented_ones() {
    let config = SipBackendConfig::default();
    assert_eq!(config.local_sip_addr, ("0.0.0.0".to_owned(), 5060));
    assert_eq!(config.local_rtp_ip, "0.0.0.0");
    assert_eq!((config.rtp_port_start, config.rtp_port_end), (10_000, 20_000));
    assert_eq!(config.supported_codecs, [0, 8]);
    assert_eq!(config.dtmf_payload_type, 101);
    let backend = SipVoiceBackend::new(config);
    assert_eq!(backend.capabilities(), VoiceCapability::DTMF_SIGNALING | VoiceCapability::INTERRUPTION);
    assert_eq!(backend.name(), "SIP");
}

#[test]
fn call_is_tried_rung_and_answered_and_then_told_once_with_its_media_open() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut call = pbx.invite(served.sip, Invite::default());
    let (ringing, ok) = (call.expect_response(180), call.expect_response(200));
    assert!(ringing.tag().is_some());
    assert_eq!(ringing.tag(), ok.tag());
    assert_eq!(call.transcript(), ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]);

    // Audio is taken as soon as the caller knows the port, before its ACK.
    let session = served.expect_call();
    assert_eq!(session.state(), SessionState::Active);
    assert!(call.poll_request("BYE").is_none());
    call.rtp.send_payload(&[0xff; 160 * 5]);
    assert_eq!(served.expect_frames(5).len(), 5);
    call.ack();
    call.bye();
    assert_eq!(served.expect_disconnected(), session);
    served.finish();
}

#[test]
fn answer_follows_the_offer_in_order_payload_types_ptime_direction_and_streams() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut call = pbx.invite_with(served.sip, Invite { formats: vec![8], ..Invite::default() }, |draft| {
        let offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
            m=audio 20000 RTP/AVP 18 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\na=sendonly\r\n\
            m=video 20002 RTP/AVP 31\r\n";
        draft.sdp(offer)
    });
    let ok = call.expect_response(200);
    let body = ok.body();
    assert_eq!(sdp::formats(body), [8, 96]);
    assert_eq!(sdp::attribute(body, "ptime"), Some("30"));
    assert!(sdp::attribute(body, "recvonly").is_some(), "{body}");
    let streams: Vec<&str> = body.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(streams, [format!("m=audio {} RTP/AVP 8 96", served.base).as_str(), "m=video 0 RTP/AVP 31"]);
    call.ack();
    served.expect_call();
    call.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn offer_that_cannot_be_answered_is_refused_with_488_and_gives_everything_back() {
    let (served, pbx) = (Served::start(|config| config.rtp_port_end = config.rtp_port_start + 1), Pbx::new());
    let named = |draft: testkit::message::Draft| draft.header("X-Session-ID", "s1");
    let g729 = Invite { formats: vec![18], ..Invite::default() };
    let mut without_sdp = pbx.invite_with(served.sip, Invite::default(), |draft| {
        named(draft).without("Content-Type").body("text/plain", "").without("Content-Type")
    });
    without_sdp.expect_response(488);
    without_sdp.ack();
    let mut g729 = pbx.invite_with(served.sip, g729, named);
    g729.expect_response(488);
    g729.ack();
    assert!(eventually(WAIT, || served.ports_are_free()));
    assert_eq!(served.signals(), []);

    // Neither the only port nor the session's id is held by a call that never was.
    let mut call = pbx.invite_with(served.sip, Invite::default(), named);
    call.expect_response(200);
    call.ack();
    assert_eq!(served.expect_call().id(), "s1");
    call.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn remote_bye_ends_the_session_before_it_is_told() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut call = up(&served, &pbx);
    let session = served.expect_call();
    call.bye();
    assert_eq!(served.expect_disconnected(), session);
    assert_eq!((session.state(), session.end_reason()), (SessionState::Ended, Some("remote-bye")));
    assert_eq!(served.backend.get_session(session.id()), None);
    // The same BYE again, and one of nobody's call.
    let again = call.call.bye();
    call.send_request(&again);
    call.expect_response(481);
    assert_eq!(pbx.request(served.sip, "BYE").status(), Some(481));
    served.finish();
}

#[test]
fn disconnect_sends_bye_and_is_not_told() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut call = up(&served, &pbx);
    let session = served.expect_call();
    served.run(served.backend.disconnect(&session)).unwrap();
    assert_eq!((session.state(), session.end_reason()), (SessionState::Ended, Some("agent-hangup")));
    let bye = call.expect_request("BYE");
    assert_eq!(bye.uri(), Some(format!("sip:0903383638@{}", pbx.address()).as_str()), "to the Contact");
    call.respond_to(&bye, 200, "OK");
    served.run(served.backend.disconnect(&session)).expect("a second time is no error");
    assert!(eventually(WAIT, || served.ports_are_free()));
    served.finish();
}

#[test]
fn close_ends_every_call_and_a_closed_backend_starts_again() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut calls = [up(&served, &pbx), up(&served, &pbx)];
    let sessions = [served.expect_call(), served.expect_call()];
    std::thread::scope(|scope| {
        scope.spawn(|| calls.iter_mut().for_each(PbxCall::expect_bye));
        served.run(served.backend.close());
    });
    assert!(sessions.iter().all(|session| session.state() == SessionState::Ended));
    assert_eq!((served.signals(), served.backend.sip_address()), (vec![], None));
    assert!(eventually(WAIT, || served.ports_are_free()));

    served.run(served.backend.start()).unwrap();
    let sip = ([127, 0, 0, 1], served.backend.sip_address().unwrap().port()).into();
    let mut call = pbx.call(sip, Invite::default());
    served.expect_call();
    call.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn dropping_the_last_handle_hangs_up_and_leaves_nothing_behind() {
    let pbx = Pbx::new();
    let base = free_ports(2);
    let config = SipBackendConfig {
        local_sip_addr: ("127.0.0.1".into(), 0),
        local_rtp_ip: "127.0.0.1".into(),
        rtp_port_start: base,
        rtp_port_end: base + 1,
        ..SipBackendConfig::default()
    };
    let backend = SipVoiceBackend::new(config);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(backend.start()).unwrap();
    let again = runtime.block_on(backend.start());
    assert!(matches!(again, Err(BackendError::AlreadyStarted)), "{again:?}");
    let sip = backend.sip_address().unwrap();
    let mut call = pbx.call(sip, Invite::default());
    drop(backend);
    call.expect_bye();
    let free = |port| std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok();
    assert!(eventually(WAIT, || free(sip.port()) && free(base)));
}

#[test]
fn start_that_fails_says_why_and_can_be_tried_again() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = SipBackendConfig {
        local_sip_addr: ("127.0.0.1".into(), address.port()),
        ..SipBackendConfig::default()
    };
    let backend = SipVoiceBackend::new(config);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(backend.start()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen for SIP on {address}: ")), "{error}");
    assert_eq!(backend.sip_address(), None);
    drop(taken);
    runtime.block_on(backend.start()).unwrap();
    runtime.block_on(backend.close());
}

#[test]
fn answer_without_ack_is_repeated_and_given_up_with_bye() {
    let (served, pbx) = (Served::start(|config| config.sip_t1 = Duration::from_millis(20)), Pbx::new());
    let mut call = pbx.invite(served.sip, Invite::default());
    call.expect_response(200);
    let session = served.expect_call();
    call.expect_bye();
    // 20, 60, 140, 300, 620 and 1260 ms after the first; 64·T1 are 1280 ms. Without doubling it would be 64 times.
    assert!((5..=7).contains(&pbx.seen_again()), "{}", pbx.seen_again());
    assert_eq!(served.expect_disconnected(), session);
    assert_eq!((session.state(), session.end_reason()), (SessionState::Ended, Some("no-ack")));
    assert!(eventually(WAIT, || served.ports_are_free()));
    served.finish();
}

#[test]
fn silent_caller_is_hung_up_and_told() {
    for (inactivity, establishment, label) in [(200, 0, "rtp-timeout"), (0, 200, "rtp-timeout")] {
        let served = Served::start(|config| {
            config.rtp_inactivity_timeout = Duration::from_millis(inactivity);
            config.rtp_establishment_timeout = Duration::from_millis(establishment);
        });
        let pbx = Pbx::new();
        let mut call = up(&served, &pbx);
        let session = served.expect_call();
        if inactivity > 0 {
            call.rtp.send_payload(&[0xff; 160 * 5]);
        }
        call.expect_bye();
        assert_eq!(served.expect_disconnected(), session);
        assert_eq!(session.end_reason(), Some(label));
        served.finish();
    }
}

#[test]
fn ports_are_taken_in_turn_and_skipped_while_in_use() {
    let base = free_ports(8);
    let served = Served::start(|config| {
        (config.rtp_port_start, config.rtp_port_end) = (base, base + 6);
    });
    let pbx = Pbx::new();
    let port = |call: &PbxCall| call.rtp.to.unwrap().port();
    let mut calls: Vec<PbxCall> = (0..3).map(|_| up(&served, &pbx)).collect();
    assert_eq!(calls.iter().map(port).collect::<Vec<_>>(), [base, base + 2, base + 4]);
    let mut refused = pbx.invite(served.sip, Invite::default());
    let response = refused.expect_response(503);
    assert!(response.header("Retry-After").is_some());
    refused.ack();

    calls[1].bye();
    assert!(eventually(WAIT, || std::net::UdpSocket::bind(("127.0.0.1", base + 2)).is_ok()));
    let mut wrapped = up(&served, &pbx);
    assert_eq!(port(&wrapped), base + 2, "the first pair is in use");
    wrapped.bye();
    calls[0].bye();
    calls[2].bye();
    (0..4).for_each(|_| drop(served.expect_call()));
    (0..4).for_each(|_| drop(served.expect_disconnected()));
    served.finish();
}

#[test]
fn more_sessions_than_allowed_are_refused_with_503() {
    let (served, pbx) = (Served::start(|config| config.max_sessions = 1), Pbx::new());
    let mut first = up(&served, &pbx);
    let mut second = pbx.invite(served.sip, Invite::default());
    second.expect_response(503);
    second.ack();
    first.bye();
    served.expect_call();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn addresses_without_a_configured_one_are_those_of_the_route() {
    let served = Served::start(|config| {
        config.local_sip_addr.0 = "0.0.0.0".into();
        config.local_rtp_ip = "0.0.0.0".into();
    });
    let pbx = Pbx::new();
    let mut call = pbx.invite(served.sip, Invite::default());
    let ok = call.expect_response(200);
    assert_eq!(sdp::media_address(ok.body()), Some(([127, 0, 0, 1], served.base).into()));
    assert_eq!(ok.contact(), Some(format!("sip:{}", served.sip)), "{ok}");
    call.ack();
    served.expect_call();
    call.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn advertised_address_is_told_everywhere() {
    let advertised = "192.0.2.77";
    let served = Served::start(|config| config.advertised_ip = Some(advertised.parse().unwrap()));
    let pbx = Pbx::new();
    let mut call = pbx.invite(served.sip, Invite::default());
    let ok = call.expect_response(200);
    assert_eq!(sdp::media_address(ok.body()).unwrap().ip().to_string(), advertised);
    let contact = ok.contact().unwrap();
    assert_eq!(contact, format!("sip:{advertised}:{}", served.sip.port()));
    let ack = call.call.ack(&ok);
    pbx.send_raw(served.sip, &ack.to_bytes());
    let session = served.expect_call();
    std::thread::scope(|scope| {
        scope.spawn(|| call.expect_bye());
        served.run(served.backend.disconnect(&session)).unwrap();
    });
    served.finish();
}

#[test]
fn reinvite_moves_holds_and_resumes_the_media() {
    let (served, pbx) = (Served::start(|config| config.silence_fill = true), Pbx::new());
    let mut call = up(&served, &pbx);
    let session = served.expect_call();
    call.rtp.expect_packets(3, WAIT);

    let moved = RtpEnd::bind(true);
    let offer = sdp::audio(moved.address(), &[0, 8, 101]);
    reinvite(&mut call, &offer);
    moved.expect_packets(3, WAIT);

    let nowhere = offer.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0");
    for held in [nowhere, offer.replace("a=sendrecv", "a=inactive")] {
        reinvite(&mut call, &held);
        assert!(eventually(WAIT, || session.state() == SessionState::Paused));
        let before = moved.arrivals().len();
        // Packets that should not come cannot be waited for: a quarter of a second is twelve of them.
        std::thread::sleep(Duration::from_millis(250));
        assert!(moved.arrivals().len() <= before + 1, "media goes on");
        reinvite(&mut call, &offer);
        assert!(eventually(WAIT, || session.state() == SessionState::Active));
        moved.next_packets(3);
    }
    call.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn every_via_and_record_route_comes_back_and_our_bye_takes_the_route() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let route = format!("<sip:{};lr>", pbx.address());
    let via = "SIP/2.0/UDP 10.9.9.9:5080;branch=z9hG4bKfar;received=10.1.1.1";
    let mut invite = None;
    let mut call = pbx.invite_with(served.sip, Invite::default(), |draft| {
        let draft = draft.header("Via", via).header("Record-Route", &route);
        invite = Message::parse(&draft.to_bytes());
        draft
    });
    let ok = call.expect_response(200);
    let (vias, sent) = (ok.values("Via"), invite.unwrap().values("Via"));
    assert_eq!((vias.len(), vias[1].as_str()), (2, via));
    assert!(vias[0].starts_with(sent[0].trim_end_matches(";rport")), "{vias:?}");
    assert_eq!(ok.values("Record-Route"), std::slice::from_ref(&route));
    let ack = call.call.ack(&ok);
    pbx.send_raw(served.sip, &ack.to_bytes());
    let session = served.expect_call();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bye = call.expect_request("BYE");
            assert_eq!(bye.values("Route"), [route]);
            call.respond_to(&bye, 200, "OK");
        });
        served.run(served.backend.disconnect(&session)).unwrap();
    });
    served.finish();
}

#[test]
fn call_that_is_cancelled_before_its_answer_is_never_told() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    // The CANCEL is there before the backend can answer, or comes too late and the call is up.
    let mut cancelled = 0;
    for _ in 0..20 {
        let mut call = pbx.invite(served.sip, Invite::default());
        call.send_cancel();
        let of_cancel = call.expect_final_of("CANCEL");
        assert_eq!(of_cancel.status(), Some(200));
        let of_invite = call.expect_final_of("INVITE");
        call.ack();
        match of_invite.status() {
            Some(487) => {
                cancelled += 1;
                assert!(eventually(WAIT, || served.backend.get_session(&call.call_id()).is_none()));
            }
            Some(200) => {
                served.expect_call();
                call.bye();
                served.expect_disconnected();
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(cancelled > 0, "no CANCEL came in time");
    assert_eq!(pbx.request(served.sip, "CANCEL").status(), Some(481));
    served.finish();
}

#[test]
fn options_are_answered_and_unknown_methods_refused_with_what_is_allowed() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    for (method, status) in [("OPTIONS", 200), ("MESSAGE", 405), ("NOSUCH", 405)] {
        let answer = pbx.request(served.sip, method);
        assert_eq!(answer.status(), Some(status), "{answer}");
        let allowed = answer.values("Allow");
        assert!(["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"].iter().all(|m| allowed.contains(&(*m).into())));
    }
    served.finish();
}

#[test]
fn caller_without_the_password_is_challenged_and_refused() {
    let users = [("alice".to_owned(), "secret".to_owned())];
    let (served, pbx) = (Served::start(|config| config.auth_users = users.into()), Pbx::new());
    let mut call = pbx.invite(served.sip, Invite::default());
    let challenge = call.expect_response(401);
    assert!(challenge.header("WWW-Authenticate").unwrap().contains("realm=\"roomkit\""), "{challenge}");
    call.ack();
    assert_eq!(served.signals(), []);
    served.finish();
}

fn up(served: &Served, pbx: &Pbx) -> PbxCall {
    pbx.call(served.sip, Invite::default())
}

fn reinvite(call: &mut PbxCall, offer: &str) {
    call.reinvite(offer);
    call.expect_response(200);
    call.ack();
}
