//! A stream whose call the relay has: what the relay wants sent and done, and how its calls end.

use std::time::{Duration, Instant};

use actix::{AsyncContext, Context, Handler};
use model::call::EndLabel;
use tracing::info;

use super::{MediaStream, Phase, User};
use crate::relay::{
    message::{SipCommand, StreamOutput},
    stream_leg::CloseStream,
};

impl MediaStream {
    /// Tells the relay why the stream ends; a program is told by the end of its queues.
    pub(super) fn tell_end(&mut self, label: EndLabel) {
        if let Phase::Up(up) = &mut self.phase
            && let User::Relay(leg) = &mut up.user
        {
            leg.ended(label);
        }
    }

    /// The relay hangs up: what it said last and the provider has not played yet is heard out first.
    fn part(&mut self, ctx: &mut Context<Self>) {
        let Phase::Up(up) = &self.phase else { return };
        let User::Relay(leg) = &up.user else { return };
        let waits = leg.may_be_playing(Instant::now());
        let Some(mark) = waits.then(|| self.session.mark(LAST).ok()).flatten() else {
            return self.hang_up(None, ctx);
        };
        self.send(mark, ctx);
        // A call that is over by then stays so.
        ctx.run_later(PATIENCE, |stream, ctx| stream.hang_up(None, ctx));
    }
}

impl Handler<StreamOutput> for MediaStream {
    type Result = ();

    fn handle(&mut self, output: StreamOutput, ctx: &mut Context<Self>) {
        let Phase::Up(up) = &mut self.phase else { return };
        let User::Relay(leg) = &mut up.user else { return };
        match output {
            StreamOutput::Audio(payload) => {
                let payload = leg.say(payload, Instant::now());
                self.send_audio(&payload);
            }
            StreamOutput::Clear => {
                leg.cleared();
                self.clear(ctx);
            }
        }
    }
}

impl Handler<SipCommand> for MediaStream {
    type Result = ();

    fn handle(&mut self, command: SipCommand, ctx: &mut Context<Self>) {
        let Phase::Up(up) = &mut self.phase else { return };
        let User::Relay(leg) = &mut up.user else { return };
        match leg.command(command.action) {
            None => {}
            Some(CloseStream::HungUp) => self.part(ctx),
            Some(CloseStream::Refused { status }) => {
                info!(status, "the relay does not take the call");
                self.gate.metrics.gateway.refused("declined");
                self.hang_up(None, ctx);
            }
        }
    }
}

/// The mark behind the last words of the relay.
pub const LAST: &str = "sip-relay:last";
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
