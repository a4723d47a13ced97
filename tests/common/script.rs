//! Scenes that many whole-system tests begin and end with.

use testkit::message::Message;

use super::pbx::{Invite, Pbx, PbxCall};
use super::relay::Relay;
use super::scene::{self, DIALLED};
use super::ws::WsClient;

/// A relay, its telephone system and one client.
pub fn start(query: &str, settings: &[(&str, &str)]) -> (Relay, Pbx, WsClient) {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, settings);
    let ws = WsClient::connect(relay.ws(), query);
    // A connection is open a little before its client is known.
    relay.expect_log("clients=1");
    (relay, pbx, ws)
}

/// A call out, as far as the INVITE.
pub fn dial(pbx: &Pbx, ws: &WsClient) -> PbxCall {
    ws.send(&format!("CALL:{DIALLED}"));
    pbx.expect_call()
}

/// A call in that is up, as `ws` is told as well.
pub fn call_in(relay: &Relay, pbx: &Pbx, ws: &mut WsClient) -> PbxCall {
    scene::inbound(relay, pbx, ws, Invite::default())
}

/// A final response of the telephone system that is no success, and its ACK.
pub fn refuse(call: &mut PbxCall, status: u16, reason: &str) {
    call.respond(status, reason);
    call.expect_request("ACK");
}

/// The telephone system hangs up, and `ws` is told.
pub fn end(mut call: PbxCall, ws: &mut WsClient) {
    call.bye();
    ws.expect_all(&[&format!("BYE:{}", call.call_id())]);
}

/// 200 to the CANCEL, 487 to the INVITE, and its ACK.
pub fn end_cancelled(call: &mut PbxCall, cancel: &Message) {
    call.respond_to(cancel, 200, "OK");
    refuse(call, 487, "Request Terminated");
}

/// The end of a test: nobody said more than the script expected, and every client's log keeps the invariants.
pub fn done<const N: usize>(pbx: &Pbx, clients: [WsClient; N]) {
    clients.into_iter().for_each(WsClient::finish);
    assert_eq!(pbx.unexpected(), Vec::<String>::new());
}
