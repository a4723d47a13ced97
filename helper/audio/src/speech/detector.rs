//! `SpeechDetector` finds where somebody talks.
//!
//! In: PCM at 8 or 16 kHz in pieces of any size. Out: [`SpeechEvent`]s, the same however the input was cut.
//!
//! ```text
//! quiet ──`onset` more speech than not──▶ Started, speaking ──`hangover` without speech──▶ Stopped, quiet
//! ```

use std::time::Duration;

use model::audio::SampleRate;

use super::judge::{Judge, Judgement};
use crate::resample::ResampleError;

/// When speech begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeechConfig {
    /// Speech that is needed for a start, less what is no speech in between. Rounded up to 16 ms; below 80 ms the start of a
    /// tone may pass for speech.
    pub onset: Duration,
    /// Time without speech that is needed for a stop. Rounded up to 16 ms.
    pub hangover: Duration,
}

impl SpeechConfig {
    /// What is judged at a time: both times are rounded up to a multiple of it.
    pub const FRAME: Duration = Duration::from_millis(16);
}

impl Default for SpeechConfig {
    /// 80 ms and 500 ms.
    fn default() -> Self {
        Self { onset: Duration::from_millis(80), hangover: Duration::from_millis(500) }
    }
}

/// A change of state. Positions are counted from the start of the audio, in steps of 16 ms; they lie before the audio at
/// hand, by the time that the decision took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechEvent {
    /// Somebody talks.
    Started {
        /// Where the speech began.
        at: Duration,
    },
    /// Nobody talks any more.
    Stopped {
        /// Where the last speech ended.
        at: Duration,
    },
}

/// Listens to one stream; one for each. About 20 KB; allocates nothing once it is made.
pub struct SpeechDetector {
    judge: Judge,
    state: State,
}

/// The state of a [`SpeechDetector`] without its ears.
#[derive(Debug, Clone, Copy)]
struct State {
    onset: u32,
    hangover: u32,
    /// Frames judged.
    frames: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// `evidence`: frames of speech, less the others, since frame `since`.
    Quiet { evidence: u32, since: u64 },
    /// `end`: the frame after the last one of speech.
    Speaking { end: u64 },
}

impl SpeechDetector {
    /// A detector that has heard nothing, for mono audio at `rate`.
    ///
    /// # Errors
    ///
    /// [`ResampleError`] for other rates than 8000 and 16000 Hz.
    pub fn new(rate: SampleRate, config: SpeechConfig) -> Result<Self, ResampleError> {
        let (onset, hangover) = (frames(config.onset), frames(config.hangover));
        Ok(Self { judge: Judge::new(rate)?, state: State { onset, hangover, frames: 0, phase: QUIET } })
    }

    /// Whether somebody talks.
    pub fn speaking(&self) -> bool {
        matches!(self.state.phase, Phase::Speaking { .. })
    }

    /// Listens to `pcm` and appends what changed to `events`.
    pub fn process(&mut self, pcm: &[i16], events: &mut Vec<SpeechEvent>) {
        self.listen(pcm, events, |_| {});
    }

    /// The same, and tells of every frame.
    pub(super) fn listen(
        &mut self,
        pcm: &[i16],
        events: &mut Vec<SpeechEvent>,
        mut judged: impl FnMut(Judgement),
    ) {
        let state = &mut self.state;
        self.judge.listen(pcm, |judgement| {
            events.extend(state.hear(judgement));
            judged(judgement);
        });
    }

    /// The audio is over, or something else comes next: the end of the speech, if somebody still talks. Positions go on.
    pub fn flush(&mut self) -> Option<SpeechEvent> {
        self.judge.reset();
        match std::mem::replace(&mut self.state.phase, QUIET) {
            Phase::Speaking { end } => Some(SpeechEvent::Stopped { at: position(end) }),
            Phase::Quiet { .. } => None,
        }
    }
}

impl State {
    fn hear(&mut self, judgement: Judgement) -> Option<SpeechEvent> {
        let frame = self.frames;
        self.frames += 1;
        match (&mut self.phase, judgement) {
            (Phase::Quiet { evidence, since }, Judgement::Speech) => {
                if *evidence == 0 {
                    *since = frame;
                }
                *evidence += 1;
                if *evidence >= self.onset {
                    let at = position(*since);
                    self.phase = Phase::Speaking { end: frame + 1 };
                    return Some(SpeechEvent::Started { at });
                }
            }
            (Phase::Quiet { .. }, Judgement::Tone) => self.phase = QUIET,
            (Phase::Quiet { evidence, .. }, _) => *evidence = evidence.saturating_sub(1),
            (Phase::Speaking { end }, Judgement::Speech | Judgement::Perhaps) => *end = frame + 1,
            (Phase::Speaking { end }, _) => {
                if frame + 1 - *end >= u64::from(self.hangover) {
                    let at = position(*end);
                    self.phase = QUIET;
                    return Some(SpeechEvent::Stopped { at });
                }
            }
        }
        None
    }
}

fn frames(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros().div_ceil(SpeechConfig::FRAME.as_micros())).unwrap_or(u32::MAX).max(1)
}

fn position(frame: u64) -> Duration {
    Duration::from_millis(frame * 16)
}

const QUIET: Phase = Phase::Quiet { evidence: 0, since: 0 };
