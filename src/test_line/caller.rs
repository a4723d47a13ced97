//! `Caller` places one call and judges what it hears: the telephone of the test line, the other way round.
//!
//! In: where to call, SIP, [`VoiceEvent`]. Out: an INVITE and what follows, [`TestCallReport`]. Knows nothing of who answers.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, StreamHandler, WrapFuture,
};
use bytes::Bytes;
use model::audio::Codec;
use sip::{
    CallKey, Dial, DialError, EndCause, Endpoint, EndpointConfig, Event,
    sdp::{AnswerError, LocalMedia, Negotiator},
};
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    hearing::{Heard, Hearing},
    host, rtp_ports, sound,
    voice::{Ear, Voice, VoiceCommand, VoiceEvent, VoiceNews},
    wire::{self, SipWire},
};
use crate::relay::{
    io::{AlarmRang, Readable},
    random_u64,
    rtp_ports::{NoFreePort, PortLease},
    seed,
};

/// A call to place: a tone, the sentence, then silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCall {
    /// Where the INVITE goes.
    pub destination: SocketAddr,
    /// The number to call.
    pub number: String,
    /// The number that calls.
    pub caller: String,
    /// How long the call stays up.
    pub length: Duration,
}

/// What became of a call that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCallReport {
    /// The far end rang before it answered.
    pub rang: bool,
    /// From the INVITE to the answer.
    pub answered_after: Duration,
    /// From the answer to the end.
    pub up: Duration,
    /// The codec that was agreed.
    pub codec: Codec,
    /// What was heard; its tone is the one that was sent.
    pub heard: Heard,
    /// The far end hung up first.
    pub hung_up: bool,
}

impl TestCallReport {
    /// Audio came all the time: nine tenths of the packets that fit into the call.
    pub fn audio(&self) -> bool {
        self.heard.frames > 0 && u128::from(self.heard.frames) * 20 * 10 >= self.up.as_millis() * 9
    }
}

