//! `Switchboard` is the root actor: the table of calls, who may call, and who hears about what.
//!
//! In: [`IncomingCall`], [`PlaceCall`], [`CallReport`], clients that come and go, [`Shutdown`]. Out: calls,
//! [`ClientEvent`]s. Knows nothing of SIP messages, packets or sockets.

mod backlog;
mod guard;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, ResponseFuture};
use model::{
    call::{Direction, EndLabel, reason_phrase},
    event::Event,
    id::CallId,
};
use sip::sdp::LocalMedia;
use tokio::sync::oneshot;
use tracing::{info, warn};

pub use self::guard::DialRules;
use self::{
    backlog::Backlog,
    guard::{DialGuard, Refusal},
};
use super::{
    call::{CallSettings, NewCall},
    message::{
        AgentMedia, AgentOrder, CallCommand, CallFact, CallHandle, CallNews, CallReport, Census,
        CensusRequest, ClientEvent, ClientId, Connect, DialOptions, Disconnect, Dismiss, DismissSip,
        DrainSip, FactKind, HandOver, IncomingCall, Insider, Invite, Listen, PlaceCall, SessionClaim,
        Shutdown, SipAction, SipCensusRequest, SipCommand, SipDrained,
    },
    rtp_ports::{PortLease, RtpPorts},
};
use crate::{
    config::{LostAction, route_source},
    http::{Part, Readiness, Up},
    logging::Pii,
    metrics::Metrics,
};

/// The limits and habits of a relay.
pub struct SwitchboardSettings {
    /// Which calls clients may place; `None`: any.
    pub dialling: Option<DialRules>,
    /// Calls at once; `None`: as many as there are ports.
    pub max_calls: Option<usize>,
    /// What becomes of calls when the last client is gone.
    pub lost_action: LostAction,
    /// The address in SDP and in our Call-IDs.
    pub media_address: MediaAddress,
    /// Who else decides about inbound calls.
    pub admission: Option<Admission>,
    /// What every call has in common.
    pub call: Arc<CallSettings>,
}

/// The address that peers are told to send media to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaAddress {
    /// Always this.
    Fixed(IpAddr),
    /// The address that this machine has towards the peer; this where there is no route.
    Route(IpAddr),
}

impl MediaAddress {
    fn toward(self, peer: Option<SocketAddr>) -> IpAddr {
        match (self, peer) {
            (Self::Fixed(address), _) | (Self::Route(address), None) => address,
            (Self::Route(fallback), Some(peer)) => route_source(peer).unwrap_or(fallback),
        }
    }
}

