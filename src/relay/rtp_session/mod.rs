//! `RtpSession` owns one call leg's RTP and RTCP sockets, and turns packets into what clients and the recorder hear.
//!
//! In: datagrams, [`MediaCommand`] from the call, [`AgentOrder`] and [`Listen`] from clients. Out: paced RTP,
//! [`CallerAudio`](super::message::CallerAudio) to listeners, [`MediaEvent`] to the call, recorded audio. Knows nothing of SIP; what RTP
//! requires, the core decides.

mod agent_audio;
mod caller_audio;
mod ear;
mod fanout;
mod leg;
mod mixer;
mod rendition;
mod tape;

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, StreamHandler};
use model::id::CallId;
use rtp::{Channel, Event, Output, SessionConfig, SilenceKind};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tracing::{debug, info, warn};

pub use self::ear::{Attention, Hearing};
use self::{
    agent_audio::HeldOrders,
    ear::Ear,
    fanout::Fanout,
    leg::{Leg, Outcome},
    tape::Tape,
};
use super::{
    io::{Alarm, AlarmRang, Readable, ReadableStream, take_arrived},
    message::{
        AgentOrder, DigitSource, FileRead, FinishRecording, Listen, Listener, MediaCommand, MediaEvent,
        MediaPlan, ReadFile, RecordingDone,
    },
    recorder::RecorderPort,
    rtp_ports::{Claim, PortLease},
};
use crate::metrics::{LegAccount, LegDrops, Metrics, SETTLE_EVERY};

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
    sockets: Rc<Sockets>,
    alarm: Alarm,
    phase: Phase,
    call: Option<Recipient<MediaEvent>>,
    listeners: Fanout,
    ear: Ear,
    tape: Tape,
    recorder: Option<RecorderPort>,
    myself: Option<Recipient<FileRead>>,
    buffer: Box<[u8]>,
    send_errors: u64,
    unheld: u64,
    late_ticks: u64,
    account: LegAccount,
    closed: bool,
}

/// Both sockets and the claim on their ports. The claim is dropped last, when the ports are free again.
struct Sockets {
    rtp: Rc<UdpSocket>,
    rtcp: Rc<UdpSocket>,
    _claim: Claim,
}

enum Phase {
    /// No session agreed yet: agent media waits.
    Held(HeldOrders),
    Open(Box<Leg>),
}

