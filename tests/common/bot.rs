//! `BotServer` is a bot for Twilio Media Streams that a test writes: it accepts WebSockets, keeps every message with its time,
//! and says what the test says.

// The error of the handshake's callback is the library's.
#![allow(clippy::result_large_err)]

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::Write;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::ws::Shared;
use super::{Feed, WAIT};

pub struct BotServer {
    address: SocketAddr,
    streams: Arc<Feed<BotStream>>,
}

/// What came over a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A message of the protocol.
    Json(Value),
    Ping,
    /// The connection is over: the close code of the relay, or `None` when it ended without one.
    Closed(Option<u16>),
}

/// One connection to the bot.
pub struct BotStream {
    /// Path and query of the upgrade.
    pub target: String,
    /// Headers of the upgrade, names in lower case.
    pub headers: Vec<(String, String)>,
    stream: Shared,
    heard: Arc<Feed<(Instant, Heard)>>,
    /// Messages that `expect` has passed.
    read: usize,
    /// Learned from `start`.
    pub stream_sid: String,
}

impl BotServer {
    pub fn start() -> Self {
        Self::new(true)
    }

    /// A bot that takes connections and never reads from them.
    pub fn deaf() -> Self {
        Self::new(false)
    }

    fn new(reads: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, streams) = (listener.local_addr().unwrap(), Arc::new(Feed::new()));
        let feed = streams.clone();
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let feed = feed.clone();
                std::thread::spawn(move || accept(tcp, reads, &feed));
            }
        });
        Self { address, streams }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address with a path and query.
    pub fn url(&self, target: &str) -> String {
        format!("ws://{}{target}", self.address)
    }

    /// Waits for a connection.
    pub fn expect_stream(&self) -> BotStream {
        let stream = self
            .streams
            .wait(Instant::now() + WAIT, |streams| (!streams.is_empty()).then(|| streams.remove(0)));
        stream.expect("the relay connects to the bot")
    }

    /// Waits for a connection and for its first two messages, which are as they should be.
    pub fn expect_started(&self) -> (BotStream, Value) {
        let mut stream = self.expect_stream();
        let connected = stream.expect("connected");
        assert_eq!(connected, json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}));
        let start = stream.expect("start");
        stream.stream_sid = start["streamSid"].as_str().unwrap().to_owned();
        (stream, start)
    }

    /// Connections that no test has asked for.
    pub fn waiting(&self) -> usize {
        self.streams.len()
    }
}

impl BotStream {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Waits for the next message that is no media, which must be this event.
    pub fn expect(&mut self, event: &str) -> Value {
        match self.next(WAIT) {
            Some(Heard::Json(value)) if value["event"] == event => value,
            other => panic!("expected {event:?}, got {other:?}; all so far: {:?}", self.signals()),
        }
    }

    /// Waits for the mark of this name.
    pub fn expect_mark(&mut self, name: &str) {
        let mark = self.expect("mark");
        assert_eq!(mark["mark"]["name"], name, "all so far: {:?}", self.signals());
    }

    /// Waits for the relay to close the connection, with this code or without one.
    pub fn expect_closed(&mut self, code: Option<u16>) {
        assert_eq!(self.next(WAIT), Some(Heard::Closed(code)), "all so far: {:?}", self.signals());
    }

    /// True when nothing but media comes within `time`.
    pub fn is_quiet(&mut self, time: Duration) -> bool {
        self.next(time).is_none()
    }

    fn next(&mut self, timeout: Duration) -> Option<Heard> {
        let start = self.read;
        let found = self.heard.wait(Instant::now() + timeout, |list| {
            let offset = list[start..].iter().position(|(_, heard)| is_signal(heard))?;
            Some((start + offset + 1, list[start + offset].1.clone()))
        });
        let (read, heard) = found?;
        self.read = read;
        Some(heard)
    }

    /// Waits until `n` media messages have come in all and returns all, with their times.
    pub fn expect_media(&self, n: usize) -> Vec<(Instant, Value)> {
        let timeout = WAIT + Duration::from_millis(20 * n as u64);
        let enough = self.heard.wait(Instant::now() + timeout, |list| {
            let media = media(list);
            (media.len() >= n).then_some(media)
        });
        enough.unwrap_or_else(|| panic!("{} of {n} media messages in {timeout:?}", self.media().len()))
    }

