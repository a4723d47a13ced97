//! `Sessions` is the connections of one call: the one in use, the one that will take its place, and when to try again.
//!
//! In: what comes of connections, the time. Out: what to open and to close. Knows nothing of what is said in them.
//!
//! ```text
//!  opening ──up──▶ configuring ──session.updated──▶ ready ──before the limit──▶ a second one, opening .. ready ──▶ the first
//!     ▲                 │ refused, late                │ lost
//!     └── waiting ◀─────┴──────────────────────────────┘        (1 .. 30 s)
//! ```

use std::time::{Duration, Instant};

use super::{BackOff, LinkId};

/// See above.
#[derive(Debug)]
pub(super) struct Sessions {
    current: Option<Session>,
    next: Option<Session>,
    /// When to open a connection where there is none.
    again: Option<Instant>,
    back_off: BackOff,
    last_id: LinkId,
    /// How long a session may last.
    lifetime: Duration,
    /// When to prepare the next one.
    roll_over: Option<Instant>,
    /// Since when there is no session, or none that lasts.
    outage: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    id: LinkId,
    stage: Stage,
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Configuring,
    Ready,
}

/// What a session has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// The one in use: it may be talked with.
    Current,
    /// The one that waits for its turn.
    Next,
}

/// Whose connection it was that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The one in use.
    Current {
        /// It had been a session for a while.
        lasted: bool,
    },
    /// The one that should have taken its place.
    Next,
    /// None that matters any more.
    Neither,
}

impl Sessions {
    pub(super) fn new(lifetime: Duration, seed: u64) -> Self {
        Self {
            current: None,
            next: None,
            again: None,
            back_off: BackOff::new(seed),
            last_id: 0,
            lifetime,
            roll_over: None,
            outage: None,
        }
    }

    /// Opens the connection to be used.
    pub(super) fn open(&mut self, now: Instant) -> LinkId {
        self.again = None;
        let session = self.opening(now);
        self.current = Some(session);
        session.id
    }

    fn opening(&mut self, now: Instant) -> Session {
        self.last_id += 1;
        Session { id: self.last_id, stage: Stage::Opening, since: now }
    }

    fn session(&mut self, id: LinkId) -> Option<&mut Session> {
        self.current.iter_mut().chain(&mut self.next).find(|session| session.id == id)
    }

    /// A connection is there. True if it is to be told how to talk.
    pub(super) fn up(&mut self, now: Instant, id: LinkId) -> bool {
        let session = self.session(id).filter(|session| session.stage == Stage::Opening);
        if let Some(session) = session {
            (session.stage, session.since) = (Stage::Configuring, now);
            return true;
        }
        false
    }

    /// A session has taken what it was told.
    pub(super) fn updated(&mut self, now: Instant, id: LinkId) -> Option<Ready> {
        let session = self.session(id).filter(|session| session.stage == Stage::Configuring)?;
        (session.stage, session.since) = (Stage::Ready, now);
        if self.current.is_some_and(|current| current.id == id) {
            self.roll_over = Some(now + self.lifetime);
            return Some(Ready::Current);
        }
        Some(Ready::Next)
    }

    /// Whether the session has not taken what it was told yet.
    pub(super) fn is_preparing(&mut self, id: LinkId) -> bool {
        self.session(id).is_some_and(|session| session.stage != Stage::Ready)
    }

    /// The session that may be talked with.
    pub(super) fn ready(&self) -> Option<LinkId> {
        self.current.filter(|session| session.stage == Stage::Ready).map(|session| session.id)
    }

    /// A connection is down. `Lost::Current` has to be followed by [`Self::take_next`], [`Self::wait`] or nothing for good.
    pub(super) fn down(&mut self, now: Instant, id: LinkId) -> Lost {
        if self.next.is_some_and(|next| next.id == id) {
            self.next = None;
            self.roll_over = Some(now + PREPARE_AGAIN);
            return Lost::Next;
        }
        let Some(session) = self.current.take_if(|session| session.id == id) else { return Lost::Neither };
        let was_ready = session.stage == Stage::Ready;
        let lasted = was_ready && now.saturating_duration_since(session.since) >= STABLE;
        if lasted {
            self.back_off.reset();
            self.outage = None;
        }
        self.outage.get_or_insert(if was_ready { now } else { session.since });
        self.roll_over = None;
        Lost::Current { lasted }
    }

    /// Puts the session that was prepared in the place of the one in use: that one's id, to be closed, and the new one's.
    pub(super) fn take_next(&mut self) -> Option<(Option<LinkId>, LinkId)> {
        let next = self.next.take_if(|next| next.stage == Stage::Ready)?;
        let old = self.current.replace(next).map(|old| old.id);
        self.roll_over = Some(next.since + self.lifetime);
        Some((old, next.id))
    }

    /// Tries again after a pause, or, `slowly`, after the longest one; says how long.
    pub(super) fn wait(&mut self, now: Instant, slowly: bool) -> Duration {
        let pause = self.back_off.next_pause();
        let pause = if slowly { SLOW } else { pause };
        self.again = Some(now + pause);
        pause
    }

    /// Since when there has been no session to talk with.
    pub(super) fn absent_since(&self) -> Option<Instant> {
        let since = self.outage.into_iter().chain(self.current.map(|session| session.since)).min();
        since.filter(|_| self.ready().is_none())
    }

