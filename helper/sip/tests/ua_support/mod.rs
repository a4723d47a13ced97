//! A test bench for one endpoint: virtual time, the peer's messages as text, everything sent and every event recorded.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{CallKey, Dial, Endpoint, EndpointConfig, Event, Output, Stats};

pub const OURS: &str = "10.0.0.5:5062";
pub const PEER: &str = "10.0.0.9:5060";
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\n";
pub const ANSWER: &str = "v=0\r\no=- 2 2 IN IP4 10.0.0.5\r\n";

/// One datagram that the endpoint sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Milliseconds since the start of the bench.
    pub at: u64,
    pub to: SocketAddr,
    pub text: String,
}

pub struct Bench {
    pub endpoint: Endpoint,
    pub start: Instant,
    pub now: Instant,
    pub sent: VecDeque<Sent>,
    pub events: VecDeque<Event>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(EndpointConfig::new(OURS.parse().unwrap()))
    }

    pub fn with(config: EndpointConfig) -> Self {
        let start = Instant::now();
        let endpoint = Endpoint::new(config, [7; 32]);
        Self { endpoint, start, now: start, sent: VecDeque::new(), events: VecDeque::new() }
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { destination, payload } => self.sent.push_back(Sent {
                    at: (self.now - self.start).as_millis() as u64,
                    to: destination,
                    text: String::from_utf8_lossy(&payload).into_owned(),
                }),
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }

    /// The peer sends `text`, from its usual address.
    pub fn receive(&mut self, text: &str) {
        self.receive_from(PEER, text);
    }

    pub fn receive_from(&mut self, source: &str, text: &str) {
        let datagram = Bytes::copy_from_slice(text.as_bytes());
        self.endpoint.handle_datagram(self.now, source.parse().unwrap(), datagram);
        self.drain();
    }

    /// Lets time pass, stopping at every timer.
    pub fn advance(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.endpoint.next_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Runs a command and records what it causes.
    pub fn run<T>(&mut self, command: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let result = command(&mut self.endpoint, self.now);
        self.drain();
        result
    }

    pub fn dial(&mut self, number: &str) -> CallKey {
        let dial = Dial::new(format!("sip:{number}@10.0.0.9"), PEER.parse().unwrap(), sdp(OFFER));
        self.run(|endpoint, now| endpoint.dial(now, dial)).unwrap()
    }

    /// The next datagram.
    pub fn next(&mut self) -> Sent {
        self.sent.pop_front().expect("the endpoint sent something")
    }

    /// The next event.
    pub fn event(&mut self) -> Event {
        self.events.pop_front().expect("the endpoint reported something")
    }

    /// The first lines of everything that was sent, with the times.
    pub fn take_starts(&mut self) -> Vec<(u64, String)> {
        self.sent.drain(..).map(|sent| (sent.at, sent.start().to_owned())).collect()
    }

    /// The first lines of everything that was sent.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.take_starts().into_iter().map(|(_, line)| line).collect()
    }

    /// Nothing was sent and nothing reported.
    pub fn assert_quiet(&self) {
        assert!(self.sent.is_empty(), "sent: {:#?}", self.sent);
        assert!(self.events.is_empty(), "events: {:#?}", self.events);
    }

    /// Nothing was sent.
    pub fn assert_no_more_sent(&self) {
        assert!(self.sent.is_empty(), "sent: {:#?}", self.sent);
    }

    /// Nothing was reported.
    pub fn assert_no_events(&self) {
        assert!(self.events.is_empty(), "events: {:#?}", self.events);
    }

    /// Long after everything, no table holds anything.
    pub fn assert_empty(&mut self) {
        self.advance(1_200_000);
        let Stats { transactions, dialogs, calls, timers, .. } = self.endpoint.stats();
        assert_eq!(
            (transactions, dialogs, calls, timers),
            (0, 0, 0, 0),
            "transactions, dialogs, calls, timers"
        );
    }

    /// An inbound call that is ringing at us; its INVITE is `invite("1", ..)`.
    pub fn ringing_call(&mut self) -> CallKey {
        self.receive(&invite());
        let Event::Incoming(incoming) = self.event() else { panic!("not a call") };
        self.run(|endpoint, now| endpoint.ringing(now, incoming.call)).unwrap();
        incoming.call
    }

    /// An inbound call that is up. Returns it and its local tag.
    pub fn inbound_call(&mut self) -> (CallKey, String) {
        let call = self.ringing_call();
        self.run(|endpoint, now| endpoint.answer(now, call, sdp(ANSWER))).unwrap();
        let tag = self.sent.back().unwrap().to_tag();
        self.receive(&in_dialog("ACK", 1, &tag, "ack1"));
        assert_eq!(self.event(), Event::Acked { call, sdp: None });
        self.sent.clear();
        (call, tag)
    }

    /// An outbound call that is up; the peer's tag is `peer`, its Contact `sip:bob@10.0.0.9:5070`.
    pub fn outbound_call(&mut self) -> (CallKey, Sent) {
        let call = self.dial("1234567");
        let invite = self.next();
        self.receive(&invite.response("200 OK", "peer", ANSWER_HEADERS, ANSWER));
        assert_eq!(self.event(), Event::Answered { call, sdp: Some(sdp(ANSWER)) });
        assert!(self.next().text.starts_with("ACK "));
        (call, invite)
    }
}