/// Decides about an inbound call that could be taken: `Err` refuses it with a status and a label for metrics.
pub type Admission = Arc<dyn Fn(&Invite) -> Result<(), (u16, &'static str)> + Send + Sync>;

/// Makes the actors of a call: the wiring's part.
pub type SpawnCall = Box<dyn Fn(NewCall, PortLease) -> SpawnedCall>;

/// How a call that was just made is reached.
pub struct SpawnedCall {
    /// Control.
    pub commands: Recipient<CallCommand>,
    /// Audio to the caller.
    pub audio: Recipient<AgentOrder>,
    /// Who hears the caller.
    pub listeners: Recipient<Listen>,
}

/// The wire, as far as the switchboard uses it.
pub struct SipPort {
    /// For calls that are refused before they exist.
    pub commands: Recipient<SipCommand>,
    /// For the end.
    pub drain: Recipient<DrainSip>,
    /// What is left on the wire.
    pub census: Recipient<SipCensusRequest>,
    /// For what comes after the end.
    pub dismiss: Recipient<DismissSip>,
}

/// See the module's documentation.
pub struct Switchboard {
    settings: SwitchboardSettings,
    guard: Option<DialGuard>,
    ports: RtpPorts,
    sip: Option<SipPort>,
    spawn: SpawnCall,
    calls: HashMap<CallId, Entry>,
    clients: HashMap<ClientId, Client>,
    sessions: HashMap<String, (ClientId, Recipient<HandOver>)>,
    backlog: Backlog,
    sequence: u64,
    stopping: Option<Stopping>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    _up: Up,
}

struct Client {
    events: Recipient<ClientEvent>,
    inside: Option<Insider>,
}

struct Entry {
    handle: CallHandle,
    order: u64,
    rang: bool,
    up: bool,
}

struct Stopping {
    done: Option<oneshot::Sender<()>>,
    sip_drained: bool,
    clients_told: bool,
}

impl Switchboard {
    /// A switchboard without calls. It takes none until it is given its wire ([`SipPort`]).
    pub fn new(
        settings: SwitchboardSettings,
        ports: RtpPorts,
        spawn: SpawnCall,
        metrics: Arc<Metrics>,
        readiness: Readiness,
    ) -> Self {
        Self {
            _up: readiness.up(Part::WebSocket),
            readiness,
            guard: settings.dialling.clone().map(DialGuard::new),
            settings,
            ports,
            sip: None,
            spawn,
            calls: HashMap::new(),
            clients: HashMap::new(),
            sessions: HashMap::new(),
            backlog: Backlog::new(metrics.clone()),
            metrics,
            sequence: 0,
            stopping: None,
        }
    }

    fn admit(&self) -> Result<PortLease, Refusal> {
        if self.stopping.is_some() {
            return Err(unavailable(EndLabel::Shutdown.as_str()));
        }
        if self.settings.max_calls.is_some_and(|limit| self.calls.len() >= limit) {
            return Err(unavailable(EndLabel::TooManyCalls.as_str()));
        }
        self.ports.lease().map_err(|error| {
            warn!(%error, "call refused");
            Refusal { status: 503, reason: "No RTP ports available", label: EndLabel::NoFreePort.as_str() }
        })
    }

    fn take_call(&mut self, incoming: IncomingCall) -> Result<(), Refusal> {
        if self.calls.contains_key(&incoming.id) {
            // The last call of this name is over on the wire, and its recording is not complete yet.
            return Err(unavailable("same-call-id"));
        }
        let lease = self.admit()?;
        let peer = Some(incoming.invite.source);
        let local = self.local_media("-", "-", peer, &lease);
        let offer = incoming.offer.as_deref().unwrap_or_default();
        let new = NewCall::inbound(incoming.id, incoming.phone, offer, local, &self.settings.call);
        let new = new.map_err(|error| {
            info!(%error, "call refused");
            Refusal { status: error.status(), reason: "Not Acceptable Here", label: error.label().as_str() }
        })?;
        if let Some(admission) = &self.settings.admission {
            let refusal = |(status, label)| Refusal { status, reason: reason_phrase(status), label };
            admission(&incoming.invite).map_err(refusal)?;
        }
        self.start(new, lease, None, Some(incoming.invite));
        Ok(())
    }

    fn place_call(
        &mut self,
        client: ClientId,
        phone: &str,
        options: Option<Box<DialOptions>>,
    ) -> Result<CallId, Refusal> {
        if let Some(guard) = &mut self.guard {
            guard.check(phone, Instant::now())?;
        }
        let lease = self.admit()?;
        let id = self.new_id();
        let peer = options.as_ref().and_then(|options| options.destination);
        let local = self.local_media("relay", "Call", peer, &lease);
        info!(call_id = %id, to = %Pii(phone), "outbound call");
        let new = NewCall::outbound(id.clone(), phone.to_owned(), options, local, &self.settings.call);
        self.start(new, lease, Some(client), None);
        Ok(id)
    }

    fn start(
        &mut self,
        mut new: NewCall,
        lease: PortLease,
        placed_by: Option<ClientId>,
        invite: Option<Arc<Invite>>,
    ) {
        let insiders = self.clients.values().filter_map(|client| client.inside.as_ref());
        new.listeners = insiders.map(|inside| inside.listener.clone()).collect();
        let (id, phone, direction) = (new.id.clone(), new.phone.clone(), new.origin.direction());
        let ticket = new.origin.ticket();
        let SpawnedCall { commands, audio, listeners } = (self.spawn)(new, lease);
        let handle = CallHandle {
            id: id.clone(),
            direction,
            phone,
            placed_by,
            ticket,
            invite,
            commands,
            audio,
            listeners,
        };
        self.sequence += 1;
        let entry = Entry { handle: handle.clone(), order: self.sequence, rang: false, up: false };
        self.calls.insert(id.clone(), entry);
        self.tell_all(&id, ClientEvent::Known(handle));
    }

    /// `{uuid4}@{host}`; the colons of an IPv6 host would have to be encoded on the WebSocket.
    fn new_id(&self) -> CallId {
        let host = self.settings.media_address.toward(None).to_string().replace(':', "-");
        CallId::from_sip_call_id(&format!("{}@{host}", super::uuid4()))
    }

    fn local_media(
        &self,
        username: &str,
        session_name: &str,
        peer: Option<SocketAddr>,
        lease: &PortLease,
    ) -> LocalMedia {
        let id = super::random_u64() >> 33;
        LocalMedia {
            address: self.settings.media_address.toward(peer),
            port: lease.base(),
            session_id: id,
            version: id,
            username: username.to_owned(),
            session_name: session_name.to_owned(),
        }
    }

    fn tell_all(&mut self, call: &CallId, event: ClientEvent) {
        if self.clients.is_empty() {
            return self.backlog.push(call.clone(), event);
        }
        for client in self.clients.values() {
            client.events.do_send(event.clone());
        }
    }

    /// Tells the programs of this process.
    fn state_fact(&self, call: &CallId, kind: &FactKind) {
        for inside in self.clients.values().filter_map(|client| client.inside.as_ref()) {
            inside.facts.do_send(CallFact { call: call.clone(), kind: kind.clone() });
        }
    }

    fn say_all(&mut self, call: &CallId, event: Event) {
        self.tell_all(call, ClientEvent::Say(event));
    }

    /// Gives a session to a client. True if it existed: then its former client hands over what it has.
    fn claim(&mut self, client: ClientId, claim: SessionClaim, events: &Recipient<ClientEvent>) -> bool {
        let SessionClaim { name, hand_over, inherit, audio } = claim;
        let former = self.sessions.insert(name, (client, hand_over));
        let Some((former, hand_over)) = former.filter(|(former, _)| self.clients.contains_key(former)) else {
            return false;
        };
        self.clients.remove(&former);
        events.do_send(ClientEvent::Resuming);
        hand_over.do_send(HandOver { inherit, audio });
        true
    }

    fn say(&self, client: ClientId, event: Event) {
        if let Some(client) = self.clients.get(&client) {
            client.events.do_send(ClientEvent::Say(event));
        }
    }

    /// What brings a newcomer up to date: the calls in progress, oldest first.
    fn in_progress(&self) -> Vec<(CallId, ClientEvent)> {
        let mut entries: Vec<&Entry> = self.calls.values().collect();
        entries.sort_by_key(|entry| entry.order);
        entries.into_iter().flat_map(Entry::story).collect()
    }

    fn news(&mut self, call: CallId, news: CallNews) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        match news {
            CallNews::Ringing => {
                entry.rang = true;
                let phone = entry.handle.phone.clone();
                self.say_all(&call, Event::RingAns { phone, call: call.clone() });
            }
            CallNews::Up => {
                entry.up = true;
                self.say_all(&call, Event::CallAns { call: call.clone() });
            }
            CallNews::Media(facts) => self.state_fact(&call, &FactKind::Media(facts)),
            CallNews::AnswerSent => self.state_fact(&call, &FactKind::AnswerSent),
            CallNews::Event(event) => self.say_all(&call, event),
            CallNews::For(client, event) => self.say(client, event),
            CallNews::Over { was_up, reason } => {
                let direction = entry.handle.direction;
                info!(call_id = %call, reason = %reason, was_up, "call over");
                self.metrics.calls.ended(&reason);
                self.calls.remove(&call);
                for event in Event::ending(&call, direction, was_up, &reason) {
                    self.say_all(&call, event);
                }
                self.state_fact(&call, &FactKind::Over { was_up, reason });
                self.advance_stop();
            }
        }
    }

    /// The last client is gone for good.
    fn lost(&self, client: ClientId) {
        for entry in self.calls.values().filter(|entry| entry.up) {
            match &self.settings.lost_action {
                LostAction::Keep => {}
                LostAction::Hangup => entry.handle.commands.do_send(CallCommand::AgentGone),
                LostAction::Play(file) => {
                    for media in [AgentMedia::Clear, AgentMedia::Play(file.clone()), AgentMedia::Drain] {
                        entry.handle.audio.do_send(AgentOrder { client, media });
                    }
                }
            }
        }
    }

    /// The steps of a stop, each when the one before is done: calls over, wire quiet, clients told and gone.
    fn advance_stop(&mut self) {
        let Some(stopping) = &mut self.stopping else { return };
        if !self.calls.is_empty() || !stopping.sip_drained {
            return;
        }
        if !stopping.clients_told {
            stopping.clients_told = true;
            for client in self.clients.values() {
                client.events.do_send(ClientEvent::Close);
            }
        }
        if let Some(done) = stopping.done.take_if(|_| self.clients.is_empty()) {
            // Nobody waits any more if main has run out of patience.
            let _ = done.send(());
        }
    }
}

