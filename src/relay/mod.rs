//! The relay: SIP and RTP on one side, WebSocket clients on the other. This file and `stack` are the wiring, the only
//! ones that name the concrete actors together. Read [`message`] first.

mod agent_stream;
pub mod call;
mod http;
mod http_server;
pub(crate) mod io;
pub mod message;
mod random;
mod reader;
mod recorder;
mod registration;
pub(crate) mod rtp_ports;
pub(crate) mod rtp_session;
mod setup;
pub(crate) mod sip_listener;
pub(crate) mod stack;
pub mod stream_leg;
pub(crate) mod switchboard;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
mod ws_client;

pub(crate) use http::{Slot, Slots};
pub(crate) use ws_client::{SUBPROTOCOL, outbox, socket};

use std::{
    io as std_io,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use actix::{Actor, Addr, Arbiter};
use actix_web::dev::ServerHandle;
use tracing::{debug, info, warn};

pub(crate) use self::random::{random_u64, seed, uuid4};
use self::{
    agent_stream::{AgentStreams, Join, RestApi},
    http_server::{bind_http, start_http},
    message::{Census, CensusRequest, Shutdown},
    reader::Reader,
    recorder::{Recorder, RecorderPort, cleanup},
    rtp_ports::RtpPorts,
    stack::{Stack, Threads, bind_sip},
    switchboard::Switchboard,
};
use crate::{
    config::{Config, RtpConfig},
    gateway::{Gateway, GatewayError},
    http::{Readiness, Watch},
    metrics::Metrics,
    test_line::TestLine,
};

/// A running relay.
pub struct Relay {
    switchboard: Addr<Switchboard>,
    server: ServerHandle,
    gateway: Option<Gateway>,
    arbiters: Vec<Arbiter>,
    /// Of the reader: it may be busy with a file that nobody will hear.
    files: Arbiter,
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
    /// The gateway does not start.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
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
        let sip_socket = bind_sip(config.sip.local).map_err(|source| StartError::Bind {
            address: config.sip.local,
            setting: "SIP_LOCAL_IP, SIP_LOCAL_PORT",
            source,
        })?;
        let sip_address = local_address(sip_socket.local_addr(), config.sip.local);
        let tls = config.ws.tls.as_ref().map(tls::server_config).transpose()?;
        let authorities = config.agent_stream.authorities.as_deref();
        let bots_tls = authorities.map(tls::client_config).transpose()?.map(Arc::new);
        let http_socket = bind_http(config.ws.listen)?;
        let ws_address = local_address(http_socket.local_addr(), config.ws.listen);
        let test_line = start_test_line(config).map_err(StartError::TestLine)?;

        let gateway = config
            .gateway
            .enabled
            .then(|| Gateway::start(&config.gateway, ws_address, tls.is_some(), &metrics));
        let gateway = gateway.transpose()?;
        let watch = Watch {
            readiness: Readiness::default(),
            metrics,
            token: config.ws.token.clone().filter(|_| !ws_address.ip().is_loopback()),
            since: Instant::now(),
            gateway: gateway.as_ref().map(|gateway| gateway.health.clone()),
        };
        let (disk, files) = (Arbiter::new(), Arbiter::new());
        let wire = Arbiter::new();
        let media: Vec<Arbiter> = (0..cores()).map(|_| Arbiter::new()).collect();
        let threads = Threads {
            home: Arbiter::current(),
            wire: wire.handle(),
            media: media.iter().map(Arbiter::handle).collect(),
        };
        let bots = start_agent_streams(config, bots_tls, gateway.as_ref(), &watch.metrics);
        let call = Arc::new(setup::call_settings(config));
        let stack = Stack {
            socket: sip_socket,
            endpoint: setup::endpoint_config(config, sip_address),
            door: setup::door(config, test_line.as_ref()),
            ports,
            switchboard: setup::switchboard_settings(config, call.clone()),
            call,
            media: Arc::new(setup::media_settings(config)),
            insider: bots
                .as_ref()
                .map(|bots| AgentStreams::introduction(&bots.streams, config.agent_stream.url.is_some())),
            recorder: Some(start_recorder(&disk, &files, config, watch.metrics.clone())),
            metrics: watch.metrics.clone(),
            readiness: watch.readiness.clone(),
        };
        let switchboard = stack.start(&threads);
        let gateway =
            gateway.map(|gateway| gateway.with_relay(switchboard.clone().recipient(), watch.token.clone()));
        if let Some(bots) = &bots {
            bots.streams.do_send(Join(switchboard.clone().recipient()));
        }
        let rest_api = bots.as_ref().and_then(|bots| bots.rest_api.clone());
        let server = start_http(config, http_socket, tls, &switchboard, watch, gateway.clone(), rest_api);

        info!("SIP Server started on {sip_address}");
        info!("WebSocket Server started on {ws_address}");
        if let Some(url) = &config.agent_stream.url {
            info!("Calls are connected to the bot at {url}");
        }
        if test_line.is_some() {
            TestLine::banner(ws_address, config.ws.tls.is_some()).iter().for_each(|line| info!("{line}"));
        }
        let arbiters = media
            .into_iter()
            .chain(bots.into_iter().flat_map(|bots| bots.arbiters))
            .chain([wire, disk])
            .collect();
        Ok(Self { switchboard, server, gateway, arbiters, files, test_line, sip_address, ws_address })
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
        let stopping = async {
            let stopped = self.switchboard.send(Shutdown).await;
            // Now it has hung up on its own; who answers to nobody but the gateway follows.
            if let Some(gateway) = &self.gateway {
                gateway.stop().await;
            }
            stopped
        };
        let ended = tokio::time::timeout(STOP_DEADLINE, stopping).await;
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
        self.files.stop();
        for arbiter in self.arbiters {
            arbiter.stop();
            // An error is a panic that has been reported where it happened.
            let _ = arbiter.join();
        }
    }
}

