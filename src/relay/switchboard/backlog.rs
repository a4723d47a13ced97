//! What clients would have heard while there were none: kept, bounded, and given in order to the next one.

use std::{collections::VecDeque, sync::Arc};

use model::{event::Event, id::CallId};

use super::super::message::ClientEvent;
use crate::metrics::Metrics;

/// Events in order, each with the call that it is about.
#[derive(Default)]
pub struct Backlog {
    events: VecDeque<(CallId, ClientEvent)>,
    forgotten: u64,
    metrics: Arc<Metrics>,
}

impl Backlog {
    /// An empty backlog.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// Keeps one event. A full backlog forgets the oldest call that is over, whole: half a call would break the order
    /// that clients rely on. Only when every call is still up does the oldest event go.
    pub fn push(&mut self, call: CallId, event: ClientEvent) {
        if self.events.len() >= CAPACITY {
            self.make_room();
        }
        self.events.push_back((call, event));
        self.show();
    }

    /// Everything kept, in order; the backlog is empty afterwards.
    pub fn take(&mut self) -> impl Iterator<Item = ClientEvent> + use<> {
        self.forgotten = 0;
        let events = std::mem::take(&mut self.events);
        self.show();
        events.into_iter().map(|(_, event)| event)
    }

    /// Events kept.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Events that were forgotten because the backlog was full, since it was last taken.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn make_room(&mut self) {
        let before = self.events.len();
        let over = self.events.iter().find(|(_, event)| is_last(event)).map(|(call, _)| call.clone());
        match over {
            Some(call) => self.events.retain(|(of, _)| *of != call),
            None => drop(self.events.pop_front()),
        }
        let forgotten = (before - self.events.len()) as u64;
        self.forgotten += forgotten;
        self.metrics.drops.backlog.inc_by(forgotten);
    }

    fn show(&self) {
        self.metrics.backlog.set(self.events.len() as i64);
    }
}

fn is_last(event: &ClientEvent) -> bool {
    matches!(event, ClientEvent::Say(Event::Bye { .. } | Event::CallFailed { .. } | Event::RingIgnore { .. }))
}

/// Some hundred calls.
const CAPACITY: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> CallId {
        CallId::from_sip_call_id(&format!("{n}@h"))
    }

    fn push(backlog: &mut Backlog, n: usize, event: Event) {
        backlog.push(id(n), ClientEvent::Say(event));
    }

    #[test]
    fn full_backlog_forgets_the_oldest_ended_call_whole() {
        let mut backlog = Backlog::default();
        push(&mut backlog, 0, Event::CallAns { call: id(0) });
        push(&mut backlog, 1, Event::CallAns { call: id(1) });
        push(&mut backlog, 1, Event::Bye { call: id(1) });
        for n in 2..CAPACITY {
            push(&mut backlog, n, Event::CallAns { call: id(n) });
        }
        assert_eq!(backlog.len(), CAPACITY - 1);
        assert_eq!(backlog.forgotten(), 2);
        let first: Vec<_> = backlog.take().take(2).map(|event| format!("{event:?}")).collect();
        assert!(first[0].contains("0@h"), "a call that is up keeps its announcement: {first:?}");
        assert!(first[1].contains("2@h"), "{first:?}");
    }

    #[test]
    fn backlog_of_live_calls_stays_bounded() {
        let mut backlog = Backlog::default();
        for n in 0..CAPACITY + 10 {
            push(&mut backlog, n, Event::CallAns { call: id(n) });
        }
        assert_eq!(backlog.len(), CAPACITY);
    }
}
