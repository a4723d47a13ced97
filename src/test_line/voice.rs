//! `Voice` owns the RTP and RTCP sockets of one call of the telephone: it speaks, and hears.
//!
//! In: datagrams, [`VoiceCommand`]. Out: paced RTP, [`VoiceEvent`] to the owner of the call. What is heard is ignored
//! or echoed. Knows nothing of SIP; what RTP requires, the core decides.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, StreamHandler,
    WrapFuture,
};
use audio::codec::Decoder;
use model::audio::Codec;
use rtp::{Channel, Event, Output, Session, SessionConfig};
use sip::{CallKey, sdp::Agreed};
use tokio::net::UdpSocket;
use tracing::debug;

use super::{echo::Echo, sound::Speaker};
use crate::relay::{
    io::{Alarm, AlarmRang, Readable, ReadableStream},
    random_u64,
    rtp_ports::{Claim, PortLease},
};

/// What the owner of a call wants of its voice.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum VoiceCommand {
    /// Say this, 8 kHz mono, instead of what is being said; [`VoiceNews::Said`] follows when it is over.
    Say(Arc<[i16]>),
    /// From now on, play what is heard.
    Echo,
    /// The session was changed.
    Change(Box<Agreed>),
    /// The call is over: give back the ports and stop.
    Close,
}

/// What happened to a voice.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct VoiceEvent {
    /// Whose.
    pub call: CallKey,
    /// What.
    pub news: VoiceNews,
}

/// The kinds of [`VoiceEvent`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VoiceNews {
    /// What was to be said has been said.
    Said,
    /// Nothing is heard any more, or the voice is gone: the call must end.
    Lost,
}

/// See the module's documentation.
pub struct Voice {
    call: CallKey,
    owner: Recipient<VoiceEvent>,
    sockets: Sockets,
    alarm: Alarm,
    session: Session,
    /// What is heard is played.
    echoes: bool,
    agreed: Agreed,
    pcm: Vec<i16>,
    buffer: Box<[u8]>,
    closed: bool,
}

/// Both sockets, and the claim on their ports: dropped last, when the ports are free again.
struct Sockets {
    rtp: Rc<UdpSocket>,
    rtcp: Rc<UdpSocket>,
    _claim: Claim,
}

impl Voice {
    /// A voice on leased ports, silent at first. Call it inside the arbiter on which it will live.
    pub fn new(
        call: CallKey,
        owner: Recipient<VoiceEvent>,
        lease: PortLease,
        agreed: Agreed,
    ) -> io::Result<Self> {
        let PortLease { rtp, rtcp, claim } = lease;
        let sockets = Sockets {
            rtp: Rc::new(UdpSocket::from_std(rtp)?),
            rtcp: Rc::new(UdpSocket::from_std(rtcp)?),
            _claim: claim,
        };
        let (now, seed) = (Instant::now(), random_u64());
        let first_timestamp = random_u64() as u32;
        let mut config =
            SessionConfig::new(agreed.payload_type, seed as u32, (seed >> 32) as u16, first_timestamp);
        config.accept = agreed.accept.iter().map(|(payload_type, _)| *payload_type).collect();
        config.telephone_event = agreed.telephone_event;
        let session = Session::new(now, config, Box::new(Speaker::new(agreed.codec)), seed);
        let mut voice = Self {
            call,
            owner,
            sockets,
            alarm: Alarm::new(),
            session,
            echoes: false,
            agreed,
            pcm: Vec::new(),
            buffer: vec![0; MAX_DATAGRAM].into_boxed_slice(),
            closed: false,
        };
        voice.aim(now);
        Ok(voice)
    }

    fn aim(&mut self, now: Instant) {
        if let Some(remote) = self.agreed.remote {
            self.session.set_remote(now, remote, self.agreed.remote_rtcp);
        }
        let direction = self.agreed.direction;
        let send = direction.sends() && self.agreed.remote.is_some();
        self.session.set_direction(now, send, direction.receives());
    }

    fn change(&mut self, agreed: Agreed, now: Instant) {
        let before = std::mem::replace(&mut self.agreed, agreed);
        let agreed = &self.agreed;
        let same = before.codec == agreed.codec
            && before.payload_type == agreed.payload_type
            && before.accept == agreed.accept
            && before.telephone_event == agreed.telephone_event;
        if !same {
            let accept: Vec<u8> = agreed.accept.iter().map(|(payload_type, _)| *payload_type).collect();
            let speaker = Box::new(Speaker::new(agreed.codec));
            self.session.set_codec(now, agreed.payload_type, &accept, agreed.telephone_event, speaker);
        }
        self.aim(now);
    }

    fn say(&mut self, pcm: &[i16], now: Instant) {
        self.session.clear(now);
        // The queue is empty and takes one message of any length; one mark is pending at most.
        let queued = self.session.queue_pcm(now, pcm).is_ok() && self.session.mark(now, SAID.into()).is_ok();
        debug_assert!(queued, "an empty queue takes what is to be said");
    }

