//! The counters of one call leg.

use std::time::Duration;

/// What went over one call leg, cumulative since its creation unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Payload bytes sent in them.
    pub bytes_sent: u64,
    /// Of them: packets of agent audio.
    pub audio_sent: u64,
    /// Of them: packets of silence.
    pub silence_sent: u64,
    /// Of them: telephone-event packets.
    pub dtmf_sent: u64,
    /// Valid RTP packets from the peer, duplicates and late ones included.
    pub packets_received: u64,
    /// Payload bytes in them.
    pub bytes_received: u64,
    /// Packets that never came, by RFC 3550 §A.3: expected less received.
    pub lost: u64,
    /// Packets that came after they had been declared lost.
    pub late: u64,
    /// Packets that came again.
    pub duplicate: u64,
    /// Packets that came after a later one, yet in time.
    pub reordered: u64,
    /// Digits received.
    pub dtmf_received: u64,
    /// Datagrams from somebody else than the peer, RTP and RTCP.
    pub foreign_source: u64,
    /// Datagrams that are no RTP or RTCP packets.
    pub malformed: u64,
    /// RTP packets of a payload type that was not negotiated.
    pub unknown_payload_type: u64,
    /// Single packets of another stream, from the peer's address: not delivered.
    pub stray: u64,
    /// Packets that came while the call was on hold.
    pub ignored_on_hold: u64,
    /// Times that the peer began a new stream: another SSRC, or a sequence jump.
    pub stream_restarts: u64,
    /// Interarrival jitter of the peer's packets, RFC 3550 §A.8.
    pub jitter: Duration,
    /// How long a gap is waited for at present.
    pub playout_delay: Duration,
    /// Round trip to the peer from its last report.
    pub rtt: Option<Duration>,
    /// Share of our packets that did not reach the peer between its last two reports, 0.0..=1.0.
    pub remote_fraction_lost: Option<f32>,
    /// Jitter of our packets as the peer last reported it.
    pub remote_jitter: Option<Duration>,
    /// RTCP packets sent.
    pub rtcp_sent: u64,
    /// RTCP packets from the peer.
    pub rtcp_received: u64,
    /// Ticks that came a frame or more after their time.
    pub late_ticks: u64,
    /// The latest that a tick came.
    pub worst_tick: Duration,
    /// Frames that were not sent because a tick came too late.
    pub skipped_frames: u64,
    /// Frames of silence left out of the playout queue to catch up.
    pub caught_up_frames: u64,
    /// Messages refused by the full playout queue.
    pub refused: u64,
}
