//! What the configuration is to each actor: one function per kind of settings.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::ClientConfig;
use sip::{AuthServer, EndpointConfig, Reliable, SessionTimer};

use super::{
    agent_stream::{AgentStreamSettings, BotCalls},
    call::CallSettings,
    rtp_session::{Attention, Hearing, MediaSettings},
    sip_listener::{Door, Peers, Trunk},
    switchboard::{DialRules, MediaAddress, SwitchboardSettings},
};
use crate::{
    config::{AnswerMode, Config},
    gateway::DidRouter,
    metrics::Metrics,
    test_line::TestLine,
};

/// The habits of the SIP core.
pub fn endpoint_config(config: &Config, address: SocketAddr) -> EndpointConfig {
    let mut endpoint = EndpointConfig::new(SocketAddr::new(config.sip.advertised_ip, address.port()));
    endpoint.auth = auth_server(config);
    endpoint.session_timer =
        config.sip.session_expires.map(|expires| SessionTimer { expires, ..SessionTimer::default() });
    endpoint.reliable = Reliable::Supported;
    endpoint
}

/// Whom the listener deals with.
pub fn door(config: &Config, test_line: Option<&TestLine>) -> Door {
    let trunk = trunk(config, test_line);
    let server = trunk.as_ref().map(|trunk| trunk.destination.ip());
    let peers = Peers::new(config.sip.allowed_peers.clone(), server);
    Door { peers, trunk, registration: None }
}

/// Where outbound calls go: to the PBX, or to the test line where there is none.
fn trunk(config: &Config, test_line: Option<&TestLine>) -> Option<Trunk> {
    let invite_timeout = config.relay.invite_timeout;
    if let Some(test_line) = test_line {
        let (destination, host) = (test_line.address(), test_line.host());
        let expires = REGISTRATION;
        return Some(Trunk {
            destination,
            host,
            credentials: None,
            register: false,
            expires,
            invite_timeout,
        });
    }
    config.sip.server_addr().zip(config.sip.server.as_ref()).map(|(destination, server)| Trunk {
        destination,
        host: server.host.clone(),
        credentials: credentials(config),
        register: config.sip.register,
        expires: REGISTRATION,
        invite_timeout,
    })
}

/// Who may send requests from outside of calls, where that is restricted.
fn auth_server(config: &Config) -> Option<AuthServer> {
    let users = &config.sip.auth_users;
    let server = AuthServer::new(&config.sip.auth_realm).algorithms(&config.sip.auth_algorithms);
    (!users.is_empty())
        .then(|| users.iter().fold(server, |server, user| server.user(&user.name, user.password.expose())))
}

fn credentials(config: &Config) -> Option<sip::Credentials> {
    let username = config.sip.username.clone()?;
    let password = config.sip.password.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default();
    Some(sip::Credentials { username, password })
}

/// What every call has in common.
pub fn call_settings(config: &Config) -> CallSettings {
    CallSettings {
        codecs: config.relay.codecs.clone(),
        telephone_event: TELEPHONE_EVENT,
        answer_after: (config.relay.answer_mode == AnswerMode::Auto).then_some(Duration::ZERO),
        ring_timeout: config.relay.ring_timeout,
        max_duration: config.relay.max_call_duration,
        delayed_offer: true,
    }
}

/// What every leg has in common.
pub fn media_settings(config: &Config) -> MediaSettings {
    let mut session = rtp::SessionConfig::new(0, 0, 0, 0);
    session.silence_fill = config.rtp.silence_fill;
    session.symmetric = config.rtp.symmetric;
    session.inactivity_timeout = config.rtp.inactivity_timeout;
    session.establishment_timeout = config.rtp.establishment_timeout;
    if let Some(frames) = config.rtp.send_queue_max {
        session.queue_limit = rtp::FRAME * u32::try_from(frames).unwrap_or(u32::MAX);
    }
    let attention = if config.rtp.speech_detection { Attention::WithMultiClients } else { Attention::Off };
    let hearing = Hearing { attention, inband_dtmf: config.rtp.inband_dtmf, ..Hearing::default() };
    MediaSettings { session, hearing, stereo: config.files.stereo_recordings }
}

/// What bots are told, where calls are connected to any.
pub fn agent_stream_settings(
    config: &Config,
    tls: Option<Arc<ClientConfig>>,
    numbers: Option<DidRouter>,
    metrics: Arc<Metrics>,
) -> Option<AgentStreamSettings> {
    let (stream, twilio) = (&config.agent_stream, &config.gateway.sip.provider_config.twilio);
    (stream.url.is_some() || numbers.is_some()).then(|| AgentStreamSettings {
        url: stream.url.clone(),
        numbers,
        allow_plain: stream.allow_plain,
        tls,
        parameters: stream.parameters.clone(),
        account_sid: twilio.account_sid.clone().unwrap_or_else(|| NO_ACCOUNT.to_owned()),
        auth_token: twilio.auth_token.clone(),
        calls: BotCalls::default(),
        our_number: config.sip.username.clone(),
        metrics,
    })
}

/// Limits, and who may call.
pub fn switchboard_settings(config: &Config, call: Arc<CallSettings>) -> SwitchboardSettings {
    SwitchboardSettings {
        dialling: Some(DialRules {
            pattern: config.relay.number_pattern.clone(),
            prefixes: config.relay.allowed_prefixes.clone(),
            rate: config.relay.call_rate,
        }),
        max_calls: config.relay.max_calls,
        media_address: MediaAddress::Fixed(config.sip.advertised_ip),
        lost_action: config.ws.lost_action.clone(),
        admission: None,
        call,
    }
}

/// An account SID, where none is set.
const NO_ACCOUNT: &str = "AC00000000000000000000000000000000";
/// How long each registration is asked for.
const REGISTRATION: Duration = Duration::from_secs(3600);
/// The payload type that offers use for telephone events.
const TELEPHONE_EVENT: u8 = 101;
