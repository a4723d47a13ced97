//! What is counted about calls: how many are where in their life, how long they took to come up, how they ended.

use std::time::Duration;

use model::call::{Direction, EndReason};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

use super::shelf::{Labels, Present, Shelf};

/// Where a call is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Outbound: nothing but 100 came back.
    Dialing,
    /// A 180 was sent or received.
    Ringing,
    /// Inbound: 200 sent, the ACK is outstanding.
    Answered,
    /// Both sides talk.
    Up,
    /// Over; the recording is being completed.
    Ending,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct CallMetrics {
    live: [[Gauge; STAGES.len()]; 2],
    started: [Counter; 2],
    refused: Family<Labels<2>, Counter>,
    ended: Family<Labels<2>, Counter>,
    set_up: [Histogram; 2],
}

impl CallMetrics {
    pub(super) fn new(shelf: &mut Shelf<'_>) -> Self {
        Self {
            live: shelf.gauges(
                "calls",
                "Calls that exist",
                ("direction", DIRECTIONS.map(Direction::as_str)),
                ("state", STAGES.map(Stage::as_str)),
            ),
            started: shelf.counters(
                "calls_started",
                "Calls that were taken or placed",
                "direction",
                DIRECTIONS.map(Direction::as_str),
            ),
            refused: shelf.counter_family("calls_refused", "Calls that were refused before they existed"),
            ended: shelf.counter_family("calls_ended", "Calls that are over"),
            set_up: shelf.histograms(
                "call_setup",
                "From the INVITE to the 200 sent, or from the dialling to the answer",
                ("direction", DIRECTIONS.map(Direction::as_str)),
                SETUP_BUCKETS,
            ),
        }
    }

    /// A call came to be; it is counted as live until the result is dropped.
    pub fn begin(&self, direction: Direction, stage: Stage) -> LiveCall {
        self.started[index(direction)].inc();
        let gauges = self.live[index(direction)].clone();
        LiveCall { present: Present::new(&gauges[stage as usize]), stage, gauges }
    }

    /// A call was refused before it existed.
    pub fn refused(&self, direction: Direction, why: &'static str) {
        self.refused.get_or_create(&[("direction", direction.as_str()), ("reason", why)]).inc();
    }

    /// A call is over.
    pub fn ended(&self, reason: &EndReason) {
        self.ended.get_or_create(&[("reason", reason.label.as_str()), ("party", reason.by.as_str())]).inc();
    }

    /// A call was answered, this long after it began.
    pub fn set_up(&self, direction: Direction, took: Duration) {
        self.set_up[index(direction)].observe(took.as_secs_f64());
    }
}

/// One live call's place among the gauges.
#[derive(Debug)]
pub struct LiveCall {
    gauges: [Gauge; STAGES.len()],
    stage: Stage,
    present: Present,
}

impl LiveCall {
    /// The call moved on, or stays where it is.
    pub fn moves_to(&mut self, stage: Stage) {
        if stage != self.stage {
            self.stage = stage;
            self.present = Present::new(&self.gauges[stage as usize]);
        }
    }
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Stage::Dialing => "dialing",
            Stage::Ringing => "ringing",
            Stage::Answered => "answered",
            Stage::Up => "up",
            Stage::Ending => "ending",
        }
    }
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Inbound => 0,
        Direction::Outbound => 1,
    }
}

const DIRECTIONS: [Direction; 2] = [Direction::Inbound, Direction::Outbound];
/// In the order of their declaration: a stage is an index here.
const STAGES: [Stage; 5] = [Stage::Dialing, Stage::Ringing, Stage::Answered, Stage::Up, Stage::Ending];
/// From what the relay itself takes to the time that people take.
const SETUP_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_is_its_place_in_the_list() {
        for (n, stage) in STAGES.into_iter().enumerate() {
            assert_eq!(stage as usize, n, "{stage:?}");
        }
    }
}
