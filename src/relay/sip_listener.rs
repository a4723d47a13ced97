//! `SipListener` owns the SIP socket and the SIP core, and knows which call each SIP event belongs to.
//!
//! In: UDP datagrams, [`SipCommand`]. Out: datagrams, [`IncomingCall`] to the switchboard, [`SipEvent`] to calls. Knows
//! nothing of media or of WebSocket clients; what SIP requires, the core decides.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, StreamHandler};
use bytes::Bytes;
use model::{
    call::{Direction, EndLabel, EndReason, Party},
    id::CallId,
};
use sip::{CallKey, Dial, DialError, EndCause, Endpoint, Event, Incoming, Output, Rejection, Stats};
use socket2::SockRef;
use tokio::{net::UdpSocket, sync::oneshot};
use tracing::{debug, info, warn};

use super::{
    call::state::SipInput,
    io::{Alarm, AlarmRang, Readable, ReadableStream},
    message::{
        DialRequest, DismissSip, DrainSip, IncomingCall, Invite, RegistrationNews, SipAction, SipCensus,
        SipCensusRequest, SipCommand, SipDrained, SipEvent,
    },
    registration::Registrar,
};
use crate::{
    config::PeerNet,
    http::{Part, Readiness, Up},
    logging::Pii,
    metrics::{Metrics, SETTLE_EVERY},
};

/// Where outbound calls go and who they come from.
#[derive(Debug, Clone)]
pub struct Trunk {
    /// Where INVITEs are sent.
    pub destination: SocketAddr,
    /// The host of request URIs and of our address of record: `SIP_SERVER_IP` as it was given.
    pub host: String,
    /// Answers to 401 and 407, and the user part of From.
    pub credentials: Option<sip::Credentials>,
    /// Whether to register there.
    pub register: bool,
    /// How long each registration is asked for.
    pub expires: Duration,
    /// No final answer for this long: CANCEL, 408.
    pub invite_timeout: Duration,
}

/// See the module's documentation.
pub struct SipListener {
    socket: Rc<UdpSocket>,
    endpoint: Endpoint,
    alarm: Alarm,
    trunk: Option<Trunk>,
    peers: Peers,
    registrar: Registrar,
    refused: u64,
    switchboard: Recipient<IncomingCall>,
    routes: HashMap<CallKey, Route>,
    keys: HashMap<CallId, CallKey>,
    draining: Option<Recipient<SipDrained>>,
    buffer: Box<[u8]>,
    metrics: Arc<Metrics>,
    settled: Stats,
    dismissed: Option<oneshot::Sender<()>>,
    _up: Up,
}

/// Whom a listener deals with.
pub struct Door {
    /// Where calls go out.
    pub trunk: Option<Trunk>,
    /// Who may come in.
    pub peers: Peers,
    /// Who hears how the registration goes.
    pub registration: Option<Recipient<RegistrationNews>>,
}

/// Who may speak SIP with us.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Empty: anybody.
    allowed: Vec<PeerNet>,
    trunk: Option<IpAddr>,
    strangers: u64,
}

impl Peers {
    /// These networks, and the trunk; no networks: anybody.
    pub fn new(allowed: Vec<PeerNet>, trunk: Option<IpAddr>) -> Self {
        Self { allowed, trunk, strangers: 0 }
    }

    /// Whether a datagram from there is read at all. Those that are not are counted, and logged ever more seldom.
    fn admit(&mut self, source: SocketAddr) -> bool {
        let ip = source.ip();
        let fine = self.allowed.is_empty()
            || self.trunk == Some(ip)
            || self.allowed.iter().any(|net| net.contains(ip));
        if !fine {
            self.strangers += 1;
            if self.strangers.is_power_of_two() {
                warn!(peer = %source, dropped = self.strangers, "SIP from outside SIP_ALLOWED_PEERS dropped");
            }
        }
        fine
    }
}

/// Who hears about a call.
struct Route {
    id: CallId,
    listener: RouteListener,
    /// When the INVITE came or went.
    began: Instant,
}

