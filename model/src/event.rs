//! The events of the text protocol: what the relay tells its clients.
//!
//! In: an [`Event`]. Out: its line in a connection's mode, or nothing where that mode does not have the word; and back.
//! It does not know which connections exist, nor which call is whose focus.

mod parse;

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::call::{Direction, EndReason};
use crate::id::CallId;
use crate::mode::Mode;
use crate::text;

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
    /// The number that an inbound call was placed to; multi only, right after its RING_ANS.
    Called {
        /// The call.
        call: CallId,
        /// The number, or user name.
        number: String,
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
        match self {
            Event::RingAns { .. } => "RING_ANS",
            Event::Called { .. } => "CALLED",
            Event::CallAns { .. } => "CALL_ANS",
            Event::CallIgnore { .. } => "CALL_IGNORE",
            Event::CallFailed { .. } => "CALL_FAILED",
            Event::RingIgnore { .. } => "RING_IGNORE",
            Event::Bye { .. } => "BYE",
            Event::RtpClassic { .. } | Event::RtpHex { .. } | Event::RtpMulti { .. } => "RTP",
            Event::Calling { .. } => "CALLING",
            Event::Dtmf { .. } => "DTMF",
            Event::Speech { .. } => "SPEECH",
            Event::BargeIn { .. } => "BARGE_IN",
            Event::Mark { .. } => "MARK",
            Event::Xoff { .. } => "XOFF",
            Event::Xon { .. } => "XON",
            Event::Hold { .. } => "HOLD",
            Event::Resume { .. } => "RESUME",
            Event::Transfer { .. } => "TRANSFER",
            Event::Error { .. } => "ERROR",
            Event::Pong(_) => "PONG",
        }
    }

    /// Whether a connection of `mode` is ever sent this event.
    pub fn is_sent_in(&self, mode: Mode) -> bool {
        match self {
            Event::RingAns { .. }
            | Event::CallAns { .. }
            | Event::CallIgnore { .. }
            | Event::CallFailed { .. }
            | Event::RingIgnore { .. }
            | Event::Bye { .. } => true,
            Event::RtpClassic { .. } => mode == Mode::Classic,
            Event::RtpHex { .. } => mode == Mode::Hex,
            _ => mode == Mode::Multi,
        }
    }

    /// The event's line in `mode`; `None` when that word is never sent there.
    pub fn line(&self, mode: Mode) -> Option<String> {
        let mut line = String::new();
        self.write_line(mode, &mut line).then_some(line)
    }

    /// Appends the event's line to `out`; `false`, and nothing appended, when that word is never sent in `mode`.
    pub fn write_line(&self, mode: Mode, out: &mut String) -> bool {
        if !self.is_sent_in(mode) {
            return false;
        }
        match self {
            Event::RtpClassic { payload_type, payload } => write_rtp_classic(*payload_type, payload, out),
            Event::RtpHex { payload } => write_rtp_hex(payload, out),
            Event::RtpMulti { call, audio } => write_rtp_multi(call, audio, out),
            other => {
                out.push_str(other.verb());
                // Writing to a String has no error to report.
                let _ = other.write_arguments(mode, out);
            }
        }
        true
    }

    /// Appends what follows the word.
    fn write_arguments(&self, mode: Mode, out: &mut String) -> fmt::Result {
        match self {
            Event::RingAns { phone, call } | Event::Calling { phone, call } => {
                write!(out, ":{}##{call}", text::phone(phone))
            }
            Event::Called { call, number } => write!(out, ":{call}##{}", text::phone(number)),
            Event::CallAns { call }
            | Event::CallIgnore { call }
            | Event::RingIgnore { call }
            | Event::Bye { call }
            | Event::Hold { call }
            | Event::Resume { call } => write!(out, ":{call}"),
            Event::CallFailed { status, reason, call } => {
                write!(out, ":{:03} {}", status.min(&999), text::phrase(*status, reason))?;
                match call {
                    Some(call) if mode == Mode::Multi => write!(out, "##{call}"),
                    _ => Ok(()),
                }
            }
            Event::Dtmf { call, digit, duration } => {
                write!(out, ":{call}##{digit}##{}", duration.as_millis())
            }
            Event::Speech { call, started } => {
                write!(out, ":{call}##{}", if *started { "start" } else { "stop" })
            }
            Event::BargeIn { call, played } => write!(out, ":{call}##{}", played.as_millis()),
            Event::Mark { call, name, outcome, played } => {
                let name = text::name(name, text::MAX_NAME);
                write!(out, ":{call}##{name}##{}##{}", outcome.as_str(), played.as_millis())
            }
            Event::Xoff { call, queued } | Event::Xon { call, queued } => {
                write!(out, ":{call}##{}", queued.as_millis())
            }
            Event::Transfer { call, status, reason } => {
                write!(out, ":{call}##{:03} {}", status.min(&999), text::phrase(*status, reason))
            }
            Event::Error { status, text, verb } => {
                write!(out, ":{:03} {}##{}", status.min(&999), text::phrase(*status, text), text::verb(verb))
            }
            Event::Pong(None) => Ok(()),
            Event::Pong(Some(text)) => write!(out, ":{}", text::line(text, text::MAX_PING)),
            Event::RtpClassic { .. } | Event::RtpHex { .. } | Event::RtpMulti { .. } => Ok(()),
        }
    }

    /// The events that announce a call's end, in order: `BYE` once it was up; else `RING_IGNORE` for an inbound call,
    /// and for an outbound one `CALL_FAILED`, after `CALL_IGNORE` where the far end did not take it.
    pub fn ending(call: &CallId, direction: Direction, was_up: bool, end: &EndReason) -> Vec<Event> {
        let call = call.clone();
        match direction {
            _ if was_up => vec![Event::Bye { call }],
            Direction::Inbound => vec![Event::RingIgnore { call }],
            Direction::Outbound => {
                let (status, reason) = end.failure();
                let reason = Cow::Owned(reason.to_owned());
                let failed = Event::CallFailed { status, reason, call: Some(call.clone()) };
                if end.is_not_taken() { vec![Event::CallIgnore { call }, failed] } else { vec![failed] }
            }
        }
    }
}

