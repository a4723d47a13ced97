//! The relay: SIP and RTP on one side, WebSocket clients on the other. This file is the wiring; it is the only one that
//! names the concrete actors together. Read [`message`] first.

pub mod call;
mod http;
pub(crate) mod io;
pub mod message;
mod recorder;
mod registration;
pub(crate) mod rtp_ports;
mod rtp_session;
mod sip_listener;
mod switchboard;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
mod ws_client;

use std::{
    cell::Cell,
    io as std_io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{Arc, atomic::AtomicU64},
    thread,
    time::{Duration, Instant, SystemTime},
};

use actix::{Actor, Addr, Arbiter, ArbiterHandle, AsyncContext, Recipient};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{App, HttpServer, dev::ServerHandle, rt::net::TcpStream, web};
use sip::{AuthServer, Endpoint, EndpointConfig};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tracing::{debug, info, warn};

use self::{
    call::{Call, CallPorts, CallSettings},
    http::{HttpState, Slots},
    message::{CallReport, Census, CensusRequest, Shutdown, SipCommand},
    recorder::{Recorder, RecorderPort, cleanup},
    rtp_ports::RtpPorts,
    rtp_session::{MediaSettings, RtpSession},
    sip_listener::{Peers, SipListener, Trunk},
    switchboard::{DialRules, SipPort, SpawnCall, SpawnedCall, Switchboard, SwitchboardSettings, WireUp},
    ws_client::{ClientSettings, SwitchboardPort},
};
use crate::{
    config::{AnswerMode, Config, RtpConfig},
    http::{Readiness, Watch, routes},
    metrics::Metrics,
    test_line::TestLine,
};

/// A running relay.
pub struct Relay {
    switchboard: Addr<Switchboard>,
    server: ServerHandle,
    arbiters: Vec<Arbiter>,
    test_line: Option<TestLine>,
    sip_address: SocketAddr,
    ws_address: SocketAddr,
}

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket cannot be bound.
    #[error("cannot listen on {address} ({setting}): {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// The settings to change.
        setting: &'static str,
        /// What the operating system says.
        source: std_io::Error,
    },
    /// A folder is missing and cannot be made.
    #[error(transparent)]
    Folder(std_io::Error),
    /// The test line, which takes outbound calls where there is no PBX, has no socket.
    #[error("test line (used without SIP_SERVER_IP): {0}")]
    TestLine(std_io::Error),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The RTP range has no room.
    #[error("RTP_PORT_START..RTP_PORT_END: {0}")]
    Ports(#[from] rtp::ports::PortRangeError),
}

impl Relay {
    /// Binds everything and starts the actors. Must run inside an actix system.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        config.files.create_dirs().map_err(StartError::Folder)?;
        if let Some(age) = config.files.max_recording_age {
            cleanup::remove_old_recordings(&config.files.recording_dir, age, SystemTime::now());
        }
        let metrics = Arc::new(Metrics::new());
        let rtp = &config.rtp;
        let stride = RtpConfig::PORT_STRIDE;
        let ports = RtpPorts::new(config.sip.local.ip(), rtp.port_start, rtp.port_end, stride)?
            .with_receive_queue(rtp.recv_queue_max)
            .counted_by(&metrics.media.ports_in_use);
        metrics.media.ports.set(ports.capacity() as i64);
        debug!(calls = ports.capacity(), "RTP ports");
        let sip_socket = bind_sip(config.sip.local)?;
        let sip_address = local_address(sip_socket.local_addr(), config.sip.local);
        let tls = config.ws.tls.as_ref().map(tls::server_config).transpose()?;
        let http_socket = bind_http(config.ws.listen)?;
        let ws_address = local_address(http_socket.local_addr(), config.ws.listen);
        let test_line = start_test_line(config).map_err(StartError::TestLine)?;
        let trunk = trunk(config, test_line.as_ref());

        let watch = Watch {
            readiness: Readiness::default(),
            metrics,
            token: config.ws.token.clone().filter(|_| !ws_address.ip().is_loopback()),
            since: Instant::now(),
        };
        let disk = Arbiter::new();
        let wire = Arbiter::new();
        let media: Vec<Arbiter> = (0..cores()).map(|_| Arbiter::new()).collect();
        let media_handles = media.iter().map(Arbiter::handle).collect();

