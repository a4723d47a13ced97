//! Reads every setting from its sources into a `Config`, collecting problems on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use super::{
    Config, ConfigErrors, FilesConfig, LoadError, Loaded, LogConfig, Problem, RelayConfig, RtpConfig, Secret,
    SipConfig, SipServer, TlsFiles, WsConfig,
    cli::Cli,
    gateway, net,
    parse::{self, Parsed},
    settings,
    source::{self, Sources},
};

impl Config {
    /// Loads the configuration.
    ///
    /// `args`: the command line, the program's name first. `env`: one variable of the process environment. `cwd`: the
    /// folder that holds `.env` and that relative paths start from. Reports every problem at once.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: impl Fn(&str) -> Option<String>,
        cwd: &Path,
    ) -> Result<Loaded, LoadError> {
        let cli = Cli::parse_from_args(args)?;
        let mut problems = Vec::new();
        let command_line = cli.values(&mut problems);
        let env_file = cwd.join(cli.env_file.as_deref().unwrap_or(Path::new(".env")));
        let file = source::read_env_file(&env_file, cli.env_file.is_some(), &mut problems);
        let mut warnings = source::unknown_names(&file);

        let mut sources = Sources { command_line, environment: &env, file, yaml: BTreeMap::new() };
        warnings.extend(gateway::add_file_if_enabled(&mut sources, cwd, &mut problems));
        let mut reader = Reader { problems, ..Reader::new(&sources) };
        let config = read_config(&mut reader, cwd);
        warnings.append(&mut reader.warnings);
        let mut problems = reader.problems;

        if config.strict {
            problems.extend(warnings.drain(..).map(Problem::general));
            if config.openai_api_key.is_none() {
                problems.push(Problem::general("OPENAI_API_KEY is required".to_owned()));
            }
        } else if config.openai_api_key.is_none() {
            warnings.push("OPENAI_API_KEY is required for AI features".to_owned());
        }
        if problems.is_empty() {
            Ok(Loaded { config, warnings })
        } else {
            Err(ConfigErrors { problems }.into())
        }
    }
}

fn read_config(reader: &mut Reader<'_>, cwd: &Path) -> Config {
    let openai_api_key = reader.secret("OPENAI_API_KEY");
    let strict = reader.read("STRICT_CONFIG", parse::flag);
    let (sip, ws, rtp) = (read_sip(reader), read_ws(reader, cwd), read_rtp(reader));
    let (relay, files) = (read_relay(reader), read_files(reader, cwd));
    let log = LogConfig {
        level: reader.read("LOG_LEVEL", parse::level),
        file: reader.path("SIP_LOG_FILE", cwd),
        mask: reader.read("LOG_MASK", parse::flag),
    };
    let gateway = gateway::read(reader, cwd, log.level);
    let agent_stream = super::agent_stream::read(reader, cwd);
    let call_center = super::call_center::read(reader, cwd);
    Config { sip, rtp, ws, relay, files, log, gateway, agent_stream, call_center, openai_api_key, strict }
}