enum RouteListener {
    /// The call is being made; a few events may come before it is there.
    Pending(VecDeque<SipEvent>),
    Attached(Recipient<SipEvent>),
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
            switchboard,
            routes: HashMap::new(),
            keys: HashMap::new(),
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
                Output::Transmit { destination, payload } => self.send(destination, &payload),
                Output::Event(event) => self.dispatch(event),
            }
        }
        self.alarm.set(self.endpoint.next_timeout());
        self.report_drained();
    }

    fn send(&self, destination: SocketAddr, payload: &[u8]) {
        // Not `try_send_to`: it refuses until the reactor has seen the socket once, and the first INVITE would be late.
        // A full socket buffer is a lost datagram, which SIP retransmits.
        match SockRef::from(&*self.socket).send_to(payload, &destination.into()) {
            Ok(_) => self.metrics.sip.datagrams_sent.inc(),
            Err(error) => {
                warn!(peer = %destination, %error, "SIP datagram not sent");
                self.metrics.sip.send_errors.inc()
            }
        };
    }

    fn dispatch(&mut self, event: Event) {
        let (key, event) = match event {
            Event::Incoming(incoming) => return self.announce(*incoming),
            Event::Ringing { call, .. } => (call, SipEvent::State(SipInput::Ringing)),
            Event::Answered { call, sdp } => (call, SipEvent::Answered(sdp)),
            Event::Acked { call, .. } => (call, SipEvent::State(SipInput::Acked)),
            Event::Offer { call, sdp, .. } => (call, SipEvent::Offer(sdp)),
            Event::Ended { call, cause } => (call, SipEvent::State(SipInput::Ended(end_reason(&cause)))),
            Event::OfferAcked { call, sdp: Some(sdp) } => (call, SipEvent::OfferAnswered(sdp)),
            Event::Registered { expires, .. } => return self.registrar.registered(expires),
            Event::RegistrationFailed { status, reason, retry_in, .. } => {
                return self.registrar.failed(status, &reason, retry_in);
            }
            Event::Unregistered { .. } => return self.registrar.over(),
            Event::CredentialsRefused { source, username, .. } => {
                return self.credentials_refused(source, &username);
            }
            Event::OfferWithdrawn { .. }
            | Event::OfferAcked { .. }
            | Event::Reanswered { .. }
            | Event::ReofferRefused { .. } => return,
        };
        if matches!(&event, SipEvent::Answered(_)) {
            self.count_set_up(key, Direction::Outbound);
        }
        let last = matches!(&event, SipEvent::State(SipInput::Ended(_)));
        self.deliver(key, event);
        if last {
            self.forget_attached(key);
        }
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
        let id = self.unique_id(&incoming.sip_call_id);
        let phone = phone_of(&incoming.from);
        info!(call_id = %id, from = %Pii(&phone), peer = %incoming.source, "inbound call");
        self.keys.insert(id.clone(), incoming.call);
        self.routes.insert(
            incoming.call,
            Route {
                id: id.clone(),
                listener: RouteListener::Pending(VecDeque::new()),
                began: Instant::now(),
            },
        );
        let Incoming { sip_call_id, from, to, offer, headers, source, .. } = incoming;
        let invite = Arc::new(Invite { sip_call_id, from: from.uri, to: to.uri, headers, source });
        self.switchboard.do_send(IncomingCall { id, phone, offer, invite });
    }

    /// Two dialogs may share a Call-ID (a call that a proxy sends back to us); our names may not.
    fn unique_id(&self, sip_call_id: &str) -> CallId {
        let plain = CallId::from_sip_call_id(sip_call_id);
        let suffixed = (2..).map(|n| plain.with_suffix(n));
        std::iter::once(plain.clone()).chain(suffixed).find(|id| !self.keys.contains_key(id)).unwrap_or(plain)
    }

    fn deliver(&mut self, key: CallKey, event: SipEvent) {
        match self.routes.get_mut(&key).map(|route| &mut route.listener) {
            Some(RouteListener::Attached(call)) => call.do_send(event),
            Some(RouteListener::Pending(waiting)) if waiting.len() < MAX_PENDING => waiting.push_back(event),
            Some(RouteListener::Pending(_)) => {
                self.metrics.drops.sip_events.inc();
                debug!("too many SIP events for a call that is being made");
            }
            None => debug!("SIP event for a call that nobody holds"),
        }
    }

    fn count_set_up(&self, key: CallKey, direction: Direction) {
        if let Some(route) = self.routes.get(&key) {
            self.metrics.calls.set_up(direction, route.began.elapsed());
        }
    }

    fn settle(&mut self) {
        self.metrics.sip.settle(&mut self.settled, &self.endpoint.stats());
    }

    /// After `Ended` nothing more comes. A call that has not attached yet still has to fetch its events.
    fn forget_attached(&mut self, key: CallKey) {
        if matches!(self.routes.get(&key), Some(Route { listener: RouteListener::Attached(_), .. })) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: CallKey) {
        if let Some(route) = self.routes.remove(&key) {
            self.keys.remove(&route.id);
        }
    }

    fn attach(&mut self, key: CallKey, call: Recipient<SipEvent>) {
        let Some(route) = self.routes.get_mut(&key) else { return };
        let listener = std::mem::replace(&mut route.listener, RouteListener::Attached(call.clone()));
        let mut over = false;
        if let RouteListener::Pending(waiting) = listener {
            for event in waiting {
                over |= matches!(&event, SipEvent::State(SipInput::Ended(_)));
                call.do_send(event);
            }
        }
        if over {
            self.forget(key);
        }
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
            Ok(key) => {
                self.keys.insert(id.clone(), key);
                let listener = RouteListener::Attached(request.events);
                self.routes.insert(key, Route { id, listener, began: Instant::now() });
            }
            Err(reason) => request.events.do_send(SipEvent::State(SipInput::Ended(reason))),
        }
    }

    fn act(&mut self, id: CallId, action: SipAction) {
        let now = Instant::now();
        let (key, action) = match (action, self.keys.get(&id)) {
            (SipAction::Dial(request), _) => return self.dial(id, *request),
            (action, Some(&key)) => (key, action),
            (_, None) => return,
        };
        let done = match action {
            SipAction::Attach(call) => return self.attach(key, call),
            SipAction::Refuse { status, retry_after } => {
                self.forget(key);
                self.endpoint.reject(now, key, Rejection { retry_after, ..Rejection::new(status) })
            }
            SipAction::Ring => self.endpoint.ringing(now, key),
            SipAction::Answer(sdp) => {
                let answered = self.endpoint.answer(now, key, sdp);
                if answered.is_ok() {
                    self.count_set_up(key, Direction::Inbound);
                    self.deliver(key, SipEvent::AnswerSent);
                }
                answered
            }
            SipAction::Reject { status, reason } => {
                self.endpoint.reject(now, key, Rejection { reason, ..Rejection::new(status) })
            }
            SipAction::Hangup => self.endpoint.hangup(now, key),
            SipAction::AnswerOffer(sdp) => self.endpoint.answer_offer(now, key, sdp),
            SipAction::RejectOffer(status) => self.endpoint.reject_offer(now, key, status),
            SipAction::Dial(_) => Ok(()),
        };
        if let Err(error) = done {
            // The call ended on the wire while the command was on its way: its `Ended` is in the call's mailbox.
            debug!(call_id = %id, %error, "SIP command came too late");
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
        SipCensus { transactions, dialogs, calls, routes: self.routes.len().max(self.keys.len()), timers }
    }
}

