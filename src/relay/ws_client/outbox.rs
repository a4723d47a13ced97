//! What waits to be written to one WebSocket: bounded, oldest audio dropped first, signalling never. For a session that
//! may be resumed it also remembers, for a while, what was written.
//!
//! In: messages. Out: the same in order, to the socket, which takes them only while its peer reads. Knows nothing of
//! calls.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytestring::ByteString;
use prometheus_client::metrics::counter::Counter;

use super::super::message::AudioMessage;
use crate::metrics::CloseCause;

/// One message to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A line of signalling.
    Signal(ByteString),
    /// Audio.
    Audio(AudioMessage),
    /// A close frame; the last message.
    Close(CloseReason),
}

/// Why we close a connection (RFC 6455 §7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// 1001: the relay stops.
    GoingAway,
    /// 1008: the client does not read, and signalling alone filled its queue.
    TooSlow,
    /// 1008: another connection took the session over.
    Replaced,
    /// 1000: nothing more is to be said.
    Done,
    /// 1008: the peer did not say what it had to.
    Refused,
    /// 1008: the peer said nothing for too long.
    Idle,
}

impl From<CloseReason> for CloseCause {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::GoingAway => CloseCause::Stopping,
            CloseReason::TooSlow => CloseCause::TooSlow,
            CloseReason::Replaced => CloseCause::Replaced,
            CloseReason::Done => CloseCause::Done,
            CloseReason::Refused => CloseCause::Refused,
            CloseReason::Idle => CloseCause::Idle,
        }
    }
}

/// Signalling alone fills the queue: the connection cannot be served.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

/// What another connection needs to go on where this one stopped.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Not written yet.
    pub waiting: VecDeque<Outgoing>,
    /// Written lately, oldest first.
    pub written: VecDeque<(Instant, Outgoing)>,
    /// Messages written before those.
    pub forgotten: u64,
}

impl Backlog {
    /// All that a client has to be sent that has received `received` messages of the session; `None`: all that was
    /// written. Too far back, the rest is gone: what is left comes.
    pub fn unheard(self, received: Option<u64>) -> impl Iterator<Item = Outgoing> {
        let total = self.forgotten + self.written.len() as u64;
        let known = received.unwrap_or(total).saturating_sub(self.forgotten);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        self.written.into_iter().map(|(_, message)| message).skip(known).chain(self.waiting)
    }
}

/// The queue of one connection. Clones share it; both ends live on one thread.
#[derive(Clone)]
pub struct Outbox(Rc<RefCell<Queue>>);

struct Queue {
    waiting: VecDeque<Outgoing>,
    capacity: usize,
    dropped: u64,
    drops: Counter,
    closed: Option<CloseReason>,
    reader: Option<Waker>,
    memory: Option<Memory>,
}

/// What was written to a session that may be resumed.
struct Memory {
    window: Duration,
    written: VecDeque<(Instant, Outgoing)>,
    forgotten: u64,
}

impl Outbox {
    /// A queue of at most `capacity` messages, which remembers what was written in the last `memory`.
    pub fn new(capacity: usize, memory: Option<Duration>) -> Self {
        let memory = memory.map(|window| Memory { window, written: VecDeque::new(), forgotten: 0 });
        let queue = Queue {
            waiting: VecDeque::new(),
            capacity,
            dropped: 0,
            drops: Counter::default(),
            closed: None,
            reader: None,
            memory,
        };
        Self(Rc::new(RefCell::new(queue)))
    }

    /// The same, with every drop counted here too.
    pub fn counted_by(self, drops: &Counter) -> Self {
        self.0.borrow_mut().drops = drops.clone();
        self
    }

    /// The same, where the client says that it has received so many messages: where the session that it means is gone, its
    /// count goes on in the new one.
    pub fn counting_from(self, received: u64) -> Self {
        if let Some(memory) = &mut self.0.borrow_mut().memory {
            memory.forgotten = received;
        }
        self
    }

    /// Queues signalling. If the queue is full, the oldest audio makes room.
    pub fn signal(&self, line: impl Into<ByteString>) -> Result<(), Overflow> {
        let mut queue = self.0.borrow_mut();
        if queue.is_full() && !queue.drop_oldest_audio() {
            return Err(Overflow);
        }
        queue.push(Outgoing::Signal(line.into()));
        Ok(())
    }

