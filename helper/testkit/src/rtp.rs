//! RTP packets (RFC 3550 §5.1) and telephone events (RFC 4733 §2.3) as a test writes and reads them.

/// One RTP packet. Building writes a fixed 12-byte header; parsing also steps over CSRCs, an extension and padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Payload type, 0..=127.
    pub payload_type: u8,
    /// First packet after silence, or first of an event.
    pub marker: bool,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp in units of the payload type's clock.
    pub rtp_ts: u32,
    /// Sender of the stream.
    pub ssrc: u32,
    /// What is inside.
    pub payload: Vec<u8>,
}

impl Packet {
    /// Reads a packet. `None` when it is not version 2 or shorter than its own header says.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let fixed = datagram.get(..12)?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut start = 12 + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let extension = datagram.get(start..start + 4)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let mut end = datagram.len();
        if fixed[0] & 0x20 != 0 {
            let padding = usize::from(*datagram.last()?);
            end = end.checked_sub(padding).filter(|_| padding > 0)?;
        }
        Some(Self {
            payload_type: fixed[1] & 0x7f,
            marker: fixed[1] & 0x80 != 0,
            seq: u16::from_be_bytes([fixed[2], fixed[3]]),
            rtp_ts: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload: datagram.get(start..end)?.to_vec(),
        })
    }

    /// The packet as a datagram.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0x80, self.payload_type & 0x7f | u8::from(self.marker) << 7];
        out.extend(self.seq.to_be_bytes());
        out.extend(self.rtp_ts.to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
        out.extend(&self.payload);
        out
    }
}

/// One stream of packets under construction: sequence number and timestamp go on by themselves.
#[derive(Debug, Clone)]
pub struct Stream {
    next: Packet,
}

impl Stream {
    /// A stream whose first packet has the marker set and the given numbers.
    pub fn new(payload_type: u8, ssrc: u32, seq: u16, rtp_ts: u32) -> Self {
        Self { next: Packet { payload_type, marker: true, seq, rtp_ts, ssrc, payload: Vec::new() } }
    }

    /// The next packet. Its timestamp moves on by one unit per payload byte, as in G.711.
    pub fn packet(&mut self, payload: &[u8]) -> Packet {
        let packet = Packet { payload: payload.to_vec(), ..self.next.clone() };
        self.next.marker = false;
        self.next.seq = self.next.seq.wrapping_add(1);
        self.skip(payload.len() as u32);
        packet
    }

    /// Lets time pass without a packet: the timestamp moves on, the sequence number does not.
    pub fn skip(&mut self, units: u32) {
        self.next.rtp_ts = self.next.rtp_ts.wrapping_add(units);
    }

    /// The packets of one key press of `units` total length (8 per millisecond), a packet each `step` units: all with the
    /// timestamp of its start, the marker on the first, the last one sent three times (RFC 4733 §2.5.1).
    pub fn key_press(&mut self, payload_type: u8, event: u8, units: u16, step: u16) -> Vec<Packet> {
        let mut packets = Vec::new();
        let lengths: Vec<u16> =
            (1..).map(|n| n * step).take_while(|&d| d < units).chain([units; 3]).collect();
        for (i, &duration) in lengths.iter().enumerate() {
            let event = TelephoneEvent { event, end: duration == units, volume: 10, duration };
            packets.push(Packet {
                payload_type,
                marker: i == 0,
                payload: event.to_bytes().to_vec(),
                ..self.next.clone()
            });
            self.next.seq = self.next.seq.wrapping_add(1);
        }
        self.skip(u32::from(units));
        packets
    }
}

