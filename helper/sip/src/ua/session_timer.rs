//! Session timers (RFC 4028): what an INVITE or UPDATE and its 2xx agree on. In: the headers of both. Out: [`Terms`] for
//! our 2xx, [`Ask`] for our requests, and the [`Session`] of a call that is up.
//!
//! The interval never grows on its way and never falls below 90 s; who refreshes is the requester's choice if it made one
//! (table 2). Where the peer does not support the extension we refresh alone. Knows no transaction.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::CallKey;
use super::call::{CallTimer, Up};
use crate::endpoint::{Core, EndpointConfig, Fault, SessionTimer};
use crate::msg::{HeaderName, Message, Method, StatusCode};
use crate::tx::{ClientKey, TimerKey};

/// The option tag.
pub(crate) const TIMER: &str = "timer";

/// No interval may be shorter (RFC 4028 §4).
pub(crate) const LEAST_INTERVAL: Duration = Duration::from_secs(90);

/// The longest interval that is asked for, whatever a 422 says: a day.
pub(crate) const MOST_INTERVAL: Duration = Duration::from_secs(86_400);

/// 422 answers to one request.
const MAX_RAISES: u8 = 3;

/// The least wait between two attempts to refresh.
const LEAST_RETRY: Duration = Duration::from_secs(5);

/// How long before the end of the interval a call is given up that the peer does not refresh; a third of a short one.
const GIVE_UP_MARGIN: Duration = Duration::from_secs(32);

/// What our 2xx to a request of the peer says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    interval: Duration,
    we_refresh: bool,
    /// The peer supports the extension.
    supported: bool,
    /// The peer's Min-SE, seconds.
    min_se: u32,
    /// Whether the peer takes UPDATE, when it says so.
    by_update: Option<bool>,
}

/// What our requests ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    /// The largest Min-SE heard or configured, seconds.
    min_se: u32,
    expires: u32,
    raises: u8,
}

/// The session timer of a call that is up.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) interval: Duration,
    pub(super) we_refresh: bool,
    /// The peer knows of the timer, and ends the call itself when it is not refreshed.
    pub(super) agreed: bool,
    /// Refresh by UPDATE: the peer takes it.
    pub(super) by_update: bool,
    pub(super) ask: Ask,
    /// Our side of the session as it was sent last; empty when there is none.
    pub(super) sdp: Bytes,
    /// When the call is over unless it is refreshed.
    pub(super) expires_at: Instant,
    pub(super) timer: TimerKey,
    /// Our UPDATE that is out.
    pub(super) update: Option<ClientKey>,
}

impl Terms {
    /// What to answer to a request of the peer; 422 when it wants an interval that is too short (RFC 4028 §9).
    pub(crate) fn of(
        config: &EndpointConfig,
        request: &Message,
        now: Option<&Session>,
    ) -> Result<Option<Self>, Fault> {
        let Some(timer) = &config.session_timer else { return Ok(None) };
        let asked = request.session_expires().ok();
        // Some equipment leaves the tag out of later requests.
        let known = now.is_some_and(|session| session.agreed) && asked.is_some();
        let supported = request.supports(TIMER) || known;
        if supported && asked.as_ref().is_some_and(|asked| asked.interval < timer.min_se) {
            let min_se = timer.min_se.as_secs().to_string();
            return Err(Fault::new(StatusCode::SESSION_INTERVAL_TOO_SMALL).header(HeaderName::MinSe, min_se));
        }
        // What the peer has said it will not go below holds for the dialog, named again or not.
        let min_se = request.min_se().unwrap_or(0).max(now.map_or(0, |session| session.ask.min_se));
        let wanted = timer.expires.max(Duration::from_secs(min_se.into()));
        let interval = asked.as_ref().map_or(wanted, |asked| asked.interval.min(wanted)).max(LEAST_INTERVAL);
        let refresher = asked.and_then(|asked| asked.refresher);
        let they_refresh = match refresher.as_deref() {
            Some(named) if named.eq_ignore_ascii_case("uac") => true,
            Some(named) if named.eq_ignore_ascii_case("uas") => false,
            _ => now.is_some_and(|session| !session.we_refresh),
        };
        let we_refresh = !(they_refresh && supported);
        Ok(Some(Self { interval, we_refresh, supported, min_se, by_update: by_update(request) }))
    }

    /// The lines of the 2xx. The requester is the `uac` of its request, whoever placed the call (RFC 4028 §9, table 2).
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let refresher = if self.we_refresh { "uas" } else { "uac" };
        let expires = ("Session-Expires", format!("{};refresher={refresher}", self.interval.as_secs()));
        let require = self.supported.then(|| ("Require", TIMER.to_owned()));
        require.into_iter().chain([expires]).collect()
    }
}

impl Ask {
    /// What the first request of a call asks for.
    pub(crate) fn first(timer: &SessionTimer) -> Self {
        Self { min_se: seconds(timer.min_se), expires: seconds(timer.expires), raises: 0 }
    }