fn unavailable(label: &'static str) -> Refusal {
    Refusal { status: 503, reason: "Service Unavailable", label }
}

impl Entry {
    fn story(&self) -> Vec<(CallId, ClientEvent)> {
        let call = &self.handle.id;
        let ring = self.rang.then(|| Event::RingAns { phone: self.handle.phone.clone(), call: call.clone() });
        let up = self.up.then(|| Event::CallAns { call: call.clone() });
        let said = ring.into_iter().chain(up).map(ClientEvent::Say);
        std::iter::once(ClientEvent::Known(self.handle.clone()))
            .chain(said)
            .map(|e| (call.clone(), e))
            .collect()
    }
}

impl Actor for Switchboard {
    type Context = Context<Self>;
}

/// Gives the switchboard its wire.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct WireUp(pub SipPort);

impl Handler<WireUp> for Switchboard {
    type Result = ();

    fn handle(&mut self, wire: WireUp, _: &mut Context<Self>) {
        self.sip = Some(wire.0);
    }
}

impl Handler<IncomingCall> for Switchboard {
    type Result = ();

    fn handle(&mut self, incoming: IncomingCall, _: &mut Context<Self>) {
        let call = incoming.id.clone();
        if let Err(Refusal { status, label, .. }) = self.take_call(incoming) {
            self.metrics.calls.refused(Direction::Inbound, label);
            info!(call_id = %call, status, reason = label, "inbound call refused");
            let retry_after = (status == 503).then_some(RETRY_AFTER);
            if let Some(sip) = &self.sip {
                sip.commands.do_send(SipCommand { call, action: SipAction::Refuse { status, retry_after } });
            }
        }
    }
}