    /// For how long there has been no session that lasts.
    pub(super) fn outage(&self, now: Instant) -> Duration {
        self.outage.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Every connection that there is, to be closed; none is made again.
    pub(super) fn close(&mut self) -> Vec<LinkId> {
        self.again = None;
        self.roll_over = None;
        self.current.take().into_iter().chain(self.next.take()).map(|session| session.id).collect()
    }

    /// A connection to be opened now: because a pause is over, or because the session in use is near its end.
    pub(super) fn due(&mut self, now: Instant) -> Option<LinkId> {
        if self.again.is_some_and(|at| now >= at) {
            return Some(self.open(now));
        }
        if self.next.is_none() && self.roll_over.is_some_and(|at| now >= at) {
            let session = self.opening(now);
            self.next = Some(session);
            return Some(session.id);
        }
        None
    }

    /// A connection that has taken too long to become a session.
    pub(super) fn late(&self, now: Instant) -> Option<LinkId> {
        let late = |session: &&Session| session.stage != Stage::Ready && now >= session.since + PREPARED;
        self.current.iter().chain(&self.next).find(late).map(|session| session.id)
    }

    /// Whether the prepared session has to be used, whatever is being said.
    pub(super) fn is_at_its_end(&self, now: Instant) -> bool {
        self.end().is_some_and(|at| now >= at)
    }

    /// Whether a session waits for its turn.
    pub(super) fn has_next(&self) -> bool {
        self.next.is_some_and(|next| next.stage == Stage::Ready)
    }

    fn end(&self) -> Option<Instant> {
        let current = self.current.filter(|session| session.stage == Stage::Ready)?;
        self.has_next().then(|| current.since + self.lifetime + LAST_CHANCE.min(self.lifetime / 10))
    }

    /// When [`Self::due`], [`Self::late`] or [`Self::is_at_its_end`] may have something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let preparing = self.current.iter().chain(&self.next).filter(|session| session.stage != Stage::Ready);
        let late = preparing.map(|session| session.since + PREPARED);
        let roll_over = self.roll_over.filter(|_| self.next.is_none());
        late.chain(self.again).chain(roll_over).chain(self.end()).min()
    }
}

/// Time for a connection, and again for its session, to be there.
const PREPARED: Duration = Duration::from_secs(12);
/// A session that lasted this long was a good one.
const STABLE: Duration = Duration::from_secs(10);
/// Pause after a connection that should have taken another one's place could not be made.
const PREPARE_AGAIN: Duration = Duration::from_secs(20);
/// Pause where the service refuses us.
const SLOW: Duration = Duration::from_secs(30);
/// How long after its time a session may be used until nobody speaks.
const LAST_CHANCE: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn ready(sessions: &mut Sessions, now: Instant) -> LinkId {
        let id = sessions.open(now);
        assert!(sessions.up(now, id) && !sessions.up(now, id));
        assert_eq!((sessions.ready(), sessions.updated(now, id)), (None, Some(Ready::Current)));
        assert_eq!((sessions.ready(), sessions.updated(now, id)), (Some(id), None));
        id
    }

    #[test]
    fn session_is_replaced_before_its_end() {
        let start = Instant::now();
        let mut sessions = Sessions::new(S(3300), 1);
        let first = ready(&mut sessions, start);
        assert_eq!(sessions.deadline(), Some(start + S(3300)));
        assert_eq!(sessions.due(start + S(3299)), None);
        let second = sessions.due(start + S(3300)).unwrap();
        // It cannot be made, and is tried again.
        assert_eq!(sessions.down(start + S(3301), second), Lost::Next);
        assert_eq!(sessions.due(start + S(3310)), None);
        let now = start + S(3321);
        let third = sessions.due(now).unwrap();
        assert!(sessions.take_next().is_none());
        assert!(sessions.up(now, third));
        assert_eq!(sessions.updated(now, third), Some(Ready::Next));
        assert!(sessions.has_next() && !sessions.is_at_its_end(now));
        assert!(sessions.is_at_its_end(start + S(3480)), "before the hour is over");
        assert_eq!(sessions.ready(), Some(first));
        assert_eq!(sessions.take_next(), Some((Some(first), third)));
        assert_eq!((sessions.ready(), sessions.deadline()), (Some(third), Some(now + S(3300))));
        assert_eq!(sessions.down(now, first), Lost::Neither);
    }

    #[test]
    fn pauses_begin_anew_after_a_session_that_lasted() {
        let start = Instant::now();
        let mut sessions = Sessions::new(S(3300), 1);
        for n in 0..3 {
            let id = ready(&mut sessions, start + S(n));
            assert_eq!(sessions.down(start + S(n), id), Lost::Current { lasted: false });
            let longest = S(2 << n);
            let pause = sessions.wait(start + S(n), false);
            assert!((longest / 2..=longest).contains(&pause), "{pause:?}");
        }
        assert_eq!(sessions.outage(start + S(5)), S(5));
        let id = ready(&mut sessions, start + S(10));
        assert_eq!(sessions.down(start + S(30), id), Lost::Current { lasted: true });
        assert!(sessions.wait(start + S(30), false) <= S(2));
        assert_eq!(sessions.outage(start + S(31)), S(1));
    }

    #[test]
    fn connection_that_does_not_become_a_session_is_late() {
        let start = Instant::now();
        let mut sessions = Sessions::new(S(3300), 1);
        let id = sessions.open(start);
        assert_eq!((sessions.late(start + S(11)), sessions.late(start + S(12))), (None, Some(id)));
        assert_eq!(sessions.deadline(), Some(start + S(12)));
        sessions.up(start + S(5), id);
        assert_eq!(sessions.late(start + S(12)), None);
        assert_eq!(sessions.late(start + S(17)), Some(id));
        assert_eq!(sessions.close(), [id]);
        assert_eq!(sessions.deadline(), None);
    }
}
