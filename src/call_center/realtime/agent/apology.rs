//! What the caller hears of us when the service cannot speak: an apology by text to speech, or from the recording where that is away, too.

use std::time::Instant;

use audio::g711;
use model::mode::AgentCodec;

use super::{RealtimeAgent, Then};
use crate::call_center::{
    agent::{Job, JobId, News, Output},
    realtime::playback::Piece,
};
use crate::metrics::Apology;

/// A text that is being spoken without the service.
pub(super) struct Announcement {
    pub(super) job: JobId,
}

impl RealtimeAgent {
    /// Says that the service is away; the second time in an outage that ends the call, goodbye.
    pub(super) fn apologize(&mut self, now: Instant, then: Then) {
        let text =
            if self.apologized && then == Then::HangUp { &self.rules.farewell } else { &self.rules.apology };
        let text = text.clone();
        (self.apologized, self.then, self.owes) = (true, then, false);
        // He is asked to say it again.
        self.waiting.clear();
        self.silent_since = now;
        self.next_job += 1;
        self.announcement = Some(Announcement { job: self.next_job });
        self.out.push_back(Output::Apologized(Apology::Spoken));
        self.out.push_back(Output::Start(self.next_job, Job::Speak { text }));
    }

    pub(super) fn job(&mut self, now: Instant, job: JobId, news: News) {
        if self.announcement.as_ref().is_none_or(|announcement| announcement.job != job) {
            return;
        }
        match news {
            News::Audio(pcm) => return self.announce(now, job, &pcm),
            News::Failed(_) => {
                self.out.push_back(Output::Apologized(Apology::Recorded));
                let recording = self.rules.recording.clone();
                self.announce(now, job, &recording);
            }
            _ => {}
        }
        self.announcement = None;
        let out = &mut self.out;
        self.playback.complete(OUR_OWN, &item(job), &mut |command| out.push_back(Output::Say(command)));
    }

    fn announce(&mut self, now: Instant, job: JobId, pcm: &[i16]) {
        let mut audio = Vec::with_capacity(pcm.len());
        match self.plan.session.codec {
            AgentCodec::Pcma => g711::encode_alaw(pcm, &mut audio),
            _ => g711::encode_ulaw(pcm, &mut audio),
        }
        let item = item(job);
        let piece = Piece { source: OUR_OWN, response: "", item: &item, content_index: 0, audio };
        let out = &mut self.out;
        self.playback.audio(now, piece, &mut |command| out.push_back(Output::Say(command)));
    }
}

fn item(job: JobId) -> String {
    format!("announcement {job}")
}

/// The source of what no session said: connections are counted from 1.
const OUR_OWN: u64 = 0;
