//! `Gate` decides who may have a stream: by signature, by token, by how many there are.
//!
//! In: the parts of requests, what a stream says of itself, the time. Out: admission, or why not. It is shared by the
//! routes and by every stream, on all threads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use actix::Recipient;
use actix_web::http::header::HeaderMap;
use stream::{
    Provider, SessionConfig, StreamInfo,
    signature::{SignatureError, telnyx, twilio},
};
use tokio::sync::oneshot;

use super::{
    Awake, DidRouter,
    calls::CallLog,
    handler::Handler,
    media_stream::Order,
    rest::{Credentials, Rest},
    token::{Announced, TokenError, Tokens},
};
use crate::{
    metrics::Metrics,
    relay::{Slot, Slots, uuid4},
};

/// See the module's documentation.
#[derive(Debug)]
pub struct Gate {
    /// The table of numbers.
    pub router: DidRouter,
    /// Who gets the calls.
    pub handler: Handler,
    /// Where providers reach the media socket.
    pub public_ws_url: String,
    /// The providers' HTTP interfaces.
    pub rest: Rest,
    /// What was and is.
    pub calls: CallLog,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How streams are read.
    pub session: SessionConfig,
    /// Those that there are.
    pub streams: Streams,
    /// Held by each of them.
    pub awake: Awake,
    twilio_auth_token: Option<crate::config::Secret>,
    telnyx_key: Option<telnyx::Key>,
    token_required: bool,
    tokens: Mutex<Tokens>,
    sockets: Slots,
    handshakes: Slots,
}

/// What a gate is made of, beside what it decides.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What the providers know us by.
    pub credentials: Credentials,
    /// Whether a stream must show the token of its webhook; `None`: as soon as there is a credential.
    pub token_required: Option<bool>,
    /// Media sockets at once.
    pub max_streams: usize,
}

/// Why a socket or a stream is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The signature is missing or wrong.
    #[error("signature: {0}")]
    Signature(&'static str),
    /// No webhook has announced the stream.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There are too many.
    #[error("as many media sockets as there may be")]
    Full,
    /// Too many have said nothing yet.
    #[error("too many media sockets on which no stream has begun")]
    Handshakes,
}

/// A socket's place: given back on drop.
#[derive(Debug)]
pub struct Place {
    _socket: Slot,
    /// Until its stream has begun.
    pub handshake: Option<Slot>,
}

/// The streams that there are, to be told when the process ends. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    next: u64,
    orders: BTreeMap<u64, Recipient<Order>>,
}

/// A stream is on the list until this is dropped.
#[derive(Debug)]
pub struct Registered(Streams, u64);

impl Streams {
    /// Puts a stream on the list.
    pub fn register(&self, orders: Recipient<Order>) -> Registered {
        let mut list = self.list();
        list.next += 1;
        let key = list.next;
        list.orders.insert(key, orders);
        Registered(self.clone(), key)
    }

    /// Hangs up on every stream. Resolves when all providers have been told.
    pub async fn close(&self) {
        let orders: Vec<_> = self.list().orders.values().cloned().collect();
        let mut hung_up = Vec::with_capacity(orders.len());
        for order in orders {
            let (done, result) = oneshot::channel();
            order.do_send(Order::Close { done: Some(done) });
            hung_up.push(result);
        }
        for result in hung_up {
            // An error is a stream that ended meanwhile.
            let _ = result.await;
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Every change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.list().orders.remove(&self.1);
    }
}

/// Whether a request showed a provider's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// It did, and rightly.
    Yes,
    /// It did not.
    No,
}

/// Whose call a stream carries, as far as it is to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    /// Who calls; empty if nobody says.
    pub caller_id: String,
    /// Whom; empty if nobody says.
    pub did: String,
}

impl Gate {
    /// A gate without anybody inside.
    pub fn new(
        (router, handler): (DidRouter, Handler),
        public_ws_url: String,
        rules: Rules,
        rest: Rest,
        metrics: Arc<Metrics>,
        session: SessionConfig,
        awake: Awake,
    ) -> Self {
        let Rules { credentials, token_required, max_streams } = rules;
        Self {
            router,
            handler,
            public_ws_url,
            rest,
            calls: CallLog::default(),
            metrics,
            session,
            streams: Streams::default(),
            awake,
            telnyx_key: credentials.telnyx_public_key,
            token_required: token_required.unwrap_or(!credentials.is_empty()),
            twilio_auth_token: credentials.twilio_auth_token,
            tokens: Mutex::default(),
            sockets: Slots::new(max_streams),
            handshakes: Slots::new(HANDSHAKES.min(max_streams)),
        }
    }

