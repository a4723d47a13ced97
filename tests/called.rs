//! The number that an inbound call was placed to, as multi clients are told it: CALLED.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::ws::{Incoming, WsClient};
use common::{WAIT, eventually};

/// The signalling of one client so far.
fn lines(client: &WsClient) -> Vec<String> {
    let text = |message: Incoming| match message {
        Incoming::Text(text) => text,
        other => panic!("{other:?}"),
    };
    client.signals().into_iter().map(text).collect()
}

fn to(number: &str) -> Invite {
    Invite { to: number.into(), listen: false, ..Invite::default() }
}

/// What is told of a call that is up.
fn story(call: &PbxCall, number: &str) -> [String; 3] {
    let id = call.call_id();
    [format!("RING_ANS:0903383638##{id}"), format!("CALLED:{id}##{number}"), format!("CALL_ANS:{id}")]
}

#[test]
fn multi_client_is_told_right_after_ring_ans_and_others_are_not() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut clients =
        ["mode=multi", "mode=classic", "mode=hex"].map(|query| WsClient::connect(relay.ws(), query));
    let mut call = pbx.call(relay.sip(), to("+15125551234"));
    let story = story(&call, "+15125551234");
    clients.iter_mut().for_each(|client| drop(client.wait_for("CALL_ANS:")));
    let [multi, classic, hex] = &clients;
    assert_eq!(lines(multi), story);
    for other in [classic, hex] {
        assert_eq!(lines(other), [&story[0][..], &story[2]]);
    }
    call.bye();
    for mut client in clients {
        client.wait_for("BYE:");
        client.finish();
    }
}

#[test]
fn client_that_joins_late_or_comes_back_is_told_as_well() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    // Nobody is there yet.
    let first = pbx.call(relay.sip(), to("100"));
    relay.expect_log("call up");
    let mut session = WsClient::connect(relay.ws(), "mode=multi&session=s");
    session.wait_for("CALL_ANS:");
    assert_eq!(lines(&session), story(&first, "100"));
    let mut late = WsClient::connect(relay.ws(), "mode=multi");
    late.wait_for("CALL_ANS:");
    assert_eq!(lines(&late), story(&first, "100"));

    // What happens while the session's client is away comes with its next connection, and no call is announced again.
    drop(session);
    relay.expect_log("client dropped, its session waits");
    let second = pbx.call(relay.sip(), to("200"));
    late.wait_for("CALL_ANS:");
    let mut again = WsClient::connect(relay.ws(), "mode=multi&session=s");
    again.wait_for("CALL_ANS:");
    assert_eq!(lines(&again), story(&second, "200"));
}

#[test]
fn number_is_that_of_the_request_whatever_the_to_header_says() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let client = WsClient::connect(relay.ws(), "mode=multi");
    let sip = relay.sip();
    let call = |invite: Invite, to: String| {
        let mut call = pbx.invite_with(sip, invite, |draft| draft.replace("To", to));
        call.expect_response(200);
        call.ack();
        call.call_id()
    };
    let requested = call(to("100"), format!("<sip:0912@{sip}>"));
    assert!(eventually(WAIT, || client.called() == [format!("CALLED:{requested}##100")]));
    let encoded = call(to("%2B1512;x=y"), format!("<sip:0912@{sip}>"));
    assert!(eventually(WAIT, || client.called().last() == Some(&format!("CALLED:{encoded}##+1512"))));
}
