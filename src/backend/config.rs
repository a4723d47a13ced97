//! How a backend is set up, and what the telephone makes of it.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

use audio::speech::BargeInMode;
use model::audio::Codec;
use sip::{AuthServer, Timers};

use super::BackendError;
use crate::{
    config::route_source,
    engine::{self, Admission, Attention, EngineSettings, Hearing, MediaAddress},
    relay::{message::RtpForm, rtp_ports::RtpPorts},
};

/// How a [`SipVoiceBackend`](super::SipVoiceBackend) is set up. Every field has a default.
///
/// ```
/// use sip_relay::backend::SipBackendConfig;
///
/// let config = SipBackendConfig {
///     local_rtp_ip: "10.0.0.5".into(),
///     supported_codecs: vec![9, 0, 8],
///     ..SipBackendConfig::default()
/// };
/// assert_eq!(config.local_sip_addr, ("0.0.0.0".to_owned(), 5060));
/// ```
#[derive(Clone)]
pub struct SipBackendConfig {
    /// Host and UDP port of the SIP listener; port 0 lets the operating system choose. Default `("0.0.0.0", 5060)`.
    pub local_sip_addr: (String, u16),
    /// The address that media is bound to, and that SDP names; with `0.0.0.0`, SDP names the address that this machine
    /// has towards the caller. Default `0.0.0.0`.
    pub local_rtp_ip: String,
    /// First RTP port, even. Default 10000.
    pub rtp_port_start: u16,
    /// Last port of the range. Each call uses two, RTP on the even one; they are taken in turn. Default 20000.
    pub rtp_port_end: u16,
    /// Payload types to accept: 0 (PCMU), 8 (PCMA), 9 (G.722). Offers are answered in the caller's order, calls that are
    /// placed offer them in this order. Default 0 and 8.
    pub supported_codecs: Vec<u8>,
    /// Payload type of telephone events in our offers. Keys that come under it are heard even if the caller offered
    /// another. Default 101.
    pub dtmf_payload_type: u8,
    /// The address that peers are told in Via, Contact and SDP, where that is not one of this machine (NAT).
    /// Default: none.
    pub advertised_ip: Option<IpAddr>,
    /// User-Agent and Server. Default `sip-relay/` and the version.
    pub user_agent: Option<String>,
    /// Calls at once; more are answered 503. Default 0: as many as there are ports.
    pub max_sessions: usize,
    /// User names and passwords of those who may call (digest). Default: empty, everybody.
    pub auth_users: HashMap<String, String>,
    /// The realm of the digest. Default `roomkit`.
    pub auth_realm: String,
    /// Send media to where the caller's comes from, rather than to the address in its SDP. Default true.
    pub symmetric_rtp: bool,
    /// A call whose media stops for this long is hung up; zero: never. Default 30 s.
    pub rtp_inactivity_timeout: Duration,
    /// A call whose media does not begin for this long is hung up; zero: never. Default 60 s.
    pub rtp_establishment_timeout: Duration,
    /// Send encoded silence while nothing is played. Default false.
    pub silence_fill: bool,
    /// When a caller talks over playback.
    pub barge_in: BargeInConfig,
    /// T1 of RFC 3261 §17.1.1.1: the first interval of retransmission; 64 times it is the longest wait for an ACK.
    /// Default 500 ms.
    pub sip_t1: Duration,
}

/// When a caller is found to talk over playback.
///
/// ```
/// use sip_relay::backend::BargeInConfig;
///
/// let told_only = BargeInConfig { auto_cancel: false, ..BargeInConfig::default() };
/// assert_eq!((told_only.rms, told_only.min_speech.as_millis()), (500, 300));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BargeInConfig {
    /// Loudness above which it is speech: root mean square of 16-bit samples. Default 500.
    pub rms: u16,
    /// How long it must last. Default 300 ms.
    pub min_speech: Duration,
    /// Stop playback then. Default true.
    pub auto_cancel: bool,
}

