//! What an endpoint is told once: its address, its name, its timers and its limits.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::auth::AuthServer;

/// Settings of an [`Endpoint`](crate::Endpoint).
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The advertised address for Via and Contact.
    pub contact: SocketAddr,
    /// The advertised address toward peers for whom it is another one.
    pub toward: Option<Toward>,
    /// Host of the From URI when a dial names none; `None` gives the advertised `ip:port`.
    pub from_host: Option<String>,
    /// User-Agent of requests and Server of responses.
    pub user_agent: String,
    /// User part of Contact, and of From when a dial names none.
    pub contact_user: Option<String>,
    /// RFC 3261 timer values.
    pub timers: Timers,
    /// Sizes of the tables.
    pub limits: EndpointLimits,
    /// Who may send requests outside of calls; `None` lets everybody.
    pub auth: Option<AuthServer>,
    /// How long after an INVITE the 100 Trying goes out, unless another response came first; zero is at once.
    /// RFC 3261 §17.2.1 asks for at most 200 ms.
    pub auto_trying_after: Duration,
    /// Keeps calls refreshed and notices peers that are gone without a BYE (RFC 4028); `None` does not, and then `timer` is
    /// no extension that we know.
    pub session_timer: Option<SessionTimer>,
    /// Whether provisional responses are confirmed by PRACK (RFC 3262).
    pub reliable: Reliable,
    /// Whether the peer of a call may ask us to call somebody else (REFER, RFC 3515); without it the answer is 603.
    pub allow_refer: bool,
}

impl EndpointConfig {
    /// The default settings at an advertised address.
    pub fn new(contact: SocketAddr) -> Self {
        Self {
            contact,
            toward: None,
            from_host: None,
            user_agent: "SIP-Relay-Server/1.0".into(),
            contact_user: None,
            timers: Timers::default(),
            limits: EndpointLimits::default(),
            auth: None,
            auto_trying_after: Duration::ZERO,
            session_timer: None,
            reliable: Reliable::Off,
            allow_refer: false,
        }
    }
}

/// Reliable provisional responses (RFC 3262).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliable {
    /// `100rel` is no extension that we know.
    #[default]
    Off,
    /// We confirm those of the peer, and send ours reliably when the peer requires it.
    Supported,
    /// Our INVITEs with an offer require them, and we send ours reliably to every peer that supports it. A peer that does
    /// not refuses such an INVITE with 420.
    Required,
}

/// The session timer (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimer {
    /// The interval that we ask for; a call that is not refreshed within it ends. From `min_se` to a day, in whole
    /// seconds; a value outside is taken as the nearest.
    pub expires: Duration,
    /// The shortest interval that we accept; a shorter one is answered 422. From 90 s to a day, likewise.
    pub min_se: Duration,
}

impl Default for SessionTimer {
    fn default() -> Self {
        Self { expires: Duration::from_secs(1800), min_se: Duration::from_secs(90) }
    }
}

/// Tells the IP address that this machine has toward a peer: for a machine in several networks that listens in all of
/// them. `None` leaves it at [`EndpointConfig::contact`]. The owner's part; it is asked for every message, must answer at
/// once, and must answer the same as long as nothing changes.
#[derive(Clone)]
pub struct Toward(Arc<dyn Fn(SocketAddr) -> Option<IpAddr> + Send + Sync>);

impl Toward {
    /// An owner's way to tell.
    pub fn new(address: impl Fn(SocketAddr) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(address))
    }
}

impl fmt::Debug for Toward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Toward(..)")
    }
}

impl EndpointConfig {
    /// What `peer` is told in Via and Contact.
    pub(crate) fn contact_for(&self, peer: SocketAddr) -> SocketAddr {
        let ip = self.toward.as_ref().and_then(|toward| (toward.0)(peer));
        SocketAddr::new(ip.unwrap_or(self.contact.ip()), self.contact.port())
    }
}

/// The base timer values of RFC 3261 §17.1.1.1; every other timer follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate and first retransmission interval.
    pub t1: Duration,
    /// Largest retransmission interval of non-INVITE requests and of responses to INVITE.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
}

impl Timers {
    /// 64·T1: how long a transaction, or a 2xx without ACK, is given.
    pub fn timeout(&self) -> Duration {
        self.t1 * 64
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

/// Sizes of the tables. What does not fit is answered 503 with Retry-After and leaves no state behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Client and server transactions together.
    pub max_transactions: usize,
    /// Calls, from the first INVITE until the last trace of the dialog is gone.
    pub max_dialogs: usize,
    /// Inbound calls that are ringing or whose 2xx is not acknowledged yet.
    pub max_unacked: usize,
    /// Registrations that are kept alive.
    pub max_registrations: usize,
    /// Largest body that is accepted, bytes; a larger one is answered 413.
    pub max_body: usize,
    /// How long an inbound call may ring before the endpoint itself answers 480.
    pub max_ringing: Duration,
    /// Retry-After of the 503 that these limits cause.
    pub retry_after: Duration,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            max_transactions: 50_000,
            max_dialogs: 20_000,
            max_unacked: 20_000,
            max_registrations: 1_000,
            max_body: 32 * 1024,
            max_ringing: Duration::from_secs(600),
            retry_after: Duration::from_secs(5),
        }
    }
}

/// Counters and table sizes of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Live transactions, client and server.
    pub transactions: usize,
    /// Dialogs, early ones included.
    pub dialogs: usize,
    /// Calls, those included whose `Ended` is out and whose signalling is not finished.
    pub calls: usize,
    /// Registrations, those included that are being given up.
    pub registrations: usize,
    /// Armed timers.
    pub timers: usize,
    /// Datagrams that are no SIP message, answered 400 or 505 where that was possible.
    pub malformed: u64,
    /// Well-formed messages that belong to nothing: stray responses and ACKs.
    pub dropped: u64,
    /// Retransmissions received.
    pub retransmissions_in: u64,
    /// Retransmissions sent.
    pub retransmissions_out: u64,
    /// Requests answered 503 because a table was full.
    pub rejected_by_limit: u64,
    /// Requests answered 401: without an answer to our challenge, or with a wrong or a stale one.
    pub unauthorised: u64,
}
