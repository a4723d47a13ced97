//! `Stack` is the telephone side of the wiring: the SIP socket, its listener, the switchboard, and what makes a call.
//! The relay has one; so has every client and backend of the library.
//!
//! In: settings, a bound socket, the threads to run on. Out: the switchboard. Knows nothing of WebSockets, of the
//! configuration, or of who the agents are.

use std::{
    cell::Cell,
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Recipient};
use sip::{Endpoint, EndpointConfig};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    call::{Call, CallPorts, CallSettings},
    message::{CallReport, Connect, IncomingCall, SipCommand},
    recorder::RecorderPort,
    rtp_ports::RtpPorts,
    rtp_session::{Carrier, MediaSettings, RtpSession},
    seed,
    sip_listener::{Door, SipListener},
    switchboard::{CallerLeg, SipPort, SpawnCall, SpawnedCall, Switchboard, SwitchboardSettings, WireUp},
};
use crate::{http::Readiness, metrics::Metrics};

/// What a telephone stack is made of.
pub struct Stack {
    /// Bound; see [`bind_sip`].
    pub socket: UdpSocket,
    /// The habits of the SIP core.
    pub endpoint: EndpointConfig,
    /// Whom it deals with.
    pub door: Door,
    /// Where media goes.
    pub ports: RtpPorts,
    /// The habits of calls.
    pub call: Arc<CallSettings>,
    /// The habits of their media.
    pub media: Arc<MediaSettings>,
    /// Limits.
    pub switchboard: SwitchboardSettings,
    /// A client that hears of the very first call.
    pub insider: Option<Connect>,
    /// Who writes recordings and reads files; `None`: nobody.
    pub recorder: Option<RecorderPort>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether calls are taken.
    pub readiness: Readiness,
}

/// The threads that a stack runs on.
#[derive(Debug, Clone)]
pub struct Threads {
    /// For the switchboard.
    pub home: ArbiterHandle,
    /// For SIP.
    pub wire: ArbiterHandle,
    /// For calls and their media, taken in turn; at least one.
    pub media: Vec<ArbiterHandle>,
}

impl Stack {
    /// Starts the actors.
    pub fn start(self, threads: &Threads) -> Addr<Switchboard> {
        let threads = threads.clone();
        Switchboard::start_in_arbiter(&threads.home.clone(), move |ctx| {
            let Self {
                socket,
                endpoint,
                door,
                ports,
                call,
                media,
                switchboard,
                insider,
                recorder,
                metrics,
                readiness,
            } = self;
            let incoming = ctx.address().recipient();
            let wire =
                Wire { socket, endpoint, door, metrics: metrics.clone(), readiness: readiness.clone() };
            let listener = wire.start(&threads.wire, incoming);
            ctx.notify(WireUp(SipPort {
                commands: listener.clone().recipient(),
                drain: listener.clone().recipient(),
                census: listener.clone().recipient(),
                dismiss: listener.clone().recipient(),
            }));
            let spawner = Spawner {
                media: threads.media,
                sip: listener.recipient(),
                reports: ctx.address().recipient(),
                recorder,
                call,
                settings: media,
                metrics: metrics.clone(),
            };
            let mut switchboard =
                Switchboard::new(switchboard, ports, spawn_call(spawner), metrics, readiness);
            if let Some(insider) = insider {
                switchboard.connect(insider);
            }
            switchboard
        })
    }
}

/// What the listener is made of.
struct Wire {
    socket: UdpSocket,
    endpoint: EndpointConfig,
    door: Door,
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

impl Wire {
    fn start(self, arbiter: &ArbiterHandle, incoming: Recipient<IncomingCall>) -> Addr<SipListener> {
        let Self { socket, endpoint, door, metrics, readiness } = self;
        let endpoint = Endpoint::new(endpoint, seed());
        SipListener::start_in_arbiter(arbiter, move |_| {
            SipListener::new(socket, endpoint, door, incoming, metrics, &readiness)
                // A bound, non-blocking UDP socket inside a runtime with I/O: there is nothing left that can fail.
                .expect("the SIP socket joins its arbiter")
        })
    }
}

/// What the making of a call needs.
struct Spawner {
    media: Vec<ArbiterHandle>,
    sip: Recipient<SipCommand>,
    reports: Recipient<CallReport>,
    recorder: Option<RecorderPort>,
    call: Arc<CallSettings>,
    settings: Arc<MediaSettings>,
    metrics: Arc<Metrics>,
}

/// A call and its media live together on one media arbiter, taken in turn.
fn spawn_call(spawner: Spawner) -> SpawnCall {
    let next = Cell::new(0);
    Box::new(move |mut new, leg| {
        let (sip, carrier) = match leg {
            CallerLeg::Sip(lease) => (spawner.sip.clone(), Carrier::Ports(lease)),
            CallerLeg::Stream(line) => (line.commands, Carrier::Stream(line.media)),
        };
        let arbiter = &spawner.media[next.get() % spawner.media.len()];
        next.set(next.get() + 1);
        let (id, settings, recorder) = (new.id.clone(), spawner.settings.clone(), spawner.recorder.clone());
        let greeting = recorder.as_ref().map(|recorder| recorder.greeting.clone());
        let listeners = std::mem::take(&mut new.listeners);
        let (metrics, call_metrics) = (spawner.metrics.clone(), spawner.metrics.clone());
        let media = RtpSession::start_in_arbiter(arbiter, move |_| {
            RtpSession::new(id, carrier, settings, recorder, listeners, metrics)
                // Bound, non-blocking UDP sockets inside a runtime with I/O: there is nothing left that can fail.
                .expect("the RTP sockets join their arbiter")
        });
        let ports =
            CallPorts { sip, media: media.clone().recipient(), greeting, reports: spawner.reports.clone() };
        let settings = spawner.call.clone();
        let call = Call::start_in_arbiter(arbiter, move |_| Call::new(new, ports, settings, &call_metrics));
        SpawnedCall {
            commands: call.recipient(),
            audio: media.clone().recipient(),
            listeners: media.recipient(),
        }
    })
}

/// Binds a SIP socket, non-blocking, with room for a burst of calls.
pub fn bind_sip(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel gives what its limit allows; a burst of calls must not cost retransmissions.
    let _ = socket.set_recv_buffer_size(SIP_RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

const SIP_RECEIVE_BUFFER: usize = 4 << 20;
