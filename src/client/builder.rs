//! What a client can be told before it connects, and what it does when it is told nothing.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use model::audio::{Codec, SampleRate};
use sip::Credentials;

use super::{SimpleSipClient, SipClientError, audio::PcmRate, destination, line::Line};
use crate::{
    engine::{Admission, EngineSettings, Trunk, call_settings, session_config},
    relay::{message::RtpForm, rtp_ports::RtpPorts, switchboard::MediaAddress},
};

/// Sets a [`SimpleSipClient`] up. Every setting has a default; nothing is checked before
/// [`connect`](SimpleSipClient::connect).
///
/// ```
/// use std::time::Duration;
///
/// use sip_relay::client::{Codec, PcmRate, SimpleSipClient};
///
/// let client = SimpleSipClient::builder("1001", "secret", "pbx.example.com")
///     .codecs([Codec::Pcma])
///     .pcm_rate(PcmRate::Native)
///     .auto_answer(None)
///     .ring_timeout(Duration::from_secs(20))
///     .build();
/// assert!(!client.is_connected());
/// ```
#[derive(Clone)]
pub struct ClientBuilder {
    settings: Settings,
}

/// The values of a builder.
#[derive(Clone)]
pub(super) struct Settings {
    pub username: String,
    pub password: String,
    pub server: String,
    pub port: u16,
    pub local_ip: Option<IpAddr>,
    pub local_port: u16,
    pub rtp_ports: RangeInclusive<u16>,
    pub codecs: Vec<Codec>,
    pub pcm_rate: PcmRate,
    pub auto_answer: Option<Duration>,
    pub register: bool,
    pub expires: Duration,
    pub connect_timeout: Duration,
    pub ring_timeout: Duration,
    pub user_agent: String,
}

impl ClientBuilder {
    pub(super) fn new(username: &str, password: &str, server: &str) -> Self {
        let (server, port) = host_and_port(server);
        let settings = Settings {
            username: username.to_owned(),
            password: password.to_owned(),
            server: server.to_owned(),
            port,
            local_ip: None,
            local_port: 0,
            rtp_ports: 10_000..=20_000,
            codecs: vec![Codec::G722, Codec::Pcmu, Codec::Pcma],
            pcm_rate: PcmRate::default(),
            auto_answer: Some(Duration::from_secs(1)),
            register: true,
            expires: Duration::from_secs(3600),
            connect_timeout: Duration::from_secs(5),
            ring_timeout: Duration::from_secs(60),
            user_agent: "BetterSIPClient/1.0".to_owned(),
        };
        Self { settings }
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut self.settings);
        self
    }

    /// The UDP port of the server. Default: the one that stands behind its name or address, `pbx.example.com:5080`, else
    /// 5060.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.with(|settings| settings.port = port)
    }

    /// The address of this machine that SIP and RTP use, and that the far end is told. Default: the one with which this
    /// machine reaches the server. An unspecified address (`0.0.0.0`) takes packets on all and tells the default.
    #[must_use]
    pub fn local_ip(self, ip: IpAddr) -> Self {
        self.with(|settings| settings.local_ip = Some(ip))
    }

    /// The UDP port of this machine for SIP. Default: 0, one that the operating system chooses.
    #[must_use]
    pub fn local_port(self, port: u16) -> Self {
        self.with(|settings| settings.local_port = port)
    }

    /// The UDP ports of this machine for audio, two a call: RTP on an even one, RTCP above it. The first pair is a random
    /// one, so that many clients seldom meet. Default: `10000..=20000`.
    #[must_use]
    pub fn rtp_ports(self, ports: RangeInclusive<u16>) -> Self {
        self.with(|settings| settings.rtp_ports = ports)
    }

    /// What is offered, best first; calls that come are answered with the caller's first one among these. Default: G.722,
    /// PCMU, PCMA.
    #[must_use]
    pub fn codecs(self, codecs: impl IntoIterator<Item = Codec>) -> Self {
        self.with(|settings| settings.codecs = codecs.into_iter().collect())
    }

    /// The rate of PCM in `send_audio` and in audio callbacks: 8000, 16000, 24000 or 48000 Hz, or [`PcmRate::Native`]. The
    /// client resamples where the codec has another. Default: 8000.
    #[must_use]
    pub fn pcm_rate(self, rate: impl Into<PcmRate>) -> Self {
        self.with(|settings| settings.pcm_rate = rate.into())
    }

    /// After how long a call that comes is answered; `None`: by [`answer_call`](SimpleSipClient::answer_call) only.
    /// Default: 1 s.
    #[must_use]
    pub fn auto_answer(self, after: impl Into<Option<Duration>>) -> Self {
        self.with(|settings| settings.auto_answer = after.into())
    }

    /// Whether to register with the server, so that it sends calls here. Without, `connect` only opens the socket, and the
    /// user name may be empty. Default: true.
    #[must_use]
    pub fn register(self, register: bool) -> Self {
        self.with(|settings| settings.register = register)
    }

    /// How long each registration is asked for, whole seconds, 1 s to 24 h; it is renewed at 90 % of what the server
    /// grants. Default: one hour.
    #[must_use]
    pub fn expires(self, expires: Duration) -> Self {
        self.with(|settings| settings.expires = expires)
    }

    /// How long `connect` waits for the server, its name's resolution included. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.connect_timeout = timeout)
    }

    /// How long a call may ring: one that was placed is cancelled then (408), one that came is refused (480). Default: 60 s.
    #[must_use]
    pub fn ring_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.ring_timeout = timeout)
    }

    /// What the client calls itself in User-Agent and Server. Default: `BetterSIPClient/1.0`.
    #[must_use]
    pub fn user_agent(self, name: &str) -> Self {
        self.with(|settings| settings.user_agent = name.to_owned())
    }

    /// The client, not connected yet.
    #[must_use]
    pub fn build(self) -> SimpleSipClient {
        SimpleSipClient::from_settings(self.settings)
    }
}