pub const ANSWER_HEADERS: &str = "Contact: <sip:bob@10.0.0.9:5070>\r\nContent-Type: application/sdp\r\n";

impl Sent {
    pub fn start(&self) -> &str {
        self.text.lines().next().unwrap()
    }

    /// The value of the first header with this name.
    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_else(|| panic!("no {name} in {}", self.text))
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| *n == name).map(|(_, value)| value).collect()
    }

    pub fn names(&self) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        head.lines().skip(1).map(|line| line.split_once(':').unwrap().0).collect()
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }

    pub fn to_tag(&self) -> String {
        tag(self.header("To"))
    }

    pub fn caller_tag(&self) -> String {
        tag(self.header("From"))
    }

    pub fn branch(&self) -> String {
        let via = self.header("Via");
        via.split(";branch=").nth(1).unwrap().split(';').next().unwrap().to_owned()
    }

    /// The peer's response to this request.
    pub fn response(&self, status: &str, to_tag: &str, headers: &str, body: &str) -> String {
        let to = self.header("To");
        let to = if to.contains(";tag=") || to_tag.is_empty() {
            to.to_owned()
        } else {
            format!("{to};tag={to_tag}")
        };
        format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            self.header("Via"),
            self.header("From"),
            self.header("Call-ID"),
            self.header("CSeq"),
            body.len(),
        )
    }

    /// A request of the peer in the dialog that this INVITE of ours and the peer's tag `peer` made.
    pub fn peer_request(&self, method: &str, cseq: u32, headers: &str, body: &str) -> String {
        format!(
            "{method} sip:{OURS} SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bKp{method}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: {};tag=peer\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            self.header("To"),
            self.header("From"),
            self.header("Call-ID"),
            body.len(),
        )
    }
}

fn tag(value: &str) -> String {
    value.split(";tag=").nth(1).unwrap_or_else(|| panic!("no tag in {value}")).to_owned()
}

pub fn sdp(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The peer's INVITE.
pub fn invite() -> String {
    request("INVITE", 1, "", "inv1", &format!("{CONTACT}Content-Type: application/sdp\r\n"), OFFER)
}

pub const CONTACT: &str = "Contact: <sip:alice@10.0.0.9:5060>\r\n";

/// A request of the peer inside the dialog of its INVITE, to our tag `tag`.
pub fn in_dialog(method: &str, cseq: u32, tag: &str, branch: &str) -> String {
    request(method, cseq, tag, branch, "", "")
}

/// Any request of the peer; an empty `tag` leaves the To tag out.
pub fn request(method: &str, cseq: u32, tag: &str, branch: &str, headers: &str, body: &str) -> String {
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    format!(
        "{method} sip:relay@{OURS} SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bK{branch};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"0903383638\" <sip:0903383638@10.0.0.9>;tag=caller\r\n\
         To: <sip:relay@{OURS}>{tag}\r\nCall-ID: a:b##c@10.0.0.9\r\nCSeq: {cseq} {method}\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len(),
    )
}
