//! Turns the text of a value into its type, or says what is expected.

use std::{ops::RangeInclusive, time::Duration};

use model::audio::Codec;
use sip::auth::Algorithm;
use tracing::Level;

use super::{AnswerMode, InbandDtmf, LostAction, NumberPattern, PeerNet, Secret, SipUser};

/// `Err`: what is expected, as the end of the sentence "NAME=value: ...".
pub(super) type Parsed<T> = Result<T, String>;

pub(super) fn flag(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("expected 1 or 0 (or true, false, yes, no, on, off)".to_owned()),
    }
}

/// A port; 0 lets the operating system choose.
pub(super) fn port_or_any(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| "expected a port from 0 to 65535, 0 for any free port".to_owned())
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a port from 1 to 65535".to_owned()),
        Ok(port) => Ok(port),
    }
}

/// A whole number in `range`.
pub(super) fn count(range: RangeInclusive<usize>) -> impl Fn(&str) -> Parsed<usize> {
    move |text| match text.parse() {
        Ok(n) if range.contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number from {} to {}", range.start(), range.end())),
    }
}

/// Seconds, decimals allowed, more than none and at most 7 days.
pub(super) fn seconds(text: &str) -> Parsed<Duration> {
    match duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("expected seconds from 0.001 to 604800, for example 30 or 0.5".to_owned()),
    }
}

/// Seconds, decimals allowed; 0 is no limit.
pub(super) fn seconds_or_none(text: &str) -> Parsed<Option<Duration>> {
    match duration(text) {
        Some(duration) => Ok((!duration.is_zero()).then_some(duration)),
        None => Err("expected seconds from 0.001 to 604800, or 0 for no limit".to_owned()),
    }
}

/// The interval of a session timer, whole seconds (RFC 4028 §4: 90 at least); 0 is none.
pub(super) fn session_expires(text: &str) -> Parsed<Option<Duration>> {
    match text.parse() {
        Ok(0) => Ok(None),
        Ok(seconds @ 90..=86_400) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err("expected whole seconds from 90 to 86400, or 0 for no session timer".to_owned()),
    }
}

/// Seconds rounded to milliseconds. Only digits and a point: no sign, exponent, `inf` or `nan`.
fn duration(text: &str) -> Option<Duration> {
    const WEEK: f64 = 604_800.0;
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
    let duration = (seconds <= WEEK).then(|| Duration::from_millis((seconds * 1000.0).round() as u64))?;
    // A value that is not 0 must not round to 0, which has a meaning of its own.
    (!duration.is_zero() || seconds == 0.0).then_some(duration)
}

/// Payload types or names, each at most once, in order of preference.
pub(super) fn codecs(text: &str) -> Parsed<Vec<Codec>> {
    let mut codecs = Vec::new();
    for item in text.split(',').map(str::trim) {
        match item.parse() {
            Ok(codec) if !codecs.contains(&codec) => codecs.push(codec),
            Ok(_) => return Err("expected each codec once".to_owned()),
            Err(_) => {
                return Err(
                    "expected payload types or names with commas between them: 0 (PCMU), 8 (PCMA), 9 (G722)"
                        .to_owned(),
                );
            }
        }
    }
    Ok(codecs)
}

pub(super) fn answer_mode(text: &str) -> Parsed<AnswerMode> {
    match text {
        "auto" => Ok(AnswerMode::Auto),
        "client" => Ok(AnswerMode::Client),
        _ => Err("expected auto or client".to_owned()),
    }
}

/// A flag, or `auto`.
pub(super) fn inband_dtmf(text: &str) -> Parsed<InbandDtmf> {
    match (text, flag(text)) {
        ("auto", _) => Ok(InbandDtmf::Auto),
        (_, Ok(true)) => Ok(InbandDtmf::On),
        (_, Ok(false)) => Ok(InbandDtmf::Off),
        (_, Err(_)) => Err("expected 0, 1 or auto".to_owned()),
    }
}

pub(super) fn lost_action(text: &str) -> Parsed<LostAction> {
    match (text, text.strip_prefix("play:")) {
        ("keep", _) => Ok(LostAction::Keep),
        ("hangup", _) => Ok(LostAction::Hangup),
        (_, Some(file)) if !file.is_empty() => Ok(LostAction::Play(file.to_owned())),
        _ => Err("expected keep, hangup or play:FILE".to_owned()),
    }
}

