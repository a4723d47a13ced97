//! `Exchange` owns the test line's SIP socket and its calls: it does on the wire what each [`Phone`] decides.
//!
//! In: INVITEs and what follows, [`VoiceEvent`], timers. Out: SIP, [`VoiceCommand`]. No audio passes through it.

use std::{collections::HashMap, io, net::UdpSocket, time::Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient, StreamHandler};
use bytes::Bytes;
use sip::{
    CallError, CallKey, Endpoint, Event, Incoming, Rejection,
    msg::Uri,
    sdp::{Agreed, LocalMedia, Negotiator},
};
use tracing::{debug, info, warn};

use super::{
    phone::{Behaviour, Phone, Step},
    sound,
    voice::{Voice, VoiceCommand, VoiceEvent, VoiceNews},
    wire::SipWire,
};
use crate::{
    logging::Pii,
    relay::{
        io::{AlarmRang, Readable},
        random_u64,
        rtp_ports::{PortLease, RtpPorts},
    },
};

/// End every call and stop; resolves when that is done.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Stop;

/// How many of each thing exist right now.
#[derive(Message, Debug)]
#[rtype(result = "LineCensus")]
pub struct CensusRequest;

/// What exists of a test line's calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct LineCensus {
    /// Calls that ring or are up.
    pub calls: usize,
    /// RTP port pairs leased.
    pub ports: usize,
}

/// See the module's documentation.
pub struct Exchange {
    wire: SipWire,
    ports: RtpPorts,
    lines: HashMap<CallKey, Line>,
}

/// One call.
struct Line {
    phone: Phone,
    media: Media,
}

/// The media of a call, as far as it has come.
enum Media {
    /// The call will not have any.
    None,
    /// The offer can be answered.
    Ready(Box<Ready>),
    /// The answer is out.
    Open { negotiator: Box<Negotiator>, answer: Bytes, voice: Recipient<VoiceCommand> },
}

struct Ready {
    lease: PortLease,
    negotiator: Negotiator,
    agreed: Agreed,
    answer: Bytes,
}

impl Exchange {
    /// A test line on a bound, non-blocking socket. Call it inside the arbiter on which it will live.
    pub fn new(socket: UdpSocket, endpoint: Endpoint, ports: RtpPorts) -> io::Result<Self> {
        Ok(Self { wire: SipWire::new(socket, endpoint)?, ports, lines: HashMap::new() })
    }

