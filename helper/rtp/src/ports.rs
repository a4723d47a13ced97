//! Which RTP ports a process uses. Pure: the caller says whether a port can be bound.

/// A range of ports from which call legs get theirs: an even base for RTP, the port above it for RTCP.
///
/// Sequential with wrap: a port that was given back is used again as late as possible.
#[derive(Debug, Clone)]
pub struct PortAllocator {
    start: u16,
    stride: u16,
    used: Vec<bool>,
    next: usize,
}

impl PortAllocator {
    /// A range whose bases are `start`, `start + stride`, ... as long as base + 1 <= `end`.
    ///
    /// An odd `start` begins at the next even port. The default range 31000..=31010 with stride 4 has the bases
    /// 31000, 31004 and 31008.
    pub fn new(start: u16, end: u16, stride: u16) -> Result<Self, PortRangeError> {
        if stride < 2 || !stride.is_multiple_of(2) {
            return Err(PortRangeError::Stride { stride });
        }
        if start == 0 {
            return Err(PortRangeError::Zero);
        }
        let first = u32::from(start) + u32::from(start % 2);
        let Some(room) = u32::from(end).checked_sub(first + 1) else {
            return Err(PortRangeError::Empty { start, end });
        };
        let count = (room / u32::from(stride)) as usize + 1;
        // `first` + 1 <= `end`, so `first` is a u16 as well.
        Ok(Self { start: first as u16, stride, used: vec![false; count], next: 0 })
    }

    /// The same range, handed out from its `n`th base on, with wrap: programs that share a range begin at different places.
    #[must_use]
    pub fn starting_at(mut self, n: usize) -> Self {
        self.next = n % self.used.len();
        self
    }

    /// The next free base that `can_bind` agrees to; `None` when every base is used or cannot be bound.
    pub fn allocate(&mut self, mut can_bind: impl FnMut(u16) -> bool) -> Option<u16> {
        for step in 0..self.used.len() {
            let index = (self.next + step) % self.used.len();
            let base = self.base(index);
            if !self.used[index] && can_bind(base) {
                self.used[index] = true;
                self.next = (index + 1) % self.used.len();
                return Some(base);
            }
        }
        None
    }

    /// Gives a base back; `false` when it was not in use.
    pub fn release(&mut self, base: u16) -> bool {
        let Some(offset) = base.checked_sub(self.start) else { return false };
        if !offset.is_multiple_of(self.stride) {
            return false;
        }
        match self.used.get_mut(usize::from(offset / self.stride)) {
            Some(used) => std::mem::take(used),
            None => false,
        }
    }

    /// How many bases are in use.
    pub fn in_use(&self) -> usize {
        self.used.iter().filter(|used| **used).count()
    }

    /// How many bases there are: the number of call legs at once.
    pub fn capacity(&self) -> usize {
        self.used.len()
    }

    fn base(&self, index: usize) -> u16 {
        // `index` < `used.len()`, and `new` counted only bases that are ports.
        self.start + self.stride * index as u16
    }
}

/// Why a port range cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    /// The stride is odd or zero.
    #[error("stride {stride} of RTP ports is not a positive even number")]
    Stride {
        /// As given.
        stride: u16,
    },
    /// Port 0 cannot be advertised.
    #[error("RTP ports cannot start at 0")]
    Zero,
    /// No pair of an even port and the one above it fits in.
    #[error("no pair of RTP ports between {start} and {end}")]
    Empty {
        /// First port.
        start: u16,
        /// Last port.
        end: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_range_has_three_bases() {
        let mut ports = PortAllocator::new(31000, 31010, 4).unwrap();
        assert_eq!(ports.capacity(), 3);
        let got: Vec<_> = (0..4).map(|_| ports.allocate(|_| true)).collect();
        assert_eq!(got, [Some(31000), Some(31004), Some(31008), None]);
        assert_eq!(ports.in_use(), 3);
    }

    #[test]
    fn last_base_needs_its_rtcp_port_inside_the_range() {
        assert_eq!(PortAllocator::new(31000, 31008, 4).unwrap().capacity(), 2);
        assert_eq!(PortAllocator::new(31000, 31009, 4).unwrap().capacity(), 3);
        assert_eq!(PortAllocator::new(10000, 20000, 2).unwrap().capacity(), 5000);
        assert_eq!(PortAllocator::new(2, 65535, 2).unwrap().capacity(), 32767);
    }

    #[test]
    fn released_base_is_used_again_only_after_the_wrap() {
        let mut ports = PortAllocator::new(31000, 31010, 4).unwrap();
        assert_eq!(ports.allocate(|_| true), Some(31000));
        assert!(ports.release(31000));
        let got: Vec<_> = (0..3).map(|_| ports.allocate(|_| true)).collect();
        assert_eq!(got, [Some(31004), Some(31008), Some(31000)]);
    }

    #[test]
    fn range_is_handed_out_from_anywhere_and_wraps() {
        let mut ports = PortAllocator::new(31000, 31010, 4).unwrap().starting_at(5);
        let got: Vec<_> = (0..4).map(|_| ports.allocate(|_| true)).collect();
        assert_eq!(got, [Some(31008), Some(31000), Some(31004), None]);
    }

    #[test]
    fn base_that_cannot_be_bound_is_skipped_and_stays_free() {
        let mut ports = PortAllocator::new(31000, 31010, 4).unwrap();
        assert_eq!(ports.allocate(|base| base != 31000), Some(31004));
        assert_eq!(ports.in_use(), 1);
        assert_eq!(ports.allocate(|_| false), None);
        assert_eq!(ports.in_use(), 1);
    }

    #[test]
    fn foreign_ports_are_not_released() {
        let mut ports = PortAllocator::new(31000, 31010, 4).unwrap();
        ports.allocate(|_| true);
        for port in [0, 30996, 31001, 31002, 31004, 31012, 65535] {
            assert!(!ports.release(port), "{port}");
        }
        assert_eq!(ports.in_use(), 1);
        assert!(ports.release(31000));
        assert!(!ports.release(31000));
    }

    #[test]
    fn odd_start_begins_at_the_next_even_port() {
        let mut ports = PortAllocator::new(31001, 31005, 2).unwrap();
        assert_eq!(ports.capacity(), 2);
        assert_eq!(ports.allocate(|_| true), Some(31002));
    }

    #[test]
    fn impossible_ranges_are_refused() {
        use PortRangeError::*;
        assert_eq!(PortAllocator::new(31000, 31000, 4).unwrap_err(), Empty { start: 31000, end: 31000 });
        assert_eq!(PortAllocator::new(31010, 31000, 4).unwrap_err(), Empty { start: 31010, end: 31000 });
        assert_eq!(PortAllocator::new(65535, 65535, 2).unwrap_err(), Empty { start: 65535, end: 65535 });
        assert_eq!(PortAllocator::new(31000, 31010, 3).unwrap_err(), Stride { stride: 3 });
        assert_eq!(PortAllocator::new(31000, 31010, 0).unwrap_err(), Stride { stride: 0 });
        assert_eq!(PortAllocator::new(0, 31010, 2).unwrap_err(), Zero);
    }
}
