//! `Rest` tells a provider to end a call, over its HTTP interface.
//!
//! In: which call. Out: whether the provider has ended it. Closing the media socket does not end a Telnyx call (its
//! `<Pause>` goes on for an hour); it ends Twilio's `<Connect>`, and with it a call that has nothing further to do.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, Url};
use tracing::{debug, warn};

pub use stream::signature::telnyx::Key as TelnyxKey;

use super::{ProviderConfig, variables::next_reference};
use crate::config::Secret;

/// What the two providers know us by. What is missing cannot be done.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Telnyx: the key of its HTTP interface.
    pub telnyx_api_key: Option<Secret>,
    /// Telnyx: the key that verifies webhooks.
    pub telnyx_public_key: Option<TelnyxKey>,
    /// Twilio: the account.
    pub twilio_account_sid: Option<String>,
    /// Twilio: its secret, for its HTTP interface and for signatures.
    pub twilio_auth_token: Option<Secret>,
}

impl Credentials {
    /// Those of the settings.
    pub fn of(providers: &ProviderConfig) -> Self {
        let ProviderConfig { telnyx, twilio } = providers;
        // One that is no point of the curve verifies nothing: every webhook is refused.
        let key = telnyx.public_key.map(TelnyxKey::from_bytes);
        // `${NAME}` of a variable that is not set is no key. What webhooks are checked by stays, and fits none.
        let is_set = |text: &str| next_reference(text).is_none();
        Self {
            telnyx_api_key: telnyx.api_key.clone().filter(|key| is_set(key.expose())),
            telnyx_public_key: key,
            twilio_account_sid: twilio.account_sid.clone(),
            twilio_auth_token: twilio.auth_token.clone(),
        }
    }

    /// Whether nothing at all is configured.
    pub fn is_empty(&self) -> bool {
        let Self { telnyx_api_key, telnyx_public_key, twilio_account_sid: _, twilio_auth_token } = self;
        telnyx_api_key.is_none() && telnyx_public_key.is_none() && twilio_auth_token.is_none()
    }
}

/// Where the providers' HTTP interfaces are, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiBases {
    /// Telnyx.
    pub telnyx: String,
    /// Twilio.
    pub twilio: String,
}

impl Default for ApiBases {
    fn default() -> Self {
        Self { telnyx: "https://api.telnyx.com".to_owned(), twilio: "https://api.twilio.com".to_owned() }
    }
}

/// A call, as its provider names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderCall {
    /// By `call_control_id`.
    Telnyx(String),
    /// By `callSid`.
    Twilio(String),
}

/// What became of the request to end a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// The provider ends it.
    Done,
    /// It was over.
    Gone,
    /// The provider refused, or was not reached.
    Failed,
    /// There is nothing to identify ourselves by, or the stream did not name its call.
    NoCredentials,
}

impl Hangup {
    /// Its word in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Hangup::Done => "done",
            Hangup::Gone => "gone",
            Hangup::Failed => "failed",
            Hangup::NoCredentials => "no-credentials",
        }
    }
}

/// See the module's documentation. Clones share connections.
#[derive(Debug, Clone)]
pub struct Rest {
    client: Option<Client>,
    credentials: Credentials,
    bases: ApiBases,
}

impl Rest {
    /// Nothing is sent yet.
    pub fn new(credentials: Credentials, bases: ApiBases) -> Self {
        let client = Client::builder().use_rustls_tls().connect_timeout(CONNECT).timeout(ANSWER).build();
        if let Err(error) = &client {
            warn!(%error, "calls cannot be ended through the providers' HTTP interfaces");
        }
        Self { client: client.ok(), credentials, bases }
    }

