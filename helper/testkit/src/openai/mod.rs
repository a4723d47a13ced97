//! A scripted server that speaks like the OpenAI API: transcription, chat (plain and streamed), speech.
//!
//! In: HTTP/1.1 requests on a free port of loopback. Out: what the script says, at the time it says, and a list of what was
//! asked. [`realtime`] is its other half, over WebSocket. The one module here with sockets and threads: what it stands in for is a process of its own.

// A server waits and listens; the rule is for cores.
#![allow(clippy::disallowed_methods)]

mod http;
mod multipart;
pub mod realtime;
mod reply;

use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub use self::{
    multipart::Part,
    reply::{Ending, Reply},
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `/audio/transcriptions`
    Transcription,
    /// `/chat/completions`
    Chat,
    /// `/audio/speech`
    Speech,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it had come completely.
    pub at: Instant,
    /// What it asks for; `None` for any other path.
    pub stage: Option<Stage>,
    /// The path as it came.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body of a JSON request as text.
    pub json: String,
    /// The parts of a multipart request.
    pub parts: Vec<Part>,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field: of a form, or of the outermost object of JSON where it is text or a number.
    pub fn field(&self, name: &str) -> Option<String> {
        let part = self.parts.iter().find(|part| part.name == name);
        part.map(|part| String::from_utf8_lossy(&part.body).into_owned())
            .or_else(|| json_value(&self.json, name))
    }

    /// The uploaded file.
    pub fn file(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.file_name.is_some())
    }
}

/// The server. It ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    requests: Mutex<Vec<Request>>,
    arrived: Condvar,
    scripts: Mutex<Scripts>,
    connections: AtomicUsize,
    stop: AtomicBool,
}

#[derive(Default)]
struct Scripts {
    next: Vec<(Stage, VecDeque<Reply>)>,
    otherwise: Vec<(Stage, Reply)>,
}

impl Server {
    /// Starts on a free port. Until told otherwise it hears "hello", replies "Good day." and speaks a second of 440 Hz.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            arrived: Condvar::new(),
            scripts: Mutex::default(),
            connections: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let server = Self { address, shared: shared.clone() };
        server.always(Stage::Transcription, Reply::transcript("hello"));
        server.always(Stage::Chat, Reply::chat("Good day."));
        server.always(Stage::Speech, Reply::wav(24_000, &crate::tone::tone(440.0, 24_000, 1000)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let shared = shared.clone();
                // The peer may leave at any time.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        server
    }

    /// Where it is, with the version: `http://127.0.0.1:{port}/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next request of this stage that has no reply yet gets this one.
    pub fn next(&self, stage: Stage, reply: Reply) {
        let mut scripts = lock(&self.shared.scripts);
        match scripts.next.iter_mut().find(|(s, _)| *s == stage) {
            Some((_, queue)) => queue.push_back(reply),
            None => scripts.next.push((stage, VecDeque::from([reply]))),
        }
    }

    /// Requests of this stage that have no reply of their own get this one.
    pub fn always(&self, stage: Stage, reply: Reply) {
        let mut scripts = lock(&self.shared.scripts);
        scripts.otherwise.retain(|(s, _)| *s != stage);
        scripts.otherwise.push((stage, reply));
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// The requests of one stage.
    pub fn requests_of(&self, stage: Stage) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.stage == Some(stage)).collect()
    }

