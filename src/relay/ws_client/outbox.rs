//! What waits to be written to one WebSocket: bounded, oldest audio dropped first, signalling never.
//!
//! In: lines. Out: the same in order, to the socket, which takes them only while its peer reads. Knows nothing of calls.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytestring::ByteString;

/// One message to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A line of signalling.
    Signal(ByteString),
    /// A line of audio.
    Audio(ByteString),
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
}

/// Signalling alone fills the queue: the connection cannot be served.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

/// The queue of one connection. Clones share it; both ends live on one thread.
#[derive(Clone)]
pub struct Outbox(Rc<RefCell<Queue>>);

struct Queue {
    waiting: VecDeque<Outgoing>,
    capacity: usize,
    dropped: u64,
    closed: bool,
    reader: Option<Waker>,
}

impl Outbox {
    /// A queue of at most `capacity` messages.
    pub fn new(capacity: usize) -> Self {
        let queue = Queue { waiting: VecDeque::new(), capacity, dropped: 0, closed: false, reader: None };
        Self(Rc::new(RefCell::new(queue)))
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
    pub fn audio(&self, line: ByteString) {
        let mut queue = self.0.borrow_mut();
        if queue.is_full() && !queue.drop_oldest_audio() {
            queue.dropped += 1;
            return;
        }
        queue.push(Outgoing::Audio(line));
    }

    /// Queues the close frame behind what waits, or in place of it where the peer is not reading it anyway.
    pub fn close(&self, reason: CloseReason) {
        let mut queue = self.0.borrow_mut();
        if reason == CloseReason::TooSlow {
            queue.waiting.clear();
        }
        queue.push(Outgoing::Close(reason));
        queue.closed = true;
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
        if self.closed {
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
            self.dropped += 1;
        }
        oldest.is_some()
    }
}

/// The socket's end: yields what is queued, one message at a time. Never ends.
pub struct OutboxStream(pub Outbox);

impl futures_core::Stream for OutboxStream {
    type Item = Outgoing;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        let mut queue = self.0.0.borrow_mut();
        match queue.waiting.pop_front() {
            Some(message) => Poll::Ready(Some(message)),
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &Outbox) -> Vec<String> {
        let waiting = std::mem::take(&mut outbox.0.borrow_mut().waiting);
        waiting.into_iter().map(|message| format!("{message:?}")).collect()
    }

    #[test]
    fn full_queue_drops_the_oldest_audio_and_keeps_signalling_in_order() {
        let outbox = Outbox::new(3);
        outbox.audio("a1".into());
        outbox.signal("s1").expect("room");
        outbox.audio("a2".into());
        outbox.signal("s2").expect("the oldest audio makes room");
        outbox.audio("a3".into());
        assert_eq!(outbox.dropped(), 2);
        assert_eq!(drain(&outbox), [r#"Signal("s1")"#, r#"Signal("s2")"#, r#"Audio("a3")"#]);
    }

    #[test]
    fn signalling_alone_overflows_and_audio_never_does() {
        let outbox = Outbox::new(2);
        outbox.signal("s1").expect("room");
        outbox.signal("s2").expect("room");
        outbox.audio("a".into());
        assert_eq!(outbox.dropped(), 1);
        assert_eq!(outbox.signal("s3"), Err(Overflow));
    }

    #[test]
    fn nothing_is_queued_behind_the_close_frame() {
        let outbox = Outbox::new(8);
        outbox.signal("BYE:1").expect("room");
        outbox.close(CloseReason::GoingAway);
        outbox.signal("late").expect("ignored");
        assert_eq!(drain(&outbox), [r#"Signal("BYE:1")"#, "Close(GoingAway)"]);
    }
}
