//! Sessions that outlive a connection (docs/protocol.md, "Resuming a session"): the client of a dropped connection stays
//! and keeps what happens; the next connection of the session inherits from it and goes on.

use std::{collections::VecDeque, time::Duration};

use actix::{ActorContext, AsyncContext, Context};
use model::id::CallId;
use tracing::info;

use super::{
    super::message::{ClientEvent, HandOver, Inherit},
    Phase, WsClient,
    outbox::CloseReason,
};

impl WsClient {
    /// The connection is gone. A session waits for another one; what happens meanwhile is kept for it.
    pub(super) fn detach(&mut self, ctx: &mut Context<Self>) {
        match self.phase {
            Phase::Live | Phase::Inheriting(_) if self.request.session.is_some() => {}
            // It serves its successor for a moment yet.
            Phase::HandedOver(_) => return,
            _ => return ctx.stop(),
        }
        info!(client = self.id.0, "client dropped, its session waits");
        self.phase = Phase::Detached;
        let seconds = self.settings.resume_window.as_secs() as usize + 1;
        let frames = self.calls.heard(self.mode).len() * FRAMES_PER_SECOND * seconds;
        self.outbox.widen((self.settings.send_queue + frames).min(MAX_KEPT));
        ctx.run_later(self.settings.resume_window, |client, ctx| {
            if matches!(client.phase, Phase::Detached) {
                ctx.stop();
            }
        });
    }

    /// Another connection goes on where this one stopped.
    pub(super) fn hand_over(&mut self, to: HandOver, ctx: &mut Context<Self>) {
        self.release_all();
        let backlog = self.outbox.hand_over();
        self.outbox.close(CloseReason::Replaced);
        // This one goes on listening until the other does.
        to.inherit.do_send(Inherit { from: self.id, backlog, calls: std::mem::take(&mut self.calls) });
        self.phase = Phase::HandedOver(to.audio);
        ctx.run_later(OVERLAP * 2, |_, ctx| ctx.stop());
    }

    pub(super) fn inherit(&mut self, Inherit { from, backlog, calls }: Inherit, ctx: &mut Context<Self>) {
        let written = backlog.forgotten + backlog.written.len() as u64;
        let received = self.request.received.unwrap_or(written);
        let kept = backlog.waiting.len() + backlog.written.len();
        self.outbox.widen((kept + self.settings.send_queue).min(MAX_KEPT));
        self.outbox.restore(backlog.unheard(Some(received)), received);
        self.calls = calls;
        self.behind =
            self.calls.heard(self.mode).iter().map(|call| (call.handle.id.clone(), Vec::new())).collect();
        // The other connection's actor may die before it has passed on all.
        ctx.run_later(OVERLAP * 2, |client, _| client.release_all());
        self.listen(Some(from), ctx);
        self.go_live(ctx);
    }

    fn go_live(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Inheriting(_)) {
            return;
        }
        if let Phase::Inheriting(events) = std::mem::replace(&mut self.phase, Phase::Live) {
            events.into_iter().for_each(|event| self.told(event, ctx));
        }
    }

    /// The predecessor has passed on all of a call's audio that came to it: what came here meanwhile follows.
    pub(super) fn release(&mut self, call: &CallId) {
        for frame in self.behind.remove(call).into_iter().flatten() {
            self.hear(call, frame);
        }
    }

    fn release_all(&mut self) {
        let calls: Vec<CallId> = self.behind.keys().cloned().collect();
        calls.iter().for_each(|call| self.release(call));
    }

    /// The switchboard says something; while an inheritance is on its way, it waits behind that.
    pub(super) fn told(&mut self, event: ClientEvent, ctx: &mut Context<Self>) {
        match (&mut self.phase, event) {
            (_, ClientEvent::Resuming) => {
                self.phase = Phase::Inheriting(VecDeque::new());
                // The other connection's actor may have died: then there is nothing to inherit.
                ctx.run_later(OVERLAP, |client, ctx| client.go_live(ctx));
            }
            (Phase::Inheriting(waiting), event) => waiting.push_back(event),
            (_, ClientEvent::Known(handle)) => self.calls.add(handle),
            (_, ClientEvent::Say(event)) => self.event(event, ctx),
            (_, ClientEvent::Close) => self.outbox.close(CloseReason::GoingAway),
        }
    }
}

