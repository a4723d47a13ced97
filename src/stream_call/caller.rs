//! `talk` owns the WebSocket of one call: sends the caller's audio in real time, and takes what the gateway sends.
//!
//! In: the audio, the gateway's messages, the clock. Out: messages, a [`CallReport`]. What is said, and when a mark is due,
//! others decide.

use std::{
    f64::consts::TAU,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use stream::{FRAME, signature::twilio};
use tokio::{
    net::TcpStream,
    time::{sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue, protocol::CloseFrame},
};

use super::{
    Says,
    line::{LINEAR_RATE, Line, Wish},
    playout::Playout,
};
use crate::test_line::{Heard, Hearing};

/// What became of the call.
#[derive(Debug, Clone, Default)]
pub(super) struct CallReport {
    /// Messages with audio.
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    /// From the first message that was sent to the first that came.
    pub(super) first_after: Option<Duration>,
    pub(super) marks: u64,
    pub(super) clears: u64,
    /// The tone is the one that was sent.
    pub(super) heard: Heard,
}

/// Why a call did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no WebSocket: {0}")]
    Refused(Error),
    #[error("WebSocket closed unexpectedly{}", .0.as_ref().map(|frame| format!(": {} {}", frame.code, frame.reason)).unwrap_or_default())]
    Closed(Option<CloseFrame>),
    #[error("WebSocket lost: {0}")]
    Lost(Error),
    #[error("the gateway's message is none that a provider knows: {0}")]
    Message(#[from] stream::MessageError),
}

/// Calls: connected, start, audio, stop. With Twilio's signature if there is one.
pub(super) async fn talk(
    (url, signature): (&str, Option<String>),
    mut line: Line,
    says: &Says,
    say: &mut dyn FnMut(&str),
) -> Result<CallReport, CallError> {
    let mut socket = connect(url, signature).await.map_err(CallError::Refused)?;
    send(&mut socket, line.connected()).await?;
    say("  → Sent: connected");
    send(&mut socket, line.start()).await?;
    say(&format!("  → Sent: start (stream_id={})", line.stream_id()));
    say("  Handshake complete, streaming audio ...");
    say("");
    let frames = line.frames(&samples(says));
    let mut call = Call {
        socket,
        line,
        playout: Playout::default(),
        hearing: Hearing::new(TONE_HZ),
        begun: Instant::now(),
        report: CallReport::default(),
    };
    call.speak(&frames, say).await?;
    call.listen().await?;
    call.hang_up().await
}

async fn connect(url: &str, signature: Option<String>) -> Result<Socket, Error> {
    let mut request = url.into_client_request()?;
    if let Some(signature) = signature {
        request.headers_mut().insert(twilio::HEADER, HeaderValue::try_from(signature)?);
    }
    // Without Nagle's algorithm: small messages go out at their time.
    let connecting = tokio_tungstenite::connect_async_with_config(request, None, true);
    let timed_out = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    let (socket, _) = timeout(CONNECT_LIMIT, connecting).await.map_err(timed_out)??;
    Ok(socket)
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Call {
    socket: Socket,
    line: Line,
    playout: Playout,
    hearing: Hearing,
    begun: Instant,
    report: CallReport,
}

impl Call {
    /// Sends frame n at the beginning + n · 20 ms, and takes what comes meanwhile.
    async fn speak(&mut self, frames: &[Bytes], say: &mut dyn FnMut(&str)) -> Result<(), CallError> {
        for (n, frame) in (0..).zip(frames) {
            self.wait_until(self.begun + FRAME * n).await?;
            self.report.sent += 1;
            self.report.sent_bytes += frame.len() as u64;
            let text = self.line.media(frame.clone());
            send(&mut self.socket, text).await?;
            let CallReport { sent, received, sent_bytes, received_bytes, .. } = self.report;
            if sent % 50 == 0 {
                let total = frames.len();
                say(&format!(
                    "  [{sent:4}/{total}] sent={sent} recv={received} ({sent_bytes}B → {received_bytes}B)"
                ));
            }
        }
        Ok(())
    }

    /// Takes the rest of an echo: until as much came as was sent, or nothing more comes.
    async fn listen(&mut self) -> Result<(), CallError> {
        let latest = Instant::now() + DRAIN_LIMIT;
        let mut heard_at = Instant::now();
        while self.report.received < self.report.sent {
            let received = self.report.received;
            let now = Instant::now();
            if now >= latest || now >= heard_at + DRAIN_QUIET {
                break;
            }
            self.wait_until((now + FRAME).min(latest)).await?;
            if self.report.received > received {
                heard_at = Instant::now();
            }
        }
        Ok(())
    }

    async fn hang_up(mut self) -> Result<CallReport, CallError> {
        let text = self.line.stop();
        send(&mut self.socket, text).await?;
        // What becomes of the socket afterwards is the gateway's.
        let _ = timeout(CLOSE_LIMIT, async {
            self.socket.close(None).await?;
            while let Some(message) = self.socket.next().await {
                message?;
            }
            Ok::<(), Error>(())
        })
        .await;
        Ok(CallReport { heard: self.hearing.heard(), ..self.report })
    }

    /// Takes messages and gives marks back until then.
    async fn wait_until(&mut self, until: Instant) -> Result<(), CallError> {
        loop {
            let wake = self.playout.deadline().map_or(until, |due| due.min(until));
            tokio::select! {
                biased;
                () = sleep_until(wake.into()) => {
                    let now = Instant::now();
                    while let Some(name) = self.playout.due(now) {
                        let text = self.line.mark(&name);
                        send(&mut self.socket, text).await?;
                    }
                    if now >= until {
                        return Ok(());
                    }
                }
                message = self.socket.next() => self.take(message)?,
            }
        }
    }

    fn take(&mut self, message: Option<Result<Message, Error>>) -> Result<(), CallError> {
        match message {
            None => Err(CallError::Closed(None)),
            Some(Err(error)) => Err(CallError::Lost(error)),
            Some(Ok(Message::Close(frame))) => Err(CallError::Closed(frame)),
            Some(Ok(Message::Text(text))) => {
                let wish = self.line.read(&text)?;
                self.obey(wish);
                Ok(())
            }
            Some(Ok(_)) => Ok(()),
        }
    }

    fn obey(&mut self, wish: Wish) {
        let now = Instant::now();
        match wish {
            Wish::Play(payload) => {
                self.report.received += 1;
                self.report.received_bytes += payload.len() as u64;
                self.report.first_after.get_or_insert(now - self.begun);
                self.hearing.hear(&self.line.narrow(&payload));
                self.playout.play(now, self.line.duration(&payload));
            }
            Wish::Mark(name) => {
                self.report.marks += 1;
                self.playout.mark(now, name);
            }
            Wish::Clear => {
                self.report.clears += 1;
                self.playout.clear(now);
            }
            Wish::Unknown(_) => {}
        }
    }
}

async fn send(
    socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
    text: String,
) -> Result<(), CallError> {
    match socket.send(Message::text(text)).await {
        Ok(()) => Ok(()),
        Err(Error::ConnectionClosed | Error::AlreadyClosed) => Err(CallError::Closed(None)),
        Err(error) => Err(CallError::Lost(error)),
    }
}

fn samples(says: &Says) -> Vec<i16> {
    match says {
        Says::Tone(frames) => {
            let samples = u64::from(*frames) * u64::from(LINEAR_RATE) / 50;
            let step = TAU * TONE_HZ / f64::from(LINEAR_RATE);
            (0..samples).map(|n| ((step * n as f64).sin() * PEAK) as i16).collect()
        }
        Says::Audio(audio) => model::audio::samples(audio).collect(),
    }
}

const TONE_HZ: f64 = 440.0;
const PEAK: f64 = 16_000.0;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long the rest of an echo may take, and how long it may be silent.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);
const DRAIN_QUIET: Duration = Duration::from_secs(1);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
