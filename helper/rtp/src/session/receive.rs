//! The way in: from datagrams to audio in order, losses and key presses.

use std::net::SocketAddr;
use std::time::Instant;

use rtp_types::RtpPacket;

use super::Session;
use crate::jitter::{Inserted, JitterBuffer, Released};
use crate::keypad::{KeyPress, Keypad};
use crate::latch::{SourceLatch, Verdict};
use crate::reception::{Reception, units};
use crate::timeline::Timeline;
use crate::{Event, PacketBuf, SessionConfig, Stats, rtcp};

/// What is known of the peer's stream.
pub(super) struct Receiver {
    pub(super) latch: SourceLatch,
    /// The peer's RTCP address in its SDP.
    rtcp: Option<SocketAddr>,
    /// Where the peer's RTCP came from.
    rtcp_source: Option<SocketAddr>,
    symmetric: bool,
    /// Whether the call's direction lets us receive.
    receiving: bool,
    pub(super) stream: Option<Reception>,
    /// A packet that is of no known stream: the next one in sequence makes it the first of a new one.
    suspect: Option<Suspect>,
    buffer: JitterBuffer<Option<Audio>>,
    timeline: Timeline,
    keypad: Keypad,
    /// Losses of earlier streams.
    lost_before: u64,
    /// Place of the first audio on the call's timeline.
    first_audio: Option<u64>,
}

struct Suspect {
    ssrc: u32,
    seq: u16,
    arrival: Instant,
    datagram: PacketBuf,
}

/// A packet of audio in the jitter buffer. Telephone events and comfort noise only take their place there: `None`.
struct Audio {
    payload_type: u8,
    marker: bool,
    timestamp: u32,
    payload: PacketBuf,
}

/// What a payload type is to this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Audio,
    TelephoneEvent,
    ComfortNoise,
    Unknown,
}

impl Receiver {
    pub(super) fn new(config: &SessionConfig) -> Self {
        Self {
            latch: SourceLatch::new(config.symmetric),
            rtcp: None,
            rtcp_source: None,
            symmetric: config.symmetric,
            receiving: true,
            stream: None,
            suspect: None,
            buffer: JitterBuffer::new(config.max_reorder, config.clock_rate),
            timeline: Timeline::new(config.clock_rate),
            keypad: Keypad::new(config.clock_rate),
            lost_before: 0,
            first_audio: None,
        }
    }

    pub(super) fn set_remote(&mut self, rtp: SocketAddr, rtcp: Option<SocketAddr>) {
        if self.latch.set_remote(rtp) || self.rtcp != rtcp {
            self.rtcp_source = None;
        }
        self.rtcp = rtcp;
    }

    pub(super) fn rtp_destination(&self) -> Option<SocketAddr> {
        self.latch.destination()
    }

    /// Where RTCP goes: where the peer's comes from; until then the address in SDP if the peer sends from the host
    /// that its SDP names, else the port above its RTP.
    pub(super) fn rtcp_destination(&self) -> Option<SocketAddr> {
        if let Some(source) = self.rtcp_source.filter(|_| self.symmetric) {
            return Some(source);
        }
        let rtp = self.latch.destination()?;
        match self.rtcp {
            Some(rtcp) if rtcp.ip() == rtp.ip() && rtcp.port() != 0 => Some(rtcp),
            _ => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.buffer.next_timeout(), self.keypad.next_timeout()].into_iter().flatten().min()
    }

    pub(super) fn first_audio(&self) -> Option<u64> {
        self.first_audio
    }

    pub(super) fn is_receiving(&self) -> bool {
        self.receiving
    }

    /// Whether an RTCP packet is the peer's; then RTCP goes to where it came from.
    pub(super) fn accept_rtcp(&mut self, source: SocketAddr) -> bool {
        let accepted = self.latch.accepts_host(source);
        if accepted && self.latch.latched().is_some() {
            self.rtcp_source = Some(source);
        }
        accepted
    }

    pub(super) fn count(&self, stats: &mut Stats) {
        stats.lost = self.lost_before;
        stats.playout_delay = self.buffer.delay();
        if let Some(stream) = &self.stream {
            stats.lost += stream.lost().max(0) as u64;
            stats.jitter = stream.jitter();
        }
    }
}

