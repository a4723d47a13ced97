//! `SourceLatch` decides whose packets are the peer's, and where packets to the peer go.
//!
//! In: the address from SDP, and the source, SSRC and sequence number of each packet. Out: accept or not, and the
//! destination. An address in SDP is untrusted and often wrong behind NAT, and anybody can send a packet to an open
//! port: so the source that proves to send a stream is taken, and then kept.
//!
//! ```text
//! Open ──packet from the SDP address──▶ Latched        any other source: Foreign
//!  ▲  └─3 packets in sequence from one source──▲
//!  └────────── SDP names another address ──────┘
//! ```

use std::net::SocketAddr;
use std::time::Instant;

use smallvec::SmallVec;

use crate::PacketBuf;

pub(crate) struct SourceLatch {
    symmetric: bool,
    sdp: Option<SocketAddr>,
    latched: Option<SocketAddr>,
    candidates: SmallVec<[Candidate; CANDIDATES]>,
    /// The source before SDP named another address, and how many packets still came from there.
    previous: Option<(SocketAddr, u32)>,
}

/// A packet that came before its source was known to be the peer's.
pub(crate) type Early = (Instant, PacketBuf);

#[derive(Debug)]
struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    next_seq: u16,
    packets: SmallVec<[Early; 0]>,
}

/// Whose packet it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The peer's.
    Accept,
    /// The peer's, which is known from this packet on; its earlier packets come with it.
    Latched(SmallVec<[Early; 0]>),
    /// Perhaps the peer's: kept until that is known.
    Probation,
    /// Somebody else's.
    Foreign,
}

impl SourceLatch {
    pub(crate) fn new(symmetric: bool) -> Self {
        Self { symmetric, sdp: None, latched: None, candidates: SmallVec::new(), previous: None }
    }

    /// The address from SDP. The one known already changes nothing; returns whether it did.
    pub(crate) fn set_remote(&mut self, sdp: SocketAddr) -> bool {
        if sdp.ip().is_unspecified() || sdp.port() == 0 || self.sdp == Some(sdp) {
            return false; // 0.0.0.0 is how RFC 2543 puts on hold, port 0 refuses the stream
        }
        self.sdp = Some(sdp);
        if self.latched == Some(sdp) {
            return false;
        }
        self.previous = self.latched.take().map(|source| (source, 0));
        self.candidates.clear();
        true
    }

    /// Where RTP goes.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        match self.latched {
            Some(latched) if self.symmetric => Some(latched),
            _ => self.sdp,
        }
    }

    /// The source that packets are accepted from.
    pub(crate) fn latched(&self) -> Option<SocketAddr> {
        self.latched
    }

    /// Whether an RTCP packet may be the peer's: it comes from the same host.
    pub(crate) fn accepts_host(&self, source: SocketAddr) -> bool {
        self.latched.or(self.sdp).is_some_and(|peer| peer.ip() == source.ip())
    }

    /// Judges a valid packet with a payload type that was negotiated.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        source: SocketAddr,
        ssrc: u32,
        seq: u16,
        datagram: &[u8],
    ) -> Verdict {
        match self.latched {
            Some(latched) if latched == source => return Verdict::Accept,
            Some(_) => return Verdict::Foreign,
            None => {}
        }
        let trusted = match self.sdp {
            Some(sdp) if self.symmetric => sdp == source,
            Some(sdp) => sdp.ip() == source.ip(),
            None => false,
        };
        if trusted {
            let early = self.candidate(source, ssrc).map(|candidate| candidate.packets).unwrap_or_default();
            return self.latch(source, early);
        }
        if !self.symmetric {
            return Verdict::Foreign;
        }
        if let Some((previous, packets)) = &mut self.previous
            && *previous == source
        {
            // Packets on their way while the peer moves; when they do not end, it did not move.
            *packets += 1;
            if *packets < STAYED {
                return Verdict::Accept;
            }
            return self.latch(source, SmallVec::new());
        }
        let mut candidate = match self.candidate(source, ssrc) {
            Some(candidate) if candidate.next_seq == seq => candidate,
            _ => Candidate { source, ssrc, next_seq: seq, packets: SmallVec::new() },
        };
        if candidate.packets.len() + 1 >= PROBATION {
            return self.latch(source, candidate.packets);
        }
        candidate.next_seq = seq.wrapping_add(1);
        candidate.packets.push((now, PacketBuf::from_slice(datagram)));
        if self.candidates.len() >= CANDIDATES {
            self.candidates.remove(0);
        }
        self.candidates.push(candidate);
        Verdict::Probation
    }

    fn candidate(&mut self, source: SocketAddr, ssrc: u32) -> Option<Candidate> {
        let at = self.candidates.iter().position(|known| known.source == source && known.ssrc == ssrc)?;
        Some(self.candidates.remove(at))
    }

    fn latch(&mut self, source: SocketAddr, early: SmallVec<[Early; 0]>) -> Verdict {
        self.latched = Some(source);
        self.previous = None;
        self.candidates = SmallVec::new();
        Verdict::Latched(early)
    }
}

