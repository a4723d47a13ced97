//! `Phone` writes what a SIP telephone says; `Call` keeps the few facts of one dialog (RFC 3261 §12).
//!
//! In: received messages that the script hands over. Out: drafts of requests and responses, to be changed or sent by the
//! script. No state machine, no timers, no retransmission: the script decides what is said and when, also what is wrong.
//!
//! ```
//! use testkit::{message::Message, phone::Phone, sdp};
//!
//! let mut phone = Phone::new(1, "0903383638", "127.0.0.1:5070".parse().unwrap());
//! let mut call = phone.call("sip:100@127.0.0.1:5062");
//! let invite = call.invite().sdp(&sdp::audio("127.0.0.1:4000".parse().unwrap(), &[0, 101]));
//!
//! // The other side is a phone, too: it reads the INVITE and answers.
//! let mut other = Phone::new(2, "100", "127.0.0.1:5062".parse().unwrap());
//! let mut answered = other.answer(&Message::parse(&invite.to_bytes()).unwrap());
//! let ok = Message::parse(&answered.respond(200, "OK").to_bytes()).unwrap();
//!
//! call.learn(&ok);
//! assert!(call.ack(&ok).to_string().starts_with("ACK sip:100@127.0.0.1:5062 SIP/2.0\r\n"));
//! assert!(answered.bye().to_string().starts_with("BYE sip:0903383638@127.0.0.1:5070 SIP/2.0\r\n"));
//! ```

use std::net::SocketAddr;

use crate::message::{Draft, Message, uri_of};
use crate::rng::Rng;

/// One telephone: a user at an address. Makes calls, and answers for requests outside of any.
#[derive(Debug, Clone)]
pub struct Phone {
    user: String,
    address: SocketAddr,
    rng: Rng,
}

impl Phone {
    /// A telephone of `user` at `address`. Tags, branches and Call-IDs follow from `seed`.
    pub fn new(seed: u64, user: &str, address: SocketAddr) -> Self {
        Self { user: user.to_owned(), address, rng: Rng::new(seed) }
    }

    /// Where this phone is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The phone's own URI, also its Contact.
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.user, self.address)
    }

    /// A call to `to`, a SIP URI, of which nothing has been said yet.
    pub fn call(&mut self, to: &str) -> Call {
        let call_id = format!("{}@{}", self.token(), self.address.ip());
        let local = format!("<{}>;tag={}", self.uri(), self.token());
        self.dialog(call_id, local, format!("<{to}>"), to.to_owned(), Vec::new(), None)
    }

    /// The call that a received INVITE opens. The tag of this side is chosen here.
    pub fn answer(&mut self, invite: &Message) -> Call {
        let header = |name| invite.header(name).unwrap_or_default().to_owned();
        let local = format!("{};tag={}", header("To"), self.token());
        let target = invite.contact().unwrap_or_default();
        let routes = invite.values("Record-Route");
        self.dialog(header("Call-ID"), local, header("From"), target, routes, Some(invite.clone()))
    }

    /// A request outside of any call, such as OPTIONS.
    pub fn request(&mut self, method: &str, to: &str) -> Draft {
        self.call(to).request(method)
    }

    /// A response to a request outside of any call, with a tag of its own.
    pub fn respond(&mut self, request: &Message, status: u16, reason: &str) -> Draft {
        let tag = self.token();
        respond(request, status, reason, &tag)
    }

    fn dialog(
        &mut self,
        call_id: String,
        local: String,
        remote: String,
        target: String,
        routes: Vec<String>,
        invite: Option<Message>,
    ) -> Call {
        let rng = Rng::new(self.rng.next_u64());
        let phone = Phone { rng, ..self.clone() };
        Call { phone, call_id, local, remote, target, routes, cseq: 0, received: invite, sent: None }
    }

    fn token(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    fn via(&mut self) -> String {
        let branch = self.token();
        format!("SIP/2.0/UDP {};branch=z9hG4bK{branch};rport", self.address)
    }
}

