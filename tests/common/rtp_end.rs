//! `RtpEnd` owns the RTP and RTCP sockets of one telephone: sends frames at their time, keeps what arrives with the time
//! it arrived.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::g711;
use testkit::rtp::{Packet, Stream};

use super::{Feed, WAIT};

/// One received packet.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub at: Instant,
    pub from: SocketAddr,
    pub packet: Packet,
}

pub struct RtpEnd {
    socket: Arc<UdpSocket>,
    rtcp: UdpSocket,
    arrivals: Arc<Feed<Arrival>>,
    stop: Arc<AtomicBool>,
    /// Where packets go: the address of the other side's description.
    pub to: Option<SocketAddr>,
    pub payload_type: u8,
    stream: Option<Stream>,
}

impl RtpEnd {
    /// Binds an even port and the next one on loopback. With `listen`, arrivals are kept; without, nobody reads the socket.
    pub fn bind(listen: bool) -> Self {
        Self::bind_on(Ipv4Addr::LOCALHOST.into(), listen)
    }

    /// The same on another address of this machine.
    pub fn bind_on(ip: IpAddr, listen: bool) -> Self {
        let (socket, rtcp) = bind_pair(ip);
        let socket = Arc::new(socket);
        let end = Self {
            socket: socket.clone(),
            rtcp,
            arrivals: Arc::new(Feed::new()),
            stop: Arc::new(AtomicBool::new(false)),
            to: None,
            payload_type: 0,
            stream: None,
        };
        if listen {
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let (arrivals, stop) = (end.arrivals.clone(), end.stop.clone());
            std::thread::spawn(move || receive(&socket, &arrivals, &stop));
        }
        end
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The RTCP socket, on the next port.
    pub fn rtcp(&self) -> &UdpSocket {
        &self.rtcp
    }

    /// All packets so far.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.with(|a| a.clone())
    }

    /// Packets so far that carry more than silence, which is `0xff` in µ-law and `0xd5` in A-law, or nearly so.
    pub fn loud_packets(&self) -> usize {
        let is_loud = |arrival: &&Arrival| is_loud(&arrival.packet);
        self.arrivals.with(|arrivals| arrivals.iter().filter(is_loud).count())
    }

    /// Waits until `n` packets have arrived in all and returns all.
    pub fn expect_packets(&self, n: usize, timeout: Duration) -> Vec<Arrival> {
        let enough = self.arrivals.wait(Instant::now() + timeout, |a| (a.len() >= n).then(|| a.clone()));
        enough.unwrap_or_else(|| panic!("{} of {n} packets in {timeout:?}", self.arrivals.len()))
    }

    /// Waits until `n` packets have arrived from now on and returns those.
    pub fn next_packets(&self, n: usize) -> Vec<Arrival> {
        let before = self.arrivals.len();
        self.expect_packets(before + n, WAIT + Duration::from_millis(20 * n as u64)).split_off(before)
    }

    /// Sends one datagram as it is.
    pub fn send_raw(&self, datagram: &[u8]) {
        let to = self.to.expect("the other side's media address is known");
        self.socket.send_to(datagram, to).unwrap();
    }

    /// The outgoing stream, to make packets by hand.
    pub fn stream(&mut self) -> &mut Stream {
        let payload_type = self.payload_type;
        self.stream.get_or_insert_with(|| Stream::new(payload_type, 0x7465_7374, 40_000, 1_000))
    }

    /// Sends the payload in packets of 160 bytes, one every 20 ms, each at its time from the first.
    pub fn send_payload(&mut self, payload: &[u8]) {
        let start = Instant::now();
        for (n, frame) in payload.chunks(160).enumerate() {
            pace(start + Duration::from_millis(20 * n as u64));
            let payload_type = self.payload_type;
            let packet = Packet { payload_type, ..self.stream().packet(frame) };
            self.send_raw(&packet.to_bytes());
        }
        pace(start + Duration::from_millis(20 * payload.len().div_ceil(160) as u64));
    }

    /// Encodes samples to the call's codec and sends them in real time.
    pub fn send_pcm(&mut self, pcm: &[i16]) {
        let payload = g711::encode(self.payload_type, pcm);
        self.send_payload(&payload);
    }
}

impl Drop for RtpEnd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The samples of packets, in order of sequence number from the first to arrive, without events and other payload types.
pub fn pcm(arrivals: &[Arrival], payload_type: u8) -> Vec<i16> {
    let Some(first) = arrivals.first().map(|a| a.packet.seq) else { return Vec::new() };
    let mut packets: Vec<&Packet> =
        arrivals.iter().map(|a| &a.packet).filter(|p| p.payload_type == payload_type).collect();
    packets.sort_by_key(|p| p.seq.wrapping_sub(first) as i16);
    packets.dedup_by_key(|p| p.seq);
    packets.iter().flat_map(|p| g711::decode(payload_type, &p.payload)).collect()
}

/// Whether a packet of G.711 carries more than silence, or what is nearly that.
pub fn is_loud(packet: &Packet) -> bool {
    let loud = |&byte: &u8| match packet.payload_type {
        8 => (byte ^ 0x55) & 0x7f > 0x10,
        _ => byte & 0x7f < 0x60,
    };
    packet.payload.iter().any(loud)
}

/// Waits for a time of the sender's clock: media is sent in real time, and this is the clock that paces it.
pub fn pace(until: Instant) {
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
}

fn bind_pair(ip: IpAddr) -> (UdpSocket, UdpSocket) {
    for _ in 0..200 {
        let first = UdpSocket::bind((ip, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let next = port.checked_add(1).filter(|_| port.is_multiple_of(2));
        if let Some(second) = next.and_then(|port| UdpSocket::bind((ip, port)).ok()) {
            return (first, second);
        }
    }
    panic!("no free pair of UDP ports");
}

fn receive(socket: &UdpSocket, arrivals: &Feed<Arrival>, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
        let at = Instant::now();
        if let Some(packet) = Packet::parse(&buffer[..n]) {
            arrivals.push(Arrival { at, from, packet });
        }
    }
}
