//! The life of a call, as a pure transition table: no actors, codecs, packets or files.
//!
//! ```text
//!   inbound    Ringing ──Answer──▶ Answered ──Acked──▶ Up ──┐
//!                 │                    │                    ├──▶ Ended(EndReason)
//!   outbound   Dialing ──Answered───────────────────▶ Up ──┘
//!                 └── CANCEL, 3xx-6xx, timers, faults ──▶ Ended, from anywhere
//! ```
//!
//! In: what the wire, the agent, the media and the watchdogs report. Out: what to do about it. Every state has a
//! watchdog: `Ringing` the ring timeout, `Answered` the missing ACK, `Dialing` the INVITE timeout (both kept by the SIP
//! core), `Up` silence and the maximum duration. A call ends once; input after the end does nothing.

use model::call::{Direction, EndLabel, EndReason, Party, reason_phrase};

/// Where a call is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallState {
    /// Inbound: 180 sent, waiting for an agent.
    Ringing,
    /// Inbound: 200 sent, waiting for the ACK.
    Answered,
    /// Outbound: INVITE sent.
    Dialing {
        /// Clients were told that it rings.
        rang: bool,
    },
    /// Both sides talk.
    Up,
    /// Over.
    Ended,
}

/// What can happen to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// From the wire.
    Sip(SipInput),
    /// From an agent.
    Agent(AgentInput),
    /// From the media: nothing was heard for too long.
    Silent,
    /// From the media: it broke (our fault).
    MediaDied,
    /// An inbound call rang for too long.
    RingTimeout,
    /// The call was up for as long as a call may be.
    MaxDuration,
    /// The far end has called somebody else at our wish: this call has been replaced.
    Transferred,
    /// The relay stops.
    Shutdown,
}

/// What the wire reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SipInput {
    /// The far end of an outbound call rings.
    Ringing,
    /// The far end took an outbound call, with media that we can use.
    Answered,
    /// The far end took an outbound call, or confirmed an inbound one, with media that we cannot use.
    Unusable,
    /// The caller confirmed our answer.
    Acked,
    /// The dialog is over, or never came to be.
    Ended(EndReason),
}

/// What an agent asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentInput {
    /// Take a ringing call.
    Answer,
    /// Refuse a ringing call.
    Decline {
        /// The SIP status to refuse with.
        status: u16,
        /// The phrase, else the standard one.
        reason: Option<String>,
    },
    /// End the call.
    Hangup,
    /// No agent is left.
    Gone,
    /// There was to be an agent, and it could not be reached.
    Unreachable,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send 180.
    Ring,
    /// Send 200 with our answer, and open the media.
    Answer,
    /// Refuse the INVITE.
    Reject {
        /// The SIP status.
        status: u16,
        /// The phrase, else the standard one.
        reason: Option<String>,
    },
    /// CANCEL or BYE, as the dialog requires.
    Hangup,
    /// Start the ring watchdog.
    WatchRinging,
    /// Open the media of an outbound call.
    OpenMedia,
    /// Tell clients that it rings.
    ReportRinging,
    /// Tell clients that it is up; greet; start the duration watchdog.
    ReportUp,
    /// Close media and recording, then tell clients.
    Finish(Ending),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// It had been up.
    pub was_up: bool,
    /// Why.
    pub reason: EndReason,
}

impl CallState {
    /// The first state and actions of a call. `auto_answer`: an inbound call is taken at once.
    pub fn begin(direction: Direction, auto_answer: bool) -> (Self, Vec<Action>) {
        match direction {
            Direction::Outbound => (Self::Dialing { rang: false }, vec![]),
            Direction::Inbound if auto_answer => {
                (Self::Answered, vec![Action::Ring, Action::Answer, Action::ReportRinging])
            }
            Direction::Inbound => {
                (Self::Ringing, vec![Action::Ring, Action::WatchRinging, Action::ReportRinging])
            }
        }
    }

