//! `Switchboard` is the root actor: the table of calls, who may call, and who hears about what.
//!
//! In: `IncomingCall`, `IncomingStream`, `PlaceCall`, [`CallReport`], clients that come and go, `Shutdown`. Out: calls, [`ClientEvent`]s. Which
//! calls begin stands in `admission`, who hears of them in `audience`, how all of it ends in `stop`. Knows nothing of SIP
//! messages, packets or sockets.

mod admission;
mod audience;
mod backlog;
mod guard;
mod stop;
mod table;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use actix::{Actor, Context, Handler, Recipient, ResponseFuture};
use model::{event::Event, id::CallId};
use tracing::{info, warn};

pub use self::{admission::RETRY_AFTER, guard::DialRules};
use self::{
    audience::{Audience, Client},
    guard::DialGuard,
    stop::Stopping,
    table::{Entry, in_progress},
};
use super::{
    call::{CallSettings, NewCall},
    message::{
        AgentMedia, AgentOrder, CallCommand, CallNews, CallReport, Census, CensusRequest, ClientEvent,
        ClientId, Connect, Disconnect, DismissSip, DrainSip, FactKind, Invite, Listen, SipCensusRequest,
        SipCommand, StreamLine,
    },
    rtp_ports::{PortLease, RtpPorts},
};
use crate::{
    config::{LostAction, route_source},
    http::{Part, Readiness, Up},
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
pub type SpawnCall = Box<dyn Fn(NewCall, CallerLeg) -> SpawnedCall>;

/// What a call's caller comes by.
pub enum CallerLeg {
    /// SIP, and RTP on these ports.
    Sip(PortLease),
    /// A provider's media stream.
    Stream(StreamLine),
}

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
    audience: Audience,
    sequence: u64,
    stopping: Option<Stopping>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    _up: Up,
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
            audience: Audience::new(metrics.clone()),
            metrics,
            sequence: 0,
            stopping: None,
        }
    }

    /// A client is there from now on.
    pub fn connect(&mut self, connect: Connect) {
        let Connect { client, events, session, inside, beside } = connect;
        if session.is_some_and(|claim| self.audience.claim(client, claim, &events)) {
            self.audience.add(client, Client { events, inside, beside });
            return info!(client = client.0, "session resumed");
        }
        let forgotten = self.audience.backlog().forgotten();
        if forgotten > 0 {
            warn!(forgotten, "more happened without a client than is kept");
        }
        let story: Vec<ClientEvent> = if self.audience.is_deserted() && !beside {
            self.audience.backlog().take().collect()
        } else {
            in_progress(self.calls.values()).into_iter().map(|(_, event)| event).collect()
        };
        for event in story {
            events.do_send(event);
        }
        self.audience.add(client, Client { events, inside, beside });
        info!(client = client.0, clients = self.audience.len(), "client connected");
    }

    fn news(&mut self, call: CallId, news: CallNews) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        match news {
            CallNews::Ringing => {
                entry.rang = true;
                for event in entry.ringing() {
                    self.audience.say_all(&call, event);
                }
            }
            CallNews::Up => {
                entry.up = true;
                self.audience.say_all(&call, Event::CallAns { call: call.clone() });
            }
            CallNews::AnswerSent => self.audience.state_fact(&call, &FactKind::AnswerSent),
            CallNews::Media(facts) => self.audience.state_fact(&call, &FactKind::Media(facts)),
            CallNews::Event(event) => self.audience.say_all(&call, event),
            CallNews::For(client, event) => self.audience.say(client, event),
            CallNews::Over { was_up, reason } => {
                let direction = entry.handle.direction;
                info!(call_id = %call, reason = %reason, was_up, "call over");
                self.metrics.calls.ended(&reason);
                self.calls.remove(&call);
                for event in Event::ending(&call, direction, was_up, &reason) {
                    self.audience.say_all(&call, event);
                }
                self.audience.state_fact(&call, &FactKind::Over { reason });
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

impl Handler<CallReport> for Switchboard {
    type Result = ();

    fn handle(&mut self, report: CallReport, _: &mut Context<Self>) {
        self.news(report.call, report.news);
    }
}

impl Handler<Connect> for Switchboard {
    type Result = ();

    fn handle(&mut self, connect: Connect, _: &mut Context<Self>) {
        self.connect(connect);
    }
}

impl Handler<Disconnect> for Switchboard {
    type Result = ();

    fn handle(&mut self, disconnect: Disconnect, _: &mut Context<Self>) {
        let Some(client) = self.audience.remove(disconnect.0) else { return };
        info!(client = disconnect.0.0, clients = self.audience.len(), "client gone");
        if self.audience.is_deserted() && !client.beside {
            // The next client has not heard of the calls that this one knew.
            for (call, event) in in_progress(self.calls.values()) {
                self.audience.backlog().push(call, event);
            }
            self.lost(disconnect.0);
        }
        self.advance_stop();
    }
}

impl Handler<CensusRequest> for Switchboard {
    type Result = ResponseFuture<Census>;

    fn handle(&mut self, _: CensusRequest, _: &mut Context<Self>) -> Self::Result {
        let own = Census {
            calls: self.calls.len(),
            ports: self.ports.in_use(),
            clients: self.audience.len(),
            backlog: self.audience.backlog().len(),
            sip: Default::default(),
        };
        let wire = self.sip.as_ref().map(|sip| sip.census.clone());
        Box::pin(async move {
            let Some(wire) = wire else { return own };
            Census { sip: wire.send(SipCensusRequest).await.unwrap_or_default(), ..own }
        })
    }
}
