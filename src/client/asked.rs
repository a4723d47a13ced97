//! What a program waits for in a call: that it is on hold or back, that it was transferred.
//!
//! In: requests, what is agreed, what the far end says. Out: one outcome each. A call that is over drops what is left.

use tokio::sync::oneshot;

use super::CallFailure;

pub(super) type Outcome = Result<(), CallFailure>;
/// Resolves to the outcome; to an error when the call ends before.
pub(super) type Waiting = oneshot::Receiver<Outcome>;

/// The requests of one call that have no outcome yet.
#[derive(Default)]
pub(super) struct Asked {
    hold: Option<(bool, oneshot::Sender<Outcome>)>,
    transfer: Option<oneshot::Sender<Outcome>>,
}

impl Asked {
    /// Waits for the far end to be on hold (`on`) or back. An earlier wish gives way.
    pub fn hold(&mut self, on: bool) -> Waiting {
        let (sender, outcome) = oneshot::channel();
        if let Some((_, former)) = self.hold.replace((on, sender)) {
            // Who asked may have stopped waiting; so below.
            let _ = former.send(Err(super::failure(491)));
        }
        outcome
    }

    /// Waits for a transfer; `None` while another one is waited for.
    pub fn transfer(&mut self) -> Option<Waiting> {
        if self.transfer.as_ref().is_some_and(|asked| !asked.is_closed()) {
            return None;
        }
        let (sender, outcome) = oneshot::channel();
        self.transfer = Some(sender);
        Some(outcome)
    }

    /// The far end is on hold now, or is not.
    pub fn agreed(&mut self, on_hold: bool) {
        if let Some((_, asked)) = self.hold.take_if(|(on, _)| *on == on_hold) {
            let _ = asked.send(Ok(()));
        }
    }

    /// The far end tells how the transfer goes; 2xx and up are the end of it.
    pub fn transferring(&mut self, status: u16, reason: &str) {
        if let Some(asked) = self.transfer.take_if(|_| status >= 200) {
            let failure = || CallFailure { status, reason: reason.to_owned() };
            let _ = asked.send(if status < 300 { Ok(()) } else { Err(failure()) });
        }
    }

    /// What this word of the text protocol asked for is refused.
    pub fn refused(&mut self, verb: &str, status: u16, reason: &str) {
        let asked = match verb {
            "HOLD" | "RESUME" => self.hold.take_if(|(on, _)| *on == (verb == "HOLD")).map(|(_, asked)| asked),
            "TRANSFER" => self.transfer.take(),
            _ => None,
        };
        if let Some(asked) = asked {
            let _ = asked.send(Err(CallFailure { status, reason: reason.to_owned() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(outcome: &mut Waiting) -> Option<Outcome> {
        outcome.try_recv().ok()
    }

    #[test]
    fn hold_is_over_when_it_is_agreed_or_refused_and_not_before() {
        let mut asked = Asked::default();
        let mut hold = asked.hold(true);
        asked.agreed(false);
        asked.refused("RESUME", 488, "No");
        assert_eq!(now(&mut hold), None);
        asked.agreed(true);
        assert_eq!(now(&mut hold), Some(Ok(())));
        let mut back = asked.hold(false);
        asked.refused("RESUME", 488, "No");
        assert_eq!(now(&mut back), Some(Err(CallFailure { status: 488, reason: "No".into() })));
    }

    #[test]
    fn transfer_is_over_with_a_final_status() {
        for (status, outcome) in
            [(200, Ok(())), (486, Err(CallFailure { status: 486, reason: "Busy Here".into() }))]
        {
            let mut asked = Asked::default();
            let mut transfer = asked.transfer().expect("the first one");
            assert!(asked.transfer().is_none(), "one at a time");
            asked.transferring(180, "Ringing");
            assert_eq!(now(&mut transfer), None);
            asked.transferring(status, "Busy Here");
            assert_eq!(now(&mut transfer), Some(outcome));
        }
    }

    #[test]
    fn second_wish_takes_the_place_of_the_first() {
        let mut asked = Asked::default();
        let mut first = asked.hold(true);
        let mut second = asked.hold(false);
        assert!(matches!(now(&mut first), Some(Err(CallFailure { status: 491, .. }))));
        asked.agreed(false);
        assert_eq!(now(&mut second), Some(Ok(())));
    }
}