    /// Moves on. An input that means nothing in this state changes nothing.
    pub fn step(&mut self, input: Input) -> Vec<Action> {
        match (&*self, input) {
            (Self::Ended, _) => vec![],
            (_, Input::Sip(SipInput::Ended(reason))) => self.end(reason, None),
            (_, Input::Sip(input)) => self.sip(input),
            (_, Input::Agent(input)) => self.agent(input),
            (Self::Ringing, Input::RingTimeout) => {
                let reason = EndReason::new(Party::Relay, EndLabel::NoAnswer);
                self.refuse(reason.with_status(480, "Temporarily Unavailable"), None)
            }
            (Self::Up, Input::Silent) => self.hang_up(EndReason::new(Party::Relay, EndLabel::RtpTimeout)),
            (Self::Up, Input::MaxDuration) => {
                self.hang_up(EndReason::new(Party::Relay, EndLabel::MaxDuration))
            }
            (Self::Up, Input::Transferred) => {
                self.hang_up(EndReason::new(Party::Agent, EndLabel::Transferred))
            }
            (_, Input::MediaDied) => self.stop(EndReason::new(Party::Relay, EndLabel::InternalError)),
            (_, Input::Shutdown) => self.stop(EndReason::new(Party::Relay, EndLabel::Shutdown)),
            (_, Input::RingTimeout | Input::Silent | Input::MaxDuration | Input::Transferred) => vec![],
        }
    }

    fn sip(&mut self, input: SipInput) -> Vec<Action> {
        match (&*self, input) {
            (Self::Dialing { rang: false }, SipInput::Ringing) => {
                *self = Self::Dialing { rang: true };
                vec![Action::ReportRinging]
            }
            (Self::Dialing { .. }, SipInput::Answered) => {
                *self = Self::Up;
                vec![Action::OpenMedia, Action::ReportUp]
            }
            (Self::Dialing { .. } | Self::Answered, SipInput::Unusable) => {
                self.hang_up(EndReason::new(Party::Relay, EndLabel::NoCommonCodec))
            }
            (Self::Answered, SipInput::Acked) => {
                *self = Self::Up;
                vec![Action::ReportUp]
            }
            _ => vec![],
        }
    }

    fn agent(&mut self, input: AgentInput) -> Vec<Action> {
        match (&*self, input) {
            (Self::Ringing, AgentInput::Answer) => {
                *self = Self::Answered;
                vec![Action::Answer]
            }
            (Self::Ringing, AgentInput::Decline { status, reason }) => {
                let phrase = reason.clone().unwrap_or_else(|| reason_phrase(status).to_owned());
                let ended = EndReason::new(Party::Agent, EndLabel::Declined).with_status(status, phrase);
                self.refuse(ended, reason)
            }
            (Self::Ringing, AgentInput::Hangup) => {
                self.refuse(EndReason::new(Party::Agent, EndLabel::Declined), None)
            }
            (Self::Dialing { .. }, AgentInput::Hangup) => {
                self.hang_up(EndReason::new(Party::Agent, EndLabel::Cancelled))
            }
            (_, AgentInput::Unreachable) => {
                self.stop(EndReason::new(Party::Agent, EndLabel::AgentUnreachable))
            }
            (_, AgentInput::Gone) => self.stop(EndReason::new(Party::Agent, EndLabel::AgentGone)),
            (_, AgentInput::Hangup) => self.hang_up(EndReason::new(Party::Agent, EndLabel::AgentHangup)),
            _ => vec![],
        }
    }

    /// Ends the call from our side in whatever state it is.
    fn stop(&mut self, reason: EndReason) -> Vec<Action> {
        match self {
            Self::Ringing => self.refuse(reason, None),
            _ => self.hang_up(reason),
        }
    }

    fn refuse(&mut self, ended: EndReason, reason: Option<String>) -> Vec<Action> {
        let (status, _) = ended.failure();
        self.end(ended, Some(Action::Reject { status, reason }))
    }

    fn hang_up(&mut self, reason: EndReason) -> Vec<Action> {
        self.end(reason, Some(Action::Hangup))
    }

