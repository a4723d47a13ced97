//! The calls that one client knows, and which of them is its focus: the rules of PROTOCOL "Focus" and I6.
//!
//! In: what the switchboard tells. Out: which call a command means, and which calls' audio the client gets. Pure but
//! for the recipients that it keeps.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use model::{call::Direction, command::Mode, id::CallId};

use super::super::message::{CallHandle, ClientId};

/// How far a call has come, as this client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing yet.
    Nothing,
    /// RING_ANS was sent.
    Ringing,
    /// CALL_ANS was sent.
    Up,
}

/// One call of the table.
pub struct KnownCall {
    /// How to reach it. Kept, so that the bound of its mailbox holds.
    pub handle: CallHandle,
    /// What the client was told of it.
    pub told: Told,
    /// A multi client that does not want its audio.
    pub muted: bool,
    order: u64,
    up_order: u64,
}

impl KnownCall {
    /// It can be answered.
    pub fn is_ringing_inbound(&self) -> bool {
        self.told == Told::Ringing && self.handle.direction == Direction::Inbound
    }
}

/// See the module's documentation.
#[derive(Default)]
pub struct Calls {
    calls: HashMap<CallId, KnownCall>,
    focus: Option<CallId>,
    sequence: u64,
    /// A multi client that wants only the calls that it names.
    muted_by_default: bool,
    /// The calls that ended lately, oldest first.
    ended: VecDeque<(Instant, CallId)>,
}

impl Calls {
    /// A call exists.
    pub fn add(&mut self, handle: CallHandle) {
        self.sequence += 1;
        let id = handle.id.clone();
        let known = KnownCall {
            handle,
            told: Told::Nothing,
            muted: self.muted_by_default,
            order: self.sequence,
            up_order: 0,
        };
        self.calls.entry(id).or_insert(known);
    }

    /// A call rings.
    pub fn ringing(&mut self, id: &CallId) {
        if let Some(call) = self.calls.get_mut(id).filter(|call| call.told == Told::Nothing) {
            call.told = Told::Ringing;
        }
    }

    /// A call is up. In classic and hex it becomes the focus.
    pub fn up(&mut self, id: &CallId) {
        self.sequence += 1;
        if let Some(call) = self.calls.get_mut(id) {
            call.told = Told::Up;
            call.up_order = self.sequence;
            self.focus = Some(id.clone());
        }
    }

    /// A call is over. Returns the call that takes its place as focus: the one that came up last.
    pub fn over(&mut self, id: &CallId, now: Instant) -> Option<CallId> {
        if self.calls.remove(id).is_some() {
            while self.ended.len() >= MAX_ENDED
                || self.ended.front().is_some_and(|(at, _)| now - *at >= LATELY)
            {
                self.ended.pop_front();
            }
            self.ended.push_back((now, id.clone()));
        }
        if self.focus.as_ref() != Some(id) {
            return None;
        }
        let up = self.calls.iter().filter(|(_, call)| call.told == Told::Up);
        self.focus = up.max_by_key(|(_, call)| call.up_order).map(|(id, _)| id.clone());
        self.focus.clone()
    }

    /// Whether a call ended so lately that its client may not know yet; without a name any (classic and hex only).
    pub fn ended_lately(&self, named: Option<&CallId>, mode: Mode, now: Instant) -> bool {
        let mut lately = self.ended.iter().rev().take_while(|(at, _)| now - *at < LATELY);
        match named {
            Some(named) => lately.any(|(_, id)| id == named),
            None => mode != Mode::Multi && lately.next().is_some(),
        }
    }

    /// Makes a call that is up the focus. False if it is not up.
    pub fn focus_on(&mut self, id: &CallId) -> bool {
        let up = self.calls.get(id).is_some_and(|call| call.told == Told::Up);
        if up {
            self.focus = Some(id.clone());
        }
        up
    }

    /// The focus call.
    pub fn focus(&self) -> Option<&CallId> {
        self.focus.as_ref()
    }

    /// A call by its name.
    pub fn get(&self, id: &CallId) -> Option<&KnownCall> {
        self.calls.get(id)
    }

