//! `Line` is the wire of a leg whose caller came by a provider's media stream: RTP packets that never leave the process.
//!
//! In: [`StreamAudio`] of the stream's actor, RTP packets of the core. Out: RTP packets for the core, [`StreamOutput`]. Where a
//! message belongs in order and in time is decided by [`Packets`]; what is missing, late or twice, by the core.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use actix::Recipient;
use bytes::Bytes;
use futures_core::Stream;
use model::audio::Codec;
use rtp::Channel;
use tokio::sync::mpsc;

use super::{
    super::super::{
        io::Readable,
        message::{StreamAudio, StreamMedia, StreamOutput},
    },
    RTP,
};

/// See the module's documentation.
pub struct Line {
    inbox: Rc<RefCell<Inbox>>,
    output: Recipient<StreamOutput>,
    overflow: Arc<AtomicU64>,
    packets: Packets,
}

/// The channel from the stream's actor, with what was looked at and not read yet.
struct Inbox {
    receiver: mpsc::Receiver<StreamAudio>,
    next: Option<StreamAudio>,
    closed: bool,
}

impl Line {
    pub fn new(media: StreamMedia) -> Self {
        let StreamMedia { output, audio, overflow } = media;
        let inbox = Rc::new(RefCell::new(Inbox { receiver: audio, next: None, closed: false }));
        Self { inbox, output, overflow, packets: Packets::new(Codec::Pcmu) }
    }

    /// What the caller speaks.
    pub fn agreed(&mut self, received: Codec) {
        self.packets = Packets::new(received);
    }

    /// Tells when there is something to read.
    pub fn arrivals(&self) -> Arrivals {
        Arrivals(self.inbox.clone())
    }

    /// Hands over what has come as RTP packets, `limit` messages at most.
    pub fn receive(&mut self, limit: usize, mut take: impl FnMut(Channel, SocketAddr, &[u8])) {
        let now = Instant::now();
        for _ in 0..limit {
            let Some(audio) = self.inbox.borrow_mut().take() else { break };
            self.packets.of(&audio, now, |packet| take(Channel::Rtp, FAR_END, packet));
        }
    }

    /// The stream is gone, and what it brought has been read.
    pub fn is_closed(&self) -> bool {
        self.inbox.borrow().closed
    }

    /// Sends the payload of one RTP packet.
    pub fn send(&self, packet: &[u8]) -> bool {
        let payload = Bytes::copy_from_slice(packet.get(HEADER..).unwrap_or_default());
        self.output.try_send(StreamOutput::Audio(payload)).is_ok()
    }

    /// The provider is to drop what it holds.
    pub fn clear(&self) {
        self.output.do_send(StreamOutput::Clear);
    }

    /// Messages that found the channel full.
    pub fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }
}

impl Inbox {
    fn take(&mut self) -> Option<StreamAudio> {
        self.next.take().or_else(|| self.receiver.try_recv().ok())
    }
}

/// Yields [`Readable`] each time there is something to read, and once when the stream is gone. Never ends.
pub struct Arrivals(Rc<RefCell<Inbox>>);

impl Stream for Arrivals {
    type Item = Readable;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Readable>> {
        let mut inbox = self.0.borrow_mut();
        if inbox.closed {
            return Poll::Pending;
        }
        if inbox.next.is_none() {
            inbox.next = ready!(inbox.receiver.poll_recv(cx));
            inbox.closed = inbox.next.is_none();
        }
        Poll::Ready(Some(Readable(RTP)))
    }
}

/// Makes RTP packets (RFC 3550 §5.1) of media messages: gives each its sequence number and its timestamp.
///
/// A provider's times count in milliseconds and waver; a message that is about where it is expected is exactly there.
struct Packets {
    codec: Codec,
    packet: Vec<u8>,
    last: Option<Last>,
    /// The provider's numbers make sense.
    numbered: bool,
    /// Packets more than messages: long messages become several.
    surplus: u16,
}

