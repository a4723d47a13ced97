//! The marks on their way through a provider's playout queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::error::MarkError;

/// What became of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkOutcome {
    /// The audio before it was played.
    Played,
    /// It was dropped with the audio before it.
    Cleared,
}

/// Marks that were sent and have not come back.
#[derive(Debug)]
pub(super) struct Marks {
    limit: usize,
    pending: VecDeque<String>,
    /// Told as cleared; the provider still echoes them, once each, and before any sent later.
    cleared: VecDeque<String>,
    /// Until when such echoes are waited for.
    echoes_until: Option<Instant>,
}

impl Marks {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, pending: VecDeque::new(), cleared: VecDeque::new(), echoes_until: None }
    }

    pub(super) fn add(&mut self, name: &str) -> Result<(), MarkError> {
        if name.len() > MAX_NAME {
            return Err(MarkError::TooLong { limit: MAX_NAME });
        }
        if self.pending.len() >= self.limit {
            return Err(MarkError::TooMany { limit: self.limit });
        }
        self.pending.push_back(name.to_owned());
        Ok(())
    }

    /// The mark that an echo stands for, if it is news.
    pub(super) fn echo(&mut self, now: Instant, name: &str) -> Option<String> {
        if self.echoes_until.is_some_and(|until| now >= until) {
            self.cleared.clear();
            self.echoes_until = None;
        }
        if take(&mut self.cleared, name).is_some() {
            return None;
        }
        take(&mut self.pending, name)
    }

    /// Takes all that are pending; their echoes will be swallowed.
    pub(super) fn clear(&mut self, now: Instant) -> impl Iterator<Item = String> {
        let pending = std::mem::take(&mut self.pending);
        self.cleared.extend(pending.iter().cloned());
        let excess = self.cleared.len().saturating_sub(self.limit);
        self.cleared.drain(..excess);
        self.echoes_until = Some(now + ECHO_WAIT);
        pending.into_iter()
    }

    /// Takes all that are pending, at the end of the stream.
    pub(super) fn end(&mut self) -> impl Iterator<Item = String> {
        self.cleared.clear();
        std::mem::take(&mut self.pending).into_iter()
    }
}

fn take(marks: &mut VecDeque<String>, name: &str) -> Option<String> {
    let index = marks.iter().position(|mark| mark == name)?;
    marks.remove(index)
}

/// Bytes of a name.
const MAX_NAME: usize = 256;

/// A provider that echoes cleared marks does so at once; one that does not must not cost a later mark of that name.
const ECHO_WAIT: Duration = Duration::from_secs(5);
