//! `Call` is one call in one state; each state holds the data that it needs and the timers that watch it.
//!
//! ```text
//!   INVITE in ──▶ Ringing ──answer──▶ Up ──BYE out──▶ Leaving ──▶ gone
//!   dial ───────▶ Calling ──2xx─────▶ │
//!                                     └──BYE in──▶ gone
//! ```
//!
//! Refusals, CANCEL and time-outs lead to gone from anywhere.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::compose::ResponseHead;
use super::extras::Extras;
use super::prack::Confirmed;
use super::reliable::Reliability;
use super::session_timer::{Ask, Session, Terms};
use super::{CallError, CallKey, EndCause, Event};
use crate::auth::AuthSession;
use crate::dialog::Dialog;
use crate::endpoint::{Core, Random};
use crate::msg::StatusCode;
use crate::tx::{ClientKey, Reply, ServerKey, Servers, TimerKey};

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: CallName,
    pub(crate) state: State,
}

/// What a call keeps from state to state.
#[derive(Debug)]
pub(crate) struct CallName {
    pub(crate) key: CallKey,
    /// Hash of Call-ID and local tag.
    lookup: u64,
    /// `Ended` is out; what follows is signalling that the owner does not see.
    ended: bool,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Inbound, no final response yet.
    Ringing(Box<Ringing>),
    /// Outbound, no final response yet.
    Calling(Box<Calling>),
    /// A 2xx has been sent or received.
    Up(Box<Up>),
    /// Our BYE is out.
    Leaving(Box<Leaving>),
}

#[derive(Debug)]
pub(crate) struct Ringing {
    pub(crate) dialog: Dialog,
    pub(crate) invite: ServerKey,
    /// CSeq of the INVITE, and so of the ACK; the peer's requests since then have higher ones.
    pub(crate) cseq: u32,
    pub(crate) head: ResponseHead,
    /// Whether the INVITE brought an offer; without one our 2xx does.
    pub(crate) has_offer: bool,
    /// The session timer that our 2xx will start.
    pub(crate) terms: Option<Terms>,
    /// The last provisional above 100, repeated every minute (RFC 3261 §13.3.1.1).
    pub(crate) provisional: Bytes,
    /// Provisional responses go reliably.
    pub(crate) reliability: Option<Box<Reliability>>,
    pub(crate) refresh: Option<TimerKey>,
    pub(crate) limit: Option<TimerKey>,
}

#[derive(Debug)]
pub(crate) struct Calling {
    pub(crate) outbound: Outbound,
    pub(crate) invite: ClientKey,
    pub(crate) cseq: u32,
    pub(crate) early: SmallVec<[Early; 1]>,
    pub(crate) auth: Option<Box<AuthSession>>,
    pub(crate) limit: Option<TimerKey>,
}

/// What every INVITE of an outbound call repeats.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) target: String,
    pub(crate) destination: SocketAddr,
    /// From with its tag.
    pub(crate) from: String,
    pub(crate) local_tag: String,
    pub(crate) call_id: String,
    pub(crate) headers: Vec<(String, String)>,
    /// `None`: the callee makes the offer.
    pub(crate) offer: Option<Bytes>,
    /// The session timer that is asked for.
    pub(crate) ask: Option<Ask>,
}

/// An early dialog of an outbound call; a forked INVITE makes several.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) remote_tag: Box<str>,
    pub(crate) remote_seq: Option<u32>,
    /// A reliable response came in it.
    pub(crate) confirmed: Option<Box<Confirmed>>,
}

/// What a call seldom has is boxed: most calls are up and quiet.
#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) dialog: Dialog,
    /// Whether we placed the call: decides who waits longer after a glare (RFC 3261 §14.1).
    pub(crate) we_called: bool,
    /// Our 2xx that waits for its ACK.
    pub(crate) unacked: Option<Box<Unacked>>,
    /// The ACK of the peer's 2xx that waits for our answer to its offer.
    pub(crate) ack_owed: Option<AckOwed>,
    /// The peer's offer that waits for `answer_offer` or `reject_offer`.
    pub(crate) theirs: Option<Box<TheirOffer>>,
    /// Our re-INVITE.
    pub(crate) ours: Option<Box<OurOffer>>,
    pub(crate) session: Option<Box<Session>>,
    /// RSeq and CSeq of a reliable response that our 2xx did not wait for.
    pub(crate) late_prack: Option<(u32, u32)>,
    /// Transfers and INFO.
    pub(crate) extras: Option<Box<Extras>>,
    /// Why we hang up, for the BYE that waits for an ACK.
    pub(crate) reason: Option<Box<str>>,
    pub(crate) auth: Option<Box<AuthSession>>,
}

#[derive(Debug)]
pub(crate) struct Unacked {
    pub(crate) cseq: u32,
    /// The 2xx of the INVITE that opened the call.
    pub(crate) initial: bool,
    /// It carries an offer of ours, which the ACK answers.
    pub(crate) offers: bool,
    pub(crate) response: Bytes,
    pub(crate) destination: SocketAddr,
    pub(crate) interval: Duration,
    pub(crate) resend: TimerKey,
    pub(crate) deadline: TimerKey,
}

