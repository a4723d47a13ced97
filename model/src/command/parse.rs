//! Reads commands. One pass over the text, one allocation for decoded audio.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::{AgentPayload, Command, CommandError, HangupWord, IgnoreWord, Selection};
use crate::id::CallId;
use crate::mode::AgentCodec;
use crate::text::{self, MAX_NAME, MAX_PHONE, MAX_PING};

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
pub fn parse_with(line: &str, codec: AgentCodec) -> Result<Command, CommandError> {
    let line = line.trim_end_matches(['\r', '\n']);
    let (verb, arg) = match line.split_once(':') {
        Some((verb, arg)) => (verb, Some(arg)),
        None => (line, None),
    };
    let required = arg.unwrap_or_default();
    match verb {
        "CALL" => call(required),
        "RTP" if arg.is_some() => rtp(required, codec),
        "BYE" => hangup("BYE", HangupWord::Bye, required),
        "HANGUP" => hangup("HANGUP", HangupWord::Hangup, required),
        "CALL_ANS" => Ok(Command::CallAns { call: id("CALL_ANS", required)? }),
        "RING_ANS" => ring_ans(required),
        "CALL_IGNORE" => ignore("CALL_IGNORE", IgnoreWord::Call, required),
        "RING_IGNORE" => ignore("RING_IGNORE", IgnoreWord::Ring, required),
        "MODE" => required.parse().map(Command::Mode).map_err(|e| bad("MODE", e.to_string())),
        "SUBSCRIBE" => Ok(Command::Subscribe(selection("SUBSCRIBE", required)?)),
        "UNSUBSCRIBE" => Ok(Command::Unsubscribe(selection("UNSUBSCRIBE", required)?)),
        "DTMF" => dtmf(required),
        "MARK" => mark(required),
        "CLEAR" => Ok(Command::Clear { call: id("CLEAR", required)? }),
        "PLAY" => {
            let (call, file) = id_and_text("PLAY", required, "PLAY:{call-id} ## {file}")?;
            Ok(Command::Play { call, file })
        }
        "HOLD" => Ok(Command::Hold { call: id("HOLD", required)? }),
        "RESUME" => Ok(Command::Resume { call: id("RESUME", required)? }),
        "TRANSFER" => {
            let (call, target) =
                id_and_text("TRANSFER", required, "TRANSFER:{call-id} ## {phone or sip uri}")?;
            Ok(Command::Transfer { call, target })
        }
        "PING" => ping(arg),
        "RTP" => Err(bad("RTP", "needs a call id and base64 audio")),
        unknown => Err(CommandError {
            status: 400,
            text: Cow::Borrowed("Unknown Command"),
            verb: text::verb(unknown),
        }),
    }
}

/// Reads one binary message: `RTP:{call-id}##`, then raw audio of `codec`. An empty call id is the focus call. The
/// call id is encoded, or raw without `##`.
///
/// # Errors
/// As [`parse`].
pub fn parse_binary(message: Bytes, codec: AgentCodec) -> Result<Command, CommandError> {
    let form = || bad("RTP", "a binary message is RTP:{call-id}, two number signs, then the audio");
    let header = message.strip_prefix(b"RTP:").ok_or_else(form)?;
    let header = &header[..header.len().min(CallId::MAX_ARG + 2)];
    let at = header.windows(2).position(|pair| pair == b"##").ok_or_else(form)?;
    let arg = std::str::from_utf8(&header[..at]).map_err(|_| bad("RTP", "call id is not UTF-8"))?;
    let call = focus_or_id("RTP", arg)?;
    Ok(Command::Rtp { call, audio: audio(message.slice(4 + at + 2..), codec)? })
}

/// Whether digits without a duration would be read as digits with one, such as `1##160`.
pub(super) fn digits_look_like_a_duration(digits: &str) -> bool {
    split_duration(digits).is_some()
}

/// `{phone}`; what is wrong with it is always 484.
fn call(arg: &str) -> Result<Command, CommandError> {
    let fits = !arg.is_empty()
        && text::clip(arg, MAX_PHONE).len() == arg.len()
        && !arg.contains("##")
        && !arg.contains(char::is_control);
    if fits {
        return Ok(Command::Call { phone: arg.to_owned() });
    }
    Err(CommandError { status: 484, text: Cow::Borrowed("Address Incomplete"), verb: "CALL".to_owned() })
}

