//! The HTTP routes for people and programs that watch the relay: `/health`, `/ready`, `/metrics`.
//!
//! In: GET and HEAD requests. Out: JSON and text. Every path that is no route here becomes a WebSocket, which is not
//! this module's business. Knows no actor: it reads what the actors have written down.

mod connection;
mod readiness;
mod token;

use std::{
    fmt::{self, Write},
    sync::Arc,
    time::Instant,
};

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    http::{StatusCode, header},
    web,
};

pub use self::{
    connection::bounded_connection,
    readiness::{Part, Readiness, Up},
    token::shows_token,
};
use crate::{
    config::Secret,
    gateway::Health,
    metrics::{self, Metrics},
};

/// What the routes show.
#[derive(Clone)]
pub struct Watch {
    /// Whether the relay takes calls.
    pub readiness: Readiness,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What who asks for the metrics must show, if anything.
    pub token: Option<Secret>,
    /// When the relay started.
    pub since: Instant,
    /// What the gateway adds to `/health`, where there is one.
    pub gateway: Option<Health>,
}

/// Adds the routes to an application.
pub fn routes(watch: Watch) -> impl FnOnce(&mut web::ServiceConfig) {
    move |app| {
        app.app_data(web::Data::new(watch));
        app.route("/health", web::get().to(health)).route("/health", web::head().to(health));
        app.route("/ready", web::get().to(ready)).route("/ready", web::head().to(ready));
        app.route("/metrics", web::get().to(metrics)).route("/metrics", web::head().to(metrics));
    }
}

/// The process serves: that is all it says, and with a gateway what that has to say.
async fn health(watch: web::Data<Watch>) -> impl Responder {
    let mut gateway = String::new();
    if let Some(health) = &watch.gateway {
        for (name, value) in health.members().await {
            let _ = write!(gateway, r#","{name}":{value}"#);
        }
    }
    alive(watch.since, &gateway)
}

/// The answer to a request for the health of a process that serves since then. `more`: further members of the object.
pub fn alive(since: Instant, more: &str) -> HttpResponse {
    let uptime = since.elapsed().as_secs();
    let version = env!("CARGO_PKG_VERSION");
    json(
        StatusCode::OK,
        format_args!(r#"{{"status":"ok","version":"{version}","uptime_seconds":{uptime}{more}}}"#),
    )
}

/// Whether calls and clients are taken.
async fn ready(watch: web::Data<Watch>) -> impl Responder {
    match watch.readiness.obstacle() {
        None => json(StatusCode::OK, format_args!(r#"{{"status":"ready"}}"#)),
        Some(reason) => json(
            StatusCode::SERVICE_UNAVAILABLE,
            format_args!(r#"{{"status":"not ready","reason":"{reason}"}}"#),
        ),
    }
}

async fn metrics(request: HttpRequest, watch: web::Data<Watch>) -> impl Responder {
    exposition(&request, watch.token.as_ref(), || watch.metrics.encode())
}

/// The answer to a request for metrics, which must show `token` if there is one.
pub fn exposition(
    request: &HttpRequest,
    token: Option<&Secret>,
    text: impl FnOnce() -> String,
) -> HttpResponse {
    if token.is_some_and(|token| !shows_token(request, token)) {
        return HttpResponse::Unauthorized()
            .insert_header((header::WWW_AUTHENTICATE, "Bearer"))
            .content_type("text/plain; charset=utf-8")
            .body("a token is required: ?token=... or Authorization: Bearer ...\n");
    }
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(metrics::CONTENT_TYPE)
        .body(text())
}

fn json(status: StatusCode, body: fmt::Arguments<'_>) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(format!("{body}\n"))
}

#[cfg(test)]
mod tests {
    use actix_web::{App, body::MessageBody, test};

    use super::*;
    use crate::gateway::DidRouter;

    async fn get(watch: &Watch, request: test::TestRequest) -> (u16, String) {
        let other = web::to(|| async { "a WebSocket" });
        let app = App::new().configure(routes(watch.clone())).default_service(other);
        let response = test::call_service(&test::init_service(app).await, request.to_request()).await;
        let status = response.status().as_u16();
        let body = response.into_body().try_into_bytes().unwrap_or_default();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    fn at(path: &str) -> test::TestRequest {
        test::TestRequest::get().uri(path)
    }

    fn numbers() -> DidRouter {
        DidRouter::of_text("dids: {100: {}}").expect("it can be used")
    }

    fn watch(token: Option<&str>) -> Watch {
        Watch {
            readiness: Readiness::default(),
            metrics: Arc::default(),
            token: token.map(Secret::new),
            since: Instant::now(),
            gateway: None,
        }
    }

    #[actix_web::test]
    async fn health_is_ok_while_the_relay_is_not_ready() {
        let watch = watch(None);
        let (status, body) = get(&watch, at("/health")).await;
        assert_eq!(status, 200);
        assert!(body.starts_with(r#"{"status":"ok","version":""#), "{body}");
        let watch = Watch { gateway: Some(Health::with_ollama_at(numbers(), Vec::new())), ..watch };
        let (_, body) = get(&watch, at("/health")).await;
        assert!(body.starts_with(r#"{"status":"ok","version":""#), "{body}");
        assert!(body.ends_with(",\"dids\":[\"+100\"],\"ollama\":false}\n"), "{body}");
        let (status, body) = get(&watch, at("/ready")).await;
        let expected = "{\"status\":\"not ready\",\"reason\":\"the SIP socket is not open\"}\n";
        assert_eq!((status, body.as_str()), (503, expected));
    }

    #[actix_web::test]
    async fn metrics_are_shown_only_with_the_token_where_one_is_asked_for() {
        let watch = watch(Some("s3cret"));
        assert_eq!(get(&watch, at("/metrics")).await.0, 401);
        assert_eq!(get(&watch, at("/metrics?token=wrong")).await.0, 401);
        let (status, body) = get(&watch, at("/metrics?token=s3cret")).await;
        assert_eq!(status, 200);
        assert!(body.ends_with("# EOF\n"));
        assert!(!body.contains("s3cret"));
        let bearer = at("/metrics").insert_header(("Authorization", "Bearer s3cret"));
        assert_eq!(get(&watch, bearer).await.0, 200);
        assert_eq!(get(&watch, at("/health")).await.0, 200, "health needs no token");
    }

    #[actix_web::test]
    async fn path_that_is_no_route_is_left_to_others() {
        for path in ["/", "/healthy", "/metrics/x"] {
            assert_eq!(get(&watch(None), at(path)).await, (200, "a WebSocket".to_owned()), "{path}");
        }
    }
}
