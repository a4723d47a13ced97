//! Who hears a caller, and the text that they hear.
//!
//! In: frames. Out: [`CallerAudio`] to each listener; the text of a form is built once, however many listen.

use actix::prelude::SendError;
use bytestring::ByteString;
use model::{event, id::CallId};

use super::{
    super::message::{CallerAudio, ClientId, Listener, RtpForm},
    caller_audio::CallerFrame,
};

/// The listeners of one call.
#[derive(Default)]
pub struct Fanout {
    listeners: Vec<Listener>,
    pcm_bytes: Vec<u8>,
    dropped: u64,
}

impl Fanout {
    /// Adds a listener; one of the same client is replaced.
    pub fn add(&mut self, listener: Listener) {
        self.remove(listener.client);
        self.listeners.push(listener);
    }

    /// Removes a client's listener, if it has one.
    pub fn remove(&mut self, client: ClientId) {
        self.listeners.retain(|listener| listener.client != client);
    }

    /// Frames that a listener did not get because it was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Sends one frame to everybody. A full mailbox drops the frame for that listener; a closed one drops the listener.
    pub fn send(&mut self, call: &CallId, frame: &CallerFrame<'_>) {
        if self.listeners.is_empty() {
            return;
        }
        let Self { listeners, pcm_bytes, dropped } = self;
        let mut lines = FORMS.map(|_| None);
        listeners.retain(|listener| {
            let slot = &mut lines[listener.form as usize];
            let line = slot.get_or_insert_with(|| line(listener.form, call, frame, pcm_bytes));
            let Some(line) = line else { return true };
            match listener.audio.try_send(CallerAudio { call: call.clone(), line: line.clone() }) {
                Ok(()) => true,
                Err(SendError::Full(_)) => {
                    *dropped += 1;
                    true
                }
                Err(SendError::Closed(_)) => false,
            }
        });
    }
}

/// The line of one form; `None` where the form has none for this frame (nothing was received).
fn line(form: RtpForm, call: &CallId, frame: &CallerFrame<'_>, scratch: &mut Vec<u8>) -> Option<ByteString> {
    let mut text = String::new();
    match form {
        RtpForm::Classic => {
            let (payload_type, payload) = frame.g711?;
            event::write_rtp_classic(payload_type, payload, &mut text);
        }
        RtpForm::Hex => {
            let (_, payload) = frame.g711?;
            event::write_rtp_hex(payload, &mut text);
        }
        RtpForm::Multi => {
            scratch.clear();
            scratch.extend(frame.pcm_8k.iter().flat_map(|sample| sample.to_le_bytes()));
            event::write_rtp_multi(call, scratch, &mut text);
        }
    }
    Some(text.into())
}

const FORMS: [RtpForm; 3] = [RtpForm::Classic, RtpForm::Hex, RtpForm::Multi];
