//! What a bot asks for, and what becomes of it: orders to the call's media, in the order in which they came.

use std::time::Instant;

use actix::{ActorFutureExt, AsyncContext, Context, StreamHandler, fut, prelude::SendError};
use model::{
    audio::{Codec, SampleRate},
    command::AgentPayload,
};
use stream::{BotEvent, INVALID_MESSAGE};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tracing::warn;

use super::{
    super::message::{AgentMedia, AgentOrder},
    AgentStream, Phase,
};
use crate::metrics::{BotMessage, StreamEnd};

impl AgentStream {
    fn read(&mut self, text: &str, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &self.phase else { return };
        match live.session.handle_text(text) {
            Ok(event) => self.obey(event, ctx),
            Err(error) => self.invalid(&error.to_string()),
        }
    }

    fn obey(&mut self, event: BotEvent, ctx: &mut Context<Self>) {
        let metrics = &self.settings.metrics.agent_streams;
        match event {
            BotEvent::Media(payload) => {
                metrics.message(BotMessage::Media);
                let payload = AgentPayload::Payload { payload_type: Codec::Pcmu.payload_type(), payload };
                self.order(AgentMedia::Audio { payload, rate: SampleRate::Hz8000 }, ctx);
            }
            BotEvent::Mark(name) => {
                metrics.message(BotMessage::Mark);
                match self.marks.push(name) {
                    Some(ours) => self.order(AgentMedia::Mark(ours), ctx),
                    None => self.invalid("too many marks wait"),
                }
            }
            BotEvent::Clear => {
                metrics.message(BotMessage::Clear);
                self.order(AgentMedia::Clear, ctx);
            }
            BotEvent::Unknown(event) => {
                let event: String = event.chars().take(SHOWN).collect();
                self.invalid(&format!("unknown event {event:?}"));
            }
        }
    }

    /// What Twilio reports as an error of the stream: the message is ignored, and the stream goes on.
    fn invalid(&mut self, why: &str) {
        self.settings.metrics.agent_streams.message(BotMessage::Invalid);
        self.invalid += 1;
        if self.invalid.is_power_of_two() {
            warn!(call_id = %self.call.id, code = INVALID_MESSAGE, count = self.invalid,
                "message of the bot ignored: {why}");
        }
    }

    /// Hands an order to the call's media. Where too many wait there, nothing more is read from the bot until they are
    /// taken: a burst costs time, and no audio.
    fn order(&mut self, media: AgentMedia, ctx: &mut Context<Self>) {
        let order = AgentOrder { client: self.client, media };
        if let Err(SendError::Full(order)) = self.call.audio.try_send(order) {
            let sent = fut::wrap_future(self.call.audio.send(order));
            // An error is a call that is over.
            ctx.wait(sent.map(|_, _: &mut Self, _| ()));
        }
    }
}

impl StreamHandler<Result<Message, tungstenite::Error>> for AgentStream {
    fn handle(&mut self, message: Result<Message, tungstenite::Error>, ctx: &mut Context<Self>) {
        if let Phase::Live(live) = &mut self.phase {
            live.heard = Instant::now();
        }
        match message {
            Ok(Message::Text(text)) => self.read(Utf8Bytes::as_str(&text), ctx),
            Ok(Message::Binary(_)) => self.invalid("a binary message"),
            Ok(Message::Close(_)) => self.hung_up_by_bot(ctx),
            // The library answers pings by itself, with the next write: there is one every 20 ms.
            Ok(_) => {}
            Err(error) => self.lost(StreamEnd::Lost, &error.to_string(), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        self.lost(StreamEnd::Lost, "closed without a close frame", ctx);
    }
}

/// Characters of a bot's nonsense that are logged.
const SHOWN: usize = 40;