fn read_sip(reader: &mut Reader<'_>) -> SipConfig {
    let local_ip = reader.read_optional("SIP_LOCAL_IP", net::local_udp_ip);
    let local_port = reader.read("SIP_LOCAL_PORT", parse::port_or_any);
    let server = reader.read_optional("SIP_SERVER_IP", |text| sip_server(text, local_ip));
    let transfer_port = reader.read("SIP_TRANSFER_PORT", parse::port);

    // The address that packets to the PBX come from: for an unset SIP_LOCAL_IP, and to advertise 0.0.0.0 as.
    let route =
        server.as_ref().filter(|_| local_ip.is_none_or(|ip| ip.is_unspecified())).and_then(|server| {
            let route = net::route_source(SocketAddr::new(server.ip, transfer_port));
            route
                .map_err(|error| {
                    let expected =
                        format!("expected an address that can be reached ({error}), or set SIP_LOCAL_IP");
                    reader.problem("SIP_SERVER_IP", expected);
                })
                .ok()
        });
    let ip = local_ip.or(route).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let local = SocketAddr::new(ip, local_port);
    if server.as_ref().is_some_and(|s| SocketAddr::new(s.ip, transfer_port) == local) {
        let expected = format!("expected the address of a PBX; {local} is the relay's own SIP address");
        reader.problem("SIP_SERVER_IP", expected);
    }

    let advertised = reader.read_optional("SIP_ADVERTISED_IP", |text| advertised_ip(text, ip));
    let advertised_ip = advertised.or_else(|| if ip.is_unspecified() { route } else { Some(ip) });
    if advertised_ip.is_none()
        && !reader.has_problem("SIP_SERVER_IP")
        && !reader.has_problem("SIP_ADVERTISED_IP")
    {
        let expected =
            "an address that stands for all cannot be told to a peer; set SIP_ADVERTISED_IP as well";
        reader.problem("SIP_LOCAL_IP", expected.to_owned());
    }

    let username = reader.read_optional("SIP_USERNAME", parse::line);
    let password = reader.secret("SIP_PASSWORD");
    if password.is_some() && username.is_none() && !reader.has_problem("SIP_USERNAME") {
        reader.problem("SIP_PASSWORD", "a password needs its user; set SIP_USERNAME as well".to_owned());
    }
    let register = read_register(reader, username.as_deref());
    let auth_realm = reader.read("SIP_AUTH_REALM", parse::realm);
    let auth_algorithms = reader.read("SIP_AUTH_ALGORITHMS", parse::auth_algorithms);
    let auth_users = reader.read_optional("SIP_AUTH_USERS", parse::auth_users).unwrap_or_default();
    let allowed_peers = reader.read_optional("SIP_ALLOWED_PEERS", parse::peers).unwrap_or_default();
    SipConfig {
        allowed_peers,
        session_expires: reader.read("SIP_SESSION_EXPIRES", parse::session_expires),
        auth_realm,
        auth_algorithms,
        auth_users,
        local,
        advertised_ip: advertised_ip.unwrap_or(ip),
        server,
        transfer_port,
        username,
        password,
        register,
    }
}

/// Registration needs somebody to register with, and a user that can stand in an address of record.
fn read_register(reader: &mut Reader<'_>, username: Option<&str>) -> bool {
    let register = reader.read("SIP_REGISTER", parse::flag);
    if !register {
        return false;
    }
    if !reader.is_set("SIP_SERVER_IP") {
        reader.problem(
            "SIP_REGISTER",
            "there is no PBX to register with; set SIP_SERVER_IP as well".to_owned(),
        );
    }
    match username {
        None if !reader.has_problem("SIP_USERNAME") => {
            let expected = "a registration needs its user; set SIP_USERNAME (and SIP_PASSWORD) as well";
            reader.problem("SIP_REGISTER", expected.to_owned());
        }
        Some(user) if !is_uri_user(user) => {
            let expected = "expected a user that can stand in sip:user@host, as SIP_REGISTER needs it";
            reader.problem("SIP_USERNAME", expected.to_owned());
        }
        _ => {}
    }
    true
}

/// The user part of a SIP URI, escapes included (RFC 3261 §25.1).
fn is_uri_user(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(&b))
}

fn sip_server(text: &str, local: Option<IpAddr>) -> Parsed<SipServer> {
    let ip = net::host(text, local)?;
    if ip.is_unspecified() || ip.is_multicast() {
        return Err("expected the address of one PBX".to_owned());
    }
    if let Some(local) = local.filter(|local| local.is_ipv4() != ip.is_ipv4()) {
        return Err(format!("expected an address of the same family as SIP_LOCAL_IP={local}, {ip} is not"));
    }
    let host = match net::ip(text) {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => text.to_owned(),
    };
    Ok(SipServer { host, ip })
}

fn advertised_ip(text: &str, local: IpAddr) -> Parsed<IpAddr> {
    let ip = net::ip(text)?;
    if ip.is_unspecified() || ip.is_multicast() {
        return Err("expected an address that peers can send to".to_owned());
    }
    if !local.is_unspecified() && ip.is_ipv4() != local.is_ipv4() {
        return Err(format!("expected an address of the same family as SIP_LOCAL_IP, which is {local}"));
    }
    Ok(ip)
}

