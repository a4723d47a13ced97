//! What a [`Session`](crate::Session) is told once, when its call leg is made.

use std::time::Duration;

use smallvec::SmallVec;

/// Turns PCM into the payload of one packet. Stateful codecs (G.722) keep their state here, so silence goes through
/// it as well.
pub trait Encoder: Send {
    /// Sample rate of the PCM that [`encode`](Self::encode) takes, in Hz: 8000 to 48000.
    fn sample_rate(&self) -> u32;

    /// Appends the payload of one 20 ms frame to `payload`, which comes in empty.
    ///
    /// `pcm`: 160 samples at 8000 Hz, 320 at 16000 Hz, and so on.
    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>);
}

/// The parameters of one call leg's media.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Payload type of the audio that is sent, 0..=127.
    pub payload_type: u8,
    /// Audio payload types that are accepted from the peer.
    pub accept: SmallVec<[u8; 4]>,
    /// Payload type of `telephone-event`, both ways; `None` where it was not negotiated.
    pub telephone_event: Option<u8>,
    /// A further payload type under which telephone events are heard, negotiated or not, unless it is one of `accept`.
    pub also_telephone_event: Option<u8>,
    /// RTP clock in Hz: 8000 for G.711 and, by RFC 3551 §4.5.2, for G.722.
    pub clock_rate: u32,
    /// Whether encoded silence is sent while there is no audio. Without it the peer gets nothing between utterances.
    pub silence_fill: bool,
    /// Whether packets go to the address from which the peer's packets come (once it has been latched) rather than
    /// to the address in its SDP. Without it only sources with the SDP's IP address are heard.
    pub symmetric: bool,
    /// SSRC of the stream that is sent; random (RFC 3550 §8).
    pub ssrc: u32,
    /// Sequence number of the first packet sent; random.
    pub first_seq: u16,
    /// RTP timestamp of frame 0; random.
    pub first_timestamp: u32,
    /// Canonical name in SDES (RFC 3550 §6.5.1); at most 255 bytes are sent.
    pub cname: String,
    /// Time since 1900 (NTP epoch) at the session's creation, for sender reports.
    pub wallclock: Duration,
    /// Queued audio from which on the next message is refused. Never cuts a message.
    pub queue_limit: Duration,
    /// The same before [`start`](crate::Session::start).
    pub pre_start_limit: Duration,
    /// Queued audio above which [`HighWater`](crate::Event::HighWater) is reported.
    pub high_water: Duration,
    /// Queued audio at or below which [`LowWater`](crate::Event::LowWater) follows.
    pub low_water: Duration,
    /// Time without a packet from the peer after which it is reported silent; zero: never.
    pub inactivity_timeout: Duration,
    /// Time from the start to the first packet of the peer after which it is reported silent; zero: never.
    pub establishment_timeout: Duration,
    /// Mean time between two RTCP reports, each drawn from 0.5 to 1.5 times it; zero: no reports.
    pub rtcp_interval: Duration,
    /// Packets that the jitter buffer holds behind a gap, at most 64.
    pub max_reorder: u16,
    /// Frames that are sent back to back after a late tick; what is due beyond them is skipped.
    pub max_burst: u32,
    /// How far ahead of the clock agent audio is sent, for a peer that plays what comes when it comes, and drops it when it
    /// is told to: so its queue does not run dry when the network is late. In whole frames; zero for a peer with a jitter
    /// buffer. Positions, marks and what was played count what is due, not what was sent.
    pub lead: Duration,
    /// Pause between two digits sent, rounded up to a whole frame.
    pub dtmf_gap: Duration,
}

impl SessionConfig {
    /// A call leg that sends and accepts `payload_type`, with the relay's usual limits.
    ///
    /// `ssrc`, `first_seq` and `first_timestamp` are to be drawn at random by the caller.
    pub fn new(payload_type: u8, ssrc: u32, first_seq: u16, first_timestamp: u32) -> Self {
        Self {
            payload_type,
            accept: SmallVec::from_slice(&[payload_type]),
            telephone_event: None,
            also_telephone_event: None,
            clock_rate: 8000,
            silence_fill: true,
            symmetric: true,
            ssrc,
            first_seq,
            first_timestamp,
            cname: format!("{ssrc:08x}"),
            wallclock: UNIX_EPOCH,
            queue_limit: Duration::from_secs(600),
            pre_start_limit: Duration::from_secs(10),
            high_water: Duration::from_secs(60),
            low_water: Duration::from_secs(10),
            inactivity_timeout: Duration::from_secs(30),
            establishment_timeout: Duration::from_secs(60),
            rtcp_interval: Duration::from_secs(5),
            max_reorder: 64,
            max_burst: 10,
            lead: Duration::ZERO,
            dtmf_gap: Duration::from_millis(50),
        }
    }
}

/// 1970 on the NTP time scale: stands in where the caller gives no wall clock (RFC 3550 §6.4.1 allows any clock).
const UNIX_EPOCH: Duration = Duration::from_secs(2_208_988_800);
