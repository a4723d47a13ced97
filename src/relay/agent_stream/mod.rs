//! `AgentStream` connects one call to a bot that was written for Twilio Media Streams, and is Twilio to it.
//!
//! In: the call's audio, keys and marks, the bot's messages. Out: Twilio's messages to the bot, [`AgentOrder`]s to the call's
//! media, the end of the call. What the messages look like and mean, the core [`stream::BotSession`] knows; here are the
//! socket, the queue before it and the clock. Knows nothing of SIP and RTP.
//!
//! ```text
//!   dialling ──upgrade──▶ live ──call over: stop, close──▶ closing ──closed──▶ over
//!      │                   ├──────bot closes: hang up────▶    │
//!      └─ no bot: the call ends ─┴─ lost: the call ends ──────┴──────────────▶ over
//! ```

mod cadence;
mod dial;
mod introduction;
mod line;
mod marks;
mod orders;
mod rest;
mod supervisor;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, fut};
use bytes::Bytes;
use futures_util::StreamExt;
use rustls::ClientConfig;
use stream::{BotSession, BotStart};
use tracing::{info, warn};

use self::{cadence::Cadence, dial::DialError, line::Line, marks::Marks, rest::Listed};
pub use self::{
    rest::{BotCalls, RestApi},
    supervisor::{AgentStreams, Join},
};
use super::{
    message::{
        AudioMessage, CallCommand, CallHandle, CallNewsForBot, CallerAudio, ClientId, Listen, Listener,
        RtpForm, StreamOver,
    },
    random_u64,
};
use crate::{
    config::{Secret, StreamUrl},
    gateway::DidRouter,
    metrics::{Metrics, OpenStream, StreamEnd},
    ws_writer::Socket,
};

/// What all streams of a relay have in common.
#[derive(Debug)]
pub struct AgentStreamSettings {
    /// Where the bot is; `None`: only some numbers have one.
    pub url: Option<StreamUrl>,
    /// Numbers that may have bots of their own.
    pub numbers: Option<DidRouter>,
    /// Whether these may be on another machine without TLS.
    pub allow_plain: bool,
    /// Custom parameters of every call.
    pub parameters: Vec<(String, Secret)>,
    /// The account that the bot is told.
    pub account_sid: String,
    /// Who is trusted about the bot's certificate; `None`: the public authorities.
    pub tls: Option<Arc<ClientConfig>>,
    /// What upgrades are signed with.
    pub auth_token: Option<Secret>,
    /// The number that outbound calls come from.
    pub our_number: Option<String>,
    /// Where calls are listed that bots may end by their names.
    pub calls: BotCalls,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl AgentStreamSettings {
    /// How bots may end their calls by a request, where there is a token to ask for.
    pub fn rest_api(&self) -> Option<RestApi> {
        let (calls, account_sid) = (self.calls.clone(), self.account_sid.clone());
        self.auth_token.clone().map(|auth_token| RestApi { calls, account_sid, auth_token })
    }
}

/// See the module's documentation.
pub struct AgentStream {
    client: ClientId,
    call: CallHandle,
    url: StreamUrl,
    settings: Arc<AgentStreamSettings>,
    over: Recipient<StreamOver>,
    since: Instant,
    phase: Phase,
    /// The call knows that it is over, or has been told.
    call_over: bool,
    marks: Marks,
    invalid: u64,
    dropped: u64,
}

enum Phase {
    Dialling,
    Live(Box<Live>),
    /// The close frame is on its way, ours or the bot's.
    Closing {
        _live: Box<Live>,
    },
    Over,
}

struct Live {
    session: BotSession,
    line: Line,
    cadence: Cadence,
    /// When anything came from the bot, a pong included.
    heard: Instant,
    open: OpenStream,
    _listed: Listed,
}

impl AgentStream {
    /// A stream that dials when it is started. `over` is told when it has ended, however it did.
    pub fn new(
        client: ClientId,
        call: CallHandle,
        url: StreamUrl,
        settings: Arc<AgentStreamSettings>,
        over: Recipient<StreamOver>,
    ) -> Self {
        Self {
            client,
            call,
            url,
            settings,
            over,
            since: Instant::now(),
            phase: Phase::Dialling,
            call_over: false,
            marks: Marks::default(),
            invalid: 0,
            dropped: 0,
        }
    }

