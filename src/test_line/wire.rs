//! `SipWire` owns one UDP socket and the SIP core behind it.
//!
//! In: datagrams, the core's timers. Out: datagrams, the core's events. Its actor reads events until there are none after
//! everything that it does, then sets the alarm.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
    rc::Rc,
    time::Instant,
};

use bytes::Bytes;
use sip::{Endpoint, Event, Output};
use tokio::net::UdpSocket;
use tracing::{debug, warn};

use crate::relay::io::{Alarm, AlarmStream, ReadableStream};

/// See the module's documentation.
pub struct SipWire {
    socket: Rc<UdpSocket>,
    alarm: Alarm,
    buffer: Box<[u8]>,
    /// The core. Read [`next_event`](Self::next_event) until it is dry after every use.
    pub endpoint: Endpoint,
}

/// A non-blocking socket on any port of `address`, and which one it got.
pub fn bind(address: IpAddr) -> io::Result<(StdUdpSocket, SocketAddr)> {
    let socket = StdUdpSocket::bind((address, 0))?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

impl SipWire {
    /// Call it inside the arbiter on which it will live.
    pub fn new(socket: StdUdpSocket, endpoint: Endpoint) -> io::Result<Self> {
        let socket = Rc::new(UdpSocket::from_std(socket)?);
        Ok(Self { socket, alarm: Alarm::new(), buffer: vec![0; MAX_DATAGRAM].into_boxed_slice(), endpoint })
    }

    /// What drives it: add both to the actor's context.
    pub fn streams(&self) -> (ReadableStream, AlarmStream) {
        (ReadableStream::new(self.socket.clone(), 0), self.alarm.stream())
    }

    /// Gives the next datagram to the core; false when there is none now.
    pub fn receive(&mut self) -> bool {
        match self.socket.try_recv_from(&mut self.buffer) {
            Ok((length, source)) => {
                let datagram = Bytes::copy_from_slice(&self.buffer[..length]);
                self.endpoint.handle_datagram(Instant::now(), source, datagram);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // An ICMP error of some earlier datagram. The socket goes on.
            Err(error) => debug!(%error, "SIP socket"),
        }
        true
    }

    /// Sends what the core wants sent up to its next event, and gives that.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.endpoint.poll_output()? {
                Output::Event(event) => return Some(event),
                Output::Transmit { destination, payload } => {
                    // A full socket buffer is a lost datagram, which SIP retransmits.
                    if let Err(error) = self.socket.try_send_to(&payload, destination) {
                        warn!(peer = %destination, %error, "SIP datagram not sent");
                    }
                }
            }
        }
    }

    /// Sets the alarm to the core's next timeout, or to `other` where that is earlier.
    pub fn set_alarm(&self, other: Option<Instant>) {
        self.alarm.set(self.endpoint.next_timeout().into_iter().chain(other).min());
    }
}

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
