//! Random sequences of messages, commands, losses and time: no panic, exactly one end per call, nothing left behind.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests")]

mod ua_support;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use sip::msg::{Limits, parse_datagram, validate_request};
use sip::{
    CallKey, Credentials, Dial, Endpoint, EndpointConfig, Event, Output, Rejection, Reliable, SessionTimer,
    Stats,
};
use ua_support::*;

#[derive(Debug, Clone)]
enum Op {
    Request { method: usize, call: usize, branch: usize, tag: usize, cseq: u32, body: usize },
    Respond { request: usize, status: usize, tag: usize, contact: bool },
    Command { kind: usize, call: usize },
    Advance(u64),
    TransportError,
    Unreachable,
    Drain(bool),
}

const METHODS: [&str; 12] = [
    "INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "OPTIONS", "INFO", "INVITE", "REFER", "NOTIFY", "NOTIFY",
    "PRACK",
];
/// Headers and bodies of requests.
const BODIES: [(&str, &str); 10] = [
    ("", ""),
    ("Content-Type: application/sdp\r\n", OFFER),
    ("Require: x\r\n", ""),
    ("Content-Type: application/dtmf-relay\r\n", "Signal=1\r\n"),
    (
        "Refer-To: <sip:2@h>\r\nEvent: refer\r\nSubscription-State: active\r\nContent-Type: message/sipfrag\r\n",
        "SIP/2.0 180 x",
    ),
    (
        "Refer-To: <sip:2@h>\r\nEvent: refer\r\nSubscription-State: terminated\r\nContent-Type: message/sipfrag\r\n",
        "SIP/2.0 200 x",
    ),
    ("Supported: timer\r\nAllow: UPDATE\r\nSession-Expires: 90;refresher=uac\r\n", ""),
    ("Supported: timer\r\nSession-Expires: 300\r\nContent-Type: application/sdp\r\n", OFFER),
    ("Require: 100rel\r\nContent-Type: application/sdp\r\n", OFFER),
    ("k: 100rel, timer\r\n", ""),
];
const STATUSES: [&str; 19] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "200 OK",
    "200 OK",
    "302 Moved",
    "401 Unauthorized",
    "407 Proxy Authentication Required",
    "408 Request Timeout",
    "481 Gone",
    "486 Busy Here",
    "487 Request Terminated",
    "491 Request Pending",
    "503 Service Unavailable",
    "422 Session Interval Too Small",
    "501 Not Implemented",
    "200 Refreshed",
    "180 Reliable",
    "183 Reliable",
];
const CHALLENGES: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n\
     Proxy-Authenticate: Digest realm=\"p\", nonce=\"n\"\r\n";

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..METHODS.len(), 0..3usize, 0..4usize, 0..3usize, 0..5u32, 0..BODIES.len()).prop_map(
            |(method, call, branch, tag, cseq, body)| Op::Request { method, call, branch, tag, cseq, body }
        ),
        6 => (0..64usize, 0..STATUSES.len(), 0..2usize, any::<bool>())
            .prop_map(|(request, status, tag, contact)| Op::Respond { request, status, tag, contact }),
        6 => (0..18usize, 0..6usize).prop_map(|(kind, call)| Op::Command { kind, call }),
        3 => prop_oneof![Just(1u64), Just(500), Just(4_000), Just(33_000), Just(70_000), Just(500_000)].prop_map(Op::Advance),
        1 => Just(Op::TransportError),
        1 => Just(Op::Unreachable),
        1 => any::<bool>().prop_map(Op::Drain),
    ]
}

/// What every event must agree with.
#[derive(Default)]
struct Ledger {
    ended: HashMap<CallKey, bool>,
    order: Vec<CallKey>,
    /// Our transfers that were accepted and have no outcome.
    referring: HashSet<CallKey>,
}

