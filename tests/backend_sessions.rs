//! The sessions of the voice backend: how calls become sessions, find their rooms, and are placed.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::backend::Served;
use common::pbx::{Invite, Pbx, PbxCall};
use common::{Feed, WAIT, eventually};
use sip_relay::backend::{
    BackendError, DialOptions, HookExecution, HookTrigger, Metadata, Rooms, SessionState, VoiceSession,
};

const CONNECT: &str = "SIPVoiceBackend.connect() requires metadata['session_id'] matching a pre-created session from an incoming INVITE.";

#[test]
fn headers_name_the_session_its_room_and_whatever_else() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let headers =
        [("X-Room-ID", "room-42"), ("X-Session-ID", "s1"), ("x-tenant-id", "t9"), ("X-Tenant-ID", "second")];
    let mut call = call_with(&served, &pbx, &headers);
    let session = served.expect_call();
    assert_eq!((session.id(), session.room_id().as_str()), ("s1", "room-42"));
    assert_eq!((session.participant_id().as_str(), session.channel_id().as_str()), ("s1", "voice"));
    assert_eq!((session.x_header("X-TENANT-id"), session.x_header("X-Other")), (Some("t9"), None));
    let expected = headers[..3].iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    assert_eq!(session.x_headers(), expected.collect::<Vec<_>>(), "names as received, the first value");

    let metadata = session.metadata();
    assert_eq!(metadata.get("backend"), Some("sip"));
    assert_eq!(metadata.get("room_id"), Some("room-42"));
    assert_eq!(metadata.get("call_id"), Some(call.call_id().as_str()));
    assert_eq!(session.provider_session_id(), call.call_id());
    let caller = format!("sip:0903383638@{}", pbx.address());
    assert_eq!(metadata.get("caller"), Some(caller.as_str()));
    assert_eq!(metadata.get("callee"), Some(format!("sip:100@{}", served.sip).as_str()));
    assert!(session.created_at() <= SystemTime::now());
    call.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn call_without_headers_is_named_by_its_call_id_and_its_caller() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut call = call_with(&served, &pbx, &[]);
    let session = served.expect_call();
    assert_eq!((session.id(), session.room_id()), (call.call_id().as_str(), call.call_id()));
    assert_eq!(session.participant_id(), format!("sip:0903383638@{}", pbx.address()));
    assert_eq!(session.x_headers(), []);
    call.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn second_call_of_a_live_session_is_refused_with_486_and_the_first_is_unaffected() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut first = call_with(&served, &pbx, &[("X-Session-ID", "s1")]);
    let session = served.expect_call();
    let mut second =
        pbx.invite_with(served.sip, Invite::default(), |draft| draft.header("X-Session-ID", "s1"));
    second.expect_response(486);
    second.ack();

    assert_eq!(served.backend.get_session("s1"), Some(session.clone()));
    first.rtp.send_payload(&[0xff; 160 * 5]);
    served.expect_frames(5);
    std::thread::scope(|scope| {
        scope.spawn(|| first.expect_bye());
        served.run(served.backend.disconnect(&session)).unwrap();
    });
    // The id is free with the end of its session.
    let mut third = call_with(&served, &pbx, &[("X-Session-ID", "s1")]);
    assert_eq!(served.expect_call().provider_session_id(), third.call_id());
    third.bye();
    served.expect_disconnected();
    served.finish();
}

#[test]
fn connect_takes_up_the_named_session_and_nothing_else() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let mut call = call_with(&served, &pbx, &[("X-Session-ID", "s1"), ("X-Room-ID", "r1")]);
    let session = served.expect_call();
    let connect = |metadata| served.run(served.backend.connect("room", "part", "chan", &metadata));
    for wrong in [Metadata::default(), Metadata::from([("session_id", "s2")])] {
        let error = connect(wrong).unwrap_err();
        assert_eq!(error.to_string(), CONNECT);
    }
    assert_eq!(session.room_id(), "r1");
    let connected = connect(Metadata::from([("session_id", "s1")])).unwrap();
    assert_eq!(connected, session);
    let place = (session.room_id(), session.participant_id(), session.channel_id());
    assert_eq!(place, ("room".into(), "part".into(), "chan".into()));
    assert_eq!(served.backend.list_sessions("room"), [session]);
    assert_eq!(served.backend.list_sessions("r1"), []);
    call.bye();
    served.expect_disconnected();
    assert_eq!(served.backend.list_sessions("room"), []);
    served.finish();
}

