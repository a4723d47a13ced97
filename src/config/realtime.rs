//! The settings of the call center's mode realtime.

use std::time::Duration;

use model::mode::AgentCodec;
use tokio_tungstenite::tungstenite::http::Uri;

use super::{
    load::Reader,
    parse::{self, Parsed},
};
use crate::call_center::realtime::{Eagerness, LostAction, NoiseReduction, TurnDetection};

/// How callers are talked with by the Realtime API.
#[derive(Debug, Clone, PartialEq)]
pub struct RealtimeConfig {
    /// Where it is, `ws://` or `wss://`, perhaps with a query; `OPENAI_REALTIME_URL`.
    pub url: String,
    /// `CALL_CENTER_REALTIME_MODEL`.
    pub model: String,
    /// `CALL_CENTER_REALTIME_VOICE`.
    pub voice: String,
    /// `CALL_CENTER_REALTIME_TURN_DETECTION`, `CALL_CENTER_REALTIME_EAGERNESS`.
    pub turn_detection: TurnDetection,
    /// PCMU or PCMA; `CALL_CENTER_REALTIME_CODEC`.
    pub codec: AgentCodec,
    /// How the caller's audio is cleaned; `CALL_CENTER_REALTIME_NOISE_REDUCTION`.
    pub noise_reduction: Option<NoiseReduction>,
    /// What the model begins with; `CALL_CENTER_REALTIME_GREETING`.
    pub greeting: Option<String>,
    /// How long a session is used; `CALL_CENTER_REALTIME_ROLL_OVER_MINUTES`.
    pub roll_over: Duration,
    /// What becomes of a call without the service; `CALL_CENTER_REALTIME_LOST_ACTION`.
    pub lost_action: LostAction,
}

impl RealtimeConfig {
    /// Where to connect: the URL with the model in its query, unless that names one.
    pub fn address(&self) -> String {
        let query = self.url.split_once('?').map(|(_, query)| query);
        match query {
            Some(query) if query.split('&').any(|pair| pair.starts_with("model=")) => self.url.clone(),
            Some(_) => format!("{}&model={}", self.url, encoded(&self.model)),
            None => format!("{}?model={}", self.url, encoded(&self.model)),
        }
    }
}

/// Reads the settings. `base`: the base URL of the services.
pub(super) fn read(reader: &mut Reader<'_>, base: &str) -> RealtimeConfig {
    let url = reader.read_optional("OPENAI_REALTIME_URL", url).unwrap_or_else(|| derived(base));
    let eagerness = reader.read("CALL_CENTER_REALTIME_EAGERNESS", eagerness);
    let semantic = reader.read("CALL_CENTER_REALTIME_TURN_DETECTION", is_semantic);
    RealtimeConfig {
        url,
        model: reader.read("CALL_CENTER_REALTIME_MODEL", parse::line),
        voice: reader.read("CALL_CENTER_REALTIME_VOICE", parse::line),
        turn_detection: if semantic { TurnDetection::Semantic(eagerness) } else { TurnDetection::Server },
        codec: reader.read("CALL_CENTER_REALTIME_CODEC", codec),
        noise_reduction: reader.read("CALL_CENTER_REALTIME_NOISE_REDUCTION", noise_reduction),
        greeting: reader.read_optional("CALL_CENTER_REALTIME_GREETING", parse::line),
        roll_over: reader.read("CALL_CENTER_REALTIME_ROLL_OVER_MINUTES", minutes),
        lost_action: reader.read("CALL_CENTER_REALTIME_LOST_ACTION", lost_action),
    }
}

/// `https://api.openai.com/v1` is `wss://api.openai.com/v1/realtime`.
fn derived(base: &str) -> String {
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
    format!("{}://{rest}/realtime", if scheme == "http" { "ws" } else { "wss" })
}

fn url(text: &str) -> Parsed<String> {
    let uri: Option<Uri> = text.parse().ok();
    let fits = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some());
    let expected = "expected the URL of a Realtime API, for example wss://api.openai.com/v1/realtime";
    if fits { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

fn is_semantic(text: &str) -> Parsed<bool> {
    match text {
        "server_vad" => Ok(false),
        "semantic_vad" => Ok(true),
        _ => Err("expected server_vad or semantic_vad".to_owned()),
    }
}

fn eagerness(text: &str) -> Parsed<Eagerness> {
    let all = [Eagerness::Low, Eagerness::Medium, Eagerness::High, Eagerness::Auto];
    let found = all.into_iter().find(|eagerness| eagerness.as_str() == text);
    found.ok_or_else(|| "expected low, medium, high or auto".to_owned())
}

fn codec(text: &str) -> Parsed<AgentCodec> {
    match text {
        "pcmu" => Ok(AgentCodec::Pcmu),
        "pcma" => Ok(AgentCodec::Pcma),
        _ => Err("expected pcmu or pcma".to_owned()),
    }
}

fn noise_reduction(text: &str) -> Parsed<Option<NoiseReduction>> {
    match text {
        "off" => Ok(None),
        "near_field" => Ok(Some(NoiseReduction::NearField)),
        "far_field" => Ok(Some(NoiseReduction::FarField)),
        _ => Err("expected off, near_field or far_field".to_owned()),
    }
}

fn minutes(text: &str) -> Parsed<Duration> {
    let minutes: Option<f64> = text.parse().ok();
    let minutes = minutes.filter(|minutes| (0.05..=56.0).contains(minutes));
    let expected = "expected minutes from 0.05 to 56: the service ends a session after 60";
    minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)).ok_or_else(|| expected.to_owned())
}

fn lost_action(text: &str) -> Parsed<LostAction> {
    match text {
        "hangup" => Ok(LostAction::HangUp),
        "keep" => Ok(LostAction::Keep),
        _ => Err("expected hangup or keep".to_owned()),
    }
}

/// Percent-encoded for a query (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
