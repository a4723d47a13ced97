//! Inbound calls: what is checked before an INVITE becomes a call, and how it is rung, answered, refused or cancelled
//! (RFC 3261 §8.2, §13.3).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{Call, CallTimer, Ringing, State, Up};
use super::compose::{self, ResponseHead, SDP};
use super::reliable::{Reliability, abandon_early_offer};
use super::session_timer::Terms;
use super::success::{SuccessKind, send_success};
use super::{CallError, CallKey, EndCause, Event, Incoming, Party, Rejection, guard};
use crate::dialog::Dialog;
use crate::endpoint::{Endpoint, EndpointConfig, Fault};
use crate::msg::{HeaderName, Message, NameAddr, ResponseBuilder, Scheme, StatusCode, Uri, Via};
use crate::tx::{Reply, ServerKey};

/// How often a provisional response above 100 is repeated (RFC 3261 §13.3.1.1).
pub(super) const REFRESH: Duration = Duration::from_secs(60);

impl Endpoint {
    /// An INVITE outside a dialog, not seen before.
    pub(crate) fn receive_invite(
        &mut self,
        now: Instant,
        source: SocketAddr,
        request: &Message,
        via: &Via,
        server: ServerKey,
    ) -> Result<(), Fault> {
        check_request_uri(request)?;
        check_require(&self.core.config, request)?;
        check_accept(request)?;
        let terms = Terms::of(&self.core.config, request, None)?;
        let offer = sdp_of(request)?;
        let (Ok(from), Ok(to), Ok(call_id)) = (request.from(), request.to(), request.call_id()) else {
            return Err(Fault::new(StatusCode::BAD_REQUEST));
        };
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let merge =
            self.core.random.hash().text(&call_id).text(from.tag().unwrap_or("")).number(cseq).finish();
        if self.servers.is_merged(merge) {
            return Err(Fault::new(StatusCode::LOOP_DETECTED));
        }
        self.admit()?;

        let tag = self.core.random.tag();
        let bad = || Fault::new(StatusCode::BAD_REQUEST);
        let dialog = Dialog::uas(request, &tag, source).map_err(|_| bad())?;
        let head = ResponseHead::new(request, via, source, &tag).ok_or_else(bad)?;
        let trying = ResponseBuilder::to_request(request, StatusCode::TRYING, None)
            .received_from(source)
            .build()
            .map_err(|_| bad())?;

        let key = self.calls.next_key();
        let destination = head.destination;
        self.servers.start_invite(&mut self.core, now, server, key, Some(merge), (destination, trying));
        let limit = request.expires().map_or(self.core.config.limits.max_ringing, |seconds| {
            Duration::from_secs(seconds.into()).min(self.core.config.limits.max_ringing)
        });
        let limit = self.core.arm_call(now + limit, key, CallTimer::RingLimit);
        let ringing = Ringing {
            dialog,
            invite: server,
            cseq,
            head,
            has_offer: offer.is_some(),
            terms,
            provisional: Bytes::new(),
            reliability: Reliability::of(&mut self.core, request),
            refresh: None,
            limit: Some(limit),
        };
        self.calls.insert(&self.core.random, key, (&call_id, &tag), State::Ringing(Box::new(ringing)));
        self.core.event(Event::Incoming(Box::new(Incoming {
            call: key,
            sip_call_id: call_id.to_string(),
            request_uri: request.request_uri().map(ToString::to_string).unwrap_or_default(),
            from: party(&from),
            to: party(&to),
            offer,
            headers: request.x_headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            source,
        })));
        Ok(())
    }

    /// Whether another call fits (503 with Retry-After where not).
    fn admit(&mut self) -> Result<(), Fault> {
        let limits = &self.core.config.limits;
        let full = self.calls.len() >= limits.max_dialogs || self.calls.unsettled() >= limits.max_unacked;
        if full {
            self.core.counters.rejected_by_limit += 1;
        }
        if full || self.core.draining {
            return Err(Fault::retry_after(StatusCode::SERVICE_UNAVAILABLE, limits.retry_after));
        }
        self.admit_transaction()
    }

    /// Whether another server transaction fits.
    pub(crate) fn admit_transaction(&mut self) -> Result<(), Fault> {
        let limits = &self.core.config.limits;
        if self.clients.len() + self.servers.len() < limits.max_transactions {
            return Ok(());
        }
        self.core.counters.rejected_by_limit += 1;
        Err(Fault::retry_after(StatusCode::SERVICE_UNAVAILABLE, limits.retry_after))
    }

