//! `SipWebhookHandler` is the gateway's HTTP side: the webhooks of both providers, the media socket, the list of calls.
//!
//! In: requests. Out: documents that tell a provider what to do with a call, and [`MediaStream`]s. Who may is decided by
//! the [`Gate`].

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Bytes},
};
use stream::{Endian, Provider, SessionConfig, xml};
use tracing::{info, warn};

use super::{
    Awake, DidConfig, DidRouter, L16Endian, SipTransport, SipTransportError, TelnyxCodec,
    gate::{Gate, MEDIA_PATH, PARAMETER, Refusal, Rules},
    handler::{self, Handler},
    media_stream::MediaStream,
    rest::{ApiBases, Credentials, Rest},
    token::Announced,
};
use crate::{config::Secret, http::shows_token, logging::Pii, metrics::Metrics};

/// See the module's documentation. Clones are the same gateway: one is mounted in the application of every worker.
#[derive(Debug, Clone)]
pub struct SipWebhookHandler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: Parts,
    /// Made of the parts when the first application is.
    gate: OnceLock<Arc<Gate>>,
}

/// What was chosen.
#[derive(Debug, Clone)]
struct Parts {
    router: DidRouter,
    handler: Handler,
    public_ws_url: String,
    credentials: Credentials,
    bases: ApiBases,
    options: GatewayOptions,
    metrics: Arc<Metrics>,
    list_token: Option<Secret>,
    awake: Awake,
}

/// What may be chosen beside who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayOptions {
    /// Media sockets at once; 500. Those beyond are refused with 503.
    pub max_streams: usize,
    /// How long a provider may take from its socket to `start`; 10 s.
    pub handshake_timeout: Duration,
    /// How long it may be silent afterwards; 60 s.
    pub idle_timeout: Duration,
    /// Whether a stream must show the token of the webhook that announced it. `None`, the default: as soon as there is a
    /// credential of a provider.
    pub require_token: Option<bool>,
    /// The byte order of Telnyx's L16; little.
    pub l16: L16Endian,
    /// What Telnyx is asked to take for the caller; L16.
    pub telnyx_codec: TelnyxCodec,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            max_streams: 500,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            require_token: None,
            l16: L16Endian::Little,
            telnyx_codec: TelnyxCodec::L16,
        }
    }
}

impl SipWebhookHandler {
    /// Gives every call to `on_session`, with what the table says of its number; `None` for a number that is not in it.
    ///
    /// `public_ws_url`: where providers reach the media socket, `wss://host/sip/media-stream`. `on_session` runs on a thread
    /// of the server, so it must not block. The call ends when the last handle of its transport is dropped; with
    /// [`SipTransportError::CallRejected`] the program says that it does not want it, which ends it too.
    pub fn new<F, Fut>(did_router: DidRouter, on_session: F, public_ws_url: impl Into<String>) -> Self
    where
        F: Fn(SipTransport, Option<Arc<DidConfig>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), SipTransportError>> + Send + 'static,
    {
        let parts = Parts {
            router: did_router,
            handler: Handler::program(on_session),
            public_ws_url: public_ws_url.into(),
            credentials: Credentials::default(),
            bases: ApiBases::default(),
            options: GatewayOptions::default(),
            metrics: Arc::default(),
            list_token: None,
            awake: Awake::system(),
        };
        Self::of(parts)
    }

    /// Says back to every caller what he says.
    pub fn echo(did_router: DidRouter, public_ws_url: impl Into<String>) -> Self {
        Self::new(did_router, handler::echo, public_ws_url)
    }

    pub(super) fn with_handler(self, handler: Handler) -> Self {
        self.but(|parts| parts.handler = handler)
    }

