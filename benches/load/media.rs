//! `Media` owns the callers' RTP sockets: sends a marked frame of each call every 20 ms, the calls spread evenly over
//! those, and keeps when each frame was sent, reached the agent, and came back.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;

use crate::histogram::Histogram;
use crate::watermark::{Codebook, Found, SAMPLES};

pub struct Media {
    codebook: Codebook,
    legs: Vec<Leg>,
    /// Due times count from here.
    origin: Instant,
    slot: u64,
    window: Option<Window>,
    pub jitter: Histogram,
    /// How late this program itself was.
    pub own_lateness: Histogram,
    pub to_agent: Histogram,
    pub garbled: u64,
}

/// The frames that count: those sent in this time.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: u64,
    end: u64,
}

struct Leg {
    socket: UdpSocket,
    _rtcp: std::net::UdpSocket,
    address: SocketAddr,
    open: bool,
    datagram: [u8; HEADER + SAMPLES],
    frames: Vec<Frame>,
    first_seq: Option<u16>,
    last: Option<(u16, u64)>,
    /// Arrival of the relay's packet number 0, as early as any packet's place in the row of 20 ms says.
    grid: i64,
    newest: usize,
    repeated: u64,
    disordered: u64,
}

/// Nanoseconds since the origin; 0: not yet.
#[derive(Default)]
struct Frame {
    sent: u64,
    back: u64,
}

/// What became of the frames that count.
pub struct Outcome {
    pub sent: u64,
    pub back: u64,
    pub repeated: u64,
    pub disordered: u64,
    pub round_trip: Histogram,
    /// Round trip without the wait for the next packet of the relay's 20 ms clock.
    pub beyond: Histogram,
}

impl Media {
    /// A socket pair for each of `count` calls.
    pub fn new(ip: &str, count: usize) -> Self {
        let ports = (FIRST_PORT..=LAST_PORT).step_by(2);
        let pairs = ports.filter_map(|port| Leg::bind(ip, port).ok()).take(count);
        let legs: Vec<_> = pairs.collect();
        assert_eq!(legs.len(), count, "loopback has ports for all calls");
        Self {
            codebook: Codebook::new(),
            legs,
            origin: Instant::now(),
            slot: 0,
            window: None,
            jitter: Histogram::new(),
            own_lateness: Histogram::new(),
            to_agent: Histogram::new(),
            garbled: 0,
        }
    }

    pub fn sockets(&mut self) -> impl Iterator<Item = &mut UdpSocket> {
        self.legs.iter_mut().map(|leg| &mut leg.socket)
    }

    pub fn address(&self, call: usize) -> SocketAddr {
        self.legs[call].address
    }

    /// A call is up: its frames go out from now on.
    pub fn open(&mut self, call: usize, relay: SocketAddr) {
        let leg = &mut self.legs[call];
        leg.open = leg.socket.connect(relay).is_ok();
    }

    /// Frames sent from now on for so long count.
    pub fn count_for(&mut self, length: Duration) {
        let start = self.now();
        self.window = Some(Window { start, end: start + length.as_nanos() as u64 });
    }

