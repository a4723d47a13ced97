//! RTCP packets (RFC 3550 §6): building our reports, reading the peer's.
//!
//! In: figures, or a datagram. Out: a compound packet, or what it says about us. Knows nothing of when to send.

use std::time::Duration;

use rtcp_types::{
    Bye, Compound, ReceiverReport, ReportBlock, ReportBlockBuilder, RtcpPacket, RtcpPacketParser,
    RtcpPacketWriterExt, Sdes, SdesChunk, SdesItem, SenderReport,
};
use smallvec::SmallVec;

use crate::PacketBuf;

/// What a report says about what we sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// NTP time of the report, 32.32 fixed point.
    pub(crate) ntp: u64,
    pub(crate) rtp_timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// What a report says about what we received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) ssrc: u32,
    pub(crate) fraction_lost: u8,
    /// 24 bits, two's complement.
    pub(crate) cumulative_lost: u32,
    pub(crate) highest_seq: u32,
    pub(crate) jitter: u32,
    /// Middle bits of the NTP time of the peer's last sender report; 0: none came.
    pub(crate) last_sr: u32,
    /// Time since then, 1/65536 s.
    pub(crate) delay_since_last_sr: u32,
}

/// What the peer's compound packet tells us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Feedback {
    /// Sender and middle bits of the NTP time of its sender report.
    pub(crate) sender_report: Option<(u32, u32)>,
    /// Its report about our stream.
    pub(crate) about_us: Option<Received>,
    /// The streams that it ends.
    pub(crate) bye: SmallVec<[u32; 2]>,
}

/// A compound packet: SR or RR, SDES with the CNAME, and BYE if it is the last. `None`: nothing that could be built.
pub(crate) fn report(
    ssrc: u32,
    cname: &str,
    sent: Option<Sent>,
    received: Option<Received>,
    bye: bool,
) -> Option<PacketBuf> {
    let block = received.map(block);
    let mut compound = Compound::builder();
    compound = match sent {
        Some(sent) => {
            let mut report = SenderReport::builder(ssrc)
                .ntp_timestamp(sent.ntp)
                .rtp_timestamp(sent.rtp_timestamp)
                .packet_count(sent.packets)
                .octet_count(sent.bytes);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            compound.add_packet(report)
        }
        None => {
            let mut report = ReceiverReport::builder(ssrc);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            compound.add_packet(report)
        }
    };
    let cname = SdesItem::builder(SdesItem::CNAME, cut(cname));
    compound = compound.add_packet(Sdes::builder().add_chunk(SdesChunk::builder(ssrc).add_item(cname)));
    if bye {
        compound = compound.add_packet(Bye::builder().add_source(ssrc));
    }
    let mut buffer = [0; MAX_REPORT];
    let length = compound.write_into(&mut buffer).ok()?;
    Some(PacketBuf::from_slice(&buffer[..length]))
}

/// Reads a compound packet. Packets of other types, and faulty ones among good ones, are passed over; `None` when
/// there is nothing that is RTCP at the start.
pub(crate) fn parse(datagram: &[u8], our_ssrc: u32) -> Option<Feedback> {
    let mut feedback = Feedback::default();
    let mut rest = datagram;
    let mut packets = 0;
    while let [first, packet_type, high, low, ..] = *rest {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        if first >> 6 != 2 || !(192..=223).contains(&packet_type) || length > rest.len() {
            break;
        }
        let (packet, after) = rest.split_at(length);
        rest = after;
        packets += 1;
        match packet_type {
            SenderReport::PACKET_TYPE => {
                let Ok(report) = SenderReport::parse(packet) else { continue };
                feedback.sender_report = Some((report.ssrc(), (report.ntp_timestamp() >> 16) as u32));
                feedback.find(our_ssrc, report.report_blocks());
            }
            ReceiverReport::PACKET_TYPE => {
                let Ok(report) = ReceiverReport::parse(packet) else { continue };
                feedback.find(our_ssrc, report.report_blocks());
            }
            Bye::PACKET_TYPE => {
                let Ok(bye) = Bye::parse(packet) else { continue };
                feedback.bye.extend(bye.ssrcs());
            }
            _ => {}
        }
    }
    (packets > 0).then_some(feedback)
}

/// NTP time as 32.32 fixed point, modulo 2^64.
pub(crate) fn ntp(since_1900: Duration) -> u64 {
    let fraction = (u64::from(since_1900.subsec_nanos()) << 32) / 1_000_000_000;
    (since_1900.as_secs() << 32) | fraction
}

/// A duration in 1/65536 s, as RTCP has it; saturates at 18 hours.
pub(crate) fn short(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos() * 65_536 / 1_000_000_000).unwrap_or(u32::MAX)
}

/// The round trip at the NTP time `now`, from a report about us; `None` where it says nothing of use.
pub(crate) fn round_trip(now: u64, about_us: &Received) -> Option<Duration> {
    if about_us.last_sr == 0 {
        return None;
    }
    let trip = ((now >> 16) as u32).wrapping_sub(about_us.last_sr).wrapping_sub(about_us.delay_since_last_sr);
    // More than a minute is a wrapped negative number, or an answer to no report of ours.
    (trip < 60 << 16).then(|| Duration::from_nanos(u64::from(trip) * 1_000_000_000 / 65_536))
}