/// Why a call was not answered, or could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum TestCallError {
    /// A socket cannot be had.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// No RTP ports are left.
    #[error(transparent)]
    Ports(#[from] NoFreePort),
    /// The number is none.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The answer cannot be used.
    #[error("the answer has no usable SDP: {0}")]
    Answer(#[from] AnswerError),
    /// The call ended before it was answered.
    #[error("not answered: {status} {reason}")]
    NotAnswered {
        /// The SIP status that says why.
        status: u16,
        /// Its reason.
        reason: String,
    },
    /// The caller stopped, which is a fault of the program.
    #[error("the call broke off")]
    Broken,
}

type Outcome = Result<TestCallReport, TestCallError>;

impl TestCall {
    /// Places the call, waits for its end, and says what was heard. Must run inside an actix system.
    ///
    /// # Errors
    /// When there was no call.
    pub async fn run(self) -> Outcome {
        let local = source_of(self.destination)?;
        let (socket, address) = wire::bind(local)?;
        let lease = rtp_ports(local).lease()?;
        let mut config = EndpointConfig::new(address);
        config.user_agent = "SIP-Relay-Test-Call/1.0".to_owned();
        let wire = SipWire::new(socket, Endpoint::new(config, seed()))?;
        let (outcome, ended) = oneshot::channel();
        let caller = Caller {
            negotiator: negotiator(local, &lease),
            state: State::Waiting(Box::new(lease)),
            wire,
            rang: false,
            placed: Instant::now(),
            outcome: None,
            waiting: Some(outcome),
            test: self,
        };
        caller.start();
        ended.await.unwrap_or(Err(TestCallError::Broken))
    }
}

/// See the module's documentation.
struct Caller {
    test: TestCall,
    wire: SipWire,
    negotiator: Negotiator,
    state: State,
    rang: bool,
    placed: Instant,
    /// Known before the signalling is over.
    outcome: Option<Outcome>,
    waiting: Option<oneshot::Sender<Outcome>>,
}

enum State {
    /// For the answer.
    Waiting(Box<PortLease>),
    Up(Conversation),
    /// The outcome is there, the signalling goes on.
    Over,
}

struct Conversation {
    voice: Recipient<VoiceCommand>,
    answered: Instant,
    codec: Codec,
    /// How long it was up and whether the far end ended it, once that is known.
    ended: Option<(Duration, bool)>,
}

impl Caller {
    /// Carries out all that the core wants done; the one place where its events are read.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        while let Some(event) = self.wire.next_event() {
            match event {
                Event::Ringing { .. } => self.rang = true,
                Event::Answered { call, sdp } => self.answered(call, sdp, ctx),
                Event::Ended { cause, .. } => self.ended(&cause, ctx),
                Event::Offer { call, sdp, .. } => self.offered(call, sdp),
                _ => {}
            }
        }
        self.wire.set_alarm(None);
        if self.wire.endpoint.stats().calls == 0 {
            self.report(ctx);
        }
    }

    fn place(&mut self) -> Result<(), DialError> {
        let TestCall { destination, number, caller, .. } = &self.test;
        let relay = format!("{}:{}", host(destination.ip()), destination.port());
        let mut dial = Dial::new(format!("sip:{number}@{relay}"), *destination, self.negotiator.offer());
        let local = host(self.wire.endpoint.config().contact.ip());
        dial.from = Some(format!("sip:{caller}@{local}"));
        dial.ring_timeout = Some(RING_LIMIT);
        self.placed = Instant::now();
        self.wire.endpoint.dial(self.placed, dial).map(|_| ())
    }

    fn answered(&mut self, call: CallKey, sdp: Option<Bytes>, ctx: &mut Context<Self>) {
        let State::Waiting(lease) = std::mem::replace(&mut self.state, State::Over) else { return };
        let (codec, voice) = match self.converse(call, &sdp.unwrap_or_default(), *lease, ctx) {
            Ok(conversation) => conversation,
            Err(error) => {
                self.finish(Err(error), ctx);
                return self.hang_up(call);
            }
        };
        self.state = State::Up(Conversation { voice, answered: Instant::now(), codec, ended: None });
        ctx.run_later(self.test.length, move |caller, ctx| {
            caller.hang_up(call);
            caller.drain(ctx);
        });
    }

    fn converse(
        &mut self,
        call: CallKey,
        answer: &[u8],
        lease: PortLease,
        ctx: &mut Context<Self>,
    ) -> Result<(Codec, Recipient<VoiceCommand>), TestCallError> {
        let agreed = self.negotiator.accept_answer(answer)?;
        let codec = agreed.codec;
        let ear = Ear::Judge(Hearing::new(TONE_HZ));
        let voice = Voice::new(call, ctx.address().recipient(), lease, agreed, ear)?.start().recipient();
        let speech = sound::tone(TONE_HZ, TONE).iter().chain(sound::sentence().iter()).copied().collect();
        voice.do_send(VoiceCommand::Say(speech));
        Ok((codec, voice))
    }

    fn offered(&mut self, call: CallKey, offer: Option<Bytes>) {
        let now = Instant::now();
        let answered = match offer.map(|offer| self.negotiator.answer(&offer)) {
            None => self.wire.endpoint.answer_offer(now, call, self.negotiator.offer()),
            Some(Ok((agreed, answer))) => {
                if let State::Up(conversation) = &self.state {
                    conversation.voice.do_send(VoiceCommand::Change(Box::new(agreed)));
                }
                self.wire.endpoint.answer_offer(now, call, answer)
            }
            Some(Err(error)) => self.wire.endpoint.reject_offer(now, call, error.status()),
        };
        if let Err(error) = answered {
            debug!(%error, "offer came too late");
        }
    }

    fn hang_up(&mut self, call: CallKey) {
        if let Err(error) = self.wire.endpoint.hangup(Instant::now(), call) {
            debug!(%error, "the call is over already");
        }
    }

    fn ended(&mut self, cause: &EndCause, ctx: &mut Context<Self>) {
        match &mut self.state {
            State::Waiting(_) => {
                self.state = State::Over;
                let (status, reason) = (cause.status().unwrap_or(500), cause.reason().to_owned());
                self.finish(Err(TestCallError::NotAnswered { status, reason }), ctx);
            }
            State::Up(conversation) => {
                let hung_up = *cause != EndCause::LocalBye;
                conversation.ended = Some((conversation.answered.elapsed(), hung_up));
                conversation.voice.do_send(VoiceCommand::Close);
            }
            State::Over => {}
        }
    }

    /// The outcome, once the far end has taken leave as well, or has had its time for that.
    fn report(&mut self, ctx: &mut Context<Self>) {
        let Some(outcome) = self.outcome.take() else { return };
        if let Some(waiting) = self.waiting.take() {
            // Nobody waits any more: then nobody wants to know.
            let _ = waiting.send(outcome);
        }
        ctx.stop();
    }

    fn finish(&mut self, outcome: Outcome, ctx: &mut Context<Self>) {
        self.outcome = Some(outcome);
        ctx.run_later(LEAVE, Self::report);
    }
}