    /// Carries out all that the core wants done; the one place where its outputs are read.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit { channel, destination, packet } => self.send(channel, destination, &packet),
                Output::Event(Event::Audio { payload_type, payload, .. }) => {
                    self.hear(payload_type, &payload, now);
                }
                Output::Event(Event::Dtmf { digit, duration }) if self.echoes => {
                    // Where the caller did not agree to telephone events there is nothing to send back.
                    let _ = self.session.send_dtmf(now, digit.encode_utf8(&mut [0; 4]), duration);
                }
                Output::Event(Event::MarkPlayed { .. }) => self.tell(VoiceNews::Said),
                Output::Event(Event::Silent { .. }) => self.tell(VoiceNews::Lost),
                Output::Event(_) => {}
            }
        }
        self.alarm.set(self.session.next_timeout());
    }

    fn send(&self, channel: Channel, destination: SocketAddr, packet: &[u8]) {
        let socket = match channel {
            Channel::Rtp => &self.sockets.rtp,
            Channel::Rtcp => &self.sockets.rtcp,
        };
        // A full socket buffer is a lost packet, as on any network.
        if let Err(error) = socket.try_send_to(packet, destination) {
            debug!(call = self.call.value(), %error, "RTP not sent");
        }
    }

    fn hear(&mut self, payload_type: u8, payload: &[u8], now: Instant) {
        let accepted = self.agreed.accept.iter().find(|(accepted, _)| *accepted == payload_type);
        let Some(&(_, codec)) = accepted else { return };
        if self.echoes {
            self.pcm.clear();
            Decoder::new(codec).decode(payload, &mut self.pcm);
            self.echo(codec, payload, now);
        }
    }

    fn echo(&mut self, codec: Codec, payload: &[u8], now: Instant) {
        let echo = Echo::of(self.session.queued());
        let cushion: &[i16] = if echo == Echo::Cushion { &[0; CUSHION] } else { &[] };
        if echo == Echo::Drop {
            return;
        }
        // The queue's own limit is far above the one at which frames are dropped here.
        let _ = self.session.queue_pcm(now, cushion);
        let _ = if codec == self.agreed.codec {
            self.session.queue_payload(now, payload)
        } else {
            self.session.queue_pcm(now, &self.pcm)
        };
    }

    fn tell(&self, news: VoiceNews) {
        self.owner.do_send(VoiceEvent { call: self.call, news });
    }

    /// Reads one socket until it is empty.
    fn receive(&mut self, tag: u8) {
        let now = Instant::now();
        for _ in 0..MAX_BATCH {
            let socket = if tag == RTP { &self.sockets.rtp } else { &self.sockets.rtcp };
            let (length, source) = match socket.try_recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of some earlier packet: the peer is not there yet, or no more.
                Err(_) => continue,
            };
            if tag == RTP {
                self.session.handle_rtp(now, source, &self.buffer[..length]);
            } else {
                self.session.handle_rtcp(now, source, &self.buffer[..length]);
            }
        }
        self.drain(now);
    }

    fn close(&mut self, now: Instant) {
        self.session.close(now);
        self.drain(now);
        self.closed = true;
    }
}

impl Actor for Voice {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(ReadableStream::new(self.sockets.rtp.clone(), RTP));
        ctx.add_stream(ReadableStream::new(self.sockets.rtcp.clone(), RTCP));
        ctx.add_stream(self.alarm.stream());
        // A socket that the runtime has just got to know takes nothing yet, and the first packet would be lost.
        let (rtp, rtcp) = (self.sockets.rtp.clone(), self.sockets.rtcp.clone());
        let ready = async move {
            // An error shows in the first packet that is sent.
            let _ = rtp.writable().await;
            let _ = rtcp.writable().await;
        };
        ctx.wait(ready.into_actor(self).map(|(), voice, _| {
            let now = Instant::now();
            voice.session.start(now);
            voice.drain(now);
        }));
    }
}

impl Drop for Voice {
    /// A voice that ends without having been closed has panicked: its call must not go on without it.
    fn drop(&mut self) {
        if !self.closed {
            self.tell(VoiceNews::Lost);
        }
    }
}

impl StreamHandler<Readable> for Voice {
    fn handle(&mut self, readable: Readable, _: &mut Context<Self>) {
        self.receive(readable.0);
    }
}

impl StreamHandler<AlarmRang> for Voice {
    fn handle(&mut self, _: AlarmRang, _: &mut Context<Self>) {
        let now = Instant::now();
        self.session.handle_timeout(now);
        self.drain(now);
    }
}

impl Handler<VoiceCommand> for Voice {
    type Result = ();

    fn handle(&mut self, command: VoiceCommand, ctx: &mut Context<Self>) {
        let now = Instant::now();
        match command {
            VoiceCommand::Say(pcm) => self.say(&pcm, now),
            VoiceCommand::Echo => self.echoes = true,
            VoiceCommand::Change(agreed) => self.change(*agreed, now),
            VoiceCommand::Close => {
                self.close(now);
                return ctx.stop();
            }
        }
        self.drain(now);
    }
}

const RTP: u8 = 0;
const RTCP: u8 = 1;
/// An RTP packet larger than an Ethernet frame does not exist in telephony; a longer one is cut and found malformed.
const MAX_DATAGRAM: usize = 2048;
/// Packets read in one turn.
const MAX_BATCH: usize = 64;
/// Samples of silence before the first echoed frame: 40 ms.
const CUSHION: usize = 320;
/// The mark behind what is said.
const SAID: &str = "said";