impl RtpSession {
    /// A leg on leased ports. Call it inside the arbiter on which it will live.
    pub fn new(
        id: CallId,
        lease: PortLease,
        settings: Arc<MediaSettings>,
        recorder: Option<RecorderPort>,
        listeners: Vec<Listener>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let PortLease { rtp, rtcp, claim } = lease;
        let sockets = Sockets {
            rtp: Rc::new(UdpSocket::from_std(rtp)?),
            rtcp: Rc::new(UdpSocket::from_std(rtcp)?),
            _claim: claim,
        };
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
            sockets: Rc::new(sockets),
            alarm: Alarm::new(),
            phase: Phase::Held(HeldOrders::default()),
            call: None,
            listeners: fanout,
            buffer: vec![0; MAX_DATAGRAM].into_boxed_slice(),
            send_errors: 0,
            unheld: 0,
            late_ticks: 0,
            account: LegAccount::new(metrics),
            closed: false,
        })
    }

    fn open(&mut self, plan: MediaPlan, now: Instant) {
        self.ear.agreed(plan.telephone_event.is_some());
        self.attend(now);
        let leg = Box::new(Leg::open(plan, &self.settings.session, self.tape.is_stereo(), now));
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
            Phase::Open(leg) => leg.order(order, now),
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

    /// Carries out all that the core wants done; the one place where its outputs are read.
    fn drain(&mut self, now: Instant) {
        while let Phase::Open(leg) = &mut self.phase {
            let Some(output) = leg.session.poll_output() else {
                return self.alarm.set(leg.session.next_timeout());
            };
            let call = self.call.as_ref();
            let mut interrupted = false;
            let mut heard = |news: MediaEvent| {
                interrupted |= matches!(news, MediaEvent::BargeIn { .. });
                tell(call, news);
            };
            match output {
                Output::Transmit { channel, destination, packet } => {
                    let socket = match channel {
                        Channel::Rtp => &self.sockets.rtp,
                        Channel::Rtcp => &self.sockets.rtcp,
                    };
                    // Not `try_send_to`: it refuses until the reactor has seen the socket once, which costs the first
                    // packet of every call.
                    if SockRef::from(&**socket).send_to(&packet, &destination.into()).is_err() {
                        self.send_errors += 1;
                    }
                }
                Output::Event(Event::Audio { payload_type, payload, timestamp, .. }) => {
                    let Some(frame) = leg.caller.decode(payload_type, &payload) else { continue };
                    let begin = if self.tape.is_stereo() { leg.session.received_from() } else { None };
                    self.tape.caller(begin.unwrap_or(0) + timestamp, frame.pcm_8k, now);
                    self.listeners.send(&self.id, &frame);
                    self.ear.hear(frame.pcm_8k, leg.session.playback(), now, &mut heard);
                }
                Output::Event(Event::Lost { frames, .. }) => {
                    for _ in 0..frames.min(MAX_CONCEALED) {
                        let frame = leg.caller.conceal();
                        self.listeners.send(&self.id, &frame);
                        self.ear.hear(frame.pcm_8k, leg.session.playback(), now, &mut heard);
                    }
                }
                Output::Event(Event::Sent { payload_type, payload, position }) => {
                    if let Some(frame) = leg.sent.decode(payload_type, &payload) {
                        self.tape.agent(position, frame.pcm_8k);
                    }
                }
                Output::Event(event) => notify(call, &self.id, event),
            }
            if interrupted && self.ear.clears() {
                let cleared = leg.clear(now);
                self.follow_up(cleared);
            }
        }
    }

    /// Reads one socket until it is empty. Before the session is open, what comes is read and forgotten.
    fn receive(&mut self, tag: u8) {
        let socket = if tag == RTP { self.sockets.rtp.clone() } else { self.sockets.rtcp.clone() };
        let now = Instant::now();
        for _ in 0..MAX_BATCH {
            let (length, source) = match socket.try_recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of some earlier packet: the peer is not there yet, or no more.
                Err(_) => continue,
            };
            self.take(tag, source, length, now);
        }
        self.drain(now);
    }

    /// What the caller said before hanging up may still lie in the socket when the BYE has already been read from its own.
    fn receive_rest(&mut self, now: Instant) {
        let socket = self.sockets.rtp.clone();
        for _ in 0..MAX_BATCH {
            let Some((length, source)) = take_arrived(&socket, &mut self.buffer) else { break };
            self.take(RTP, source, length, now);
        }
    }

    fn take(&mut self, tag: u8, source: SocketAddr, length: usize, now: Instant) {
        let Phase::Open(leg) = &mut self.phase else { return };
        let datagram = &self.buffer[..length];
        if tag == RTP {
            leg.session.handle_rtp(now, source, datagram);
        } else {
            leg.session.handle_rtcp(now, source, datagram);
        }
    }

    fn close(&mut self, done: Option<Recipient<RecordingDone>>) {
        self.closed = true;
        let now = Instant::now();
        self.receive_rest(now);
        if let Phase::Open(leg) = &mut self.phase {
            leg.session.close(now);
        }
        self.drain(now);
        self.tape.flush();
        match &self.recorder {
            Some(recorder) => {
                recorder.finish.do_send(FinishRecording { call: self.id.clone(), done });
            }
            None => done.iter().for_each(|done| done.do_send(RecordingDone)),
        }
        let (stats, drops) = self.totals();
        self.account.close(stats.as_ref(), drops);
        self.log_totals();
    }

    /// What this leg has counted so far.
    fn totals(&self) -> (Option<rtp::Stats>, LegDrops) {
        let (stats, behind_files) = match &self.phase {
            Phase::Held(_) => (None, 0),
            Phase::Open(leg) => (Some(leg.session.stats()), leg.unheld()),
        };
        let drops = LegDrops {
            client_mailbox: self.listeners.dropped(),
            recorder: self.tape.dropped(),
            held: self.unheld + behind_files,
            send_errors: self.send_errors,
            speech_rests: self.ear.rests(),
        };
        (stats, drops)
    }

    fn settle(&mut self) {
        let (stats, drops) = self.totals();
        let late_ticks = stats.as_ref().map_or(0, |stats| stats.late_ticks);
        if late_ticks - std::mem::replace(&mut self.late_ticks, late_ticks) >= OVERLOADED {
            self.ear.rest(Instant::now());
        }
        self.account.settle(stats.as_ref(), drops);
    }

    fn log_totals(&self) {
        let Phase::Open(leg) = &self.phase else { return };
        let stats = leg.session.stats();
        info!(
            call_id = %self.id,
            codec = %leg.plan.codec,
            sent = stats.packets_sent,
            received = stats.packets_received,
            lost = stats.lost,
            late = stats.late,
            duplicate = stats.duplicate,
            foreign = stats.foreign_source,
            jitter_ms = stats.jitter.as_secs_f32() * 1e3,
            late_ticks = stats.late_ticks,
            dropped = self.listeners.dropped(),
            unrecorded = self.tape.dropped(),
            send_errors = self.send_errors,
            "media closed"
        );
    }
}

