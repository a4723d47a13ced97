//! `Config` holds every setting of the relay, typed and validated once.
//!
//! In: the command line, the process environment, the `.env` file, the gateway's YAML file, in this order of precedence. Out: a [`Config`] and
//! warnings, or all problems together. It reads files and asks the operating system about addresses, and changes
//! nothing; the process environment is an argument. docs/configuration.md describes each setting.

mod agent_stream;
mod call_center;
mod cli;
mod error;
mod gateway;
mod load;
mod net;
mod number_pattern;
mod parse;
mod peers;
mod realtime;
mod secret;
mod settings;
mod source;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use model::{audio::Codec, mode::Mode};
use sip::auth::Algorithm;
use tracing::Level;

pub use self::{
    agent_stream::{AgentStreamConfig, StreamUrl},
    call_center::{AgentKind, CallCenterConfig, ConversationMode, LoadedCallCenter, Services},
    error::{ConfigErrors, LoadError, Origin, Problem},
    gateway::{GatewayHandler, GatewaySettings, LoadedVoiceServer},
    number_pattern::NumberPattern,
    peers::PeerNet,
    realtime::RealtimeConfig,
    secret::Secret,
    settings::{SETTINGS, Setting},
};
pub(crate) use gateway::gateway_file;
pub(crate) use net::{host as resolve, route_source};
pub(crate) use source::process_variable;

/// Every setting of the relay.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where SIP is spoken, and with whom.
    pub sip: SipConfig,
    /// Ports, queues and watchdogs of the media.
    pub rtp: RtpConfig,
    /// The WebSocket server.
    pub ws: WsConfig,
    /// How calls are answered and limited.
    pub relay: RelayConfig,
    /// Folders and files.
    pub files: FilesConfig,
    /// What is logged, and where.
    pub log: LogConfig,
    /// Which bot calls are connected to.
    pub agent_stream: AgentStreamConfig,
    /// How Twilio and Telnyx calls are taken.
    pub gateway: GatewaySettings,
    /// How the call center, the other program of the two, talks with callers.
    pub call_center: CallCenterConfig,
    /// For the AI features; `OPENAI_API_KEY`.
    pub openai_api_key: Option<Secret>,
    /// Whether every warning about the settings was to be an error; `STRICT_CONFIG`.
    pub strict: bool,
}

/// A configuration that can be used, and what its user should know.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// One line each, to be logged as warnings at start.
    pub warnings: Vec<String>,
}

/// Where SIP is spoken, and with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipConfig {
    /// The address and UDP port that SIP is bound to, port 0 for any; `SIP_LOCAL_IP`, `SIP_LOCAL_PORT`. RTP is bound
    /// to the same address.
    pub local: SocketAddr,
    /// The address that Via, Contact and SDP name; `SIP_ADVERTISED_IP`. Never unspecified.
    pub advertised_ip: IpAddr,
    /// The PBX; `None` = the built-in test line. `SIP_SERVER_IP`.
    pub server: Option<SipServer>,
    /// The UDP port of the PBX; `SIP_TRANSFER_PORT`.
    pub transfer_port: u16,
    /// The user of our From and of digest authentication; `SIP_USERNAME`.
    pub username: Option<String>,
    /// The password of digest authentication; `SIP_PASSWORD`.
    pub password: Option<Secret>,
    /// Whether to register with the PBX, which is set then, as is the user; `SIP_REGISTER`.
    pub register: bool,
    /// Who may send requests from outside of calls; empty = anybody. `SIP_AUTH_USERS`.
    pub auth_users: Vec<SipUser>,
    /// The realm that they are asked for; `SIP_AUTH_REALM`.
    pub auth_realm: String,
    /// The digest algorithms that they are offered, in this order; `SIP_AUTH_ALGORITHMS`.
    pub auth_algorithms: Vec<Algorithm>,
    /// Who may speak SIP with us besides the PBX; empty = anybody. `SIP_ALLOWED_PEERS`.
    pub allowed_peers: Vec<PeerNet>,
    /// How long a call may go without a sign of life of the signalling (RFC 4028); `None` = for ever.
    /// `SIP_SESSION_EXPIRES`.
    pub session_expires: Option<Duration>,
}

/// Somebody who may send SIP requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipUser {
    /// The user name of digest authentication.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// The PBX that outbound calls go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipServer {
    /// The host of the request URI as it was given, an IPv6 address in brackets.
    pub host: String,
    /// Its address, resolved at start.
    pub ip: IpAddr,
}

impl SipConfig {
    /// Where outbound requests are sent; `None` = the test line.
    pub fn server_addr(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|server| SocketAddr::new(server.ip, self.transfer_port))
    }
}

