//! The media of one call leg, without a socket: RTP in and out, the playout queue, the jitter buffer, telephone
//! events, RTCP and the watchdogs (RFC 3550, 3551, 4733).
//!
//! In: datagrams with their source, PCM or payload to play, commands, and the time. Out: [`Output`]s, either a
//! packet to transmit or an [`Event`]. Knows nothing of SIP, of sockets, and of codecs: payload arrives as bytes and
//! leaves through an injected [`Encoder`].
//!
//! The contract of a core: every call that takes `now` is followed by [`Session::poll_output`] until it returns
//! `None`, then a timer is set to [`Session::next_timeout`], and [`Session::handle_timeout`] is called when it fires.
//!
//! ```text
//!  queue_pcm, queue_payload ─▶ playout ─▶ pacer (20 ms) ─▶ Transmit{Rtp}
//!  send_dtmf ─────────────────────────────▲
//!  handle_rtp ─▶ latch ─▶ reception ─▶ jitter buffer ─▶ Audio, Lost      telephone events ─▶ Dtmf
//!  handle_rtcp, interval ─▶ rtcp ─▶ Transmit{Rtcp}, RemoteBye
//! ```

mod backlog;
mod config;
mod dialler;
mod jitter;
mod keypad;
mod latch;
mod output;
mod playback;
mod playout;
pub mod ports;
mod random;
mod reception;
mod rtcp;
mod session;
mod stats;
mod timeline;

pub use config::{Encoder, SessionConfig};
pub use output::{Channel, Cleared, DtmfError, Event, MarkError, Output, PacketBuf, QueueFull, SilenceKind};
pub use session::Session;
pub use stats::Stats;

/// Length of one audio frame, and the distance between two packets sent.
pub const FRAME: std::time::Duration = std::time::Duration::from_millis(20);
