//! `Talk` is the conversation as the server has it: who speaks, what is being said, what is due to be sent.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::answer::{Answer, Fate};
use crate::g711;

pub(super) struct Talk {
    due: VecDeque<Due>,
    count: u64,
    payload_type: u8,
    silence: Duration,
    /// The response that is being said, if one is.
    response: Option<String>,
    /// Bytes of every item that were sent.
    generated: HashMap<String, u64>,
    calls: HashSet<String>,
    appended: u64,
    pending: Vec<u8>,
    loud: u32,
    quiet: Duration,
    speaking: Option<String>,
}

struct Due {
    at: Instant,
    event: Value,
    /// It belongs to the response, and goes with it.
    of_response: bool,
    generates: Option<(String, u64)>,
    ends: bool,
}

impl Talk {
    pub(super) fn new() -> Self {
        Self {
            due: VecDeque::new(),
            count: 0,
            payload_type: 0,
            silence: Duration::from_millis(500),
            response: None,
            generated: HashMap::new(),
            calls: HashSet::new(),
            appended: 0,
            pending: Vec::new(),
            loud: 0,
            quiet: Duration::ZERO,
            speaking: None,
        }
    }

    pub(super) fn configure(&mut self, session: &Value) {
        let input = &session["audio"]["input"];
        self.payload_type = if input["format"]["type"] == "audio/pcma" { 8 } else { 0 };
        let silence = input["turn_detection"]["silence_duration_ms"].as_u64().unwrap_or(400);
        self.silence = Duration::from_millis(silence);
    }