    /// Sends 180 or 183.
    pub(crate) fn send_provisional(
        &mut self,
        now: Instant,
        key: CallKey,
        status: StatusCode,
        sdp: Option<&Bytes>,
    ) -> Result<(), CallError> {
        let State::Ringing(ringing) = self.calls.live(key)? else { return Err(CallError::WrongState) };
        if ringing.reliability.is_some() {
            return self.send_reliable(now, key, status, sdp);
        }
        let opens = Some(&ringing.dialog);
        let response = ringing.head.session(&self.core.config, opens, status, (None, &[]), sdp);
        ringing.provisional = response.clone();
        self.core.cancel(ringing.refresh.take());
        ringing.refresh = Some(self.core.arm_call(now + REFRESH, key, CallTimer::Refresh));
        self.servers.reply(&mut self.core, now, ringing.invite, Reply::Provisional, response);
        Ok(())
    }

    /// Sends 200 and waits for the ACK.
    pub(crate) fn send_answer(&mut self, now: Instant, key: CallKey, sdp: &Bytes) -> Result<(), CallError> {
        if self.hold_answer(key, sdp)? {
            return Ok(());
        }
        let Some(Call { name, state: State::Ringing(ringing) }) = self.calls.take(&mut self.core, key) else {
            return Err(CallError::WrongState);
        };
        let Ringing { dialog, invite, cseq, head, has_offer, terms, reliability, .. } = *ringing;
        let mut up = Box::new(Up::new(dialog, false, None));
        up.late_prack = reliability.as_ref().and_then(|reliability| Some((reliability.awaited()?, cseq)));
        let answered = reliability.and_then(|reliability| reliability.answer);
        let kind = SuccessKind { terms, initial: true, offers: !has_offer };
        let body = if answered.is_some() { None } else { Some(sdp) };
        send_success(&mut self.core, &mut self.servers, now, key, &mut up, (invite, &head, cseq), body, kind);
        if let (Some(session), Some(answered)) = (&mut up.session, answered) {
            session.sdp = answered;
        }
        self.calls.put(name, State::Up(up));
        Ok(())
    }

    /// Refuses a ringing call.
    pub(crate) fn send_rejection(
        &mut self,
        now: Instant,
        key: CallKey,
        rejection: &Rejection,
    ) -> Result<(), CallError> {
        if !matches!(self.calls.live(key)?, State::Ringing(_)) {
            return Err(CallError::WrongState);
        }
        let status = StatusCode::new(rejection.status).filter(|status| status.is_failure());
        let status = status.ok_or(CallError::Invalid { field: "status" })?;
        let reason = rejection.reason.as_deref().unwrap_or(status.reason());
        if !guard::is_value(reason) {
            return Err(CallError::Invalid { field: "reason" });
        }
        if !guard::are_headers(&rejection.headers) {
            return Err(CallError::Invalid { field: "headers" });
        }
        let seconds = rejection.retry_after.map(|after| after.as_secs().to_string());
        let lines = rejection.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let lines: Vec<_> = lines.chain(seconds.as_deref().map(|seconds| ("Retry-After", seconds))).collect();
        let cause = EndCause::Declined { status: status.as_u16(), reason: reason.to_owned() };
        self.refuse_ringing(now, key, (status, reason), &lines, cause);
        Ok(())
    }

    /// Sends the final response of a ringing call that will not be answered; the call is gone afterwards.
    pub(crate) fn refuse_ringing(
        &mut self,
        now: Instant,
        key: CallKey,
        (status, reason): (StatusCode, &str),
        lines: &[(&str, &str)],
        cause: EndCause,
    ) {
        let Some(Call { mut name, mut state }) = self.calls.take(&mut self.core, key) else { return };
        if let State::Ringing(ringing) = &mut state {
            abandon_early_offer(&mut self.core, &mut self.servers, now, ringing);
            let lines: Vec<_> =
                lines.iter().copied().chain([("Server", self.core.config.user_agent.as_str())]).collect();
            let response = ringing.head.response(status.as_u16(), reason, &lines, None);
            self.servers.reply(&mut self.core, now, ringing.invite, Reply::Failure, response);
        }
        name.end(&mut self.core, cause);
    }

    /// The local tag of the ringing call that `server` opened.
    pub(crate) fn local_tag(&mut self, server: ServerKey) -> Option<String> {
        match self.calls.state(self.servers.get(server)?.owner?)? {
            State::Ringing(ringing) => Some(ringing.dialog.local.rsplit_once(";tag=")?.1.to_owned()),
            _ => None,
        }
    }

