//! `CallCenter` is the table of calls: who talks in each, which jobs run for it, and when it wants to be called again.
//!
//! In: [`Line`], [`Signal`], [`CallerAudio`], [`JobNews`], [`LinkReport`]. Out: [`Say`], [`LinkOrder`], and jobs at the [`Desk`]. What is said is decided by
//! the call's [`Agent`].

use std::{
    collections::HashMap,
    rc::Rc,
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, Recipient, SpawnHandle};
use model::{event::Event, id::CallId};
use tokio::task::AbortHandle;
use tracing::{debug, error, info, warn};

use super::{
    agent::{Agent, Input, JobId, News, Output},
    desk::{Desk, JobReport},
    message::{CallerAudio, Heard, JobNews, Line, LinkOrder, LinkReport, Say, Signal},
    realtime::{ClientEvent, LinkId, LinkNews, link::LinkOwner},
};

/// The actor.
pub struct CallCenter {
    desk: Rc<Desk>,
    relay: Recipient<Say>,
    multi: bool,
    calls: HashMap<CallId, Call>,
    /// The numbers that calls were placed to, and since when that is known.
    called: HashMap<CallId, (Instant, String)>,
    generation: u64,
}

struct Call {
    /// That of the number that was called.
    desk: Rc<Desk>,
    agent: Box<dyn Agent>,
    generation: u64,
    jobs: HashMap<JobId, AbortHandle>,
    links: HashMap<LinkId, Recipient<LinkOrder>>,
    alarm: Option<(Instant, SpawnHandle)>,
    heard: Instant,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.jobs.values().for_each(AbortHandle::abort);
        self.links.values().for_each(|link| link.do_send(LinkOrder::Close));
    }
}

impl CallCenter {
    /// `relay`: who sends commands.
    pub fn new(desk: Rc<Desk>, relay: Recipient<Say>) -> Self {
        let (calls, called) = (HashMap::new(), HashMap::new());
        Self { desk, relay, multi: false, calls, called, generation: 0 }
    }

    fn begin(&mut self, id: &CallId) {
        if self.calls.len() >= MOST_CALLS {
            warn!(call_id = %id, "too many calls, this one is not talked to");
            return;
        }
        self.generation += 1;
        let desk = self.desk.for_number(self.called.get(id).map(|(_, number)| number.as_str()));
        let agent = desk.agent(id, self.multi);
        let (generation, heard) = (self.generation, Instant::now());
        info!(call_id = %id, "call up");
        let (jobs, links) = (HashMap::new(), HashMap::new());
        let call = Call { desk, agent, generation, jobs, links, alarm: None, heard };
        self.calls.insert(id.clone(), call);
    }

    fn end(&mut self, id: &CallId, why: &str) {
        self.called.remove(id);
        if self.calls.remove(id).is_some() {
            info!(call_id = %id, why, "call over");
        }
    }

    /// Ends the calls of which nothing was heard lately.
    fn end_unheard(&mut self, why: &str, too_long: impl Fn(Instant) -> bool) {
        let gone = self.calls.iter().filter(|(_, call)| too_long(call.heard));
        let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.end(id, why));
    }

    fn input(&mut self, id: &CallId, input: Input<'_>, ctx: &mut Context<Self>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.agent.handle(Instant::now(), input);
        while let Some(output) = call.agent.poll() {
            match output {
                Output::Say(command) => self.relay.do_send(Say(command)),
                Output::Note(text) => info!(call_id = %id, "{text}"),
                Output::Trouble(text) => error!(call_id = %id, "{text}"),
                Output::Open(link) => {
                    let owner = LinkOwner { call: id.clone(), generation: call.generation, link };
                    if let Some(orders) = call.desk.open_link(owner, ctx.address().recipient()) {
                        call.links.insert(link, orders);
                    }
                }
                Output::Send(link, event) => call.send(link, event),
                Output::Close(link) => {
                    if let Some(orders) = call.links.remove(&link) {
                        orders.do_send(LinkOrder::Close);
                    }
                }
                Output::Stop(job) => {
                    if let Some(task) = call.jobs.remove(&job) {
                        task.abort();
                    }
                }
                Output::Start(job, work) => {
                    let (call_id, generation) = (id.clone(), call.generation);
                    let to = ctx.address();
                    let report: JobReport = Box::new(move |news| {
                        to.do_send(JobNews { call: call_id.clone(), generation, job, news });
                    });
                    call.jobs.insert(job, call.desk.start(work, report));
                }
            }
        }
        call.set_alarm(id, ctx);
    }
}

impl Call {
    /// Audio waits in a mailbox of its own size, and is left out where that is full.
    fn send(&mut self, link: LinkId, event: ClientEvent) {
        let Some(orders) = self.links.get(&link) else { return };
        if !event.is_audio() {
            orders.do_send(LinkOrder::Send(event));
        } else if orders.try_send(LinkOrder::Send(event)).is_err() {
            debug!("too busy, audio for the service dropped");
        }
    }

