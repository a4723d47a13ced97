//! Measures one endpoint: CPU per inbound call (INVITE, 180, 200, ACK, BYE, 200) and memory per call that it holds.
//! `cargo run --release -p sip --example ua_calls`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement looks at the real clock and prints what it finds"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{CallKey, Endpoint, EndpointConfig, EndpointLimits, Event, Output};

const CALLS: usize = 100_000;
const HELD: usize = 20_000;

fn main() {
    match std::env::args().nth(1).as_deref() {
        None => {
            cpu();
            // A process each: memory that one phase gave back would hide what the next one takes.
            let program = std::env::current_exe().unwrap();
            for phase in ["ringing", "answered", "up"] {
                std::process::Command::new(&program).arg(phase).status().unwrap();
            }
        }
        Some(phase) => memory(phase),
    }
}

/// CPU per whole call, without what it takes to write the peer's messages.
fn cpu() {
    let mut rig = Rig::new();
    (0..CALLS / 10).for_each(|n| rig.whole_call(n));
    let begin = on_cpu();
    (CALLS / 10..CALLS).for_each(|n| rig.whole_call(n));
    let whole = on_cpu() - begin;
    let begin = on_cpu();
    for n in CALLS / 10..CALLS {
        for (method, cseq, tag) in
            [("INVITE", 1, ""), ("ACK", 1, "0123456789abcdef"), ("BYE", 2, "0123456789abcdef")]
        {
            std::hint::black_box(Bytes::copy_from_slice(message(method, cseq, n, tag).as_bytes()));
        }
    }
    let peer = on_cpu() - begin;
    let calls = (CALLS - CALLS / 10) as f64;
    println!(
        "{:.1} us of CPU per call, at 1000 calls/s of virtual time",
        (whole - peer) as f64 / 1e3 / calls
    );
    let stats = rig.endpoint.stats();
    println!("{} transactions, {} timers, {} calls live", stats.transactions, stats.timers, stats.calls);
}

fn memory(phase: &str) {
    let mut rig = Rig::new();
    let before = resident();
    for n in 0..HELD {
        let (call, tag) = rig.ring(n);
        if phase != "ringing" {
            rig.answer(call);
        }
        if phase == "up" {
            rig.receive(&message("ACK", 1, n, &tag));
        }
    }
    println!("{:.0} bytes per call that is {phase}", (resident() - before) as f64 / HELD as f64);
}

struct Rig {
    endpoint: Endpoint,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let mut config = EndpointConfig::new("10.0.0.5:5062".parse().unwrap());
        config.limits =
            EndpointLimits { max_transactions: 200_000, max_dialogs: 100_000, ..EndpointLimits::default() };
        Self { endpoint: Endpoint::new(config, [3; 32]), now: Instant::now() }
    }

    fn whole_call(&mut self, n: usize) {
        self.now += Duration::from_millis(1);
        self.endpoint.handle_timeout(self.now);
        let (call, tag) = self.ring(n);
        self.answer(call);
        self.receive(&message("ACK", 1, n, &tag));
        self.receive(&message("BYE", 2, n, &tag));
    }

    fn ring(&mut self, n: usize) -> (CallKey, String) {
        let (events, _) = self.receive(&message("INVITE", 1, n, ""));
        let Some(Event::Incoming(incoming)) = events.first() else { unreachable!("an INVITE is a call") };
        let call = incoming.call;
        let (_, sent) = self.run(|endpoint, now| endpoint.ringing(now, call).unwrap());
        let text = std::str::from_utf8(sent.last().unwrap()).unwrap();
        let to = text.lines().find(|line| line.starts_with("To: ")).unwrap();
        (call, to.split(";tag=").nth(1).unwrap().to_owned())
    }

    fn answer(&mut self, call: CallKey) {
        let sdp = Bytes::from_static(SDP.as_bytes());
        self.run(|endpoint, now| endpoint.answer(now, call, sdp).unwrap());
    }

    fn receive(&mut self, text: &str) -> (Vec<Event>, Vec<Bytes>) {
        let datagram = Bytes::copy_from_slice(text.as_bytes());
        let source = "10.0.0.9:5060".parse().unwrap();
        self.run(|endpoint, now| endpoint.handle_datagram(now, source, datagram))
    }

    fn run(&mut self, command: impl FnOnce(&mut Endpoint, Instant)) -> (Vec<Event>, Vec<Bytes>) {
        let (mut events, mut sent) = (Vec::new(), Vec::new());
        command(&mut self.endpoint, self.now);
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Event(event) => events.push(event),
                Output::Transmit { payload, .. } => sent.push(payload),
            }
        }
        (events, sent)
    }
}

fn message(method: &str, cseq: u32, n: usize, tag: &str) -> String {
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let (headers, body) = match method {
        "INVITE" => ("Contact: <sip:sipp@10.0.0.9:5060>\r\nContent-Type: application/sdp\r\n", SDP),
        _ => ("", ""),
    };
    format!(
        "{method} sip:service@10.0.0.5:5062 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK-{method}-{n};rport\r\nMax-Forwards: 70\r\n\
         From: \"caller\" <sip:sipp@10.0.0.9:5060>;tag=c{n}\r\nTo: <sip:service@10.0.0.5:5062>{tag}\r\n\
         Call-ID: {n}-4711@10.0.0.9\r\nCSeq: {cseq} {method}\r\n{headers}User-Agent: measuring/1.0\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Nanoseconds that this process has been on a CPU.
fn on_cpu() -> u64 {
    let schedstat = std::fs::read("/proc/self/schedstat").unwrap_or_default();
    let text = String::from_utf8_lossy(&schedstat);
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

/// Resident memory of this process, bytes; zero where `/proc` does not tell.
fn resident() -> usize {
    let statm = std::fs::read("/proc/self/statm").unwrap_or_default();
    let pages = String::from_utf8_lossy(&statm);
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

const SDP: &str = "v=0\r\no=user1 53655765 2353687637 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
     m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
     a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
