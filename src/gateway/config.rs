//! `SipConfig` is what the gateway's server is told: where it listens, and its accounts with the providers.
//!
//! In: a YAML file, the process environment. Out: typed values. `config` reads them, for the programs as for this.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use stream::{Encoding, MediaFormat};
use tracing::Level;

use super::SipTransportError;
use crate::config::{self, Secret};

/// The settings of the gateway's server. Where the file and the environment both have one, the environment wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipConfig {
    /// `telnyx` or `twilio`: which of the two is used mainly. A call says itself whose it is.
    pub provider: String,
    /// The address to listen on.
    pub server_host: IpAddr,
    /// The TCP port to listen on; 0 for any.
    pub server_port: u16,
    /// Where the providers reach the media socket, `wss://host/path`; `None` = where it listens.
    pub public_ws_url: Option<String>,
    /// The least important level that is logged.
    pub log_level: Level,
    /// The accounts.
    pub provider_config: ProviderConfig,
}

/// The accounts with the providers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderConfig {
    /// Of Telnyx.
    pub telnyx: TelnyxConfig,
    /// Of Twilio.
    pub twilio: TwilioConfig,
}

/// An account with Telnyx.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TelnyxConfig {
    /// To hang up calls.
    pub api_key: Option<Secret>,
    /// Whose signature webhooks have (Ed25519); `None` = signatures are not checked.
    pub public_key: Option<[u8; 32]>,
    /// The application's id.
    pub app_id: Option<String>,
    /// How the samples of L16 are ordered.
    pub l16_endian: L16Endian,
    /// How what the caller hears is coded.
    pub codec: TelnyxCodec,
}

/// An account with Twilio.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TwilioConfig {
    /// The account's name, `AC...`.
    pub account_sid: Option<String>,
    /// By which webhooks are signed; `None` = signatures are not checked.
    pub auth_token: Option<Secret>,
}

/// The order of the bytes of a sample of Telnyx's L16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum L16Endian {
    /// The low byte first, as Telnyx sends it.
    #[default]
    Little,
    /// The high byte first, as RFC 3551 §4.5.11 says.
    Big,
    /// Whichever the first audio makes likely.
    Auto,
}

/// What Telnyx is asked to take for the caller. Its documents list L16 for Call Control, and not for TeXML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TelnyxCodec {
    /// Linear, 16000 Hz.
    #[default]
    L16,
    /// µ-law, 8000 Hz.
    Pcmu,
    /// A-law, 8000 Hz.
    Pcma,
}

impl TelnyxCodec {
    pub(super) const fn format(self) -> MediaFormat {
        match self {
            TelnyxCodec::L16 => MediaFormat::L16_16000,
            TelnyxCodec::Pcmu => MediaFormat::MULAW_8000,
            TelnyxCodec::Pcma => MediaFormat { encoding: Encoding::Pcma, ..MediaFormat::MULAW_8000 },
        }
    }
}

impl SipConfig {
    /// Reads a YAML file. `${NAME}`s in it are variables of the process environment; one that is not set stays as it is
    /// written. Accounts that the file leaves out, or all of them if there is no file, are those of `TELNYX_API_KEY`,
    /// `TWILIO_ACCOUNT_SID` and so on. Blocks.
    ///
    /// # Errors
    /// [`SipTransportError::DidConfig`] with everything that is wrong.
    pub fn from_yaml(path: impl AsRef<Path>) -> Result<Self, SipTransportError> {
        config::gateway_file(path.as_ref(), &config::process_variable)
            .map_err(|errors| SipTransportError::DidConfig(errors.to_string().replace('\n', "; ")))
    }

    /// Where the providers are told to send a call's audio: the public URL, or the address that the server has.
    ///
    /// `tls`: whether the server speaks TLS itself.
    pub fn media_url(&self, server: SocketAddr, tls: bool) -> String {
        let scheme = if tls || server.port() == 443 { "wss" } else { "ws" };
        self.public_ws_url.clone().unwrap_or_else(|| format!("{scheme}://{server}{MEDIA_PATH}"))
    }
}

/// The path of the media socket.
pub const MEDIA_PATH: &str = "/sip/media-stream";
