//! Who a stream belongs to, out of its first two messages.

use std::collections::BTreeMap;
use std::fmt;

use super::{Event, SessionConfig};
use crate::error::HandshakeError;
use crate::format::MediaFormat;
use crate::wire::Envelope;
use crate::{telnyx, twilio};

/// Whose protocol a stream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Twilio Media Streams, and who speaks like it.
    Twilio,
    /// Telnyx media streaming.
    Telnyx,
}

impl Provider {
    /// `twilio` or `telnyx`.
    pub const fn name(self) -> &'static str {
        match self {
            Provider::Twilio => "twilio",
            Provider::Telnyx => "telnyx",
        }
    }

    /// The provider of a first message.
    pub(super) fn detect(first: &Envelope<'_>) -> Option<Provider> {
        if first.protocol.as_str() == Some("Call") {
            Some(Provider::Twilio)
        } else if first.event.as_str() == Some("connected") {
            Some(Provider::Telnyx)
        } else {
            None
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which call a stream carries, and what its audio is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Who sends it.
    pub provider: Provider,
    /// The stream.
    pub stream_id: String,
    /// The call: Twilio's `callSid`, Telnyx's `call_control_id`. Empty if it was not said.
    pub call_id: String,
    /// The account: Twilio's `accountSid`, Telnyx's `user_id`.
    pub account: Option<String>,
    /// Who calls: the parameter of our own answer, else what Telnyx says.
    pub caller_id: Option<String>,
    /// The number called: the parameter of our own answer, else what Telnyx says.
    pub did: Option<String>,
    /// All parameters of the document that asked for the stream.
    pub custom_parameters: BTreeMap<String, String>,
    /// The caller's audio.
    pub inbound: MediaFormat,
    /// Audio for the caller. Of Telnyx what our TeXML asked for if the stream is from one, which the parameter `did`
    /// shows; else as inbound.
    pub outbound: MediaFormat,
}

impl StreamInfo {
    pub(super) fn read(
        provider: Provider,
        message: &Envelope<'_>,
        config: &SessionConfig,
    ) -> Result<Self, HandshakeError> {
        match provider {
            Provider::Twilio => Self::of_twilio(twilio::Start::read(message)?),
            Provider::Telnyx => Self::of_telnyx(telnyx::Start::read(message)?, config),
        }
    }

    fn of_twilio(start: twilio::Start) -> Result<Self, HandshakeError> {
        let format = MediaFormat::read(&start.media_format, MediaFormat::MULAW_8000)?;
        let parameters = start.custom_parameters;
        Ok(Self {
            provider: Provider::Twilio,
            stream_id: start.stream_sid,
            call_id: start.call_sid.unwrap_or_default(),
            account: start.account_sid,
            caller_id: parameters.get("caller_id").cloned(),
            did: parameters.get("did").cloned(),
            custom_parameters: parameters,
            inbound: format,
            outbound: format,
        })
    }

    fn of_telnyx(start: telnyx::Start, config: &SessionConfig) -> Result<Self, HandshakeError> {
        let inbound = MediaFormat::read(&start.media_format.unwrap_or_default(), MediaFormat::L16_16000)?;
        let parameters = start.custom_parameters;
        let ours = parameters.contains_key("did");
        Ok(Self {
            provider: Provider::Telnyx,
            stream_id: start.stream_id,
            call_id: start.call_control_id.unwrap_or_default(),
            account: start.user_id,
            caller_id: parameters.get("caller_id").cloned().or(start.from),
            did: parameters.get("did").cloned().or(start.to),
            custom_parameters: parameters,
            inbound,
            outbound: if ours { config.telnyx_outbound } else { inbound },
        })
    }
}

/// What a provider's `error` says.
pub(super) fn fault(message: &Envelope<'_>) -> Event {
    let fault = message.payload.get().or(message.error.get());
    let text = |field: Option<&str>| field.unwrap_or_default().to_owned();
    let (title, detail) = match fault {
        Some(fault) => (text(fault.title.as_str()), text(fault.detail.as_str())),
        None => (String::new(), String::new()),
    };
    let detail = match (title.is_empty(), detail.is_empty()) {
        (false, false) => format!("{title}: {detail}"),
        _ => title + &detail,
    };
    Event::Error { code: fault.and_then(|fault| fault.code.owned()), detail }
}
