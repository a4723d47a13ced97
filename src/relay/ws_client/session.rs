//! Sessions that outlive a connection (docs/protocol.md, "Resuming a session"): the client of a dropped connection stays
//! and keeps what happens; the next connection of the session inherits from it and goes on.

use std::{collections::VecDeque, time::Duration};

use actix::{ActorContext, AsyncContext, Context};
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
