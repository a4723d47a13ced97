//! `ClientEar` hears what a client's telephone tells, on its thread, and passes it on.
//!
//! In: [`News`]. Out: the line's state, deliveries to callbacks, how the registration goes. Never waits.

use std::{sync::Arc, time::Duration};

use model::{event::Event, id::CallId};
use tokio::sync::watch;

use super::{
    callbacks::{Callbacks, Delivery},
    line::Line,
    state::Step,
};
use crate::{
    engine::{DtmfEvent, Ear, News},
    relay::message::RegistrationNews,
};

/// See the module's documentation.
pub(super) struct ClientEar {
    pub line: Arc<Line>,
    pub callbacks: Callbacks,
    pub registration: watch::Sender<Option<RegistrationNews>>,
}

impl Ear for ClientEar {
    fn hear(&mut self, news: News) {
        match news {
            News::Call(handle) => self.line.made(handle),
            News::Event(event) => self.event(event),
            News::AnswerSent(_) => {}
            News::Media(call, facts) => self.line.agreed(&call, facts),
            News::Audio { call, rate, pcm } => {
                let Some(number) = self.line.number_of(&call) else { return };
                self.heard(&call);
                self.callbacks.deliver(Delivery::Audio { call: number, rate, pcm });
            }
            News::Over { call, reason, .. } => self.line.over(&call, &reason),
            News::Registration(news) => {
                self.registration.send_replace(Some(news));
            }
        }
    }
}

impl ClientEar {
    fn event(&self, event: Event) {
        match event {
            Event::RingAns { call, .. } => {
                self.line.step(&call, Step::Rang);
            }
            Event::CallAns { call } => {
                self.line.step(&call, Step::Up);
            }
            Event::Dtmf { call, digit, duration } if self.line.number_of(&call).is_some() => {
                self.callbacks.deliver(Delivery::Dtmf(DtmfEvent::new(digit, duration)));
            }
            Event::Transfer { call, status, reason } => self.line.transferring(&call, status, &reason),
            Event::Error { status, text, verb } => self.line.refused(&verb, status, &text),
            Event::Xon { call, .. } => self.line.has_room(&call),
            _ => {}
        }
    }

    fn heard(&self, call: &CallId) {
        if let Some(again) = self.line.step(call, Step::Heard) {
            later(self.line.clone(), call.clone(), again);
        }
    }
}

/// Audio came while the call had only just been connected, and it may have been all.
fn later(line: Arc<Line>, call: CallId, wait: Duration) {
    actix::spawn(async move {
        tokio::time::sleep(wait).await;
        line.step(&call, Step::Heard);
    });
}