fn start_recorder(disk: &Arbiter, reading: &Arbiter, config: &Config, metrics: Arc<Metrics>) -> RecorderPort {
    let files = config.files.clone();
    let recorder = Recorder::start_in_arbiter(&disk.handle(), |_| {
        Recorder::new(files.recording_dir, files.greeting, metrics)
    });
    let reader = Reader::start_in_arbiter(&reading.handle(), |_| Reader::new(files.output_dir));
    RecorderPort {
        audio: recorder.clone().recipient(),
        finish: recorder.clone().recipient(),
        greeting: recorder.clone().recipient(),
        files: reader.recipient(),
    }
}

/// What calls with bots need.
struct Bots {
    streams: Addr<AgentStreams>,
    arbiters: Vec<Arbiter>,
    rest_api: Option<RestApi>,
}

/// Bots have threads of their own: one that floods us delays no other call's audio.
fn start_agent_streams(
    config: &Config,
    tls: Option<Arc<rustls::ClientConfig>>,
    gateway: Option<&Gateway>,
    metrics: &Arc<Metrics>,
) -> Option<Bots> {
    let numbers = gateway.map(|gateway| gateway.dids.clone());
    let settings = setup::agent_stream_settings(config, tls, numbers, metrics.clone())?;
    let arbiters: Vec<Arbiter> = (0..cores()).map(|_| Arbiter::new()).collect();
    let threads = arbiters.iter().map(Arbiter::handle).collect();
    let rest_api = settings.rest_api();
    Some(Bots { streams: AgentStreams::new(settings, threads).start(), arbiters, rest_api })
}

fn start_test_line(config: &Config) -> std_io::Result<Option<TestLine>> {
    config.sip.server.is_none().then(|| TestLine::start(config.sip.local.ip())).transpose()
}

fn local_address(bound: std_io::Result<SocketAddr>, asked: SocketAddr) -> SocketAddr {
    bound.unwrap_or(asked)
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

const STOP_DEADLINE: Duration = Duration::from_secs(4);
