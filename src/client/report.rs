//! What a client shows of itself, for people and logs.

use std::{fmt, net::SocketAddr};

use model::audio::Codec;
pub use model::call::Direction;

use super::CallState;

/// The state of a client and its call, at one moment.
///
/// ```
/// use sip_relay::client::SimpleSipClient;
///
/// let client = SimpleSipClient::new("1001", "secret", "127.0.0.1");
/// assert_eq!(client.call_status().to_string(), "idle, not connected");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallStatusReport {
    /// How far the call has come.
    pub state: CallState,
    /// The client is connected to its server.
    pub running: bool,
    /// The server knows where the client is. Always false with `register(false)`.
    pub registered: bool,
    /// Where the client speaks SIP, while it is connected.
    pub local_sip: Option<SocketAddr>,
    /// The call, if there is one.
    pub call: Option<CallReport>,
    /// Received frames of 20 ms that the audio callback was too slow for, since the client was made.
    pub audio_dropped: u64,
}

/// One call, at one moment.
///
/// ```
/// # use sip_relay::client::CallReport;
/// fn line(call: &CallReport) -> String {
///     format!("{} call with {}", call.direction, call.remote_party)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallReport {
    /// The Call-ID header.
    pub call_id: String,
    /// Who called whom.
    pub direction: Direction,
    /// The number of the far end.
    pub remote_party: String,
    /// What is spoken; `None` until that is agreed.
    pub codec: Option<Codec>,
    /// Where the far end takes RTP; `None` until that is agreed.
    pub remote_rtp: Option<SocketAddr>,
    /// Keys can be sent.
    pub telephone_events: bool,
}

impl fmt::Display for CallStatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = match (self.running, self.registered) {
            (false, _) => "not connected",
            (true, false) => "connected",
            (true, true) => "registered",
        };
        write!(f, "{}, {connection}", self.state)?;
        if let Some(address) = self.local_sip {
            write!(f, " from {address}")?;
        }
        let Some(call) = &self.call else { return Ok(()) };
        write!(f, "; {} call with {}", call.direction, call.remote_party)?;
        if let Some(codec) = call.codec {
            write!(f, " in {codec}")?;
        }
        if let Some(address) = call.remote_rtp {
            write!(f, ", RTP to {address}")?;
        }
        if self.audio_dropped > 0 {
            write!(f, ", {} frames dropped", self.audio_dropped)?;
        }
        Ok(())
    }
}
