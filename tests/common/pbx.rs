//! `Pbx` owns the SIP socket of a telephone system: calls in, calls out, any number at once, from any number of threads.
//!
//! What comes in goes to the call it belongs to, by Call-ID. A datagram that comes again gets the same reply again; a
//! request of ours is repeated until something comes back (RFC 3261 §17). The rest is up to the script.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::message::{Draft, Message};
use testkit::phone::{Call, Phone};
use testkit::sdp;

use super::rtp_end::RtpEnd;
use super::{Feed, WAIT};

/// T1 of RFC 3261: after this long without a reply a request is sent again.
const T1: Duration = Duration::from_millis(500);

/// What an INVITE of ours says. The default offers µ-law, A-law and telephone events.
#[derive(Debug, Clone)]
pub struct Invite {
    /// Payload types in order of preference.
    pub formats: Vec<u8>,
    /// Value of the From header without the tag.
    pub from: Option<String>,
    pub call_id: Option<String>,
    /// The user part of the Request-URI.
    pub to: String,
    /// Keep arriving RTP. Off for hundreds of calls that only count.
    pub listen: bool,
}

impl Default for Invite {
    fn default() -> Self {
        Self { formats: vec![0, 8, 101], from: None, call_id: None, to: "100".into(), listen: true }
    }
}

struct Received {
    raw: Vec<u8>,
    message: Message,
    from: SocketAddr,
}

/// A request of the relay outside of any call.
pub struct Request(Received);

impl Request {
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// A header that must be there.
    pub fn header(&self, name: &str) -> &str {
        self.0.message.header(name).unwrap_or_else(|| panic!("no {name} in\n{}", self.0.message))
    }
}

/// Bytes and where they go.
type Datagram = (Vec<u8>, SocketAddr);

struct Wire {
    socket: UdpSocket,
    incoming: Feed<Received>,
    /// Reply to a datagram that was answered already.
    replies: Mutex<HashMap<Vec<u8>, Datagram>>,
    seen_again: AtomicU64,
    sent_again: AtomicU64,
    stop: AtomicBool,
}

pub struct Pbx {
    wire: Arc<Wire>,
    phone: Mutex<Phone>,
}

impl Pbx {
    /// A telephone system on a free port of loopback, whose caller is `0903383638`.
    pub fn new() -> Self {
        Self::with_user("0903383638")
    }

