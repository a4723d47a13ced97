//! `Timeline` maps the RTP timestamps of a peer's packets, in order, onto one media time that never runs backwards.
//!
//! In: timestamps with their arrivals, and how many packets are missing before. Out: positions in clock units since
//! the first packet, and how much audio is lost. Silence suppression is a jump in time without a gap in sequence
//! numbers: no loss. A timestamp that cannot be true (the peer's clock was set anew, another stream) is replaced by
//! the time that has passed.

use std::time::Instant;

use crate::reception::units;

pub(crate) struct Timeline {
    clock_rate: u32,
    /// Clock units in a packet of the peer.
    packet_units: u64,
    /// The last distance between two packets, which becomes `packet_units` when it comes again.
    candidate: u64,
    last: Option<Last>,
    /// Packets missing since `last`.
    missing: u64,
    /// Whether the packet before was a telephone event.
    after_event: bool,
    /// The next timestamp has nothing to do with the last.
    restarted: bool,
}

struct Last {
    timestamp: u32,
    position: u64,
    arrival: Instant,
}

/// Where a packet of audio belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) position: u64,
    pub(crate) talk_spurt: bool,
    /// Lost audio before it: 20 ms frames, position.
    pub(crate) lost: Option<(u32, u64)>,
}

impl Timeline {
    pub(crate) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            packet_units: u64::from(clock_rate / 50).max(1),
            candidate: 0,
            last: None,
            missing: 0,
            after_event: false,
            restarted: false,
        }
    }

    /// So many packets before the next one are lost.
    pub(crate) fn missing(&mut self, count: u64) {
        self.missing = self.missing.saturating_add(count);
    }

    /// The next packet is a telephone event, or something else that is no audio.
    pub(crate) fn event(&mut self) {
        if self.after_event {
            self.missing = 0; // what lay between two events was an event
        }
        self.after_event = true;
    }

    /// The next packet is the first of another stream.
    pub(crate) fn restart(&mut self) {
        self.restarted = true;
        self.missing = 0;
        self.after_event = false;
        self.candidate = 0;
    }

    /// The next packet is audio.
    pub(crate) fn audio(&mut self, arrival: Instant, timestamp: u32, marker: bool) -> Placed {
        let missing = std::mem::take(&mut self.missing);
        let after_event = std::mem::take(&mut self.after_event);
        let restarted = std::mem::take(&mut self.restarted);
        let Some(last) = &self.last else {
            self.last = Some(Last { timestamp, position: 0, arrival });
            return Placed { position: 0, talk_spurt: true, lost: None };
        };
        let ahead = timestamp.wrapping_sub(last.timestamp) as i32;
        let passed = units(arrival.saturating_duration_since(last.arrival), self.clock_rate);
        let coming = missing.saturating_add(1).saturating_mul(self.packet_units);
        let plausible =
            passed.saturating_add(coming).saturating_add(u64::from(self.clock_rate) * TOLERANCE_SECONDS);
        let (distance, jumped) = match u64::try_from(ahead) {
            Ok(ahead) if !restarted && ahead <= plausible => (ahead, ahead > coming + self.packet_units),
            _ => (coming.max(passed), true),
        };
        let after_last = last.position + self.packet_units.min(distance);
        let position = last.position + distance;
        let frame = u64::from(self.clock_rate / 50).max(1);
        let lost_units = (position - after_last).min(missing.saturating_mul(self.packet_units));
        let lost_frames = u32::try_from((lost_units + frame / 2) / frame).unwrap_or(u32::MAX);
        if missing == 0 && !jumped && !after_event && distance > 0 {
            self.learn(distance);
        }
        self.last = Some(Last { timestamp, position, arrival });
        Placed {
            position,
            talk_spurt: marker || (jumped && missing == 0),
            lost: (lost_frames > 0).then_some((lost_frames, after_last)),
        }
    }

    /// Takes a distance between neighbours as the length of a packet when it comes twice in a row.
    fn learn(&mut self, distance: u64) {
        if distance == self.candidate {
            self.packet_units = distance;
        }
        self.candidate = distance;
    }
}

/// How much further than the time that passed a timestamp may be: a peer that sends a burst.
const TOLERANCE_SECONDS: u64 = 5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn first_packet_is_at_zero_and_starts_a_talk_spurt() {
        let (mut line, now) = line();
        assert_eq!(line.audio(now, 4_000_000_000, false), placed(0, true, None));
        assert_eq!(line.audio(now + ms(20), 4_000_000_160, false), placed(160, false, None));
    }

    #[test]
    fn timestamps_go_on_over_the_wrap() {
        let (mut line, now) = line();
        line.audio(now, u32::MAX - 59, false);
        assert_eq!(line.audio(now + ms(20), 100, false), placed(160, false, None));
    }

    #[test]
    fn missing_packets_are_lost_frames_right_after_the_last() {
        let (mut line, now) = line();
        line.audio(now, 0, false);
        line.missing(3);
        assert_eq!(line.audio(now + ms(80), 640, false), placed(640, false, Some((3, 160))));
    }

    #[test]
    fn silence_suppression_is_no_loss() {
        let (mut line, now) = line();
        line.audio(now, 0, false);
        assert_eq!(line.audio(now + ms(60_000), 480_000, false), placed(480_000, true, None));
        line.missing(1);
        let lost = placed(560_000, false, Some((1, 480_160)));
        assert_eq!(line.audio(now + ms(70_000), 560_000, false), lost);
    }

    #[test]
    fn packets_of_40_ms_are_two_frames_each() {
        let (mut line, now) = line();
        for n in 0..4_u32 {
            let talk_spurt = n == 0;
            let got = line.audio(now + ms(u64::from(n) * 40), n * 320, false);
            assert_eq!(got, placed(u64::from(n) * 320, talk_spurt, None));
        }
        line.missing(1);
        assert_eq!(line.audio(now + ms(200), 1600, false), placed(1600, false, Some((2, 1280))));
    }

    #[test]
    fn lost_telephone_events_are_no_lost_audio() {
        let (mut line, now) = line();
        line.audio(now, 0, false);
        line.event();
        line.missing(2);
        line.event();
        assert_eq!(line.audio(now + ms(200), 1600, true), placed(1600, true, None));
    }

    #[test]
    fn clock_set_anew_goes_on_where_time_is() {
        let (mut line, now) = line();
        line.audio(now, 1_000_000, false);
        assert_eq!(line.audio(now + ms(20), 5, false), placed(160, true, None));
        assert_eq!(line.audio(now + ms(40), 165, false), placed(320, false, None));
        assert_eq!(line.audio(now + ms(60), 2_000_000_000, false), placed(480, true, None));
        line.restart();
        assert_eq!(line.audio(now + ms(1060), 2_000_000_160, false), placed(8480, true, None));
    }

    fn line() -> (Timeline, Instant) {
        #[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
        let now = Instant::now();
        (Timeline::new(8000), now)
    }

    fn placed(position: u64, talk_spurt: bool, lost: Option<(u32, u64)>) -> Placed {
        Placed { position, talk_spurt, lost }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
