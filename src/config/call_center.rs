//! The settings of the call center.
//!
//! In: the same sources as those of the relay. Out: a [`CallCenterConfig`], and for the program itself a
//! [`LoadedCallCenter`]. The program reads its own settings only: it may run on a machine where those of the relay (its
//! addresses, its ports) mean nothing.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use model::mode::AgentCodec;
use tokio_tungstenite::tungstenite::http::Uri;

use super::{
    ConfigErrors, LoadError, LogConfig, Problem, Secret, cli,
    load::{Reader, absolute},
    parse::{self, Parsed},
    realtime::{self, RealtimeConfig},
    source::{self, Sources},
};
use crate::{
    call_center::{conversation::TOOLS, number},
    gateway::{FileError, Variables, home, read_file},
};

/// How the call center talks with callers.
#[derive(Debug, Clone, PartialEq)]
pub struct CallCenterConfig {
    /// Where the relay is, `ws://` or `wss://`, without a query; `WS_URL`.
    pub ws_url: String,
    /// Whether to connect again when the connection is lost; `CALL_CENTER_RECONNECT`.
    pub reconnect: bool,
    /// Whether it takes turns, talks by the Realtime API, or answers buffers; `CALL_CENTER_MODE`.
    pub mode: ConversationMode,
    /// Names of what the chat model may do besides talking; `CALL_CENTER_TOOLS`.
    pub tools: Vec<String>,
    /// Silence after which a caller has finished; `CALL_CENTER_END_OF_TURN_MS`.
    pub end_of_turn: Duration,
    /// Silence after which a caller is asked whether he is there; `None` = never. `CALL_CENTER_SILENCE_SECONDS`.
    pub silence: Option<Duration>,
    /// That question; `CALL_CENTER_SILENCE_PROMPT`.
    pub silence_prompt: Option<String>,
    /// The last words of a call; `CALL_CENTER_FAREWELL`.
    pub farewell: Option<String>,
    /// What is said when a service is down; `CALL_CENTER_APOLOGY`.
    pub apology: Option<String>,
    /// What is played when that cannot be spoken; `None` = what the program has. `CALL_CENTER_APOLOGY_FILE`.
    pub apology_file: Option<PathBuf>,
    /// How long a service may take until its answer begins; `CALL_CENTER_SERVICE_TIMEOUT`.
    pub service_timeout: Duration,
    /// Where `GET /metrics` is answered; `None` = nowhere. `CALL_CENTER_METRICS_ADDR`.
    pub metrics: Option<SocketAddr>,
    /// Packets (20 ms each) of the caller that are answered together; `CALL_CENTER_BUFFER_SIZE`.
    pub buffer_size: usize,
    /// Whether a buffer without sound is left unanswered; `CALL_CENTER_VAD`.
    pub vad: bool,
    /// What the caller speaks, ISO 639-1, or `auto`; `CALL_CENTER_LANGUAGE`.
    pub language: String,
    /// What the chat model is told first; `CALL_CENTER_SYSTEM_PROMPT`.
    pub system_prompt: String,
    /// `CALL_CENTER_STT_MODEL`.
    pub stt_model: String,
    /// `CALL_CENTER_LLM_MODEL`.
    pub llm_model: String,
    /// `CALL_CENTER_TTS_MODEL`.
    pub tts_model: String,
    /// `CALL_CENTER_TTS_VOICE`.
    pub tts_voice: String,
    /// 0.25 to 4.0, 1.0 as the voice speaks; `CALL_CENTER_TTS_SPEED`.
    pub tts_speed: f64,
    /// What is said first in mode turns; `CALL_CENTER_GREETING`.
    pub greeting: Option<String>,
    /// The table with settings of their own for calls to some numbers; `CALL_CENTER_DIDS`.
    pub dids: Option<PathBuf>,
    /// Where the services are.
    pub services: Services,
    /// How it talks by the Realtime API.
    pub realtime: RealtimeConfig,
    /// The log file, begun anew with each start; `CALL_CENTER_LOG_FILE`.
    pub log_file: PathBuf,
}

