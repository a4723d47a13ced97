//! What is counted about the table of our own numbers.

use prometheus_client::metrics::counter::Counter;

use super::shelf::Shelf;

/// See the module's documentation.
#[derive(Debug)]
pub struct DidMetrics {
    ok: Counter,
    failed: Counter,
}

impl DidMetrics {
    pub(super) fn new(shelf: &mut Shelf<'_>) -> Self {
        let help = "How often the file of our numbers was read again";
        let [ok, failed] = shelf.counters("did_reloads", help, "outcome", ["ok", "failed"]);
        Self { ok, failed }
    }

    /// The file was read again.
    pub fn reloaded(&self, done: bool) {
        if done {
            self.ok.inc()
        } else {
            self.failed.inc()
        };
    }
}
