//! `Speaking` is what the agent says in one turn: a reply that is being written, the sentences of it that are being spoken,
//! and how far they have been sent.
//!
//! In: pieces of text and of audio. Out: sentences to synthesize, audio in the order of the sentences.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Then;
use crate::call_center::{
    agent::{JobId, News},
    sentences::Sentences,
    speech::ToolCall,
    turn::TurnTimes,
};

pub(super) struct Speaking {
    /// The reply's job while it is being written.
    reply: Option<JobId>,
    cutter: Sentences,
    /// Sentences that have no mark yet.
    sentences: VecDeque<Sentence>,
    written: usize,
    /// Marks sent, the one at the beginning included.
    marks: usize,
    announcement: bool,
    /// When an announcement must be heard.
    voice_due: Option<Instant>,
    then: Then,
    pub(super) times: TurnTimes,
    /// Samples sent, and when the last ones were.
    sent: Option<(usize, Instant)>,
}

struct Sentence {
    text: String,
    job: Option<JobId>,
    audio: VecDeque<Vec<i16>>,
    /// Some of its audio has come.
    audible: bool,
    /// All of its audio has come.
    done: bool,
    /// Samples that have come.
    came: usize,
    sent: usize,
}

impl Sentence {
    fn new(text: String) -> Self {
        Self { text, job: None, audio: VecDeque::new(), audible: false, done: false, came: 0, sent: 0 }
    }
}

impl Speaking {
    /// A reply that this job writes.
    pub(super) fn reply(job: JobId, times: TurnTimes) -> Self {
        Self {
            reply: Some(job),
            cutter: Sentences::default(),
            sentences: VecDeque::new(),
            written: 0,
            marks: 0,
            announcement: false,
            voice_due: None,
            then: Then::Listen,
            times,
            sent: None,
        }
    }

    /// A text of our own.
    pub(super) fn announcement(text: String, then: Then, now: Instant) -> Self {
        let voice_due = Some(now + PATIENCE);
        Self { voice_due, ..Self::own(Sentence::new(text), then, now) }
    }

    /// A text of our own that needs no voice.
    pub(super) fn recording(text: String, pcm: &[i16], then: Then, now: Instant) -> Self {
        let audio = VecDeque::from([pcm.to_vec()]);
        let sentence = Sentence { job: Some(0), audio, audible: true, done: true, ..Sentence::new(text) };
        Self::own(sentence, then, now)
    }

    fn own(sentence: Sentence, then: Then, now: Instant) -> Self {
        let reply = Self::reply(0, TurnTimes::new(now, Duration::ZERO, Duration::ZERO));
        let sentences = VecDeque::from([sentence]);
        Self { reply: None, sentences, written: 1, announcement: true, then, ..reply }
    }

    pub(super) fn is_announcement(&self) -> bool {
        self.announcement
    }

    pub(super) fn then(&self) -> Then {
        self.then.clone()
    }

    pub(super) fn set_then(&mut self, then: Then) {
        self.then = then;
    }

    /// Jobs that may be under way.
    pub(super) fn jobs(&self) -> impl Iterator<Item = JobId> {
        let speech = self.sentences.iter().filter(|sentence| !sentence.done);
        self.reply.into_iter().chain(speech.filter_map(|sentence| sentence.job))
    }

