//! The settings of the gateway, and of the program `sip-voice-server`, which is nothing else.
//!
//! In: the same sources as those of the relay, and below `.env` the gateway's YAML file. Out: [`GatewaySettings`], and for
//! the program itself a [`LoadedVoiceServer`].

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Parser;
use tracing::Level;

use super::{
    ConfigErrors, LoadError, Problem,
    call_center::ws_url,
    load::{Reader, absolute},
    net,
    parse::{self, Parsed},
    source::{self, Sources},
};
use crate::gateway::{
    FileError, L16Endian, ProviderConfig, SipConfig, TelnyxCodec, TelnyxConfig, TwilioConfig, Variables,
    home, read_file,
};

/// How Twilio and Telnyx calls are taken.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Whether the relay's HTTP server takes them; `GATEWAY_ENABLE`.
    pub enabled: bool,
    /// Who talks with the callers; `GATEWAY_HANDLER`.
    pub handler: GatewayHandler,
    /// The YAML file: the table of numbers, and settings; `GATEWAY_CONFIG`.
    pub config: PathBuf,
    /// Media sockets at once; `GATEWAY_MAX_STREAMS`.
    pub max_streams: usize,
    /// Whether a stream must show the token of its webhook; `None` = as soon as anything is there to protect.
    /// `GATEWAY_STREAM_TOKEN`.
    pub stream_token: Option<bool>,
    /// The server and the accounts.
    pub sip: SipConfig,
    /// What `${NAME}` means in that file: the process environment, else `.env`.
    pub variables: Variables,
}

/// Who talks with the callers of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GatewayHandler {
    /// They hear themselves.
    #[default]
    Echo,
    /// The relay's clients, as with any call.
    Relay,
}

/// What the program `sip-voice-server` runs with.
#[derive(Debug, Clone)]
pub struct LoadedVoiceServer {
    /// The gateway.
    pub gateway: GatewaySettings,
    /// Whether phone numbers are masked in the log; `LOG_MASK`.
    pub mask: bool,
    /// One line each, to be logged as warnings at start.
    pub warnings: Vec<String>,
}