    pub fn with_user(user: &str) -> Self {
        Self::bind(user, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// A telephone system with the caller `0903383638` at a place of the test's choice.
    pub fn at(address: SocketAddr) -> Self {
        Self::bind("0903383638", address)
    }

    fn bind(user: &str, address: SocketAddr) -> Self {
        static SEED: AtomicU32 = AtomicU32::new(1);
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let seed = u64::from(SEED.fetch_add(1, Ordering::Relaxed)) << 32 | u64::from(std::process::id());
        let phone = Mutex::new(Phone::new(seed, user, socket.local_addr().unwrap()));
        let wire = Arc::new(Wire {
            socket,
            incoming: Feed::new(),
            replies: Mutex::default(),
            seen_again: AtomicU64::new(0),
            sent_again: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let reader = wire.clone();
        std::thread::spawn(move || reader.receive());
        Self { wire, phone }
    }

    pub fn address(&self) -> SocketAddr {
        self.wire.socket.local_addr().unwrap()
    }

    /// The settings that make this the relay's telephone system.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        let address = self.address();
        [("SIP_SERVER_IP", address.ip().to_string()), ("SIP_TRANSFER_PORT", address.port().to_string())]
    }

    /// Calls `relay`: sends the INVITE.
    pub fn invite(&self, relay: SocketAddr, invite: Invite) -> PbxCall {
        self.invite_with(relay, invite, |draft| draft)
    }

    /// The same with an INVITE that the test has changed.
    pub fn invite_with(
        &self,
        relay: SocketAddr,
        invite: Invite,
        change: impl FnOnce(Draft) -> Draft,
    ) -> PbxCall {
        let mut call = self.phone.lock().unwrap().call(&format!("sip:{}@{relay}", invite.to));
        if let Some(call_id) = &invite.call_id {
            call.set_call_id(call_id);
        }
        if let Some(from) = &invite.from {
            call.set_from(from);
        }
        let rtp = RtpEnd::bind_on(self.address().ip(), invite.listen);
        let mut call = PbxCall::new(self.wire.clone(), call, relay, rtp);
        call.rtp.payload_type = invite.formats[0];
        let sdp = sdp::audio(call.rtp.address(), &invite.formats);
        let draft = change(call.call.invite().sdp(&sdp));
        call.send_request(&draft);
        call
    }

    /// Calls `relay` and brings the call up: INVITE, 200, ACK.
    pub fn call(&self, relay: SocketAddr, invite: Invite) -> PbxCall {
        let mut call = self.invite(relay, invite);
        call.expect_response(200);
        call.ack();
        call
    }

    /// Waits for a call from the relay. The RTP socket is bound and sends to where the offer says, in the first format.
    pub fn expect_call(&self) -> PbxCall {
        let invite = self.wire.incoming.wait(Instant::now() + WAIT, |list| {
            let first = list
                .iter()
                .position(|r| r.message.method() == Some("INVITE") && r.message.tag().is_none())?;
            Some(list.remove(first))
        });
        let invite = invite.expect("an INVITE from the relay");
        let call = self.phone.lock().unwrap().answer(&invite.message);
        let mut call =
            PbxCall::new(self.wire.clone(), call, invite.from, RtpEnd::bind_on(self.address().ip(), true));
        call.set_media(invite.message.body());
        call.last_invite = Some(invite.raw.clone());
        call.keep(&invite);
        call
    }

    /// Sends a request outside of any call and waits for the final response.
    pub fn request(&self, relay: SocketAddr, method: &str) -> Message {
        let call = self.phone.lock().unwrap().call(&format!("sip:relay@{relay}"));
        let mut call = PbxCall::new(self.wire.clone(), call, relay, RtpEnd::bind(false));
        let draft = call.call.request(method);
        call.send_request(&draft);
        call.expect_final()
    }

    /// Waits for a request of the relay outside of any call.
    pub fn expect_request(&self, method: &str) -> Request {
        let found = self.wire.incoming.wait(Instant::now() + WAIT, |list| {
            let first = list.iter().position(|r| r.message.method() == Some(method))?;
            Some(list.remove(first))
        });
        Request(found.unwrap_or_else(|| panic!("no {method} from the relay")))
    }

    /// Answers such a request.
    pub fn answer(&self, request: &Request, status: u16, reason: &str, headers: &[(&str, &str)]) {
        let draft = self.phone.lock().unwrap().respond(&request.0.message, status, reason);
        let draft = headers.iter().fold(draft, |draft, (name, value)| draft.header(name, value));
        self.wire.reply(&request.0.raw, &draft, request.0.from);
    }

    /// Sends any datagram to `relay`.
    pub fn send_raw(&self, relay: SocketAddr, datagram: &[u8]) {
        self.wire.socket.send_to(datagram, relay).unwrap();
    }

    /// Datagrams that came more than once.
    pub fn seen_again(&self) -> u64 {
        self.wire.seen_again.load(Ordering::Relaxed)
    }

    /// Requests that were sent more than once.
    pub fn sent_again(&self) -> u64 {
        self.wire.sent_again.load(Ordering::Relaxed)
    }

    /// Messages that no script has asked for. A provisional response that came before the final one that a script asked for
    /// is none: it is the other side's choice (RFC 3261 §13.3.1.1).
    pub fn unexpected(&self) -> Vec<String> {
        self.wire.incoming.with(|list| list.iter().map(|r| r.message.to_string()).collect())
    }
}

impl Drop for Pbx {
    fn drop(&mut self) {
        self.wire.stop.store(true, Ordering::Relaxed);
    }
}

impl Wire {
    fn receive(&self) {
        let mut buffer = vec![0; 65_536];
        let mut seen = std::collections::HashSet::new();
        while !self.stop.load(Ordering::Relaxed) {
            let Ok((n, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let raw = buffer[..n].to_vec();
            if !seen.insert(raw.clone()) {
                self.seen_again.fetch_add(1, Ordering::Relaxed);
                if let Some((reply, to)) = self.replies.lock().unwrap().get(&raw) {
                    let _ = self.socket.send_to(reply, to);
                }
            } else if let Some(message) = Message::parse(&raw) {
                self.incoming.push(Received { raw, message, from });
            }
        }
    }

    /// Sends `draft`; when `to_datagram` comes again, sends it again.
    fn reply(&self, to_datagram: &[u8], draft: &Draft, to: SocketAddr) {
        let bytes = draft.to_bytes();
        self.socket.send_to(&bytes, to).unwrap();
        self.replies.lock().unwrap().insert(to_datagram.to_vec(), (bytes, to));
    }
}

/// One call of a [`Pbx`].
pub struct PbxCall {
    wire: Arc<Wire>,
    pub call: Call,
    pub rtp: RtpEnd,
    relay: SocketAddr,
    /// The last response to an INVITE of ours, for the ACK.
    last_final: Option<(Vec<u8>, Message)>,
    last_invite: Option<Vec<u8>>,
    pending: Option<(Vec<u8>, u32, Instant, Duration)>,
    transcript: Vec<String>,
}

impl PbxCall {
    fn new(wire: Arc<Wire>, call: Call, relay: SocketAddr, rtp: RtpEnd) -> Self {
        let (last_final, last_invite, pending) = (None, None, None);
        Self { wire, call, rtp, relay, last_final, last_invite, pending, transcript: Vec::new() }
    }

    pub fn call_id(&self) -> String {
        self.call.call_id().to_owned()
    }

    /// Start lines received for this call, in order.
    pub fn transcript(&self) -> &[String] {
        &self.transcript
    }

    /// The last INVITE of the relay, as it came.
    pub fn invite_text(&self) -> String {
        String::from_utf8(self.last_invite.clone().expect("the relay sent an INVITE")).unwrap()
    }

    /// Where the relay sends from, or where our requests go.
    pub fn relay(&self) -> SocketAddr {
        self.relay
    }

    /// Sends the last request of ours again, byte for byte.
    pub fn send_again(&self, draft: &Draft) {
        self.wire.socket.send_to(&draft.to_bytes(), self.next_hop()).unwrap();
    }

    /// Sends a request of this call and repeats it while nothing comes back.
    pub fn send_request(&mut self, draft: &Draft) {
        let bytes = draft.to_bytes();
        self.wire.socket.send_to(&bytes, self.next_hop()).unwrap();
        let cseq = self.call.cseq();
        self.pending = Some((bytes, cseq, Instant::now() + T1, T1));
    }

    /// Waits for the response with this status to the last request; another final status fails the test. A body with
    /// media sets where RTP goes.
    pub fn expect_response(&mut self, status: u16) -> Message {
        let message = self.next("response", |m| m.status().is_some_and(|s| s == status || s >= 200));
        assert_eq!(message.status(), Some(status), "unexpected response:\n{message}");
        message
    }

    /// Waits for any final response to the last request.
    pub fn expect_final(&mut self) -> Message {
        self.next("final response", |m| m.status().is_some_and(|s| s >= 200))
    }

    /// Waits for the final response to our request of this method, stepping over those to others.
    pub fn expect_final_of(&mut self, method: &str) -> Message {
        self.next(&format!("final response to {method}"), |m| {
            m.status().is_some_and(|s| s >= 200) && m.cseq().is_some_and(|c| c.1 == method)
        })
    }

    /// A request of this method that has come already.
    pub fn poll_request(&mut self, method: &str) -> Option<Message> {
        self.take(Instant::now(), |m| m.method() == Some(method))
    }

    /// Waits for a request of this method within the call.
    pub fn expect_request(&mut self, method: &str) -> Message {
        self.next(method, |m| m.method() == Some(method))
    }

    /// Acknowledges the last final response to an INVITE. When the response comes again, so does the ACK.
    pub fn ack(&mut self) {
        self.ack_with(|ack| ack);
    }

    /// The same with an ACK that the test has changed.
    pub fn ack_with(&mut self, change: impl FnOnce(Draft) -> Draft) {
        let (raw, message) = self.last_final.clone().expect("a final response came before the ACK");
        let draft = change(self.call.ack(&message));
        let failure = message.status().is_some_and(|s| s >= 300);
        self.wire.reply(&raw, &draft, if failure { self.relay } else { self.next_hop() });
    }

    /// Ends the call and waits for the 200.
    pub fn bye(&mut self) {
        let bye = self.call.bye();
        self.send_request(&bye);
        self.expect_response(200);
    }

    /// Cancels our INVITE: waits for the 200 to the CANCEL and the 487, and acknowledges that.
    pub fn cancel(&mut self) {
        self.send_cancel();
        let is = |m: &Message, status, method| {
            m.status() == Some(status) && m.cseq().is_some_and(|c| c.1 == method)
        };
        self.next("200 to CANCEL", |m| is(m, 200, "CANCEL"));
        self.next("487 to INVITE", |m| is(m, 487, "INVITE"));
        self.ack();
    }

    /// Sends CANCEL for our INVITE; what comes back is up to the test.
    pub fn send_cancel(&mut self) {
        self.pending = None;
        let cancel = self.call.cancel();
        self.wire.socket.send_to(&cancel.to_bytes(), self.relay).unwrap();
    }

    /// Sends a re-INVITE with this description.
    pub fn reinvite(&mut self, sdp: &str) {
        let draft = self.call.invite().sdp(sdp);
        self.send_request(&draft);
    }

    /// Answers the INVITE of the relay without a body.
    pub fn respond(&mut self, status: u16, reason: &str) {
        let draft = self.call.respond(status, reason);
        self.send_response(&draft);
    }

    /// Answers the INVITE of the relay with 200 and a description of these formats. RTP is sent in the first one.
    pub fn answer(&mut self, formats: &[u8]) {
        self.rtp.payload_type = formats[0];
        let draft = self.call.respond(200, "OK").sdp(&sdp::audio(self.rtp.address(), formats));
        self.send_response(&draft);
    }

    /// Sends a response to the INVITE of the relay as it is.
    pub fn send_response(&mut self, draft: &Draft) {
        let invite = self.last_invite.clone().expect("the relay sent an INVITE");
        self.wire.reply(&invite, draft, self.relay);
    }

    /// Sends a response to any request of the relay as it is.
    pub fn send_response_to(&self, draft: &Draft) {
        self.wire.socket.send_to(&draft.to_bytes(), self.relay).unwrap();
    }

    /// Answers a request within the call.
    pub fn respond_to(&mut self, request: &Message, status: u16, reason: &str) {
        let draft = self.call.respond_to(request, status, reason);
        self.send_response_to(&draft);
    }

    /// Waits for the relay's BYE and answers it.
    pub fn expect_bye(&mut self) {
        let bye = self.expect_request("BYE");
        self.respond_to(&bye, 200, "OK");
    }

    /// True when nothing arrives for this call within `time`.
    pub fn is_quiet(&mut self, time: Duration) -> bool {
        self.take(Instant::now() + time, |_| true).is_none()
    }

    fn next_hop(&self) -> SocketAddr {
        self.call.next_hop().unwrap_or(self.relay)
    }

    fn next(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let found = self.take(Instant::now() + WAIT, wanted);
        found.unwrap_or_else(|| panic!("no {what} within {WAIT:?}; this call received {:?}", self.transcript))
    }

    fn take(&mut self, deadline: Instant, wanted: impl Fn(&Message) -> bool) -> Option<Message> {
        let call_id = self.call_id();
        loop {
            let until = self.pending.as_ref().map_or(deadline, |p| p.2.min(deadline));
            let taken = self.wire.incoming.wait(until, |list| {
                let position =
                    list.iter().position(|r| r.message.call_id() == call_id && wanted(&r.message))?;
                let found = list.remove(position);
                // Provisional responses that came before are passed over, and stand in the transcript.
                let passed = |r: &mut Received| {
                    r.message.call_id() == call_id && r.message.status().is_some_and(|s| s < 200)
                };
                let mut passed: Vec<Received> = list.extract_if(..position, passed).collect();
                passed.push(found);
                Some(passed)
            });
            let received = taken.and_then(|mut taken| {
                let wanted = taken.pop();
                taken.iter().for_each(|passed| self.keep(passed));
                wanted
            });
            // Anything that answers the pending request ends its repetition, wanted or not.
            if let Some((_, cseq, ..)) = self.pending {
                let answered = |m: &Message| m.call_id() == call_id && m.cseq().is_some_and(|c| c.0 == cseq);
                let waiting = |list: &mut Vec<Received>| {
                    list.iter().any(|r| r.message.status().is_some() && answered(&r.message))
                };
                if received.as_ref().is_some_and(|r| r.message.status().is_some())
                    || self.wire.incoming.with(waiting)
                {
                    self.pending = None;
                }
            }
            if let Some(received) = received {
                self.keep(&received);
                return Some(received.message);
            }
            if Instant::now() >= deadline {
                return None;
            }
            self.repeat_request();
        }
    }

    fn repeat_request(&mut self) {
        let to = self.next_hop();
        if let Some((bytes, _, at, interval)) = self.pending.as_mut().filter(|p| p.2 <= Instant::now()) {
            self.wire.socket.send_to(bytes, to).unwrap();
            self.wire.sent_again.fetch_add(1, Ordering::Relaxed);
            *interval *= 2;
            *at = Instant::now() + *interval;
        }
    }

    fn keep(&mut self, received: &Received) {
        let message = &received.message;
        self.transcript.push(message.start_line().to_owned());
        self.call.learn(message);
        let of_invite = message.cseq().is_some_and(|(_, method)| method == "INVITE");
        if of_invite && message.status().is_some_and(|s| s >= 200) {
            self.last_final = Some((received.raw.clone(), message.clone()));
        }
        if message.method() == Some("INVITE") {
            self.last_invite = Some(received.raw.clone());
        }
        if of_invite {
            self.set_media(message.body());
        }
    }

    fn set_media(&mut self, body: &str) {
        if let Some(to) = sdp::media_address(body) {
            self.rtp.to = Some(to);
        }
        if let Some(&first) = sdp::formats(body).first() {
            self.rtp.payload_type = first;
        }
    }
}