    fn dialled(&mut self, outcome: Result<Socket, DialError>, ctx: &mut Context<Self>) {
        match outcome {
            Ok(socket) => self.connected(socket, ctx),
            Err(error) => {
                let reason = error.kind();
                self.settings.metrics.agent_streams.failed(reason);
                warn!(
                    call_id = %self.call.id, url = %self.url, reason = reason.as_str(), %error,
                    "the bot cannot be reached, the call ends"
                );
                self.end_call(CallCommand::AgentUnreachable);
                ctx.stop();
            }
        }
    }

    fn connected(&mut self, socket: Socket, ctx: &mut Context<Self>) {
        let open = self.settings.metrics.agent_streams.opened(self.since);
        let (sink, messages) = socket.split();
        ctx.add_stream(messages);
        let now = Instant::now();
        let call_sid = sid("CA");
        info!(call_id = %self.call.id, call_sid, url = %self.url, "the bot is connected");
        let listed = self.settings.calls.list(&call_sid, self.call.commands.clone());
        let mut session = BotSession::new(BotStart {
            stream_sid: sid("MZ"),
            call_sid,
            account_sid: self.settings.account_sid.clone(),
            custom_parameters: introduction::custom_parameters(
                &self.call,
                self.settings.our_number.as_deref(),
                &self.settings.parameters,
            ),
        });
        let (line, cadence) = (Line::new(sink), Cadence::new(now));
        let greeting = [session.connected(), session.start()];
        self.phase =
            Phase::Live(Box::new(Live { session, line, cadence, heard: now, open, _listed: listed }));
        greeting.into_iter().for_each(|text| self.say(text, ctx));
        let audio = ctx.address().recipient();
        let listener = Listener { client: self.client, replaces: None, form: RtpForm::Mulaw, audio };
        self.call.listeners.do_send(Listen::On(listener));
        self.fill_pauses(ctx);
        ctx.run_interval(PING, Self::look_after);
    }

    /// Tells the bot, while it is there.
    fn tell(&mut self, text: impl FnOnce(&mut BotSession) -> String, ctx: &mut Context<Self>) {
        if let Phase::Live(live) = &mut self.phase {
            let text = text(&mut live.session);
            self.say(text, ctx);
        }
    }

    fn say(&mut self, text: String, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &self.phase else { return };
        if live.line.say(text).is_err() {
            self.lost(StreamEnd::NoPong, "the bot does not read", ctx);
        }
    }

    /// 20 ms of the caller, or of silence in his place.
    fn hear(&mut self, payload: Bytes, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &mut self.phase else { return };
        if live.line.takes_audio() {
            return self.tell(|session| session.media(payload), ctx);
        }
        self.settings.metrics.drops.agent_stream.inc();
        self.dropped += 1;
        if self.dropped.is_power_of_two() {
            warn!(call_id = %self.call.id, dropped = self.dropped, "the bot does not read, audio of the caller dropped");
        }
    }

    fn fill_pauses(&mut self, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &mut self.phase else { return };
        let missing = live.cadence.missing(Instant::now());
        let next = live.cadence.next();
        (0..missing).for_each(|_| self.hear(Bytes::from_static(&SILENCE), ctx));
        ctx.run_later(next.saturating_duration_since(Instant::now()), Self::fill_pauses);
    }

    fn look_after(&mut self, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &self.phase else { return };
        if live.heard.elapsed() > NO_SIGN_OF_LIFE {
            self.lost(StreamEnd::NoPong, "nothing comes from the bot, not even a pong", ctx);
        } else if live.line.ping().is_err() {
            self.lost(StreamEnd::NoPong, "the bot does not read", ctx);
        }
    }