/// How callers are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationMode {
    /// When they have finished, and they may interrupt. Needs a relay with multi mode.
    Turns,
    /// By a model that hears and speaks, and they may interrupt. Needs a relay with multi mode.
    Realtime,
    /// So many packets at a time.
    Buffer,
}

/// Base URLs of OpenAI-compatible services, with the version (`.../v1`) and without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    /// Speech to text; `OPENAI_STT_BASE_URL`.
    pub stt: String,
    /// The chat model; `OPENAI_LLM_BASE_URL`.
    pub llm: String,
    /// Text to speech; `OPENAI_TTS_BASE_URL`.
    pub tts: String,
}

/// Who talks with callers where no services are wanted; `--agent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AgentKind {
    /// Sends the caller's audio back as it comes.
    Echo,
    /// Repeats what the caller said when the caller has finished.
    Parrot,
}

/// What the program `call_center` runs with.
#[derive(Debug, Clone)]
pub struct LoadedCallCenter {
    /// How it talks with callers.
    pub config: CallCenterConfig,
    /// An agent that needs no services.
    pub agent: Option<AgentKind>,
    /// For the services; `OPENAI_API_KEY`.
    pub api_key: Option<Secret>,
    /// What the relay wants to see; `WS_TOKEN`.
    pub token: Option<Secret>,
    /// What `${NAME}` means in the table of numbers: the process environment, else `.env`.
    pub variables: Variables,
    /// Folder of audio; `OUTPUT_DIR`.
    pub output_dir: PathBuf,
    /// What is logged, and where.
    pub log: LogConfig,
}

/// Connects to the relay and talks with every caller.
#[derive(Debug, Parser)]
#[command(
    name = "call_center",
    version,
    after_help = "A flag wins over the environment, the environment over the .env file. docs/call_center.md says more."
)]
struct Cli {
    /// Talk without any service: send the audio back, or repeat what was said
    #[arg(long, value_enum)]
    agent: Option<AgentKind>,
    /// Where the relay is [WS_URL]
    #[arg(long, value_name = "URL")]
    ws_url: Option<String>,
    /// ERROR, WARNING, INFO, DEBUG or TRACE [LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any setting by its name; may be given many times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Read this file instead of .env in the current folder
    #[arg(long, value_name = "PATH")]
    env_file: Option<PathBuf>,
}

impl LoadedCallCenter {
    /// Loads what the program `call_center` needs. The arguments are those of [`super::Config::load`]. Reports every
    /// problem at once; a missing key is none here.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: impl Fn(&str) -> Option<String>,
        cwd: &Path,
    ) -> Result<Self, LoadError> {
        let cli = Cli::try_parse_from(args)?;
        let mut problems = Vec::new();
        let flags = [("WS_URL", &cli.ws_url), ("LOG_LEVEL", &cli.log_level)];
        let command_line = cli::values(&cli.set, &flags, &mut problems);
        let env_file = cwd.join(cli.env_file.as_deref().unwrap_or(Path::new(".env")));
        let file = source::read_env_file(&env_file, cli.env_file.is_some(), &mut problems);
        let sources = Sources { command_line, environment: &env, file, yaml: BTreeMap::new() };
        let mut reader = Reader { problems, ..Reader::new(&sources) };
        let config = read(&mut reader, cwd);
        let loaded = Self {
            agent: cli.agent,
            api_key: reader.secret("OPENAI_API_KEY"),
            token: reader.secret("WS_TOKEN"),
            variables: Variables::of_process().or(sources.file.clone()),
            output_dir: reader.path("OUTPUT_DIR", cwd),
            log: LogConfig {
                level: reader.read("LOG_LEVEL", parse::level),
                file: config.log_file.clone(),
                mask: reader.read("LOG_MASK", parse::flag),
            },
            config,
        };
        let mut problems = reader.problems;
        if let Some(path) = &loaded.config.dids {
            problems.extend(wrong_numbers(path, &sources).into_iter().map(Problem::general));
        }
        if problems.is_empty() { Ok(loaded) } else { Err(ConfigErrors { problems }.into()) }
    }
}

