//! Where a received message goes: to its transaction, its dialog, a new call, or back with a refusal.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::{Endpoint, Fault, Fire};
use crate::msg::{
    HeaderName, Limits, Message, Method, ParseError, ParseErrorKind, StatusCode, Via, parse_datagram,
    validate_request, validate_response,
};
use crate::tx::{ClientKey, ClientNotice, ClientTx, Purpose, ServerKey, ServerNotice};
use crate::ua::compose::{SDP, allow, supported};
use crate::ua::{CallTimer, EndCause, State, abandon_early_offer, check_request_uri, check_require};

impl Endpoint {
    pub(super) fn receive(&mut self, now: Instant, source: SocketAddr, datagram: Bytes) {
        let limits = Limits { body: self.core.config.limits.max_body, ..Limits::default() };
        match parse_datagram(datagram, &limits) {
            Ok(message) if message.is_request() => self.receive_request(now, source, &message),
            Ok(message) => self.receive_response(now, &message),
            Err(error) => self.receive_malformed(source, &error),
        }
    }

    fn receive_malformed(&mut self, source: SocketAddr, error: &ParseError) {
        if error.kind == ParseErrorKind::KeepAlive {
            return;
        }
        self.core.counters.malformed += 1;
        if let Some(request) = error.answerable()
            && let Ok(via) = request.top_via()
        {
            Fault::because(error.status(), error.reason()).send(&mut self.core, source, request, &via);
        }
    }

    fn receive_request(&mut self, now: Instant, source: SocketAddr, request: &Message) {
        let (Some(method), Ok(via)) = (request.method(), request.top_via()) else {
            self.core.counters.malformed += 1;
            return;
        };
        let valid = validate_request(request)
            .map_err(|fault| Fault::because(fault.status, fault.reason))
            .and_then(|()| {
                ServerKey::of_request(&self.core.random, request, &via, method)
                    .map_err(|_| Fault::new(StatusCode::BAD_REQUEST))
            });
        let answered = match (valid, method) {
            (Err(_), Method::Ack) => {
                self.core.counters.malformed += 1;
                Ok(())
            }
            (Err(fault), _) => {
                self.core.counters.malformed += 1;
                Err(fault)
            }
            (Ok(server), Method::Ack) => {
                match self.servers.ack(&mut self.core, now, server) {
                    None | Some(ServerNotice::Deliver) => self.receive_success_ack(now, request),
                    Some(_) => {}
                }
                Ok(())
            }
            (Ok(_), Method::Cancel) => {
                match ServerKey::of_request(&self.core.random, request, &via, &Method::Invite) {
                    Ok(invite) if self.servers.get(invite).is_some() => {
                        // The tag of the INVITE's own responses (RFC 3261 §9.2).
                        let tag = self.local_tag(invite);
                        Fault::new(StatusCode::OK).tagged(tag).send(&mut self.core, source, request, &via);
                        self.receive_cancel(now, invite);
                        Ok(())
                    }
                    _ => Err(Fault::new(StatusCode::CALL_DOES_NOT_EXIST)),
                }
            }
            (Ok(server), _) => match self.servers.retransmission(&mut self.core, now, server) {
                Some(notice) => {
                    self.core.counters.retransmissions_in += 1;
                    if notice == ServerNotice::Absorbed {
                        self.repeat_success(server);
                    }
                    Ok(())
                }
                None => self.receive_new(now, source, request, (&via, server)),
            },
        };
        if let Err(fault) = answered {
            fault.send(&mut self.core, source, request, &via);
        }
    }

