//! One connection: the handshake, what comes in, what is due to go out.

// The library's type of a refused handshake.
#![allow(clippy::result_large_err)]

use std::{
    net::TcpStream,
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tungstenite::{
    Error, Message, WebSocket, accept_hdr,
    handshake::server::{ErrorResponse, Request, Response},
};

use super::{Door, Log, Order, Shared, Told, check::check, lock, talk::Talk};

/// Serves one connection to its end.
pub(super) fn serve(stream: TcpStream, shared: &Arc<Shared>) {
    let door = lock(&shared.door).clone();
    if door == Door::Silent {
        while !shared.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
        return;
    }
    let _ = stream.set_nodelay(true);
    let callback = |request: &Request, response: Response| admit(request, response, &door, shared);
    let Ok(socket) = accept_hdr(stream, callback) else { return };
    let (orders, received) = mpsc::channel();
    let log = Arc::new(Log {
        entries: Mutex::default(),
        audio: Mutex::default(),
        open: AtomicBool::new(true),
        orders,
    });
    lock(&shared.sessions).push(log.clone());
    shared.changed.notify_all();
    let talk = Talk::new();
    let mut session =
        Connection { socket, shared: shared.clone(), log: log.clone(), talk, configured: false };
    // The peer may leave at any time.
    let _ = session.run(&received);
    log.open.store(false, Ordering::Relaxed);
    shared.changed.notify_all();
}

fn admit(
    request: &Request,
    response: Response,
    door: &Door,
    shared: &Shared,
) -> Result<Response, ErrorResponse> {
    let refuse = |status: u16, message: &str| {
        let body = json!({ "error": { "message": message, "type": "invalid_request_error", "code": null } });
        let mut refusal = ErrorResponse::new(Some(body.to_string()));
        *refusal.status_mut() = status.try_into().expect("a status");
        Err(refusal)
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let uri = request.uri();
    let has_model = uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair.len() > 6 && pair.starts_with("model=")));
    if uri.path() != "/v1/realtime" || !has_model {
        shared.violation(format!("connected to {uri}"));
        return refuse(404, "no such path");
    }
    if header("openai-beta").is_some() {
        shared.violation("the header of the beta".to_owned());
    }
    match door {
        Door::Refuse(status, message) => refuse(*status, message),
        Door::Key(key) if header("authorization") != Some(&format!("Bearer {key}")) => {
            let given = header("authorization").unwrap_or_default().replace("Bearer ", "");
            refuse(401, &format!("Incorrect API key provided: {given}."))
        }
        _ => Ok(response),
    }
}

struct Connection {
    socket: WebSocket<TcpStream>,
    shared: Arc<Shared>,
    log: Arc<Log>,
    talk: Talk,
    configured: bool,
}

impl Connection {
    fn run(&mut self, orders: &mpsc::Receiver<Order>) -> Result<(), Error> {
        self.socket.get_ref().set_read_timeout(Some(Duration::from_millis(10)))?;
        self.talk
            .send(json!({ "type": "session.created", "session": { "type": "realtime", "id": "sess_1" } }));
        while !self.shared.stop.load(Ordering::Relaxed) {
            for order in orders.try_iter() {
                match order {
                    Order::Start => self.talk.speech_started(),
                    Order::Stop => self.talk.speech_stopped(|| self.shared.answer()),
                    Order::Raw(text) => self.socket.send(Message::text(text))?,
                    Order::Drop => return Ok(()),
                    Order::Stall => loop {
                        thread::sleep(Duration::from_millis(50));
                        if self.shared.stop.load(Ordering::Relaxed) {
                            return Ok(());
                        }
                    },
                }
            }
            while let Some(event) = self.talk.due(Instant::now()) {
                self.socket.send(Message::text(event.to_string()))?;
            }
            match self.socket.read() {
                Ok(Message::Text(text)) => self.event(text.as_str()),
                Ok(_) => {}
                Err(Error::Io(error)) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn event(&mut self, text: &str) {
        let event: Value = serde_json::from_str(text).unwrap_or_default();
        if let Err(what) = check(&event) {
            return self.refuse("invalid_value", &what);
        }
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if kind == "input_audio_buffer.append" {
            return self.audio(event["audio"].as_str().unwrap_or_default());
        }
        match kind.as_str() {
            "session.update" => {
                self.configured = true;
                self.talk.configure(&event["session"]);
                self.talk.send(json!({ "type": "session.updated", "session": event["session"] }));
            }
            "conversation.item.truncate" => self.truncate(&event),
            "conversation.item.create" => self.item(&event["item"]),
            "response.create" => match self.talk.is_responding() {
                true => self.refuse(
                    "conversation_already_has_active_response",
                    "Conversation already has an active response in progress.",
                ),
                false => self.talk.respond(self.shared.answer()),
            },
            "response.cancel" => self.cancel(),
            _ => {}
        }
        lock(&self.log.entries).push(Told { at: Instant::now(), event });
        self.shared.changed.notify_all();
    }

    fn cancel(&mut self) {
        if !self.talk.cancel() {
            self.talk.error("response_cancel_not_active", "Cancellation failed: no active response found");
        }
    }

    fn audio(&mut self, audio: &str) {
        match STANDARD.decode(audio) {
            Ok(_) if !self.configured => self.refuse("early", "audio before session.update"),
            Ok(audio) => {
                lock(&self.log.audio).extend_from_slice(&audio);
                if self.shared.listens.load(Ordering::Relaxed) {
                    self.talk.listen(&audio, || self.shared.answer());
                }
                self.talk.appended(audio.len());
            }
            Err(_) => self.refuse("invalid_value", "audio is no base64"),
        }
    }

    fn truncate(&mut self, event: &Value) {
        let id = event["item_id"].as_str().unwrap_or_default();
        let end = event["audio_end_ms"].as_u64().unwrap_or_default();
        match self.talk.generated(id) {
            None => self.refuse("item_not_found", &format!("Item with item_id '{id}' not found.")),
            Some(ms) if end > ms => self
                .refuse("invalid_value", &format!("Audio content of {ms}ms is already shorter than {end}ms")),
            Some(_) => self.talk.send(json!({
                "type": "conversation.item.truncated",
                "item_id": id,
                "content_index": 0,
                "audio_end_ms": end,
            })),
        }
    }

    fn item(&mut self, item: &Value) {
        if item["type"] == "function_call_output" && !self.talk.has_called(&item["call_id"]) {
            return self.refuse("invalid_value", "there was no such function call");
        }
        self.talk.send(json!({ "type": "conversation.item.added", "item": item }));
        self.talk.send(json!({ "type": "conversation.item.done", "item": item }));
    }

    fn refuse(&mut self, code: &str, message: &str) {
        self.shared.violation(format!("{code}: {message}"));
        self.talk.error(code, message);
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
