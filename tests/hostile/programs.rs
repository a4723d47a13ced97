//! The attacks that watch what they do: a client that loses its connection all the time and must miss nothing, scanners
//! of the wild, and somebody who asks whether the relay is well.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::attacks::{Did, Target};
use crate::common::relay::Relay;
use crate::common::ws::{Incoming, WsClient};
use crate::common::{http, tools};
use crate::watermark::{Codebook, Found};

/// What a client heard that was connected half of the time.
#[derive(Default)]
pub struct Resumed {
    pub times: u64,
    /// The marks of one call, in order.
    pub frames: Vec<u16>,
}

impl Resumed {
    /// Neighbours of which the second is not the frame after the first.
    pub fn gaps(&self) -> Vec<(u16, u16)> {
        let pairs = self.frames.windows(2).map(|pair| (pair[0], pair[1]));
        pairs.filter(|(frame, next)| *next != frame.wrapping_add(1)).collect()
    }
}

/// Hears one call for five seconds, is gone for one, comes back to the same session, and so on.
pub fn resuming(target: &Target, call_id: &str) -> Resumed {
    let codebook = Codebook::new();
    let mut heard = Resumed::default();
    let mut received = 0;
    while target.goes_on() {
        let query = match received {
            0 => "mode=multi&session=hostile".to_owned(),
            n => format!("mode=multi&session=hostile&received={n}"),
        };
        let mut client = WsClient::connect(target.ws, &query);
        if received == 0 {
            client.wait_for(&format!("CALL_ANS:{call_id}"));
            client.send("UNSUBSCRIBE:*");
            client.send(&format!("SUBSCRIBE:{call_id}"));
        }
        target.pause(Duration::from_secs(5));
        for (_, message) in client.transcript() {
            let Incoming::Text(text) = message else { continue };
            received += 1;
            heard.frames.extend(mark(&codebook, &text, call_id));
        }
        drop(client);
        heard.times += 1;
        target.pause(Duration::from_secs(1));
    }
    heard
}

fn mark(codebook: &Codebook, text: &str, call_id: &str) -> Option<u16> {
    let audio = text.strip_prefix("RTP:")?.strip_prefix(call_id)?.strip_prefix("##")?;
    match codebook.read_pcm(&STANDARD.decode(audio).ok()?) {
        Found::Mark { frame, .. } => Some(frame),
        _ => None,
    }
}

/// `svmap` and `svwar` of SIPVicious (PyPI), one after the other, from an allowed address.
pub fn scanners(target: &Target, relay: SocketAddr) -> Did {
    let names = ["sipvicious_svmap", "sipvicious_svwar"];
    let found: HashMap<_, _> = names.iter().filter_map(|name| Some((*name, tools::which(name)?))).collect();
    let (port, host) = (relay.port().to_string(), relay.ip().to_string());
    let common = ["-b", SCANNER, "-p", &port];
    let runs: [(&str, &[&str]); 4] = [
        (names[0], &["-m", "OPTIONS"]),
        (names[0], &["-m", "INVITE"]),
        (names[1], &["-e100-400", "-m", "OPTIONS"]),
        (names[1], &["-e100-400", "--force"]),
    ];
    let mut ended = 0;
    while target.goes_on() {
        for (name, args) in runs {
            let Some(program) = found.get(name) else {
                return vec![("scanners run (SIPVicious is not installed)", 0)];
            };
            let mut command = Command::new(program);
            command.args(common).args(args).arg(&host);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            let limit = Instant::now() + Duration::from_secs(30);
            while target.goes_on() && Instant::now() < limit && child.try_wait().unwrap().is_none() {
                target.pause(Duration::from_millis(100));
            }
            ended += u64::from(child.try_wait().unwrap().is_some());
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    vec![("scanners run to their end", ended)]
}

/// How the relay was, once a second.
#[derive(Default)]
pub struct Health {
    /// Resident memory, KiB.
    pub resident: Vec<u64>,
    /// Requests of `/health` without a 200.
    pub unwell: u64,
    pub slowest: Duration,
}

impl Health {
    /// Mean resident memory of a stretch of the run (shares of it, 0 to 1), KiB.
    pub fn resident_between(&self, from: f64, to: f64) -> u64 {
        let at = |share: f64| (self.resident.len() as f64 * share) as usize;
        let part = &self.resident[at(from)..at(to).max(at(from) + 1).min(self.resident.len())];
        part.iter().sum::<u64>() / part.len().max(1) as u64
    }
}

/// Asks until the attack is over.
pub fn watching(target: &Target, relay: &Relay) -> Health {
    let mut health = Health::default();
    while target.goes_on() {
        let begin = Instant::now();
        let well = http::try_get(target.ws, "/health").is_some_and(|(status, _)| status == 200);
        health.slowest = health.slowest.max(begin.elapsed());
        health.unwell += u64::from(!well);
        health.resident.push(relay.resident_kib());
        target.pause(Duration::from_secs(1));
    }
    health
}

/// The address of the scanners.
pub const SCANNER: &str = "127.0.0.31";