#[derive(Debug)]
pub(crate) struct AckOwed {
    pub(crate) invite: ClientKey,
    pub(crate) limit: TimerKey,
}

#[derive(Debug)]
pub(crate) struct TheirOffer {
    pub(crate) server: ServerKey,
    pub(crate) head: ResponseHead,
    pub(crate) invite: bool,
    /// Whether it brought an offer; a re-INVITE without one asks for ours.
    pub(crate) has_offer: bool,
    pub(crate) cseq: u32,
    /// The session timer that our 2xx will start again.
    pub(crate) terms: Option<Terms>,
}

#[derive(Debug)]
pub(crate) struct OurOffer {
    pub(crate) sdp: Bytes,
    pub(crate) phase: OfferPhase,
    /// Refusals with 491 so far.
    pub(crate) glares: u8,
    /// It only refreshes the session; the owner does not know of it.
    pub(crate) refresh: bool,
    /// The owner's session change that waits for the end of a refresh.
    pub(crate) then: Option<Bytes>,
}

#[derive(Debug)]
pub(crate) enum OfferPhase {
    /// The re-INVITE is out; `limit` ends the wait for its final response.
    Sent { invite: ClientKey, limit: TimerKey },
    /// 491: it is sent again when `retry` fires, unless the session has changed meanwhile and the body with it.
    Waiting { retry: TimerKey, outdated: bool },
}

#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) dialog: Dialog,
    pub(crate) auth: Option<Box<AuthSession>>,
    pub(crate) bye: ClientKey,
    /// Why we hung up.
    pub(crate) reason: Option<Box<str>>,
}

/// The timers of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallTimer {
    /// It has been ringing for too long.
    RingLimit,
    /// The provisional response is due again.
    Refresh,
    /// The reliable provisional response is due again.
    ReliableResend,
    /// The PRACK is overdue.
    PrackOverdue,
    /// The un-ACKed 2xx is due again.
    Resend,
    /// The ACK is overdue.
    AckOverdue,
    /// Our owner has not answered the offer of a 2xx.
    AnswerOverdue,
    /// Our re-INVITE has no final response.
    OfferLimit,
    /// Our re-INVITE is due again after a glare.
    OfferRetry,
    /// The session is to be refreshed, or over.
    Session,
    /// Nothing is heard of our REFER any more.
    ReferSilence,
    /// The peer's REFER has been undecided, or without a result, for too long.
    ReferredLimit,
}

impl CallName {
    /// Tells the owner that the call is over, once.
    pub(crate) fn end(&mut self, core: &mut Core, cause: EndCause) {
        if !self.ended {
            self.ended = true;
            core.event(Event::Ended { call: self.key, cause });
        }
    }

    /// Whether the owner knows that it is over.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }
}

impl State {
    /// Whether a request with this From tag can belong to the call. While calling, the response that made the early
    /// dialog may have been lost, so any tag can.
    pub(crate) fn is_peer(&self, tag: &str) -> bool {
        match self {
            State::Ringing(ringing) => *ringing.dialog.remote_tag == *tag,
            State::Up(up) => *up.dialog.remote_tag == *tag,
            State::Leaving(leaving) => *leaving.dialog.remote_tag == *tag,
            State::Calling(_) => true,
        }
    }

    fn timers(&self) -> SmallVec<[TimerKey; 4]> {
        match self {
            State::Ringing(ringing) => {
                let reliable = ringing.reliability.iter().flat_map(|reliability| reliability.timers());
                ringing.refresh.into_iter().chain(ringing.limit).chain(reliable).collect()
            }
            State::Calling(calling) => calling.limit.into_iter().collect(),
            State::Up(up) => {
                let unacked = up.unacked.iter().flat_map(|unacked| [unacked.resend, unacked.deadline]);
                let owed = up.ack_owed.iter().map(|owed| owed.limit);
                let extras = up.extras.iter().flat_map(|extras| extras.timers());
                let ours = up.ours.iter().map(|ours| ours.timer());
                let session = up.session.iter().map(|session| session.timer);
                unacked.chain(ours).chain(owed).chain(extras).chain(session).collect()
            }
            State::Leaving(_) => SmallVec::new(),
        }
    }

    fn dialogs(&self) -> usize {
        match self {
            State::Calling(calling) => calling.early.len(),
            _ => 1,
        }
    }

    /// Inbound, and not acknowledged.
    fn is_unsettled(&self) -> bool {
        match self {
            State::Ringing(_) => true,
            State::Up(up) => up.unacked.as_ref().is_some_and(|unacked| unacked.initial),
            State::Calling(_) | State::Leaving(_) => false,
        }
    }
}

impl TheirOffer {
    /// An offer in an UPDATE or PRACK.
    pub(crate) fn plain(server: ServerKey, head: ResponseHead, cseq: u32, terms: Option<Terms>) -> Self {
        Self { server, head, invite: false, has_offer: true, cseq, terms }
    }

