//! `SipListener` owns the SIP socket and the SIP core, and knows which call each SIP event belongs to.
//!
//! In: UDP datagrams, [`SipCommand`]. Out: datagrams, [`IncomingCall`] to the switchboard, [`SipEvent`] to calls. Knows
//! nothing of media or of WebSocket clients; what SIP requires, the core decides.

mod door;
mod naming;
mod outcome;
mod routes;

use std::{
    io,
    net::{SocketAddr, UdpSocket as StdUdpSocket},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, StreamHandler};
use bytes::Bytes;
use model::{
    call::{Direction, EndLabel, EndReason, Party},
    id::CallId,
};
use sip::{CallError, CallKey, Endpoint, Event, Incoming, Output, Rejection, Stats};
use socket2::SockRef;
use tokio::{net::UdpSocket, sync::oneshot};
use tracing::{debug, info, warn};

pub use self::{
    door::{Door, Peers, Trunk},
    naming::number_text,
};
use self::{
    door::{dial_of, uri_of},
    naming::{MAX_PHONE, called_number, phone_of},
    outcome::{dial_error, end_reason},
    routes::Routes,
};
use super::{
    call::state::SipInput,
    io::{Alarm, AlarmRang, Readable, ReadableStream},
    message::{
        DialRequest, DismissSip, DrainSip, IncomingCall, Invite, ReofferOutcome, SipAction, SipCensus,
        SipCensusRequest, SipCommand, SipDrained, SipEvent, TransferProgress, TransferTarget,
    },
    registration::Registrar,
    switchboard::RETRY_AFTER,
};
use crate::{
    http::{Part, Readiness, Up},
    logging::Pii,
    metrics::{Metrics, SETTLE_EVERY},
};

/// See the module's documentation.
pub struct SipListener {
    socket: Rc<UdpSocket>,
    endpoint: Endpoint,
    alarm: Alarm,
    trunk: Option<Trunk>,
    peers: Peers,
    registrar: Registrar,
    refused: u64,
    turned_away: u64,
    switchboard: Recipient<IncomingCall>,
    routes: Routes,
    draining: Option<Recipient<SipDrained>>,
    buffer: Box<[u8]>,
    metrics: Arc<Metrics>,
    settled: Stats,
    dismissed: Option<oneshot::Sender<()>>,
    _up: Up,
}

impl SipListener {
    /// A listener on a bound, non-blocking socket. Call it inside the arbiter on which it will live.
    pub fn new(
        socket: StdUdpSocket,
        endpoint: Endpoint,
        door: Door,
        switchboard: Recipient<IncomingCall>,
        metrics: Arc<Metrics>,
        readiness: &Readiness,
    ) -> io::Result<Self> {
        let Door { trunk, peers, registration } = door;
        Ok(Self {
            socket: Rc::new(UdpSocket::from_std(socket)?),
            endpoint,
            alarm: Alarm::new(),
            trunk,
            peers,
            registrar: Registrar::new(registration, metrics.clone()),
            refused: 0,
            turned_away: 0,
            switchboard,
            routes: Routes::new(&metrics),
            draining: None,
            buffer: vec![0; MAX_DATAGRAM].into_boxed_slice(),
            metrics,
            settled: Stats::default(),
            dismissed: None,
            _up: readiness.up(Part::Sip),
        })
    }

