//! Writes to a WebSocket of which this process is the client.

use futures_util::{SinkExt, stream::SplitSink};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{self, Message},
};

/// A connection.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Writes a message and what is queued behind it at once, in one flush.
///
/// # Errors
/// Those of the connection.
pub async fn write_batch(
    sink: &mut SplitSink<Socket, Message>,
    first: Message,
    queue: &mut mpsc::Receiver<Message>,
) -> Result<(), tungstenite::Error> {
    let mut next = Some(first);
    while let Some(message) = next {
        sink.feed(message).await?;
        next = queue.try_recv().ok();
    }
    sink.flush().await
}

/// Writes what is queued until the queue's other end is gone, or the connection. The latter shows to the reader.
pub async fn write(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Message>) {
    while let Some(first) = queue.recv().await {
        if write_batch(&mut sink, first, &mut queue).await.is_err() {
            return;
        }
    }
}
