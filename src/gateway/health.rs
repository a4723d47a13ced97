//! `Health` is what `GET /health` says of a gateway: its numbers, and whether a local Ollama answers.
//!
//! In: the table, a connection attempt every few seconds at most. Out: members of a JSON object.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::{net::TcpStream, sync::Mutex, time::Instant};

use super::DidRouter;

/// Clones share what was found out.
#[derive(Debug, Clone)]
pub struct Health {
    dids: DidRouter,
    ollama: Arc<Probe>,
}

#[derive(Debug)]
struct Probe {
    /// Tried at once; one is enough.
    addresses: Vec<SocketAddr>,
    /// Held while it is found out, so that many who ask make one attempt.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Health {
    /// Of a table, and of an Ollama at its usual port of this machine.
    pub fn new(dids: DidRouter) -> Self {
        let local = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Self::with_ollama_at(dids, local.map(|ip| SocketAddr::new(ip, OLLAMA_PORT)).to_vec())
    }

    /// The same with an Ollama elsewhere.
    pub fn with_ollama_at(dids: DidRouter, addresses: Vec<SocketAddr>) -> Self {
        Self { dids, ollama: Arc::new(Probe { addresses, last: Mutex::new(None) }) }
    }

    /// `dids`, the numbers, and `ollama`, a boolean. Takes two seconds at most, and nobody else's time.
    pub async fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("dids".to_owned(), json!(self.dids.dids()));
        members.insert("ollama".to_owned(), json!(self.ollama.answers().await));
        members
    }
}

impl Probe {
    async fn answers(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((_, answers)) = last.filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return answers;
        }
        if self.addresses.is_empty() {
            return false;
        }
        let attempts = self.addresses.iter().map(|&address| Box::pin(connect(address)));
        let any = futures_util::future::select_ok(attempts);
        let answers =
            !self.addresses.is_empty() && matches!(tokio::time::timeout(LONGEST, any).await, Ok(Ok(_)));
        *last = Some((Instant::now(), answers));
        answers
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<()> {
    TcpStream::connect(address).await.map(drop)
}

const OLLAMA_PORT: u16 = 11434;
/// The longest attempt.
const LONGEST: Duration = Duration::from_secs(2);
/// How long what was found out is believed.
const GOOD_FOR: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn router() -> DidRouter {
        DidRouter::of_text("dids:\n  200: {}\n  100: {}\n").expect("it can be used")
    }

    async fn members(health: &Health) -> String {
        Value::Object(health.members().await).to_string()
    }

    #[actix::test]
    async fn ollama_answers_where_somebody_listens_and_that_is_believed_for_a_while() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let there = listener.local_addr().expect("its address");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let nobody = free.local_addr().expect("its address");
        drop(free);
        let health = Health::with_ollama_at(router(), vec![nobody, there]);
        assert_eq!(members(&health).await, r#"{"dids":["+200","+100"],"ollama":true}"#);
        drop(listener);
        assert_eq!(members(&health.clone()).await, r#"{"dids":["+200","+100"],"ollama":true}"#);
        tokio::time::pause();
        tokio::time::advance(GOOD_FOR).await;
        tokio::time::resume();
        assert_eq!(members(&health).await, r#"{"dids":["+200","+100"],"ollama":false}"#);
    }

    #[actix::test]
    async fn address_that_never_answers_costs_two_seconds_once() {
        tokio::time::pause();
        // 192.0.2.0/24 is for documentation (RFC 5737): nobody answers, or there is no route.
        let health = Health::with_ollama_at(router(), vec![([192, 0, 2, 1], 1).into()]);
        let start = Instant::now();
        let both = futures_util::future::join(members(&health), members(&health)).await;
        assert!(both.0.contains("\"ollama\":false") && both.0 == both.1, "{both:?}");
        assert!(start.elapsed() <= LONGEST + Duration::from_millis(100), "{:?}", start.elapsed());
    }

    #[actix::test]
    async fn nowhere_is_no_answer() {
        assert!(members(&Health::with_ollama_at(router(), Vec::new())).await.contains("\"ollama\":false"));
    }
}