    /// Carries out all that the core wants done; the one place where its outputs are read.
    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { destination, payload } => {
                    if !self.send(destination, &payload) {
                        self.endpoint.handle_transport_error(Instant::now(), destination);
                    }
                }
                Output::Event(event) => self.dispatch(event),
            }
        }
        self.alarm.set(self.endpoint.next_timeout());
        self.report_drained();
    }

    /// Sends a datagram. False if nothing can be sent there: then nobody need wait for an answer.
    fn send(&self, destination: SocketAddr, payload: &[u8]) -> bool {
        // Not `try_send_to`: it refuses until the reactor has seen the socket once, and the first INVITE would be late.
        match SockRef::from(&*self.socket).send_to(payload, &destination.into()) {
            Ok(_) => {
                self.metrics.sip.datagrams_sent.inc();
                true
            }
            Err(error) => {
                warn!(peer = %destination, %error, "SIP datagram not sent");
                self.metrics.sip.send_errors.inc();
                !is_lasting(&error)
            }
        }
    }

    fn dispatch(&mut self, event: Event) {
        let (key, event) = match event {
            Event::Incoming(incoming) => return self.announce(*incoming),
            Event::Ringing { call, .. } => (call, SipEvent::State(SipInput::Ringing)),
            Event::Answered { call, sdp } => (call, SipEvent::Answered(sdp)),
            Event::Acked { call, sdp } => (call, SipEvent::Acked(sdp)),
            Event::Offer { call, sdp, .. } => (call, SipEvent::Offer(sdp)),
            Event::Ended { call, cause } => (call, SipEvent::State(SipInput::Ended(end_reason(&cause)))),
            Event::OfferAcked { call, sdp: Some(sdp) } | Event::Refreshed { call, sdp: Some(sdp) } => {
                (call, SipEvent::OfferAnswered(sdp))
            }
            Event::Reanswered { call, sdp } => (call, SipEvent::Reoffer(ReofferOutcome::Answered(sdp))),
            Event::ReofferRefused { call, status } => (call, SipEvent::Reoffer(ReofferOutcome::Refused(status))),
            Event::ReofferDue { call } => (call, SipEvent::Reoffer(ReofferOutcome::Due)),
            Event::ReferProgress { call, status, reason, last } => {
                (call, SipEvent::Transfer(TransferProgress::Heard { status, reason, last }))
            }
            Event::ReferRefused { call, status, reason } => {
                (call, SipEvent::Transfer(TransferProgress::Refused { status, reason }))
            }
            Event::InfoDtmf { call, digit, duration } => (call, SipEvent::Digit { digit, duration }),
            Event::Registered { expires, .. } => return self.registrar.registered(expires),
            Event::RegistrationFailed { status, reason, retry_in, .. } => {
                return self.registrar.failed(status, &reason, retry_in.unwrap_or_default());
            }
            Event::Unregistered { .. } => return self.registrar.over(),
            Event::CredentialsRefused { source, username, .. } => {
                return self.credentials_refused(source, &username);
            }
            Event::OfferWithdrawn { .. }
            | Event::OfferAcked { .. }
            | Event::Refreshed { .. }
            | Event::ReferAccepted { .. }
            // Refused by the core, since its owner allows none; and of keys that are never sent.
            | Event::ReferRequested { .. }
            | Event::InfoRefused { .. } => return,
        };
        if matches!(&event, SipEvent::Answered(_)) {
            self.routes.count_set_up(key, Direction::Outbound, &self.metrics);
        }
        self.routes.deliver(key, event);
    }

    /// Guessing passwords must not fill the log: it is counted, and logged ever more seldom.
    fn credentials_refused(&mut self, source: SocketAddr, username: &str) {
        self.refused += 1;
        self.metrics.sip.credentials_refused.inc();
        if self.refused.is_power_of_two() {
            let user: String = username.chars().take(MAX_PHONE).collect();
            let refused = self.refused;
            warn!(peer = %source, user = %Pii(user), refused, "SIP_AUTH_USERS: wrong user or password");
        }
    }

    fn announce(&mut self, incoming: Incoming) {
        let Some(id) = self.routes.announced(incoming.call, &incoming.sip_call_id) else {
            return self.overloaded(incoming.call);
        };
        let phone = phone_of(&incoming.from);
        info!(call_id = %id, from = %Pii(&phone), peer = %incoming.source, "inbound call");
        let Incoming { sip_call_id, request_uri, from, to, offer, headers, source, .. } = incoming;
        let registered = self.trunk.as_ref().filter(|trunk| trunk.register);
        let own = registered.and_then(|trunk| Some(trunk.credentials.as_ref()?.username.as_str()));
        let called = called_number(&request_uri, &to, own);
        let invite = Arc::new(Invite { sip_call_id, from: from.uri, to: to.uri, called, headers, source });
        self.switchboard.do_send(IncomingCall { id, phone, offer, invite });
    }

    /// More calls arrive than can be made: refused here, without a word to the switchboard.
    fn overloaded(&mut self, call: CallKey) {
        self.turned_away += 1;
        self.metrics.calls.refused(Direction::Inbound, "overload");
        if self.turned_away.is_power_of_two() {
            warn!(refused = self.turned_away, "more inbound calls than can be made");
        }
        let rejection = Rejection { retry_after: Some(RETRY_AFTER), ..Rejection::new(503) };
        if let Err(error) = self.endpoint.reject(Instant::now(), call, rejection) {
            debug!(%error, "the INVITE is over");
        }
    }

    fn settle(&mut self) {
        self.metrics.sip.settle(&mut self.settled, &self.endpoint.stats());
    }

    fn dial(&mut self, id: CallId, request: DialRequest) {
        let outcome = match dial_of(self.trunk.as_ref(), &id, &request) {
            None => Err(EndReason::new(Party::Relay, EndLabel::Unreachable)),
            Some(dial) => self.endpoint.dial(Instant::now(), dial).map_err(|error| {
                warn!(call_id = %id, %error, "call not placed");
                dial_error(&error)
            }),
        };
        match outcome {
            Ok(key) => self.routes.dialled(key, id, request.events),
            Err(reason) => request.events.do_send(SipEvent::State(SipInput::Ended(reason))),
        }
    }

    fn act(&mut self, id: CallId, action: SipAction) {
        let now = Instant::now();
        let (key, action) = match (action, self.routes.key(&id)) {
            (SipAction::Dial(request), _) => return self.dial(id, *request),
            (action, Some(key)) => (key, action),
            (_, None) => return,
        };
        let done = match action {
            SipAction::Attach(call) => return self.routes.attach(key, call),
            SipAction::Refuse { status, retry_after } => {
                self.routes.forget(key);
                self.endpoint.reject(now, key, Rejection { retry_after, ..Rejection::new(status) })
            }
            SipAction::Ring => self.endpoint.ringing(now, key),
            SipAction::Answer(sdp) => {
                let answered = self.endpoint.answer(now, key, sdp);
                if answered.is_ok() {
                    self.routes.count_set_up(key, Direction::Inbound, &self.metrics);
                    self.routes.deliver(key, SipEvent::AnswerSent);
                }
                answered
            }
            SipAction::Reject { status, reason } => {
                self.endpoint.reject(now, key, Rejection { reason, ..Rejection::new(status) })
            }
            SipAction::Hangup => self.endpoint.hangup(now, key),
            SipAction::AnswerOffer(sdp) => self.endpoint.answer_offer(now, key, sdp),
            SipAction::RejectOffer(status) => self.endpoint.reject_offer(now, key, status),
            SipAction::Reoffer(offer) => {
                let sent = self.endpoint.reoffer(now, key, offer);
                if sent.is_err() {
                    self.routes.deliver(key, SipEvent::Reoffer(ReofferOutcome::Busy));
                }
                sent
            }
            SipAction::Refer(target) => return self.refer(key, target),
            SipAction::Dial(_) => Ok(()),
        };
        if let Err(error) = done {
            // The call ended on the wire while the command was on its way: its `Ended` is in the call's mailbox.
            debug!(call_id = %id, %error, "SIP command came too late");
        }
    }

    fn refer(&mut self, key: CallKey, target: TransferTarget) {
        let refused = match uri_of(self.trunk.as_ref(), target) {
            None => Some((503, "no trunk to transfer to")),
            Some(uri) => self.endpoint.refer(Instant::now(), key, &uri).err().map(|error| match error {
                CallError::Invalid { .. } => (484, "Address Incomplete"),
                CallError::WrongState => (491, "Request Pending"),
                CallError::Unknown => (481, "Call Does Not Exist"),
            }),
        };
        if let Some((status, reason)) = refused {
            let reason = reason.to_owned();
            self.routes.deliver(key, SipEvent::Transfer(TransferProgress::Refused { status, reason }));
        }
    }

    fn report_drained(&mut self) {
        if let Some(done) = self.draining.take_if(|_| self.endpoint.is_settled()) {
            done.do_send(SipDrained);
        }
    }
}

