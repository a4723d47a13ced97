//! `Playback` tells when agent audio is heard by the peer: from its first frame to 200 ms after its last.
//!
//! In: once per frame, whether it was agent audio. Out: beginnings and ends. Shorter breaks (an agent whose network
//! stutters) are part of a playback, so that it is interrupted only once. Knows nothing of what waits in the queue.

use std::time::Duration;

pub(crate) struct Playback {
    /// Agent audio played before the playback at hand.
    before: Option<Duration>,
    /// Frames since the last one of agent audio.
    idle: u32,
}

impl Playback {
    pub(crate) fn new() -> Self {
        Self { before: None, idle: 0 }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.before.is_some()
    }

    /// A frame of agent audio goes out. `played_before` it: agent audio on this call leg. Whether a playback begins.
    pub(crate) fn audio(&mut self, played_before: Duration) -> bool {
        self.idle = 0;
        let begins = self.before.is_none();
        self.before.get_or_insert(played_before);
        begins
    }

    /// A frame goes by without agent audio, and none is waiting. How much the playback played, if it ends with it.
    pub(crate) fn idle(&mut self, played: Duration) -> Option<Duration> {
        self.idle += u32::from(self.is_on());
        if self.idle < BREAK { None } else { self.end(played) }
    }

    /// What was left of it has been dropped. How much of it was played.
    pub(crate) fn end(&mut self, played: Duration) -> Option<Duration> {
        self.idle = 0;
        self.before.take().map(|before| played.saturating_sub(before))
    }

    /// How much of the playback at hand has been played.
    pub(crate) fn played(&self, played: Duration) -> Option<Duration> {
        self.before.map(|before| played.saturating_sub(before))
    }
}

/// 200 ms.
const BREAK: u32 = 10;
