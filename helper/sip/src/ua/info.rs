//! Keys by INFO: `application/dtmf-relay` and `application/dtmf`, in and out (RFC 6086 §2 calls these legacy usages; no
//! RFC describes the bodies, so every form that equipment is known to send is read).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{State, Up};
use super::compose::ResponseHead;
use super::extras::{Ask, OurRequest, refusal, unanswered};
use super::{CallError, CallKey, EndCause, Event};
use crate::endpoint::{Core, Endpoint};
use crate::msg::{HeaderName, Message, Method, StatusCode};
use crate::tx::{ClientKey, Clients, Purpose, ServerKey};

const DTMF_RELAY: &str = "application/dtmf-relay";
const DTMF: &str = "application/dtmf";

/// Keys that wait for the answer to the one before.
const MAX_WAITING: usize = 32;

/// The longest press.
const MAX_PRESS: Duration = Duration::from_secs(10);

/// Our keys: one INFO at a time, so that none overtakes another.
#[derive(Debug, Default)]
pub(super) struct InfoQueue {
    out: Option<OurRequest>,
    waiting: VecDeque<(char, Duration)>,
}

impl Endpoint {
    /// An INFO inside a dialog.
    pub(crate) fn receive_info(
        &mut self,
        now: Instant,
        key: CallKey,
        request: &Message,
        (server, head): (ServerKey, ResponseHead),
    ) {
        let accept = [("Accept", "application/dtmf-relay, application/dtmf")];
        let media = request.content_type();
        let is_key = media.as_ref().is_ok_and(|media| media.is(DTMF_RELAY) || media.is(DTMF));
        let (status, lines): (StatusCode, &[(&str, &str)]) = if self.calls.live(key).is_err() {
            (StatusCode::CALL_DOES_NOT_EXIST, &[])
        } else if request.header(&HeaderName::InfoPackage).is_some() && !is_key {
            // No package is understood (RFC 6086 §4.2.2).
            (StatusCode::BAD_INFO_PACKAGE, &[("Recv-Info", "")])
        } else if request.body.is_empty() {
            (StatusCode::OK, &[])
        } else if !is_key {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, &accept)
        } else if let Some((digit, duration)) = key_press(&String::from_utf8_lossy(&request.body)) {
            self.core.event(Event::InfoDtmf { call: key, digit, duration });
            (StatusCode::OK, &[])
        } else {
            (StatusCode::BAD_REQUEST, &[])
        };
        self.reply_plain(now, key, server, &head, (status.as_u16(), status.reason()), lines);
    }

    pub(crate) fn send_info(
        &mut self,
        now: Instant,
        key: CallKey,
        digit: char,
        duration: Duration,
    ) -> Result<(), CallError> {
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        let digit = digit.to_ascii_uppercase();
        if !is_key(digit) {
            return Err(CallError::Invalid { field: "digit" });
        }
        if duration.as_millis() == 0 || duration > MAX_PRESS {
            return Err(CallError::Invalid { field: "duration" });
        }
        let info = &mut up.extras().info;
        if info.waiting.len() >= MAX_WAITING {
            return Err(CallError::WrongState);
        }
        info.waiting.push_back((digit, duration));
        send_next(&mut self.core, &mut self.clients, now, key, up);
        Ok(())
    }

    /// A response to our INFO.
    pub(crate) fn info_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(key) = self.clients.get(client).and_then(|tx| tx.owner) else { return };
        let Ok(State::Up(up)) = self.calls.live(key) else { return };
        let Some(extras) = up.extras.as_deref_mut() else { return };
        let Some(out) = extras.info.out.as_mut().filter(|out| out.client == client) else { return };
        let with = (&mut up.dialog, response);
        if out.is_sent_again(&mut self.core, &mut self.clients, now, key, with) {
            return;
        }
        extras.info.out = None;
        if status.is_success() {
            return send_next(&mut self.core, &mut self.clients, now, key, up);
        }
        extras.info.waiting.clear();
        self.core.event(Event::InfoRefused { call: key, status: status.as_u16() });
        if status == StatusCode::CALL_DOES_NOT_EXIST {
            // The dialog is gone on the other side (RFC 3261 §12.2.1.2).
            let (status, reason) = refusal(response);
            self.end_and_leave(now, key, EndCause::rejected(status, reason));
        }
    }

    /// Our INFO got no answer.
    pub(crate) fn info_unanswered(&mut self, key: CallKey, client: ClientKey, cause: &EndCause) {
        let Ok(State::Up(up)) = self.calls.live(key) else { return };
        let info = &mut up.extras().info;
        if info.out.take_if(|out| out.client == client).is_some() {
            info.waiting.clear();
            self.core.event(Event::InfoRefused { call: key, status: unanswered(cause).0 });
        }
    }
}

