//! What is heard in a caller's audio besides the audio: speech, interruptions of what is played, keys.
//!
//! In: frames, and whether something is played to the caller. Out: [`MediaEvent`]s. What is speech, `audio` decides;
//! whether to listen at all is decided here, because listening costs a multiple of everything else in a call.

use std::time::{Duration, Instant};

use audio::{
    dtmf::{DtmfDetector, DtmfDigit},
    speech::{BargeIn, BargeInConfig, BargeInMode, SpeechConfig, SpeechEvent},
};
use model::audio::SampleRate;

use super::super::message::{DigitSource, MediaEvent};
use crate::config::InbandDtmf;

/// What is listened for.
#[derive(Debug, Clone)]
pub struct Hearing {
    /// When speech is.
    pub attention: Attention,
    /// What counts as an interruption. Speech is reported only where the speech detector tells it.
    pub barge_in: BargeInConfig,
    /// An interruption clears the playout queue.
    pub auto_clear: bool,
    /// When keys are.
    pub inband_dtmf: InbandDtmf,
}

/// When somebody listens for speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Never.
    Off,
    /// While a multi client hears the call.
    WithMultiClients,
    /// From the first frame to the last.
    Always,
}

impl Default for Hearing {
    /// Nothing is listened for. Otherwise, 200 ms of speech are an interruption.
    fn default() -> Self {
        let mode = BargeInMode::Speech(SpeechConfig::default());
        let min_speech = Duration::from_millis(200);
        Self {
            attention: Attention::Off,
            barge_in: BargeInConfig { mode, min_speech, ignore_tones: true },
            auto_clear: false,
            inband_dtmf: InbandDtmf::Off,
        }
    }
}

/// See the module's documentation.
pub struct Ear {
    settings: Hearing,
    speech: Option<Box<Speech>>,
    keys: Option<Box<DtmfDetector>>,
    digits: Vec<DtmfDigit>,
    /// Until when the speech detector does not listen.
    resting: Option<Instant>,
    rests: u64,
}

struct Speech {
    detector: BargeIn,
    /// What was told last.
    speaking: bool,
    events: Vec<SpeechEvent>,
    /// Audio that is no whole frame yet.
    pending: Vec<i16>,
    /// Until when the detector has heard the caller.
    until: Instant,
}

impl Ear {
    /// An ear that listens for nothing yet.
    pub fn new(settings: Hearing) -> Self {
        Self { settings, speech: None, keys: None, digits: Vec::new(), resting: None, rests: 0 }
    }

    /// Whether a multi client hears the call: begins to listen for speech, or ends it.
    pub fn attend(&mut self, multi_clients: bool, now: Instant, mut tell: impl FnMut(MediaEvent)) {
        let wanted = match self.settings.attention {
            Attention::Off => false,
            Attention::WithMultiClients => multi_clients,
            Attention::Always => true,
        };
        if !wanted {
            if self.speech.take().is_some_and(|speech| speech.speaking) {
                tell(MediaEvent::Speech { started: false });
            }
        } else if self.speech.is_none() {
            self.speech = Speech::new(self.settings.barge_in, now).map(Box::new);
        }
    }

    /// What was agreed: whether the caller has telephone events. Keys of another codec's audio are forgotten.
    pub fn agreed(&mut self, telephone_events: bool) {
        let wanted = match self.settings.inband_dtmf {
            InbandDtmf::Off => false,
            InbandDtmf::Auto => !telephone_events,
            InbandDtmf::On => true,
        };
        self.keys = wanted.then(Box::default);
    }

    /// A stretch of the caller, any length. `playing`: something is played to the caller, and how much of it so far.
    pub fn hear(
        &mut self,
        pcm_8k: &[i16],
        playing: Option<Duration>,
        now: Instant,
        mut tell: impl FnMut(MediaEvent),
    ) {
        if let Some(keys) = &mut self.keys {
            keys.process(pcm_8k, &mut self.digits);
            for DtmfDigit { digit, duration, .. } in self.digits.drain(..) {
                tell(MediaEvent::Dtmf { digit, duration, source: DigitSource::Tones });
            }
        }
        if self.resting.is_some_and(|until| now < until) {
            return;
        }
        if let Some(speech) = &mut self.speech {
            speech.until = now;
            speech.hear(pcm_8k, playing, &mut tell);
        }
    }