#[test]
fn async_callbacks_are_awaited() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let steps: Arc<Feed<&str>> = Arc::new(Feed::new());
    // Registered outside of a runtime: they run on the one in which the backend was started.
    let log = steps.clone();
    served.backend.on_call_async(move |session| {
        let log = log.clone();
        async move {
            log.push("call");
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(session.state(), SessionState::Active);
            log.push("awaited");
        }
    });
    let log = steps.clone();
    served.backend.on_call_disconnected_async(move |session| {
        let log = log.clone();
        async move {
            tokio::task::yield_now().await;
            log.push(if session.state() == SessionState::Ended { "ended" } else { "not ended" });
        }
    });
    let mut call = call_with(&served, &pbx, &[]);
    let seen =
        |n| steps.wait(std::time::Instant::now() + WAIT, |steps| (steps.len() == n).then(|| steps.clone()));
    assert_eq!(seen(2).unwrap(), ["call", "awaited"]);
    call.bye();
    assert_eq!(seen(3).unwrap()[2], "ended");
    assert_eq!(served.signals(), [], "the last registration wins");
    served.finish();
}

#[test]
fn backend_can_be_closed_from_its_own_callback() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (backend, runtime) = (served.backend.clone(), served.runtime().clone());
    served.backend.on_call(move |_| runtime.block_on(backend.close()));
    let mut call = call_with(&served, &pbx, &[]);
    call.expect_bye();
    assert!(eventually(WAIT, || std::net::UdpSocket::bind(served.sip).is_ok()));
    served.finish();
}

#[test]
fn dtmf_hook_sees_digit_and_duration_and_rooms_follow_the_call() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let kit = Rooms::new(&served.backend);
    let hooked = Arc::new(Feed::new());
    {
        let _runtime = served.enter();
        for execution in [HookExecution::Async, HookExecution::Sync] {
            let log = hooked.clone();
            kit.hook(HookTrigger::OnDtmf, execution, move |event, context| {
                let log = log.clone();
                async move { log.push((execution, event.digit, event.duration_ms, context.room_id)) }
            });
        }
    }
    let on_call = kit.clone();
    served.backend.on_call(move |session| {
        let room_id = session.room_id();
        on_call.create_room(&room_id);
        on_call.attach_channel(&room_id, "voice").unwrap();
        on_call.bind_session(&session, &room_id).unwrap();
    });
    let ended = kit.clone();
    served.backend.on_call_disconnected_async(move |session| {
        let kit = ended.clone();
        async move {
            kit.disconnect_voice(&session).await.unwrap();
            kit.close_room(&session.room_id()).await.unwrap();
        }
    });

    let mut call = call_with(&served, &pbx, &[("X-Room-ID", "lobby")]);
    assert!(eventually(WAIT, || kit.sessions("lobby").len() == 1));
    assert_eq!(kit.channels("lobby"), ["voice"]);
    let key = call.rtp.stream().key_press(101, 7, 1280, 160);
    key.iter().for_each(|packet| call.rtp.send_raw(&packet.to_bytes()));
    let mut seen = hooked
        .wait(std::time::Instant::now() + WAIT, |seen| (seen.len() == 2).then(|| seen.clone()))
        .expect("both hooks");
    seen.sort_by_key(|(execution, ..)| *execution == HookExecution::Sync);
    for (hook, execution) in seen.into_iter().zip([HookExecution::Async, HookExecution::Sync]) {
        assert_eq!(hook, (execution, '7', 160.0, "lobby".to_owned()));
    }
    served.expect("the key", |told| matches!(told, common::backend::Told::Dtmf(..)).then_some(()));
    call.bye();
    assert!(eventually(WAIT, || kit.room_ids().is_empty()));
    served.finish();
}

#[test]
fn closing_a_room_hangs_up_on_its_sessions() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let kit = Rooms::new(&served.backend);
    let mut call = call_with(&served, &pbx, &[]);
    let session = served.expect_call();
    let unknown = kit.bind_session(&session, "lobby").unwrap_err();
    assert!(matches!(unknown, BackendError::UnknownRoom(room) if room == "lobby"));
    for room in ["lobby", "hall"] {
        kit.create_room(room);
        kit.bind_session(&session, room).unwrap();
    }
    assert_eq!((kit.sessions("lobby"), kit.sessions("hall")), (vec![], vec![session.clone()]));
    assert_eq!(session.room_id(), "hall");
    std::thread::scope(|scope| {
        scope.spawn(|| call.expect_bye());
        served.run(kit.close_room("hall")).unwrap();
    });
    assert_eq!(session.state(), SessionState::Ended);
    assert!(matches!(kit.bind_session(&session, "lobby"), Err(BackendError::SessionEnded)));
    served.finish();
}

