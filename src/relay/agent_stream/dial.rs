//! Connects to a bot as Twilio would: a signed WebSocket upgrade, within a deadline.
//!
//! In: an address and the token to sign with. Out: an open socket, or why there is none.

use std::{io, sync::Arc, time::Duration};

use rustls::ClientConfig;
use stream::signature::twilio;
use tokio_tungstenite::{
    Connector, connect_async_tls_with_config,
    tungstenite::{
        self,
        client::IntoClientRequest,
        http::{HeaderValue, header},
        protocol::WebSocketConfig,
    },
};

use crate::{
    config::{Secret, StreamUrl},
    metrics::ConnectFailure,
    ws_writer::Socket,
};

/// Why a bot is not connected.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// It did not answer in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Late,
    /// An answer that is no upgrade.
    #[error("the bot answered HTTP {0}")]
    Refused(u16),
    /// TCP, TLS or the WebSocket handshake went wrong.
    #[error(transparent)]
    WebSocket(Box<tungstenite::Error>),
}

impl DialError {
    /// What metrics call it.
    pub fn kind(&self) -> ConnectFailure {
        match self {
            Self::Late => ConnectFailure::Timeout,
            Self::Refused(_) => ConnectFailure::Refused,
            Self::WebSocket(error) => match &**error {
                tungstenite::Error::Tls(_) => ConnectFailure::Tls,
                tungstenite::Error::Io(error) if is_about_tls(error) => ConnectFailure::Tls,
                tungstenite::Error::Io(_) | tungstenite::Error::Url(_) => ConnectFailure::Unreachable,
                _ => ConnectFailure::Refused,
            },
        }
    }
}

impl From<tungstenite::Error> for DialError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => Self::Refused(response.status().as_u16()),
            error => Self::WebSocket(Box::new(error)),
        }
    }
}

/// Opens a connection, signed where there is a token.
///
/// `tls`: who is trusted about the bot's certificate; `None`: the public authorities.
pub async fn dial(
    url: &StreamUrl,
    token: Option<&Secret>,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Socket, DialError> {
    let mut request = url.as_str().into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(token) = token {
        let signature = twilio::sign_upgrade(token.expose(), &url.signed());
        // Base64 is text that can stand in a header.
        let value = HeaderValue::from_str(&signature).map_err(tungstenite::http::Error::from);
        headers.insert(twilio::HEADER, value.map_err(tungstenite::Error::from)?);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(LONGEST))
        .max_frame_size(Some(LONGEST))
        .max_write_buffer_size(WRITE_BUFFER);
    let connector = tls.map(Connector::Rustls);
    let attempt = connect_async_tls_with_config(request, Some(config), true, connector);
    let (socket, _) = tokio::time::timeout(DEADLINE, attempt).await.map_err(|_| DialError::Late)??;
    Ok(socket)
}

/// `tokio-rustls` wraps what TLS has to say.
fn is_about_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// From the call being up: the caller hears nothing so long. A bot that must wake up first takes some seconds.
const DEADLINE: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("sip-relay/", env!("CARGO_PKG_VERSION"));
/// Bytes of one message: ten minutes of audio are 6.4 MB.
const LONGEST: usize = 16 << 20;
/// Bytes that wait for the operating system, besides the outbox.
const WRITE_BUFFER: usize = 1 << 20;
