//! The HTTP side: upgrades to WebSocket on every path that is no route, and a page that says so.
//!
//! In: requests. Out: [`WsClient`]s. Decides who may connect, and in which mode.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use model::{
    audio::SampleRate,
    mode::{AgentCodec, Mode},
};
use tracing::info;

use crate::{config::Secret, http::shows_token};

use super::{
    message::{AudioForm, ClientId},
    ws_client::{ClientRequest, ClientSettings, SUBPROTOCOL, SwitchboardPort, WsClient},
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
    #[error("{name}={value} is not possible, expected {expected}")]
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
        .and_then(|asked| state.slots.take().map(|slot| (asked, slot)).ok_or(Refusal::Full));
    match admitted {
        Ok((asked, slot)) => {
            let id = ClientId(state.next_client.fetch_add(1, Ordering::Relaxed));
            let client = WsClient::new(id, asked, &state.clients, state.switchboard.clone(), slot);
            client.serve(&request, payload)
        }
        Err(refusal) => {
            info!(path = request.path(), "WebSocket refused: {refusal}");
            let response = refusal.response();
            state.clients.metrics.clients.refused(response.status().as_u16());
            Ok(response)
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

fn admit(request: &HttpRequest, state: &HttpState) -> Result<ClientRequest, Refusal> {
    let query: HashMap<String, String> =
        web::Query::from_query(request.query_string()).map(web::Query::into_inner).unwrap_or_default();
    if state.token.as_ref().is_some_and(|token| !shows_token(request, token)) {
        return Err(Refusal::Token);
    }
    let offers_multi = offered_protocols(request).any(|name| name == SUBPROTOCOL);
    ask(&query, if offers_multi { Mode::Multi } else { state.clients.mode })
}

/// What the query asks for.
fn ask(query: &HashMap<String, String>, default: Mode) -> Result<ClientRequest, Refusal> {
    let mode = choice(query, "mode", "classic, hex or multi")?.unwrap_or(default);
    let frames = choice(query, "frames", "text or binary")?.unwrap_or_default();
    let codec: AgentCodec = choice(query, "codec", "pcm, pcmu or pcma")?.unwrap_or_default();
    let rate = query.get("rate").map(|value| {
        let rate = value.parse().ok().and_then(SampleRate::from_hz);
        rate.ok_or_else(|| refusal("rate", value, "8000, 16000, 24000 or 48000"))
    });
    let rate = rate.transpose()?.unwrap_or_default();
    if codec != AgentCodec::Pcm && rate != SampleRate::Hz8000 {
        return Err(refusal("rate", &rate.hz().to_string(), "8000 with codec=pcmu and codec=pcma"));
    }
    let session = query.get("session").map(|name| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fine = (1..=64).contains(&name.len()) && name.bytes().all(plain);
        let expected = "1 to 64 of A-Z a-z 0-9 . _ -, with mode=multi";
        if fine && mode == Mode::Multi { Ok(name.clone()) } else { Err(refusal("session", name, expected)) }
    });
    let received = choice(query, "received", "the number of messages received in this session")?;
    Ok(ClientRequest {
        mode,
        audio: AudioForm { frames, codec, rate },
        session: session.transpose()?,
        received,
    })
}

fn choice<T: FromStr>(
    query: &HashMap<String, String>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, Refusal> {
    let parse = |value: &String| value.parse().map_err(|_| refusal(name, value, expected));
    query.get(name).map(parse).transpose()
}

fn refusal(name: &'static str, value: &str, expected: &'static str) -> Refusal {
    Refusal::Query { name, value: value.to_owned(), expected }
}

fn offered_protocols(request: &HttpRequest) -> impl Iterator<Item = &str> {
    let lines =
        request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
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
