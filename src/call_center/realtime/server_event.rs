//! `ServerEvent` is what the Realtime API tells us, as far as we care.
//!
//! In: one text message. Out: an event; [`ServerEvent::Other`] for every kind that we have no use for, known or not. Read
//! leniently: the names of the general release and of the old beta, fields that are missing where we can do without them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// One event of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// `session.created`: it is there.
    SessionCreated,
    /// `session.updated`: it has taken what we told it.
    SessionUpdated,
    /// `input_audio_buffer.speech_started`: the caller speaks.
    SpeechStarted {
        /// The item that his words will be.
        item: String,
        /// Where in the audio that we sent.
        at: Option<Duration>,
    },
    /// `input_audio_buffer.speech_stopped`: he has finished.
    SpeechStopped {
        /// Where in the audio that we sent; the silence that told so is before it.
        at: Option<Duration>,
    },
    /// `conversation.item.input_audio_transcription.completed`: what he said.
    Heard {
        /// The item that his words are.
        item: String,
        /// The words; there may be none.
        text: String,
    },
    /// `response.created`: the model begins to reply.
    ResponseCreated {
        /// The response.
        response: String,
    },
    /// `response.output_audio.delta`: a piece of speech.
    Audio {
        /// The response that it belongs to.
        response: String,
        /// The item that it belongs to.
        item: String,
        /// The part of the item.
        content_index: u64,
        /// In the session's format.
        audio: Vec<u8>,
    },
    /// `response.output_audio.done`: no more speech of this item.
    AudioDone {
        /// The item.
        item: String,
    },
    /// `response.output_audio_transcript.done`: what an item says.
    Spoken {
        /// The item.
        item: String,
        /// Its words.
        text: String,
    },
    /// `response.output_item.done` of a function call, or `response.function_call_arguments.done`.
    Call(FunctionCall),
    /// `response.done`: the reply is over.
    ResponseDone {
        /// The response.
        response: String,
        /// How it ended.
        status: ResponseStatus,
        /// What it wants done.
        calls: Vec<FunctionCall>,
    },
    /// `error`.
    Error {
        /// It is about what we asked for, as opposed to trouble of the service's own.
        ours: bool,
        /// Its code, or its type where it has none.
        code: String,
        /// What is wrong.
        message: String,
    },
    /// Anything else.
    Other,
}

/// The model wants something done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCall {
    /// Of the call, for the answer.
    pub id: String,
    /// Of the function; empty where this event does not say it.
    pub name: String,
    /// JSON, as text.
    pub arguments: String,
}

/// How a response ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseStatus {
    /// As the model wanted.
    Completed,
    /// The caller spoke, or we wanted no more.
    Cancelled,
    /// It was cut off by a limit.
    Incomplete,
    /// It came to nothing, and why.
    Failed(String),
}

/// Why a message is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerEventError {
    /// It is no JSON object with a type.
    #[error("no JSON object with a type")]
    NotAnEvent,
    /// A kind that we need lacks a field, or has one of another form.
    #[error("{0} without a usable {1}")]
    Field(&'static str, &'static str),
}

