//! `RtpSession` owns the media of one call leg, and turns packets into what clients and the recorder hear.
//!
//! In: packets of its [`wire`] (UDP, or a provider's media stream), [`MediaCommand`] from the call, [`AgentOrder`] and [`Listen`] from clients. Out: paced RTP,
//! [`CallerAudio`](super::message::CallerAudio) to listeners, [`MediaEvent`] to the call, recorded audio. Knows nothing of SIP; what RTP
//! requires, the core decides.

mod agent_audio;
mod caller_audio;
mod closing;
mod drain;
mod ear;
mod fanout;
mod leg;
mod mixer;
mod rendition;
mod tape;
mod tones;
mod wire;

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, StreamHandler};
use model::id::CallId;
use rtp::{Channel, SessionConfig};
use tracing::warn;

use self::{
    agent_audio::HeldOrders,
    drain::tell,
    ear::Ear,
    fanout::Fanout,
    leg::{Leg, Outcome},
    tape::Tape,
    wire::Wire,
};
pub use self::{
    ear::{Attention, Hearing},
    wire::Carrier,
};
use super::{
    io::{Alarm, AlarmRang, Readable},
    message::{
        AgentMedia, AgentOrder, FileRead, Listen, Listener, MediaCommand, MediaEvent, MediaPlan, ReadFile,
    },
    recorder::RecorderPort,
};
use crate::metrics::{LegAccount, Metrics, SETTLE_EVERY};

/// What every leg of a relay has in common.
#[derive(Debug, Clone)]
pub struct MediaSettings {
    /// The limits and habits of the core; payload type, SSRC and the like are set per leg.
    pub session: SessionConfig,
    /// What is heard besides the audio.
    pub hearing: Hearing,
    /// Recordings have both sides, the caller left and the agent right.
    pub stereo: bool,
}

/// See the module's documentation.
pub struct RtpSession {
    id: CallId,
    settings: Arc<MediaSettings>,
    wire: Wire,
    alarm: Alarm,
    phase: Phase,
    call: Option<Recipient<MediaEvent>>,
    listeners: Fanout,
    ear: Ear,
    tape: Tape,
    recorder: Option<RecorderPort>,
    myself: Option<Recipient<FileRead>>,
    send_errors: u64,
    unheld: u64,
    late_ticks: u64,
    account: LegAccount,
    closed: bool,
}

enum Phase {
    /// No session agreed yet: agent media waits.
    Held(HeldOrders),
    Open(Box<Leg>),
}

impl Phase {
    /// A packet came. Before the session is open, what comes is forgotten.
    fn take(&mut self, channel: Channel, source: SocketAddr, datagram: &[u8], now: Instant) {
        let Self::Open(leg) = self else { return };
        match channel {
            Channel::Rtp => leg.session.handle_rtp(now, source, datagram),
            Channel::Rtcp => leg.session.handle_rtcp(now, source, datagram),
        }
    }
}

impl RtpSession {
    /// A leg on what it is given. Call it inside the arbiter on which it will live.
    pub fn new(
        id: CallId,
        carrier: Carrier,
        settings: Arc<MediaSettings>,
        recorder: Option<RecorderPort>,
        listeners: Vec<Listener>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let mut fanout = Fanout::default();
        listeners.into_iter().for_each(|listener| fanout.add(&id, listener));
        let recording = recorder.as_ref().map(|recorder| recorder.audio.clone());
        Ok(Self {
            tape: Tape::new(id.clone(), recording, settings.stereo),
            ear: Ear::new(settings.hearing.clone()),
            recorder,
            myself: None,
            id,
            settings,
            wire: Wire::new(carrier)?,
            alarm: Alarm::new(),
            phase: Phase::Held(HeldOrders::default()),
            call: None,
            listeners: fanout,
            send_errors: 0,
            unheld: 0,
            late_ticks: 0,
            account: LegAccount::new(metrics),
            closed: false,
        })
    }

    fn open(&mut self, plan: MediaPlan, now: Instant) {
        let plan = self.wire.aim(plan);
        self.ear.agreed(plan.telephone_event.is_some() || self.wire.is_line());
        self.attend(now);
        let mut config = self.settings.session.clone();
        self.wire.fit(&mut config);
        let leg = Box::new(Leg::open(plan, config, self.wire.is_line(), self.tape.is_stereo(), now));
        let held = match std::mem::replace(&mut self.phase, Phase::Open(leg)) {
            Phase::Held(held) => held,
            Phase::Open(_) => HeldOrders::default(),
        };
        self.tape.start(now);
        self.carry_out(held, now);
    }

    fn update(&mut self, plan: MediaPlan, now: Instant) {
        match &mut self.phase {
            Phase::Open(leg) => {
                if leg.plan.telephone_event.is_some() != plan.telephone_event.is_some() {
                    self.ear.agreed(plan.telephone_event.is_some());
                }
                leg.update(plan, now);
            }
            Phase::Held(_) => self.open(plan, now),
        }
    }

    fn carry_out(&mut self, orders: HeldOrders, now: Instant) {
        for order in orders {
            self.order(order, now);
        }
    }

