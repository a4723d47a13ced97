//! Our REFER: the peer is asked to call somebody, and tells by NOTIFY what comes of it (RFC 3515).
//!
//! ```text
//!   refer ──▶ asked ──2xx, NOTIFY──▶ accepted ──NOTIFY──▶ accepted ──last NOTIFY, silence──▶ gone
//!               └──300-699, no answer──▶ gone
//! ```

use std::time::{Duration, Instant};

use super::call::{CallTimer, State};
use super::compose::{self, ResponseHead};
use super::extras::{Ask, OurRequest, refusal, unanswered};
use super::{CallError, CallKey, EndCause, Event, guard};
use crate::endpoint::Endpoint;
use crate::msg::{ByteStr, HeaderName, Message, Method, NameAddr, StatusCode};
use crate::tx::{ClientKey, Purpose, ServerKey, TimerKey};

/// The body of a NOTIFY about a REFER.
pub(super) const SIPFRAG: &str = "message/sipfrag";

/// How long the first NOTIFY may take.
const FIRST_NOTIFY: Duration = Duration::from_secs(60);

/// How long the next may take where the peer does not say: as long as a telephone rings.
const NEXT_NOTIFY: Duration = Duration::from_secs(180);

/// The longest time that the peer may ask for.
const MOST: Duration = Duration::from_secs(3600);

/// Characters of a reason phrase that are kept.
const MAX_REASON: usize = 128;

#[derive(Debug)]
pub(super) struct OurRefer {
    /// The CSeq number that names it in the `id` of a NOTIFY.
    id: u32,
    /// The REFER, while it has no final response.
    asked: Option<OurRequest>,
    /// `ReferAccepted` is out. A NOTIFY may overtake the 2xx.
    accepted: bool,
    /// The last progress is out; the peer still owes the end of its subscription.
    told: bool,
    pub(super) limit: Option<TimerKey>,
}

/// What a NOTIFY says.
struct Progress {
    status: u16,
    reason: String,
    terminated: bool,
    /// How long the peer will go on.
    expires: Option<Duration>,
}

impl Endpoint {
    pub(crate) fn send_refer(&mut self, now: Instant, key: CallKey, target: &str) -> Result<(), CallError> {
        let State::Up(up) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        if !guard::is_uri(target) {
            return Err(CallError::Invalid { field: "target" });
        }
        if up.extras().refer.as_ref().is_some_and(|refer| !refer.told) {
            return Err(CallError::WrongState);
        }
        let contact = compose::contact(&self.core.config, up.dialog.peer);
        let mut headers = vec![("Contact", contact), ("Refer-To", format!("<{target}>"))];
        let us = NameAddr::parse(&ByteStr::from(&*up.dialog.local), HeaderName::From);
        headers.extend(us.ok().map(|us| ("Referred-By", format!("<{}>", us.uri))));
        let ask = Ask { method: Method::Refer, purpose: Purpose::Refer, headers, body: None };
        let with = (&mut up.dialog, up.auth.as_deref());
        let asked = ask.send(&mut self.core, &mut self.clients, now, key, with);
        let asked = asked.ok_or(CallError::Invalid { field: "target" })?;
        let refer =
            OurRefer { id: asked.cseq, asked: Some(asked), accepted: false, told: false, limit: None };
        if let Some(earlier) = up.extras().refer.replace(refer) {
            self.core.cancel(earlier.limit);
        }
        Ok(())
    }

