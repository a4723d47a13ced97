//! `Line` is the one call that a client has, as far as its program sees it.
//!
//! In: what the telephone tells ([`Line::hear`]), orders of the program. Out: the state and what is known about the call;
//! orders to the call's actors. Whatever changes the state runs on the telephone's thread, so that watchers hear of the
//! states in order; everybody may look from any thread.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix::Recipient;
use model::{
    audio::{Codec, SampleRate},
    call::{Direction, EndLabel, EndReason, Party},
    command::AgentPayload,
    id::CallId,
};
use tokio::sync::watch;

use super::{
    CallFailure, SipClientError,
    asked::{Asked, Waiting},
    audio::AudioConfig,
    budget::Budget,
    report::CallReport,
    state::{CallState, Progress, Step},
};
use crate::{
    engine::Refused,
    relay::message::{AgentMedia, AgentOrder, CallCommand, CallHandle, ClientId, MediaFacts, TransferTarget},
};

/// See the module's documentation.
pub(super) struct Line {
    slot: Mutex<Slot>,
    states: watch::Sender<CallState>,
    /// Something is different, if only which call it is.
    changes: watch::Sender<()>,
    in_flight: Budget,
}

#[derive(Default)]
struct Slot {
    call: Option<Call>,
    /// Calls so far.
    count: u64,
    last_failure: Option<CallFailure>,
}

struct Call {
    number: u64,
    direction: Direction,
    progress: Progress,
    /// `None` until the telephone has made the call.
    handle: Option<CallHandle>,
    facts: Option<MediaFacts>,
    /// Asked for before there was a handle.
    hang_up: bool,
    /// The first half of a sample whose second one is still to come.
    half_sample: Option<u8>,
    /// The playout queue has refused audio, and is not nearly empty yet.
    full: bool,
    asked: Asked,
}

impl Line {
    pub fn new() -> Self {
        Self {
            slot: Mutex::default(),
            states: watch::Sender::default(),
            changes: watch::Sender::default(),
            in_flight: Budget::new(MAX_IN_FLIGHT),
        }
    }

    pub fn state(&self) -> CallState {
        self.slot().call.as_ref().map_or(CallState::Idle, |call| call.progress.state())
    }

    pub fn watch(&self) -> watch::Receiver<CallState> {
        self.states.subscribe()
    }

