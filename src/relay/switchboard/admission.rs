//! Which calls begin: inbound ones that can be answered, outbound ones that may be placed, as many as there is room for.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Context, Handler};
use model::{
    call::{Direction, EndLabel, reason_phrase},
    event::Event,
    id::CallId,
};
use sip::sdp::LocalMedia;
use tracing::{info, warn};

use super::{
    super::{
        call::NewCall,
        message::{
            CallCommand, CallHandle, ClientEvent, ClientId, DialOptions, IncomingCall, IncomingStream,
            Invite, PlaceCall, SipAction, SipCommand, StreamLine, StreamStart, TransferCall,
        },
        random::{random_u64, uuid4},
        rtp_ports::PortLease,
        sip_listener::number_text,
    },
    CallerLeg, SpawnedCall, Switchboard,
    guard::{self, Refusal},
    table::Entry,
};
use crate::logging::Pii;

impl Switchboard {
    /// Whether there is room for one more call.
    fn admit(&self) -> Result<(), Refusal> {
        if self.stopping.is_some() {
            return Err(unavailable(EndLabel::Shutdown.as_str()));
        }
        if self.settings.max_calls.is_some_and(|limit| self.calls.len() >= limit) {
            return Err(unavailable(EndLabel::TooManyCalls.as_str()));
        }
        Ok(())
    }

    fn lease(&self) -> Result<PortLease, Refusal> {
        self.ports.lease().map_err(|error| {
            warn!(%error, "call refused");
            Refusal { status: 503, reason: "No RTP ports available", label: EndLabel::NoFreePort.as_str() }
        })
    }

    /// The same for a call that has a name already.
    fn admit_as(&self, id: &CallId) -> Result<(), Refusal> {
        if self.calls.contains_key(id) {
            // The last call of this name is over on the wire, and its recording is not complete yet.
            return Err(unavailable("same-call-id"));
        }
        self.admit()
    }

    fn take_call(&mut self, incoming: IncomingCall) -> Result<(), Refusal> {
        self.admit_as(&incoming.id)?;
        let lease = self.lease()?;
        let peer = Some(incoming.invite.source);
        let local = self.local_media("-", "-", peer, &lease);
        let offer = incoming.offer.as_deref();
        let new = NewCall::inbound(incoming.id, incoming.phone, offer, local, &self.settings.call);
        let new = new.map_err(|error| {
            info!(%error, "call refused");
            Refusal { status: error.status(), reason: "Not Acceptable Here", label: error.label().as_str() }
        })?;
        self.ask(&incoming.invite)?;
        self.start(new, CallerLeg::Sip(lease), None, Some(incoming.invite));
        Ok(())
    }

    /// A media stream takes no ports; for the rest it is an INVITE.
    fn take_stream(&mut self, start: &StreamStart, line: StreamLine) -> Result<(), (StreamLine, Refusal)> {
        let invite = Arc::new(Invite::from(start));
        if let Err(refusal) = self.admit_as(&start.id).and_then(|()| self.ask(&invite)) {
            return Err((line, refusal));
        }
        info!(call_id = %start.id, from = %Pii(&start.phone), peer = %start.source, "inbound media stream");
        let new = NewCall::by_stream(start, &self.settings.call);
        self.start(new, CallerLeg::Stream(line), None, Some(invite));
        Ok(())
    }

    /// Whether the program agrees that has a say.
    fn ask(&self, invite: &Invite) -> Result<(), Refusal> {
        let refusal = |(status, label)| Refusal { status, reason: reason_phrase(status), label };
        self.settings.admission.as_ref().map_or(Ok(()), |admission| admission(invite).map_err(refusal))
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
        self.admit()?;
        let lease = self.lease()?;
        let id = self.new_id();
        let peer = options.as_ref().and_then(|options| options.destination);
        let local = self.local_media("relay", "Call", peer, &lease);
        info!(call_id = %id, to = %Pii(phone), "outbound call");
        let new = NewCall::outbound(id.clone(), phone.to_owned(), options, local, &self.settings.call);
        self.start(new, CallerLeg::Sip(lease), Some(client), None);
        Ok(id)
    }

    fn start(
        &mut self,
        mut new: NewCall,
        leg: CallerLeg,
        placed_by: Option<ClientId>,
        invite: Option<Arc<Invite>>,
    ) {
        new.listeners = self.audience.insiders();
        let (id, phone, direction) = (new.id.clone(), new.phone.clone(), new.origin.direction());
        let ticket = new.origin.ticket();
        let SpawnedCall { commands, audio, listeners } = (self.spawn)(new, leg);
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
        self.audience.tell_all(&id, ClientEvent::Known(handle));
    }

    /// `{uuid4}@{host}`; the colons of an IPv6 host would have to be encoded on the WebSocket.
    fn new_id(&self) -> CallId {
        let host = self.settings.media_address.toward(None).to_string().replace(':', "-");
        CallId::from_sip_call_id(&format!("{}@{host}", uuid4()))
    }

    fn local_media(
        &self,
        username: &str,
        session_name: &str,
        peer: Option<SocketAddr>,
        lease: &PortLease,
    ) -> LocalMedia {
        let id = random_u64() >> 33;
        LocalMedia {
            address: self.settings.media_address.toward(peer),
            port: lease.base(),
            session_id: id,
            version: id,
            username: username.to_owned(),
            session_name: session_name.to_owned(),
        }
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

impl Handler<IncomingStream> for Switchboard {
    type Result = ();

    fn handle(&mut self, incoming: IncomingStream, _: &mut Context<Self>) {
        let IncomingStream { start, line } = incoming;
        if let Err((line, Refusal { status, label, .. })) = self.take_stream(&start, line) {
            self.metrics.calls.refused(Direction::Inbound, label);
            info!(call_id = %start.id, status, reason = label, "media stream refused");
            let action = SipAction::Refuse { status, retry_after: None };
            line.commands.do_send(SipCommand { call: start.id, action });
        }
    }
}

impl From<&StreamStart> for Invite {
    fn from(start: &StreamStart) -> Self {
        Self {
            sip_call_id: start.id.to_sip_call_id(),
            from: start.phone.clone(),
            to: start.called.clone(),
            called: Some(number_text(&start.called)).filter(|number| !number.is_empty()),
            headers: start.parameters.clone(),
            source: start.source,
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
        self.audience.say(client, answer);
    }
}

impl Handler<TransferCall> for Switchboard {
    type Result = ();

    fn handle(&mut self, transfer: TransferCall, _: &mut Context<Self>) {
        let TransferCall { client, call, target } = transfer;
        let Some(entry) = self.calls.get(&call) else { return };
        let target = match &mut self.guard {
            Some(guard) => guard.check_transfer(target, Instant::now()),
            None => Ok(guard::target_of(target)),
        };
        match target {
            Ok(target) => entry.handle.commands.do_send(CallCommand::Transfer { client, target }),
            Err(Refusal { status, reason, .. }) => {
                let error = Event::Error { status, text: reason.into(), verb: "TRANSFER".into() };
                self.audience.say(client, error);
            }
        }
    }
}

fn unavailable(label: &'static str) -> Refusal {
    Refusal { status: 503, reason: "Service Unavailable", label }
}

/// What a refused caller is told to wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);
