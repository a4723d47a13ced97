//! What strangers and mad programs do to a relay at the same time. Each attack runs until it is told to stop and says how
//! often it did what; none of them expects an answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{WAIT, ws::frame};

/// What is attacked, and until when.
pub struct Target {
    pub ws: SocketAddr,
    pub stop: AtomicBool,
}

/// Something that is done to a target until it is told to stop.
pub type Attack = fn(&Target) -> Did;

/// How often an attack did what.
pub type Did = Vec<(&'static str, u64)>;

/// The attacks on the WebSocket, by name.
pub const ALL: [(&str, Attack); 6] = [
    ("deaf", deaf),
    ("pinging", pinging),
    ("garbage", garbage),
    ("deaf_garbage", deaf_garbage),
    ("giant", giant),
    ("half_requests", half_requests),
];

impl Target {
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Waits, but not beyond the end of the attack.
    pub fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while self.goes_on() && Instant::now() < until {
            std::thread::sleep(time.min(Duration::from_millis(20)));
        }
    }

    /// A WebSocket by hand: connected, the handshake read. `None` when the relay refuses.
    fn open(&self, query: &str) -> Option<TcpStream> {
        let mut tcp = TcpStream::connect_timeout(&self.ws, WAIT).ok()?;
        tcp.set_read_timeout(Some(WAIT)).ok()?;
        tcp.set_write_timeout(Some(WAIT)).ok()?;
        write!(
            tcp,
            "GET /?{query} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.ws
        )
        .ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        head.starts_with(b"HTTP/1.1 101").then_some(tcp)
    }
}

/// Asks for the most audio there is and never reads; sends a ping now and then, and connects anew when it is closed.
pub fn deaf(target: &Target) -> Did {
    let (mut connected, mut pings) = (0, 0);
    while target.goes_on() {
        let Some(mut tcp) = target.open("mode=multi&rate=48000&frames=binary") else {
            target.pause(Duration::from_millis(100));
            continue;
        };
        connected += 1;
        while target.goes_on() && tcp.write_all(&frame(0x89, b"are you there?")).is_ok() {
            pings += 1;
            target.pause(Duration::from_millis(200));
        }
    }
    vec![("deaf clients connected", connected), ("pings of deaf clients", pings)]
}

/// Pings as fast as the relay takes them and never reads a pong.
pub fn pinging(target: &Target) -> Did {
    let many: Vec<u8> = (0..64).flat_map(|_| frame(0x89, &[b'x'; 125])).collect();
    let pings = flood(target, "mode=multi", &many, false);
    vec![("pings that nobody waits for", pings * 64)]
}

/// Text that makes no sense, as fast as the relay takes it; reads what it is told.
pub fn garbage(target: &Target) -> Did {
    vec![("messages of garbage, answers read", flood(target, "mode=multi", &nonsense(), true) * NONSENSE)]
}

/// The same, and never reads.
pub fn deaf_garbage(target: &Target) -> Did {
    vec![(
        "messages of garbage, answers not read",
        flood(target, "mode=multi", &nonsense(), false) * NONSENSE,
    )]
}

/// Announces 500 MB in a header and sends what it can of it; then the same in continuation frames.
pub fn giant(target: &Target) -> Did {
    let (mut announced, mut continued) = (0, 0);
    let block = vec![0; 1 << 20];
    let mut header = vec![0x82, 0xff];
    header.extend((500_u64 << 20).to_be_bytes());
    let all_of_it = |tcp: &mut TcpStream, piece: &[u8]| (0..500).all(|_| tcp.write_all(piece).is_ok());
    while target.goes_on() {
        if let Some(mut tcp) = target.open("") {
            announced += u64::from(tcp.write_all(&header).is_ok());
            all_of_it(&mut tcp, &block);
        }
        if let Some(mut tcp) = target.open("mode=multi") {
            continued += u64::from(tcp.write_all(&frame(0x01, &block)).is_ok());
            all_of_it(&mut tcp, &frame(0x00, &block));
        }
        target.pause(Duration::from_millis(500));
    }
    vec![("500 MB frames announced", announced), ("messages of 500 MB in fragments", continued)]
}

/// Opens connections that say half a request, and keeps them.
pub fn half_requests(target: &Target) -> Did {
    let mut held: Vec<TcpStream> = Vec::new();
    let mut opened = 0;
    while target.goes_on() {
        if let Ok(mut tcp) = TcpStream::connect_timeout(&target.ws, WAIT) {
            opened += u64::from(tcp.write_all(b"GET /?mode=multi HTTP/1.1\r\nHost: x\r\nUpgr").is_ok());
            held.push(tcp);
        }
        if held.len() > HALF_REQUESTS {
            let oldest = held.remove(0);
            let _ = oldest.shutdown(Shutdown::Both);
        }
        target.pause(Duration::from_millis(50));
    }
    vec![("half HTTP requests", opened)]
}

/// Writes `batch` again and again; connects anew when it is closed. How often it was written whole.
fn flood(target: &Target, query: &str, batch: &[u8], read: bool) -> u64 {
    let mut written = 0;
    let mut sink = vec![0; 1 << 16];
    while target.goes_on() {
        let Some(mut tcp) = target.open(query) else {
            target.pause(Duration::from_millis(100));
            continue;
        };
        let _ = tcp.set_nonblocking(true);
        let mut at = 0;
        while target.goes_on() {
            let mut idle = true;
            match tcp.write(&batch[at..]) {
                Ok(n) => {
                    idle = n == 0;
                    at += n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            if at == batch.len() {
                (at, written) = (0, written + 1);
            }
            match if read { tcp.read(&mut sink) } else { Err(ErrorKind::WouldBlock.into()) } {
                Ok(0) => break,
                Ok(_) => idle = false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            if idle {
                target.pause(Duration::from_millis(1));
            }
        }
    }
    written
}

/// Commands that are none, calls that are none, audio that is none.
fn nonsense() -> Vec<u8> {
    let long = "9".repeat(2000);
    let texts = [
        "GARBAGE:##:::",
        "",
        ":",
        "RTP:",
        "RTP:nobody##AAAA",
        "RTP:nobody##***",
        "BYE:nobody",
        "MARK:nobody##x",
        "CALL:12\u{1}34",
        "DTMF:nobody##zzz",
        "CALL_ANS:%00%23",
        "SUBSCRIBE:",
        "HANGUP:nobody##drain",
        "\u{202e}\u{fffd}\u{0}",
        &long,
    ];
    let frames = texts.iter().map(|text| frame(0x81, text.as_bytes()));
    frames.chain([frame(0x82, b"\x00\xffRTP:##")]).flatten().collect()
}

/// Messages in [`nonsense`].
const NONSENSE: u64 = 16;
/// Half requests that are held at once.
const HALF_REQUESTS: usize = 100;
