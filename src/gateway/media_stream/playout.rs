//! `Playout` is what a program wants to be heard and the provider has not been given yet.
//!
//! In: canonical PCM of any length, marks, the time. Out: frames of 20 ms and marks, in order, at most [`LEAD`] before the
//! provider will play them. The provider plays one frame after the other, so frame n of a talk spurt is due at its begin +
//! n · 20 ms: a late tick catches up and shifts nothing. Knows nothing of codecs, messages and sockets.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};

/// What goes out next.
#[derive(Debug, PartialEq, Eq)]
pub enum Due<M> {
    /// 20 ms of canonical PCM.
    Frame(Bytes),
    /// Everything before this mark has gone out.
    Mark(M),
}

/// See the module's documentation. `M` is what is known of a mark.
#[derive(Debug)]
pub struct Playout<M> {
    queue: VecDeque<Item<M>>,
    /// Bytes of PCM in the queue.
    waiting: usize,
    /// When the provider has played what it was given.
    played_until: Option<Instant>,
    /// When less than a frame is sent on, with silence.
    flush_at: Option<Instant>,
}

#[derive(Debug)]
enum Item<M> {
    Pcm(Bytes),
    Mark(M),
}

impl<M> Playout<M> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { queue: VecDeque::new(), waiting: 0, played_until: None, flush_at: None }
    }

    /// Appends whole samples of canonical PCM.
    pub fn push(&mut self, now: Instant, pcm: Bytes) {
        if pcm.is_empty() {
            return;
        }
        self.waiting += pcm.len();
        self.queue.push_back(Item::Pcm(pcm));
        self.flush_at = Some(now + PATIENCE);
    }

    /// Appends a mark.
    pub fn mark(&mut self, mark: M) {
        self.queue.push_back(Item::Mark(mark));
    }

    /// Drops everything. Gives the marks that were not reached.
    pub fn clear(&mut self) -> impl Iterator<Item = M> + use<M> {
        // The provider drops what it holds, too.
        (self.waiting, self.played_until, self.flush_at) = (0, None, None);
        std::mem::take(&mut self.queue).into_iter().filter_map(|item| match item {
            Item::Pcm(_) => None,
            Item::Mark(mark) => Some(mark),
        })
    }

    /// What is to go out now. To be asked until there is nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Due<M>> {
        if let Some(Item::Mark(_)) = self.queue.front() {
            let Some(Item::Mark(mark)) = self.queue.pop_front() else { return None };
            return Some(Due::Mark(mark));
        }
        if self.queue.is_empty() || self.due().is_some_and(|due| due > now) {
            return None;
        }
        let frame = self.frame(now)?;
        // Behind a pause the provider begins anew.
        self.played_until = Some(self.played_until.map_or(now, |until| until.max(now)) + FRAME);
        Some(Due::Frame(frame))
    }

    /// When there is something again, once [`Self::poll`] has had nothing; `None` while nothing waits.
    pub fn deadline(&self) -> Option<Instant> {
        match self.queue.front()? {
            Item::Pcm(_) if !self.is_whole() => self.due().max(self.flush_at),
            Item::Pcm(_) | Item::Mark(_) => self.due(),
        }
    }

    /// How long what waits here will sound.
    pub fn ahead(&self) -> Duration {
        FRAME.mul_f64(self.waiting as f64 / FRAME_BYTES as f64)
    }

    /// The earliest moment of the next frame.
    fn due(&self) -> Option<Instant> {
        self.played_until.and_then(|until| until.checked_sub(LEAD))
    }

    /// Whether the next frame can be cut without silence, or is the last before a mark.
    fn is_whole(&self) -> bool {
        let mut bytes = 0;
        for item in &self.queue {
            match item {
                Item::Pcm(pcm) => bytes += pcm.len(),
                Item::Mark(_) => return true,
            }
            if bytes >= FRAME_BYTES {
                return true;
            }
        }
        false
    }

    /// The next 20 ms. The last of an utterance gets silence behind it, once it is known to be the last.
    fn frame(&mut self, now: Instant) -> Option<Bytes> {
        if !self.is_whole() && self.flush_at.is_some_and(|at| at > now) {
            return None;
        }
        if let Some(Item::Pcm(pcm)) = self.queue.front_mut()
            && pcm.len() > FRAME_BYTES
        {
            self.waiting -= FRAME_BYTES;
            return Some(pcm.split_to(FRAME_BYTES));
        }
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        while frame.len() < FRAME_BYTES
            && let Some(Item::Pcm(pcm)) = self.queue.front_mut()
        {
            let part = pcm.len().min(FRAME_BYTES - frame.len());
            frame.extend_from_slice(&pcm[..part]);
            pcm.advance(part);
            self.waiting -= part;
            if pcm.is_empty() {
                self.queue.pop_front();
            }
        }
        frame.resize(FRAME_BYTES, 0);
        Some(frame.into())
    }
}

const FRAME: Duration = stream::FRAME;
/// 20 ms of canonical PCM.
const FRAME_BYTES: usize =
    super::super::CANONICAL_SAMPLE_RATE as usize / 50 * super::super::CANONICAL_SAMPLE_WIDTH;
