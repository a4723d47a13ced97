//! Puts chunks back into the order of their numbers, within a small bound (Telnyx does not promise it).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Audio of one message.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) payload: Bytes,
    pub(super) timestamp: Option<Duration>,
}

/// Chunks that wait for an earlier one, and those whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    /// The number whose turn it is; `None` before the first.
    next: Option<u64>,
    /// By number, lowest first; none is `next`.
    held: Vec<(u64, Chunk)>,
    /// When the first gap is given up.
    deadline: Option<Instant>,
    ready: VecDeque<Chunk>,
    pub(super) lost: u64,
    pub(super) duplicates: u64,
}

impl Reorder {
    /// Takes a chunk whose order is not in doubt.
    pub(super) fn pass(&mut self, chunk: Chunk) {
        self.ready.push_back(chunk);
    }

    /// Takes a chunk by its number; one without passes.
    pub(super) fn push(&mut self, now: Instant, number: Option<u64>, chunk: Chunk) {
        let Some(number) = number else { return self.pass(chunk) };
        let next = *self.next.get_or_insert(first_expected(number));
        if number < next && next - number > RESTART {
            self.flush();
            self.next = Some(number);
        } else if number < next || self.held.iter().any(|(held, _)| *held == number) {
            self.duplicates += 1;
            return;
        }
        let place = self.held.partition_point(|(held, _)| *held < number);
        self.held.insert(place, (number, chunk));
        self.release();
        if self.held.len() > MAX_HELD {
            self.give_up();
        }
        self.deadline = match self.held.is_empty() {
            true => None,
            false => self.deadline.or(Some(now + MAX_WAIT)),
        };
    }

    /// The next chunk whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Gives up what has been waited for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.give_up();
            self.deadline = (!self.held.is_empty()).then(|| now + MAX_WAIT);
        }
    }

    /// Waits for nothing any more.
    pub(super) fn flush(&mut self) {
        while !self.held.is_empty() {
            self.give_up();
        }
        self.deadline = None;
    }

    /// Goes on behind the first gap.
    fn give_up(&mut self) {
        if let (Some((first, _)), Some(next)) = (self.held.first(), self.next) {
            self.lost = self.lost.saturating_add(first - next);
            self.next = Some(*first);
            self.release();
        }
        self.deadline = None;
    }

    /// Moves what is in order.
    fn release(&mut self) {
        let Some(next) = self.next else { return };
        let run = self
            .held
            .iter()
            .zip(0..)
            .take_while(|((held, _), n)| next.checked_add(*n) == Some(*held))
            .count();
        if run > 0 {
            self.next = Some(next.saturating_add(run as u64));
            self.ready.extend(self.held.drain(..run).map(|(_, chunk)| chunk));
            self.deadline = None;
        }
    }
}

/// What the number of the first chunk that came says of the numbering: it begins at 0 or 1, unless we came late.
fn first_expected(number: u64) -> u64 {
    if number <= MAX_HELD as u64 { number.min(1) } else { number }
}

/// Chunks that may wait for an earlier one, and for how long the first may: 100 ms of audio.
const MAX_HELD: usize = 5;
const MAX_WAIT: Duration = Duration::from_millis(100);

/// A number so far back is not late: the provider counts anew. 250 chunks are 5 s.
const RESTART: u64 = 250;
