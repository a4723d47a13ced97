//! The playout queue's commands: what waits to be played, what the peer hears of it, and what is told of that.

use std::time::{Duration, Instant};

use super::Session;
use crate::{Cleared, Event, FRAME, MarkError, Output, QueueFull};

impl Session {
    /// Queues PCM at the encoder's sample rate, any length.
    ///
    /// The limit lies between messages: below it a message of any length is taken whole.
    pub fn queue_pcm(&mut self, _now: Instant, pcm: &[i16]) -> Result<(), QueueFull> {
        self.admit()?;
        self.playout.push_pcm(pcm);
        self.check_high_water();
        Ok(())
    }

    /// Queues payload of the codec that is sent, any length; its bytes go out untouched.
    pub fn queue_payload(&mut self, _now: Instant, payload: &[u8]) -> Result<(), QueueFull> {
        self.admit()?;
        self.playout.push_payload(payload);
        self.check_high_water();
        Ok(())
    }

    /// Queues a mark, reported when all audio before it has been played: at once if there is none.
    pub fn mark(&mut self, now: Instant, name: String) -> Result<(), MarkError> {
        if self.closed {
            return Err(MarkError::Closed);
        }
        if name.len() > MAX_MARK_NAME {
            return Err(MarkError::NameTooLong { length: name.len(), limit: MAX_MARK_NAME });
        }
        if self.playout.marks() >= MAX_MARKS {
            return Err(MarkError::TooMany { limit: MAX_MARKS });
        }
        self.playout.push_mark(name);
        if self.is_quiet(now) {
            self.report_reached();
        }
        Ok(())
    }

    /// Empties the playout queue; every mark whose audio was not sent comes back as cleared. Digits go on. The playback
    /// ends with it: the answer says how much of it the peer has heard.
    pub fn clear(&mut self, now: Instant) -> Cleared {
        if self.closed {
            return Cleared::default();
        }
        self.report_reached();
        let played = self.played();
        let ahead = FRAME * std::mem::take(&mut self.ahead);
        self.unheard += ahead;
        self.busy_until = self.busy_until.map(|until| until - ahead);
        let dropped = self.playout.queued() + ahead;
        let outputs = &mut self.outputs;
        self.playout.clear(|name| outputs.push_back(Output::Event(Event::MarkCleared { name, played })));
        self.backlog.clear();
        let ended = self.playback.end(played);
        self.report_playback_end(ended);
        self.check_low_water();
        self.check_drained(now);
        Cleared { played: ended, dropped }
    }

    /// Asks for [`Event::Drained`] when queue and digits are through: at once if there are none.
    pub fn drain(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.draining = true;
        self.check_drained(now);
    }

    /// Audio in the playout queue.
    pub fn queued(&self) -> Duration {
        self.playout.queued()
    }

    /// Agent audio sent on this call leg, exact to the frame; what was sent ahead counts when it is due.
    pub fn played(&self) -> Duration {
        self.playout.played().saturating_sub(self.unheard + FRAME * self.ahead)
    }

    /// Whether the peer hears agent audio: from its first frame until 200 ms after its last, or until it is cleared. On
    /// hold, a playback that was begun goes on as long as audio waits.
    pub fn is_playing(&self) -> bool {
        self.playback.is_on()
    }

    /// How much of the playback at hand has been sent, exact to the frame; `None` while there is none.
    pub fn playback(&self) -> Option<Duration> {
        self.playback.played(self.played())
    }

    fn admit(&mut self) -> Result<(), QueueFull> {
        let queued = self.playout.queued();
        let limit = match (self.closed, self.next_frame) {
            (true, _) => Duration::ZERO,
            (false, None) => self.config.pre_start_limit,
            (false, Some(_)) => self.config.queue_limit,
        };
        if queued >= limit {
            self.stats.refused += 1;
            return Err(QueueFull { queued, limit });
        }
        Ok(())
    }

    fn check_high_water(&mut self) {
        let queued = self.playout.queued();
        if !self.above_high_water && queued > self.config.high_water {
            self.above_high_water = true;
            self.emit(Event::HighWater { queued });
        }
    }

    pub(super) fn check_low_water(&mut self) {
        if !self.above_high_water {
            return;
        }
        let queued = self.playout.queued();
        if queued <= self.config.low_water {
            self.above_high_water = false;
            self.emit(Event::LowWater { queued });
        }
    }

    /// Whether nothing is queued and the last frame of audio has been heard out.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        !self.playout.has_audio() && self.busy_until.is_none_or(|busy_until| busy_until <= now)
    }

    pub(super) fn report_playback_end(&mut self, played: Option<Duration>) {
        if let Some(played) = played {
            self.emit(Event::PlaybackEnded { played });
        }
    }

    /// Reports the marks before which all audio has been sent, and was due.
    pub(super) fn report_reached(&mut self) {
        if self.playout.marks() == 0 {
            return; // as in almost every frame
        }
        let due = self.played() + self.unheard;
        while let Some((name, position)) = self.playout.pop_reached(due) {
            self.emit(Event::MarkPlayed { name, played: position.saturating_sub(self.unheard) });
        }
    }

    pub(super) fn check_drained(&mut self, now: Instant) {
        if self.draining && self.is_quiet(now) && !self.dialler.is_active() {
            self.draining = false;
            self.emit(Event::Drained);
        }
    }
}

/// More than one for each frame of the longest queue.
const MAX_MARKS: usize = 32_768;
const MAX_MARK_NAME: usize = 256;