/// Beginnings of numbers with commas between them.
pub(super) fn prefixes(text: &str) -> Parsed<Vec<String>> {
    let plain = |prefix: &str| {
        let digits = prefix.strip_prefix('+').unwrap_or(prefix);
        !prefix.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let prefixes: Vec<_> = text.split(',').map(|prefix| prefix.trim().to_owned()).collect();
    if prefixes.iter().all(|prefix| plain(prefix)) {
        Ok(prefixes)
    } else {
        Err("expected digits, with + before them or not, with commas between: +8862,09".to_owned())
    }
}

/// Networks with commas between them.
pub(super) fn peers(text: &str) -> Parsed<Vec<PeerNet>> {
    let nets = text.split(',').map(|net| net.trim().parse().ok()).collect::<Option<_>>();
    nets.ok_or_else(|| {
        "expected addresses or networks with commas between them: 10.0.0.9,192.168.0.0/16".to_owned()
    })
}

/// `user:password` pairs with commas between them. The text of an error names no password.
pub(super) fn auth_users(text: &str) -> Parsed<Vec<SipUser>> {
    let expected = "expected user:password with commas between: 1001:secret,1002:other";
    let mut users: Vec<SipUser> = Vec::new();
    for pair in line(text)?.split(',') {
        let (name, password) = pair.trim().split_once(':').ok_or(expected)?;
        if name.is_empty() || password.is_empty() {
            return Err(expected.to_owned());
        }
        if users.iter().any(|user| user.name == name) {
            return Err("expected each user once".to_owned());
        }
        users.push(SipUser { name: name.to_owned(), password: Secret::new(password) });
    }
    Ok(users)
}

/// Digest algorithms, each at most once, in the order in which they are offered.
pub(super) fn auth_algorithms(text: &str) -> Parsed<Vec<Algorithm>> {
    let mut algorithms = Vec::new();
    for item in text.split(',').map(str::trim) {
        let known = [Algorithm::Md5, Algorithm::Sha256];
        match known.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(item)) {
            Some(algorithm) if !algorithms.contains(&algorithm) => algorithms.push(algorithm),
            _ => return Err("expected MD5, SHA-256 or both with a comma between".to_owned()),
        }
    }
    Ok(algorithms)
}

/// A digest realm: text that can stand between quotes.
pub(super) fn realm(text: &str) -> Parsed<String> {
    if text.contains(['"', '\\']) {
        return Err("expected text without quotes and backslashes".to_owned());
    }
    line(text)
}

pub(super) fn number_pattern(text: &str) -> Parsed<NumberPattern> {
    NumberPattern::new(text).map_err(|error| format!("expected a regular expression: {error}"))
}

pub(super) fn level(text: &str) -> Parsed<Level> {
    match text.to_ascii_uppercase().as_str() {
        "ERROR" => Ok(Level::ERROR),
        "WARNING" | "WARN" => Ok(Level::WARN),
        "INFO" => Ok(Level::INFO),
        "DEBUG" => Ok(Level::DEBUG),
        "TRACE" => Ok(Level::TRACE),
        _ => Err("expected ERROR, WARNING, INFO, DEBUG or TRACE".to_owned()),
    }
}

/// Text that may stand in a SIP message or a path: no control characters.
pub(super) fn line(text: &str) -> Parsed<String> {
    if text.chars().any(char::is_control) {
        return Err("expected text without control characters".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_decimals_and_nothing_else() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("604800"), Ok(Duration::from_secs(604_800)));
        for wrong in ["0", "-1", "1e3", "inf", "nan", "30s", "604801", "", ".", "0.0001", "+5"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(seconds_or_none("0.0"), Ok(None));
        assert!(seconds_or_none("0.0001").is_err());
    }

    #[test]
    fn codecs_keep_their_order_and_are_listed_once() {
        assert_eq!(codecs("9, PCMA,0"), Ok(vec![Codec::G722, Codec::Pcma, Codec::Pcmu]));
        for wrong in ["", "0,", "0,0", "0,pcmu", "18", "opus"] {
            assert!(codecs(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn auth_users_are_pairs_whose_passwords_may_have_colons() {
        let users = auth_users("1001:a:b, 1002:c").unwrap();
        let plain: Vec<_> = users.iter().map(|user| (user.name.as_str(), user.password.expose())).collect();
        assert_eq!(plain, [("1001", "a:b"), ("1002", "c")]);
        for wrong in ["", "1001", "1001:", ":pw", "1001:a,", "1001:a,1001:b", "1001:a\nb"] {
            let error = auth_users(wrong).unwrap_err();
            assert!(error.starts_with("expected"), "{wrong:?}");
        }
    }

    #[test]
    fn auth_algorithms_keep_their_order() {
        assert_eq!(auth_algorithms("sha-256, MD5"), Ok(vec![Algorithm::Sha256, Algorithm::Md5]));
        for wrong in ["", "MD5,", "MD5,MD5", "MD5-sess", "SHA-1"] {
            assert!(auth_algorithms(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn flags_are_one_and_zero_or_words() {
        assert_eq!(["1", "TRUE", "yes", "On"].map(flag), [Ok(true), Ok(true), Ok(true), Ok(true)]);
        assert_eq!(["0", "false", "no", "OFF"].map(flag), [Ok(false), Ok(false), Ok(false), Ok(false)]);
        assert!(flag("2").is_err());
    }
}
