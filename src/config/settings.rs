//! The list of every setting: its name, its default, what it is for.
//!
//! `.env.example` and docs/configuration.md list the same names; a test compares them.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the environment, in `.env` and after `--set`.
    pub name: &'static str,
    /// The value it has when it is not set, as text; empty when there is none.
    pub default: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

const fn setting(name: &'static str, default: &'static str) -> Setting {
    Setting { name, default, secret: false }
}

const fn secret(name: &'static str) -> Setting {
    Setting { name, default: "", secret: true }
}

/// Every setting that the relay and the call center read, in the order of `.env.example`.
pub const SETTINGS: &[Setting] = &[
    secret("OPENAI_API_KEY"),
    setting("STRICT_CONFIG", "0"),
    setting("SIP_LOCAL_IP", ""),
    setting("SIP_LOCAL_PORT", "5062"),
    setting("SIP_SERVER_IP", ""),
    setting("SIP_TRANSFER_PORT", "5060"),
    setting("SIP_ADVERTISED_IP", ""),
    setting("SIP_USERNAME", ""),
    secret("SIP_PASSWORD"),
    setting("SIP_REGISTER", "0"),
    secret("SIP_AUTH_USERS"),
    setting("SIP_AUTH_REALM", "sip-relay"),
    setting("SIP_AUTH_ALGORITHMS", "MD5,SHA-256"),
    setting("SIP_ALLOWED_PEERS", ""),
    setting("SIP_SESSION_EXPIRES", "1800"),
    setting("WS_HOST", "127.0.0.1"),
    setting("WS_PORT", "8080"),
    setting("WS_MODE", "classic"),
    secret("WS_TOKEN"),
    setting("WS_ALLOW_ANONYMOUS", "0"),
    setting("WS_MAX_CONNECTIONS", "1000"),
    setting("WS_MAX_MESSAGE_BYTES", "16777216"),
    setting("WS_SEND_QUEUE_MAX", "1000"),
    setting("WS_RECV_QUEUE_MAX", "1000"),
    setting("TLS_CERT", ""),
    setting("TLS_KEY", ""),
    setting("WS_RESUME_SECONDS", "10"),
    setting("WS_LOST_ACTION", "keep"),
    setting("RTP_PORT_START", "31000"),
    setting("RTP_PORT_END", "31010"),
    setting("RTP_SEND_QUEUE_MAX", ""),
    setting("RTP_RECV_QUEUE_MAX", "500"),
    setting("RTP_SILENCE_FILL", "1"),
    setting("RTP_SYMMETRIC", "1"),
    setting("RTP_INACTIVITY_TIMEOUT", "30"),
    setting("RTP_ESTABLISHMENT_TIMEOUT", "60"),
    setting("DTMF_INBAND", "0"),
    setting("SPEECH_DETECTION", "1"),
    setting("RELAY_CODECS", "0,8"),
    setting("RELAY_ANSWER_MODE", "auto"),
    setting("RELAY_RING_TIMEOUT", "30"),
    setting("RELAY_INVITE_TIMEOUT", "32"),
    setting("CALL_NUMBER_PATTERN", r"^\+?[0-9]{7,15}$"),
    setting("CALL_ALLOWED_PREFIXES", ""),
    setting("CALL_RATE_LIMIT", "0"),
    setting("MAX_CALLS", "0"),
    setting("MAX_CALL_DURATION", "14400"),
    setting("RECORDING_DIR", "./recording"),
    setting("RECORDING_CHANNELS", "1"),
    setting("MAX_RECORDING_AGE_DAYS", "7"),
    setting("OUTPUT_DIR", "./output"),
    setting("GREETING_FILE", "{OUTPUT_DIR}/transcode/greeting.wav"),
    secret("AGENT_STREAM_URL"),
    secret("AGENT_STREAM_PARAMETERS"),
    setting("AGENT_STREAM_ALLOW_PLAIN", "0"),
    setting("AGENT_STREAM_CA", ""),
    setting("GATEWAY_ENABLE", "0"),
    setting("GATEWAY_HANDLER", "echo"),
    setting("GATEWAY_CONFIG", "~/.vibecode/sip_config.yaml"),
    setting("GATEWAY_MAX_STREAMS", "500"),
    setting("GATEWAY_STREAM_TOKEN", "auto"),
    setting("GATEWAY_HOST", "127.0.0.1"),
    setting("SIP_SERVER_PORT", "8000"),
    setting("SIP_PUBLIC_WS_URL", ""),
    setting("GATEWAY_PROVIDER", "telnyx"),
    secret("TELNYX_API_KEY"),
    setting("TELNYX_PUBLIC_KEY", ""),
    setting("TELNYX_APP_ID", ""),
    setting("TELNYX_L16_ENDIAN", "little"),
    setting("TELNYX_CODEC", "L16"),
    setting("TWILIO_ACCOUNT_SID", ""),
    secret("TWILIO_AUTH_TOKEN"),
    setting("WS_URL", ""),
    setting("OPENAI_API_BASE", "https://api.openai.com/v1"),
    setting("OPENAI_BASE_URL", ""),
    setting("OPENAI_STT_BASE_URL", ""),
    setting("OPENAI_LLM_BASE_URL", ""),
    setting("OPENAI_TTS_BASE_URL", ""),
    setting("OPENAI_REALTIME_URL", ""),
    setting("CALL_CENTER_MODE", "turns"),
    setting("CALL_CENTER_BUFFER_SIZE", "120"),
    setting("CALL_CENTER_LANGUAGE", "zh"),
    setting("CALL_CENTER_SYSTEM_PROMPT", "use one sentence to summarize"),
    setting("CALL_CENTER_STT_MODEL", "whisper-1"),
    setting("CALL_CENTER_LLM_MODEL", "gpt-4o-mini"),
    setting("CALL_CENTER_TTS_MODEL", "gpt-4o-mini-tts"),
    setting("CALL_CENTER_TTS_VOICE", "alloy"),
    setting("CALL_CENTER_TTS_SPEED", "1.0"),
    setting("CALL_CENTER_GREETING", ""),
    setting("CALL_CENTER_DIDS", ""),
    setting("CALL_CENTER_VAD", "0"),
    setting("CALL_CENTER_TOOLS", ""),
    setting("CALL_CENTER_END_OF_TURN_MS", "500"),
    setting("CALL_CENTER_SILENCE_SECONDS", "20"),
    setting("CALL_CENTER_SILENCE_PROMPT", ""),
    setting("CALL_CENTER_FAREWELL", ""),
    setting("CALL_CENTER_APOLOGY", ""),
    setting("CALL_CENTER_APOLOGY_FILE", ""),
    setting("CALL_CENTER_SERVICE_TIMEOUT", "30"),
    setting("CALL_CENTER_METRICS_ADDR", ""),
    setting("CALL_CENTER_REALTIME_MODEL", "gpt-realtime"),
    setting("CALL_CENTER_REALTIME_VOICE", "marin"),
    setting("CALL_CENTER_REALTIME_TURN_DETECTION", "server_vad"),
    setting("CALL_CENTER_REALTIME_EAGERNESS", "auto"),
    setting("CALL_CENTER_REALTIME_CODEC", "pcmu"),
    setting("CALL_CENTER_REALTIME_NOISE_REDUCTION", "off"),
    setting("CALL_CENTER_REALTIME_GREETING", ""),
    setting("CALL_CENTER_REALTIME_ROLL_OVER_MINUTES", "55"),
    setting("CALL_CENTER_REALTIME_LOST_ACTION", "hangup"),
    setting("CALL_CENTER_RECONNECT", "1"),
    setting("LOG_LEVEL", "INFO"),
    setting("SIP_LOG_FILE", "sip_server.log"),
    setting("CALL_CENTER_LOG_FILE", "call_center.log"),
    setting("LOG_MASK", "1"),
];

/// The setting called `name`.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The known name that `name` was probably meant to be, and how many letters differ.
pub(super) fn nearest(name: &str) -> Option<(&'static str, usize)> {
    let name = name.to_ascii_uppercase();
    let (distance, best) = SETTINGS.iter().map(|s| (edit_distance(&name, s.name), s.name)).min()?;
    (distance <= (name.len() / 3).min(4)).then_some((best, distance))
}

/// Levenshtein distance in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_found_for_a_typing_error_and_for_lower_case() {
        assert_eq!(nearest("SIP_LOCAL_PROT"), Some(("SIP_LOCAL_PORT", 2)));
        assert_eq!(nearest("ws_host"), Some(("WS_HOST", 0)));
        assert_eq!(nearest("RTP_PORT_FIRST"), Some(("RTP_PORT_START", 4)));
        assert_eq!(nearest("DATABASE_URL"), None);
        assert_eq!(nearest(""), None);
    }

    #[test]
    fn every_name_is_listed_once() {
        let mut names: Vec<_> = SETTINGS.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SETTINGS.len());
    }
}