    fn set_alarm(&mut self, id: &CallId, ctx: &mut Context<CallCenter>) {
        let wanted = self.agent.deadline();
        if self.alarm.as_ref().map(|(at, _)| *at) == wanted {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        if let Some(at) = wanted {
            let (id, generation) = (id.clone(), self.generation);
            let alarm = ctx.run_later(at.saturating_duration_since(Instant::now()), move |this, ctx| {
                if let Some(call) = this.calls.get_mut(&id).filter(|call| call.generation == generation) {
                    call.alarm = None;
                    this.input(&id, Input::Timeout, ctx);
                }
            });
            self.alarm = Some((at, alarm));
        }
    }
}

impl Actor for CallCenter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(LOOK_AROUND, |this, _| {
            this.end_unheard("nothing was heard of it for an hour", |heard| heard.elapsed() > FORGOTTEN);
            let calls = &this.calls;
            this.called.retain(|id, (since, _)| calls.contains_key(id) || since.elapsed() < FORGOTTEN);
        });
    }
}

impl Handler<Line> for CallCenter {
    type Result = ();

    fn handle(&mut self, line: Line, ctx: &mut Self::Context) {
        // Calls outlive a lost connection: the relay tells the next one what became of them. One that was started anew knows
        // of none.
        if let Line::Up { multi } = line {
            self.multi = multi;
            let up = Instant::now();
            ctx.run_later(REAPPEAR, move |this, _| {
                this.end_unheard("it did not come back with the connection", |heard| heard < up);
            });
        }
    }
}

impl Handler<Signal> for CallCenter {
    type Result = ();

    fn handle(&mut self, Signal(event): Signal, ctx: &mut Self::Context) {
        match &event {
            // An older relay says it again to move its focus.
            Event::CallAns { call } if !self.calls.contains_key(call) => self.begin(call),
            Event::Called { call, number } if self.called.len() < MOST_CALLS => {
                self.called.insert(call.clone(), (Instant::now(), number.clone()));
            }
            Event::Bye { call } | Event::RingIgnore { call } => self.end(call, event.verb()),
            Event::Error { status, text, verb } => warn!(status, %verb, "the relay refused: {text}"),
            _ => {}
        }
        if let Some(id) = call_of(&event).cloned() {
            if let Some(call) = self.calls.get_mut(&id) {
                call.heard = Instant::now();
            }
            self.input(&id, Input::Event(&event), ctx);
        }
    }
}

impl Handler<CallerAudio> for CallCenter {
    type Result = ();

    fn handle(&mut self, CallerAudio { call: id, audio }: CallerAudio, ctx: &mut Self::Context) {
        // After a connection was lost, audio may be all that tells of a call.
        if !self.calls.contains_key(&id) {
            self.begin(&id);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.heard = Instant::now();
        }
        let input = match &audio {
            Heard::Pcm(pcm) => Input::Audio(pcm),
            Heard::Payload(payload) => Input::Payload(payload),
        };
        self.input(&id, input, ctx);
    }
}

impl Handler<JobNews> for CallCenter {
    type Result = ();

    fn handle(&mut self, JobNews { call: id, generation, job, news }: JobNews, ctx: &mut Self::Context) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.generation == generation) else { return };
        // A job that was stopped may have had its last word under way.
        if !call.jobs.contains_key(&job) {
            return;
        }
        if news.is_last() {
            call.jobs.remove(&job);
        }
        if let News::Failed(why) = &news {
            error!(call_id = %id, "{why}");
        }
        self.input(&id, Input::Job(job, news), ctx);
    }
}

impl Handler<LinkReport> for CallCenter {
    type Result = ();

    fn handle(&mut self, report: LinkReport, ctx: &mut Self::Context) {
        let LinkReport { call: id, generation, link, read, news } = report;
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.generation == generation) else { return };
        // A link that was closed may have had its last word under way.
        if !call.links.contains_key(&link) {
            return;
        }
        if let LinkNews::Down { why, .. } = &news {
            error!(call_id = %id, "realtime: {why}");
            call.links.remove(&link);
        }
        self.input(&id, Input::Link(link, read, news), ctx);
    }
}

/// The call that an event is about.
fn call_of(event: &Event) -> Option<&CallId> {
    match event {
        Event::CallAns { call }
        | Event::Dtmf { call, .. }
        | Event::Mark { call, .. }
        | Event::Xoff { call, .. }
        | Event::Xon { call, .. }
        | Event::Hold { call }
        | Event::Resume { call }
        | Event::Transfer { call, .. } => Some(call),
        _ => None,
    }
}

/// Audio messages that may wait: 2.5 s of 32 calls.
const MAILBOX: usize = 4096;
const MOST_CALLS: usize = 10_000;
/// Time after a connection was made in which something must be heard of a call.
const REAPPEAR: Duration = Duration::from_secs(30);
const LOOK_AROUND: Duration = Duration::from_secs(60);
/// Far longer than a relay keeps a call without audio.
const FORGOTTEN: Duration = Duration::from_secs(3600);
