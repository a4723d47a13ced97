//! The settings of agent streams: bots for Twilio Media Streams that calls are connected to.
//!
//! In: the same sources as all settings. Out: an [`AgentStreamConfig`].

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use tokio_tungstenite::tungstenite::http::Uri;

use super::{
    Secret,
    load::{Reader, absolute},
    parse::{self, Parsed},
};

/// Which bot calls are connected to, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStreamConfig {
    /// Where the bot is; `None` = calls are for WebSocket clients only. `AGENT_STREAM_URL`.
    pub url: Option<StreamUrl>,
    /// Custom parameters of every call, name and value; `AGENT_STREAM_PARAMETERS`.
    pub parameters: Vec<(String, Secret)>,
    /// Whether a bot on another machine may be connected to without TLS; `AGENT_STREAM_ALLOW_PLAIN`.
    pub allow_plain: bool,
    /// Authorities that a bot's certificate is trusted by, PEM; `None` = the public ones. `AGENT_STREAM_CA`.
    pub authorities: Option<PathBuf>,
}

/// The address of a bot: `ws://` or `wss://`, with a query or not. The query may hold a token and is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamUrl(String);

impl StreamUrl {
    /// Takes an address. `allow_plain`: `ws://` to another machine is allowed. The error says what is expected.
    pub fn parse(text: &str, allow_plain: bool) -> Result<Self, String> {
        let expected = "expected the address of a WebSocket: wss://bot.example/stream";
        let uri: Uri = text.parse().map_err(|_| expected.to_owned())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(expected)?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || text.contains('#') {
            return Err(format!("{expected}, without a user and without #"));
        }
        match uri.scheme_str() {
            Some("wss") => {}
            Some("ws") if allow_plain || is_this_machine(host) => {}
            Some("ws") => {
                let why = "audio and parameters would travel in the clear; use wss://, or AGENT_STREAM_ALLOW_PLAIN=1 \
                           to allow it";
                return Err(why.to_owned());
            }
            _ => return Err(expected.to_owned()),
        }
        Ok(Self(text.to_owned()))
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is signed. Twilio speaks TLS alone, so what checks a signature expects `wss://`, also behind a plain socket.
    pub fn signed(&self) -> String {
        match self.0.strip_prefix("ws://") {
            Some(rest) => format!("wss://{rest}"),
            None => self.0.clone(),
        }
    }
}

/// Without the query.
impl fmt::Display for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('?') {
            Some((address, _)) => write!(f, "{address}?..."),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

pub(super) fn read(reader: &mut Reader<'_>, cwd: &Path) -> AgentStreamConfig {
    let allow_plain = reader.read("AGENT_STREAM_ALLOW_PLAIN", parse::flag);
    AgentStreamConfig {
        url: reader.read_optional("AGENT_STREAM_URL", |text| StreamUrl::parse(text, allow_plain)),
        parameters: reader.read_optional("AGENT_STREAM_PARAMETERS", parameters).unwrap_or_default(),
        allow_plain,
        authorities: reader.read_optional("AGENT_STREAM_CA", parse::line).map(|path| absolute(cwd, &path)),
    }
}

/// `name=value` pairs with commas between them. The text of an error names no value.
fn parameters(text: &str) -> Parsed<Vec<(String, Secret)>> {
    let mut parameters: Vec<(String, Secret)> = Vec::new();
    for pair in parse::line(text)?.split(',') {
        let pair = pair.trim().split_once('=').filter(|(name, _)| !name.trim().is_empty());
        let (name, value) =
            pair.ok_or_else(|| "expected name=value with commas between: tenant=7,lang=en".to_owned())?;
        if parameters.iter().any(|(known, _)| known == name.trim()) {
            return Err("expected each name once".to_owned());
        }
        parameters.push((name.trim().to_owned(), Secret::new(value.trim())));
    }
    Ok(parameters)
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_for_this_machine_unless_allowed() {
        for url in ["ws://127.0.0.1:8765/ws", "ws://localhost/", "ws://[::1]:80/a?b=c", "wss://bot.example"] {
            assert_eq!(StreamUrl::parse(url, false).map(|url| url.0), Ok(url.to_owned()));
        }
        let error = StreamUrl::parse("ws://bot:8765/ws", false).expect_err("it is another machine");
        assert!(error.contains("AGENT_STREAM_ALLOW_PLAIN=1"), "{error}");
        assert!(StreamUrl::parse("ws://bot:8765/ws", true).is_ok());
    }

    #[test]
    fn what_is_no_address_of_a_websocket_is_refused() {
        for url in [
            "",
            "bot.example",
            "/ws",
            "https://bot.example/ws",
            "wss://",
            "wss://a b/",
            "wss://u:p@bot/",
            "wss://b/#x",
        ] {
            assert!(StreamUrl::parse(url, true).is_err(), "{url:?}");
        }
    }

    #[test]
    fn query_is_dialled_and_signed_and_not_shown() {
        let url = StreamUrl::parse("ws://localhost:1/ws?token=hunter2", false).expect("it is one");
        assert_eq!(url.as_str(), "ws://localhost:1/ws?token=hunter2");
        assert_eq!(url.signed(), "wss://localhost:1/ws?token=hunter2");
        assert_eq!(format!("{url} {url:?}"), "ws://localhost:1/ws?... \"ws://localhost:1/ws?...\"");
    }

    #[test]
    fn parameters_are_pairs_whose_values_may_hold_equals_signs() {
        let parsed = parameters("tenant=7, token=a=b,empty=").expect("three pairs");
        let shown: Vec<_> = parsed.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(shown, [("tenant", "7"), ("token", "a=b"), ("empty", "")]);
        for wrong in ["a", "a=1,", "=1", "a=1,a=2"] {
            assert!(parameters(wrong).is_err(), "{wrong:?}");
        }
    }
}
