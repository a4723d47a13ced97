//! `Program` is what a stream's actor keeps for the program that has the call: codecs, queues, marks on their way.
//!
//! In: payload and events of the provider, orders of the program. Out: canonical PCM and events to the program, payload and
//! marks for the provider. Knows nothing of sockets and messages.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use stream::StreamInfo;
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    super::{
        SipTransportError,
        codec::AudioCodec,
        transport::{MarkOutcome, TransportEvent},
    },
    Due, Inbox, Outlet, Playout,
};
use crate::metrics::GatewayMetrics;

/// See the module's documentation.
#[derive(Debug)]
pub struct Program {
    hearing: AudioCodec,
    speaking: AudioCodec,
    audio: Inbox<Bytes>,
    events: Inbox<TransportEvent>,
    connected: Arc<AtomicBool>,
    playout: Playout<Mark>,
    /// On their way through the provider's queue, in order.
    sent: VecDeque<Mark>,
    /// Marks in both queues.
    marks: usize,
    /// Programs that are too far ahead, and wait.
    ahead: Vec<Done>,
}

/// Where a program's order is answered.
pub type Done = oneshot::Sender<Result<(), SipTransportError>>;

/// A mark that a program has set.
#[derive(Debug)]
pub struct Mark {
    name: String,
    reached: oneshot::Sender<MarkOutcome>,
}

/// The program's ends.
#[derive(Debug)]
pub struct Ends {
    /// What the caller says.
    pub audio: Outlet<Bytes>,
    /// What else happens.
    pub events: Outlet<TransportEvent>,
    /// Whether the call is up.
    pub connected: Arc<AtomicBool>,
}

/// What is to be sent to the provider.
#[derive(Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// 20 ms in the provider's format.
    Payload(Bytes),
    /// A mark of this name. It is on its way from now on.
    Mark(String),
}

impl Program {
    /// For a stream that begins.
    ///
    /// # Errors
    /// [`SipTransportError::AudioCodec`] if its audio cannot be converted.
    pub fn new(info: &StreamInfo, metrics: &GatewayMetrics) -> Result<(Self, Ends), SipTransportError> {
        let (audio, audio_out) = Inbox::new(AUDIO_INBOX, &metrics.inbox_drops);
        let (events, events_out) = Inbox::new(EVENT_INBOX, &metrics.inbox_drops);
        let connected = Arc::new(AtomicBool::new(true));
        let program = Self {
            hearing: AudioCodec::of(info.inbound)?,
            speaking: AudioCodec::of(info.outbound)?,
            audio,
            events,
            connected: connected.clone(),
            playout: Playout::new(),
            sent: VecDeque::new(),
            marks: 0,
            ahead: Vec::new(),
        };
        Ok((program, Ends { audio: audio_out, events: events_out, connected }))
    }

    /// The caller said something.
    pub fn hear(&mut self, payload: &[u8]) {
        match self.hearing.decode_to_canonical(payload) {
            Ok(pcm) if !pcm.is_empty() => self.audio.push(pcm),
            Ok(_) => {}
            Err(error) => debug!(%error, "audio of the provider"),
        }
    }

    /// Something else happened.
    pub fn happens(&self, event: TransportEvent) {
        self.events.push(event);
    }

    /// `send_audio`.
    pub fn say(&mut self, now: Instant, pcm: Bytes, done: Done) {
        self.playout.push(now, pcm);
        self.ahead.push(done);
    }

    /// `send_mark`.
    pub fn mark(&mut self, name: String, reached: oneshot::Sender<MarkOutcome>, done: Done) {
        let refused = match () {
            () if self.marks >= MARKS => Some(format!("{MARKS} marks are pending")),
            () if name.len() > MARK_NAME => Some(format!("a mark's name may have {MARK_NAME} bytes")),
            () => None,
        };
        if refused.is_none() {
            self.marks += 1;
            self.playout.mark(Mark { name, reached });
        }
        // A program that does not wait for the answer does not get it.
        let _ = done.send(refused.map_or(Ok(()), |text| Err(SipTransportError::ProviderConnection(text))));
    }

    /// `clear_audio`: what was not sent is dropped here. Marks that were sent are the provider's affair.
    pub fn clear(&mut self) {
        let unsent: Vec<Mark> = self.playout.clear().collect();
        unsent.into_iter().for_each(|mark| self.settle(mark, MarkOutcome::Cleared));
    }

    /// What is to be sent now. To be asked until there is nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Outgoing> {
        let due = self.playout.poll(now);
        if self.playout.ahead() <= AHEAD {
            self.ahead.drain(..).for_each(|done| drop(done.send(Ok(()))));
        }
        Some(match due? {
            Due::Mark(mark) => {
                let name = mark.name.clone();
                self.sent.push_back(mark);
                Outgoing::Mark(name)
            }
            // Whole frames are whole samples.
            Due::Frame(pcm) => {
                Outgoing::Payload(self.speaking.encode_from_canonical(&pcm).unwrap_or_default())
            }
        })
    }

    /// When there is something again.
    pub fn deadline(&self) -> Option<Instant> {
        self.playout.deadline()
    }

    /// A mark that was sent is done with.
    pub fn marked(&mut self, name: &str, outcome: MarkOutcome) {
        if let Some(mark) =
            self.sent.iter().position(|mark| mark.name == name).and_then(|at| self.sent.remove(at))
        {
            self.settle(mark, outcome);
        }
    }

    fn settle(&mut self, mark: Mark, outcome: MarkOutcome) {
        self.marks -= 1;
        // A program that does not wait for it hears of it as an event.
        let _ = mark.reached.send(outcome);
        self.events.push(TransportEvent::Mark { name: mark.name, outcome });
    }
}

