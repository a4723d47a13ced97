//! Plain HTTP to the relay, and the numbers in its metrics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::WAIT;

/// Status and body of a GET; `None` without an answer in time.
pub fn try_get(relay: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&relay, WAIT).ok()?;
    stream.set_read_timeout(Some(WAIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The same from a relay that answers.
pub fn get(relay: SocketAddr, path: &str) -> (u16, String) {
    try_get(relay, path).unwrap_or_else(|| panic!("no answer to GET {path}"))
}

/// Status and body of a POST of a form; `user` is `name:password`.
pub fn post_form(relay: SocketAddr, path: &str, user: Option<&str>, form: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&relay, WAIT).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let authorization = user.map(|user| format!("Authorization: Basic {}\r\n", STANDARD.encode(user)));
    let (authorization, length) = (authorization.unwrap_or_default(), form.len());
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{authorization}Content-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// All metrics as text.
pub fn metrics(relay: SocketAddr) -> String {
    let (status, text) = get(relay, "/metrics");
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// The value of one series, by its name and labels as they are written.
pub fn value(text: &str, series: &str) -> f64 {
    find(text, series).unwrap_or_else(|| panic!("no series {series} in:\n{text}"))
}

/// The same, where the series may not exist yet.
pub fn find(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}