impl ServerEvent {
    /// Reads a message.
    ///
    /// # Errors
    /// [`ServerEventError`]; the message should be left aside then.
    pub fn parse(text: &str) -> Result<Self, ServerEventError> {
        let event: Value = serde_json::from_str(text).map_err(|_| ServerEventError::NotAnEvent)?;
        let kind = event["type"].as_str().ok_or(ServerEventError::NotAnEvent)?;
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let position = |name: &str| event[name].as_u64().map(Duration::from_millis);
        Ok(match kind {
            "session.created" => ServerEvent::SessionCreated,
            "session.updated" => ServerEvent::SessionUpdated,
            "input_audio_buffer.speech_started" => {
                ServerEvent::SpeechStarted { item: text("item_id"), at: position("audio_start_ms") }
            }
            "input_audio_buffer.speech_stopped" => {
                ServerEvent::SpeechStopped { at: position("audio_end_ms") }
            }
            "conversation.item.input_audio_transcription.completed" => {
                ServerEvent::Heard { item: text("item_id"), text: text("transcript") }
            }
            "response.created" => ServerEvent::ResponseCreated { response: id_of_response(&event) },
            "response.output_audio.delta" | "response.audio.delta" => {
                let missing = |field| ServerEventError::Field("an audio delta", field);
                let audio = event["delta"].as_str().and_then(|delta| STANDARD.decode(delta).ok());
                let item = Some(text("item_id")).filter(|item| !item.is_empty());
                ServerEvent::Audio {
                    response: text("response_id"),
                    item: item.ok_or(missing("item_id"))?,
                    content_index: event["content_index"].as_u64().unwrap_or(0),
                    audio: audio.ok_or(missing("delta"))?,
                }
            }
            "response.output_audio.done" | "response.audio.done" => {
                ServerEvent::AudioDone { item: text("item_id") }
            }
            "response.output_audio_transcript.done" | "response.audio_transcript.done" => {
                ServerEvent::Spoken { item: text("item_id"), text: text("transcript") }
            }
            "response.function_call_arguments.done" => {
                function_call(&event).map_or(ServerEvent::Other, ServerEvent::Call)
            }
            "response.output_item.added" | "response.output_item.done" => {
                function_call_item(&event["item"]).map_or(ServerEvent::Other, ServerEvent::Call)
            }
            "response.done" => response_done(&event),
            "error" => error(&event["error"]),
            _ => ServerEvent::Other,
        })
    }
}

fn id_of_response(event: &Value) -> String {
    let id = event["response"]["id"].as_str().or_else(|| event["response_id"].as_str());
    id.unwrap_or_default().to_owned()
}

fn response_done(event: &Value) -> ServerEvent {
    let response = &event["response"];
    let status = match response["status"].as_str() {
        Some("cancelled") => ResponseStatus::Cancelled,
        Some("incomplete") => ResponseStatus::Incomplete,
        Some("failed") => {
            let error = &response["status_details"]["error"];
            let parts = [&error["code"], &error["type"], &error["message"]].map(|part| part.as_str());
            let what: Vec<&str> = parts.into_iter().flatten().collect();
            ResponseStatus::Failed(shortened(&what.join(" ")))
        }
        _ => ResponseStatus::Completed,
    };
    let output = response["output"].as_array().into_iter().flatten();
    let calls = output.filter_map(function_call_item).collect();
    ServerEvent::ResponseDone { response: id_of_response(event), status, calls }
}

fn function_call_item(item: &Value) -> Option<FunctionCall> {
    (item["type"].as_str() == Some("function_call")).then(|| function_call(item))?
}

fn function_call(value: &Value) -> Option<FunctionCall> {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let call = FunctionCall { id: text("call_id"), name: text("name"), arguments: text("arguments") };
    (!call.id.is_empty()).then_some(call)
}

fn error(error: &Value) -> ServerEvent {
    let code = error["code"].as_str().or_else(|| error["type"].as_str()).unwrap_or("error");
    let message = error["message"].as_str().unwrap_or_default();
    let ours = error["type"].as_str() == Some("invalid_request_error");
    ServerEvent::Error { ours, code: shortened(code), message: shortened(message) }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_MESSAGE).collect()
}

