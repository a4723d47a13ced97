//! `Playout` owns the audio that waits to be sent, with the marks inside it.
//!
//! In: PCM and payload in any chunking, marks. Out: one 20 ms frame at a time, the marks that were reached, and
//! exact positions. Knows nothing of time: the session says when a frame is due. `silence.rs` makes up for delays.

mod silence;

use std::collections::VecDeque;
use std::time::Duration;

use crate::FRAME;

/// Audio and marks in the order in which they were queued.
///
/// Samples and bytes lie in two rings, and `items` says how they interleave; so a small chunk costs no allocation.
pub(crate) struct Playout {
    items: VecDeque<Item>,
    pcm: VecDeque<i16>,
    payload: VecDeque<u8>,
    /// Marks passed inside the frame that was taken last.
    reached: VecDeque<(String, Duration)>,
    marks: usize,
    sample_rate: u32,
    frame_samples: usize,
    /// Payload of one frame of silence; its length is the length of a frame.
    silence: Vec<u8>,
    played_samples: u64,
    played_bytes: u64,
    /// Played before the codec was changed.
    played_before: Duration,
}

enum Item {
    /// So many samples of `pcm`.
    Pcm(usize),
    /// So many bytes of `payload`.
    Payload(usize),
    Mark(String),
}

/// What [`Playout::take`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The queue holds no audio.
    Nothing,
    /// A frame of PCM is in the buffer.
    Pcm,
    /// A frame of payload is in the buffer.
    Payload,
}

impl Playout {
    /// `silence`: the payload of one frame of zeros.
    pub(crate) fn new(sample_rate: u32, silence: Vec<u8>) -> Self {
        let frame_samples = (sample_rate / FRAMES_PER_SECOND).max(1) as usize;
        Self {
            items: VecDeque::new(),
            pcm: VecDeque::new(),
            payload: VecDeque::new(),
            reached: VecDeque::new(),
            marks: 0,
            sample_rate: sample_rate.max(1),
            frame_samples,
            silence,
            played_samples: 0,
            played_bytes: 0,
            played_before: Duration::ZERO,
        }
    }

    /// An empty queue for another codec, in which positions go on.
    pub(crate) fn recode(&mut self, sample_rate: u32, silence: Vec<u8>) {
        let played_before = self.played();
        *self = Self { played_before, ..Self::new(sample_rate, silence) };
    }

    pub(crate) fn push_pcm(&mut self, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        self.pcm.extend(samples);
        match self.items.back_mut() {
            Some(Item::Pcm(count)) => *count += samples.len(),
            _ => self.items.push_back(Item::Pcm(samples.len())),
        }
    }

    pub(crate) fn push_payload(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.silence.is_empty() {
            return;
        }
        self.payload.extend(bytes);
        match self.items.back_mut() {
            Some(Item::Payload(count)) => *count += bytes.len(),
            _ => self.items.push_back(Item::Payload(bytes.len())),
        }
    }

    pub(crate) fn push_mark(&mut self, name: String) {
        self.marks += 1;
        self.items.push_back(Item::Mark(name));
    }

    /// Marks that were neither played nor cleared yet.
    pub(crate) fn marks(&self) -> usize {
        self.marks
    }

    /// Samples in a frame of PCM.
    pub(crate) fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// Whether any audio waits.
    pub(crate) fn has_audio(&self) -> bool {
        !self.pcm.is_empty() || !self.payload.is_empty()
    }

    pub(crate) fn queued(&self) -> Duration {
        self.length(self.pcm.len() as u64, self.payload.len() as u64)
    }

    /// Whole frames that wait.
    pub(crate) fn waiting_frames(&self) -> u64 {
        (self.pcm.len() / self.frame_samples + self.payload.len() / self.silence.len().max(1)) as u64
    }

    pub(crate) fn played(&self) -> Duration {
        self.played_before + self.length(self.played_samples, self.played_bytes)
    }

