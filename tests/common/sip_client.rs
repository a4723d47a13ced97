//! Clients of the library as most tests begin them: connected without registration, with a call that is up.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sip_relay::client::blocking::SimpleSipClient;
use sip_relay::client::{AudioFormat, CallState, ClientBuilder};

use super::pbx::{Pbx, PbxCall};
use super::{Feed, WAIT};

/// A client of `pbx` that does not register.
pub fn builder(pbx: &Pbx) -> ClientBuilder {
    SimpleSipClient::builder("1001", "pw", "127.0.0.1").port(pbx.address().port()).register(false)
}

/// The same, connected.
pub fn connected(builder: ClientBuilder) -> SimpleSipClient {
    let client = SimpleSipClient::from(builder);
    assert_eq!(client.connect(), Ok(true));
    client
}

/// A call that `client` has placed and that is up.
pub fn outbound(client: &SimpleSipClient, pbx: &Pbx, formats: &[u8]) -> PbxCall {
    assert_eq!(client.make_call("1234"), Ok(true));
    let mut call = pbx.expect_call();
    call.answer(formats);
    call.expect_request("ACK");
    client.wait_connected(WAIT).unwrap();
    call
}

/// Waits until the client's state is `state`.
pub fn expect_state(client: &SimpleSipClient, state: CallState) {
    let reached = super::eventually(WAIT, || client.call_state() == state);
    assert!(reached, "{:?}, not {state:?}", client.call_state());
}

/// Every state that a watcher hears of from now on.
pub fn states(client: &SimpleSipClient) -> Arc<Feed<CallState>> {
    let (feed, mut watcher) = (Arc::new(Feed::new()), client.watch_state());
    feed.push(*watcher.borrow_and_update());
    let heard = feed.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    thread::spawn(move || {
        runtime.block_on(async {
            while watcher.changed().await.is_ok() {
                heard.push(*watcher.borrow_and_update());
            }
        });
    });
    feed
}

/// What an audio callback was called with.
pub struct Heard {
    frames: Arc<Feed<Vec<u8>>>,
    format: AudioFormat,
}

/// Collects what the client's callback is called with in this format.
pub fn listen(client: &SimpleSipClient, format: AudioFormat) -> Heard {
    let frames = Arc::new(Feed::new());
    let feed = frames.clone();
    let callback = move |frame: &[u8], told: AudioFormat| {
        assert_eq!(told, format);
        feed.push(frame.to_vec());
    };
    client.set_audio_callback(callback, format);
    Heard { frames, format }
}

impl Heard {
    /// All frames so far.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        self.frames.with(|frames| frames.clone())
    }

    /// Waits for `n` frames in all.
    pub fn expect(&self, n: usize) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + WAIT + Duration::from_millis(20 * n as u64);
        let enough = self.frames.wait(deadline, |frames| (frames.len() >= n).then(|| frames.clone()));
        enough.unwrap_or_else(|| panic!("{} of {n} frames", self.frames.len()))
    }

    /// The samples of all frames of PCM.
    pub fn samples(&self) -> Vec<i16> {
        assert_eq!(self.format, AudioFormat::Pcm);
        self.frames().concat().chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }
}

/// PCM as the client takes it.
pub fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}
