//! `WsClient` owns one WebSocket connection to the relay: writes frames by hand, keeps every message with its time.
//!
//! Audio and signalling are kept in order of arrival; `expect` walks the signalling and steps over audio.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::invariants::{EventLog, Invariants};
use super::{Feed, WAIT};

/// How long a client waits for what must not come.
pub const QUIET: Duration = Duration::from_millis(150);

/// What came over the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// The connection is over: the close code of the peer, or `None` when it ended without one.
    Closed(Option<u16>),
}

impl Incoming {
    /// True for CALLED, which comes with every RING_ANS of an inbound call in multi mode. That it does is for the invariants
    /// and for the tests of it.
    pub fn is_called(&self) -> bool {
        matches!(self, Incoming::Text(text) if text.starts_with("CALLED:"))
    }

    /// True for a message that carries audio.
    pub fn is_rtp(&self) -> bool {
        match self {
            Incoming::Text(text) => text.starts_with("RTP:"),
            Incoming::Binary(bytes) => bytes.starts_with(b"RTP:"),
            _ => false,
        }
    }
}

pub struct WsClient {
    stream: Shared,
    incoming: Arc<Feed<(Instant, Incoming)>>,
    /// Messages that `expect` has passed.
    read: usize,
    /// It had multi mode, or classic or hex mode.
    multi: AtomicBool,
    focus: AtomicBool,
}

impl WsClient {
    /// Connects to `/` with this query (`""`, or `mode=multi&codec=pcmu`).
    pub fn connect(relay: SocketAddr, query: &str) -> Self {
        Self::open(relay, &format!("/?{query}"), &[]).expect("the relay accepts the connection")
    }