impl Feedback {
    fn find<'a>(&mut self, our_ssrc: u32, mut blocks: impl Iterator<Item = ReportBlock<'a>>) {
        let Some(block) = blocks.find(|block| block.ssrc() == our_ssrc) else { return };
        self.about_us = Some(Received {
            ssrc: block.ssrc(),
            fraction_lost: block.fraction_lost(),
            cumulative_lost: block.cumulative_lost(),
            highest_seq: block.extended_sequence_number(),
            jitter: block.interarrival_jitter(),
            last_sr: block.last_sender_report_timestamp(),
            delay_since_last_sr: block.delay_since_last_sender_report_timestamp(),
        });
    }
}

fn block(received: Received) -> ReportBlockBuilder {
    ReportBlock::builder(received.ssrc)
        .fraction_lost(received.fraction_lost)
        .cumulative_lost(received.cumulative_lost & 0xff_ffff)
        .extended_sequence_number(received.highest_seq)
        .interarrival_jitter(received.jitter)
        .last_sender_report_timestamp(received.last_sr)
        .delay_since_last_sender_report_timestamp(received.delay_since_last_sr)
}

/// As much of a CNAME as an item can carry.
fn cut(cname: &str) -> &str {
    let end = (0..=cname.len().min(MAX_CNAME)).rev().find(|end| cname.is_char_boundary(*end));
    &cname[..end.unwrap_or(0)]
}

const MAX_CNAME: usize = 255;
/// SR with one block 52, SDES with the longest CNAME 268, BYE 8.
const MAX_REPORT: usize = 52 + 268 + 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_report_with_block_sdes_and_bye_is_exact() {
        let sent = Sent { ntp: 0x0102_0304_0506_0708, rtp_timestamp: 0x0a0b_0c0d, packets: 50, bytes: 8000 };
        let packet = report(0x1122_3344, "ab@c", Some(sent), Some(received(0x5566_7788)), true).unwrap();
        #[rustfmt::skip]
        let expected = [
            0x81, 200, 0, 12, 0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4, 5, 6, 7, 8, 0x0a, 0x0b, 0x0c, 0x0d,
            0, 0, 0, 50, 0, 0, 0x1f, 0x40,
            0x55, 0x66, 0x77, 0x88, 64, 0xff, 0xff, 0xfe, 0, 1, 0, 9, 0, 0, 0, 39, 3, 4, 5, 6, 0, 1, 0x80, 0,
            0x81, 202, 0, 3, 0x11, 0x22, 0x33, 0x44, 1, 4, b'a', b'b', b'@', b'c', 0, 0,
            0x81, 203, 0, 1, 0x11, 0x22, 0x33, 0x44,
        ];
        assert_eq!(packet.as_slice(), expected);
        let feedback = parse(&packet, 0x5566_7788).unwrap();
        assert_eq!(feedback.sender_report, Some((0x1122_3344, 0x0304_0506)));
        assert_eq!(feedback.about_us, Some(received(0x5566_7788)));
        assert_eq!(feedback.bye.as_slice(), [0x1122_3344]);
    }

    #[test]
    fn longest_cname_fits_and_a_longer_one_is_cut() {
        for length in [255, 256, 1000] {
            let sent = Sent { ntp: 0, rtp_timestamp: 0, packets: 0, bytes: 0 };
            let packet = report(1, &"x".repeat(length), Some(sent), Some(received(2)), true).unwrap();
            assert_eq!(packet[52 + 8 + 1], 255);
        }
        let packet = report(1, &"ä".repeat(128), None, None, false).unwrap();
        assert_eq!(packet[8 + 8 + 1], 254);
    }

    #[test]
    fn faulty_sdes_does_not_hide_the_bye_behind_it() {
        let datagram =
            [0x80, 201, 0, 1, 0, 0, 0, 9, 0x81, 202, 0, 1, 1, 200, 1, 1, 0x81, 203, 0, 1, 0, 0, 0, 9];
        assert_eq!(parse(&datagram, 1).unwrap().bye.as_slice(), [9]);
    }

    #[test]
    fn noise_is_no_rtcp() {
        assert_eq!(parse(&[], 1), None);
        assert_eq!(parse(&[0x80, 200, 0], 1), None);
        assert_eq!(parse(&[0x80, 200, 0, 9, 0, 0, 0, 0], 1), None);
        assert_eq!(parse(&[0x40, 201, 0, 0], 1), None);
        assert_eq!(parse(&[0x80, 0, 0, 0], 1), None);
    }

    #[test]
    fn round_trip_is_now_less_report_less_delay() {
        let sent = ntp(Duration::from_secs(1000));
        let about_us =
            Received { last_sr: (sent >> 16) as u32, delay_since_last_sr: 0x1_8000, ..received(1) };
        let trip = |after: u64| round_trip(ntp(Duration::from_millis(1_000_000 + after)), &about_us);
        assert_eq!(trip(1750), Some(Duration::from_millis(250)));
        assert_eq!(trip(1000), None);
        assert_eq!(round_trip(sent, &Received { last_sr: 0, ..about_us }), None);
    }

    fn received(ssrc: u32) -> Received {
        Received {
            ssrc,
            fraction_lost: 64,
            cumulative_lost: 0xff_fffe,
            highest_seq: 0x1_0009,
            jitter: 39,
            last_sr: 0x0304_0506,
            delay_since_last_sr: 0x1_8000,
        }
    }
}
