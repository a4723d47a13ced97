//! `Playback` knows what of a session's audio has been queued and what has been played.
//!
//! In: pieces of audio as they are queued, marks as they come back. Out: whether it plays, how much waits, where to put
//! the next mark. Pieces are numbered; a mark carries the number of the piece before it, so when mark n is back, n pieces
//! are through. There is one mark a second of audio at most, and always one on its way while something plays.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard, watch};

/// What is to be done to the playout queue, in this order and before anything else.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<A> {
    Audio(A),
    Mark(String),
    Clear,
}

/// Why a piece was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Everything that was queued before the last interruption is void.
    Interrupted,
    /// The session is over.
    Ended,
    /// Too much waits.
    Full { waiting: Duration },
}

/// Names the time between two interruptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// See the module's documentation.
pub(super) struct Playback {
    state: Mutex<State>,
    /// Changes when marks come back and when it is interrupted.
    progress: watch::Sender<u64>,
    /// One utterance at a time.
    turn: Turn<()>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    ended: bool,
    /// Utterances that may still queue audio.
    open: usize,
    /// A caller has talked over what plays now.
    barged: bool,
    last: u64,
    done: u64,
    queued: Duration,
    played: Duration,
    marks: VecDeque<Mark>,
}

struct Mark {
    piece: u64,
    /// All audio up to it.
    queued: Duration,
}

/// An utterance that is being queued; while there is one, the session plays.
pub(super) struct Utterance<'a> {
    playback: &'a Playback,
    pub(super) epoch: Epoch,
}

impl Default for Playback {
    fn default() -> Self {
        Self { state: Mutex::default(), progress: watch::Sender::new(0), turn: Turn::new(()) }
    }
}

impl Playback {
    /// Begins an utterance.
    pub(super) fn begin(&self) -> Result<Utterance<'_>, Refusal> {
        let mut state = self.state();
        if state.ended {
            return Err(Refusal::Ended);
        }
        state.rouse();
        state.open += 1;
        Ok(Utterance { playback: self, epoch: Epoch(state.epoch) })
    }

    /// Waits for its turn among the utterances of the session.
    pub(super) async fn turn(&self) -> TurnGuard<'_, ()> {
        self.turn.lock().await
    }

    /// What changes when something was played or interrupted, or it ended.
    pub(super) fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Whether audio of this epoch may still be queued, and how much waits.
    pub(super) fn standing(&self, epoch: Epoch) -> Result<Duration, Refusal> {
        let state = self.state();
        state.admits(epoch)?;
        Ok(state.queued - state.played)
    }

    /// Queues a piece of audio of this length. `act` is called while nothing else can happen to the queue.
    pub(super) fn queue<A>(
        &self,
        epoch: Epoch,
        audio: A,
        length: Duration,
        mut act: impl FnMut(Step<A>),
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        state.admits(epoch)?;
        let waiting = state.queued - state.played;
        if waiting >= LIMIT {
            return Err(Refusal::Full { waiting });
        }
        state.last += 1;
        state.queued += length;
        act(Step::Audio(audio));
        let behind = state.marks.back().map(|mark| state.queued - mark.queued);
        if behind.is_none_or(|behind| behind >= MARK_EVERY) {
            act(Step::Mark(state.mark()));
        }
        Ok(())
    }

    /// A mark is back, played or dropped.
    pub(super) fn reached(&self, name: &str, mut act: impl FnMut(Step<()>)) {
        let Ok(piece) = name.parse::<u64>() else { return };
        let mut state = self.state();
        if piece <= state.done {
            return;
        }
        while let Some(mark) = state.marks.pop_front_if(|mark| mark.piece <= piece) {
            (state.done, state.played) = (mark.piece, mark.queued);
        }
        if state.marks.is_empty() && state.done < state.last {
            act(Step::Mark(state.mark()));
        }
        drop(state);
        self.advance();
    }

    /// Drops everything that waits. False if nothing plays.
    pub(super) fn cancel(&self, mut act: impl FnMut(Step<()>)) -> bool {
        let mut state = self.state();
        if !state.plays() {
            return false;
        }
        act(Step::Clear);
        state.epoch += 1;
        state.void();
        drop(state);
        self.advance();
        true
    }

    /// Whether anything is played, or about to be.
    pub(super) fn plays(&self) -> bool {
        self.state().plays()
    }

    /// Whether a caller talks over this playback for the first time.
    pub(super) fn barge_in(&self) -> bool {
        let mut state = self.state();
        state.plays() && !std::mem::replace(&mut state.barged, true)
    }

    /// The session is over.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.void();
        drop(state);
        self.advance();
    }

    fn advance(&self) {
        self.progress.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Utterances of earlier epochs only wait for the end of their turn.
    fn plays(&self) -> bool {
        !self.ended && (self.open > 0 || self.done < self.last)
    }

    fn admits(&self, epoch: Epoch) -> Result<(), Refusal> {
        match (self.ended, self.epoch == epoch.0) {
            (true, _) => Err(Refusal::Ended),
            (false, false) => Err(Refusal::Interrupted),
            (false, true) => Ok(()),
        }
    }

    /// Playback begins anew, if nothing plays.
    fn rouse(&mut self) {
        if !self.plays() {
            self.barged = false;
        }
    }

    fn void(&mut self) {
        self.open = 0;
        self.done = self.last;
        self.played = self.queued;
        self.marks.clear();
    }

    fn mark(&mut self) -> String {
        self.marks.push_back(Mark { piece: self.last, queued: self.queued });
        self.last.to_string()
    }
}

