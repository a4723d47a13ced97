//! INVITE server transaction (RFC 3261 §17.2.1, figure 7, as replaced by RFC 6026 §8.3).
//!
//! ```text
//!          INVITE received
//!                │
//!          [Proceeding] ──2xx──▶ [Accepted] ──L──╮
//!                │ 300-699                       │
//!           [Completed] ──ACK──▶ [Confirmed] ─I─▶│
//!                └─────H, transport error───▶ [Terminated]
//! ```

use super::{Action, Step, Timer, to};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The INVITE came again.
    Request,
    Ack,
    /// The transaction user sends 101 to 199.
    Provisional,
    /// The transaction user sends a 2xx, or sends it again.
    Success,
    /// The transaction user sends 300 to 699.
    Failure,
    Fired(Timer),
    TransportError,
}

/// What happens on the way into [`State::Proceeding`].
pub(crate) const START: &[Action] = &[Action::Start(Timer::Trying), Action::Deliver];

/// The next state and what to do; `None` when the input means nothing in this state.
pub(crate) fn step(state: State, input: Input) -> Option<Step<State>> {
    use Action::{Deliver, Double, Failed, Resend, Send, Start, Stop, TimedOut};
    use Input::{Ack, Failure, Fired, Provisional, Request, Success, TransportError};
    use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    use Timer::{G, H, I, L};

    match (state, input) {
        (Proceeding, Request) => to(Proceeding, &[Resend]),
        (Proceeding, Fired(Timer::Trying)) => to(Proceeding, &[Action::Trying]),
        (Proceeding, Provisional) => to(Proceeding, &[Stop(Timer::Trying), Send]),
        (Proceeding, Success) => to(Accepted, &[Stop(Timer::Trying), Send, Start(L)]),
        (Proceeding, Failure) => to(Completed, &[Stop(Timer::Trying), Send, Start(G), Start(H)]),
        (Proceeding, TransportError) => to(Terminated, &[Failed]),
        (Accepted, Request) => to(Accepted, &[]),
        (Accepted, Ack) => to(Accepted, &[Deliver]),
        (Accepted, Success) => to(Accepted, &[Send]),
        (Accepted, Fired(L)) => to(Terminated, &[]),
        (Accepted, TransportError) => to(Accepted, &[Failed]),
        (Completed, Request) => to(Completed, &[Resend]),
        (Completed, Fired(G)) => to(Completed, &[Resend, Double(G)]),
        (Completed, Fired(H)) => to(Terminated, &[TimedOut]),
        (Completed, Ack) => to(Confirmed, &[Stop(G), Stop(H), Start(I)]),
        (Completed, TransportError) => to(Terminated, &[Failed]),
        (Confirmed, Request | Ack) => to(Confirmed, &[]),
        (Confirmed, Fired(I)) => to(Terminated, &[]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Deliver, Double, Failed, Resend, Send, Start, Stop, TimedOut};
    use Input::{Ack, Failure, Fired, Provisional, Request, Success, TransportError};
    use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    use Timer::{G, H, I, L, Trying};

    const INPUTS: [Input; 11] = [
        Request,
        Ack,
        Provisional,
        Success,
        Failure,
        Fired(Trying),
        Fired(G),
        Fired(H),
        Fired(I),
        Fired(L),
        TransportError,
    ];

    #[test]
    fn every_row_of_figure_7_and_no_other() {
        let rows: &[(State, Input, State, &[Action])] = &[
            (Proceeding, Request, Proceeding, &[Resend]),
            (Proceeding, Fired(Trying), Proceeding, &[Action::Trying]),
            (Proceeding, Provisional, Proceeding, &[Stop(Trying), Send]),
            (Proceeding, Success, Accepted, &[Stop(Trying), Send, Start(L)]),
            (Proceeding, Failure, Completed, &[Stop(Trying), Send, Start(G), Start(H)]),
            (Proceeding, TransportError, Terminated, &[Failed]),
            (Accepted, Request, Accepted, &[]),
            (Accepted, Ack, Accepted, &[Deliver]),
            (Accepted, Success, Accepted, &[Send]),
            (Accepted, Fired(L), Terminated, &[]),
            (Accepted, TransportError, Accepted, &[Failed]),
            (Completed, Request, Completed, &[Resend]),
            (Completed, Fired(G), Completed, &[Resend, Double(G)]),
            (Completed, Fired(H), Terminated, &[TimedOut]),
            (Completed, Ack, Confirmed, &[Stop(G), Stop(H), Start(I)]),
            (Completed, TransportError, Terminated, &[Failed]),
            (Confirmed, Request, Confirmed, &[]),
            (Confirmed, Ack, Confirmed, &[]),
            (Confirmed, Fired(I), Terminated, &[]),
        ];
        for state in [Proceeding, Accepted, Completed, Confirmed, Terminated] {
            for input in INPUTS {
                let expected = rows
                    .iter()
                    .find(|(from, on, ..)| (*from, *on) == (state, input))
                    .map(|&(.., next, actions)| Step { next, actions });
                assert_eq!(step(state, input), expected, "{state:?} on {input:?}");
            }
        }
        assert_eq!(START, [Start(Trying), Deliver]);
    }
}