    /// Queues audio. If the queue is full, the oldest audio makes room; if there is none, this one is dropped.
    pub fn audio(&self, frame: AudioMessage) {
        let mut queue = self.0.borrow_mut();
        if queue.is_full() && !queue.drop_oldest_audio() {
            queue.count_drop();
            return;
        }
        queue.push(Outgoing::Audio(frame));
    }

    /// Queues what another connection of the session has left behind, whatever its size.
    pub fn restore(&self, messages: impl Iterator<Item = Outgoing>, written_before: u64) {
        let mut queue = self.0.borrow_mut();
        if let Some(memory) = &mut queue.memory {
            memory.forgotten = written_before;
        }
        messages
            .filter(|message| !matches!(message, Outgoing::Close(_)))
            .for_each(|message| queue.push(message));
    }

    /// Drops the audio that waits: it is not to be heard any more.
    pub fn drop_audio(&self) {
        self.0.borrow_mut().waiting.retain(|message| !matches!(message, Outgoing::Audio(_)));
    }

    /// Queues the close frame behind what waits, or in place of it where the peer is not reading it anyway.
    pub fn close(&self, reason: CloseReason) {
        let mut queue = self.0.borrow_mut();
        if queue.closed.is_some() {
            return;
        }
        if !matches!(reason, CloseReason::GoingAway | CloseReason::Done) {
            queue.waiting.clear();
        }
        queue.push(Outgoing::Close(reason));
        queue.closed = Some(reason);
    }

    /// Why the connection is being closed, once it is.
    pub fn closed(&self) -> Option<CloseReason> {
        self.0.borrow().closed
    }

    /// Room for at least this many messages: nobody reads for a while, and all of it is to be kept.
    pub fn widen(&self, capacity: usize) {
        let mut queue = self.0.borrow_mut();
        queue.capacity = queue.capacity.max(capacity);
    }

    /// Takes everything out, for another connection.
    pub fn hand_over(&self) -> Backlog {
        let mut queue = self.0.borrow_mut();
        let waiting = std::mem::take(&mut queue.waiting);
        let memory = queue.memory.take();
        let (written, forgotten) =
            memory.map(|memory| (memory.written, memory.forgotten)).unwrap_or_default();
        Backlog { waiting, written, forgotten }
    }

    /// Audio messages dropped so far.
    pub fn dropped(&self) -> u64 {
        self.0.borrow().dropped
    }
}

impl Queue {
    fn is_full(&self) -> bool {
        self.waiting.len() >= self.capacity
    }

