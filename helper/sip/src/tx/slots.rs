//! The timers of one transaction, at most two at a time, and the interval of the one that repeats.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Timer, TimerKey, interval};
use crate::endpoint::{Core, Fire};

#[derive(Debug, Default)]
pub(crate) struct Slots {
    armed: SmallVec<[(Timer, TimerKey); 2]>,
    repeat: Duration,
}

impl Slots {
    /// Arms `timer` at its first interval; a timer that the transport does not use is not armed.
    pub(super) fn start(&mut self, core: &mut Core, now: Instant, timer: Timer, fire: Fire) {
        let Some(wait) = interval(timer, &core.config.timers, core.config.auto_trying_after, RELIABLE) else {
            return;
        };
        if matches!(timer, Timer::A | Timer::E | Timer::G) {
            self.repeat = wait;
        }
        self.arm(core, now + wait, timer, fire);
    }

    /// Arms `timer` at twice its interval. A grows without a limit of its own, E and G up to T2 (RFC 3261 §17).
    pub(super) fn double(&mut self, core: &mut Core, now: Instant, timer: Timer, fire: Fire) {
        let doubled = self.repeat * 2;
        self.repeat = if timer == Timer::A { doubled } else { doubled.min(core.config.timers.t2) };
        self.arm(core, now + self.repeat, timer, fire);
    }

    /// Arms `timer` at T2.
    pub(super) fn restart_at_t2(&mut self, core: &mut Core, now: Instant, timer: Timer, fire: Fire) {
        self.repeat = core.config.timers.t2;
        self.arm(core, now + self.repeat, timer, fire);
    }

    pub(super) fn stop(&mut self, core: &mut Core, timer: Timer) {
        self.armed.retain(|(armed, key)| {
            let stops = *armed == timer;
            if stops {
                core.timers.cancel(*key);
            }
            !stops
        });
    }

    /// Forgets a timer that has fired.
    pub(super) fn fired(&mut self, timer: Timer) {
        self.armed.retain(|(armed, _)| *armed != timer);
    }

    pub(super) fn stop_all(&mut self, core: &mut Core) {
        for (_, key) in self.armed.drain(..) {
            core.timers.cancel(key);
        }
    }

    fn arm(&mut self, core: &mut Core, at: Instant, timer: Timer, fire: Fire) {
        self.stop(core, timer);
        self.armed.push((timer, core.timers.arm(at, fire)));
    }
}

/// UDP; the tables and [`interval`] are ready for streams.
const RELIABLE: bool = false;