impl Actor for SipListener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(ReadableStream::new(self.socket.clone(), 0));
        ctx.add_stream(self.alarm.stream());
        ctx.run_interval(SETTLE_EVERY, |listener, _| listener.settle());
        self.registrar.begin(&mut self.endpoint, self.trunk.as_ref());
        self.drain();
    }
}

impl StreamHandler<Readable> for SipListener {
    fn handle(&mut self, _: Readable, _: &mut Context<Self>) {
        for _ in 0..MAX_BATCH {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((_, source)) if !self.peers.admit(source) => {
                    self.metrics.sip.not_allowed.inc();
                }
                Ok((length, source)) => {
                    self.metrics.sip.datagrams_received.inc();
                    let datagram = Bytes::copy_from_slice(&self.buffer[..length]);
                    self.endpoint.handle_datagram(Instant::now(), source, datagram);
                    self.drain();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of some earlier datagram. The socket goes on.
                Err(error) => debug!(%error, "SIP socket"),
            }
        }
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl StreamHandler<AlarmRang> for SipListener {
    fn handle(&mut self, _: AlarmRang, _: &mut Context<Self>) {
        self.endpoint.handle_timeout(Instant::now());
        self.drain();
    }
}

impl Handler<SipCommand> for SipListener {
    type Result = ();

    fn handle(&mut self, command: SipCommand, _: &mut Context<Self>) {
        self.act(command.call, command.action);
        self.drain();
    }
}

impl Handler<DrainSip> for SipListener {
    type Result = ();

    fn handle(&mut self, drain: DrainSip, _: &mut Context<Self>) {
        self.endpoint.set_draining(true);
        self.registrar.end(&mut self.endpoint);
        self.draining = Some(drain.done);
        self.drain();
    }
}

impl Handler<DismissSip> for SipListener {
    type Result = ();

    fn handle(&mut self, dismiss: DismissSip, ctx: &mut Context<Self>) {
        self.dismissed = Some(dismiss.0);
        ctx.stop();
    }
}

impl Drop for SipListener {
    /// The streams that read the socket go with the context, which is dropped along with the actor: the task that comes
    /// next finds it closed.
    fn drop(&mut self) {
        if let Some(dismissed) = self.dismissed.take() {
            actix::spawn(async move {
                // Nobody may be waiting.
                let _ = dismissed.send(());
            });
        }
    }
}

impl Handler<SipCensusRequest> for SipListener {
    type Result = SipCensus;

    fn handle(&mut self, _: SipCensusRequest, _: &mut Context<Self>) -> SipCensus {
        let sip::Stats { transactions, dialogs, calls, timers, .. } = self.endpoint.stats();
        SipCensus { transactions, dialogs, calls, routes: self.routes.len(), timers }
    }
}

/// There is no way to this destination. Anything else, a full buffer above all, is a lost datagram, which SIP retransmits.
fn is_lasting(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, InvalidInput, NetworkDown, NetworkUnreachable,
        PermissionDenied,
    };
    // What this socket's address cannot reach, the system calls an invalid argument.
    let lasting = [
        AddrNotAvailable,
        ConnectionRefused,
        HostUnreachable,
        InvalidInput,
        NetworkDown,
        NetworkUnreachable,
        PermissionDenied,
    ];
    lasting.contains(&error.kind())
}

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// Datagrams read in one turn, so that commands get theirs.
const MAX_BATCH: usize = 64;

#[cfg(test)]
mod tests {
    use testkit::{message::Message, phone::Phone, sdp};

