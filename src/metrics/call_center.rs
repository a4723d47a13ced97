//! What is counted about a running call center: conversations, turns and how long they take, services that fail.
//!
//! In: additions. Out: text for Prometheus, in which every metric of docs/metrics.md appears that begins with
//! `call_center_`.

use std::{fmt, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{
    encode,
    shelf::{Labels, Present, Shelf},
};

/// See the module's documentation.
pub struct CallCenterMetrics {
    /// Whether there is a connection to the relay.
    pub connected: Gauge,
    /// Connections that were made.
    pub connections: Counter,
    /// Audio messages of callers that the program was too busy for.
    pub dropped_audio: Counter,
    conversations: Gauge,
    started: Counter,
    answered: Counter,
    stages: [Histogram; STAGES.len()],
    interruptions: Counter,
    apologies: [Counter; 2],
    failures: Family<Labels<2>, Counter>,
    registry: Registry,
}

/// A part of the time that a caller waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnStage {
    /// From the end of the turn to its transcript.
    Transcript,
    /// From the transcript to the first piece of the reply.
    FirstToken,
    /// From there to the first audio of its first sentence.
    FirstAudio,
    /// From there until it is on its way to the relay.
    FirstLine,
    /// All of them.
    Total,
    /// What this program took of that between the answers of the services.
    Own,
}

/// How a caller was told that a service is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apology {
    /// By the voice of the service.
    Spoken,
    /// By the recording.
    Recorded,
}

impl CallCenterMetrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("call_center");
        let mut shelf = Shelf(&mut registry);
        Self {
            connected: shelf.gauge("connected", "Whether there is a connection to the relay"),
            connections: shelf.counter("connections", "Connections to the relay that were made"),
            dropped_audio: shelf.counter("dropped_audio", "Audio of callers that could not be taken in time"),
            conversations: shelf.gauge("conversations", "Calls that are talked with"),
            started: shelf.counter("conversations_started", "Calls that were talked with"),
            answered: shelf.counter("turns", "Turns of callers that were answered"),
            stages: shelf.histograms(
                "turn",
                "How long callers wait for an answer, by stage",
                ("stage", STAGES.map(TurnStage::as_str)),
                BUCKETS,
            ),
            interruptions: shelf.counter("interruptions", "Answers that callers interrupted"),
            apologies: shelf.counters(
                "apologies",
                "Callers who were told that a service is down",
                "voice",
                ["spoken", "recorded"],
            ),
            failures: shelf.counter_family("service_failures", "Requests to services that failed"),
            registry,
        }
    }

    /// A call is talked with until the result is dropped.
    pub fn begin(&self) -> Present {
        self.started.inc();
        Present::new(&self.conversations)
    }

    /// A caller is being answered.
    pub fn answered(&self) {
        self.answered.inc();
    }

    /// A stage of an answer took so long.
    pub fn took(&self, stage: TurnStage, time: Duration) {
        self.stages[stage as usize].observe(time.as_secs_f64());
    }

    /// A caller interrupted.
    pub fn interrupted(&self) {
        self.interruptions.inc();
    }

    /// A caller hears an apology.
    pub fn apologized(&self, how: Apology) {
        self.apologies[how as usize].inc();
    }

    /// A request to a service failed. Both names are from fixed sets.
    pub fn failed(&self, service: &'static str, kind: &'static str) {
        self.failures.get_or_create(&[("service", service), ("kind", kind)]).inc();
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub fn encode(&self) -> String {
        encode(&self.registry)
    }
}

impl Default for CallCenterMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CallCenterMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallCenterMetrics").finish_non_exhaustive()
    }
}

impl TurnStage {
    const fn as_str(self) -> &'static str {
        match self {
            TurnStage::Transcript => "transcript",
            TurnStage::FirstToken => "first-token",
            TurnStage::FirstAudio => "first-audio",
            TurnStage::FirstLine => "first-line",
            TurnStage::Total => "total",
            TurnStage::Own => "own",
        }
    }
}

/// In the order of their declaration: a stage is an index here.
const STAGES: [TurnStage; 6] = [
    TurnStage::Transcript,
    TurnStage::FirstToken,
    TurnStage::FirstAudio,
    TurnStage::FirstLine,
    TurnStage::Total,
    TurnStage::Own,
];
/// From what the program itself takes to what a slow service takes.
const BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0];

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{documented, exposed, value},
        *,
    };

    #[test]
    fn document_lists_every_metric_with_its_kind_and_labels() {
        let metrics = CallCenterMetrics::new();
        metrics.failed("chat", "timeout");
        assert_eq!(documented("call_center_"), exposed(&metrics.encode()));
    }

    #[test]
    fn stage_is_its_place_in_the_list() {
        for (n, stage) in STAGES.into_iter().enumerate() {
            assert_eq!(stage as usize, n, "{stage:?}");
        }
    }

    #[test]
    fn conversation_is_counted_while_it_lasts_and_a_stage_falls_into_its_bucket() {
        let metrics = CallCenterMetrics::new();
        let conversation = metrics.begin();
        assert_eq!(value(&metrics.encode(), "call_center_conversations"), 1.0);
        drop(conversation);
        metrics.took(TurnStage::Total, Duration::from_millis(900));
        metrics.apologized(Apology::Recorded);
        let text = metrics.encode();
        assert_eq!(value(&text, "call_center_conversations"), 0.0);
        assert_eq!(value(&text, "call_center_conversations_started_total"), 1.0);
        assert_eq!(value(&text, r#"call_center_turn_seconds_bucket{le="0.75",stage="total"}"#), 0.0);
        assert_eq!(value(&text, r#"call_center_turn_seconds_bucket{le="1.0",stage="total"}"#), 1.0);
        assert_eq!(value(&text, r#"call_center_apologies_total{voice="recorded"}"#), 1.0);
    }
}
