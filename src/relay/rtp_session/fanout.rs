//! Who hears a caller, and in which form.
//!
//! In: frames. Out: [`CallerAudio`] to each listener; a form's messages are built once, however many listen.

use actix::prelude::SendError;
use model::id::CallId;

use super::{
    super::message::{CallerAudio, ClientId, Listener, RtpForm},
    caller_audio::CallerFrame,
    rendition::Rendition,
};

/// The listeners of one call.
#[derive(Default)]
pub struct Fanout {
    listeners: Vec<Listener>,
    renditions: Vec<Rendition>,
    dropped: u64,
}

impl Fanout {
    /// Adds a listener; one of the same client is replaced.
    pub fn add(&mut self, listener: Listener) {
        let replaced = [Some(listener.client), listener.replaces];
        self.listeners.retain(|old| !replaced.contains(&Some(old.client)));
        if !self.renditions.iter().any(|rendition| rendition.form() == listener.form) {
            self.renditions.push(Rendition::new(listener.form));
        }
        self.listeners.push(listener);
        self.forget_unused();
    }

    /// Removes a client's listener, if it has one.
    pub fn remove(&mut self, client: ClientId) {
        self.listeners.retain(|listener| listener.client != client);
        self.forget_unused();
    }

    /// Whether a multi client is among them.
    pub fn has_multi(&self) -> bool {
        self.listeners.iter().any(|listener| matches!(listener.form, RtpForm::Multi(_)))
    }

    /// Messages that a listener did not get because it was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Sends one frame to everybody. A full mailbox drops it for that listener; a closed one drops the listener.
    pub fn send(&mut self, call: &CallId, frame: &CallerFrame<'_>) {
        let Self { listeners, renditions, dropped } = self;
        let before = listeners.len();
        renditions.iter_mut().for_each(Rendition::next_frame);
        listeners.retain(|listener| {
            let Some(rendition) = renditions.iter_mut().find(|rendition| rendition.form() == listener.form)
            else {
                return false;
            };
            rendition.messages(call, frame).iter().all(|message| {
                let sent =
                    listener.audio.try_send(CallerAudio { call: call.clone(), frame: message.clone() });
                *dropped += u64::from(matches!(sent, Err(SendError::Full(_))));
                !matches!(sent, Err(SendError::Closed(_)))
            })
        });
        if listeners.len() != before {
            self.forget_unused();
        }
    }

    fn forget_unused(&mut self) {
        let Self { listeners, renditions, .. } = self;
        renditions.retain(|rendition| listeners.iter().any(|listener| listener.form == rendition.form()));
    }
}