/// Packets in sequence by which a source proves to be the peer.
const PROBATION: usize = 3;
/// Sources on probation at once; the oldest makes room.
const CANDIDATES: usize = 4;
/// Packets from the old source after which it is taken to have stayed: one second.
const STAYED: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdp_address_is_latched_at_once() {
        let (mut latch, now) = latch(true);
        assert_eq!(latch.check(now, sdp(), 1, 10, b"a"), Verdict::Latched(SmallVec::new()));
        assert_eq!(latch.check(now, sdp(), 1, 11, b"b"), Verdict::Accept);
        assert_eq!(latch.check(now, other(1), 1, 12, b"c"), Verdict::Foreign);
        assert_eq!(latch.destination(), Some(sdp()));
    }

    #[test]
    fn other_source_is_latched_by_its_third_packet_in_sequence() {
        let (mut latch, now) = latch(true);
        assert_eq!(latch.check(now, other(1), 7, 65535, b"a"), Verdict::Probation);
        assert_eq!(latch.check(now, other(1), 7, 0, b"b"), Verdict::Probation);
        assert_eq!(latch.destination(), Some(sdp()));
        let Verdict::Latched(early) = latch.check(now, other(1), 7, 1, b"c") else { panic!("not latched") };
        assert_eq!(early.iter().map(|(_, packet)| packet.as_slice()).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(latch.destination(), Some(other(1)));
        assert_eq!(latch.check(now, sdp(), 7, 2, b"d"), Verdict::Foreign);
    }

    #[test]
    fn strangers_between_do_not_keep_the_peer_from_being_latched() {
        let (mut latch, now) = latch(true);
        for seq in 0..2 {
            assert_eq!(latch.check(now, other(1), 7, seq, b"a"), Verdict::Probation);
            for stranger in 2..5 {
                assert_eq!(latch.check(now, other(stranger), 7, 9 * seq, b"x"), Verdict::Probation);
            }
        }
        assert!(matches!(latch.check(now, other(1), 7, 2, b"a"), Verdict::Latched(_)));
    }

    #[test]
    fn packets_out_of_sequence_or_of_changing_ssrc_prove_nothing() {
        let (mut latch, now) = latch(true);
        for seq in [1, 3, 5, 7, 9] {
            assert_eq!(latch.check(now, other(1), 7, seq, b"a"), Verdict::Probation);
        }
        for ssrc in 0..9 {
            assert_eq!(latch.check(now, other(2), ssrc, ssrc as u16, b"a"), Verdict::Probation);
        }
    }

    #[test]
    fn same_address_in_a_new_sdp_keeps_the_latch() {
        let (mut latch, now) = latch(true);
        for seq in 0..3 {
            latch.check(now, other(1), 7, seq, b"a");
        }
        assert!(!latch.set_remote(sdp()));
        assert!(!latch.set_remote("0.0.0.0:4000".parse().unwrap()));
        assert!(!latch.set_remote("10.0.0.9:0".parse().unwrap()));
        assert_eq!(latch.destination(), Some(other(1)));
    }

    #[test]
    fn new_address_is_waited_for_while_old_packets_still_count() {
        let (mut latch, now) = latch(true);
        latch.check(now, sdp(), 7, 0, b"a");
        assert!(latch.set_remote(other(1)));
        assert_eq!(latch.destination(), Some(other(1)));
        for seq in 1..10 {
            assert_eq!(latch.check(now, sdp(), 7, seq, b"a"), Verdict::Accept);
        }
        assert!(matches!(latch.check(now, other(1), 8, 0, b"a"), Verdict::Latched(_)));
        assert_eq!(latch.check(now, sdp(), 7, 10, b"a"), Verdict::Foreign);
    }

    #[test]
    fn source_that_did_not_move_is_latched_again_after_a_second() {
        let (mut latch, now) = latch(true);
        for seq in 0..3 {
            latch.check(now, other(1), 7, seq, b"a");
        }
        latch.set_remote("192.168.1.7:4000".parse().unwrap());
        for seq in 3..52 {
            assert_eq!(latch.check(now, other(1), 7, seq, b"a"), Verdict::Accept);
        }
        assert_eq!(latch.check(now, other(1), 7, 52, b"a"), Verdict::Latched(SmallVec::new()));
        assert_eq!(latch.destination(), Some(other(1)));
    }

    #[test]
    fn without_symmetry_only_the_host_of_the_sdp_is_heard_and_it_stays_the_destination() {
        let (mut latch, now) = latch(false);
        for seq in 0..9 {
            assert_eq!(latch.check(now, other(1), 7, seq, b"a"), Verdict::Foreign);
        }
        let moved = SocketAddr::new(sdp().ip(), 9999);
        assert_eq!(latch.check(now, moved, 7, 0, b"a"), Verdict::Latched(SmallVec::new()));
        assert_eq!(latch.destination(), Some(sdp()));
        assert_eq!(latch.latched(), Some(moved));
    }

    fn sdp() -> SocketAddr {
        "10.0.0.9:4000".parse().unwrap()
    }

    fn other(n: u8) -> SocketAddr {
        SocketAddr::new([203, 0, 113, n].into(), 5000)
    }

    fn latch(symmetric: bool) -> (SourceLatch, Instant) {
        let mut latch = SourceLatch::new(symmetric);
        assert!(latch.set_remote(sdp()));
        #[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
        let now = Instant::now();
        (latch, now)
    }
}