/// Ports, queues and watchdogs of the media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpConfig {
    /// First port of the range; `RTP_PORT_START`.
    pub port_start: u16,
    /// Last port of the range, inclusive; `RTP_PORT_END`. The range holds at least one pair.
    pub port_end: u16,
    /// 20 ms frames of agent audio that may wait for playout before the next message is refused; `None` = 10 minutes of
    /// audio. `RTP_SEND_QUEUE_MAX`.
    pub send_queue_max: Option<usize>,
    /// Received packets of one call that may wait; `RTP_RECV_QUEUE_MAX`.
    pub recv_queue_max: usize,
    /// Whether silence is sent while there is no agent audio; `RTP_SILENCE_FILL`.
    pub silence_fill: bool,
    /// Whether RTP goes back to where it came from, not to the address in SDP; `RTP_SYMMETRIC`.
    pub symmetric: bool,
    /// Time without a packet after which the caller is considered gone; `RTP_INACTIVITY_TIMEOUT`.
    pub inactivity_timeout: Duration,
    /// Time from the answer to the first packet; `RTP_ESTABLISHMENT_TIMEOUT`.
    pub establishment_timeout: Duration,
    /// Whether keys are heard in the audio; `DTMF_INBAND`.
    pub inband_dtmf: InbandDtmf,
    /// Whether multi clients are told when the caller talks; `SPEECH_DETECTION`.
    pub speech_detection: bool,
}

/// Whether a caller's keys are heard in the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InbandDtmf {
    /// They are not.
    #[default]
    Off,
    /// In calls without telephone events.
    Auto,
    /// In every call.
    On,
}

impl RtpConfig {
    /// Distance of the RTP ports of two calls.
    pub const PORT_STRIDE: u16 = 4;
}

/// The WebSocket server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsConfig {
    /// The address and TCP port it listens on, port 0 for any; `WS_HOST`, `WS_PORT`.
    pub listen: SocketAddr,
    /// The mode of a connection that names none; `WS_MODE`.
    pub mode: Mode,
    /// What a client must present; `None` = nothing. `WS_TOKEN`.
    pub token: Option<Secret>,
    /// Whether it may be reachable from other machines without a token; `WS_ALLOW_ANONYMOUS`.
    pub allow_anonymous: bool,
    /// Connections at once; `WS_MAX_CONNECTIONS`.
    pub max_connections: usize,
    /// Bytes of one message after reassembly; `WS_MAX_MESSAGE_BYTES`.
    pub max_message_bytes: usize,
    /// Messages that may wait to be sent on one connection; `WS_SEND_QUEUE_MAX`.
    pub send_queue_max: usize,
    /// Messages received on one connection that may wait to be carried out; `WS_RECV_QUEUE_MAX`.
    pub recv_queue_max: usize,
    /// How long a session waits for its client to come back; `WS_RESUME_SECONDS`.
    pub resume_window: Duration,
    /// What becomes of calls that are up when the last client is gone for good; `WS_LOST_ACTION`.
    pub lost_action: LostAction,
    /// What makes it `wss://` and `https://`; `TLS_CERT`, `TLS_KEY`.
    pub tls: Option<TlsFiles>,
}

/// The files of a TLS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// What becomes of calls that are up when the last client is gone for good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LostAction {
    /// They go on; the next client is told of them.
    #[default]
    Keep,
    /// They are hung up.
    Hangup,
    /// This file of `OUTPUT_DIR` is played to them, then they are hung up.
    Play(String),
}

/// How calls are answered and limited.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Codecs offered and accepted, in order of preference, at least one; `RELAY_CODECS`.
    pub codecs: Vec<Codec>,
    /// Who answers inbound calls; `RELAY_ANSWER_MODE`.
    pub answer_mode: AnswerMode,
    /// How long an inbound call rings for a client to answer; `RELAY_RING_TIMEOUT`.
    pub ring_timeout: Duration,
    /// How long an outbound call may take to be answered; `RELAY_INVITE_TIMEOUT`.
    pub invite_timeout: Duration,
    /// Which numbers `CALL:` takes; `CALL_NUMBER_PATTERN`.
    pub number_pattern: NumberPattern,
    /// What the numbers of `CALL:` begin with; empty = anything. `CALL_ALLOWED_PREFIXES`.
    pub allowed_prefixes: Vec<String>,
    /// Calls per second that clients may place; `None` = any. `CALL_RATE_LIMIT`.
    pub call_rate: Option<u32>,
    /// Calls at once; `None` = as many as there are RTP ports. `MAX_CALLS`.
    pub max_calls: Option<usize>,
    /// How long a call may be up; `None` = for ever. `MAX_CALL_DURATION`.
    pub max_call_duration: Option<Duration>,
}

