//! Our hold of the far end, as a pure machine: what clients want, what was agreed, and the re-INVITE between the two.
//!
//! ```text
//!   wish ──▶ offered ──answered──▶ agreed          another wish meanwhile waits for the outcome
//!               ├──refused──▶ as before, whoever asked is told
//!               └──busy──▶ again a little later, but not for ever
//! ```
//!
//! In: wishes, what became of our offer. Out: [`Step`]s. Knows nothing of SDP.

use std::time::Duration;

use super::super::message::ClientId;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Hold {
    /// We hold the far end: so it was agreed last.
    agreed: bool,
    offered: Option<Wish>,
    /// What is to be offered next.
    next: Option<Wish>,
    attempts: u32,
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// On hold, as opposed to taken back.
    pub on: bool,
    /// Who wants it.
    pub client: ClientId,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Send a re-INVITE that says so.
    Offer {
        /// On hold, as opposed to taken back.
        on: bool,
    },
    /// Call [`Hold::again`] after this time.
    Wait(Duration),
}

impl Hold {
    /// A client wants the far end on hold, or back.
    pub fn wish(&mut self, wish: Wish) -> Step {
        match &self.offered {
            Some(offered) => {
                self.next = Some(wish).filter(|wish| wish.on != offered.on);
                Step::Rest
            }
            None => self.offer(Some(wish)),
        }
    }

    /// The session is as we offered it.
    pub fn accepted(&mut self) -> Step {
        if let Some(Wish { on, .. }) = self.offered.take() {
            self.agreed = on;
        }
        let next = self.next.take();
        self.offer(next)
    }

    /// The session is as it was. Returns whose wish was refused as well.
    pub fn refused(&mut self) -> (Option<Wish>, Step) {
        let refused = self.offered.take();
        let next = self.next.take();
        (refused, self.offer(next))
    }

    /// The offer could not be sent. `None`: as often as it makes sense, so it counts as refused.
    pub fn busy(&mut self) -> Option<Step> {
        self.attempts += 1;
        (self.attempts < MAX_ATTEMPTS).then_some(Step::Wait(PAUSE))
    }

    /// The offer is to be made again. What clients want by now counts.
    pub fn again(&mut self) -> Step {
        if let Some(next) = self.next.take() {
            self.offered = None;
            return self.offer(Some(next));
        }
        self.offered.map_or(Step::Rest, |Wish { on, .. }| Step::Offer { on })
    }

    /// Whether an offer is open, and what it says.
    pub fn offered(&self) -> Option<bool> {
        self.offered.map(|wish| wish.on)
    }

    fn offer(&mut self, wish: Option<Wish>) -> Step {
        self.attempts = 0;
        self.offered = wish.filter(|wish| wish.on != self.agreed);
        self.offered.map_or(Step::Rest, |Wish { on, .. }| Step::Offer { on })
    }
}

/// How long to wait for another exchange to end.
const PAUSE: Duration = Duration::from_millis(250);
/// Ten seconds of it: longer than the far end takes to acknowledge an answer.
const MAX_ATTEMPTS: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Wish = Wish { on: true, client: ClientId(1) };
    const RESUME: Wish = Wish { on: false, client: ClientId(2) };

    #[test]
    fn wish_that_is_fulfilled_already_does_nothing() {
        let mut hold = Hold::default();
        assert_eq!(hold.wish(RESUME), Step::Rest);
        assert_eq!(hold.wish(HOLD), Step::Offer { on: true });
        assert_eq!(hold.wish(HOLD), Step::Rest, "it is on its way");
        assert_eq!(hold.accepted(), Step::Rest);
        assert_eq!(hold.wish(HOLD), Step::Rest);
        assert_eq!(hold.wish(RESUME), Step::Offer { on: false });
    }

    #[test]
    fn last_wish_during_an_offer_is_offered_next() {
        let mut hold = Hold::default();
        hold.wish(HOLD);
        hold.wish(RESUME);
        assert_eq!(hold.accepted(), Step::Offer { on: false });
        hold.wish(HOLD);
        hold.wish(RESUME);
        assert_eq!(hold.accepted(), Step::Rest, "the change of mind was taken back");
    }

    #[test]
    fn refusal_is_told_to_who_asked_and_leaves_all_as_it_was() {
        let mut hold = Hold::default();
        hold.wish(HOLD);
        assert_eq!(hold.refused(), (Some(HOLD), Step::Rest));
        assert_eq!(hold.wish(RESUME), Step::Rest, "it is not on hold");
        assert_eq!(hold.wish(HOLD), Step::Offer { on: true }, "it may be asked again");
    }

    #[test]
    fn busy_line_is_tried_again_with_the_last_wish_but_not_for_ever() {
        let mut hold = Hold::default();
        hold.wish(HOLD);
        assert_eq!(hold.busy(), Some(Step::Wait(PAUSE)));
        assert_eq!(hold.again(), Step::Offer { on: true });
        let waits = (0..100).take_while(|_| hold.busy().is_some()).count();
        assert_eq!(waits, 38);
        hold.wish(RESUME);
        assert_eq!(hold.again(), Step::Rest, "nobody wants it any more");
        assert_eq!(hold.offered(), None);
    }
}
