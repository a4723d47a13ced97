//! `VoiceSession` is one call as a program sees it: who calls, where it belongs, how it stands.
//!
//! A cheap handle: every clone is the same session. It outlives its call, and then says how it ended.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Instant, SystemTime},
};

use model::{audio::SampleRate, call::EndReason};
use tokio::sync::watch;

use super::{Metadata, SessionState, playback::Playback};
use crate::relay::message::CallHandle;

/// One call. Every clone is the same session.
///
/// ```no_run
/// # use sip_relay::backend::{SipBackendConfig, SipVoiceBackend};
/// # let backend = SipVoiceBackend::new(SipBackendConfig::default());
/// backend.on_call(|session| {
///     let tenant = session.x_header("X-Tenant-ID").unwrap_or("nobody");
///     println!("{} calls room {} of {tenant}", session.participant_id(), session.room_id());
/// });
/// ```
#[derive(Clone)]
pub struct VoiceSession(Arc<Shared>);

/// What a session is made of, before it has a call.
pub(super) struct Particulars {
    pub(super) id: String,
    pub(super) room_id: String,
    pub(super) participant_id: String,
    pub(super) call_id: String,
    pub(super) caller: String,
    pub(super) callee: String,
    pub(super) headers: Vec<(String, String)>,
}

struct Shared {
    id: String,
    call_id: String,
    metadata: Metadata,
    headers: Vec<(String, String)>,
    created_at: SystemTime,
    state: watch::Sender<SessionState>,
    place: Mutex<Place>,
    line: OnceLock<CallHandle>,
    playback: Playback,
    ended: OnceLock<EndReason>,
}

/// What changes besides the state.
struct Place {
    room_id: String,
    participant_id: String,
    channel_id: String,
    rate: Option<SampleRate>,
    telephone_events: bool,
    up_since: Option<Instant>,
    /// The program ends it, and need not be told that it ended.
    leaving: bool,
    /// The program knows of it.
    announced: bool,
}

impl VoiceSession {
    pub(super) fn new(particulars: Particulars) -> Self {
        let Particulars { id, room_id, participant_id, call_id, caller, callee, headers } = particulars;
        let mut metadata = Metadata::from([("backend", "sip")]);
        metadata.insert("call_id", call_id.clone());
        metadata.insert("caller", caller);
        metadata.insert("callee", callee);
        metadata.insert("room_id", room_id.clone());
        let place = Place {
            room_id,
            participant_id,
            channel_id: "voice".to_owned(),
            rate: None,
            telephone_events: false,
            up_since: None,
            leaving: false,
            announced: false,
        };
        Self(Arc::new(Shared {
            id,
            call_id,
            metadata,
            headers: first_of_each(headers),
            created_at: SystemTime::now(),
            state: watch::Sender::new(SessionState::Connecting),
            place: Mutex::new(place),
            line: OnceLock::new(),
            playback: Playback::default(),
            ended: OnceLock::new(),
        }))
    }

    /// Its name, unique among live sessions: the caller's `X-Session-ID`, else the Call-ID.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The room: the caller's `X-Room-ID`, else the Call-ID; or what `connect` or `bind_session` made it.
    pub fn room_id(&self) -> String {
        self.place().room_id.clone()
    }

    /// Who takes part: the caller's `X-Session-ID`, else the URI of From; or what `connect` made it.
    pub fn participant_id(&self) -> String {
        self.place().participant_id.clone()
    }

    /// The channel: `voice`, or what `connect` made it.
    pub fn channel_id(&self) -> String {
        self.place().channel_id.clone()
    }

    /// How it stands.
    pub fn state(&self) -> SessionState {
        *self.0.state.borrow()
    }

    /// When it came to be.
    pub fn created_at(&self) -> SystemTime {
        self.0.created_at
    }

    /// The Call-ID.
    pub fn provider_session_id(&self) -> &str {
        &self.0.call_id
    }