    /// Connects with a path and headers. Gives the HTTP status when the relay refuses.
    pub fn open(relay: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let tcp = TcpStream::connect_timeout(&relay, WAIT).expect("the relay listens");
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(WAIT)).unwrap();
        let stream = Shared::new(tcp);
        let mut request = format!("ws://{relay}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let socket = match tokio_tungstenite::tungstenite::client(request, stream.clone()) {
            Ok((socket, _)) => socket,
            Err(HandshakeError::Failure(Error::Http(response))) => return Err(response.status().as_u16()),
            Err(error) => panic!("WebSocket handshake: {error}"),
        };
        stream.tcp.set_read_timeout(None).unwrap();
        let incoming = Arc::new(Feed::new());
        let feed = incoming.clone();
        std::thread::spawn(move || receive(socket, &feed));
        let multi =
            path.contains("mode=multi") || headers.iter().any(|(_, value)| *value == "sip-relay.multi");
        let (multi, focus) = (AtomicBool::new(multi), AtomicBool::new(!multi));
        Ok(Self { stream, incoming, read: 0, multi, focus })
    }

    /// Sends one text message.
    pub fn send(&self, text: &str) {
        match text {
            "MODE:multi" => self.multi.store(true, Ordering::Relaxed),
            "MODE:classic" | "MODE:hex" => self.focus.store(true, Ordering::Relaxed),
            _ => {}
        }
        self.send_frame(0x81, text.as_bytes());
    }

    /// Sends one binary message.
    pub fn send_binary(&self, bytes: &[u8]) {
        self.send_frame(0x82, bytes);
    }

    /// Sends one text message in frames of at most `size` bytes (RFC 6455 §5.4).
    pub fn send_fragmented(&self, text: &str, size: usize) {
        let count = text.len().div_ceil(size);
        for (n, part) in text.as_bytes().chunks(size).enumerate() {
            let (opcode, fin) = (u8::from(n == 0), if n + 1 == count { 0x80 } else { 0 });
            self.send_frame(fin | opcode, part);
        }
    }

    /// Sends audio for a call: `RTP:{call-id}##{base64 of the samples}`.
    pub fn send_pcm(&self, call_id: &str, pcm: &[i16]) {
        self.send(&format!("RTP:{call_id}##{}", STANDARD.encode(bytes(pcm))));
    }

    /// Sends one masked frame with this first byte.
    pub fn send_frame(&self, first: u8, payload: &[u8]) {
        let frame = frame(first, payload);
        // A connection that the relay has closed shows in `expect_close`, not here.
        let _ = self.stream.clone().write_all(&frame);
    }

    /// Waits for the next signalling message, which must start with `prefix`, and returns all of it.
    pub fn expect(&mut self, prefix: &str) -> String {
        self.expect_within(prefix, WAIT)
    }

    pub fn expect_within(&mut self, prefix: &str, timeout: Duration) -> String {
        match self.next_signal(timeout) {
            Some(Incoming::Text(text)) if text.starts_with(prefix) => text,
            other => panic!(
                "expected {prefix:?} within {timeout:?}, got {other:?}; all so far: {:?}",
                self.signals()
            ),
        }
    }

    /// Waits for signalling messages that are exactly these, in this order.
    pub fn expect_all(&mut self, messages: &[&str]) {
        for message in messages {
            let text = self.expect(message);
            assert_eq!(&text, message, "all so far: {:?}", self.signals());
        }
    }

    /// Waits for a signalling message that starts with `prefix`, stepping over others.
    pub fn wait_for(&mut self, prefix: &str) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            match self.next_signal(deadline.saturating_duration_since(Instant::now())) {
                Some(Incoming::Text(text)) if text.starts_with(prefix) => return text,
                Some(Incoming::Text(_)) => {}
                other => panic!("no {prefix:?}, got {other:?}; all so far: {:?}", self.signals()),
            }
        }
    }

    /// Every CALLED so far.
    pub fn called(&self) -> Vec<String> {
        let texts = self.transcript().into_iter().filter_map(|(_, message)| match message {
            Incoming::Text(text) if text.starts_with("CALLED:") => Some(text),
            _ => None,
        });
        texts.collect()
    }

    /// True when no signalling arrives within `time`.
    pub fn is_quiet(&mut self, time: Duration) -> bool {
        self.next_signal(time).is_none()
    }

    /// Waits until `n` audio messages have arrived in all and returns all, with their times.
    pub fn expect_rtp(&self, n: usize, timeout: Duration) -> Vec<(Instant, Incoming)> {
        let audio = |list: &mut Vec<(Instant, Incoming)>| {
            list.iter().filter(|m| m.1.is_rtp()).cloned().collect::<Vec<_>>()
        };
        let enough = self.incoming.wait(Instant::now() + timeout, |list| {
            let count = list.iter().filter(|m| m.1.is_rtp()).count();
            (count >= n).then(|| audio(list))
        });
        enough.unwrap_or_else(|| {
            panic!("{} of {n} RTP messages in {timeout:?}", self.incoming.with(audio).len())
        })
    }

    /// The first `RTP:{payload type}##{hex}` messages as (payload type, payload).
    pub fn expect_classic_rtp(&self, n: usize) -> Vec<(u8, Vec<u8>)> {
        let messages = self.expect_rtp(n, WAIT + Duration::from_millis(20 * n as u64));
        messages.iter().map(|(_, message)| classic_rtp(message)).collect()
    }

    /// Everything so far, in order.
    pub fn transcript(&self) -> Vec<(Instant, Incoming)> {
        self.incoming.with(|list| list.clone())
    }

    /// All signalling so far.
    pub fn signals(&self) -> Vec<Incoming> {
        self.transcript().into_iter().map(|(_, m)| m).filter(|m| !m.is_rtp()).collect()
    }

    /// What this client saw, for [`super::invariants::Invariants`].
    pub fn log(&self) -> EventLog {
        EventLog {
            multi: self.multi.load(Ordering::Relaxed),
            focus: self.focus.load(Ordering::Relaxed),
            messages: self.transcript().into_iter().map(|(_, message)| message).collect(),
            open: false,
        }
    }

    /// The end of a test: nothing more comes, the connection works, and the whole log keeps the invariants.
    pub fn finish(mut self) {
        assert!(self.is_quiet(QUIET), "nothing more is said; all so far: {:?}", self.signals());
        self.assert_open();
        Invariants::check(&self.log());
    }

    /// Fails unless the relay answers a ping.
    pub fn assert_open(&mut self) {
        let before = self.incoming.len();
        self.send_frame(0x89, b"open?");
        let alive = self.incoming.wait(Instant::now() + WAIT, |list| {
            list[before..].iter().find_map(|(_, m)| match m {
                Incoming::Pong(_) => Some(true),
                Incoming::Closed(_) => Some(false),
                _ => None,
            })
        });
        assert_eq!(alive, Some(true), "the connection answers a ping; all so far: {:?}", self.signals());
    }

    /// Waits for the relay to close the connection and returns its close code.
    pub fn expect_close(&mut self) -> Option<u16> {
        let closed = self.incoming.wait(Instant::now() + WAIT, |list| {
            list.iter().find_map(|(_, m)| if let Incoming::Closed(code) = m { Some(*code) } else { None })
        });
        closed.expect("the relay closes the connection")
    }

    /// Waits for the next message that is neither audio nor CALLED, which `called` gives.
    pub fn next_signal(&mut self, timeout: Duration) -> Option<Incoming> {
        let start = self.read;
        let found = self.incoming.wait(Instant::now() + timeout, |list| {
            let signal = |m: &Incoming| !m.is_rtp() && !m.is_called() && !matches!(m, Incoming::Pong(_));
            let offset = list[start..].iter().position(|(_, m)| signal(m))?;
            Some((start + offset + 1, list[start + offset].1.clone()))
        });
        let (read, message) = found?;
        self.read = read;
        Some(message)
    }
}

