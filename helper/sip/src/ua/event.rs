//! What the endpoint tells its owner: calls that arrive, ring, are answered, change and end.
//! Values only; knows nothing of transactions, sockets or the media inside an SDP body.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

/// Names one call of one [`Endpoint`](crate::Endpoint) for as long as that endpoint lives; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(crate) u64);

impl CallKey {
    /// The number behind the key, for log fields and tables of the owner.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// Names one registration of one [`Endpoint`](crate::Endpoint) for as long as that endpoint lives; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationKey(pub(crate) u64);

/// One effect of the endpoint, in the order in which it must be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A datagram to be sent.
    Transmit {
        /// Where it goes.
        destination: SocketAddr,
        /// The complete message.
        payload: Bytes,
    },
    /// Something the owner has to know.
    Event(Event),
}

/// Something that happened to a call, a registration or at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new call arrived; 100 Trying has been sent or is scheduled.
    Incoming(Box<Incoming>),
    /// The far end of an outbound call sent a provisional response above 100.
    Ringing {
        /// The call.
        call: CallKey,
        /// 101 to 199.
        status: u16,
        /// The SDP body, when the response carried one (RFC 3960).
        early_media: Option<Bytes>,
    },
    /// An outbound call was answered; the ACK has been sent, unless the dial had no offer and the 2xx brings one. Owed
    /// then: `ack_with` the answer, or `hangup`, within a quarter of 64·T1 (8 s).
    Answered {
        /// The call.
        call: CallKey,
        /// The SDP answer, that of a reliable provisional response before that of the 2xx; or the offer when the dial had none.
        /// Absent when the peer sent neither.
        sdp: Option<Bytes>,
    },
    /// The ACK for the 2xx of an inbound call arrived: the call is up.
    Acked {
        /// The call.
        call: CallKey,
        /// The SDP of the ACK, if any: the answer, when the INVITE had no offer and our 2xx carried it. `None` in that
        /// case leaves the session without an answer.
        sdp: Option<Bytes>,
    },
    /// The peer wants to change the session. Owed: `answer_offer` or `reject_offer`.
    Offer {
        /// The call.
        call: CallKey,
        /// The offer; `None` asks us for one (re-INVITE without a body).
        sdp: Option<Bytes>,
        /// The request that carried it.
        method: OfferMethod,
    },
    /// The peer took its unanswered re-INVITE back (CANCEL); nothing is owed any more.
    OfferWithdrawn {
        /// The call.
        call: CallKey,
    },
    /// The ACK for our 2xx to a re-INVITE arrived.
    OfferAcked {
        /// The call.
        call: CallKey,
        /// The SDP of the ACK: the answer, when our 2xx carried the offer.
        sdp: Option<Bytes>,
    },
    /// The peer accepted our `reoffer`; the ACK has been sent.
    Reanswered {
        /// The call.
        call: CallKey,
        /// The SDP answer.
        sdp: Option<Bytes>,
    },
    /// The peer answered a re-INVITE with which we refreshed the session (RFC 4028): our side as it was sent last. Nothing is
    /// owed. A refresh by UPDATE is not reported.
    Refreshed {
        /// The call.
        call: CallKey,
        /// The SDP answer: as a rule what the peer said last.
        sdp: Option<Bytes>,
    },
    /// The peer refused our `reoffer`; the session is as it was before (RFC 3261 §14.1).
    ReofferRefused {
        /// The call.
        call: CallKey,
        /// 300 to 699.
        status: u16,
    },
    /// Our `reoffer` met an offer of the peer (491), and the session has changed since: the body that waited is dropped,
    /// and the time to ask again has come. Owed, if the change is still wanted: `reoffer`.
    ReofferDue {
        /// The call.
        call: CallKey,
    },
    /// The peer accepted our `refer` and will say what comes of it.
    ReferAccepted {
        /// The call.
        call: CallKey,
    },
    /// What the peer says of the call that our `refer` asked for (RFC 3515 §2.4.5).
    ReferProgress {
        /// The call.
        call: CallKey,
        /// The status of that call, 100 to 699; 200 is a transfer that worked. 408 when the peer said nothing in time.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// Nothing more will be heard; another `refer` is possible.
        last: bool,
    },
    /// The peer refused our `refer`, or did not answer it; the call goes on as it was.
    ReferRefused {
        /// The call.
        call: CallKey,
        /// 300 to 699; 408 when nobody answered, 503 when the peer could not be reached.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
    /// The peer asks us to call somebody (RFC 3515). Owed within 16 s: `accept_refer` or `reject_refer`; then 603.
    ReferRequested {
        /// The call.
        call: CallKey,
        /// The URI of Refer-To, as received: not to be trusted.
        target: String,
        /// The URI of Referred-By (RFC 3892), as received.
        referred_by: Option<String>,
    },
    /// A key that the peer sent by INFO.
    InfoDtmf {
        /// The call.
        call: CallKey,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        digit: char,
        /// How long it was pressed, 1 ms to 10 s, where the peer says so.
        duration: Option<Duration>,
    },
    /// The peer refused a key of `send_info_dtmf`, or did not answer it; those that waited behind it are dropped.
    InfoRefused {
        /// The call.
        call: CallKey,
        /// 300 to 699: 405, 415 and 501 tell that the peer takes none. 408 when nobody answered, 503 when the peer could
        /// not be reached.
        status: u16,
    },
    /// The call is over. Exactly one per call, and its last event.
    ///
    /// It is emitted as soon as the outcome is decided; the endpoint finishes the signalling (CANCEL, BYE and their
    /// answers, retransmissions) on its own afterwards.
    Ended {
        /// The call.
        call: CallKey,
        /// Who ended it and how.
        cause: EndCause,
    },
    /// The registrar accepted our contact, for the first time or again; it will be told again in time.
    Registered {
        /// The registration.
        key: RegistrationKey,
        /// How long the registrar keeps it, unless it hears of it again.
        expires: Duration,
    },
    /// The registrar refused or did not answer.
    RegistrationFailed {
        /// The registration.
        key: RegistrationKey,
        /// The status of the answer: 401 and 407 are refused credentials. 408 when nobody answered, 503 when nobody could be
        /// reached (RFC 3261 §8.1.3.1).
        status: u16,
        /// The reason phrase.
        reason: String,
        /// What kind of failure it was.
        cause: RegistrationFailure,
        /// When the next attempt is made; `None`: never, the registration is over (see
        /// [`Registration::retry`](crate::Registration::retry)).
        retry_in: Option<Duration>,
    },
    /// A registration is over, by `unregister`: its last event. The registrar has removed our contact, or refused to or did
    /// not answer, and will let it expire.
    Unregistered {
        /// The registration.
        key: RegistrationKey,
    },
    /// A request outside of calls came with wrong credentials and was answered 401.
    CredentialsRefused {
        /// Where it came from.
        source: SocketAddr,
        /// The user name that was given; whether there is such a user is not told.
        username: String,
        /// The method of the request.
        method: String,
    },
}