fn tell(call: Option<&Recipient<MediaEvent>>, news: MediaEvent) {
    if let Some(call) = call {
        call.do_send(news);
    }
}

/// The call hears of everything that is not audio.
fn notify(call: Option<&Recipient<MediaEvent>>, id: &CallId, event: Event) {
    let news = match event {
        Event::Dtmf { digit, duration } => {
            MediaEvent::Dtmf { digit, duration, source: DigitSource::TelephoneEvent }
        }
        Event::MarkPlayed { name, played } => MediaEvent::Mark { name, reached: true, played },
        Event::MarkCleared { name, played } => MediaEvent::Mark { name, reached: false, played },
        Event::HighWater { queued } => MediaEvent::Water { high: true, queued },
        Event::LowWater { queued } => MediaEvent::Water { high: false, queued },
        Event::Drained => MediaEvent::Drained,
        Event::Silent { kind, .. } => MediaEvent::Silent { never_heard: kind == SilenceKind::Establishment },
        Event::Latched { source } => return debug!(call_id = %id, peer = %source, "RTP source latched"),
        Event::RemoteBye => return debug!(call_id = %id, "RTCP BYE"),
        Event::Audio { .. } | Event::Lost { .. } | Event::Sent { .. } => return,
        Event::PlaybackStarted | Event::PlaybackEnded { .. } => return,
    };
    tell(call, news);
}

impl Actor for RtpSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.myself = Some(ctx.address().recipient());
        ctx.add_stream(ReadableStream::new(self.sockets.rtp.clone(), RTP));
        ctx.add_stream(ReadableStream::new(self.sockets.rtcp.clone(), RTCP));
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
        self.receive(readable.0);
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
            MediaCommand::Attach(call) => self.call = Some(call),
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

const RTP: u8 = 0;
const RTCP: u8 = 1;
/// Late ticks in the time of one settlement from which the machine counts as overloaded: one in ten.
const OVERLOADED: u64 = 5;
/// An RTP packet larger than an Ethernet frame does not exist in telephony; a longer one is cut and found malformed.
const MAX_DATAGRAM: usize = 2048;
/// Packets read in one turn: a second and more of one caller.
const MAX_BATCH: usize = 64;
/// Messages of one client that may wait: a second of 20 ms messages. Audio beyond it is dropped by the sender and counted.
const MAILBOX: usize = 64;
/// Frames of one gap that are concealed for clients: the concealment is silent after 60 ms in any case.
const MAX_CONCEALED: u32 = 5;
