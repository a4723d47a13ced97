//! What an agent wants played, brought into the form that the playout queue takes.
//!
//! In: [`AgentPayload`] from clients (8 kHz PCM, a WAV file, or the payload of an echoed packet). Out: PCM at the
//! encoder's rate, or payload passed through untouched where the codec is the same.

use std::{collections::VecDeque, time::Instant};

use audio::{codec, resample::Resampler};
use bytes::Bytes;
use model::{audio::Codec, command::AgentPayload};
use rtp::Session;

use super::super::message::{AgentMedia, MediaPlan};

/// The call's codec as the core's encoder.
pub struct LegEncoder(codec::Encoder);

impl LegEncoder {
    pub fn new(codec: Codec) -> Self {
        Self(codec::Encoder::new(codec))
    }
}

impl rtp::Encoder for LegEncoder {
    fn sample_rate(&self) -> u32 {
        self.0.sample_rate().hz()
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) {
        self.0.encode(pcm, payload);
    }
}

/// Brings agent audio to the rate of one leg. Keeps the resampler's history, so chunks join without clicks.
pub struct AgentAudio {
    resampler: Option<Resampler>,
    pcm: Vec<i16>,
    resampled: Vec<i16>,
}

impl AgentAudio {
    pub fn new(codec: Codec) -> Self {
        let rate = codec.sample_rate().hz();
        let resampler = (rate != CLIENT_RATE).then(|| Resampler::new(CLIENT_RATE, rate).ok()).flatten();
        Self { resampler, pcm: Vec::new(), resampled: Vec::new() }
    }

    /// Queues one message. The error says why nothing of it was queued.
    pub fn queue(
        &mut self,
        session: &mut Session,
        payload: AgentPayload,
        plan: &MediaPlan,
        now: Instant,
    ) -> Result<(), String> {
        match payload {
            AgentPayload::Pcm(bytes) => {
                let mut pcm = std::mem::take(&mut self.pcm);
                pcm.clear();
                pcm.extend(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
                let queued = self.queue_pcm(session, &pcm, now);
                self.pcm = if pcm.capacity() > KEPT_SAMPLES { Vec::new() } else { pcm };
                queued
            }
            AgentPayload::Riff(file) => {
                let decoded =
                    audio::file::decode_at(file, Some("wav"), CLIENT_RATE).map_err(|e| e.to_string())?;
                self.queue_pcm(session, &decoded.samples, now)
            }
            AgentPayload::Payload { payload_type, payload } => {
                self.queue_payload(session, payload_type, &payload, plan, now)
            }
        }
    }

    /// Queues 8 kHz PCM.
    pub fn queue_pcm(&mut self, session: &mut Session, pcm: &[i16], now: Instant) -> Result<(), String> {
        let pcm = match &mut self.resampler {
            None => pcm,
            Some(resampler) => {
                self.resampled.clear();
                resampler.process(pcm, &mut self.resampled);
                &self.resampled
            }
        };
        session.queue_pcm(now, pcm).map_err(|error| error.to_string())
    }

    fn queue_payload(
        &mut self,
        session: &mut Session,
        payload_type: u8,
        payload: &Bytes,
        plan: &MediaPlan,
        now: Instant,
    ) -> Result<(), String> {
        let codec = codec_of(payload_type, plan)
            .ok_or_else(|| format!("payload type {payload_type} is none of this call's"))?;
        if codec == plan.codec {
            return session.queue_payload(now, payload).map_err(|error| error.to_string());
        }
        let mut pcm = Vec::with_capacity(payload.len() * 2);
        codec::Decoder::new(codec).decode(payload, &mut pcm);
        self.queue_pcm(session, &pcm, now)
    }
}

fn codec_of(payload_type: u8, plan: &MediaPlan) -> Option<Codec> {
    let negotiated =
        plan.accept.iter().find(|(accepted, _)| *accepted == payload_type).map(|(_, codec)| *codec);
    negotiated.or_else(|| Codec::from_payload_type(payload_type).filter(|codec| *codec != Codec::G722))
}

/// Agent media that came before the call was up: held in order, 10 s of audio at most.
#[derive(Default)]
pub struct HeldAudio {
    items: VecDeque<AgentMedia>,
    bytes: usize,
}

impl HeldAudio {
    /// False if there is no room for it.
    pub fn push(&mut self, media: AgentMedia) -> bool {
        if matches!(media, AgentMedia::Clear) {
            self.items.clear();
            self.bytes = 0;
            return true;
        }
        let size = match &media {
            AgentMedia::Audio(AgentPayload::Pcm(bytes) | AgentPayload::Riff(bytes)) => bytes.len(),
            AgentMedia::Audio(AgentPayload::Payload { payload, .. }) => payload.len() * 2,
            _ => 0,
        };
        if self.items.len() >= HELD_ITEMS || self.bytes >= HELD_BYTES {
            return false;
        }
        self.bytes += size;
        self.items.push_back(media);
        true
    }
}

impl IntoIterator for HeldAudio {
    type Item = AgentMedia;
    type IntoIter = std::collections::vec_deque::IntoIter<AgentMedia>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// What clients send, Hz.
const CLIENT_RATE: u32 = 8000;
/// A conversion buffer larger than this (4 s) is not kept for the rest of the call.
const KEPT_SAMPLES: usize = 32_000;
/// 10 s of 8 kHz 16-bit audio.
const HELD_BYTES: usize = 10 * 8000 * 2;
const HELD_ITEMS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn pcm(bytes: usize) -> AgentMedia {
        AgentMedia::Audio(AgentPayload::Pcm(Bytes::from(vec![0; bytes])))
    }

    #[test]
    fn ten_seconds_are_held_and_more_is_refused_without_cutting_a_message() {
        let mut held = HeldAudio::default();
        assert!(held.push(pcm(HELD_BYTES - 2)));
        assert!(held.push(pcm(16_000)), "a message is held whole or not at all");
        assert!(!held.push(pcm(2)));
        assert_eq!(held.into_iter().count(), 2);
    }

    #[test]
    fn clear_empties_what_is_held() {
        let mut held = HeldAudio::default();
        held.push(pcm(320));
        held.push(AgentMedia::Clear);
        assert_eq!(held.into_iter().count(), 0);
    }
}
