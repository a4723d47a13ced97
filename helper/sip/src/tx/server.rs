//! Live server transactions: each holds the last response and where it goes, never the request.
//! In: retransmissions, ACKs, responses of the user agent, timers. Out: datagrams into the outbox, and a
//! [`ServerNotice`] for the user agent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::slots::Slots;
use super::{Action, ServerKey, Timer, invite_server, plain_server};
use crate::endpoint::{Core, Fire};
use crate::ua::CallKey;

#[derive(Debug, Clone, Copy)]
enum Machine {
    Invite(invite_server::State),
    Plain(plain_server::State),
}

#[derive(Debug)]
pub(crate) struct ServerTx {
    machine: Machine,
    /// The call that the request belongs to; it may be gone.
    pub(crate) owner: Option<CallKey>,
    destination: SocketAddr,
    /// The last response; empty when there is none, or when it is the call that repeats it.
    last: Bytes,
    /// Call-ID, From tag and CSeq of an INVITE outside a dialog: what a merged request shares (RFC 3261 §8.2.2.2).
    merge: Option<u64>,
    slots: Slots,
}

/// What the user agent has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerNotice {
    Quiet,
    /// The ACK of a 2xx came.
    Deliver,
    /// The INVITE came again after its 2xx.
    Absorbed,
}

/// The class of a response that the user agent sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Provisional,
    Success,
    Failure,
}

#[derive(Debug, Default)]
pub(crate) struct Servers {
    live: HashMap<ServerKey, Box<ServerTx>>,
    merged: HashMap<u64, ServerKey>,
}

#[derive(Clone, Copy)]
enum Input {
    Request,
    Ack,
    Reply(Reply),
    Fired(Timer),
    TransportError,
}

impl Servers {
    /// Begins the transaction of an INVITE; `trying` is the 100 that goes out when it is due.
    pub(crate) fn start_invite(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ServerKey,
        owner: CallKey,
        merge: Option<u64>,
        (destination, trying): (SocketAddr, Bytes),
    ) {
        let machine = Machine::Invite(invite_server::State::Proceeding);
        let mut tx = Box::new(ServerTx {
            machine,
            owner: Some(owner),
            destination,
            last: trying,
            merge,
            slots: Slots::default(),
        });
        if core.config.auto_trying_after.is_zero() {
            core.send(destination, tx.last.clone());
        } else {
            for action in invite_server::START {
                tx.perform(core, now, key, *action);
            }
        }
        if let Some(merge) = merge {
            self.merged.insert(merge, key);
        }
        self.live.insert(key, tx);
    }

    /// Begins the transaction of any other request.
    pub(crate) fn start_plain(&mut self, key: ServerKey, owner: CallKey, destination: SocketAddr) {
        let machine = Machine::Plain(plain_server::State::Trying);
        let tx = ServerTx {
            machine,
            owner: Some(owner),
            destination,
            last: Bytes::new(),
            merge: None,
            slots: Slots::default(),
        };
        self.live.insert(key, Box::new(tx));
    }

    /// A request with this key came again; `None` when it is new.
    pub(crate) fn retransmission(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ServerKey,
    ) -> Option<ServerNotice> {
        self.input(core, now, key, Input::Request)
    }

    /// An ACK with the key of an INVITE came; `None` when there is no such INVITE.
    pub(crate) fn ack(&mut self, core: &mut Core, now: Instant, key: ServerKey) -> Option<ServerNotice> {
        self.input(core, now, key, Input::Ack)
    }

    /// Sends a response of the user agent. A second final response is ignored, a second 2xx to an INVITE is sent.
    pub(crate) fn reply(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ServerKey,
        reply: Reply,
        response: Bytes,
    ) {
        let Some(tx) = self.live.get_mut(&key) else { return };
        if tx.machine.step(Input::Reply(reply)).is_some_and(|(_, actions)| actions.contains(&Action::Send)) {
            tx.last = response;
        }
        self.input(core, now, key, Input::Reply(reply));
        // The call repeats a 2xx to an INVITE; the transaction only absorbs (RFC 6026 §7.1).
        if let Some(tx) = self.live.get_mut(&key)
            && matches!(tx.machine, Machine::Invite(invite_server::State::Accepted))
        {
            tx.last = Bytes::new();
        }
    }

    pub(crate) fn fired(&mut self, core: &mut Core, now: Instant, key: ServerKey, timer: Timer) {
        if let Some(tx) = self.live.get_mut(&key) {
            tx.slots.fired(timer);
            self.input(core, now, key, Input::Fired(timer));
        }
    }

