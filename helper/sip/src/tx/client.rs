//! Live client transactions: each holds the request that it repeats, where it goes and what its outcome is for.
//! In: responses, timers, transport errors. Out: datagrams into the outbox, and a [`ClientNotice`] for the user agent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use super::slots::Slots;
use super::{Action, ClientKey, Timer, invite_client, plain_client};
use crate::endpoint::{Core, Fire};
use crate::msg::Message;
use crate::ua::{CallKey, RegistrationKey, compose};

/// What a client transaction was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The INVITE that opens a call.
    Invite,
    /// An INVITE inside a dialog.
    Reinvite,
    Bye,
    /// An UPDATE of ours, which refreshes the session.
    Update,
    /// Confirms a reliable provisional response.
    Prack,
    Cancel,
    Refer,
    Notify,
    Info,
    Register(RegistrationKey),
}

/// Whether an INVITE is to be withdrawn (RFC 3261 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withdrawal {
    No,
    /// As soon as a provisional response comes.
    Wanted,
    Sent,
}

/// The ACK of a 2xx, kept for its retransmissions (RFC 3261 §13.2.2.4).
#[derive(Debug)]
pub(crate) struct SuccessAck {
    /// The To tag of the 2xx.
    pub(crate) tag: Box<str>,
    pub(crate) destination: SocketAddr,
    pub(crate) ack: Bytes,
}

#[derive(Debug, Clone, Copy)]
enum Machine {
    Invite(invite_client::State),
    Plain(plain_client::State),
}

#[derive(Debug)]
pub(crate) struct ClientTx {
    machine: Machine,
    pub(crate) purpose: Purpose,
    /// The call that waits for the outcome; `None` when nobody does any more.
    pub(crate) owner: Option<CallKey>,
    pub(crate) destination: SocketAddr,
    pub(crate) request: Bytes,
    pub(crate) withdrawal: Withdrawal,
    /// Why the INVITE is withdrawn, the value of a Reason header (RFC 3326).
    pub(crate) reason: Option<Box<str>>,
    /// The ACK of the failure that ended an INVITE.
    failure_ack: Option<Bytes>,
    pub(crate) success_acks: SmallVec<[SuccessAck; 1]>,
    slots: Slots,
}

/// What the user agent has to know.
#[derive(Debug)]
pub(crate) enum ClientNotice {
    /// Nothing.
    Quiet,
    /// The response is for the transaction user.
    Deliver,
    /// Nobody answered; the transaction is gone.
    TimedOut(Box<ClientTx>),
    /// The transport failed; the transaction is gone.
    Failed(Box<ClientTx>),
}

#[derive(Debug, Default)]
pub(crate) struct Clients {
    live: HashMap<ClientKey, Box<ClientTx>>,
}

enum Input {
    Response,
    Fired(Timer),
    TransportError,
}

impl Clients {
    /// Sends a request and waits for its answer.
    pub(crate) fn start(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ClientKey,
        purpose: Purpose,
        owner: Option<CallKey>,
        (destination, request): (SocketAddr, Bytes),
    ) {
        let invite = matches!(purpose, Purpose::Invite | Purpose::Reinvite);
        let (machine, start) = if invite {
            (Machine::Invite(invite_client::State::Calling), invite_client::START)
        } else {
            (Machine::Plain(plain_client::State::Trying), plain_client::START)
        };
        let mut tx = Box::new(ClientTx {
            machine,
            purpose,
            owner,
            destination,
            request,
            withdrawal: Withdrawal::No,
            reason: None,
            failure_ack: None,
            success_acks: SmallVec::new(),
            slots: Slots::default(),
        });
        for action in start {
            tx.perform(core, now, key, *action, None);
        }
        self.live.insert(key, tx);
    }

    /// Feeds a response to its transaction; `None` when there is none.
    pub(crate) fn response(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ClientKey,
        response: &Message,
    ) -> Option<ClientNotice> {
        self.input(core, now, key, Input::Response, Some(response))
    }

    pub(crate) fn fired(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ClientKey,
        timer: Timer,
    ) -> Option<ClientNotice> {
        self.input(core, now, key, Input::Fired(timer), None)
    }

    pub(crate) fn transport_error(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ClientKey,
    ) -> Option<ClientNotice> {
        self.input(core, now, key, Input::TransportError, None)
    }

    /// Arms timer B again: how long an INVITE is given after its CANCEL (RFC 3261 §9.1).
    pub(crate) fn limit_withdrawn(&mut self, core: &mut Core, now: Instant, key: ClientKey) {
        if let Some(tx) = self.live.get_mut(&key) {
            tx.slots.start(core, now, Timer::B, Fire::Client(key, Timer::B));
        }
    }

    pub(crate) fn get(&self, key: ClientKey) -> Option<&ClientTx> {
        self.live.get(&key).map(|tx| &**tx)
    }

