//! The events of the text protocol: what the relay tells its clients.
//!
//! In: an [`Event`]. Out: its line in a connection's mode, or nothing where that mode does not have the word; and back.
//! It does not know which connections exist, nor which call is whose focus.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::call::{Direction, EndReason};
use crate::id::CallId;
use crate::mode::Mode;

/// One event. Durations are whole milliseconds on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An inbound call arrived, or an outbound call rings.
    RingAns {
        /// The far end's number or user name.
        phone: String,
        /// The call.
        call: CallId,
    },
    /// The call is up; or, in classic and hex, it is the focus again.
    CallAns {
        /// The call.
        call: CallId,
    },
    /// The far end did not take an outbound call.
    CallIgnore {
        /// The call.
        call: CallId,
    },
    /// An outbound call ended before it was up, or could not be started.
    CallFailed {
        /// SIP status.
        status: u16,
        /// Reason phrase.
        reason: Cow<'static, str>,
        /// The call, where there is one; printed in multi only.
        call: Option<CallId>,
    },
    /// An inbound call ended before it was up.
    RingIgnore {
        /// The call.
        call: CallId,
    },
    /// A call that was up is over.
    Bye {
        /// The call.
        call: CallId,
    },
    /// A received audio packet of the focus call; classic only.
    RtpClassic {
        /// RTP payload type.
        payload_type: u8,
        /// RTP payload.
        payload: Bytes,
    },
    /// The same without the payload type; hex only.
    RtpHex {
        /// RTP payload.
        payload: Bytes,
    },
    /// 20 ms of a subscribed call; multi only.
    RtpMulti {
        /// The call.
        call: CallId,
        /// PCM, little-endian, or G.711 bytes on a `codec=pcmu|pcma` connection.
        audio: Bytes,
    },
    /// A CALL was accepted.
    Calling {
        /// The number that is called.
        phone: String,
        /// The call.
        call: CallId,
    },
    /// A digit from the caller.
    Dtmf {
        /// The call.
        call: CallId,
        /// `0-9*#A-D`.
        digit: char,
        /// How long the key was held.
        duration: Duration,
    },
    /// The caller began or stopped talking.
    Speech {
        /// The call.
        call: CallId,
        /// Began, rather than stopped.
        started: bool,
    },
    /// The caller talked over playback.
    BargeIn {
        /// The call.
        call: CallId,
        /// How much of the playback had been heard.
        played: Duration,
    },
    /// A mark was reached or dropped.
    Mark {
        /// The call.
        call: CallId,
        /// The name given by MARK.
        name: String,
        /// Which of the two.
        outcome: MarkOutcome,
        /// The position in the played audio.
        played: Duration,
    },
    /// The playback queue passed its high-water mark.
    Xoff {
        /// The call.
        call: CallId,
        /// Audio in the queue.
        queued: Duration,
    },
    /// The playback queue fell below its low-water mark.
    Xon {
        /// The call.
        call: CallId,
        /// Audio in the queue.
        queued: Duration,
    },
    /// The far end put the call on hold.
    Hold {
        /// The call.
        call: CallId,
    },
    /// The far end took it back.
    Resume {
        /// The call.
        call: CallId,
    },
    /// Progress of a TRANSFER.
    Transfer {
        /// The call.
        call: CallId,
        /// SIP status from the NOTIFY.
        status: u16,
        /// Its reason phrase.
        reason: Cow<'static, str>,
    },
    /// A command could not be carried out.
    Error {
        /// A SIP status that says why.
        status: u16,
        /// What is wrong.
        text: Cow<'static, str>,
        /// The command's word.
        verb: Cow<'static, str>,
    },
    /// The answer to PING.
    Pong(Option<String>),
}

/// What became of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkOutcome {
    /// All audio before it was played.
    Played,
    /// It was dropped by CLEAR.
    Cleared,
}

/// Why a line is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The word is none of the protocol's.
    #[error("unknown event {0:?}")]
    UnknownWord(String),
    /// The arguments do not have the word's form.
    #[error("bad arguments of {0}")]
    BadArguments(&'static str),
}

impl Event {
    /// The event's word.
    pub fn verb(&self) -> &'static str {
        todo!()
    }

    /// The event's line in `mode`; `None` when that word is never sent there.
    pub fn line(&self, mode: Mode) -> Option<String> {
        let mut line = String::new();
        self.write_line(mode, &mut line).then_some(line)
    }

    /// Appends the event's line to `out`; `false`, and nothing appended, when that word is never sent in `mode`.
    pub fn write_line(&self, _mode: Mode, _out: &mut String) -> bool {
        todo!()
    }

    /// Reads a line that a relay sent on a connection of `mode`. A trailing CR/LF is ignored.
    ///
    /// # Errors
    /// [`EventError`] when the line is no event.
    pub fn parse(_line: &str, _mode: Mode) -> Result<Event, EventError> {
        todo!()
    }

    /// The events that announce a call's end, in order: `BYE` once it was up; else `RING_IGNORE` for an inbound call,
    /// and for an outbound one `CALL_FAILED`, after `CALL_IGNORE` where the far end did not take it.
    pub fn ending(_call: &CallId, _direction: Direction, _was_up: bool, _end: &EndReason) -> Vec<Event> {
        todo!()
    }
}

/// Appends `RTP:{pt}##{hex}`, the classic form of a received packet.
pub fn write_rtp_classic(_payload_type: u8, _payload: &[u8], _out: &mut String) {
    todo!()
}

/// Appends `RTP:{hex}`, the hex mode's form of a received packet.
pub fn write_rtp_hex(_payload: &[u8], _out: &mut String) {
    todo!()
}

/// Appends `RTP:{call-id}##{base64}`, the multi mode's form. `audio`: little-endian PCM, or G.711 bytes.
pub fn write_rtp_multi(_call: &CallId, _audio: &[u8], _out: &mut String) {
    todo!()
}

/// Appends `RTP:{call-id}##` and the raw bytes: a binary message.
pub fn write_rtp_binary(_call: &CallId, _audio: &[u8], _out: &mut Vec<u8>) {
    todo!()
}
