//! The HTTP side: upgrades to WebSocket on every path that is no route, and a page that says so.
//!
//! In: requests. Out: [`WsClient`]s. Decides who may connect, and in which mode.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use model::command::Mode;
use tracing::info;

use crate::config::Secret;

use super::{
    message::ClientId,
    ws_client::{ClientSettings, SUBPROTOCOL, SwitchboardPort, WsClient},
};

/// What a worker needs to serve a request.
pub struct HttpState {
    /// What clients have in common.
    pub clients: ClientSettings,
    /// Where clients report.
    pub switchboard: SwitchboardPort,
    /// The token that a client must show, if one is set.
    pub token: Option<Secret>,
    /// How many connections there may be.
    pub slots: Slots,
    /// The next client's number.
    pub next_client: Arc<AtomicU64>,
}

/// Counts connections. Clones share the count.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<AtomicUsize>,
}

/// One connection's place; given back on drop.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Slots {
    /// Room for `limit` connections.
    pub fn new(limit: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(limit)) }
    }

    /// A place, if one is free.
    pub fn take(&self) -> Option<Slot> {
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        taken.ok().map(|_| Slot(self.free.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Why a request is not upgraded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Refusal {
    #[error("a token is required: ?token=... or Authorization: Bearer ...")]
    Token,
    #[error("{name}={value} is not possible: {expected}")]
    Query { name: &'static str, value: String, expected: &'static str },
    #[error("WS_MAX_CONNECTIONS clients are connected already")]
    Full,
}

/// Serves every path.
pub async fn serve(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, actix_web::Error> {
    if !asks_for_websocket(&request) {
        return Ok(plain(&request));
    }
    let admitted = admit(&request, &state)
        .and_then(|mode| state.slots.take().map(|slot| (mode, slot)).ok_or(Refusal::Full));
    match admitted {
        Ok((mode, slot)) => {
            let id = ClientId(state.next_client.fetch_add(1, Ordering::Relaxed));
            let client = WsClient::new(id, mode, &state.clients, state.switchboard.clone(), slot);
            client.serve(&request, payload, &state.clients)
        }
        Err(refusal) => {
            info!(path = request.path(), "WebSocket refused: {refusal}");
            Ok(refusal.response())
        }
    }
}

impl Refusal {
    fn response(&self) -> HttpResponse {
        let mut response = match self {
            Refusal::Token => HttpResponse::Unauthorized(),
            Refusal::Query { .. } => HttpResponse::BadRequest(),
            Refusal::Full => HttpResponse::ServiceUnavailable(),
        };
        response.content_type("text/plain; charset=utf-8").body(format!("{self}\n"))
    }
}

fn asks_for_websocket(request: &HttpRequest) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn plain(request: &HttpRequest) -> HttpResponse {
    let mut response = match request.path() {
        "/" => HttpResponse::Ok(),
        _ => HttpResponse::UpgradeRequired(),
    };
    let body = format!(
        "sip-relay {}\nConnect a WebSocket here and type CALL:0912341234\n",
        env!("CARGO_PKG_VERSION")
    );
    response.content_type("text/plain; charset=utf-8").body(body)
}

fn admit(request: &HttpRequest, state: &HttpState) -> Result<Mode, Refusal> {
    let query: HashMap<String, String> =
        web::Query::from_query(request.query_string()).map(web::Query::into_inner).unwrap_or_default();
    if let Some(token) = &state.token {
        let shown = query.get("token").map(String::as_str).or_else(|| bearer(request));
        if !shown.is_some_and(|shown| token.matches(shown)) {
            return Err(Refusal::Token);
        }
    }
    for (name, only) in [("frames", "text"), ("codec", "pcm"), ("rate", "8000")] {
        if let Some(value) = query.get(name).filter(|value| *value != only) {
            return Err(Refusal::Query { name, value: value.clone(), expected: "not available yet" });
        }
    }
    mode(request, &query, state.clients.mode)
}

fn mode(request: &HttpRequest, query: &HashMap<String, String>, default: Mode) -> Result<Mode, Refusal> {
    if let Some(value) = query.get("mode") {
        let unknown =
            |_| Refusal::Query { name: "mode", value: value.clone(), expected: "classic, hex or multi" };
        return value.parse().map_err(unknown);
    }
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|v| v.to_str().ok());
    let multi = offered.flat_map(|value| value.split(',')).any(|name| name.trim() == SUBPROTOCOL);
    Ok(if multi { Mode::Multi } else { default })
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_of_a_connection_is_free_again_after_it() {
        let slots = Slots::new(1);
        let slot = slots.take();
        assert!(slot.is_some());
        assert!(slots.take().is_none(), "the limit is one");
        drop(slot);
        assert!(slots.take().is_some());
    }
}