impl Actor for Caller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (readable, alarm) = self.wire.streams();
        ctx.add_stream(readable);
        ctx.add_stream(alarm);
        ctx.wait(self.wire.writable().into_actor(self).map(|(), caller, ctx| {
            if let Err(error) = caller.place() {
                caller.state = State::Over;
                caller.finish(Err(error.into()), ctx);
            }
            caller.drain(ctx);
        }));
    }
}

impl StreamHandler<Readable> for Caller {
    fn handle(&mut self, _: Readable, ctx: &mut Context<Self>) {
        for _ in 0..MAX_BATCH {
            if !self.wire.receive() {
                break;
            }
            self.drain(ctx);
        }
    }
}

impl StreamHandler<AlarmRang> for Caller {
    fn handle(&mut self, _: AlarmRang, ctx: &mut Context<Self>) {
        self.wire.endpoint.handle_timeout(Instant::now());
        self.drain(ctx);
    }
}

impl Handler<VoiceEvent> for Caller {
    type Result = ();

    fn handle(&mut self, VoiceEvent { call, news }: VoiceEvent, ctx: &mut Context<Self>) {
        match (news, &self.state) {
            (VoiceNews::Closed(heard), State::Up(Conversation { answered, codec, ended, .. })) => {
                let (up, hung_up) = ended.unwrap_or((answered.elapsed(), false));
                let (rang, codec) = (self.rang, *codec);
                let answered_after = *answered - self.placed;
                self.state = State::Over;
                let report = TestCallReport { rang, answered_after, up, codec, heard, hung_up };
                self.finish(Ok(report), ctx);
            }
            (VoiceNews::Lost, _) => self.hang_up(call),
            (VoiceNews::Said | VoiceNews::Closed(_), _) => {}
        }
        self.drain(ctx);
    }
}

fn negotiator(local: IpAddr, lease: &PortLease) -> Negotiator {
    let local = LocalMedia {
        address: local,
        port: lease.base(),
        session_id: random_u64() >> 1,
        version: 1,
        username: "-".to_owned(),
        session_name: "-".to_owned(),
    };
    Negotiator::new(local, sound::CODECS.to_vec(), Some(TELEPHONE_EVENT))
}

/// The address from which packets to `destination` leave. Sends nothing.
fn source_of(destination: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if destination.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let probe = UdpSocket::bind(any)?;
    probe.connect(destination)?;
    Ok(probe.local_addr()?.ip())
}

/// The tone that is sent and listened for.
const TONE_HZ: f64 = 1000.0;
const TONE: Duration = Duration::from_secs(1);
/// How long the far end may ring.
const RING_LIMIT: Duration = Duration::from_secs(60);
/// How long the far end may take to confirm the end.
const LEAVE: Duration = Duration::from_secs(2);
const TELEPHONE_EVENT: u8 = 101;
/// Datagrams read in one turn.
const MAX_BATCH: usize = 64;
