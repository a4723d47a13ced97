//! What a chat model may do besides talking.
//!
//! In: the tools that a reply calls. Out: what that means for the call; what it does not mean.

use super::{MOST_KEYS, Then};
use crate::call_center::speech::{Tool, ToolCall};

/// The tools that a model may be given.
pub const TOOLS: [Tool; 3] = [
    Tool {
        name: HANG_UP,
        description: "End the call after what you have said. Say goodbye first.",
        argument: None,
    },
    Tool {
        name: TRANSFER,
        description: "Connect the caller with somebody else after what you have said.",
        argument: Some(("target", "a telephone number or a SIP URI")),
    },
    Tool {
        name: SEND_DIGITS,
        description: "Press keys of the telephone, to get through a menu.",
        argument: Some(("digits", "0-9, * and #")),
    },
];

/// What a call of a tool means.
pub(super) enum Effect {
    /// Something for when the last word has been played.
    Then(Then),
    /// Keys to be pressed at once.
    Digits(String),
}

/// What `call` means, if that can be done.
pub(super) fn effect(call: ToolCall) -> Option<Effect> {
    match call.name.as_str() {
        HANG_UP => Some(Effect::Then(Then::HangUp)),
        TRANSFER if is_target(&call.argument) => Some(Effect::Then(Then::Transfer(call.argument))),
        SEND_DIGITS => {
            let keys = call.argument.chars().filter(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D'));
            let digits: String = keys.take(MOST_KEYS).collect();
            (!digits.is_empty()).then_some(Effect::Digits(digits))
        }
        _ => None,
    }
}

/// A number or a SIP URI, on one line and without `##`.
pub(in crate::call_center) fn is_target(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.chars().all(|c| c.is_ascii_graphic() && c != '#')
}

pub(in crate::call_center) const HANG_UP: &str = "hang_up";
pub(in crate::call_center) const TRANSFER: &str = "transfer";
pub(in crate::call_center) const SEND_DIGITS: &str = "send_digits";
