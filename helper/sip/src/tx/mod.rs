//! The transaction layer: four state machines as pure tables (RFC 3261 §17 with RFC 6026), the timers that drive them,
//! and the tables of live transactions.
//!
//! A machine maps a state and an [input](invite_client::Input) to a next state and a list of actions. It holds no message, no clock
//! and no address; [`ClientTx`] and [`ServerTx`] records carry those.

mod client;
pub(crate) mod invite_client;
pub(crate) mod invite_server;
mod key;
pub(crate) mod plain_client;
pub(crate) mod plain_server;
mod queue;
mod server;
mod slots;
mod timer;

pub(crate) use client::{ClientNotice, ClientTx, Clients, Purpose, SuccessAck, Withdrawal};
pub(crate) use key::{ClientKey, ServerKey};
pub(crate) use queue::{TimerKey, TimerQueue};
pub(crate) use server::{Reply, ServerNotice, Servers};
pub(crate) use timer::{Timer, interval};

/// What a transition asks for, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send the message at hand: the new request, or the response of the transaction user.
    Send,
    /// Send the last message again.
    Resend,
    /// Send the ACK of a final response other than 2xx (client, RFC 3261 §17.1.1.3).
    Ack,
    /// Send 100 Trying (server, RFC 3261 §17.2.1).
    Trying,
    /// Hand the message at hand to the transaction user.
    Deliver,
    /// Arm a timer at its first interval.
    Start(Timer),
    /// Arm a retransmission timer again at twice its interval, capped at T2 except for timer A.
    Double(Timer),
    /// Arm timer E again at T2.
    RestartAtT2(Timer),
    /// Disarm a timer.
    Stop(Timer),
    /// Tell the transaction user that nobody answered.
    TimedOut,
    /// Tell the transaction user that the transport failed.
    Failed,
}

/// One row of a table: where to go and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step<S> {
    pub(crate) next: S,
    pub(crate) actions: &'static [Action],
}

/// Makes the rows readable: `to(State::Completed, &[Ack, Deliver])`.
const fn to<S: Copy>(next: S, actions: &'static [Action]) -> Option<Step<S>> {
    Some(Step { next, actions })
}