    /// The call that a command means: the one it names; without a name the focus call (classic and hex only).
    pub fn meant(&self, named: Option<&CallId>, mode: Mode) -> Option<&KnownCall> {
        let id = match named {
            Some(id) => Some(id),
            None if mode == Mode::Multi => None,
            None => self.focus.as_ref(),
        };
        id.and_then(|id| self.calls.get(id))
    }

    /// The call that a bare BYE ends: the focus call, else the last one that this client placed and that is not up yet.
    pub fn to_hang_up(&self, client: ClientId, mode: Mode) -> Option<&KnownCall> {
        let placed = || {
            let early = self.calls.values().filter(|call| call.told != Told::Up);
            early.filter(|call| call.handle.placed_by == Some(client)).max_by_key(|call| call.order)
        };
        match self.meant(None, mode) {
            None if mode != Mode::Multi => placed(),
            meant => meant,
        }
    }

    /// The oldest ringing inbound call with this number or this id.
    pub fn ringing_match(&self, target: &str) -> Option<&KnownCall> {
        let id = CallId::parse_arg(target).ok();
        let ringing = self.calls.values().filter(|call| call.is_ringing_inbound());
        let matching =
            ringing.filter(|call| call.handle.phone == target || Some(&call.handle.id) == id.as_ref());
        matching.min_by_key(|call| call.order)
    }

    /// The calls whose audio a client of this mode gets.
    pub fn heard(&self, mode: Mode) -> Vec<&KnownCall> {
        let up = self.calls.values().filter(|call| call.told == Told::Up);
        match mode {
            Mode::Multi => up.filter(|call| !call.muted).collect(),
            Mode::Classic | Mode::Hex => {
                up.filter(|call| self.focus.as_ref() == Some(&call.handle.id)).collect()
            }
        }
    }

    /// SUBSCRIBE and UNSUBSCRIBE of one call. False if there is no such call.
    pub fn mute(&mut self, id: &CallId, muted: bool) -> bool {
        self.calls.get_mut(id).map(|call| call.muted = muted).is_some()
    }

    /// SUBSCRIBE and UNSUBSCRIBE of all calls, those to come included.
    pub fn mute_all(&mut self, muted: bool) {
        self.muted_by_default = muted;
        self.calls.values_mut().for_each(|call| call.muted = muted);
    }
}

/// Longer than it takes a client to hear of the end and to stop sending.
const LATELY: Duration = Duration::from_secs(2);
/// Calls that are remembered so long at most.
const MAX_ENDED: usize = 4096;

#[cfg(test)]
mod tests {
    use actix::Actor;

    use super::*;
    use crate::relay::testing::Nobody;

    fn id(name: &str) -> CallId {
        CallId::from_sip_call_id(name)
    }

    fn call(calls: &mut Calls, name: &str, direction: Direction, phone: &str) {
        let nobody = Nobody.start();
        calls.add(CallHandle {
            id: id(name),
            direction,
            phone: phone.to_owned(),
            placed_by: (direction == Direction::Outbound).then_some(ME),
            ticket: None,
            invite: None,
            commands: nobody.clone().recipient(),
            audio: nobody.clone().recipient(),
            listeners: nobody.recipient(),
        });
    }

    const ME: ClientId = ClientId(7);

    fn name(call: Option<&KnownCall>) -> Option<&str> {
        call.map(|call| call.handle.id.as_str())
    }

    #[actix::test]
    async fn focus_is_the_last_call_that_came_up_and_falls_back_to_the_one_before() {
        let mut calls = Calls::default();
        for name in ["a", "b", "c"] {
            call(&mut calls, name, Direction::Inbound, "1");
            calls.up(&id(name));
        }
        assert_eq!(calls.focus(), Some(&id("c")));
        let now = Instant::now();
        assert_eq!(calls.over(&id("a"), now), None, "a call that is not the focus ends unnoticed");
        assert_eq!(calls.over(&id("c"), now), Some(id("b")));
        assert_eq!(calls.over(&id("b"), now), None);
        assert_eq!(calls.focus(), None);
    }