    /// Takes one frame. `pcm` or `payload` is overwritten with it, padded with silence where the queue holds less
    /// than a frame of its kind.
    pub(crate) fn take(&mut self, pcm: &mut Vec<i16>, payload: &mut Vec<u8>) -> Taken {
        pcm.clear();
        payload.clear();
        let mut taken = Taken::Nothing;
        loop {
            match self.items.front_mut() {
                Some(Item::Mark(_)) => {
                    let position = self.played();
                    if let Some(Item::Mark(name)) = self.items.pop_front() {
                        self.reached.push_back((name, position));
                    }
                }
                Some(Item::Pcm(left)) if taken != Taken::Payload => {
                    let count = (*left).min(self.frame_samples - pcm.len());
                    if count == 0 {
                        break;
                    }
                    taken = Taken::Pcm;
                    pull(&mut self.pcm, count, pcm);
                    self.played_samples += count as u64;
                    *left -= count;
                    if *left == 0 {
                        self.items.pop_front();
                    }
                }
                Some(Item::Payload(left)) if taken != Taken::Pcm => {
                    let count = (*left).min(self.silence.len() - payload.len());
                    if count == 0 {
                        break;
                    }
                    taken = Taken::Payload;
                    pull(&mut self.payload, count, payload);
                    self.played_bytes += count as u64;
                    *left -= count;
                    if *left == 0 {
                        self.items.pop_front();
                    }
                }
                _ => break,
            }
        }
        match taken {
            Taken::Nothing => {}
            Taken::Pcm => pcm.resize(self.frame_samples, 0),
            Taken::Payload => payload.extend_from_slice(&self.silence[payload.len()..]),
        }
        self.give_back_memory();
        taken
    }

    /// The next mark before which everything has been taken, with its position; none behind `until`.
    pub(crate) fn pop_reached(&mut self, until: Duration) -> Option<(String, Duration)> {
        if self.reached.is_empty()
            && let Some(Item::Mark(_)) = self.items.front()
        {
            let position = self.played();
            if let Some(Item::Mark(name)) = self.items.pop_front() {
                self.reached.push_back((name, position));
            }
        }
        let reached = self.reached.pop_front_if(|(_, position)| *position <= until)?;
        self.marks -= 1;
        Some(reached)
    }

    /// Drops all audio and hands each mark that was not popped to `cleared`.
    pub(crate) fn clear(&mut self, mut cleared: impl FnMut(String)) {
        self.pcm.clear();
        self.payload.clear();
        for (name, _) in self.reached.drain(..) {
            self.marks -= 1;
            cleared(name);
        }
        for item in self.items.drain(..) {
            if let Item::Mark(name) = item {
                self.marks -= 1;
                cleared(name);
            }
        }
        self.give_back_memory();
    }

    fn length(&self, samples: u64, bytes: u64) -> Duration {
        let of_samples = u128::from(samples) * 1_000_000_000 / u128::from(self.sample_rate);
        let of_bytes = u128::from(bytes) * FRAME.as_nanos() / (self.silence.len().max(1) as u128);
        Duration::from_nanos(u64::try_from(of_samples + of_bytes).unwrap_or(u64::MAX))
    }

    /// A minute of speech passes through a queue that is else a few frames deep.
    fn give_back_memory(&mut self) {
        if self.pcm.is_empty() && self.pcm.capacity() > KEPT_CAPACITY {
            self.pcm.shrink_to(KEPT_CAPACITY);
        }
        if self.payload.is_empty() && self.payload.capacity() > KEPT_CAPACITY {
            self.payload.shrink_to(KEPT_CAPACITY);
        }
    }
}

/// Moves the first `count` elements of a ring, slice by slice.
fn pull<T: Copy>(ring: &mut VecDeque<T>, count: usize, into: &mut Vec<T>) {
    let (front, back) = ring.as_slices();
    let of_front = count.min(front.len());
    into.extend_from_slice(&front[..of_front]);
    into.extend_from_slice(&back[..count - of_front]);
    ring.drain(..count);
}

const FRAMES_PER_SECOND: u32 = 50;

