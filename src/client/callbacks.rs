//! `Callbacks` calls a program back with audio and keys, on a thread of its own: the program may take its time.
//!
//! In: frames and keys from the telephone's thread, which never waits here. Out: calls of the program's functions, in order.
//! What the program is too slow for is dropped, oldest first, and counted. The thread lives while there is a callback.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use bytes::Bytes;
use model::audio::SampleRate;
use tracing::error;

use super::audio::{AudioFormat, Converter};
use crate::engine::DtmfEvent;

type AudioCallback = Arc<dyn Fn(&[u8], AudioFormat) + Send + Sync>;
type DtmfCallback = Arc<dyn Fn(DtmfEvent) + Send + Sync>;

/// Something that a program is to hear.
#[derive(Debug)]
pub(super) enum Delivery {
    /// 20 ms of the far end.
    Audio {
        /// Which call, so that two are not mixed.
        call: u64,
        /// Samples a second.
        rate: SampleRate,
        /// Signed 16-bit little-endian mono.
        pcm: Bytes,
    },
    /// A key of the far end.
    Dtmf(DtmfEvent),
}

/// See the module's documentation. Cheap to clone; every clone is the same queue.
#[derive(Clone)]
pub(super) struct Callbacks {
    queue: Arc<Queue>,
}

struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Of PCM for the program; `None`: that of the codec.
    rate: Option<SampleRate>,
}

/// What is called.
#[derive(Default, Clone)]
struct Hooks {
    audio: Option<(AudioCallback, AudioFormat)>,
    dtmf: Option<DtmfCallback>,
}

#[derive(Default)]
struct Inner {
    hooks: Hooks,
    waiting: VecDeque<Delivery>,
    dropped: u64,
    running: bool,
    closed: bool,
}

impl Callbacks {
    /// Nobody is called back yet. `rate`: of PCM for the program; `None`: that of the codec.
    pub fn new(rate: Option<SampleRate>) -> Self {
        Self { queue: Arc::new(Queue { inner: Mutex::default(), changed: Condvar::new(), rate }) }
    }

    /// Calls this with audio from now on, and no other.
    pub fn set_audio(&self, callback: AudioCallback, format: AudioFormat) {
        let _former = {
            let mut inner = self.queue.lock();
            let former = inner.hooks.audio.replace((callback, format));
            self.run(&mut inner);
            // Dropped outside of the lock: what it holds may be a client.
            former
        };
    }

    /// Calls nobody with audio from now on. A call that is going on is not waited for.
    pub fn remove_audio(&self) {
        let _former = {
            let mut inner = self.queue.lock();
            inner.waiting.retain(|waiting| matches!(waiting, Delivery::Dtmf(_)));
            self.queue.changed.notify_all();
            inner.hooks.audio.take()
        };
    }

    /// Calls this with keys from now on, and no other.
    pub fn set_dtmf(&self, callback: DtmfCallback) {
        let _former = {
            let mut inner = self.queue.lock();
            let former = inner.hooks.dtmf.replace(callback);
            self.run(&mut inner);
            former
        };
    }

    /// Ends the thread and lets every callback go.
    pub fn close(&self) {
        let _former = {
            let mut inner = self.queue.lock();
            inner.closed = true;
            inner.waiting.clear();
            self.queue.changed.notify_all();
            std::mem::take(&mut inner.hooks)
        };
    }

    /// Queues something, unless nobody wants to hear it. Never waits.
    pub fn deliver(&self, delivery: Delivery) {
        let mut inner = self.queue.lock();
        let wanted = match &delivery {
            Delivery::Audio { .. } => inner.hooks.audio.is_some(),
            Delivery::Dtmf(_) => inner.hooks.dtmf.is_some(),
        };
        if !wanted {
            return;
        }
        if inner.waiting.len() >= MAX_WAITING {
            // Keys are few and matter more than 20 ms of audio.
            let oldest = inner.waiting.iter().position(|waiting| matches!(waiting, Delivery::Audio { .. }));
            inner.waiting.remove(oldest.unwrap_or(0));
            inner.dropped += 1;
        }
        inner.waiting.push_back(delivery);
        self.queue.changed.notify_one();
    }

