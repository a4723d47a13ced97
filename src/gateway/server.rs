//! `Gateway` is what the routes of the gateway share, and `VoiceServer` a server that has nothing else: the program
//! `sip-voice-server`. The relay has the same routes on its own server when the gateway is enabled.
//!
//! In: the settings. Out: routes.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix::Recipient;
use actix_web::{
    App, HttpResponse, HttpServer, Responder,
    dev::ServerHandle,
    http::header,
    web::{self, ServiceConfig},
};
use tracing::{info, warn};

use super::{
    Credentials, DidRouter, GatewayOptions, SipTransportError, SipWebhookHandler,
    handler::Handler,
    health::Health,
    watch::{DidWatch, LOOK_EVERY},
};
use crate::{
    config::{GatewayHandler, GatewaySettings, Secret},
    http::bounded_connection,
    metrics::Metrics,
    relay::message::IncomingStream,
};

/// What the routes of the gateway share. Clones are cheap. It watches its file of numbers as long as there is one.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// As they were given.
    pub settings: Arc<GatewaySettings>,
    /// The numbers.
    pub dids: DidRouter,
    /// What the providers are told to send a call's audio to.
    pub media_url: String,
    /// For `/health`.
    pub health: Health,
    webhooks: SipWebhookHandler,
    _watch: Arc<DidWatch>,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The file of numbers cannot be used.
    #[error(transparent)]
    Numbers(#[from] SipTransportError),
    /// The file cannot be watched.
    #[error("the file of numbers cannot be watched: {0}")]
    Watch(io::Error),
    /// The socket cannot be bound.
    #[error("cannot listen on {address} (--host, --port): {error}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
}

impl Gateway {
    /// Reads the numbers and begins to watch their file. Must run inside an actix system.
    ///
    /// `server`: where the routes are, with `tls` if it speaks that itself.
    ///
    /// # Errors
    /// [`GatewayError`] if the file cannot be used.
    pub fn start(
        settings: &GatewaySettings,
        server: SocketAddr,
        tls: bool,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, GatewayError> {
        let dids = DidRouter::open_with(&settings.config, settings.variables.clone(), None)?;
        let counted = metrics.clone();
        let watch = DidWatch::start(dids.clone(), LOOK_EVERY, move |done| counted.dids.reloaded(done))
            .and_then(DidWatch::on_hangup)
            .map_err(GatewayError::Watch)?;
        let media_url = settings.sip.media_url(server, tls);
        info!(dids = dids.table().len(), file = %dids.path().display(), url = media_url, "gateway");
        if settings.sip.public_ws_url.is_none() {
            warn!(
                "SIP_PUBLIC_WS_URL is not set: Twilio and Telnyx are told {media_url}, which they may not reach"
            );
        }
        let webhooks = SipWebhookHandler::echo(dids.clone(), media_url.clone())
            .with_credentials(Credentials::of(&settings.sip.provider_config))
            .with_options(options(settings, server))
            .with_metrics(metrics.clone());
        Ok(Self {
            settings: Arc::new(settings.clone()),
            health: Health::new(dids.clone()),
            dids,
            media_url,
            webhooks,
            _watch: Arc::new(watch),
        })
    }

    /// Beside a relay: its clients get the calls, if that was chosen, and its token protects the list of calls.
    pub(crate) fn with_relay(self, switchboard: Recipient<IncomingStream>, token: Option<Secret>) -> Self {
        let webhooks = match self.settings.handler {
            GatewayHandler::Relay => self.webhooks.with_handler(Handler::Relay(switchboard)),
            GatewayHandler::Echo => self.webhooks,
        };
        Self { webhooks: webhooks.with_list_token(token), ..self }
    }

    /// Adds the routes of the gateway to an application, `/health` apart.
    pub fn configure(&self, app: &mut ServiceConfig) {
        app.app_data(web::Data::new(self.clone()));
        self.webhooks.configure(app);
    }

    /// Hangs up on every call. Resolves when the providers have been told, within some ten seconds.
    pub async fn stop(&self) {
        self.webhooks.close().await;
    }
}

fn options(settings: &GatewaySettings, server: SocketAddr) -> GatewayOptions {
    GatewayOptions {
        max_streams: settings.max_streams,
        // From elsewhere everybody reaches the socket who knows its address.
        require_token: settings.stream_token.or((!server.ip().is_loopback()).then_some(true)),
        l16: settings.sip.provider_config.telnyx.l16_endian,
        telnyx_codec: settings.sip.provider_config.telnyx.codec,
        ..GatewayOptions::default()
    }
}

/// A server with the routes of the gateway, and `/health`.
pub struct VoiceServer {
    server: ServerHandle,
    gateway: Gateway,
    address: SocketAddr,
}

impl VoiceServer {
    /// Binds and serves. Must run inside an actix system.
    ///
    /// # Errors
    /// [`GatewayError`]. Who else has the port keeps it.
    pub fn start(settings: &GatewaySettings, metrics: &Arc<Metrics>) -> Result<Self, GatewayError> {
        let address = SocketAddr::new(settings.sip.server_host, settings.sip.server_port);
        let socket = TcpListener::bind(address).map_err(|error| GatewayError::Bind { address, error })?;
        let address = socket.local_addr().unwrap_or(address);
        let gateway = Gateway::start(settings, address, false, metrics)?;
        if settings.handler == GatewayHandler::Relay {
            warn!("GATEWAY_HANDLER=relay: there is no relay in this program, callers hear themselves");
        }
        let shared = gateway.clone();
        let server = HttpServer::new(move || {
            let gateway = shared.clone();
            App::new().configure(|app| gateway.configure(app)).route("/health", web::get().to(health))
        });
        let server = server.workers(crate::relay::cores()).disable_signals().tcp_nodelay(true);
        let server = server.on_connect(|connection, _| bounded_connection(connection));
        let running = server.listen(socket).map_err(|error| GatewayError::Bind { address, error })?.run();
        let handle = running.handle();
        actix_web::rt::spawn(running);
        info!("Voice server started on {address}");
        Ok(Self { server: handle, gateway, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hangs up on every call, and ends it, within four seconds.
    pub async fn stop(self) {
        if tokio::time::timeout(STOP_DEADLINE, self.gateway.stop()).await.is_err() {
            warn!("not every provider was told in time");
        }
        self.server.stop(false).await;
    }
}

async fn health(gateway: web::Data<Gateway>) -> impl Responder {
    let members = gateway.health.members().await;
    let body = format!(r#"{{"status":"ok","dids":{},"ollama":{}}}"#, members["dids"], members["ollama"]);
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(body)
}

/// How long the providers may take to be told of the end.
const STOP_DEADLINE: Duration = Duration::from_secs(4);