        let recorder = start_recorder(&disk, config, watch.metrics.clone());
        let call_settings = Arc::new(call_settings(config));
        let switchboard = Switchboard::create(|ctx| {
            let reports = ctx.address().recipient();
            let incoming = ctx.address().recipient();
            let listener =
                start_listener(&wire, config, sip_socket, sip_address, trunk, incoming, watch.clone());
            let sip = SipPort {
                commands: listener.clone().recipient(),
                drain: listener.clone().recipient(),
                census: listener.clone().recipient(),
            };
            ctx.notify(WireUp(sip));
            let spawn = spawn_call(Spawner {
                media: media_handles,
                sip: listener.recipient(),
                reports,
                recorder,
                call: call_settings.clone(),
                settings: Arc::new(media_settings(config)),
                metrics: watch.metrics.clone(),
            });
            let settings = switchboard_settings(config, call_settings);
            Switchboard::new(settings, ports, spawn, watch.metrics.clone(), watch.readiness.clone())
        });
        let server = start_http(config, http_socket, tls, &switchboard, watch);

        info!("SIP Server started on {sip_address}");
        info!("WebSocket Server started on {ws_address}");
        if test_line.is_some() {
            TestLine::banner(ws_address, config.ws.tls.is_some()).iter().for_each(|line| info!("{line}"));
        }
        let arbiters = media.into_iter().chain([wire, disk]).collect();
        Ok(Self { switchboard, server, arbiters, test_line, sip_address, ws_address })
    }

    /// Where SIP is spoken.
    pub fn sip_address(&self) -> SocketAddr {
        self.sip_address
    }

    /// Where clients connect.
    pub fn ws_address(&self) -> SocketAddr {
        self.ws_address
    }

    /// What exists right now; all zero when nothing does.
    pub async fn census(&self) -> Census {
        self.switchboard.send(CensusRequest).await.unwrap_or_default()
    }

    /// Ends every call, tells every client, completes every recording, and returns when that is done, or after 4 s.
    pub async fn stop(self) {
        let ended = tokio::time::timeout(STOP_DEADLINE, self.switchboard.send(Shutdown)).await;
        if ended.is_err() {
            warn!("not everything ended in time");
        }
        let Census { calls, ports, clients, backlog, sip } = self.census().await;
        debug!(
            calls,
            ports,
            clients,
            backlog,
            sip_transactions = sip.transactions,
            sip_dialogs = sip.dialogs,
            sip_calls = sip.calls,
            sip_routes = sip.routes,
            sip_timers = sip.timers,
            "census"
        );
        // Graceful would wait for connections that have been told already.
        self.server.stop(false).await;
        // Until now it had answers to give.
        if let Some(test_line) = self.test_line {
            test_line.stop().await;
        }
        for arbiter in self.arbiters {
            arbiter.stop();
            // An error is a panic that has been reported where it happened.
            let _ = arbiter.join();
        }
    }
}

fn start_recorder(disk: &Arbiter, config: &Config, metrics: Arc<Metrics>) -> RecorderPort {
    let files = config.files.clone();
    let recorder = Recorder::start_in_arbiter(&disk.handle(), |_| {
        Recorder::new(files.recording_dir, files.output_dir, files.greeting, metrics)
    });
    RecorderPort {
        audio: recorder.clone().recipient(),
        finish: recorder.clone().recipient(),
        greeting: recorder.clone().recipient(),
        files: recorder.recipient(),
    }
}

fn start_listener(
    wire: &Arbiter,
    config: &Config,
    socket: UdpSocket,
    address: SocketAddr,
    trunk: Option<Trunk>,
    incoming: Recipient<message::IncomingCall>,
    watch: Watch,
) -> Addr<SipListener> {
    let contact = SocketAddr::new(config.sip.advertised_ip, address.port());
    let mut settings = EndpointConfig::new(contact);
    settings.auth = auth_server(config);
    let endpoint = Endpoint::new(settings, seed());
    let peers =
        Peers::new(config.sip.allowed_peers.clone(), trunk.as_ref().map(|trunk| trunk.destination.ip()));
    SipListener::start_in_arbiter(&wire.handle(), move |_| {
        let Watch { metrics, readiness, .. } = watch;
        SipListener::new(socket, endpoint, trunk, peers, incoming, metrics, &readiness)
            // A bound, non-blocking UDP socket inside a runtime with I/O: there is nothing left that can fail.
            .expect("the SIP socket joins its arbiter")
    })
}