    /// With what the providers know us by. Each credential is used as soon as it is there: webhooks are verified, calls are
    /// hung up, streams must show a token.
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        self.but(|parts| parts.credentials = credentials)
    }

    /// With other limits.
    pub fn with_options(self, options: GatewayOptions) -> Self {
        self.but(|parts| parts.options = options)
    }

    /// With the providers' HTTP interfaces at other places, for tests.
    pub fn with_api_bases(self, bases: ApiBases) -> Self {
        self.but(|parts| parts.bases = bases)
    }

    /// Counting there.
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        self.but(|parts| parts.metrics = metrics)
    }

    /// With a token that whoever asks for the list of calls must show.
    pub fn with_list_token(self, token: Option<Secret>) -> Self {
        self.but(|parts| parts.list_token = token)
    }

    /// Keeping the machine awake by that while there are calls.
    pub fn with_awake(self, awake: Awake) -> Self {
        self.but(|parts| parts.awake = awake)
    }

    fn but(self, change: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = self.0.parts.clone();
        change(&mut parts);
        Self::of(parts)
    }

    fn of(parts: Parts) -> Self {
        Self(Arc::new(Shared { parts, gate: OnceLock::new() }))
    }

    /// Adds the routes to an application: `POST /sip/telnyx/answer`, `POST /sip/twilio/answer`, `GET /sip/media-stream`,
    /// `GET /api/calls`. Nothing can be chosen any more afterwards: it would be another gateway.
    pub fn configure(&self, app: &mut web::ServiceConfig) {
        let webhook = |provider| {
            let answer =
                web::post().to(move |request: HttpRequest, body: web::Payload, gate: web::Data<Gate>| {
                    webhook(provider, request, body, gate)
                });
            web::resource(match provider {
                Provider::Telnyx => "/sip/telnyx/answer",
                Provider::Twilio => "/sip/twilio/answer",
            })
            .route(answer)
        };
        app.app_data(web::Data::from(self.gate()))
            .app_data(web::Data::new(ListToken(self.0.parts.list_token.clone())))
            .service(webhook(Provider::Telnyx))
            .service(webhook(Provider::Twilio))
            .service(web::resource(MEDIA_PATH).route(web::get().to(media_stream)))
            .service(web::resource("/api/calls").route(web::get().to(calls)));
    }

    /// Hangs up on every call. Resolves when the providers have been told, within some ten seconds.
    pub async fn close(&self) {
        self.gate().streams.close().await;
    }

    fn gate(&self) -> Arc<Gate> {
        let gate = self.0.gate.get_or_init(|| {
            let Parts {
                router,
                handler,
                public_ws_url,
                credentials,
                bases,
                options,
                metrics,
                list_token: _,
                awake,
            } = self.0.parts.clone();
            let rules = Rules {
                credentials: credentials.clone(),
                token_required: options.require_token,
                max_streams: options.max_streams,
            };
            let session = SessionConfig {
                handshake_timeout: options.handshake_timeout,
                idle_timeout: Some(options.idle_timeout),
                l16: match options.l16 {
                    L16Endian::Little => Endian::Little,
                    L16Endian::Big => Endian::Big,
                    L16Endian::Auto => Endian::Auto,
                },
                telnyx_outbound: options.telnyx_codec.format(),
                ..SessionConfig::default()
            };
            let rest = Rest::new(credentials, bases);
            Arc::new(Gate::new((router, handler), public_ws_url, rules, rest, metrics, session, awake))
        });
        gate.clone()
    }
}

/// Of `GET /api/calls`.
struct ListToken(Option<Secret>);

