//! `CallCenter` is the table of calls: who talks in each, which jobs run for it, and when it wants to be called again.
//!
//! In: [`Line`], [`Signal`], [`CallerAudio`], [`JobNews`], [`LinkReport`]. Out: [`Say`], [`LinkOrder`], and jobs at the [`Desk`]. What is said is decided by
//! the call's [`Agent`].

use std::{
    borrow::Cow,
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, Recipient, SpawnHandle};
use model::{command::Command, event::Event, id::CallId};
use tokio::task::AbortHandle;
use tracing::{debug, error, info, warn};

use super::{
    agent::{Agent, Input, Job, JobId, News, Output},
    desk::{Desk, JobReport},
    message::{CallerAudio, Heard, JobNews, Line, LinkOrder, LinkReport, Say, Signal},
    realtime::{ClientEvent, LinkId, LinkNews, link::LinkOwner},
    turn::TurnTimes,
};
use crate::metrics::{CallCenterMetrics, Present, TurnStage};

/// The actor.
pub struct CallCenter {
    desk: Rc<Desk>,
    relay: Recipient<Say>,
    metrics: Arc<CallCenterMetrics>,
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
    /// How long answers of services to this turn have waited here.
    own: Duration,
    _present: Present,
    /// TRANSFER was said, and nothing final is known of it.
    transferring: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.jobs.values().for_each(AbortHandle::abort);
        self.links.values().for_each(|link| link.do_send(LinkOrder::Close));
    }
}

impl CallCenter {
    /// `relay`: who sends commands.
    pub fn new(desk: Rc<Desk>, relay: Recipient<Say>, metrics: Arc<CallCenterMetrics>) -> Self {
        let (calls, called) = (HashMap::new(), HashMap::new());
        Self { desk, relay, metrics, multi: false, calls, called, generation: 0 }
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
        let call = Call {
            desk,
            agent,
            generation,
            jobs: HashMap::new(),
            links: HashMap::new(),
            alarm: None,
            heard,
            transferring: false,
            own: Duration::ZERO,
            _present: self.metrics.begin(),
        };
        self.calls.insert(id.clone(), call);
    }

    fn end(&mut self, id: &CallId, why: &str) {
        self.called.remove(id);
        if self.calls.remove(id).is_some() {
            info!(call_id = %id, why, "call over");
        }
    }

    /// Has the relay say something about every call that it still has, one that is on hold and silent included.
    fn ask_after_calls(&self) {
        for call in self.calls.keys().cloned() {
            self.relay.do_send(Say(Command::Mark { call, name: STILL_THERE.to_owned() }));
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
                Output::Say(command) => {
                    call.transferring |= matches!(command, Command::Transfer { .. });
                    self.relay.do_send(Say(command));
                }
                Output::Note(text) => info!(call_id = %id, "{text}"),
                Output::Trouble(text) => error!(call_id = %id, "{text}"),
                Output::Answered(times) => {
                    info!(call_id = %id, "{}", times.line(call.own));
                    measure(&self.metrics, &times, call.own);
                }
                Output::Interrupted => self.metrics.interrupted(),
                Output::Apologized(how) => self.metrics.apologized(how),
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
                    if matches!(work, Job::Transcribe { .. }) {
                        call.own = Duration::ZERO;
                    }
                    let (call_id, generation) = (id.clone(), call.generation);
                    let to = ctx.address();
                    let report: JobReport = Box::new(move |news| {
                        let (call, at) = (call_id.clone(), Instant::now());
                        to.do_send(JobNews { call, generation, job, news, at });
                    });
                    call.jobs.insert(job, call.desk.start(work, report));
                }
            }
        }
        call.set_alarm(id, ctx);
    }
}

impl CallCenter {
    /// A transfer was refused before it was tried. The relay does not say of which call: of the one that there is, unless there
    /// are several.
    fn transfer_refused(&mut self, status: u16, text: &str, ctx: &mut Context<Self>) {
        let mut asked = self.calls.iter_mut().filter(|(_, call)| call.transferring);
        let (Some((id, call)), None) = (asked.next(), asked.next()) else { return };
        call.transferring = false;
        let call = id.clone();
        let event = Event::Transfer { call: call.clone(), status, reason: Cow::Owned(text.to_owned()) };
        self.input(&call, Input::Event(&event), ctx);
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
        // Calls outlive a lost connection: the next one goes on with the session. A relay that was started anew knows of none.
        if let Line::Up { multi } = line {
            self.multi = multi;
            let up = Instant::now();
            if multi {
                self.ask_after_calls();
            }
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
            Event::Error { status, text, verb } => {
                warn!(status, %verb, "the relay refused: {text}");
                if verb == "TRANSFER" {
                    self.transfer_refused(*status, text, ctx);
                }
            }
            _ => {}
        }
        if let Some(id) = call_of(&event).cloned() {
            if let Some(call) = self.calls.get_mut(&id) {
                call.heard = Instant::now();
                call.transferring &= !matches!(event, Event::Transfer { status, .. } if status >= 200);
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

    fn handle(&mut self, message: JobNews, ctx: &mut Self::Context) {
        let JobNews { call: id, generation, job, news, at } = message;
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.generation == generation) else { return };
        // A job that was stopped may have had its last word under way.
        if !call.jobs.contains_key(&job) {
            return;
        }
        if news.is_last() {
            call.jobs.remove(&job);
        }
        call.own += at.elapsed();
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

/// Puts down how long the stages of a turn took.
fn measure(metrics: &CallCenterMetrics, times: &TurnTimes, own: Duration) {
    metrics.answered();
    times.stages().for_each(|(stage, time)| metrics.took(stage, time));
    // Only what was transcribed is followed from its start.
    if times.is_spoken() {
        metrics.took(TurnStage::Own, own);
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
const REAPPEAR: Duration = Duration::from_secs(10);
/// The mark by which the relay is asked whether it still has a call.
const STILL_THERE: &str = "still-there";
const LOOK_AROUND: Duration = Duration::from_secs(60);
/// Far longer than a relay keeps a call without audio.
const FORGOTTEN: Duration = Duration::from_secs(3600);
