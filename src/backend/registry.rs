//! `Registry` is the table of live sessions, and decides which inbound call becomes one.
//!
//! In: INVITEs, on the SIP thread, before they are answered. Out: a session that holds its id until its call is over, or
//! a refusal. An INVITE that is let in here becomes a call, of whose end the telephone tells; that gives the id back.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{VoiceSession, session::Particulars};
use crate::relay::message::Invite;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Registry(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    live: HashMap<String, VoiceSession>,
    /// Ids of calls that are about to be placed.
    promised: HashSet<String>,
    /// Calls that were placed and do not exist yet.
    dialled: HashMap<u64, Dialled>,
}

/// A call that was placed.
pub(super) struct Dialled {
    /// The session's id where the program names one, else the Call-ID.
    pub(super) id: Option<String>,
    pub(super) room_id: Option<String>,
    pub(super) participant_id: Option<String>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) headers: Vec<(String, String)>,
    /// Who waits for the session.
    pub(super) caller: oneshot::Sender<VoiceSession>,
}

impl Registry {
    /// Makes a session of an inbound call, unless one of its id is live.
    pub(super) fn admit(&self, invite: &Invite) -> Result<(), (u16, &'static str)> {
        let particulars = Particulars::of(invite);
        let mut tables = self.tables();
        if tables.takes(&particulars.id) {
            return Err((486, "same-session-id"));
        }
        tables.live.insert(particulars.id.clone(), VoiceSession::new(particulars));
        Ok(())
    }

    /// The session that was made of this INVITE.
    pub(super) fn of(&self, invite: &Invite) -> Option<VoiceSession> {
        let session = self.get(Particulars::of(invite).id.as_str())?;
        (session.provider_session_id() == invite.sip_call_id).then_some(session)
    }

    /// Takes note of a call that is placed under this ticket. `Err` gives the id back that a live session has.
    pub(super) fn dial(&self, ticket: u64, dialled: Dialled) -> Result<(), String> {
        let mut tables = self.tables();
        if let Some(id) = &dialled.id {
            if tables.takes(id) {
                return Err(id.clone());
            }
            tables.promised.insert(id.clone());
        }
        tables.dialled.insert(ticket, dialled);
        Ok(())
    }

    /// The call of this ticket exists. `None` if nobody waits for it any more.
    pub(super) fn placed(&self, ticket: u64, call_id: &str) -> Option<VoiceSession> {
        let mut tables = self.tables();
        let Dialled { id, room_id, participant_id, from, to, headers, caller } = tables.undial(ticket)?;
        let id = id.unwrap_or_else(|| call_id.to_owned());
        let session = VoiceSession::new(Particulars {
            room_id: room_id.unwrap_or_else(|| call_id.to_owned()),
            participant_id: participant_id.unwrap_or_else(|| to.clone()),
            call_id: call_id.to_owned(),
            caller: from,
            callee: to,
            headers,
            id: id.clone(),
        });
        caller.send(session.clone()).ok()?;
        tables.live.insert(id, session.clone());
        Some(session)
    }

    /// The call of this ticket will not exist, or is not waited for.
    pub(super) fn forget(&self, ticket: u64) {
        self.tables().undial(ticket);
    }

    /// Its call is over.
    pub(super) fn remove(&self, session: &VoiceSession) {
        let mut tables = self.tables();
        if tables.live.get(session.id()) == Some(session) {
            tables.live.remove(session.id());
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<VoiceSession> {
        self.tables().live.get(id).cloned()
    }

    /// All of them, oldest first.
    pub(super) fn all(&self) -> Vec<VoiceSession> {
        let mut all: Vec<VoiceSession> = self.tables().live.values().cloned().collect();
        all.sort_by_key(VoiceSession::created_at);
        all
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn takes(&self, id: &str) -> bool {
        self.live.contains_key(id) || self.promised.contains(id)
    }

    fn undial(&mut self, ticket: u64) -> Option<Dialled> {
        let dialled = self.dialled.remove(&ticket)?;
        if let Some(id) = &dialled.id {
            self.promised.remove(id);
        }
        Some(dialled)
    }
}

impl Particulars {
    fn of(invite: &Invite) -> Self {
        let header = |wanted: &str| {
            let found = invite.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let session = header("X-Session-ID");
        Self {
            id: session.unwrap_or(&invite.sip_call_id).to_owned(),
            room_id: header("X-Room-ID").unwrap_or(&invite.sip_call_id).to_owned(),
            participant_id: session.unwrap_or(&invite.from).to_owned(),
            call_id: invite.sip_call_id.clone(),
            caller: invite.from.clone(),
            callee: invite.to.clone(),
            headers: invite.headers.clone(),
        }
    }
}
