//! What is done with a frame that is to be played back at once.
//!
//! In: how much is queued. Out: [`Echo`]. Pure. A little silence before the first frame hides the jitter of the packets
//! behind it; a limit keeps a stall from becoming a lasting delay.

use std::time::Duration;

/// What to do with one heard frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Queue it.
    Play,
    /// Queue some silence, then it.
    Cushion,
    /// Drop it.
    Drop,
}

impl Echo {
    /// The decision while `queued` audio waits to be played.
    pub fn of(queued: Duration) -> Self {
        if queued.is_zero() {
            Self::Cushion
        } else if queued < LONGEST {
            Self::Play
        } else {
            Self::Drop
        }
    }
}

const LONGEST: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_that_ran_dry_gets_a_cushion() {
        assert_eq!(Echo::of(Duration::ZERO), Echo::Cushion);
        assert_eq!(Echo::of(Duration::from_millis(20)), Echo::Play);
    }

    #[test]
    fn stall_leaves_no_lasting_delay() {
        assert_eq!(Echo::of(Duration::from_millis(180)), Echo::Play);
        assert_eq!(Echo::of(Duration::from_millis(200)), Echo::Drop);
    }
}
