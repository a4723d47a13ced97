//! `Served` is a voice backend of the library on loopback, with everything it tells kept in order.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip_relay::backend::{AudioFrame, DtmfEvent, SipBackendConfig, SipVoiceBackend, VoiceSession};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Feed, WAIT, eventually, free_ports};

/// One thing that a backend told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Call(VoiceSession),
    Disconnected(VoiceSession),
    Audio(VoiceSession, AudioFrame, Instant),
    Dtmf(VoiceSession, DtmfEvent),
    BargeIn(VoiceSession),
}

pub struct Served {
    pub backend: SipVoiceBackend,
    pub sip: SocketAddr,
    /// First port of its media.
    pub base: u16,
    pub told: Arc<Feed<Told>>,
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl Served {
    /// A backend with room for two calls, set up as a test's own changes say.
    pub fn start(change: impl FnOnce(&mut SipBackendConfig)) -> Self {
        let base = free_ports(4);
        let mut config = SipBackendConfig {
            local_sip_addr: ("127.0.0.1".into(), 0),
            local_rtp_ip: "127.0.0.1".into(),
            rtp_port_start: base,
            rtp_port_end: base + 3,
            ..SipBackendConfig::default()
        };
        change(&mut config);
        let base = config.rtp_port_start;
        let (runtime, _stop) = runtime();
        let backend = SipVoiceBackend::new(config);
        let told = Arc::new(Feed::new());
        listen(&backend, &told);
        runtime.block_on(backend.start()).unwrap();
        let port = backend.sip_address().unwrap().port();
        Self { backend, sip: ([127, 0, 0, 1], port).into(), base, told, runtime, _stop }
    }

    /// Runs a future of the test, on the runtime that runs async callbacks.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Where async callbacks that are registered from now on run.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }

    /// The tokio runtime of the test.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Takes out the first thing told that fits, and waits for it.
    pub fn expect<T>(&self, what: &str, mut wanted: impl FnMut(&Told) -> Option<T>) -> T {
        let found = self.told.wait(Instant::now() + WAIT, |told| {
            let (at, found) = told.iter().enumerate().find_map(|(at, t)| Some((at, wanted(t)?)))?;
            told.remove(at);
            Some(found)
        });
        found.unwrap_or_else(|| panic!("not told of {what}: {:?}", self.signals()))
    }

    /// The session of the next inbound call.
    pub fn expect_call(&self) -> VoiceSession {
        self.expect("a call", |told| match told {
            Told::Call(session) => Some(session.clone()),
            _ => None,
        })
    }

    pub fn expect_disconnected(&self) -> VoiceSession {
        self.expect("an end", |told| match told {
            Told::Disconnected(session) => Some(session.clone()),
            _ => None,
        })
    }

    /// Waits until `n` frames have come in all.
    pub fn expect_frames(&self, n: usize) -> Vec<(AudioFrame, Instant)> {
        let frames = |told: &mut Vec<Told>| {
            let frames = told.iter().filter_map(|t| match t {
                Told::Audio(_, frame, at) => Some((frame.clone(), *at)),
                _ => None,
            });
            frames.collect::<Vec<_>>()
        };
        let enough = |told: &mut Vec<Told>| Some(frames(told)).filter(|frames| frames.len() >= n);
        let found = self.told.wait(Instant::now() + WAIT, enough);
        found.unwrap_or_else(|| panic!("{} of {n} frames", self.told.with(frames).len()))
    }

    /// What was told and not taken out yet, audio aside.
    pub fn signals(&self) -> Vec<Told> {
        self.told.with(|told| told.iter().filter(|t| !matches!(t, Told::Audio(..))).cloned().collect())
    }

    /// The end of a test: closes the backend. Nothing was told that no test asked for, and all sockets are free.
    pub fn finish(self) {
        self.run(self.backend.close());
        assert_eq!(self.signals(), []);
        assert!(is_free(self.sip), "SIP is still bound");
        assert!(eventually(WAIT, || self.ports_are_free()), "media is still bound");
    }

    /// True when the first pair of media ports can be bound.
    pub fn ports_are_free(&self) -> bool {
        (self.base..self.base + 2).all(|port| is_free(([127, 0, 0, 1], port).into()))
    }
}

/// Waits until the session has played everything.
pub fn expect_played(backend: &SipVoiceBackend, session: &VoiceSession, timeout: Duration) {
    assert!(eventually(timeout, || !backend.is_playing(session)), "it plays still");
}

fn listen(backend: &SipVoiceBackend, told: &Arc<Feed<Told>>) {
    let feed = || told.clone();
    let to = feed();
    backend.on_call(move |session| to.push(Told::Call(session)));
    let to = feed();
    backend.on_call_disconnected(move |session| to.push(Told::Disconnected(session)));
    let to = feed();
    backend.on_audio_received(move |session, frame| to.push(Told::Audio(session, frame, Instant::now())));
    let to = feed();
    backend.on_dtmf_received(move |session, event| to.push(Told::Dtmf(session, event)));
    let to = feed();
    backend.on_barge_in(move |session| to.push(Told::BargeIn(session)));
}

/// A tokio runtime that runs on a thread of its own until the other value is dropped.
fn runtime() -> (Handle, oneshot::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = runtime.block_on(stopped);
    });
    (handle, stop)
}

fn is_free(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_ok()
}
