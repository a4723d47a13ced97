//! What an agent wants played, brought into the form that the playout queue takes.
//!
//! In: [`AgentPayload`] from clients (PCM, a WAV file, or the payload of a packet). Out: PCM at the encoder's rate, or
//! payload passed through untouched where the codec is the same.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use audio::{codec, resample::Resampler};
use model::{
    audio::{Codec, SampleRate, samples},
    command::AgentPayload,
};
use rtp::Session;

use super::super::message::{AgentMedia, AgentOrder, MediaPlan};

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

/// Brings agent audio to the rate of one leg. Keeps each rate's resampler, so chunks join without clicks.
pub struct AgentAudio {
    rate: SampleRate,
    resamplers: Vec<(SampleRate, Resampler)>,
    pcm: Vec<i16>,
    resampled: Vec<i16>,
}

impl AgentAudio {
    pub fn new(codec: Codec) -> Self {
        Self { rate: codec.sample_rate(), resamplers: Vec::new(), pcm: Vec::new(), resampled: Vec::new() }
    }

    /// The rate of the leg's encoder.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Queues one message. The error says why nothing of it was queued.
    pub fn queue(
        &mut self,
        session: &mut Session,
        payload: AgentPayload,
        rate: SampleRate,
        plan: &MediaPlan,
        now: Instant,
    ) -> Result<(), String> {
        match payload {
            AgentPayload::Pcm(bytes) => {
                let mut pcm = std::mem::take(&mut self.pcm);
                pcm.clear();
                pcm.extend(samples(&bytes));
                let queued = self.queue_pcm(session, &pcm, rate, now);
                self.pcm = if pcm.capacity() > KEPT_SAMPLES { Vec::new() } else { pcm };
                queued
            }
            // Decoded before it comes here.
            AgentPayload::Riff(_) => Err("a WAV file among samples".to_owned()),
            AgentPayload::Payload { payload_type, payload } => {
                self.queue_payload(session, payload_type, &payload, plan, now)
            }
        }
    }

    /// Queues PCM of any rate.
    pub fn queue_pcm(
        &mut self,
        session: &mut Session,
        pcm: &[i16],
        rate: SampleRate,
        now: Instant,
    ) -> Result<(), String> {
        let pcm = if rate == self.rate { pcm } else { self.resample(pcm, rate)? };
        session.queue_pcm(now, pcm).map_err(|error| error.to_string())
    }

    fn resample(&mut self, pcm: &[i16], rate: SampleRate) -> Result<&[i16], String> {
        let known = self.resamplers.iter().position(|(of, _)| *of == rate);
        let at = match known {
            Some(at) => at,
            None => {
                let new = Resampler::new(rate.hz(), self.rate.hz()).map_err(|error| error.to_string())?;
                self.resamplers.push((rate, new));
                self.resamplers.len() - 1
            }
        };
        self.resampled.clear();
        self.resamplers[at].1.process(pcm, &mut self.resampled);
        Ok(&self.resampled)
    }

    fn queue_payload(
        &mut self,
        session: &mut Session,
        payload_type: u8,
        payload: &[u8],
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
        self.queue_pcm(session, &pcm, codec.sample_rate(), now)
    }
}

fn codec_of(payload_type: u8, plan: &MediaPlan) -> Option<Codec> {
    let negotiated =
        plan.accept.iter().find(|(accepted, _)| *accepted == payload_type).map(|(_, codec)| *codec);
    // Half a sample of linear PCM would turn all that follows into noise, and nobody was told of its payload type.
    let coded = negotiated.filter(|codec| !matches!(codec, Codec::L16(_)));
    coded.or_else(|| Codec::from_payload_type(payload_type).filter(|codec| *codec != Codec::G722))
}

/// Orders that have to wait: until the call is up, or until a file has been read. In order; 10 s of audio at most, unless
/// said otherwise.
pub struct HeldOrders {
    orders: VecDeque<AgentOrder>,
    audio_ms: usize,
    limit_ms: usize,
}

impl Default for HeldOrders {
    fn default() -> Self {
        Self::up_to(HELD)
    }
}

impl HeldOrders {
    /// Room for this much audio.
    pub fn up_to(limit: Duration) -> Self {
        Self { orders: VecDeque::new(), audio_ms: 0, limit_ms: limit.as_millis() as usize }
    }

    /// Keeps an order; gives it back if there is no room for it.
    pub fn push(&mut self, order: AgentOrder) -> Result<(), AgentOrder> {
        if self.orders.len() >= HELD_ORDERS || self.audio_ms >= self.limit_ms {
            return Err(order);
        }
        self.audio_ms += milliseconds(&order.media);
        self.orders.push_back(order);
        Ok(())
    }
}

fn milliseconds(media: &AgentMedia) -> usize {
    match media {
        AgentMedia::Audio { payload: AgentPayload::Pcm(bytes) | AgentPayload::Riff(bytes), rate } => {
            bytes.len() * 500 / rate.hz() as usize
        }
        AgentMedia::Audio { payload: AgentPayload::Payload { payload, .. }, .. } => payload.len() / 8,
        _ => 0,
    }
}

impl IntoIterator for HeldOrders {
    type Item = AgentOrder;
    type IntoIter = std::collections::vec_deque::IntoIter<AgentOrder>;

    fn into_iter(self) -> Self::IntoIter {
        self.orders.into_iter()
    }
}

/// A conversion buffer larger than this (4 s) is not kept for the rest of the call.
const KEPT_SAMPLES: usize = 32_000;
const HELD: Duration = Duration::from_secs(10);
const HELD_ORDERS: usize = 1000;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::relay::message::ClientId;

    fn pcm(milliseconds: usize, rate: SampleRate) -> AgentOrder {
        let bytes = vec![0; milliseconds * rate.hz() as usize / 500];
        let media = AgentMedia::Audio { payload: AgentPayload::Pcm(Bytes::from(bytes)), rate };
        AgentOrder { client: ClientId(1), media }
    }

    #[test]
    fn ten_seconds_are_held_and_more_is_refused_without_cutting_a_message() {
        for rate in [SampleRate::Hz8000, SampleRate::Hz48000] {
            let mut held = HeldOrders::default();
            assert!(held.push(pcm(9_999, rate)).is_ok());
            assert!(held.push(pcm(1_000, rate)).is_ok(), "a message is held whole or not at all");
            assert!(held.push(pcm(1, rate)).is_err());
            assert_eq!(held.into_iter().count(), 2);
        }
    }
}