fn read_ws(reader: &mut Reader<'_>, cwd: &Path) -> WsConfig {
    // Not `read`: whether the default can be bound is up to the machine.
    let host = reader.read_optional("WS_HOST", net::local_tcp_ip).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let port = reader.read("WS_PORT", parse::port_or_any);
    let mode = reader
        .read("WS_MODE", |text| text.parse().map_err(|error: model::mode::ModeError| error.to_string()));
    let token = reader.secret("WS_TOKEN");
    let allow_anonymous = reader.read("WS_ALLOW_ANONYMOUS", parse::flag);
    if !host.to_canonical().is_loopback()
        && token.is_none()
        && !allow_anonymous
        && !reader.has_problem("WS_TOKEN")
        && !reader.has_problem("WS_ALLOW_ANONYMOUS")
    {
        let expected = "whoever reaches this address could place calls; set WS_TOKEN to a secret that clients present, \
                        or WS_ALLOW_ANONYMOUS=1 to allow it";
        reader.problem("WS_HOST", expected.to_owned());
    }
    WsConfig {
        listen: SocketAddr::new(host, port),
        mode,
        token,
        allow_anonymous,
        max_connections: reader.read("WS_MAX_CONNECTIONS", parse::count(1..=1_000_000)),
        max_message_bytes: reader.read("WS_MAX_MESSAGE_BYTES", parse::count(1024..=1 << 30)),
        send_queue_max: reader.read("WS_SEND_QUEUE_MAX", parse::count(1..=1_000_000)),
        recv_queue_max: reader.read("WS_RECV_QUEUE_MAX", parse::count(1..=1_000_000)),
        resume_window: reader.read("WS_RESUME_SECONDS", parse::seconds),
        lost_action: reader.read("WS_LOST_ACTION", parse::lost_action),
        tls: read_tls(reader, cwd),
    }
}

fn read_tls(reader: &mut Reader<'_>, cwd: &Path) -> Option<TlsFiles> {
    let mut file = |name| reader.read_optional(name, parse::line).map(|path| absolute(cwd, &path));
    match (file("TLS_CERT"), file("TLS_KEY")) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
        (Some(_), None) => {
            reader.problem("TLS_CERT", "a certificate needs its key; set TLS_KEY as well".to_owned());
            None
        }
        (None, Some(_)) => {
            reader.problem("TLS_KEY", "a key needs its certificate; set TLS_CERT as well".to_owned());
            None
        }
        (None, None) => None,
    }
}

fn read_rtp(reader: &mut Reader<'_>) -> RtpConfig {
    let port_start = reader.read("RTP_PORT_START", parse::port);
    let port_end = reader.read("RTP_PORT_END", parse::port);
    if !reader.has_problem("RTP_PORT_START") && !reader.has_problem("RTP_PORT_END") {
        let range = rtp::ports::PortAllocator::new(port_start, port_end, RtpConfig::PORT_STRIDE);
        if range.is_err() {
            let expected = format!(
                "expected a range with room for an even port and the one above it, RTP_PORT_START={port_start} to \
                 RTP_PORT_END={port_end} has none"
            );
            let name = if reader.is_set("RTP_PORT_START") { "RTP_PORT_START" } else { "RTP_PORT_END" };
            reader.problem(name, expected);
        }
    }
    RtpConfig {
        port_start,
        port_end,
        send_queue_max: reader.read_optional("RTP_SEND_QUEUE_MAX", parse::count(1..=1_000_000)),
        recv_queue_max: reader.read("RTP_RECV_QUEUE_MAX", parse::count(1..=1_000_000)),
        silence_fill: reader.read("RTP_SILENCE_FILL", parse::flag),
        symmetric: reader.read("RTP_SYMMETRIC", parse::flag),
        inactivity_timeout: reader.read("RTP_INACTIVITY_TIMEOUT", parse::seconds),
        establishment_timeout: reader.read("RTP_ESTABLISHMENT_TIMEOUT", parse::seconds),
        inband_dtmf: reader.read("DTMF_INBAND", parse::inband_dtmf),
        speech_detection: reader.read("SPEECH_DETECTION", parse::flag),
    }
}