    /// Whether the caller hears, or will hear, any of it.
    pub(super) fn has_begun(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether the model has not finished with this job yet.
    pub(super) fn is_written_by(&self, job: JobId) -> bool {
        self.reply == Some(job)
    }

    /// Whether there was something to say, and nothing came of it.
    pub(super) fn was_in_vain(&self) -> bool {
        self.is_said() && self.written > 0 && !self.has_begun()
    }

    /// Whether all of it has been sent.
    pub(super) fn is_said(&self) -> bool {
        self.reply.is_none() && self.sentences.is_empty()
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let room = self.waiting().and_then(|_| self.room_at());
        [self.overdue(), self.voice_due(), room].into_iter().flatten().min()
    }

    /// When an announcement of which nothing has come is given up.
    pub(super) fn voice_due(&self) -> Option<Instant> {
        self.voice_due.filter(|_| !self.has_begun())
    }

    /// When so much has been played that there is room for more.
    fn room_at(&self) -> Option<Instant> {
        let (samples, _) = self.sent?;
        Some(self.times.first_line()? + length(samples).saturating_sub(MOST_AHEAD))
    }

    /// When all of it must have been played, whatever the relay says of marks.
    pub(super) fn overdue(&self) -> Option<Instant> {
        let (samples, last) = self.sent.filter(|_| self.is_said())?;
        Some(last + Duration::from_millis(samples as u64 / 8) + GRACE)
    }

    /// Index of the next mark.
    pub(super) fn marks(&self) -> usize {
        self.marks
    }

    /// The next sentence to be synthesized; [`Self::synthesizing`] has to follow.
    pub(super) fn next_to_synthesize(&self, now: Instant) -> Option<String> {
        let has_room = self.room_at().is_none_or(|at| now >= at);
        self.waiting().filter(|_| has_room).map(|next| next.text.clone())
    }

    /// The next sentence, where nothing but room for it is missing.
    fn waiting(&self) -> Option<&Sentence> {
        let under_way =
            self.sentences.iter().filter(|sentence| sentence.job.is_some() && !sentence.done).count();
        // Nothing competes with a sentence that the caller is waiting for.
        let awaited = |sentence: &Sentence| sentence.job.is_some() && !sentence.audible && !sentence.done;
        let next = self.sentences.iter().find(|sentence| sentence.job.is_none())?;
        (under_way < AHEAD && !self.sentences.iter().any(awaited)).then_some(next)
    }

    pub(super) fn synthesizing(&mut self, job: JobId) {
        if let Some(next) = self.sentences.iter_mut().find(|sentence| sentence.job.is_none()) {
            next.job = Some(job);
        }
    }

    /// Takes what came of a job; the tools that the model calls, at the end of its reply.
    pub(super) fn news(&mut self, now: Instant, job: JobId, news: News) -> Option<Vec<ToolCall>> {
        if self.reply == Some(job) {
            let mut complete = Vec::new();
            let mut calls = None;
            match news {
                News::Piece(text) => {
                    self.times.token(now);
                    self.cutter.take(&text, &mut complete);
                }
                News::ReplyEnd(tools) => {
                    self.reply = None;
                    self.cutter.finish(&mut complete);
                    calls = Some(tools);
                }
                _ => self.reply = None,
            }
            for text in complete {
                self.written += 1;
                if self.written <= MOST_SENTENCES {
                    self.times.sentence(now);
                    self.sentences.push_back(Sentence::new(text));
                }
            }
            return calls;
        }
        let sentence = self.sentences.iter_mut().find(|sentence| sentence.job == Some(job))?;
        match news {
            News::Audio(pcm) => {
                self.times.audio(now);
                sentence.audible = true;
                sentence.came += pcm.len();
                sentence.audio.push_back(pcm);
            }
            _ => sentence.done = true,
        }
        None
    }

    /// The job of a sentence that goes on for too long, which counts as complete from now on.
    pub(super) fn stop_overlong(&mut self) -> Option<JobId> {
        let overlong = |sentence: &&mut Sentence| !sentence.done && sentence.came > LONGEST_SENTENCE;
        let sentence = self.sentences.iter_mut().find(overlong)?;
        sentence.done = true;
        sentence.job
    }

    /// The next audio to be sent; [`Self::was_sent`] has to follow.
    pub(super) fn next_audio(&mut self) -> Option<Vec<i16>> {
        self.sentences.front_mut()?.audio.pop_front()
    }

    /// So many samples were sent. True for the first ones.
    pub(super) fn was_sent(&mut self, turn: u64, now: Instant, samples: usize) -> bool {
        if let Some(sentence) = self.sentences.front_mut() {
            sentence.sent += samples;
        }
        let before = self.sent.map(|(samples, _)| samples);
        self.sent = Some((before.unwrap_or(0) + samples, now));
        if before.is_none() {
            self.times.line_sent(turn, now);
            self.marks = 1;
        }
        before.is_none()
    }

    /// Takes the first sentence if all of it has been sent: its text and its length.
    pub(super) fn next_complete(&mut self) -> Option<(String, Duration)> {
        let is_complete = |sentence: &Sentence| sentence.done && sentence.audio.is_empty();
        while self.sentences.front().is_some_and(is_complete) {
            let sentence = self.sentences.pop_front()?;
            // One that could not be spoken leaves no trace.
            if sentence.sent > 0 {
                self.marks += 1;
                return Some((sentence.text, length(sentence.sent)));
            }
        }
        None
    }

    /// The sentence that has been sent in part, and about how long it is.
    pub(super) fn half_sent(&self) -> Option<(String, Duration)> {
        let sentence = self.sentences.front().filter(|sentence| sentence.sent > 0)?;
        let usual = USUAL_CHARACTER * u32::try_from(sentence.text.chars().count()).unwrap_or(u32::MAX);
        Some((sentence.text.clone(), length(sentence.sent).max(usual)))
    }
}

fn length(samples: usize) -> Duration {
    Duration::from_millis(samples as u64 / 8)
}

/// Sentences that are synthesized at once: the one to be heard and the next.
const AHEAD: usize = 2;
const MOST_SENTENCES: usize = 60;
/// Audio that may wait to be played before another sentence is asked for: the caller may interrupt.
const MOST_AHEAD: Duration = Duration::from_secs(20);
/// Samples of a sentence: two minutes. No text of [`LONGEST`](crate::call_center::sentences::LONGEST) characters takes as
/// long.
const LONGEST_SENTENCE: usize = 120 * 8000;
/// Time in which an announcement must be heard.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time for the relay's last words about a turn.
const GRACE: Duration = Duration::from_secs(5);
/// How long a character is spoken, about.
const USUAL_CHARACTER: Duration = Duration::from_millis(60);
