//! What is counted about WebSocket clients: connections, how they ended, and what was asked on them.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::shelf::{Labels, Present, Shelf};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// The relay stops.
    Stopping,
    /// The client does not read, and signalling alone filled its queue.
    TooSlow,
    /// Another connection took the session over.
    Replaced,
    /// Nothing more was to be said.
    Done,
    /// The peer did not say what it had to.
    Refused,
    /// The peer said nothing for too long.
    Idle,
    /// A message over the limit.
    TooBig,
    /// A text message that is not UTF-8.
    NotUtf8,
    /// A frame that breaks the protocol.
    BrokenFrame,
    /// No answer to pings.
    NoPong,
    /// The peer closed it, with this code if it gave one.
    Peer(Option<u16>),
    /// It broke without a close frame.
    Lost,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct ClientMetrics {
    connected: Gauge,
    connections: Counter,
    refused: Family<[(&'static str, u16); 1], Counter>,
    closed: Family<Labels<2>, Counter>,
    commands: [(&'static str, Counter); VERBS.len()],
    commands_refused: Family<[(&'static str, u16); 1], Counter>,
}

impl ClientMetrics {
    pub(super) fn new(shelf: &mut Shelf<'_>) -> Self {
        let commands = shelf.counters("commands", "Commands of clients that were understood", "verb", VERBS);
        let mut verbs = VERBS.into_iter();
        Self {
            connected: shelf.gauge("websocket_clients", "WebSocket connections that are open"),
            connections: shelf.counter("websocket_connections", "WebSocket connections that were accepted"),
            refused: shelf.by_status("websocket_refused", "WebSocket connections that were refused"),
            closed: shelf.counter_family("websocket_closed", "WebSocket connections that are over"),
            // As many counters as verbs, in their order.
            commands: commands.map(|counter| (verbs.next().unwrap_or(OTHER), counter)),
            commands_refused: shelf.by_status("commands_refused", "Commands that could not be carried out"),
        }
    }

    /// A connection was accepted; it is counted as open until the result is dropped.
    pub fn connected(&self) -> Connection {
        self.connections.inc();
        Connection::open(&self.connected, &self.closed)
    }

    /// A connection was refused with this HTTP status.
    pub fn refused(&self, status: u16) {
        self.refused.get_or_create(&[("status", status)]).inc();
    }

    /// A command was understood. Audio is the first in the list, and nothing is locked.
    pub fn command(&self, verb: &'static str) {
        let known = self.commands.iter().find(|(known, _)| *known == verb);
        if let Some((_, counter)) = known.or(self.commands.last()) {
            counter.inc();
        }
    }

    /// A command could not be carried out, for the reason that this SIP status stands for.
    pub fn command_refused(&self, status: u16) {
        self.commands_refused.get_or_create(&[("status", status)]).inc();
    }
}

/// One open connection. What it ended by is counted when it is dropped.
#[derive(Debug)]
pub struct Connection {
    _present: Present,
    closed: Family<Labels<2>, Counter>,
    cause: Option<CloseCause>,
}

impl Connection {
    /// One that `connected` counts while it is open, and `closed` when it is over.
    pub(super) fn open(connected: &Gauge, closed: &Family<Labels<2>, Counter>) -> Self {
        Self { _present: Present::new(connected), closed: closed.clone(), cause: None }
    }

    /// Says why it ends; the first reason counts.
    pub fn ends_by(&mut self, cause: CloseCause) {
        self.cause.get_or_insert(cause);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let cause = self.cause.unwrap_or(CloseCause::Lost);
        self.closed.get_or_create(&[("code", cause.code()), ("reason", cause.as_str())]).inc();
    }
}

impl CloseCause {
    /// The close code (RFC 6455 §7.4); 1006 where no close frame was exchanged.
    const fn code(self) -> &'static str {
        match self {
            CloseCause::Stopping => "1001",
            CloseCause::Done => "1000",
            CloseCause::TooSlow | CloseCause::Replaced | CloseCause::Refused | CloseCause::Idle => "1008",
            CloseCause::TooBig => "1009",
            CloseCause::NotUtf8 => "1007",
            CloseCause::BrokenFrame => "1002",
            CloseCause::NoPong | CloseCause::Lost => "1006",
            CloseCause::Peer(code) => match code {
                None => "1005",
                Some(1000) => "1000",
                Some(1001) => "1001",
                Some(1002) => "1002",
                Some(1003) => "1003",
                Some(1007) => "1007",
                Some(1008) => "1008",
                Some(1009) => "1009",
                Some(1011) => "1011",
                // The peer chooses it: there must not be a series for each.
                Some(_) => OTHER,
            },
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            CloseCause::Stopping => "stopping",
            CloseCause::TooSlow => "too-slow",
            CloseCause::Replaced => "replaced",
            CloseCause::Done => "done",
            CloseCause::Refused => "refused",
            CloseCause::Idle => "idle",
            CloseCause::TooBig => "too-big",
            CloseCause::NotUtf8 => "not-utf8",
            CloseCause::BrokenFrame => "broken-frame",
            CloseCause::NoPong => "no-pong",
            CloseCause::Peer(_) => "peer",
            CloseCause::Lost => "lost",
        }
    }
}

const OTHER: &str = "other";
/// The words of the text protocol, the most frequent first; the last stands for any that is missing here.
const VERBS: [&str; 20] = [
    "RTP",
    "CALL",
    "CALL_ANS",
    "RING_ANS",
    "CALL_IGNORE",
    "RING_IGNORE",
    "BYE",
    "HANGUP",
    "PLAY",
    "MARK",
    "CLEAR",
    "DTMF",
    "MODE",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "HOLD",
    "RESUME",
    "TRANSFER",
    "PING",
    OTHER,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, tests::value};

    #[test]
    fn connection_counts_once_with_its_first_reason() {
        let metrics = Metrics::new();
        let mut connection = metrics.clients.connected();
        assert_eq!(value(&metrics.encode(), "sip_relay_websocket_clients"), 1.0);
        connection.ends_by(CloseCause::TooBig);
        connection.ends_by(CloseCause::Peer(Some(1000)));
        drop(connection);
        let text = metrics.encode();
        assert_eq!(value(&text, "sip_relay_websocket_clients"), 0.0);
        assert_eq!(value(&text, r#"sip_relay_websocket_closed_total{code="1009",reason="too-big"}"#), 1.0);
        assert!(!text.contains(r#"reason="peer""#), "{text}");
    }

    #[test]
    fn close_codes_of_peers_make_no_series_of_their_own() {
        let metrics = Metrics::new();
        for code in 3000..3100 {
            metrics.clients.connected().ends_by(CloseCause::Peer(Some(code)));
        }
        let series = r#"sip_relay_websocket_closed_total{code="other",reason="peer"}"#;
        assert_eq!(value(&metrics.encode(), series), 100.0);
    }

    #[test]
    fn every_verb_has_a_series_and_unknown_ones_share_one() {
        let metrics = Metrics::new();
        VERBS.into_iter().chain(["INVENTED"]).for_each(|verb| metrics.clients.command(verb));
        let text = metrics.encode();
        for verb in &VERBS[..VERBS.len() - 1] {
            assert_eq!(value(&text, &format!("sip_relay_commands_total{{verb=\"{verb}\"}}")), 1.0);
        }
        assert_eq!(value(&text, r#"sip_relay_commands_total{verb="other"}"#), 2.0);
    }
}