/// Where outbound calls go: to the PBX, or to the test line where there is none.
fn trunk(config: &Config, test_line: Option<&TestLine>) -> Option<Trunk> {
    let invite_timeout = config.relay.invite_timeout;
    if let Some(test_line) = test_line {
        let (destination, host) = (test_line.address(), test_line.host());
        return Some(Trunk { destination, host, credentials: None, register: false, invite_timeout });
    }
    config.sip.server_addr().zip(config.sip.server.as_ref()).map(|(destination, server)| Trunk {
        destination,
        host: server.host.clone(),
        credentials: credentials(config),
        register: config.sip.register,
        invite_timeout,
    })
}

/// Who may send requests from outside of calls, where that is restricted.
fn auth_server(config: &Config) -> Option<AuthServer> {
    let users = &config.sip.auth_users;
    let server = AuthServer::new(&config.sip.auth_realm);
    (!users.is_empty())
        .then(|| users.iter().fold(server, |server, user| server.user(&user.name, user.password.expose())))
}

fn start_test_line(config: &Config) -> std_io::Result<Option<TestLine>> {
    config.sip.server.is_none().then(|| TestLine::start(config.sip.local.ip())).transpose()
}

fn credentials(config: &Config) -> Option<sip::Credentials> {
    let username = config.sip.username.clone()?;
    let password = config.sip.password.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default();
    Some(sip::Credentials { username, password })
}

/// What the making of a call needs.
struct Spawner {
    media: Vec<ArbiterHandle>,
    sip: Recipient<SipCommand>,
    reports: Recipient<CallReport>,
    recorder: RecorderPort,
    call: Arc<CallSettings>,
    settings: Arc<MediaSettings>,
    metrics: Arc<Metrics>,
}

/// A call and its media live together on one media arbiter, taken in turn.
fn spawn_call(spawner: Spawner) -> SpawnCall {
    let next = Cell::new(0);
    Box::new(move |new, lease| {
        let arbiter = &spawner.media[next.get() % spawner.media.len()];
        next.set(next.get() + 1);
        let (id, settings, recorder) = (new.id.clone(), spawner.settings.clone(), spawner.recorder.clone());
        let (metrics, call_metrics) = (spawner.metrics.clone(), spawner.metrics.clone());
        let media = RtpSession::start_in_arbiter(arbiter, move |_| {
            RtpSession::new(id, lease, settings, &recorder, metrics)
                // Bound, non-blocking UDP sockets inside a runtime with I/O: there is nothing left that can fail.
                .expect("the RTP sockets join their arbiter")
        });
        let ports = CallPorts {
            sip: spawner.sip.clone(),
            media: media.clone().recipient(),
            greeting: spawner.recorder.greeting.clone(),
            reports: spawner.reports.clone(),
        };
        let settings = spawner.call.clone();
        let call = Call::start_in_arbiter(arbiter, move |_| Call::new(new, ports, settings, &call_metrics));
        SpawnedCall {
            commands: call.recipient(),
            audio: media.clone().recipient(),
            listeners: media.recipient(),
        }
    })
}

fn call_settings(config: &Config) -> CallSettings {
    CallSettings {
        codecs: config.relay.codecs.clone(),
        auto_answer: config.relay.answer_mode == AnswerMode::Auto,
        ring_timeout: config.relay.ring_timeout,
        max_duration: config.relay.max_call_duration,
    }
}

fn media_settings(config: &Config) -> MediaSettings {
    let mut session = rtp::SessionConfig::new(0, 0, 0, 0);
    session.silence_fill = config.rtp.silence_fill;
    session.symmetric = config.rtp.symmetric;
    session.inactivity_timeout = config.rtp.inactivity_timeout;
    session.establishment_timeout = config.rtp.establishment_timeout;
    if let Some(frames) = config.rtp.send_queue_max {
        session.queue_limit = rtp::FRAME * u32::try_from(frames).unwrap_or(u32::MAX);
    }
    MediaSettings { session }
}