    use super::{super::stack::bind_sip, routes::MAX_CALLS_PENDING, *};

    /// Stands in for a switchboard that is busy with something else: it notes what comes.
    #[derive(Default)]
    struct Busy(Vec<CallId>);

    impl Actor for Busy {
        type Context = Context<Self>;
    }

    impl Handler<IncomingCall> for Busy {
        type Result = ();

        fn handle(&mut self, incoming: IncomingCall, _: &mut Context<Self>) {
            self.0.push(incoming.id);
        }
    }

    #[derive(actix::Message)]
    #[rtype(result = "Vec<CallId>")]
    struct Waiting;

    impl Handler<Waiting> for Busy {
        type Result = Vec<CallId>;

        fn handle(&mut self, _: Waiting, _: &mut Context<Self>) -> Vec<CallId> {
            self.0.clone()
        }
    }

    /// A telephone that calls and reads what it is answered.
    struct Caller {
        socket: UdpSocket,
        phone: Phone,
        relay: SocketAddr,
    }

    impl Caller {
        async fn call(&mut self) -> Message {
            let invite = self.phone.call(&format!("sip:1@{}", self.relay)).invite();
            let invite = invite.sdp(&sdp::audio(([127, 0, 0, 1], 4000).into(), &[0]));
            self.socket.send_to(&invite.to_bytes(), self.relay).await.expect("loopback");
            self.next().await
        }

