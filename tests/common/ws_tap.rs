//! `WsTap` stands between a client and a relay: passes bytes on, notes what is said, and cuts connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::Feed;

/// A text message, or the first line of a request, that passed. Audio is left out.
#[derive(Debug, Clone)]
pub struct Passed {
    pub at: Instant,
    /// True: to the relay.
    pub up: bool,
    pub text: String,
}

pub struct WsTap {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    passed: Feed<Passed>,
    connections: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
}

impl WsTap {
    /// On a free port of loopback, in front of `to`.
    pub fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to,
            passed: Feed::new(),
            connections: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.stop.load(Ordering::Relaxed) {
                    return;
                }
                accepting.serve(client);
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection, with what is under way in it.
    pub fn cut(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// What has passed so far.
    pub fn passed(&self) -> Vec<Passed> {
        self.shared.passed.with(|passed| passed.clone())
    }

    /// Waits until something passes that `wanted` takes.
    pub fn wait<R>(&self, deadline: Instant, wanted: impl Fn(&Passed) -> Option<R>) -> Option<R> {
        self.shared.passed.wait(deadline, |passed| passed.iter().find_map(&wanted))
    }
}

impl Drop for WsTap {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, client: TcpStream) {
        let Ok(relay) = TcpStream::connect(self.to) else { return };
        for socket in [&client, &relay] {
            let _ = socket.set_nodelay(true);
            self.connections.lock().unwrap().push(socket.try_clone().unwrap());
        }
        for (from, to, up) in
            [(client.try_clone().unwrap(), relay.try_clone().unwrap(), true), (relay, client, false)]
        {
            let shared = self.clone();
            std::thread::spawn(move || shared.pass(from, to, up));
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, up: bool) {
        let mut reader = FrameReader::default();
        let mut buffer = vec![0; 65_536];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            // What goes up is noted before it can have an effect, what comes down after it has come.
            let at = Instant::now();
            for text in reader.take(&buffer[..n]) {
                self.passed.push(Passed { at, up, text });
            }
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Finds the text messages in one direction of a connection (RFC 6455 §5.2), audio apart.
#[derive(Default)]
struct FrameReader {
    bytes: Vec<u8>,
    upgraded: bool,
}

impl FrameReader {
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.bytes.extend_from_slice(bytes);
        let mut texts = Vec::new();
        if !self.upgraded {
            let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                return texts;
            };
            let head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
            texts.extend(head.lines().next().map(str::to_owned));
            self.bytes.drain(..end + 4);
            self.upgraded = true;
        }
        while let Some((opcode, payload, length)) = frame(&self.bytes) {
            if opcode == 1 && !payload.starts_with(b"RTP:") {
                texts.push(String::from_utf8(payload).unwrap());
            }
            self.bytes.drain(..length);
        }
        texts
    }
}

/// The first frame: its opcode, its payload without the mask, its length in all.
fn frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, mut at) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap(), 10),
        short => (usize::from(short), 2),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        mask.copy_from_slice(bytes.get(at..at + 4)?);
        at += 4;
    }
    let payload = bytes.get(at..at + length)?;
    let payload = payload.iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]).collect();
    Some((first & 0x0f, payload, at + length))
}
