//! SIP messages as text (RFC 3261 §7): `Message` reads what came in, `Draft` writes what goes out.
//!
//! No grammar beyond lines, names and values: what the script wants to send is sent, valid or not, and what came in is
//! shown as it is.

use std::fmt;

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    start_line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Message {
    /// Reads one datagram. `None` when it has no SIP start line or no end of headers.
    ///
    /// Folded header lines are joined, compact names are spelled out. The body is what follows the headers, cut to
    /// Content-Length where there is one.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(datagram);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start_line = lines.next()?.to_owned();
        if !start_line.starts_with("SIP/2.0 ") && !start_line.ends_with(" SIP/2.0") {
            return None;
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
            } else {
                let (name, value) = line.split_once(':')?;
                headers.push((long_name(name.trim()).to_owned(), value.trim().to_owned()));
            }
        }
        let mut message = Self { start_line, headers, body: body.to_owned() };
        if let Some(length) = message.header("Content-Length").and_then(|v| v.parse::<usize>().ok()) {
            message.body = body.get(..length).unwrap_or(body).to_owned();
        }
        Some(message)
    }

    /// The first line.
    pub fn start_line(&self) -> &str {
        &self.start_line
    }

    /// Status code of a response; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        self.start_line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Reason phrase of a response.
    pub fn reason(&self) -> Option<&str> {
        self.start_line.strip_prefix("SIP/2.0 ")?.get(4..)
    }

    /// Method of a request; `None` for a response.
    pub fn method(&self) -> Option<&str> {
        if self.status().is_some() { None } else { self.start_line.split(' ').next() }
    }

    /// Request-URI of a request; `None` for a response.
    pub fn uri(&self) -> Option<&str> {
        if self.status().is_some() { None } else { self.start_line.split(' ').nth(1) }
    }

    /// Value of the first header of this name (long form, any case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// Values of all header lines of this name, in order, as they stand.
    pub fn headers<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Values of all headers of this name, those of one line that are separated by commas apart.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.headers(name).flat_map(split_commas).collect()
    }

    /// The body; empty when there is none.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The Call-ID; empty when there is none.
    pub fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or_default()
    }

    /// CSeq number and method.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The tag of the To header: what the answering side called its half of the dialog.
    pub fn tag(&self) -> Option<String> {
        parameter(self.header("To")?, "tag")
    }

    /// The tag of the From header.
    pub fn from_tag(&self) -> Option<String> {
        parameter(self.header("From")?, "tag")
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> Option<String> {
        parameter(self.values("Via").first()?, "branch")
    }

    /// The URI of the Contact.
    pub fn contact(&self) -> Option<String> {
        self.values("Contact").first().map(|v| uri_of(v).to_owned())
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.start_line)?;
        self.headers.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))?;
        write!(f, "\n{}", self.body)
    }
}

/// A message under construction. `to_string()` gives the text, Content-Length last and right unless the script set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    start_line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Draft {
    /// A request line and no headers.
    pub fn request(method: &str, uri: &str) -> Self {
        Self { start_line: format!("{method} {uri} SIP/2.0"), headers: Vec::new(), body: String::new() }
    }

    /// A status line and no headers.
    pub fn response(status: u16, reason: &str) -> Self {
        Self { start_line: format!("SIP/2.0 {status} {reason}"), headers: Vec::new(), body: String::new() }
    }

    /// Adds a header at the end.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Puts a header in place of all of this name.
    pub fn replace(self, name: &str, value: impl fmt::Display) -> Self {
        self.without(name).header(name, value)
    }

    /// Takes out all headers of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(self, content_type: &str, body: &str) -> Self {
        let mut draft = self.replace("Content-Type", content_type);
        body.clone_into(&mut draft.body);
        draft
    }

    /// Sets an `application/sdp` body.
    pub fn sdp(self, body: &str) -> Self {
        self.body("application/sdp", body)
    }

    /// The text as a datagram.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\r\n", self.start_line)?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, "{name}: {value}\r\n"))?;
        if !self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("Content-Length")) {
            write!(f, "Content-Length: {}\r\n", self.body.len())?;
        }
        write!(f, "\r\n{}", self.body)
    }
}