/// `{call-id}##{b64}`, `{b64}` or `{pt}##{hex}`. Neither base64 nor hex has a `#`, so the last one ends the call id.
fn rtp(arg: &str, codec: AgentCodec) -> Result<Command, CommandError> {
    let split = arg.rfind('#').and_then(|last| Some((arg[..last].strip_suffix('#')?, &arg[last + 1..])));
    let (left, right) = split.unwrap_or(("", arg));
    if let Some(payload_type) = payload_type(left)
        && let Some(payload) = unhex(right)
    {
        let audio = AgentPayload::Payload { payload_type, payload: Bytes::from(payload) };
        return Ok(Command::Rtp { call: None, audio });
    }
    let call = focus_or_id("RTP", left)?;
    Ok(Command::Rtp { call, audio: audio(Bytes::from(unbase64(right)?), codec)? })
}

/// An RTP payload type in decimal.
fn payload_type(text: &str) -> Option<u8> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|pt| digits && *pt <= 127)
}

/// Bytes from hex of either case.
fn unhex(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = vec![0; hex.len() / 2];
    faster_hex::hex_decode(hex.as_bytes(), &mut bytes).ok()?;
    Some(bytes)
}

/// Bytes from base64 of the standard alphabet, padded or not; white space inside is tolerated.
fn unbase64(text: &str) -> Result<Vec<u8>, CommandError> {
    BASE64.decode(text).or_else(|error| {
        if !text.contains(|c: char| c.is_ascii_whitespace()) {
            return Err(bad("RTP", format!("audio is not base64: {error}")));
        }
        let dense: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        BASE64.decode(dense).map_err(|error| bad("RTP", format!("audio is not base64: {error}")))
    })
}

/// Decoded audio of a connection that speaks `codec`.
fn audio(bytes: Bytes, codec: AgentCodec) -> Result<AgentPayload, CommandError> {
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE") {
        return Ok(AgentPayload::Riff(bytes));
    }
    match codec.codec() {
        Some(law) => Ok(AgentPayload::Payload { payload_type: law.payload_type(), payload: bytes }),
        None if bytes.len().is_multiple_of(2) => Ok(AgentPayload::Pcm(bytes)),
        None => {
            Err(bad("RTP", format!("audio is {} bytes, an odd number: send 16-bit samples", bytes.len())))
        }
    }
}

fn hangup(verb: &'static str, word: HangupWord, arg: &str) -> Result<Command, CommandError> {
    let (arg, drain) = match arg.strip_suffix("##drain") {
        Some(arg) => (arg, true),
        None => (arg, false),
    };
    Ok(Command::Hangup { call: focus_or_id(verb, arg)?, drain, word })
}

fn ring_ans(arg: &str) -> Result<Command, CommandError> {
    if arg.is_empty() || arg.len() > CallId::MAX_ARG || arg.contains(char::is_control) {
        return Err(bad("RING_ANS", "needs the phone number or the call id of a ringing call"));
    }
    Ok(Command::RingAns { target: arg.to_owned() })
}

fn ignore(verb: &'static str, word: IgnoreWord, arg: &str) -> Result<Command, CommandError> {
    let Some((left, status, reason)) = split_last(arg).and_then(|(left, right)| {
        let (status, reason) = right.split_once(' ').unwrap_or((right, ""));
        Some((left, three_digits(status)?, reason))
    }) else {
        return Ok(Command::Ignore { call: id(verb, arg)?, status: None, word });
    };
    if !(300..=699).contains(&status) {
        return Err(bad(verb, "status is 300 to 699"));
    }
    Ok(Command::Ignore { call: id(verb, left)?, status: Some((status, text::phrase(status, reason))), word })
}

fn selection(verb: &'static str, arg: &str) -> Result<Selection, CommandError> {
    match arg {
        "" => Err(bad(verb, "needs a call id or *")),
        "*" => Ok(Selection::All),
        arg => Ok(Selection::One(id(verb, arg)?)),
    }
}

