//! `Dispatcher` owns the thread on which callbacks run, so that none of them holds up SIP or media.
//!
//! In: notices, in the order in which things happened. Out: calls of [`Callbacks`], in that order. While a callback takes
//! its time the rest waits: audio up to [`MAX_FRAMES`], of which then the oldest frame goes and is counted; everything
//! else without a limit, for it comes a few times a call.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, ThreadId},
};

use tokio::sync::watch;
use tracing::warn;

use super::{
    VoiceSession,
    callbacks::{Callbacks, Notice},
};

/// See the module's documentation. Every clone feeds the same thread.
#[derive(Clone)]
pub(super) struct Dispatcher(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    finished: watch::Sender<bool>,
    thread: OnceLock<ThreadId>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(VoiceSession, Notice)>,
    frames: usize,
    dropped: u64,
    closed: bool,
}

impl Dispatcher {
    /// Starts the thread.
    pub(super) fn start(callbacks: Arc<Callbacks>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            finished: watch::Sender::new(false),
            thread: OnceLock::new(),
        });
        let dispatcher = Self(shared.clone());
        thread::Builder::new().name("sip-callbacks".into()).spawn(move || {
            shared.thread.get_or_init(|| thread::current().id());
            while let Some((session, notice)) = shared.next() {
                callbacks.tell(&session, notice);
            }
            shared.finished.send_replace(true);
        })?;
        Ok(dispatcher)
    }

    /// Has it told to the program, after everything before it.
    pub(super) fn post(&self, session: &VoiceSession, notice: Notice) {
        let mut queue = self.0.queue();
        if !queue.closed {
            queue.push(session.clone(), notice);
            drop(queue);
            self.0.filled.notify_one();
        }
    }

    /// Frames that were dropped because callbacks take too long.
    pub(super) fn dropped(&self) -> u64 {
        self.0.queue().dropped
    }

    /// Takes nothing more; the thread ends when it has told what it has.
    pub(super) fn close(&self) {
        self.0.queue().closed = true;
        self.0.filled.notify_one();
    }

    /// Returns when the thread has told everything. Only after [`close`](Self::close). A callback that waits for it would
    /// wait for its own end: there it returns at once.
    pub(super) async fn finished(&self) {
        if self.0.thread.get() != Some(&thread::current().id()) {
            // An error is a thread that is gone.
            let _ = self.0.finished.subscribe().wait_for(|finished| *finished).await;
        }
    }
}

impl Shared {
    /// Waits for what is next; `None` at the end.
    fn next(&self) -> Option<(VoiceSession, Notice)> {
        let mut queue = self.queue();
        loop {
            if let Some(next) = queue.pop() {
                return Some(next);
            }
            if queue.closed {
                return None;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, session: VoiceSession, notice: Notice) {
        if matches!(notice, Notice::Audio(_)) {
            if self.frames == MAX_FRAMES {
                self.drop_oldest_frame();
            }
            self.frames += 1;
        }
        self.waiting.push_back((session, notice));
    }

    fn pop(&mut self) -> Option<(VoiceSession, Notice)> {
        let next = self.waiting.pop_front()?;
        self.frames -= usize::from(matches!(next.1, Notice::Audio(_)));
        Some(next)
    }

    fn drop_oldest_frame(&mut self) {
        let oldest = self.waiting.iter().position(|(_, notice)| matches!(notice, Notice::Audio(_)));
        if oldest.and_then(|oldest| self.waiting.remove(oldest)).is_some() {
            self.frames -= 1;
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                warn!(dropped = self.dropped, "audio dropped: callbacks take too long");
            }
        }
    }
}

/// Frames of all sessions together that wait for callbacks: 41 s of two calls, 1.3 MB.
const MAX_FRAMES: usize = 4096;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{
        super::{AudioFrame, session::Particulars},
        *,
    };

    fn session() -> VoiceSession {
        let text = String::new;
        VoiceSession::new(Particulars {
            id: "s".to_owned(),
            room_id: text(),
            participant_id: text(),
            call_id: text(),
            caller: text(),
            callee: text(),
            headers: Vec::new(),
        })
    }

    fn frame(n: u64) -> Notice {
        let data = Bytes::new();
        Notice::Audio(AudioFrame { data, sample_rate: 8000, channels: 1, sample_width: 2, timestamp_ms: n })
    }

    #[test]
    fn full_queue_drops_the_oldest_audio_and_nothing_else() {
        let session = session();
        let mut queue = Queue::default();
        queue.push(session.clone(), Notice::Call);
        (0..MAX_FRAMES as u64).for_each(|n| queue.push(session.clone(), frame(n)));
        queue.push(session.clone(), Notice::BargeIn);
        queue.push(session.clone(), frame(MAX_FRAMES as u64));
        queue.push(session, Notice::Disconnected);
        let told: Vec<Notice> = std::iter::from_fn(|| queue.pop()).map(|(_, notice)| notice).collect();

        let mut expected = vec![Notice::Call];
        expected.extend((1..MAX_FRAMES as u64).map(frame));
        expected.extend([Notice::BargeIn, frame(MAX_FRAMES as u64), Notice::Disconnected]);
        assert!(told == expected, "{} of {}", told.len(), expected.len());
        assert_eq!((queue.dropped, queue.frames), (1, 0));
    }

    #[tokio::test]
    async fn panic_in_a_callback_ends_neither_the_thread_nor_the_callback() {
        let callbacks = Arc::new(Callbacks::default());
        let (sender, calls) = std::sync::mpsc::channel();
        callbacks.set_call(Arc::new(move |_| {
            sender.send(()).expect("the test listens");
            panic!("on purpose");
        }));
        let dispatcher = Dispatcher::start(callbacks).expect("a thread");
        dispatcher.post(&session(), Notice::Call);
        dispatcher.post(&session(), Notice::Call);
        dispatcher.close();
        dispatcher.post(&session(), Notice::Call);
        dispatcher.finished().await;
        assert_eq!(calls.try_iter().count(), 2, "what came after the close is not told");
    }
}