/// One call of a phone, from either side.
#[derive(Debug, Clone)]
pub struct Call {
    phone: Phone,
    call_id: String,
    /// Our side of From and To, with the tag.
    local: String,
    /// The other side of From and To, with the tag once it is known.
    remote: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
    /// The last INVITE received, which `respond` answers.
    received: Option<Message>,
    /// The last INVITE sent: its CSeq number, Via and Request-URI, which CANCEL and a failure's ACK repeat.
    sent: Option<(u32, String, String)>,
}

impl Call {
    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Uses another Call-ID. Only before the first request.
    pub fn set_call_id(&mut self, call_id: &str) {
        call_id.clone_into(&mut self.call_id);
    }

    /// Uses another From value in place of `<sip:user@address>`; the tag is added. Only before the first request.
    pub fn set_from(&mut self, value: &str) {
        self.local = format!("{value};tag={}", self.phone.token());
    }

    /// The number of the last request sent.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// Where the next request of this call goes: the first route, or the remote target, when that is an IP address.
    pub fn next_hop(&self) -> Option<SocketAddr> {
        let uri = self.routes.first().map_or(self.target.as_str(), |route| uri_of(route));
        let host = uri.strip_prefix("sip:")?.split([';', '?']).next()?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        host.parse().ok().or_else(|| host.parse().ok().map(|ip| SocketAddr::new(ip, 5060)))
    }

    /// An INVITE: the first one, or a re-INVITE. Without a body; add one with [`Draft::sdp`].
    pub fn invite(&mut self) -> Draft {
        let invite = self.request("INVITE");
        let uri = self.target.clone();
        let via = Message::parse(&invite.to_bytes()).and_then(|m| m.header("Via").map(str::to_owned));
        self.sent = via.map(|via| (self.cseq, via, uri));
        invite
    }

    /// Takes over what a response or a request of the other side says about the dialog: its tag, its Contact, the route set.
    pub fn learn(&mut self, message: &Message) {
        if message.status().is_some_and(|s| s < 300) {
            if let Some(to) = message.header("To").filter(|_| message.tag().is_some()) {
                to.clone_into(&mut self.remote);
            }
            if self.routes.is_empty() {
                self.routes = message.values("Record-Route").into_iter().rev().collect();
            }
        }
        if message.method() == Some("INVITE") {
            self.received = Some(message.clone());
        }
        if let Some(contact) = message.contact().filter(|_| message.status().is_none_or(|s| s < 300)) {
            self.target = contact;
        }
    }

    /// The ACK of a final response to our INVITE: of its own for a 2xx (§13.2.2.4), within the transaction for a failure
    /// (§17.1.1.3).
    ///
    /// # Panics
    /// When no INVITE was sent.
    pub fn ack(&mut self, response: &Message) -> Draft {
        let (cseq, via, uri) = self.sent.clone().expect("an ACK follows an INVITE of this call");
        let to = response.header("To").unwrap_or_default();
        if response.status().is_some_and(|s| s < 300) {
            self.draft("ACK", &self.target.clone(), cseq).replace("To", to)
        } else {
            self.draft("ACK", &uri, cseq).without("Route").replace("Via", via).replace("To", to)
        }
    }

    /// The CANCEL of our INVITE (§9.1).
    ///
    /// # Panics
    /// When no INVITE was sent.
    pub fn cancel(&mut self) -> Draft {
        let (cseq, via, uri) = self.sent.clone().expect("a CANCEL follows an INVITE of this call");
        self.draft("CANCEL", &uri, cseq).replace("Via", via).without("Contact")
    }

    /// A BYE.
    pub fn bye(&mut self) -> Draft {
        self.request("BYE")
    }

    /// The next request within the call.
    pub fn request(&mut self, method: &str) -> Draft {
        self.cseq += 1;
        self.draft(method, &self.target.clone(), self.cseq)
    }

