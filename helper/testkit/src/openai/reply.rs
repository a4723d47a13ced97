//! What the server answers: a status, a body in one piece or in chunks, and when.

use std::{
    io::{self, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

/// One reply.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    content: Content,
    delay: Duration,
    /// Pause between the chunks of a body that goes out in chunks.
    pace: Duration,
    /// Bytes of a chunk; `None` = all at once, with its length.
    chunk: Option<usize>,
    ending: Ending,
}

#[derive(Debug, Clone)]
enum Content {
    Bytes { media_type: &'static str, body: Vec<u8> },
    Chat { pieces: Vec<String>, tool: Option<(String, String)> },
}

/// How a reply ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As announced.
    Whole,
    /// The connection breaks after so many bytes of the body.
    Drop {
        /// Bytes.
        after: usize,
    },
}

impl Reply {
    fn new(status: u16, content: Content) -> Self {
        let (delay, pace) = (Duration::ZERO, Duration::ZERO);
        Self { status, headers: Vec::new(), content, delay, pace, chunk: None, ending: Ending::Whole }
    }

    /// 200 with any body.
    pub fn bytes(media_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, Content::Bytes { media_type, body: body.into() })
    }

    /// What a caller said.
    pub fn transcript(text: &str) -> Self {
        Self::bytes("application/json", format!("{{\"text\":{}}}", quoted(text)))
    }

    /// What the model says. A streamed reply is cut behind every blank.
    pub fn chat(text: &str) -> Self {
        let pieces = text.split_inclusive(' ').map(str::to_owned).collect();
        Self::new(200, Content::Chat { pieces, tool: None })
    }

    /// The model says something and calls a tool, whose arguments are JSON.
    pub fn tool(text: &str, name: &str, arguments: &str) -> Self {
        let pieces = text.split_inclusive(' ').map(str::to_owned).collect();
        Self::new(200, Content::Chat { pieces, tool: Some((name.to_owned(), arguments.to_owned())) })
    }

    /// Speech as a WAV file, mono 16 bit.
    pub fn wav(rate: u32, samples: &[i16]) -> Self {
        Self::bytes("audio/wav", wav(rate, samples))
    }

    /// Speech as bare samples, as the API sends them for `pcm` (24 kHz).
    pub fn pcm(samples: &[i16]) -> Self {
        Self::bytes("audio/pcm", samples.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A failure with a body like the API's.
    pub fn error(status: u16, message: &str) -> Self {
        let body = format!("{{\"error\":{{\"message\":{},\"type\":\"x\",\"code\":null}}}}", quoted(message));
        Self { status, ..Self::bytes("application/json", body) }
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Comes after this time.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The body goes out in chunks of this many bytes, with a pause before each but the first. A streamed chat is cut by its
    /// pieces instead.
    pub fn chunks(self, bytes: usize, pace: Duration) -> Self {
        Self { chunk: Some(bytes), pace, ..self }
    }

    /// Ends so.
    pub fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// Sends it; false when the connection is over then.
    pub(super) fn write(&self, mut stream: &TcpStream, streamed: bool) -> io::Result<bool> {
        thread::sleep(self.delay);
        let (media_type, chunks) = match &self.content {
            Content::Chat { pieces, tool } if streamed => {
                ("text/event-stream", events(pieces, tool.as_ref()))
            }
            Content::Chat { pieces, tool } => {
                ("application/json", vec![completion(&pieces.concat(), tool.as_ref()).into_bytes()])
            }
            Content::Bytes { media_type, body } => (
                *media_type,
                body.chunks(self.chunk.unwrap_or(body.len()).max(1)).map(<[u8]>::to_vec).collect(),
            ),
        };
        let in_chunks = chunks.len() > 1;
        let mut head =
            format!("HTTP/1.1 {} {}\r\nContent-Type: {media_type}\r\n", self.status, phrase(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length: usize = chunks.iter().map(Vec::len).sum();
        match in_chunks {
            true => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
            false => head.push_str(&format!("Content-Length: {length}\r\n\r\n")),
        }
        stream.write_all(head.as_bytes())?;
        let mut left = match self.ending {
            Ending::Whole => usize::MAX,
            Ending::Drop { after } => after,
        };
        for (n, chunk) in chunks.iter().enumerate() {
            if n > 0 {
                thread::sleep(self.pace);
            }
            let part = &chunk[..chunk.len().min(left)];
            left -= part.len();
            if in_chunks {
                stream.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), part].concat())?;
            } else {
                stream.write_all(part)?;
            }
            if part.len() < chunk.len() {
                stream.shutdown(Shutdown::Both)?;
                return Ok(false);
            }
            if in_chunks {
                stream.write_all(b"\r\n")?;
            }
        }
        if in_chunks {
            stream.write_all(b"0\r\n\r\n")?;
        }
        Ok(true)
    }
}

fn completion(text: &str, tool: Option<&(String, String)>) -> String {
    let calls = tool.map_or_else(String::new, |(name, arguments)| {
        let (name, arguments) = (quoted(name), quoted(arguments));
        format!(",\"tool_calls\":[{{\"id\":\"call_1\",\"type\":\"function\",\"function\":{{\"name\":{name},\"arguments\":{arguments}}}}}]")
    });
    format!(
        "{{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\
         \"message\":{{\"role\":\"assistant\",\"content\":{}{calls}}},\"finish_reason\":\"stop\"}}],\
         \"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}}}",
        quoted(text)
    )
}

/// Server-sent events, one for each piece. The first of a tool call has its name, the next two its arguments in halves.
fn events(pieces: &[String], tool: Option<&(String, String)>) -> Vec<Vec<u8>> {
    let event = |delta: &str, finish: &str| {
        let choice = format!("{{\"index\":0,\"delta\":{{{delta}}},\"finish_reason\":{finish}}}");
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{choice}]}}\n\n"
        )
    };
    let mut events = vec![event("\"role\":\"assistant\",\"content\":\"\"", "null")];
    events.extend(pieces.iter().map(|piece| event(&format!("\"content\":{}", quoted(piece)), "null")));
    if let Some((name, arguments)) = tool {
        let half = arguments.len() / 2;
        let call = |rest: String| event(&format!("\"tool_calls\":[{{\"index\":0,{rest}}}]"), "null");
        let name = quoted(name);
        events.push(call(format!(
            "\"id\":\"call_1\",\"type\":\"function\",\"function\":{{\"name\":{name},\"arguments\":\"\"}}"
        )));
        for part in [&arguments[..half], &arguments[half..]] {
            events.push(call(format!("\"function\":{{\"arguments\":{}}}", quoted(part))));
        }
    }
    events.push(event("", if tool.is_some() { "\"tool_calls\"" } else { "\"stop\"" }));
    events.push("data: [DONE]\n\n".to_owned());
    events.into_iter().map(String::into_bytes).collect()
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 32 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let length = samples.len() as u32 * 2;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((length + 36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Other",
    }
}