impl LoadedCallCenter {
    /// What the connection to the relay carries: PCM, but for agents that pass G.711 through.
    pub fn codec(&self) -> AgentCodec {
        match self.config.mode {
            ConversationMode::Realtime if self.agent.is_none() => self.config.realtime.codec,
            _ => AgentCodec::Pcm,
        }
    }
}

impl CallCenterConfig {
    /// The documented defaults.
    pub fn documented(log_file: PathBuf) -> Self {
        let none = Sources {
            command_line: BTreeMap::new(),
            environment: &|_| None,
            file: BTreeMap::new(),
            yaml: BTreeMap::new(),
        };
        Self { log_file, ..read(&mut Reader::new(&none), Path::new("")) }
    }
}

/// Reads the settings of the call center.
pub(super) fn read(reader: &mut Reader<'_>, cwd: &Path) -> CallCenterConfig {
    let base = match reader.read_optional("OPENAI_BASE_URL", base_url) {
        Some(base) => {
            let documented = reader.read_optional("OPENAI_API_BASE", base_url);
            documented.unwrap_or(base)
        }
        None => reader.read("OPENAI_API_BASE", base_url),
    };
    let mut service = |name| reader.read_optional(name, base_url).unwrap_or_else(|| base.clone());
    let services = Services {
        stt: service("OPENAI_STT_BASE_URL"),
        llm: service("OPENAI_LLM_BASE_URL"),
        tts: service("OPENAI_TTS_BASE_URL"),
    };
    CallCenterConfig {
        ws_url: read_ws_url(reader),
        reconnect: reader.read("CALL_CENTER_RECONNECT", parse::flag),
        mode: reader.read("CALL_CENTER_MODE", mode),
        tools: reader.read_optional("CALL_CENTER_TOOLS", tools).unwrap_or_default(),
        end_of_turn: reader.read("CALL_CENTER_END_OF_TURN_MS", milliseconds),
        silence: reader.read("CALL_CENTER_SILENCE_SECONDS", parse::seconds_or_none),
        silence_prompt: reader.read_optional("CALL_CENTER_SILENCE_PROMPT", parse::line),
        farewell: reader.read_optional("CALL_CENTER_FAREWELL", parse::line),
        apology: reader.read_optional("CALL_CENTER_APOLOGY", parse::line),
        apology_file: reader
            .read_optional("CALL_CENTER_APOLOGY_FILE", parse::line)
            .map(|path| absolute(cwd, &path)),
        service_timeout: reader.read("CALL_CENTER_SERVICE_TIMEOUT", parse::seconds),
        metrics: reader.read_optional("CALL_CENTER_METRICS_ADDR", listen),
        buffer_size: reader.read("CALL_CENTER_BUFFER_SIZE", parse::count(5..=3000)),
        vad: reader.read("CALL_CENTER_VAD", parse::flag),
        language: reader.read("CALL_CENTER_LANGUAGE", parse::line),
        system_prompt: reader.read("CALL_CENTER_SYSTEM_PROMPT", |text| Ok(text.to_owned())),
        stt_model: reader.read("CALL_CENTER_STT_MODEL", parse::line),
        llm_model: reader.read("CALL_CENTER_LLM_MODEL", parse::line),
        tts_model: reader.read("CALL_CENTER_TTS_MODEL", parse::line),
        tts_voice: reader.read("CALL_CENTER_TTS_VOICE", parse::line),
        tts_speed: reader.read("CALL_CENTER_TTS_SPEED", tts_speed),
        greeting: reader.read_optional("CALL_CENTER_GREETING", parse::line),
        dids: reader.read_optional("CALL_CENTER_DIDS", parse::line).map(|path| {
            let path = home(Path::new(&path), &|name| reader.sources.variable(name));
            absolute(cwd, &path.to_string_lossy())
        }),
        services,
        realtime: realtime::read(reader, &base),
        log_file: absolute(cwd, &reader.read("CALL_CENTER_LOG_FILE", parse::line)),
    }
}

