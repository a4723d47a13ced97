//! `CallLog` is the table behind `GET /api/calls`: the streams that are up, and the last ones that were.
//!
//! In: beginnings and ends, and two counters each. Out: JSON. Knows no actor and no socket.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use serde_json::{Value, json};

/// The table. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CallLog(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    active: BTreeMap<u64, Entry>,
    recent: VecDeque<Entry>,
    completed: u64,
}

#[derive(Debug)]
struct Entry {
    facts: Facts,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    chunks: Arc<Chunks>,
}

/// What is known of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The provider's name of it.
    pub stream_id: String,
    /// `telnyx` or `twilio`.
    pub provider: &'static str,
    /// Who calls.
    pub caller_id: String,
    /// Whom.
    pub did: String,
}

/// Messages with audio on one stream.
#[derive(Debug, Default)]
pub struct Chunks {
    /// From the provider.
    pub received: AtomicU64,
    /// To the provider.
    pub sent: AtomicU64,
}

/// A stream is active until this is dropped.
#[derive(Debug)]
pub struct ActiveCall {
    log: CallLog,
    key: u64,
    /// Its counters.
    pub chunks: Arc<Chunks>,
}

impl CallLog {
    /// A stream begins.
    pub fn begin(&self, facts: Facts) -> ActiveCall {
        let chunks = Arc::<Chunks>::default();
        let mut table = self.table();
        let key = table.next;
        table.next += 1;
        let entry = Entry { facts, started_at: Timestamp::now(), ended_at: None, chunks: chunks.clone() };
        table.active.insert(key, entry);
        ActiveCall { log: self.clone(), key, chunks }
    }

    /// `{"active":[...],"recent":[...],"stats":{"active_count":..,"total_completed":..}}`, the latest of `recent` first.
    pub fn json(&self) -> Value {
        let table = self.table();
        json!({
            "active": table.active.values().map(Entry::json).collect::<Vec<_>>(),
            "recent": table.recent.iter().rev().map(Entry::json).collect::<Vec<_>>(),
            "stats": { "active_count": table.active.len(), "total_completed": table.completed },
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        let mut table = self.log.table();
        let Some(mut entry) = table.active.remove(&self.key) else { return };
        entry.ended_at = Some(Timestamp::now());
        table.completed += 1;
        table.recent.push_back(entry);
        if table.recent.len() > RECENT {
            table.recent.pop_front();
        }
    }
}

impl Entry {
    fn json(&self) -> Value {
        let Facts { stream_id, provider, caller_id, did } = &self.facts;
        json!({
            "stream_id": stream_id,
            "provider": provider,
            "caller_id": caller_id,
            "did": did,
            "started_at": self.started_at.to_string(),
            "ended_at": self.ended_at.map(|at| at.to_string()),
            "chunks_received": self.chunks.received.load(Ordering::Relaxed),
            "chunks_sent": self.chunks.sent.load(Ordering::Relaxed),
            "status": if self.ended_at.is_some() { "completed" } else { "active" },
        })
    }
}

/// Streams that are over and still shown.
const RECENT: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(n: usize) -> Facts {
        Facts { stream_id: format!("s{n}"), provider: "telnyx", ..Facts::default() }
    }

    #[test]
    fn call_is_active_until_it_is_dropped_and_then_recent() {
        let log = CallLog::default();
        let call = log.begin(facts(1));
        call.chunks.received.store(3, Ordering::Relaxed);
        let shown = log.json();
        assert_eq!(shown["active"][0]["chunks_received"], 3);
        assert_eq!(shown["active"][0]["status"], "active");
        assert_eq!(shown["active"][0]["ended_at"], Value::Null);
        assert_eq!(shown["stats"], json!({"active_count": 1, "total_completed": 0}));
        drop(call);
        let shown = log.json();
        assert_eq!(shown["active"], json!([]));
        assert_eq!(shown["recent"][0]["stream_id"], "s1");
        assert_eq!(shown["recent"][0]["status"], "completed");
        assert_eq!(shown["stats"], json!({"active_count": 0, "total_completed": 1}));
    }

    #[test]
    fn last_twenty_are_shown_latest_first() {
        let log = CallLog::default();
        (0..25).for_each(|n| drop(log.begin(facts(n))));
        let shown = log.json();
        let ids: Vec<_> =
            shown["recent"].as_array().expect("a list").iter().map(|c| c["stream_id"].clone()).collect();
        assert_eq!(ids, (5..25).rev().map(|n| json!(format!("s{n}"))).collect::<Vec<_>>());
        assert_eq!(shown["stats"]["total_completed"], 25);
    }
}