/// Why a registration failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegistrationFailure {
    /// 401, 403 or 407: the credentials are wrong, or missing.
    CredentialsRefused,
    /// Any other answer, a success that does not bind our contact included.
    Refused,
    /// No answer in 64·T1.
    NoAnswer,
    /// The transport reported that nobody is there.
    Unreachable,
}

/// The request that carried an offer inside a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferMethod {
    /// A re-INVITE (RFC 3261 §14).
    Invite,
    /// An UPDATE (RFC 3311).
    Update,
    /// A PRACK, while the call still rings (RFC 3262 §5). Refusing it leaves the session as it was.
    Prack,
}

/// A new inbound call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The call.
    pub call: CallKey,
    /// The Call-ID header, as received.
    pub sip_call_id: String,
    /// The Request-URI, as received.
    pub request_uri: String,
    /// The caller, from the From header.
    pub from: Party,
    /// The callee, from the To header.
    pub to: Party,
    /// The SDP offer; `None` when the INVITE had no body: `answer` then gives the offer, and `Acked` brings the answer.
    pub offer: Option<Bytes>,
    /// Every `X-` header in order, names as received.
    pub headers: Vec<(String, String)>,
    /// Where the INVITE came from.
    pub source: SocketAddr,
}

/// One side of a call, as a From or To header names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Party {
    /// The display name without quotes; `None` when absent or empty.
    pub display: Option<String>,
    /// The URI, without angle brackets and header parameters.
    pub uri: String,
    /// The user part of the URI, percent-decoded; the number of a `tel:` URI.
    pub user: Option<String>,
}