    pub(crate) fn get_mut(&mut self, key: ClientKey) -> Option<&mut ClientTx> {
        self.live.get_mut(&key).map(|tx| &mut **tx)
    }

    /// The transactions that send to `destination`.
    pub(crate) fn to(&self, destination: SocketAddr) -> Vec<ClientKey> {
        self.live.iter().filter(|(_, tx)| tx.destination == destination).map(|(key, _)| *key).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether an INVITE waits for its final response.
    pub(crate) fn has_pending_invite(&self) -> bool {
        self.live.values().any(|tx| tx.is_pending())
    }

    fn input(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ClientKey,
        input: Input,
        response: Option<&Message>,
    ) -> Option<ClientNotice> {
        let tx = self.live.get_mut(&key)?;
        if let Input::Fired(timer) = input {
            tx.slots.fired(timer);
        }
        let Some((machine, actions)) = tx.machine.step(&input, response) else {
            return Some(ClientNotice::Quiet);
        };
        tx.machine = machine;
        let mut deliver = false;
        let (mut timed_out, mut failed) = (false, false);
        for action in actions {
            match action {
                Action::Deliver => deliver = true,
                Action::TimedOut => timed_out = true,
                Action::Failed => failed = true,
                action => tx.perform(core, now, key, *action, response),
            }
        }
        if !tx.machine.is_terminated() {
            return Some(if deliver { ClientNotice::Deliver } else { ClientNotice::Quiet });
        }
        let mut tx = self.live.remove(&key)?;
        tx.slots.stop_all(core);
        Some(match (timed_out, failed) {
            (true, _) => ClientNotice::TimedOut(tx),
            (_, true) => ClientNotice::Failed(tx),
            _ => ClientNotice::Quiet,
        })
    }
}

impl ClientTx {
    /// A response above 100 has come and no final one.
    pub(crate) fn is_proceeding(&self) -> bool {
        matches!(self.machine, Machine::Invite(invite_client::State::Proceeding))
    }

    /// No final response has come.
    pub(crate) fn is_pending(&self) -> bool {
        use invite_client::State::{Calling, Proceeding};
        matches!(self.machine, Machine::Invite(Calling | Proceeding))
    }

    /// No response at all has come.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(
            self.machine,
            Machine::Invite(invite_client::State::Calling) | Machine::Plain(plain_client::State::Trying)
        )
    }

    fn perform(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ClientKey,
        action: Action,
        response: Option<&Message>,
    ) {
        match action {
            Action::Send => core.send(self.destination, self.request.clone()),
            Action::Resend => {
                core.counters.retransmissions_out += 1;
                core.send(self.destination, self.request.clone());
            }
            Action::Ack => {
                if self.failure_ack.is_none() {
                    self.failure_ack =
                        response.and_then(|response| compose::failure_ack(&self.request, response));
                }
                if let Some(ack) = &self.failure_ack {
                    core.send(self.destination, ack.clone());
                }
            }
            Action::Start(timer) => self.slots.start(core, now, timer, Fire::Client(key, timer)),
            Action::Double(timer) => self.slots.double(core, now, timer, Fire::Client(key, timer)),
            Action::RestartAtT2(timer) => {
                self.slots.restart_at_t2(core, now, timer, Fire::Client(key, timer))
            }
            Action::Stop(timer) => self.slots.stop(core, timer),
            Action::Trying | Action::Deliver | Action::TimedOut | Action::Failed => {}
        }
    }
}

impl Machine {
    fn step(self, input: &Input, response: Option<&Message>) -> Option<(Self, &'static [Action])> {
        let class = response.and_then(Message::status).map_or(0, |status| status.class());
        match self {
            Self::Invite(state) => {
                let input = match (input, class) {
                    (Input::Fired(timer), _) => invite_client::Input::Fired(*timer),
                    (Input::TransportError, _) => invite_client::Input::TransportError,
                    (Input::Response, 1) => invite_client::Input::Provisional,
                    (Input::Response, 2) => invite_client::Input::Success,
                    (Input::Response, _) => invite_client::Input::Failure,
                };
                invite_client::step(state, input).map(|step| (Self::Invite(step.next), step.actions))
            }
            Self::Plain(state) => {
                let input = match (input, class) {
                    (Input::Fired(timer), _) => plain_client::Input::Fired(*timer),
                    (Input::TransportError, _) => plain_client::Input::TransportError,
                    (Input::Response, 1) => plain_client::Input::Provisional,
                    (Input::Response, _) => plain_client::Input::Final,
                };
                plain_client::step(state, input).map(|step| (Self::Plain(step.next), step.actions))
            }
        }
    }

    fn is_terminated(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_client::State::Terminated) | Self::Plain(plain_client::State::Terminated)
        )
    }
}
