//! `ClientEvent` is what we tell the Realtime API, and its exact form on the wire.
//!
//! In: an event. Out: one text message of JSON. Names and shapes are those of the general release (`type: "realtime"`
//! sessions, formats by media type); the old beta's flat session is not written.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use model::mode::AgentCodec;
use serde_json::{Map, Value, json};

use crate::call_center::speech::{ANY_LANGUAGE, Tool};

/// One event for the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// `session.update`: how to talk, sent once when the session begins.
    SessionUpdate(Box<SessionConfig>),
    /// `input_audio_buffer.append`: audio of the caller, in the session's format.
    Append(Bytes),
    /// `conversation.item.truncate`: of the model's speech, the caller heard so much.
    Truncate {
        /// The item that was being spoken.
        item: String,
        /// The part of the item that holds the audio.
        content_index: u64,
        /// What was heard; whole milliseconds, no more than the item has.
        audio_end: Duration,
    },
    /// `conversation.item.create` with a message.
    Message {
        /// Whose words these are.
        author: Author,
        /// The words.
        text: String,
    },
    /// `conversation.item.create` with a `function_call_output`.
    ToolOutput {
        /// The call that it answers.
        call: String,
        /// JSON, as text.
        output: String,
    },
    /// `response.create`: say something now.
    Respond,
    /// `response.cancel`: say no more.
    Cancel,
}

/// Who says a message that we put into the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// Nobody: an instruction.
    System,
    /// The caller, by other means than his voice.
    User,
}

/// What a session is told when it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionConfig {
    /// The system prompt.
    pub instructions: String,
    /// What the model may do besides talking.
    pub tools: Vec<Tool>,
    /// Both directions: PCMU or PCMA, 8 kHz.
    pub codec: AgentCodec,
    /// Who decides that the caller has finished, and how.
    pub turn_detection: TurnDetection,
    /// Model that writes down what the caller says, and his language (ISO 639-1, or [`ANY_LANGUAGE`]).
    pub transcription: (String, String),
    /// How the caller's audio is cleaned before it is judged; `None` = not at all.
    pub noise_reduction: Option<NoiseReduction>,
    /// The voice. The server fixes it with the first audio.
    pub voice: String,
    /// 0.25 to 1.5, 1.0 as the voice speaks.
    pub speed: f64,
}

/// How the server finds the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnDetection {
    /// By silence: half a second of it.
    Server,
    /// By what was said, too.
    Semantic(Eagerness),
}

/// How soon semantic turn detection takes a pause for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eagerness {
    /// After 8 seconds at most.
    Low,
    /// After 4 seconds at most.
    Medium,
    /// After 2 seconds at most.
    High,
    /// As medium.
    Auto,
}

/// For which microphone the caller's audio is cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseReduction {
    /// Close to the mouth: a handset.
    NearField,
    /// In the room: a speakerphone.
    FarField,
}

impl ClientEvent {
    /// The message. Its keys are in alphabetical order, but for `append`, which is written by hand: it is sent 50 times a
    /// second.
    pub fn to_json(&self) -> String {
        let event = match self {
            ClientEvent::Append(audio) => return append(audio),
            ClientEvent::SessionUpdate(config) => {
                json!({ "type": "session.update", "session": config.to_value() })
            }
            ClientEvent::Truncate { item, content_index, audio_end } => json!({
                "type": "conversation.item.truncate",
                "item_id": item,
                "content_index": content_index,
                "audio_end_ms": audio_end.as_millis() as u64,
            }),
            ClientEvent::Message { author, text } => {
                let role = match author {
                    Author::System => "system",
                    Author::User => "user",
                };
                let content = json!([{ "type": "input_text", "text": text }]);
                json!({
                    "type": "conversation.item.create",
                    "item": { "type": "message", "role": role, "content": content },
                })
            }
            ClientEvent::ToolOutput { call, output } => json!({
                "type": "conversation.item.create",
                "item": { "type": "function_call_output", "call_id": call, "output": output },
            }),
            ClientEvent::Respond => json!({ "type": "response.create" }),
            ClientEvent::Cancel => json!({ "type": "response.cancel" }),
        };
        event.to_string()
    }

