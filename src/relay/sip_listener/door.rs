//! Whom a listener deals with: where outbound calls go and who they come from, and who may speak SIP with us.
//!
//! In: the configuration. Out: what the core is to place; whether a datagram is read at all. Owns no socket.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use actix::Recipient;
use model::id::CallId;
use sip::Dial;
use tracing::warn;

use super::super::message::{DialRequest, RegistrationNews, TransferTarget};
use crate::config::PeerNet;

/// Whom a listener deals with.
pub struct Door {
    /// Where calls go out.
    pub trunk: Option<Trunk>,
    /// Who may come in.
    pub peers: Peers,
    /// Who hears how the registration goes.
    pub registration: Option<Recipient<RegistrationNews>>,
}

/// Where outbound calls go and who they come from.
#[derive(Debug, Clone)]
pub struct Trunk {
    /// Where INVITEs are sent.
    pub destination: SocketAddr,
    /// The host of request URIs and of our address of record: `SIP_SERVER_IP` as it was given.
    pub host: String,
    /// Answers to 401 and 407, and the user part of From.
    pub credentials: Option<sip::Credentials>,
    /// Whether to register there.
    pub register: bool,
    /// How long each registration is asked for.
    pub expires: Duration,
    /// No final answer for this long: CANCEL, 408.
    pub invite_timeout: Duration,
}

impl Trunk {
    /// Who we are there; `None` without a user.
    pub fn address_of_record(&self) -> Option<String> {
        self.credentials.as_ref().map(|credentials| format!("sip:{}@{}", credentials.username, self.host))
    }

    /// A number there.
    fn number(&self, phone: &str) -> String {
        format!("sip:{phone}@{}", self.authority())
    }

    /// The URI of the far end itself.
    pub fn domain(&self) -> String {
        format!("sip:{}", self.authority())
    }

    /// A URI without a port means 5060 (RFC 3261 §19.1.2): on another one the far end would not find itself in it.
    fn authority(&self) -> String {
        match self.destination.port() {
            DEFAULT_PORT => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }
}

/// Who may speak SIP with us.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Empty: anybody.
    allowed: Vec<PeerNet>,
    trunk: Option<IpAddr>,
    strangers: u64,
}

impl Peers {
    /// These networks, and the trunk; no networks: anybody.
    pub fn new(allowed: Vec<PeerNet>, trunk: Option<IpAddr>) -> Self {
        Self { allowed, trunk, strangers: 0 }
    }

    /// Whether a datagram from there is read at all. Those that are not are counted, and logged ever more seldom.
    pub(super) fn admit(&mut self, source: SocketAddr) -> bool {
        let ip = source.ip();
        let fine = self.allowed.is_empty()
            || self.trunk == Some(ip)
            || self.allowed.iter().any(|net| net.contains(ip));
        if !fine {
            self.strangers += 1;
            if self.strangers.is_power_of_two() {
                warn!(peer = %source, dropped = self.strangers, "SIP from outside SIP_ALLOWED_PEERS dropped");
            }
        }
        fine
    }
}

/// What the core is to place; `None` without a place to send it to.
pub fn dial_of(trunk: Option<&Trunk>, id: &CallId, request: &DialRequest) -> Option<Dial> {
    let options = request.options.as_deref().cloned().unwrap_or_default();
    let at_trunk = trunk.map(|trunk| trunk.number(&request.phone));
    let destination = options.destination.or(trunk.map(|trunk| trunk.destination))?;
    let mut dial = Dial::new(options.target.or(at_trunk)?, destination, request.offer.clone());
    dial.call_id = Some(id.to_sip_call_id());
    dial.from = options.from.or_else(|| trunk?.address_of_record());
    dial.credentials = options.credentials.or_else(|| trunk?.credentials.clone());
    dial.headers = options.headers;
    dial.ring_timeout = options.ring_timeout.or(trunk.map(|trunk| trunk.invite_timeout));
    Some(dial)
}

/// Whom a far end is asked to call; `None` without a trunk to call a number at.
pub fn uri_of(trunk: Option<&Trunk>, target: TransferTarget) -> Option<String> {
    match target {
        TransferTarget::Phone(phone) => trunk.map(|trunk| trunk.number(&phone)),
        TransferTarget::Uri(uri) => Some(uri),
    }
}

/// The port of a SIP URI that names none.
const DEFAULT_PORT: u16 = 5060;
