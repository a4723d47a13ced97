//! What a session plays and signals: audio paced by its media, interruption, keys.

use std::{future::poll_fn, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use model::{audio::SampleRate, command::AgentPayload};

use super::{
    AudioChunk, BackendError, OutboundAudio, SessionState, VoiceSession,
    playback::{Epoch, LIMIT, Playback, Refusal, Step, Utterance},
};
use crate::relay::message::{AgentMedia, AgentOrder, CallHandle, ClientId};

/// Plays audio in a session: returns when all of it is queued or was interrupted.
pub(super) async fn send_audio(session: &VoiceSession, audio: OutboundAudio) -> Result<(), BackendError> {
    let line = connected(session)?;
    let playback = session.playback();
    let utterance = match playback.begin() {
        Err(refusal) => return outcome(refusal),
        Ok(utterance) => utterance,
    };
    let _turn = playback.turn().await;
    let speaker = Speaker { session, line, playback, utterance };
    match audio {
        OutboundAudio::Bytes(bytes) => speaker.say(bytes, session.rate()),
        OutboundAudio::Stream(chunks) => speaker.say_all(chunks).await,
    }
}

/// Drops what is being played. False if nothing is.
pub(super) fn cancel_audio(session: &VoiceSession) -> bool {
    session.playback().cancel(|step| carry_out(session, step))
}

/// Sends a key press (RFC 4733).
pub(super) fn send_dtmf(session: &VoiceSession, digit: char, duration_ms: u32) -> Result<(), BackendError> {
    if !matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d') {
        return Err(BackendError::InvalidDigit(digit));
    }
    if !KEY_MS.contains(&duration_ms) {
        return Err(BackendError::InvalidDuration(duration_ms));
    }
    let line = connected(session)?;
    if !session.telephone_events() {
        return Err(BackendError::DtmfNotNegotiated);
    }
    let each = Duration::from_millis(duration_ms.into());
    order(line, AgentMedia::Dtmf { digits: digit.to_string(), each });
    Ok(())
}

/// Does to a session's playout queue what its playback wants done.
pub(super) fn carry_out(session: &VoiceSession, step: Step<()>) {
    let Some(line) = session.line() else { return };
    match step {
        Step::Audio(()) => {}
        Step::Mark(name) => order(line, AgentMedia::Mark(name)),
        Step::Clear => order(line, AgentMedia::Clear),
    }
}

fn connected(session: &VoiceSession) -> Result<&CallHandle, BackendError> {
    match session.state() {
        SessionState::Ended => Err(BackendError::SessionEnded),
        SessionState::Connecting => Err(BackendError::NotConnected),
        SessionState::Active | SessionState::Paused => session.line().ok_or(BackendError::NotConnected),
    }
}

fn order(line: &CallHandle, media: AgentMedia) {
    line.audio.do_send(AgentOrder { client: NOBODY, media });
}

/// An interruption is what the program asked for, and no error.
fn outcome(refusal: Refusal) -> Result<(), BackendError> {
    match refusal {
        Refusal::Interrupted => Ok(()),
        Refusal::Ended => Err(BackendError::SessionEnded),
        Refusal::Full { waiting } => Err(BackendError::QueueFull { waiting, limit: LIMIT }),
    }
}

/// Queues one utterance.
struct Speaker<'a> {
    session: &'a VoiceSession,
    line: &'a CallHandle,
    playback: &'a Playback,
    utterance: Utterance<'a>,
}

impl Speaker<'_> {
    fn epoch(&self) -> Epoch {
        self.utterance.epoch
    }

    fn say(&self, mut audio: Bytes, rate: SampleRate) -> Result<(), BackendError> {
        audio.truncate(audio.len() & !1);
        if audio.is_empty() {
            return Ok(());
        }
        let length = rate.duration(audio.len() as u64 / 2);
        let payload = AgentMedia::Audio { payload: AgentPayload::Pcm(audio), rate };
        let queued = self.playback.queue(self.epoch(), payload, length, |step| match step {
            Step::Audio(payload) => order(self.line, payload),
            Step::Mark(name) => order(self.line, AgentMedia::Mark(name)),
            Step::Clear => order(self.line, AgentMedia::Clear),
        });
        queued.or_else(outcome)
    }

    /// Takes the next chunk only while less than [`AHEAD`] waits, so a stream without end is no queue without end.
    async fn say_all(
        &self,
        mut chunks: Pin<Box<dyn Stream<Item = AudioChunk> + Send>>,
    ) -> Result<(), BackendError> {
        let mut progress = self.playback.progress();
        let mut samples = Samples::default();
        loop {
            let waiting = match self.playback.standing(self.epoch()) {
                Ok(waiting) => waiting,
                Err(refusal) => return outcome(refusal),
            };
            if waiting >= AHEAD {
                // An error is a session that is gone, which this borrows.
                let _ = progress.changed().await;
                continue;
            }
            let chunk = tokio::select! {
                biased;
                _ = progress.changed() => continue,
                chunk = poll_fn(|cx| chunks.as_mut().poll_next(cx)) => chunk,
            };
            let Some(AudioChunk { data, sample_rate }) = chunk else { return Ok(()) };
            let rate = match sample_rate {
                None => self.session.rate(),
                Some(hz) => SampleRate::from_hz(hz).ok_or(BackendError::SampleRate(hz))?,
            };
            self.say(samples.whole(data), rate)?;
        }
    }
}

/// Puts samples together that were split between two chunks.
#[derive(Default)]
struct Samples {
    half: Option<u8>,
}

impl Samples {
    fn whole(&mut self, mut data: Bytes) -> Bytes {
        if let Some(half) = self.half.take() {
            let mut joined = BytesMut::with_capacity(data.len() + 1);
            joined.extend_from_slice(&[half]);
            joined.extend_from_slice(&data);
            data = joined.freeze();
        }
        if data.len() % 2 == 1 {
            self.half = data.split_off(data.len() - 1).first().copied();
        }
        data
    }
}

/// Of a stream, so much is queued ahead of what is heard.
const AHEAD: Duration = Duration::from_secs(10);
/// What RFC 4733 can express and telephones recognise, milliseconds.
const KEY_MS: std::ops::RangeInclusive<u32> = 40..=8000;
/// Whom nobody tells what could not be done: a session checks before it orders.
const NOBODY: ClientId = ClientId(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_split_between_chunks_of_any_length_come_out_whole_and_unchanged() {
        let mut samples = Samples::default();
        let sent: Vec<u8> = (0..=20).collect();
        let mut came = Vec::new();
        for (from, to) in [(0, 1), (1, 1), (1, 4), (4, 5), (5, 6), (6, 13), (13, 21)] {
            let whole = samples.whole(Bytes::copy_from_slice(&sent[from..to]));
            assert_eq!(whole.len() % 2, 0);
            came.extend_from_slice(&whole);
        }
        assert_eq!(came, sent[..20]);
        assert_eq!(samples.half, Some(20));
    }
}