impl Handler<PlaceCall> for Switchboard {
    type Result = ();

    fn handle(&mut self, place: PlaceCall, _: &mut Context<Self>) {
        let PlaceCall { client, phone, options } = place;
        let answer = match self.place_call(client, &phone, options) {
            Ok(call) => Event::Calling { phone, call },
            Err(Refusal { status, reason, label }) => {
                self.metrics.calls.refused(Direction::Outbound, label);
                Event::CallFailed { status, reason: reason.into(), call: None }
            }
        };
        self.say(client, answer);
    }
}

impl Handler<CallReport> for Switchboard {
    type Result = ();

    fn handle(&mut self, report: CallReport, _: &mut Context<Self>) {
        self.news(report.call, report.news);
    }
}

impl Handler<Connect> for Switchboard {
    type Result = ();

    fn handle(&mut self, connect: Connect, _: &mut Context<Self>) {
        let Connect { client, events, session, inside } = connect;
        if session.is_some_and(|claim| self.claim(client, claim, &events)) {
            self.clients.insert(client, Client { events, inside });
            return info!(client = client.0, "session resumed");
        }
        let forgotten = self.backlog.forgotten();
        if forgotten > 0 {
            warn!(forgotten, "more happened without a client than is kept");
        }
        let story: Vec<ClientEvent> = if self.clients.is_empty() {
            self.backlog.take().collect()
        } else {
            self.in_progress().into_iter().map(|(_, event)| event).collect()
        };
        for event in story {
            events.do_send(event);
        }
        self.clients.insert(client, Client { events, inside });
        info!(client = client.0, clients = self.clients.len(), "client connected");
    }
}