    /// The machine does not keep up: what costs most and is needed least, the speech detector, rests for a while. A
    /// caller who was talking counts as having stopped.
    pub fn rest(&mut self, now: Instant) {
        if self.speech.is_some() && self.resting.is_none_or(|until| until <= now) {
            self.resting = Some(now + REST);
            self.rests += 1;
        }
    }

    /// How often the speech detector has rested.
    pub fn rests(&self) -> u64 {
        self.rests
    }

    /// What was played is over, to the end or cleared.
    pub fn playback_over(&mut self) {
        if let Some(speech) = &mut self.speech {
            speech.detector.playback_over();
        }
    }

    /// Time went by. A caller who talked and from whom nothing comes any more has stopped.
    pub fn tick(&mut self, playing: Option<Duration>, now: Instant, mut tell: impl FnMut(MediaEvent)) {
        let Some(speech) = self.speech.as_mut().filter(|speech| speech.speaking) else { return };
        while speech.speaking && now.saturating_duration_since(speech.until) >= MISSING {
            speech.until += FRAME;
            speech.hear(&[0; FRAME_SAMPLES], playing, &mut tell);
        }
    }

    /// Whether an interruption clears the playout queue.
    pub fn clears(&self) -> bool {
        self.settings.auto_clear
    }
}

impl Speech {
    fn new(config: BargeInConfig, now: Instant) -> Option<Self> {
        Some(Self {
            // There is a detector for 8 kHz in every mode.
            detector: BargeIn::new(SampleRate::Hz8000, config).ok()?,
            speaking: false,
            events: Vec::new(),
            pending: Vec::with_capacity(2 * FRAME_SAMPLES),
            until: now,
        })
    }

    fn hear(&mut self, pcm: &[i16], playing: Option<Duration>, tell: &mut impl FnMut(MediaEvent)) {
        self.pending.extend_from_slice(pcm);
        let whole = self.pending.len() - self.pending.len() % FRAME_SAMPLES;
        for frame in self.pending[..whole].chunks_exact(FRAME_SAMPLES) {
            let interrupts = self.detector.process(frame, playing.is_some(), &mut self.events);
            for event in self.events.drain(..) {
                let started = matches!(event, SpeechEvent::Started { .. });
                self.speaking = started;
                tell(MediaEvent::Speech { started });
            }
            if let Some(played) = playing.filter(|_| interrupts) {
                tell(MediaEvent::BargeIn { played });
            }
        }
        self.pending.drain(..whole);
    }
}

