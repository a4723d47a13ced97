//! What is counted about audio: packets, what became of them, and how well the clock was kept.
//!
//! A leg counts for itself. Once a second, and when it closes, what was added since is put into the metrics: no packet
//! touches what threads share.

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use rtp::Stats;

use super::{Metrics, grow, shelf::Shelf};

/// See the module's documentation.
#[derive(Debug)]
pub struct MediaMetrics {
    /// Pairs of RTP and RTCP ports that are in use.
    pub ports_in_use: Gauge,
    /// Pairs of RTP and RTCP ports that there are.
    pub ports: Gauge,
    received: Counter,
    received_bytes: Counter,
    audio_sent: Counter,
    silence_sent: Counter,
    events_sent: Counter,
    sent_bytes: Counter,
    send_errors: Counter,
    lost: Counter,
    reordered: Counter,
    late: Counter,
    duplicate: Counter,
    foreign_source: Counter,
    malformed: Counter,
    unknown_payload_type: Counter,
    stray: Counter,
    on_hold: Counter,
    digits: Counter,
    restarts: Counter,
    jitter: Histogram,
    late_ticks: Counter,
    worst_tick: Gauge<f64, AtomicU64>,
    skipped_frames: Counter,
    caught_up_frames: Counter,
    speech_rests: Counter,
}

impl MediaMetrics {
    pub(super) fn new(shelf: &mut Shelf<'_>) -> Self {
        let [audio_sent, silence_sent, events_sent] = shelf.counters(
            "rtp_sent_packets",
            "RTP packets to callers",
            "content",
            ["audio", "silence", "telephone-event"],
        );
        let [late, duplicate, foreign_source, malformed, unknown_payload_type, stray, on_hold] = shelf
            .counters(
                "rtp_discarded_packets",
                "Datagrams on RTP and RTCP ports that were not used",
                "reason",
                [
                    "late",
                    "duplicate",
                    "foreign-source",
                    "malformed",
                    "unknown-payload-type",
                    "stray",
                    "on-hold",
                ],
            );
        Self {
            ports_in_use: shelf.gauge("rtp_ports_in_use", "Pairs of RTP and RTCP ports in use"),
            ports: shelf.gauge("rtp_ports", "Pairs of RTP and RTCP ports in the configured range"),
            received: shelf.counter("rtp_received_packets", "Valid RTP packets from callers"),
            received_bytes: shelf.counter("rtp_received_bytes", "Payload bytes in RTP packets from callers"),
            audio_sent,
            silence_sent,
            events_sent,
            sent_bytes: shelf.counter("rtp_sent_bytes", "Payload bytes in RTP packets to callers"),
            send_errors: shelf.counter(
                "rtp_send_errors",
                "RTP and RTCP packets that a socket or a media stream did not take",
            ),
            lost: shelf.counter("rtp_lost_packets", "RTP packets from callers that never came"),
            reordered: shelf
                .counter("rtp_reordered_packets", "RTP packets that came after a later one, yet in time"),
            late,
            duplicate,
            foreign_source,
            malformed,
            unknown_payload_type,
            stray,
            on_hold,
            digits: shelf.counter("rtp_digits_received", "Digits that callers keyed in"),
            restarts: shelf.counter("rtp_stream_restarts", "Times that a caller began a new RTP stream"),
            jitter: shelf.histogram(
                "rtp_jitter",
                "Interarrival jitter of a caller's packets at the end of the call",
                JITTER_BUCKETS,
            ),
            late_ticks: shelf
                .counter("rtp_late_ticks", "Ticks of the playout clock that came a frame or more late"),
            worst_tick: shelf
                .seconds("rtp_worst_tick", "The latest that a tick of the playout clock ever came"),
            skipped_frames: shelf
                .counter("rtp_skipped_frames", "Frames not sent because a tick came too late"),
            caught_up_frames: shelf
                .counter("rtp_caught_up_frames", "Frames of silence left out to make up for late ticks"),
            speech_rests: shelf.counter(
                "speech_rests",
                "Times that a call's speech detector rested on an overloaded machine",
            ),
        }
    }

    fn settle(&self, settled: &mut Stats, now: &Stats) {
        grow(&self.received, &mut settled.packets_received, now.packets_received);
        grow(&self.received_bytes, &mut settled.bytes_received, now.bytes_received);
        grow(&self.audio_sent, &mut settled.audio_sent, now.audio_sent);
        grow(&self.silence_sent, &mut settled.silence_sent, now.silence_sent);
        grow(&self.events_sent, &mut settled.dtmf_sent, now.dtmf_sent);
        grow(&self.sent_bytes, &mut settled.bytes_sent, now.bytes_sent);
        // What is lost may still come: the highest figure of a call counts.
        grow(&self.lost, &mut settled.lost, now.lost);
        grow(&self.reordered, &mut settled.reordered, now.reordered);
        grow(&self.late, &mut settled.late, now.late);
        grow(&self.duplicate, &mut settled.duplicate, now.duplicate);
        grow(&self.foreign_source, &mut settled.foreign_source, now.foreign_source);
        grow(&self.malformed, &mut settled.malformed, now.malformed);
        grow(&self.unknown_payload_type, &mut settled.unknown_payload_type, now.unknown_payload_type);
        grow(&self.stray, &mut settled.stray, now.stray);
        grow(&self.on_hold, &mut settled.ignored_on_hold, now.ignored_on_hold);
        grow(&self.digits, &mut settled.dtmf_received, now.dtmf_received);
        grow(&self.restarts, &mut settled.stream_restarts, now.stream_restarts);
        grow(&self.late_ticks, &mut settled.late_ticks, now.late_ticks);
        grow(&self.skipped_frames, &mut settled.skipped_frames, now.skipped_frames);
        grow(&self.caught_up_frames, &mut settled.caught_up_frames, now.caught_up_frames);
        // Bits of floats that are not negative are in the order of the floats.
        self.worst_tick.inner().fetch_max(now.worst_tick.as_secs_f64().to_bits(), Ordering::Relaxed);
    }
}

