//! Which call a SIP event belongs to, and who hears about it.
//!
//! In: calls that come and go, events. Out: events to the call's actor; those that come before it is there wait for it.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use actix::Recipient;
use model::{call::Direction, id::CallId};
use prometheus_client::metrics::counter::Counter;
use sip::CallKey;
use tracing::debug;

use super::super::{call::state::SipInput, message::SipEvent};
use crate::metrics::Metrics;

/// The calls of one listener, by the core's name and by ours.
pub struct Routes {
    routes: HashMap<CallKey, Route>,
    keys: HashMap<CallId, CallKey>,
    /// Calls that are being made: announced to the switchboard, and neither there nor refused yet.
    pending: usize,
    dropped: Counter,
}

/// Who hears about a call.
struct Route {
    id: CallId,
    listener: RouteListener,
    /// When the INVITE came or went.
    began: Instant,
}

enum RouteListener {
    /// The call is being made; a few events may come before it is there.
    Pending(VecDeque<SipEvent>),
    Attached(Recipient<SipEvent>),
}

impl Routes {
    /// No calls.
    pub fn new(metrics: &Metrics) -> Self {
        let dropped = metrics.drops.sip_events.clone();
        Self { routes: HashMap::new(), keys: HashMap::new(), pending: 0, dropped }
    }

    /// Calls in either table.
    pub fn len(&self) -> usize {
        self.routes.len().max(self.keys.len())
    }

    /// The core's name for a call.
    pub fn key(&self, id: &CallId) -> Option<CallKey> {
        self.keys.get(id).copied()
    }

    /// An inbound call that is being made; `None` while too many are. Two dialogs may share a Call-ID (a call that a proxy
    /// sends back to us); our names may not.
    pub fn announced(&mut self, key: CallKey, sip_call_id: &str) -> Option<CallId> {
        if self.pending >= MAX_CALLS_PENDING {
            return None;
        }
        let plain = CallId::from_sip_call_id(sip_call_id);
        let suffixed = (2..).map(|n| plain.with_suffix(n));
        let mut names = std::iter::once(plain.clone()).chain(suffixed);
        let id = names.find(|id| !self.keys.contains_key(id)).unwrap_or(plain);
        self.add(id.clone(), key, RouteListener::Pending(VecDeque::new()));
        self.pending += 1;
        Some(id)
    }

    /// An outbound call.
    pub fn dialled(&mut self, key: CallKey, id: CallId, events: Recipient<SipEvent>) {
        self.add(id, key, RouteListener::Attached(events));
    }

    fn add(&mut self, id: CallId, key: CallKey, listener: RouteListener) {
        self.keys.insert(id.clone(), key);
        self.routes.insert(key, Route { id, listener, began: Instant::now() });
    }

    /// The call is there: it gets what has waited.
    pub fn attach(&mut self, key: CallKey, call: Recipient<SipEvent>) {
        let Some(route) = self.routes.get_mut(&key) else { return };
        let listener = std::mem::replace(&mut route.listener, RouteListener::Attached(call.clone()));
        let mut over = false;
        if let RouteListener::Pending(waiting) = listener {
            self.pending -= 1;
            for event in waiting {
                over |= is_last(&event);
                call.do_send(event);
            }
        }
        if over {
            self.forget(key);
        }
    }

    /// Passes an event on. After the last one nothing more comes; a call that has not attached yet still fetches it.
    pub fn deliver(&mut self, key: CallKey, event: SipEvent) {
        let last = is_last(&event);
        match self.routes.get_mut(&key).map(|route| &mut route.listener) {
            Some(RouteListener::Attached(call)) => {
                call.do_send(event);
                if last {
                    self.forget(key);
                }
            }
            Some(RouteListener::Pending(waiting)) if waiting.len() < MAX_PENDING => waiting.push_back(event),
            Some(RouteListener::Pending(_)) => {
                self.dropped.inc();
                debug!("too many SIP events for a call that is being made");
            }
            None => debug!("SIP event for a call that nobody holds"),
        }
    }

    /// Nobody will attach.
    pub fn forget(&mut self, key: CallKey) {
        if let Some(route) = self.routes.remove(&key) {
            self.keys.remove(&route.id);
            self.pending -= usize::from(matches!(route.listener, RouteListener::Pending(_)));
        }
    }

    /// The call was answered: counts how long that took.
    pub fn count_set_up(&self, key: CallKey, direction: Direction, metrics: &Metrics) {
        if let Some(route) = self.routes.get(&key) {
            metrics.calls.set_up(direction, route.began.elapsed());
        }
    }
}

fn is_last(event: &SipEvent) -> bool {
    matches!(event, SipEvent::State(SipInput::Ended(_)))
}

/// Events kept for a call that is being made.
const MAX_PENDING: usize = 16;
/// Calls that may be in the making at once: what a third of a second brings when as many come as can be made. What comes
/// beyond them would only wait in memory until its caller gives up.
pub const MAX_CALLS_PENDING: usize = 500;
