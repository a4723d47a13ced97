//! Non-INVITE client transaction (RFC 3261 §17.1.2, figure 6).
//!
//! ```text
//!         request sent
//!              │
//!          [Trying] ──1xx──▶ [Proceeding] ◀─1xx─╮
//!  F, error │  └──200-699─┐      │200-699       │
//!           ▼             ▼      ▼
//!     [Terminated] ◀─K─ [Completed]
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
    Provisional,
    /// 200 to 699.
    Final,
    Fired(Timer),
    TransportError,
}

/// What happens on the way into [`State::Trying`].
pub(crate) const START: &[Action] = &[Action::Send, Action::Start(Timer::E), Action::Start(Timer::F)];

/// The next state and what to do; `None` when the input means nothing in this state.
pub(crate) fn step(state: State, input: Input) -> Option<Step<State>> {
    use Action::{Deliver, Double, Failed, Resend, RestartAtT2, Start, Stop, TimedOut};
    use Input::{Final, Fired, Provisional, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    use Timer::{E, F, K};

    match (state, input) {
        (Trying, Fired(E)) => to(Trying, &[Resend, Double(E)]),
        (Proceeding, Fired(E)) => to(Proceeding, &[Resend, RestartAtT2(E)]),
        (Trying | Proceeding, Fired(F)) => to(Terminated, &[TimedOut]),
        (Trying | Proceeding, TransportError) => to(Terminated, &[Failed]),
        (Trying | Proceeding, Provisional) => to(Proceeding, &[Deliver]),
        (Trying | Proceeding, Final) => to(Completed, &[Stop(E), Stop(F), Start(K), Deliver]),
        (Completed, Fired(K)) => to(Terminated, &[]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Deliver, Double, Failed, Resend, RestartAtT2, Start, Stop, TimedOut};
    use Input::{Final, Fired, Provisional, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    use Timer::{E, F, K};

    #[test]
    fn every_row_of_figure_6_and_no_other() {
        let rows: &[(State, Input, State, &[Action])] = &[
            (Trying, Fired(E), Trying, &[Resend, Double(E)]),
            (Trying, Fired(F), Terminated, &[TimedOut]),
            (Trying, TransportError, Terminated, &[Failed]),
            (Trying, Provisional, Proceeding, &[Deliver]),
            (Trying, Final, Completed, &[Stop(E), Stop(F), Start(K), Deliver]),
            (Proceeding, Fired(E), Proceeding, &[Resend, RestartAtT2(E)]),
            (Proceeding, Fired(F), Terminated, &[TimedOut]),
            (Proceeding, TransportError, Terminated, &[Failed]),
            (Proceeding, Provisional, Proceeding, &[Deliver]),
            (Proceeding, Final, Completed, &[Stop(E), Stop(F), Start(K), Deliver]),
            (Completed, Fired(K), Terminated, &[]),
        ];
        for state in [Trying, Proceeding, Completed, Terminated] {
            for input in [Provisional, Final, Fired(E), Fired(F), Fired(K), TransportError] {
                let expected = rows
                    .iter()
                    .find(|(from, on, ..)| (*from, *on) == (state, input))
                    .map(|&(.., next, actions)| Step { next, actions });
                assert_eq!(step(state, input), expected, "{state:?} on {input:?}");
            }
        }
        assert_eq!(START, [Action::Send, Start(E), Start(F)]);
    }
}
