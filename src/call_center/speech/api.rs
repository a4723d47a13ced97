//! `Api` sends requests to one service: with the key, a timeout, and again where that makes sense.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER},
};
use tracing::debug;

use super::SpeechError;
use crate::config::Secret;

/// OpenAI's own.
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// One service. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: String,
    key: Secret,
    retries: Retries,
    timeout: Duration,
}

/// How often and when a request is made again: after a 429, a 5xx, or a connection that could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Requests in all, at least one.
    pub attempts: u32,
    /// Pause before the second one; doubled for each further one. A `Retry-After` in seconds wins.
    pub pause: Duration,
    /// The longest pause; where the service asks for a longer one, the request has failed.
    pub longest: Duration,
}

impl Default for Retries {
    /// Three attempts, half a second, five seconds.
    fn default() -> Self {
        Self { attempts: 3, pause: Duration::from_millis(500), longest: Duration::from_secs(5) }
    }
}

impl Retries {
    /// The pause after attempt number `done` (from 1), or `None` when that was the last.
    pub(super) fn pause_after(&self, done: u32, asked: Option<Duration>) -> Option<Duration> {
        let pause = asked.unwrap_or_else(|| self.pause * 2_u32.saturating_pow(done - 1));
        (done < self.attempts && pause <= self.longest).then_some(pause)
    }
}

impl Api {
    /// A service at `base` (with the version, without a slash at the end). Stages with equal bases should share a clone.
    ///
    /// # Errors
    /// [`SpeechError::EmptyKey`]; [`SpeechError::Connection`] if TLS cannot be set up.
    pub fn new(key: &str, base: &str) -> Result<Self, SpeechError> {
        if key.is_empty() {
            return Err(SpeechError::EmptyKey);
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| SpeechError::Connection("the key cannot stand in a header".to_owned()))?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        let client = Client::builder()
            .use_rustls_tls()
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| SpeechError::Connection(error.to_string()))?;
        let (base, key) = (base.to_owned(), Secret::new(key));
        Ok(Self { client, base, key, retries: Retries::default(), timeout: ANSWER })
    }

    /// With the same connections, for a service at another place.
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// With other rules for trying again.
    pub fn with_retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    /// With another limit than 30 seconds for the time until an answer begins. Between two pieces of an answer there may be
    /// 15 seconds, or as much if that is less.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The next piece of an answer; `None` at its end.
    pub(super) async fn piece(&self, answer: &mut Response) -> Result<Option<Bytes>, SpeechError> {
        let limit = self.timeout.min(BETWEEN_PIECES);
        let piece = tokio::time::timeout(limit, answer.chunk()).await.map_err(|_| SpeechError::Timeout)?;
        piece.map_err(|error| self.connection(&error))
    }

    /// The whole text of an answer.
    pub(super) async fn text(&self, mut answer: Response) -> Result<String, SpeechError> {
        let mut text = Vec::new();
        while let Some(piece) = self.piece(&mut answer).await? {
            if text.len() + piece.len() > LONGEST_TEXT {
                return Err(SpeechError::Answer("more text than an answer can have".to_owned()));
            }
            text.extend_from_slice(&piece);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn key(&self) -> &Secret {
        &self.key
    }

    pub(super) fn retries(&self) -> Retries {
        self.retries
    }

    /// Posts to `path` what `fill` adds to the request, until it is answered with 2xx or may not be tried again.
    pub(super) async fn post(
        &self,
        path: &str,
        fill: impl Fn(RequestBuilder) -> Result<RequestBuilder, SpeechError>,
    ) -> Result<Response, SpeechError> {
        let url = format!("{}{path}", self.base);
        let mut done = 0;
        loop {
            done += 1;
            let request = fill(self.client.post(&url))?;
            let (error, asked) = match tokio::time::timeout(self.timeout, request.send()).await {
                Err(_) => return Err(SpeechError::Timeout),
                Ok(Err(error)) if error.is_connect() => (self.connection(&error), None),
                Ok(Err(error)) => return Err(self.connection(&error)),
                Ok(Ok(response)) if response.status().is_success() => return Ok(response),
                Ok(Ok(response)) => {
                    let status = response.status();
                    let asked = retry_after(response.headers());
                    let message = self.said(&self.text(response).await.unwrap_or_default());
                    let error = SpeechError::Refused { status: status.as_u16(), message };
                    if !is_worth_another(status) {
                        return Err(error);
                    }
                    (error, asked)
                }
            };
            match self.retries.pause_after(done, asked) {
                Some(pause) => {
                    debug!(%error, pause_ms = pause.as_millis(), "trying again");
                    tokio::time::sleep(pause).await;
                }
                None => return Err(error),
            }
        }
    }

    pub(super) fn connection(&self, error: &reqwest::Error) -> SpeechError {
        if error.is_timeout() {
            return SpeechError::Timeout;
        }
        // The outer error repeats the URL; the innermost one says what happened.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        SpeechError::Connection(self.clean(&cause.to_string()))
    }

    /// What the body of a failure says: the API's message, or its beginning.
    pub(super) fn said(&self, body: &str) -> String {
        let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
        let message = json.as_ref().and_then(|json| json.pointer("/error/message")?.as_str());
        self.clean(message.unwrap_or(body))
    }

    /// Without the key, and short enough for a line of the log.
    fn clean(&self, text: &str) -> String {
        text.replace(self.key.expose(), "***").chars().take(LONGEST_MESSAGE).collect()
    }
}

pub(super) fn is_worth_another(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); a date is not understood.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (0.0..=86_400.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

const CONNECT: Duration = Duration::from_secs(5);
/// From the request to the head of the answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Between two pieces of an answer.
const BETWEEN_PIECES: Duration = Duration::from_secs(15);
/// How long a connection is kept: callers think, and a new one costs a TLS handshake.
const IDLE: Duration = Duration::from_secs(90);
/// Bytes of a text: a transcript of a minute has a thousandth of it.
const LONGEST_TEXT: usize = 1 << 20;
const LONGEST_MESSAGE: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_unless_the_service_asks_for_another() {
        let retries = Retries::default();
        assert_eq!(retries.pause_after(1, None), Some(Duration::from_millis(500)));
        assert_eq!(retries.pause_after(2, None), Some(Duration::from_secs(1)));
        assert_eq!(retries.pause_after(3, None), None);
        let asked = |seconds| retries.pause_after(1, Some(Duration::from_secs(seconds)));
        assert_eq!((asked(2), asked(60)), (Some(Duration::from_secs(2)), None));
    }

    #[test]
    fn message_of_a_failure_is_short_and_without_the_key() {
        let api = Api::new("sk-hunter2", "http://x").unwrap();
        let body = r#"{"error":{"message":"Incorrect API key provided: sk-hunter2.","type":"x"}}"#;
        assert_eq!(api.said(body), "Incorrect API key provided: ***.");
        assert_eq!(api.said(&"a".repeat(9999)).len(), LONGEST_MESSAGE);
        assert!(!format!("{api:?}").contains("hunter2"));
        assert!(matches!(Api::new("", "http://x"), Err(SpeechError::EmptyKey)));
    }
}