#[test]
fn dialled_call_becomes_a_session_when_it_is_answered() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let options = DialOptions {
        room_id: Some("room-7".into()),
        headers: vec![("X-Tenant-ID".into(), "t9".into()), ("Subject".into(), "hello".into())],
        ..DialOptions::default()
    };
    let (session, mut call) = dial(&served, &pbx, options, |call| {
        call.respond(180, "Ringing");
        call.answer(&[8, 101]);
    });
    let session = session.unwrap();
    assert!(call.invite_text().contains("\r\nX-Tenant-ID: t9\r\n"), "{}", call.invite_text());
    assert!(call.invite_text().contains("\r\nFrom: <sip:200@127.0.0.1>;tag="), "{}", call.invite_text());
    assert_eq!(call.transcript()[0], format!("INVITE sip:100@{} SIP/2.0", pbx.address()));
    assert_eq!((session.state(), session.id()), (SessionState::Active, call.call_id().as_str()));
    assert_eq!((session.room_id().as_str(), session.x_header("x-tenant-id")), ("room-7", Some("t9")));
    assert_eq!(session.x_headers().len(), 1);
    assert_eq!(session.metadata().get("callee"), Some(format!("sip:100@{}", pbx.address()).as_str()));

    served.run(served.backend.send_audio(&session, vec![0; 320 * 5])).unwrap();
    let packets = call.rtp.next_packets(5);
    assert!(packets.iter().all(|arrival| arrival.packet.payload_type == 8));
    call.bye();
    assert_eq!(served.expect_disconnected(), session);
    served.finish();
}

#[test]
fn dialled_call_that_is_not_taken_is_an_error_with_its_status() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let (refused, mut call) =
        dial(&served, &pbx, DialOptions::default(), |call| call.respond(486, "Busy Here"));
    call.expect_request("ACK");
    assert_eq!(refused.unwrap_err().to_string(), "486 Busy Here");

    let options = DialOptions { ring_timeout: Duration::from_millis(100), ..DialOptions::default() };
    let (unanswered, mut call) = dial(&served, &pbx, options, |call| call.respond(180, "Ringing"));
    expect_cancelled(&mut call);
    assert!(matches!(unanswered, Err(BackendError::Call { status: 408, .. })), "{unanswered:?}");

    let nonsense = served.backend.dial("a b", "200", pbx.address(), DialOptions::default());
    let nonsense = served.run(nonsense);
    assert!(matches!(nonsense, Err(BackendError::Call { status: 484, .. })), "{nonsense:?}");
    assert!(eventually(WAIT, || served.ports_are_free()));
    served.finish();
}

#[test]
fn dialled_call_that_nobody_waits_for_is_cancelled_and_its_id_is_free() {
    let (served, pbx) = (Served::start(|_| ()), Pbx::new());
    let options = || DialOptions { session_id: Some("s1".into()), ..DialOptions::default() };
    let mut call = std::thread::scope(|scope| {
        let called = scope.spawn(|| {
            let mut call = pbx.expect_call();
            call.respond(180, "Ringing");
            call
        });
        let dial = served.backend.dial("100", "200", pbx.address(), options());
        let waited = served.run(async { tokio::time::timeout(Duration::from_millis(300), dial).await });
        assert!(waited.is_err(), "nobody answers");
        called.join().unwrap()
    });
    expect_cancelled(&mut call);
    assert!(eventually(WAIT, || served.backend.get_session("s1").is_none()));

    let mut live = call_with(&served, &pbx, &[("X-Session-ID", "s1")]);
    served.expect_call();
    let twice = served.run(served.backend.dial("100", "200", pbx.address(), options()));
    assert!(matches!(twice, Err(BackendError::DuplicateSession(id)) if id == "s1"));
    live.bye();
    served.expect_disconnected();
    served.finish();
}

fn call_with(served: &Served, pbx: &Pbx, headers: &[(&str, &str)]) -> PbxCall {
    let mut call = pbx.invite_with(served.sip, Invite::default(), |draft| {
        headers.iter().fold(draft, |draft, (name, value)| draft.header(name, value))
    });
    call.expect_response(200);
    call.ack();
    call
}

/// Dials 100 at the PBX, which does what it is told.
fn dial(
    served: &Served,
    pbx: &Pbx,
    options: DialOptions,
    answer: impl FnOnce(&mut PbxCall) + Send,
) -> (Result<VoiceSession, BackendError>, PbxCall) {
    std::thread::scope(|scope| {
        let called = scope.spawn(|| {
            let mut call = pbx.expect_call();
            answer(&mut call);
            call
        });
        let dialled = served.run(served.backend.dial("100", "200", pbx.address(), options));
        (dialled, called.join().unwrap())
    })
}

fn expect_cancelled(call: &mut PbxCall) {
    let cancel = call.expect_request("CANCEL");
    call.respond_to(&cancel, 200, "OK");
    call.respond(487, "Request Terminated");
    call.expect_request("ACK");
}