/// The message before.
struct Last {
    chunk: u64,
    /// Its time by the provider, less its time by us, both in clock units.
    skew: Option<i64>,
    /// Where it began, in clock units, and how long it was.
    position: i64,
    units: i64,
    arrival: Instant,
}

impl Packets {
    fn new(codec: Codec) -> Self {
        Self { codec, packet: Vec::with_capacity(HEADER + 640), last: None, numbered: true, surplus: 0 }
    }

    /// The packets of one message that came now.
    fn of(&mut self, audio: &StreamAudio, now: Instant, mut take: impl FnMut(&[u8])) {
        let (chunk, position) = self.place(audio, now);
        let longest = MAX_PAYLOAD - MAX_PAYLOAD % self.codec.frame_bytes();
        for (n, payload) in audio.payload.chunks(longest).enumerate() {
            self.surplus = self.surplus.wrapping_add(u16::from(n > 0));
            let sequence = (chunk as u16).wrapping_add(self.surplus);
            let timestamp = position.wrapping_add(self.units((n * longest) as u64) as u64);
            self.packet.clear();
            self.packet.extend_from_slice(&[0x80, self.codec.payload_type()]);
            self.packet.extend_from_slice(&sequence.to_be_bytes());
            self.packet.extend_from_slice(&(timestamp as u32).to_be_bytes());
            self.packet.extend_from_slice(&SSRC.to_be_bytes());
            self.packet.extend_from_slice(payload);
            take(&self.packet);
        }
    }

    /// The number of a message, and where it begins in clock units.
    fn place(&mut self, audio: &StreamAudio, now: Instant) -> (u64, u64) {
        let units = self.units(audio.payload.len() as u64);
        let given = audio.timestamp.map(|time| self.elapsed(time));
        let Some(last) = &self.last else {
            let (chunk, position) = (audio.chunk.unwrap_or(0), ORIGIN);
            let skew = given.map(|given| given.saturating_sub(ORIGIN));
            self.last = Some(Last { chunk, skew, position, units, arrival: now });
            return (chunk, position as u64);
        };
        // A number that does not grow is none: then the order of arrival counts.
        self.numbered &= audio.chunk != Some(last.chunk);
        let chunk = audio.chunk.filter(|_| self.numbered).unwrap_or(last.chunk.wrapping_add(1));
        let ahead = chunk.wrapping_sub(last.chunk) as i64;
        let expected = last.position.saturating_add(ahead.saturating_mul(last.units));
        let said = given.zip(last.skew).map(|(given, skew)| given.saturating_sub(skew));
        let position = match said {
            Some(said) if said.abs_diff(expected) <= TOLERANCE => expected,
            Some(said) => said,
            None => {
                let late = last.position.saturating_add(self.elapsed(now - last.arrival));
                if late.saturating_sub(expected) > PAUSE { late } else { expected }
            }
        };
        let position = position.max(0);
        if ahead > 0 {
            let skew = last.skew.or(given.map(|given| given.saturating_sub(position)));
            self.last = Some(Last { chunk, skew, position, units, arrival: now });
        }
        (chunk, position as u64)
    }

    /// Clock units of so many bytes.
    fn units(&self, bytes: u64) -> i64 {
        (bytes * u64::from(self.codec.clock_rate() / 50) / self.codec.frame_bytes() as u64) as i64
    }

    /// Clock units of so much time.
    fn elapsed(&self, time: Duration) -> i64 {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        milliseconds.saturating_mul(i64::from(self.codec.clock_rate() / 1000))
    }
}

/// The provider's end of the line. The core names places by their address; this one is nowhere (RFC 5737).
pub const FAR_END: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5004);
/// Of an RTP packet without extension.
const HEADER: usize = 12;
/// There is one source on a line.
const SSRC: u32 = 1;
/// Where the first message begins: those that belong before it have room.
const ORIGIN: i64 = 1 << 20;
/// The longest payload that the core takes.
const MAX_PAYLOAD: usize = 2048;
/// 60 ms: how far a provider's times may waver.
const TOLERANCE: u64 = 480;
/// A second: what comes later than that after the one before, without saying when it was spoken, follows a pause.
const PAUSE: i64 = 8000;

