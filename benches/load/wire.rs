//! SIP as far as a caller needs it: four messages out, responses and BYE in. Text is built once per message and kept for
//! retransmission.

use std::net::SocketAddr;

/// Who calls whom.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub local: SocketAddr,
    pub relay: SocketAddr,
    /// Tells the runs of one relay apart.
    pub run: u32,
}

/// What a response or a request of the relay says.
#[derive(Debug)]
pub enum Incoming<'a> {
    Response {
        call: usize,
        status: u16,
        method: &'a str,
        to: &'a str,
        contact: &'a str,
        body: &'a str,
    },
    /// A request, with the header lines that its answer repeats.
    Request {
        call: usize,
        method: &'a str,
        echoed: String,
    },
}

impl Ends {
    pub fn invite(&self, call: usize, media: SocketAddr) -> Vec<u8> {
        let Self { local, relay, .. } = self;
        let sdp = testkit::sdp::audio(media, &[0, 101]);
        let head =
            self.head("INVITE", &format!("sip:100@{relay}"), call, "i", &format!("<sip:100@{relay}>"), 1);
        let about = "Content-Type: application/sdp\r\nContent-Length";
        format!("{head}Contact: <sip:load@{local}>\r\n{about}: {}\r\n\r\n{sdp}", sdp.len()).into_bytes()
    }

    /// ACK of a 2xx, or of a refusal, which goes out on the INVITE's branch (RFC 3261 §17.1.1.3).
    pub fn ack(&self, call: usize, refused: bool, to: &str, contact: &str) -> Vec<u8> {
        let (target, branch) =
            if refused { (format!("sip:100@{}", self.relay), "i") } else { (uri(contact).to_owned(), "a") };
        let head = self.head("ACK", &target, call, branch, to, 1);
        format!("{head}Content-Length: 0\r\n\r\n").into_bytes()
    }

    pub fn bye(&self, call: usize, to: &str, contact: &str) -> Vec<u8> {
        let head = self.head("BYE", uri(contact), call, "b", to, 2);
        format!("{head}Content-Length: 0\r\n\r\n").into_bytes()
    }

    pub fn ok(&self, echoed: &str) -> Vec<u8> {
        format!("SIP/2.0 200 OK\r\n{echoed}Content-Length: 0\r\n\r\n").into_bytes()
    }

    fn head(&self, method: &str, target: &str, call: usize, branch: &str, to: &str, cseq: u32) -> String {
        let Self { local, run, .. } = self;
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKr{run}c{call}{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:09{call:08}@{local}>;tag=r{run}f{call}\r\nTo: {to}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            self.call_id(call)
        )
    }

    pub fn call_id(&self, call: usize) -> String {
        format!("load{}c{call}@{}", self.run, self.local.ip())
    }

    /// The number in one of our Call-IDs.
    pub fn call_number(&self, call_id: &str) -> Option<usize> {
        let rest = call_id.strip_prefix("load")?;
        let (run, rest) = rest.split_once('c')?;
        let number = rest.split('@').next()?.parse().ok()?;
        (run.parse() == Ok(self.run)).then_some(number)
    }

    pub fn read<'a>(&self, datagram: &'a [u8]) -> Option<Incoming<'a>> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let first = lines.next()?;
        let (mut call, mut method, mut to, mut contact, mut echoed) = (None, "", "", "", String::new());
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            match name.trim() {
                "Call-ID" | "i" => call = self.call_number(value),
                "CSeq" => method = value.split(' ').next_back()?,
                "To" | "t" => to = value,
                "Contact" | "m" => contact = value,
                "Via" | "v" | "From" | "f" => {}
                _ => continue,
            }
            if !matches!(name, "Contact" | "m") {
                echoed.push_str(line);
                echoed.push_str("\r\n");
            }
        }
        let call = call?;
        match first.strip_prefix("SIP/2.0 ") {
            Some(status) => {
                let status = status.get(..3)?.parse().ok()?;
                Some(Incoming::Response { call, status, method, to, contact, body })
            }
            None => Some(Incoming::Request { call, method, echoed }),
        }
    }
}

/// Where an SDP answer wants its audio.
pub fn media_address(sdp: &str) -> Option<SocketAddr> {
    let line = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix));
    let ip = line("c=IN IP4 ")?.trim().parse().ok()?;
    let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

fn uri(contact: &str) -> &str {
    let inside = contact.split_once('<').map_or(contact, |(_, rest)| rest);
    inside.split('>').next().unwrap_or(inside)
}
