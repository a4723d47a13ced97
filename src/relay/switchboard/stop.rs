//! The stop of a relay, step by step: calls over, wire quiet, clients told and gone.

use std::time::Duration;

use actix::{ActorContext, AsyncContext, Context, Handler, ResponseFuture};
use tokio::sync::oneshot;

use super::{
    super::message::{CallCommand, ClientEvent, Dismiss, DismissSip, DrainSip, Shutdown, SipDrained},
    Switchboard,
};

/// How far a stop has come.
pub struct Stopping {
    done: Option<oneshot::Sender<()>>,
    sip_drained: bool,
    clients_told: bool,
}

impl Switchboard {
    /// Takes each step when the one before is done.
    pub(super) fn advance_stop(&mut self) {
        let Some(stopping) = &mut self.stopping else { return };
        if !self.calls.is_empty() || !stopping.sip_drained {
            return;
        }
        if !stopping.clients_told {
            stopping.clients_told = true;
            self.audience.notify(&ClientEvent::Close);
        }
        if let Some(done) = stopping.done.take_if(|_| self.audience.is_empty()) {
            // Nobody waits any more if main has run out of patience.
            let _ = done.send(());
        }
    }
}

impl Handler<SipDrained> for Switchboard {
    type Result = ();

    fn handle(&mut self, _: SipDrained, _: &mut Context<Self>) {
        if let Some(stopping) = &mut self.stopping {
            stopping.sip_drained = true;
        }
        self.advance_stop();
    }
}

impl Handler<Shutdown> for Switchboard {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        self.readiness.stop();
        let (done, finished) = oneshot::channel();
        self.stopping =
            Some(Stopping { done: Some(done), sip_drained: self.sip.is_none(), clients_told: false });
        for entry in self.calls.values() {
            entry.handle.commands.do_send(CallCommand::Shutdown);
        }
        if let Some(sip) = &self.sip {
            sip.drain.do_send(DrainSip { done: ctx.address().recipient() });
        }
        // A far end that does not answer our BYE must not keep clients from hearing theirs.
        ctx.run_later(SIP_DRAIN_DEADLINE, |switchboard, _| {
            if let Some(stopping) = &mut switchboard.stopping {
                stopping.sip_drained = true;
            }
            switchboard.advance_stop();
        });
        self.advance_stop();
        Box::pin(async move {
            // An error means that the switchboard is gone: there is nothing left to wait for.
            let _ = finished.await;
        })
    }
}

impl Handler<Dismiss> for Switchboard {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Dismiss, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        ctx.stop();
        let (done, closed) = oneshot::channel();
        if let Some(sip) = self.sip.take() {
            sip.dismiss.do_send(DismissSip(done));
        }
        Box::pin(async move {
            // An error means that the listener is gone already.
            let _ = closed.await;
        })
    }
}

/// How long the stop waits for far ends to answer our BYEs.
const SIP_DRAIN_DEADLINE: Duration = Duration::from_millis(1500);
