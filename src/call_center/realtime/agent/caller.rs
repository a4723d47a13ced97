//! The caller's side: his audio, his interruptions and keys, what the relay says of the call.

use std::time::{Duration, Instant};

use bytes::Bytes;
use model::event::Event;

use super::{Announcement, RealtimeAgent, Response, Then};
use crate::call_center::{
    agent::Output,
    conversation::{MOST_KEYS, NEXT_KEY},
    realtime::{Author, ClientEvent, playback::Fate, timing::Timing},
};

impl RealtimeAgent {
    pub(super) fn hear(&mut self, now: Instant, audio: &Bytes) {
        if self.leaving.is_some() {
            return;
        }
        if self.sessions.ready().is_some() {
            self.clock.sent(now, audio.len());
            return self.send(ClientEvent::Append(audio.clone()));
        }
        while self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(audio.clone());
    }

    /// The caller speaks or presses a key: whatever is said gives way.
    pub(super) fn interrupted(&mut self, now: Instant, by_voice: bool) {
        (self.unanswered, self.rounds, self.wants, self.then) = (0, 0, false, Then::Listen);
        if let Some(Announcement { job, .. }) = self.announcement.take() {
            self.out.push_back(Output::Stop(job));
        }
        let response = self.response.take();
        if let Some(id) = response.as_ref().and_then(|response| response.id.clone()) {
            self.given_up = id;
        }
        // What the caller talks over, the service stops by itself.
        if response.is_some() && !by_voice {
            self.send(ClientEvent::Cancel);
        }
        let out = &mut self.out;
        let id = response.as_ref().and_then(|response| response.id.as_deref());
        if self.playback.interrupt(now, id, &mut |command| out.push_back(Output::Say(command))) {
            self.note(format!("turn {}: the caller interrupts", self.turn));
        }
    }

    pub(super) fn turn_over(&mut self, now: Instant, read: Instant, at: Option<Duration>) {
        let began = self.speaking.take().flatten();
        self.silent_since = now;
        self.turn += 1;
        let silence = self.plan.session.turn_detection.silence();
        let last_word = at.map(|at| at.saturating_sub(silence));
        let moment = last_word.and_then(|at| self.clock.moment(at)).unwrap_or(read);
        let said = last_word.zip(began).map(|(end, began)| end.saturating_sub(began));
        self.timing = Some(Timing::new(now, read, moment, said));
        self.response = Some(Response::requested(now));
    }

    pub(super) fn key(&mut self, now: Instant, digit: char) {
        self.interrupted(now, false);
        if self.keys.len() < MOST_KEYS {
            self.keys.push(digit);
        }
        (self.silent_since, self.keys_until) = (now, Some(now + NEXT_KEY));
    }

    pub(super) fn keys_over(&mut self, now: Instant) {
        self.keys_until = None;
        let text = format!("({} on the keypad)", std::mem::take(&mut self.keys));
        self.turn += 1;
        self.transcript.words(&format!("keys {}", self.turn), true, &text);
        self.send(ClientEvent::Message { author: Author::User, text });
        self.request(now);
    }

    pub(super) fn relay(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Mark { name, outcome, played, .. } => {
                let fates = self.playback.mark(now, name, *outcome, *played);
                self.fates(now, fates);
            }
            Event::Dtmf { digit, .. } if self.leaving.is_none() => self.key(now, *digit),
            Event::Transfer { status, .. } if *status >= 300 => {
                self.transfer_failed(now, &status.to_string())
            }
            Event::Hold { .. } => self.held = true,
            Event::Resume { .. } => (self.held, self.silent_since) = (false, now),
            _ => {}
        }
    }

    /// It is known how much of something was heard.
    pub(super) fn fates(&mut self, now: Instant, fates: Vec<Fate>) {
        for Fate { source, item, content_index, heard, received, cut } in fates {
            self.silent_since = now;
            self.transcript.heard(&item, heard, received);
            if !cut {
                continue;
            }
            self.note(format!("{} of {} ms were heard", heard.as_millis(), received.as_millis()));
            // Of nothing heard nothing can be kept: the service refuses to cut at zero.
            if heard >= Duration::from_millis(1) && self.sessions.ready() == Some(source) {
                self.send(ClientEvent::Truncate { item, content_index, audio_end: heard });
            }
        }
    }
}

/// Five seconds of the caller: longer than a session takes to begin.
const MOST_WAITING: usize = 250;