/// Why a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndCause {
    /// The peer sent BYE.
    RemoteBye {
        /// The Reason header (RFC 3326), as received.
        reason: Option<String>,
    },
    /// `hangup` on a call that was up, or answered and not yet acknowledged.
    LocalBye,
    /// The peer cancelled its call before the answer.
    Cancelled,
    /// `hangup` on an outbound call before the answer.
    LocalCancel,
    /// A final response 300 to 699 to our INVITE.
    Rejected {
        /// 300 to 699.
        status: u16,
        /// The reason phrase, as received.
        reason: String,
        /// Of a 3xx: the URIs at which the callee can be reached instead, best first, at most 8. Whether to dial one is the
        /// owner's decision: they are the peer's word.
        contacts: Vec<String>,
    },
    /// We refused the call: `reject`, or `hangup` on a ringing inbound call, or a limit.
    Declined {
        /// 300 to 699.
        status: u16,
        /// The reason phrase that was sent.
        reason: String,
    },
    /// Our 2xx was never acknowledged (64·T1); a BYE has been sent.
    NoAck,
    /// Nobody answered in time: no response at all, or the dial's own limit ran out, or `ack_with` was owed for too long.
    Timeout,
    /// Nobody refreshed the session in time, or nobody answered our refresh (RFC 4028 §10); a BYE has been sent.
    SessionExpired,
    /// The transport reported the peer unreachable.
    TransportError,
    /// The peer broke the protocol in a way that ends the call.
    ProtocolError {
        /// What was wrong, in a few fixed words.
        what: &'static str,
    },
}

impl EndCause {
    /// A refusal that names no other place.
    pub(super) fn rejected(status: u16, reason: String) -> Self {
        Self::Rejected { status, reason, contacts: Vec::new() }
    }

    /// The SIP status that describes this end best; `None` for an orderly BYE.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::RemoteBye { .. } | Self::LocalBye => None,
            Self::Cancelled | Self::LocalCancel => Some(487),
            Self::Rejected { status, .. } | Self::Declined { status, .. } => Some(*status),
            Self::NoAck | Self::Timeout | Self::SessionExpired => Some(408),
            Self::TransportError => Some(503),
            Self::ProtocolError { .. } => Some(500),
        }
    }

    /// The words that go with [`status`](Self::status), or the Reason header of a BYE.
    pub fn reason(&self) -> &str {
        match self {
            Self::RemoteBye { reason } => reason.as_deref().unwrap_or(""),
            Self::LocalBye => "",
            Self::Cancelled | Self::LocalCancel => "Request Terminated",
            Self::Rejected { reason, .. } | Self::Declined { reason, .. } => reason,
            Self::NoAck | Self::Timeout => "Request Timeout",
            Self::SessionExpired => "Session Expired",
            Self::TransportError => "Service Unavailable",
            Self::ProtocolError { what } => what,
        }
    }

    /// A stable lower-case word for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::RemoteBye { .. } => "remote-bye",
            Self::LocalBye => "local-bye",
            Self::Cancelled => "cancelled",
            Self::LocalCancel => "local-cancel",
            Self::Rejected { .. } => "rejected",
            Self::Declined { .. } => "declined",
            Self::NoAck => "no-ack",
            Self::Timeout => "timeout",
            Self::SessionExpired => "session-expired",
            Self::TransportError => "transport-error",
            Self::ProtocolError { .. } => "protocol-error",
        }
    }
}

/// How to refuse an inbound call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// 300 to 699.
    pub status: u16,
    /// The reason phrase; `None` takes the standard one.
    pub reason: Option<String>,
    /// Sent as Retry-After, in whole seconds.
    pub retry_after: Option<Duration>,
    /// Further headers, name and value.
    pub headers: Vec<(String, String)>,
}

impl Rejection {
    /// A refusal with the standard reason phrase and no further headers.
    pub fn new(status: u16) -> Self {
        Self { status, reason: None, retry_after: None, headers: Vec::new() }
    }

    /// The same with `Retry-After`.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}
