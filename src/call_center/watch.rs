//! Serves what is counted about the call center: `GET /metrics`, and `GET /health`.

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use actix_web::{App, HttpRequest, HttpServer, Responder, web};
use tracing::info;

use crate::{
    config::Secret,
    http::{alive, exposition},
    metrics::CallCenterMetrics,
};

struct Watch {
    metrics: Arc<CallCenterMetrics>,
    /// What who asks for the metrics must show, if anything.
    token: Option<Secret>,
    since: Instant,
}

/// Serves on `address` until the program ends. Away from loopback the metrics need `token`, if there is one.
///
/// # Errors
/// The address cannot be bound.
pub(super) fn serve(
    address: SocketAddr,
    metrics: Arc<CallCenterMetrics>,
    token: Option<Secret>,
) -> io::Result<()> {
    let token = token.filter(|_| !address.ip().is_loopback());
    let watch = web::Data::new(Watch { metrics, token, since: Instant::now() });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(watch.clone())
            .route("/metrics", web::get().to(show))
            .route("/health", web::get().to(health))
    });
    let server = server.workers(1).max_connections(MOST_CONNECTIONS).disable_signals().bind(address)?;
    for address in server.addrs() {
        info!("Metrics served on {address}");
    }
    actix_web::rt::spawn(server.run());
    Ok(())
}

async fn show(request: HttpRequest, watch: web::Data<Watch>) -> impl Responder {
    exposition(&request, watch.token.as_ref(), || watch.metrics.encode())
}

async fn health(watch: web::Data<Watch>) -> impl Responder {
    alive(watch.since, "")
}

/// A scraper, and somebody who looks.
const MOST_CONNECTIONS: usize = 32;