/// The payload of one telephone event packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code: 0..=9 digits, 10 `*`, 11 `#`, 12..=15 `A`..`D`.
    pub event: u8,
    /// The key was released.
    pub end: bool,
    /// Power level in -dBm0, 0..=63.
    pub volume: u8,
    /// Length so far in timestamp units.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads an event. `None` unless the payload has exactly four bytes.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[event, flags, high, low] = payload else { return None };
        let duration = u16::from_be_bytes([high, low]);
        Some(Self { event, end: flags & 0x80 != 0, volume: flags & 0x3f, duration })
    }

    /// The event as a payload.
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, self.volume & 0x3f | u8::from(self.end) << 7, high, low]
    }

    /// The key of this event, `0`-`9`, `*`, `#`, `A`-`D`.
    pub fn key(self) -> Option<char> {
        "0123456789*#ABCD".chars().nth(usize::from(self.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_is_written_as_the_rfc_draws_it() {
        let packet = Packet {
            payload_type: 8,
            marker: true,
            seq: 0x0102,
            rtp_ts: 0x0304_0506,
            ssrc: 0x0708_090a,
            payload: vec![0xd5; 2],
        };
        assert_eq!(packet.to_bytes(), [0x80, 0x88, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xd5, 0xd5]);
        assert_eq!(Packet::parse(&packet.to_bytes()), Some(packet));
    }

    #[test]
    fn payload_is_found_behind_csrcs_extension_and_padding() {
        let datagram = [
            &[0xb1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..],
            &[9; 4],
            &[0xbe, 0xde, 0, 1, 7, 7, 7, 7],
            &[0xaa, 0xbb],
            &[0, 0, 3],
        ]
        .concat();
        assert_eq!(Packet::parse(&datagram).expect("valid").payload, [0xaa, 0xbb]);
    }

    #[test]
    fn broken_packets_are_refused() {
        let good = Stream::new(0, 1, 2, 3).packet(&[0xff; 160]).to_bytes();
        assert_eq!(Packet::parse(&good[..11]), None);
        let with_first = |byte: u8| [&[byte], &good[1..]].concat();
        assert_eq!(Packet::parse(&with_first(0x40)), None);
        assert_eq!(Packet::parse(&with_first(0x8f)[..70]), None);
        assert_eq!(Packet::parse(&with_first(0xa0)), None, "255 bytes of padding in 160");
        assert_eq!(Packet::parse(&with_first(0x90)), None, "an extension longer than the packet");
    }

    #[test]
    fn stream_counts_packets_and_time_across_the_wrap() {
        let mut stream = Stream::new(0, 7, u16::MAX, u32::MAX - 159);
        let (a, b) = (stream.packet(&[0xff; 160]), stream.packet(&[0xff; 160]));
        stream.skip(800);
        let c = stream.packet(&[0xff; 160]);
        assert_eq!([a.marker, b.marker, c.marker], [true, false, false]);
        assert_eq!([a.seq, b.seq, c.seq], [u16::MAX, 0, 1]);
        assert_eq!([a.rtp_ts, b.rtp_ts, c.rtp_ts], [u32::MAX - 159, 0, 960]);
    }

    #[test]
    fn key_press_has_the_golden_form() {
        let mut stream = Stream::new(0, 7, 10, 1000);
        let packets = stream.key_press(101, 5, 1280, 160);
        let payloads: Vec<Vec<u8>> = packets.iter().map(|p| p.payload.clone()).collect();
        assert_eq!(payloads[0], [0x05, 0x0a, 0x00, 0xa0]);
        assert_eq!(payloads[1], [0x05, 0x0a, 0x01, 0x40]);
        assert_eq!(payloads[6], [0x05, 0x0a, 0x04, 0x60]);
        assert_eq!(payloads[7..], [[0x05, 0x8a, 0x05, 0x00]; 3]);
        assert!(packets.iter().all(|p| p.rtp_ts == 1000 && p.payload_type == 101));
        assert!(packets.iter().map(|p| p.seq).eq(10..20));
        assert!(packets[0].marker && packets[1..].iter().all(|p| !p.marker));
        assert_eq!(stream.packet(&[0xff; 160]).rtp_ts, 2280);
    }

    #[test]
    fn telephone_event_reads_back() {
        let event = TelephoneEvent { event: 11, end: true, volume: 10, duration: 1280 };
        assert_eq!(TelephoneEvent::parse(&event.to_bytes()), Some(event));
        assert_eq!(event.key(), Some('#'));
        assert_eq!(TelephoneEvent { event: 16, ..event }.key(), None);
        assert_eq!(TelephoneEvent::parse(&[1, 2, 3]), None);
    }
}
