//! `Metrics` owns what is counted about a running relay, as typed counters that actors hold.
//!
//! In: additions. Out: text for Prometheus, in which every metric of docs/metrics.md appears. Adding is one atomic
//! operation; only what happens once a call or once a connection looks up a label or takes a lock. No label ever holds
//! a number, a call id or anything else that a peer chose. Knows no actor and no socket.

mod agent_streams;
mod call_center;
mod calls;
mod clients;
mod dids;
mod gateway;
mod media;
mod shelf;
mod sip;

use std::fmt;

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, gauge::Gauge, info::Info},
    registry::Registry,
};

use self::shelf::Shelf;
pub use self::{
    agent_streams::{AgentStreamMetrics, BotMessage, ConnectFailure, OpenStream, StreamEnd},
    call_center::{Apology, CallCenterMetrics, TurnStage},
    calls::{CallMetrics, LiveCall, Stage},
    clients::{ClientMetrics, CloseCause, Connection},
    dids::DidMetrics,
    gateway::GatewayMetrics,
    media::{LegAccount, LegDrops, MediaMetrics, SETTLE_EVERY},
    shelf::Present,
    sip::SipMetrics,
};

/// The Content-Type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// See the module's documentation.
pub struct Metrics {
    /// Calls.
    pub calls: CallMetrics,
    /// The SIP side.
    pub sip: SipMetrics,
    /// RTP.
    pub media: MediaMetrics,
    /// WebSocket clients.
    pub clients: ClientMetrics,
    /// Bots that calls are connected to.
    pub agent_streams: AgentStreamMetrics,
    /// The table of our own numbers.
    pub dids: DidMetrics,
    /// Twilio's and Telnyx's streams.
    pub gateway: GatewayMetrics,
    /// Recordings.
    pub recordings: RecordingMetrics,
    /// What a full queue cost.
    pub drops: DropMetrics,
    /// Events that are kept for the next client.
    pub backlog: Gauge,
    registry: Registry,
}

/// What is counted about recordings.
#[derive(Debug)]
pub struct RecordingMetrics {
    /// Recordings being written.
    pub open: Gauge,
    /// Recordings begun.
    pub started: Counter,
    /// Recordings that could not be begun, went wrong on the way or were not completed.
    pub failed: Counter,
}

/// What was dropped because a queue was full. Control is never dropped.
#[derive(Debug)]
pub struct DropMetrics {
    /// Audio messages to a client that does not read fast enough.
    pub client_outbox: Counter,
    /// Audio messages to a client whose actor does not keep up.
    pub client_mailbox: Counter,
    /// Audio messages of a client to a call that does not keep up.
    pub session_mailbox: Counter,
    /// Messages of clients that a full playout queue refused.
    pub playout: Counter,
    /// Orders of clients that came before the call was up, or behind a file, when enough was held already.
    pub held: Counter,
    /// Frames of 20 ms that the disk was too slow for.
    pub recorder: Counter,
    /// Events that no client was there for.
    pub backlog: Counter,
    /// SIP events of a call that was still being made.
    pub sip_events: Counter,
    /// Audio messages to a bot that does not read fast enough.
    pub agent_stream: Counter,
    /// Audio messages of a provider's media stream to a call that does not keep up.
    pub media_stream: Counter,
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sip_relay");
        let mut shelf = Shelf(&mut registry);
        let (calls, sip) = (CallMetrics::new(&mut shelf), SipMetrics::new(&mut shelf));
        let (media, clients) = (MediaMetrics::new(&mut shelf), ClientMetrics::new(&mut shelf));
        let agent_streams = AgentStreamMetrics::new(&mut shelf);
        let dids = DidMetrics::new(&mut shelf);
        let gateway = GatewayMetrics::new(&mut shelf);
        let recordings = RecordingMetrics {
            open: shelf.gauge("recordings_open", "Recordings that are being written"),
            started: shelf.counter("recordings", "Recordings that were begun"),
            failed: shelf.counter("recordings_failed", "Recordings that are missing or not complete"),
        };
        let drops = DropMetrics::new(&mut shelf);
        let backlog = shelf.gauge("backlog_events", "Events that are kept for the next client");
        registry.register(
            "build",
            "The relay's version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            calls,
            sip,
            media,
            clients,
            agent_streams,
            dids,
            gateway,
            recordings,
            drops,
            backlog,
            registry,
        }
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub fn encode(&self) -> String {
        encode(&self.registry)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl DropMetrics {
    fn new(shelf: &mut Shelf<'_>) -> Self {
        let [
            client_outbox,
            client_mailbox,
            session_mailbox,
            playout,
            held,
            recorder,
            backlog,
            sip_events,
            agent_stream,
            media_stream,
        ] = shelf.counters(
            "dropped",
            "What was dropped because a queue was full",
            "queue",
            [
                "client-outbox",
                "client-mailbox",
                "session-mailbox",
                "playout",
                "held",
                "recorder",
                "backlog",
                "sip-events",
                "agent-stream",
                "media-stream",
            ],
        );
        Self {
            client_outbox,
            client_mailbox,
            session_mailbox,
            playout,
            held,
            recorder,
            backlog,
            sip_events,
            agent_stream,
            media_stream,
        }
    }
}

fn encode(registry: &Registry) -> String {
    let mut text = String::with_capacity(TEXT_CAPACITY);
    // Writing into a `String` has no error, and neither do our metrics.
    let _ = text::encode(&mut text, registry);
    text
}

/// Adds what a cumulative figure grew by since it was settled. One that went back has not grown.
fn grow(counter: &Counter, settled: &mut u64, now: u64) {
    counter.inc_by(now.saturating_sub(*settled));
    *settled = now.max(*settled);
}

/// Room for all metrics.
const TEXT_CAPACITY: usize = 16 * 1024;

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    };

