//! `Desk` knows who talks in a call and who does the work: it makes agents, and runs their jobs as tasks.

use model::id::CallId;
use tokio::task::AbortHandle;

use super::agent::{Agent, Echo, Job, News, Parrot};
use crate::config::AgentKind;

/// Takes what comes of a job.
pub type JobReport = Box<dyn Fn(News)>;

/// See above.
pub struct Desk {
    agent: AgentKind,
}

impl Desk {
    /// Agents that need no services.
    pub fn without_services(agent: AgentKind) -> Self {
        Self { agent }
    }

    /// Who talks in a call. `multi`: the relay has the words of multi mode.
    pub fn agent(&self, call: &CallId, _multi: bool) -> Box<dyn Agent> {
        match self.agent {
            AgentKind::Echo => Box::new(Echo::new(call.clone())),
            AgentKind::Parrot => Box::new(Parrot::new(call.clone())),
        }
    }

    /// Begins a job on this thread's runtime.
    pub fn start(&self, job: Job, report: JobReport) -> AbortHandle {
        tokio::task::spawn_local(async move {
            let Job::RoundTrip { .. } = job;
            report(News::Failed("there are no services".to_owned()));
        })
        .abort_handle()
    }
}