    /// A response to the last INVITE received.
    ///
    /// # Panics
    /// When none was received.
    pub fn respond(&mut self, status: u16, reason: &str) -> Draft {
        let invite = self.received.clone().expect("the call was opened by an INVITE of the other side");
        self.respond_to(&invite, status, reason)
    }

    /// A response to any request within the call.
    pub fn respond_to(&self, request: &Message, status: u16, reason: &str) -> Draft {
        let tag = crate::message::parameter(&self.local, "tag").unwrap_or_default();
        let draft = respond(request, status, reason, &tag);
        if request.method() == Some("INVITE") && (101..300).contains(&status) {
            return draft.header("Contact", format!("<{}>", self.phone.uri()));
        }
        draft
    }

    fn draft(&mut self, method: &str, uri: &str, cseq: u32) -> Draft {
        let draft = Draft::request(method, uri).header("Via", self.phone.via()).header("Max-Forwards", 70);
        let draft = self.routes.iter().fold(draft, |draft, route| draft.header("Route", route));
        draft
            .header("From", &self.local)
            .header("To", &self.remote)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{cseq} {method}"))
            .header("Contact", format!("<{}>", self.phone.uri()))
    }
}

/// A response that repeats what §8.2.6.2 says it must; `tag` is added to the To of all but a 100.
fn respond(request: &Message, status: u16, reason: &str, tag: &str) -> Draft {
    let mut draft = Draft::response(status, reason);
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in request.headers(name) {
            let tagged = name == "To" && status > 100 && request.tag().is_none();
            draft = if tagged {
                draft.header(name, format!("{value};tag={tag}"))
            } else {
                draft.header(name, value)
            };
        }
    }
    draft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp;

    fn phones() -> (Phone, Phone) {
        (
            Phone::new(1, "alice", "127.0.0.1:5070".parse().unwrap()),
            Phone::new(2, "bob", "127.0.0.1:5080".parse().unwrap()),
        )
    }

    fn sent(draft: &Draft) -> Message {
        Message::parse(&draft.to_bytes()).expect("a draft of the phone is a message")
    }

    #[test]
    fn invite_carries_all_that_a_request_needs() {
        let (mut alice, _) = phones();
        let mut call = alice.call("sip:bob@127.0.0.1:5080");
        let invite = sent(&call.invite().sdp(&sdp::audio("127.0.0.1:4000".parse().unwrap(), &[0])));
        assert_eq!(invite.start_line(), "INVITE sip:bob@127.0.0.1:5080 SIP/2.0");
        assert_eq!(invite.cseq(), Some((1, "INVITE")));
        assert_eq!((invite.header("To"), invite.tag()), (Some("<sip:bob@127.0.0.1:5080>"), None));
        assert!(invite.branch().unwrap().starts_with("z9hG4bK"));
        assert_eq!(invite.contact().unwrap(), "sip:alice@127.0.0.1:5070");
        assert_eq!(invite.header("Content-Length"), Some(invite.body().len().to_string().as_str()));
        assert_eq!(call.next_hop(), Some("127.0.0.1:5080".parse().unwrap()));
    }

    #[test]
    fn both_sides_of_a_call_agree_on_the_dialog() {
        let (mut alice, mut bob) = phones();
        let mut ours = alice.call("sip:bob@127.0.0.1:5080");
        let invite = sent(&ours.invite());
        let mut theirs = bob.answer(&invite);
        let ok = sent(&theirs.respond(200, "OK"));
        ours.learn(&ok);
        let (ack, bye, back) = (sent(&ours.ack(&ok)), sent(&ours.bye()), sent(&theirs.bye()));
        assert_eq!(ack.cseq(), Some((1, "ACK")));
        assert_ne!(ack.branch(), invite.branch(), "the ACK of a 2xx is a transaction of its own");
        assert_eq!(bye.cseq(), Some((2, "BYE")));
        assert_eq!((bye.from_tag(), bye.tag()), (back.tag(), back.from_tag()));
        assert_eq!((bye.call_id(), back.call_id()), (invite.call_id(), invite.call_id()));
        assert_eq!(back.uri(), Some("sip:alice@127.0.0.1:5070"));
    }

    #[test]
    fn responses_repeat_the_request_and_keep_their_tag() {
        let (mut alice, mut bob) = phones();
        let invite = alice.call("sip:bob@127.0.0.1:5080").invite().header("Record-Route", "<sip:p;lr>");
        let invite = sent(&invite.header("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKup"));
        let mut call = bob.answer(&invite);
        let (trying, ringing, ok) = (
            sent(&call.respond(100, "Trying")),
            sent(&call.respond(180, "Ringing")),
            sent(&call.respond(200, "OK")),
        );
        assert_eq!(trying.tag(), None);
        assert_eq!(ringing.tag(), ok.tag());
        assert!(ok.tag().is_some());
        assert_eq!(ok.values("Via"), invite.values("Via"));
        assert_eq!(ok.header("Record-Route"), Some("<sip:p;lr>"));
        assert_eq!((trying.contact(), ok.contact()), (None, Some("sip:bob@127.0.0.1:5080".into())));
    }

    #[test]
    fn cancel_and_failure_ack_repeat_the_branch_of_the_invite() {
        let (mut alice, mut bob) = phones();
        let mut call = alice.call("sip:bob@127.0.0.1:5080");
        let invite = sent(&call.invite());
        let cancel = sent(&call.cancel());
        assert_eq!((cancel.branch(), cancel.cseq()), (invite.branch(), Some((1, "CANCEL"))));
        let busy = sent(&bob.answer(&invite).respond(486, "Busy Here"));
        call.learn(&busy);
        let ack = sent(&call.ack(&busy));
        assert_eq!((ack.branch(), ack.uri(), ack.tag()), (invite.branch(), invite.uri(), busy.tag()));
    }

    #[test]
    fn record_route_becomes_the_route_of_either_side() {
        let (mut alice, mut bob) = phones();
        let mut ours = alice.call("sip:bob@127.0.0.1:5080");
        let routed = ours.invite().header("Record-Route", "<sip:127.0.0.1:9002;lr>, <sip:127.0.0.1:9001;lr>");
        let mut theirs = bob.answer(&sent(&routed));
        ours.learn(&sent(&theirs.respond(200, "OK")));
        assert_eq!(sent(&ours.bye()).values("Route"), ["<sip:127.0.0.1:9001;lr>", "<sip:127.0.0.1:9002;lr>"]);
        assert_eq!(
            sent(&theirs.bye()).values("Route"),
            ["<sip:127.0.0.1:9002;lr>", "<sip:127.0.0.1:9001;lr>"]
        );
        assert_eq!(ours.next_hop(), Some("127.0.0.1:9001".parse().unwrap()));
    }

    #[test]
    fn re_invite_is_answered_in_its_own_transaction() {
        let (mut alice, mut bob) = phones();
        let mut ours = alice.call("sip:bob@127.0.0.1:5080");
        let mut theirs = bob.answer(&sent(&ours.invite()));
        ours.learn(&sent(&theirs.respond(200, "OK")));
        let again = sent(&ours.invite());
        theirs.learn(&again);
        let ok = sent(&theirs.respond(200, "OK"));
        assert_eq!((ok.branch(), ok.cseq()), (again.branch(), Some((2, "INVITE"))));
        assert_eq!(ok.tag(), again.tag());
        assert_eq!(sent(&ours.ack(&ok)).cseq(), Some((2, "ACK")));
    }

    #[test]
    fn script_may_choose_ids_that_hurt() {
        let (mut alice, _) = phones();
        let mut call = alice.call("sip:bob@127.0.0.1:5080");
        call.set_call_id("a:b##c@h");
        call.set_from("\"0903383638\" <sip:0903383638@h>");
        let invite = sent(&call.invite());
        assert_eq!(invite.call_id(), "a:b##c@h");
        assert!(invite.header("From").unwrap().starts_with("\"0903383638\" <sip:0903383638@h>;tag="));
        assert!(invite.from_tag().is_some());
    }
}