    use model::call::{Direction, EndLabel, EndReason, Party};

    use super::*;

    /// The value of one series, by its name and labels as they are written.
    pub(crate) fn value(text: &str, series: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series} in:\n{text}")).parse().expect("a number")
    }

    /// Metrics in which every series that appears with its first use has appeared.
    fn used() -> Metrics {
        let metrics = Metrics::new();
        metrics.calls.refused(Direction::Inbound, "no-free-port");
        metrics.calls.ended(&EndReason::new(Party::Caller, EndLabel::RemoteBye));
        metrics.clients.refused(401);
        metrics.clients.command_refused(481);
        drop(metrics.clients.connected());
        metrics.gateway.webhook("telnyx", "answered");
        drop(metrics.gateway.connected());
        metrics.gateway.refused("full");
        drop(metrics.gateway.stream("telnyx"));
        metrics.gateway.hangup("telnyx", "done");
        metrics.agent_streams.failed(ConnectFailure::Timeout);
        drop(metrics.agent_streams.opened(std::time::Instant::now()));
        metrics
    }

    #[test]
    fn document_lists_every_metric_with_its_kind_and_labels() {
        let text = used().encode();
        assert_eq!(documented("sip_relay_"), exposed(&text));
    }

    #[test]
    fn text_is_openmetrics() {
        let text = used().encode();
        assert!(text.ends_with("# EOF\n"));
        assert!(
            text.contains(&format!("sip_relay_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION")))
        );
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            assert!(series.starts_with("sip_relay_"), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn live_call_is_counted_in_one_state_at_a_time() {
        let metrics = Metrics::new();
        let mut call = metrics.calls.begin(Direction::Inbound, Stage::Ringing);
        let live = |state: &str| {
            let series = format!("sip_relay_calls{{direction=\"inbound\",state=\"{state}\"}}");
            value(&metrics.encode(), &series)
        };
        assert_eq!([live("ringing"), live("up")], [1.0, 0.0]);
        call.moves_to(Stage::Up);
        call.moves_to(Stage::Up);
        assert_eq!([live("ringing"), live("up")], [0.0, 1.0]);
        drop(call);
        assert_eq!([live("ringing"), live("up")], [0.0, 0.0]);
        let started = r#"sip_relay_calls_started_total{direction="inbound"}"#;
        assert_eq!(value(&metrics.encode(), started), 1.0);
    }

    #[test]
    fn set_up_time_falls_into_its_bucket() {
        let metrics = Metrics::new();
        metrics.calls.set_up(Direction::Outbound, Duration::from_millis(30));
        let text = metrics.encode();
        let bucket = |limit: &str| {
            let labels = format!("le=\"{limit}\",direction=\"outbound\"");
            value(&text, &format!("sip_relay_call_setup_seconds_bucket{{{labels}}}"))
        };
        assert_eq!([bucket("0.025"), bucket("0.05"), bucket("+Inf")], [0.0, 1.0, 1.0]);
    }

    #[test]
    fn tables_follow_and_counters_of_sip_grow() {
        let metrics = Metrics::new();
        let mut settled = ::sip::Stats::default();
        for dialogs in [3, 1] {
            let now = ::sip::Stats { dialogs, malformed: 7, ..Default::default() };
            metrics.sip.settle(&mut settled, &now);
        }
        let text = metrics.encode();
        assert_eq!(value(&text, "sip_relay_sip_dialogs"), 1.0);
        assert_eq!(value(&text, "sip_relay_sip_malformed_total"), 7.0);
    }

    pub(crate) type Catalogue = BTreeMap<String, (String, BTreeSet<String>)>;

    /// Name, kind and labels of everything in an exposition.
    pub(crate) fn exposed(text: &str) -> Catalogue {
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        kinds
            .map(|(family, kind)| {
                let suffix = match kind {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                let series = text.lines().filter_map(|line| line.strip_prefix(family));
                let labels = series
                    .filter_map(|line| line.split_once('{'))
                    .filter(|(rest, _)| ["", suffix, "_bucket"].contains(rest));
                let names = labels.flat_map(|(_, labels)| labels.split("=\"").map(last_word));
                let names = names.filter(|name| !name.is_empty() && name != "le");
                (format!("{family}{suffix}"), (kind.to_owned(), names.collect()))
            })
            .collect()
    }

    /// The name at the end of `value",name`.
    fn last_word(text: &str) -> String {
        let name = text.rsplit(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
        name.to_owned()
    }

    /// The same of docs/metrics.md for names with this beginning: rows `| name | kind | labels | unit | meaning |`.
    pub(crate) fn documented(prefix: &str) -> Catalogue {
        let rows = include_str!("../../docs/metrics.md").lines();
        rows.filter_map(|row| {
            let mut cells = row.strip_prefix("| `")?.trim_end_matches(" |").split(" | ");
            let name = cells.next()?.trim_end_matches('`').to_owned();
            let kind = cells.next()?.to_owned();
            let labels = cells.next()?.split(['`', ' ', ',']).filter(|word| !word.is_empty() && *word != "-");
            let labels = labels.map(str::to_owned).collect();
            if !name.starts_with(prefix) {
                return None;
            }
            assert_eq!(cells.filter(|cell| !cell.is_empty()).count(), 2, "unit and meaning: {row}");
            Some((name, (kind, labels)))
        })
        .collect()
    }
}
