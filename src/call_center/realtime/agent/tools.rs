//! What the model wants done besides talking.

use std::time::Instant;

use model::command::Command;
use serde_json::Value;

use super::{Leaving, RealtimeAgent, Response, Then};
use crate::call_center::{
    conversation::{HANG_UP, MOST_KEYS, SEND_DIGITS, TRANSFER, is_target},
    realtime::{ClientEvent, FunctionCall},
};

/// What came of a function call.
enum Outcome {
    /// It is done, or will be when everything was said; the model has nothing to add.
    Done,
    /// It is done, and the model goes on.
    GoOn,
    /// It cannot be done, and why.
    Refused(&'static str),
}

impl RealtimeAgent {
    /// Does what a response that is complete asks for, and has the model go on where it should.
    pub(super) fn tools(&mut self, now: Instant, response: &Response) {
        let mut goes_on = false;
        for call in &response.calls {
            let outcome = self.tool(call);
            let (output, again) = match outcome {
                Outcome::Done => (r#"{"ok":true}"#.to_owned(), false),
                Outcome::GoOn => (r#"{"ok":true}"#.to_owned(), true),
                Outcome::Refused(why) => (serde_json::json!({ "error": why }).to_string(), true),
            };
            goes_on |= again;
            self.send(ClientEvent::ToolOutput { call: call.id.clone(), output });
        }
        if self.then == Then::HangUp {
            // A model that hangs up without a word.
            let wordless = !response.audible && !response.calls.is_empty() && !self.playback.is_playing();
            if wordless && self.rounds < MOST_ROUNDS {
                self.rounds += 1;
                self.bid_farewell(now);
            }
        } else if goes_on && self.rounds < MOST_ROUNDS {
            self.rounds += 1;
            self.request(now);
        }
    }

    fn tool(&mut self, call: &FunctionCall) -> Outcome {
        let Some(tool) = self.rules.tools.iter().find(|tool| tool.name == call.name).cloned() else {
            self.note(format!("the model wants a tool that it does not have: {:.40}", call.name));
            return Outcome::Refused("there is no such function");
        };
        self.note(format!("the model uses {}", tool.name));
        let argument = tool.argument.map(|(name, _)| argument(&call.arguments, name)).unwrap_or_default();
        match tool.name {
            HANG_UP => {
                self.then = Then::HangUp;
                Outcome::Done
            }
            TRANSFER if is_target(&argument) => {
                self.then = Then::Transfer(argument);
                Outcome::Done
            }
            TRANSFER => Outcome::Refused("the target is no telephone number and no SIP URI"),
            SEND_DIGITS => {
                let keys = argument.chars().filter(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D'));
                let digits: String = keys.take(MOST_KEYS).collect();
                if digits.is_empty() {
                    return Outcome::Refused("there are no digits");
                }
                self.say(Command::Dtmf { call: self.call.clone(), digits, duration: None });
                Outcome::GoOn
            }
            _ => Outcome::Refused("it cannot be done in this mode"),
        }
    }

    /// The caller stays with us.
    pub(super) fn transfer_failed(&mut self, now: Instant, why: &str) {
        self.note(format!("transfer failed: {why}"));
        if matches!(self.leaving, Some(Leaving { until: Some(_) })) {
            self.leaving = None;
            self.silent_since = now;
            self.instruct(now, "The transfer failed. Tell the caller, and help him yourself.".to_owned());
        }
    }
}

/// The value of an argument; a number is taken as text.
fn argument(arguments: &str, name: &str) -> String {
    let value: Value = serde_json::from_str(arguments).unwrap_or_default();
    match &value[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// Times that the model may go on after something was done for it, without a word of the caller.
const MOST_ROUNDS: u32 = 8;