impl Handler<Disconnect> for Switchboard {
    type Result = ();

    fn handle(&mut self, disconnect: Disconnect, _: &mut Context<Self>) {
        self.sessions.retain(|_, (client, _)| *client != disconnect.0);
        if self.clients.remove(&disconnect.0).is_none() {
            return;
        }
        info!(client = disconnect.0.0, clients = self.clients.len(), "client gone");
        if self.clients.is_empty() {
            // The next client has not heard of the calls that this one knew.
            for (call, event) in self.in_progress() {
                self.backlog.push(call, event);
            }
            self.lost(disconnect.0);
        }
        self.advance_stop();
    }
}

impl Handler<SipDrained> for Switchboard {
    type Result = ();

    fn handle(&mut self, _: SipDrained, _: &mut Context<Self>) {
        if let Some(stopping) = &mut self.stopping {
            stopping.sip_drained = true;
        }
        self.advance_stop();
    }
}

impl Handler<Shutdown> for Switchboard {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        self.readiness.stop();
        let (done, finished) = oneshot::channel();
        self.stopping =
            Some(Stopping { done: Some(done), sip_drained: self.sip.is_none(), clients_told: false });
        for entry in self.calls.values() {
            entry.handle.commands.do_send(CallCommand::Shutdown);
        }
        if let Some(sip) = &self.sip {
            sip.drain.do_send(DrainSip { done: ctx.address().recipient() });
        }
        // A far end that does not answer our BYE must not keep clients from hearing theirs.
        ctx.run_later(SIP_DRAIN_DEADLINE, |switchboard, _| {
            if let Some(stopping) = &mut switchboard.stopping {
                stopping.sip_drained = true;
            }
            switchboard.advance_stop();
        });
        self.advance_stop();
        Box::pin(async move {
            // An error means that the switchboard is gone: there is nothing left to wait for.
            let _ = finished.await;
        })
    }
}

impl Handler<Dismiss> for Switchboard {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Dismiss, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        ctx.stop();
        let (done, closed) = oneshot::channel();
        if let Some(sip) = self.sip.take() {
            sip.dismiss.do_send(DismissSip(done));
        }
        Box::pin(async move {
            // An error means that the listener is gone already.
            let _ = closed.await;
        })
    }
}

impl Handler<CensusRequest> for Switchboard {
    type Result = ResponseFuture<Census>;

    fn handle(&mut self, _: CensusRequest, _: &mut Context<Self>) -> Self::Result {
        let own = Census {
            calls: self.calls.len(),
            ports: self.ports.in_use(),
            clients: self.clients.len(),
            backlog: self.backlog.len(),
            sip: Default::default(),
        };
        let wire = self.sip.as_ref().map(|sip| sip.census.clone());
        Box::pin(async move {
            let Some(wire) = wire else { return own };
            Census { sip: wire.send(SipCensusRequest).await.unwrap_or_default(), ..own }
        })
    }
}

/// What a refused caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long the stop waits for far ends to answer our BYEs.
const SIP_DRAIN_DEADLINE: Duration = Duration::from_millis(1500);