/// What is wrong with a table of numbers. That it is not there yet is nothing wrong.
fn wrong_numbers(path: &Path, sources: &Sources<'_>) -> Vec<String> {
    let wrong = |problem: String| format!("CALL_CENTER_DIDS={}: {problem}", path.display());
    match read_file(path, &|name| sources.variable(name)) {
        Ok(document) => {
            let checked = document.dids.iter().map(|did| (did, number::check(did)));
            let problems =
                checked.filter_map(|(did, check)| Some(format!("dids.{}: {}", did.did, check.err()?)));
            problems.map(wrong).collect()
        }
        Err(FileError::Missing) => Vec::new(),
        Err(FileError::Problems { lines, .. }) => lines.into_iter().map(wrong).collect(),
    }
}

/// `WS_URL`, or where the relay listens by its own settings, which are looked at here without being judged.
fn read_ws_url(reader: &mut Reader<'_>) -> String {
    if let Some(url) = reader.read_optional("WS_URL", ws_url) {
        return url;
    }
    let value = |name, default: &str| {
        reader.sources.lookup(name).map_or_else(|| default.to_owned(), |(value, _)| value)
    };
    let (host, port) = (value("WS_HOST", "127.0.0.1"), value("WS_PORT", "8080"));
    let scheme = if reader.sources.lookup("TLS_CERT").is_some() { "wss" } else { "ws" };
    // A relay on every address is on this one as well.
    let host = match host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" | "[::]" => "[::1]".to_owned(),
        bare if bare.contains(':') && !bare.starts_with('[') => format!("[{bare}]"),
        _ => host,
    };
    format!("{scheme}://{host}:{port}")
}

/// An address of a WebSocket server. A query would collide with ours.
pub(super) fn ws_url(text: &str) -> Parsed<String> {
    let uri: Option<Uri> = text.parse().ok();
    let fits = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some() && uri.query().is_none()
    });
    let expected = "expected ws://host:port or wss://host:port, without a query";
    if fits { Ok(text.trim_end_matches('/').to_owned()) } else { Err(expected.to_owned()) }
}

fn base_url(text: &str) -> Parsed<String> {
    let uri: Option<Uri> = text.parse().ok();
    let fits =
        uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    let expected = "expected the base URL of a service, for example https://api.openai.com/v1";
    if fits { Ok(text.trim_end_matches('/').to_owned()) } else { Err(expected.to_owned()) }
}

/// Milliseconds of silence between two turns.
fn milliseconds(text: &str) -> Parsed<Duration> {
    parse::count(100..=5000)(text).map(|ms| Duration::from_millis(ms as u64))
}

/// An address of this machine with a port; a port alone is on loopback.
fn listen(text: &str) -> Parsed<SocketAddr> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let address = text.parse().or_else(|_| text.parse().map(loopback));
    address
        .map_err(|_| "expected a port, or an address with a port: 9100, 10.0.0.5:9100, [::1]:9100".to_owned())
}

fn mode(text: &str) -> Parsed<ConversationMode> {
    match text {
        "turns" => Ok(ConversationMode::Turns),
        "realtime" => Ok(ConversationMode::Realtime),
        "buffer" => Ok(ConversationMode::Buffer),
        _ => Err("expected turns, realtime or buffer".to_owned()),
    }
}

fn tools(text: &str) -> Parsed<Vec<String>> {
    let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let known = |name: &String| TOOLS.iter().any(|tool| tool.name == name);
    if names.iter().all(known) {
        Ok(names)
    } else {
        Err("expected names with commas between them: hang_up, transfer, send_digits".to_owned())
    }
}

fn tts_speed(text: &str) -> Parsed<f64> {
    let speed: Option<f64> = text.parse().ok();
    speed.filter(|speed| (0.25..=4.0).contains(speed)).ok_or_else(|| "expected 0.25 to 4.0".to_owned())
}
