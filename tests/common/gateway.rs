//! The gateway in this process, and the provider's side of it: webhooks as POST requests, a stream as a scripted caller.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sip_relay::gateway::{DidConfig, DidRouter, SipTransport, SipTransportError, SipWebhookHandler};
use sip_relay::metrics::Metrics;

use super::ws::{Incoming, WsClient};
use super::{Feed, WAIT};

/// The number that the table has.
pub const DID: &str = "+15125551234";
/// Who calls.
pub const CALLER: &str = "+15125559999";
/// Where the gateway says that its media socket is.
pub const PUBLIC_URL: &str = "wss://voice.example.com/sip/media-stream";

/// A gateway on a port of its own, with [`DID`] in its table.
pub struct Gateway {
    pub at: SocketAddr,
    pub metrics: Arc<Metrics>,
    server: ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Gateway {
    /// With the default handler: it echoes.
    pub fn echo() -> Self {
        Self::start(|router| SipWebhookHandler::echo(router, PUBLIC_URL))
    }

    /// One whose calls go to `calls`, where a test takes them.
    pub fn for_calls() -> (Self, Arc<Feed<Call>>) {
        Self::for_calls_with(|handler| handler)
    }

    /// The same with what `change` makes of it.
    pub fn for_calls_with(
        change: impl FnOnce(SipWebhookHandler) -> SipWebhookHandler,
    ) -> (Self, Arc<Feed<Call>>) {
        let calls = Arc::new(Feed::new());
        let feed = calls.clone();
        let gateway = Self::start(move |router| {
            let on_session = move |transport, config| {
                feed.push(Call { transport, config });
                std::future::ready(Ok(()))
            };
            change(SipWebhookHandler::new(router, on_session, PUBLIC_URL))
        });
        (gateway, calls)
    }

    /// With what `make` makes of the table.
    pub fn start(make: impl FnOnce(DidRouter) -> SipWebhookHandler) -> Self {
        let table = format!("dids:\n  \"{DID}\":\n    user_id: david\n    mood: good\n");
        let router = DidRouter::of_text(&table).unwrap();
        let metrics = Arc::new(Metrics::new());
        let handler = make(router).with_metrics(metrics.clone());
        let (started, running) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().configure(|app| handler.configure(app));
                let server =
                    HttpServer::new(app).workers(2).disable_signals().bind(("127.0.0.1", 0)).unwrap();
                let at = server.addrs()[0];
                let server = server.run();
                started.send((at, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (at, server) = running.recv_timeout(WAIT).unwrap();
        Self { at, metrics, server, thread: Some(thread) }
    }

    /// Answers a webhook of a call.
    pub fn webhook(&self, provider: &str) -> String {
        let (status, body) = post_form(self.at, &format!("/sip/{provider}/answer"), &call_form(), &[]);
        assert_eq!(status, 200);
        body
    }

    /// The value of one series of the gateway's metrics.
    pub fn metric(&self, series: &str) -> f64 {
        super::http::find(&self.metrics.encode(), &format!("sip_relay_gateway_{series}")).unwrap_or(0.0)
    }

    /// Waits until a series has this value.
    pub fn expect_metric(&self, series: &str, value: f64) {
        let there = super::eventually(WAIT, || self.metric(series) == value);
        assert!(there, "{series} is {}, not {value}:\n{}", self.metric(series), self.metrics.encode());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The command is sent here; waiting for it needs no runtime, the thread's end says it.
        drop(self.server.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A call that a program was given.
#[derive(Debug)]
pub struct Call {
    pub transport: SipTransport,
    pub config: Option<Arc<DidConfig>>,
}

/// Waits for the next call.
pub fn take_call(calls: &Feed<Call>) -> Call {
    let call = calls.wait(Instant::now() + WAIT, |calls| (!calls.is_empty()).then(|| calls.remove(0)));
    call.expect("on_session is called")
}

/// Runs what a program does with a call, on a runtime of its own.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let deadline = WAIT + Duration::from_secs(10);
    runtime
        .block_on(async { tokio::time::timeout(deadline, work).await })
        .expect("the program is done in time")
}

pub fn is_over<T: std::fmt::Debug>(result: Result<T, SipTransportError>) -> bool {
    matches!(result, Err(SipTransportError::ProviderConnection(_)))
}

/// The form of a webhook, as pairs.
pub fn call_form() -> Vec<(&'static str, &'static str)> {
    vec![("From", CALLER), ("To", DID), ("CallSid", "test-call-001")]
}

/// Posts a form. Gives the status and the body.
pub fn post_form(
    at: SocketAddr,
    path: &str,
    form: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> (u16, String) {
    let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(headers);
    let (status, _, body) = request(at, "POST", path, &all, url_encoded(form).as_bytes());
    (status, body)
}

pub fn url_encoded(form: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    form.iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// One request. Gives the status, the head and the body.
pub fn request(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String, String) {
    let mut tcp = TcpStream::connect_timeout(&at, WAIT).unwrap();
    tcp.set_read_timeout(Some(WAIT)).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    tcp.write_all(head.as_bytes()).unwrap();
    // A body that is refused may not be read.
    let _ = tcp.write_all(body);
    let mut response = Vec::new();
    let _ = tcp.read_to_end(&mut response);
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

/// A stream, from the provider's side.
pub struct Caller {
    pub ws: WsClient,
    twilio: bool,
    chunk: u64,
}

impl Caller {
    /// Opens the socket and says nothing.
    pub fn open(at: SocketAddr) -> Self {
        Self::open_with(at, &[]).expect("the gateway accepts the socket")
    }

    /// The same with headers. Gives the HTTP status when the gateway refuses.
    pub fn open_with(at: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let ws = WsClient::open(at, "/sip/media-stream", headers)?;
        Ok(Self { ws, twilio: false, chunk: 0 })
    }

    /// A Telnyx stream as our TeXML asks for: L16, 16000.
    pub fn telnyx(at: SocketAddr) -> Self {
        let mut caller = Self::open(at);
        caller.say(&telnyx_connected());
        caller.say(&telnyx_start());
        caller
    }

    /// A Twilio stream.
    pub fn twilio(at: SocketAddr) -> Self {
        let mut caller = Self::open(at);
        caller.say(&twilio_connected());
        caller.say(&twilio_start());
        caller
    }

    /// Sends a message.
    pub fn say(&mut self, message: &Value) {
        self.twilio |= message["protocol"] == "Call";
        self.ws.send(&message.to_string());
    }

    /// Sends audio in the stream's format.
    pub fn media(&mut self, payload: &[u8]) {
        self.chunk += 1;
        let media = json!({
            "track": "inbound",
            "chunk": self.chunk.to_string(),
            "timestamp": (self.chunk * 20).to_string(),
            "payload": STANDARD.encode(payload),
        });
        self.event("media", json!({ "media": media }));
    }

    /// Sends an event with these fields beside the stream's id.
    pub fn event(&mut self, event: &str, mut message: Value) {
        message["event"] = event.into();
        if self.twilio {
            message["streamSid"] = "MZ1".into();
        } else {
            message["stream_id"] = "stream-1".into();
        }
        self.say(&message);
    }

    pub fn stop(&mut self) {
        let stop = if self.twilio { json!({"callSid": "CA1"}) } else { json!({"call_control_id": "v3:cc1"}) };
        self.event("stop", json!({ "stop": stop }));
    }

    /// The next message of the gateway.
    pub fn next(&mut self) -> Value {
        match self.ws.next_signal(WAIT) {
            Some(Incoming::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The next one, which must be of this event.
    pub fn expect(&mut self, event: &str) -> Value {
        let message = self.next();
        assert_eq!(message["event"], event, "{message}");
        message
    }

    /// The audio of the next `n` messages, which must be media.
    pub fn hear(&mut self, n: usize) -> Vec<Vec<u8>> {
        (0..n).map(|_| payload(&self.expect("media"))).collect()
    }
}

/// The audio in a message.
pub fn payload(message: &Value) -> Vec<u8> {
    STANDARD.decode(message["media"]["payload"].as_str().expect("a payload")).unwrap()
}

pub fn telnyx_connected() -> Value {
    json!({"event": "connected", "version": "1.0.0"})
}

pub fn telnyx_start() -> Value {
    telnyx_start_of(json!({"encoding": "L16", "sample_rate": "16000", "channels": 1}))
}

pub fn telnyx_start_of(format: Value) -> Value {
    json!({
        "event": "start",
        "sequence_number": "1",
        "stream_id": "stream-1",
        "start": {
            "call_control_id": "v3:cc1",
            "custom_parameters": {"caller_id": CALLER, "did": DID},
            "media_format": format,
        },
    })
}

pub fn twilio_connected() -> Value {
    json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})
}

pub fn twilio_start() -> Value {
    json!({
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "accountSid": "AC1",
            "streamSid": "MZ1",
            "callSid": "CA1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"caller_id": CALLER, "did": DID},
        },
    })
}