    /// Whether a webhook comes from its provider, where we can know. `target` is the request's path and query, `form` the
    /// fields of `body`, `unix` the time in seconds since 1970.
    pub fn webhook(
        &self,
        provider: Provider,
        headers: &HeaderMap,
        target: &str,
        (body, form): (&[u8], &[(String, String)]),
        unix: u64,
    ) -> Result<(), Refusal> {
        match provider {
            Provider::Twilio => {
                let Some(token) = &self.twilio_auth_token else { return Ok(()) };
                let signature = text(headers, twilio::HEADER)?;
                twilio::verify(token.expose(), signature, &self.webhook_url(target), form)?;
            }
            Provider::Telnyx => {
                let Some(key) = &self.telnyx_key else { return Ok(()) };
                let signature = text(headers, telnyx::HEADER)?;
                let timestamp = text(headers, telnyx::TIMESTAMP_HEADER)?;
                key.verify(signature, timestamp, body, unix, telnyx::TOLERANCE)?;
            }
        }
        Ok(())
    }

    /// Whether the upgrade of a media socket shows Twilio's signature. Telnyx shows none.
    pub fn upgrade(&self, headers: &HeaderMap) -> Result<Signed, Refusal> {
        match &self.twilio_auth_token {
            Some(token) if headers.contains_key(twilio::HEADER) => {
                twilio::verify_upgrade(token.expose(), text(headers, twilio::HEADER)?, &self.public_ws_url)?;
                Ok(Signed::Yes)
            }
            _ => Ok(Signed::No),
        }
    }

    /// A place for another media socket. Those that say nothing take none from one that its provider has signed.
    pub fn enter(&self, signed: Signed) -> Result<Place, Refusal> {
        let socket = self.sockets.take().ok_or(Refusal::Full)?;
        let handshake = match signed {
            Signed::Yes => None,
            Signed::No => Some(self.handshakes.take().ok_or(Refusal::Handshakes)?),
        };
        Ok(Place { _socket: socket, handshake })
    }

    /// A webhook was answered with a stream. The token that the stream has to show, where it has to.
    pub fn announce(&self, now: Instant, announced: Announced) -> Option<String> {
        if !self.token_required {
            return None;
        }
        let token = uuid4().replace('-', "");
        self.tokens().issue(now, token.clone(), announced);
        Some(token)
    }

    /// Whether a stream that says this of itself may begin. What its webhook said wins over what it says itself.
    pub fn begin(&self, now: Instant, info: &StreamInfo, signed: Signed) -> Result<Parties, Refusal> {
        if info.provider == Provider::Twilio && self.twilio_auth_token.is_some() && signed == Signed::No {
            return Err(Refusal::Signature("the socket was opened without one"));
        }
        if !self.token_required {
            let said = |text: &Option<String>| text.clone().unwrap_or_default();
            return Ok(Parties { caller_id: said(&info.caller_id), did: said(&info.did) });
        }
        let token = info.custom_parameters.get(PARAMETER).map(String::as_str);
        // Telnyx names a call otherwise in a stream than in a webhook.
        let call_sid = if info.provider == Provider::Twilio { info.call_id.as_str() } else { "" };
        let announced = self.tokens().redeem(now, token, info.provider.name(), call_sid)?;
        Ok(Parties { caller_id: announced.caller_id, did: announced.did })
    }

    /// The URL by which a provider asked for `target`: the media socket's, with its origin and what stands before the path
    /// of the gateway's routes.
    fn webhook_url(&self, target: &str) -> String {
        let url = &self.public_ws_url;
        let url = match url.split_once("://") {
            Some(("wss", rest)) => format!("https://{rest}"),
            Some(("ws", rest)) => format!("http://{rest}"),
            _ => url.clone(),
        };
        let authority = url.find("://").map_or(0, |at| at + 3);
        let origin = url[authority..].find('/').map_or(url.len(), |at| authority + at);
        let before = url.find(MEDIA_PATH).unwrap_or(origin);
        format!("{}{target}", &url[..before])
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        // Every change is complete before anything can panic.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    /// Its word in the metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Refusal::Signature(_) => "signature",
            Refusal::Token(_) => "token",
            Refusal::Full => "full",
            Refusal::Handshakes => "handshakes",
        }
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        Refusal::Signature(match error {
            SignatureError::Malformed(_) => "it is not well formed",
            SignatureError::Body => "the body is another",
            SignatureError::Mismatch => "it is of something else, or by somebody else",
            SignatureError::Stale(_) => "it is too old",
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    let value = headers.get(name).ok_or(Refusal::Signature("there is none"))?;
    value.to_str().map_err(|_| Refusal::Signature("it is not well formed"))
}

/// Where the media socket is.
pub const MEDIA_PATH: &str = "/sip/media-stream";
/// The parameter of a document that its stream's `start` has to show.
pub const PARAMETER: &str = "token";
/// Media sockets on which no stream has begun, at most: a provider says `start` within milliseconds.
const HANDSHAKES: usize = 100;
