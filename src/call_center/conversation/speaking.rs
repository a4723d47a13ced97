//! `Speaking` is what the agent says in one turn: a reply that is being written, the sentences of it that are being spoken,
//! and how far they have been sent.
//!
//! In: pieces of text and of audio. Out: sentences to synthesize, audio in the order of the sentences.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Then, timing::Timing};
use crate::call_center::{
    agent::{JobId, News},
    sentences::Sentences,
    speech::ToolCall,
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
    then: Then,
    pub(super) timing: Timing,
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
    sent: usize,
}

impl Sentence {
    fn new(text: String) -> Self {
        Self { text, job: None, audio: VecDeque::new(), audible: false, done: false, sent: 0 }
    }
}

impl Speaking {
    /// A reply that this job writes.
    pub(super) fn reply(job: JobId, timing: Timing) -> Self {
        Self {
            reply: Some(job),
            cutter: Sentences::default(),
            sentences: VecDeque::new(),
            written: 0,
            marks: 0,
            announcement: false,
            then: Then::Listen,
            timing,
            sent: None,
        }
    }

    /// A text of our own.
    pub(super) fn announcement(text: String, then: Then, timing: Timing) -> Self {
        let sentences = VecDeque::from([Sentence::new(text)]);
        Self { reply: None, sentences, announcement: true, then, ..Self::reply(0, timing) }
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

    /// Whether all of it has been sent.
    pub(super) fn is_said(&self) -> bool {
        self.reply.is_none() && self.sentences.is_empty()
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
    pub(super) fn next_to_synthesize(&self) -> Option<String> {
        let under_way =
            self.sentences.iter().filter(|sentence| sentence.job.is_some() && !sentence.done).count();
        // Nothing competes with a sentence that the caller is waiting for.
        let awaited = |sentence: &Sentence| sentence.job.is_some() && !sentence.audible && !sentence.done;
        let next = self.sentences.iter().find(|sentence| sentence.job.is_none())?;
        (under_way < AHEAD && !self.sentences.iter().any(awaited)).then(|| next.text.clone())
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
                    self.timing.token(now);
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
                    self.timing.sentence(now);
                    self.sentences.push_back(Sentence::new(text));
                }
            }
            return calls;
        }
        let sentence = self.sentences.iter_mut().find(|sentence| sentence.job == Some(job))?;
        match news {
            News::Audio(pcm) => {
                self.timing.audio(now);
                sentence.audible = true;
                sentence.audio.push_back(pcm);
            }
            _ => sentence.done = true,
        }
        None
    }

    /// The next audio to be sent; [`Self::was_sent`] has to follow.
    pub(super) fn next_audio(&mut self) -> Option<Vec<i16>> {
        self.sentences.front_mut()?.audio.pop_front()
    }

    /// So many samples were sent. True for the first ones.
    pub(super) fn was_sent(&mut self, now: Instant, samples: usize) -> bool {
        if let Some(sentence) = self.sentences.front_mut() {
            sentence.sent += samples;
        }
        let before = self.sent.map(|(samples, _)| samples);
        self.sent = Some((before.unwrap_or(0) + samples, now));
        if before.is_none() {
            self.timing.line_sent(now);
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
/// Time for the relay's last words about a turn.
const GRACE: Duration = Duration::from_secs(5);
/// How long a character is spoken, about.
const USUAL_CHARACTER: Duration = Duration::from_millis(60);
