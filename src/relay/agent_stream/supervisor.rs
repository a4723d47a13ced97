//! `AgentStreams` gives every call that is up its bot: to the switchboard it is one more client.
//!
//! In: what the switchboard tells clients. Out: one [`AgentStream`] a call, and what happens to the call to it. Knows nothing
//! of sockets and of Twilio's messages.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{Actor, ActorContext, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, Recipient};
use model::{event::Event, id::CallId};
use tracing::{debug, warn};

use super::{
    super::message::{
        BOTS, CallCommand, CallHandle, CallNewsForBot, ClientEvent, Connect, Disconnect, StreamOver,
    },
    AgentStream, AgentStreamSettings,
};
use crate::{config::StreamUrl, metrics::ConnectFailure};

/// See the module's documentation.
pub struct AgentStreams {
    settings: Arc<AgentStreamSettings>,
    /// The threads that streams live on, taken in turn.
    threads: Vec<ArbiterHandle>,
    next: usize,
    calls: HashMap<CallId, CallHandle>,
    streams: HashMap<CallId, Recipient<CallNewsForBot>>,
    switchboard: Option<Recipient<Disconnect>>,
    stopping: bool,
}

/// Gives [`AgentStreams`] the switchboard to leave.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join(pub Recipient<Disconnect>);

impl AgentStreams {
    /// A supervisor without calls. `threads`: at least one.
    pub fn new(settings: AgentStreamSettings, threads: Vec<ArbiterHandle>) -> Self {
        Self {
            settings: Arc::new(settings),
            threads,
            next: 0,
            calls: HashMap::new(),
            streams: HashMap::new(),
            switchboard: None,
            stopping: false,
        }
    }

    /// How it is made known to the switchboard, before the first call comes. Where only some numbers have a bot, the other
    /// calls are for clients as ever.
    pub fn introduction(myself: &Addr<Self>, every_call: bool) -> Connect {
        let events = myself.clone().recipient();
        Connect { client: BOTS, events, session: None, inside: None, beside: !every_call }
    }

    fn event(&mut self, event: Event, ctx: &mut Context<Self>) {
        match event {
            Event::CallAns { call } => self.up(&call, ctx),
            Event::Bye { call } | Event::RingIgnore { call } | Event::CallFailed { call: Some(call), .. } => {
                self.calls.remove(&call);
                self.tell(&call, CallNewsForBot::Over);
            }
            Event::Mark { call, name, .. } => self.tell(&call, CallNewsForBot::Mark(name)),
            Event::Dtmf { call, digit, .. } => self.tell(&call, CallNewsForBot::Digit(digit)),
            Event::Error { status, text, verb } => {
                warn!(status, verb = %verb, "refused for a bot: {text}");
            }
            _ => {}
        }
    }

    fn up(&mut self, call: &CallId, ctx: &mut Context<Self>) {
        let Some(handle) = self.calls.get(call) else { return };
        if self.streams.contains_key(call) {
            return;
        }
        let url = match self.url_of(handle) {
            Ok(Some(url)) => url,
            Ok(None) => return debug!(call_id = %call, "no bot for this call"),
            Err(expected) => {
                self.settings.metrics.agent_streams.failed(ConnectFailure::Address);
                warn!(call_id = %call, "agent_stream_url of the number that was called: {expected}; the call ends");
                return handle.commands.do_send(CallCommand::AgentUnreachable);
            }
        };
        let (handle, settings, over) = (handle.clone(), self.settings.clone(), ctx.address().recipient());
        let thread = &self.threads[self.next % self.threads.len()];
        self.next += 1;
        let stream = AgentStream::start_in_arbiter(thread, move |_| {
            AgentStream::new(BOTS, handle, url, settings, over)
        });
        self.streams.insert(call.clone(), stream.recipient());
    }

    /// The bot of a call: that of the number which was called, else that of all.
    fn url_of(&self, call: &CallHandle) -> Result<Option<StreamUrl>, String> {
        let called = call.invite.as_ref().and_then(|invite| invite.called.as_deref());
        let number =
            self.settings.numbers.as_ref().zip(called).and_then(|(numbers, called)| numbers.lookup(called));
        match number.as_ref().and_then(|number| number.text(URL_OF_NUMBER)) {
            None => Ok(self.settings.url.clone()),
            Some(NO_BOT) => Ok(None),
            Some(url) => StreamUrl::parse(url, self.settings.allow_plain).map(Some),
        }
    }

    fn tell(&self, call: &CallId, news: CallNewsForBot) {
        if let Some(stream) = self.streams.get(call) {
            stream.do_send(news);
        }
    }

    /// The relay stops: its calls are over, and their bots are told before the threads end.
    fn leave(&mut self, ctx: &mut Context<Self>) {
        if let Some(switchboard) = self.switchboard.take() {
            switchboard.do_send(Disconnect(BOTS));
        }
        ctx.stop();
    }
}

impl Actor for AgentStreams {
    type Context = Context<Self>;
}

impl Handler<Join> for AgentStreams {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        self.switchboard = Some(join.0);
    }
}

impl Handler<ClientEvent> for AgentStreams {
    type Result = ();

    fn handle(&mut self, event: ClientEvent, ctx: &mut Context<Self>) {
        match event {
            ClientEvent::Known(handle) => drop(self.calls.insert(handle.id.clone(), handle)),
            ClientEvent::Say(event) => self.event(event, ctx),
            ClientEvent::Resuming => {}
            ClientEvent::Close if self.streams.is_empty() => self.leave(ctx),
            ClientEvent::Close => {
                self.stopping = true;
                ctx.run_later(LAST_WORDS, Self::leave);
            }
        }
    }
}

impl Handler<StreamOver> for AgentStreams {
    type Result = ();

    fn handle(&mut self, over: StreamOver, ctx: &mut Context<Self>) {
        self.streams.remove(&over.0);
        if self.stopping && self.streams.is_empty() {
            self.leave(ctx);
        }
    }
}

/// How long the stop of a relay waits for bots to close their sockets.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The key of a number in the gateway's file.
const URL_OF_NUMBER: &str = "agent_stream_url";
/// Its value for a number without a bot.
const NO_BOT: &str = "none";
