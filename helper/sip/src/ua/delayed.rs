//! Delayed offer, outbound: an INVITE without SDP, the offer in its 2xx, the answer in the ACK (RFC 3261 §13.2.1,
//! §13.2.2.4). Inbound needs nothing of its own: `answer` gives the offer, the ACK brings the answer.
//!
//! Until the owner has answered, the ACK is owed: repetitions of the 2xx are absorbed. It is never left out: a call that
//! ends first sends it without SDP, because a peer that saw no ACK may not take a BYE.

use std::time::Instant;

use bytes::Bytes;

use super::call::{AckOwed, CallTimer, State, Up};
use super::reoffer::acknowledge;
use super::{CallError, CallKey, EndCause};
use crate::endpoint::{Core, Endpoint};
use crate::tx::{ClientKey, Clients};

impl Endpoint {
    /// The owner's answer to the offer in the 2xx.
    pub(crate) fn send_ack_with(&mut self, key: CallKey, sdp: &Bytes) -> Result<(), CallError> {
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        match pay_ack(&mut self.core, &mut self.clients, up, Some(sdp)) {
            true => {
                if let Some(session) = &mut up.session {
                    session.sdp = sdp.clone();
                }
                Ok(())
            }
            false => Err(CallError::WrongState),
        }
    }

    /// The owner took too long.
    pub(crate) fn answer_overdue(&mut self, now: Instant, key: CallKey) {
        self.end_and_leave(now, key, EndCause::Timeout);
    }

    /// Whether the 2xx of `client` from the fork with this tag waits for the owner's answer.
    pub(crate) fn is_ack_owed(&mut self, client: ClientKey, tag: &str) -> bool {
        let owner = self.clients.get(client).and_then(|tx| tx.owner);
        match owner.and_then(|key| self.calls.state(key)) {
            Some(State::Up(up)) => {
                *up.dialog.remote_tag == *tag
                    && up.ack_owed.as_ref().is_some_and(|owed| owed.invite == client)
            }
            _ => false,
        }
    }
}

/// The ACK of the 2xx to `invite` waits for the owner, but not for long: the peer repeats its 2xx for 64·T1 only.
pub(super) fn owe_ack(core: &mut Core, now: Instant, key: CallKey, invite: ClientKey) -> AckOwed {
    let limit = core.arm_call(now + core.config.timers.timeout() / 4, key, CallTimer::AnswerOverdue);
    AckOwed { invite, limit }
}

/// Sends the ACK that is owed; `false` when none is.
pub(super) fn pay_ack(core: &mut Core, clients: &mut Clients, up: &mut Up, sdp: Option<&Bytes>) -> bool {
    let Some(owed) = up.ack_owed.take() else { return false };
    core.timers.cancel(owed.limit);
    acknowledge(core, clients, owed.invite, &up.dialog, sdp)
}
