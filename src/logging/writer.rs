//! `Writer` owns the queue to one destination of the log and the thread that writes it.
//!
//! In: lines, from any thread, never blocking. Out: the lines in order; after a gap, a line that says how many are
//! missing.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use jiff::Zoned;
use tracing::Level;

use super::line::format_line;

/// Lines that may wait for one destination; the next one is dropped and counted.
pub const QUEUE_LINES: usize = 8192;

/// How long dropping the guard waits for each destination, at most.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

enum Message {
    Line(Arc<str>),
    Stop,
}

/// The sending end of one destination.
pub(super) struct Writer {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread that writes to `sink`; `guard` will stop it.
    pub(super) fn start(
        sink: Box<dyn Write + Send>,
        capacity: usize,
        guard: &mut LogGuard,
    ) -> io::Result<Self> {
        let (queue, lines) = sync_channel(capacity);
        let (done, finished) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let missing = dropped.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            write_lines(sink, &lines, &missing);
            // Nobody listens any more when the guard gave up.
            let _ = done.try_send(());
        })?;
        guard.sinks.push(Sink { queue: queue.clone(), finished, dropped: dropped.clone() });
        Ok(Self { queue, dropped })
    }

    /// Queues `line`, or counts it as dropped.
    pub(super) fn send(&self, line: Arc<str>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes out what is queued when it is dropped, waiting two seconds at most for each destination.
#[derive(Default)]
#[must_use = "dropping the guard ends logging"]
pub struct LogGuard {
    sinks: Vec<Sink>,
}

struct Sink {
    queue: SyncSender<Message>,
    finished: Receiver<()>,
    dropped: Arc<AtomicU64>,
}

impl LogGuard {
    /// Lines that were dropped so far because a destination was too slow, over all destinations.
    pub fn dropped(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.dropped.load(Ordering::Relaxed)).sum()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        for sink in self.sinks.drain(..) {
            if stop(&sink.queue) {
                let _: Result<(), RecvTimeoutError> = sink.finished.recv_timeout(FLUSH_LIMIT);
            }
        }
    }
}

/// Asks the thread to stop behind what is queued. `false`: the queue stayed full, the destination is stuck.
fn stop(queue: &SyncSender<Message>) -> bool {
    const PAUSE: Duration = Duration::from_millis(5);
    for _ in 0..FLUSH_LIMIT.as_millis() / PAUSE.as_millis() {
        match queue.try_send(Message::Stop) {
            Ok(()) => return true,
            Err(TrySendError::Full(_)) => thread::sleep(PAUSE),
            Err(TrySendError::Disconnected(_)) => return false,
        }
    }
    false
}

/// Writes until told to stop. A sink that fails loses the line and is tried again with the next.
fn write_lines(mut sink: Box<dyn Write + Send>, lines: &Receiver<Message>, dropped: &AtomicU64) {
    let mut reported = 0;
    let mut batch = String::new();
    while let Ok(first) = lines.recv() {
        let mut next = Ok(first);
        let mut stopped = false;
        batch.clear();
        // What is queued goes out in one write, up to a size that keeps memory small.
        loop {
            match next {
                Ok(Message::Line(line)) => batch.push_str(&line),
                Ok(Message::Stop) | Err(TryRecvError::Disconnected) => stopped = true,
                Err(TryRecvError::Empty) => break,
            }
            if stopped || batch.len() > 64 << 10 {
                break;
            }
            next = lines.try_recv();
        }
        let missing = dropped.load(Ordering::Relaxed);
        if missing > reported {
            let message = format!("log lines dropped, count={}", missing - reported);
            batch.push_str(&format_line(&Zoned::now(), Level::WARN, &message, file!(), line!()));
            reported = missing;
        }
        // There is no better place to say that the log cannot be written.
        let _ = sink.write_all(batch.as_bytes()).and_then(|()| sink.flush());
        if stopped {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[test]
    fn guard_writes_out_what_is_queued() {
        let shared = Shared::default();
        let mut guard = LogGuard::default();
        let writer = Writer::start(Box::new(shared.clone()), 4096, &mut guard).unwrap();
        for i in 0..1000 {
            writer.send(format!("{i}\n").into());
        }
        drop(guard);
        let expected: String = (0..1000).map(|i| format!("{i}\n")).collect();
        assert_eq!(shared.text(), expected);
    }

    #[test]
    fn stuck_destination_drops_lines_counts_them_and_blocks_nobody() {
        let (open, gate) = mpsc::channel();
        let (entered, inside) = mpsc::channel();
        let shared = Shared::default();
        let mut guard = LogGuard::default();
        let sink = Box::new(Gate { gate, entered, shared: shared.clone() });
        let writer = Writer::start(sink, 2, &mut guard).unwrap();

        writer.send("0\n".into());
        inside.recv().unwrap();
        for i in 1..=5 {
            writer.send(format!("{i}\n").into());
        }
        assert_eq!(guard.dropped(), 3);

        drop(open);
        drop(guard);
        let text = shared.text();
        assert!(text.starts_with("0\n1\n2\n[WARNING] - "), "{text}");
        assert!(text.contains(" - log lines dropped, count=3 - writer.rs:"), "{text}");
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Every write waits until the sender of `gate` is dropped.
    struct Gate {
        gate: mpsc::Receiver<()>,
        entered: mpsc::Sender<()>,
        shared: Shared,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.send(());
            let _ = self.gate.recv();
            self.shared.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