    /// A CANCEL whose INVITE is `server` (RFC 3261 §9.2).
    pub(crate) fn receive_cancel(&mut self, now: Instant, server: ServerKey) {
        let Some(owner) =
            self.servers.get(server).filter(|tx| tx.is_proceeding_invite()).and_then(|tx| tx.owner)
        else {
            return;
        };
        let terminated = (StatusCode::REQUEST_TERMINATED, StatusCode::REQUEST_TERMINATED.reason());
        match self.calls.state(owner) {
            Some(State::Ringing(_)) => self.refuse_ringing(now, owner, terminated, &[], EndCause::Cancelled),
            Some(State::Up(up)) if up.theirs.as_ref().is_some_and(|theirs| theirs.server == server) => {
                if let Some(theirs) = up.theirs.take() {
                    let response = theirs.head.response(terminated.0.as_u16(), terminated.1, &[], None);
                    self.servers.reply(&mut self.core, now, server, Reply::Failure, response);
                    self.core.event(Event::OfferWithdrawn { call: owner });
                }
            }
            _ => {}
        }
    }

    /// Timers of a ringing call.
    pub(crate) fn ring_limit(&mut self, now: Instant, key: CallKey) {
        let unavailable = StatusCode::TEMPORARILY_UNAVAILABLE;
        self.refuse_ringing(now, key, (unavailable, unavailable.reason()), &[], EndCause::Timeout);
    }

    pub(crate) fn refresh_provisional(&mut self, now: Instant, key: CallKey) {
        if self.refresh_reliable(now, key) {
            return;
        }
        let Some(State::Ringing(ringing)) = self.calls.state(key) else { return };
        ringing.refresh = Some(self.core.arm_call(now + REFRESH, key, CallTimer::Refresh));
        let response = ringing.provisional.clone();
        self.servers.reply(&mut self.core, now, ringing.invite, Reply::Provisional, response);
    }
}

/// 416 for schemes that no SIP user agent serves (RFC 3261 §8.2.2.1).
pub(crate) fn check_request_uri(request: &Message) -> Result<(), Fault> {
    let uri = request.request_uri().and_then(|uri| Uri::from_text(uri).ok());
    match uri.map(|uri| uri.scheme) {
        Some(Scheme::Sip | Scheme::Sips | Scheme::Tel) => Ok(()),
        Some(Scheme::Other(_)) => Err(Fault::new(StatusCode::UNSUPPORTED_URI_SCHEME)),
        None => Err(Fault::because(StatusCode::BAD_REQUEST, "Malformed Request-URI")),
    }
}

/// 420 for every extension that is required and not known (RFC 3261 §8.2.2.3).
pub(crate) fn check_require(config: &EndpointConfig, request: &Message) -> Result<(), Fault> {
    let known = |tag: &str| compose::option_tags(config).any(|known| known.eq_ignore_ascii_case(tag));
    let unknown = request.require().filter(|tag| !known(tag)).map(|tag| tag.to_string());
    let unknown: Vec<_> = unknown.collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Fault::new(StatusCode::BAD_EXTENSION).header(HeaderName::Unsupported, unknown.join(", ")))
}

/// 406 when SDP is not among what the caller takes in a response (RFC 3261 §20.1).
fn check_accept(request: &Message) -> Result<(), Fault> {
    let takes_sdp = |range: &str| {
        let range = range.split(';').next().unwrap_or("").trim();
        ["*/*", "application/*", SDP].iter().any(|good| range.eq_ignore_ascii_case(good))
    };
    let mut ranges = request.list(HeaderName::Accept).peekable();
    if ranges.peek().is_none() || ranges.any(|range| takes_sdp(&range)) {
        return Ok(());
    }
    Err(Fault::new(StatusCode::NOT_ACCEPTABLE))
}

/// The SDP body of a request; `None` when there is no body. 415 for a body that is neither SDP nor optional
/// (RFC 3261 §8.2.3, §20.11).
pub(crate) fn sdp_of(request: &Message) -> Result<Option<Bytes>, Fault> {
    if request.body.is_empty() {
        return Ok(None);
    }
    let unsupported =
        || Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).header(HeaderName::Accept, SDP.to_owned());
    if let Some(encoding) = request.header(&HeaderName::ContentEncoding)
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(unsupported().header(HeaderName::AcceptEncoding, "identity".to_owned()));
    }
    if request.content_type().is_ok_and(|media| media.is(SDP)) {
        // A copy: the datagram may be a slice of something large.
        return Ok(Some(Bytes::copy_from_slice(&request.body)));
    }
    let optional = request
        .header(&HeaderName::ContentDisposition)
        .is_some_and(|value| value.to_ascii_lowercase().replace(' ', "").contains("handling=optional"));
    if optional { Ok(None) } else { Err(unsupported()) }
}

fn party(addr: &NameAddr) -> Party {
    Party {
        display: addr.display.clone(),
        uri: addr.uri.to_string(),
        user: addr.parsed_uri().ok().and_then(|uri| uri.user_unescaped()).filter(|user| !user.is_empty()),
    }
}
