//! `Wire` is what the packets of one leg come from and go to: two UDP sockets, or a provider's media stream.
//!
//! In: packets of the core. Out: packets for it, and a [`Readable`] when there are some. Knows nothing of what is in them.

mod line;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use actix::{AsyncContext, Context};
use model::audio::Codec;
use rtp::{Channel, SessionConfig};
use socket2::SockRef;
use tokio::net::UdpSocket;

use self::line::{FAR_END, Line};
use super::{
    super::{
        io::{ReadableStream, take_arrived},
        message::{MediaPlan, StreamMedia},
        rtp_ports::{Claim, PortLease},
    },
    RtpSession,
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
            config.rtcp_interval = Duration::ZERO;
            // A provider may say nothing while the caller does not talk, from the first moment on.
            config.establishment_timeout = config.inactivity_timeout;
            // It plays what comes when it comes: silence between utterances would only make up for delays of the
            // network by lasting delays, and for a slower clock of the provider by a growing one.
            config.silence_fill = false;
            // Without a jitter buffer every delay of the network would be a gap; CLEAR drops what is there.
            config.lead = LEAD;
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

const RTP: u8 = 0;
const RTCP: u8 = 1;
/// An RTP packet larger than an Ethernet frame does not exist in telephony; a longer one is cut and found malformed.
const MAX_DATAGRAM: usize = 2048;
/// What a provider has in its queue while something is played: TCP over the Internet is seldom later.
const LEAD: Duration = Duration::from_millis(100);
/// Packets read in one turn: a second and more of one caller.
const MAX_BATCH: usize = 64;