/// `{call-id}##{digits}[##{ms}]`. Digits may hold `#`, so the call id ends at the first `##` that leaves valid digits.
fn dtmf(arg: &str) -> Result<Command, CommandError> {
    let (left, digits, duration) = arg
        .match_indices('#')
        .filter(|(at, _)| arg[at + 1..].starts_with('#'))
        .find_map(|(at, _)| {
            // Anything longer cannot be digits; this also keeps the search linear.
            let right = &arg[at + 2..];
            let (digits, ms) =
                (right.len() <= 3 * MAX_DIGITS + 8).then(|| split_duration(right))?.unwrap_or((right, ""));
            Some((&arg[..at], dtmf_digits(digits)?, ms))
        })
        .ok_or_else(|| bad("DTMF", "needs a call id and 1 to 128 of the digits 0-9 * # A-D"))?;
    let duration = match duration {
        "" => None,
        ms => match ms.parse() {
            Ok(ms @ 40..=10_000) => Some(Duration::from_millis(ms)),
            _ => return Err(bad("DTMF", "a digit lasts 40 to 10000 ms")),
        },
    };
    Ok(Command::Dtmf { call: id("DTMF", left)?, digits, duration })
}

/// `{digits}##{ms}` in its two parts.
fn split_duration(text: &str) -> Option<(&str, &str)> {
    let (digits, ms) = text.rsplit_once("##")?;
    let number = !ms.is_empty() && ms.bytes().all(|b| b.is_ascii_digit());
    (number && dtmf_digits(digits).is_some()).then_some((digits, ms))
}

/// Digits in capitals, with `%23` as another way to write `#`.
fn dtmf_digits(text: &str) -> Option<String> {
    let digits = text.replace("%23", "#").to_ascii_uppercase();
    let valid = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D'));
    (valid && (1..=MAX_DIGITS).contains(&digits.len())).then_some(digits)
}

fn mark(arg: &str) -> Result<Command, CommandError> {
    let (call, name) = id_and_text("MARK", arg, "MARK:{call-id} ## {name}")?;
    if name.contains("##") || text::clip(&name, MAX_NAME).len() != name.len() {
        return Err(bad("MARK", "a name has at most 256 characters and no two number signs in a row"));
    }
    Ok(Command::Mark { call, name })
}

fn ping(arg: Option<&str>) -> Result<Command, CommandError> {
    match arg {
        Some(text) if text::clip(text, MAX_PING).len() != text.len() => {
            Err(bad("PING", "text has at most 1024 characters"))
        }
        arg => Ok(Command::Ping(arg.map(|text| text::line(text, MAX_PING)))),
    }
}

/// `{call-id}##{text}` with a text that is not empty; `form` tells how it is written.
fn id_and_text(verb: &'static str, arg: &str, form: &'static str) -> Result<(CallId, String), CommandError> {
    match split_last(arg) {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            if right.len() > MAX_TEXT || right.contains(char::is_control) {
                return Err(bad(verb, "argument is too long or has control characters"));
            }
            Ok((id(verb, left)?, right.to_owned()))
        }
        _ => Err(bad(verb, format!("needs two arguments: {form}, without the spaces"))),
    }
}

/// Splits at the last `##`; of a longer run of `#`, the first two separate (a call id does not end in `#`).
fn split_last(arg: &str) -> Option<(&str, &str)> {
    let at = arg.rfind("##")?;
    let left = arg[..at].trim_end_matches('#');
    Some((left, &arg[left.len() + 2..]))
}

fn id(verb: &'static str, arg: &str) -> Result<CallId, CommandError> {
    CallId::parse_arg(arg).map_err(|error| bad(verb, error.to_string()))
}

/// The call of a command that may leave it out.
fn focus_or_id(verb: &'static str, arg: &str) -> Result<Option<CallId>, CommandError> {
    if arg.is_empty() { Ok(None) } else { id(verb, arg).map(Some) }
}

fn three_digits(text: &str) -> Option<u16> {
    (text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn bad(verb: &'static str, text: impl Into<Cow<'static, str>>) -> CommandError {
    let text = match text.into() {
        Cow::Borrowed(text) => Cow::Borrowed(text),
        Cow::Owned(text) => Cow::Owned(text::reason(&text)),
    };
    CommandError { status: 400, text, verb: verb.to_owned() }
}

/// Most digits of one DTMF command.
const MAX_DIGITS: usize = 128;

/// Longest file name or transfer target, bytes.
const MAX_TEXT: usize = 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