impl BargeInConfig {
    /// What callers are listened to for. Playback is stopped by its session, which knows what else it was to play.
    fn hearing(self) -> Hearing {
        let mode = BargeInMode::Rms(self.rms);
        let barge_in = audio::speech::BargeInConfig { mode, min_speech: self.min_speech, ignore_tones: true };
        Hearing { attention: Attention::Always, barge_in, auto_clear: false, ..Hearing::default() }
    }
}

impl Default for BargeInConfig {
    fn default() -> Self {
        Self { rms: 500, min_speech: Duration::from_millis(300), auto_cancel: true }
    }
}

impl Default for SipBackendConfig {
    fn default() -> Self {
        Self {
            local_sip_addr: ("0.0.0.0".to_owned(), 5060),
            local_rtp_ip: "0.0.0.0".to_owned(),
            rtp_port_start: 10_000,
            rtp_port_end: 20_000,
            supported_codecs: vec![0, 8],
            dtmf_payload_type: 101,
            advertised_ip: None,
            user_agent: None,
            max_sessions: 0,
            auth_users: HashMap::new(),
            auth_realm: "roomkit".to_owned(),
            symmetric_rtp: true,
            rtp_inactivity_timeout: Duration::from_secs(30),
            rtp_establishment_timeout: Duration::from_secs(60),
            silence_fill: false,
            barge_in: BargeInConfig::default(),
            sip_t1: Duration::from_millis(500),
        }
    }
}

impl fmt::Debug for SipBackendConfig {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipBackendConfig")
            .field("local_sip_addr", &self.local_sip_addr)
            .field("local_rtp_ip", &self.local_rtp_ip)
            .field("rtp_ports", &(self.rtp_port_start..=self.rtp_port_end))
            .field("supported_codecs", &self.supported_codecs)
            .field("max_sessions", &self.max_sessions)
            .field("auth_users", &self.auth_users.len())
            .finish_non_exhaustive()
    }
}

impl SipBackendConfig {
    /// What the telephone is made of; `admission` decides about calls that could be taken.
    pub(super) fn telephone(&self, admission: Admission) -> Result<EngineSettings, BackendError> {
        let sip = self.sip_address()?;
        let codecs = self.codecs()?;
        let rtp_ip: IpAddr = self
            .local_rtp_ip
            .parse()
            .map_err(|_| wrong("local_rtp_ip", format!("{:?} is no IP address", self.local_rtp_ip)))?;
        let ports = RtpPorts::new(rtp_ip, self.rtp_port_start, self.rtp_port_end, PORTS_PER_CALL)
            .map_err(|error| wrong("rtp_port_start", error.to_string()))?;
        let advertised = self.advertised_ip.unwrap_or_else(|| named(sip.ip()));
        let media_address = match self.advertised_ip {
            Some(ip) => MediaAddress::Fixed(ip),
            None if rtp_ip.is_unspecified() => MediaAddress::Route(advertised),
            None => MediaAddress::Fixed(rtp_ip),
        };
        let mut media = engine::session_config(self.silence_fill);
        media.symmetric = self.symmetric_rtp;
        media.also_telephone_event = Some(self.dtmf_payload_type);
        media.inactivity_timeout = self.rtp_inactivity_timeout;
        media.establishment_timeout = self.rtp_establishment_timeout;
        let mut call = engine::call_settings(codecs, Some(Duration::ZERO));
        call.telephone_event = self.dtmf_payload_type;
        call.delayed_offer = false;
        let users = self.auth_users.iter();
        let auth =
            users.fold(AuthServer::new(&self.auth_realm), |auth, (name, password)| auth.user(name, password));
        Ok(EngineSettings {
            sip,
            advertised,
            by_route: self.advertised_ip.is_none() && sip.ip().is_unspecified(),
            media_address,
            user_agent: self.user_agent.clone().unwrap_or_else(|| USER_AGENT.to_owned()),
            contact_user: None,
            trunk: None,
            timers: Timers { t1: self.sip_t1, ..Timers::default() },
            auth: (!self.auth_users.is_empty()).then_some(auth),
            ports,
            call,
            media,
            hearing: self.barge_in.hearing(),
            max_calls: (self.max_sessions > 0).then_some(self.max_sessions),
            admission: Some(admission),
            form: RtpForm::Samples(None),
        })
    }