    /// The next event whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Value> {
        // What is said at once goes before what is said in time.
        let at = self
            .due
            .iter()
            .enumerate()
            .filter(|(_, due)| due.at <= now)
            .min_by_key(|(n, due)| (due.at, *n))?
            .0;
        let due = self.due.remove(at)?;
        if let Some((item, bytes)) = due.generates {
            *self.generated.entry(item).or_default() += bytes;
        }
        if due.ends {
            self.response = None;
        }
        let mut event = due.event;
        self.count += 1;
        event["event_id"] = json!(format!("event_{}", self.count));
        Some(event)
    }

    pub(super) fn send(&mut self, event: Value) {
        let at = Instant::now();
        self.due.push_back(Due { at, event, of_response: false, generates: None, ends: false });
    }

    pub(super) fn error(&mut self, code: &str, message: &str) {
        self.send(json!({
            "type": "error",
            "error": { "type": "invalid_request_error", "code": code, "message": message, "param": null, "event_id": null },
        }));
    }

    pub(super) fn is_responding(&self) -> bool {
        self.response.is_some()
    }

    /// Milliseconds of an item's audio that were sent.
    pub(super) fn generated(&self, item: &str) -> Option<u64> {
        self.generated.get(item).map(|bytes| bytes / 8)
    }

    pub(super) fn has_called(&self, id: &Value) -> bool {
        id.as_str().is_some_and(|id| self.calls.contains(id))
    }

    pub(super) fn appended(&mut self, bytes: usize) {
        self.appended += bytes as u64;
    }

    /// Hears 20 ms at a time: three loud frames are speech, the session's silence ends it.
    pub(super) fn listen(&mut self, audio: &[u8], answer: impl Fn() -> Answer) {
        self.pending.extend_from_slice(audio);
        while self.pending.len() >= 160 {
            let frame: Vec<u8> = self.pending.drain(..160).collect();
            let loud =
                g711::decode(self.payload_type, &frame).iter().any(|sample| sample.unsigned_abs() > 500);
            if loud {
                (self.loud, self.quiet) = (self.loud + 1, Duration::ZERO);
            } else {
                (self.loud, self.quiet) = (0, self.quiet + Duration::from_millis(20));
            }
            if self.loud >= 3 && self.speaking.is_none() {
                self.speech_started();
            } else if self.quiet >= self.silence && self.speaking.is_some() {
                self.speech_stopped(&answer);
            }
        }
    }

    pub(super) fn speech_started(&mut self) {
        self.count += 1;
        let item = format!("item_u{}", self.count);
        let at = (self.appended / 8).saturating_sub(300);
        self.send(
            json!({ "type": "input_audio_buffer.speech_started", "audio_start_ms": at, "item_id": item }),
        );
        self.speaking = Some(item);
        self.cancel();
    }

    pub(super) fn speech_stopped(&mut self, answer: impl Fn() -> Answer) {
        let Some(item) = self.speaking.take() else { return };
        let at = self.appended / 8;
        self.send(
            json!({ "type": "input_audio_buffer.speech_stopped", "audio_end_ms": at, "item_id": item }),
        );
        self.send(
            json!({ "type": "input_audio_buffer.committed", "previous_item_id": null, "item_id": item }),
        );
        self.send(json!({
            "type": "conversation.item.added",
            "item": { "id": item, "type": "message", "role": "user", "content": [{ "type": "input_audio" }] },
        }));
        self.respond(answer());
        self.send(json!({
            "type": "conversation.item.input_audio_transcription.delta", "item_id": item, "delta": "hel",
        }));
        self.send(json!({
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": item, "content_index": 0, "transcript": "hello",
        }));
    }

    /// Takes the response back; false if there is none.
    pub(super) fn cancel(&mut self) -> bool {
        let Some(id) = self.response.take() else { return false };
        self.due.retain(|due| !due.of_response);
        self.send(json!({
            "type": "response.done",
            "response": { "id": id, "object": "realtime.response", "status": "cancelled",
                "status_details": { "type": "cancelled", "reason": "turn_detected" }, "output": [] },
        }));
        true
    }

    /// Begins to say an answer.
    pub(super) fn respond(&mut self, answer: Answer) {
        self.count += 1;
        let id = format!("resp_{}", self.count);
        let item = format!("item_a{}", self.count);
        self.response = Some(id.clone());
        if answer.fate == Fate::Never {
            return;
        }
        let mut at = Instant::now() + answer.delay;
        self.later(at, json!({
            "type": "response.created",
            "response": { "id": id, "object": "realtime.response", "status": "in_progress", "output": [] },
        }));
        let audio = answer.audio(self.payload_type);
        let names = if answer.beta {
            ["response.audio", "response.audio_transcript"]
        } else {
            ["response.output_audio", "response.output_audio_transcript"]
        };
        let mut output = Vec::new();
        if !audio.is_empty() {
            at = self.speech(at, &answer, &audio, &id, &item, names);
            output.push(json!({ "id": item, "type": "message", "role": "assistant", "status": "completed" }));
        }
        for (n, (name, arguments)) in answer.calls.iter().enumerate() {
            let call = format!("call_{}_{n}", self.count);
            self.calls.insert(call.clone());
            let item = format!("{item}_f{n}");
            let done = json!({
                "id": item, "type": "function_call", "status": "completed",
                "call_id": call, "name": name, "arguments": arguments,
            });
            let mut added = done.clone();
            added["arguments"] = json!("");
            self.later(at, json!({ "type": "response.output_item.added", "response_id": id, "item": added }));
            self.later(at, json!({
                "type": "response.function_call_arguments.done",
                "response_id": id, "item_id": item, "output_index": n, "call_id": call, "arguments": arguments,
            }));
            self.later(at, json!({ "type": "response.output_item.done", "response_id": id, "item": done }));
            output.push(done);
        }
        let (status, details) = match &answer.fate {
            Fate::Failed(why) => (
                "failed",
                json!({ "type": "failed", "error": { "type": "server_error", "code": why, "message": "no" } }),
            ),
            _ => ("completed", Value::Null),
        };
        let event = json!({
            "type": "response.done",
            "response": { "id": id, "object": "realtime.response", "status": status, "status_details": details,
                "output": output, "usage": { "total_tokens": 1 } },
        });
        self.due.push_back(Due { at, event, of_response: true, generates: None, ends: true });
        self.later(at, json!({ "type": "rate_limits.updated", "rate_limits": [] }));
    }

    /// The events of one spoken item; when the last of them is due.
    fn speech(
        &mut self,
        mut at: Instant,
        answer: &Answer,
        audio: &[u8],
        id: &str,
        item: &str,
        [audio_name, transcript_name]: [&str; 2],
    ) -> Instant {
        let part = |kind: String, extra: Value| {
            let mut event = json!({
                "type": kind, "response_id": id, "item_id": item, "output_index": 0, "content_index": 0,
            });
            if let (Some(event), Value::Object(extra)) = (event.as_object_mut(), extra) {
                event.extend(extra);
            }
            event
        };
        self.later(at, json!({
            "type": "response.output_item.added", "response_id": id, "output_index": 0,
            "item": { "id": item, "type": "message", "role": "assistant", "status": "in_progress", "content": [] },
        }));
        self.later(at, part("response.content_part.added".into(), json!({ "part": { "type": "audio" } })));
        for (n, chunk) in audio.chunks(answer.chunk).enumerate() {
            if n > 0 {
                at += answer.pace;
            }
            let event = part(format!("{audio_name}.delta"), json!({ "delta": STANDARD.encode(chunk) }));
            let generates = Some((item.to_owned(), chunk.len() as u64));
            self.due.push_back(Due { at, event, of_response: true, generates, ends: false });
            if n == 0 {
                self.later(at, part(format!("{transcript_name}.delta"), json!({ "delta": answer.text })));
            }
        }
        self.later(at, part(format!("{audio_name}.done"), json!({})));
        self.later(at, part(format!("{transcript_name}.done"), json!({ "transcript": answer.text })));
        at
    }

    fn later(&mut self, at: Instant, event: Value) {
        self.due.push_back(Due { at, event, of_response: true, generates: None, ends: false });
    }
}