impl Settings {
    /// The rate of PCM; `None`: that of the codec. What is wrong with it, [`check`](Self::check) says.
    pub fn rate(&self) -> Option<SampleRate> {
        self.pcm_rate.checked().unwrap_or_default()
    }

    /// The first setting that cannot be used.
    pub fn check(&self) -> Result<(), SipClientError> {
        let invalid = |setting, problem: &str| {
            Err(SipClientError::InvalidSetting { setting, problem: problem.to_owned() })
        };
        self.pcm_rate.checked()?;
        if self.username.is_empty() && self.register {
            return invalid("username", "it is needed to register: give one, or register(false)");
        }
        if !self.username.is_empty() && !destination::is_user(&self.username) {
            return invalid(
                "username",
                "it has characters that cannot stand in sip:user@host: give user or extension alone",
            );
        }
        if self.port == 0 {
            return invalid("port", "there is no port 0: give the server's, mostly 5060");
        }
        if self.codecs.is_empty() {
            return invalid("codecs", "there is none: give one at least");
        }
        if !(1..=86_400).contains(&self.expires.as_secs()) {
            return invalid("expires", "it is not between 1 s and 24 h");
        }
        if self.user_agent.chars().any(char::is_control) {
            return invalid("user_agent", "it has control characters");
        }
        Ok(())
    }

    /// The telephone that this client is made of. `ip`: of this machine, toward the server.
    pub fn engine(
        &self,
        line: &Arc<Line>,
        server: SocketAddr,
        ip: IpAddr,
    ) -> Result<EngineSettings, SipClientError> {
        let bind = self.local_ip.unwrap_or(ip);
        let any = bind.is_unspecified();
        let advertised = if any { ip } else { bind };
        let media_address = if any { MediaAddress::Route(ip) } else { MediaAddress::Fixed(bind) };
        let ports =
            RtpPorts::new(bind, *self.rtp_ports.start(), *self.rtp_ports.end(), 2).map_err(|error| {
                SipClientError::InvalidSetting { setting: "rtp_ports", problem: error.to_string() }
            })?;
        let mut call = call_settings(self.codecs.clone(), self.auto_answer);
        call.ring_timeout = self.ring_timeout;
        let line = line.clone();
        let admission: Admission = Arc::new(move |_| {
            // The telephone makes the call next, and nothing can come in between.
            if line.begin_inbound() { Ok(()) } else { Err((486, "busy")) }
        });
        Ok(EngineSettings {
            sip: SocketAddr::new(bind, self.local_port),
            advertised,
            by_route: false,
            media_address,
            user_agent: self.user_agent.clone(),
            contact_user: Some(self.username.clone()).filter(|user| !user.is_empty()),
            trunk: Some(self.trunk(server)),
            auth: None,
            timers: Default::default(),
            ports: ports.starting_anywhere(),
            call,
            media: session_config(true),
            hearing: Default::default(),
            max_calls: None,
            admission: Some(admission),
            form: RtpForm::Samples(None),
        })
    }