fn switchboard_settings(config: &Config, call: Arc<CallSettings>) -> SwitchboardSettings {
    SwitchboardSettings {
        dialling: DialRules {
            pattern: config.relay.number_pattern.clone(),
            prefixes: config.relay.allowed_prefixes.clone(),
            rate: config.relay.call_rate,
        },
        max_calls: config.relay.max_calls,
        media_address: config.sip.advertised_ip,
        lost_action: config.ws.lost_action.clone(),
        call,
    }
}

fn start_http(
    config: &Config,
    socket: TcpListener,
    tls: Option<rustls::ServerConfig>,
    switchboard: &Addr<Switchboard>,
    watch: Watch,
) -> ServerHandle {
    let clients = ClientSettings {
        mode: config.ws.mode,
        send_queue: config.ws.send_queue_max,
        receive_queue: config.ws.recv_queue_max,
        max_message: config.ws.max_message_bytes,
        resume_window: config.ws.resume_window,
        metrics: watch.metrics.clone(),
    };
    let port = SwitchboardPort {
        connect: switchboard.clone().recipient(),
        disconnect: switchboard.clone().recipient(),
        place: switchboard.clone().recipient(),
    };
    let (token, slots) = (config.ws.token.clone(), Slots::new(config.ws.max_connections));
    let next_client = Arc::new(AtomicU64::new(1));
    let server = HttpServer::new(move || {
        let state = HttpState {
            clients: clients.clone(),
            switchboard: port.clone(),
            token: token.clone(),
            slots: slots.clone(),
            next_client: next_client.clone(),
        };
        let app = App::new().app_data(web::Data::new(state)).configure(routes(watch.clone()));
        app.default_service(web::to(http::serve))
    });
    let server = server.workers(cores()).disable_signals().tcp_nodelay(true).on_connect(|connection, _| {
        let plain = connection.downcast_ref::<TcpStream>();
        let stream =
            plain.or_else(|| connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0));
        if let Some(stream) = stream {
            // What a peer that vanished or never reads costs is bounded by this, and by nothing else.
            if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(TCP_USER_TIMEOUT)) {
                debug!(%error, "TCP_USER_TIMEOUT");
            }
        }
    });
    let listening = match tls {
        Some(tls) => server.listen_rustls_0_23(socket, tls),
        None => server.listen(socket),
    };
    // The listener is bound and non-blocking is set by the server: `listen` only stores it.
    let running = listening.expect("a bound listener is taken").run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    handle
}

fn bind_sip(address: SocketAddr) -> Result<UdpSocket, StartError> {
    let bound = || -> std_io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // The kernel gives what its limit allows; a burst of calls must not cost retransmissions.
        let _ = socket.set_recv_buffer_size(SIP_RECEIVE_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    bound().map_err(|source| StartError::Bind { address, setting: "SIP_LOCAL_IP, SIP_LOCAL_PORT", source })
}

fn bind_http(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = || -> std_io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the connections of the last run to time out.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        Ok(socket.into())
    };
    bound().map_err(|source| StartError::Bind { address, setting: "WS_HOST, WS_PORT", source })
}

fn local_address(bound: std_io::Result<SocketAddr>, asked: SocketAddr) -> SocketAddr {
    bound.unwrap_or(asked)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_exact_mut(8) {
        chunk.copy_from_slice(&random_u64().to_le_bytes());
    }
    seed
}

/// An unpredictable number.
pub(crate) fn random_u64() -> u64 {
    // The operating system's generator fails only where there is none; a keyed hash of the time has to do then.
    getrandom::u64().unwrap_or_else(|_| {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(SystemTime::now())
    })
}

/// A random UUID (RFC 9562 §5.4).
fn uuid4() -> String {
    let high = (random_u64() & !0xf000) | 0x4000;
    let low = (random_u64() & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

const STOP_DEADLINE: Duration = Duration::from_secs(4);
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
const SIP_RECEIVE_BUFFER: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_has_version_4_and_variant_1() {
        let id = uuid4();
        assert_eq!(id.len(), 36);
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'));
        assert!(parts[3].starts_with(['8', '9', 'a', 'b']));
        assert_ne!(id, uuid4());
    }
}