/// A header parameter (`;name=value`) outside the angle brackets, without quotes; an empty text for one without a value.
pub fn parameter(value: &str, name: &str) -> Option<String> {
    let outside = value.rfind('>').map_or(value, |end| &value[end + 1..]);
    outside.split(';').skip(1).find_map(|p| {
        let (key, text) = p.split_once('=').unwrap_or((p, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| text.trim().trim_matches('"').to_owned())
    })
}

/// The URI of a From, To, Contact or Route value: what is between the angle brackets, or all before the parameters.
pub fn uri_of(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => value.split(';').next().unwrap_or_default().trim(),
    }
}

fn long_name(name: &str) -> &str {
    match name.to_ascii_lowercase().as_str() {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        "c" => "Content-Type",
        "l" => "Content-Length",
        "e" => "Content-Encoding",
        "k" => "Supported",
        "s" => "Subject",
        "r" => "Refer-To",
        "o" => "Event",
        "x" => "Session-Expires",
        _ => name,
    }
}

fn split_commas(value: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted, mut angled) = (Vec::new(), String::new(), false, false);
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angled = true,
            '>' if !quoted => angled = false,
            ',' if !quoted && !angled => {
                parts.push(part.trim().to_owned());
                part.clear();
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part.trim().to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &str = "SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP a:1;branch=z9hG4bK1, SIP/2.0/UDP b:2;branch=z9hG4bK2\r\n\
        VIA: SIP/2.0/UDP c:3;branch=z9hG4bK3\r\nFrom: \"A, <B>\" <sip:a@h;x=1>;tag=from1\r\n\
        t: <sip:b@h;tag=not-this>\r\n ;tag=to1\r\ni: id@h\r\nCSeq: 7  INVITE\r\n\
        Contact: <sip:b@127.0.0.1:5>;expires=3\r\nContent-Length: 2\r\n\r\nabc";

    #[test]
    fn response_is_read_with_compact_folded_and_listed_headers() {
        let m = Message::parse(RESPONSE.as_bytes()).unwrap();
        assert_eq!((m.status(), m.reason(), m.method(), m.uri()), (Some(180), Some("Ringing"), None, None));
        assert_eq!(m.values("Via").len(), 3);
        assert_eq!(m.branch().unwrap(), "z9hG4bK1");
        assert_eq!(m.values("From"), ["\"A, <B>\" <sip:a@h;x=1>;tag=from1"]);
        assert_eq!((m.from_tag().unwrap(), m.tag().unwrap()), ("from1".into(), "to1".into()));
        assert_eq!((m.call_id(), m.cseq()), ("id@h", Some((7, "INVITE"))));
        assert_eq!(m.contact().unwrap(), "sip:b@127.0.0.1:5");
        assert_eq!(m.body(), "ab");
    }

    #[test]
    fn request_line_is_taken_apart() {
        let m = Message::parse(b"BYE sip:a@h SIP/2.0\r\nl: 0\r\n\r\n").unwrap();
        assert_eq!((m.method(), m.uri(), m.status(), m.tag()), (Some("BYE"), Some("sip:a@h"), None, None));
    }

    #[test]
    fn what_is_no_sip_message_is_refused() {
        for text in [
            "",
            "\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "BYE sip:a@h SIP/2.0\r\n",
            "BYE sip:a@h SIP/2.0\r\nx\r\n\r\n",
        ] {
            assert_eq!(Message::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn draft_is_written_in_order_with_its_length() {
        let draft = Draft::request("INFO", "sip:b@h")
            .header("Via", "x")
            .header("Max-Forwards", 70)
            .replace("Via", "y");
        assert_eq!(
            draft.body("text/plain", "h\u{e9}").to_string(),
            "INFO sip:b@h SIP/2.0\r\nMax-Forwards: 70\r\nVia: y\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nh\u{e9}"
        );
        let lying = Draft::response(200, "OK").header("content-length", 9);
        assert_eq!(lying.to_string(), "SIP/2.0 200 OK\r\ncontent-length: 9\r\n\r\n");
    }

    #[test]
    fn parameters_and_uris_are_found_in_either_form() {
        assert_eq!(parameter("sip:a@h;tag=x", "tag").as_deref(), Some("x"));
        assert_eq!(parameter("<sip:p;lr>;ftag=\"q\"", "FTAG").as_deref(), Some("q"));
        assert_eq!(parameter("<sip:p;lr>", "lr"), None);
        assert_eq!(uri_of("\"x\" <sip:p;lr>;a=1"), "sip:p;lr");
        assert_eq!(uri_of("sip:a@h;tag=x"), "sip:a@h");
    }
}