    /// TCP connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until `n` requests of this stage have come and returns those of it.
    pub fn expect(&self, stage: Stage, n: usize, timeout: Duration) -> Vec<Request> {
        let deadline = Instant::now() + timeout;
        let mut requests = lock(&self.shared.requests);
        loop {
            let found: Vec<_> = requests.iter().filter(|r| r.stage == Some(stage)).cloned().collect();
            if found.len() >= n {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {n} requests of {stage:?} in {timeout:?}", found.len());
            requests =
                self.shared.arrived.wait_timeout(requests, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

/// Answers the requests of one connection, one after the other.
fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = std::io::BufReader::new(stream);
    while let Some(raw) = http::read_request(&mut reader)? {
        let stage = [
            ("/audio/transcriptions", Stage::Transcription),
            ("/chat/completions", Stage::Chat),
            ("/audio/speech", Stage::Speech),
        ];
        let stage = stage.into_iter().find(|(end, _)| raw.path.ends_with(end)).map(|(_, stage)| stage);
        let content_type = raw.headers.iter().find(|(name, _)| name == "content-type");
        let boundary = content_type.and_then(|(_, value)| Some(value.split_once("boundary=")?.1));
        let parts = boundary
            .map_or_else(Vec::new, |boundary| multipart::parse(&raw.body, boundary.trim_matches('"')));
        let json =
            if boundary.is_none() { String::from_utf8_lossy(&raw.body).into_owned() } else { String::new() };
        let (path, headers) = (raw.path, raw.headers);
        let request = Request { at: Instant::now(), stage, path, headers, json, parts };
        let streamed = request.json.replace(' ', "").contains("\"stream\":true");
        let reply = stage.map_or_else(|| Reply::error(404, "no such path"), |stage| shared.reply(stage));
        lock(&shared.requests).push(request);
        shared.arrived.notify_all();
        if !reply.write(stream, streamed)? {
            return Ok(());
        }
    }
    Ok(())
}

impl Shared {
    fn reply(&self, stage: Stage) -> Reply {
        let mut scripts = lock(&self.scripts);
        let next =
            scripts.next.iter_mut().find(|(s, _)| *s == stage).and_then(|(_, queue)| queue.pop_front());
        let otherwise =
            || scripts.otherwise.iter().find(|(s, _)| *s == stage).map(|(_, reply)| reply.clone());
        next.or_else(otherwise).unwrap_or_else(|| Reply::error(500, "no script"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked has failed already.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value of the first `"name":` in `json`: text without its quotes and escapes, or a number.
fn json_value(json: &str, name: &str) -> Option<String> {
    let after = json.split_once(&format!("\"{name}\""))?.1.trim_start().strip_prefix(':')?.trim_start();
    let Some(text) = after.strip_prefix('"') else {
        return Some(after.chars().take_while(|c| !",}] \n".contains(*c)).collect());
    };
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn form_and_file_of_a_transcription_are_kept() {
        let server = Server::start();
        let body = "--X\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
                    --X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
                    Content-Type: audio/wav\r\n\r\nRIFF\r\n--\r\n--X--\r\n";
        let answer = ask(&server, "/audio/transcriptions", "multipart/form-data; boundary=X", body);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(r#"{"text":"hello"}"#),
            "{answer}"
        );
        let request = &server.expect(Stage::Transcription, 1, Duration::from_secs(1))[0];
        assert_eq!(request.field("model").as_deref(), Some("whisper-1"));
        let file = request.file().unwrap();
        assert_eq!((file.file_name.as_deref(), &file.body[..]), (Some("a.wav"), &b"RIFF\r\n--"[..]));
    }

    #[test]
    fn chat_is_streamed_where_that_was_asked_for() {
        let server = Server::start();
        server.always(Stage::Chat, Reply::chat("One. \"Two\"."));
        let plain = ask(&server, "/chat/completions", "application/json", r#"{"model":"m"}"#);
        assert!(plain.contains(r#""content":"One. \"Two\".""#), "{plain}");
        let streamed = ask(&server, "/chat/completions", "application/json", r#"{"stream": true}"#);
        assert!(streamed.contains("text/event-stream") && streamed.contains("data: [DONE]"), "{streamed}");
        assert!(streamed.matches("data: {").count() > 3, "{streamed}");
    }

    #[test]
    fn replies_of_their_own_come_first_and_failures_have_their_status() {
        let server = Server::start();
        server.next(Stage::Speech, Reply::error(429, "slow down").header("Retry-After", "1"));
        let first = ask(&server, "/audio/speech", "application/json", r#"{"input":"a\"b"}"#);
        assert!(first.starts_with("HTTP/1.1 429 ") && first.contains("Retry-After: 1\r\n"), "{first}");
        let second = ask(&server, "/audio/speech", "application/json", "{}");
        assert!(second.contains("RIFF"), "{second}");
        assert_eq!(server.requests()[0].field("input").as_deref(), Some("a\"b"));
    }

    #[test]
    fn reply_can_break_off() {
        let server = Server::start();
        server.next(Stage::Chat, Reply::chat("x").ending(Ending::Drop { after: 10 }));
        let answer = ask(&server, "/chat/completions", "application/json", "{}");
        assert!(answer.contains("\r\n\r\n") && !answer.contains("content"), "{answer}");
    }

    fn ask(server: &Server, path: &str, content_type: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let length = body.len();
        let request = format!(
            "POST /v1{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}