    /// An order of a client: to the session, or held until there is one.
    fn order(&mut self, order: AgentOrder, now: Instant) {
        let outcome = match &mut self.phase {
            Phase::Open(leg) => {
                if matches!(order.media, AgentMedia::Clear) {
                    self.wire.cleared();
                }
                leg.order(order, now)
            }
            Phase::Held(held) => {
                if held.push(order).is_err() {
                    self.unheld += 1;
                    warn!(call_id = %self.id, "audio dropped: the call is not up and enough is held already");
                }
                return;
            }
        };
        self.follow_up(outcome);
    }

    fn follow_up(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Tell(news) => news.into_iter().for_each(|news| self.tell(news)),
            Outcome::Load { file, rate, ticket } => match self.myself.clone().zip(self.recorder.as_ref()) {
                Some((to, recorder)) => recorder.files.do_send(ReadFile { file, rate, ticket, to }),
                None => {
                    let pcm = Err("no files are read here".to_owned());
                    self.loaded(FileRead { ticket, pcm }, Instant::now());
                }
            },
        }
    }

    fn loaded(&mut self, read: FileRead, now: Instant) {
        let Phase::Open(leg) = &mut self.phase else { return };
        if let Some((behind, outcome)) = leg.loaded(read.ticket, read.pcm, now) {
            self.follow_up(outcome);
            self.carry_out(behind, now);
        }
    }

    fn greet(&mut self, pcm: &[i16], now: Instant) {
        let Phase::Open(leg) = &mut self.phase else { return };
        if let Err(error) = leg.greet(pcm, now) {
            warn!(call_id = %self.id, error, "greeting not played");
        }
    }

    fn tell(&self, news: MediaEvent) {
        tell(self.call.as_ref(), news);
    }

    /// Listens for speech while somebody wants it.
    fn attend(&mut self, now: Instant) {
        let Self { ear, listeners, call, .. } = self;
        ear.attend(listeners.has_multi(), now, |news| tell(call.as_ref(), news));
    }
}

impl Actor for RtpSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.myself = Some(ctx.address().recipient());
        self.wire.watch(ctx);
        ctx.add_stream(self.alarm.stream());
        ctx.run_interval(SETTLE_EVERY, |session, _| session.settle());
    }
}

impl Drop for RtpSession {
    /// A leg that ends without having been closed has panicked: its call must not wait for it.
    fn drop(&mut self) {
        if !self.closed {
            self.tell(MediaEvent::Died);
        }
    }
}

impl StreamHandler<Readable> for RtpSession {
    fn handle(&mut self, readable: Readable, _: &mut Context<Self>) {
        let now = Instant::now();
        let Self { wire, phase, .. } = self;
        wire.receive(readable.0, |channel, source, datagram| phase.take(channel, source, datagram, now));
        self.drain(now);
        if self.wire.is_closed() {
            self.tell(MediaEvent::LineClosed);
        }
    }
}

impl StreamHandler<AlarmRang> for RtpSession {
    fn handle(&mut self, _: AlarmRang, _: &mut Context<Self>) {
        let now = Instant::now();
        if let Phase::Open(leg) = &mut self.phase {
            leg.session.handle_timeout(now);
            let call = self.call.as_ref();
            self.ear.tick(leg.session.playback(), now, |news| tell(call, news));
        }
        self.drain(now);
    }
}

impl Handler<MediaCommand> for RtpSession {
    type Result = ();

    fn handle(&mut self, command: MediaCommand, ctx: &mut Context<Self>) {
        let now = Instant::now();
        match command {
            MediaCommand::Attach(call) => {
                self.call = Some(call);
                if self.wire.is_closed() {
                    self.tell(MediaEvent::LineClosed);
                }
            }
            MediaCommand::Start(plan) => self.open(*plan, now),
            MediaCommand::Update(plan) => self.update(*plan, now),
            MediaCommand::Greet(pcm) => self.greet(&pcm, now),
            MediaCommand::Close(done) => {
                self.close(done);
                return ctx.stop();
            }
        }
        self.drain(now);
    }
}

impl Handler<AgentOrder> for RtpSession {
    type Result = ();

    fn handle(&mut self, order: AgentOrder, _: &mut Context<Self>) {
        let now = Instant::now();
        self.order(order, now);
        self.drain(now);
    }
}

impl Handler<FileRead> for RtpSession {
    type Result = ();

    fn handle(&mut self, read: FileRead, _: &mut Context<Self>) {
        let now = Instant::now();
        self.loaded(read, now);
        self.drain(now);
    }
}

impl Handler<Listen> for RtpSession {
    type Result = ();

    fn handle(&mut self, listen: Listen, _: &mut Context<Self>) {
        match listen {
            Listen::On(listener) => self.listeners.add(&self.id, listener),
            Listen::Off(client) => self.listeners.remove(client),
        }
        if matches!(self.phase, Phase::Open(_)) {
            self.attend(Instant::now());
        }
    }
}

/// Messages of one client that may wait: a second of 20 ms messages. Audio beyond it is dropped by the sender and counted.
const MAILBOX: usize = 64;
