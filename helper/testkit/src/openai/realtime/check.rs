//! Whether an event of a client has the published form: every field known, of its type and in its range.

use serde_json::{Map, Value};

/// What is wrong with an event, if something is.
pub(super) fn check(event: &Value) -> Result<(), String> {
    let object = object(event, "event")?;
    let kind = event["type"].as_str().ok_or("an event without a type")?;
    let fields: &[&str] = match kind {
        "session.update" => &["session"],
        "input_audio_buffer.append" => &["audio"],
        "input_audio_buffer.commit" | "input_audio_buffer.clear" => &[],
        "conversation.item.truncate" => &["item_id", "content_index", "audio_end_ms"],
        "conversation.item.create" => &["item", "previous_item_id"],
        "conversation.item.delete" => &["item_id"],
        "response.create" => &["response"],
        "response.cancel" => &["response_id"],
        other => return Err(format!("Invalid value: '{other}'")),
    };
    known(object, kind, &[&["type", "event_id"], fields].concat())?;
    match kind {
        "session.update" => session(&event["session"]),
        "input_audio_buffer.append" => text(event, "audio").map(drop),
        "conversation.item.truncate" => {
            text(event, "item_id")?;
            if event["content_index"] != 0 {
                return Err("content_index is not 0".to_owned());
            }
            event["audio_end_ms"].as_u64().filter(|end| *end > 0).map(drop).ok_or("audio_end_ms".to_owned())
        }
        "conversation.item.create" => item(&event["item"]),
        _ => Ok(()),
    }
}

fn session(session: &Value) -> Result<(), String> {
    let fields = [
        "type",
        "instructions",
        "output_modalities",
        "tools",
        "audio",
        "model",
        "include",
        "max_output_tokens",
        "tool_choice",
        "tracing",
        "truncation",
        "prompt",
    ];
    known(object(session, "session")?, "session", &fields)?;
    one_of(session, "type", &["realtime"])?;
    if !session["instructions"].is_string() {
        return Err("session.instructions".to_owned());
    }
    if session["output_modalities"] != serde_json::json!(["audio"]) {
        return Err("session.output_modalities".to_owned());
    }
    for tool in session["tools"].as_array().ok_or("session.tools")? {
        known(object(tool, "tool")?, "tool", &["type", "name", "description", "parameters"])?;
        one_of(tool, "type", &["function"])?;
        text(tool, "name")?;
        text(tool, "description")?;
        one_of(&tool["parameters"], "type", &["object"])?;
        object(&tool["parameters"]["properties"], "properties")?;
    }
    let audio = &session["audio"];
    known(object(audio, "audio")?, "audio", &["input", "output"])?;
    input(&audio["input"])?;
    let output = &audio["output"];
    known(object(output, "output")?, "output", &["format", "voice", "speed"])?;
    format(&output["format"])?;
    text(output, "voice")?;
    let speed = output["speed"].as_f64().ok_or("output.speed")?;
    if (0.25..=1.5).contains(&speed) { Ok(()) } else { Err("output.speed".to_owned()) }
}

fn input(input: &Value) -> Result<(), String> {
    known(
        object(input, "input")?,
        "input",
        &["format", "turn_detection", "transcription", "noise_reduction"],
    )?;
    format(&input["format"])?;
    let turns = &input["turn_detection"];
    let both = ["type", "create_response", "interrupt_response"];
    let fields: &[&str] = match turns["type"].as_str() {
        Some("server_vad") => &["threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"],
        Some("semantic_vad") => &["eagerness"],
        _ => return Err("turn_detection.type".to_owned()),
    };
    known(object(turns, "turn_detection")?, "turn_detection", &[&both, fields].concat())?;
    if turns["type"] == "semantic_vad" {
        one_of(turns, "eagerness", &["low", "medium", "high", "auto"])?;
    }
    if let Value::Object(transcription) = &input["transcription"] {
        known(transcription, "transcription", &["model", "language", "prompt"])?;
        text(&input["transcription"], "model")?;
    }
    if !input["noise_reduction"].is_null() {
        known(object(&input["noise_reduction"], "noise_reduction")?, "noise_reduction", &["type"])?;
        one_of(&input["noise_reduction"], "type", &["near_field", "far_field"])?;
    }
    Ok(())
}

fn format(format: &Value) -> Result<(), String> {
    known(object(format, "format")?, "format", &["type"])?;
    one_of(format, "type", &["audio/pcmu", "audio/pcma"])
}

fn item(item: &Value) -> Result<(), String> {
    match item["type"].as_str() {
        Some("function_call_output") => {
            let fields = ["type", "id", "object", "status", "call_id", "output"];
            known(object(item, "item")?, "item", &fields)?;
            text(item, "call_id")?;
            text(item, "output").map(drop)
        }
        Some("message") => {
            known(object(item, "item")?, "item", &["type", "id", "object", "status", "role", "content"])?;
            one_of(item, "role", &["system", "user"])?;
            let parts = item["content"].as_array().filter(|parts| !parts.is_empty()).ok_or("item.content")?;
            for part in parts {
                known(object(part, "part")?, "part", &["type", "text"])?;
                one_of(part, "type", &["input_text"])?;
                text(part, "text")?;
            }
            Ok(())
        }
        _ => Err("item.type".to_owned()),
    }
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what} is no object"))
}

fn known(object: &Map<String, Value>, what: &str, fields: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(format!("Unknown parameter: '{what}.{key}'")),
        None => Ok(()),
    }
}

fn one_of(value: &Value, field: &str, values: &[&str]) -> Result<(), String> {
    match value[field].as_str() {
        Some(found) if values.contains(&found) => Ok(()),
        other => Err(format!("Invalid value of {field}: {other:?}")),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, String> {
    value[field].as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("{field} is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_is_refused() {
        for event in [
            r#"{"type":"response.create"}"#,
            r#"{"type":"input_audio_buffer.append","audio":"AA=="}"#,
            r#"{"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":20}"#,
            r#"{"type":"conversation.item.create","item":{"type":"function_call_output","call_id":"c","output":"{}"}}"#,
        ] {
            assert_eq!(check(&serde_json::from_str(event).unwrap()), Ok(()), "{event}");
        }
        for event in [
            "[]",
            r#"{"type":"response.begin"}"#,
            r#"{"type":"response.create","voice":"x"}"#,
            r#"{"type":"input_audio_buffer.append","audio":""}"#,
            r#"{"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":0}"#,
            r#"{"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":20.5}"#,
            r#"{"type":"conversation.item.create","item":{"type":"message","role":"assistant","content":[]}}"#,
            r#"{"type":"session.update","session":{"type":"realtime","voice":"alloy"}}"#,
        ] {
            assert!(check(&serde_json::from_str(event).unwrap()).is_err(), "{event}");
        }
    }
}