    /// What the program was too slow for, so far.
    pub fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }

    fn run(&self, inner: &mut Inner) {
        if inner.running || inner.closed {
            return;
        }
        let queue = self.queue.clone();
        let thread = thread::Builder::new().name("sip-callbacks".into()).spawn(move || queue.work());
        inner.running = thread.is_ok();
        if let Err(error) = thread {
            error!(%error, "no thread for callbacks: they are not called");
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No callback runs inside the lock; whatever panicked left a queue that can be gone on with.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to call next; `None` once there is nobody left to call.
    fn next(&self) -> Option<(Delivery, Hooks)> {
        let mut inner = self.lock();
        loop {
            if inner.closed || (inner.hooks.audio.is_none() && inner.hooks.dtmf.is_none()) {
                inner.running = false;
                return None;
            }
            if let Some(delivery) = inner.waiting.pop_front() {
                return Some((delivery, inner.hooks.clone()));
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        let mut converter = Converter::default();
        while let Some((delivery, hooks)) = self.next() {
            let done = catch_unwind(AssertUnwindSafe(|| match (&delivery, &hooks) {
                (Delivery::Audio { call, rate, pcm }, Hooks { audio: Some((callback, format)), .. }) => {
                    let heard = |frame: &[u8]| callback(frame, *format);
                    converter.convert((*call, *rate, pcm), (*format, self.rate), heard);
                }
                (Delivery::Dtmf(event), Hooks { dtmf: Some(callback), .. }) => callback(*event),
                // Removed in the meantime.
                _ => {}
            }));
            if done.is_err() {
                error!("a callback panicked: it is not called any more");
                self.remove(&delivery, &hooks);
                converter = Converter::default();
            }
        }
    }

    /// Removes the callback that panicked, unless another has taken its place.
    fn remove(&self, delivery: &Delivery, then: &Hooks) {
        let mut inner = self.lock();
        let now = &mut inner.hooks;
        match delivery {
            Delivery::Audio { .. } => {
                let then = then.audio.as_ref().map(|(callback, _)| callback);
                now.audio.take_if(|(now, _)| then.is_some_and(|then| Arc::ptr_eq(now, then)));
            }
            Delivery::Dtmf(_) => {
                now.dtmf.take_if(|now| then.dtmf.as_ref().is_some_and(|then| Arc::ptr_eq(now, then)));
            }
        }
    }
}

/// Frames that wait for a slow program: 2 s.
const MAX_WAITING: usize = 100;

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    fn frame(n: u8) -> Delivery {
        Delivery::Audio { call: 1, rate: SampleRate::Hz8000, pcm: vec![n; 320].into() }
    }

    /// A callback that says on one channel what it was called with and waits on another before it returns.
    fn slow(callbacks: &Callbacks) -> (mpsc::Receiver<u8>, mpsc::Sender<()>) {
        let (said, heard) = mpsc::channel();
        let (let_go, wait) = mpsc::channel();
        let both = Mutex::new((said, wait));
        let callback = move |pcm: &[u8], _: AudioFormat| {
            let both = both.lock().expect("no panic");
            // The test may be over.
            let _ = both.0.send(pcm[0]);
            let _ = both.1.recv();
        };
        callbacks.set_audio(Arc::new(callback), AudioFormat::Pcm);
        (heard, let_go)
    }

    #[test]
    fn slow_callback_loses_the_oldest_audio_and_no_key() {
        let callbacks = Callbacks::new(Some(SampleRate::Hz8000));
        let (heard, let_go) = slow(&callbacks);
        let (key, keys) = mpsc::channel();
        let key = Mutex::new(key);
        callbacks
            .set_dtmf(Arc::new(move |event| key.lock().expect("no panic").send(event.digit).expect("heard")));
        callbacks.deliver(frame(0));
        assert_eq!(heard.recv_timeout(WAIT), Ok(0), "the first one is being played");
        callbacks.deliver(Delivery::Dtmf(DtmfEvent::new('5', Duration::from_millis(100))));
        for n in 1..=110 {
            callbacks.deliver(frame(n));
        }
        assert_eq!(callbacks.dropped(), 11);
        for n in 12..=110 {
            let_go.send(()).expect("it waits");
            assert_eq!(heard.recv_timeout(WAIT), Ok(n));
        }
        assert_eq!(keys.recv_timeout(WAIT), Ok('5'));
    }

    #[test]
    fn thread_ends_with_the_last_callback_and_begins_again() {
        let callbacks = Callbacks::new(None);
        let running = || callbacks.queue.lock().running;
        for _ in 0..3 {
            let (heard, let_go) = slow(&callbacks);
            callbacks.deliver(frame(7));
            assert_eq!(heard.recv_timeout(WAIT), Ok(7));
            callbacks.remove_audio();
            drop(let_go);
            // The callback is dropped by its thread once that has returned from it.
            assert_eq!(heard.recv_timeout(WAIT), Err(mpsc::RecvTimeoutError::Disconnected));
        }
        callbacks.close();
        callbacks.set_audio(Arc::new(|_, _| {}), AudioFormat::Pcm);
        assert!(!running() || callbacks.queue.lock().closed);
    }

    #[test]
    fn callback_that_panics_is_removed_and_another_may_follow() {
        let callbacks = Callbacks::new(None);
        callbacks.set_audio(Arc::new(|_, _| panic!("the program's own fault")), AudioFormat::Pcmu);
        callbacks.deliver(frame(1));
        let gone = std::time::Instant::now();
        while callbacks.queue.lock().hooks.audio.is_some() && gone.elapsed() < WAIT {
            thread::yield_now();
        }
        assert!(callbacks.queue.lock().hooks.audio.is_none());
        let (heard, _let_go) = slow(&callbacks);
        callbacks.deliver(frame(2));
        assert_eq!(heard.recv_timeout(WAIT), Ok(2));
    }

    #[test]
    fn callback_may_be_replaced_from_inside_itself() {
        let callbacks = Callbacks::new(None);
        let (said, heard) = mpsc::channel();
        let said = Mutex::new(said);
        let inside = callbacks.clone();
        let replace = move |_: &[u8], format| {
            said.lock().expect("no panic").send(format).expect("heard");
            inside.remove_audio();
        };
        callbacks.set_audio(Arc::new(replace), AudioFormat::Pcmu);
        callbacks.deliver(frame(1));
        assert_eq!(heard.recv_timeout(WAIT), Ok(AudioFormat::Pcmu));
    }
}