        async fn next(&mut self) -> Message {
            let mut buffer = [0; 2048];
            let length = self.socket.recv(&mut buffer).await.expect("loopback");
            Message::parse(&buffer[..length]).expect("SIP")
        }
    }

    #[actix::test]
    async fn calls_that_nobody_takes_are_refused_at_the_door_beyond_a_limit() {
        let metrics = Arc::new(Metrics::new());
        let socket = bind_sip(([127, 0, 0, 1], 0).into()).expect("loopback");
        let relay = socket.local_addr().expect("it is bound");
        let endpoint = Endpoint::new(sip::EndpointConfig::new(relay), [7; 32]);
        let door = Door { trunk: None, peers: Peers::new(Vec::new(), None), registration: None };
        let switchboard = Busy::default().start();
        let incoming = switchboard.clone().recipient();
        let listener =
            SipListener::new(socket, endpoint, door, incoming, metrics.clone(), &Readiness::default());
        let listener = listener.expect("a runtime with I/O").start();

        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        let address = socket.local_addr().expect("it is bound");
        let mut caller = Caller { socket, phone: Phone::new(1, "0912", address), relay };
        for n in 0..MAX_CALLS_PENDING {
            assert_eq!(caller.call().await.status(), Some(100), "call {n}");
        }
        assert_eq!(caller.call().await.status(), Some(100), "in any case, at once");
        let refused = caller.next().await;
        assert_eq!((refused.status(), refused.header("Retry-After")), (Some(503), Some("5")));
        let counted = r#"sip_relay_calls_refused_total{direction="inbound",reason="overload"} 1"#;
        assert!(metrics.encode().contains(counted), "{}", metrics.encode());

        // One of them leaves the queue: there is room for another.
        let waiting = switchboard.send(Waiting).await.expect("it runs");
        assert_eq!(waiting.len(), MAX_CALLS_PENDING);
        let action = SipAction::Refuse { status: 486, retry_after: None };
        listener.do_send(SipCommand { call: waiting[0].clone(), action });
        assert_eq!(caller.next().await.status(), Some(486));
        assert_eq!(caller.call().await.status(), Some(100));
    }
}