/// What the core is to place; `None` without a place to send it to.
fn dial_of(trunk: Option<&Trunk>, id: &CallId, request: &DialRequest) -> Option<Dial> {
    let options = request.options.as_deref().cloned().unwrap_or_default();
    let at_trunk = trunk.map(|trunk| format!("sip:{}@{}", request.phone, trunk.authority()));
    let destination = options.destination.or(trunk.map(|trunk| trunk.destination))?;
    let mut dial = Dial::new(options.target.or(at_trunk)?, destination, request.offer.clone());
    dial.call_id = Some(id.to_sip_call_id());
    dial.from = options.from.or_else(|| trunk?.address_of_record());
    dial.credentials = options.credentials.or_else(|| trunk?.credentials.clone());
    dial.headers = options.headers;
    dial.ring_timeout = options.ring_timeout.or(trunk.map(|trunk| trunk.invite_timeout));
    Some(dial)
}

impl Trunk {
    /// Who we are there; `None` without a user.
    pub(super) fn address_of_record(&self) -> Option<String> {
        self.credentials.as_ref().map(|credentials| format!("sip:{}@{}", credentials.username, self.host))
    }

    /// The URI of the far end itself.
    pub(super) fn domain(&self) -> String {
        format!("sip:{}", self.authority())
    }