    /// No more frames.
    pub fn close(&mut self) {
        self.legs.iter_mut().for_each(|leg| leg.open = false);
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Sends every frame that is due.
    pub fn send_due(&mut self) {
        if self.legs.is_empty() {
            return;
        }
        let now = self.now();
        let count = self.legs.len() as u64;
        loop {
            let due = self.slot * FRAME_NANOS / count;
            if due > now {
                return;
            }
            let call = (self.slot % count) as usize;
            self.slot += 1;
            let sent = self.now();
            if self.legs[call].send(call, sent, &self.codebook) && in_window(self.window, sent) {
                self.own_lateness.add(Duration::from_nanos(sent - due));
            }
        }
    }

    /// Reads one call's socket until it is empty.
    pub fn receive(&mut self, call: usize) {
        let mut buffer = [0; 2048];
        loop {
            let length = match self.legs[call].socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            let now = self.now();
            if length <= HEADER || buffer[1] & 0x7f != 0 {
                continue;
            }
            let seq = u16::from_be_bytes([buffer[2], buffer[3]]);
            let found = self.codebook.read_ulaw(&buffer[HEADER..length]);
            let window = self.window;
            let leg = &mut self.legs[call];
            leg.tick(seq, now, window, &mut self.jitter);
            match found {
                Found::Mark { call: whose, frame } if usize::from(whose) == call => {
                    leg.came_back(frame.into(), now);
                }
                Found::Silence => {}
                Found::Mark { .. } | Found::Garbled => self.garbled += 1,
            }
        }
    }

    /// A frame reached the agent as PCM.
    pub fn at_agent(&mut self, call: usize, pcm: &[u8]) {
        let now = self.now();
        match self.codebook.read_pcm(pcm) {
            Found::Mark { call: whose, frame } if usize::from(whose) == call => {
                let sent = self.legs.get(call).and_then(|leg| leg.frames.get(usize::from(frame)));
                if let Some(sent) = sent.map(|frame| frame.sent).filter(|sent| in_window(self.window, *sent))
                {
                    self.to_agent.add(Duration::from_nanos(now - sent));
                }
            }
            Found::Silence => {}
            Found::Mark { .. } | Found::Garbled => self.garbled += 1,
        }
    }

    pub fn outcome(&self) -> Outcome {
        let mut outcome = Outcome {
            sent: 0,
            back: 0,
            repeated: 0,
            disordered: 0,
            round_trip: Histogram::new(),
            beyond: Histogram::new(),
        };
        for leg in &self.legs {
            outcome.repeated += leg.repeated;
            outcome.disordered += leg.disordered;
            for frame in leg.frames.iter().filter(|frame| in_window(self.window, frame.sent)) {
                outcome.sent += 1;
                if frame.back != 0 {
                    outcome.back += 1;
                    let took = frame.back - frame.sent;
                    let wait = (leg.grid - frame.sent as i64).rem_euclid(FRAME_NANOS as i64) as u64;
                    outcome.round_trip.add(Duration::from_nanos(took));
                    outcome.beyond.add(Duration::from_nanos(took.saturating_sub(wait)));
                }
            }
        }
        outcome
    }
}

impl Leg {
    fn bind(ip: &str, port: u16) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind((ip, port))?;
        let rtcp = std::net::UdpSocket::bind((ip, port + 1))?;
        socket.set_nonblocking(true)?;
        let mut datagram = [0; HEADER + SAMPLES];
        datagram[0] = 0x80;
        datagram[8..12].copy_from_slice(&ssrc(port).to_be_bytes());
        Ok(Self {
            address: socket.local_addr()?,
            socket: UdpSocket::from_std(socket),
            _rtcp: rtcp,
            open: false,
            datagram,
            frames: Vec::new(),
            first_seq: None,
            last: None,
            grid: i64::MAX,
            newest: 0,
            repeated: 0,
            disordered: 0,
        })
    }

    fn send(&mut self, call: usize, sent: u64, codebook: &Codebook) -> bool {
        let frame = self.frames.len();
        if !self.open || frame > usize::from(u16::MAX) {
            return false;
        }
        self.datagram[1] = if frame == 0 { 0x80 } else { 0 };
        self.datagram[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
        self.datagram[4..8].copy_from_slice(&((frame * SAMPLES) as u32).to_be_bytes());
        codebook.write(call as u16, frame as u16, &mut self.datagram[HEADER..]);
        self.frames.push(Frame { sent, back: 0 });
        // What the kernel does not take counts as sent, and so as lost.
        let _ = self.socket.send(&self.datagram);
        true
    }

    /// Any packet of the relay shows where its 20 ms clock stands.
    fn tick(&mut self, seq: u16, now: u64, window: Option<Window>, jitter: &mut Histogram) {
        let number = seq.wrapping_sub(*self.first_seq.get_or_insert(seq));
        self.grid = self.grid.min(now as i64 - i64::from(number) * FRAME_NANOS as i64);
        if let Some((last, then)) = self.last.replace((number, now)) {
            let steps = i64::from(number.wrapping_sub(last) as i16);
            if in_window(window, now) {
                let off = (now - then) as i64 - steps * FRAME_NANOS as i64;
                jitter.add(Duration::from_nanos(off.unsigned_abs()));
            }
        }
    }

    fn came_back(&mut self, number: usize, now: u64) {
        let Some(frame) = self.frames.get_mut(number) else { return };
        if frame.back != 0 {
            self.repeated += 1;
            return;
        }
        frame.back = now;
        if number < self.newest {
            self.disordered += 1;
        }
        self.newest = self.newest.max(number);
    }
}

/// The stream of the caller at this port.
pub fn ssrc(port: u16) -> u32 {
    0x10ad_0000 + u32::from(port)
}

fn in_window(window: Option<Window>, time: u64) -> bool {
    window.is_some_and(|window| (window.start..window.end).contains(&time))
}

const HEADER: usize = 12;
pub const FRAME_NANOS: u64 = 20_000_000;
const FIRST_PORT: u16 = 10_000;
const LAST_PORT: u16 = 60_000;