    /// Whether it is audio, which may be left out where there is no room for it.
    pub fn is_audio(&self) -> bool {
        matches!(self, ClientEvent::Append(_))
    }
}

impl SessionConfig {
    fn to_value(&self) -> Value {
        let format =
            json!({ "type": if self.codec == AgentCodec::Pcma { "audio/pcma" } else { "audio/pcmu" } });
        let noise_reduction = self.noise_reduction.map(|kind| match kind {
            NoiseReduction::NearField => json!({ "type": "near_field" }),
            NoiseReduction::FarField => json!({ "type": "far_field" }),
        });
        let (model, language) = &self.transcription;
        let mut transcription = json!({ "model": model });
        if language != ANY_LANGUAGE {
            transcription["language"] = json!(language);
        }
        json!({
            "type": "realtime",
            "instructions": self.instructions,
            "output_modalities": ["audio"],
            "tools": self.tools.iter().map(tool).collect::<Vec<_>>(),
            "audio": {
                "input": {
                    "format": format.clone(),
                    "turn_detection": self.turn_detection.to_value(),
                    "transcription": transcription,
                    "noise_reduction": noise_reduction,
                },
                "output": { "format": format, "voice": self.voice, "speed": self.speed },
            },
        })
    }
}

impl TurnDetection {
    /// The server answers by itself when a turn ends, and stops by itself when the caller begins.
    fn to_value(self) -> Value {
        let mut value = match self {
            TurnDetection::Server => json!({
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": SILENCE.as_millis() as u64,
            }),
            TurnDetection::Semantic(eagerness) => {
                json!({ "type": "semantic_vad", "eagerness": eagerness.as_str() })
            }
        };
        value["create_response"] = Value::Bool(true);
        value["interrupt_response"] = Value::Bool(true);
        value
    }

    /// Silence that belongs to the end of a turn as the server reports it.
    pub fn silence(self) -> Duration {
        match self {
            TurnDetection::Server => SILENCE,
            TurnDetection::Semantic(_) => Duration::ZERO,
        }
    }
}

impl Eagerness {
    /// `low`, `medium`, `high` or `auto`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Eagerness::Low => "low",
            Eagerness::Medium => "medium",
            Eagerness::High => "high",
            Eagerness::Auto => "auto",
        }
    }
}

fn tool(tool: &Tool) -> Value {
    let mut properties = Map::new();
    if let Some((name, what)) = tool.argument {
        properties.insert(name.to_owned(), json!({ "type": "string", "description": what }));
    }
    let required: Vec<&str> = tool.argument.iter().map(|(name, _)| *name).collect();
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": { "type": "object", "properties": properties, "required": required },
    })
}

fn append(audio: &[u8]) -> String {
    let mut text = String::with_capacity(HEAD.len() + audio.len().div_ceil(3) * 4 + 2);
    text.push_str(HEAD);
    STANDARD.encode_string(audio, &mut text);
    text.push_str("\"}");
    text
}

