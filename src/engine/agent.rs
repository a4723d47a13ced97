//! `Agent` stands between a telephone stack and a program of this process: to the switchboard it is one more client.
//!
//! In: what the switchboard tells clients, facts, audio, how the registration goes; orders to place calls. Out: [`News`],
//! in order, to one [`Ear`]. Knows nothing of SIP and of text.

use std::{collections::VecDeque, sync::atomic::AtomicU64, sync::atomic::Ordering};

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, Recipient};
use bytes::Bytes;
use model::{audio::SampleRate, call::EndReason, event::Event, id::CallId};
use tokio::sync::oneshot;

use crate::relay::message::{
    AudioMessage, CallCommand, CallFact, CallHandle, CallerAudio, ClientEvent, ClientId, Connect,
    DialOptions, Disconnect, FactKind, Insider, Listener, MediaFacts, PlaceCall, RegistrationNews, RtpForm,
};

/// What a program hears of its telephone.
#[derive(Debug)]
pub enum News {
    /// A call exists: inbound ones ring, outbound ones are dialled.
    Call(CallHandle),
    /// What a WebSocket client would be told as a line.
    Event(Event),
    /// What was agreed about a call's media, or has changed.
    Media(CallId, MediaFacts),
    /// Our 200 to an inbound call is out, and its media is open.
    AnswerSent(CallId),
    /// 20 ms of a caller.
    Audio {
        /// Whose.
        call: CallId,
        /// Samples a second.
        rate: SampleRate,
        /// Signed 16-bit little-endian mono.
        pcm: Bytes,
    },
    /// A call is over; nothing more comes of it.
    Over {
        /// Which.
        call: CallId,
        /// Why.
        reason: EndReason,
    },
    /// How the registration goes.
    Registration(RegistrationNews),
}

/// Who hears the news, on the SIP thread: it must not block.
pub trait Ear: Send + 'static {
    /// One piece of news.
    fn hear(&mut self, news: News);
}

impl<F: FnMut(News) + Send + 'static> Ear for F {
    fn hear(&mut self, news: News) {
        self(news);
    }
}

/// See the module's documentation.
pub struct Agent {
    id: ClientId,
    ear: Box<dyn Ear>,
    switchboard: Option<Exchange>,
    dialling: VecDeque<oneshot::Sender<Result<CallHandle, Refused>>>,
    placed: Vec<CallHandle>,
}

/// The switchboard, as an agent sees it.
#[derive(Clone)]
pub struct Exchange {
    /// To leave.
    pub disconnect: Recipient<Disconnect>,
    /// To call.
    pub place: Recipient<PlaceCall>,
}

/// A call that was not placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// A SIP status that says why.
    pub status: u16,
    /// In words.
    pub reason: String,
}

/// Gives an agent its switchboard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join(pub Exchange);

/// Places a call. Calls that exist and fail are news.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Place {
    /// The number, or a name for it.
    pub phone: String,
    /// How.
    pub options: Box<DialOptions>,
    /// Told when it exists or was refused. A call that nobody waits for by then is hung up.
    pub asked: oneshot::Sender<Result<CallHandle, Refused>>,
}

impl Agent {
    /// An agent of this name.
    pub fn new(id: ClientId, ear: Box<dyn Ear>) -> Self {
        Self { id, ear, switchboard: None, dialling: VecDeque::new(), placed: Vec::new() }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Calling { call, .. } => {
                let placed = self.placed.iter().position(|handle| handle.id == call);
                let outcome = placed.map(|at| self.placed.remove(at)).ok_or_else(Refused::gone);
                self.settle(outcome);
            }
            Event::CallFailed { status, reason, call: None } => {
                self.settle(Err(Refused { status, reason: reason.into_owned() }));
            }
            event => self.ear.hear(News::Event(event)),
        }
    }

    /// The switchboard answers in the order in which it was asked.
    fn settle(&mut self, outcome: Result<CallHandle, Refused>) {
        let Some(asked) = self.dialling.pop_front() else { return };
        // Who asked may have stopped waiting: then nobody wants the call any more.
        if let Err(Ok(unwanted)) = asked.send(outcome) {
            unwanted.commands.do_send(CallCommand::Hangup);
        }
    }
}

