//! What one frame of one call costs, each way: `cargo bench -p rtp`.
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtp::{Encoder, FRAME, Session, SessionConfig};

fn main() {
    println!("session: {} bytes, output: {} bytes", size_of::<Session>(), size_of::<rtp::Output>());
    measure("send silence", |session, now, _| session.handle_timeout(now));
    measure("send PCM in 20 ms messages", |session, now, _| {
        session.queue_pcm(now, &[100; 160]).expect("a frame is taken as one is queued");
        session.handle_timeout(now);
    });
    measure("send payload in 20 ms messages", |session, now, _| {
        session.queue_payload(now, &[100; 160]).expect("a frame is taken as one is queued");
        session.handle_timeout(now);
    });
    let mut idle = SessionConfig::new(0, 1, 0, 0);
    idle.silence_fill = false;
    measure_with(idle.clone(), "tick without packet", |session, now, _| session.handle_timeout(now));
    measure_with(idle.clone(), "tick, receive in order", |session, now, n| {
        session.handle_timeout(now);
        session.handle_rtp(now, peer(), &packet(n));
    });
    measure_with(idle, "tick, receive 2 % lost, swapped pairs", |session, now, n| {
        session.handle_timeout(now);
        if n % 50 != 0 {
            session.handle_rtp(now, peer(), &packet(n ^ 1));
        }
    });
    measure("both ways, payload echoed", |session, now, n| {
        session.handle_rtp(now, peer(), &packet(n));
        session.queue_payload(now, &[100; 160]).expect("a frame is taken as one is queued");
        session.handle_timeout(now);
    });
}

fn measure(name: &str, frame: impl FnMut(&mut Session, Instant, u32)) {
    measure_with(SessionConfig::new(0, 1, 0, 0), name, frame);
}

fn measure_with(config: SessionConfig, name: &str, mut frame: impl FnMut(&mut Session, Instant, u32)) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let mut now = Instant::now();
        let mut session = Session::new(now, config.clone(), Box::new(Table::new()), 1);
        session.set_remote(now, peer(), None);
        session.start(now);
        while session.poll_output().is_some() {}
        let begin = Instant::now();
        for n in 0..FRAMES {
            now += FRAME;
            frame(&mut session, now, n);
            while let Some(output) = session.poll_output() {
                black_box(&output);
            }
            black_box(session.next_timeout());
        }
        best = best.min(begin.elapsed());
    }
    println!("{name:40} {:6.1} ns a frame", best.as_nanos() as f64 / f64::from(FRAMES));
}

/// As fast as G.711 by table is.
struct Table(Vec<u8>);

impl Table {
    fn new() -> Self {
        Self((0..4096_u32).map(|n| n as u8).collect())
    }
}

impl Encoder for Table {
    fn sample_rate(&self) -> u32 {
        8000
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) {
        payload.extend(pcm.iter().map(|sample| self.0[usize::from(*sample as u16 >> 4)]));
    }
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 4000))
}

fn packet(n: u32) -> [u8; 172] {
    let mut packet = [0xff; 172];
    packet[..2].copy_from_slice(&[0x80, 0]);
    packet[2..4].copy_from_slice(&(n as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&n.wrapping_mul(160).to_be_bytes());
    packet[8..12].copy_from_slice(&9_u32.to_be_bytes());
    packet
}

const FRAMES: u32 = 200_000;