    fn push(&mut self, message: Outgoing) {
        if self.closed.is_some() {
            return;
        }
        self.waiting.push_back(message);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn drop_oldest_audio(&mut self) -> bool {
        let oldest = self.waiting.iter().position(|message| matches!(message, Outgoing::Audio(_)));
        if let Some(at) = oldest {
            self.waiting.remove(at);
            self.count_drop();
        }
        oldest.is_some()
    }

    fn count_drop(&mut self) {
        self.dropped += 1;
        self.drops.inc();
    }
}

impl Memory {
    fn remember(&mut self, message: Outgoing, now: Instant) {
        self.written.push_back((now, message));
        let too_old = |(at, _): &(Instant, Outgoing)| now.duration_since(*at) > self.window;
        while self.written.len() > MAX_REMEMBERED || self.written.front().is_some_and(too_old) {
            self.written.pop_front();
            self.forgotten += 1;
        }
    }
}

/// The socket's end: yields what is queued, one message at a time. Never ends.
pub struct OutboxStream(pub Outbox);

impl futures_core::Stream for OutboxStream {
    type Item = Outgoing;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        let mut queue = self.0.0.borrow_mut();
        match queue.waiting.pop_front() {
            Some(message) => {
                if let Some(memory) = &mut queue.memory {
                    memory.remember(message.clone(), Instant::now());
                }
                Poll::Ready(Some(message))
            }
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Messages remembered at most: ten seconds of a hundred calls.
const MAX_REMEMBERED: usize = 50_000;

#[cfg(test)]
mod tests {
    use futures_core::Stream;

    use super::*;

    fn audio(name: &'static str) -> AudioMessage {
        AudioMessage::Text(ByteString::from_static(name))
    }

    fn name(message: &Outgoing) -> String {
        match message {
            Outgoing::Signal(line) | Outgoing::Audio(AudioMessage::Text(line)) => line.to_string(),
            other => format!("{other:?}"),
        }
    }

    fn drain(outbox: &Outbox) -> Vec<String> {
        outbox.hand_over().waiting.iter().map(name).collect()
    }

    /// The socket writes the next `n` messages.
    fn write(outbox: &Outbox, n: usize) {
        let mut stream = OutboxStream(outbox.clone());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..n {
            assert!(Pin::new(&mut stream).poll_next(&mut cx).is_ready(), "something waits");
        }
    }

    #[test]
    fn full_queue_drops_the_oldest_audio_and_keeps_signalling_in_order() {
        let outbox = Outbox::new(3, None);
        outbox.audio(audio("a1"));
        outbox.signal("s1").expect("room");
        outbox.audio(audio("a2"));
        outbox.signal("s2").expect("the oldest audio makes room");
        outbox.audio(audio("a3"));
        assert_eq!(outbox.dropped(), 2);
        assert_eq!(drain(&outbox), ["s1", "s2", "a3"]);
    }

    #[test]
    fn signalling_alone_overflows_and_audio_never_does() {
        let outbox = Outbox::new(2, None);
        outbox.signal("s1").expect("room");
        outbox.signal("s2").expect("room");
        outbox.audio(audio("a"));
        assert_eq!(outbox.dropped(), 1);
        assert_eq!(outbox.signal("s3"), Err(Overflow));
    }

    #[test]
    fn nothing_is_queued_behind_the_close_frame() {
        let outbox = Outbox::new(8, None);
        outbox.signal("BYE:1").expect("room");
        outbox.close(CloseReason::GoingAway);
        outbox.signal("late").expect("ignored");
        assert_eq!(drain(&outbox), ["BYE:1", "Close(GoingAway)"]);
    }

    #[test]
    fn resumed_session_gets_what_it_did_not_receive_in_order() {
        let outbox = Outbox::new(8, Some(Duration::from_secs(10)));
        for line in ["1", "2", "3", "4"] {
            outbox.signal(line).expect("room");
        }
        write(&outbox, 3);
        let unheard: Vec<_> = outbox.hand_over().unheard(Some(1)).map(|message| name(&message)).collect();
        assert_eq!(unheard, ["2", "3", "4"]);
    }

    #[test]
    fn session_that_does_not_count_gets_what_was_not_written() {
        let outbox = Outbox::new(8, Some(Duration::from_secs(10)));
        for line in ["1", "2", "3"] {
            outbox.signal(line).expect("room");
        }
        write(&outbox, 2);
        let unheard: Vec<_> = outbox.hand_over().unheard(None).map(|message| name(&message)).collect();
        assert_eq!(unheard, ["3"]);
    }

    #[test]
    fn count_goes_on_over_a_second_resumption() {
        let first = Outbox::new(8, Some(Duration::from_secs(10)));
        for line in ["1", "2", "3"] {
            first.signal(line).expect("room");
        }
        write(&first, 3);
        let second = Outbox::new(8, Some(Duration::from_secs(10)));
        second.restore(first.hand_over().unheard(Some(2)), 2);
        second.signal("4").expect("room");
        write(&second, 2);
        let unheard: Vec<_> = second.hand_over().unheard(Some(3)).map(|message| name(&message)).collect();
        assert_eq!(unheard, ["4"]);
    }

    #[test]
    fn count_goes_on_where_the_session_is_a_new_one() {
        let outbox = Outbox::new(8, Some(Duration::from_secs(10))).counting_from(100);
        for line in ["101", "102", "103"] {
            outbox.signal(line).expect("room");
        }
        write(&outbox, 3);
        let unheard: Vec<_> = outbox.hand_over().unheard(Some(101)).map(|message| name(&message)).collect();
        assert_eq!(unheard, ["102", "103"]);
    }
}
