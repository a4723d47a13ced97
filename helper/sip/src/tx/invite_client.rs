//! INVITE client transaction (RFC 3261 §17.1.1, figure 5, as replaced by RFC 6026 §8.4).
//!
//! ```text
//!           INVITE sent
//!               │
//!           [Calling] ──1xx──▶ [Proceeding] ◀─1xx─╮
//!   B, error │  │ └─300-699─▶ [Completed] ◀─300-699┤
//!            │  └────2xx────▶ [Accepted]  ◀──2xx───╯
//!            ▼                    │ M        │ D
//!       [Terminated] ◀────────────┴──────────╯
//! ```

use super::{Action, Step, Timer, to};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Provisional,
    Success,
    /// 300 to 699.
    Failure,
    Fired(Timer),
    TransportError,
}

/// What happens on the way into [`State::Calling`].
pub(crate) const START: &[Action] = &[Action::Send, Action::Start(Timer::A), Action::Start(Timer::B)];

/// The next state and what to do; `None` when the input means nothing in this state.
pub(crate) fn step(state: State, input: Input) -> Option<Step<State>> {
    use Action::{Ack, Deliver, Double, Failed, Resend, Start, Stop, TimedOut};
    use Input::{Failure, Fired, Provisional, Success, TransportError};
    use State::{Accepted, Calling, Completed, Proceeding, Terminated};
    use Timer::{A, B, D, M};

    match (state, input) {
        (Calling, Fired(A)) => to(Calling, &[Resend, Double(A)]),
        (Calling, Fired(B)) => to(Terminated, &[TimedOut]),
        // Armed again when a CANCEL goes out (RFC 3261 §9.1).
        (Proceeding, Fired(B)) => to(Terminated, &[TimedOut]),
        (Calling | Proceeding, TransportError) => to(Terminated, &[Failed]),
        (Calling, Provisional) => to(Proceeding, &[Stop(A), Stop(B), Deliver]),
        (Proceeding, Provisional) => to(Proceeding, &[Deliver]),
        (Calling | Proceeding, Failure) => to(Completed, &[Stop(A), Stop(B), Ack, Start(D), Deliver]),
        (Calling | Proceeding, Success) => to(Accepted, &[Stop(A), Stop(B), Start(M), Deliver]),
        (Completed, Failure) => to(Completed, &[Ack]),
        (Completed, Fired(D)) => to(Terminated, &[]),
        (Completed, TransportError) => to(Terminated, &[Failed]),
        (Accepted, Success) => to(Accepted, &[Deliver]),
        (Accepted, Fired(M)) => to(Terminated, &[]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Ack, Deliver, Double, Failed, Resend, Start, Stop, TimedOut};
    use Input::{Failure, Fired, Provisional, Success, TransportError};
    use State::{Accepted, Calling, Completed, Proceeding, Terminated};
    use Timer::{A, B, D, M};

    const INPUTS: [Input; 8] =
        [Provisional, Success, Failure, Fired(A), Fired(B), Fired(D), Fired(M), TransportError];

    #[test]
    fn every_row_of_figure_5_and_no_other() {
        let rows: &[(State, Input, State, &[Action])] = &[
            (Calling, Fired(A), Calling, &[Resend, Double(A)]),
            (Calling, Fired(B), Terminated, &[TimedOut]),
            (Calling, TransportError, Terminated, &[Failed]),
            (Calling, Provisional, Proceeding, &[Stop(A), Stop(B), Deliver]),
            (Calling, Success, Accepted, &[Stop(A), Stop(B), Start(M), Deliver]),
            (Calling, Failure, Completed, &[Stop(A), Stop(B), Ack, Start(D), Deliver]),
            (Proceeding, Fired(B), Terminated, &[TimedOut]),
            (Proceeding, TransportError, Terminated, &[Failed]),
            (Proceeding, Provisional, Proceeding, &[Deliver]),
            (Proceeding, Success, Accepted, &[Stop(A), Stop(B), Start(M), Deliver]),
            (Proceeding, Failure, Completed, &[Stop(A), Stop(B), Ack, Start(D), Deliver]),
            (Completed, Failure, Completed, &[Ack]),
            (Completed, Fired(D), Terminated, &[]),
            (Completed, TransportError, Terminated, &[Failed]),
            (Accepted, Success, Accepted, &[Deliver]),
            (Accepted, Fired(M), Terminated, &[]),
        ];
        for state in [Calling, Proceeding, Completed, Accepted, Terminated] {
            for input in INPUTS {
                let expected = rows
                    .iter()
                    .find(|(from, on, ..)| (*from, *on) == (state, input))
                    .map(|&(.., next, actions)| Step { next, actions });
                assert_eq!(step(state, input), expected, "{state:?} on {input:?}");
            }
        }
    }

    #[test]
    fn entry_sends_the_invite_and_arms_a_and_b() {
        assert_eq!(START, [Action::Send, Start(A), Start(B)]);
    }
}