/// 20 ms at 8 kHz.
const FRAME_SAMPLES: usize = 160;
const FRAME: Duration = Duration::from_millis(20);
/// Calls come back one by one, not all at once: each began to rest in a second of its own.
const REST: Duration = Duration::from_secs(10);
/// Longer than a jitter buffer holds audio back, in general.
const MISSING: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use testkit::{signal, voice};

    use super::*;

    fn ear(attention: Attention, inband_dtmf: InbandDtmf) -> Ear {
        Ear::new(Hearing { attention, inband_dtmf, ..Hearing::default() })
    }

    /// Feeds a call's worth of frames in real time of a made-up clock; `told` are the events.
    fn feed(ear: &mut Ear, pcm: &[i16], playing: bool, start: Instant) -> (Vec<MediaEvent>, Instant) {
        let mut told = Vec::new();
        let mut now = start;
        for frame in pcm.chunks(FRAME_SAMPLES) {
            now += FRAME;
            ear.hear(frame, playing.then_some(Duration::from_secs(1)), now, |event| told.push(event));
        }
        (told, now)
    }

    #[test]
    fn speech_that_breaks_off_with_the_packets_has_stopped() {
        let start = Instant::now();
        let mut ear = ear(Attention::WithMultiClients, InbandDtmf::Off);
        ear.attend(true, start, |_| {});
        let (told, now) = feed(&mut ear, &voice::speech(8000, 1000, 11), false, start);
        assert_eq!(told, [MediaEvent::Speech { started: true }]);
        let mut told = Vec::new();
        for ms in (0..=2000).step_by(20) {
            ear.tick(None, now + Duration::from_millis(ms), |event| told.push((ms, event)));
        }
        let [(ms, MediaEvent::Speech { started: false })] = told[..] else { panic!("{told:?}") };
        assert!((300..1200).contains(&ms), "{ms} ms after the last packet");
    }

    #[test]
    fn nothing_is_listened_for_without_a_multi_client_and_speech_ends_with_the_last_one() {
        let start = Instant::now();
        let speech = voice::speech(8000, 1000, 13);
        let mut ear = ear(Attention::WithMultiClients, InbandDtmf::Off);
        ear.attend(false, start, |_| {});
        assert_eq!(feed(&mut ear, &speech, true, start).0, []);
        ear.attend(true, start, |_| {});
        assert!(!feed(&mut ear, &speech, false, start).0.is_empty());
        let mut told = Vec::new();
        ear.attend(false, start, |event| told.push(event));
        assert_eq!(told, [MediaEvent::Speech { started: false }]);
    }

    #[test]
    fn playback_that_follows_another_at_once_can_be_interrupted_too() {
        let start = Instant::now();
        let interruptions = |told: &[MediaEvent]| {
            told.iter().filter(|event| matches!(event, MediaEvent::BargeIn { .. })).count()
        };
        for over in [false, true] {
            let mut ear = ear(Attention::WithMultiClients, InbandDtmf::Off);
            ear.attend(true, start, |_| {});
            let (told, now) = feed(&mut ear, &voice::speech(8000, 1200, 11), true, start);
            assert_eq!(interruptions(&told), 1);
            if over {
                ear.playback_over();
            }
            let (told, _) = feed(&mut ear, &voice::speech(8000, 1200, 15), true, now);
            assert_eq!(interruptions(&told), usize::from(over));
        }
    }

    #[test]
    fn ear_that_rests_hears_no_speech_and_listens_again_afterwards() {
        let start = Instant::now();
        let speech = voice::speech(8000, 1000, 17);
        let mut ear = ear(Attention::WithMultiClients, InbandDtmf::On);
        ear.agreed(true);
        ear.rest(start);
        assert_eq!(ear.rests(), 0, "nothing was listened for");
        ear.attend(true, start, |_| {});
        ear.rest(start);
        ear.rest(start + FRAME);
        assert_eq!(ear.rests(), 1);
        let key = [vec![0; 800], signal::key('7', 8000, 100, 8000), vec![0; 800]].concat();
        let (told, now) = feed(&mut ear, &[speech.clone(), key].concat(), false, start);
        assert!(matches!(told[..], [MediaEvent::Dtmf { digit: '7', .. }]), "{told:?}");
        let (told, _) = feed(&mut ear, &speech, false, now.max(start + REST));
        assert_eq!(told, [MediaEvent::Speech { started: true }]);
    }

    #[test]
    fn keys_in_the_audio_are_heard_when_they_are_wanted() {
        let start = Instant::now();
        let key = [signal::key('7', 8000, 100, 8000), vec![0; 800]].concat();
        for (setting, telephone_events, heard) in [
            (InbandDtmf::Off, false, false),
            (InbandDtmf::Auto, false, true),
            (InbandDtmf::Auto, true, false),
            (InbandDtmf::On, true, true),
        ] {
            let mut ear = ear(Attention::Off, setting);
            ear.agreed(telephone_events);
            let told = feed(&mut ear, &key, false, start).0;
            let digits = told.iter().filter(|event| {
                matches!(event, MediaEvent::Dtmf { digit: '7', source: DigitSource::Tones, .. })
            });
            assert_eq!(digits.count(), usize::from(heard), "{setting:?}: {told:?}");
        }
    }
}