    /// The lines of the first request. Who refreshes is left to the callee.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![("Session-Expires", self.expires.to_string()), ("Min-SE", self.min_se.to_string())]
    }

    /// Asks for as much as a 422 wants, where that is more than before and not too much (RFC 4028 §7.3).
    pub(crate) fn raise(&mut self, response: &Message) -> bool {
        let least = response.min_se().unwrap_or(0);
        let longest = seconds(MOST_INTERVAL);
        let good = least > self.min_se && least <= longest && self.raises < MAX_RAISES;
        if good {
            self.min_se = least;
            self.expires = self.expires.max(least);
            self.raises += 1;
        }
        good
    }
}

impl Session {
    /// The lines of a request of ours: the roles stay as they are (RFC 4028 §7.4).
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let expires = seconds(self.interval).max(self.ask.min_se);
        let refresher = if self.we_refresh { "uac" } else { "uas" };
        let mut lines = vec![("Session-Expires", format!("{expires};refresher={refresher}"))];
        // 90 is what no Min-SE means.
        if u64::from(self.ask.min_se) > LEAST_INTERVAL.as_secs() {
            lines.push(("Min-SE", self.ask.min_se.to_string()));
        }
        lines
    }

    /// Counts from now again.
    fn restart(&mut self, core: &mut Core, now: Instant, key: CallKey) {
        let margin = if self.we_refresh { Duration::ZERO } else { GIVE_UP_MARGIN.min(self.interval / 3) };
        self.expires_at = now + self.interval - margin;
        let due = if self.we_refresh { now + self.interval / 2 } else { self.expires_at };
        self.wake(core, due, key);
        self.ask.raises = 0;
    }

    /// Has the timer fire at `due`, or when the session expires.
    pub(super) fn wake(&mut self, core: &mut Core, due: Instant, key: CallKey) {
        core.timers.cancel(self.timer);
        self.timer = core.arm_call(due.min(self.expires_at), key, CallTimer::Session);
    }

    /// A refresh failed in a way that does not end the call: another attempt after the wait that the peer asks for, else
    /// after half of the time that is left.
    pub(super) fn retry(&mut self, core: &mut Core, now: Instant, key: CallKey, after: Option<Duration>) {
        let left = self.expires_at.saturating_duration_since(now);
        let wait = after.unwrap_or(left / 2).max(LEAST_RETRY);
        self.wake(core, now + wait, key);
    }
}

impl Up {
    /// Our 2xx on these terms is out: the timer starts, or starts again. `sdp` is the body of that 2xx.
    pub(super) fn agree(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: CallKey,
        terms: Option<Terms>,
        sdp: Option<&Bytes>,
    ) {
        let (Some(terms), Some(timer)) = (terms, &core.config.session_timer) else { return };
        let ask = Ask::first(timer);
        let session = self.session.get_or_insert_with(|| unarmed(core, now, key, ask));
        session.interval = terms.interval;
        session.we_refresh = terms.we_refresh;
        session.agreed = terms.supported;
        session.by_update = terms.by_update.unwrap_or(session.by_update);
        session.ask.min_se = session.ask.min_se.max(terms.min_se.min(seconds(MOST_INTERVAL)));
        if let Some(sdp) = sdp {
            session.sdp = sdp.clone();
        }
        session.restart(core, now, key);
    }

    /// A 2xx to a request of ours came: the same (RFC 4028 §7.2). `ask` is what the request asked for if it was the first,
    /// `sdp` its body.
    pub(super) fn adopt(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: CallKey,
        (ask, response): (Option<Ask>, &Message),
        sdp: Option<&Bytes>,
    ) {
        if self.session.is_none() {
            let Some(ask) = ask else { return };
            self.session = Some(unarmed(core, now, key, ask));
        }
        let Some(session) = &mut self.session else { return };
        match response.session_expires() {
            Ok(said) => {
                session.interval = said.interval.max(LEAST_INTERVAL);
                let theirs = said.refresher.is_some_and(|named| named.eq_ignore_ascii_case("uas"));
                (session.we_refresh, session.agreed) = (!theirs, true);
            }
            // The peer does not support it, or no more: we refresh alone, to learn whether it is there.
            Err(_) => {
                session.interval = Duration::from_secs(session.ask.expires.into());
                (session.we_refresh, session.agreed) = (true, false);
            }
        }
        session.by_update = by_update(response).unwrap_or(session.by_update);
        if let Some(sdp) = sdp {
            session.sdp = sdp.clone();
        }
        session.restart(core, now, key);
    }
}

/// A session timer that is to be started at once.
fn unarmed(core: &mut Core, now: Instant, key: CallKey, ask: Ask) -> Box<Session> {
    Box::new(Session {
        interval: Duration::from_secs(ask.expires.into()),
        we_refresh: true,
        agreed: false,
        by_update: false,
        ask,
        sdp: Bytes::new(),
        expires_at: now,
        timer: core.arm_call(now, key, CallTimer::Session),
        update: None,
    })
}

/// Whether the peer's Allow names UPDATE; `None` without an Allow.
fn by_update(message: &Message) -> Option<bool> {
    message.header(HeaderName::Allow)?;
    Some(message.allows(&Method::Update))
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