fn read_relay(reader: &mut Reader<'_>) -> RelayConfig {
    RelayConfig {
        codecs: reader.read("RELAY_CODECS", parse::codecs),
        answer_mode: reader.read("RELAY_ANSWER_MODE", parse::answer_mode),
        ring_timeout: reader.read("RELAY_RING_TIMEOUT", parse::seconds),
        invite_timeout: reader.read("RELAY_INVITE_TIMEOUT", parse::seconds),
        number_pattern: reader.read("CALL_NUMBER_PATTERN", parse::number_pattern),
        allowed_prefixes: reader.read_optional("CALL_ALLOWED_PREFIXES", parse::prefixes).unwrap_or_default(),
        call_rate: match reader.read("CALL_RATE_LIMIT", parse::count(0..=10_000)) {
            0 => None,
            calls => Some(calls as u32),
        },
        max_calls: match reader.read("MAX_CALLS", parse::count(0..=1_000_000)) {
            0 => None,
            calls => Some(calls),
        },
        max_call_duration: reader.read("MAX_CALL_DURATION", parse::seconds_or_none),
    }
}

fn read_files(reader: &mut Reader<'_>, cwd: &Path) -> FilesConfig {
    let recording_dir = reader.path("RECORDING_DIR", cwd);
    let channels = reader.read("RECORDING_CHANNELS", parse::count(1..=2));
    let days = reader.read("MAX_RECORDING_AGE_DAYS", parse::count(0..=36_500));
    let output_dir = reader.path("OUTPUT_DIR", cwd);
    let greeting = reader.read_optional("GREETING_FILE", parse::line).map(|path| absolute(cwd, &path));
    if let Some(missing) = greeting.as_ref().filter(|path| !path.is_file()) {
        reader.warnings.push(format!(
            "GREETING_FILE={}: there is no such file, calls start without a greeting",
            missing.display()
        ));
    }
    FilesConfig {
        recording_dir,
        greeting: greeting.unwrap_or_else(|| output_dir.join("transcode").join("greeting.wav")),
        output_dir,
        stereo_recordings: channels == 2,
        max_recording_age: (days > 0).then(|| Duration::from_secs(days as u64 * 86_400)),
    }
}

/// `path` from `cwd`, without `.` parts.
pub(super) fn absolute(cwd: &Path, path: &str) -> PathBuf {
    cwd.join(path).components().filter(|part| *part != Component::CurDir).collect()
}

/// Reads one setting after the other and remembers what was wrong.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) asked: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources<'a>) -> Self {
        Self { sources, problems: Vec::new(), warnings: Vec::new(), asked: BTreeSet::new() }
    }

    /// The value of `name`, or its default when it is not set or wrong.
    pub(super) fn read<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Parsed<T>) -> T {
        self.read_optional(name, &parse).unwrap_or_else(|| {
            let default = settings::find(name).map_or("", |setting| setting.default);
            parse(default)
                .unwrap_or_else(|why| panic!("the default of {name} is part of this program: {why}"))
        })
    }

    /// The value of `name`, or `None` when it is not set or wrong.
    pub(super) fn read_optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        self.asked.insert(name);
        let (value, origin) = self.sources.lookup(name)?;
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(expected) => {
                self.problems.push(Problem::value(name, &value, origin, expected));
                None
            }
        }
    }

    pub(super) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        self.read_optional(name, parse::line).map(Secret::new)
    }

    pub(super) fn path(&mut self, name: &'static str, cwd: &Path) -> PathBuf {
        absolute(cwd, &self.read(name, parse::line))
    }

    /// Records a problem with a value that is fine by itself.
    pub(super) fn problem(&mut self, name: &str, expected: String) {
        self.problems.push(match self.sources.lookup(name) {
            Some((value, origin)) => Problem::value(name, &value, origin, expected),
            None => Problem { name: Some(name.to_owned()), ..Problem::general(expected) },
        });
    }

    fn has_problem(&self, name: &str) -> bool {
        self.problems.iter().any(|problem| problem.name.as_deref() == Some(name))
    }

    fn is_set(&self, name: &str) -> bool {
        self.sources.lookup(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_list_is_read_and_no_other() {
        let sources = Sources {
            command_line: BTreeMap::new(),
            environment: &|_| None,
            file: BTreeMap::new(),
            yaml: BTreeMap::new(),
        };
        let mut reader = Reader::new(&sources);
        read_config(&mut reader, Path::new("/"));
        let listed: BTreeSet<_> = settings::SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(reader.asked, listed);
        assert_eq!(reader.problems, []);
    }

    #[test]
    fn relative_paths_start_from_the_given_folder() {
        assert_eq!(absolute(Path::new("/srv"), "./recording"), Path::new("/srv/recording"));
        assert_eq!(absolute(Path::new("/srv"), "/var/a.wav"), Path::new("/var/a.wav"));
    }
}