/// Who answers inbound calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerMode {
    /// The relay, at once.
    #[default]
    Auto,
    /// A client, with `CALL_ANS` or `RING_ANS`.
    Client,
}

/// Folders and files; relative ones were made absolute at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    /// Recordings; `RECORDING_DIR`.
    pub recording_dir: PathBuf,
    /// Audio to play; `OUTPUT_DIR`.
    pub output_dir: PathBuf,
    /// Played when a call is up, if it exists; `GREETING_FILE`.
    pub greeting: PathBuf,
    /// Whether a recording has the agent as well, on the right; `RECORDING_CHANNELS`.
    pub stereo_recordings: bool,
    /// Age at which a recording is deleted; `None` = never. `MAX_RECORDING_AGE_DAYS`.
    pub max_recording_age: Option<Duration>,
}

impl FilesConfig {
    /// Creates the folders that are missing. The error names the folder and the setting.
    pub fn create_dirs(&self) -> io::Result<()> {
        let output = |name| ("OUTPUT_DIR", self.output_dir.join(name));
        let folders = [
            ("RECORDING_DIR", self.recording_dir.clone()),
            output("convented"),
            output("response"),
            output("transcode"),
        ];
        for (setting, path) in folders {
            fs::create_dir_all(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot create {} ({setting}): {error}", path.display()))
            })?;
        }
        Ok(())
    }
}

/// What is logged, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The least important level that is logged; `LOG_LEVEL`.
    pub level: Level,
    /// The log file; `SIP_LOG_FILE`, which is appended to, or `CALL_CENTER_LOG_FILE`, which is begun anew.
    pub file: PathBuf,
    /// Whether phone numbers and URIs are masked; `LOG_MASK`.
    pub mask: bool,
}

impl Config {
    /// The defaults for a test: everything on loopback, SIP and WebSocket ports chosen by the operating system, the test
    /// line instead of a PBX, and files in a folder of its own under the system's temporary one, not yet created.
    ///
    /// The RTP range is wide, 20000 to 29999, so that tests that run at once find free ports.
    pub fn for_tests() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = format!("sip-relay-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(folder);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            sip: SipConfig {
                local: any,
                advertised_ip: any.ip(),
                server: None,
                transfer_port: 5060,
                username: None,
                password: None,
                register: false,
                allowed_peers: Vec::new(),
                session_expires: Some(Duration::from_secs(1800)),
                auth_users: Vec::new(),
                auth_realm: "sip-relay".to_owned(),
                auth_algorithms: vec![Algorithm::Md5, Algorithm::Sha256],
            },
            rtp: RtpConfig {
                port_start: 20_000,
                port_end: 29_999,
                send_queue_max: None,
                recv_queue_max: 500,
                silence_fill: true,
                symmetric: true,
                inactivity_timeout: Duration::from_secs(30),
                establishment_timeout: Duration::from_secs(60),
                inband_dtmf: InbandDtmf::Off,
                speech_detection: true,
            },
            ws: WsConfig {
                listen: any,
                mode: Mode::Classic,
                token: None,
                allow_anonymous: false,
                max_connections: 1000,
                max_message_bytes: 16 << 20,
                send_queue_max: 1000,
                recv_queue_max: 1000,
                resume_window: Duration::from_secs(10),
                lost_action: LostAction::Keep,
                tls: None,
            },
            relay: RelayConfig {
                allowed_prefixes: Vec::new(),
                call_rate: None,
                codecs: vec![Codec::Pcmu, Codec::Pcma],
                answer_mode: AnswerMode::Auto,
                ring_timeout: Duration::from_secs(30),
                invite_timeout: Duration::from_secs(32),
                number_pattern: NumberPattern::default(),
                max_calls: None,
                max_call_duration: Some(Duration::from_secs(14_400)),
            },
            files: FilesConfig {
                recording_dir: folder.join("recording"),
                output_dir: folder.join("output"),
                greeting: folder.join("output/transcode/greeting.wav"),
                stereo_recordings: false,
                max_recording_age: Some(Duration::from_secs(7 * 86_400)),
            },
            log: LogConfig { level: Level::INFO, file: folder.join("sip_server.log"), mask: true },
            agent_stream: AgentStreamConfig {
                url: None,
                parameters: Vec::new(),
                allow_plain: false,
                authorities: None,
            },
            gateway: GatewaySettings::documented(folder.join("sip_config.yaml")),
            call_center: CallCenterConfig {
                ws_url: "ws://127.0.0.1:0".to_owned(),
                ..CallCenterConfig::documented(folder.join("call_center.log"))
            },
            openai_api_key: None,
            strict: false,
        }
    }
}