    /// The call is over: Twilio's last message, and its close frame.
    fn hang_up_on_bot(&mut self, ctx: &mut Context<Self>) {
        self.call_over = true;
        let Phase::Live(live) = &mut self.phase else {
            if matches!(self.phase, Phase::Dialling) {
                ctx.stop();
            }
            return;
        };
        live.open.ends_by(StreamEnd::CallOver);
        self.tell(BotSession::stop, ctx);
        self.close(ctx);
    }

    /// The bot closed the socket. Behind `<Connect><Stream>` without a further verb, that is the end of the call.
    fn hung_up_by_bot(&mut self, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &mut self.phase else { return };
        live.open.ends_by(StreamEnd::Bot);
        info!(call_id = %self.call.id, "the bot closed the stream, the call ends");
        self.end_call(CallCommand::Hangup);
        self.close(ctx);
    }

    fn close(&mut self, ctx: &mut Context<Self>) {
        if let Phase::Live(live) = std::mem::replace(&mut self.phase, Phase::Over) {
            // A queue without room for it: the socket is closed all the same, by the deadline.
            let _ = live.line.close();
            self.phase = Phase::Closing { _live: live };
            ctx.run_later(CLOSING, |_, ctx| ctx.stop());
        }
    }

    /// The connection is of no use any more.
    fn lost(&mut self, end: StreamEnd, why: &str, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &mut self.phase else { return ctx.stop() };
        live.open.ends_by(end);
        warn!(call_id = %self.call.id, url = %self.url, why, "the bot is lost, the call ends");
        self.end_call(CallCommand::AgentGone);
        self.phase = Phase::Over;
        ctx.stop();
    }

    fn end_call(&mut self, how: CallCommand) {
        if !std::mem::replace(&mut self.call_over, true) {
            self.call.commands.do_send(how);
        }
    }
}

impl Actor for AgentStream {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        let (url, settings) = (self.url.clone(), self.settings.clone());
        let attempt =
            async move { dial::dial(&url, settings.auth_token.as_ref(), settings.tls.clone()).await };
        ctx.spawn(fut::wrap_future(attempt).map(|outcome, this: &mut Self, ctx| this.dialled(outcome, ctx)));
    }
}

impl Drop for AgentStream {
    /// A stream that ends without having said so has panicked: its caller must not wait for it.
    fn drop(&mut self) {
        self.end_call(CallCommand::AgentGone);
        self.over.do_send(StreamOver(self.call.id.clone()));
    }
}

impl Handler<CallerAudio> for AgentStream {
    type Result = ();

    fn handle(&mut self, audio: CallerAudio, ctx: &mut Context<Self>) {
        let Some(AudioMessage::Mulaw(payload)) = audio.frame else { return };
        if let Phase::Live(live) = &mut self.phase {
            live.cadence.heard(Instant::now());
        }
        self.hear(payload, ctx);
    }
}

impl Handler<CallNewsForBot> for AgentStream {
    type Result = ();

    fn handle(&mut self, news: CallNewsForBot, ctx: &mut Context<Self>) {
        match news {
            CallNewsForBot::Over => self.hang_up_on_bot(ctx),
            CallNewsForBot::Digit(digit) => self.tell(|session| session.dtmf(digit), ctx),
            CallNewsForBot::Mark(ours) => {
                if let Some(name) = self.marks.take(&ours) {
                    self.tell(|session| session.mark(&name), ctx);
                }
            }
        }
    }
}

/// An identifier as Twilio makes them: two letters and 32 hexadecimal digits.
fn sid(kind: &str) -> String {
    format!("{kind}{:016x}{:016x}", random_u64(), random_u64())
}

/// 20 ms of µ-law silence.
static SILENCE: [u8; 160] = [0xff; 160];
const PING: Duration = Duration::from_secs(20);
/// Time without any message, pongs included, after which a bot is given up. One that is busy for so long is no partner in a
/// conversation.
const NO_SIGN_OF_LIFE: Duration = Duration::from_secs(65);
/// How long a closing handshake may take.
const CLOSING: Duration = Duration::from_secs(2);
/// Frames that may wait for this actor's turn: more than a second.
const MAILBOX: usize = 64;