impl Ledger {
    fn begin(&mut self, call: CallKey) {
        assert!(self.ended.insert(call, false).is_none(), "a call key came twice");
        self.order.push(call);
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::ReferAccepted { call } => assert!(self.referring.insert(*call), "accepted twice"),
            Event::ReferProgress { call, last, .. } => {
                assert!(self.referring.contains(call), "progress of nothing: {event:?}");
                if *last {
                    self.referring.remove(call);
                }
            }
            Event::ReferRefused { call, .. } => drop(self.referring.remove(call)),
            _ => {}
        }
        let call = match event {
            Event::Incoming(incoming) => return self.begin(incoming.call),
            Event::Ringing { call, .. }
            | Event::Answered { call, .. }
            | Event::Acked { call, .. }
            | Event::Offer { call, .. }
            | Event::OfferWithdrawn { call }
            | Event::OfferAcked { call, .. }
            | Event::Reanswered { call, .. }
            | Event::Refreshed { call, .. }
            | Event::ReofferRefused { call, .. }
            | Event::ReofferDue { call }
            | Event::Ended { call, .. }
            | Event::ReferAccepted { call }
            | Event::ReferProgress { call, .. }
            | Event::ReferRefused { call, .. }
            | Event::ReferRequested { call, .. }
            | Event::InfoDtmf { call, .. }
            | Event::InfoRefused { call, .. } => call,
            Event::Registered { .. }
            | Event::RegistrationFailed { .. }
            | Event::Unregistered { .. }
            | Event::CredentialsRefused { .. } => panic!("nobody asked for {event:?}"),
        };
        let ended = self.ended.get_mut(call).expect("an event for a call that nobody announced");
        assert!(!*ended, "{event:?} after the end");
        *ended = matches!(event, Event::Ended { .. });
    }

    fn assert_all_ended(&self) {
        assert!(self.ended.values().all(|ended| *ended), "a call never ended");
    }
}

fn command(endpoint: &mut Endpoint, now: Instant, kind: usize, call: CallKey) {
    let sdp = || Bytes::from_static(ANSWER.as_bytes());
    // Whether the state allows the command is the endpoint's business.
    let _ = match kind {
        0 => endpoint.ringing(now, call),
        1 => endpoint.progress(now, call, sdp()),
        2 | 3 => endpoint.answer(now, call, sdp()),
        4 => endpoint.reject(now, call, Rejection::new(486)),
        5 => endpoint.hangup(now, call),
        6 => endpoint.answer_offer(now, call, sdp()),
        7 => endpoint.reject_offer(now, call, 488),
        8 => endpoint.reoffer(now, call, sdp()),
        16 => endpoint.refer(now, call, "sip:2345678@10.0.0.9"),
        11 => endpoint.accept_refer(now, call),
        12 => endpoint.reject_refer(now, call, 603),
        13 => endpoint.notify_refer(now, call, 180, false),
        14 => endpoint.notify_refer(now, call, 200, true),
        15 => endpoint.send_info_dtmf(now, call, '5', Duration::from_millis(160)),
        _ => endpoint.ack_with(now, call, sdp()),
    };
}

fn dial(endpoint: &mut Endpoint, now: Instant, to: SocketAddr, kind: usize) -> Option<CallKey> {
    let offer = (kind == 9).then(|| Bytes::from_static(OFFER.as_bytes()));
    let dial = Dial {
        credentials: Some(Credentials { username: "u".into(), password: "p".into() }),
        ring_timeout: Some(Duration::from_secs(40)),
        ..Dial::new("sip:1234567@10.0.0.9", to, offer)
    };
    endpoint.dial(now, dial).ok()
}

fn config(address: SocketAddr, extensions: bool) -> EndpointConfig {
    let mut config = EndpointConfig { allow_refer: true, ..EndpointConfig::new(address) };
    config.session_timer = extensions.then(SessionTimer::default);
    config.reliable = if extensions { Reliable::Required } else { Reliable::Off };
    config
}

fn assert_nothing_left(endpoint: &Endpoint) {
    let Stats { transactions, dialogs, calls, timers, .. } = endpoint.stats();
    assert_eq!((transactions, dialogs, calls, timers), (0, 0, 0, 0), "transactions, dialogs, calls, timers");
}