    /// `backend` (`sip`), `call_id`, `caller` and `callee` (URIs), `room_id`: as the call came in.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The value of an `X-` header of the INVITE, by its name in any case.
    pub fn x_header(&self, name: &str) -> Option<&str> {
        let found = self.0.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every `X-` header of the INVITE in order, names as received; of one that came twice, the first value.
    pub fn x_headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    /// The rate of its audio, both ways, in samples a second: 16000 where G.722 is spoken, else 8000.
    pub fn sample_rate(&self) -> u32 {
        self.rate().hz()
    }

    /// How it ended, once it has: a stable word such as `remote-bye`, `no-ack`, `rtp-timeout` or `agent-hangup`.
    pub fn end_reason(&self) -> Option<&'static str> {
        self.0.ended.get().map(|reason| reason.label.as_str())
    }

    /// Returns when it is over.
    pub async fn ended(&self) {
        let mut state = self.0.state.subscribe();
        // An error is no state that could still change: nobody but this session's handles holds the sender.
        let _ = state.wait_for(|_| self.0.ended.get().is_some()).await;
    }
}

/// What the backend does with a session.
impl VoiceSession {
    pub(super) fn place_at(&self, room_id: &str, participant_id: Option<&str>, channel_id: Option<&str>) {
        let mut place = self.place();
        room_id.clone_into(&mut place.room_id);
        if let Some(participant_id) = participant_id {
            participant_id.clone_into(&mut place.participant_id);
        }
        if let Some(channel_id) = channel_id {
            channel_id.clone_into(&mut place.channel_id);
        }
    }

    /// Gives it its call. False if it has one.
    pub(super) fn bind(&self, line: CallHandle) -> bool {
        self.0.line.set(line).is_ok()
    }

    pub(super) fn line(&self) -> Option<&CallHandle> {
        self.0.line.get()
    }

    pub(super) fn playback(&self) -> &Playback {
        &self.0.playback
    }

    pub(super) fn rate(&self) -> SampleRate {
        self.place().rate.unwrap_or_default()
    }

    pub(super) fn telephone_events(&self) -> bool {
        self.place().telephone_events
    }

    pub(super) fn agree(&self, rate: SampleRate, telephone_events: bool) {
        let mut place = self.place();
        place.rate = Some(rate);
        place.telephone_events = telephone_events;
    }

    /// Milliseconds since it came up.
    pub(super) fn clock_ms(&self) -> u64 {
        self.place().up_since.map_or(0, |since| since.elapsed().as_millis() as u64)
    }

    /// The program hears of it from now on. False if it does already.
    pub(super) fn announce(&self) -> bool {
        let mut place = self.place();
        place.up_since.get_or_insert_with(Instant::now);
        !std::mem::replace(&mut place.announced, true)
    }

    /// The program ends it.
    pub(super) fn leave(&self) {
        self.place().leaving = true;
    }

    /// Moves on; nothing comes after the end.
    pub(super) fn move_to(&self, state: SessionState) {
        self.0.state.send_if_modified(|now| {
            let moves = *now != SessionState::Ended && *now != state;
            if moves {
                *now = state;
            }
            moves
        });
    }

    /// It is over. True if the program is to be told.
    pub(super) fn end(&self, reason: EndReason) -> bool {
        // A call ends once.
        let _ = self.0.ended.set(reason);
        self.0.state.send_modify(|state| *state = SessionState::Ended);
        // Whoever finds playback over finds the session ended.
        self.0.playback.end();
        let place = self.place();
        place.announced && !place.leaving
    }

    pub(super) fn failure(&self) -> Option<&EndReason> {
        self.0.ended.get()
    }

    /// Returns when it is no longer connecting.
    pub(super) async fn settled(&self) -> SessionState {
        let mut state = self.0.state.subscribe();
        let settled = state.wait_for(|state| *state != SessionState::Connecting).await;
        settled.map_or(SessionState::Ended, |state| *state)
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for VoiceSession {
    /// Whether both are the same session.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for VoiceSession {}

impl fmt::Debug for VoiceSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceSession").field("id", &self.0.id).field("state", &self.state()).finish()
    }
}

fn first_of_each(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        if !kept.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            kept.push((name, value));
        }
    }
    kept
}