/// Samples or bytes that an emptied ring keeps room for: about a second.
const KEPT_CAPACITY: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_is_completed_by_the_next_chunk_else_padded() {
        let (mut queue, mut pcm, mut payload) = queue();
        queue.push_pcm(&[1; 100]);
        queue.push_pcm(&[2; 100]);
        assert_eq!(queue.take(&mut pcm, &mut payload), Taken::Pcm);
        assert_eq!(pcm, [[1; 100].as_slice(), &[2; 60]].concat());
        assert_eq!(queue.take(&mut pcm, &mut payload), Taken::Pcm);
        assert_eq!(pcm, [[2; 40].as_slice(), &[0; 120]].concat());
        assert_eq!(queue.take(&mut pcm, &mut payload), Taken::Nothing);
        assert_eq!(queue.played(), Duration::from_millis(25));
    }

    #[test]
    fn pcm_and_payload_alternate_at_frame_borders() {
        let (mut queue, mut pcm, mut payload) = queue();
        queue.push_pcm(&[1; 200]);
        queue.push_payload(&[7; 100]);
        queue.push_pcm(&[2; 10]);
        assert_eq!(queue.queued(), Duration::from_micros(25_000 + 12_500 + 1_250));
        assert_eq!(queue.take(&mut pcm, &mut payload), Taken::Pcm);
        assert_eq!(queue.take(&mut pcm, &mut payload), Taken::Pcm);
        assert_eq!(pcm, [[1; 40].as_slice(), &[0; 120]].concat());
        assert_eq!(queue.take(&mut pcm, &mut payload), Taken::Payload);
        assert_eq!(payload, [[7; 100].as_slice(), &[0xff; 60]].concat());
        assert_eq!(queue.take(&mut pcm, &mut payload), Taken::Pcm);
        assert_eq!(queue.take(&mut pcm, &mut payload), Taken::Nothing);
        assert_eq!(queue.queued(), Duration::ZERO);
    }

    #[test]
    fn marks_are_reached_with_their_exact_positions() {
        let (mut queue, mut pcm, mut payload) = queue();
        queue.push_mark("start".into());
        queue.push_pcm(&[1; 80]);
        queue.push_mark("middle".into());
        queue.push_pcm(&[1; 80]);
        queue.push_mark("end".into());
        queue.push_pcm(&[1; 160]);
        assert_eq!(queue.pop_reached(Duration::MAX), Some(("start".into(), Duration::ZERO)));
        assert_eq!(queue.pop_reached(Duration::MAX), None);
        queue.take(&mut pcm, &mut payload);
        assert_eq!(queue.pop_reached(Duration::MAX), Some(("middle".into(), Duration::from_millis(10))));
        assert_eq!(queue.pop_reached(Duration::MAX), Some(("end".into(), Duration::from_millis(20))));
        assert_eq!(queue.pop_reached(Duration::MAX), None);
        assert_eq!(queue.marks(), 0);
    }

    #[test]
    fn clear_hands_back_the_marks_in_order() {
        let (mut queue, mut pcm, mut payload) = queue();
        queue.push_pcm(&[1; 400]);
        queue.push_mark("a".into());
        queue.push_payload(&[1; 160]);
        queue.push_mark("b".into());
        queue.take(&mut pcm, &mut payload);
        let mut cleared = vec![];
        queue.clear(|name| cleared.push(name));
        assert_eq!(cleared, ["a", "b"]);
        assert_eq!((queue.queued(), queue.played()), (Duration::ZERO, Duration::from_millis(20)));
        assert!(!queue.has_audio());
        assert_eq!(queue.marks(), 0);
    }

    #[test]
    fn memory_of_a_long_message_is_given_back() {
        let (mut queue, mut pcm, mut payload) = queue();
        queue.push_pcm(&vec![1; 480_000]);
        while queue.take(&mut pcm, &mut payload) != Taken::Nothing {}
        assert!(queue.pcm.capacity() <= KEPT_CAPACITY);
    }

    fn queue() -> (Playout, Vec<i16>, Vec<u8>) {
        (Playout::new(8000, vec![0xff; 160]), vec![], vec![])
    }
}