impl Drop for Program {
    /// The call is over, however: its program must notice.
    fn drop(&mut self) {
        self.connected.store(false, Ordering::Release);
        let sent = std::mem::take(&mut self.sent);
        let unsent: Vec<Mark> = self.playout.clear().collect();
        sent.into_iter().chain(unsent).for_each(|mark| self.settle(mark, MarkOutcome::Lost));
    }
}

/// Pieces of the caller's audio that wait for the program: ten seconds of 20 ms.
const AUDIO_INBOX: usize = 500;
/// Events that wait for the program.
const EVENT_INBOX: usize = 256;
/// How far a program may be ahead before it has to wait.
const AHEAD: Duration = Duration::from_secs(60);
/// Marks that may be pending on one call. Those on their way are limited to the same by [`stream::SessionConfig`].
const MARKS: usize = 256;
/// Bytes of a mark's name.
const MARK_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use stream::{MediaFormat, Provider};

    use super::*;
    use crate::metrics::Metrics;

    fn program(format: MediaFormat) -> (Program, Ends) {
        let info = StreamInfo {
            provider: Provider::Twilio,
            stream_id: "s".to_owned(),
            call_id: String::new(),
            account: None,
            caller_id: None,
            did: None,
            custom_parameters: Default::default(),
            inbound: format,
            outbound: format,
        };
        Program::new(&info, &Metrics::new().gateway).expect("a format")
    }

    fn done() -> (Done, oneshot::Receiver<Result<(), SipTransportError>>) {
        oneshot::channel()
    }

    fn sends(program: &mut Program, now: Instant) -> Vec<Outgoing> {
        std::iter::from_fn(|| program.poll(now)).collect()
    }

    #[actix::test]
    async fn burst_at_twice_the_rate_is_heard_whole() {
        let (mut program, ends) = program(MediaFormat::MULAW_8000);
        // Five seconds of audio before the program wakes up.
        (0..250).for_each(|_| program.hear(&[0x80; 160]));
        drop(program);
        let heard: usize = ends.audio.map(|pcm| pcm.len()).fold(0, |sum, n| async move { sum + n }).await;
        assert_eq!(heard, 250 * 640);
        assert!(!ends.connected.load(Ordering::Acquire));
    }

    #[test]
    fn program_waits_while_it_is_a_minute_ahead() {
        let (mut program, _ends) = program(MediaFormat::L16_16000);
        let now = Instant::now();
        let (first, mut answered) = done();
        program.say(now, vec![0; 32_000 * 71].into(), first);
        sends(&mut program, now);
        assert!(answered.try_recv().is_err(), "71 s, of which the provider has 10");
        let later = now + Duration::from_secs(1);
        sends(&mut program, later);
        assert_eq!(answered.try_recv().expect("answered"), Ok(()));
    }

    #[test]
    fn marks_are_settled_once_in_every_way_they_can_end() {
        let (mut program, ends) = program(MediaFormat::L16_16000);
        let now = Instant::now();
        let mut marks = Vec::new();
        for name in ["sent", "sent", "cleared", "lost"] {
            if name == "cleared" {
                assert_eq!(
                    sends(&mut program, now),
                    [Outgoing::Mark("sent".into()), Outgoing::Mark("sent".into())]
                );
            }
            let ((ordered, _), (reached, mark)) = (done(), oneshot::channel());
            program.mark(name.to_owned(), reached, ordered);
            marks.push(mark);
            if name == "cleared" {
                program.clear();
            }
        }
        program.marked("sent", MarkOutcome::Played);
        program.marked("nobody's", MarkOutcome::Played);
        assert_eq!(marks[0].try_recv(), Ok(MarkOutcome::Played));
        assert!(marks[1].try_recv().is_err(), "of two with one name the first");
        assert_eq!(marks[2].try_recv(), Ok(MarkOutcome::Cleared));
        drop(program);
        assert_eq!(
            (marks[1].try_recv(), marks[3].try_recv()),
            (Ok(MarkOutcome::Lost), Ok(MarkOutcome::Lost))
        );
        let events = ends.events.collect::<Vec<_>>().now_or_never().expect("it has ended");
        assert_eq!(events.len(), 4);
    }

    #[test]
    fn too_many_marks_and_too_long_names_are_refused() {
        let (mut program, _ends) = program(MediaFormat::L16_16000);
        let mut ask = |name: String| {
            let ((ordered, mut answer), (reached, _)) = (done(), oneshot::channel());
            program.mark(name, reached, ordered);
            answer.try_recv().expect("answered at once").is_ok()
        };
        assert!(!ask("x".repeat(257)));
        assert!((0..256).all(|n| ask(n.to_string())));
        assert!(!ask("one more".to_owned()));
    }
}
