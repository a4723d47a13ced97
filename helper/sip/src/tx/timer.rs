//! Names and durations of the transaction timers (RFC 3261 table 4, RFC 6026 §7).

use std::time::Duration;

use crate::endpoint::Timers;

/// A transaction timer by its letter. C belongs to proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// INVITE request retransmission.
    A,
    /// INVITE client timeout.
    B,
    /// Wait for retransmissions of a final response other than 2xx.
    D,
    /// Non-INVITE request retransmission.
    E,
    /// Non-INVITE client timeout.
    F,
    /// INVITE response retransmission.
    G,
    /// Wait for the ACK of a final response other than 2xx.
    H,
    /// Wait for retransmissions of that ACK.
    I,
    /// Wait for retransmissions of a non-INVITE request.
    J,
    /// Wait for retransmissions of a non-INVITE response.
    K,
    /// Wait for retransmissions of an INVITE that got a 2xx (RFC 6026).
    L,
    /// Wait for further 2xx to an INVITE (RFC 6026).
    M,
    /// When 100 Trying is due.
    Trying,
}

/// The first interval of `timer` over an unreliable (UDP) or a reliable transport.
///
/// `None`: the timer is not used there. Zero: the wait is over at once.
pub(crate) fn interval(
    timer: Timer,
    timers: &Timers,
    trying_after: Duration,
    reliable: bool,
) -> Option<Duration> {
    match timer {
        Timer::A | Timer::E | Timer::G => (!reliable).then_some(timers.t1),
        Timer::B | Timer::F | Timer::H | Timer::L | Timer::M => Some(timers.timeout()),
        Timer::D => Some(if reliable { Duration::ZERO } else { timers.timeout() }),
        Timer::I | Timer::K => Some(if reliable { Duration::ZERO } else { timers.t4 }),
        Timer::J => Some(if reliable { Duration::ZERO } else { timers.timeout() }),
        Timer::Trying => Some(trying_after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRYING: Duration = Duration::from_millis(200);

    fn ms(timer: Timer, reliable: bool) -> Option<u128> {
        interval(timer, &Timers::default(), TRYING, reliable).map(|d| d.as_millis())
    }

    #[test]
    fn every_timer_has_the_interval_of_table_4() {
        let rows = [
            (Timer::A, Some(500), None),
            (Timer::B, Some(32_000), Some(32_000)),
            (Timer::D, Some(32_000), Some(0)),
            (Timer::E, Some(500), None),
            (Timer::F, Some(32_000), Some(32_000)),
            (Timer::G, Some(500), None),
            (Timer::H, Some(32_000), Some(32_000)),
            (Timer::I, Some(5_000), Some(0)),
            (Timer::J, Some(32_000), Some(0)),
            (Timer::K, Some(5_000), Some(0)),
            (Timer::L, Some(32_000), Some(32_000)),
            (Timer::M, Some(32_000), Some(32_000)),
            (Timer::Trying, Some(200), Some(200)),
        ];
        for (timer, udp, stream) in rows {
            assert_eq!((ms(timer, false), ms(timer, true)), (udp, stream), "timer {timer:?}");
        }
    }
}
