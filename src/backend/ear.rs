//! `SessionEar` turns the news of the telephone into what happens to sessions, and into notices to the program.
//!
//! It runs on the SIP thread and blocks nothing: sessions change in place, callbacks get a notice.

use std::{collections::HashMap, sync::Arc};

use model::{
    call::{Direction, EndReason},
    event::Event,
    id::CallId,
};

use super::{
    AudioFrame, DtmfEvent, SessionState, VoiceSession,
    callbacks::{Callbacks, Notice},
    dispatch::Dispatcher,
    outbound::carry_out,
    registry::Registry,
};
use crate::{
    engine::{Ear, News},
    relay::message::{CallCommand, CallHandle},
};

/// See the module's documentation.
pub(super) struct SessionEar {
    pub(super) registry: Arc<Registry>,
    pub(super) callbacks: Arc<Callbacks>,
    pub(super) dispatcher: Dispatcher,
    /// Talking over playback ends it.
    pub(super) auto_cancel: bool,
    pub(super) calls: HashMap<CallId, VoiceSession>,
}

impl Ear for SessionEar {
    fn hear(&mut self, news: News) {
        match news {
            News::Call(handle) => self.call(handle),
            News::Over { call, reason, .. } => self.over(&call, reason),
            News::Media(call, facts) => self.with(&call, |session| {
                session.agree(facts.codec.sample_rate(), facts.telephone_events);
            }),
            News::AnswerSent(call) => {
                if let Some(session) = self.up(&call) {
                    self.dispatcher.post(&session, Notice::Call);
                }
            }
            News::Audio { call, rate, pcm } => {
                if let Some(session) = self.calls.get(&call).filter(|_| self.callbacks.hears_audio()) {
                    let frame = AudioFrame {
                        data: pcm,
                        sample_rate: rate.hz(),
                        channels: 1,
                        sample_width: 2,
                        timestamp_ms: session.clock_ms(),
                    };
                    self.dispatcher.post(session, Notice::Audio(frame));
                }
            }
            News::Event(event) => self.event(event),
            News::Registration(_) => {}
        }
    }
}

impl SessionEar {
    fn call(&mut self, handle: CallHandle) {
        let session = match handle.direction {
            Direction::Inbound => handle.invite.as_ref().and_then(|invite| self.registry.of(invite)),
            Direction::Outbound => {
                let call_id = handle.id.to_sip_call_id();
                handle.ticket.and_then(|ticket| self.registry.placed(ticket, &call_id))
            }
        };
        let (id, commands) = (handle.id.clone(), handle.commands.clone());
        match session.filter(|session| session.bind(handle)) {
            Some(session) => drop(self.calls.insert(id, session)),
            // Nobody waits for it.
            None => commands.do_send(CallCommand::Hangup),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            // Inbound calls are up with the answer: what the caller says before its ACK is heard.
            Event::CallAns { call } => drop(self.up(&call)),
            Event::Hold { call } => self.with(&call, |session| session.move_to(SessionState::Paused)),
            Event::Resume { call } => self.with(&call, |session| session.move_to(SessionState::Active)),
            Event::Dtmf { call, digit, duration } => {
                let duration_ms = duration.as_secs_f64() * 1e3;
                let notice = Notice::Dtmf(DtmfEvent { digit, duration_ms, confidence: 1.0 });
                self.with(&call, |session| self.dispatcher.post(session, notice));
            }
            Event::Mark { call, name, .. } => self.with(&call, |session| {
                session.playback().reached(&name, |step| carry_out(session, step));
            }),
            Event::BargeIn { call, .. } => self.with(&call, |session| self.barge_in(session)),
            _ => {}
        }
    }

    /// The call is answered. Its session, if that is news.
    fn up(&mut self, call: &CallId) -> Option<VoiceSession> {
        let session = self.calls.get(call)?;
        let news = session.announce();
        if news {
            session.move_to(SessionState::Active);
        }
        news.then(|| session.clone())
    }

    fn barge_in(&self, session: &VoiceSession) {
        if session.playback().barge_in() {
            self.dispatcher.post(session, Notice::BargeIn);
            if self.auto_cancel {
                session.playback().cancel(|step| carry_out(session, step));
            }
        }
    }

    fn over(&mut self, call: &CallId, reason: EndReason) {
        let Some(session) = self.calls.remove(call) else { return };
        self.registry.remove(&session);
        if session.end(reason) {
            self.dispatcher.post(&session, Notice::Disconnected);
        }
    }

    fn with(&self, call: &CallId, act: impl FnOnce(&VoiceSession)) {
        if let Some(session) = self.calls.get(call) {
            act(session);
        }
    }
}
