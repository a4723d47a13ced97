//! What is counted about the gateway: webhooks, media sockets, streams and their audio.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{
    clients::Connection,
    shelf::{Labels, Present, Shelf},
};

/// See the module's documentation.
#[derive(Debug)]
pub struct GatewayMetrics {
    webhooks: Family<Labels<2>, Counter>,
    sockets: Gauge,
    opened: Counter,
    closed: Family<Labels<2>, Counter>,
    refused: Family<Labels<1>, Counter>,
    streams: Family<Labels<1>, Gauge>,
    started: Family<Labels<1>, Counter>,
    hangups: Family<Labels<2>, Counter>,
    /// Messages of providers that were read.
    pub received: Counter,
    /// Messages to providers that were handed to their sockets.
    pub sent: Counter,
    /// Pieces of callers' audio that a program did not fetch in time.
    pub inbox_drops: Counter,
    /// Frames of audio to a provider that does not read.
    pub outbox_drops: Counter,
}

impl GatewayMetrics {
    pub(super) fn new(shelf: &mut Shelf<'_>) -> Self {
        let [received, sent] = shelf.counters(
            "gateway_messages",
            "Messages of media streams",
            "direction",
            ["received", "sent"],
        );
        let [inbox_drops, outbox_drops] = shelf.counters(
            "gateway_dropped",
            "Audio of media streams that was dropped because a queue was full",
            "queue",
            ["inbox", "outbox"],
        );
        let metrics = Self {
            webhooks: shelf.counter_family("gateway_webhooks", "Webhooks of providers"),
            sockets: shelf.gauge("gateway_sockets", "Media sockets that are open"),
            opened: shelf.counter("gateway_sockets_opened", "Media sockets that were accepted"),
            closed: shelf.counter_family("gateway_sockets_closed", "Media sockets that are over"),
            refused: shelf.counter_family("gateway_refused", "Media sockets and streams that were refused"),
            streams: shelf.gauge_family("gateway_streams", "Media streams that are up"),
            started: shelf.counter_family("gateway_streams_started", "Media streams that were taken"),
            hangups: shelf.counter_family("gateway_hangups", "Calls that a provider was told to end"),
            received,
            sent,
            inbox_drops,
            outbox_drops,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// Series that can be listed are there from the start.
    fn begin_at_zero(&self) {
        for provider in ["telnyx", "twilio"] {
            let of_provider = [("provider", provider)];
            let _ = (self.streams.get_or_create(&of_provider), self.started.get_or_create(&of_provider));
            for result in ["answered", "unknown-number", "forbidden", "unreadable"] {
                let _ = self.webhooks.get_or_create(&[("provider", provider), ("result", result)]);
            }
            for result in ["done", "gone", "failed", "no-credentials"] {
                let _ = self.hangups.get_or_create(&[("provider", provider), ("result", result)]);
            }
        }
    }

    /// A provider's webhook was answered. Both are words of ours.
    pub fn webhook(&self, provider: &'static str, result: &'static str) {
        self.webhooks.get_or_create(&[("provider", provider), ("result", result)]).inc();
    }

    /// A media socket was accepted; it is counted as open until the result is dropped.
    pub fn connected(&self) -> Connection {
        self.opened.inc();
        Connection::open(&self.sockets, &self.closed)
    }

    /// A media socket or a stream on it was refused, for a reason of our list.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// A stream was taken; it is counted as up until the result is dropped.
    pub fn stream(&self, provider: &'static str) -> Present {
        let labels = [("provider", provider)];
        self.started.get_or_create(&labels).inc();
        Present::new(&self.streams.get_or_create_owned(&labels))
    }

    /// A provider was asked to end a call.
    pub fn hangup(&self, provider: &'static str, result: &'static str) {
        self.hangups.get_or_create(&[("provider", provider), ("result", result)]).inc();
    }
}
