//! `Rooms` keeps which sessions are in which room: as much of a room engine as the examples of a voice backend need.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    BackendError, DtmfEvent, HookContext, HookExecution, HookTrigger, Hooks, SessionState, SipVoiceBackend,
    VoiceSession,
};

/// Rooms with channels and sessions, and [`Hooks`]. A handle: every clone is the same set of rooms.
///
/// ```no_run
/// use sip_relay::backend::{Rooms, SipBackendConfig, SipVoiceBackend};
///
/// let backend = SipVoiceBackend::new(SipBackendConfig::default());
/// let kit = Rooms::new(&backend);
/// backend.on_call_async({
///     let kit = kit.clone();
///     move |session| {
///         let kit = kit.clone();
///         async move {
///             let room_id = session.room_id();
///             kit.create_room(&room_id);
///             let bound = kit.attach_channel(&room_id, "voice").and_then(|()| kit.bind_session(&session, &room_id));
///             if let Err(error) = bound {
///                 eprintln!("{room_id}: {error}");
///             }
///         }
///     }
/// });
/// ```
#[derive(Clone)]
pub struct Rooms {
    backend: SipVoiceBackend,
    hooks: Hooks,
    rooms: Arc<Mutex<BTreeMap<String, Room>>>,
}

#[derive(Default)]
struct Room {
    channels: BTreeSet<String>,
    sessions: Vec<VoiceSession>,
}

impl Rooms {
    /// No rooms yet, for sessions of this backend.
    pub fn new(backend: &SipVoiceBackend) -> Self {
        Self { backend: backend.clone(), hooks: Hooks::new(backend), rooms: Arc::default() }
    }

    /// The hooks of all rooms.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// [`Hooks::on`].
    pub fn hook<F, Fut>(&self, trigger: HookTrigger, execution: HookExecution, hook: F)
    where
        F: Fn(DtmfEvent, HookContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.hooks.on(trigger, execution, hook);
    }

    /// Makes a room. One that exists stays as it is.
    pub fn create_room(&self, room_id: &str) {
        self.rooms().entry(room_id.to_owned()).or_default();
    }

    /// Adds a channel to a room.
    ///
    /// # Errors
    /// [`BackendError::UnknownRoom`].
    pub fn attach_channel(&self, room_id: &str, channel_id: &str) -> Result<(), BackendError> {
        room(&mut self.rooms(), room_id)?.channels.insert(channel_id.to_owned());
        Ok(())
    }

    /// Puts a session into a room, and out of the one in which it was.
    ///
    /// # Errors
    /// [`BackendError::UnknownRoom`]; [`BackendError::SessionEnded`] for a call that is over.
    pub fn bind_session(&self, session: &VoiceSession, room_id: &str) -> Result<(), BackendError> {
        if session.state() == SessionState::Ended {
            return Err(BackendError::SessionEnded);
        }
        let mut rooms = self.rooms();
        room(&mut rooms, room_id)?;
        unbind(&mut rooms, session);
        room(&mut rooms, room_id)?.sessions.push(session.clone());
        session.place_at(room_id, None, None);
        Ok(())
    }

    /// Takes a session out of its room, and hangs up if its call is still there.
    ///
    /// # Errors
    /// As [`SipVoiceBackend::disconnect`].
    pub async fn disconnect_voice(&self, session: &VoiceSession) -> Result<(), BackendError> {
        unbind(&mut self.rooms(), session);
        self.backend.disconnect(session).await
    }

    /// Removes a room and hangs up on every session in it.
    ///
    /// # Errors
    /// [`BackendError::UnknownRoom`].
    pub async fn close_room(&self, room_id: &str) -> Result<(), BackendError> {
        let removed = self.rooms().remove(room_id);
        let room = removed.ok_or_else(|| BackendError::UnknownRoom(room_id.to_owned()))?;
        for session in &room.sessions {
            self.backend.disconnect(session).await?;
        }
        Ok(())
    }

    /// The ids of all rooms, in order.
    pub fn room_ids(&self) -> Vec<String> {
        self.rooms().keys().cloned().collect()
    }

    /// The channels of a room, in order; none of a room that does not exist.
    pub fn channels(&self, room_id: &str) -> Vec<String> {
        self.rooms().get(room_id).map(|room| room.channels.iter().cloned().collect()).unwrap_or_default()
    }

    /// The sessions that are bound to a room; none of a room that does not exist.
    pub fn sessions(&self, room_id: &str) -> Vec<VoiceSession> {
        self.rooms().get(room_id).map(|room| room.sessions.clone()).unwrap_or_default()
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn room<'a>(rooms: &'a mut BTreeMap<String, Room>, room_id: &str) -> Result<&'a mut Room, BackendError> {
    rooms.get_mut(room_id).ok_or_else(|| BackendError::UnknownRoom(room_id.to_owned()))
}

fn unbind(rooms: &mut BTreeMap<String, Room>, session: &VoiceSession) {
    for room in rooms.values_mut() {
        room.sessions.retain(|bound| bound != session);
    }
}