impl Session {
    /// A datagram came on the RTP port.
    pub fn handle_rtp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.closed {
            return;
        }
        if rtcp::is_rtcp(datagram) {
            return self.handle_rtcp(now, source, datagram); // the peer uses one port for both (RFC 5761 §4)
        }
        let Ok(packet) = RtpPacket::parse(datagram) else {
            self.stats.malformed += 1;
            return;
        };
        if packet.payload_len() > MAX_PAYLOAD {
            self.stats.malformed += 1;
            return;
        }
        if self.kind(packet.payload_type()) == Kind::Unknown {
            // Proves nothing about its source, but takes a sequence number of the peer's stream.
            if self.receiver.latch.latched() != Some(source) {
                self.stats.foreign_source += 1;
                return;
            }
            self.stats.unknown_payload_type += 1;
        }
        let (ssrc, seq) = (packet.ssrc(), packet.sequence_number());
        match self.receiver.latch.check(now, source, ssrc, seq, datagram) {
            Verdict::Accept => {}
            Verdict::Probation => return,
            Verdict::Foreign => {
                self.stats.foreign_source += 1;
                return;
            }
            Verdict::Latched(early) => {
                self.emit(Event::Latched { source });
                for (arrival, datagram) in early {
                    if let Ok(packet) = RtpPacket::parse(&datagram) {
                        self.receive(arrival, now, &packet, &datagram);
                    }
                }
            }
        }
        self.receive(now, now, &packet, datagram);
    }

    /// A packet of the peer: `arrival` lies before `now` if it had to wait.
    fn receive(&mut self, arrival: Instant, now: Instant, packet: &RtpPacket<'_>, datagram: &[u8]) {
        self.heard(now, true);
        if !self.receiver.receiving {
            self.stats.ignored_on_hold += 1;
            return;
        }
        let (ssrc, seq) = (packet.ssrc(), packet.sequence_number());
        let extended = match &mut self.receiver.stream {
            None => {
                self.begin_stream(arrival, ssrc, seq);
                self.receiver.stream.as_mut().and_then(|stream| stream.extend(seq))
            }
            Some(stream) if stream.ssrc == ssrc => stream.extend(seq),
            Some(_) => None,
        };
        if let Some(extended) = extended {
            self.accept(arrival, now, extended, packet);
            return;
        }
        // Another SSRC, or far off in sequence: two packets in a row make a new stream (RFC 3550 §A.1).
        let suspect = Suspect { ssrc, seq, arrival, datagram: PacketBuf::from_slice(datagram) };
        match self.receiver.suspect.replace(suspect) {
            Some(first) if first.ssrc == ssrc && first.seq.wrapping_add(1) == seq => {
                self.stats.stream_restarts += 1;
                self.restart_stream();
                self.begin_stream(first.arrival, ssrc, first.seq);
                if let Ok(packet) = RtpPacket::parse(&first.datagram) {
                    self.receive(first.arrival, now, &packet, &first.datagram);
                }
                self.receive(arrival, now, packet, datagram);
            }
            Some(_) => self.stats.stray += 1,
            None => {}
        }
    }

    /// A packet of the stream at hand, by its extended sequence number.
    fn accept(&mut self, arrival: Instant, now: Instant, seq: u64, packet: &RtpPacket<'_>) {
        let (payload, timestamp) = (packet.payload(), packet.timestamp());
        self.stats.packets_received += 1;
        self.stats.bytes_received += payload.len() as u64;
        let mut content = None;
        match self.kind(packet.payload_type()) {
            Kind::Audio if !payload.is_empty() => {
                if let Some(stream) = &mut self.receiver.stream {
                    stream.arrived(arrival, timestamp);
                }
                self.receiver.buffer.arrived(arrival, timestamp);
                content = Some(Audio {
                    payload_type: packet.payload_type(),
                    marker: packet.marker_bit(),
                    timestamp,
                    payload: PacketBuf::from_slice(payload),
                });
            }
            Kind::TelephoneEvent => {
                for press in self.receiver.keypad.handle(arrival, timestamp, payload) {
                    self.key_pressed(press);
                }
            }
            Kind::Audio | Kind::ComfortNoise | Kind::Unknown => {}
        }
        let behind = self.receiver.stream.as_ref().is_some_and(|stream| stream.is_behind(seq));
        match self.receiver.buffer.insert(arrival, seq, content) {
            Inserted::InOrder(content) => {
                self.stats.reordered += u64::from(behind);
                self.deliver(arrival, content);
            }
            Inserted::Held => self.stats.reordered += u64::from(behind),
            Inserted::Late => self.stats.late += 1,
            Inserted::Duplicate => self.stats.duplicate += 1,
        }
        self.release(now);
    }

    /// Gives up what is not waited for any longer.
    pub(super) fn receive_due(&mut self, now: Instant) {
        self.release(now);
        if let Some(press) = self.receiver.keypad.handle_timeout(now) {
            self.key_pressed(press);
        }
    }

    /// Hold, and back: what comes after it has nothing to do with what came before.
    pub(super) fn direct(&mut self, now: Instant, receive: bool) {
        if receive == self.receiver.receiving {
            return;
        }
        self.receiver.receiving = receive;
        if receive {
            self.watch_from(now);
        } else {
            self.restart_stream();
        }
    }

    /// Lets out what is held.
    pub(super) fn flush_received(&mut self) {
        while let Some(released) = self.receiver.buffer.flush() {
            self.deliver_released(released);
        }
        if let Some(press) = self.receiver.keypad.restart() {
            self.key_pressed(press);
        }
    }

    fn begin_stream(&mut self, arrival: Instant, ssrc: u32, seq: u16) {
        self.receiver.stream = Some(Reception::new(arrival, ssrc, seq, self.config.clock_rate));
    }

    fn restart_stream(&mut self) {
        let Some(stream) = self.receiver.stream.take() else { return };
        self.receiver.lost_before += stream.lost().max(0) as u64;
        self.flush_received();
        self.receiver.suspect = None;
        self.receiver.buffer.restart();
        self.receiver.timeline.restart();
        self.forget_sender_report();
    }

    fn release(&mut self, now: Instant) {
        while let Some(released) = self.receiver.buffer.pop(now) {
            self.deliver_released(released);
        }
    }

    fn deliver_released(&mut self, released: Released<Option<Audio>>) {
        match released {
            Released::Packet(arrival, packet) => self.deliver(arrival, packet),
            Released::Missing(count) => self.receiver.timeline.missing(count),
        }
    }

    fn deliver(&mut self, arrival: Instant, packet: Option<Audio>) {
        let Some(Audio { payload_type, marker, timestamp, payload }) = packet else {
            self.receiver.timeline.event();
            return;
        };
        if self.receiver.first_audio.is_none() {
            let origin = *self.origin.get_or_insert(arrival);
            let since = arrival.saturating_duration_since(origin);
            self.receiver.first_audio = Some(units(since, self.config.clock_rate));
        }
        let placed = self.receiver.timeline.audio(arrival, timestamp, marker);
        if let Some((frames, timestamp)) = placed.lost {
            self.emit(Event::Lost { frames, timestamp });
        }
        let (timestamp, talk_spurt) = (placed.position, placed.talk_spurt);
        self.emit(Event::Audio { payload_type, payload, timestamp, talk_spurt });
    }

    fn key_pressed(&mut self, press: KeyPress) {
        self.stats.dtmf_received += 1;
        self.emit(Event::Dtmf { digit: press.digit, duration: press.duration });
    }

    fn kind(&self, payload_type: u8) -> Kind {
        if self.config.accept.contains(&payload_type) {
            Kind::Audio
        } else if [self.config.telephone_event, self.config.also_telephone_event]
            .contains(&Some(payload_type))
        {
            Kind::TelephoneEvent
        } else if payload_type == COMFORT_NOISE {
            Kind::ComfortNoise
        } else {
            Kind::Unknown
        }
    }
}

/// Static payload type of comfort noise (RFC 3389).
const COMFORT_NOISE: u8 = 13;
/// More than any frame of a telephone codec: 200 ms of G.711 are 1600 bytes.
const MAX_PAYLOAD: usize = 2048;