/// The messages of a peer that does whatever it likes.
fn run_against_chaos(extensions: bool, ops: Vec<Op>) {
    let mut bench = Bench::with(config(OURS.parse().unwrap(), extensions));
    let mut ledger = Ledger::default();
    let mut ours: Vec<Sent> = Vec::new();
    let mut tags: [String; 3] = Default::default();
    let mut racks: [String; 3] = Default::default();
    for op in ops {
        match op {
            Op::Request { method, call, branch, tag, cseq, body } => {
                let tag = [String::new(), tags[call].clone(), "wrong".to_owned()][tag].clone();
                let (headers, body) = BODIES[body];
                let headers = format!("{CONTACT}{headers}");
                let branch = format!("b{call}{branch}");
                let headers =
                    format!("{headers}{}", if METHODS[method] == "PRACK" { &racks[call] } else { "" });
                let text = request(METHODS[method], cseq, &tag, &branch, &headers, body);
                bench.receive(&text.replace("a:b##c", &format!("call{call}")));
            }
            Op::Respond { request, status, tag, contact } if !ours.is_empty() => {
                let request = &ours[ours.len() - 1 - request % ours.len()];
                let headers = if contact { ANSWER_HEADERS } else { "" };
                let challenges = if status == 6 || status == 7 { CHALLENGES } else { "" };
                let body = if contact { ANSWER } else { "" };
                let extra = [
                    "Min-SE: 120\r\n",
                    "",
                    "Session-Expires: 120;refresher=uas\r\nAllow: UPDATE\r\n",
                    "Require: 100rel\r\nRSeq: 1\r\n",
                    "Require: 100rel\r\nRSeq: 2\r\n",
                ];
                let extra = status.checked_sub(14).map_or("", |which| extra[which]);
                let tag = ["peer", "fork"][tag];
                let text =
                    request.response(STATUSES[status], tag, &format!("{headers}{challenges}{extra}"), body);
                bench.receive(&text);
            }
            Op::Command { kind: kind @ (9 | 10), .. } => {
                let call = bench.run(|e, now| dial(e, now, PEER.parse().unwrap(), kind));
                call.into_iter().for_each(|call| ledger.begin(call));
            }
            Op::Command { kind, call } if !ledger.order.is_empty() => {
                let call = ledger.order[ledger.order.len() - 1 - call % ledger.order.len()];
                bench.run(|e, now| command(e, now, kind, call));
            }
            Op::Advance(millis) => bench.advance(millis),
            Op::TransportError => bench.run(|e, now| e.handle_transport_error(now, PEER.parse().unwrap())),
            Op::Unreachable => bench.run(|e, now| e.handle_unreachable(now, PEER.parse().unwrap())),
            Op::Drain(draining) => bench.run(|e, _| e.set_draining(draining)),
            Op::Respond { .. } | Op::Command { .. } => {}
        }
        bench.events.drain(..).for_each(|event| ledger.note(&event));
        for sent in bench.sent.drain(..) {
            let message = parse_datagram(Bytes::from(sent.text.clone()), &Limits::default())
                .unwrap_or_else(|error| panic!("sent {error}: {}", sent.text));
            if message.is_request() {
                assert_eq!(validate_request(&message), Ok(()), "{}", sent.text);
                ours.push(sent);
            } else if let Some(call) =
                (0..3).find(|n| sent.header("Call-ID").starts_with(&format!("call{n}@")))
                && sent.header("To").contains(";tag=")
                && !sent.start().contains(" 4")
            {
                tags[call] = sent.to_tag();
                if let Some(rseq) = sent.headers("RSeq").first() {
                    racks[call] = format!("RAck: {rseq} {}\r\n", sent.header("CSeq"));
                }
            }
        }
    }
    for call in ledger.order.clone() {
        bench.run(|e, now| command(e, now, 5, call));
    }
    bench.advance(3_600_000);
    bench.events.drain(..).for_each(|event| ledger.note(&event));
    ledger.assert_all_ended();
    assert_nothing_left(&bench.endpoint);
}

/// Two endpoints joined by a link that loses, repeats and reorders datagrams.
struct Pair {
    ends: [(Endpoint, SocketAddr, Ledger, Vec<CallKey>); 2],
    link: VecDeque<(usize, Bytes)>,
    now: Instant,
}

#[derive(Debug, Clone)]
enum LinkOp {
    Deliver,
    DeliverLast,
    Lose,
    Repeat,
    Command { end: usize, kind: usize, call: usize },
    Advance(u64),
}

fn link_op() -> impl Strategy<Value = LinkOp> {
    prop_oneof![
        10 => Just(LinkOp::Deliver),
        2 => Just(LinkOp::DeliverLast),
        1 => Just(LinkOp::Lose),
        1 => Just(LinkOp::Repeat),
        8 => (0..2usize, 0..18usize, 0..3usize)
            .prop_map(|(end, kind, call)| LinkOp::Command { end, kind, call }),
        3 => prop_oneof![Just(1u64), Just(500), Just(2_500), Just(9_000), Just(33_000), Just(500_000)].prop_map(LinkOp::Advance),
    ]
}

