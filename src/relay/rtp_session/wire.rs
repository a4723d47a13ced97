//! `Wire` is what the packets of one leg come from and go to: two UDP sockets, or a provider's media stream.
//!
//! In: packets of the core. Out: packets for it, and a [`Readable`] when there are some. Knows nothing of what is in them.

use std::{io, net::SocketAddr, rc::Rc};

use actix::{AsyncContext, Context};
use model::audio::Codec;
use rtp::{Channel, SessionConfig};
use socket2::SockRef;
use tokio::net::UdpSocket;

use super::{
    super::{
        io::{ReadableStream, take_arrived},
        message::{MediaPlan, StreamMedia},
        rtp_ports::{Claim, PortLease},
    },
    RtpSession,
    line::{FAR_END, Line},
};

/// What a leg is given to talk over.
pub enum Carrier {
    /// A pair of UDP ports.
    Ports(PortLease),
    /// A media stream.
    Stream(StreamMedia),
}

/// See the module's documentation.
pub enum Wire {
    Ports(Sockets),
    Line(Line),
}

impl Wire {
    /// Call it inside the arbiter on which the leg will live.
    pub fn new(carrier: Carrier) -> io::Result<Self> {
        Ok(match carrier {
            Carrier::Ports(lease) => Self::Ports(Sockets::new(lease)?),
            Carrier::Stream(media) => Self::Line(Line::new(media)),
        })
    }

    /// Has the actor told when there is something to read.
    pub fn watch(&self, ctx: &mut Context<RtpSession>) {
        match self {
            Self::Ports(Sockets { rtp, rtcp, .. }) => {
                ctx.add_stream(ReadableStream::new(rtp.clone(), RTP));
                ctx.add_stream(ReadableStream::new(rtcp.clone(), RTCP));
            }
            Self::Line(line) => {
                ctx.add_stream(line.arrivals());
            }
        }
    }

    /// What this wire does not have is not asked of the core, nor waited for.
    pub fn fit(&self, config: &mut SessionConfig) {
        if let Self::Line(_) = self {
            config.rtcp_interval = Default::default();
            // A provider may say nothing while the caller does not talk, from the first moment on.
            config.establishment_timeout = config.inactivity_timeout;
            // It plays what comes when it comes: silence between utterances would only make up for delays of the
            // network by lasting delays, and for a slower clock of the provider by a growing one.
            config.silence_fill = false;
        }
    }

    /// The plan as the core has to see it, which knows places by their address alone.
    pub fn aim(&mut self, mut plan: MediaPlan) -> MediaPlan {
        if let Self::Line(line) = self {
            plan.remote = Some(FAR_END);
            line.agreed(plan.accept.first().map_or(Codec::Pcmu, |(_, codec)| *codec));
        }
        plan
    }

    /// Whether keys of the caller come by themselves, and our own have to go as tones: there are no telephone events.
    pub fn is_line(&self) -> bool {
        matches!(self, Self::Line(_))
    }

    /// Sends one packet. False: it was not taken.
    pub fn send(&self, channel: Channel, destination: SocketAddr, packet: &[u8]) -> bool {
        match self {
            Self::Ports(sockets) => sockets.send(channel, destination, packet),
            Self::Line(line) => channel == Channel::Rtcp || line.send(packet),
        }
    }

    /// What was sent and is not heard yet is not to be heard.
    pub fn cleared(&self) {
        if let Self::Line(line) = self {
            line.clear();
        }
    }

    /// Hands over what has come, some of it at most: the rest is told of again.
    pub fn receive(&mut self, tag: u8, take: impl FnMut(Channel, SocketAddr, &[u8])) {
        match self {
            Self::Ports(sockets) => sockets.receive(tag, take),
            Self::Line(line) => line.receive(MAX_BATCH, take),
        }
    }

    /// What the caller said before hanging up may still be on its way when the end has already been heard of.
    pub fn receive_rest(&mut self, take: impl FnMut(Channel, SocketAddr, &[u8])) {
        match self {
            Self::Ports(sockets) => sockets.receive_rest(take),
            Self::Line(line) => line.receive(usize::MAX, take),
        }
    }

    /// Nothing more will ever come.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Line(line) if line.is_closed())
    }

    /// Messages that were lost before they came here.
    pub fn overflow(&self) -> u64 {
        match self {
            Self::Ports(_) => 0,
            Self::Line(line) => line.overflow(),
        }
    }
}

/// Both sockets and the claim on their ports. The claim is dropped last, when the ports are free again.
pub struct Sockets {
    rtp: Rc<UdpSocket>,
    rtcp: Rc<UdpSocket>,
    buffer: Box<[u8]>,
    _claim: Claim,
}

impl Sockets {
    fn new(lease: PortLease) -> io::Result<Self> {
        let PortLease { rtp, rtcp, claim } = lease;
        Ok(Self {
            rtp: Rc::new(UdpSocket::from_std(rtp)?),
            rtcp: Rc::new(UdpSocket::from_std(rtcp)?),
            buffer: vec![0; MAX_DATAGRAM].into_boxed_slice(),
            _claim: claim,
        })
    }

    fn send(&self, channel: Channel, destination: SocketAddr, packet: &[u8]) -> bool {
        let socket = match channel {
            Channel::Rtp => &self.rtp,
            Channel::Rtcp => &self.rtcp,
        };
        // Not `try_send_to`: it refuses until the reactor has seen the socket once, which costs the first packet of
        // every call.
        SockRef::from(&**socket).send_to(packet, &destination.into()).is_ok()
    }

