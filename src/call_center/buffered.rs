//! `Buffered` answers a caller buffer by buffer: so many packets are one question, whoever speaks meanwhile.
//!
//! In: audio, outcomes of round trips. Out: round trips, spoken answers. One round trip runs at a time; one further buffer
//! waits for it, and a newer one takes its place.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use model::id::CallId;

use super::agent::{Agent, Input, Job, JobId, News, Output, speak};

/// The agent.
pub struct Buffered {
    call: CallId,
    size: usize,
    /// Whether buffers without sound are left out.
    vad: bool,
    packets: usize,
    pcm: Vec<i16>,
    running: Option<JobId>,
    waiting: Option<Arc<[i16]>>,
    next: JobId,
    out: VecDeque<Output>,
}

impl Buffered {
    /// For one call. `size`: packets of a buffer. `vad`: leave out buffers with a root mean square below [`LOUD`].
    pub fn new(call: CallId, size: usize, vad: bool) -> Self {
        let (pcm, out) = (Vec::new(), VecDeque::new());
        Self { call, size, vad, packets: 0, pcm, running: None, waiting: None, next: 0, out }
    }

    fn packet(&mut self, pcm: &[i16]) {
        self.pcm.extend_from_slice(pcm);
        self.packets += 1;
        // An unusual relay may send long packets.
        if self.packets < self.size && self.pcm.len() < LONGEST {
            return;
        }
        self.packets = 0;
        let buffer: Arc<[i16]> = std::mem::take(&mut self.pcm).into();
        if self.vad && rms(&buffer) < LOUD {
            return;
        }
        if self.running.is_none() {
            self.begin(buffer);
        } else if self.waiting.replace(buffer).is_some() {
            self.out.push_back(Output::Note("services are slow, a waiting buffer was dropped".to_owned()));
        }
    }

    fn begin(&mut self, pcm: Arc<[i16]>) {
        self.next += 1;
        self.running = Some(self.next);
        self.out.push_back(Output::Start(self.next, Job::RoundTrip { pcm }));
    }
}

impl Agent for Buffered {
    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        match input {
            Input::Audio(pcm) => self.packet(pcm),
            Input::Job(job, news) if self.running == Some(job) && news.is_last() => {
                self.running = None;
                if let News::Answer(pcm) = news
                    && !pcm.is_empty()
                {
                    self.out.push_back(speak(&self.call, &pcm));
                }
                if let Some(waiting) = self.waiting.take() {
                    self.begin(waiting);
                }
            }
            _ => {}
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }
}

/// Root mean square.
fn rms(pcm: &[i16]) -> f64 {
    let squares: f64 = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (squares / pcm.len().max(1) as f64).sqrt()
}

/// The documented limit of `CALL_CENTER_VAD`.
pub const LOUD: f64 = 500.0;
/// Five minutes of samples.
const LONGEST: usize = 5 * 60 * 8000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_is_asked_about_when_it_is_full_and_its_answer_is_spoken() {
        let mut agent = agent(false);
        assert_eq!(hear(&mut agent, 7, 2), []);
        let outputs = hear(&mut agent, 7, 1);
        let [Output::Start(1, Job::RoundTrip { pcm })] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(pcm[..], [7; 480]);
        assert_eq!(news(&mut agent, 1, News::Answer(vec![1, 2])), [speak(&id(), &[1, 2])]);
    }

    #[test]
    fn one_buffer_waits_and_the_newest_wins() {
        let mut agent = agent(false);
        assert_eq!(hear(&mut agent, 1, 3).len(), 1);
        assert_eq!(hear(&mut agent, 2, 3), []);
        assert!(matches!(&hear(&mut agent, 3, 3)[..], [Output::Note(_)]));
        let outputs = news(&mut agent, 1, News::Failed("500".to_owned()));
        let [Output::Start(2, Job::RoundTrip { pcm })] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(pcm[0], 3);
        assert_eq!(news(&mut agent, 1, News::Answer(vec![1])), [], "an old job has nothing to say");
    }

    #[test]
    fn nothing_said_is_nothing_answered() {
        let mut agent = agent(false);
        hear(&mut agent, 1, 3);
        assert_eq!(news(&mut agent, 1, News::Answer(Vec::new())), []);
    }

    #[test]
    fn silent_buffers_are_left_out_where_that_is_wanted() {
        let mut agent = agent(true);
        assert_eq!(hear(&mut agent, 499, 3), []);
        assert_eq!(hear(&mut agent, 500, 3).len(), 1);
    }

    fn id() -> CallId {
        CallId::from_sip_call_id("a@h")
    }

    fn agent(vad: bool) -> Buffered {
        Buffered::new(id(), 3, vad)
    }

    fn hear(agent: &mut Buffered, sample: i16, packets: usize) -> Vec<Output> {
        (0..packets).for_each(|_| agent.handle(Instant::now(), Input::Audio(&[sample; 160])));
        std::iter::from_fn(|| agent.poll()).collect()
    }

    fn news(agent: &mut Buffered, job: JobId, news: News) -> Vec<Output> {
        agent.handle(Instant::now(), Input::Job(job, news));
        std::iter::from_fn(|| agent.poll()).collect()
    }
}