const FRAMES_PER_SECOND: usize = 50;
/// Messages kept for a session whose client is away.
const MAX_KEPT: usize = 50_000;
/// How long one connection passes audio on to its successor.
const OVERLAP: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix::{Actor, Addr};
    use bytestring::ByteString;
    use model::{call::Direction, command::Mode};

    use super::{
        super::{
            super::{
                http::Slots,
                message::{AudioMessage, CallHandle, CallerAudio, ClientId, PassedOn},
                testing::Nobody,
            },
            Calls, ClientRequest, ClientSettings, SwitchboardPort,
            outbox::{Backlog, Outbox, Outgoing},
        },
        *,
    };
    use crate::metrics::Metrics;

    fn id() -> CallId {
        CallId::from_sip_call_id("a@b")
    }

    fn frame(text: Option<&'static str>) -> CallerAudio {
        let frame = text.map(|text| AudioMessage::Text(ByteString::from_static(text)));
        CallerAudio { call: id(), frame }
    }

    /// A client of a session, with what it writes.
    fn client(nobody: &Addr<Nobody>) -> (Addr<WsClient>, Outbox) {
        let settings = ClientSettings {
            mode: Mode::Multi,
            send_queue: 100,
            receive_queue: 100,
            max_message: 1000,
            resume_window: Duration::from_secs(10),
            metrics: Arc::new(Metrics::new()),
        };
        let switchboard = SwitchboardPort {
            connect: nobody.clone().recipient(),
            disconnect: nobody.clone().recipient(),
            place: nobody.clone().recipient(),
            transfer: nobody.clone().recipient(),
        };
        let request =
            ClientRequest { mode: Mode::Multi, session: Some("s".to_owned()), ..ClientRequest::default() };
        let slot = Slots::new(1).take().expect("one is free");
        let client = WsClient::new(ClientId(2), request, &settings, switchboard, slot);
        let outbox = client.outbox.clone();
        (client.start(), outbox)
    }

    /// A call that is up.
    fn calls(nobody: &Addr<Nobody>) -> Calls {
        let mut calls = Calls::default();
        calls.add(CallHandle {
            id: id(),
            direction: Direction::Inbound,
            phone: "1".to_owned(),
            placed_by: None,
            ticket: None,
            invite: None,
            commands: nobody.clone().recipient(),
            audio: nobody.clone().recipient(),
            listeners: nobody.clone().recipient(),
        });
        calls.up(&id());
        calls
    }

    fn written(outbox: &Outbox) -> Vec<String> {
        let waiting = outbox.hand_over().waiting;
        let text = |message: &Outgoing| match message {
            Outgoing::Signal(line) | Outgoing::Audio(AudioMessage::Text(line)) => line.to_string(),
            other => format!("{other:?}"),
        };
        waiting.iter().map(text).collect()
    }

    #[actix::test]
    async fn audio_that_the_predecessor_passes_on_goes_before_what_came_here() {
        let nobody = Nobody.start();
        let (client, outbox) = client(&nobody);
        client.do_send(ClientEvent::Resuming);
        client.do_send(Inherit { from: ClientId(1), backlog: Backlog::default(), calls: calls(&nobody) });
        client.do_send(frame(Some("3")));
        client.do_send(PassedOn(frame(Some("1"))));
        client.do_send(frame(Some("4")));
        client.do_send(PassedOn(frame(Some("2"))));
        client.do_send(PassedOn(frame(None)));
        client.send(frame(Some("5"))).await.expect("it runs");
        assert_eq!(written(&outbox), ["1", "2", "3", "4", "5"]);
    }

    #[actix::test]
    async fn audio_waits_for_no_predecessor_that_heard_nothing_and_never_behind_the_end() {
        let nobody = Nobody.start();
        for release in [true, false] {
            let (client, outbox) = client(&nobody);
            client.do_send(Inherit { from: ClientId(1), backlog: Backlog::default(), calls: calls(&nobody) });
            client.do_send(frame(Some("1")));
            if release {
                client.do_send(frame(None));
            }
            client.do_send(ClientEvent::Say(model::event::Event::Bye { call: id() }));
            client.send(frame(Some("late"))).await.expect("it runs");
            assert_eq!(written(&outbox), ["1", "BYE:a@b"]);
        }
    }
}
