//! Non-INVITE server transaction (RFC 3261 §17.2.2, figure 8).
//!
//! ```text
//!         request received
//!               │
//!           [Trying] ──1xx──▶ [Proceeding] ◀─1xx─╮
//!               │200-699          │200-699       │
//!               ▼                 ▼
//!          [Completed] ──J, transport error──▶ [Terminated]
//! ```

use super::{Action, Step, Timer, to};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The request came again.
    Request,
    /// The transaction user sends 100 to 199.
    Provisional,
    /// The transaction user sends 200 to 699.
    Final,
    Fired(Timer),
    TransportError,
}

/// The next state and what to do; `None` when the input means nothing in this state.
pub(crate) fn step(state: State, input: Input) -> Option<Step<State>> {
    use Action::{Failed, Resend, Send, Start};
    use Input::{Final, Fired, Provisional, Request, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    use Timer::J;

    match (state, input) {
        (Trying, Request) => to(Trying, &[]),
        (Trying | Proceeding, Provisional) => to(Proceeding, &[Send]),
        (Trying | Proceeding, Final) => to(Completed, &[Send, Start(J)]),
        (Proceeding | Completed, Request) => to(state, &[Resend]),
        (Proceeding | Completed, TransportError) => to(Terminated, &[Failed]),
        (Completed, Final) => to(Completed, &[]),
        (Completed, Fired(J)) => to(Terminated, &[]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Failed, Resend, Send, Start};
    use Input::{Final, Fired, Provisional, Request, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    use Timer::J;

    #[test]
    fn every_row_of_figure_8_and_no_other() {
        let rows: &[(State, Input, State, &[Action])] = &[
            (Trying, Request, Trying, &[]),
            (Trying, Provisional, Proceeding, &[Send]),
            (Trying, Final, Completed, &[Send, Start(J)]),
            (Proceeding, Request, Proceeding, &[Resend]),
            (Proceeding, Provisional, Proceeding, &[Send]),
            (Proceeding, Final, Completed, &[Send, Start(J)]),
            (Proceeding, TransportError, Terminated, &[Failed]),
            (Completed, Request, Completed, &[Resend]),
            (Completed, Final, Completed, &[]),
            (Completed, Fired(J), Terminated, &[]),
            (Completed, TransportError, Terminated, &[Failed]),
        ];
        for state in [Trying, Proceeding, Completed, Terminated] {
            for input in [Request, Provisional, Final, Fired(J), TransportError] {
                let expected = rows
                    .iter()
                    .find(|(from, on, ..)| (*from, *on) == (state, input))
                    .map(|&(.., next, actions)| Step { next, actions });
                assert_eq!(step(state, input), expected, "{state:?} on {input:?}");
            }
        }
    }
}