    pub(crate) fn transport_error(&mut self, core: &mut Core, now: Instant, key: ServerKey) {
        self.input(core, now, key, Input::TransportError);
    }

    pub(crate) fn get(&self, key: ServerKey) -> Option<&ServerTx> {
        self.live.get(&key).map(|tx| &**tx)
    }

    /// Whether an INVITE with the same Call-ID, From tag and CSeq is live under another key.
    pub(crate) fn is_merged(&self, merge: u64) -> bool {
        self.merged.contains_key(&merge)
    }

    /// The INVITEs without a final response that came from `source`'s side, so an answer cannot reach it.
    pub(crate) fn to(&self, destination: SocketAddr) -> Vec<(ServerKey, Option<CallKey>)> {
        self.live
            .iter()
            .filter(|(_, tx)| tx.destination == destination)
            .map(|(key, tx)| (*key, tx.owner))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    fn input(&mut self, core: &mut Core, now: Instant, key: ServerKey, input: Input) -> Option<ServerNotice> {
        let tx = self.live.get_mut(&key)?;
        let Some((machine, actions)) = tx.machine.step(input) else {
            return Some(ServerNotice::Quiet);
        };
        tx.machine = machine;
        for action in actions {
            tx.perform(core, now, key, *action);
        }
        let notice = match (input, machine) {
            (Input::Ack, _) if actions.contains(&Action::Deliver) => ServerNotice::Deliver,
            (Input::Request, Machine::Invite(invite_server::State::Accepted)) => ServerNotice::Absorbed,
            _ => ServerNotice::Quiet,
        };
        if machine.is_terminated()
            && let Some(mut tx) = self.live.remove(&key)
        {
            tx.slots.stop_all(core);
            if let Some(merge) = tx.merge {
                self.merged.remove(&merge);
            }
        }
        Some(notice)
    }
}

impl ServerTx {
    /// An INVITE that has not got a final response.
    pub(crate) fn is_proceeding_invite(&self) -> bool {
        matches!(self.machine, Machine::Invite(invite_server::State::Proceeding))
    }

    fn perform(&mut self, core: &mut Core, now: Instant, key: ServerKey, action: Action) {
        match action {
            Action::Send | Action::Trying => core.send(self.destination, self.last.clone()),
            Action::Resend => {
                if !self.last.is_empty() {
                    core.counters.retransmissions_out += 1;
                    core.send(self.destination, self.last.clone());
                }
            }
            Action::Start(timer) => self.slots.start(core, now, timer, Fire::Server(key, timer)),
            Action::Double(timer) => self.slots.double(core, now, timer, Fire::Server(key, timer)),
            Action::Stop(timer) => self.slots.stop(core, timer),
            // A response that nobody acknowledged has no further consequence: its call is over.
            Action::RestartAtT2(_) | Action::Ack | Action::Deliver | Action::TimedOut | Action::Failed => {}
        }
        if matches!(self.machine, Machine::Invite(invite_server::State::Confirmed)) {
            self.last = Bytes::new();
        }
    }
}

impl Machine {
    fn step(self, input: Input) -> Option<(Self, &'static [Action])> {
        match self {
            Self::Invite(state) => {
                let input = match input {
                    Input::Request => invite_server::Input::Request,
                    Input::Ack => invite_server::Input::Ack,
                    Input::Reply(Reply::Provisional) => invite_server::Input::Provisional,
                    Input::Reply(Reply::Success) => invite_server::Input::Success,
                    Input::Reply(Reply::Failure) => invite_server::Input::Failure,
                    Input::Fired(timer) => invite_server::Input::Fired(timer),
                    Input::TransportError => invite_server::Input::TransportError,
                };
                invite_server::step(state, input).map(|step| (Self::Invite(step.next), step.actions))
            }
            Self::Plain(state) => {
                let input = match input {
                    Input::Request => plain_server::Input::Request,
                    Input::Ack => return None,
                    Input::Reply(Reply::Provisional) => plain_server::Input::Provisional,
                    Input::Reply(_) => plain_server::Input::Final,
                    Input::Fired(timer) => plain_server::Input::Fired(timer),
                    Input::TransportError => plain_server::Input::TransportError,
                };
                plain_server::step(state, input).map(|step| (Self::Plain(step.next), step.actions))
            }
        }
    }

    fn is_terminated(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_server::State::Terminated) | Self::Plain(plain_server::State::Terminated)
        )
    }
}
