//! `LevelMeter` tells what stands out from the background by its level.
//!
//! In: hops of 16 ms. Out: a [`Level`]. The background is the quietest hop of the last 1.5 s: speech has a pause within
//! that time, and steady noise has none.

use super::tone_guard::HOP;

/// How loud a hop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Silence, steady noise, or a click.
    Background,
    /// 3 dB above the background.
    Raised,
    /// 6 dB above it.
    Foreground,
}

/// Watches one stream; one for each.
#[derive(Debug, Clone)]
pub(super) struct LevelMeter {
    /// The least power of each of the last stretches, the one at hand included.
    least: [f32; STRETCHES],
    /// Which of them is at hand.
    current: usize,
    /// Hops of it that have passed.
    hops: usize,
}

impl LevelMeter {
    pub(super) fn new() -> Self {
        Self { least: [f32::INFINITY; STRETCHES], current: 0, hops: 0 }
    }

    pub(super) fn hear(&mut self, hop: &[i16; HOP]) -> Level {
        let (power, peak) = power_and_peak(hop);
        if self.hops == STRETCH {
            self.hops = 0;
            self.current = (self.current + 1) % STRETCHES;
            self.least[self.current] = f32::INFINITY;
        }
        self.hops += 1;
        self.least[self.current] = self.least[self.current].min(power);
        let background = self.least.iter().copied().fold(f32::INFINITY, f32::min);
        let is_click = peak * peak > CLICK * power;
        if power < SILENCE || is_click || power < RAISED * background {
            Level::Background
        } else if power < FOREGROUND * background {
            Level::Raised
        } else {
            Level::Foreground
        }
    }
}

/// Of the samples less their mean, which is no sound.
fn power_and_peak(hop: &[i16; HOP]) -> (f32, f32) {
    let mean = hop.iter().map(|&sample| f32::from(sample)).sum::<f32>() / HOP as f32;
    let (mut energy, mut peak) = (0.0, 0.0_f32);
    for &sample in hop {
        let sample = f32::from(sample) - mean;
        energy += sample * sample;
        peak = peak.max(sample.abs());
    }
    (energy / HOP as f32, peak)
}

/// Stretches of 192 ms.
const STRETCHES: usize = 8;
const STRETCH: usize = 12;
/// Least power of speech: a root mean square of 40, -55 dBm0.
const SILENCE: f32 = 1_600.0;
const RAISED: f32 = 2.0;
const FOREGROUND: f32 = 4.0;
/// A peak of seven times the root mean square: the pulses of a voice have five.
const CLICK: f32 = 49.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_follows_within_a_second_and_a_half() {
        let mut meter = LevelMeter::new();
        for _ in 0..20 {
            assert_eq!(meter.hear(&square(10)), Level::Background);
        }
        let raised = (0..200).take_while(|_| meter.hear(&square(1000)) == Level::Foreground).count();
        assert!((84..=96).contains(&raised), "{raised} hops");
        assert_eq!(meter.hear(&square(1300)), Level::Background);
        assert_eq!(meter.hear(&square(1500)), Level::Raised);
        assert_eq!(meter.hear(&square(2100)), Level::Foreground);
    }

    #[test]
    fn constants_and_clicks_are_no_sound() {
        let mut meter = LevelMeter::new();
        meter.hear(&[0; HOP]);
        assert_eq!(meter.hear(&[20_000; HOP]), Level::Background);
        let mut click = [0; HOP];
        (click[40], click[41]) = (30_000, -30_000);
        assert_eq!(meter.hear(&click), Level::Background);
    }

    fn square(amplitude: i16) -> [i16; HOP] {
        std::array::from_fn(|n| if n % 16 < 8 { amplitude } else { -amplitude })
    }
}
