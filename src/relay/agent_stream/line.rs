//! `Line` is the writing side of a connection to a bot: a bounded queue, and the task that empties it.
//!
//! In: text messages. Out: WebSocket messages; what is there at once leaves in one write. A bot that does not read costs
//! audio, and nothing else, until the queue has no room for anything.

use futures_util::stream::SplitSink;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::marks::MAX_MARKS;
use crate::ws_writer::{self, Socket};

/// See the module's documentation. What is queued goes with it when it is dropped.
pub struct Line {
    outbox: mpsc::Sender<Message>,
    writer: JoinHandle<()>,
}

/// The queue is full: the bot has not read for a long time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck;

impl Line {
    /// Writes to this socket, on the thread of the caller.
    pub fn new(sink: SplitSink<Socket, Message>) -> Self {
        let (outbox, queue) = mpsc::channel(AUDIO + CONTROL);
        Self { outbox, writer: actix::spawn(ws_writer::write(sink, queue)) }
    }

    /// Whether there is room for audio.
    pub fn takes_audio(&self) -> bool {
        self.outbox.capacity() > CONTROL
    }

    /// Queues one message.
    pub fn say(&self, text: String) -> Result<(), Stuck> {
        self.queue(Message::Text(text.into()))
    }

    /// Asks for a sign of life.
    pub fn ping(&self) -> Result<(), Stuck> {
        self.queue(Message::Ping(Default::default()))
    }

    /// Closes the connection behind what is queued (1000).
    pub fn close(&self) -> Result<(), Stuck> {
        self.queue(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Default::default() })))
    }

    fn queue(&self, message: Message) -> Result<(), Stuck> {
        match self.outbox.try_send(message) {
            // A writer that has ended: the reader says so too.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Stuck),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

/// Frames that may wait: 10 s.
const AUDIO: usize = 500;
/// Room for what is not audio: every mark that may wait, as a clear returns them all, and more.
const CONTROL: usize = MAX_MARKS + 1000;