    fn end(&mut self, reason: EndReason, first: Option<Action>) -> Vec<Action> {
        let was_up = *self == Self::Up;
        *self = Self::Ended;
        first.into_iter().chain([Action::Finish(Ending { was_up, reason })]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote_bye() -> EndReason {
        EndReason::new(Party::Caller, EndLabel::RemoteBye)
    }

    fn finished(actions: &[Action]) -> &Ending {
        match actions.last() {
            Some(Action::Finish(ending)) => ending,
            other => panic!("the call should have ended, got {other:?}"),
        }
    }

    fn in_state(state: CallState) -> CallState {
        state
    }

    #[test]
    fn auto_answered_call_rings_on_the_wire_before_it_is_answered() {
        let (state, actions) = CallState::begin(Direction::Inbound, true);
        assert_eq!(state, CallState::Answered);
        assert_eq!(actions, [Action::Ring, Action::Answer, Action::ReportRinging]);
    }

    #[test]
    fn inbound_call_is_up_with_the_ack_and_not_before() {
        let (mut state, _) = CallState::begin(Direction::Inbound, false);
        assert_eq!(state.step(Input::Agent(AgentInput::Answer)), [Action::Answer]);
        assert_eq!(state, CallState::Answered);
        assert_eq!(state.step(Input::Sip(SipInput::Acked)), [Action::ReportUp]);
        assert_eq!(state, CallState::Up);
    }

    #[test]
    fn outbound_call_reports_ringing_once_for_many_provisional_responses() {
        let (mut state, actions) = CallState::begin(Direction::Outbound, true);
        assert_eq!(actions, []);
        assert_eq!(state.step(Input::Sip(SipInput::Ringing)), [Action::ReportRinging]);
        assert_eq!(state.step(Input::Sip(SipInput::Ringing)), []);
        assert_eq!(state.step(Input::Sip(SipInput::Answered)), [Action::OpenMedia, Action::ReportUp]);
    }

    #[test]
    fn second_answer_of_an_agent_does_nothing() {
        for mut state in [CallState::Answered, CallState::Up, CallState::Dialing { rang: true }] {
            let before = state.clone();
            assert_eq!(state.step(Input::Agent(AgentInput::Answer)), []);
            assert_eq!(state, before);
        }
    }

    #[test]
    fn hangup_does_what_each_state_requires() {
        let hangup = Input::Agent(AgentInput::Hangup);
        let mut ringing = in_state(CallState::Ringing);
        assert_eq!(ringing.step(hangup.clone())[0], Action::Reject { status: 603, reason: None });

        for mut state in [CallState::Answered, CallState::Dialing { rang: false }, CallState::Up] {
            let was_up = state == CallState::Up;
            let actions = state.step(hangup.clone());
            assert_eq!(actions[0], Action::Hangup);
            assert_eq!(finished(&actions).was_up, was_up);
        }
    }

    #[test]
    fn decline_carries_the_agents_status_and_only_works_while_ringing() {
        let decline = Input::Agent(AgentInput::Decline { status: 486, reason: Some("Lunch".to_owned()) });
        let mut ringing = in_state(CallState::Ringing);
        let actions = ringing.step(decline.clone());
        assert_eq!(actions[0], Action::Reject { status: 486, reason: Some("Lunch".to_owned()) });
        assert_eq!(finished(&actions).reason.status, Some(486));

        let mut up = in_state(CallState::Up);
        assert_eq!(up.step(decline), []);
    }

    #[test]
    fn unanswered_inbound_call_is_refused_with_480() {
        let (mut state, _) = CallState::begin(Direction::Inbound, false);
        let actions = state.step(Input::RingTimeout);
        assert_eq!(actions[0], Action::Reject { status: 480, reason: None });
        assert!(!finished(&actions).was_up);
    }

    #[test]
    fn ring_timeout_after_the_answer_does_nothing() {
        let mut up = in_state(CallState::Up);
        assert_eq!(up.step(Input::RingTimeout), []);
    }

    #[test]
    fn answer_without_usable_media_is_hung_up_and_fails_with_488() {
        let mut state = in_state(CallState::Dialing { rang: true });
        let actions = state.step(Input::Sip(SipInput::Unusable));
        assert_eq!(actions[0], Action::Hangup);
        assert_eq!(finished(&actions).reason.status, Some(488));
    }

    #[test]
    fn confirmation_without_usable_media_ends_the_call_before_it_is_up() {
        let mut state = in_state(CallState::Answered);
        let actions = state.step(Input::Sip(SipInput::Unusable));
        assert_eq!(actions[0], Action::Hangup);
        assert!(!finished(&actions).was_up);
    }

    #[test]
    fn every_state_ends_once_on_every_fatal_input() {
        let fatal = [
            Input::Sip(SipInput::Ended(remote_bye())),
            Input::MediaDied,
            Input::Shutdown,
            Input::Agent(AgentInput::Hangup),
        ];
        let states = [
            CallState::Ringing,
            CallState::Answered,
            CallState::Dialing { rang: false },
            CallState::Dialing { rang: true },
            CallState::Up,
        ];
        for state in states {
            for input in &fatal {
                let mut state = state.clone();
                let finishes =
                    |actions: &[Action]| actions.iter().filter(|a| matches!(a, Action::Finish(_))).count();
                assert_eq!(finishes(&state.step(input.clone())), 1, "{input:?}");
                assert_eq!(state, CallState::Ended);
                for again in &fatal {
                    assert_eq!(state.step(again.clone()), [], "a call ends once");
                }
            }
        }
    }
}
