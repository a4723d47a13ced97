//! `Wire` reads what a relay sends on one connection, whichever mode it has.
//!
//! In: messages. Out: signalling, and audio with its call: as PCM at 8 kHz, or as G.711 where the connection carries that. A relay without multi mode names no call in
//! its audio: it belongs to the call of the last CALL_ANS.

use std::sync::Arc;

use audio::g711;
use bytes::Bytes;
use model::{
    audio::samples,
    event::{Event, EventError},
    id::CallId,
    mode::{AgentCodec, Mode},
};

use super::message::Heard;

/// The state of one connection.
#[derive(Debug)]
pub struct Wire {
    mode: Mode,
    codec: AgentCodec,
    focus: Option<CallId>,
}

/// One message.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// Signalling.
    Signal(Event),
    /// 20 ms of a caller, usually.
    Audio(CallId, Heard),
    /// Audio of no call, or in a codec that is none of ours (telephone events, for example).
    Nothing,
}

impl Wire {
    /// `multi`: the relay agreed to multi mode.
    pub fn new(multi: bool) -> Self {
        let mode = if multi { Mode::Multi } else { Mode::Classic };
        Self { mode, codec: AgentCodec::Pcm, focus: None }
    }

    /// With another form of audio on a connection of multi mode.
    pub fn with_codec(self, codec: AgentCodec) -> Self {
        Self { codec, ..self }
    }

    /// Reads a binary message: audio.
    ///
    /// # Errors
    /// [`EventError`] when it is no event.
    pub fn read_binary(&mut self, message: Bytes) -> Result<Incoming, EventError> {
        Ok(match Event::parse_binary(message)? {
            Event::RtpMulti { call, audio } => Incoming::Audio(call, self.heard(audio)),
            _ => Incoming::Nothing,
        })
    }

    fn heard(&self, audio: Bytes) -> Heard {
        if self.mode == Mode::Multi && self.codec != AgentCodec::Pcm {
            return Heard::Payload(audio);
        }
        Heard::Pcm(samples(&audio).collect())
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
            Event::RtpMulti { call, audio } => Incoming::Audio(call, self.heard(audio)),
            Event::RtpClassic { payload_type, payload } => {
                let sample = match payload_type {
                    0 => g711::ulaw_sample,
                    8 => g711::alaw_sample,
                    _ => return Ok(Incoming::Nothing),
                };
                let pcm: Arc<[i16]> = payload.iter().map(|&code| sample(code)).collect();
                self.focus.clone().map_or(Incoming::Nothing, |call| Incoming::Audio(call, Heard::Pcm(pcm)))
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

    fn pcm(samples: &[i16]) -> Heard {
        Heard::Pcm(samples.into())
    }

    #[test]
    fn payload_is_handed_on_as_it_came() {
        let mut wire = Wire::new(true).with_codec(AgentCodec::Pcmu);
        let message = Bytes::from_static(b"RTP:a@h##\xff\x7f\x00");
        let Ok(Incoming::Audio(call, Heard::Payload(audio))) = wire.read_binary(message.clone()) else {
            panic!()
        };
        assert_eq!((call, &audio[..]), (id("a@h"), &[0xff, 0x7f, 0][..]));
        assert_eq!(audio.as_ptr(), message[9..].as_ptr(), "no copy");
        assert_eq!(wire.read("RTP:a@h##/38A"), Ok(Incoming::Audio(id("a@h"), Heard::Payload(audio))));
        assert!(wire.read_binary(Bytes::from_static(b"RTP:a@h")).is_err());
    }

    #[test]
    fn multi_audio_names_its_call() {
        let mut wire = Wire::new(true);
        let audio = Incoming::Audio(id("a@h"), pcm(&[0, -1, 1]));
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
            assert_eq!(wire.read("RTP:0##ff7f"), Ok(Incoming::Audio(id(call), pcm(&[0, 0]))));
        }
        assert_eq!(wire.read("RTP:8##d5"), Ok(Incoming::Audio(id("b@h"), pcm(&[8]))));
        assert_eq!(wire.read("RTP:101##050a00a0"), Ok(Incoming::Nothing));
        assert_eq!(wire.read("RTP:c@h##AAA="), Ok(Incoming::Audio(id("c@h"), pcm(&[0]))));
        assert!(wire.read("BYE:b@h").is_ok());
        assert_eq!(wire.read("RTP:0##ff7f"), Ok(Incoming::Nothing));
    }
}