/// How an agent is made known to its switchboard before the first call comes: it hears callers in this form.
pub fn introduction(client: ClientId, agent: &Addr<Agent>, form: RtpForm) -> Connect {
    let listener = Listener { client, replaces: None, form, audio: agent.clone().recipient() };
    let inside = Some(Insider { facts: agent.clone().recipient(), listener });
    Connect { client, events: agent.clone().recipient(), session: None, inside, beside: false }
}

/// A name that no other agent of this process has.
pub fn next_client() -> ClientId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ClientId(NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Refused {
    /// The telephone is being put away.
    pub fn gone() -> Self {
        Self { status: 503, reason: "Service Unavailable".to_owned() }
    }
}

impl Actor for Agent {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Join> for Agent {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        self.switchboard = Some(join.0);
    }
}

impl Handler<Place> for Agent {
    type Result = ();

    fn handle(&mut self, place: Place, _: &mut Context<Self>) {
        // Without a switchboard, who asked finds the other end closed.
        let Some(switchboard) = &self.switchboard else { return };
        let Place { phone, options, asked } = place;
        self.dialling.push_back(asked);
        switchboard.place.do_send(PlaceCall { client: self.id, phone, options: Some(options) });
    }
}

impl Handler<ClientEvent> for Agent {
    type Result = ();

    fn handle(&mut self, event: ClientEvent, ctx: &mut Context<Self>) {
        match event {
            ClientEvent::Known(handle) => {
                if handle.placed_by == Some(self.id) {
                    self.placed.push(handle.clone());
                }
                self.ear.hear(News::Call(handle));
            }
            ClientEvent::Say(event) => self.event(event),
            ClientEvent::Resuming => {}
            ClientEvent::Close => {
                if let Some(switchboard) = self.switchboard.take() {
                    switchboard.disconnect.do_send(Disconnect(self.id));
                }
                ctx.stop();
            }
        }
    }
}

impl Handler<CallFact> for Agent {
    type Result = ();

    fn handle(&mut self, fact: CallFact, _: &mut Context<Self>) {
        let CallFact { call, kind } = fact;
        self.ear.hear(match kind {
            FactKind::Media(facts) => News::Media(call, facts),
            FactKind::AnswerSent => News::AnswerSent(call),
            FactKind::Over { reason } => News::Over { call, reason },
        });
    }
}

impl Handler<CallerAudio> for Agent {
    type Result = ();

    fn handle(&mut self, audio: CallerAudio, _: &mut Context<Self>) {
        if let Some(AudioMessage::Samples { rate, pcm }) = audio.frame {
            self.ear.hear(News::Audio { call: audio.call, rate, pcm });
        }
    }
}

impl Handler<RegistrationNews> for Agent {
    type Result = ();

    fn handle(&mut self, news: RegistrationNews, _: &mut Context<Self>) {
        self.ear.hear(News::Registration(news));
    }
}

/// Frames of all calls together that may wait for the SIP thread: a second of 80 calls.
const MAILBOX: usize = 4096;

#[cfg(test)]
mod tests {
    use model::call::Direction;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::relay::message::{AgentOrder, Listen};

    /// Stands for a call: passes commands on.
    struct Probe(UnboundedSender<CallCommand>);

    impl Actor for Probe {
        type Context = Context<Self>;
    }

    impl Handler<CallCommand> for Probe {
        type Result = ();

        fn handle(&mut self, command: CallCommand, _: &mut Context<Self>) {
            self.0.send(command).expect("the test waits");
        }
    }

    macro_rules! ignores {
        ($($message:ty),*) => {$(
            impl Handler<$message> for Probe {
                type Result = ();
                fn handle(&mut self, _: $message, _: &mut Context<Self>) {}
            }
        )*};
    }
    ignores!(AgentOrder, Listen);

    #[actix::test]
    async fn call_that_nobody_waits_for_any_more_is_hung_up() {
        let (sender, mut commands) = unbounded_channel();
        let probe = Probe(sender).start();
        let id = CallId::from_sip_call_id("a@b");
        let mut agent = Agent::new(ClientId(1), Box::new(|_| ()));
        agent.placed.push(CallHandle {
            id: id.clone(),
            direction: Direction::Outbound,
            phone: "1".into(),
            placed_by: Some(agent.id),
            ticket: None,
            invite: None,
            commands: probe.clone().recipient(),
            audio: probe.clone().recipient(),
            listeners: probe.recipient(),
        });
        agent.dialling.push_back(oneshot::channel().0);
        agent.event(Event::Calling { phone: "1".into(), call: id });
        assert_eq!(commands.recv().await, Some(CallCommand::Hangup));
    }
}