    /// A URI without a port means 5060 (RFC 3261 §19.1.2): on another one the far end would not find itself in it.
    fn authority(&self) -> String {
        match self.destination.port() {
            DEFAULT_PORT => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }
}

/// The caller's number: the display name where that is a number, else the user part, else the URI without its scheme.
fn phone_of(from: &sip::Party) -> String {
    let display = from.display.as_deref().map(str::trim).filter(|name| is_number(name));
    let user = from.user.as_deref().filter(|user| !user.is_empty());
    let phone = display.or(user).unwrap_or_else(|| from.uri.trim_start_matches("sip:"));
    // One field of one line: whatever would end the field or the line is not part of a number.
    phone.chars().filter(|c| !c.is_control() && !c.is_whitespace() && *c != '#').take(MAX_PHONE).collect()
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn end_reason(cause: &EndCause) -> EndReason {
    let (by, label) = match cause {
        EndCause::Rejected { status, reason } => return EndReason::refused(*status, reason),
        EndCause::RemoteBye { .. } => (Party::Caller, EndLabel::RemoteBye),
        EndCause::LocalBye => (Party::Agent, EndLabel::AgentHangup),
        EndCause::Cancelled => (Party::Caller, EndLabel::Cancelled),
        EndCause::LocalCancel => (Party::Agent, EndLabel::Cancelled),
        EndCause::Declined { .. } => (Party::Relay, EndLabel::Declined),
        EndCause::NoAck => (Party::Caller, EndLabel::NoAck),
        EndCause::Timeout => (Party::Caller, EndLabel::Timeout),
        EndCause::TransportError => (Party::Relay, EndLabel::Unreachable),
        EndCause::ProtocolError { .. } => (Party::Caller, EndLabel::ProtocolError),
    };
    EndReason::new(by, label)
}

fn dial_error(error: &DialError) -> EndReason {
    let label = match error {
        DialError::Invalid { .. } => EndLabel::BadNumber,
        DialError::Limit { .. } => EndLabel::TooManyCalls,
        DialError::Draining => EndLabel::Shutdown,
    };
    EndReason::new(Party::Relay, label)
}

/// The port of a SIP URI that names none.
const DEFAULT_PORT: u16 = 5060;
/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// Datagrams read in one turn, so that commands get theirs.
const MAX_BATCH: usize = 64;
/// Events kept for a call that is being made.
const MAX_PENDING: usize = 16;
/// Characters of a caller's number.
const MAX_PHONE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn party(display: Option<&str>, user: Option<&str>) -> sip::Party {
        sip::Party {
            display: display.map(str::to_owned),
            uri: "sip:10.0.0.1".to_owned(),
            user: user.map(str::to_owned),
        }
    }

    #[test]
    fn phone_is_the_display_name_where_that_is_a_number() {
        assert_eq!(phone_of(&party(Some("0903383638"), Some("trunk"))), "0903383638");
    }

    #[test]
    fn phone_is_the_user_part_without_a_number_as_display_name() {
        assert_eq!(phone_of(&party(None, Some("0912"))), "0912");
        assert_eq!(phone_of(&party(Some("Reception"), Some("0912"))), "0912");
    }

    #[test]
    fn phone_never_breaks_the_line_or_the_field() {
        assert_eq!(phone_of(&party(None, Some("09##1\r\n2"))), "0912");
    }

    #[test]
    fn caller_without_user_part_is_named_by_its_host() {
        assert_eq!(phone_of(&party(None, None)), "10.0.0.1");
    }
}