impl MarkOutcome {
    /// `played` or `cleared`.
    pub const fn as_str(self) -> &'static str {
        match self {
            MarkOutcome::Played => "played",
            MarkOutcome::Cleared => "cleared",
        }
    }
}

/// Appends `RTP:{pt}##{hex}`, the classic form of a received packet.
pub fn write_rtp_classic(payload_type: u8, payload: &[u8], out: &mut String) {
    let _ = write!(out, "RTP:{payload_type}##");
    push_hex(payload, out);
}

/// Appends `RTP:{hex}`, the hex mode's form of a received packet.
pub fn write_rtp_hex(payload: &[u8], out: &mut String) {
    out.push_str("RTP:");
    push_hex(payload, out);
}

/// Appends `RTP:{call-id}##{base64}`, the multi mode's form. `audio`: little-endian PCM, or G.711 bytes.
pub fn write_rtp_multi(call: &CallId, audio: &[u8], out: &mut String) {
    out.reserve(6 + call.as_str().len() + audio.len().div_ceil(3) * 4);
    out.push_str("RTP:");
    out.push_str(call.as_str());
    out.push_str("##");
    STANDARD.encode_string(audio, out);
}

/// Appends `RTP:{call-id}##` and the raw bytes: a binary message.
pub fn write_rtp_binary(call: &CallId, audio: &[u8], out: &mut Vec<u8>) {
    out.reserve(6 + call.as_str().len() + audio.len());
    out.extend_from_slice(b"RTP:");
    out.extend_from_slice(call.as_str().as_bytes());
    out.extend_from_slice(b"##");
    out.extend_from_slice(audio);
}

/// Appends lower-case hex.
fn push_hex(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len() * 2);
    let mut buffer = [0; 512];
    for chunk in bytes.chunks(buffer.len() / 2) {
        if let Ok(hex) = faster_hex::hex_encode(chunk, &mut buffer) {
            out.push_str(hex);
        }
    }
}