/// Sends the next key, unless one is out.
fn send_next(core: &mut Core, clients: &mut Clients, now: Instant, key: CallKey, up: &mut Up) {
    let Up { dialog, extras: Some(extras), auth, .. } = up else { return };
    let info = &mut extras.info;
    if info.out.is_some() {
        return;
    }
    let Some((digit, duration)) = info.waiting.pop_front() else { return };
    let body = Bytes::from(format!("Signal={digit}\r\nDuration={}\r\n", duration.as_millis()));
    let body = Some((DTMF_RELAY, body));
    let ask = Ask { method: Method::Info, purpose: Purpose::Info, headers: Vec::new(), body };
    info.out = ask.send(core, clients, now, key, (dialog, auth.as_deref()));
}

/// Reads `Signal=` and `Duration=` lines in any case, order and line ending, or a key that stands alone.
fn key_press(body: &str) -> Option<(char, Option<Duration>)> {
    let (mut digit, mut duration) = (None, None);
    for line in body.split(['\r', '\n', '\0', ';']).map(str::trim).filter(|line| !line.is_empty()) {
        // `Signal: 5` is seen as well; a `#` or `*` is never a separator.
        match line.split_once(['=', ':']).map(|(name, value)| (name.trim(), value.trim())) {
            Some((name, value)) if name.eq_ignore_ascii_case("signal") => {
                digit = digit.or(Some(signal(value)?))
            }
            Some((name, value)) if name.eq_ignore_ascii_case("duration") => {
                duration = duration.or(press(value))
            }
            Some(_) => {}
            None => digit = digit.or(Some(signal(line)?)),
        }
    }
    Some((digit?, duration))
}

/// A key by its character or by its number as a telephone event (RFC 4733 §3.2).
fn signal(text: &str) -> Option<char> {
    let text = text.trim_matches('"');
    let mut chars = text.chars();
    match (chars.next().map(|c| c.to_ascii_uppercase()), chars.next()) {
        (Some(c), None) => is_key(c).then_some(c),
        _ => {
            let number = text.parse::<usize>().ok().filter(|_| text.len() == 2)?;
            number.checked_sub(10).and_then(|at| ['*', '#', 'A', 'B', 'C', 'D'].get(at).copied())
        }
    }
}

/// A duration in milliseconds.
fn press(text: &str) -> Option<Duration> {
    let ms: u64 = text.trim_end_matches("ms").trim().parse().ok().filter(|ms| *ms > 0)?;
    Some(Duration::from_millis(ms).min(MAX_PRESS))
}

fn is_key(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_form_of_a_key_is_read() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let rows = [
            ("Signal=5\r\nDuration=160\r\n", Some(('5', ms(160)))),
            ("Signal= 5\r\nDuration= 160\r\n", Some(('5', ms(160)))),
            ("Signal=5\nDuration=160", Some(('5', ms(160)))),
            ("signal = a \rDURATION = 250 \r", Some(('A', ms(250)))),
            ("Duration=160\r\nSignal=#\r\n", Some(('#', ms(160)))),
            ("Signal=10\r\nDuration=100", Some(('*', ms(100)))),
            ("Signal=11\r\n", Some(('#', None))),
            ("Signal=15", Some(('D', None))),
            ("Signal=*\r\nDuration=0\r\n", Some(('*', None))),
            ("Signal=9\r\nDuration=x\r\n", Some(('9', None))),
            ("Signal=1\r\nDuration=4294967295\r\n", Some(('1', ms(10_000)))),
            ("Signal: 1", Some(('1', None))),
            ("Signal=\"3\"", Some(('3', None))),
            ("7", Some(('7', None))),
            ("\r\n # \r\n", Some(('#', None))),
            ("d\0", Some(('D', None))),
            ("11", Some(('#', None))),
            ("", None),
            ("Duration=160", None),
            ("Signal=\r\nDuration=160", None),
            ("Signal=16", None),
            ("Signal=hf", None),
            ("Signal=E", None),
            ("12345", None),
            ("ü", None),
        ];
        for (body, expected) in rows {
            assert_eq!(key_press(body), expected, "{body:?}");
        }
    }
}