#[cfg(test)]
mod tests {
    use model::audio::SampleRate;

    use super::*;

    #[test]
    fn times_that_waver_are_put_straight_and_pauses_are_kept() {
        let mut line = Heard::new(Codec::Pcmu);
        let placed: Vec<_> = [(1, 20), (2, 43), (3, 58), (4, 81), (5, 2100), (6, 2119)]
            .into_iter()
            .map(|(chunk, ms)| line.hear(Some(chunk), Some(ms), 160))
            .collect();
        assert_eq!(placed, [(1, 0), (2, 160), (3, 320), (4, 480), (5, 16_640), (6, 16_800)]);
    }

    #[test]
    fn message_that_comes_late_has_its_own_place() {
        let mut line = Heard::new(Codec::Pcma);
        for (chunk, place) in [(7, 0), (9, 320), (8, 160), (10, 480), (12, 800), (11, 640)] {
            assert_eq!(line.hear(Some(chunk), None, 160), (chunk as u16, place));
        }
    }

    #[test]
    fn without_numbers_and_times_one_message_follows_the_other() {
        let mut line = Heard::new(Codec::L16(SampleRate::Hz16000));
        // The same number again and again says nothing either.
        for (n, chunk) in [None, Some(1), Some(1), Some(1), None].into_iter().enumerate() {
            assert_eq!(line.hear(chunk, None, 640), (n as u16, n as u32 * 160));
        }
        line.now += Duration::from_secs(3);
        assert_eq!(line.hear(None, None, 640), (5, 4 * 160 + 24_000), "nothing came for three seconds");
    }

    #[test]
    fn long_message_becomes_packets_that_the_core_takes() {
        let mut line = Heard::new(Codec::Pcmu);
        line.hear(Some(1), Some(0), 160);
        let audio = StreamAudio { chunk: Some(2), timestamp: None, payload: vec![7; 4000].into() };
        let (mut packets, now) = (Vec::new(), line.now);
        line.packets.of(&audio, now, |packet| {
            let (sequence, place) = header(packet);
            packets.push((sequence, place, packet.len() - HEADER));
        });
        assert_eq!(packets, [(2, 160, 1920), (3, 2080, 1920), (4, 4000, 160)]);
        assert_eq!(line.hear(Some(3), Some(520), 160), (5, 4160));
    }

    #[test]
    fn nonsense_is_borne() {
        let mut line = Heard::new(Codec::Pcmu);
        let odd = [(0, u64::MAX), (u64::MAX, 0), (1, u64::MAX), (u64::MAX / 2, 5), (3, 7)];
        for (chunk, ms) in odd {
            line.hear(Some(chunk), Some(ms), 1);
        }
        line.packets.of(
            &StreamAudio { chunk: None, timestamp: None, payload: Bytes::new() },
            line.now,
            |_| panic!("an empty message is no packet"),
        );
    }

    struct Heard {
        packets: Packets,
        now: Instant,
    }

    impl Heard {
        fn new(codec: Codec) -> Self {
            Self { packets: Packets::new(codec), now: Instant::now() }
        }

        /// The sequence number and the place of a message that makes one packet.
        fn hear(&mut self, chunk: Option<u64>, ms: Option<u64>, length: usize) -> (u16, u32) {
            let timestamp = ms.map(Duration::from_millis);
            let audio = StreamAudio { chunk, timestamp, payload: vec![1; length].into() };
            let (mut heard, now) = (None, self.now);
            self.packets.of(&audio, now, |packet| {
                assert_eq!(packet.len(), HEADER + length);
                assert!(heard.replace(header(packet)).is_none(), "one packet");
            });
            heard.expect("a packet")
        }
    }
    /// The sequence number and the timestamp of a packet, this from the first one on.
    fn header(packet: &[u8]) -> (u16, u32) {
        let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        (u16::from_be_bytes([packet[2], packet[3]]), timestamp.wrapping_sub(ORIGIN as u32))
    }
}
