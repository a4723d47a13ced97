//! What a [`Session`](crate::Session) says: packets to transmit, events, and the errors of its commands.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

/// A packet, or the payload of one, kept inline as long as it is an ordinary 20 ms packet.
pub type PacketBuf = SmallVec<[u8; 188]>;

/// One thing that the session wants done, or that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A datagram to send.
    Transmit {
        /// Which of the two sockets it leaves from.
        channel: Channel,
        /// Where to.
        destination: SocketAddr,
        /// The whole datagram.
        packet: PacketBuf,
    },
    /// Something to tell the call.
    Event(Event),
}

/// The two ports of a call leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The even, advertised port.
    Rtp,
    /// The port above it.
    Rtcp,
}

/// What happened on the call leg.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// One packet of audio, in order and once.
    Audio {
        /// Payload type, one of [`SessionConfig::accept`](crate::SessionConfig::accept).
        payload_type: u8,
        /// The payload, as it came.
        payload: PacketBuf,
        /// Position of its first sample in RTP clock units since the first packet; never decreases, whatever the
        /// peer's timestamps do.
        timestamp: u64,
        /// Whether it follows a pause of the peer: marker bit, a jump in time without loss, or the first packet.
        talk_spurt: bool,
    },
    /// Audio that did not come in time.
    Lost {
        /// How much is missing, in 20 ms frames; at least 1.
        frames: u32,
        /// Position of the first missing sample, as in [`Event::Audio`].
        timestamp: u64,
    },
    /// A key was pressed: once per press (RFC 4733).
    Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long it was held, as far as it is known.
        duration: Duration,
    },
    /// All audio queued before the mark has been played.
    MarkPlayed {
        /// Name as given.
        name: String,
        /// Position of the mark: agent audio played on this call leg.
        played: Duration,
    },
    /// The mark was dropped with the audio before it.
    MarkCleared {
        /// Name as given.
        name: String,
        /// Agent audio played on this call leg when it was dropped.
        played: Duration,
    },
    /// The playout queue rose above the high water mark.
    HighWater {
        /// Audio in the queue.
        queued: Duration,
    },
    /// After [`Event::HighWater`], the playout queue fell to the low water mark.
    LowWater {
        /// Audio in the queue.
        queued: Duration,
    },
    /// The peer begins to hear agent audio.
    PlaybackStarted,
    /// The peer hears no agent audio any more: for 200 ms, or because the rest was cleared.
    PlaybackEnded {
        /// How much of it was played; breaks are left out.
        played: Duration,
    },
    /// A frame of audio or of silence went out; only after
    /// [`report_sent_audio`](crate::Session::report_sent_audio). Telephone events are none.
    Sent {
        /// Its payload type.
        payload_type: u8,
        /// Its payload.
        payload: PacketBuf,
        /// Place of its first sample on the call's timeline, in RTP clock units: see
        /// [`received_from`](crate::Session::received_from).
        position: u64,
    },
    /// After [`drain`](crate::Session::drain), everything queued has been played.
    Drained,
    /// The peer's source address is now fixed.
    Latched {
        /// The address.
        source: SocketAddr,
    },
    /// The peer sent an RTCP BYE for its stream.
    RemoteBye,
    /// The peer has been silent for too long. Once for `Establishment`; for `Inactivity` once per silence.
    Silent {
        /// Which watchdog.
        kind: SilenceKind,
        /// Since when.
        since: Instant,
    },
}

/// Which watchdog found the peer silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SilenceKind {
    /// No packet ever came.
    Establishment,
    /// Packets came and stopped.
    Inactivity,
}

/// What [`clear`](crate::Session::clear) did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// How much of the playback at hand had been sent, exact to the frame; `None` if there was none.
    pub played: Option<Duration>,
    /// How much waited in the queue and was dropped.
    pub dropped: Duration,
}

/// The playout queue is at its limit: nothing of the refused message was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("playout queue holds {queued:?}, its limit is {limit:?}")]
pub struct QueueFull {
    /// Audio in the queue.
    pub queued: Duration,
    /// The limit that applies now; zero once the session is closed.
    pub limit: Duration,
}

/// Why a mark was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// Too many marks wait to be played.
    #[error("{limit} marks are pending")]
    TooMany {
        /// How many may wait.
        limit: usize,
    },
    /// The name is too long.
    #[error("mark name of {length} bytes, the limit is {limit}")]
    NameTooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest name.
        limit: usize,
    },
    /// The session is closed.
    #[error("session is closed")]
    Closed,
}

/// Why digits were refused; none of them is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DtmfError {
    /// The peer did not agree to `telephone-event`.
    #[error("telephone-event was not negotiated")]
    NotNegotiated,
    /// Not one of `0`-`9`, `*`, `#`, `A`-`D`, `a`-`d`.
    #[error("invalid digit {0:?}")]
    InvalidDigit(char),
    /// Outside 40 ms to 8 s.
    #[error("invalid duration {0:?}, 40 ms to 8 s are possible")]
    InvalidDuration(Duration),
    /// Too many digits wait to be sent.
    #[error("{limit} digits are pending")]
    TooMany {
        /// How many may wait.
        limit: usize,
    },
    /// The session is closed.
    #[error("session is closed")]
    Closed,
}