    fn sip_address(&self) -> Result<SocketAddr, BackendError> {
        let (host, port) = &self.local_sip_addr;
        let found = (host.as_str(), *port).to_socket_addrs();
        found.ok().and_then(|mut found| found.next()).ok_or_else(|| {
            wrong("local_sip_addr", format!("{host:?} is neither an IP address nor a known name"))
        })
    }

    fn codecs(&self) -> Result<Vec<Codec>, BackendError> {
        let dtmf = self.dtmf_payload_type;
        if dtmf > 127 || self.supported_codecs.contains(&dtmf) {
            return Err(wrong("dtmf_payload_type", format!("{dtmf} is not free, expected 96 to 127")));
        }
        if self.supported_codecs.is_empty() {
            return Err(wrong("supported_codecs", "there are none".to_owned()));
        }
        let codec = |payload_type: &u8| {
            Codec::from_payload_type(*payload_type).ok_or_else(|| {
                wrong("supported_codecs", format!("unknown payload type {payload_type}, expected 0, 8 or 9"))
            })
        };
        self.supported_codecs.iter().map(codec).collect()
    }
}

fn wrong(field: &'static str, problem: String) -> BackendError {
    BackendError::Config { field, problem }
}

/// An address that peers can be told, of one that may be "any".
fn named(bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    let (far, loopback): (IpAddr, IpAddr) = match bound {
        IpAddr::V4(_) => (FAR_V4.into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => (FAR_V6.into(), Ipv6Addr::LOCALHOST.into()),
    };
    route_source((far, 5060).into()).unwrap_or(loopback)
}

const PORTS_PER_CALL: u16 = 2;
const USER_AGENT: &str = concat!("sip-relay/", env!("CARGO_PKG_VERSION"));
/// Addresses of documentation (RFC 5737, RFC 3849): nothing is sent there, only the route is asked for.
const FAR_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn telephone(config: &SipBackendConfig) -> Result<EngineSettings, BackendError> {
        config.telephone(Arc::new(|_| Ok(())))
    }

    #[test]
    fn addresses_that_peers_are_told_are_never_unspecified() {
        let settings = telephone(&SipBackendConfig::default()).expect("the defaults are fine");
        assert!(settings.sip.ip().is_unspecified());
        assert!(!settings.advertised.is_unspecified());
        assert_eq!(settings.media_address, MediaAddress::Route(settings.advertised));

        let public: IpAddr = "203.0.113.7".parse().expect("an address");
        let config = SipBackendConfig { advertised_ip: Some(public), ..Default::default() };
        let behind_nat = telephone(&config).expect("it is fine");
        assert_eq!((behind_nat.advertised, behind_nat.media_address), (public, MediaAddress::Fixed(public)));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let default = SipBackendConfig::default;
        let wrong = [
            (SipBackendConfig { supported_codecs: vec![0, 18], ..default() }, "supported_codecs"),
            (SipBackendConfig { supported_codecs: vec![], ..default() }, "supported_codecs"),
            (SipBackendConfig { dtmf_payload_type: 8, ..default() }, "dtmf_payload_type"),
            (SipBackendConfig { dtmf_payload_type: 128, ..default() }, "dtmf_payload_type"),
            (SipBackendConfig { local_rtp_ip: "here".into(), ..default() }, "local_rtp_ip"),
            (SipBackendConfig { rtp_port_end: 10_000, ..default() }, "rtp_port_start"),
            (SipBackendConfig { local_sip_addr: ("no such host".into(), 1), ..default() }, "local_sip_addr"),
        ];
        for (config, expected) in wrong {
            match telephone(&config).map(|_| ()) {
                Err(BackendError::Config { field, .. }) => assert_eq!(field, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
