//! The service's side: what comes of its connections, and of the responses of the session in use.

use std::time::Instant;

use super::{RealtimeAgent, Response};
use crate::call_center::{
    agent::Output,
    realtime::{
        ClientEvent, FunctionCall, LinkId, LinkNews, ResponseStatus, ServerEvent, playback::Piece,
        sessions::Ready,
    },
};

impl RealtimeAgent {
    pub(super) fn link(&mut self, now: Instant, read: Instant, link: LinkId, news: LinkNews) {
        match news {
            LinkNews::Up => {
                if self.sessions.up(now, link) {
                    let update = ClientEvent::SessionUpdate(Box::new(self.plan.session.clone()));
                    self.out.push_back(Output::Send(link, update));
                }
            }
            LinkNews::Down { why, refused } => self.down(now, link, &why, refused),
            LinkNews::Event(ServerEvent::SessionUpdated) => {
                if self.sessions.updated(now, link) == Some(Ready::Current) {
                    self.begin_session(now);
                }
            }
            LinkNews::Event(ServerEvent::Error { ours: true, code, message })
                if self.sessions.is_preparing(link) =>
            {
                self.out.push_back(Output::Close(link));
                let why = format!("the service refuses the session: {code} {message}");
                self.trouble(why.clone());
                self.down(now, link, &why, true);
            }
            LinkNews::Event(event) => {
                if self.sessions.ready() == Some(link) && self.leaving.is_none() {
                    self.event(now, read, link, event);
                }
            }
        }
    }

    pub(super) fn event(&mut self, now: Instant, read: Instant, link: LinkId, event: ServerEvent) {
        match event {
            ServerEvent::SpeechStarted { item, at } => {
                self.interrupted(now, true);
                self.speaking = Some(at);
                self.transcript.caller(&item);
            }
            ServerEvent::SpeechStopped { at } => self.turn_over(now, read, at),
            ServerEvent::Heard { item, text } => self.transcript.words(&item, true, &text),
            ServerEvent::Spoken { item, text } => self.transcript.words(&item, false, &text),
            ServerEvent::ResponseCreated { response } => self.response_created(now, response),
            ServerEvent::Audio { response, item, content_index, audio } => {
                let piece = Piece { source: link, response: &response, item: &item, content_index, audio };
                self.speech(now, read, piece);
            }
            ServerEvent::AudioDone { item } => {
                let out = &mut self.out;
                self.playback.complete(link, &item, &mut |command| out.push_back(Output::Say(command)));
            }
            ServerEvent::Call(call) => {
                if let Some(response) = &mut self.response {
                    response.last = now;
                    response.note_call(call);
                }
            }
            ServerEvent::ResponseDone { response, status, calls } => {
                self.response_done(now, link, &response, status, calls);
            }
            ServerEvent::Error { code, message, .. } => self.service_error(now, link, &code, &message),
            ServerEvent::SessionCreated | ServerEvent::SessionUpdated | ServerEvent::Other => {}
        }
    }

    pub(super) fn response_created(&mut self, now: Instant, id: String) {
        // It was asked for when the caller began to speak.
        if self.speaking.is_some() {
            self.given_up = id;
            return self.send(ClientEvent::Cancel);
        }
        let response = self.response.get_or_insert_with(|| Response::requested(now));
        (response.id, response.last) = (Some(id), now);
    }

    pub(super) fn speech(&mut self, now: Instant, read: Instant, piece: Piece<'_>) {
        if !piece.response.is_empty() && piece.response == self.given_up {
            return;
        }
        if let Some(response) = &mut self.response {
            (response.last, response.audible) = (now, true);
        }
        let item = piece.item.to_owned();
        let out = &mut self.out;
        if self.playback.audio(now, piece, &mut |command| out.push_back(Output::Say(command))) {
            self.transcript.agent(&item);
            if let Some(timing) = self.timing.take() {
                self.note(timing.line(self.turn, read, now));
            }
        }
    }

    pub(super) fn response_done(
        &mut self,
        now: Instant,
        link: LinkId,
        id: &str,
        status: ResponseStatus,
        calls: Vec<FunctionCall>,
    ) {
        let own = |response: &Response| match &response.id {
            Some(own) => own == id || id.is_empty(),
            None => id != self.given_up,
        };
        let Some(mut response) = self.response.take_if(|response| own(response)) else { return };
        let out = &mut self.out;
        self.playback.complete_response(link, id, &mut |command| out.push_back(Output::Say(command)));
        self.silent_since = now;
        calls.into_iter().for_each(|call| response.note_call(call));
        match status {
            ResponseStatus::Completed => self.tools(now, &response),
            ResponseStatus::Failed(why) => {
                self.trouble(format!("the service could not reply: {why}"));
                if !response.audible {
                    self.apologize(now, self.then.clone());
                }
            }
            ResponseStatus::Cancelled | ResponseStatus::Incomplete => {}
        }
        if std::mem::take(&mut self.wants) && self.response.is_none() {
            self.request(now);
        }
    }

    pub(super) fn service_error(&mut self, now: Instant, link: LinkId, code: &str, message: &str) {
        let text = format!("the service says: {code} {message}");
        // What was asked for had begun, or had ended, by itself.
        match code {
            "conversation_already_has_active_response" | "response_cancel_not_active" => self.note(text),
            _ => self.trouble(text),
        }
        if code == "session_expired" {
            self.out.push_back(Output::Close(link));
            self.down(now, link, "the session is over", false);
        }
    }
}
