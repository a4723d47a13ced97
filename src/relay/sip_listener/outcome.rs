//! What the end of a call on the wire is to the rest of the relay.

use model::call::{EndLabel, EndReason, Party};
use sip::{DialError, EndCause};

/// Why a call ended.
pub fn end_reason(cause: &EndCause) -> EndReason {
    let (by, label) = match cause {
        EndCause::Rejected { status, reason, .. } => return EndReason::refused(*status, reason),
        EndCause::RemoteBye { .. } => (Party::Caller, EndLabel::RemoteBye),
        EndCause::LocalBye => (Party::Agent, EndLabel::AgentHangup),
        EndCause::Cancelled => (Party::Caller, EndLabel::Cancelled),
        EndCause::LocalCancel => (Party::Agent, EndLabel::Cancelled),
        EndCause::Declined { .. } => (Party::Relay, EndLabel::Declined),
        EndCause::NoAck => (Party::Caller, EndLabel::NoAck),
        EndCause::Timeout => (Party::Caller, EndLabel::Timeout),
        EndCause::SessionExpired => (Party::Caller, EndLabel::SessionExpired),
        EndCause::TransportError => (Party::Relay, EndLabel::Unreachable),
        EndCause::ProtocolError { .. } => (Party::Caller, EndLabel::ProtocolError),
    };
    EndReason::new(by, label)
}

/// Why a call could not be placed.
pub fn dial_error(error: &DialError) -> EndReason {
    let label = match error {
        DialError::Invalid { .. } => EndLabel::BadNumber,
        DialError::Limit { .. } => EndLabel::TooManyCalls,
        DialError::Draining => EndLabel::Shutdown,
    };
    EndReason::new(Party::Relay, label)
}
