//! The commands of the text protocol: what a client asks of the relay.
//!
//! In: one text message (or one binary RTP message). Out: a [`Command`], or a [`CommandError`] that can be told to the
//! client. It knows the grammar only: not which calls exist, which numbers may be dialled, or what a connection's mode
//! permits.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::event::Event;
use crate::id::CallId;
use crate::mode::AgentCodec;
pub use crate::mode::Mode;

/// A parsed command. [`Display`](fmt::Display) prints its canonical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `CALL:{phone}`: place a call. Any text without `##` and control characters; the number pattern is checked by
    /// the receiver ([`is_default_phone`]).
    Call {
        /// The number as typed.
        phone: String,
    },
    /// `RTP:...`: audio for a call.
    Rtp {
        /// The call; `None` is the connection's focus call.
        call: Option<CallId>,
        /// The audio, decoded from base64 or hex.
        audio: AgentPayload,
    },
    /// `BYE`, `HANGUP`: end a call.
    Hangup {
        /// The call; `None` is the connection's focus call.
        call: Option<CallId>,
        /// End it only after the queued audio has been played.
        drain: bool,
        /// The word that was used.
        word: HangupWord,
    },
    /// `CALL_ANS:{call-id}`: answer this ringing call, or make it the focus.
    CallAns {
        /// The call.
        call: CallId,
    },
    /// `RING_ANS:{phone}`, `RING_ANS:{call-id}`: answer the oldest ringing inbound call that matches.
    RingAns {
        /// A phone number or a call id (encoded or raw: see [`CallId::parse_arg`]).
        target: String,
    },
    /// `CALL_IGNORE`, `RING_IGNORE`: decline a ringing inbound call.
    Ignore {
        /// The call.
        call: CallId,
        /// Status (300 to 699) and reason instead of 603; multi only.
        status: Option<(u16, String)>,
        /// The word that was used.
        word: IgnoreWord,
    },
    /// `MODE:{mode}`: switch the connection's mode.
    Mode(Mode),
    /// `SUBSCRIBE:{call-id or *}`: get this call's RTP.
    Subscribe(Selection),
    /// `UNSUBSCRIBE:{call-id or *}`: get it no more.
    Unsubscribe(Selection),
    /// `DTMF:{call-id}##{digits}[##{ms}]`: play digits to the caller.
    Dtmf {
        /// The call.
        call: CallId,
        /// One to 128 of `0-9*#A-D`.
        digits: String,
        /// Length of each digit, whole milliseconds; `None` is the default, 160 ms.
        duration: Option<Duration>,
    },
    /// `MARK:{call-id}##{name}`: report when all audio queued so far has been played.
    Mark {
        /// The call.
        call: CallId,
        /// The name to report, at most 256 characters, without `##`.
        name: String,
    },
    /// `CLEAR:{call-id}`: drop the queued audio.
    Clear {
        /// The call.
        call: CallId,
    },
    /// `PLAY:{call-id}##{file}`: queue an audio file.
    Play {
        /// The call.
        call: CallId,
        /// The file as typed: untrusted, relative to the output folder.
        file: String,
    },
    /// `HOLD:{call-id}`: put the far end on hold.
    Hold {
        /// The call.
        call: CallId,
    },
    /// `RESUME:{call-id}`: take it back.
    Resume {
        /// The call.
        call: CallId,
    },
    /// `TRANSFER:{call-id}##{phone or sip uri}`: blind transfer.
    Transfer {
        /// The call.
        call: CallId,
        /// The phone number or SIP URI as typed.
        target: String,
    },
    /// `PING[:{text}]`.
    Ping(Option<String>),
}

/// The audio of an RTP command.
#[derive(Clone, PartialEq, Eq)]
pub enum AgentPayload {
    /// Signed 16-bit little-endian mono PCM, an even number of bytes, at the connection's rate.
    Pcm(Bytes),
    /// A RIFF (WAV) file.
    Riff(Bytes),
    /// RTP payload bytes of a payload type: an echoed classic event, or a `codec=pcmu|pcma` connection.
    Payload {
        /// RTP payload type, 0 to 127.
        payload_type: u8,
        /// The payload.
        payload: Bytes,
    },
}

/// The two words that end a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HangupWord {
    /// `BYE`.
    Bye,
    /// `HANGUP`.
    Hangup,
}

/// The two words that decline a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IgnoreWord {
    /// `CALL_IGNORE`.
    Call,
    /// `RING_IGNORE`.
    Ring,
}

/// Which calls a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selection {
    /// `*`: all calls, also those to come.
    All,
    /// One call.
    One(CallId),
}

/// Why a message is no command, in words for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {text}")]
pub struct CommandError {
    /// 484 for a bad CALL, else 400.
    pub status: u16,
    /// What is wrong and what to do, without `##` and controls.
    pub text: Cow<'static, str>,
    /// The word as typed, at most 32 characters, without `##` and controls.
    pub verb: String,
}

impl CommandError {
    /// What the client is told: `CALL_FAILED` for a bad CALL, in every mode; else `ERROR`, which only multi prints.
    pub fn event(&self) -> Event {
        todo!()
    }
}

/// Reads one text message as of a connection with linear PCM. A trailing CR/LF is ignored.
///
/// # Errors
/// [`CommandError`] for anything that is no command; nothing else should change then.
pub fn parse(line: &str) -> Result<Command, CommandError> {
    parse_with(line, AgentCodec::Pcm)
}

/// Reads one text message of a connection whose RTP messages hold `codec`.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(_line: &str, _codec: AgentCodec) -> Result<Command, CommandError> {
    todo!()
}

/// Reads one binary message: `RTP:{call-id}##`, then raw audio of `codec`. An empty call id is the focus call.
///
/// # Errors
/// As [`parse`].
pub fn parse_binary(_message: Bytes, _codec: AgentCodec) -> Result<Command, CommandError> {
    todo!()
}

/// Whether `phone` is 7 to 15 ASCII digits with at most one leading `+`: the default of `CALL_NUMBER_PATTERN`.
pub fn is_default_phone(phone: &str) -> bool {
    let digits = phone.strip_prefix('+').unwrap_or(phone);
    (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

impl Command {
    /// The command's word.
    pub fn verb(&self) -> &'static str {
        todo!()
    }

    /// Whether only a multi connection may send it.
    pub fn is_multi_only(&self) -> bool {
        todo!()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Debug for AgentPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentPayload::Pcm(bytes) => write!(f, "Pcm({} bytes)", bytes.len()),
            AgentPayload::Riff(bytes) => write!(f, "Riff({} bytes)", bytes.len()),
            AgentPayload::Payload { payload_type, payload } => {
                write!(f, "Payload(type {payload_type}, {} bytes)", payload.len())
            }
        }
    }
}