    /// Waits, on any thread, until `look` finds something; it is asked again after every change.
    pub async fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            // The sender is our own.
            let _ = changes.changed().await;
        }
    }

    pub fn last_failure(&self) -> Option<CallFailure> {
        self.slot().last_failure.clone()
    }

    pub fn fail(&self, failure: CallFailure) {
        self.slot().last_failure = Some(failure);
    }

    /// The number of the call that there is.
    pub fn current(&self) -> Option<u64> {
        self.slot().call.as_ref().map(|call| call.number)
    }

    pub fn facts(&self) -> Option<MediaFacts> {
        self.slot().call.as_ref()?.facts
    }

    // ---- on the telephone's thread ------------------------------------------------------------------------------

    /// Takes the line for a call that is about to be placed.
    pub fn begin_outbound(&self) -> Result<u64, SipClientError> {
        let number = self.take(Direction::Outbound, CallState::Inviting).ok_or(SipClientError::Busy)?;
        self.publish();
        Ok(number)
    }

    /// Takes the line for a call that has come. False if there is one already.
    pub fn begin_inbound(&self) -> bool {
        // Nobody could answer it before there is a handle.
        self.take(Direction::Inbound, CallState::Idle).is_some()
    }

    fn take(&self, direction: Direction, state: CallState) -> Option<u64> {
        let mut slot = self.slot();
        if slot.call.is_some() {
            return None;
        }
        slot.count += 1;
        slot.last_failure = None;
        let number = slot.count;
        slot.call = Some(Call {
            number,
            direction,
            progress: Progress::begin(state),
            handle: None,
            facts: None,
            hang_up: false,
            half_sample: None,
            full: false,
            asked: Asked::default(),
        });
        Some(number)
    }

    /// The telephone has made the call that the line was taken for.
    pub fn made(&self, handle: CallHandle) {
        {
            let mut slot = self.slot();
            let waiting =
                slot.call.as_mut().filter(|call| call.handle.is_none() && call.direction == handle.direction);
            let Some(call) = waiting else {
                // Nobody waits for it any more.
                return handle.commands.do_send(CallCommand::Hangup);
            };
            if call.hang_up {
                handle.commands.do_send(CallCommand::Hangup);
            }
            if call.direction == Direction::Inbound {
                call.progress = Progress::begin(CallState::Ringing);
            }
            call.handle = Some(handle);
        }
        self.publish();
    }

    /// The telephone could not place the call that the line was taken for.
    pub fn not_made(&self, number: u64, refused: Refused) {
        {
            let mut slot = self.slot();
            if slot.call.take_if(|call| call.number == number).is_none() {
                return;
            }
            slot.last_failure = Some(CallFailure { status: refused.status, reason: refused.reason });
        }
        self.publish();
    }

    /// Something happened to a call. Returns after how long [`Step::Heard`] is to come again.
    pub fn step(&self, id: &CallId, step: Step) -> Option<Duration> {
        let again = self.with(id, |call| call.progress.step(Instant::now(), step))?;
        self.publish();
        again
    }

    pub fn agreed(&self, id: &CallId, facts: MediaFacts) {
        self.with(id, |call| {
            call.facts = Some(facts);
            call.asked.agreed(facts.on_hold);
        });
    }

    /// The far end tells how the transfer goes.
    pub fn transferring(&self, id: &CallId, status: u16, reason: &str) {
        self.with(id, |call| call.asked.transferring(status, reason));
    }

    /// What this word of the text protocol asked for is refused.
    pub fn refused(&self, verb: &str, status: u16, reason: &str) {
        if let Some(call) = &mut self.slot().call {
            match verb {
                // The playout queue is full: it will tell when it is nearly empty again.
                "RTP" => call.full = true,
                verb => call.asked.refused(verb, status, reason),
            }
        }
    }

    /// The playout queue is nearly empty again.
    pub fn has_room(&self, id: &CallId) {
        self.with(id, |call| call.full = false);
    }

    /// The number of this call, if it is the one that there is.
    pub fn number_of(&self, id: &CallId) -> Option<u64> {
        self.with(id, |call| call.number)
    }

    pub fn over(&self, id: &CallId, reason: &EndReason) {
        {
            let mut slot = self.slot();
            if slot.call.take_if(|call| call.is(id)).is_none() {
                return;
            }
            slot.last_failure = failure(reason);
        }
        self.publish();
    }

    /// There is no telephone any more.
    pub fn clear(&self) {
        self.slot().call = None;
        self.publish();
    }

    fn publish(&self) {
        let state = self.state();
        // Not inside the lock: who looks at a state keeps the sender waiting, and may ask for more meanwhile.
        self.states.send_if_modified(|current| std::mem::replace(current, state) != state);
        self.changes.send_replace(());
    }

    // ---- from any thread ----------------------------------------------------------------------------------------

    /// Ends the call of this number, whatever its state.
    pub fn hang_up(&self, number: u64) {
        let mut slot = self.slot();
        if let Some(call) = slot.call.as_mut().filter(|call| call.number == number) {
            match &call.handle {
                Some(handle) => handle.commands.do_send(CallCommand::Hangup),
                None => call.hang_up = true,
            }
        }
    }

    /// Answers or refuses the call that rings here.
    pub fn take_up(&self, command: CallCommand) -> Result<(), SipClientError> {
        let slot = self.slot();
        let ringing = slot.call.as_ref().filter(|call| {
            call.direction == Direction::Inbound && call.progress.state() == CallState::Ringing
        });
        let handle = ringing.and_then(|call| call.handle.as_ref()).ok_or(SipClientError::NoCall)?;
        handle.commands.do_send(command);
        Ok(())
    }

    /// Puts the far end on hold, or takes it back; `None`: it is so already.
    pub fn hold(&self, client: ClientId, on: bool) -> Result<Option<Waiting>, SipClientError> {
        self.up(|call, commands| {
            if call.facts.is_some_and(|facts| facts.on_hold == on) {
                return Ok(None);
            }
            let outcome = call.asked.hold(on);
            commands.do_send(CallCommand::Hold { client, on });
            Ok(Some(outcome))
        })
    }

    /// Asks the far end to call somebody else.
    pub fn transfer(&self, client: ClientId, target: TransferTarget) -> Result<Waiting, SipClientError> {
        self.up(|call, commands| {
            let outcome = call.asked.transfer().ok_or_else(|| super::failure(491))?;
            commands.do_send(CallCommand::Transfer { client, target });
            Ok(outcome)
        })
    }

    /// Runs `order` on the call, if it is up.
    fn up<T>(
        &self,
        order: impl FnOnce(&mut Call, Recipient<CallCommand>) -> Result<T, SipClientError>,
    ) -> Result<T, SipClientError> {
        let mut slot = self.slot();
        let up = slot.call.as_mut().filter(|call| call.progress.state().is_active());
        let call = up.ok_or(SipClientError::NoCall)?;
        let commands = call.handle.as_ref().map(|handle| handle.commands.clone());
        order(call, commands.ok_or(SipClientError::NoCall)?)
    }

    /// Queues PCM of the program; `rate`: `None` is that of the codec.
    pub fn send_audio(
        &self,
        client: ClientId,
        pcm: &[u8],
        rate: Option<SampleRate>,
    ) -> Result<(), SipClientError> {
        let mut slot = self.slot();
        let call = slot.call.as_mut().filter(|call| call.handle.is_some()).ok_or(SipClientError::NoCall)?;
        if call.full {
            return Err(SipClientError::AudioQueueFull);
        }
        let mut whole = Vec::with_capacity(pcm.len() + 1);
        whole.extend(call.half_sample);
        whole.extend_from_slice(pcm);
        let spent = self.in_flight.spend(whole).ok_or(SipClientError::AudioQueueFull)?;
        let even = spent.len() & !1;
        call.half_sample = spent.get(even).copied();
        let rate = rate.unwrap_or_else(|| call.codec().map_or(SampleRate::Hz8000, Codec::sample_rate));
        call.order(client, AgentMedia::Audio { payload: AgentPayload::Pcm(spent.slice(..even)), rate });
        Ok(())
    }

    /// Queues a key, `0`-`9`, `*`, `#`, `A`-`D`, behind the audio that is queued.
    pub fn send_dtmf(&self, client: ClientId, digit: char) -> Result<(), SipClientError> {
        let slot = self.slot();
        let call = slot.call.as_ref().filter(|call| call.handle.is_some()).ok_or(SipClientError::NoCall)?;
        if call.facts.is_some_and(|facts| !facts.telephone_events) {
            let reason = "the far end takes no telephone events".to_owned();
            return Err(SipClientError::Call { status: 488, reason });
        }
        call.order(client, AgentMedia::Dtmf { digits: digit.to_string(), each: KEY_PRESS });
        Ok(())
    }

    pub fn audio_config(&self, rate: Option<SampleRate>) -> AudioConfig {
        let codec = self.facts().map(|facts| (facts.codec, facts.payload_type));
        AudioConfig::new(codec, rate)
    }

    pub fn report(&self) -> Option<CallReport> {
        let slot = self.slot();
        let call = slot.call.as_ref()?;
        let handle = call.handle.as_ref()?;
        Some(CallReport {
            call_id: handle.id.to_sip_call_id(),
            direction: call.direction,
            remote_party: handle.phone.clone(),
            codec: call.codec(),
            remote_rtp: call.facts.and_then(|facts| facts.remote),
            telephone_events: call.facts.is_some_and(|facts| facts.telephone_events),
        })
    }

    /// Runs `look` on the call of this id, if it is the one that there is.
    fn with<T>(&self, id: &CallId, look: impl FnOnce(&mut Call) -> T) -> Option<T> {
        self.slot().call.as_mut().filter(|call| call.is(id)).map(look)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // No code of the program runs inside the lock.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    fn is(&self, id: &CallId) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.id == *id)
    }

    fn codec(&self) -> Option<Codec> {
        self.facts.map(|facts| facts.codec)
    }

    fn order(&self, client: ClientId, media: AgentMedia) {
        if let Some(handle) = &self.handle {
            handle.audio.do_send(AgentOrder { client, media });
        }
    }
}

/// What a program is told about the end of a call; `None` for an ordinary end, and for one that it wanted itself.
fn failure(reason: &EndReason) -> Option<CallFailure> {
    let wanted = reason.by == Party::Agent || reason.label == EndLabel::Shutdown;
    let status = reason.status.filter(|_| !wanted)?;
    Some(CallFailure { status, reason: reason.reason.clone().into_owned() })
}

/// How long a key is held: what a finger does.
const KEY_PRESS: Duration = Duration::from_millis(160);
/// Bytes on their way to the playout queue: ten minutes at 16 kHz.
const MAX_IN_FLIGHT: usize = 19_200_000;
