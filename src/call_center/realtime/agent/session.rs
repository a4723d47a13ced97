//! How a conversation goes on from one session to the next, and what becomes of it when there is none.

use std::time::{Duration, Instant};

use super::{Leaving, LostAction, RealtimeAgent, Response, Then};
use crate::call_center::{
    agent::Output,
    realtime::{Author, ClientEvent, LinkId, sessions::Lost, timing::AudioClock},
};

impl RealtimeAgent {
    /// A session may be talked with: it learns what was said before.
    pub(super) fn begin_session(&mut self, now: Instant) {
        self.clock = AudioClock::default();
        if let Some(summary) = self.transcript.summary() {
            let text = format!("You are in the middle of this call. What was said so far:\n{summary}");
            self.send(ClientEvent::Message { author: Author::System, text });
        }
        for audio in std::mem::take(&mut self.waiting) {
            self.hear(now, &audio);
        }
        let owes = std::mem::take(&mut self.owes);
        match self.plan.greeting.clone().filter(|_| !self.greeted) {
            Some(greeting) => self.instruct(now, format!("Greet the caller with these words: {greeting}")),
            None if owes => self.request(now),
            None => {}
        }
        self.greeted = true;
        self.silent_since = now;
    }

    /// Goes on in the session that was prepared.
    pub(super) fn change_session(&mut self, now: Instant) {
        let Some((old, _)) = self.sessions.take_next() else { return };
        if let Some(old) = old {
            self.out.push_back(Output::Close(old));
            self.forget_session(old);
            self.note("a fresh session goes on with the conversation");
        }
        self.begin_session(now);
    }

    /// What a session that is over leaves behind.
    pub(super) fn forget_session(&mut self, link: LinkId) {
        let unanswered = |response: &Response| !response.audible;
        self.owes |= self.response.take().as_ref().is_some_and(unanswered) || self.wants;
        (self.wants, self.speaking) = (false, None);
        let out = &mut self.out;
        self.playback.complete_response(link, "", &mut |command| out.push_back(Output::Say(command)));
    }

    pub(super) fn down(&mut self, now: Instant, link: LinkId, why: &str, refused: bool) {
        match self.sessions.down(now, link) {
            Lost::Current { lasted } => {
                self.apologized &= !lasted;
                self.lost(now, link, refused, refused);
            }
            Lost::Next => self.note(format!("no fresh session yet: {why}")),
            Lost::Neither => {}
        }
    }

    /// The service is there and does not reply.
    pub(super) fn hung(&mut self, now: Instant, link: LinkId) {
        if matches!(self.sessions.down(now, link), Lost::Current { .. }) {
            self.apologized = false;
            self.lost(now, link, false, true);
        }
    }

    /// The session is lost. `helpless`: the caller has to hear that.
    pub(super) fn lost(&mut self, now: Instant, link: LinkId, refused: bool, helpless: bool) {
        self.forget_session(link);
        match self.leaving {
            Some(Leaving { until: None }) => return,
            // There may be more to say if the transfer fails.
            Some(Leaving { until: Some(_) }) => {
                self.sessions.wait(now, refused);
                return;
            }
            None => {}
        }
        if self.sessions.has_next() {
            return self.change_session(now);
        }
        let gives_up =
            self.plan.lost_action == LostAction::HangUp && (refused || self.sessions.outage(now) >= GIVEN_UP);
        if gives_up {
            self.trouble("given up: the service stays away");
            return self.apologize(now, Then::HangUp);
        }
        let pause = self.sessions.wait(now, refused);
        self.note(format!("connecting to the service again in {:.1} s", pause.as_secs_f64()));
        if helpless && !self.apologized {
            self.apologize(now, self.then.clone());
        }
    }
}

/// Time without a session that lasts after which a call is given up.
const GIVEN_UP: Duration = Duration::from_secs(60);
