//! `Judge` says of every 16 ms whether somebody talks.
//!
//! In: PCM at 8 or 16 kHz in pieces of any size. Out: [`Judgement`]s, the same however the input was cut. A neural net
//! (`earshot`) scores each frame; as it takes many tones, and steady noise, for speech, guards have the last word.

use model::audio::SampleRate;

use super::level::{Level, LevelMeter};
use super::tone_guard::{HOP, ToneGuard, Verdict};
use crate::resample::{ResampleError, Resampler};

/// What a frame of 16 ms is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Speech.
    Speech,
    /// Speech, if there was speech just before.
    Perhaps,
    /// Something else, or nothing.
    Else,
    /// A tone: what looked like speech just before was its beginning.
    Tone,
}

/// Listens to one stream; one for each.
pub(super) struct Judge {
    net: Box<earshot::Detector>,
    guard: ToneGuard,
    level: LevelMeter,
    rate: SampleRate,
    frame_samples: usize,
    /// Input that is not a whole frame yet.
    pending: Vec<i16>,
    /// To the other one of the two rates.
    other: Resampler,
    resampled: Vec<i16>,
}

impl Judge {
    pub(super) fn new(rate: SampleRate) -> Result<Self, ResampleError> {
        let (frame_samples, other) = match rate {
            SampleRate::Hz8000 => (HOP, 16_000),
            SampleRate::Hz16000 => (2 * HOP, 8_000),
            _ => return Err(ResampleError { from_hz: rate.hz(), to_hz: 16_000 }),
        };
        Ok(Self {
            net: earshot::Detector::default_boxed(),
            guard: ToneGuard::new(),
            level: LevelMeter::new(),
            rate,
            frame_samples,
            pending: Vec::with_capacity(frame_samples),
            other: Resampler::new(rate.hz(), other)?,
            resampled: Vec::with_capacity(2 * HOP),
        })
    }

    /// Forgets what it has heard.
    pub(super) fn reset(&mut self) {
        self.net.reset();
        self.guard = ToneGuard::new();
        self.level = LevelMeter::new();
        self.pending.clear();
        self.resampled.clear();
        self.other.flush(&mut self.resampled);
    }

    pub(super) fn listen(&mut self, mut pcm: &[i16], mut judged: impl FnMut(Judgement)) {
        while !pcm.is_empty() {
            let wanted = self.frame_samples - self.pending.len();
            let (now, later) = pcm.split_at(wanted.min(pcm.len()));
            self.pending.extend_from_slice(now);
            pcm = later;
            if self.pending.len() == self.frame_samples {
                judged(self.frame());
                self.pending.clear();
            }
        }
    }

    fn frame(&mut self) -> Judgement {
        self.resampled.clear();
        self.other.process(&self.pending, &mut self.resampled);
        let (narrow, wide) = match self.rate {
            SampleRate::Hz8000 => (&self.pending, &self.resampled),
            _ => (&self.resampled, &self.pending),
        };
        let Ok(narrow) = <&[i16; HOP]>::try_from(narrow.as_slice()) else { return Judgement::Else };
        let level = self.level.hear(narrow);
        let tone = self.guard.hear(narrow, level);
        let score = self.net.predict_i16(wide);
        match (tone, level) {
            (Verdict::Tone, _) => Judgement::Tone,
            (_, Level::Background) => Judgement::Else,
            (Verdict::Free, Level::Foreground) if score >= CERTAIN => Judgement::Speech,
            _ if score >= LIKELY => Judgement::Perhaps,
            _ => Judgement::Else,
        }
    }
}

/// Scores: a syllable soon has the first, and keeps the second.
const CERTAIN: f32 = 0.7;
const LIKELY: f32 = 0.45;
