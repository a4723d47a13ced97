//! The two requests before the call: whether the gateway is there, and what it wants done with the call.

use std::time::Duration;

use regex_lite::Regex;
use stream::{Encoding, signature::twilio};

/// What `/health` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) status: String,
    pub(super) dids: String,
    pub(super) ollama: String,
}

/// What the webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: String,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// Nobody listens, or does not answer.
    #[error("cannot connect to {url}: {source}")]
    Unreachable { url: String, source: reqwest::Error },
    /// Somebody else answers.
    #[error("{url} answers {status}")]
    Status { url: String, status: u16 },
    /// What came is not an answer.
    #[error("{url} sends no JSON: {source}")]
    NotJson { url: String, source: reqwest::Error },
}

/// Asks the gateway for its health.
pub(super) async fn health(url: &str) -> Result<Health, RequestError> {
    let unreachable = |source| RequestError::Unreachable { url: url.to_owned(), source };
    let response = client().map_err(unreachable)?.get(url).send().await.map_err(unreachable)?;
    let status = response.status();
    if !status.is_success() {
        return Err(RequestError::Status { url: url.to_owned(), status: status.as_u16() });
    }
    let json: serde_json::Value =
        response.json().await.map_err(|source| RequestError::NotJson { url: url.to_owned(), source })?;
    let text = |name: &str| match &json[name] {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "not said".to_owned(),
        value => value.to_string(),
    };
    Ok(Health { status: text("status"), dids: text("dids"), ollama: text("ollama") })
}

/// Tells the gateway of a call, with Twilio's signature if there is one.
pub(super) async fn webhook(
    url: &str,
    form: &[(&str, &str)],
    signature: Option<String>,
) -> Result<Answer, RequestError> {
    let unreachable = |source| RequestError::Unreachable { url: url.to_owned(), source };
    let mut request = client().map_err(unreachable)?.post(url).form(form);
    if let Some(signature) = signature {
        request = request.header(twilio::HEADER, signature);
    }
    let response = request.send().await.map_err(unreachable)?;
    let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: content_type.and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned(),
        body: response.text().await.map_err(unreachable)?,
    })
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    // What is on this machine is not reached through a proxy of the environment.
    reqwest::Client::builder().no_proxy().timeout(LIMIT).build()
}

impl Answer {
    pub(super) fn is_stream(&self) -> bool {
        self.status == 200 && self.body.contains("<Stream")
    }

    pub(super) fn is_hangup(&self) -> bool {
        self.body.contains("<Hangup")
    }

    /// How the answer wants to send audio, if it says so.
    pub(super) fn codec(&self) -> Option<Encoding> {
        let (_, rest) = self.body.split_once("bidirectionalCodec=\"")?;
        Encoding::from_name(rest.split('"').next()?)
    }

    /// What the answer has for the start of the stream.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let element = Regex::new(r#"<Parameter\s+name="([^"]*)"\s+value="([^"]*)"\s*/>"#)
            .expect("a constant expression, which a test uses");
        element.captures_iter(&self.body).map(|found| (unescaped(&found[1]), unescaped(&found[2]))).collect()
    }
}

/// The value of an attribute without its entities (XML 1.0 §4.1, §4.6). An unknown one stays as it is.
fn unescaped(value: &str) -> String {
    let entity =
        Regex::new(r"&(#x[0-9a-fA-F]+|#[0-9]+|[a-z]+);").expect("a constant expression, which a test uses");
    let replaced = entity.replace_all(value, |found: &regex_lite::Captures<'_>| {
        let character = match &found[1] {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            code => match (code.strip_prefix("#x"), code.strip_prefix('#')) {
                (Some(hex), _) => u32::from_str_radix(hex, 16).ok().and_then(char::from_u32),
                (None, Some(decimal)) => decimal.parse().ok().and_then(char::from_u32),
                (None, None) => None,
            },
        };
        character.map_or_else(|| found[0].to_owned(), String::from)
    });
    replaced.into_owned()
}

/// How long the gateway may take.
const LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_they_were_written() {
        let parameters = [("caller_id", "+1<&\"'>\n"), ("did", "+15125551234"), ("token", "a&amp;b")];
        let expected: Vec<_> =
            parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        for body in
            [stream::xml::texml("wss://h/p", &parameters), stream::xml::twiml("wss://h/p", &parameters)]
        {
            let answer = Answer { status: 200, content_type: "application/xml".to_owned(), body };
            assert_eq!(answer.parameters(), expected);
            assert!(answer.is_stream() && !answer.is_hangup());
        }
        let pcma = stream::MediaFormat { encoding: Encoding::Pcma, ..stream::MediaFormat::MULAW_8000 };
        for (body, codec) in [
            (stream::xml::texml("wss://h/p", &[]), Some(Encoding::L16)),
            (stream::xml::texml_with("wss://h/p", pcma, &[]), Some(Encoding::Pcma)),
            (stream::xml::twiml("wss://h/p", &[]), None),
        ] {
            assert_eq!(Answer { status: 200, content_type: String::new(), body }.codec(), codec);
        }
        let refusal =
            Answer { status: 200, content_type: String::new(), body: stream::xml::NOT_CONFIGURED.to_owned() };
        assert!(refusal.is_hangup() && !refusal.is_stream());
        assert_eq!(unescaped("&#65;&#x42;&#xd800;&nbsp;&"), "AB&#xd800;&nbsp;&");
    }
}
