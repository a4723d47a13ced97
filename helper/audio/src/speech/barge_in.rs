//! `BargeIn` decides when a caller who talks over what is played has to be heard.
//!
//! In: the caller's frames, and whether something is played to him. Out: true, once per playback.
//!
//! ```text
//! idle ──playing──▶ listening ──`min_speech` more speech than not──▶ fired
//!   ▲──────────────────┴──────────────not playing─────────────────────┘
//! ```

use std::time::Duration;

use model::audio::SampleRate;

use super::detector::{SpeechConfig, SpeechDetector, SpeechEvent};
use super::judge::Judgement;
use super::loudness::Loudness;
use crate::resample::ResampleError;

/// What counts as an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BargeInConfig {
    /// How the caller's voice is told.
    pub mode: BargeInMode,
    /// Voice that is needed during one playback, less what is none in between.
    pub min_speech: Duration,
    /// Whether keys, call-progress tones and other steady tones are no voice. [`BargeInMode::Speech`] never takes them for
    /// one.
    pub ignore_tones: bool,
}

impl Default for BargeInConfig {
    /// A root mean square above 500 for 300 ms, without tones.
    fn default() -> Self {
        let min_speech = Duration::from_millis(300);
        Self { mode: BargeInMode::Rms(500), min_speech, ignore_tones: true }
    }
}

/// How the caller's voice is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BargeInMode {
    /// By the speech detector: noise is no voice.
    Speech(SpeechConfig),
    /// By the level: a frame with a root mean square above this, of 32767.
    Rms(u16),
}

/// Listens to one caller; one for each. Allocates nothing once it is made.
pub struct BargeIn {
    ear: Ear,
    has_fired: bool,
}

enum Ear {
    /// `evidence`: frames of 16 ms of speech, less the others, during this playback.
    Speech {
        detector: Box<SpeechDetector>,
        needed: u32,
        evidence: u32,
    },
    Loudness(Box<Loudness>),
}

impl BargeIn {
    /// `rate`: of the caller's audio, mono.
    ///
    /// # Errors
    ///
    /// [`ResampleError`] for other rates than 8000 and 16000 Hz in [`BargeInMode::Speech`].
    pub fn new(rate: SampleRate, config: BargeInConfig) -> Result<Self, ResampleError> {
        let ear = match config.mode {
            BargeInMode::Speech(speech) => Ear::Speech {
                detector: Box::new(SpeechDetector::new(rate, speech)?),
                needed: u32::try_from(config.min_speech.as_millis().div_ceil(16)).unwrap_or(u32::MAX).max(1),
                evidence: 0,
            },
            BargeInMode::Rms(rms) => {
                let loudness = Loudness::new(rate, rms, config.min_speech, config.ignore_tones)?;
                Ear::Loudness(Box::new(loudness))
            }
        };
        Ok(Self { ear, has_fired: false })
    }

    /// Listens to one frame of 20 ms. `playing`: whether something was played to the caller meanwhile. True at the moment
    /// when the caller has interrupted this playback.
    ///
    /// Frames are wanted while nothing is played as well: what is heard then teaches it the background. In
    /// [`BargeInMode::Speech`] the detector's own changes are appended to `events`, so that a call needs no second one.
    pub fn process(&mut self, frame: &[i16], playing: bool, events: &mut Vec<SpeechEvent>) -> bool {
        let has_spoken = match &mut self.ear {
            Ear::Speech { detector, needed, evidence } => {
                detector.listen(frame, events, |judgement| {
                    *evidence = match judgement {
                        Judgement::Speech => evidence.saturating_add(1),
                        Judgement::Perhaps => *evidence,
                        Judgement::Else => evidence.saturating_sub(1),
                        Judgement::Tone => 0,
                    };
                });
                if !playing {
                    *evidence = 0;
                }
                evidence >= needed
            }
            Ear::Loudness(loudness) => {
                let is_loud = loudness.process(frame);
                if !playing {
                    loudness.restart();
                }
                is_loud
            }
        };
        let fires = playing && has_spoken && !self.has_fired;
        self.has_fired = playing && (self.has_fired || has_spoken);
        fires
    }

    /// A playback is over, though the next one may begin before the caller's next frame: what was said into it does not
    /// count, and the next can be interrupted again.
    pub fn playback_over(&mut self) {
        self.has_fired = false;
        match &mut self.ear {
            Ear::Speech { evidence, .. } => *evidence = 0,
            Ear::Loudness(loudness) => loudness.restart(),
        }
    }

    /// Whether somebody talks, by the speech detector; false in [`BargeInMode::Rms`].
    pub fn speaking(&self) -> bool {
        match &self.ear {
            Ear::Speech { detector, .. } => detector.speaking(),
            Ear::Loudness(_) => false,
        }
    }
}
