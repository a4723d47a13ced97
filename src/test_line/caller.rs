//! `TestCall` places one call with the library's client and judges what it hears: the test line, the other way round.
//!
//! In: where to call. Out: [`TestCallReport`]. Knows nothing of who answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use model::audio::{Codec, le_bytes, samples};

use super::{
    RTP_PORTS,
    hearing::{Heard, Hearing},
    sound,
};
use crate::client::{AudioFormat, CallFailure, CallState, SimpleSipClient, SipClientError};

/// A call to place: a tone, the sentence, then silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCall {
    /// Where the INVITE goes.
    pub destination: SocketAddr,
    /// The number to call.
    pub number: String,
    /// The number that calls.
    pub caller: String,
    /// How long the call stays up.
    pub length: Duration,
}

/// What became of a call that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCallReport {
    /// The far end rang before it answered.
    pub rang: bool,
    /// From the INVITE to the answer.
    pub answered_after: Duration,
    /// From the answer to the end.
    pub up: Duration,
    /// The codec that was agreed.
    pub codec: Codec,
    /// What was heard; its tone is the one that was sent.
    pub heard: Heard,
    /// The far end hung up first.
    pub hung_up: bool,
}

impl TestCallReport {
    /// Audio came all the time: nine tenths of the packets that fit into the call.
    pub fn audio(&self) -> bool {
        self.heard.frames > 0 && u128::from(self.heard.frames) * 20 * 10 >= self.up.as_millis() * 9
    }
}

/// Why a call was not answered, or could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum TestCallError {
    /// It could not be placed.
    #[error(transparent)]
    Client(#[from] SipClientError),
    /// The call ended before it was answered.
    #[error("not answered: {0}")]
    NotAnswered(CallFailure),
}

impl TestCall {
    /// Places the call, waits for its end, and says what was heard. Must run inside a tokio runtime with a clock.
    ///
    /// # Errors
    /// When there was no call.
    pub async fn run(self) -> Result<TestCallReport, TestCallError> {
        let server = self.destination.ip().to_string();
        let client = SimpleSipClient::builder(&self.caller, "", &server)
            .port(self.destination.port())
            .register(false)
            .codecs(sound::CODECS)
            .rtp_ports(RTP_PORTS.0..=RTP_PORTS.1)
            .ring_timeout(RING_LIMIT)
            .user_agent("SIP-Relay-Test-Call/1.0")
            .build();
        client.connect().await?;
        let hearing = Arc::new(Mutex::new(Hearing::new(TONE_HZ)));
        let ear = hearing.clone();
        let hear = move |pcm: &[u8], _| {
            let pcm: Vec<i16> = samples(pcm).collect();
            ear.lock().unwrap_or_else(PoisonError::into_inner).hear(&pcm);
        };
        client.set_audio_callback(hear, AudioFormat::Pcm);
        let report = self.talk(&client).await;
        client.disconnect().await?;
        let heard = hearing.lock().unwrap_or_else(PoisonError::into_inner).heard();
        Ok(TestCallReport { heard, ..report? })
    }

    /// What is known of the call itself.
    async fn talk(&self, client: &SimpleSipClient) -> Result<TestCallReport, TestCallError> {
        let mut states = client.watch_state();
        let placed = Instant::now();
        let mut rang = false;
        client.make_call(&self.number).await?;
        loop {
            match *states.borrow_and_update() {
                CallState::Ringing => rang = true,
                CallState::Inviting => {}
                CallState::Idle => return Err(not_answered(client)),
                _ => break,
            }
            if states.changed().await.is_err() {
                return Err(not_answered(client));
            }
        }
        let (answered, codec) = (Instant::now(), client.negotiated_codec());
        let (tone, sentence) = (sound::tone(TONE_HZ, TONE), sound::sentence());
        let speech: Vec<u8> = le_bytes(&tone).chain(le_bytes(&sentence)).collect();
        // An error means that the call is over, which shows next.
        let _ = client.send_audio(&speech);
        let over = states.wait_for(|state| *state == CallState::Idle);
        let hung_up = tokio::time::timeout(self.length, over).await.is_ok();
        let up = answered.elapsed();
        client.hangup_call().await?;
        let codec = codec.ok_or_else(|| not_answered(client))?;
        let (answered_after, heard) = (answered - placed, Heard::default());
        Ok(TestCallReport { rang, answered_after, up, codec, heard, hung_up })
    }
}

fn not_answered(client: &SimpleSipClient) -> TestCallError {
    let unknown = || CallFailure { status: 487, reason: "Request Terminated".to_owned() };
    TestCallError::NotAnswered(client.last_failure().unwrap_or_else(unknown))
}

/// The tone that is sent and listened for.
const TONE_HZ: f64 = 1000.0;
const TONE: Duration = Duration::from_secs(1);
/// How long the far end may ring.
const RING_LIMIT: Duration = Duration::from_secs(60);
