//! `Registrar` is a SIP server that takes every registration and passes calls on to where their user registered, as a
//! stateless proxy (RFC 3261 §16.11); and the digest that a server recomputes.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::message::{Message, uri_of};
use testkit::phone::Phone;

use super::md5::md5;

pub struct Registrar {
    shared: Arc<Shared>,
}

struct Shared {
    socket: UdpSocket,
    contacts: Mutex<HashMap<String, String>>,
    stop: AtomicBool,
}

impl Registrar {
    /// A server on a free port of loopback that grants an hour to everybody.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let shared = Arc::new(Shared { socket, contacts: Mutex::default(), stop: AtomicBool::new(false) });
        let reader = shared.clone();
        std::thread::spawn(move || reader.serve());
        Self { shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.socket.local_addr().unwrap()
    }

    /// How many users are registered now.
    pub fn registered(&self) -> usize {
        self.shared.contacts.lock().unwrap().len()
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn serve(&self) {
        let mut phone = Phone::new(7, "registrar", self.socket.local_addr().unwrap());
        let mut buffer = vec![0; 65_536];
        while !self.stop.load(Ordering::Relaxed) {
            let Ok((n, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let Some(message) = Message::parse(&buffer[..n]) else { continue };
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            match message.method() {
                None => self.pass_back(&message, &text),
                Some("REGISTER") => {
                    let contact = message.header("Contact").unwrap_or_default().to_owned();
                    self.register(&message, &contact);
                    let ok = phone.respond(&message, 200, "OK").header("Contact", contact);
                    self.socket.send_to(&ok.to_bytes(), from).unwrap();
                }
                Some(method) => {
                    let user = user_of(message.uri().unwrap_or_default());
                    match self.contacts.lock().unwrap().get(&user) {
                        Some(contact) => self.pass_on(&message, &text, contact),
                        None if method == "ACK" => {}
                        None => {
                            let unknown = phone.respond(&message, 404, "Not Found");
                            self.socket.send_to(&unknown.to_bytes(), from).unwrap();
                        }
                    }
                }
            }
        }
    }

    fn register(&self, message: &Message, contact: &str) {
        let user = user_of(uri_of(message.header("To").unwrap_or_default()));
        let mut contacts = self.contacts.lock().unwrap();
        if message.header("Expires") == Some("0") {
            contacts.remove(&user);
        } else {
            contacts.insert(user, uri_of(contact).to_owned());
        }
    }

    fn pass_on(&self, message: &Message, text: &str, contact: &str) {
        let (method, branch) = (message.method().unwrap(), message.branch().unwrap_or_default());
        let rest = text.split_once("\r\n").unwrap().1;
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bK-over-{branch}", self.socket.local_addr().unwrap());
        let request = format!("{method} {contact} SIP/2.0\r\nVia: {via}\r\n{rest}");
        self.send(&request, contact.rsplit('@').next().unwrap());
    }

    /// Our own Via is the first one; the next one says where the request came from.
    fn pass_back(&self, message: &Message, text: &str) {
        let vias = message.values("Via");
        let Some(next) = vias.get(1) else { return };
        let sent_by = next.split([' ', ';']).nth(1).unwrap();
        let mut lines: Vec<&str> = text.split("\r\n").collect();
        let own = lines.iter().position(|line| line.to_ascii_lowercase().starts_with("via:")).unwrap();
        lines.remove(own);
        self.send(&lines.join("\r\n"), sent_by);
    }

    fn send(&self, text: &str, to: &str) {
        let to: SocketAddr = to.split(';').next().unwrap().parse().unwrap();
        self.socket.send_to(text.as_bytes(), to).unwrap();
    }
}

/// The user of a URI.
fn user_of(uri: &str) -> String {
    uri.trim_start_matches("sip:").split(['@', ':']).next().unwrap_or_default().to_owned()
}

/// What the `response` of an Authorization or Proxy-Authorization has to be, recomputed from the rest of it (RFC 2617, with
/// and without `qop=auth`).
pub fn digest(authorization: &str, method: &str, password: &str) -> String {
    let field =
        |name: &str| parameter(authorization, name).unwrap_or_else(|| panic!("no {name} in {authorization}"));
    let secret = md5(&format!("{}:{}:{password}", field("username"), field("realm")));
    let request = md5(&format!("{method}:{}", field("uri")));
    match parameter(authorization, "qop") {
        None => md5(&format!("{secret}:{}:{request}", field("nonce"))),
        Some(qop) => {
            let (count, cnonce) = (field("nc"), field("cnonce"));
            md5(&format!("{secret}:{}:{count}:{cnonce}:{qop}:{request}", field("nonce")))
        }
    }
}

/// A parameter of an Authorization header, without its quotes.
pub fn parameter(authorization: &str, name: &str) -> Option<String> {
    let parameters = authorization.split_once(' ')?.1;
    parameters.split(',').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    })
}
