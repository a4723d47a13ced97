//! The attacks over UDP: SIP noise from peers that are allowed and from strangers, and RTP of a stranger.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use testkit::rng::Rng;

use crate::attacks::{Did, Target};

/// Five thousand datagrams a second to the SIP port: half from an allowed peer gone mad (damaged messages, garbage, calls
/// that it never acknowledges), half well-formed requests from a stranger.
pub fn sip(target: &Target, relay: SocketAddr) -> Did {
    let mut rng = Rng::new(5060);
    let seeds = seeds();
    let mad = UdpSocket::bind((MAD_PEER, 0)).unwrap();
    let stranger = UdpSocket::bind((STRANGER, 0)).unwrap();
    let (mut noise, mut invites, mut requests) = (0, 0, 0);
    let start = Instant::now();
    let mut sent = 0;
    while target.goes_on() {
        let due = (start.elapsed().as_secs_f64() * SIP_RATE) as u64;
        // What a stall has left behind is not made up for at once.
        for n in sent.max(due.saturating_sub(50))..due {
            let datagram = match n % 4 {
                0 | 2 => request(if n % 8 == 0 { "INVITE" } else { "OPTIONS" }, n, &stranger, relay),
                3 if n % INVITE_EVERY == 3 => request("INVITE", n, &mad, relay),
                _ => damaged(&seeds[rng.below(seeds.len() as u64) as usize], &mut rng),
            };
            let (socket, count) = match n % 4 {
                0 | 2 => (&stranger, &mut requests),
                3 if n % INVITE_EVERY == 3 => (&mad, &mut invites),
                _ => (&mad, &mut noise),
            };
            *count += u64::from(socket.send_to(&datagram, relay).is_ok());
        }
        sent = due;
        target.pause(Duration::from_millis(2));
    }
    vec![
        ("SIP noise from an allowed peer", noise),
        ("INVITEs that it never acknowledges", invites),
        ("SIP requests of a stranger", requests),
    ]
}

/// Audio and goodbyes to the ports of calls from somebody who guessed everything but the caller's address.
pub fn rtp(target: &Target, calls: &[(SocketAddr, u32)]) -> Did {
    let socket = UdpSocket::bind((STRANGER, 0)).unwrap();
    let (mut audio, mut byes) = (0, 0);
    let mut seq = 0_u16;
    while target.goes_on() {
        for (media, ssrc) in calls {
            let mut packet = vec![0x80, 0];
            packet.extend(seq.to_be_bytes());
            packet.extend((u32::from(seq) * 160).to_be_bytes());
            packet.extend(ssrc.to_be_bytes());
            packet.extend([0x11; 160]);
            audio += u64::from(socket.send_to(&packet, media).is_ok());
            if seq.is_multiple_of(10) {
                let mut bye = vec![0x81, 203, 0, 1];
                bye.extend(ssrc.to_be_bytes());
                let rtcp = SocketAddr::new(media.ip(), media.port() + 1);
                byes += u64::from(socket.send_to(&bye, rtcp).is_ok());
            }
        }
        seq = seq.wrapping_add(1);
        target.pause(Duration::from_millis(20));
    }
    vec![("RTP of a stranger", audio), ("RTCP BYE of a stranger", byes)]
}

/// A whole and sensible request.
fn request(method: &str, n: u64, from: &UdpSocket, relay: SocketAddr) -> Vec<u8> {
    let local = from.local_addr().unwrap();
    let sdp = match method {
        "INVITE" => testkit::sdp::audio(SocketAddr::new(local.ip(), 4000), &[0]),
        _ => String::new(),
    };
    format!(
        "{method} sip:100@{relay} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKx{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:x@{local}>;tag=x{n}\r\nTo: <sip:100@{relay}>\r\nCall-ID: x{n}@{local}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:x@{local}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
    .into_bytes()
}

/// The messages with which the SIP core is fuzzed.
fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sip_datagram");
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let mut seeds: Vec<Vec<u8>> = files.collect();
    seeds.sort();
    seeds
}

/// The message with up to three wounds: octets changed, cut out, or said twice.
fn damaged(message: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..rng.below(4) {
        if message.is_empty() {
            break;
        }
        let at = rng.below(message.len() as u64) as usize;
        let end = (at + 1 + rng.below(20) as usize).min(message.len());
        match rng.below(3) {
            0 => message[at] = rng.below(256) as u8,
            1 => drop(message.drain(at..end)),
            _ => {
                let again = message[at..end].to_vec();
                message.splice(at..at, again);
            }
        }
    }
    message.truncate(1400);
    message
}

/// An allowed peer that sends noise.
pub const MAD_PEER: &str = "127.0.0.30";
/// Somebody who is not allowed to speak SIP.
pub const STRANGER: &str = "127.0.0.66";
/// Datagrams a second.
const SIP_RATE: f64 = 5000.0;
/// Every so many of them a call that is never acknowledged: about ten a second.
const INVITE_EVERY: u64 = 500;