/// Takes phone calls of Telnyx and Twilio: webhooks, and audio over a WebSocket.
#[derive(Debug, Parser)]
#[command(name = "sip-voice-server", disable_version_flag = true)]
struct Cli {
    /// Path to SIP config YAML [default: ~/.vibecode/sip_config.yaml]
    #[arg(short, long, value_name = "PATH")]
    config: Option<String>,
    /// Server port [default: 8000]
    #[arg(short, long, value_name = "INTEGER")]
    port: Option<String>,
    /// Bind host [default: 127.0.0.1]
    #[arg(long, value_name = "TEXT")]
    host: Option<String>,
    /// Public WebSocket URL (auto-generated if not set)
    #[arg(long, value_name = "TEXT")]
    ws_url: Option<String>,
    /// One of DEBUG, INFO, WARNING, ERROR [default: INFO]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Cli {
    fn values(self) -> BTreeMap<String, String> {
        let flags = [
            ("GATEWAY_CONFIG", self.config),
            ("SIP_SERVER_PORT", self.port),
            ("GATEWAY_HOST", self.host),
            ("SIP_PUBLIC_WS_URL", self.ws_url),
            ("LOG_LEVEL", self.log_level),
        ];
        flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl LoadedVoiceServer {
    /// Loads what the program `sip-voice-server` needs. The arguments are those of [`super::Config::load`]. Reports every
    /// problem at once.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: impl Fn(&str) -> Option<String>,
        cwd: &Path,
    ) -> Result<Self, LoadError> {
        let command_line = Cli::try_parse_from(args)?.values();
        let mut problems = Vec::new();
        let file = source::read_env_file(&cwd.join(".env"), false, &mut problems);
        let mut sources = Sources { command_line, environment: &env, file, yaml: BTreeMap::new() };
        let path = config_path(&mut Reader::new(&sources), cwd);
        let mut warnings = add_file(&mut sources, &path, &mut problems);

        let mut reader = Reader { problems, ..Reader::new(&sources) };
        let level = reader.read("LOG_LEVEL", parse::level);
        let loaded = Self {
            gateway: read(&mut reader, cwd, level),
            mask: reader.read("LOG_MASK", parse::flag),
            warnings: Vec::new(),
        };
        let strict = reader.read("STRICT_CONFIG", parse::flag);
        let mut problems = reader.problems;
        if strict {
            problems.extend(warnings.drain(..).map(Problem::general));
        }
        if problems.is_empty() {
            Ok(Self { warnings, ..loaded })
        } else {
            Err(ConfigErrors { problems }.into())
        }
    }
}

/// Where the gateway is enabled: adds the settings of its file to `sources`, below the others. Gives warnings.
pub(super) fn add_file_if_enabled(
    sources: &mut Sources<'_>,
    cwd: &Path,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    // What is wrong with these two is reported when they are read with the others.
    let mut reader = Reader::new(sources);
    let enabled = reader.read("GATEWAY_ENABLE", parse::flag);
    let path = config_path(&mut reader, cwd);
    if enabled { add_file(sources, &path, problems) } else { Vec::new() }
}

fn add_file(sources: &mut Sources<'_>, path: &Path, problems: &mut Vec<Problem>) -> Vec<String> {
    let name = path.display();
    match read_file(path, &|name| sources.variable(name)) {
        Ok(document) => {
            sources.yaml = document.settings;
            document.warnings.into_iter().map(|warning| format!("GATEWAY_CONFIG={name}: {warning}")).collect()
        }
        Err(FileError::Missing) => {
            vec![format!("GATEWAY_CONFIG={name}: there is no such file, so no number is configured")]
        }
        Err(FileError::Problems { lines, settings }) => {
            sources.yaml = settings;
            problems.extend(
                lines.into_iter().map(|line| Problem::general(format!("GATEWAY_CONFIG={name}: {line}"))),
            );
            Vec::new()
        }
    }
}

/// The settings of the file at `path`, where `env` gives variables and the settings that the file leaves out.
pub(crate) fn gateway_file(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<SipConfig, ConfigErrors> {
    // Only the accounts: a program that reads a file wants its port, not that of another program.
    let accounts = |name: &str| env(name).filter(|_| ACCOUNTS.contains(&name));
    let mut sources = Sources {
        command_line: BTreeMap::new(),
        environment: &env,
        file: BTreeMap::new(),
        yaml: BTreeMap::new(),
    };
    let mut problems = Vec::new();
    let path = home(path, env);
    add_file(&mut sources, &path, &mut problems);
    sources.environment = &accounts;
    let mut reader = Reader { problems, ..Reader::new(&sources) };
    let level = reader.read("LOG_LEVEL", parse::level);
    let config = read_server(&mut reader, level);
    if reader.problems.is_empty() { Ok(config) } else { Err(ConfigErrors { problems: reader.problems }) }
}

/// Reads the settings of the gateway.
pub(super) fn read(reader: &mut Reader<'_>, cwd: &Path, level: Level) -> GatewaySettings {
    GatewaySettings {
        enabled: reader.read("GATEWAY_ENABLE", parse::flag),
        handler: reader.read("GATEWAY_HANDLER", handler),
        config: config_path(reader, cwd),
        max_streams: reader.read("GATEWAY_MAX_STREAMS", parse::count(1..=100_000)),
        stream_token: reader.read("GATEWAY_STREAM_TOKEN", stream_token),
        sip: read_server(reader, level),
        variables: Variables::of_process().or(reader.sources.file.clone()),
    }
}

fn stream_token(text: &str) -> Parsed<Option<bool>> {
    if text == "auto" {
        return Ok(None);
    }
    parse::flag(text).map(Some).map_err(|_| "expected auto, 1 or 0".to_owned())
}

fn config_path(reader: &mut Reader<'_>, cwd: &Path) -> PathBuf {
    let path = reader.read("GATEWAY_CONFIG", parse::line);
    let path = home(Path::new(&path), &|name| reader.sources.variable(name));
    absolute(cwd, &path.to_string_lossy())
}

fn read_server(reader: &mut Reader<'_>, log_level: Level) -> SipConfig {
    SipConfig {
        provider: reader.read("GATEWAY_PROVIDER", provider),
        // Not `read`: whether the default can be bound is up to the machine.
        server_host: reader
            .read_optional("GATEWAY_HOST", net::local_tcp_ip)
            .unwrap_or(Ipv4Addr::LOCALHOST.into()),
        server_port: reader.read("SIP_SERVER_PORT", parse::port_or_any),
        public_ws_url: reader.read_optional("SIP_PUBLIC_WS_URL", ws_url),
        log_level,
        provider_config: ProviderConfig {
            telnyx: TelnyxConfig {
                api_key: reader.secret("TELNYX_API_KEY"),
                public_key: reader.read_optional("TELNYX_PUBLIC_KEY", public_key),
                app_id: reader.read_optional("TELNYX_APP_ID", parse::line),
                l16_endian: reader.read("TELNYX_L16_ENDIAN", endian),
                codec: reader.read("TELNYX_CODEC", telnyx_codec),
            },
            twilio: TwilioConfig {
                account_sid: reader.read_optional("TWILIO_ACCOUNT_SID", parse::line),
                auth_token: reader.secret("TWILIO_AUTH_TOKEN"),
            },
        },
    }
}

fn provider(text: &str) -> Parsed<String> {
    match text {
        "telnyx" | "twilio" => Ok(text.to_owned()),
        _ => Err("expected telnyx or twilio".to_owned()),
    }
}

fn handler(text: &str) -> Parsed<GatewayHandler> {
    match text {
        "echo" => Ok(GatewayHandler::Echo),
        "relay" => Ok(GatewayHandler::Relay),
        _ => Err("expected echo or relay".to_owned()),
    }
}

fn endian(text: &str) -> Parsed<L16Endian> {
    match text {
        "little" => Ok(L16Endian::Little),
        "big" => Ok(L16Endian::Big),
        "auto" => Ok(L16Endian::Auto),
        _ => Err("expected little, big or auto".to_owned()),
    }
}

fn telnyx_codec(text: &str) -> Parsed<TelnyxCodec> {
    match text {
        "L16" => Ok(TelnyxCodec::L16),
        "PCMU" => Ok(TelnyxCodec::Pcmu),
        "PCMA" => Ok(TelnyxCodec::Pcma),
        _ => Err("expected L16, PCMU or PCMA".to_owned()),
    }
}

fn public_key(text: &str) -> Parsed<[u8; 32]> {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "expected the public key of Telnyx's portal, base64 of 32 bytes".to_owned())
}

/// What [`gateway_file`] takes from the environment.
const ACCOUNTS: &[&str] =
    &["TELNYX_API_KEY", "TELNYX_PUBLIC_KEY", "TELNYX_APP_ID", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"];

impl GatewaySettings {
    /// The documented defaults.
    pub fn documented(config: PathBuf) -> Self {
        let none = Sources {
            command_line: BTreeMap::new(),
            environment: &|_| None,
            file: BTreeMap::new(),
            yaml: BTreeMap::new(),
        };
        Self { config, ..read(&mut Reader::new(&none), Path::new(""), Level::INFO) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accounts and port that come of a file (none: there is no such file) and an environment.
    fn accounts(yaml: Option<&str>, env: &[(&str, &str)]) -> String {
        let value = |name: &str| env.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
        let file = std::env::temp_dir().join(format!("sip-relay-accounts-{}", std::process::id()));
        match yaml {
            Some(yaml) => std::fs::write(&file, yaml).expect("it can be written"),
            None => drop(std::fs::remove_file(&file)),
        }
        let config = gateway_file(&file, &value).expect("it can be used");
        let _ = std::fs::remove_file(&file);
        let (telnyx, twilio) = (&config.provider_config.telnyx, &config.provider_config.twilio);
        let shown = [
            telnyx.api_key.as_ref().map(|key| key.expose()),
            telnyx.app_id.as_deref(),
            twilio.account_sid.as_deref(),
            twilio.auth_token.as_ref().map(|token| token.expose()),
        ];
        format!("{} {}", shown.map(|value| value.unwrap_or("-")).join(" "), config.server_port)
    }

    #[test]
    fn accounts_come_from_the_environment_where_the_file_has_none() {
        let env = [
            ("TELNYX_API_KEY", "K"),
            ("TWILIO_ACCOUNT_SID", "AC"),
            ("TWILIO_AUTH_TOKEN", "T"),
            ("SIP_SERVER_PORT", "1"),
        ];
        assert_eq!(accounts(None, &env), "K - AC T 8000");
        assert_eq!(accounts(None, &[]), "- - - - 8000");
        assert_eq!(accounts(Some("server_port: 9\n"), &env), "K - AC T 9", "only accounts come from there");
        let file = "provider_config: {telnyx: {api_key: \"${X}\", app_id: 007}}\n";
        assert_eq!(accounts(Some(file), &[("X", "Y")]), "Y 007 - - 8000");
        assert_eq!(accounts(Some(file), &[]), "${X} 007 - - 8000");
        let file = "provider_config: {twilio: {account_sid: file}}\n";
        assert_eq!(accounts(Some(file), &[]), "- - file - 8000");
        assert_eq!(accounts(Some(file), &env), "K - AC T 8000", "the environment wins over the file");
    }
}