/// How much the provider may hold that was not played yet. The rest stays here: some providers drop what is too much.
pub const LEAD: Duration = Duration::from_secs(10);
/// How long less than a frame waits for the rest of it.
const PATIENCE: Duration = Duration::from_millis(60);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pcm(byte: u8, ms: usize) -> Bytes {
        vec![byte; ms * 32].into()
    }

    fn due(playout: &mut Playout<&'static str>, now: Instant) -> Vec<Due<&'static str>> {
        std::iter::from_fn(|| playout.poll(now)).collect()
    }

    #[test]
    fn audio_of_any_length_becomes_frames_of_twenty_milliseconds() {
        let (mut playout, now) = (Playout::new(), Instant::now());
        for n in 0..32 {
            playout.push(now, pcm(n, 5));
        }
        let frames = due(&mut playout, now);
        assert_eq!(frames.len(), 8);
        let Due::Frame(first) = &frames[0] else { panic!("audio") };
        assert_eq!(first[..], [pcm(0, 5), pcm(1, 5), pcm(2, 5), pcm(3, 5)].concat());
        assert_eq!(playout.ahead(), Duration::ZERO);
        assert_eq!(playout.deadline(), None);
    }

    #[test]
    fn end_of_an_utterance_is_filled_with_silence_after_a_while() {
        let (mut playout, now) = (Playout::new(), Instant::now());
        playout.push(now, pcm(7, 30));
        assert_eq!(due(&mut playout, now), [Due::Frame(pcm(7, 20))]);
        assert_eq!(playout.deadline(), Some(now + PATIENCE));
        assert_eq!(due(&mut playout, now + PATIENCE - MS), []);
        let last = [pcm(7, 10), pcm(0, 10)].concat();
        assert_eq!(due(&mut playout, now + PATIENCE), [Due::Frame(last.into())]);
    }

    #[test]
    fn rest_of_a_frame_goes_out_before_a_mark_at_once() {
        let (mut playout, now) = (Playout::new(), Instant::now());
        playout.push(now, pcm(7, 10));
        playout.mark("m");
        playout.push(now, pcm(8, 20));
        let first = [pcm(7, 10), pcm(0, 10)].concat();
        let expected = [Due::Frame(first.into()), Due::Mark("m"), Due::Frame(pcm(8, 20))];
        assert_eq!(due(&mut playout, now), expected);
    }

    #[test]
    fn provider_never_holds_more_than_the_lead() {
        let (mut playout, start) = (Playout::new(), Instant::now());
        playout.push(start, pcm(1, 60_000));
        let at_once = due(&mut playout, start).len();
        assert_eq!(at_once as u32, LEAD.as_millis() as u32 / 20 + 1);
        assert_eq!(playout.deadline(), Some(start + 20 * MS));
        // A late tick catches up: the schedule is the same afterwards.
        assert_eq!(due(&mut playout, start + 510 * MS).len(), 25);
        assert_eq!(playout.deadline(), Some(start + 520 * MS));
        assert_eq!(playout.ahead(), Duration::from_millis(60_000 - 20 * (at_once as u64 + 25)));
    }

    #[test]
    fn half_an_hour_of_live_audio_neither_drifts_nor_piles_up() {
        let (mut playout, start) = (Playout::new(), Instant::now());
        let mut sent = 0;
        for n in 0..90_000_u32 {
            // The program is fed in bursts of two frames at twice the rate, with ticks up to 7 ms late.
            if n % 2 == 0 {
                playout.push(start + n * 20 * MS, pcm(1, 40));
            }
            let now = start + n * 20 * MS + (n * 13 % 8) * MS;
            sent += due(&mut playout, now).len();
            assert!(playout.ahead() <= 20 * MS, "{n}: {:?}", playout.ahead());
        }
        assert_eq!(sent, 90_000);
        let end = playout.played_until.expect("audio was sent");
        let drift = end.duration_since(start).abs_diff(Duration::from_secs(1800));
        assert!(drift <= 50 * MS, "{drift:?}");
    }

    #[test]
    fn program_at_twice_the_rate_loses_nothing_and_waits_for_the_lead() {
        let (mut playout, start) = (Playout::new(), Instant::now());
        let mut sent = 0;
        for n in 0..3000_u32 {
            playout.push(start + n * 10 * MS, pcm(1, 20));
            sent += due(&mut playout, start + n * 10 * MS).len();
        }
        // 60 s of audio in 30 s of time, of which the provider has taken what it has played and the lead.
        assert_eq!(sent, (29_990 + 10_000) / 20 + 1);
        let mut now = start + 30_000 * MS;
        while let Some(deadline) = playout.deadline() {
            now = now.max(deadline);
            sent += due(&mut playout, now).len();
        }
        assert_eq!(sent, 3000);
        assert!(now.duration_since(start) <= Duration::from_secs(50), "{:?}", now.duration_since(start));
    }

    #[test]
    fn clear_forgets_audio_marks_and_what_the_provider_held() {
        let (mut playout, now) = (Playout::new(), Instant::now());
        playout.push(now, pcm(1, 30_000));
        playout.mark("a");
        playout.mark("b");
        due(&mut playout, now);
        assert_eq!(playout.clear().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((playout.ahead(), playout.deadline()), (Duration::ZERO, None));
        playout.push(now, pcm(2, 20));
        assert_eq!(due(&mut playout, now), [Due::Frame(pcm(2, 20))], "the provider's queue is empty");
    }
}
