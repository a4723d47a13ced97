//! One line of the table of calls: how to reach a call, and what clients were told of it.

use model::{event::Event, id::CallId};

use super::super::message::{CallHandle, ClientEvent};

/// One call.
pub struct Entry {
    /// How to reach it.
    pub handle: CallHandle,
    /// Calls are told in this order.
    pub order: u64,
    /// RING_ANS was said.
    pub rang: bool,
    /// CALL_ANS was said.
    pub up: bool,
}

impl Entry {
    /// What announces the call when it rings.
    pub fn ringing(&self) -> Vec<Event> {
        let CallHandle { id, phone, invite, .. } = &self.handle;
        let called = invite.as_ref().and_then(|invite| invite.called.clone());
        let called = called.map(|number| Event::Called { call: id.clone(), number });
        let rings = Event::RingAns { phone: phone.clone(), call: id.clone() };
        std::iter::once(rings).chain(called).collect()
    }

    /// What brings a newcomer up to date.
    fn story(&self) -> Vec<(CallId, ClientEvent)> {
        let call = &self.handle.id;
        let ring = self.rang.then(|| self.ringing());
        let up = self.up.then(|| Event::CallAns { call: call.clone() });
        let said = ring.into_iter().flatten().chain(up).map(ClientEvent::Say);
        std::iter::once(ClientEvent::Known(self.handle.clone()))
            .chain(said)
            .map(|e| (call.clone(), e))
            .collect()
    }
}

/// What brings a newcomer up to date: the calls in progress, oldest first.
pub fn in_progress<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<(CallId, ClientEvent)> {
    let mut entries: Vec<&Entry> = entries.collect();
    entries.sort_by_key(|entry| entry.order);
    entries.into_iter().flat_map(Entry::story).collect()
}
