//! Packet-loss concealment: fills a gap with the last pitch periods, fading, and joins what comes after it.
//!
//! In: decoded frames in order of playout, or the fact that one is missing. Out: the frames to play. Works on PCM, so for
//! every codec; after the published description of G.711 Appendix I, without its delay.

use model::audio::SampleRate;

/// Conceals the losses of one stream; one for each.
#[derive(Debug, Clone)]
pub struct Concealer {}

impl Concealer {
    /// `sample_rate`: of the decoded audio.
    pub fn new(sample_rate: SampleRate) -> Self {
        let _ = sample_rate;
        Self {}
    }

    /// Takes a frame that arrived. After a gap its start is blended with the concealment; else it stays as it is.
    pub fn good(&mut self, frame: &mut [i16]) {
        let _ = frame;
        todo!()
    }

    /// Fills `out`, a frame that is missing: the pitch repeated, 20 % less every 10 ms, silence after 60 ms.
    pub fn lost(&mut self, out: &mut [i16]) {
        let _ = out;
        todo!()
    }
}