    fn receive(&mut self, tag: u8, mut take: impl FnMut(Channel, SocketAddr, &[u8])) {
        let Self { rtp, rtcp, buffer, .. } = self;
        let (socket, channel) = if tag == RTP { (rtp, Channel::Rtp) } else { (rtcp, Channel::Rtcp) };
        for _ in 0..MAX_BATCH {
            match socket.try_recv_from(buffer) {
                Ok((length, source)) => take(channel, source, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of some earlier packet: the peer is not there yet, or no more.
                Err(_) => {}
            }
        }
    }

    fn receive_rest(&mut self, mut take: impl FnMut(Channel, SocketAddr, &[u8])) {
        for _ in 0..MAX_BATCH {
            let Some((length, source)) = take_arrived(&self.rtp, &mut self.buffer) else { break };
            take(Channel::Rtp, source, &self.buffer[..length]);
        }
    }
}

pub const RTP: u8 = 0;
const RTCP: u8 = 1;
/// An RTP packet larger than an Ethernet frame does not exist in telephony; a longer one is cut and found malformed.
const MAX_DATAGRAM: usize = 2048;
/// Packets read in one turn: a second and more of one caller.
const MAX_BATCH: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix::{Actor, Addr, Context, Handler};
    use bytes::Bytes;
    use model::{id::CallId, mode::AgentCodec};
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        engine::session_config,
        relay::{
            message::{
                AudioForm, CallerAudio, ClientId, Listener, MediaCommand, MediaEvent, RtpForm, StreamAudio,
                StreamOutput,
            },
            rtp_session::{Hearing, MediaSettings},
        },
    };

    /// Stands in for everybody around a leg.
    struct Around(mpsc::UnboundedSender<&'static str>);

    impl Actor for Around {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            ctx.set_mailbox_capacity(128);
        }
    }

    impl Around {
        fn tell(&self, what: &'static str) {
            self.0.send(what).expect("the test listens");
        }
    }

    impl Handler<CallerAudio> for Around {
        type Result = ();

        fn handle(&mut self, _: CallerAudio, _: &mut Context<Self>) {
            self.tell("audio");
        }
    }

    impl Handler<StreamOutput> for Around {
        type Result = ();

        fn handle(&mut self, _: StreamOutput, _: &mut Context<Self>) {}
    }

    impl Handler<MediaEvent> for Around {
        type Result = ();

        fn handle(&mut self, event: MediaEvent, _: &mut Context<Self>) {
            if event == MediaEvent::LineClosed {
                self.tell("closed");
            }
        }
    }

    /// A leg on a stream, and the stream's end of its channel.
    fn leg(around: &Addr<Around>, listeners: Vec<Listener>) -> (mpsc::Sender<StreamAudio>, Addr<RtpSession>) {
        let (line, audio) = mpsc::channel(100);
        let media = StreamMedia { output: around.clone().recipient(), audio, overflow: Arc::default() };
        let settings =
            MediaSettings { session: session_config(true), hearing: Hearing::default(), stereo: false };
        let (id, carrier) = (CallId::from_sip_call_id("MZ1"), Carrier::Stream(media));
        let session = RtpSession::new(id, carrier, Arc::new(settings), None, listeners, Arc::default());
        (line, session.expect("nothing to bind").start())
    }

    fn plan() -> MediaPlan {
        MediaPlan {
            codec: Codec::Pcmu,
            payload_type: 0,
            accept: vec![(0, Codec::Pcmu)],
            telephone_event: None,
            remote: None,
            remote_rtcp: None,
            send: true,
            receive: true,
            held: false,
        }
    }

    #[actix::test]
    async fn what_was_said_last_is_heard_although_the_end_is_heard_of_first() {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let around = Around(sender).start();
        let listener = Listener {
            client: ClientId(1),
            replaces: None,
            form: RtpForm::Multi(AudioForm { codec: AgentCodec::Pcmu, ..AudioForm::default() }),
            audio: around.clone().recipient(),
        };
        let (line, session) = leg(&around, vec![listener]);
        session.do_send(MediaCommand::Attach(around.recipient()));
        session.do_send(MediaCommand::Start(Box::new(plan())));
        for _ in 0..100 {
            let payload = Bytes::from_static(&[0x80; 160]);
            line.try_send(StreamAudio { chunk: None, timestamp: None, payload }).expect("there is room");
        }
        // Mailboxes are read before everything else.
        session.do_send(MediaCommand::Close(None));
        for _ in 0..100 {
            assert_eq!(heard.recv().await, Some("audio"));
        }
    }

    #[actix::test]
    async fn call_is_told_once_that_its_stream_is_gone_however_late_it_attaches() {
        for attached_first in [true, false] {
            let (sender, mut heard) = mpsc::unbounded_channel();
            let around = Around(sender).start();
            let (line, session) = leg(&around, Vec::new());
            let attach = MediaCommand::Attach(around.recipient());
            if attached_first {
                session.send(attach).await.expect("it lives");
                drop(line);
            } else {
                drop(line);
                tokio::task::yield_now().await;
                session.send(attach).await.expect("it lives");
            }
            assert_eq!(heard.recv().await, Some("closed"));
            session.send(MediaCommand::Close(None)).await.expect("it lives");
            assert_eq!(heard.recv().await, None, "and nothing else");
        }
    }
}