impl Pair {
    fn new(extensions: [bool; 2]) -> Self {
        let end = |address: &str, seed: u8, extensions| {
            let address: SocketAddr = address.parse().unwrap();
            (Endpoint::new(config(address, extensions), [seed; 32]), address, Ledger::default(), Vec::new())
        };
        Self {
            ends: [end("10.0.0.5:5060", 1, extensions[0]), end("10.0.0.9:5060", 2, extensions[1])],
            link: VecDeque::new(),
            now: Instant::now(),
        }
    }

    fn drain(&mut self) {
        for at in 0..2 {
            while let Some(output) = self.ends[at].0.poll_output() {
                match output {
                    Output::Transmit { destination, payload } => {
                        assert_eq!(destination, self.ends[1 - at].1);
                        self.link.push_back((1 - at, payload));
                    }
                    Output::Event(event) => {
                        if let Event::Incoming(incoming) = &event {
                            self.ends[at].3.push(incoming.call);
                        }
                        self.ends[at].2.note(&event);
                    }
                }
            }
        }
    }

    fn deliver(&mut self, datagram: Option<(usize, Bytes)>) {
        if let Some((to, payload)) = datagram {
            let source = self.ends[1 - to].1;
            self.ends[to].0.handle_datagram(self.now, source, payload);
            self.drain();
        }
    }

    fn advance(&mut self, millis: u64, deliver: bool) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            while deliver && !self.link.is_empty() {
                let first = self.link.pop_front();
                self.deliver(first);
            }
            let due = self.ends.iter().filter_map(|end| end.0.next_timeout()).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = due.max(self.now);
            let now = self.now;
            self.ends.iter_mut().for_each(|end| end.0.handle_timeout(now));
            self.drain();
        }
        self.now = end;
    }

    fn run(mut self, ops: Vec<LinkOp>) {
        for op in ops {
            match op {
                LinkOp::Deliver => {
                    let first = self.link.pop_front();
                    self.deliver(first);
                }
                LinkOp::DeliverLast => {
                    let last = self.link.pop_back();
                    self.deliver(last);
                }
                LinkOp::Lose => drop(self.link.pop_front()),
                LinkOp::Repeat => {
                    let first = self.link.front().cloned();
                    self.deliver(first);
                }
                LinkOp::Command { end, kind: kind @ (9 | 10), .. } => {
                    let (to, now) = (self.ends[1 - end].1, self.now);
                    let (endpoint, _, ledger, calls) = &mut self.ends[end];
                    if let Some(call) = dial(endpoint, now, to, kind) {
                        ledger.begin(call);
                        calls.push(call);
                    }
                    self.drain();
                }
                LinkOp::Command { end, kind, call } => {
                    let now = self.now;
                    let (endpoint, _, _, calls) = &mut self.ends[end];
                    if let Some(call) = calls.iter().rev().nth(call) {
                        command(endpoint, now, kind, *call);
                    }
                    self.drain();
                }
                LinkOp::Advance(millis) => self.advance(millis, false),
            }
        }
        for at in 0..2 {
            for call in self.ends[at].3.clone() {
                let now = self.now;
                command(&mut self.ends[at].0, now, 5, call);
            }
        }
        self.drain();
        self.advance(3_600_000, true);
        for (endpoint, _, ledger, _) in &self.ends {
            ledger.assert_all_ended();
            assert_nothing_left(endpoint);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_peer_leaves_one_end_per_call_and_nothing_else(extensions in any::<bool>(), ops in prop::collection::vec(op(), 1..80)) {
        run_against_chaos(extensions, ops);
    }

    #[test]
    fn any_link_leaves_one_end_per_call_and_nothing_else(extensions in any::<[bool; 2]>(), ops in prop::collection::vec(link_op(), 1..120)) {
        Pair::new(extensions).run(ops);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..600usize, cut in 0..600usize) {
        let mut bench = Bench::new();
        let mut text = invite().into_bytes();
        let at = at.min(text.len());
        text.splice(at..(at + cut % 20).min(text.len()), bytes.iter().copied().take(cut % 8));
        for datagram in [Bytes::from(bytes), Bytes::from(text)] {
            bench.endpoint.handle_datagram(bench.now, PEER.parse().unwrap(), datagram);
            while bench.endpoint.poll_output().is_some() {}
        }
        bench.advance(3_600_000);
        assert_nothing_left(&bench.endpoint);
    }
}