    /// Carries out all that the core wants done; the one place where its events are read.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        while let Some(event) = self.wire.next_event() {
            self.handle_event(event, ctx);
        }
        self.wire.set_alarm(self.lines.values().filter_map(|line| line.phone.next_timeout()).min());
    }

    fn handle_event(&mut self, event: Event, ctx: &mut Context<Self>) {
        match event {
            Event::Incoming(incoming) => self.take(*incoming, ctx),
            Event::Acked { call, .. } => {
                let step = self.lines.get_mut(&call).and_then(|line| line.phone.acked());
                self.step(call, step, ctx);
            }
            Event::Offer { call, sdp, .. } => self.offered(call, sdp),
            Event::OfferAcked { call, sdp: Some(sdp) } => self.offer_answered(call, &sdp),
            Event::Ended { call, cause } => {
                if let Some(line) = self.lines.remove(&call) {
                    line.media.close();
                    info!(call = call.value(), cause = cause.label(), "test line: call over");
                }
            }
            // Of a call that was placed, of what is not done here, or nothing to do.
            _ => {}
        }
    }

    fn take(&mut self, incoming: Incoming, ctx: &mut Context<Self>) {
        let (call, now) = (incoming.call, Instant::now());
        let number = Uri::parse(&incoming.request_uri).ok().and_then(|uri| uri.user_unescaped());
        let number = number.unwrap_or_default();
        info!(call = call.value(), number = %Pii(&number), "test line: call");
        let behaviour = Behaviour::of(&number);
        let media = match behaviour {
            Behaviour::Answer { .. } => self.prepare(incoming.offer.as_deref()).map(Media::Ready),
            Behaviour::Refuse(_) | Behaviour::RingForever => Ok(Media::None),
        };
        let media = match media {
            Ok(media) if self.lines.len() < MAX_CALLS => media,
            Ok(_) => return self.refuse(call, now, 503),
            Err(status) => return self.refuse(call, now, status),
        };
        let (phone, step) = Phone::call(now, behaviour);
        self.lines.insert(call, Line { phone, media });
        self.step(call, Some(step), ctx);
    }

    /// Ports and an answer for an offer, or the status to refuse it with.
    fn prepare(&self, offer: Option<&[u8]>) -> Result<Box<Ready>, u16> {
        let offer = offer.ok_or(488_u16)?;
        let lease = self.ports.lease().map_err(|error| {
            warn!(%error, "test line: no RTP ports");
            503_u16
        })?;
        let local = LocalMedia {
            address: self.wire.endpoint.config().contact.ip(),
            port: lease.base(),
            session_id: random_u64() >> 1,
            version: 1,
            username: "-".to_owned(),
            session_name: "-".to_owned(),
        };
        let mut negotiator = Negotiator::new(local, sound::CODECS.to_vec(), None);
        let (agreed, answer) = negotiator.answer(offer).map_err(|error| {
            info!(%error, "test line: offer refused");
            error.status()
        })?;
        Ok(Box::new(Ready { lease, negotiator, agreed, answer }))
    }

    fn refuse(&mut self, call: CallKey, now: Instant, status: u16) {
        done(call, self.wire.endpoint.reject(now, call, Rejection::new(status)));
    }

    fn step(&mut self, call: CallKey, step: Option<Step>, ctx: &mut Context<Self>) {
        let Some(step) = step else { return };
        let now = Instant::now();
        match step {
            Step::Refuse(status) => self.refuse(call, now, status),
            Step::Ring => done(call, self.wire.endpoint.ringing(now, call)),
            Step::RingAloud => {
                if let Some(answer) = self.open(call, ctx) {
                    done(call, self.wire.endpoint.progress(now, call, answer));
                    self.tell(call, VoiceCommand::Say(sound::tone(RINGING_HZ, RINGING)));
                }
            }
            Step::Answer => {
                if let Some(answer) = self.open(call, ctx) {
                    done(call, self.wire.endpoint.answer(now, call, answer));
                }
            }
            Step::Speak => self.tell(call, VoiceCommand::Say(sound::sentence())),
            Step::Echo => self.tell(call, VoiceCommand::Echo),
            Step::HangUp => done(call, self.wire.endpoint.hangup(now, call)),
        }
    }

    /// Opens the media of a call, if that has not been done, and gives its answer.
    fn open(&mut self, call: CallKey, ctx: &mut Context<Self>) -> Option<Bytes> {
        let line = self.lines.get_mut(&call)?;
        let ready = match std::mem::replace(&mut line.media, Media::None) {
            Media::Ready(ready) => *ready,
            open => {
                line.media = open;
                let Media::Open { answer, .. } = &line.media else { return None };
                return Some(answer.clone());
            }
        };
        let Ready { lease, negotiator, agreed, answer } = ready;
        let owner = ctx.address().recipient();
        let voice = match Voice::new(call, owner, lease, agreed) {
            Ok(voice) => voice.start().recipient(),
            Err(error) => {
                warn!(%error, "test line: RTP sockets");
                self.refuse(call, Instant::now(), 500);
                return None;
            }
        };
        line.media = Media::Open { negotiator: Box::new(negotiator), answer: answer.clone(), voice };
        Some(answer)
    }

    fn offered(&mut self, call: CallKey, offer: Option<Bytes>) {
        let Some(Line { media: Media::Open { negotiator, voice, .. }, .. }) = self.lines.get_mut(&call)
        else {
            return;
        };
        let now = Instant::now();
        let answered = match offer {
            None => self.wire.endpoint.answer_offer(now, call, negotiator.offer()),
            Some(offer) => match negotiator.answer(&offer) {
                Ok((agreed, answer)) => {
                    voice.do_send(VoiceCommand::Change(Box::new(agreed)));
                    self.wire.endpoint.answer_offer(now, call, answer)
                }
                Err(error) => self.wire.endpoint.reject_offer(now, call, error.status()),
            },
        };
        done(call, answered);
    }

    fn offer_answered(&mut self, call: CallKey, answer: &[u8]) {
        let line = self.lines.get_mut(&call);
        let Some(Line { media: Media::Open { negotiator, voice, .. }, .. }) = line else { return };
        match negotiator.accept_answer(answer) {
            Ok(agreed) => voice.do_send(VoiceCommand::Change(Box::new(agreed))),
            Err(error) => info!(%error, "test line: answer not used, the session goes on as it was"),
        }
    }

    fn tell(&self, call: CallKey, command: VoiceCommand) {
        if let Some(Line { media: Media::Open { voice, .. }, .. }) = self.lines.get(&call) {
            voice.do_send(command);
        }
    }
}