    /// Has the provider end `call`. Tries again once where the provider was not reached or is overloaded.
    pub async fn hang_up(&self, call: &ProviderCall) -> Hangup {
        let Some(request) = self.request(call) else { return Hangup::NoCredentials };
        for pause in [Some(AGAIN), None] {
            let Some(attempt) = request.try_clone() else { break };
            let (result, again) = match attempt.send().await {
                Ok(response) => {
                    let status = response.status();
                    let gone = is_gone(call, status);
                    debug!(status = status.as_u16(), "provider answers the hang-up");
                    let result = match () {
                        () if status.is_success() => Hangup::Done,
                        () if gone => Hangup::Gone,
                        () => Hangup::Failed,
                    };
                    (result, status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS)
                }
                Err(error) => {
                    // The URL names the call.
                    debug!(error = %error.without_url(), "provider not reached");
                    (Hangup::Failed, true)
                }
            };
            match pause {
                Some(pause) if again => tokio::time::sleep(pause).await,
                _ => return result,
            }
        }
        Hangup::Failed
    }

    fn request(&self, call: &ProviderCall) -> Option<RequestBuilder> {
        let client = self.client.as_ref()?;
        match call {
            ProviderCall::Telnyx(id) => {
                let key = self.credentials.telnyx_api_key.as_ref()?;
                let url = url(&self.bases.telnyx, &["v2", "calls", id, "actions", "hangup"])?;
                let request = client.post(url).bearer_auth(key.expose());
                Some(request.header("Content-Type", "application/json").body("{}"))
            }
            ProviderCall::Twilio(sid) => {
                let account = self.credentials.twilio_account_sid.as_ref()?;
                let token = self.credentials.twilio_auth_token.as_ref()?;
                let call = format!("{sid}.json");
                let url = url(&self.bases.twilio, &["2010-04-01", "Accounts", account, "Calls", &call])?;
                let request = client.post(url).basic_auth(account, Some(token.expose()));
                let form = "application/x-www-form-urlencoded";
                Some(request.header("Content-Type", form).body("Status=completed"))
            }
        }
        .filter(|_| call.is_named())
    }
}

impl ProviderCall {
    /// Whether the id can stand in a path: the peer chose it.
    fn is_named(&self) -> bool {
        let (Self::Telnyx(id) | Self::Twilio(id)) = self;
        (1..=256).contains(&id.len()) && !id.bytes().all(|byte| byte == b'.')
    }
}

/// `base` with these segments, each escaped.
fn url(base: &str, segments: &[&str]) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
    Some(url)
}

/// Whether the call is over already: 404 of both, Telnyx 422 (90018), Twilio 400 (21220).
fn is_gone(call: &ProviderCall, status: StatusCode) -> bool {
    match call {
        ProviderCall::Telnyx(_) => {
            [StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY].contains(&status)
        }
        ProviderCall::Twilio(_) => [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST].contains(&status),
    }
}

const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_that_a_peer_chose_stays_one_segment_of_the_path() {
        let path = |id| url("http://h:1", &["v2", "calls", id, "actions"]).expect("a URL").path().to_owned();
        assert_eq!(path("v3:abc_-"), "/v2/calls/v3:abc_-/actions");
        assert_eq!(path("../../x?y#z"), "/v2/calls/..%2F..%2Fx%3Fy%23z/actions");
    }

    #[test]
    fn reference_to_a_variable_that_is_not_set_is_no_key() {
        let mut providers = ProviderConfig::default();
        providers.telnyx.api_key = Some(Secret::new("${TELNYX_API_KEY}"));
        assert!(Credentials::of(&providers).is_empty());
        providers.telnyx.api_key = Some(Secret::new("KEY1"));
        assert!(!Credentials::of(&providers).is_empty());
    }

    #[test]
    fn nothing_is_sent_without_credentials_or_without_the_name_of_a_call() {
        let rest = |credentials| Rest::new(credentials, ApiBases::default());
        let telnyx = Credentials { telnyx_api_key: Some(Secret::new("k")), ..Credentials::default() };
        assert!(rest(telnyx.clone()).request(&ProviderCall::Telnyx("v3:a".to_owned())).is_some());
        assert!(rest(telnyx.clone()).request(&ProviderCall::Telnyx(String::new())).is_none());
        assert!(rest(telnyx.clone()).request(&ProviderCall::Telnyx("..".to_owned())).is_none());
        assert!(rest(telnyx).request(&ProviderCall::Twilio("CA1".to_owned())).is_none());
        assert!(rest(Credentials::default()).request(&ProviderCall::Telnyx("v3:a".to_owned())).is_none());
    }
}