    fn trunk(&self, server: SocketAddr) -> Trunk {
        let (username, password) = (self.username.clone(), self.password.clone());
        let host = match self.server.parse() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => self.server.clone(),
        };
        Trunk {
            destination: server,
            host,
            credentials: (!username.is_empty()).then_some(Credentials { username, password }),
            register: self.register,
            expires: self.expires,
            invite_timeout: self.ring_timeout,
        }
    }
}

/// A host, or a host and a port; an IPv6 address has brackets then.
fn host_and_port(server: &str) -> (&str, u16) {
    let parts = server.rsplit_once(':').filter(|(host, _)| host.ends_with(']') || !host.contains(':'));
    let split = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = split.unwrap_or((server, DEFAULT_PORT));
    (host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port)
}

const DEFAULT_PORT: u16 = 5060;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_may_name_its_port() {
        for (given, host, port) in [
            ("pbx.example.com", "pbx.example.com", 5060),
            ("pbx.example.com:5080", "pbx.example.com", 5080),
            ("10.0.0.9:5062", "10.0.0.9", 5062),
            ("::1", "::1", 5060),
            ("[::1]", "::1", 5060),
            ("[::1]:5062", "::1", 5062),
            ("pbx:sip", "pbx:sip", 5060),
        ] {
            assert_eq!(host_and_port(given), (host, port), "{given}");
        }
    }

    fn settings() -> ClientBuilder {
        ClientBuilder::new("1001", "secret", "127.0.0.1")
    }

    #[test]
    fn defaults_are_those_that_are_documented() {
        let Settings {
            port,
            local_port,
            rtp_ports,
            codecs,
            auto_answer,
            register,
            expires,
            connect_timeout,
            ..
        } = settings().settings;
        assert_eq!((port, local_port, rtp_ports), (5060, 0, 10_000..=20_000));
        assert_eq!(codecs, [Codec::G722, Codec::Pcmu, Codec::Pcma]);
        assert_eq!((auto_answer, register), (Some(Duration::from_secs(1)), true));
        assert_eq!((expires, connect_timeout), (Duration::from_secs(3600), Duration::from_secs(5)));
        assert_eq!(settings().settings.ring_timeout, Duration::from_secs(60));
        assert_eq!(settings().settings.rate(), Some(SampleRate::Hz8000));
    }

    #[test]
    fn first_setting_that_cannot_be_used_is_named() {
        let wrong = [
            ("pcm_rate", settings().pcm_rate(11_025)),
            ("username", ClientBuilder::new("", "", "127.0.0.1")),
            ("username", ClientBuilder::new("1001@pbx", "", "127.0.0.1")),
            ("username", ClientBuilder::new("1001\r\nX: y", "", "127.0.0.1")),
            ("port", settings().port(0)),
            ("codecs", settings().codecs([])),
            ("expires", settings().expires(Duration::ZERO)),
            ("user_agent", settings().user_agent("a\r\nb")),
        ];
        for (name, builder) in wrong {
            let error = builder.settings.check().expect_err(name);
            assert!(
                matches!(&error, SipClientError::InvalidSetting { setting, .. } if *setting == name),
                "{error}"
            );
        }
        assert_eq!(settings().settings.check(), Ok(()));
        assert_eq!(ClientBuilder::new("", "", "127.0.0.1").register(false).settings.check(), Ok(()));
    }
}