    /// All media messages so far.
    pub fn media(&self) -> Vec<(Instant, Value)> {
        self.heard.with(|list| media(list))
    }

    /// The caller's audio so far.
    pub fn audio(&self) -> Vec<u8> {
        self.media().iter().flat_map(|(_, media)| payload(media)).collect()
    }

    /// Everything so far, in order.
    pub fn everything(&self) -> Vec<Heard> {
        self.heard.with(|list| list.iter().map(|(_, heard)| heard.clone()).collect())
    }

    /// Everything that is no media, so far.
    pub fn signals(&self) -> Vec<Heard> {
        self.heard.with(|list| list.iter().map(|(_, h)| h.clone()).filter(is_signal).collect())
    }

    pub fn send(&self, message: &Value) {
        self.send_text(&message.to_string());
    }

    pub fn send_media(&self, mulaw: &[u8]) {
        let payload = STANDARD.encode(mulaw);
        self.send(&json!({"event": "media", "streamSid": self.stream_sid, "media": {"payload": payload}}));
    }

    pub fn send_mark(&self, name: &str) {
        self.send(&json!({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}}));
    }

    pub fn send_clear(&self) {
        self.send(&json!({"event": "clear", "streamSid": self.stream_sid}));
    }

    pub fn send_text(&self, text: &str) {
        self.send_frame(0x81, text.as_bytes());
    }

    /// Closes the WebSocket as a bot that has finished does (1000).
    pub fn close(&self) {
        self.send_frame(0x88, &1000_u16.to_be_bytes());
    }

    /// Breaks the connection without a word.
    pub fn crash(&self) {
        let _ = self.stream.tcp.shutdown(Shutdown::Both);
    }

    /// Sends one frame with this first byte; a server does not mask.
    pub fn send_frame(&self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            n @ 0..126 => frame.push(n as u8),
            n @ 126..=0xffff => {
                frame.push(126);
                frame.extend((n as u16).to_be_bytes());
            }
            n => {
                frame.push(127);
                frame.extend((n as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        // A connection that the relay has closed shows in `expect_closed`, not here.
        let _ = self.stream.clone().write_all(&frame);
    }
}

impl Drop for BotStream {
    fn drop(&mut self) {
        self.crash();
    }
}

/// The µ-law of a media message.
pub fn payload(media: &Value) -> Vec<u8> {
    STANDARD.decode(media["media"]["payload"].as_str().unwrap()).unwrap()
}

fn media(list: &[(Instant, Heard)]) -> Vec<(Instant, Value)> {
    let media = list.iter().filter_map(|(at, heard)| match heard {
        Heard::Json(value) if value["event"] == "media" => Some((*at, value.clone())),
        _ => None,
    });
    media.collect()
}

fn is_signal(heard: &Heard) -> bool {
    match heard {
        Heard::Json(value) => value["event"] != "media",
        Heard::Ping => false,
        Heard::Closed(_) => true,
    }
}

fn accept(tcp: TcpStream, reads: bool, feed: &Feed<BotStream>) {
    tcp.set_nodelay(true).unwrap();
    let stream = Shared::new(tcp);
    let (mut target, mut headers) = (String::new(), Vec::new());
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        target = request.uri().to_string();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        headers = request.headers().iter().map(|(n, v)| (n.to_string(), text(v.as_bytes()))).collect();
        Ok(response)
    };
    let Ok(socket) = tokio_tungstenite::tungstenite::accept_hdr(stream.clone(), look) else { return };
    let heard = Arc::new(Feed::new());
    feed.push(BotStream {
        target,
        headers,
        stream,
        heard: heard.clone(),
        read: 0,
        stream_sid: String::new(),
    });
    if reads {
        receive(socket, &heard);
    }
}

fn receive(mut socket: WebSocket<Shared>, feed: &Feed<(Instant, Heard)>) {
    let mut code = None;
    loop {
        let heard = match socket.read() {
            Ok(Message::Text(text)) => Heard::Json(serde_json::from_str(text.as_str()).unwrap()),
            Ok(Message::Ping(_)) => Heard::Ping,
            Ok(Message::Close(frame)) => {
                code = frame.map(|frame| frame.code.into());
                continue;
            }
            Ok(other) => panic!("Twilio sends text, not {other:?}"),
            Err(_) => break,
        };
        feed.push((Instant::now(), heard));
    }
    feed.push((Instant::now(), Heard::Closed(code)));
}
