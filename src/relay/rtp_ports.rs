//! `RtpPorts` owns which RTP port pairs are free, and hands them out bound.
//!
//! In: the configured range. Out: a [`PortLease`] that holds both sockets and gives the ports back when it is dropped,
//! on every path. Knows nothing of calls or of RTP.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::metrics::gauge::Gauge;
use rtp::ports::{PortAllocator, PortRangeError};
use socket2::{Domain, Protocol, Socket, Type};

use crate::metrics::Present;

/// The relay's RTP ports. Cheap to clone; every clone is the same pool.
#[derive(Clone, Debug)]
pub struct RtpPorts {
    address: IpAddr,
    receive_buffer: usize,
    pool: Arc<Mutex<PortAllocator>>,
    in_use: Gauge,
}

/// Every pair of the range is in use or taken by another program.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("all {capacity} RTP port pairs are in use: widen RTP_PORT_START..RTP_PORT_END or take fewer calls")]
pub struct NoFreePort {
    /// How many calls the range has room for.
    pub capacity: usize,
}

impl RtpPorts {
    /// A pool of pairs on `address`: base `start`, `start + stride`, ... with RTCP on base + 1, as long as base + 1 ≤ `end`.
    pub fn new(address: IpAddr, start: u16, end: u16, stride: u16) -> Result<Self, PortRangeError> {
        let pool = Arc::new(Mutex::new(PortAllocator::new(start, end, stride)?));
        Ok(Self { address, receive_buffer: 0, pool, in_use: Gauge::default() })
    }

    /// The same, handed out from a random pair on: many telephones on one machine seldom ask for the same one.
    pub fn starting_anywhere(self) -> Self {
        {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            // Half of the bits are more than enough for 32767 pairs, and fit every usize.
            *pool = pool.clone().starting_at((super::random_u64() >> 40) as usize);
        }
        self
    }

    /// The same, with room for this many packets in each socket's receive buffer, as far as the kernel allows.
    pub fn with_receive_queue(mut self, packets: usize) -> Self {
        self.receive_buffer = packets.saturating_mul(BUFFER_PER_PACKET);
        self
    }

    /// The same, with the pairs in use counted by this gauge.
    pub fn counted_by(mut self, in_use: &Gauge) -> Self {
        self.in_use = in_use.clone();
        self
    }

    /// Binds the next free pair.
    pub fn lease(&self) -> Result<PortLease, NoFreePort> {
        let mut bound = None;
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let base = pool.allocate(|base| {
            bound = self.bind_pair(base).ok();
            bound.is_some()
        });
        match (base, bound) {
            (Some(base), Some((rtp, rtcp))) => {
                let claim = Claim { base, pool: self.pool.clone(), _present: Present::new(&self.in_use) };
                Ok(PortLease { rtp, rtcp, claim })
            }
            _ => Err(NoFreePort { capacity: pool.capacity() }),
        }
    }

    fn bind_pair(&self, base: u16) -> io::Result<(UdpSocket, UdpSocket)> {
        Ok((self.bind(base)?, self.bind(base + 1)?))
    }

    fn bind(&self, port: u16) -> io::Result<UdpSocket> {
        let address = SocketAddr::new(self.address, port);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if self.receive_buffer > 0 {
            // The kernel gives what its limit allows.
            let _ = socket.set_recv_buffer_size(self.receive_buffer);
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    }

    /// How many calls the range has room for.
    pub fn capacity(&self) -> usize {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).capacity()
    }

    /// Pairs handed out and not yet given back.
    pub fn in_use(&self) -> usize {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).in_use()
    }
}

/// One bound pair of ports. Dropping it closes the sockets first and frees the ports after.
#[derive(Debug)]
pub struct PortLease {
    /// The RTP socket, non-blocking, on the base port: the one that SDP advertises.
    pub rtp: UdpSocket,
    /// The RTCP socket, non-blocking, on the base port + 1.
    pub rtcp: UdpSocket,
    /// What keeps the pair reserved. Fields drop in order, so the sockets are closed before it.
    pub claim: Claim,
}

impl PortLease {
    /// The RTP port.
    pub fn base(&self) -> u16 {
        self.claim.base
    }
}

/// The reservation of one pair; returns it to the pool on drop.
#[derive(Debug)]
pub struct Claim {
    base: u16,
    pool: Arc<Mutex<PortAllocator>>,
    _present: Present,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).release(self.base);
    }
}

/// What the kernel accounts for one 20 ms packet, book-keeping included; it doubles what it is asked for.
const BUFFER_PER_PACKET: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn dropped_lease_leaves_ports_that_can_be_bound_and_leased_again() {
        let ports = RtpPorts::new(LOOPBACK, 41_000, 41_003, 4).expect("a valid range");
        let lease = ports.lease().expect("one pair is free");
        let base = lease.base();
        assert_eq!(ports.lease().expect_err("the range holds one pair"), NoFreePort { capacity: 1 });

        drop(lease);
        assert_eq!(ports.in_use(), 0);
        UdpSocket::bind((LOOPBACK, base)).expect("the RTP port is free");
        assert_eq!(ports.lease().expect("the pair is free again").base(), base);
    }

    #[test]
    fn telephones_begin_at_different_places_of_one_range() {
        let first = || {
            let ports =
                RtpPorts::new(LOOPBACK, 41_100, 41_999, 2).expect("a valid range").starting_anywhere();
            ports.lease().expect("most of it is free").base()
        };
        let bases: std::collections::HashSet<u16> = (0..16).map(|_| first()).collect();
        // Each base is given back before the next is asked for: from a fixed start there would be one.
        assert!(bases.len() > 4, "{bases:?}");
    }

    #[test]
    fn port_taken_by_another_program_is_skipped() {
        let ports = RtpPorts::new(LOOPBACK, 41_010, 41_017, 4).expect("a valid range");
        let _stranger = UdpSocket::bind((LOOPBACK, 41_011)).expect("the test's own port");
        assert_eq!(ports.lease().expect("the second pair is free").base(), 41_014);
    }
}
