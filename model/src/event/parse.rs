//! Reads events: what a client of the relay does with the lines that it gets.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Event, EventError, MarkOutcome};
use crate::id::CallId;
use crate::mode::Mode;
use crate::text;

impl Event {
    /// Reads a line that a relay sent on a connection of `mode`, which decides the forms of RTP and CALL_FAILED. A
    /// trailing CR/LF is ignored.
    ///
    /// # Errors
    /// [`EventError`] when the line is no event.
    pub fn parse(line: &str, mode: Mode) -> Result<Event, EventError> {
        let line = line.trim_end_matches(['\r', '\n']);
        let (word, arg) = match line.split_once(':') {
            Some((word, arg)) => (word, Some(arg)),
            None => (line, None),
        };
        if word == "PONG" {
            return Ok(Event::Pong(arg.map(str::to_owned)));
        }
        let Some(verb) = WORDS.iter().copied().find(|known| *known == word) else {
            return Err(EventError::UnknownWord(text::verb(word)));
        };
        arg.and_then(|arg| arguments(verb, arg, mode)).ok_or(EventError::BadArguments(verb))
    }

    /// Reads a binary message that a relay sent: `RTP:{call-id}##`, then raw audio.
    ///
    /// # Errors
    /// [`EventError`] when the message has another form.
    pub fn parse_binary(message: Bytes) -> Result<Event, EventError> {
        let header = message.get(..message.len().min(CallId::MAX_ARG + 6)).unwrap_or_default();
        let at = header.windows(2).position(|pair| pair == b"##");
        let call = at
            .and_then(|at| std::str::from_utf8(header[..at].strip_prefix(b"RTP:")?).ok())
            .and_then(|id| CallId::parse_arg(id).ok());
        match (at, call) {
            (Some(at), Some(call)) => Ok(Event::RtpMulti { call, audio: message.slice(at + 2..) }),
            _ => Err(EventError::BadArguments("RTP")),
        }
    }
}

/// Every word with arguments.
const WORDS: &[&str] = &[
    "RTP",
    "RING_ANS",
    "CALLED",
    "CALL_ANS",
    "CALL_IGNORE",
    "CALL_FAILED",
    "RING_IGNORE",
    "BYE",
    "CALLING",
    "DTMF",
    "SPEECH",
    "BARGE_IN",
    "MARK",
    "XOFF",
    "XON",
    "HOLD",
    "RESUME",
    "TRANSFER",
    "ERROR",
];

/// Reads what follows the colon. An encoded call id holds no `#`, so the first `##` ends a leading one and the last
/// `##` starts a trailing one.
fn arguments(verb: &str, arg: &str, mode: Mode) -> Option<Event> {
    let call = || CallId::parse_arg(arg).ok();
    Some(match verb {
        "RTP" => rtp(arg, mode)?,
        "CALL_ANS" => Event::CallAns { call: call()? },
        "CALL_IGNORE" => Event::CallIgnore { call: call()? },
        "RING_IGNORE" => Event::RingIgnore { call: call()? },
        "BYE" => Event::Bye { call: call()? },
        "HOLD" => Event::Hold { call: call()? },
        "RESUME" => Event::Resume { call: call()? },
        "RING_ANS" => {
            let (phone, call) = phone_and_id(arg)?;
            Event::RingAns { phone, call }
        }
        "CALLED" => {
            let (call, number) = id_and_rest(arg)?;
            Event::Called { call, number: number.to_owned() }
        }
        "CALLING" => {
            let (phone, call) = phone_and_id(arg)?;
            Event::Calling { phone, call }
        }
        "CALL_FAILED" => {
            let (head, call) = match arg.rsplit_once("##") {
                Some((head, id)) if mode == Mode::Multi => (head, Some(CallId::parse_arg(id).ok()?)),
                _ => (arg, None),
            };
            let (status, reason) = status_and_text(head)?;
            Event::CallFailed { status, reason, call }
        }
        "DTMF" => {
            let (call, rest) = id_and_rest(arg)?;
            let (digit, ms) = rest.rsplit_once("##")?;
            let digit = digit.parse().ok().filter(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D'))?;
            Event::Dtmf { call, digit, duration: millis(ms)? }
        }
        "SPEECH" => {
            let (call, what) = id_and_rest(arg)?;
            let started = match what {
                "start" => true,
                "stop" => false,
                _ => return None,
            };
            Event::Speech { call, started }
        }
        "BARGE_IN" => {
            let (call, ms) = id_and_rest(arg)?;
            Event::BargeIn { call, played: millis(ms)? }
        }
        "MARK" => mark(arg)?,
        "XOFF" => {
            let (call, ms) = id_and_rest(arg)?;
            Event::Xoff { call, queued: millis(ms)? }
        }
        "XON" => {
            let (call, ms) = id_and_rest(arg)?;
            Event::Xon { call, queued: millis(ms)? }
        }
        "TRANSFER" => {
            let (call, rest) = id_and_rest(arg)?;
            let (status, reason) = status_and_text(rest)?;
            Event::Transfer { call, status, reason }
        }
        "ERROR" => {
            let (head, verb) = arg.rsplit_once("##")?;
            let (status, text) = status_and_text(head)?;
            Event::Error { status, text, verb: Cow::Owned(verb.to_owned()) }
        }
        _ => return None,
    })
}

fn rtp(arg: &str, mode: Mode) -> Option<Event> {
    Some(match mode {
        Mode::Classic => {
            let (payload_type, hex) = arg.split_once("##")?;
            let payload_type = payload_type.parse().ok().filter(|pt| *pt <= 127)?;
            Event::RtpClassic { payload_type, payload: unhex(hex)? }
        }
        Mode::Hex => Event::RtpHex { payload: unhex(arg)? },
        Mode::Multi => {
            let (call, audio) = id_and_rest(arg)?;
            Event::RtpMulti { call, audio: STANDARD.decode(audio).ok()?.into() }
        }
    })
}

fn mark(arg: &str) -> Option<Event> {
    let (head, ms) = arg.rsplit_once("##")?;
    let (head, outcome) = match (head.strip_suffix("##played"), head.strip_suffix("##cleared")) {
        (Some(head), _) => (head, MarkOutcome::Played),
        (_, Some(head)) => (head, MarkOutcome::Cleared),
        _ => return None,
    };
    let (call, name) = id_and_rest(head)?;
    Some(Event::Mark { call, name: name.to_owned(), outcome, played: millis(ms)? })
}

fn id_and_rest(arg: &str) -> Option<(CallId, &str)> {
    let (id, rest) = arg.split_once("##")?;
    Some((CallId::parse_arg(id).ok()?, rest))
}

fn phone_and_id(arg: &str) -> Option<(String, CallId)> {
    let (phone, id) = arg.rsplit_once("##")?;
    Some((phone.to_owned(), CallId::parse_arg(id).ok()?))
}

fn status_and_text(arg: &str) -> Option<(u16, Cow<'static, str>)> {
    let (status, text) = arg.split_once(' ')?;
    let digits = status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit());
    Some((status.parse().ok().filter(|_| digits)?, Cow::Owned(text.to_owned())))
}

fn millis(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(Duration::from_millis)
}

fn unhex(hex: &str) -> Option<Bytes> {
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = vec![0; hex.len() / 2];
    faster_hex::hex_decode(hex.as_bytes(), &mut bytes).ok()?;
    Some(bytes.into())
}