    #[actix::test]
    async fn call_is_remembered_for_two_seconds_after_its_end() {
        let mut calls = Calls::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for name in ["a", "b"] {
            call(&mut calls, name, Direction::Inbound, "1");
        }
        calls.over(&id("unknown"), start);
        assert!(!calls.ended_lately(None, Mode::Classic, start));
        calls.over(&id("a"), start);
        calls.over(&id("b"), at(1000));
        assert!(calls.ended_lately(Some(&id("a")), Mode::Multi, at(1999)));
        assert!(!calls.ended_lately(Some(&id("a")), Mode::Multi, at(2000)));
        assert!(calls.ended_lately(Some(&id("b")), Mode::Multi, at(2000)));
        assert!(calls.ended_lately(None, Mode::Hex, at(2999)));
        assert!(!calls.ended_lately(None, Mode::Multi, at(1000)), "multi names its calls");
        assert!(!calls.ended_lately(None, Mode::Hex, at(3000)));
        for n in 0..=MAX_ENDED {
            call(&mut calls, &n.to_string(), Direction::Inbound, "1");
            calls.over(&id(&n.to_string()), at(4000));
        }
        assert_eq!(calls.ended.len(), MAX_ENDED);
    }

    #[actix::test]
    async fn ringing_call_is_found_by_number_oldest_first_or_by_id() {
        let mut calls = Calls::default();
        for (name, phone) in [("a", "0912"), ("b", "0912"), ("c", "0913")] {
            call(&mut calls, name, Direction::Inbound, phone);
            calls.ringing(&id(name));
        }
        assert_eq!(name(calls.ringing_match("0912")), Some("a"));
        assert_eq!(name(calls.ringing_match("b")), Some("b"));
        calls.up(&id("a"));
        assert_eq!(name(calls.ringing_match("0912")), Some("b"), "a call that is up does not ring");
        assert_eq!(name(calls.ringing_match("0999")), None);
    }

    #[actix::test]
    async fn bare_hangup_means_the_focus_else_the_last_early_call_of_this_client() {
        let mut calls = Calls::default();
        call(&mut calls, "theirs", Direction::Inbound, "1");
        call(&mut calls, "mine", Direction::Outbound, "2");
        assert_eq!(name(calls.to_hang_up(ME, Mode::Classic)), Some("mine"));
        assert_eq!(name(calls.to_hang_up(ClientId(8), Mode::Classic)), None);
        assert_eq!(name(calls.to_hang_up(ME, Mode::Multi)), None, "multi names its calls");
        calls.up(&id("theirs"));
        assert_eq!(name(calls.to_hang_up(ME, Mode::Classic)), Some("theirs"));
    }

    #[actix::test]
    async fn classic_hears_its_focus_and_multi_hears_all_it_has_not_muted() {
        let mut calls = Calls::default();
        for name in ["a", "b"] {
            call(&mut calls, name, Direction::Inbound, "1");
            calls.up(&id(name));
        }
        call(&mut calls, "ringing", Direction::Inbound, "1");
        let heard = |calls: &Calls, mode| {
            let mut ids: Vec<_> = calls.heard(mode).iter().map(|call| call.handle.id.to_string()).collect();
            ids.sort();
            ids
        };
        assert_eq!(heard(&calls, Mode::Classic), ["b"]);
        assert_eq!(heard(&calls, Mode::Multi), ["a", "b"]);
        assert!(calls.mute(&id("a"), true));
        assert_eq!(heard(&calls, Mode::Multi), ["b"]);
        calls.mute_all(true);
        calls.up(&id("ringing"));
        assert_eq!(heard(&calls, Mode::Multi), [""; 0], "muted for calls to come as well");
    }

    #[actix::test]
    async fn focus_cannot_be_set_on_a_call_that_is_not_up() {
        let mut calls = Calls::default();
        call(&mut calls, "a", Direction::Inbound, "1");
        calls.ringing(&id("a"));
        assert!(!calls.focus_on(&id("a")));
        assert!(!calls.focus_on(&id("unknown")));
        calls.up(&id("a"));
        assert!(calls.focus_on(&id("a")));
    }
}