/// What a leg drops or cannot send, beside what its RTP core counts. Cumulative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegDrops {
    /// Audio messages that a client's mailbox did not take.
    pub client_mailbox: u64,
    /// Frames that the recorder's mailbox did not take.
    pub recorder: u64,
    /// Orders of clients that could not be held until they are due.
    pub held: u64,
    /// Messages of a provider's media stream that came faster than they could be taken.
    pub line: u64,
    /// Packets that a socket did not take.
    pub send_errors: u64,
    /// Times that the speech detector rested.
    pub speech_rests: u64,
}

/// One leg's account: what of it is in the metrics already.
#[derive(Debug)]
pub struct LegAccount {
    metrics: Arc<Metrics>,
    stats: Stats,
    drops: LegDrops,
}

impl LegAccount {
    /// The account of a leg that has done nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, stats: Stats::default(), drops: LegDrops::default() }
    }

    /// Puts what was added since the last time into the metrics.
    pub fn settle(&mut self, stats: Option<&Stats>, drops: LegDrops) {
        let Metrics { media, drops: queues, .. } = &*self.metrics;
        if let Some(stats) = stats {
            grow(&queues.playout, &mut self.stats.refused, stats.refused);
            media.settle(&mut self.stats, stats);
        }
        grow(&queues.client_mailbox, &mut self.drops.client_mailbox, drops.client_mailbox);
        grow(&queues.recorder, &mut self.drops.recorder, drops.recorder);
        grow(&queues.held, &mut self.drops.held, drops.held);
        grow(&queues.media_stream, &mut self.drops.line, drops.line);
        grow(&media.send_errors, &mut self.drops.send_errors, drops.send_errors);
        grow(&media.speech_rests, &mut self.drops.speech_rests, drops.speech_rests);
    }

    /// The same, for the last time: what only the whole call shows is observed too.
    pub fn close(&mut self, stats: Option<&Stats>, drops: LegDrops) {
        self.settle(stats, drops);
        if let Some(stats) = stats.filter(|stats| stats.packets_received > 0) {
            self.metrics.media.jitter.observe(stats.jitter.as_secs_f64());
        }
    }
}

/// How often a leg settles its account.
pub const SETTLE_EVERY: Duration = Duration::from_secs(1);
const JITTER_BUCKETS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::value;

    #[test]
    fn settling_twice_counts_once() {
        let metrics = Arc::new(Metrics::new());
        let mut account = LegAccount::new(metrics.clone());
        let stats = Stats { packets_received: 50, refused: 2, ..Stats::default() };
        let drops = LegDrops { recorder: 3, ..LegDrops::default() };
        account.settle(Some(&stats), drops);
        account.settle(Some(&stats), drops);
        let more = Stats { packets_received: 80, ..stats };
        account.close(Some(&more), drops);
        let text = metrics.encode();
        assert_eq!(value(&text, "sip_relay_rtp_received_packets_total"), 80.0);
        assert_eq!(value(&text, r#"sip_relay_dropped_total{queue="playout"}"#), 2.0);
        assert_eq!(value(&text, r#"sip_relay_dropped_total{queue="recorder"}"#), 3.0);
        assert_eq!(value(&text, "sip_relay_rtp_jitter_seconds_count"), 1.0);
    }

    #[test]
    fn lost_packet_that_comes_after_all_does_not_count_twice() {
        let metrics = Arc::new(Metrics::new());
        let mut account = LegAccount::new(metrics.clone());
        for lost in [3, 1, 3, 4] {
            account.settle(Some(&Stats { lost, ..Stats::default() }), LegDrops::default());
        }
        assert_eq!(value(&metrics.encode(), "sip_relay_rtp_lost_packets_total"), 4.0);
    }

    #[test]
    fn worst_tick_is_the_worst_of_all_calls() {
        let metrics = Arc::new(Metrics::new());
        for ms in [4, 70, 12] {
            let stats = Stats { worst_tick: Duration::from_millis(ms), ..Stats::default() };
            LegAccount::new(metrics.clone()).settle(Some(&stats), LegDrops::default());
        }
        assert_eq!(value(&metrics.encode(), "sip_relay_rtp_worst_tick_seconds"), 0.07);
    }

    #[test]
    fn call_without_a_packet_says_nothing_about_jitter() {
        let metrics = Arc::new(Metrics::new());
        LegAccount::new(metrics.clone()).close(Some(&Stats::default()), LegDrops::default());
        assert_eq!(value(&metrics.encode(), "sip_relay_rtp_jitter_seconds_count"), 0.0);
    }
}
