//! `Agent` is one WebSocket client that sends every audio message back word for word.
//!
//! Frames are read and written by hand on a non-blocking socket. The mask is all zeros, which is a mask like any other
//! to the relay and saves this program a copy.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;

pub struct Agent {
    pub stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of `input` that are filled.
    filled: usize,
    output: Vec<u8>,
    written: usize,
    /// Audio messages that were not sent back because the relay did not read.
    pub stalled: u64,
    /// How the connection ended, if it did.
    pub ended: Option<String>,
}

/// One whole message.
pub enum Line<'a> {
    Audio(&'a str),
    Signal(&'a str),
}

impl Agent {
    /// Connects in multi mode.
    pub fn connect(relay: SocketAddr) -> Self {
        let mut tcp = std::net::TcpStream::connect_timeout(&relay, PATIENCE).expect("the relay listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        tcp.set_nodelay(true).expect("the delay can be switched off");
        let request = format!(
            "GET /?mode=multi HTTP/1.1\r\nHost: {relay}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: bG9hZC1iZW5jaC1sb2FkLQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        tcp.write_all(request.as_bytes()).expect("the relay reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).expect("the relay answers");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        tcp.set_nonblocking(true).expect("a socket can be non-blocking");
        Self {
            stream: TcpStream::from_std(tcp),
            input: vec![0; READ],
            filled: 0,
            output: Vec::new(),
            written: 0,
            stalled: 0,
            ended: None,
        }
    }

    /// Reads what is there, at most one buffer full. False when there is nothing more for now.
    pub fn read(&mut self) -> bool {
        if self.filled == self.input.len() {
            self.input.resize(self.filled * 2, 0);
        }
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => self.end("end of stream"),
            Ok(n) => {
                self.filled += n;
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => self.end(&error.to_string()),
        }
    }

    /// The first reason is the one that counts. Returns false: there is nothing more to read.
    fn end(&mut self, how: &str) -> bool {
        self.ended.get_or_insert_with(|| how.to_owned());
        false
    }

    /// Hands over each whole message that was read; `true` sends it back.
    pub fn messages(&mut self, mut take: impl FnMut(Line<'_>) -> bool) {
        let (input, filled) = (std::mem::take(&mut self.input), self.filled);
        let mut at = 0;
        while let Some((opcode, start, end)) = frame(&input[at..filled]) {
            let payload = &input[at + start..at + end];
            at += end;
            let text = std::str::from_utf8(payload).unwrap_or_default();
            match opcode {
                0x1 => {
                    let audio = text.starts_with("RTP:");
                    let echo = take(if audio { Line::Audio(text) } else { Line::Signal(text) });
                    if echo && audio {
                        self.echo(payload);
                    }
                }
                0x9 => self.queue(0x8a, payload),
                0x8 => {
                    let why = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                    self.end(&format!("closed by the relay: {why}"));
                }
                _ => {}
            }
        }
        self.input = input;
        self.input.copy_within(at..filled, 0);
        self.filled = filled - at;
    }

    /// Queues one text message.
    pub fn say(&mut self, line: &str) {
        self.queue(0x81, line.as_bytes());
    }

    fn echo(&mut self, payload: &[u8]) {
        if self.output.len() - self.written > MAX_UNWRITTEN {
            self.stalled += 1;
            return;
        }
        self.queue(0x81, payload);
    }

    fn queue(&mut self, first: u8, payload: &[u8]) {
        self.output.push(first);
        match payload.len() {
            n @ 0..126 => self.output.push(0x80 | n as u8),
            n => {
                assert!(n < 1 << 16, "a message of {n} bytes");
                self.output.push(0x80 | 126);
                self.output.extend((n as u16).to_be_bytes());
            }
        }
        self.output.extend([0; 4]);
        self.output.extend(payload);
    }

    /// Writes what the relay takes.
    pub fn write(&mut self) {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.end(&error.to_string());
                    break;
                }
            }
        }
        self.output.clear();
        self.written = 0;
    }
}

/// Opcode, start and end of the payload of the first frame, if it is all there (RFC 6455 §5.2).
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        n => (2, usize::from(n)),
    };
    (bytes.len() >= start + length).then_some((first & 0x0f, start, start + length))
}

const READ: usize = 64 * 1024;
const MAX_UNWRITTEN: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(10);