impl Drop for Utterance<'_> {
    fn drop(&mut self) {
        let mut state = self.playback.state();
        if state.admits(self.epoch).is_ok() {
            state.open -= 1;
        }
    }
}

/// Audio of one session that may wait to be played.
pub(super) const LIMIT: Duration = Duration::from_secs(600);
/// How far apart marks are in a stream of pieces.
const MARK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    fn queue(
        playback: &Playback,
        epoch: Epoch,
        length: Duration,
    ) -> Result<Vec<Step<&'static str>>, Refusal> {
        let mut steps = Vec::new();
        playback.queue(epoch, "audio", length, |step| steps.push(step)).map(|()| steps)
    }

    fn reached(playback: &Playback, name: &str) -> Vec<Step<()>> {
        let mut steps = Vec::new();
        playback.reached(name, |step| steps.push(step));
        steps
    }

    fn mark<A>(name: &str) -> Step<A> {
        Step::Mark(name.to_owned())
    }

    #[test]
    fn plays_from_the_first_piece_until_the_mark_behind_the_last_one_is_back() {
        let playback = Playback::default();
        let epoch = {
            let utterance = playback.begin().expect("it lives");
            assert!(playback.plays(), "an utterance has begun");
            utterance.epoch
        };
        assert!(!playback.plays());
        assert_eq!(queue(&playback, epoch, FRAME), Ok(vec![Step::Audio("audio"), mark("1")]));
        assert_eq!(queue(&playback, epoch, FRAME), Ok(vec![Step::Audio("audio")]));
        assert_eq!(reached(&playback, "1"), [mark("2")]);
        assert!(playback.plays());
        assert_eq!(reached(&playback, "2"), []);
        assert!(!playback.plays());
    }

    #[test]
    fn stream_has_one_mark_a_second_and_knows_what_waits() {
        let playback = Playback::default();
        let utterance = playback.begin().expect("it lives");
        let marks = (0..500)
            .flat_map(|_| queue(&playback, utterance.epoch, FRAME).expect("there is room"))
            .filter(|step| matches!(step, Step::Mark(_)));
        assert_eq!(marks.count(), 10);
        assert_eq!(playback.standing(utterance.epoch), Ok(Duration::from_secs(10)));
        reached(&playback, "51");
        assert_eq!(playback.standing(utterance.epoch), Ok(FRAME * (500 - 51)));
    }

    #[test]
    fn interruption_drops_what_waits_and_refuses_the_rest_of_the_utterance() {
        let playback = Playback::default();
        let utterance = playback.begin().expect("it lives");
        queue(&playback, utterance.epoch, FRAME).expect("there is room");
        let mut steps = Vec::new();
        assert!(playback.cancel(|step| steps.push(step)));
        assert_eq!(steps, [Step::Clear]);
        assert!(!playback.plays());
        assert_eq!(queue(&playback, utterance.epoch, FRAME), Err(Refusal::Interrupted));
        assert!(!playback.cancel(|_| panic!("nothing plays")));

        let next = playback.begin().expect("it lives");
        drop(utterance);
        assert!(playback.plays(), "the end of the old utterance is not that of the new one");
        queue(&playback, next.epoch, FRAME).expect("there is room");
        drop(next);
        assert_eq!(reached(&playback, "1"), [], "a mark of before the interruption");
        assert!(playback.plays());
        reached(&playback, "2");
        assert!(!playback.plays());
    }

    #[test]
    fn ten_minutes_wait_at_most_and_a_message_is_never_cut() {
        let playback = Playback::default();
        let utterance = playback.begin().expect("it lives");
        queue(&playback, utterance.epoch, LIMIT - FRAME).expect("there is room");
        queue(&playback, utterance.epoch, LIMIT).expect("there is room still");
        let full = Err(Refusal::Full { waiting: LIMIT * 2 - FRAME });
        assert_eq!(queue(&playback, utterance.epoch, FRAME), full);
    }

    #[test]
    fn barge_in_counts_once_a_playback_and_only_while_it_plays() {
        let playback = Playback::default();
        assert!(!playback.barge_in());
        for _ in 0..2 {
            let utterance = playback.begin().expect("it lives");
            queue(&playback, utterance.epoch, FRAME).expect("there is room");
            assert!(playback.barge_in());
            assert!(!playback.barge_in());
            playback.cancel(|_| ());
        }
    }

    #[test]
    fn nothing_plays_after_the_end() {
        let playback = Playback::default();
        let utterance = playback.begin().expect("it lives");
        queue(&playback, utterance.epoch, FRAME).expect("there is room");
        playback.end();
        assert!(!playback.plays());
        assert_eq!(queue(&playback, utterance.epoch, FRAME), Err(Refusal::Ended));
        drop(utterance);
        assert!(playback.begin().is_err());
    }
}
