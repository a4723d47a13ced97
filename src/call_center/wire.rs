//! `Wire` reads what a relay sends on one connection, whichever mode it has.
//!
//! In: text messages. Out: signalling, and audio as PCM at 8 kHz with its call. A relay without multi mode names no call in
//! its audio: it belongs to the call of the last CALL_ANS.

use std::sync::Arc;

use audio::g711;
use model::{
    audio::samples,
    event::{Event, EventError},
    id::CallId,
    mode::Mode,
};

/// The state of one connection.
#[derive(Debug)]
pub struct Wire {
    mode: Mode,
    focus: Option<CallId>,
}

/// One message.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// Signalling.
    Signal(Event),
    /// 20 ms of a caller, usually.
    Audio(CallId, Arc<[i16]>),
    /// Audio of no call, or in a codec that is none of ours (telephone events, for example).
    Nothing,
}

impl Wire {
    /// `multi`: the relay agreed to multi mode.
    pub fn new(multi: bool) -> Self {
        Self { mode: if multi { Mode::Multi } else { Mode::Classic }, focus: None }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`EventError`] when it is no event.
    pub fn read(&mut self, line: &str) -> Result<Incoming, EventError> {
        let event = Event::parse(line, self.mode).or_else(|error| {
            // Later relays without a mode send the form of multi mode.
            if self.mode == Mode::Classic && line.starts_with("RTP:") {
                Event::parse(line, Mode::Multi)
            } else {
                Err(error)
            }
        })?;
        Ok(match event {
            Event::RtpMulti { call, audio } => Incoming::Audio(call, samples(&audio).collect()),
            Event::RtpClassic { payload_type, payload } => {
                let sample = match payload_type {
                    0 => g711::ulaw_sample,
                    8 => g711::alaw_sample,
                    _ => return Ok(Incoming::Nothing),
                };
                let pcm = payload.iter().map(|&code| sample(code)).collect();
                self.focus.clone().map_or(Incoming::Nothing, |call| Incoming::Audio(call, pcm))
            }
            event => {
                match &event {
                    Event::CallAns { call } => self.focus = Some(call.clone()),
                    Event::Bye { call } if self.focus.as_ref() == Some(call) => self.focus = None,
                    _ => {}
                }
                Incoming::Signal(event)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CallId {
        CallId::from_sip_call_id(text)
    }

    #[test]
    fn multi_audio_names_its_call() {
        let mut wire = Wire::new(true);
        let audio = Incoming::Audio(id("a@h"), Arc::from([0, -1, 1]));
        assert_eq!(wire.read("RTP:a@h##AAD//wEA"), Ok(audio));
        assert_eq!(wire.read("BYE:a@h"), Ok(Incoming::Signal(Event::Bye { call: id("a@h") })));
        assert!(wire.read("HELLO:a@h").is_err());
    }

    #[test]
    fn classic_audio_belongs_to_the_call_that_was_answered_last() {
        let mut wire = Wire::new(false);
        assert_eq!(wire.read("RTP:0##ff7f"), Ok(Incoming::Nothing));
        for call in ["a@h", "b@h"] {
            assert!(wire.read(&format!("CALL_ANS:{call}")).is_ok());
            assert_eq!(wire.read("RTP:0##ff7f"), Ok(Incoming::Audio(id(call), Arc::from([0, 0]))));
        }
        assert_eq!(wire.read("RTP:8##d5"), Ok(Incoming::Audio(id("b@h"), Arc::from([8]))));
        assert_eq!(wire.read("RTP:101##050a00a0"), Ok(Incoming::Nothing));
        assert_eq!(wire.read("RTP:c@h##AAA="), Ok(Incoming::Audio(id("c@h"), Arc::from([0]))));
        assert!(wire.read("BYE:b@h").is_ok());
        assert_eq!(wire.read("RTP:0##ff7f"), Ok(Incoming::Nothing));
    }
}