impl Drop for WsClient {
    fn drop(&mut self) {
        let _ = self.stream.tcp.shutdown(Shutdown::Both);
    }
}

/// Takes a classic event apart: payload type and payload.
pub fn classic_rtp(message: &Incoming) -> (u8, Vec<u8>) {
    let Incoming::Text(text) = message else { panic!("classic audio is text, not {message:?}") };
    let (payload_type, hex) =
        text.strip_prefix("RTP:").and_then(|t| t.split_once("##")).expect("RTP:{pt}##{hex}");
    (payload_type.parse().unwrap(), unhex(hex))
}

/// Takes a multi event apart: call id and samples.
pub fn multi_rtp(message: &Incoming) -> (String, Vec<i16>) {
    let Incoming::Text(text) = message else { panic!("text frames were asked for, not {message:?}") };
    let (call_id, audio) =
        text.strip_prefix("RTP:").and_then(|t| t.split_once("##")).expect("RTP:{id}##{base64}");
    (call_id.to_owned(), samples(&STANDARD.decode(audio).unwrap()))
}

pub fn unhex(hex: &str) -> Vec<u8> {
    assert!(
        hex.len().is_multiple_of(2) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "{hex:?}"
    );
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

pub fn bytes(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().flat_map(|s| s.to_le_bytes()).collect()
}

pub fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

fn receive(mut socket: WebSocket<Shared>, feed: &Feed<(Instant, Incoming)>) {
    let mut code = None;
    loop {
        let message = match socket.read() {
            Ok(Message::Text(text)) => Incoming::Text(text.as_str().to_owned()),
            Ok(Message::Binary(data)) => Incoming::Binary(data.to_vec()),
            Ok(Message::Pong(data)) => Incoming::Pong(data.to_vec()),
            Ok(Message::Close(frame)) => {
                code = frame.map(|f| f.code.into());
                continue;
            }
            Ok(_) => continue,
            Err(_) => break,
        };
        feed.push((Instant::now(), message));
    }
    feed.push((Instant::now(), Incoming::Closed(code)));
}

/// One TCP connection for a reader that answers pings and for a writer: a write is one whole frame.
#[derive(Debug, Clone)]
pub struct Shared {
    pub tcp: Arc<TcpStream>,
    writing: Arc<Mutex<()>>,
}

impl Shared {
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp: Arc::new(tcp), writing: Arc::default() }
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (&*self.tcp).read(buffer)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _whole_frame = self.writing.lock().unwrap();
        (&*self.tcp).write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        (&*self.tcp).flush()
    }
}

/// One masked frame with this first byte (RFC 6455 §5.2).
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
