//! Who hears about calls: the clients, their sessions, and what is kept while there is no client.
//!
//! In: clients that come and go, events. Out: [`ClientEvent`]s to each client, [`CallFact`]s to programs of this process.

use std::{
    collections::{HashMap, hash_map},
    sync::Arc,
};

use actix::Recipient;
use model::{event::Event, id::CallId};

use super::{
    super::message::{CallFact, ClientEvent, ClientId, FactKind, HandOver, Insider, Listener, SessionClaim},
    backlog::Backlog,
};
use crate::metrics::Metrics;

/// See the module's documentation.
pub struct Audience {
    clients: HashMap<ClientId, Client>,
    sessions: HashMap<String, (ClientId, Recipient<HandOver>)>,
    backlog: Backlog,
}

/// One client.
pub struct Client {
    /// Where its events go.
    pub events: Recipient<ClientEvent>,
    /// What a program of this process wants besides.
    pub inside: Option<Insider>,
    /// It does not count as one who may talk in all calls.
    pub beside: bool,
}

impl Audience {
    /// Nobody.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { clients: HashMap::new(), sessions: HashMap::new(), backlog: Backlog::new(metrics) }
    }

    /// How many clients there are who may talk in all calls.
    pub fn len(&self) -> usize {
        self.clients.values().filter(|client| !client.beside).count()
    }

    /// Nobody listens.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Nobody listens who may talk in all calls.
    pub fn is_deserted(&self) -> bool {
        self.clients.values().all(|client| client.beside)
    }

    /// What is kept for the next client.
    pub fn backlog(&mut self) -> &mut Backlog {
        &mut self.backlog
    }

    /// Those who hear every call from its first frame on.
    pub fn insiders(&self) -> Vec<Listener> {
        let insiders = self.clients.values().filter_map(|client| client.inside.as_ref());
        insiders.map(|inside| inside.listener.clone()).collect()
    }

    /// A client that hears from now on.
    pub fn add(&mut self, id: ClientId, client: Client) {
        self.clients.insert(id, client);
    }

    /// A client is gone. `None` if it was not there.
    pub fn remove(&mut self, id: ClientId) -> Option<Client> {
        self.sessions.retain(|_, (client, _)| *client != id);
        self.clients.remove(&id)
    }

    /// Tells everybody; what nobody hears who may talk in all calls is kept.
    pub fn tell_all(&mut self, call: &CallId, event: ClientEvent) {
        self.notify(&event);
        if self.is_deserted() {
            self.backlog.push(call.clone(), event);
        }
    }

    /// Tells those who are there.
    pub fn notify(&self, event: &ClientEvent) {
        for client in self.clients.values() {
            client.events.do_send(event.clone());
        }
    }

    /// Everybody writes this.
    pub fn say_all(&mut self, call: &CallId, event: Event) {
        self.tell_all(call, ClientEvent::Say(event));
    }

    /// One client writes this, if it is still there.
    pub fn say(&self, client: ClientId, event: Event) {
        if let Some(client) = self.clients.get(&client) {
            client.events.do_send(ClientEvent::Say(event));
        }
    }

    /// Tells the programs of this process.
    pub fn state_fact(&self, call: &CallId, kind: &FactKind) {
        for inside in self.clients.values().filter_map(|client| client.inside.as_ref()) {
            inside.facts.do_send(CallFact { call: call.clone(), kind: kind.clone() });
        }
    }

    /// Gives a session to a client. True if it existed: then its former client hands over what it has.
    pub fn claim(&mut self, id: ClientId, claim: SessionClaim, events: &Recipient<ClientEvent>) -> bool {
        let SessionClaim { name, hand_over, inherit, audio } = claim;
        let former = self.sessions.insert(name, (id, hand_over));
        let Some((hash_map::Entry::Occupied(client), hand_over)) =
            former.map(|(former, hand_over)| (self.clients.entry(former), hand_over))
        else {
            return false;
        };
        client.remove();
        events.do_send(ClientEvent::Resuming);
        hand_over.do_send(HandOver { inherit, audio });
        true
    }
}