    /// A response to our REFER.
    pub(crate) fn refer_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(key) = self.clients.get(client).and_then(|tx| tx.owner) else { return };
        let Ok(State::Up(up)) = self.calls.live(key) else { return };
        let Some(extras) = up.extras.as_deref_mut() else { return };
        let Some(refer) = extras.refer.as_mut().filter(|refer| refer.is_asked(client)) else { return };
        if status.is_success() {
            refer.asked = None;
            if !refer.accepted {
                refer.accepted = true;
                refer.limit = Some(self.core.arm_call(now + FIRST_NOTIFY, key, CallTimer::ReferSilence));
                self.core.event(Event::ReferAccepted { call: key });
            }
            return;
        }
        if let Some(asked) = &mut refer.asked
            && asked.is_sent_again(&mut self.core, &mut self.clients, now, key, (&mut up.dialog, response))
        {
            refer.id = asked.cseq;
            return;
        }
        let (status, reason) = refusal(response);
        self.refer_refused(key, (status, reason.clone()));
        if status == StatusCode::CALL_DOES_NOT_EXIST.as_u16() {
            // The dialog is gone on the other side (RFC 3261 §12.2.1.2).
            self.end_and_leave(now, key, EndCause::rejected(status, reason));
        }
    }

    /// Our REFER got no answer.
    pub(crate) fn refer_unanswered(&mut self, key: CallKey, client: ClientKey, cause: &EndCause) {
        let Ok(State::Up(up)) = self.calls.live(key) else { return };
        let refer = up.extras.as_deref_mut().and_then(|extras| extras.refer.as_mut());
        match refer.filter(|refer| refer.is_asked(client)) {
            // The NOTIFY that came was answer enough.
            Some(refer) if refer.accepted => refer.asked = None,
            Some(_) => self.refer_refused(key, unanswered(cause)),
            None => {}
        }
    }

    fn refer_refused(&mut self, key: CallKey, (status, reason): (u16, String)) {
        if let Ok(State::Up(up)) = self.calls.live(key)
            && let Some(refer) = up.extras().refer.take()
        {
            self.core.cancel(refer.limit);
            if !refer.told {
                self.core.event(Event::ReferRefused { call: key, status, reason });
            }
        }
    }

    /// A NOTIFY inside a dialog (RFC 6665 §4.1.3).
    pub(crate) fn receive_notify(
        &mut self,
        now: Instant,
        key: CallKey,
        request: &Message,
        (server, head): (ServerKey, ResponseHead),
    ) {
        let (status, lines) = self.note_progress(now, key, request);
        self.reply_plain(now, key, server, &head, (status.as_u16(), status.reason()), lines);
    }

    /// What a NOTIFY is answered.
    fn note_progress(
        &mut self,
        now: Instant,
        key: CallKey,
        request: &Message,
    ) -> (StatusCode, &'static [(&'static str, &'static str)]) {
        let up = match self.calls.live(key) {
            Ok(State::Up(up)) => up,
            Ok(_) => return (StatusCode::CALL_DOES_NOT_EXIST, &[]),
            // Hung up meanwhile: nobody wants to know.
            Err(_) => return (StatusCode::OK, &[]),
        };
        let refer = up.extras.as_deref_mut().and_then(|extras| extras.refer.as_mut());
        let Some(refer) = refer else { return (StatusCode::CALL_DOES_NOT_EXIST, &[]) };
        let event = request.header(&HeaderName::Event).map_or("", |event| event.as_str());
        let mut parts = event.split(';').map(str::trim);
        if !parts.next().is_some_and(|package| package.eq_ignore_ascii_case("refer")) {
            return (StatusCode::BAD_EVENT, &[("Allow-Events", "refer")]);
        }
        let id = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.trim() == "id"));
        if id.is_some_and(|(_, id)| id.trim().parse() != Ok(refer.id)) {
            return (StatusCode::CALL_DOES_NOT_EXIST, &[]);
        }
        if !request.content_type().map_or(true, |media| media.is(SIPFRAG)) {
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, &[("Accept", SIPFRAG)]);
        }
        let Some(progress) = progress(request) else { return (StatusCode::BAD_REQUEST, &[]) };

        let Progress { status, reason, terminated, expires } = progress;
        let last = terminated || status >= 200;
        if !refer.accepted {
            refer.accepted = true;
            self.core.event(Event::ReferAccepted { call: key });
        }
        if !refer.told {
            refer.told = last;
            self.core.event(Event::ReferProgress { call: key, status, reason, last });
        }
        self.core.cancel(refer.limit.take());
        if terminated && refer.asked.is_none() {
            up.extras().refer = None;
        } else {
            let wait = expires.map_or(NEXT_NOTIFY, |expires| expires.clamp(FIRST_NOTIFY, MOST));
            refer.limit = Some(self.core.arm_call(now + wait, key, CallTimer::ReferSilence));
        }
        (StatusCode::OK, &[])
    }

    /// No NOTIFY came in time.
    pub(crate) fn refer_silence(&mut self, key: CallKey) {
        let Ok(State::Up(up)) = self.calls.live(key) else { return };
        if let Some(refer) = up.extras().refer.take()
            && !refer.told
        {
            let timeout = StatusCode::REQUEST_TIMEOUT;
            let (status, reason) = (timeout.as_u16(), timeout.reason().to_owned());
            self.core.event(Event::ReferProgress { call: key, status, reason, last: true });
        }
    }
}

impl OurRefer {
    fn is_asked(&self, client: ClientKey) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.client == client)
    }
}

/// Reads the status line of a sipfrag body (RFC 3420) and Subscription-State. A last NOTIFY may come without a body: then
/// what has become of the call is not known, 408.
fn progress(request: &Message) -> Option<Progress> {
    let state = request.header(&HeaderName::SubscriptionState).map_or("", |state| state.as_str());
    let mut parts = state.split(';').map(str::trim);
    let terminated = parts.next().is_some_and(|state| state.eq_ignore_ascii_case("terminated"));
    let seconds = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("expires").then(|| value.trim().parse::<u32>().ok())?
    });
    let expires = seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let (status, reason) = match request.body.is_empty() {
        true if terminated => (408, StatusCode::REQUEST_TIMEOUT.reason().to_owned()),
        true => return None,
        false => status_line(&String::from_utf8_lossy(&request.body))?,
    };
    Some(Progress { status, reason, terminated, expires })
}

fn status_line(body: &str) -> Option<(u16, String)> {
    let line = body.split(['\r', '\n']).map(str::trim).find(|line| !line.is_empty())?;
    let (version, rest) = line.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let (code, reason) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let digits = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let status = StatusCode::new(code.parse().ok().filter(|_| digits)?)?;
    let reason: String = reason.trim().chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
    let reason = if reason.is_empty() { status.reason().to_owned() } else { reason };
    version.eq_ignore_ascii_case("SIP/2.0").then_some((status.as_u16(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_line_is_the_first_line_in_any_line_ending() {
        let is = |status, reason: &str| Some((status, reason.to_owned()));
        assert_eq!(status_line("SIP/2.0 200 OK"), is(200, "OK"));
        assert_eq!(
            status_line("\r\nsip/2.0  503 Service Unavailable \nTo: x"),
            is(503, "Service Unavailable")
        );
        assert_eq!(status_line("SIP/2.0 180\r"), is(180, "Ringing"));
        let long = status_line(&format!("SIP/2.0 180 {}", "ü".repeat(500))).unwrap().1;
        assert_eq!(long.chars().count(), MAX_REASON);
        for bad in [
            "",
            "\r\n",
            "200 OK",
            "SIP/2.0",
            "SIP/2.0 ",
            "SIP/2.0 99 x",
            "SIP/2.0 700",
            "SIP/2.0 +20 OK",
            "SIP/3.0 200 OK",
        ] {
            assert_eq!(status_line(bad), None, "{bad:?}");
        }
    }
}
