//! `Signalling` owns the callers' SIP socket: brings calls up, ends them, repeats what is not answered and counts it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use socket2::SockRef;

use crate::histogram::Histogram;
use crate::wire::{Ends, Incoming, media_address};

pub struct Signalling {
    pub socket: UdpSocket,
    ends: Ends,
    calls: Vec<Leg>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    buffer: Vec<u8>,
    pub counts: Counts,
    /// From the first INVITE to the 200.
    pub set_up: Histogram,
}

/// How calls went, and what was said twice.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    pub up: usize,
    pub failed: usize,
    pub over: usize,
    /// Requests that we repeated, and responses that came again.
    pub sent_again: u64,
    pub seen_again: u64,
    /// The first failure: status, or 0 for no answer.
    pub first_failure: Option<u16>,
}

#[derive(Default)]
struct Leg {
    phase: Phase,
    request: Vec<u8>,
    ack: Vec<u8>,
    to: String,
    contact: String,
    sent: Option<Instant>,
    repeat_at: Option<Instant>,
    interval: Duration,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Inviting,
    Up,
    Leaving,
    Over,
}

impl Signalling {
    pub fn new(ip: &str, relay: SocketAddr, run: u32, count: usize) -> Self {
        let socket = std::net::UdpSocket::bind((ip, 0)).expect("loopback has a free port");
        let _ = SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        socket.set_nonblocking(true).expect("a socket can be non-blocking");
        let local = socket.local_addr().expect("a bound socket has an address");
        Self {
            socket: UdpSocket::from_std(socket),
            ends: Ends { local, relay, run },
            calls: (0..count).map(|_| Leg::default()).collect(),
            timers: BinaryHeap::new(),
            buffer: vec![0; 65_536],
            counts: Counts::default(),
            set_up: Histogram::new(),
        }
    }

    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// Every call has been tried and is up or has failed.
    pub fn settled(&self) -> bool {
        self.counts.up + self.counts.failed >= self.calls.len()
    }

    /// Every call is over.
    pub fn finished(&self) -> bool {
        self.counts.over >= self.calls.len()
    }

    pub fn invite(&mut self, call: usize, media: SocketAddr) {
        let text = self.ends.invite(call, media);
        self.request(call, Phase::Inviting, text);
    }

    /// Ends a call that is up. False while it is still on its way.
    pub fn bye(&mut self, call: usize) -> bool {
        let leg = &self.calls[call];
        if leg.phase == Phase::Up {
            let text = self.ends.bye(call, &leg.to, &leg.contact);
            self.request(call, Phase::Leaving, text);
        }
        self.calls[call].phase != Phase::Inviting
    }

    fn request(&mut self, call: usize, phase: Phase, text: Vec<u8>) {
        let now = Instant::now();
        self.send(&text);
        let leg = &mut self.calls[call];
        leg.phase = phase;
        leg.request = text;
        leg.sent = Some(now);
        leg.interval = T1;
        leg.repeat_at = Some(now + T1);
        self.timers.push(Reverse((now + T1, call)));
    }

    fn send(&self, text: &[u8]) {
        // A datagram that the kernel does not take is lost, which is what retransmission is for.
        let _ = self.socket.send_to(text, self.ends.relay);
    }

    /// Repeats what was not answered in time; gives up in the end.
    pub fn timers(&mut self, now: Instant) {
        while let Some(&Reverse((at, call))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            let leg = &mut self.calls[call];
            if leg.repeat_at != Some(at) {
                continue;
            }
            if leg.sent.is_some_and(|sent| now - sent > PATIENCE) {
                self.fail(call, 0);
                continue;
            }
            leg.interval *= 2;
            leg.repeat_at = Some(at + leg.interval);
            self.timers.push(Reverse((at + leg.interval, call)));
            self.counts.sent_again += 1;
            self.send(&self.calls[call].request);
        }
    }

    fn fail(&mut self, call: usize, status: u16) {
        let leg = &mut self.calls[call];
        leg.repeat_at = None;
        if leg.phase == Phase::Inviting {
            self.counts.failed += 1;
            self.counts.first_failure.get_or_insert(status);
        }
        leg.phase = Phase::Over;
        self.counts.over += 1;
    }

    /// Reads what came; `up` hears of each call that came up, and where its audio goes.
    pub fn receive(&mut self, mut up: impl FnMut(usize, SocketAddr)) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let ends = self.ends;
            match ends.read(&buffer[..length]) {
                Some(Incoming::Response { call, status, method, to, contact, body })
                    if call < self.calls.len() =>
                {
                    match method {
                        "INVITE" => self.invite_answered(call, status, to, contact, body, &mut up),
                        "BYE" if status >= 200 => self.bye_answered(call),
                        _ => {}
                    }
                }
                Some(Incoming::Request { call, method, echoed }) => {
                    self.send(&self.ends.ok(&echoed));
                    if method == "BYE" && self.calls.get(call).is_some_and(|leg| leg.phase == Phase::Up) {
                        // The relay ended it: not what was asked for.
                        self.counts.up -= 1;
                        self.counts.failed += 1;
                        self.counts.first_failure.get_or_insert(0);
                        self.calls[call].phase = Phase::Over;
                        self.counts.over += 1;
                    }
                }
                _ => {}
            }
        }
        self.buffer = buffer;
    }

    fn invite_answered(
        &mut self,
        call: usize,
        status: u16,
        to: &str,
        contact: &str,
        body: &str,
        up: &mut impl FnMut(usize, SocketAddr),
    ) {
        let leg = &mut self.calls[call];
        if status < 200 {
            if leg.phase == Phase::Inviting {
                leg.repeat_at = None;
            }
            return;
        }
        if leg.phase != Phase::Inviting {
            self.counts.seen_again += 1;
            return self.send(&self.calls[call].ack);
        }
        leg.repeat_at = None;
        leg.ack = self.ends.ack(call, status >= 300, to, contact);
        let media = media_address(body).filter(|_| status < 300);
        if let (Some(sent), true) = (leg.sent, media.is_some()) {
            self.set_up.add(sent.elapsed());
        }
        leg.to = to.to_owned();
        leg.contact = contact.to_owned();
        self.send(&self.calls[call].ack);
        match media {
            Some(media) => {
                self.calls[call].phase = Phase::Up;
                self.counts.up += 1;
                up(call, media);
            }
            None => self.fail(call, status),
        }
    }

    fn bye_answered(&mut self, call: usize) {
        let leg = &mut self.calls[call];
        if leg.phase == Phase::Leaving {
            leg.phase = Phase::Over;
            leg.repeat_at = None;
            self.counts.over += 1;
        } else {
            self.counts.seen_again += 1;
        }
    }
}

/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// After this long without an answer a call has failed: a bench must end.
const PATIENCE: Duration = Duration::from_secs(8);
