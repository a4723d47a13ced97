//! The two streams that every socket actor is driven by: a socket that became readable, and an alarm.
//!
//! In: a tokio UDP socket; a deadline. Out: `Readable` and `Alarm` items for a `StreamHandler`. Neither allocates
//! per item, so an actor can handle any number of packets and ticks in the steady state without touching the heap.

use std::{
    cell::RefCell,
    io::{self, Read},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use actix::Message;
use socket2::SockRef;
use tokio::{
    net::UdpSocket,
    time::{Sleep, sleep_until},
};

/// Which of an actor's sockets has something to read. The handler reads until `WouldBlock`.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
#[rtype(result = "()")]
pub struct Readable(pub u8);

/// Yields [`Readable`] each time the socket may have datagrams. Never ends.
pub struct ReadableStream {
    socket: Rc<UdpSocket>,
    tag: u8,
}

impl ReadableStream {
    /// `tag` comes back in each [`Readable`], so one actor can tell its sockets apart.
    pub fn new(socket: Rc<UdpSocket>, tag: u8) -> Self {
        Self { socket, tag }
    }
}

impl futures_core::Stream for ReadableStream {
    type Item = Readable;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Readable>> {
        // An error here is reported by the read that follows, where it can be counted.
        let _ = ready!(self.socket.poll_recv_ready(cx));
        Poll::Ready(Some(Readable(self.tag)))
    }
}

/// Reads one datagram that has arrived, whether or not the runtime has noticed; `None` when there is none. Costs a system
/// call more than the socket's own reading, which goes by what the runtime has noticed.
pub fn take_arrived(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    let socket = SockRef::from(socket);
    for _ in 0..MAX_ERRORS {
        match socket.peek_sender() {
            Ok(source) => return (&*socket).read(buffer).ok().zip(source.as_socket()),
            // Every other error is one of an earlier datagram, and is gone now that it has been read.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => {}
        }
    }
    None
}

/// The alarm of a core went off: its `handle_timeout` is due.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
#[rtype(result = "()")]
pub struct AlarmRang;

/// A settable deadline. One per actor; setting it costs no allocation.
#[derive(Clone)]
pub struct Alarm(Rc<RefCell<AlarmState>>);

struct AlarmState {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set.
    pub fn new() -> Self {
        let sleep = Box::pin(sleep_until(far_future()));
        Self(Rc::new(RefCell::new(AlarmState { sleep, armed: None })))
    }

    /// Sets the alarm to the core's next timeout, or silences it.
    pub fn set(&self, deadline: Option<Instant>) {
        let mut state = self.0.borrow_mut();
        if state.armed == deadline {
            return;
        }
        state.armed = deadline;
        state.sleep.as_mut().reset(deadline.map_or_else(far_future, Into::into));
    }

    /// The stream that yields [`AlarmRang`]; add it to the actor's context once.
    pub fn stream(&self) -> AlarmStream {
        AlarmStream(self.0.clone())
    }
}

/// Yields [`AlarmRang`] when the alarm's deadline has passed. Never ends.
pub struct AlarmStream(Rc<RefCell<AlarmState>>);

impl futures_core::Stream for AlarmStream {
    type Item = AlarmRang;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AlarmRang>> {
        let mut state = self.0.borrow_mut();
        ready!(state.sleep.as_mut().poll(cx));
        state.armed = None;
        state.sleep.as_mut().reset(far_future());
        Poll::Ready(Some(AlarmRang))
    }
}

fn far_future() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(86_400 * 365)
}

/// Errors of earlier datagrams that are read away: the system keeps one, each read clears it.
const MAX_ERRORS: usize = 8;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_core::Stream;

    use super::*;

    #[actix::test]
    async fn arrived_datagram_is_read_before_the_runtime_has_noticed_it() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        let socket = UdpSocket::from_std(socket).expect("inside a runtime");
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        peer.send_to(b"late", socket.local_addr().expect("bound")).expect("sent");

        let mut buffer = [0; 8];
        let noticed = socket.try_recv_from(&mut buffer);
        assert_eq!(noticed.map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        assert_eq!(take_arrived(&socket, &mut buffer), Some((4, peer.local_addr().expect("bound"))));
        assert_eq!(&buffer[..4], b"late");
        assert_eq!(take_arrived(&socket, &mut buffer), None);
    }

    #[actix::test]
    async fn alarm_rings_once_for_each_deadline_set() {
        tokio::time::pause();
        let alarm = Alarm::new();
        let mut stream = alarm.stream();
        let start = tokio::time::Instant::now();

        alarm.set(Some((start + Duration::from_millis(20)).into_std()));
        poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await;
        assert!(on_time(start.elapsed(), 20), "{:?}", start.elapsed());

        let again = poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_next(cx).is_ready())).await;
        assert!(!again, "an alarm that rang is silent until it is set again");
    }

    /// The runtime's timer counts in milliseconds and never fires early.
    fn on_time(elapsed: Duration, ms: u64) -> bool {
        (ms..=ms + 1).contains(&(elapsed.as_millis() as u64))
    }

    #[actix::test]
    async fn an_earlier_deadline_replaces_a_later_one() {
        tokio::time::pause();
        let alarm = Alarm::new();
        let mut stream = alarm.stream();
        let start = tokio::time::Instant::now();

        alarm.set(Some((start + Duration::from_secs(60)).into_std()));
        alarm.set(Some((start + Duration::from_millis(5)).into_std()));
        poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await;
        assert!(on_time(start.elapsed(), 5), "{:?}", start.elapsed());
    }
}