const LONGEST_MESSAGE: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ServerEvent {
        ServerEvent::parse(text).unwrap()
    }

    #[test]
    fn speech_of_both_namings_is_read() {
        for (delta, done, transcript) in [
            (
                "response.output_audio.delta",
                "response.output_audio.done",
                "response.output_audio_transcript.done",
            ),
            ("response.audio.delta", "response.audio.done", "response.audio_transcript.done"),
        ] {
            let event = format!(
                r#"{{"type":"{delta}","event_id":"e","response_id":"r","item_id":"i","output_index":0,"content_index":1,"delta":"/38A"}}"#
            );
            let audio = vec![0xff, 0x7f, 0];
            let (response, item) = ("r".to_owned(), "i".to_owned());
            assert_eq!(parse(&event), ServerEvent::Audio { response, item, content_index: 1, audio });
            let event = format!(r#"{{"type":"{done}","item_id":"i"}}"#);
            assert_eq!(parse(&event), ServerEvent::AudioDone { item: "i".into() });
            let event = format!(r#"{{"type":"{transcript}","item_id":"i","transcript":"hello"}}"#);
            assert_eq!(parse(&event), ServerEvent::Spoken { item: "i".into(), text: "hello".into() });
        }
    }

    #[test]
    fn turn_of_the_caller_is_read() {
        let started = r#"{"type":"input_audio_buffer.speech_started","audio_start_ms":1200,"item_id":"u"}"#;
        let at = Some(Duration::from_millis(1200));
        assert_eq!(parse(started), ServerEvent::SpeechStarted { item: "u".into(), at });
        let stopped = r#"{"type":"input_audio_buffer.speech_stopped","item_id":"u"}"#;
        assert_eq!(parse(stopped), ServerEvent::SpeechStopped { at: None });
        let heard = r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"u","transcript":"hi\n"}"#;
        assert_eq!(parse(heard), ServerEvent::Heard { item: "u".into(), text: "hi\n".into() });
    }

    #[test]
    fn function_calls_are_read_wherever_they_stand() {
        let call = |name: &str| FunctionCall { id: "c".into(), name: name.into(), arguments: "{}".into() };
        let item = r#"{"type":"function_call","id":"i","call_id":"c","name":"hang_up","arguments":"{}"}"#;
        let arguments = r#"{"type":"response.function_call_arguments.done","call_id":"c","item_id":"i","arguments":"{}"}"#;
        assert_eq!(parse(arguments), ServerEvent::Call(call("")));
        let done = format!(r#"{{"type":"response.output_item.done","item":{item}}}"#);
        assert_eq!(parse(&done), ServerEvent::Call(call("hang_up")));
        let done = format!(
            r#"{{"type":"response.done","response":{{"id":"r","status":"completed","output":[{{"type":"message"}},{item}]}}}}"#
        );
        let status = ResponseStatus::Completed;
        let expected =
            ServerEvent::ResponseDone { response: "r".into(), status, calls: vec![call("hang_up")] };
        assert_eq!(parse(&done), expected);
        let message = r#"{"type":"response.output_item.done","item":{"type":"message","id":"i"}}"#;
        assert_eq!(parse(message), ServerEvent::Other);
    }

    #[test]
    fn failures_say_what_they_are() {
        let done = r#"{"type":"response.done","response":{"id":"r","status":"failed","status_details":
            {"type":"failed","error":{"type":"insufficient_quota","code":null,"message":"You exceeded"}},"output":[]}}"#;
        let ServerEvent::ResponseDone { status, .. } = parse(done) else { panic!() };
        assert_eq!(status, ResponseStatus::Failed("insufficient_quota You exceeded".into()));
        let error = r#"{"type":"error","error":{"type":"invalid_request_error","code":null,"message":"x"}}"#;
        let code = "invalid_request_error".to_owned();
        assert_eq!(parse(error), ServerEvent::Error { ours: true, code, message: "x".into() });
        let long = format!(r#"{{"type":"error","error":{{"code":"c","message":"{}"}}}}"#, "x".repeat(5000));
        let ServerEvent::Error { message, .. } = parse(&long) else { panic!() };
        assert_eq!(message.len(), LONGEST_MESSAGE);
    }

    #[test]
    fn unknown_kinds_are_other_and_noise_is_an_error() {
        for text in [
            r#"{"type":"rate_limits.updated","rate_limits":[]}"#,
            r#"{"type":"response.content_part.added","part":null}"#,
            r#"{"type":"something.new","x":[1,{"y":2}]}"#,
            r#"{"type":"response.output_item.done"}"#,
        ] {
            assert_eq!(parse(text), ServerEvent::Other, "{text}");
        }
        for text in ["", "hello", "[]", "{}", r#"{"type":5}"#, "{\"type\":\"error\"", "null"] {
            assert_eq!(ServerEvent::parse(text), Err(ServerEventError::NotAnEvent), "{text}");
        }
        for delta in ["5", "\"*\"", "null"] {
            let text = format!(r#"{{"type":"response.output_audio.delta","item_id":"i","delta":{delta}}}"#);
            assert_eq!(ServerEvent::parse(&text), Err(ServerEventError::Field("an audio delta", "delta")));
        }
    }
}