/// Answers a provider that has a call for one of our numbers.
async fn webhook(
    provider: Provider,
    request: HttpRequest,
    body: web::Payload,
    gate: web::Data<Gate>,
) -> HttpResponse {
    let metrics = &gate.metrics.gateway;
    let Ok(Ok(body)) = body.to_bytes_limited(MAX_FORM).await else {
        metrics.webhook(provider.name(), "unreadable");
        return HttpResponse::PayloadTooLarge().finish();
    };
    let form = fields(&body);
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if let Err(refusal) = gate.webhook(provider, request.headers(), target, (&body, &form), unix) {
        warn!(provider = provider.name(), "webhook refused: {refusal}");
        metrics.webhook(provider.name(), "forbidden");
        return HttpResponse::Forbidden()
            .content_type("text/plain; charset=utf-8")
            .body(format!("{refusal}\n"));
    }
    let field = |name: &str| {
        let found = form.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let (caller_id, did) = (field("From"), field("To"));
    if gate.router.lookup(&did).is_none() {
        info!(provider = provider.name(), did = %Pii(&did), "webhook for a number that is not configured");
        metrics.webhook(provider.name(), "unknown-number");
        return document(xml::NOT_CONFIGURED.to_owned());
    }
    let announced = Announced {
        provider: provider.name(),
        caller_id: caller_id.clone(),
        did: did.clone(),
        call_sid: field("CallSid"),
    };
    let token = gate.announce(Instant::now(), announced);
    let mut parameters = vec![("caller_id", caller_id.as_str()), ("did", did.as_str())];
    parameters.extend(token.as_deref().map(|token| (PARAMETER, token)));
    metrics.webhook(provider.name(), "answered");
    document(match provider {
        Provider::Telnyx => xml::texml_with(&gate.public_ws_url, gate.session.telnyx_outbound, &parameters),
        Provider::Twilio => xml::twiml(&gate.public_ws_url, &parameters),
    })
}

/// Takes a provider's socket.
async fn media_stream(
    request: HttpRequest,
    payload: web::Payload,
    gate: web::Data<Gate>,
) -> Result<HttpResponse, actix_web::Error> {
    if !asks_for_websocket(&request) {
        return Ok(HttpResponse::UpgradeRequired().insert_header((header::UPGRADE, "websocket")).finish());
    }
    let admitted = gate.upgrade(request.headers()).and_then(|signed| Ok((signed, gate.enter(signed)?)));
    match admitted {
        Ok((signed, place)) => MediaStream::serve(&gate.into_inner(), &request, payload, signed, place),
        Err(refusal) => {
            warn!("media socket refused: {refusal}");
            gate.metrics.gateway.refused(refusal.label());
            let mut response = match refusal {
                Refusal::Signature(_) | Refusal::Token(_) => HttpResponse::Forbidden(),
                Refusal::Full | Refusal::Handshakes => HttpResponse::ServiceUnavailable(),
            };
            Ok(response.content_type("text/plain; charset=utf-8").body(format!("{refusal}\n")))
        }
    }
}

/// The calls that are up and the last ones that were. They name people: who asks from elsewhere must show the token.
async fn calls(request: HttpRequest, gate: web::Data<Gate>, token: web::Data<ListToken>) -> HttpResponse {
    match &token.0 {
        Some(token) if !shows_token(&request, token) => {
            return HttpResponse::Unauthorized().insert_header((header::WWW_AUTHENTICATE, "Bearer")).finish();
        }
        None if !is_from_here(&request) => {
            return HttpResponse::Forbidden()
                .content_type("text/plain; charset=utf-8")
                .body("only from this machine\n");
        }
        _ => {}
    }
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(gate.calls.json())
}

/// Whether nobody asks for somebody else: a tunnel makes the whole server public, and its connections come from this machine.
fn is_from_here(request: &HttpRequest) -> bool {
    let passed_on = PROXIES.iter().any(|name| request.headers().contains_key(*name));
    !passed_on && request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

fn document(xml: String) -> HttpResponse {
    HttpResponse::Ok().content_type("application/xml").body(xml)
}

/// The fields of a form. What is no form has none.
fn fields(body: &Bytes) -> Vec<(String, String)> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    web::Query::<Vec<(String, String)>>::from_query(text).map(web::Query::into_inner).unwrap_or_default()
}

fn asks_for_websocket(request: &HttpRequest) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// The largest form of a webhook, bytes. Theirs have one or two thousand.
const MAX_FORM: usize = 64 << 10;
/// Headers by which a request is known that a proxy has passed on.
const PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "cf-connecting-ip", "x-real-ip"];