    /// Begins its transaction.
    pub(crate) fn begin(self, servers: &mut Servers, call: CallKey) -> Self {
        servers.start_plain(self.server, call, self.head.destination);
        self
    }

    pub(crate) fn refuse(&self, core: &mut Core, servers: &mut Servers, now: Instant, status: StatusCode) {
        let response = self.head.response(status.as_u16(), status.reason(), &[], None);
        servers.reply(core, now, self.server, Reply::Failure, response);
    }
}

impl Up {
    pub(crate) fn new(dialog: Dialog, we_called: bool, auth: Option<Box<AuthSession>>) -> Self {
        Self {
            dialog,
            we_called,
            unacked: None,
            ack_owed: None,
            theirs: None,
            ours: None,
            session: None,
            late_prack: None,
            extras: None,
            reason: None,
            auth,
        }
    }
}

impl Calling {
    /// The early dialog with this tag.
    pub(crate) fn early(&mut self, remote_tag: &str) -> Option<&mut Early> {
        self.early.iter_mut().find(|early| *early.remote_tag == *remote_tag)
    }
}

impl OurOffer {
    pub(crate) fn timer(&self) -> TimerKey {
        match self.phase {
            OfferPhase::Sent { limit, .. } => limit,
            OfferPhase::Waiting { retry, .. } => retry,
        }
    }
}

/// All calls, by key and by dialog.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    live: HashMap<CallKey, Call>,
    by_dialog: HashMap<u64, CallKey>,
    last_key: u64,
    unsettled: usize,
}

impl Calls {
    pub(crate) fn next_key(&mut self) -> CallKey {
        self.last_key += 1;
        CallKey(self.last_key)
    }

    pub(crate) fn insert(&mut self, random: &Random, key: CallKey, dialog: (&str, &str), state: State) {
        let lookup = dialog_hash(random, dialog.0, dialog.1);
        self.put(CallName { key, lookup, ended: false }, state);
    }

    /// The call to which a request with this Call-ID, To tag and From tag belongs.
    pub(crate) fn find(
        &self,
        random: &Random,
        call_id: &str,
        to_tag: &str,
        from_tag: &str,
    ) -> Option<CallKey> {
        let key = self.by_dialog.get(&dialog_hash(random, call_id, to_tag))?;
        self.live.get(key)?.state.is_peer(from_tag).then_some(*key)
    }

    pub(crate) fn state(&mut self, key: CallKey) -> Option<&mut State> {
        self.live.get_mut(&key).map(|call| &mut call.state)
    }

    /// The 2xx of a call that waits for its ACK.
    pub(crate) fn unacked(&mut self, key: CallKey) -> Option<&mut Unacked> {
        match self.state(key)? {
            State::Up(up) => up.unacked.as_deref_mut(),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: CallKey) -> Option<&mut Call> {
        self.live.get_mut(&key)
    }

    /// The state of a call that its owner may still command.
    pub(crate) fn live(&mut self, key: CallKey) -> Result<&mut State, CallError> {
        let call = self.live.get_mut(&key).filter(|call| !call.name.ended).ok_or(CallError::Unknown)?;
        Ok(&mut call.state)
    }

    /// Takes a call out and disarms its timers; [`put`](Self::put) it back, or let it be gone.
    pub(crate) fn take(&mut self, core: &mut Core, key: CallKey) -> Option<Call> {
        let call = self.live.remove(&key)?;
        for timer in call.state.timers() {
            core.timers.cancel(timer);
        }
        self.by_dialog.remove(&call.name.lookup);
        self.unsettled -= usize::from(call.state.is_unsettled());
        Some(call)
    }

    /// Puts a call back, in another state.
    pub(crate) fn put(&mut self, name: CallName, state: State) {
        self.by_dialog.insert(name.lookup, name.key);
        self.unsettled += usize::from(state.is_unsettled());
        self.live.insert(name.key, Call { name, state });
    }

    /// Stops waiting for the ACK of a 2xx with this CSeq; any, when `None`.
    pub(crate) fn settle(
        &mut self,
        core: &mut Core,
        key: CallKey,
        cseq: Option<u32>,
    ) -> Option<Box<Unacked>> {
        let State::Up(up) = &mut self.live.get_mut(&key)?.state else { return None };
        let unacked = up.unacked.take_if(|unacked| cseq.is_none_or(|cseq| cseq == unacked.cseq))?;
        core.timers.cancel(unacked.resend);
        core.timers.cancel(unacked.deadline);
        self.unsettled -= usize::from(unacked.initial);
        Some(unacked)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Inbound calls that ring or wait for their ACK.
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled
    }

    pub(crate) fn dialogs(&self) -> usize {
        self.live.values().map(|call| call.state.dialogs()).sum()
    }
}

fn dialog_hash(random: &Random, call_id: &str, local_tag: &str) -> u64 {
    random.hash().text(call_id).text(local_tag).finish()
}
