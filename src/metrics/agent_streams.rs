//! What is counted about bots that calls are connected to (`AGENT_STREAM_URL`).

use std::time::{Duration, Instant};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

use super::shelf::{Labels, Present, Shelf};

/// Why a bot could not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFailure {
    /// The number that was called has an address that is none.
    Address,
    /// No name, no route, or nobody listens.
    Unreachable,
    /// The certificate is not trusted, or it is no TLS.
    Tls,
    /// It answered, and not with an upgrade.
    Refused,
    /// It did not answer in time.
    Timeout,
}

/// How a stream to a bot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The call was over.
    CallOver,
    /// The bot closed the socket.
    Bot,
    /// The connection broke, or the bot broke the WebSocket protocol.
    Lost,
    /// Nothing came from the bot any more, not even an answer to pings.
    NoPong,
}

/// What a bot sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BotMessage {
    /// Audio.
    Media,
    /// A mark.
    Mark,
    /// A clear.
    Clear,
    /// What Twilio warns about with 31951 (31950 for binary frames).
    Invalid,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct AgentStreamMetrics {
    open: Gauge,
    opened: Counter,
    failed: Family<Labels<1>, Counter>,
    closed: Family<Labels<1>, Counter>,
    connect: Histogram,
    messages: [Counter; 4],
}

impl AgentStreamMetrics {
    pub(super) fn new(shelf: &mut Shelf<'_>) -> Self {
        let kinds = ["media", "mark", "clear", "invalid"];
        Self {
            open: shelf.gauge("agent_streams", "Bots that a call is connected to"),
            opened: shelf.counter("agent_streams_opened", "Bots that a call was connected to"),
            failed: shelf.counter_family("agent_streams_failed", "Bots that a call was not connected to"),
            closed: shelf.counter_family("agent_streams_closed", "Connections to bots that are over"),
            connect: shelf.histogram(
                "agent_stream_connect",
                "From the call being up to the bot being connected",
                &CONNECT_BUCKETS,
            ),
            messages: shelf.counters("agent_stream_messages", "Messages of bots", "kind", kinds),
        }
    }

    /// A bot was connected to, for a call that had been waiting since then. It counts as open until the result is dropped.
    pub fn opened(&self, since: Instant) -> OpenStream {
        self.opened.inc();
        self.connect.observe(since.elapsed().max(Duration::ZERO).as_secs_f64());
        OpenStream { _present: Present::new(&self.open), closed: self.closed.clone(), end: None }
    }

    /// A bot could not be connected to.
    pub fn failed(&self, failure: ConnectFailure) {
        self.failed.get_or_create(&[("reason", failure.as_str())]).inc();
    }

    /// A bot said something.
    pub fn message(&self, message: BotMessage) {
        let at = match message {
            BotMessage::Media => 0,
            BotMessage::Mark => 1,
            BotMessage::Clear => 2,
            BotMessage::Invalid => 3,
        };
        self.messages[at].inc();
    }
}

/// One open stream. What it ended by is counted when it is dropped.
#[derive(Debug)]
pub struct OpenStream {
    _present: Present,
    closed: Family<Labels<1>, Counter>,
    end: Option<StreamEnd>,
}

impl OpenStream {
    /// Says how it ends; the first word counts.
    pub fn ends_by(&mut self, end: StreamEnd) {
        self.end.get_or_insert(end);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let end = self.end.unwrap_or(StreamEnd::Lost);
        self.closed.get_or_create(&[("reason", end.as_str())]).inc();
    }
}

impl ConnectFailure {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConnectFailure::Address => "address",
            ConnectFailure::Unreachable => "unreachable",
            ConnectFailure::Tls => "tls",
            ConnectFailure::Refused => "refused",
            ConnectFailure::Timeout => "timeout",
        }
    }
}

impl StreamEnd {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            StreamEnd::CallOver => "call-over",
            StreamEnd::Bot => "bot",
            StreamEnd::Lost => "lost",
            StreamEnd::NoPong => "no-pong",
        }
    }
}

/// Seconds.
const CONNECT_BUCKETS: [f64; 8] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::metrics::{Metrics, tests::value};

    #[test]
    fn stream_counts_once_with_the_first_word_about_its_end() {
        let metrics = Metrics::new();
        let mut stream = metrics.agent_streams.opened(Instant::now());
        assert_eq!(value(&metrics.encode(), "sip_relay_agent_streams"), 1.0);
        stream.ends_by(StreamEnd::CallOver);
        stream.ends_by(StreamEnd::Lost);
        drop(stream);
        let text = metrics.encode();
        assert_eq!(value(&text, "sip_relay_agent_streams"), 0.0);
        assert_eq!(value(&text, "sip_relay_agent_streams_opened_total"), 1.0);
        assert_eq!(value(&text, r#"sip_relay_agent_streams_closed_total{reason="call-over"}"#), 1.0);
        assert!(!text.contains(r#"reason="lost""#), "{text}");
    }
}