const HEAD: &str = r#"{"type":"input_audio_buffer.append","audio":""#;
/// Silence after which the server takes a turn for over.
const SILENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call_center::conversation::TOOLS;

    fn config() -> SessionConfig {
        SessionConfig {
            instructions: "be \"kind\"".into(),
            tools: vec![TOOLS[0].clone(), TOOLS[1].clone()],
            codec: AgentCodec::Pcmu,
            turn_detection: TurnDetection::Server,
            transcription: ("whisper-1".into(), "en".into()),
            noise_reduction: None,
            voice: "marin".into(),
            speed: 1.0,
        }
    }

    #[test]
    fn session_is_told_everything_in_the_published_form() {
        let text = ClientEvent::SessionUpdate(Box::new(config())).to_json();
        let expected = json!({
            "type": "session.update",
            "session": {
                "type": "realtime",
                "instructions": "be \"kind\"",
                "output_modalities": ["audio"],
                "tools": [
                    {
                        "type": "function",
                        "name": "hang_up",
                        "description": "End the call after what you have said. Say goodbye first.",
                        "parameters": { "type": "object", "properties": {}, "required": [] },
                    },
                    {
                        "type": "function",
                        "name": "transfer",
                        "description": "Connect the caller with somebody else after what you have said.",
                        "parameters": {
                            "type": "object",
                            "properties": {
                                "target": {
                                    "type": "string",
                                    "description": "a telephone number or a SIP URI",
                                },
                            },
                            "required": ["target"],
                        },
                    },
                ],
                "audio": {
                    "input": {
                        "format": { "type": "audio/pcmu" },
                        "turn_detection": {
                            "type": "server_vad",
                            "threshold": 0.5,
                            "prefix_padding_ms": 300,
                            "silence_duration_ms": 500,
                            "create_response": true,
                            "interrupt_response": true,
                        },
                        "transcription": { "model": "whisper-1", "language": "en" },
                        "noise_reduction": null,
                    },
                    "output": { "format": { "type": "audio/pcmu" }, "voice": "marin", "speed": 1.0 },
                },
            },
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn semantic_turns_a_law_and_noise_reduction_have_their_own_form() {
        let config = SessionConfig {
            codec: AgentCodec::Pcma,
            turn_detection: TurnDetection::Semantic(Eagerness::High),
            noise_reduction: Some(NoiseReduction::FarField),
            transcription: ("whisper-1".into(), "auto".into()),
            ..config()
        };
        let audio = config.to_value()["audio"].take();
        let turns = json!({
            "type": "semantic_vad", "eagerness": "high", "create_response": true, "interrupt_response": true,
        });
        assert_eq!(audio["input"]["turn_detection"], turns);
        assert_eq!(audio["input"]["transcription"], json!({ "model": "whisper-1" }));
        assert_eq!(audio["input"]["noise_reduction"], json!({ "type": "far_field" }));
        assert_eq!(audio["input"]["format"], json!({ "type": "audio/pcma" }));
        assert_eq!(audio["output"]["format"], json!({ "type": "audio/pcma" }));
    }

    #[test]
    fn every_other_event_is_printed_exactly() {
        let cases = [
            (
                ClientEvent::Append(Bytes::from_static(&[0xff, 0x7f, 0])),
                r#"{"type":"input_audio_buffer.append","audio":"/38A"}"#,
            ),
            (
                ClientEvent::Truncate {
                    item: "item_1".into(),
                    content_index: 0,
                    audio_end: Duration::from_micros(1_980_900),
                },
                r#"{"audio_end_ms":1980,"content_index":0,"item_id":"item_1","type":"conversation.item.truncate"}"#,
            ),
            (
                ClientEvent::Message { author: Author::User, text: "(42 on the keypad)".into() },
                r#"{"item":{"content":[{"text":"(42 on the keypad)","type":"input_text"}],"role":"user","type":"message"},"type":"conversation.item.create"}"#,
            ),
            (
                ClientEvent::Message { author: Author::System, text: "a\nb".into() },
                r#"{"item":{"content":[{"text":"a\nb","type":"input_text"}],"role":"system","type":"message"},"type":"conversation.item.create"}"#,
            ),
            (
                ClientEvent::ToolOutput { call: "call_1".into(), output: "{\"ok\":true}".into() },
                r#"{"item":{"call_id":"call_1","output":"{\"ok\":true}","type":"function_call_output"},"type":"conversation.item.create"}"#,
            ),
            (ClientEvent::Respond, r#"{"type":"response.create"}"#),
            (ClientEvent::Cancel, r#"{"type":"response.cancel"}"#),
        ];
        for (event, text) in cases {
            assert_eq!(event.to_json(), text);
        }
    }
}
