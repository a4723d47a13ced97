//! The commands of the text protocol: what a client asks of the relay.
//!
//! In: one text message (or one binary RTP message). Out: a [`Command`], or a [`CommandError`] that can be told to the
//! client. It knows the grammar only: not which calls exist, which numbers may be dialled, or what a connection's mode
//! permits.

mod parse;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::event::Event;
use crate::id::CallId;
pub use crate::mode::Mode;
use crate::text;
pub use parse::{parse, parse_binary, parse_with};

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
        if self.verb == "CALL" && self.status == 484 {
            return Event::CallFailed { status: 484, reason: self.text.clone(), call: None };
        }
        Event::Error { status: self.status, text: self.text.clone(), verb: Cow::Owned(self.verb.clone()) }
    }
}

/// Whether `phone` is 7 to 15 ASCII digits with at most one leading `+`: the default of `CALL_NUMBER_PATTERN`.
pub fn is_default_phone(phone: &str) -> bool {
    let digits = phone.strip_prefix('+').unwrap_or(phone);
    (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

impl Command {
    /// The command's word.
    pub fn verb(&self) -> &'static str {
        match self {
            Command::Call { .. } => "CALL",
            Command::Rtp { .. } => "RTP",
            Command::Hangup { word: HangupWord::Bye, .. } => "BYE",
            Command::Hangup { word: HangupWord::Hangup, .. } => "HANGUP",
            Command::CallAns { .. } => "CALL_ANS",
            Command::RingAns { .. } => "RING_ANS",
            Command::Ignore { word: IgnoreWord::Call, .. } => "CALL_IGNORE",
            Command::Ignore { word: IgnoreWord::Ring, .. } => "RING_IGNORE",
            Command::Mode(_) => "MODE",
            Command::Subscribe(_) => "SUBSCRIBE",
            Command::Unsubscribe(_) => "UNSUBSCRIBE",
            Command::Dtmf { .. } => "DTMF",
            Command::Mark { .. } => "MARK",
            Command::Clear { .. } => "CLEAR",
            Command::Play { .. } => "PLAY",
            Command::Hold { .. } => "HOLD",
            Command::Resume { .. } => "RESUME",
            Command::Transfer { .. } => "TRANSFER",
            Command::Ping(_) => "PING",
        }
    }

    /// Whether only a multi connection may send it: the words outside the classic set, `HANGUP` with `drain`, and
    /// `CALL_IGNORE` with a status.
    pub fn is_multi_only(&self) -> bool {
        match self {
            Command::Call { .. }
            | Command::Rtp { .. }
            | Command::CallAns { .. }
            | Command::RingAns { .. }
            | Command::Mode(_) => false,
            Command::Hangup { drain, .. } => *drain,
            Command::Ignore { status, .. } => status.is_some(),
            _ => true,
        }
    }

    /// The call that the command names.
    pub fn call(&self) -> Option<&CallId> {
        match self {
            Command::Rtp { call, .. } | Command::Hangup { call, .. } => call.as_ref(),
            Command::CallAns { call }
            | Command::Ignore { call, .. }
            | Command::Dtmf { call, .. }
            | Command::Mark { call, .. }
            | Command::Clear { call }
            | Command::Play { call, .. }
            | Command::Hold { call }
            | Command::Resume { call }
            | Command::Transfer { call, .. }
            | Command::Subscribe(Selection::One(call))
            | Command::Unsubscribe(Selection::One(call)) => Some(call),
            _ => None,
        }
    }
}

impl fmt::Display for Command {
    /// The canonical line, without CR/LF. [`parse`] reads it back (`parse_with` for G.711 bytes under a call id).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())?;
        match self {
            Command::Call { phone } => write!(f, ":{phone}"),
            Command::Rtp { call, audio } => write_rtp(call.as_ref(), audio, f),
            Command::Hangup { call, drain, .. } => {
                if let Some(call) = call {
                    write!(f, ":{call}")?;
                }
                match (call, drain) {
                    (_, false) => Ok(()),
                    (Some(_), true) => f.write_str("##drain"),
                    (None, true) => f.write_str(":##drain"),
                }
            }
            Command::RingAns { target } => write!(f, ":{target}"),
            Command::Ignore { call, status: None, .. } => write!(f, ":{call}"),
            Command::Ignore { call, status: Some((status, reason)), .. } => {
                write!(f, ":{call}##{status} {}", text::phrase(*status, reason))
            }
            Command::Mode(mode) => write!(f, ":{mode}"),
            Command::Subscribe(calls) | Command::Unsubscribe(calls) => write!(f, ":{calls}"),
            Command::Dtmf { call, digits, duration } => match duration {
                Some(duration) => write!(f, ":{call}##{digits}##{}", duration.as_millis()),
                None if parse::digits_look_like_a_duration(digits) => {
                    write!(f, ":{call}##{}", digits.replace('#', "%23"))
                }
                None => write!(f, ":{call}##{digits}"),
            },
            Command::Mark { call, name } => write!(f, ":{call}##{name}"),
            Command::Play { call, file } => write!(f, ":{call}##{file}"),
            Command::Transfer { call, target } => write!(f, ":{call}##{target}"),
            Command::CallAns { call }
            | Command::Clear { call }
            | Command::Hold { call }
            | Command::Resume { call } => write!(f, ":{call}"),
            Command::Ping(None) => Ok(()),
            Command::Ping(Some(text)) => write!(f, ":{text}"),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::All => f.write_str("*"),
            Selection::One(call) => call.fmt(f),
        }
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

/// `:{call-id}##{b64}`, `:{b64}` or `:{pt}##{hex}`.
fn write_rtp(call: Option<&CallId>, audio: &AgentPayload, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(":")?;
    let bytes = match audio {
        AgentPayload::Payload { payload_type, payload } if call.is_none() => {
            write!(f, "{payload_type}##")?;
            return payload.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        }
        AgentPayload::Payload { payload: bytes, .. }
        | AgentPayload::Pcm(bytes)
        | AgentPayload::Riff(bytes) => bytes,
    };
    if let Some(call) = call {
        write!(f, "{call}##")?;
    }
    write!(f, "{}", Base64Display::new(bytes, &STANDARD))
}