impl Media {
    fn close(self) {
        if let Media::Open { voice, .. } = self {
            voice.do_send(VoiceCommand::Close);
        }
    }
}

impl Actor for Exchange {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (readable, alarm) = self.wire.streams();
        ctx.add_stream(readable);
        ctx.add_stream(alarm);
    }
}

impl StreamHandler<Readable> for Exchange {
    fn handle(&mut self, _: Readable, ctx: &mut Context<Self>) {
        for _ in 0..MAX_BATCH {
            if !self.wire.receive() {
                break;
            }
            self.drain(ctx);
        }
    }
}

impl StreamHandler<AlarmRang> for Exchange {
    fn handle(&mut self, _: AlarmRang, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.wire.endpoint.handle_timeout(now);
        let due =
            self.lines.iter_mut().filter_map(|(call, line)| Some((*call, line.phone.handle_timeout(now)?)));
        for (call, step) in due.collect::<Vec<_>>() {
            self.step(call, Some(step), ctx);
        }
        self.drain(ctx);
    }
}

impl Handler<VoiceEvent> for Exchange {
    type Result = ();

    fn handle(&mut self, VoiceEvent { call, news }: VoiceEvent, ctx: &mut Context<Self>) {
        let Some(line) = self.lines.get_mut(&call) else { return };
        let step = match news {
            VoiceNews::Said => line.phone.said(),
            VoiceNews::Lost => Some(Step::HangUp),
        };
        self.step(call, step, ctx);
        self.drain(ctx);
    }
}

impl Handler<CensusRequest> for Exchange {
    type Result = LineCensus;

    fn handle(&mut self, _: CensusRequest, _: &mut Context<Self>) -> LineCensus {
        LineCensus { calls: self.lines.len(), ports: self.ports.in_use() }
    }
}

impl Handler<Stop> for Exchange {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        for call in self.lines.keys().copied().collect::<Vec<_>>() {
            done(call, self.wire.endpoint.hangup(Instant::now(), call));
        }
        self.drain(ctx);
        ctx.stop();
    }
}

/// A command that the core refuses came after the end of its call, which is in the core's queue of events.
fn done(call: CallKey, result: Result<(), CallError>) {
    if let Err(error) = result {
        debug!(call = call.value(), %error, "test line: too late");
    }
}

/// Calls at once; a further one gets 503.
const MAX_CALLS: usize = 100;
/// Datagrams read in one turn.
const MAX_BATCH: usize = 64;
/// The ringing tone of early media, as most of the world has it (ITU-T E.182).
const RINGING_HZ: f64 = 425.0;
const RINGING: std::time::Duration = std::time::Duration::from_secs(1);