    /// A request that no transaction knows (RFC 3261 §8.2).
    fn receive_new(
        &mut self,
        now: Instant,
        source: SocketAddr,
        request: &Message,
        (via, server): (&Via, ServerKey),
    ) -> Result<(), Fault> {
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        if !in_dialog {
            self.authenticate(now, source, request, via)?;
        }
        match request.method() {
            Some(
                Method::Invite
                | Method::Bye
                | Method::Update
                | Method::Prack
                | Method::Options
                | Method::Info
                | Method::Refer
                | Method::Notify,
            ) if in_dialog => self.receive_in_dialog(now, source, request, via, server),
            Some(Method::Invite) => self.receive_invite(now, source, request, via, server),
            Some(Method::Options) => {
                check_request_uri(request)?;
                check_require(&self.core.config, request)?;
                Err(self.capabilities(false))
            }
            // Only within a call could it be granted.
            Some(Method::Refer) => Err(Fault::new(StatusCode::DECLINE)),
            Some(Method::Bye | Method::Update | Method::Prack | Method::Notify) => {
                Err(Fault::new(StatusCode::CALL_DOES_NOT_EXIST))
            }
            _ => Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED)
                .header(HeaderName::Allow, allow(&self.core.config).to_owned())),
        }
    }

    /// The answer to OPTIONS (RFC 3261 §11.2): the one that an INVITE would get, and what is understood.
    /// Inside a dialog it is 200 while draining too: the call goes on.
    pub(crate) fn capabilities(&self, in_dialog: bool) -> Fault {
        let answer = if self.core.draining && !in_dialog {
            Fault::retry_after(StatusCode::SERVICE_UNAVAILABLE, self.core.config.limits.retry_after)
        } else {
            Fault::new(StatusCode::OK)
        };
        answer
            .header(HeaderName::Allow, allow(&self.core.config).to_owned())
            .header(HeaderName::Accept, SDP.to_owned())
            .header(HeaderName::Supported, supported(&self.core.config))
    }

    fn receive_response(&mut self, now: Instant, response: &Message) {
        let client =
            validate_response(response).and_then(|()| ClientKey::of_response(&self.core.random, response));
        let Ok(client) = client else {
            self.core.counters.malformed += 1;
            return;
        };
        let notice = self.clients.response(&mut self.core, now, client, response);
        let purpose = self.clients.get(client).map(|tx| tx.purpose);
        match (notice, purpose) {
            (None, _) => self.core.counters.dropped += 1,
            (Some(ClientNotice::Deliver), Some(purpose)) => {
                match purpose {
                    Purpose::Invite => self.invite_response(now, client, response),
                    Purpose::Reinvite => self.reinvite_response(now, client, response),
                    Purpose::Update => self.update_response(now, client, response),
                    Purpose::Bye => self.bye_response(now, client, response),
                    Purpose::Register(key) => self.register_response(now, key, client, response),
                    Purpose::Prack => self.prack_response(now, client, response),
                    Purpose::Refer => self.refer_response(now, client, response),
                    Purpose::Notify => self.notify_response(now, client, response),
                    Purpose::Info => self.info_response(now, client, response),
                    Purpose::Cancel => {}
                }
                self.cancel_if_wanted(now, client);
            }
            (Some(ClientNotice::Quiet), _) => self.core.counters.retransmissions_in += 1,
            (Some(_), _) => {}
        }
    }

    pub(super) fn fire(&mut self, now: Instant, fire: Fire) {
        match fire {
            Fire::Client(client, timer) => {
                if let Some(notice) = self.clients.fired(&mut self.core, now, client, timer) {
                    self.client_notice(now, client, notice);
                }
            }
            Fire::Server(server, timer) => self.servers.fired(&mut self.core, now, server, timer),
            Fire::Registration(key) => self.registration_due(now, key),
            Fire::Call(call, CallTimer::RingLimit) => match self.calls.state(call) {
                Some(State::Calling(_)) => self.give_up(now, call, EndCause::Timeout),
                _ => self.ring_limit(now, call),
            },
            Fire::Call(call, CallTimer::Refresh) => self.refresh_provisional(now, call),
            Fire::Call(call, CallTimer::ReliableResend) => self.resend_reliable(now, call),
            Fire::Call(call, CallTimer::PrackOverdue) => self.prack_overdue(now, call),
            Fire::Call(call, CallTimer::Resend) => self.resend_success(now, call),
            Fire::Call(call, CallTimer::AckOverdue) => self.ack_overdue(now, call),
            Fire::Call(call, CallTimer::AnswerOverdue) => self.answer_overdue(now, call),
            Fire::Call(call, CallTimer::OfferLimit) => self.reoffer_limit(now, call),
            Fire::Call(call, CallTimer::OfferRetry) => self.reoffer_retry(now, call),
            Fire::Call(call, CallTimer::Session) => self.session_due(now, call),
            Fire::Call(call, CallTimer::ReferSilence) => self.refer_silence(call),
            Fire::Call(call, CallTimer::ReferredLimit) => self.referred_limit(now, call),
        }
    }

    /// What has had no answer at all from `destination` fails.
    pub(super) fn fail_unanswered(&mut self, now: Instant, destination: SocketAddr) {
        for client in self.clients.to(destination) {
            if self.clients.get(client).is_some_and(|tx| tx.is_unanswered())
                && let Some(notice) = self.clients.transport_error(&mut self.core, now, client)
            {
                self.client_notice(now, client, notice);
            }
        }
    }

    /// Everything that waits for an answer from `destination` fails; inbound calls that ring there end.
    pub(super) fn fail_destination(&mut self, now: Instant, destination: SocketAddr) {
        for client in self.clients.to(destination) {
            if let Some(notice) = self.clients.transport_error(&mut self.core, now, client) {
                self.client_notice(now, client, notice);
            }
        }
        for (server, owner) in self.servers.to(destination) {
            let rings = self.servers.get(server).is_some_and(|tx| tx.is_proceeding_invite());
            self.servers.transport_error(&mut self.core, now, server);
            if let Some(call) = owner.filter(|_| rings)
                && let Some(State::Ringing(ringing)) = self.calls.state(call)
                && ringing.invite == server
            {
                abandon_early_offer(&mut self.core, &mut self.servers, now, ringing);
                self.drop_call(call, EndCause::TransportError);
            }
        }
    }

    /// What the end of a client transaction without an answer means for its call.
    fn client_notice(&mut self, now: Instant, client: ClientKey, notice: ClientNotice) {
        let (tx, cause) = match notice {
            ClientNotice::TimedOut(tx) => (tx, EndCause::Timeout),
            ClientNotice::Failed(tx) => (tx, EndCause::TransportError),
            ClientNotice::Quiet | ClientNotice::Deliver => return,
        };
        if let Purpose::Register(key) = tx.purpose {
            return self.register_unanswered(now, key, client, cause == EndCause::Timeout);
        }
        let ClientTx { purpose, owner: Some(call), .. } = *tx else { return };
        match (purpose, self.calls.state(call)) {
            (Purpose::Invite, Some(State::Calling(calling))) if calling.invite == client => {
                self.drop_call(call, cause);
            }
            (Purpose::Reinvite | Purpose::Update, Some(State::Up(up))) => {
                if let Some(cause) = up.unanswered(client, cause) {
                    self.end_and_leave(now, call, cause);
                }
            }
            (Purpose::Bye, Some(State::Leaving(leaving))) if leaving.bye == client => {
                self.forget_leaving(call)
            }
            (Purpose::Refer, Some(State::Up(_))) => self.refer_unanswered(call, client, &cause),
            (Purpose::Notify, Some(State::Up(_))) => self.notify_unanswered(call, client),
            (Purpose::Info, Some(State::Up(_))) => self.info_unanswered(call, client, &cause),
            _ => {}
        }
    }
}
