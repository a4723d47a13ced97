//! A call leg in virtual time: runs a session, collects what it says, and speaks for the peer.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtp::{Channel, Encoder, Event, Output, Session, SessionConfig};

/// One RTP packet that the session sent, `at` so many milliseconds after the start of the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub at: u64,
    pub destination: SocketAddr,
    pub payload_type: u8,
    pub marker: bool,
    pub seq: u16,
    pub timestamp: u32,
    pub payload: Vec<u8>,
}

pub struct Leg {
    pub session: Session,
    pub origin: Instant,
    pub now: Instant,
    pub sent: Vec<Sent>,
    pub reports: Vec<(u64, SocketAddr, Vec<u8>)>,
    pub events: Vec<(u64, Event)>,
    /// Beginnings and ends of playbacks; the other events are in `events`.
    pub playbacks: Vec<(u64, Event)>,
}

impl Leg {
    pub fn new(config: SessionConfig, encoder: impl Encoder + 'static) -> Self {
        #[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
        let origin = Instant::now();
        let mut session = Session::new(origin, config, Box::new(encoder), 7);
        session.set_remote(origin, peer(), None);
        Self {
            session,
            origin,
            now: origin,
            sent: vec![],
            reports: vec![],
            events: vec![],
            playbacks: vec![],
        }
    }

    /// A leg with the usual configuration, whose payload byte is the complement of the sample's low byte.
    pub fn plain() -> Self {
        Self::new(config(), Complement)
    }

    pub fn started() -> Self {
        let mut leg = Self::plain();
        leg.start();
        leg
    }

    pub fn start(&mut self) {
        self.session.start(self.now);
        self.collect();
    }

    /// Runs on time until `at` milliseconds, that moment included.
    pub fn run_until(&mut self, at: u64) {
        let end = self.origin + ms(at);
        while let Some(due) = self.session.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// Lets time pass without a tick, then ticks once.
    pub fn stall_until(&mut self, at: u64) {
        self.now = self.origin + ms(at);
        self.session.handle_timeout(self.now);
        self.collect();
    }

    /// Does something to the session now.
    pub fn with<T>(&mut self, act: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let result = act(&mut self.session, self.now);
        self.collect();
        result
    }

    /// A packet from the peer arrives now.
    pub fn receive(&mut self, packet: &[u8]) {
        self.receive_from(peer(), packet);
    }

    pub fn receive_from(&mut self, source: SocketAddr, packet: &[u8]) {
        self.with(|session, now| session.handle_rtp(now, source, packet));
    }

    /// Takes the events collected so far.
    pub fn events(&mut self) -> Vec<Event> {
        self.events.drain(..).map(|(_, event)| event).collect()
    }

    /// Takes the events collected so far, with their milliseconds.
    pub fn timed_events(&mut self) -> Vec<(u64, Event)> {
        std::mem::take(&mut self.events)
    }

    pub fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    fn collect(&mut self) {
        let at = (self.now - self.origin).as_millis() as u64;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Event(event @ (Event::PlaybackStarted | Event::PlaybackEnded { .. })) => {
                    self.playbacks.push((at, event));
                }
                Output::Event(event) => self.events.push((at, event)),
                Output::Transmit { channel: Channel::Rtcp, destination, packet } => {
                    self.reports.push((at, destination, packet.to_vec()));
                }
                Output::Transmit { channel: Channel::Rtp, destination, packet } => {
                    assert_eq!(packet[0], 0x80);
                    assert_eq!(packet[8..12], SSRC.to_be_bytes());
                    self.sent.push(Sent {
                        at,
                        destination,
                        payload_type: packet[1] & 0x7f,
                        marker: packet[1] & 0x80 != 0,
                        seq: u16::from_be_bytes([packet[2], packet[3]]),
                        timestamp: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
                        payload: packet[12..].to_vec(),
                    });
                }
            }
        }
    }
}

/// Stands for G.711: a sample's low byte, complemented; so zeros become 0xff.
pub struct Complement;

impl Encoder for Complement {
    fn sample_rate(&self) -> u32 {
        8000
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) {
        assert_eq!(pcm.len(), 160);
        assert!(payload.is_empty());
        payload.extend(pcm.iter().map(|sample| !(*sample as u8)));
    }
}

/// Stands for G.722: 320 samples to 160 bytes, each the number of frames encoded before.
pub struct Counting(pub u8);

impl Encoder for Counting {
    fn sample_rate(&self) -> u32 {
        16_000
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) {
        assert_eq!(pcm.len(), 320);
        payload.resize(160, self.0);
        self.0 = self.0.wrapping_add(1);
    }
}

/// G.711 A-law by its definition: the sign, the segment, four bits, every other bit inverted.
pub struct ALaw;

impl Encoder for ALaw {
    fn sample_rate(&self) -> u32 {
        8000
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) {
        payload.extend(pcm.iter().map(|sample| {
            let (sign, magnitude) = if *sample >= 0 { (0x80, *sample >> 3) } else { (0, !*sample >> 3) };
            let segment = (16 - (magnitude as u16 >> 5).leading_zeros()) as i16;
            let step = if segment == 0 { magnitude >> 1 } else { magnitude >> segment };
            (sign | (segment as u8) << 4 | (step as u8 & 15)) ^ 0x55
        }));
    }
}

pub const SSRC: u32 = 0x0102_0304;
pub const PEER_SSRC: u32 = 0x0a0b_0c0d;

pub fn config() -> SessionConfig {
    let mut config = SessionConfig::new(0, SSRC, 100, 1000);
    config.telephone_event = Some(101);
    config.rtcp_interval = Duration::ZERO;
    config
}

pub fn peer() -> SocketAddr {
    "192.0.2.7:4000".parse().unwrap()
}

pub fn stranger() -> SocketAddr {
    "203.0.113.5:6000".parse().unwrap()
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Packet `n` of the peer's PCMU stream: its payload is 160 times `n`.
pub fn pcmu(n: u16) -> Vec<u8> {
    packet(0, false, n, u32::from(n) * 160, PEER_SSRC, &[n as u8; 160])
}

/// A telephone-event packet.
pub fn event(seq: u16, timestamp: u32, event: u8, end: bool, duration: u16) -> Vec<u8> {
    let [high, low] = duration.to_be_bytes();
    packet(101, false, seq, timestamp, PEER_SSRC, &[event, if end { 0x8a } else { 0x0a }, high, low])
}

pub fn packet(
    payload_type: u8,
    marker: bool,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type | u8::from(marker) << 7];
    packet.extend(seq.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// The event of packet `n`, when packet `first` came first.
pub fn audio(n: u16, first: u16) -> Event {
    Event::Audio {
        payload_type: 0,
        payload: rtp::PacketBuf::from_slice(&[n as u8; 160]),
        timestamp: u64::from(n - first) * 160,
        talk_spurt: n == first,
    }
}

pub fn latched() -> Event {
    Event::Latched { source: peer() }
}
