//! How a stream ends: by its provider, by who has the call, or because it cannot go on.

use actix::{ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use model::call::EndLabel;
use stream::Provider;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{
    super::rest::{Hangup, ProviderCall},
    MediaStream, Phase,
};
use crate::relay::outbox::CloseReason;

impl MediaStream {
    /// The stream cannot go on, and its provider has not ended it.
    pub(super) fn fail(&mut self, reason: CloseReason, ctx: &mut Context<Self>) {
        self.outbox.close(reason);
        match &self.phase {
            // Its call goes on without the stream, and nobody would hear the caller.
            Phase::Up(up) if up.info.provider == Provider::Telnyx => self.hang_up(None, ctx),
            _ => self.end(reason),
        }
    }

    /// The stream is over on the provider's side, by `stop` or with its socket.
    pub(super) fn stopped(&mut self, ctx: &mut Context<Self>) {
        let Phase::Up(up) = &self.phase else { return };
        info!(stream = up.info.stream_id, "media stream ends");
        if self.gone {
            self.tell_end(EndLabel::Unreachable);
            return self.fail(CloseReason::Done, ctx);
        }
        self.tell_end(EndLabel::RemoteBye);
        self.end(CloseReason::Done);
    }

    /// Ends the call from our side: nothing more is sent, the provider is told, then the socket is closed.
    pub(super) fn hang_up(&mut self, done: Option<oneshot::Sender<Hangup>>, ctx: &mut Context<Self>) {
        match &mut self.phase {
            Phase::Over(waiting) => {
                let Some(done) = done else { return };
                if self.telling {
                    waiting.push(done);
                } else {
                    // Nobody minds whether it is heard.
                    let _ = done.send(Hangup::Gone);
                }
            }
            Phase::Handshake => self.end(CloseReason::Refused),
            Phase::Up(up) => {
                let (provider, id) = (up.info.provider, up.info.call_id.clone());
                let call = match provider {
                    Provider::Telnyx => ProviderCall::Telnyx(id),
                    Provider::Twilio => ProviderCall::Twilio(id),
                };
                info!(stream = up.info.stream_id, "hanging up");
                self.phase = Phase::Over(done.into_iter().collect());
                self.telling = true;
                let rest = self.gate.rest.clone();
                let told = async move { rest.hang_up(&call).await };
                ctx.spawn(told.into_actor(self).map(move |result, stream, ctx| {
                    stream.hung_up(provider, result);
                    if stream.gone {
                        ctx.stop();
                    }
                }));
            }
        }
    }

    fn hung_up(&mut self, provider: Provider, result: Hangup) {
        self.telling = false;
        self.gate.metrics.gateway.hangup(provider.name(), result.as_str());
        match (result, provider) {
            (Hangup::Failed, _) => warn!(provider = provider.name(), "the provider did not end the call"),
            (Hangup::NoCredentials, Provider::Telnyx) => {
                warn!(
                    "without TELNYX_API_KEY only the stream ends: the caller stays on the line until he hangs up"
                );
            }
            _ => {}
        }
        if let Phase::Over(waiting) = &mut self.phase {
            for done in waiting.drain(..) {
                // A program that does not wait for the answer does not get it.
                let _ = done.send(result);
            }
        }
        self.outbox.close(CloseReason::Done);
    }

    /// Nothing more is said on this socket.
    pub(super) fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Over(Vec::new());
        self.session.handle_close();
        self.outbox.close(reason);
    }
}
